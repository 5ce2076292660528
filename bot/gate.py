"""Calls to a platform wait until there is a connection, and the end of the connection waits for the calls."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.errands import Errands

Client = TypeVar("Client")


class Gate(Generic[Client]):
    """Opened and closed by whoever owns the connection; closing twice is harmless."""

    def __init__(self) -> None:
        self._open: tuple[Client, Errands] | None = None
        self._opened = asyncio.Event()

    def open(self, client: Client, errands: Errands) -> None:
        """`errands.quiet` then waits for the calls under way, too."""
        self._open = client, errands
        self._opened.set()

    def close(self) -> None:
        self._open = None
        self._opened.clear()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        while self._open is None:
            await self._opened.wait()
        client, errands = self._open
        with errands.busy():
            yield client
