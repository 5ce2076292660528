"""A copy of all that is stored, for those who may have everything."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from core.errors import NotAnAdmin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from core.model import PersonId
    from core.ports import Backup, BackupStore

log = structlog.get_logger()


class Backups:
    """What web calls."""

    def __init__(self, store: BackupStore, *, may_take: Callable[[PersonId], bool]) -> None:
        self._store = store
        self._may_take = may_take

    @asynccontextmanager
    async def take(self, person: PersonId) -> AsyncIterator[Backup]:
        """One moment's state, with every draft and the keys that sign buttons and sessions.

        Raises `NotAnAdmin`, `NotOffered`, `Unavailable` (also while another one is taken).
        """
        if not self._may_take(person):
            log.info("backup_refused", by=person)
            raise NotAnAdmin("Only those whom [admins] lists may take a backup.")
        async with self._store.backup() as backup:
            log.info("backup_taken", by=person, bytes=backup.size)
            yield backup
