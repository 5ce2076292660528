"""countersign/composition.py: parts that only the real house puts together hear each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.stopping import Deadline
from core.timekeeper import Timekeeper
from tests.countersign.plain_house import bearer, posted, running

if TYPE_CHECKING:
    import pytest

    from core.store.database import Database


async def test_whoever_stops_lets_nobody_in_first_and_counts_its_time_from_then(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came while the rest ends would be worked on by parts that are gone."""
    leave, begin = Timekeeper.__aexit__, Deadline.begin
    said: list[str] = []

    async def left(timekeeper: Timekeeper, *how: Any) -> None:
        try:
            _, writer = await asyncio.open_connection(*address)
        except OSError:
            said.append("nobody comes in")
        else:
            writer.close()
        await leave(timekeeper, *how)

    def begun(deadline: Deadline) -> float:
        said.append("it stops")
        return begin(deadline)

    monkeypatch.setattr(Timekeeper, "__aexit__", left)
    monkeypatch.setattr(Deadline, "begin", begun)
    async with running(sqlite_database) as (opened, _):
        url = urlsplit(opened.address)
        address = url.hostname, url.port
    assert said[:2] == ["it stops", "nobody comes in"]


async def test_the_timekeeper_hears_what_is_stored(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cards say when people are called next: nothing else tells it that somebody is away, or back."""
    heard: list[object] = []
    async with running(sqlite_database) as (opened, http):
        monkeypatch.setattr(opened.timekeeper, "committed", lambda *told: heard.append(told))
        await posted(http, "/v1/tasks", await bearer(opened, "sam"), input="hello")
    assert heard
