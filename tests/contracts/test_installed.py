"""What `migrate` brings to PostgreSQL besides our tables, and who may work on what it leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import SettingsError
from core.store import installed
from core.store.database import database
from core.store.schema import HEAD, OLDEST, _upgrade, check_shared, migrate, revision
from core.store.sql import SqlStore
from tests.contracts.conftest import on
from tests.contracts.steps import submitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.store.database import Database
    from tests.world import StoppedClock


@pytest.fixture
def empty(empty_postgres: Callable[[], str]) -> Database:
    return database(empty_postgres())


def recorded(where: Database) -> dict[str, str]:
    return dict(tuple(row) for row in on(where, "SELECT name, version FROM installed"))


def test_it_is_recorded_what_was_applied_and_nothing_is_applied_twice(empty: Database) -> None:
    migrate(empty)
    assert recorded(empty) == {"procrastinate": installed.newest(), "oldest": OLDEST}
    migrate(empty)
    assert check_shared(empty) is None


def test_what_was_begun_only_is_finished(empty: Database) -> None:
    _upgrade(empty)
    with pytest.raises(SettingsError, match="countersign migrate"):
        check_shared(empty)
    migrate(empty)
    assert check_shared(empty) is None


def test_several_at_once_take_turns(empty: Database) -> None:
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(migrate, [empty] * 3))
    assert check_shared(empty) is None


def test_newer_files_of_procrastinates_are_applied_in_their_order(
    empty: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty)
    newer = tmp_path / "03.05.00_01_pre_more.sql"
    newer.write_text("CREATE TABLE procrastinate_more (id int); INSERT INTO procrastinate_more VALUES (1);")
    after_it = tmp_path / "03.05.00_50_post_more.sql"
    after_it.write_text("UPDATE procrastinate_more SET id = id + 1;")
    files = [*installed._files(), newer, after_it]
    monkeypatch.setattr(installed, "_files", lambda: files)
    with pytest.raises(SettingsError, match="countersign migrate"):
        check_shared(empty)
    migrate(empty)
    migrate(empty)
    assert on(empty, "SELECT id FROM procrastinate_more") == [(2,)]
    assert recorded(empty)["procrastinate"] == after_it.name


def test_a_file_that_fails_leaves_nothing_and_is_tried_again(
    empty: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty)
    newer = tmp_path / "03.05.00_01_pre_more.sql"
    newer.write_text("CREATE TABLE procrastinate_more (id int); SELECT 1 / 0;")
    monkeypatch.setattr(installed, "_files", lambda: [newer])
    with pytest.raises(Exception, match="division"):
        migrate(empty)
    newer.write_text("CREATE TABLE procrastinate_more (id int);")
    migrate(empty)
    assert recorded(empty)["procrastinate"] == newer.name


def test_tables_that_procrastinate_itself_made_are_taken_over(empty: Database) -> None:
    migrate(empty)
    on(empty, "DELETE FROM installed")
    migrate(empty)
    assert recorded(empty)["procrastinate"] == installed.FIRST


def test_tables_of_an_older_procrastinate_are_refused(empty: Database) -> None:
    on(empty, "CREATE TABLE procrastinate_jobs (id int)")
    with pytest.raises(SettingsError, match="older Procrastinate"):
        migrate(empty)


async def test_this_release_works_beside_the_next_on_its_schema(empty: Database, clock: StoppedClock) -> None:
    """The next one's migration adds; what it says of the oldest lets this release on."""
    migrate(empty)
    on(empty, "ALTER TABLE task ADD COLUMN added TEXT")
    on(empty, "CREATE TABLE more (id INTEGER)")
    on(empty, "UPDATE alembic_version SET version_num = '9999'")
    assert check_shared(empty) == "9999"
    async with SqlStore(empty, clock, replica="a" * 32) as store:
        await submitted(store)
    on(empty, "UPDATE installed SET version = '9999' WHERE name = 'oldest'")
    with pytest.raises(SettingsError, match="install the newer release"):
        check_shared(empty)
    with pytest.raises(SettingsError, match="newer release"):
        migrate(empty)


async def test_the_release_before_works_beside_this_one(empty: Database, clock: StoppedClock) -> None:
    """It names no holder: what it stores is taken by whoever sweeps, and what it held is left alone."""
    _upgrade(empty, "0010")
    async with SqlStore(empty, clock) as store:
        with pytest.raises(Exception, match="holder"):
            await submitted(store)
    migrate(empty)
    assert revision(empty) == HEAD
    columns = [
        row[0]
        for row in on(
            empty,
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'task'"
            " AND column_name <> 'holder'",
        )
    ]
    async with SqlStore(empty, clock, replica="a" * 32) as store:
        store.ask_for_room(lambda: True)
        task = await submitted(store)
        # As its INSERT is: every column that it knows.
        named = ", ".join(columns)
        values = ", ".join(f"'{'f' * 32}'" if column == "id" else column for column in columns)
        on(empty, f"INSERT INTO task ({named}) SELECT {values} FROM task WHERE id = '{task.id}'")  # noqa: S608 - ours
        assert [found for found, _ in await store.uncovered()] == ["f" * 32]
        assert await store.take("f" * 32)  # type: ignore[arg-type]  # its id
