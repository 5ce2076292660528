"""web/auth.py: who is calling."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import FormData
from structlog.testing import capture_logs
from yarl import URL

from core.errors import StoreUnavailable
from core.model import PersonId
from tests.web.reading import Seen
from tests.web.web_house import PAGE
from web.auth import SESSION, new_token, sign_in_link
from web.settings import WebSettings

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.web.web_house import House, Houses
    from tests.world import StoppedClock

NEEDS_IDENTITY = [
    ("GET", "/"),
    ("GET", "/inbox"),
    ("GET", "/tasks/{id}"),
    ("GET", "/stream/{id}"),
    ("GET", "/v1/tasks"),
    ("GET", "/v1/tasks/{id}"),
    ("GET", "/v1/tasks/{id}/events"),
    ("POST", "/submit"),
    ("POST", "/feedback/{id}"),
    ("POST", "/v1/tasks"),
    ("POST", "/v1/tasks/{id}/decisions"),
    ("POST", "/v1/tasks/{id}/cancel"),
]
NO_PROOFS = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Basic YW5hOmFuYQ=="},
    {"Authorization": "Bearer cs_\u00e4\u20ac"},
    {"Cookie": "countersign-0=nonsense"},
    {"Cookie": "countersign-0=a.99999999999.sig"},
    {"Cookie": "__Host-countersign=nonsense"},
    {"Cookie": ';;;==="""'},
]


@pytest.mark.parametrize(("method", "path"), NEEDS_IDENTITY)
async def test_without_identity_nothing_is_answered(house: House, method: str, path: str) -> None:
    task_id = await house.submitted()
    before = await house.tasks()
    for headers in NO_PROOFS:
        async with house.http.request(method, path.format(id=task_id), headers=headers) as answer:
            assert answer.status == 401, headers
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert "hello" not in await answer.text()
    assert await house.tasks() == before


@pytest.mark.parametrize(("method", "path"), NEEDS_IDENTITY)
async def test_an_unknown_task_is_no_secret_to_strangers(house: House, method: str, path: str) -> None:
    async with house.http.request(method, path.format(id="0" * 32)) as answer:
        assert answer.status == 401


async def test_a_token_speaks_for_its_person(house: House) -> None:
    async with house.http.post(
        "/v1/tasks", json={"input": "x", "submitter": "ben"}, headers=await house.bearer("ana")
    ) as answer:
        task = await answer.json()
    assert (task["submitter"], task["on_behalf_of"]) == ("ana", "ben")


async def test_nobody_submits_as_somebody_else_by_the_seed_s_call_either(house: House) -> None:
    """Ben could else approve what is his own."""
    body, ana = {"data": "x", "submitter": "ben"}, await house.bearer("ana")
    async with house.http.post("/submit", json=body, headers=ana) as answer:
        assert answer.status == 202
    (task,) = await house.tasks()
    assert (task.submitter, task.on_behalf_of) == ("ana", "ben")


async def test_tokens_are_long_random_and_kept_as_hashes(house: House) -> None:
    token, credential = new_token(PersonId("ana"), house.world.clock.now())
    assert len(token) >= 40
    assert token != new_token(PersonId("ana"), house.world.clock.now())[0]
    assert credential.token_hash == hashlib.sha256(token.encode()).hexdigest()
    assert token not in repr(credential)
    assert sign_in_link("https://c.example", token) == f"https://c.example/#token={token}"


async def test_a_revoked_token_is_dead_within_a_second(house: House, clock: StoppedClock) -> None:
    ana = await house.bearer("ana")
    browser = await house.signed_in("ana")

    async def statuses() -> list[int]:
        found = []
        for client, headers in ((house.http, ana), (browser, {})):
            async with client.get("/v1/tasks", headers=headers) as answer:
                found.append(answer.status)
        return found

    assert await statuses() == [200, 200]
    assert await house.world.store.revoke_credentials(PersonId("ana")) == 2
    clock.advance(seconds=1)
    assert await statuses() == [401, 401]


async def test_a_revoked_token_is_dead_within_a_second_whatever_the_clock_is_set_to(
    house: House, clock: StoppedClock
) -> None:
    """Set back by an hour, as by whoever puts a wrong clock right, it had kept both alive for that hour."""
    headers, browser = await house.bearer("ana"), await house.signed_in("ana")
    for _ in range(2):
        async with house.http.get("/v1/tasks", headers=headers) as answer:
            assert answer.status == 200
        async with browser.get("/v1/tasks") as answer:
            assert answer.status == 200
    await house.world.store.revoke_credentials(PersonId("ana"))
    clock.advance(hours=-1)
    clock.advance(seconds=1)
    async with house.http.get("/v1/tasks", headers=headers) as answer:
        assert answer.status == 401
    async with browser.get("/v1/tasks") as answer:
        assert answer.status == 401


async def test_a_believed_token_asks_the_store_once_a_second(house: House) -> None:
    ana = await house.bearer("ana")
    for _ in range(5):
        async with house.http.get("/v1/tasks", headers=ana) as answer:
            assert answer.status == 200
    assert house.store.calls["credential"] == 1


async def test_somebody_who_left_the_configuration_is_nobody(house: House) -> None:
    async with house.http.get("/v1/tasks", headers=await house.bearer("gone")) as answer:
        assert answer.status == 401
    async with house.http.post("/sign-in", json={"token": await house.token("gone")}) as answer:
        assert answer.status == 401


async def test_a_personal_link_becomes_a_session(house: House) -> None:
    browser = await house.signed_in("ana")
    cookie = next(iter(browser.cookie_jar))
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    async with browser.get("/", headers=PAGE) as page:
        assert "Ana Ruiz" in await page.text()
    async with browser.post("/sign-out", headers=PAGE, allow_redirects=False) as answer:
        assert answer.status == 303
    async with browser.get("/", headers=PAGE) as page:
        assert page.status == 401


def copied(browser: ClientSession) -> dict[str, str]:
    """The header that a copy of its cookie makes."""
    cookie = next(iter(browser.cookie_jar))
    return {"Cookie": f"{cookie.key}={cookie.value}"}


async def test_who_signs_out_ends_the_session_wherever_its_cookie_was_copied(
    houses: Houses, clock: StoppedClock
) -> None:
    """At another replica within the second for which it believes what it has asked."""
    here, there = await houses(), await houses(WebSettings(port=0))
    browser = await here.signed_in("ana")
    copy = copied(browser)
    for house in (here, there):
        async with house.http.get("/v1/tasks", headers=copy) as answer:
            assert answer.status == 200
    async with browser.post("/sign-out") as answer:
        assert answer.status == 204
    async with here.http.get("/v1/tasks", headers=copy) as answer:
        assert answer.status == 401
    clock.advance(seconds=1)
    async with there.http.get("/v1/tasks", headers=copy) as answer:
        assert answer.status == 401
    async with there.http.post("/sign-out", headers=copy) as answer:
        assert answer.status == 204, "twice is once"


async def test_an_ended_session_has_no_other_spelling(house: House, clock: StoppedClock) -> None:
    """The last character of a signature in base64 has bits that say nothing, and so has what follows it."""
    browser = await house.signed_in("ana")
    cookie = copied(browser)["Cookie"]
    last = chr(ord(cookie[-1]) + 1)
    spellings = [cookie + "=", cookie[:-1] + last, cookie]
    for spelling in spellings[:2]:
        async with house.http.get("/v1/tasks", headers={"Cookie": spelling}) as answer:
            assert answer.status == 200, "or this shows nothing"
    async with browser.post("/sign-out") as answer:
        assert answer.status == 204
    clock.advance(seconds=1)
    for spelling in spellings:
        async with house.http.get("/v1/tasks", headers={"Cookie": spelling}) as answer:
            assert answer.status == 401, spelling


async def test_signing_out_ends_nothing_else(house: House, clock: StoppedClock) -> None:
    """Not what the same person does elsewhere, by the same link."""
    token = await house.token("ana")
    one, other = await house.browser(), await house.browser()
    for browser in (one, other):
        async with browser.post("/sign-in", json={"token": token}) as answer:
            assert answer.status == 204
        clock.advance(seconds=1)
    async with one.post("/sign-out") as answer:
        assert answer.status == 204
    clock.advance(seconds=1)
    async with other.get("/v1/tasks") as answer:
        assert answer.status == 200
    async with house.http.get("/v1/tasks", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200
    assert await house.world.store.revoke_credentials(PersonId("ana")) == 1, "a session is no token"


async def test_nothing_is_kept_for_whoever_has_no_session(house: House) -> None:
    name = next(iter((await house.signed_in("ana")).cookie_jar)).key
    for value in ("", "nonsense", "a.1.b", "\udcff"):
        async with house.http.post("/sign-out", headers={"Cookie": f"{name}={value}"}) as answer:
            assert answer.status == 204
    assert "end_session" not in house.store.calls


async def test_a_session_that_cannot_be_ended_is_said_to_go_on(house: House) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("The database is away.")

    browser = await house.signed_in("ana")
    house.store.answers["end_session"] = away
    async with browser.post("/sign-out") as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (503, False)
    house.store.answers.clear()
    async with browser.get("/v1/tasks") as answer:
        assert answer.status == 200


async def test_behind_https_the_cookie_is_bound_to_the_host(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, public_url="https://c.example"))
    async with house.http.post("/sign-in", json={"token": await house.token("ana")}) as answer:
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-countersign=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


async def test_a_wrong_link_gets_no_session(house: House) -> None:
    for token in ("nonsense", "", "\u20ac", "x" * 600):
        async with house.http.post("/sign-in", json={"token": token}) as answer:
            assert answer.status in {401, 422}
            assert "Set-Cookie" not in answer.headers
    async with house.http.post("/sign-in", data={"token": "nonsense"}, headers=PAGE) as answer:
        assert answer.status == 401


FOREIGN = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\\\\evil.example",
    " //evil.example",
    "javascript:alert(1)",
    "inbox",
    "/a\r\nSet-Cookie: x=y",
    "/\u2044/evil.example",
    "/" + "x" * 10_000,
    "",
]


async def test_the_sign_in_form_leads_back_but_never_away(house: House) -> None:
    token = await house.token("ana")
    for asked, leads in [("/inbox?a=b", "/inbox?a=b"), *((path, "/") for path in FOREIGN)]:
        async with house.http.post(
            "/sign-in", data={"token": token, "next": asked}, headers=PAGE, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, leads)


@pytest.mark.parametrize("in_parts", [False, True])
async def test_a_wrong_token_does_not_forget_where_somebody_was_going(
    house: House, *, in_parts: bool
) -> None:
    """The form that is answered with leads there, as the first one did, and never away."""
    theirs = '/inbox?a="><b>&c=%C3%A4#here'
    for asked, leads in [(theirs, theirs), *((path, "/") for path in FOREIGN)]:
        fields = FormData(default_to_multipart=in_parts)
        fields.add_field("token", "nonsense")
        fields.add_field("next", asked)
        async with house.http.post("/sign-in", data=fields, headers=PAGE) as answer:
            assert answer.status == 401
            page = Seen(await answer.text())
        (field,) = [field for field in page.all("input") if field.get("name") == "next"]
        assert (field["value"], page.faults) == (leads, []), asked


async def test_a_token_that_can_be_none_is_refused_by_the_form_too(house: House) -> None:
    """Else whoever pasted too much, or nothing, would be left without it, and not led on."""
    for token in ({"token": "x" * 600}, {"token": ""}, {}):
        data = {**token, "next": "/inbox"}
        async with house.http.post("/sign-in", data=data, headers=PAGE) as answer:
            assert answer.status in {401, 422}
            page = Seen(await answer.text())
        assert [one.get("value") for one in page.all("input") if one.get("name") == "next"] == ["/inbox"]


async def test_the_address_of_the_sign_in_form_can_be_opened(house: House) -> None:
    """It stands in the address field after a wrong token."""
    async with house.http.get("/sign-in", headers=PAGE, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_a_broken_sign_in_form_is_refused_as_any_other(house: House) -> None:
    for body in (b"token=%ff&next=/inbox", b"next=/inbox", b"&" * 200):
        headers = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}
        async with house.http.post("/sign-in", data=body, headers=headers) as answer:
            assert answer.status in {400, 422}
    async with house.http.post(
        "/sign-in", json={"token": "nonsense", "next": "/inbox"}, headers=PAGE
    ) as answer:
        assert answer.status == 401


async def test_every_byte_of_a_session_matters(house: House) -> None:
    browser = await house.signed_in("ana")
    name, value = next((cookie.key, cookie.value) for cookie in browser.cookie_jar)
    for at in range(len(value)):
        forged = value[:at] + ("x" if value[at] != "x" else "y") + value[at + 1 :]
        async with house.http.get("/v1/tasks", headers={"Cookie": f"{name}={forged}"}) as answer:
            # The last character of base64 holds two bits that no byte uses.
            assert answer.status == 401 or at == len(value) - 1


async def test_a_session_ends_after_thirty_days_and_survives_a_restart(
    houses: Houses, clock: StoppedClock
) -> None:
    house = await houses()
    browser = await house.signed_in("ana")
    cookies = browser.cookie_jar.filter_cookies(URL(house.url))
    await house.server.close()
    await house.start(WebSettings(port=0))
    again = {"Cookie": cookies.output(header="", sep=";").strip()}
    async with house.http.get("/v1/tasks", headers=again) as answer:
        assert answer.status == 200
    clock.advance(days=30)
    async with house.http.get("/v1/tasks", headers=again) as answer:
        assert answer.status == 401


async def test_a_session_is_believed_no_moment_longer_than_it_lasts(
    house: House, clock: StoppedClock
) -> None:
    browser = await house.signed_in("ana")
    began = clock.now()
    for seconds_left, status in ((0.25, 200), (0, 401)):
        clock.advance(seconds=(began + SESSION - clock.now()).total_seconds() - seconds_left)
        async with browser.get("/v1/tasks") as answer:
            assert answer.status == status, seconds_left


async def test_what_else_this_server_signs_is_no_session(house: House) -> None:
    """The mark in our forms is made with the key of sessions, over the session of whoever reads it."""
    browser = await house.signed_in("ana")
    name, value = next((cookie.key, cookie.value) for cookie in browser.cookie_jar)
    async with browser.get("/", headers=PAGE) as page:
        token = (await page.text()).split('name="form_token" value="')[1].split('"')[0]
    for forged in (f"form {value}.{token}", f"{value}.{token}"):
        async with house.http.get("/v1/tasks", headers={"Cookie": f'{name}="{forged}"'}) as answer:
            assert answer.status == 401


async def test_a_session_is_good_where_the_key_is_kept_that_signed_it(houses: Houses) -> None:
    """A key that every installation had would open all of them."""
    one, other = await houses(), await houses()

    async def another_key(_name: str) -> bytes:
        return b"7" * 32

    other.store.answers["secret"] = another_key
    cookie = next(iter((await one.signed_in("ana")).cookie_jar))
    for house, status in ((one, 200), (other, 401)):
        headers = {"Cookie": f"{cookie.key}={cookie.value}"}
        async with house.http.get("/v1/tasks", headers=headers) as answer:
            assert answer.status == status


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "Bearer: ", ""])
async def test_a_token_counts_as_a_bearers_alone(house: House, scheme: str) -> None:
    """What another scheme carries was written for somebody else to read."""
    token = await house.token("ana")
    async with house.http.get("/v1/tasks", headers={"Authorization": f"{scheme}{token}"}) as answer:
        assert answer.status == 401


async def test_of_many_callers_no_more_are_remembered_than_there_is_room_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs in again and again would fill the memory: every session is a name of its own."""
    monkeypatch.setattr("web.auth.REMEMBERED", 2)
    browsers = [await house.signed_in("ana") for _ in range(3)]
    for browser in (*browsers, *browsers):
        async with browser.get("/v1/tasks") as answer:
            assert answer.status == 200
    assert house.store.calls["credential_by_id"] > len(browsers)


async def test_the_sign_in_page_stands_in_for_the_page_asked_for(house: House) -> None:
    async with house.http.get("/inbox?a=1", headers=PAGE) as page:
        text = await page.text()
    assert page.status == 401
    assert "countersign link" in text
    assert 'value="/inbox?a=1"' in text


async def test_tokens_are_never_logged(house: House) -> None:
    token = await house.token("ana")
    with capture_logs() as logs:
        async with house.http.post("/sign-in", json={"token": token}) as answer:
            assert answer.status == 204
        async with house.http.get("/nothing", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 404
    assert token not in str(logs)


async def test_open_mode_makes_everybody_the_local_person(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, auth="open"))
    async with house.http.post("/submit", json={"data": "x"}) as answer:
        task_id = (await answer.json())["task_id"]
    assert (await house.task(task_id)).submitter_name == "local (open)"
    browser = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    for attempt, (headers, via) in enumerate([({}, "api"), (browser, "web")], 1):
        review = await house.open_review(task_id, attempt)
        async with house.http.post(
            f"/feedback/{task_id}", json={"feedback": "rejected"}, headers=headers
        ) as answer:
            assert answer.status == 200
        decision = (await house.world.service.review(review)).decisions[0]
        assert (decision.via, decision.reviewer_name) == (via, "local (open)")


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto", "X-FORWARDED-ANYTHING"]
)
async def test_open_mode_takes_no_forwarded_requests(houses: Houses, name: str) -> None:
    house = await houses(WebSettings(port=0, auth="open"))
    for path in ("/", "/healthz", "/v1/tasks"):
        async with house.http.get(path, headers={name: "127.0.0.1"}) as answer:
            assert answer.status == 403
    async with house.http.get("/", headers={"X-Request-Id": "1"}) as answer:
        assert answer.status == 200


async def test_decisions_say_how_they_came(house: House) -> None:
    task_id = await house.submitted()
    first = await house.open_review(task_id)
    browser = await house.signed_in("ana")
    async with browser.post(f"/feedback/{task_id}", json={"feedback": "rejected"}) as answer:
        assert answer.status == 200
    second = await house.open_review(task_id, 2)
    async with house.http.post(
        f"/feedback/{task_id}", json={"feedback": "approved"}, headers=await house.bearer("ben")
    ) as answer:
        assert answer.status == 200
    reviews = [await house.world.service.review(one) for one in (first, second)]
    assert [review.decisions[0].via for review in reviews] == ["web", "api"]
