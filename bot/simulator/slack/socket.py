"""Socket Mode: WebSocket connections that the app opens, and the envelopes that go over them."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from aiohttp import WSMsgType, web

from bot.simulator.slack.delivery import Answer, Delivery, Failure, Kind
from bot.simulator.slack.limits import ACK_SECONDS, SOCKETS

if TYPE_CHECKING:
    from bot.simulator.slack.method import Args
    from bot.simulator.slack.model import Body
    from bot.simulator.slack.workspace import Workspace

Reason: TypeAlias = Literal["warning", "refresh_requested", "too_many_websockets", "link_disabled"]
HOST = "applink-simulated"
CONNECTION_SECONDS = 18_060
"""`approximate_connection_time` of a hello, as slack_sdk's own mock server has it."""
CLOSING_SECONDS = 0.1
"""How long we wait for the app's half of a close."""


@dataclass(slots=True, eq=False)
class Connection:
    """One open socket, and the envelopes sent over it that are not acknowledged yet."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    waiting: dict[str, Delivery] = field(default_factory=dict)


class SocketMode:
    """Each delivery goes to one of the open connections in turn; with none open, it waits for one."""

    def __init__(self, workspace: Workspace, *, ack_seconds: float = ACK_SECONDS) -> None:
        self.ack_seconds = ack_seconds
        self.connections: list[Connection] = []
        self._workspace = workspace
        self._tickets: set[str] = set()
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._is_open = asyncio.Event()
        self.cut_next = 0
        """So many of the next connections are dropped before they are open; their URLs are used up."""

    def open_ticket(self, workspace: Workspace, _: Args) -> Body:
        """apps.connections.open: a URL that can be used once."""
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        base_url = workspace.base_url.replace("http://", "ws://")
        return {"url": f"{base_url}/link/?ticket={ticket}&app_id={workspace.app_id}"}

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection until it closes."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPForbidden(text="this simulated Socket Mode URL was used, or never issued")
        self._tickets.discard(ticket)
        if self.cut_next and request.transport is not None:
            self.cut_next -= 1
            request.transport.abort()
        socket = web.WebSocketResponse(timeout=CLOSING_SECONDS)
        await socket.prepare(request)
        if len(self.connections) >= SOCKETS:
            await socket.send_json(_disconnect("too_many_websockets"))
            await socket.close()
            return socket
        if request.transport is not None:
            await self._serve(Connection(socket, request.transport))
        return socket

    async def send(self, delivery: Delivery) -> Answer:
        if delivery.forged is not None:
            raise ValueError("a forged delivery makes sense over HTTP only: Socket Mode has no signatures")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        envelope_id = _envelope_id()
        future = self._answers[envelope_id] = loop.create_future()
        try:
            async with asyncio.timeout(self.ack_seconds):
                await self._hand_over(envelope_id, delivery)
                answer = await future
        except TimeoutError:
            answer = Answer(failure=Failure.TIMEOUT)
        finally:
            self._forget(envelope_id)
        return Answer(
            status=answer.status, body=answer.body, seconds=loop.time() - begun, failure=answer.failure
        )

    async def disconnect(self, reason: Reason, count: int | None = None) -> None:
        """Tell so many connections to go, or every one; all but a warned one are closed at once, as Slack
        does it."""
        for connection in tuple(self.connections[:count]):
            await connection.socket.send_json(_disconnect(reason))
            if reason != "warning":
                await connection.socket.close()

    def cut(self) -> None:
        """Drop every connection without a word."""
        for connection in tuple(self.connections):
            connection.transport.abort()

    async def close(self) -> None:
        await asyncio.gather(*(connection.socket.close() for connection in tuple(self.connections)))

    async def _serve(self, connection: Connection) -> None:
        await connection.socket.send_json(self._hello())
        self.connections.append(connection)
        try:
            self._is_open.set()
            self._workspace.tell("connected")
            async for message in connection.socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledge(message.data)
        finally:
            self._lost(connection)

    def _lost(self, connection: Connection) -> None:
        """Events on a lost connection fail at once, to be redelivered; a press may be answered on another."""
        self.connections.remove(connection)
        if not self.connections:
            self._is_open.clear()
        for envelope_id, delivery in connection.waiting.items():
            future = self._answers.get(envelope_id)
            if delivery.kind is Kind.EVENT and future is not None and not future.done():
                future.set_result(Answer(failure=Failure.CONNECTION))
        self._workspace.tell("disconnected")

    async def _hand_over(self, envelope_id: str, delivery: Delivery) -> None:
        while True:
            await self._is_open.wait()
            connection = self.connections.pop(0)
            self.connections.append(connection)
            connection.waiting[envelope_id] = delivery
            try:
                await connection.socket.send_json(_envelope(envelope_id, delivery))
            except ConnectionError:
                connection.waiting.pop(envelope_id)
                await asyncio.sleep(0)  # its handler takes it off the list
            else:
                return

    def _acknowledge(self, text: str) -> None:
        """Slack ignores what is no acknowledgement, or one that it knows nothing of."""
        try:
            said = json.loads(text)
        except ValueError:
            return
        future = self._answers.get(said.get("envelope_id", "")) if isinstance(said, dict) else None
        if future is not None and not future.done():
            future.set_result(Answer(status=200, body=said.get("payload") or None))

    def _forget(self, envelope_id: str) -> None:
        del self._answers[envelope_id]
        for connection in self.connections:
            connection.waiting.pop(envelope_id, None)

    def _hello(self) -> Body:
        return {
            "type": "hello",
            "num_connections": len(self.connections) + 1,
            "connection_info": {"app_id": self._workspace.app_id},
            "debug_info": {
                "host": HOST,
                "build_number": 1,
                "approximate_connection_time": CONNECTION_SECONDS,
            },
        }


def _disconnect(reason: Reason) -> Body:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}}


def _envelope(envelope_id: str, delivery: Delivery) -> Body:
    envelope: Body = {
        "envelope_id": envelope_id,
        "type": delivery.kind.value,
        "payload": delivery.payload,
        "accepts_response_payload": delivery.accepts_payload,
    }
    if delivery.kind is Kind.EVENT:
        reason = "timeout" if delivery.retry_reason is Failure.TIMEOUT else delivery.retry_reason
        envelope |= {"retry_attempt": delivery.retry, "retry_reason": reason or ""}
    return envelope


def _envelope_id() -> str:
    parts = [secrets.token_hex(size) for size in (4, 2, 2, 2, 6)]
    return "-".join(parts)
