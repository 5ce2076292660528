"""The command line. Every command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import errno
import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from core.model import Json

DONE, FAILED, WRONG = 0, 1, 2
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the file may say to which somebody sent our lines."""
YOUNG = 10_000
"""New objects after which the interpreter looks for garbage that refers to itself. At its own 700, looking
was 3 % of a round trip's CPU; requests leave little such garbage."""
SURVIVORS, ALL = (2, 40) if sys.version_info < (3, 14) else (10, 10)
"""After how many such looks it looks through what survived them, and after how many of these through all.
At its own 10 and 10 everybody waited 20 ms every few seconds of load (24 ms at most; now 8), as long as half
a press takes. From 3.14 on the numbers mean something else."""


def _utf8(_context: click.Context, _parameter: click.Parameter, word: str | None) -> str | None:
    """A shell may hand over bytes that are no text, which no request can carry."""
    try:
        (word or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is not UTF-8 text.") from None
    return word


def _printable(_context: click.Context, _parameter: click.Parameter, word: str | None) -> str | None:
    """What a header can carry."""
    if word is not None and not (word and word.isascii() and word.isprintable()):
        raise click.BadParameter("is not made of printable ASCII characters.")
    return word


def _status(context: click.Context, parameter: click.Parameter, word: str | None) -> str | None:
    """One of the statuses that there are."""
    from core.model import Status

    if _utf8(context, parameter, word) and word not in set(Status):
        raise click.BadParameter(f"is one of {', '.join(Status)}.")
    return word


def _no_stream(_context: click.Context, _parameter: click.Parameter, file: Path) -> Path:
    """A file that can be checked before it is in its place."""
    if str(file) == "-":
        raise click.BadParameter("is a file's name; a backup does not go to standard output.")
    return file


def _moment(_context: click.Context, _parameter: click.Parameter, word: str | None) -> datetime | None:
    """A date, or a time of one, in UTC unless it names its zone."""
    from datetime import UTC, datetime

    if word is None:
        return None
    try:
        found = datetime.fromisoformat(word)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("is a date such as 2026-11-21, or 2026-11-21T08:30+01:00.") from None


def run(words: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 failed, 2 wrong words or settings. None is the process's own words."""
    from core.errors import CountersignError, SettingsError, StoreUnavailable

    try:
        status = commands.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return WRONG if isinstance(error, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        return FAILED
    except CountersignError as error:
        said = error.in_full if isinstance(error, StoreUnavailable) else error
        click.echo(f"countersign: {said}", err=True)
        return WRONG if isinstance(error, SettingsError) else FAILED
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        click.echo(f"countersign: it cannot be written: {error.strerror}.", err=True)
        return FAILED
    return status if isinstance(status, int) else DONE


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="countersign")
def commands() -> None:
    """A human's yes or no between an automated step and its effect, in the chat where people already are."""


@commands.command()
@click.option("--host", envvar="COUNTERSIGN_HOST", default="127.0.0.1", help="A loopback address.")
@click.option("--port", envvar="COUNTERSIGN_PORT", default=8080, type=click.IntRange(0, 65535))
def demo(host: str, port: int) -> int:
    """The whole product with simulated chats; no account, no set-up, nothing kept."""
    with _imports_uncollected():
        from countersign.demo import run_demo

    return run_demo(host, port)


@commands.command()
def serve() -> int:
    """The real thing, from the environment, .env and countersign.toml."""
    with _imports_uncollected():
        from countersign.serve import run_serve

    return run_serve()


@commands.command()
def worker() -> int:
    """One more machine for the work, on PostgreSQL: as `serve`, without the web pages."""
    with _imports_uncollected():
        from countersign.serve import run_worker

    return run_worker()


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per check.")
def doctor(as_json: bool) -> int:
    """Check settings, database, tokens, chats, clock and packages; say how to mend what is wrong."""
    from countersign.doctor import run_doctor

    return run_doctor(as_json=as_json)


@commands.command()
def migrate() -> int:
    """Bring the database up to this release; a SQLite file is copied first."""
    from countersign.database import run_migrate

    return run_migrate()


@commands.command()
@click.option("--from", "source", required=True, metavar="URL", callback=_utf8, help="sqlite:///FILE")
@click.option("--to", "target", required=True, metavar="URL", callback=_utf8, help="postgresql://HOST/NAME")
@click.option("--restart", is_flag=True, help="Clear away what a copy that was stopped has left in --to.")
def copy(source: str, target: str, restart: bool) -> int:
    """Copy a database that nobody serves into an empty one, and prove that it is the same.

    Stopped, it goes on where it was with the same command; exit 0 only if every row is the same.
    """
    from countersign.copying import run_copy

    return run_copy(source, target, restart=restart)


@commands.command()
@click.argument("person", callback=_utf8)
@click.option("--revoke", is_flag=True, help="Revoke every link and token of this person instead.")
def link(person: str, revoke: bool) -> int:
    """A personal sign-in link and API token for PERSON, somebody in countersign.toml."""
    from countersign.database import run_link

    return run_link(person, revoke=revoke)


@commands.command()
@click.argument("text", callback=_utf8)
@click.option("--parse", is_flag=True, help="TEXT is JSON, and the input is what it says.")
@click.option("--title", callback=_utf8, help="What cards and lists call it.")
@click.option(
    "--flow",
    callback=_utf8,
    help="One of the configured flows: approval asks once; draft, where none is named, again.",
)
@click.option("--policy", callback=_utf8, help="One of those that the flow offers.")
@click.option(
    "--key", callback=_printable, help="An idempotency key: the same key again makes no second task."
)
@click.option("--wait", is_flag=True, help="Watch it to its end, as `watch` does.")
@click.option("--json", "as_json", is_flag=True, help="The task as JSON.")
def submit(
    text: str,
    parse: bool,
    title: str | None,
    flow: str | None,
    policy: str | None,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Hand in TEXT (`-` reads standard input) as a task; prints its id."""
    from countersign.client import run_submit

    text = _from_stdin() if text == "-" else text
    data = _parsed(text) if parse else text
    return run_submit(data, title=title, flow=flow, policy=policy, key=key, wait=wait, as_json=as_json)


@commands.command()
@click.argument("task", callback=_utf8)
@click.option("--json", "as_json", is_flag=True, help="Each event as a line of JSON.")
def watch(task: str, as_json: bool) -> int:
    """Follow TASK to its end, with its progress; exit 0 if it was completed and not rejected, else 1."""
    from countersign.client import run_watch

    return run_watch(task, as_json=as_json)


@commands.command()
@click.option("--status", callback=_status, help="Only tasks of this status.")
@click.option("--flow", callback=_utf8, help="Only tasks of this flow.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Each task as a line of JSON.")
def tasks(status: str | None, flow: str | None, limit: int, as_json: bool) -> int:
    """List tasks, newest first."""
    from countersign.client import run_tasks

    return run_tasks(status=status, flow=flow, limit=limit, as_json=as_json)


@commands.command()
@click.option("--status", callback=_status, help="Only tasks of this status.")
@click.option("--flow", callback=_utf8, help="Only tasks of this flow.")
@click.option("--since", callback=_moment, metavar="DATE", help="Only tasks submitted then or later, UTC.")
@click.option("--history", is_flag=True, help="With the reviews and decisions of each task.")
def export(status: str | None, flow: str | None, since: datetime | None, history: bool) -> int:
    """Every task with its input, result and times, newest first, as lines of JSON."""
    from countersign.export import run_export

    return run_export(status=status, flow=flow, since=since, history=history)


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), callback=_no_stream)
@click.option("--json", "as_json", is_flag=True, help="Path, bytes and revision as JSON.")
def backup(file: Path, as_json: bool) -> int:
    """The running server's SQLite database, whole and checked, in place of FILE; for administrators.

    Keep it as you keep a password: in it are all drafts, and the keys of buttons and sessions. PostgreSQL is
    backed up with pg_dump instead.
    """
    from countersign.backup import run_backup

    return run_backup(file, as_json=as_json)


@commands.command()
@click.argument("name", required=False, callback=_utf8)
@click.option("--mermaid", "as_mermaid", is_flag=True, help="As a Mermaid flowchart.")
@click.option("--json", "as_json", is_flag=True, help="Each flow, or each node, as a line of JSON.")
def flow(name: str | None, as_mermaid: bool, as_json: bool) -> int:
    """The flow NAME: its nodes, their actions, and where reviews are asked; without NAME all flows."""
    if as_mermaid and (name is None or as_json):
        raise click.UsageError("--mermaid draws one flow: name it, and leave --json out.")
    from countersign.flows import run_flow

    return run_flow(name, as_mermaid=as_mermaid, as_json=as_json)


@commands.group()
def policy() -> None:
    """What policies say, before they are in force."""


@policy.command(name="check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Each review that would differ as a line of JSON.")
def policy_check(file: Path | None, as_json: bool) -> int:
    """Check FILE (else the configured one), and tell which decided reviews would have gone another way.

    Exit 0 if none would, else 1; 2 where the file is wrong.
    """
    from countersign.rehearsal import run_policy_check

    return run_policy_check(file, as_json=as_json)


@contextmanager
def _imports_uncollected() -> Iterator[None]:
    """What imports make stays for good; looking through it for garbage was a sixth of the start."""
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(YOUNG, SURVIVORS, ALL)
    gc.enable()


def _parsed(text: str) -> Json:
    from pydantic_core import from_json

    try:
        found: Json = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise click.UsageError(f"TEXT is not JSON: {error}.") from None
    return found


def _from_stdin() -> str:
    if sys.stdin is None:
        raise click.UsageError("standard input is closed.")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text.") from None
