"""`countersign backup`: the running server's SQLite database, whole, in a file.

What comes is checked before it takes the place of the file that is there: until then that stays as it was.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import click
import httpx

from core.errors import SettingsError
from countersign.client import STRANGER, ServerError, client, refusal
from countersign.terminal import Screen, bar, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = "application/vnd.sqlite3"
PATIENCE = httpx.Timeout(30.0, read=3600.0)
"""Before the first byte the server copies the whole database; a stop of it ends the wait."""
MAY_PASS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
SERVED = ("-wal", "-journal", ".lock")
"""What lies beside a database that is in use: it would be applied to the wrong one."""


def run_backup(file: Path, *, as_json: bool) -> int:
    """Raises `SettingsError` for a file that cannot be written, `ServerError`; then the file is as it was."""
    _check(file)
    screen = Screen()
    with client() as http, _writing(file) as part:
        try:
            size = _received(http, part, screen)
            screen.show("checking …")
            revision = _revision(part)
        finally:
            screen.clear()
        _put(part, file)
    if as_json:
        click.echo(json.dumps({"file": str(file), "bytes": size, "revision": revision}))
    else:
        click.echo(f"{literal(str(file))}: {size:,} bytes, revision {revision}")
    return 0


def _check(file: Path) -> None:
    name = literal(str(file))
    if not file.parent.is_dir():
        raise SettingsError(f"{literal(str(file.parent))} is not a folder.")
    if os.path.lexists(file) and not file.is_file():
        raise SettingsError(f"{name} is not a file that a backup could take the place of.")
    if any(os.path.lexists(f"{file}{end}") for end in SERVED):
        raise SettingsError(f"{name} is a database in use, by what lies beside it; name another file.")


@contextmanager
def _writing(file: Path) -> Iterator[Path]:
    """A part beside it, of this run alone and readable by its owner, which is gone however it ends."""
    part = None
    try:
        made, name = mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
        os.close(made)
        part = Path(name)
        yield part
    except OSError as error:
        if error.errno in MAY_PASS:
            raise
        raise SettingsError(f"{literal(str(file))} cannot be written: {error.strerror}.") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _received(http: httpx.Client, part: Path, screen: Screen) -> int:
    """Its size in bytes, all of which came."""
    # As it is: what a proxy had packed has another length.
    headers = {"Accept-Encoding": "identity"}
    screen.show("the server makes a copy …")
    with http.stream("GET", "/v1/backup", headers=headers, timeout=PATIENCE) as answer:
        if not answer.is_success:
            answer.read()
            raise refusal(answer)
        told = answer.headers.get("Content-Length", "")
        if answer.headers.get("Content-Type") != KIND or not told.isdecimal():
            raise SettingsError(STRANGER)
        come, size = 0, int(told)
        try:
            with part.open("wb") as written:
                for piece in answer.iter_raw():
                    written.write(piece)
                    come += len(piece)
                    screen.show(bar(come / size if size else None, f"{come:,} of {size:,} bytes"))
                written.flush()
                os.fsync(written.fileno())
        except httpx.TransportError as error:
            raise ServerError(f"The answer was cut off after {come:,} of {size:,} bytes.") from error
    if come != size:
        raise ServerError(f"The answer was cut off after {come:,} of {size:,} bytes.")
    return size


def _revision(part: Path) -> str:
    """At which the copy is, which SQLite can read whole. Raises `ServerError`."""
    try:
        # Immutable: nothing is made beside it.
        with closing(sqlite3.connect(f"{part.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
            found = copy.execute("PRAGMA quick_check").fetchall()
            if found == [("ok",)]:
                ((revision,),) = copy.execute("SELECT version_num FROM alembic_version")
                return str(revision)
    except (sqlite3.Error, ValueError) as error:
        raise ServerError(f"What came is no whole database: {error}.") from error
    raise ServerError("What came is no whole database: SQLite finds faults in it.")


def _put(part: Path, file: Path) -> None:
    """In the place of what was there, and so that it stays over a loss of power."""
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
