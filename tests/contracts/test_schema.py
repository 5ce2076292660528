"""Migrations, on both databases: from nothing, twice, after a copy, never from the future."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from structlog.testing import capture_logs

import core.store
from core.errors import SettingsError, StoreUnavailable
from core.store import census, chats, deliveries, questions, receipts, reviews
from core.store.database import database
from core.store.deliveries import AT_MESSAGE
from core.store.lock import exclusive
from core.store.resuming import FORKS
from core.store.schema import HEAD, _upgrade, migrate, revision
from core.store.sql import SqlStore
from core.store.tables import metadata
from tests.contracts.conftest import on
from tests.contracts.steps import submitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core.store.database import Database
    from core.store.statements import Statement
    from tests.world import StoppedClock


def test_the_head_is_the_newest_migration() -> None:
    folder = Path(core.store.__file__).parent / "migrations" / "versions"
    assert max(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py")) == HEAD


def test_a_new_database_is_brought_to_the_head_and_then_left_alone(new_database: Database) -> None:
    assert revision(new_database) is None
    assert migrate(new_database) is None
    assert revision(new_database) == HEAD
    assert migrate(new_database) is None
    assert revision(new_database) == HEAD


def test_an_installation_may_lie_anywhere(
    new_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "50% of it"
    shutil.copytree(Path(core.store.__file__).parent / "migrations", folder / "migrations")
    monkeypatch.setattr("core.store.schema.__file__", str(folder / "schema.py"))
    migrate(new_database)
    assert revision(new_database) == HEAD


# What SQLite cannot tell of indexes over expressions, the next test compares.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_tables_are_what_the_migrations_make(new_database: Database) -> None:
    migrate(new_database)
    url = new_database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, _kind, _parents: not (name or "").startswith("procrastinate_"),
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE task ADD COLUMN extra INTEGER"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata), "a difference is seen"


def test_partial_indexes_are_what_the_migrations_make(sqlite_database: Database) -> None:
    made = dict(on(sqlite_database, "SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex

    for table in metadata.tables.values():
        for index in table.indexes:
            wanted = str(CreateIndex(index).compile(dialect=sqlite.dialect()))
            assert made[str(index.name)].split() == wanted.split()


@pytest.mark.parametrize(
    ("statement", "parameters", "plan"),
    [
        (FORKS, {"task": "'x'"}, "SEARCH task USING INDEX ix_task_forks (parent_id=?)"),
        (
            AT_MESSAGE,
            {"channel": "'x'", "message": "'x'"},
            "SEARCH delivery USING INDEX ix_delivery_message (message=?)",
        ),
        (
            chats.ENDED_DIALOGS,
            {"channel": "'x'", "now": "2", "shown_since": "1", "at": "0", "after": "'x'", "limit": "100"},
            (
                "SEARCH dialog USING INDEX ix_dialog_expires_at (channel=? AND expires_at>?)"
                "|SEARCH review USING INDEX sqlite_autoindex_review_1 (id=?)"
            ),
        ),
        (census.OPEN, {}, "SCAN review USING INDEX ix_review_open"),
        (
            census.AT_WORK,
            {"now": "1"},
            "SCAN task USING INDEX ix_task_runnable|USE TEMP B-TREE FOR GROUP BY",
        ),
        (
            census.UNSHOWN,
            {"channel": "'x'"},
            (
                "CO-ROUTINE anon_1|SEARCH delivery USING INDEX ix_delivery_due (channel=? AND due_at>?)"
                "|SCAN anon_1"
            ),
        ),
    ],
)
def test_what_many_rows_are_searched_for_is_found_by_its_index(
    sqlite_database: Database, statement: Statement, parameters: dict[str, str], plan: str
) -> None:
    query, constants = statement.text(sqlite_database.dialect)
    for name, value in {**parameters, **constants}.items():
        query = query.replace(f":{name}", str(value))
    found = on(sqlite_database, f"EXPLAIN QUERY PLAN {query}")
    assert "|".join(row[-1] for row in found) == plan


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (reviews.BY_ID, ("id",)),
        (reviews.DECISIONS, ("review",)),
        (reviews.LAST_REJECTIONS, ("task", "before")),
        (questions.ONE, ("id",)),
        (deliveries.RAISE_QUESTION, ("task", "question", "now")),
        (deliveries.RAISE_UNANSWERED, ("task", "review", "now")),
        (receipts.ASKS, ("task", "seq")),
    ],
)
def test_no_press_reads_a_whole_table(
    sqlite_database: Database, statement: Statement, names: tuple[str, ...]
) -> None:
    """Before a dialog opens there is time for one look only; before an answer, for little more."""
    query, constants = statement.text(sqlite_database.dialect)
    for name, value in {**dict.fromkeys(names, "'x'"), **constants}.items():
        query = re.sub(rf":{name}\b", str(value), query)
    plan = [row[-1] for row in on(sqlite_database, f"EXPLAIN QUERY PLAN {query}")]
    assert plan
    assert not [step for step in plan if step.startswith("SCAN")], plan


def test_asking_for_the_revision_changes_nothing(tmp_path: Path, migrated_file: Path) -> None:
    missing = tmp_path / "missing.db"
    assert revision(database(f"sqlite:///{missing}")) is None
    assert not missing.exists()
    path = tmp_path / "old.db"
    shutil.copy(migrated_file, path)
    before = path.read_bytes()
    assert revision(database(f"sqlite:///{path}")) == HEAD
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["old.db"]


def test_a_database_of_a_newer_release_is_refused(new_database: Database) -> None:
    migrate(new_database)
    on(new_database, "UPDATE alembic_version SET version_num = '9999'")
    if new_database.url.get_backend_name() == "postgresql":
        on(new_database, "UPDATE installed SET version = '9999' WHERE name = 'oldest'")
    with pytest.raises(SettingsError, match="9999"):
        migrate(new_database)
    assert revision(new_database) == "9999"


def test_a_file_with_data_is_copied_before_it_is_migrated(tmp_path: Path, migrated_file: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(migrated_file, path)
    where = database(f"sqlite:///{path}")
    # Before the first schema there was nothing, so an older revision is feigned; its migration then fails.
    on(where, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(Exception, match="0000"):
        migrate(where)
    (copy,) = tmp_path.glob("*.bak")
    with sqlite3.connect(copy) as opened:
        assert opened.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]
    opened.close()


def test_a_migration_that_fails_half_way_leaves_nothing(new_database: Database) -> None:
    on(new_database, "CREATE TABLE dialog (channel INTEGER)")  # the last table that is made
    with pytest.raises(Exception, match="dialog"):
        migrate(new_database)
    on(new_database, "DROP TABLE dialog")
    assert migrate(new_database) is None
    assert revision(new_database) == HEAD


def test_a_migration_gives_way_to_who_uses_the_tables_it_changes(
    empty_postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes later waits behind one that waits for a table: a backup would stop every replica."""
    monkeypatch.setattr("core.store.schema.PAUSES", (0.0,))
    where = database(empty_postgres())
    _upgrade(where, "0012")
    with closing(where.connect()) as other:
        other.cursor().execute("BEGIN", {})
        other.cursor().execute("LOCK TABLE alembic_version IN SHARE MODE", {})
        with (
            capture_logs() as logs,
            pytest.raises(StoreUnavailable, match="locked by another program; nothing was changed"),
        ):
            migrate(where)
        assert [line["event"] for line in logs] == ["migration_postponed"], "it tries again"
        assert revision(where) == "0012"
    migrate(where)
    assert revision(where) == HEAD


def test_so_does_one_of_procrastinates_tables(
    empty_postgres: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = database(empty_postgres())
    migrate(where)
    newer = tmp_path / "99.00.00_01_more.sql"
    newer.write_text("ALTER TABLE procrastinate_jobs ADD COLUMN more integer")
    monkeypatch.setattr("core.store.installed._files", lambda: [newer])
    monkeypatch.setattr("core.store.schema.PAUSES", (0.0,))
    with closing(where.connect()) as other:
        other.cursor().execute("BEGIN", {})
        other.cursor().execute("LOCK TABLE procrastinate_jobs IN SHARE MODE", {})
        with capture_logs() as logs, pytest.raises(StoreUnavailable, match="locked by another program"):
            migrate(where)
        assert [line["event"] for line in logs] == ["migration_postponed"], "it tries again"
    migrate(where)
    assert on(where, "SELECT more FROM procrastinate_jobs") == []


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"shopping list\n" * 100)
    with pytest.raises(StoreUnavailable, match=r"notes\.db"):
        migrate(database(f"sqlite:///{path}"))
    assert path.read_bytes().startswith(b"shopping list")


def test_a_folder_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"x\.db"):
        migrate(database(f"sqlite:///{tmp_path / 'missing' / 'x.db'}"))


def modes(folder: Path) -> dict[str, int]:
    return {found.name: found.stat().st_mode & 0o777 for found in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
async def test_the_file_and_those_beside_it_are_their_owners_only(
    tmp_path: Path, clock: StoppedClock
) -> None:
    path = tmp_path / "new.db"
    where = database(f"sqlite:///{path}")
    migrate(where)
    async with SqlStore(where, clock) as store:
        await submitted(store)
        assert modes(tmp_path) == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_the_copy_before_a_migration_is_its_owners_only(tmp_path: Path, migrated_file: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(migrated_file, path)
    path.chmod(0o644)
    where = database(f"sqlite:///{path}")
    on(where, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(Exception, match="0000"):
        migrate(where)
    (copy,) = tmp_path.glob("*.bak")
    assert modes(tmp_path) == {"old.db": 0o644, copy.name: 0o600}, "whoever opened the file meant to"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk is like."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_too_full_for_the_copy_is_told_in_a_sentence(tmp_path: Path, migrated_file: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(migrated_file, path)
    where = database(f"sqlite:///{path}")
    on(where, "UPDATE alembic_version SET version_num = '0000'")
    with files_of_at_most(16_384), pytest.raises(StoreUnavailable, match="cannot be copied"):
        migrate(where)
    assert [found.name for found in tmp_path.iterdir()] == ["old.db"], "no half of a copy is left"
    assert revision(where) == "0000"


def test_a_disk_too_full_for_a_new_database_is_told_in_a_sentence(tmp_path: Path) -> None:
    where = database(f"sqlite:///{tmp_path / 'new.db'}")
    with files_of_at_most(16_384), pytest.raises(StoreUnavailable, match=r"cannot be migrated: .*new\.db"):
        migrate(where)
    assert revision(where) is None
    migrate(where)
    assert revision(where) == HEAD


def test_one_process_holds_a_file_by_whatever_name(tmp_path: Path, migrated_file: Path) -> None:
    path, link = tmp_path / "real.db", tmp_path / "link.db"
    shutil.copy(migrated_file, path)
    link.symlink_to(path)
    with (
        exclusive(database(f"sqlite:///{path}")),
        pytest.raises(SettingsError, match="another countersign"),
        exclusive(database(f"sqlite:///{link}")),
    ):
        pass
    with exclusive(database(f"sqlite:///{link}")):
        pass


def test_a_lock_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "taken.db.lock").mkdir()
    for name in ("file/x.db", "circle/x.db", "taken.db"):
        with (
            pytest.raises(SettingsError, match=r"COUNTERSIGN_DATABASE_URL: .*cannot be made"),
            exclusive(database(f"sqlite:///{tmp_path / name}")),
        ):
            pass


async def test_a_migrated_database_can_be_worked_with(new_database: Database, clock: StoppedClock) -> None:
    migrate(new_database)
    async with SqlStore(new_database, clock) as store:
        task = await submitted(store)
        assert (await store.task(task.id)).id == task.id


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql//x", "sqlite"]
)
def test_a_wrong_database_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match="COUNTERSIGN_DATABASE_URL"):
        database(url)
