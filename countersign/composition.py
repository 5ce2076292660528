"""Puts the house together: the only place that chooses implementations."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from core.clock import SharedClock, SystemClock, in_step
from core.engines.local import LocalEngine
from core.feed import Feed
from core.ids import new_id
from core.lookout import lookout
from core.measures import Deliveries, Measures
from core.stopping import CUT_OFF, Deadline, left_in_time
from core.store.postgresql import conninfo
from core.store.sql import SqlStore
from core.store.sqlite import SQLite
from core.timekeeper import Timekeeper
from countersign.alike import KEY, Alike
from countersign.chats import Chats
from countersign.departure import STOP
from countersign.flows import loaded
from countersign.metrics import Exposition
from countersign.server import listen
from countersign.tracing import Untraced
from countersign.turns import Neighbours, Outboxes, ignored, shared_out
from web.app import create_app, create_probes, make_runner
from web.closing import Closing
from web.hooks.addresses import CallbackGuard
from web.hooks.outbound import WebhookChannel

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from aiohttp import web

    from core.engines.segments import Segments
    from core.flow import FlowDefinition, FlowRunner
    from core.model import ModelEndpoint
    from core.ports import Clock, Turns
    from core.service import Service
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings
    from countersign.traced import Tracing
    from web.settings import WebSettings

DELIVERIES_MAY_END = timedelta(seconds=1.5)
CHATS_MAY_CLOSE = timedelta(seconds=4)
SEGMENTS_MAY_END = timedelta(seconds=1.5)
"""What is given up after these is stored, and taken up at the next start."""
KEPT_FOR_THE_STORE = timedelta(seconds=1)
TRACES_MAY_LEAVE = timedelta(seconds=0.5)
KEPT_FOR_THE_ENGINE = SEGMENTS_MAY_END + CUT_OFF + KEPT_FOR_THE_STORE
KEPT_FOR_THE_CHATS = timedelta(seconds=1) + KEPT_FOR_THE_ENGINE
"""Slow requests and chats must not cost the engine its time: work that is not put back counts as a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The running parts that callers need."""

    store: SqlStore
    service: Service
    timekeeper: Timekeeper
    address: str
    """Where it listens, as `http://host:port`; empty where nothing does."""
    alike: Alike | None
    """Where there may be other replicas."""
    drain: Callable[[asyncio.Event], Awaitable[None]]
    """Sends callers elsewhere, before all this is left; sooner done where the event is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What the demo adds to the web server."""

    routes: Sequence[web.RouteDef] = ()
    public_paths: Collection[str] = ()
    banner: str | None = None
    links: Mapping[str, str] | None = None
    are_chats_real: bool = True
    """False: no page links to a card, for Slack and Telegram know nothing of it."""


def flows(configuration: Configuration, model: ModelEndpoint | None = None) -> dict[str, FlowDefinition]:
    """The configured flows, their processors imported; raises `SettingsError`."""
    return {name: loaded(name, configuration, model) for name in configuration.flows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all parts of the house stand on."""

    settings: Settings
    configuration: Configuration
    database: Database
    clock: Clock
    traced: Tracing | Untraced
    stop: Deadline
    stack: AsyncExitStack
    """Where parts are entered, outwards; they are left in the opposite order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What carries tasks, whoever asks for them and wherever they are shown."""

    store: SqlStore
    service: Service
    exposition: Exposition
    turns: Turns
    alike: Alike | None


@asynccontextmanager
async def house(
    settings: Settings,
    configuration: Configuration,
    definitions: Mapping[str, FlowDefinition],
    database: Database,
    *,
    extras: Extras | None = None,
    membership_changed: Callable[[str], bool] | None = None,
    as_read: Configuration | None = None,
    is_web: bool = True,
    tracing: Tracing | None = None,
) -> AsyncIterator[House]:
    """Everything running, from the store outwards; stopped within 10 s.

    `membership_changed` is told the id of each user group and channel in Slack that people came to or left,
    and says whether a group of ours has its members from there. `as_read` is what the file says where
    `configuration` has more. Without `is_web` nothing listens but, where they are asked for, the probes. With
    `tracing` there is a span around what is done.

    The web server listens before the chats are opened, so that a slow platform delays nobody. It is the
    first to stop, so that nothing new comes in while the rest ends. The database has been prepared; a SQLite
    file is held by this process alone.
    """
    async with AsyncExitStack() as stack:
        ground = Ground(
            settings=settings,
            configuration=configuration,
            database=database,
            clock=SystemClock() if isinstance(database, SQLite) else SharedClock(),
            traced=tracing or Untraced(),
            stop=Deadline(STOP),
            stack=stack,
        )
        stack.push_async_callback(ground.traced.stop, TRACES_MAY_LEAVE)
        neighbours = Neighbours(membership_changed or ignored)
        inside = await _inside(ground, definitions, as_read or configuration, neighbours)
        hooks = await _webhooks(ground)
        chats = Chats(
            settings,
            configuration,
            inside.service,
            inside.store,
            ground.clock,
            inside.turns,
            membership_changed and neighbours.group_changed,
            is_web=is_web,
        )
        address, quieten = "", _nothing
        drain: Callable[[asyncio.Event], Awaitable[None]] = _nobody
        closing = Closing()
        port, setting = _asked_for(settings.web, is_web=is_web)
        if port is not None:
            if is_web:
                runner = _server(ground, inside, chats, extras or Extras(), closing)
                drain = partial(closing.drain, runner, settings.web.drain)
            else:
                runner = _probes(ground, inside)
            quieten = runner.cleanup
            stack.push_async_callback(quieten)
            address = await listen(runner, settings.web.host, port, setting)
        await _outwards(ground, inside, chats, hooks)
        timekeeper = await _timekeeper(ground, inside)
        stack.push_async_callback(quieten)
        stack.callback(ground.stop.begin)
        yield House(
            store=inside.store,
            service=inside.service,
            timekeeper=timekeeper,
            address=address,
            alike=inside.alike,
            drain=drain,
        )


def _asked_for(settings: WebSettings, *, is_web: bool) -> tuple[int | None, str]:
    """The port, None where nothing is to listen, and the setting that names it."""
    if is_web:
        return settings.port, "COUNTERSIGN_PORT"
    return settings.worker_port, "COUNTERSIGN_WORKER_PORT"


async def _nothing() -> None:
    """Nothing listens, so nothing is to be stopped first."""


async def _nobody(_hurry: asyncio.Event) -> None:
    """Nobody calls, so nobody is to be sent elsewhere."""


async def _inside(
    ground: Ground,
    definitions: Mapping[str, FlowDefinition],
    as_read: Configuration,
    neighbours: Neighbours,
) -> Inside:
    """The workflow at work, and what listens to its commits."""
    clock, database, enter = ground.clock, ground.database, ground.stack.enter_async_context
    replica = None if isinstance(database, SQLite) else new_id()
    store = await enter(SqlStore(database, clock, replica=replica))
    if isinstance(clock, SharedClock):
        await enter(in_step(clock, store))
    feed, measures = Feed(store, hears_all=database.has_one_writer), Measures()
    service = ground.traced.service(
        store,
        feed,
        ground.configuration.people,
        definitions,
        policies=ground.configuration.policies,
        admins=ground.configuration.admins,
        clock=clock,
        observer=measures,
    )
    alike = None
    if replica is not None:
        alike = Alike(store, ground.settings, await store.secret(KEY), as_read)
    engine = _engine(ground, store, ground.traced.runner(store, definitions, clock, alike))
    for listener in (measures, feed, engine):
        store.listen(listener)
    turns = await shared_out(ground.stack, store, database, clock, replica=replica, neighbours=neighbours)
    if not turns.is_alone:
        await enter(lookout(feed, clock))
    await enter(engine)
    if alike is not None:
        await alike.look()
    exposition = Exposition(store=store, engine=engine, measures=measures, clock=clock)
    return Inside(store=store, service=service, exposition=exposition, turns=turns, alike=alike)


def _engine(ground: Ground, store: SqlStore, runner: FlowRunner) -> Segments:
    """SQLite is one process's alone, PostgreSQL is shared."""
    grace = partial(ground.stop.left, SEGMENTS_MAY_END, keep=CUT_OFF + KEPT_FOR_THE_STORE)
    if isinstance(ground.database, SQLite):
        return LocalEngine(runner, store, ground.clock, grace=grace)
    from core.engines.procrastinate import ProcrastinateEngine

    where = conninfo(ground.database)
    return ProcrastinateEngine(runner, store, ground.clock, conninfo=where, grace=grace)


async def _webhooks(ground: Ground) -> list[WebhookChannel]:
    """The channel for callbacks, where there is a secret to sign them with."""
    settings = ground.settings.web
    if settings.webhook_secret is None:
        return []
    channel = WebhookChannel(
        secret=settings.webhook_secret.get_secret_value(),
        guard=CallbackGuard(settings.webhook_allow, signed=True),
        base_url=settings.base_url,
        clock=ground.clock,
        carried=ground.traced.carried,
    )
    return [await ground.stack.enter_async_context(channel)]


def _server(ground: Ground, inside: Inside, chats: Chats, extras: Extras, closing: Closing) -> web.AppRunner:
    app = create_app(
        service=inside.service,
        credentials=inside.store,
        secrets=inside.store,
        health=inside.alike or inside.store,
        clock=ground.clock,
        settings=ground.settings.web,
        hooks=ground.configuration.hooks,
        extra_routes=[*chats.routes(), *extras.routes],
        public_paths={*chats.public_paths, *extras.public_paths},
        banner=extras.banner,
        links=extras.links,
        card_links=chats.card_links if extras.are_chats_real else None,
        exposition=inside.exposition,
        closing=closing,
    )
    return make_runner(app)


def _probes(ground: Ground, inside: Inside) -> web.AppRunner:
    """What a worker answers."""
    app = create_probes(
        service=inside.service,
        credentials=inside.store,
        secrets=inside.store,
        health=inside.alike or inside.store,
        clock=ground.clock,
        settings=ground.settings.web,
        exposition=inside.exposition,
    )
    return make_runner(app)


async def _outwards(ground: Ground, inside: Inside, chats: Chats, hooks: Sequence[WebhookChannel]) -> None:
    """The chats and callbacks, each served by one replica at a time."""
    closing = partial(ground.stop.left, CHATS_MAY_CLOSE, keep=KEPT_FOR_THE_ENGINE)
    opened = await ground.stack.enter_async_context(left_in_time(chats.open(), "chats", closing))
    channels = [ground.traced.channel(channel) for channel in (*opened, *hooks)]
    exposition = inside.exposition
    exposition.deliveries.update((channel.name, Deliveries()) for channel in channels)
    outboxes = Outboxes(
        store=inside.store,
        clock=ground.clock,
        turns=inside.turns,
        policies=ground.configuration.policies,
        ending=partial(ground.stop.left_if_begun, DELIVERIES_MAY_END, keep=KEPT_FOR_THE_CHATS),
        show=exposition.show,
        measures=exposition.deliveries,
    )
    await ground.stack.enter_async_context(outboxes.of(channels))


async def _timekeeper(ground: Ground, inside: Inside) -> Timekeeper:
    """What lets timers fire, on one replica at a time."""
    known = ground.configuration
    timekeeper = Timekeeper(inside.store, ground.clock, known.people, known.policies)
    inside.store.listen(timekeeper)
    await ground.stack.enter_async_context(inside.turns.holding("timers", lambda _: timekeeper))
    return timekeeper
