"""A database that a newer release has migrated: what this one says of it, and that it leaves it as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import SettingsError
from core.store.database import database
from core.store.schema import HEAD, migrate
from countersign.database import run_migrate
from countersign.doctor import findings
from tests.contracts.conftest import on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.findings import Finding
    from core.store.database import Database

NEWER = "9999"


@pytest.fixture(params=["sqlite", "postgresql"])
def newer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Named by the settings. A PostgreSQL database says that releases from this one on work beside it."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/newer.db"
    else:
        make: Callable[[], str] = request.getfixturevalue("empty_postgres")
        url = make()
    made = database(url)
    migrate(made)
    on(made, f"UPDATE alembic_version SET version_num = '{NEWER}'")  # noqa: S608 - ours
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    return made


def needs(where: Database, oldest: str) -> None:
    """Releases older than that do not work beside it; a SQLite file has one reader, and says nothing."""
    if where.dialect.name == "postgresql":
        on(where, f"UPDATE installed SET version = '{oldest}' WHERE name = 'oldest'")  # noqa: S608 - ours


async def examined() -> Finding:
    (found,) = [found async for found in findings() if found.check == "database"]
    return found


async def test_doctor_advises_the_newer_release_and_no_migration(newer: Database) -> None:
    needs(newer, NEWER)
    found = await examined()
    assert not found.is_well
    assert f"at revision {NEWER}" in found.text
    assert HEAD in found.text
    assert found.mend == "install the newer release"
    assert found.mend not in found.text


def test_migrate_says_so_too(newer: Database) -> None:
    needs(newer, NEWER)
    with pytest.raises(SettingsError, match=f"this one knows {HEAD}: install the newer release"):
        run_migrate()


@pytest.mark.parametrize("newer", ["postgresql"], indirect=True)
async def test_where_this_release_works_beside_it_there_is_nothing_to_migrate(
    newer: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where compose.yaml goes back to the release before: replicas wait for a migrate that ends well."""
    needs(newer, HEAD)
    assert (await examined()).is_well
    assert run_migrate() == 0
    said = f"database at revision {NEWER}, of a newer release, beside which this one works"
    assert capsys.readouterr().out == said + "\n"
    assert on(newer, "SELECT version_num FROM alembic_version") == [(NEWER,)]
    assert on(newer, "SELECT version FROM installed WHERE name = 'oldest'") == [(HEAD,)], "older ones do not"
