"""countersign/composition.py: parts that only the real house puts together hear each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.countersign.plain_house import bearer, posted, running

if TYPE_CHECKING:
    import pytest

    from core.store.database import Database


async def test_the_timekeeper_hears_what_is_stored(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cards say when people are called next: nothing else tells it that somebody is away, or back."""
    heard: list[object] = []
    async with running(sqlite_database) as (opened, http):
        monkeypatch.setattr(opened.timekeeper, "committed", lambda *told: heard.append(told))
        await posted(http, "/v1/tasks", await bearer(opened, "sam"), input="hello")
    assert heard
