"""web/gate.py: which requests come in, and how every answer is dressed."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from core.errors import StoreUnavailable
from core.model import Status
from tests.web.web_house import PAGE
from web.gate import host_name
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from tests.web.web_house import House, Houses

FOREIGN_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "evil.example:80",
    "127.0.0.1.nip.io",
    "127.0.0.2",
    "[::1]",
    "localhost.",
    "notlocalhost",
    "",
    "user@localhost",
    "localhost@evil.example",
    "xn--lcalhost-9xa",
]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9999", "c.example"])
async def test_our_own_names_come_in(houses: Houses, host: str) -> None:
    house = await houses(WebSettings(port=0, public_url="https://c.example"))
    async with house.http.get("/healthz", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/", "/static/none", "/nothing", "/hooks/ci"])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_foreign_name_is_misdirected(house: House, host: str, path: str) -> None:
    async with house.http.get(path, headers={"Host": host}) as answer:
        assert answer.status == 421
        assert (await answer.json(content_type=None))["status"] == 421


async def test_a_request_without_host_is_misdirected(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert b" 421 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("header", "name"), [("A.b:80", "a.b"), ("[::1]:80", "::1"), ("[::1", "::1"), ("", ""), (":", "")]
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize("path", ["/", "/nothing", "/healthz", "/v1/tasks"])
async def test_every_answer_is_dressed(house: House, path: str) -> None:
    async with house.http.get(path, headers=PAGE) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Server"] == "countersign"
        is_page = answer.content_type == "text/html"
        assert answer.headers.get("Cross-Origin-Opener-Policy") == ("same-origin" if is_page else None)


async def test_pages_have_a_strict_content_security_policy(house: House) -> None:
    browser = await house.signed_in("ana")
    async with browser.get("/inbox", headers=PAGE) as answer:
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
        )
    assert policy["default-src"] == policy["form-action"] == "'self'"
    assert {policy[name] for name in ("object-src", "base-uri", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in str(policy)


async def test_unknown_addresses_and_methods(house: House) -> None:
    ana = await house.bearer("ana")
    async with house.http.get("/openapi.json", headers=ana) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
    for method, path in [
        ("DELETE", "/submit"),
        ("GET", "/submit"),
        ("PUT", "/v1/tasks"),
        ("HEAD", "/stream/a"),
    ]:
        async with house.http.request(method, path, headers=ana) as answer:
            assert answer.status == 405, (method, path)
            assert answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/docs", "/metrics", "/v1", "/static/../app.py", "/static/%2e%2e%2fapp.py"])
async def test_what_nobody_asked_for_is_not_there(house: House, path: str) -> None:
    async with house.http.get(path, headers=await house.bearer("ana")) as answer:
        assert answer.status == 404


FOREIGN_PAGES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Origin": "nonsense"},
]


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
@pytest.mark.parametrize("path", ["/submit", "/sign-out"])
async def test_other_sites_pages_post_nothing(house: House, headers: dict[str, str], path: str) -> None:
    browser = await house.signed_in("ana")
    async with browser.post(path, data={"data": "x"}, headers=headers) as answer:
        if path == "/sign-out" and headers == {"Origin": "null"}:
            return  # an old browser on plain http may sign out
        assert answer.status == 403
    assert not await house.tasks()


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
@pytest.mark.parametrize("method", ["DELETE", "PUT"])
async def test_other_sites_pages_change_nothing_by_any_method(
    house: House, headers: dict[str, str], method: str
) -> None:
    browser = await house.signed_in("ana")
    async with browser.request(method, "/v1/delegations/ana", json={}, headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
async def test_an_authorization_header_proves_nothing_in_open_mode(
    houses: Houses, headers: dict[str, str]
) -> None:
    house = await houses(WebSettings(port=0, auth="open"))
    dressed = {**headers, "Authorization": "Bearer nonsense"}
    async with house.http.post("/submit", data={"data": "x"}, headers=dressed) as answer:
        assert answer.status == 403
    assert not await house.tasks()


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
async def test_other_sites_pages_post_nothing_with_a_token_either(
    house: House, headers: dict[str, str]
) -> None:
    dressed = {**headers, **await house.bearer("ana")}
    async with house.http.post("/submit", json={"data": "x"}, headers=dressed) as answer:
        assert answer.status == 403
    assert not await house.tasks()


async def test_our_own_pages_post(house: House) -> None:
    browser = await house.signed_in("ana")
    own = [{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": house.url}, {}]
    for headers in own:
        async with browser.post("/submit", data={"data": "x"}, headers=headers) as answer:
            assert answer.status == 202, headers


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("c.example", "https://c.example", 202),
        ("c.example", "HTTPS://C.EXAMPLE", 202),
        ("c.example", "http://c.example", 403),
        ("c.example:80", "http://c.example:80", 403),
        ("c.example", "https://c.example:444", 403),
        ("c.example", "https://c.example.evil.example", 403),
        ("localhost:8080", "http://localhost:8080", 202),
    ],
)
async def test_behind_https_the_same_name_without_it_is_another_site(
    houses: Houses, host: str, origin: str, status: int
) -> None:
    """Whoever sits on the line serves pages under it; on this machine, past the proxy, nobody does."""
    house = await houses(WebSettings(port=0, public_url="https://c.example"))
    headers = {"Host": host, "Origin": origin, **await house.bearer("ana")}
    async with house.http.post("/submit", json={"data": "x"}, headers=headers) as answer:
        assert answer.status == status


async def form_token(browser: ClientSession) -> str:
    async with browser.get("/", headers=PAGE) as page:
        token = (await page.text()).split('name="form_token" value="')[1].split('"')[0]
    assert token
    return token


async def test_a_form_of_another_session_is_none_of_ours(house: House) -> None:
    """Whoever has a session of their own could else make others' browsers post."""
    theirs = await form_token(await house.signed_in("ana"))
    browser = await house.signed_in("ben")
    for token, status in ((theirs, 403), (await form_token(browser), 202)):
        data = {"data": "x", "form_token": token}
        async with browser.post("/submit", data=data, headers={"Origin": "null"}) as answer:
            assert answer.status == status


async def test_a_form_token_stands_in_where_a_browser_says_no_origin(house: House) -> None:
    browser = await house.signed_in("ana")
    token = await form_token(browser)
    for form, status in [({"form_token": token}, 202), ({"form_token": token + "x"}, 403), ({}, 403)]:
        async with browser.post("/submit", data={"data": "x", **form}, headers={"Origin": "null"}) as answer:
            assert answer.status == status


async def test_a_body_over_one_mebibyte_is_too_large(house: House) -> None:
    ana = await house.bearer("ana")
    task_id = await house.submitted()
    paths = ("/submit", "/v1/tasks", f"/v1/tasks/{task_id}/cancel", "/sign-out", "/away/end")
    for path in paths:
        for body in (BytesIO(b"x" * (1024 * 1024 + 1)), in_pieces(1024 * 1024 + 1)):
            async with house.http.post(path, data=body, headers=ana) as answer:
                assert answer.status == 413
                assert (await answer.json(content_type=None))["type"].endswith(":too-large")
    assert (await house.task(task_id)).status is Status.WAITING_FOR_REVIEW


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(0, size, 64 * 1024):
        yield b"x" * 64 * 1024


async def test_a_body_that_nobody_reads_may_come_in_pieces(house: House) -> None:
    task_id = await house.submitted()
    path, sam = f"/v1/tasks/{task_id}/cancel", await house.bearer("sam")
    async with house.http.post(path, data=in_pieces(64 * 1024), headers=sam) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "cancelled")


async def test_a_fault_of_ours_is_a_problem_without_a_traceback(house: House) -> None:
    house.service.fault = RuntimeError("the secret inside")
    with capture_logs() as logs:
        async with house.http.get(f"/v1/tasks/{'a' * 32}", headers=await house.bearer("ana")) as answer:
            assert answer.status == 500
            text = await answer.text()
    assert "secret" not in text
    assert "Traceback" not in text
    assert logs[0]["event"] == "request_failed"


async def test_a_fault_of_ours_in_an_answer_that_has_begun_cuts_it_off(houses: Houses) -> None:
    """Another answer inside it would be taken for the rest of its text."""

    async def broken(request: web.Request) -> web.StreamResponse:
        begun = web.StreamResponse()
        await begun.prepare(request)
        await begun.write(b"the first half")
        raise RuntimeError("the secret inside")

    house = await houses(extra_routes=[web.get("/broken", broken)], public_paths={"/broken"})
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /broken HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert b" 200 " in head
    assert body == b"e\r\nthe first half\r\n"


async def test_an_unavailable_store_says_when_to_come_back(house: House) -> None:
    house.service.fault = StoreUnavailable("The disk is full.")
    async with house.http.post("/submit", json={"data": "x"}, headers=await house.bearer("ana")) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
    house.service.fault = None
    async with house.http.post("/submit", json={"data": "x"}, headers=await house.bearer("ana")) as answer:
        assert answer.status == 202


async def test_probes(house: House) -> None:
    async with house.http.get("/healthz") as answer:
        assert await answer.json() == {"status": "ok"}
    async with house.http.get("/readyz") as answer:
        assert answer.status == 200
    house.store.fault = StoreUnavailable("locked")
    async with house.http.get("/readyz") as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers


async def test_machines_are_named_to_whoever_signs_in(house: House) -> None:
    async def warnings(*, named: bool) -> list[str]:
        return ["web-1:7 differs" if named else "one differs"]

    house.store.answers["warnings"] = warnings
    for headers, said in (
        ({}, "one differs"),
        ({"Authorization": "Bearer cs_nobody"}, "one differs"),
        (await house.bearer("ana"), "web-1:7 differs"),
    ):
        async with house.http.get("/readyz", headers=headers) as answer:
            assert (answer.status, (await answer.json())["warnings"]) == (200, [said])


async def test_refusals_are_logged_as_facts_without_the_body(house: House) -> None:
    with capture_logs() as logs:
        async with house.http.post("/submit", json={"data": ""}, headers=await house.bearer("ana")) as answer:
            assert answer.status == 422
        async with house.http.post("/submit", json={"data": "the secret text"}) as answer:
            assert answer.status == 401
        async with house.http.get("/?token=the+secret+text") as answer:
            assert answer.status == 401
    assert {entry["event"] for entry in logs} == {"request_refused"}
    assert "secret" not in str(logs)


async def test_chat_callbacks_prove_themselves_otherwise(houses: Houses) -> None:
    async def callback(request: web.Request) -> web.Response:
        return web.Response(text=await request.text())

    routes = [web.post("/slack/events", callback), web.get("/demo", callback)]
    house = await houses(extra_routes=routes, public_paths={"/slack/events"})
    foreign = {"Origin": "https://slack.example"}
    async with house.http.post("/slack/events", data=b"hi", headers=foreign) as answer:
        assert (answer.status, await answer.text()) == (200, "hi")
    async with house.http.get("/demo") as answer:
        assert answer.status == 401
