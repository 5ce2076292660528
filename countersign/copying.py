"""`countersign copy`: all that is stored, from one database to another, and the proof that it is the same.

The source is looked through first, so that what no target could hold is known before anything is copied.
Then the rows go over, and in the end the target is read anew, and its counts and hashes are compared with the
source's.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from core.errors import CountersignError, Refused, SettingsError, StoreUnavailable
from core.store import unfinished, whole
from core.store.copying import Copy, identity
from core.store.database import database
from core.store.lock import unserved
from core.store.postgresql import conninfo
from core.store.schema import HEAD, revision
from core.store.sqlite import SQLite
from countersign.terminal import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from core.store.copying import Tallies
    from core.store.database import Database
    from core.store.unfinished import Remains


def run_copy(source: str, target: str, *, restart: bool) -> int:
    """0 where the target has become the source's equal, 1 where it has not; goes on where a copy was stopped.

    Raises `SettingsError` for databases that cannot be copied, before anything is changed.
    """
    with _naming("--from"):
        origin = database(source, "countersign copy")
    with _naming("--to"):
        goal = database(target, "countersign copy")
    named_so = {"--from": origin, "--to": goal}
    _check_are_two(named_so)
    with ExitStack() as held:
        for option, one in named_so.items():
            with _naming(option), whole.told(one):
                held.enter_context(unserved(one))
                at = revision(one)
            _check_schema(option, at)
        if unfinished.source_of_copy(origin) is not None:
            raise SettingsError("--from: this database is itself an unfinished copy.")
        read = held.enter_context(whole.snapshot(origin))
        written: Any = held.enter_context(closing(goal.connect()))
        try:
            return _copied(Copy(origin, read, goal, written), restart=restart)
        except KeyboardInterrupt:
            click.echo("countersign: stopped; the same command goes on from here.", err=True)
            return 1


def named(one: Database) -> str:
    """A name for people that gives away no password."""
    if isinstance(one, SQLite):
        return f"sqlite:///{one.path.resolve()}"
    hosts, ports, name = _place(one)
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = [f"{host}:{port}" if port else host for host, port in zip_longest(hosts, ports, fillvalue="")]
    return f"postgresql://{','.join(places)}/{name}"


def _place(one: Database) -> tuple[list[str], list[str], str]:
    """As PostgreSQL's library understands the URL: hosts and ports; the database's name, or the service that
    knows it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    url = one.url
    said: dict[str, Any] = {"host": url.host, "port": url.port, "dbname": url.database}
    with suppress(ProgrammingError):  # who connects will be told what is wrong with it
        said |= conninfo_to_dict(conninfo(one))
    hosts, ports = said.get("hostaddr") or said["host"] or "", said["port"] or ""
    name = said["dbname"] or (f"?service={said['service']}" if "service" in said else said.get("user", ""))
    return str(hosts).split(","), str(ports).split(","), name


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Sentences name the option, as no setting is read here."""
    try:
        yield
    except CountersignError as error:
        said = error.in_full if isinstance(error, StoreUnavailable) else str(error)
        said = said.replace("COUNTERSIGN_DATABASE_URL", option)
        raise type(error)(said if option in said else f"{option}: {said}") from error


def _check_are_two(named_so: Mapping[str, Database]) -> None:
    """By what they are: two URLs may spell one database differently."""
    found = set()
    for option, one in named_so.items():
        with _naming(option), whole.told(one):
            _check_there(option, one)
            found.add(identity(one))
    if len(found) == 1:
        raise SettingsError("--from and --to name the same database.")


def _check_there(option: str, one: Database) -> None:
    if isinstance(one, SQLite) and not one.path.exists():
        raise SettingsError(f"{option}: there is no file {one.path}.")


def _check_schema(option: str, at: str | None) -> None:
    if at != HEAD:
        stands = "has no tables of Countersign's yet" if at is None else f"is at revision {at}"
        raise SettingsError(
            f"{option}: the database {stands}, and this release needs revision {HEAD}; "
            "with it as COUNTERSIGN_DATABASE_URL run: countersign migrate."
        )


def _copied(copy: Copy, *, restart: bool) -> int:
    remains = copy.remains()
    if restart and remains is not None:
        copy.clear()
        remains = None
    there = copy.there()
    # Rows without the note of an unfinished copy are somebody's own, or a whole copy, which is compared.
    is_copied = remains is None and any(there.values())
    if is_copied and there != copy.counts:
        raise _occupied(there)
    with _bar("looking through", copy.counts) as told:
        tallies = copy.look_through(told)
    if not is_copied:
        _transferred(copy, remains, tallies)
    with _bar("comparing", copy.counts) as told:
        found = copy.check(told)
    if is_copied and found != tallies:
        raise _occupied(there)
    if not _reported(copy, tallies, found):
        return 1
    if not is_copied:
        copy.finish()
    return 0


def _occupied(there: Mapping[str, int]) -> SettingsError:
    first = next(name for name, count in there.items() if count)
    return SettingsError(f"--to: the database has rows of its own (in {first}); give an empty one.")


def _transferred(copy: Copy, remains: dict[str, Remains] | None, tallies: Tallies) -> None:
    """Begun, or gone on with, to its last row."""
    if remains is None:
        remains = copy.begin(named(copy.source), tallies)
    elif {name: one.tally for name, one in remains.items()} != tallies:
        source = next(iter(remains.values())).source
        raise Refused(
            f"--to holds an unfinished copy of {source}, which was not as --from is now; "
            "--restart clears it away and begins anew."
        )
    done = sum(one.copied for one in remains.values())
    with _bar("copying", copy.counts, done) as told:
        copy.go_on(remains, told)


def _reported(copy: Copy, wanted: Tallies, found: Tallies) -> bool:
    """A line for each table, and whether all are the same."""
    width = max(map(len, wanted))
    for name, tally in wanted.items():
        click.echo(f"{name:{width}}  {tally.rows:>12,} rows  {tally.hash}")
        if (there := found[name]) != tally:
            click.echo(f"{'  in --to':{width}}  {there.rows:>12,} rows  {there.hash}")
    different = [name for name, tally in wanted.items() if found[name] != tally]
    if different:
        key = json.dumps(copy.first_difference(different[0]), ensure_ascii=False)
        click.echo(
            f"countersign: the copy is not the same: {', '.join(different)}; the first different row of "
            f"{different[0]} is {literal(key)}. It cannot be served; --restart begins anew.",
            err=True,
        )
        return False
    rows = sum(tally.rows for tally in wanted.values())
    click.echo(f"the same: {rows:,} rows in {len(wanted)} tables, SHA-256 {_whole(wanted)}")
    return True


def _whole(tallies: Tallies) -> str:
    """Over what is printed of each table."""
    lines = (f"{name} {tally.rows} {tally.hash}\n" for name, tally in tallies.items())
    return sha256("".join(lines).encode()).hexdigest()


@contextmanager
def _bar(label: str, counts: Mapping[str, int], done: int = 0) -> Iterator[Callable[[int], object]]:
    """On standard error, and only on a terminal."""
    with click.progressbar(
        length=sum(counts.values()),
        label=f"{label:<15}",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        show_pos=True,
    ) as bar:
        if done:
            bar.update(done)
        yield bar.update
