"""Several real `countersign serve` on one PostgreSQL database, each with a folder and a port of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from core.clock import SystemClock
from core.model import PersonId
from core.store.database import database as database_at
from core.store.sql import SqlStore
from tests.bench.server import environment, free_port
from tests.walks.processes import Served
from web.auth import new_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path


class Replica(Served):
    """One of several."""

    def __init__(self, folder: Path, port: int, env: dict[str, str], tokens: dict[str, str]) -> None:
        super().__init__(folder, port, env, tokens)
        self.is_up = False
        """Whether it may be asked for something."""

    async def start(self) -> None:
        await super().start()
        self.is_up = True

    async def kill(self) -> None:
        self.is_up = False
        await super().kill()

    async def stop(self) -> int:
        self.is_up = False
        return await super().stop()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and nobody is told."""
        self.is_up = False
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_up = True

    def facts(self, event: str) -> list[dict[str, Any]]:
        """What it has logged under this name."""
        found = []
        for line in self.log.read_text().splitlines():
            if event in line and line.startswith("{"):
                said = json.loads(line)
                if said["event"] == event:
                    found.append(said)
        return found

    def holds(self, lease: str) -> bool:
        """As far as its log says: it has taken it, and never lost it."""
        return any(fact["lease"] == lease for fact in self.facts("lease_taken")) and not any(
            fact["lease"] == lease for fact in self.facts("lease_lost")
        )


@asynccontextmanager
async def fleet(
    folder: Path,
    url: str,
    *,
    configuration: str,
    people: Iterable[str],
    size: int = 3,
    settings: Mapping[str, str] = {},
    commands: Mapping[int, tuple[str, ...]] = {},
) -> AsyncIterator[list[Replica]]:
    """All ready on entry, gone on exit; `url` names a migrated database, and `people` hold tokens.

    `commands` says of some, by their number, what Python runs there instead of `countersign serve`. The
    database knows each by its name, `replica-0` and so on.
    """
    tokens = await _tokens(url, people)
    replicas = [
        _replica(folder / f"replica-{number}", url, configuration, tokens, settings) for number in range(size)
    ]
    for number, command in commands.items():
        replicas[number].command = command
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas
    finally:
        await asyncio.gather(*(replica.kill() for replica in replicas if replica.has_begun))


def _replica(
    folder: Path, url: str, configuration: str, tokens: dict[str, str], settings: Mapping[str, str]
) -> Replica:
    folder.mkdir()
    (folder / "countersign.toml").write_text(configuration)
    port = free_port()
    env = environment(port, COUNTERSIGN_DATABASE_URL=url, PGAPPNAME=folder.name, **settings)
    return Replica(folder, port, env, tokens)


async def _tokens(url: str, people: Iterable[str]) -> dict[str, str]:
    clock = SystemClock()
    tokens: dict[str, str] = {}
    async with SqlStore(database_at(url), clock) as store:
        for person in people:
            tokens[person], credential = new_token(PersonId(person), clock.now())
            await store.add_credential(credential)
    return tokens
