"""The commands that work on the database itself: migrate and link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
import structlog

from core.clock import SystemClock
from core.errors import SettingsError
from core.model import PersonId
from core.store import backup
from core.store.database import database
from core.store.lock import exclusive
from core.store.schema import HEAD, check_shared, migrate, revision
from core.store.sql import SqlStore
from core.store.sqlite import SQLite
from core.store.unfinished import source_of_copy
from countersign.configuration import DEFAULT_FILE, FIRST_STEP, configuration
from countersign.settings import environment, settings
from web.auth import new_token, sign_in_link

if TYPE_CHECKING:
    from core.store.database import Database
    from countersign.configuration import Configuration

log = structlog.get_logger()


def run_migrate() -> int:
    """Bring the database to this release's schema; says what was done."""
    target = database(settings().core.database_url.get_secret_value(), "countersign migrate")
    before = revision(target)
    with exclusive(target):
        copied = migrate(target)
    if copied is not None:
        click.echo(f"copied to {copied.name}")
    if before is not None and before > HEAD:
        click.echo(f"database at revision {before}, of a newer release, beside which this one works")
    elif before is None:
        click.echo(f"a new database: its tables are made, at revision {HEAD}")
    else:
        click.echo(f"database at revision {HEAD}" + ("" if before == HEAD else f", from {before}"))
    return 0


def prepared(target: Database) -> None:
    """Make the database ready for this release: a SQLite file is migrated here, PostgreSQL is not.

    Raises `SettingsError`. To be called by whoever holds a SQLite file exclusively.
    """
    if isinstance(target, SQLite):
        backup.clear(target)
        migrate(target)
    elif (newer := check_shared(target)) is not None:
        log.warning("database_of_a_newer_release", revision=newer)
    check_whole(target)


def check_whole(target: Database) -> None:
    """Raises `SettingsError` where a copy has begun here and not ended."""
    if (source := source_of_copy(target)) is not None:
        raise SettingsError(
            f"COUNTERSIGN_DATABASE_URL: the database is an unfinished copy of {source}; finish it with "
            "countersign copy, or serve that one."
        )


def run_link(person: str, *, revoke: bool) -> int:
    """Print a link and token for somebody, or revoke all of theirs."""
    found = settings()
    configured = configuration(found.core.config, environment())
    is_known = PersonId(person) in configured.people
    if not (is_known or revoke):
        raise SettingsError(_unknown(person, configured))
    target = database(found.core.database_url.get_secret_value(), "countersign link")
    is_at = revision(target)
    if revoke and is_at is None:
        raise SettingsError("Nothing was revoked: COUNTERSIGN_DATABASE_URL names a database that is empty.")
    if is_at != HEAD:
        with exclusive(target):
            prepared(target)
    check_whole(target)
    if not revoke:
        asyncio.run(_link(target, PersonId(person), found.web.base_url))
    elif not asyncio.run(_revoke(target, PersonId(person), is_known=is_known)):
        raise SettingsError(
            f"Nothing was revoked: {_file(configured)} has nobody {person!r}, and no link or token of that "
            "name works."
        )
    return 0


def _unknown(person: str, configured: Configuration) -> str:
    if configured.path is None:
        return f"There is no {_file(configured)}, so nobody to make a link for: {FIRST_STEP}."
    known = ", ".join(sorted(configured.people)) or "nobody yet"
    return f"{_file(configured)} has nobody {person!r}; it has: {known}."


def _file(configured: Configuration) -> str:
    return (configured.path or DEFAULT_FILE).name


async def _link(target: Database, person: PersonId, base_url: str) -> None:
    clock = SystemClock()
    async with SqlStore(target, clock) as store:
        token, credential = new_token(person, clock.now())
        await store.add_credential(credential)
    click.echo(f"link:  {sign_in_link(base_url, token)}")
    click.echo(f"token: {token}")


async def _revoke(target: Database, person: PersonId, *, is_known: bool) -> bool:
    """False where the name is most likely a slip of the pen: whoever it was meant for still has a token."""
    async with SqlStore(target, SystemClock()) as store:
        count = await store.revoke_credentials(person)
    if not (count or is_known):
        return False
    click.echo(f"revoked {count} of {person}; sessions made with them end within a second")
    return True
