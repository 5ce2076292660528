"""A connection to PostgreSQL on the event loop, for small questions and for what the server tells by itself.

It waits for its socket once for all: psycopg's own coroutines register it anew for each wait, and build a
cursor for each question, which so small a question is not worth.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from psycopg import AsyncConnection


class NotifyConnection:
    """`with` it; nobody else may use the connection meanwhile. `wake` is told of whatever arrives."""

    def __init__(self, connection: AsyncConnection[Any], wake: Callable[[], object]) -> None:
        self._pgconn = connection.pgconn
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._number = connection.fileno()
        self._ready = asyncio.Event()
        self._broken: Exception | None = None
        self._is_asking = False

    def __enter__(self) -> Self:
        self._loop.add_reader(self._number, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._number)
        self._loop.remove_writer(self._number)

    async def ask(self, prepared: str, *values: str) -> None:
        """Returns when the server has done it; raises `psycopg.Error`. After a timeout it is of no use.

        Nobody is woken meanwhile: whoever asks looks at what was `told` afterwards.
        """
        self._is_asking = True
        try:
            await self._ask(prepared, *values)
        finally:
            self._is_asking = False

    async def _ask(self, prepared: str, *values: str) -> None:
        self._pgconn.send_query_prepared(prepared.encode(), [value.encode() for value in values])
        while self._pgconn.flush():
            self._loop.add_writer(self._number, self._writable)
            await self._more()
        while True:
            while self._pgconn.is_busy():
                await self._more()
            if (result := self._pgconn.get_result()) is None:
                return
            if result.error_message:
                from psycopg import OperationalError  # noqa: PLC0415 - an extra

                raise OperationalError(result.error_message.decode(errors="replace"))

    def told(self) -> Iterator[tuple[int, bytes]]:
        """Notifications that have arrived: the server's process that sent each, and what it said."""
        if self._broken is not None:
            raise self._broken
        while found := self._pgconn.notifies():
            yield found.be_pid, found.extra

    async def _more(self) -> None:
        """Until something has arrived or can be sent."""
        self._ready.clear()
        if self._broken is None:
            await self._ready.wait()
        if self._broken is not None:
            raise self._broken

    def _arrived(self) -> None:
        try:
            self._pgconn.consume_input()
        except Exception as error:  # noqa: BLE001 - whoever waits is to have it
            self._broken = error
            self._loop.remove_reader(self._number)
        self._ready.set()
        if not self._is_asking:
            self._wake()

    def _writable(self) -> None:
        self._loop.remove_writer(self._number)
        self._ready.set()
