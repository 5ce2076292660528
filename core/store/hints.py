"""Hints between replicas: what was committed, told over LISTEN and NOTIFY of PostgreSQL after the commit.

Many commits share one message. It is no part of their transactions: a NOTIFY there would make the server take
all commits one after the other. Nothing depends on a hint; one that is lost costs time.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any, Self

import structlog

from core.defects import defect
from core.events import TaskCancelled
from core.model import ChannelName, Hint, TaskId
from core.stopping import cut_off
from core.store.notifications import NotifyConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from psycopg import AsyncConnection

    from core.model import StoredEvent

log = structlog.get_logger()

CHANNEL = "countersign"
GATHER = 0.02
"""Seconds between two messages, in which hints wait to share the next; the first of all goes at once."""
IDS = 100
"""Tasks and groups in one message: below 8,000 bytes, of which each takes at most 70 (PostgreSQL, NOTIFY)."""
WAITING = 5_000
"""Moved tasks that are kept while nobody can be told; of more it is only said that there were some."""
ALIVE = timedelta(seconds=5)
"""How often a silent connection is tried, and how long any answer may take."""
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between tries to connect; the last one repeats."""
LAST_WORDS = timedelta(seconds=0.5)


class Hints:
    """`async with` it; give it to the store as a listener. `hear` is told what other replicas say.

    Also at each new connection, that something may have been missed. `gather` is as `GATHER` says.
    """

    def __init__(
        self, conninfo: str, replica: str, hear: Callable[[Hint], object], *, gather: float = GATHER
    ) -> None:
        self._conninfo = conninfo
        self._replica = replica
        self._hear = hear
        self._moved: dict[TaskId, bool] = {}
        """And whether nobody is to run them any more."""
        self._due: set[ChannelName] = set()
        self._groups: set[str] = set()
        self._is_whole = True
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._gather = gather
        self._said_at = -inf
        self._is_time = False
        """What waits is to be said: not earlier because something was heard."""
        self._received: deque[str | bytes] = deque()
        self._process = 0
        """The server's process that says what we say: it tells us, too."""
        self._is_leaving = False
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        """While others are heard."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="hints")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_leaving = True
        self._wake.set()
        if self._task is not None:
            if self.connected.is_set():
                await asyncio.wait([self._task], timeout=LAST_WORDS.total_seconds())
            await cut_off([self._task])
        if self._alarm is not None:
            self._alarm.cancel()

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        """Tell the others, soon."""
        for stored in events:
            self._moved[stored.task] = isinstance(stored.event, TaskCancelled)
        self._due |= due
        if len(self._moved) > WAITING:
            self._moved.clear()
            self._is_whole = False
        self._soon()

    def group_changed(self, group: str) -> None:
        """A platform said so to us alone."""
        self._groups.add(group)
        self._soon()

    def _soon(self) -> None:
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(max(loop.time(), self._said_at + self._gather), self._ring)

    def heard(self, _hint: Hint) -> None:
        """What others say they have told everybody themselves."""

    def _ring(self) -> None:
        self._alarm = None
        self._is_time = True
        self._wake.set()

    async def _run(self) -> None:
        from psycopg import Error  # noqa: PLC0415 - an extra, which whoever has PostgreSQL has

        from core.store.reasons import why  # noqa: PLC0415 - likewise

        tries = 0
        while not self._is_leaving:
            try:
                connection = await self._connected()
                try:
                    tries = 0
                    await self._talk(connection)
                finally:
                    self.connected.clear()
                    await connection.close()
            except (Error, OSError, TimeoutError) as error:
                log.warning("hints_cut_off", error=type(error).__name__, reason=why(error))
            except Exception as error:  # noqa: BLE001 - a defect must not end it: readers would hear nothing of other replicas until the next start
                log.error("hints_broke", **defect(error))
            if not self._is_leaving:
                await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1

    async def _connected(self) -> AsyncConnection[Any]:
        """One that listens."""
        from psycopg import AsyncConnection  # noqa: PLC0415 - likewise

        async with asyncio.timeout(ALIVE.total_seconds()):
            connection = await AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                tcp_user_timeout=5_000,
            )
            try:
                # A hint that a crash of the server takes with it is not worth a write to the disk.
                await connection.execute("SET synchronous_commit = off")
                await connection.execute("PREPARE say (text, text) AS SELECT pg_notify($1, $2)")
                await connection.execute("PREPARE live AS SELECT 1")
                connection.add_notify_handler(lambda found: self._arrived(found.pid, found.payload))
                await connection.execute(f"LISTEN {CHANNEL}")
            except BaseException:  # cut off as well: nobody else knows of it yet
                await connection.close()
                raise
        return connection

    async def _talk(self, connection: AsyncConnection[Any]) -> None:
        """Until the connection breaks, or we leave."""
        self._received.clear()
        self._process = connection.info.backend_pid
        self._hear(Hint(is_whole=False))
        self.connected.set()
        with NotifyConnection(connection, self._wake.set) as server:
            while True:
                said = await self._say(server)
                self._listen(server)
                if self._is_leaving:
                    return
                if not await self._something() and not said:
                    async with asyncio.timeout(ALIVE.total_seconds()):
                        await server.ask("live")

    async def _something(self) -> bool:
        """Wait until there is something to say or to hear; False where there was not for a while."""
        try:
            async with asyncio.timeout(ALIVE.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return False
        finally:
            self._wake.clear()
        return True

    def _listen(self, server: NotifyConnection) -> None:
        """Hand on what has arrived, also while something was said."""
        for process, payload in server.told():
            self._arrived(process, payload)
        while self._received:
            if (hint := self._hint(self._received.popleft())) is not None:
                self._hear(hint)

    def _arrived(self, process: int, payload: str | bytes) -> None:
        if process != self._process:
            self._received.append(payload)

    def _hint(self, payload: str | bytes) -> Hint | None:
        """None for our own, which an earlier connection said.

        Of what another release says in other words it is only known that there was something.
        """
        try:
            said = json.loads(payload)
            if said["by"] == self._replica:
                return None
            return Hint(
                tasks=frozenset(map(TaskId, (*said["moved"], *said["cancelled"]))),
                cancelled=frozenset(map(TaskId, said["cancelled"])),
                due=frozenset(map(ChannelName, said["due"])),
                groups=frozenset(said["groups"]),
                is_whole=said["whole"],
            )
        except (ValueError, KeyError, TypeError):
            log.warning("hint_not_understood")
            return Hint(is_whole=False)

    async def _say(self, server: NotifyConnection) -> bool:
        """Everything that waits; whether there was something. It waits on where it cannot be said."""
        messages = self._messages() if self._is_time or self._is_leaving else ()
        if not messages:
            return False
        self._is_time = False
        self._said_at = asyncio.get_running_loop().time()
        moved, due, groups, was_whole = self._moved, self._due, self._groups, self._is_whole
        self._moved, self._due, self._groups, self._is_whole = {}, set(), set(), True
        try:
            async with asyncio.timeout(ALIVE.total_seconds()):
                for message in messages:
                    await server.ask("say", CHANNEL, message)
        except BaseException:  # cut off as well: what was not said is to be said later
            self._moved = moved | self._moved
            self._due |= due
            self._groups |= groups
            self._is_whole = self._is_whole and was_whole
            self._is_time = True
            raise
        return True

    def _messages(self) -> list[str]:
        if not (self._moved or self._due or self._groups) and self._is_whole:
            return []
        names: list[tuple[str, str]] = [
            ("cancelled" if gone else "moved", task) for task, gone in self._moved.items()
        ]
        names += [("groups", group) for group in sorted(self._groups)]
        parts = [names[at : at + IDS] for at in range(0, len(names), IDS)] or [[]]
        return [self._message(part, is_first=number == 0) for number, part in enumerate(parts)]

    def _message(self, names: Sequence[tuple[str, str]], *, is_first: bool) -> str:
        said: dict[str, Any] = {
            "by": self._replica,
            "moved": [],
            "cancelled": [],
            "due": sorted(self._due) if is_first else [],
            "groups": [],
            "whole": self._is_whole,
        }
        for kind, name in names:
            said[kind].append(name)
        return json.dumps(said, separators=(",", ":"))
