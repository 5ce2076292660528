"""web/hooks/inbound.py: signed JSON becomes a task, anything else nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from core.errors import Invalid, SettingsError
from tests.web.web_house import WHSEC
from web.hooks.inbound import Hook, picked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.web.web_house import House, Houses

SECRET = "a shared secret"
HOOKS = {
    hook.name: hook
    for hook in (
        Hook(name="ci", scheme="standard", secret=WHSEC, input="build.summary"),
        Hook(name="gh", scheme="github", secret=SECRET, input="commits.0.message"),
        Hook(name="bot", scheme="bearer", secret=SECRET),
        Hook(name="refunds", scheme="bearer", secret=SECRET, flow="nonsense"),
    )
}
BODY = json.dumps({"build": {"summary": "2 tests failed"}, "commits": [{"message": "Fix it"}]}).encode()


@pytest.fixture
async def house(houses: Houses) -> House:
    return await houses(hooks=HOOKS)


def standard(
    body: bytes = BODY, *, at: datetime | None = None, secret: str = WHSEC, named: str = "msg_1"
) -> dict[str, str]:
    moment = at or datetime.now(UTC)  # the library compares with the real clock
    return {
        "webhook-id": named,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(named, moment, body.decode()),
    }


def github(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push"}


BEARER = {"Authorization": f"Bearer {SECRET}", "Idempotency-Key": "k-1"}


async def sent(
    house: House, name: str, headers: dict[str, str], body: bytes = BODY
) -> tuple[int, dict[str, Any]]:
    async with house.http.post(f"/hooks/{name}", data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("name", ["ci", "gh", "bot"])
async def test_a_messages_id_is_a_plain_word(house: House, name: str) -> None:
    header = {"ci": "webhook-id", "gh": "X-GitHub-Delivery", "bot": "Idempotency-Key"}[name]
    for value in ("m\u00fcller", "a\tb", "x" * 201):
        signed = {"ci": standard(named=value), "gh": github(), "bot": BEARER}[name]
        assert (await sent(house, name, {**signed, header: value}))[0] == 422, ascii(value)
    assert not await house.tasks()


async def test_a_messages_id_that_is_no_text_is_no_fault_of_ours(house: House) -> None:
    """It could not be stored; aiohttp's own client could not even send it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    head = f"POST /hooks/bot HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SECRET}\r\n".encode()
    writer.write(head + b"Idempotency-Key: \xff\r\nContent-Length: 2\r\n\r\n{}")
    assert b" 422 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert not await house.tasks()


async def test_each_scheme_makes_a_task_once(house: House) -> None:
    wanted: list[tuple[str, dict[str, str], Any]] = [
        ("ci", standard(), "2 tests failed"),
        ("gh", github(), "Fix it"),
        ("bot", BEARER, json.loads(BODY)),
    ]
    for name, headers, text in wanted:
        status, body = await sent(house, name, headers)
        assert status == 202
        task = await house.task(body["task_id"])
        assert task.input == text
        assert task.submitter == f"hook:{name}"
        assert (await sent(house, name, headers))[1] == body
    assert len(await house.tasks()) == 3


async def test_who_signs_like_github_and_names_messages_otherwise_makes_a_task_once(house: House) -> None:
    headers = github() | {"Idempotency-Key": "k-1"}
    del headers["X-GitHub-Delivery"]
    (_, first), (_, again) = [await sent(house, "gh", headers) for _ in range(2)]
    assert first == again
    assert len(await house.tasks()) == 1


@pytest.mark.parametrize("length", [24, 25, 26])
async def test_a_standard_secret_may_be_padded_or_not(houses: Houses, length: int) -> None:
    padded = "whsec_" + b64encode(b"k" * length).decode()
    hooks = {
        name: Hook(name=name, scheme="standard", secret=secret)
        for name, secret in {"padded": padded, "bare": padded.rstrip("=")}.items()
    }
    house = await houses(hooks=hooks)
    for name in hooks:
        assert (await sent(house, name, standard(secret=padded)))[0] == 202


async def test_the_same_id_with_another_body_is_refused(house: House) -> None:
    assert (await sent(house, "bot", BEARER, b'"a"'))[0] == 202
    assert (await sent(house, "bot", BEARER, b'"b"'))[0] == 422


async def test_without_an_id_each_message_is_a_task(house: House) -> None:
    for _ in range(2):
        assert (await sent(house, "bot", {"Authorization": f"Bearer {SECRET}"}))[0] == 202
    assert len(await house.tasks()) == 2


FORGED: dict[str, tuple[str, Callable[[], dict[str, str]]]] = {
    "nothing": ("ci", dict),
    "no id": ("ci", lambda: {key: value for key, value in standard().items() if key != "webhook-id"}),
    "empty signature": ("ci", lambda: {**standard(), "webhook-signature": ""}),
    "no version": ("ci", lambda: {**standard(), "webhook-signature": "abc"}),
    "other version": ("ci", lambda: {**standard(), "webhook-signature": "v2,abc"}),
    "not base64": ("ci", lambda: {**standard(), "webhook-signature": "v1,a"}),
    "many commas": ("ci", lambda: {**standard(), "webhook-signature": "v1,a,b,c"}),
    "not ascii": ("ci", lambda: {**standard(), "webhook-signature": "v1,\u00e4\u20ac"}),
    "id not ascii": ("ci", lambda: {**standard(), "webhook-id": "\u20ac"}),
    "time is a word": ("ci", lambda: {**standard(), "webhook-timestamp": "now"}),
    "time is nan": ("ci", lambda: {**standard(), "webhook-timestamp": "nan"}),
    "time is endless": ("ci", lambda: {**standard(), "webhook-timestamp": "1e400"}),
    "too old": ("ci", lambda: standard(at=datetime.now(UTC) - timedelta(minutes=6))),
    "too new": ("ci", lambda: standard(at=datetime.now(UTC) + timedelta(minutes=6))),
    "other secret": ("ci", lambda: standard(secret="whsec_" + "QUJD" * 10)),
    "other body": ("ci", lambda: standard(b"{}")),
    "github for standard": ("ci", github),
    "no signature": ("gh", dict),
    "sha1": ("gh", lambda: {"X-Hub-Signature": github()["X-Hub-Signature-256"]}),
    "github other secret": ("gh", lambda: github(secret="other")),
    "github other body": ("gh", lambda: github(b"{}")),
    "github upper case": ("gh", lambda: {"X-Hub-Signature-256": github()["X-Hub-Signature-256"].upper()}),
    "github cut": ("gh", lambda: {"X-Hub-Signature-256": github()["X-Hub-Signature-256"][:-1]}),
    "github not ascii": ("gh", lambda: {"X-Hub-Signature-256": "sha256=\u20ac"}),
    "unsigned ping": ("gh", lambda: {"X-GitHub-Event": "ping"}),
    "no bearer": ("bot", dict),
    "wrong bearer": ("bot", lambda: {"Authorization": "Bearer wrong"}),
    "bare secret": ("bot", lambda: {"Authorization": SECRET}),
    "not ascii bearer": ("bot", lambda: {"Authorization": "Bearer \u20ac"}),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_message_is_refused_without_its_body(house: House, name: str) -> None:
    hook, made = FORGED[name]
    with capture_logs() as logs:
        # Made now: the library compares their time with the real clock.
        status, problem = await sent(house, hook, made())
    assert (status, problem["status"]) == (401, 401)
    assert not await house.tasks()
    assert "tests failed" not in str(logs)
    assert SECRET not in str(logs)


async def test_a_body_that_is_not_utf_8_is_no_message(house: House) -> None:
    assert (await sent(house, "ci", standard(), b"\xff\xfe"))[0] == 401


WRONG_BODIES = {
    "empty": (b"", 400),
    "not json": (b"nonsense", 400),
    "deep": (b"[" * 100_000, 400),
    "nan": (b"NaN", 400),
    "nul": (b'"a\\u0000b"', 422),
    "null": (b"null", 422),
    "blank": (b'" "', 422),
    "surrogate": (b'"\\ud800"', 400),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
async def test_a_proven_but_wrong_body_is_refused(house: House, name: str) -> None:
    body, wanted = WRONG_BODIES[name]
    assert (await sent(house, "bot", BEARER, body))[0] == wanted


async def test_a_body_without_the_input_is_refused_with_the_path(house: House) -> None:
    status, problem = await sent(house, "gh", github(b"{}"), b"{}")
    assert status == 422
    assert "commits.0.message" in problem["detail"]


async def test_github_s_ping_is_answered(house: House) -> None:
    headers = {**github(b"{}"), "X-GitHub-Event": "ping"}
    assert await sent(house, "gh", headers, b"{}") == (200, {"message": "pong"})
    assert not await house.tasks()


async def test_unknown_hooks_and_flows(house: House) -> None:
    assert (await sent(house, "nonsense", BEARER))[0] == 404
    assert (await sent(house, "refunds", BEARER))[0] == 422


@pytest.mark.parametrize(
    ("path", "found"), [(None, {"a": [{"b": 1}]}), ("a", [{"b": 1}]), ("a.0", {"b": 1}), ("a.0.b", 1)]
)
def test_paths(path: str | None, found: object) -> None:
    assert picked({"a": [{"b": 1}]}, path) == found


@pytest.mark.parametrize("path", ["b", "a.1", "a.-1", "a.x", "a.0.b.c", "a.9999999"])
def test_a_path_that_leads_nowhere_is_said(path: str) -> None:
    with pytest.raises(Invalid, match=f"nothing at `{path}`"):
        picked({"a": [{"b": 1}]}, path)


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        ("standard", ""),
        ("standard", "whsec_"),
        ("standard", "whsec_a"),
        ("standard", "whsec_not base64!"),
        ("bearer", ""),
    ],
)
def test_a_hook_without_a_proper_secret_stops_the_start(scheme: Any, secret: str) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.ci"):
        Hook(name="ci", scheme=scheme, secret=secret)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(HOOKS)
