"""PostgreSQL servers and databases that do not fit: what `migrate` and `doctor` say, and what helps."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.engine import make_url

from core.errors import SettingsError
from core.store import fitness
from core.store.database import database
from core.store.schema import HEAD, _upgrade, revision
from countersign.database import run_migrate
from countersign.doctor import findings, line
from tests.contracts.conftest import on
from tests.contracts.test_upgrade import MADE
from tests.deploy.test_restore import block, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bot.findings import Finding

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
TEXT = "Übergröße"


def examined(check: str = "database") -> Finding | None:
    async def all_of_them() -> list[Finding]:
        return [found async for found in findings() if found.check == check]

    return next(iter(asyncio.run(all_of_them())), None)


@pytest.fixture
def empty(empty_postgres: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database, which the settings name."""
    url = empty_postgres()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    return url


@contextmanager
def in_latin1(postgres_server: str) -> Iterator[str]:
    """The URL of a database that the first release has used."""
    name = "used_in_latin1"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            .encode()
        )  # fmt: skip
        try:
            url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
            _upgrade(database(url), "0001")
            columns, first, *_ = MADE["task"]
            values = [
                TEXT if column == "title" else value for column, value in zip(columns, first, strict=True)
            ]
            places = ", ".join(["%s"] * len(values))
            with psycopg.connect(url, client_encoding="utf8") as used:
                used.execute(f"INSERT INTO task ({', '.join(columns)}) VALUES ({places})".encode(), values)  # noqa: S608 - names of ours
            yield url
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# The server's release


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitness, "OLDEST", 99)
    said = r"the server is PostgreSQL \d+\.\d+, and this release needs PostgreSQL 99 or later"
    with pytest.raises(SettingsError, match=f"{said}; bring the server to a newer release."):
        run_migrate()
    assert on(database(empty), TABLES) == [(0,)]
    found = examined()
    assert found is not None
    assert not found.is_well
    assert re.search(said, found.text)
    assert found.mend == "bring the server to a newer release"


def test_what_an_older_server_cannot_do_is_a_warning(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_migrate()
    monkeypatch.setattr(fitness, "ENDS_TRANSACTIONS", 99)
    found = examined("postgresql")
    assert found is not None
    assert re.fullmatch(
        r"warn  postgresql: PostgreSQL \d+\.\d+ keeps what a replica had locked that froze in the middle of "
        r"a transaction, until it wakes or is killed - PostgreSQL 99 and later end such a transaction by "
        r"themselves",
        line(found),
    )
    monkeypatch.undo()


def test_that_nobody_has_tried_it_is_said_of_the_oldest_only() -> None:
    assert fitness.lacking(18, "18.4") is None
    assert fitness.lacking(17, "17.0") is None
    assert "tests" not in (fitness.lacking(16, "16.14") or "tests")
    assert "our tests have been run on 16 and later only" in (fitness.lacking(13, "13.1") or "")


# Its encoding


def test_a_database_that_an_older_release_has_used_is_brought_over_as_docs_operations_says(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with in_latin1(postgres_server) as url:
        monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
        name = str(make_url(url).database)
        what = f"the database {name} is in LATIN1 and cannot hold every text"
        mend = (
            "make one in UTF-8: CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0, and bring "
            "everything over with pg_dump and pg_restore (see docs/operations.md)"
        )
        with pytest.raises(SettingsError) as refused:
            run_migrate()
        assert str(refused.value) == f"COUNTERSIGN_DATABASE_URL: {what}; {mend}."
        found = examined()
        assert found is not None
        assert line(found) == f"FAIL  database: COUNTERSIGN_DATABASE_URL: {what} - {mend}"
        new = make_url(url).set(database=f"new_{name}").render_as_string(hide_password=False)
        commands = block("PostgreSQL: a database that is not in UTF-8").replace(
            "DATABASE countersign_utf8", f"DATABASE new_{name}"
        )
        try:
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=tmp_path,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{tools()}:{os.environ['PATH']}",
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "COUNTERSIGN_DATABASE_URL": url,
                    "NEW_URL": new,
                    "ADMIN_URL": postgres_server,
                },
                check=True,
                timeout=120,
            )
            brought = database(new)
            assert revision(brought) == HEAD
            assert on(brought, "SELECT title FROM task") == [(TEXT,)]
        finally:
            with psycopg.connect(postgres_server, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS new_{name} WITH (FORCE)".encode())
