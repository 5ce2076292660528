"""`countersign serve`: the real thing, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click
import structlog

from bot import tokens
from core.clock import SystemClock
from core.errors import SettingsError
from core.store.database import database
from core.store.lock import exclusive
from core.store.sqlite import SQLite
from countersign import alike, logs
from countersign.composition import flows, house
from countersign.configuration import configuration
from countersign.database import prepared
from countersign.departure import STOP, stop_on_signals
from countersign.membership import asker
from countersign.outside import Keeper
from countersign.reach import reachable, switched
from countersign.reloading import FIRST_ANSWERS, Live, Reloader, follow, on_hangup
from countersign.settings import environment, settings, unknown_names
from countersign.tracing import tracing
from web.closing import LINGERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

    from core.flow import FlowDefinition
    from core.store.database import Database
    from countersign.composition import House
    from countersign.configuration import Configuration
    from countersign.settings import Settings
    from countersign.traced import Tracing

log = structlog.get_logger()


def run_worker() -> int:
    """As `run_serve`, without the web server: one more machine for the work of a PostgreSQL database."""
    return _run(is_web=False)


def run_serve() -> int:
    """Serve until SIGTERM or SIGINT, then drain; raises `SettingsError` before anything is changed."""
    return _run(is_web=True)


def _run(*, is_web: bool) -> int:
    found = settings()
    configured = configuration(found.core.config, environment())
    program = f"countersign {'serve' if is_web else 'worker'} {alike.name()}"
    target = database(found.core.database_url.get_secret_value(), program)
    if not is_web and isinstance(target, SQLite):
        raise SettingsError(
            "COUNTERSIGN_DATABASE_URL: a worker shares a PostgreSQL database with `countersign serve`; "
            "a SQLite file is one process's alone."
        )
    tokens.check(found.bot)
    traces, trouble = tracing(os.environ)
    logs.configure(traces.named if traces else None)
    if not isinstance(target, SQLite):
        logs.always(replica=alike.name())
    if trouble:
        log.warning("tracing_is_off", reason=trouble)
    live = Live(reachable(configured, found))
    definitions = flows(live.configuration, found.core.model_endpoint)
    _warn(found, live.configuration)
    with exclusive(target):
        prepared(target)
        run(_serve(found, live, definitions, target, traces, is_web=is_web))
    log.info("stopped")
    return 0


def _warn(found: Settings, configured: Configuration) -> None:
    """Say what is unusual; none of it stops the start."""
    for name in (*found.bot.foreign_urls, *unknown_names()):
        log.warning("unusual_setting", setting=name)
    on = switched(found)
    for group, source in configured.outside.items():
        if not on.get(source.kind, True):
            log.warning("group_of_a_chat_that_is_off", group=group, channel=source.kind)
    if found.web.auth != "open":
        for name in configured.policies_of_nobody:
            log.warning("policy_without_reviewers", policy=name, mend=configured.how_to_name_reviewers)


def run(main: Coroutine[object, object, None]) -> None:
    """On uvloop where there is one: measured at two thirds more requests a second."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(main)


def _loop() -> asyncio.AbstractEventLoop:
    loop = _quickest()
    loop.set_exception_handler(logs.not_handled)
    return loop


def _quickest() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(
    found: Settings,
    live: Live,
    definitions: Mapping[str, FlowDefinition],
    target: Database,
    traces: Tracing | None,
    *,
    is_web: bool,
) -> None:
    hurry, hangup = asyncio.Event(), asyncio.Event()
    stop = stop_on_signals(_within(found.web.drain if is_web else timedelta(0)), hurry=hurry)
    on_hangup(hangup)
    async with (
        Keeper(live.read.outside, asker(found.bot), SystemClock()) as keeper,
        _house(found, live, definitions, target, keeper, traces, is_web=is_web) as running,
        asyncio.TaskGroup() as tasks,
    ):
        listening = {"address": running.address} if running.address else {}
        log.info("serving" if is_web else "working", **listening)
        click.echo(_said(found.web.base_url, running.address, is_web=is_web), err=True)
        reloader = Reloader(
            lambda: _read(found),
            live,
            definitions,
            running.service,
            look=running.timekeeper.look,
            keeper=keeper,
            reread=None if running.alike is None else running.alike.changed,
            beside=None if running.alike is None else running.alike.beside,
        )
        beside = [
            tasks.create_task(follow(hangup, reloader), name="reload"),
            tasks.create_task(keeper.run(reloader.members_changed), name="groups"),
        ]
        await stop.wait()
        log.info("stopping")
        await running.drain(hurry)
        for task in beside:
            task.cancel()


def _within(drain: timedelta) -> Sequence[timedelta]:
    """How long the process has to end by itself from the first signal, and from the second."""
    return (drain + LINGERS + STOP, LINGERS + STOP) if drain else (STOP,)


def _said(public: str, address: str, *, is_web: bool) -> str:
    """What whoever starts it reads first."""
    if not is_web:
        listens = f", and answers probes at {address}" if address else "; nothing listens"
        return f"Countersign works{listens}"
    return f"Countersign serves at {public}" + ("" if address == public else f", and listens at {address}")


@asynccontextmanager
async def _house(
    found: Settings,
    live: Live,
    definitions: Mapping[str, FlowDefinition],
    target: Database,
    keeper: Keeper,
    traces: Tracing | None,
    *,
    is_web: bool,
) -> AsyncIterator[House]:
    """With who is in groups from outside, as far as that can be known at once."""
    await keeper.answered(FIRST_ANSWERS)
    live.replace(live.read, keeper.members())
    async with house(
        found,
        live.configuration,
        definitions,
        target,
        membership_changed=keeper.changed,
        as_read=live.read,
        is_web=is_web,
        tracing=traces,
    ) as running:
        yield running


def _read(found: Settings) -> Configuration:
    """The configuration as its file says it now; raises `SettingsError`."""
    return reachable(configuration(found.core.config, environment()), found)
