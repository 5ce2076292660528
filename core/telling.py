"""What a node says while it runs, stored now and then: the newest progress, and the text in pieces."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from core.events import ProgressReported, TextStreamed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.events import Event

SPACING = timedelta(milliseconds=250)
"""At least so long between two notes of one node: as often as an eye follows, and cheap to store."""
LONGEST_TEXT = 500
"""Characters of a progress text that are kept."""

MOST_TEXT = 2**20
"""Characters that one run may stream: as much as a draft may have. What comes after is not kept."""


class Telling:
    """Collects for one run of one node; `end` stores what is left. Costs nothing until the node speaks."""

    def __init__(self, node: str, store: Callable[[list[Event]], Awaitable[None]]) -> None:
        self._node = node
        self._store = store
        self._progress: tuple[float | None, str | None] | None = None
        self._text: list[str] = []
        self._left = MOST_TEXT
        self._over = asyncio.Event()
        self._notes: asyncio.Task[None] | None = None

    def note(self, fraction: float | None, text: str | None, streamed: str) -> None:
        """On the event loop. What comes after the end, as from a thread left behind, is dropped."""
        if self._over.is_set():
            return
        if streamed:
            self._add(streamed)
        else:
            self._progress = (fraction, None if text is None else _storable(text)[:LONGEST_TEXT])
        if self._notes is None:
            self._notes = asyncio.create_task(self._keep(), name=f"notes of {self._node}")

    def _add(self, streamed: str) -> None:
        if self._left > 0:
            cut = len(streamed) > self._left
            self._text.append(streamed[: self._left] + "…" * cut)
            self._left -= len(streamed)

    async def _keep(self) -> None:
        while events := self._taken():
            await self._store(events)
            if not self._over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(SPACING.total_seconds()):
                        await self._over.wait()
        self._notes = None

    def _taken(self) -> list[Event]:
        events: list[Event] = []
        if self._text:
            events.append(TextStreamed(node=self._node, text=_storable("".join(self._text))))
            self._text.clear()
        if self._progress is not None:
            fraction, text = self._progress
            events.append(ProgressReported(node=self._node, fraction=fraction, text=text))
            self._progress = None
        return events

    async def end(self) -> None:
        """Store what is left; raises what storing raised."""
        self._over.set()
        if self._notes is not None:
            await self._notes

    def abandon(self) -> None:
        """The segment is stopped; nothing more of it is stored."""
        self._over.set()
        if self._notes is not None:
            self._notes.cancel()


def _storable(text: str) -> str:
    """Half a surrogate pair and NUL are no text that a database takes."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "�")
