"""What a second replica costs: the same clients on one and on two of them, in turns.

Once they ask as fast as they are answered, as in every other part of the benchmark; once at the same rate,
where a replica that has half of the load has half as much in each of its commits.

Each request goes to a replica by chance, so that a task is submitted at one, decided at any and followed at
any. The second replica is started for its turns only, for it costs something when nobody asks it, too.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.multitude import tidied
from tests.bench.server import Server, many, serving, trip
from tests.bench.wire import wires

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.bench.postgres import Postgres
    from tests.bench.wire import Wires

CLIENTS = 32
PAIRS = 5
"""Turns of one replica, each followed by one of two."""
WARM = 400
LOAD = 0.6
"""Of the rate that one replica reaches when 32 clients ask as fast as they are answered: at the very most,
a replica would cost less for what it does in larger groups."""
SEED = 20261122


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """CPU seconds per round trip, and the round trips a second that there were."""

    service: float
    """Of all replicas."""
    database: float
    rate: float

    @property
    def cpu(self) -> float:
        return self.service + self.database


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The turns of one replica and those of two."""

    one: list[Turn]
    two: list[Turn]

    @property
    def ratio(self) -> float:
        return middle(self.two, lambda turn: turn.cpu) / middle(self.one, lambda turn: turn.cpu)


def middle(turns: Sequence[Turn], of: Callable[[Turn], float]) -> float:
    return median(map(of, turns))


class Spread:
    """Several replicas as one address: each request to one of them by chance."""

    def __init__(self, servers: Sequence[Server], chance: Random) -> None:
        self._servers = servers
        self._chance = chance

    @property
    def url(self) -> str:
        return self._chance.choice(self._servers).url

    def headers(self, person: str) -> dict[str, str]:
        return self._servers[0].headers(person)

    def cpu(self) -> float:
        return sum(server.process.cpu() for server in self._servers)


async def one_and_two(folder: Path, database: Postgres, trips: int) -> tuple[Replicas, Replicas]:
    """So many round trips in each turn: as fast as they are answered, and at the same rate."""
    url = database.migrated("replicas")
    own = {"COUNTERSIGN_DATABASE_URL": url}
    places = [folder / "first", folder / "second"]
    for place in places:
        place.mkdir()
    chance = Random(SEED)  # noqa: S311 - repeatable
    fast, paced = Replicas(one=[], two=[]), Replicas(one=[], two=[])
    async with serving(places[0], **own) as first, wires() as http:
        await many(WARM, CLIENTS, lambda: trip(http, first))
        tidied(url)  # plans of a database that has been there for a while
        began = time.perf_counter()
        await many(WARM, CLIENTS, lambda: trip(http, first))
        rate = LOAD * WARM / (time.perf_counter() - began)
        for _ in range(PAIRS):
            for found, at in ((fast, None), (paced, rate)):
                found.one.append(await _turn(http, Spread([first], chance), database, trips, at))
            async with serving(places[1], **own) as second:
                both = Spread([first, second], chance)
                for found, at in ((fast, None), (paced, rate)):
                    found.two.append(await _turn(http, both, database, trips, at))
    return fast, paced


async def _turn(http: Wires, spread: Spread, database: Postgres, trips: int, rate: float | None) -> Turn:
    await many(WARM // 4, CLIENTS, lambda: trip(http, spread))
    cpu, stored, began = spread.cpu(), database.cpu(), time.perf_counter()
    await _trips(http, spread, trips, rate)
    took = time.perf_counter() - began
    return Turn(
        service=(spread.cpu() - cpu) / trips,
        database=(database.cpu() - stored) / trips,
        rate=trips / took,
    )


async def _trips(http: Wires, spread: Spread, trips: int, rate: float | None) -> None:
    """Of 32 clients; with a rate they begin no more than so many a second."""
    began = time.perf_counter()
    numbers = iter(range(trips))

    async def one() -> None:
        if rate is not None:
            due = began + next(numbers) / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        await trip(http, spread)

    await many(trips, CLIENTS, one)
