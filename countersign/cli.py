"""The command line. Every command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE, FAILED, WRONG = 0, 1, 2


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


def run(words: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 failed, 2 wrong words or settings. None is the process's own words."""
    from core.errors import CountersignError, SettingsError

    try:
        status = commands.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return WRONG if isinstance(error, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        return FAILED
    except SettingsError as error:
        click.echo(f"countersign: {error}", err=True)
        return WRONG
    except CountersignError as error:
        click.echo(f"countersign: {error}", err=True)
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
@click.argument("person")
@click.option("--revoke", is_flag=True, help="Revoke every link and token of this person instead.")
def link(person: str, revoke: bool) -> int:
    """A personal sign-in link and API token for PERSON, somebody in countersign.toml."""
    from countersign.database import run_link

    return run_link(person, revoke=revoke)


@commands.command()
@click.argument("text", callback=_utf8)
@click.option("--title", callback=_utf8, help="What cards and lists call it.")
@click.option("--flow", callback=_utf8, help="One of the configured flows.")
@click.option(
    "--key", callback=_printable, help="An idempotency key: the same key again makes no second task."
)
@click.option("--wait", is_flag=True, help="Watch it to its end, as `watch` does.")
@click.option("--json", "as_json", is_flag=True, help="The task as JSON.")
def submit(text: str, title: str | None, flow: str | None, key: str | None, wait: bool, as_json: bool) -> int:
    """Hand in TEXT (`-` reads standard input) as a task; prints its id."""
    from countersign.client import run_submit

    return run_submit(
        _from_stdin() if text == "-" else text, title=title, flow=flow, key=key, wait=wait, as_json=as_json
    )


@commands.command()
@click.argument("task", callback=_utf8)
@click.option("--json", "as_json", is_flag=True, help="Each message as a line of JSON.")
def watch(task: str, as_json: bool) -> int:
    """Follow TASK to its end; exit 0 if it was completed and not rejected, else 1."""
    from countersign.client import run_watch

    return run_watch(task, as_json=as_json)


@commands.command()
@click.option("--status", callback=_utf8, help="Only tasks of this status.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Each task as a line of JSON.")
def tasks(status: str | None, limit: int, as_json: bool) -> int:
    """List tasks, newest first."""
    from countersign.client import run_tasks

    return run_tasks(status=status, limit=limit, as_json=as_json)


@contextmanager
def _imports_uncollected() -> Iterator[None]:
    """What imports make stays for good; looking through it for garbage was a sixth of the start."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _from_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text.") from None
