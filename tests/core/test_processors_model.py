"""Models, each a real server on loopback that speaks as OpenAI's chat completions do."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from structlog.testing import capture_logs

from core.definitions import definition
from core.errors import FlowError, SettingsError
from core.events import NodeRetried, TextStreamed
from core.model import ModelEndpoint, Status
from core.processors import processor
from core.processors.exchange import LARGEST, ProcessorError
from core.processors.model import NO_REASON, Answer, ModelProcessor, messages
from core.settings import CoreSettings
from countersign.settings import unknown_names
from tests.core.model_answers import at_once
from tests.core.processing import FIRST, KEY, SECOND, Loopback, Pauses, Told, a_run, loopback, raw, says
from tests.world import flow_settings, policies, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from core.flow import FlowDefinition
    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock

API_KEY = "sk-canary-4711"
DONE = "data: [DONE]\n\n"


@pytest.fixture
async def there() -> AsyncIterator[Loopback]:
    async with loopback() as known:
        yield known


def model_at(url: str, prompt: str | None = None, seconds: float = 5) -> ModelProcessor:
    endpoint = ModelEndpoint(url=f"{url}/v1/", model="small", api_key=API_KEY)
    return ModelProcessor(endpoint, prompt=prompt, within=timedelta(seconds=seconds), pause=Pauses())


async def drafted(url: str, shared: Mapping[str, Json] = FIRST, **more: Any) -> tuple[Json, Told]:
    with a_run() as told:
        return await model_at(url, **more)(shared), told


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> str:
    """One event of a stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice], **more})}\n\n"


def streams(*pieces: str | bytes, cut: bool = False, kind: str = "text/event-stream") -> Any:
    """An answer that comes in pieces; `cut`: the connection ends without the end of the body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece.encode() if isinstance(piece, str) else piece)
            await asyncio.sleep(0)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer


HELLO = streams(chunk("Hel"), chunk("lo"), chunk(None, "stop"), DONE)


# What it is asked


async def test_the_input_is_what_the_user_says(there: Loopback) -> None:
    there.will(HELLO)
    await drafted(there.url)
    (asked,) = there.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {API_KEY}"
    assert asked.headers["Idempotency-Key"] == KEY
    assert asked.body == {
        "model": "small",
        "messages": [{"role": "user", "content": "buy milk"}],
        "stream": True,
    }


async def test_the_prompt_comes_first_and_feedback_as_the_next_word(there: Loopback) -> None:
    there.will(HELLO)
    await drafted(there.url, SECOND, prompt="Be brief.")
    assert there.asked[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "buy milk"},
        {"role": "assistant", "content": "d1"},
        {"role": "user", "content": "say how much, “please”"},
    ]


def test_json_is_told_as_people_read_it_and_silence_in_words() -> None:
    state: dict[str, Any] = {**SECOND, "task_input": {"a": 1}, "feedback_comment": None}
    assert [turn["content"] for turn in messages(state, None)] == [  # type: ignore[index,call-overload]  # JSON
        '{\n  "a": 1\n}',
        "d1",
        NO_REASON,
    ]


async def test_without_a_key_none_is_sent(there: Loopback) -> None:
    there.will(HELLO)
    endpoint = ModelEndpoint(url=there.url, model="small")
    with a_run():
        await ModelProcessor(endpoint, prompt=None, within=timedelta(seconds=5))(FIRST)
    assert "Authorization" not in there.asked[0].headers


# What it answers


async def test_a_stream_is_passed_on_as_it_comes(there: Loopback) -> None:
    there.will(HELLO)
    draft, told = await drafted(there.url)
    assert draft == "Hello"
    assert "".join(told.texts) == "Hello"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_may_be_cut_into_pieces_anywhere(size: int) -> None:
    stream = (
        ": ping\r\n\r\nevent: x\r\nid: 7\nretry: 10\n"
        + chunk("“ä").replace("\n", "\r\n")
        + 'data: {"choices":\ndata: [{"delta": {"content": " 🦊”"}}]}\n\n'
        + chunk("", role="assistant")
        + 'data:{"choices": [], "usage": {}}\n\n'
        + chunk(None, "stop", error=None)
        + DONE
        + "data: what comes after the end\n\n"
    ).encode()
    answer = Answer("It", lambda _: None)
    texts = [answer.add(stream[at : at + size]) for at in range(0, len(stream), size)]
    assert answer.whole() == "".join(texts) == "“ä 🦊”"


@pytest.mark.parametrize("last", [chunk(None, "stop"), DONE])
async def test_one_of_the_two_ends_is_enough(there: Loopback, last: str) -> None:
    there.will(streams(chunk("Hello"), last))
    assert (await drafted(there.url))[0] == "Hello"


async def test_an_answer_at_once_is_understood(there: Loopback) -> None:
    there.will(at_once("Hello"))
    draft, told = await drafted(there.url)
    assert (draft, told.texts) == ("Hello", [])


@pytest.mark.parametrize(
    "make", [at_once, lambda text, finish: streams(chunk(text), chunk(None, finish), DONE)]
)
@pytest.mark.parametrize(
    ("finish", "error", "sentence"),
    [
        ("length", FlowError, "limit of tokens"),
        ("content_filter", ProcessorError, "content filter"),
        ("tool_calls", ProcessorError, "tool"),
    ],
)
async def test_half_an_answer_is_no_draft(
    there: Loopback, make: Any, finish: str, error: type[Exception], sentence: str
) -> None:
    there.will(make("Hel", finish))
    with pytest.raises(error, match=sentence):
        await drafted(there.url)
    assert len(there.asked) == 1


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([chunk("Hel")], "broke off"),
        ([], "broke off"),
        ([chunk("Hel"), "data: {\n\n"], "not JSON"),
        (["data: [1]\n\n"], "no chat completion"),
        (['data: {"choices": [1]}\n\n'], "no chat completion"),
        (['data: {"choices": [{"delta": "Hel"}]}\n\n'], "no chat completion"),
        (['data: {"choices": [{"delta": {}, "finish_reason": 3}]}\n\n'], "no chat completion"),
        (['data: {"choices": [{"delta": {"content": ["Hel"]}}]}\n\n'], "something else than text"),
        (['data: {"choices": [{"delta": {"refusal": "No."}}]}\n\n'], "refuses"),
        ([chunk("Hel"), 'data: {"error": {"message": "GPU on\\nfire"}}\n\n'], "broke off: GPU on fire"),
        ([chunk("Hel"), 'data: {"error": {}}\n\n'], "an error without a message"),
        ([b"data: \xff\n\n"], "UTF-8"),
        ([chunk(" \n"), DONE], "empty"),
        ([chunk("a\x00b"), DONE], "NUL"),
        ([chunk("\ud800"), DONE], "cannot be stored"),
        ([DONE], "empty"),
    ],
)
async def test_a_stream_that_is_wrong_is_an_error_with_a_sentence(
    there: Loopback, events: list[str | bytes], sentence: str
) -> None:
    there.will(streams(*events))
    with pytest.raises(ProcessorError, match=sentence):
        await drafted(there.url)
    assert len(there.asked) == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "not JSON"),
        ("{}", "no chat completion"),
        ('{"choices": []}', "no chat completion"),
        ('{"choices": [{"text": "Hello"}]}', "no chat completion"),
        ('{"choices": [{"message": {"content": null}}]}', "empty"),
        ('{"error": "out of memory"}', "broke off: out of memory"),
    ],
)
async def test_an_answer_at_once_that_is_wrong_is_an_error(there: Loopback, body: str, sentence: str) -> None:
    there.will(says(body))
    with pytest.raises(ProcessorError, match=sentence):
        await drafted(there.url)


async def test_another_kind_of_answer_is_an_error(there: Loopback) -> None:
    there.will(says("<h1>Sign in</h1>", kind="text/html"))
    with pytest.raises(ProcessorError, match="neither application/json nor text/event-stream"):
        await drafted(there.url)


@pytest.mark.parametrize("piece", [b": ping", chunk("x" * 1000).encode(), b"data: ", b"data: x\n"])
async def test_a_stream_without_an_end_is_left(there: Loopback, piece: bytes) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        many = piece * (65536 // len(piece))
        while sent < 200 * LARGEST:
            await response.write(many)
            sent += len(many)
        return response

    there.will(endless)
    with pytest.raises(ProcessorError, match="more than 1 MiB"):
        await drafted(there.url)
    assert sent < 20 * LARGEST


def test_comments_between_events_are_no_text() -> None:
    answer = Answer("It", lambda _: None)
    for _ in range(40):
        assert answer.add(b": keep-alive\n\n" * 4000) == ""
    assert answer.add(chunk("Hello", "stop").encode()) == answer.whole() == "Hello"


# What goes wrong


async def test_a_connection_cut_before_any_text_is_made_again(there: Loopback) -> None:
    there.will(streams(cut=True), HELLO)
    assert (await drafted(there.url))[0] == "Hello"


async def test_a_connection_cut_after_text_is_the_flows_to_retry(there: Loopback) -> None:
    there.will(streams(chunk("Hel"), cut=True), HELLO)
    with a_run() as told, pytest.raises(ProcessorError, match="broke off in the middle"):
        await model_at(there.url)(FIRST)
    assert (told.texts, len(there.asked)) == (["Hel"], 1)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty"])
async def test_a_server_that_stalls_is_left_when_the_time_is_up(answer: bytes) -> None:
    async with raw(answer, hold=True) as url:
        with pytest.raises(ProcessorError, match="did not answer in time"):
            await drafted(url, seconds=0.05)


async def test_an_error_is_told_in_its_own_words_without_the_key(there: Loopback) -> None:
    error = {"error": {"message": f"There is no\nmodel 'small' for {API_KEY}.", "code": 404}}
    there.will(says(json.dumps(error), status=404))
    with pytest.raises(FlowError, match=r"answered 404: There is no model 'small' for …\.") as refused:
        await drafted(there.url)
    assert API_KEY not in str(refused.value)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_the_setting(there: Loopback, status: int) -> None:
    there.will(says(json.dumps({"error": {"message": f"Incorrect key: {API_KEY[:5]}"}}), status=status))
    with pytest.raises(FlowError, match="COUNTERSIGN_MODEL_API_KEY") as refused:
        await drafted(there.url)
    assert API_KEY[:5] not in str(refused.value)


@pytest.mark.parametrize("body", ["", "x" * 100_000, "[1]", b"\xff", '{"error": {"message": ""}}'])
async def test_an_error_without_words_is_its_status(there: Loopback, body: str | bytes) -> None:
    there.will(says(body, status=400))
    with pytest.raises(FlowError, match=r"answered 400\.$"):
        await drafted(there.url)


async def test_a_full_house_is_asked_again_when_it_says(there: Loopback) -> None:
    there.will(says('{"error": {"message": "slow down"}}', status=429, Retry_After="2"), HELLO)
    model, pauses = model_at(there.url), Pauses()
    model._endpoint._pause = pauses
    with a_run():
        assert await model(FIRST) == "Hello"
    assert pauses.seconds == [2]


async def test_a_redirect_does_not_take_the_key_elsewhere(there: Loopback) -> None:
    there.will(says(status=308, Location=f"{there.url}/elsewhere"))
    with pytest.raises(FlowError, match="redirects"):
        await drafted(there.url)
    assert len(there.asked) == 1


# In a whole core


def flow_with(url: str, **settings: Any) -> dict[str, FlowDefinition]:
    endpoint = ModelEndpoint(url=url, model="small", api_key=API_KEY)
    chosen = flow_settings(processor="model", prompt="Be brief.", **settings)
    return {"draft": definition(chosen, policies(), None, endpoint)}


async def test_every_rejection_stays_in_the_talk_and_every_text_is_streamed(
    there: Loopback, sqlite_database: Database, clock: StoppedClock
) -> None:
    there.will(HELLO, streams(chunk("He"), chunk("y"), DONE), at_once("Hi"))
    async with whole_core(sqlite_database, clock, flows=flow_with(there.url)) as world:
        task = await world.submit("greet")
        await world.reject(await world.open_review(task.id), comment="shorter")
        await world.reject(await world.open_review(task.id, 2))
        await world.approve(await world.open_review(task.id, 3))
        done = await world.end(task.id)
        history = await world.history(task.id)
    assert done.final_result == "Hi"
    assert "".join(event.text for event in history if isinstance(event, TextStreamed)) == "HelloHey"
    assert [turn["content"] for turn in there.asked[2].body["messages"]] == [
        "Be brief.",
        "greet",
        "Hello",
        "shorter",
        "Hey",
        NO_REASON,
    ]
    assert there.asked[2].body["messages"][:4] == there.asked[1].body["messages"]


async def test_a_stream_that_broke_off_is_retried_with_the_same_talk_and_key(
    there: Loopback, sqlite_database: Database, clock: StoppedClock
) -> None:
    there.will(streams(chunk("Hel"), cut=True), HELLO)
    async with whole_core(sqlite_database, clock, flows=flow_with(there.url)) as world:
        task = await world.submit("greet")
        await world.event(task.id, NodeRetried)
        clock.advance(seconds=1)
        await world.approve(await world.open_review(task.id))
        assert (await world.end(task.id)).final_result == "Hello"
    first, second = there.asked
    assert (first.body, first.headers["Idempotency-Key"]) == (second.body, second.headers["Idempotency-Key"])


async def test_what_a_model_says_and_its_key_are_in_no_log(
    there: Loopback, sqlite_database: Database, clock: StoppedClock
) -> None:
    there.will(says(json.dumps({"error": {"message": f"canary {API_KEY}"}}), status=400))
    with capture_logs() as logs:
        async with whole_core(sqlite_database, clock, flows=flow_with(there.url)) as world:
            done = await world.end((await world.submit("greet")).id)
    assert done.status is Status.FAILED
    assert "canary …" in str(done.error)
    assert "canary" not in str(logs)


# Settings


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A folder without `.env`, and none of the model's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_URL", "MODEL", "MODEL_MODEL", "MODEL_API_KEY", "API_KEY"):
        monkeypatch.delenv(f"COUNTERSIGN_{name}", raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["COUNTERSIGN_MODEL", "COUNTERSIGN_MODEL_MODEL"])
@pytest.mark.parametrize("key", ["COUNTERSIGN_MODEL_API_KEY", "COUNTERSIGN_API_KEY", None])
def test_the_endpoint_is_read_from_settings(
    elsewhere: pytest.MonkeyPatch, name: str, key: str | None
) -> None:
    assert CoreSettings().model_endpoint is None
    for empty in ("COUNTERSIGN_MODEL_URL", "COUNTERSIGN_MODEL", "COUNTERSIGN_MODEL_API_KEY"):
        elsewhere.setenv(empty, "")
    assert CoreSettings().model_endpoint is None
    elsewhere.setenv("COUNTERSIGN_MODEL_URL", "http://localhost:11434/v1")
    elsewhere.setenv(name, "small")
    if key is not None:
        elsewhere.setenv(key, API_KEY)
    endpoint = CoreSettings().model_endpoint
    expected = ModelEndpoint(
        url="http://localhost:11434/v1", model="small", api_key=None if key is None else API_KEY
    )
    assert endpoint == expected
    assert API_KEY not in repr(endpoint)
    assert API_KEY not in repr(CoreSettings())
    assert not {name, key} & set(unknown_names())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COUNTERSIGN_MODEL_URL", "localhost:11434"),
        ("COUNTERSIGN_MODEL_URL", "ftp://x/v1"),
        ("COUNTERSIGN_MODEL_URL", "https://x:port/v1"),
        ("COUNTERSIGN_MODEL_URL", "https://me:canary@x/v1"),
        ("COUNTERSIGN_MODEL_URL", "https://x/v1?canary=1"),
        ("COUNTERSIGN_MODEL_URL", "https://x/v1/chat/completions"),
        ("COUNTERSIGN_MODEL_API_KEY", "canary\nX-Evil: 1"),
        ("COUNTERSIGN_MODEL_API_KEY", "canary ä"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(elsewhere: pytest.MonkeyPatch, name: str, value: str) -> None:
    elsewhere.setenv(name, value)
    with pytest.raises(ValidationError, match=name) as refused:
        CoreSettings()
    assert "canary" not in str(refused.value)


def test_a_model_without_its_settings_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs COUNTERSIGN_MODEL_URL and COUNTERSIGN_MODEL"):
        processor("model")


def test_a_prompt_may_stand_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    endpoint = ModelEndpoint(url="http://localhost/v1", model="small")
    (tmp_path / "prompt.md").write_text("Be brief.\n")
    found = processor("model", beside=tmp_path, model=endpoint, prompt="@prompt.md")
    assert isinstance(found, ModelProcessor)
    assert found._prompt == "Be brief."
    (tmp_path / "latin.md").write_bytes(b"\xff")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "long.md").write_text("x" * 100_001)
    for name in ("none.md", "latin.md", "empty.md", "long.md", ""):
        with pytest.raises(SettingsError, match="prompt: "):
            processor("model", beside=tmp_path, model=endpoint, prompt=f"@{name}")
