"""A task's events as Server-Sent Events: replayed from what is stored, then live."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from core.codec import encode
from core.errors import CountersignError
from core.events import (
    AttemptStarted,
    NodeFinished,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskResumed,
    TaskRewound,
    TaskSubmitted,
    kind,
)
from core.jsontext import to_ascii_json
from core.model import timestamp
from web.auth import CALLER
from web.parameters import is_live, known_id, last_event_id
from web.problems import HttpRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from core.model import Json, PersonId, Piece, StoredEvent, TaskId
    from core.service import Service
    from web.auth import Callers
    from web.closing import Closing
    from web.pings import Pings
    from web.settings import WebSettings

log = structlog.get_logger(__name__)

SEND_SECONDS = 30
"""After so long without a sign from the other machine, the kernel gives a connection up (where it can)."""

LONGEST_RESULT = 64 * 1024
"""Characters of JSON that a node's intermediate result takes in a message."""

MOST_AT_ONCE = 64 * 1024
"""Bytes of messages that are sent together, or one message that is longer."""

Message = tuple[str | None, str]
"""An SSE message's event name (None for the unnamed ones) and its data: ASCII JSON, hence one line."""

_STATUS: Mapping[type, Callable[[str, Any], dict[str, Json]]] = {
    TaskSubmitted: lambda task, _: {"status": "pending", "task_id": task},
    AttemptStarted: lambda _, event: {"status": "running", "attempt": event.attempt},
    TaskResumed: lambda _, event: {"status": "running", "attempt": event.attempt},
    TaskRewound: lambda _, event: {"status": "running", "attempt": event.attempt},
    ReviewRequested: lambda _, event: {
        "status": "waiting_for_review",
        "output_to_review": event.draft,
        "attempt": event.attempt,
        "review_id": event.review,
    },
    TaskCompleted: lambda _, event: {
        "status": "completed",
        "final_result": event.final_result,
        "outcome": event.outcome,
    },
    TaskFailed: lambda _, event: {"status": "failed", "error": event.error},
    TaskCancelled: lambda _, _event: {"status": "cancelled"},
}


def framed(message: Message, seq: int) -> bytes:
    """The message on the wire.

    The library's `send` also splits lines and starts a timer for each message, which was measured to be half
    of a message's cost; our data has no line ends, and `Pings` looks after readers who are stuck.
    """
    name, data = message
    event = f"event: {name}\n" if name else ""
    return f"id: {seq}\n{event}data: {data}\n\n".encode()


Shape = Callable[["StoredEvent"], Awaitable[Message | None]]


def status_message(stored: StoredEvent) -> Message | None:
    """What `/stream` says of an event; None where the visible status stays as it was."""
    shape = _STATUS.get(type(stored.event))
    return (None, to_ascii_json(shape(stored.task, stored.event))) if shape else None


def named_message(stored: StoredEvent, more: Mapping[str, Json]) -> Message:
    """What `/v1/tasks/{id}/events` says: every event, under its stored name."""
    data = {"task_id": stored.task, "seq": stored.seq, "at": timestamp(stored.at), **encode(stored.event)}
    return kind(stored.event), to_ascii_json({**data, **more})


def intermediate_result(changes: Mapping[str, tuple[Json, Json]]) -> dict[str, Json]:
    """What a node left in the state, as far as it fits into a message; else `truncated`."""
    changed: dict[str, Json] = {}
    left = LONGEST_RESULT
    for key, (_, now) in changes.items():
        size = len(to_ascii_json({key: now}))
        if size <= left:
            changed[key] = now
            left -= size
    return {"changed": changed} if len(changed) == len(changes) else {"changed": changed, "truncated": True}


class Streams:
    """The two event streams, and how many of them are open."""

    def __init__(
        self,
        *,
        service: Service,
        callers: Callers,
        closing: Closing,
        pings: Pings,
        settings: WebSettings,
    ) -> None:
        self._service = service
        self._callers = callers
        self._closing = closing
        self._pings = pings
        self._settings = settings
        self._open: Counter[PersonId] = Counter()

    def routes(self) -> list[web.RouteDef]:
        statuses, named = partial(self.stream, self._status), partial(self.stream, self._named)
        return [
            web.get("/stream/{task_id}", statuses, allow_head=False),
            web.get("/v1/tasks/{task_id}/events", named, allow_head=False),
        ]

    @property
    def readers(self) -> int:
        """Streams that are open."""
        return self._open.total()

    async def stream(self, shape: Shape, request: web.Request) -> web.StreamResponse:
        """Everything after `Last-Event-ID`, then live; 204 where nothing is left to come."""
        task_id, after = known_id(request), last_event_id(request)
        if await self._is_over(task_id, after):
            return web.Response(status=204)
        person = request[CALLER].person
        self._take_place(person)
        try:
            return await self._send_all(request, task_id, after, shape)
        finally:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]

    async def _status(self, stored: StoredEvent) -> Message | None:
        return status_message(stored)

    async def _named(self, stored: StoredEvent) -> Message:
        if not isinstance(stored.event, NodeFinished):
            return named_message(stored, {})
        # Read only now: a state may be large, and most readers of the feed have no use for it.
        found = await self._service.checkpoints.one(stored.task, stored.event.checkpoint)
        return named_message(stored, intermediate_result(found.changes))

    async def _is_over(self, task_id: TaskId, after: int) -> bool:
        """True where a reader who saw `after` has seen the end; raises `NotFound`.

        A function of its own, so that no task is kept in memory while its stream is open.
        """
        if not after:
            return False
        task = await self._service.task(task_id)
        if not task.status.is_final:
            return False
        # The first alone: somebody may resume the task just now, and its next end be days away.
        events = self._service.follow(task_id, after=after)
        try:
            return await anext(events, None) is None
        finally:
            await events.aclose()

    def _take_place(self, person: PersonId) -> None:
        if self._open[person] >= self._settings.max_streams_per_person:
            raise HttpRefusal(429, "Too many streams", "You have too many open streams.", headers=_SOON)
        if self._open.total() >= self._settings.max_streams:
            raise HttpRefusal(503, "Too many streams", "Too many streams are open.", headers=_SOON)
        self._open[person] += 1

    async def _send_all(
        self, request: web.Request, task_id: TaskId, after: int, shape: Shape
    ) -> web.StreamResponse:
        pieces = self._service.follow_in_pieces(task_id, after=after, live=is_live(request))
        try:
            # Where there is no such task, the first piece says so before anything is sent. It has no name
            # here: it would be kept for as long as the stream is open, drafts and all.
            return await self._send(request, None if after else await anext(pieces), pieces, shape)
        finally:
            await pieces.aclose()

    async def _send(
        self,
        request: web.Request,
        first: Piece | None,
        pieces: AsyncIterator[Piece],
        shape: Shape,
    ) -> web.StreamResponse:
        response = _Response(sep="\n", send_timeout=None)
        scope = asyncio.timeout(None)
        try:
            transport = _transport(request)
            _limit_silence(transport)
            writer = await response.prepare(request)
            if first is None and writer is not None:
                writer.send_headers()  # else they would wait for the next message, which may be days away
            async with scope:
                self._closing.enter(scope)
                self._pings.join(scope, response, transport)
                if first is not None:
                    await self._write(request, response, first, shape)
                del first
                async for piece in pieces:
                    await self._write(request, response, piece, shape)
                    del piece  # a draft may be large, and the next event days away
        except (ConnectionResetError, TimeoutError):
            pass  # the reader went away or is stuck, or the server stops
        except CountersignError as error:
            task_id = request.match_info["task_id"]
            log.info("stream_ended", task_id=task_id, reason=type(error).__name__)
        finally:
            self._pings.leave(scope)
            self._closing.leave(scope)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, piece: Piece, shape: Shape
    ) -> None:
        """In as few packets as there can be: sending one costs as much as all that is done for a message."""
        ready: list[bytes] = []
        size = 0
        for stored in piece.events:
            message = await shape(stored)
            if message is None:
                continue
            ready.append(framed(message, stored.seq))
            size += len(ready[-1])
            if size > MOST_AT_ONCE:
                await self._callers.caller(request)
                await response.write(b"".join(ready))
                ready.clear()
                size = 0
        if ready:
            await self._callers.caller(request)  # a session may have died since the last message
        if piece.is_last:
            await response.write_eof(b"".join(ready))
        elif ready:
            await response.write(b"".join(ready))


class _Response(EventSourceResponse):
    """Without the task that the library starts for each stream to ping it: `Pings` has one for all."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return await web.StreamResponse.prepare(self, request)


def _limit_silence(transport: asyncio.Transport) -> None:
    """As the library's `send_timeout`, which also reads the limit before and puts it back at the end."""
    found = transport.get_extra_info("socket")
    if found is not None and found.family in _TCP and hasattr(socket, "TCP_USER_TIMEOUT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_SECONDS * 1000)


_TCP = (socket.AF_INET, socket.AF_INET6)


def _transport(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the reader went away")
    return request.transport


_SOON = {"Retry-After": "15"}
