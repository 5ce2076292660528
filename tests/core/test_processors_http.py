"""Endpoints that make drafts, each a real server on loopback."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.definitions import definition
from core.errors import FlowError
from core.events import NodeRetried
from core.model import Status
from core.processors.calls import FIRST_PAUSE
from core.processors.exchange import LARGEST, ProcessorError
from core.processors.http import HttpProcessor
from tests.core.processing import FIRST, KEY, SECOND, Loopback, Pauses, a_run, loopback, raw, says
from tests.world import PATIENCE, flow_settings, policies, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock

DRAFT = says('{"draft": "d1"}')
SECRET = "a body that nobody is to read in a log"


@pytest.fixture
async def there() -> AsyncIterator[Loopback]:
    async with loopback() as known:
        yield known


async def drafted(
    url: str, shared: Mapping[str, Json] = FIRST, *, seconds: float = 5, pauses: Pauses | None = None
) -> Json:
    """What the endpoint makes of it, without waiting between calls."""
    processor = HttpProcessor(url, within=timedelta(seconds=seconds), pause=pauses or Pauses())
    with a_run():
        return await processor(shared)


async def test_the_task_is_posted_with_its_run_key(there: Loopback) -> None:
    there.will(DRAFT)
    assert await drafted(f"{there.url}/make?a=b") == "d1"
    (asked,) = there.asked
    assert asked.path == "/make?a=b"
    assert asked.headers["Idempotency-Key"] == KEY
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.body == {
        "task_id": FIRST["task_id"],
        "input": "buy milk",
        "feedback": None,
        "feedback_comment": None,
        "attempt": 1,
        "previous": None,
    }


async def test_the_feedback_and_the_last_draft_go_with_it(there: Loopback) -> None:
    there.will(DRAFT)
    await drafted(there.url, SECOND)
    body = there.asked[0].body
    assert (body["feedback"], body["feedback_comment"]) == ("rejected", "say how much, “please”")
    assert (body["attempt"], body["previous"]) == (2, "d1")


@pytest.mark.parametrize(
    ("body", "kind", "draft"),
    [
        ('{"draft": "ä", "more": 1}', "application/json; charset=utf-8", "ä"),
        ('{"draft": {"a": [1, null]}}', "application/json", {"a": [1, None]}),
        ('{"draft": 0}', "application/json", 0),
        ("plain\ntext\n", "text/plain; charset=utf-8", "plain\ntext\n"),
    ],
)
async def test_a_draft_is_text_or_json(there: Loopback, body: str, kind: str, draft: Json) -> None:
    there.will(says(body, kind=kind))
    assert await drafted(there.url) == draft


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("", "application/json", "not JSON"),
        ("{", "application/json", "not JSON"),
        ('{"draft": NaN}', "application/json", "not JSON"),
        ("[" * 100_000, "application/json", "not JSON"),
        ('{"draft": ' + "9" * 5000 + "}", "application/json", "not JSON"),
        ("[]", "application/json", "JSON that is not"),
        ('"d1"', "application/json", "JSON that is not"),
        ('{"draft": null}', "application/json", "JSON that is not"),
        ('{"output": "d1"}', "application/json", "JSON that is not"),
        ('{"draft": ""}', "application/json", "empty"),
        ('{"draft": 1e999}', "application/json", "cannot be stored"),
        ('{"draft": "a\\u0000b"}', "application/json", "NUL"),
        ('{"draft": {"a\\u0000": 1}}', "application/json", "NUL"),
        ('{"draft": "\\ud800"}', "application/json", "cannot be stored"),
        ('{"draft": ' + "[" * 100 + "]" * 100 + "}", "application/json", "deep"),
        (" \n", "text/plain", "empty"),
        ("a\x00b", "text/plain", "NUL"),
        (b"\xff\xfe", "text/plain", "UTF-8"),
        (b'{"draft": "\xff"}', "application/json", "UTF-8"),
        ("<p>", "text/html", "neither"),
        ("", "application/octet-stream", "neither"),
    ],
)
async def test_what_is_no_draft_is_an_error_with_a_sentence(
    there: Loopback, body: str | bytes, kind: str, sentence: str
) -> None:
    there.will(says(body, kind=kind))
    with pytest.raises(ProcessorError, match=sentence):
        await drafted(there.url)
    assert len(there.asked) == 1


async def test_a_refusal_is_for_good_and_its_body_is_not_repeated(there: Loopback) -> None:
    there.will(says(SECRET, status=422))
    with pytest.raises(FlowError, match=r"The processor at 127\.0\.0\.1:\d+ answered 422\.") as refused:
        await drafted(f"{there.url}/?token=hidden")
    assert SECRET not in str(refused.value)
    assert "hidden" not in str(refused.value)
    assert len(there.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_with_growing_pauses_and_the_same_key(
    there: Loopback, status: int
) -> None:
    there.will(says(status=status), says(status=status), DRAFT)
    pauses = Pauses()
    assert await drafted(there.url, pauses=pauses) == "d1"
    first, second = pauses.seconds
    assert 0.75 * FIRST_PAUSE <= first <= 1.25 * FIRST_PAUSE < second * 1.25
    assert [asked.headers["Idempotency-Key"] for asked in there.asked] == [KEY] * 3
    assert there.asked[0].body == there.asked[2].body


async def test_after_three_calls_it_is_the_flows_turn(there: Loopback) -> None:
    there.will(says(SECRET, status=503))
    with pytest.raises(ProcessorError, match="answered 503"):
        await drafted(there.url)
    assert len(there.asked) == 3


async def test_retry_after_is_heeded_in_seconds_and_as_a_date(there: Loopback) -> None:
    soon = format_datetime(SystemClock().now() + timedelta(seconds=2), usegmt=True)
    there.will(says(status=429, Retry_After="3"), says(status=503, Retry_After=soon), DRAFT)
    pauses = Pauses()
    assert await drafted(there.url, pauses=pauses) == "d1"
    assert pauses.seconds[0] == 3
    assert 0 <= pauses.seconds[1] <= 2


@pytest.mark.parametrize("header", ["", "soon", "-1", "٣", "Sat, 99 Nov"])
async def test_a_retry_after_that_says_nothing_is_as_none(there: Loopback, header: str) -> None:
    there.will(says(status=429, Retry_After=header), DRAFT)
    pauses = Pauses()
    assert await drafted(there.url, pauses=pauses) == "d1"
    assert pauses.seconds[0] < 1


async def test_a_pause_that_does_not_fit_into_the_timeout_is_not_made(there: Loopback) -> None:
    there.will(says(status=429, Retry_After="6"), DRAFT)
    pauses = Pauses()
    with pytest.raises(ProcessorError, match="answered 429") as failed:
        await drafted(there.url, pauses=pauses)
    assert failed.value.retry_after == timedelta(seconds=6)
    assert (pauses.seconds, len(there.asked)) == ([], 1)


@pytest.mark.parametrize("header", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_pause_of_years_is_not_granted(
    there: Loopback, sqlite_database: Database, clock: StoppedClock, header: str
) -> None:
    there.will(says("", status=503, Retry_After=header), DRAFT)
    flow = definition(flow_settings(processor=there.url), policies(), None)
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        await world.event(task.id, NodeRetried)
        until = clock.now() + timedelta(hours=2)
        while clock.now() < until:
            clock.advance(timedelta(minutes=10))
            await asyncio.sleep(0.01)
        await world.open_review(task.id)


async def test_a_redirect_is_not_followed(there: Loopback) -> None:
    there.will(says(status=307, Location=f"{there.url}/elsewhere"))
    with pytest.raises(FlowError, match=r"redirects \(307\)"):
        await drafted(there.url)
    assert len(there.asked) == 1


async def test_credentials_in_the_url_are_sent_and_not_shown(there: Loopback) -> None:
    there.will(DRAFT, says(status=400))
    url = there.url.replace("//", "//me:hidden@")
    assert await drafted(url) == "d1"
    assert there.asked[0].headers["Authorization"].startswith("Basic ")
    with pytest.raises(FlowError) as refused:
        await drafted(url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("how", ["announced", "streamed"])
async def test_an_answer_is_at_most_a_mebibyte(there: Loopback, how: str) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while sent < 100 * LARGEST:
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    there.will(says(b"x" * (LARGEST + 1), kind="text/plain") if how == "announced" else endless)
    with pytest.raises(ProcessorError, match="more than 1 MiB"):
        await drafted(there.url)
    assert sent < 20 * LARGEST
    there.will(says(b"x" * LARGEST, kind="text/plain"))
    assert await drafted(there.url) == "x" * LARGEST


async def test_a_compressed_answer_is_not_unpacked(there: Loopback) -> None:
    there.will(says(b"\x1f\x8b", Content_Encoding="gzip"))
    with pytest.raises(ProcessorError, match="compressed"):
        await drafted(there.url)
    assert there.asked[0].headers["Accept-Encoding"] == "identity"
    there.will(says(b"\x1f\x8b", status=400, Content_Encoding="gzip"))
    with pytest.raises(FlowError, match="answered 400"):
        await drafted(there.url)


CUT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        CUT,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ],
)
async def test_a_call_that_breaks_is_made_again(answer: bytes) -> None:
    async with raw(answer, WHOLE) as url:
        assert await drafted(url) == "abc"
    async with raw(answer) as url:
        with pytest.raises(ProcessorError, match="could not be reached"):
            await drafted(url)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX-Slow", CUT])
async def test_a_server_that_stalls_is_left_when_the_time_is_up(answer: bytes) -> None:
    async with raw(answer, hold=True) as url:
        with pytest.raises(ProcessorError, match="did not answer in time"):
            await drafted(url, seconds=0.05)


async def test_nobody_listening_is_tried_three_times(unused_tcp_port: int) -> None:
    pauses = Pauses()
    with pytest.raises(ProcessorError, match=r"could not be reached \(ClientConnectorError\)"):
        await drafted(f"http://127.0.0.1:{unused_tcp_port}", pauses=pauses)
    assert len(pauses.seconds) == 2


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("No openssl makes a certificate here; not seen: that one nobody vouches for is refused.")
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost "
        "-keyout key.pem -out cert.pem"
    )
    made = await asyncio.create_subprocess_exec(
        *words.split(),
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        cwd=tmp_path,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    server = RawTestServer(answer, host="localhost")
    await server.start_server(ssl=context)
    try:
        with pytest.raises(ProcessorError, match="has a certificate that cannot be verified"):
            await drafted(f"https://localhost:{server.port}")
    finally:
        await server.close()
    assert asked == []


async def test_tls_is_not_given_up_where_nobody_speaks_it(there: Loopback) -> None:
    there.will(DRAFT)
    with pytest.raises(ProcessorError, match="could not be reached"):
        await drafted(there.url.replace("http:", "https:"))
    assert there.asked == []


async def test_a_call_that_is_cancelled_leaves_no_connection(there: Loopback) -> None:
    begun, dropped = asyncio.Event(), asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            dropped.set()
        raise AssertionError

    there.will(hangs)
    call = asyncio.ensure_future(drafted(there.url))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(PATIENCE):
        await dropped.wait()


async def test_outside_of_a_flow_there_is_no_run_key() -> None:
    with pytest.raises(FlowError, match="run_key"):
        await HttpProcessor("http://localhost", within=timedelta(seconds=1))(FIRST)


# In a whole core


def flow_at(url: str, **settings: Any) -> dict[str, Any]:
    chosen = flow_settings(processor=url, **settings)
    return {"draft": definition(chosen, policies(), None)}


async def test_a_retry_of_the_node_has_the_same_key_and_the_next_attempt_another(
    there: Loopback, sqlite_database: Database, clock: StoppedClock
) -> None:
    there.will(says("no JSON"), DRAFT, says('{"draft": "d2"}'))
    async with whole_core(sqlite_database, clock, flows=flow_at(there.url)) as world:
        task = await world.submit("buy milk")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        await world.reject(await world.open_review(task.id), comment="more")
        await world.approve(await world.open_review(task.id, 2))
        done = await world.end(task.id)
    assert done.final_result == "d2"
    first, again, next_ = (asked.headers["Idempotency-Key"] for asked in there.asked)
    assert first == again != next_
    assert there.asked[2].body["previous"] == "d1"


async def test_a_refusal_fails_the_task_at_once_and_the_log_knows_no_body(
    there: Loopback, sqlite_database: Database, clock: StoppedClock
) -> None:
    there.will(says(SECRET, status=400))
    with capture_logs() as logs:
        async with whole_core(sqlite_database, clock, flows=flow_at(there.url, retries=5)) as world:
            done = await world.end((await world.submit("x")).id)
    assert done.status is Status.FAILED
    assert "answered 400" in str(done.error)
    assert len(there.asked) == 1
    assert SECRET not in str(logs)
    assert SECRET not in str(done)


async def test_the_calls_of_all_retries_add_up_to_three_for_each_run(
    there: Loopback, sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.processors.calls.FIRST_PAUSE", 0.001)
    there.will(says(status=503))
    async with whole_core(sqlite_database, clock, flows=flow_at(there.url, retries=1)) as world:
        task = await world.submit("x")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        done = await world.end(task.id)
    assert done.status is Status.FAILED
    assert len(there.asked) == 6
