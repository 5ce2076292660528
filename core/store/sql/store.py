"""The Store in one piece, and what concerns the whole of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from core.errors import StoreUnavailable
from core.store import census, credentials, tasks
from core.store.sql.chats import ChatRows
from core.store.sql.checkpoints import CheckpointRows
from core.store.sql.credentials import CredentialRows
from core.store.sql.delegations import DelegationRows
from core.store.sql.deliveries import DeliveryRows
from core.store.sql.questions import QuestionRows
from core.store.sql.reconsidering import OpenReviewRows
from core.store.sql.replicas import ReplicaRows
from core.store.sql.reviews import ReviewRows
from core.store.sql.tasks import TaskRows
from core.store.sql.timers import TimerRows
from core.store.sql.work import WorkRows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from core.measures import Census, Distribution
    from core.model import ChannelName, Hint, Status
    from core.ports import Backup, Listener
    from core.store.lane import Lane


class SqlStore(
    TaskRows,
    WorkRows,
    ReplicaRows,
    ReviewRows,
    QuestionRows,
    DelegationRows,
    OpenReviewRows,
    TimerRows,
    CheckpointRows,
    DeliveryRows,
    ChatRows,
    CredentialRows,
):
    """`async with` it. Each method is one unit of work: all or nothing, durable on return.

    All raise `StoreUnavailable` while the database cannot take or give data, and recover by themselves.
    """

    async def __aenter__(self) -> Self:
        self._write.start()
        try:
            self._read.start()
        except StoreUnavailable:
            await self._write.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._write.stop()
        await self._read.stop()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every commit, on the event loop and before the answers; undone by the result."""
        return self._commits.listen(listener)

    def overheard(self, hint: Hint) -> None:
        """Tell the listeners what other replicas did."""
        self._commits.overhear(hint)

    async def check(self) -> None:
        """Raise `StoreUnavailable` where the database does not take changes now."""
        if self._write.failing:
            await self._write.run(credentials.write_something)
        else:
            await self._write.run(credentials.write_nothing)

    async def warnings(self, *, named: bool) -> Sequence[str]:  # noqa: ARG002 - there is nobody to name
        """Of a process that has the database to itself."""
        return ()

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        return self._copies.one()

    async def counts(self) -> Mapping[Status, int]:
        return await self._read.run(tasks.counts)

    async def census(self, channels: Collection[ChannelName]) -> Census:
        """What is unfinished, and what these channels have still to show."""
        return await self._read.run(partial(census.census, channels=channels))

    @property
    def attempts(self) -> Distribution:
        """Of tasks that this process brought to their end."""
        return self._write.attempts

    @property
    def lanes(self) -> Mapping[str, Lane]:
        return {"write": self._write, "read": self._read}
