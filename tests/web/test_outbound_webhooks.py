"""web/hooks/outbound.py: signed notices, and what a receiver's answer means."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

from core.clock import SystemClock
from core.errors import DeliveryError, RateLimited, Undeliverable, Unreachable, Unwanted
from core.events import ReviewRequested, TaskCancelled, TaskCompleted, TaskFailed
from core.model import (
    ChannelName,
    Delivery,
    DeliveryId,
    DeliveryState,
    Notice,
    PersonId,
    Point,
    Recipient,
    ReviewId,
    Status,
    StoredEvent,
    Task,
    TaskId,
)
from tests.web.web_house import WHSEC
from tests.web.web_names import Answers
from web.hooks.addresses import CallbackGuard
from web.hooks.outbound import LARGEST, WebhookChannel, payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.events import Event
    from core.model import Json
    from core.ports import Channel


TASK = Task(
    id=TaskId("7" * 32),
    flow="draft",
    title="hello",
    status=Status.COMPLETED,
    outcome=None,
    attempt=1,
    review=None,
    input="hello",
    draft="hello there",
    final_result="hello there",
    error=None,
    submitter=PersonId("sam"),
    submitter_name="Sam Lee",
    on_behalf_of=None,
    callback_url="https://hooks.example/?secret=1",
    metadata={},
    created_at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
    updated_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
)


@dataclass
class Receiver:
    """Keeps what it was sent and answers as told."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    body: bytes = b"ok"

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@dataclass
class Line:
    channel: WebhookChannel
    receiver: Receiver
    url: str


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.receive)
    async with (
        TestServer(app) as server,
        WebhookChannel(
            secret=WHSEC,
            guard=CallbackGuard(["127.0.0.1"]),
            base_url="https://c.example",
            clock=SystemClock(),
        ) as channel,
    ):
        yield Line(channel, receiver, str(server.make_url("/hook?key=1")))


def notice(event: Event, **changes: Any) -> Notice:
    stored = StoredEvent(task=TASK.id, seq=7, at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC), event=event)
    return Notice(task=replace(TASK, **changes), event=stored)


def delivery(url: str) -> Delivery:
    return Delivery(
        id=DeliveryId("d" * 32),
        task=TaskId("t" * 32),
        review=None,
        event_seq=7,
        recipient=Recipient(channel=ChannelName("webhook"), address=url),
        state=DeliveryState.DUE,
        message=None,
        version=1,
        shown=0,
        tries=0,
        due_at=None,
        failing_since=None,
        error=None,
    )


COMPLETED = TaskCompleted(final_result="done", outcome="approved")
EVENTS: list[tuple[Event, str]] = [
    (ReviewRequested(review="r", attempt=1, draft="x"), "task.waiting_for_review"),
    (COMPLETED, "task.completed"),
    (TaskFailed(error="It broke."), "task.failed"),
    (TaskCancelled(by="sam"), "task.cancelled"),
]


def test_it_is_a_channel(line: Line) -> None:
    channel: Channel = line.channel
    assert channel.name == "webhook"
    assert channel.spacing(delivery(line.url).recipient, edits=False) == 0


@pytest.mark.parametrize(("event", "kind"), EVENTS, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_receiver_can_verify_what_it_gets(line: Line, event: Event, kind: str) -> None:
    await line.channel.post(delivery(line.url), notice(event), thread=None)
    ((headers, body),) = line.receiver.got
    Webhook(WHSEC).verify(body, headers)
    message = json.loads(body)
    assert message["type"] == kind
    assert message["timestamp"] == "2026-11-21T09:30:00Z"
    assert message["data"]["seq"] == 7
    assert message["data"]["url"].startswith("https://c.example/tasks/")
    assert {"task_id", "status", "attempt", "review_id", "final_result"} <= set(message["data"])


@pytest.mark.parametrize("length", [24, 25, 26, 64])
async def test_a_secret_with_or_without_padding_signs_the_same(line: Line, length: int) -> None:
    padded = "whsec_" + b64encode(b"k" * length).decode()
    for secret in (padded, padded.rstrip("=")):
        channel = WebhookChannel(
            secret=secret,
            guard=CallbackGuard(["127.0.0.1"]),
            base_url="https://c.example",
            clock=SystemClock(),
        )
        async with channel:
            await channel.post(delivery(line.url), notice(COMPLETED), thread=None)
    assert len(line.receiver.got) == 2
    for headers, body in line.receiver.got:
        for secret in (padded, padded.rstrip("=")):
            Webhook(secret).verify(body, headers)


async def test_a_retry_has_the_same_id_and_a_tampered_body_fails(line: Line) -> None:
    for _ in range(2):
        await line.channel.post(delivery(line.url), notice(COMPLETED), thread=None)
    assert [headers["webhook-id"] for headers, _ in line.receiver.got] == ["d" * 32] * 2
    headers, body = line.receiver.got[0]
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(WHSEC).verify(body + b" ", headers)


ANSWERS: list[tuple[int, dict[str, str], type[DeliveryError] | None]] = [
    (200, {}, None),
    (204, {}, None),
    (299, {}, None),
    (301, {"Location": "http://127.0.0.1:1/"}, Unreachable),
    (307, {"Location": "/elsewhere"}, Unreachable),
    (400, {}, Unreachable),
    (401, {}, Unreachable),
    (404, {}, Unreachable),
    (410, {}, Unwanted),
    (429, {}, Unreachable),
    (429, {"Retry-After": "7"}, RateLimited),
    (503, {"Retry-After": "7"}, RateLimited),
    (500, {"Retry-After": "7"}, Unreachable),
    (503, {"Retry-After": "soon"}, Unreachable),
    (500, {}, Unreachable),
]


@pytest.mark.parametrize(("status", "headers", "error"), ANSWERS)
async def test_what_an_answer_means(
    line: Line, status: int, headers: dict[str, str], error: type[DeliveryError] | None
) -> None:
    line.receiver.status, line.receiver.headers = status, headers
    if error is None:
        await line.channel.post(delivery(line.url), notice(COMPLETED), thread=None)
    else:
        with pytest.raises(error) as refused:
            await line.channel.post(delivery(line.url), notice(COMPLETED), thread=None)
        assert type(refused.value) is error
        assert "key=1" not in str(refused.value)
    assert len(line.receiver.got) == 1


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("999999999999", 86400, 86400),
        ("Fri, 01 Jan 2010 00:00:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86400, 86400),
    ],
)
async def test_retry_after_is_honoured_within_a_day(line: Line, header: str, least: int, most: int) -> None:
    line.receiver.status, line.receiver.headers = 429, {"Retry-After": header}
    with pytest.raises(RateLimited) as refused:
        await line.channel.post(delivery(line.url), notice(COMPLETED), thread=None)
    assert timedelta(seconds=least) <= refused.value.retry_after <= timedelta(seconds=most)
    assert not refused.value.whole_channel


async def test_a_large_answer_is_not_read(line: Line) -> None:
    line.receiver.body = b"x" * 3_000_000
    await line.channel.post(delivery(line.url), notice(COMPLETED), thread=None)


async def test_nobody_listening_is_unreachable(line: Line, unused_tcp_port: int) -> None:
    with pytest.raises(Unreachable) as refused:
        await line.channel.post(
            delivery(f"http://127.0.0.1:{unused_tcp_port}/?secret=1"), notice(COMPLETED), thread=None
        )
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
async def test_a_receiver_that_speaks_no_http_is_unreachable(line: Line, answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await line.channel.post(delivery(f"http://127.0.0.1:{port}/"), notice(COMPLETED), thread=None)


@pytest.mark.parametrize("url", ["http://127.0.0.2:9/", "https://10.0.0.1/", "http://hooks.example/", "x"])
async def test_the_guard_stands_at_delivery_too(line: Line, url: str) -> None:
    with pytest.raises(Undeliverable):
        await line.channel.post(delivery(url), notice(COMPLETED), thread=None)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:192.168.0.1"])
async def test_a_name_that_resolves_inward_is_undeliverable(address: str) -> None:
    channel = WebhookChannel(
        secret=WHSEC,
        guard=CallbackGuard(),
        base_url="https://c.example",
        clock=SystemClock(),
        resolver=Answers([address]),
    )
    async with channel:
        with pytest.raises(Undeliverable, match="internal"):
            await channel.post(delivery("https://hooks.example/"), notice(COMPLETED), thread=None)


LONG: list[dict[str, Json]] = [
    {"draft": "x" * 100_000},
    {"input": ["x" * 50_000] * 3, "draft": "y" * 30_000, "final_result": "z" * 30_000},
    {"metadata": {"a": "x" * 100_000}},
    {"error": "e" * 100_000, "title": "t" * 50_000},
    {"input": "\u20ac" * 10_000},
    dict.fromkeys(("input", "draft", "final_result", "error"), "\U0001f600" * 10_000),
    dict.fromkeys(("input", "draft", "final_result", "error", "title"), "\x01" * 10_000),
]


@pytest.mark.parametrize("changes", LONG, ids="+".join)
async def test_a_payload_stays_below_twenty_kilobytes_and_says_so(changes: dict[str, Any]) -> None:
    body = payload(notice(COMPLETED, **changes), base_url="https://c.example")
    assert len(body.encode()) < LARGEST
    data = json.loads(body)["data"]
    assert set(data["truncated"]) & set(changes)
    assert data["status"] in set(Status)


def test_a_notice_says_where_in_its_flow_the_task_waits() -> None:
    asked = ReviewRequested(review="r", attempt=1, draft="x", node="large", point="before")
    waits: dict[str, Any] = {"review": ReviewId("r"), "node": "large", "point": Point.BEFORE}
    data = json.loads(payload(notice(asked, **waits), base_url="https://c.example"))["data"]
    assert (data["review_id"], data["node"], data["point"]) == ("r", "large", "before")
    data = json.loads(payload(notice(COMPLETED, node="large"), base_url="https://c.example"))["data"]
    assert (data["review_id"], data["node"], data["point"]) == (None, None, None)


async def test_a_small_payload_is_whole() -> None:
    assert "truncated" not in payload(notice(COMPLETED), base_url="https://c.example")
