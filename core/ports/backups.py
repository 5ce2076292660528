"""What a backup needs of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager


class Backup(Protocol):
    """A whole copy of the database, for as long as its block lasts."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """All of it, in order. Raises `TimeoutError` where the disk brings none of it for a minute."""
        ...


class BackupStore(Protocol):
    """What `backups` needs of the store."""

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        """One moment's state, which nothing is left of after the block; one at a time, else `Unavailable`, as
        where it stands still.

        Raises `NotOffered` where the database has a program of its own for it, `StoreUnavailable`.
        """
        ...
