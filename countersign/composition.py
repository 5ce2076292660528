"""Puts the house together: the only place that chooses implementations."""

from __future__ import annotations

import errno
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from core.clock import SharedClock, SystemClock, in_step
from core.engines.local import LocalEngine
from core.errors import SettingsError
from core.feed import Feed
from core.flow import FlowRunner
from core.ids import new_id
from core.lookout import lookout
from core.measures import Deliveries, Measures
from core.service import Service
from core.stopping import CUT_OFF, Deadline, left_in_time, together
from core.store.database import SQLite, conninfo
from core.store.sql import SqlStore
from core.timekeeper import Timekeeper
from countersign.alike import KEY, Alike
from countersign.chats import Chats
from countersign.departure import STOP
from countersign.flows import loaded
from countersign.metrics import Exposition
from countersign.turns import Neighbours, ignored, served, shared_out
from web.app import create_app, make_runner
from web.hooks.addresses import CallbackGuard
from web.hooks.outbound import WebhookChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from aiohttp import web

    from core.engines.segments import Segments
    from core.flow import FlowDefinition
    from core.model import ModelEndpoint, Policy, Recipient
    from core.ports import Channel, Health
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings
    from countersign.traced import Tracing

log = structlog.get_logger()

DELIVERIES_MAY_END = timedelta(seconds=1.5)
CHATS_MAY_CLOSE = timedelta(seconds=4)
SEGMENTS_MAY_END = timedelta(seconds=1.5)
"""What is given up after these is stored, and taken up at the next start."""
KEPT_FOR_THE_STORE = timedelta(seconds=1)
TRACES_MAY_LEAVE = timedelta(seconds=0.5)
KEPT_FOR_THE_ENGINE = SEGMENTS_MAY_END + CUT_OFF + KEPT_FOR_THE_STORE
KEPT_FOR_THE_CHATS = timedelta(seconds=1) + KEPT_FOR_THE_ENGINE
"""Slow requests and chats must not cost the engine its time: work that is not put back counts as a crash."""


class PortIsTaken(SettingsError):
    """Somebody else listens there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The running parts that callers need."""

    store: SqlStore
    service: Service
    timekeeper: Timekeeper
    address: str
    """Where the web server listens, as `http://host:port`; empty where there is none."""
    alike: Alike | None
    """Where there may be other replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What the demo adds to the web server."""

    routes: Sequence[web.RouteDef] = ()
    public_paths: Collection[str] = ()
    banner: str | None = None
    links: Mapping[str, str] | None = None


def flows(configuration: Configuration, model: ModelEndpoint | None = None) -> dict[str, FlowDefinition]:
    """The configured flows, their processors imported; raises `SettingsError`."""
    return {name: loaded(name, configuration, model) for name in configuration.flows}


def reachable(configuration: Configuration, settings: Settings) -> Configuration:
    """Without recipients in chats that are switched off: their cards would wait for ever."""
    on = {
        "slack": settings.bot.slack_bot_token is not None,
        "telegram": settings.bot.telegram_bot_token is not None,
    }
    policies = {name: _within(policy, on) for name, policy in configuration.policies.items()}
    return replace(configuration, policies=policies)


def _within(policy: Policy, on: Mapping[str, bool]) -> Policy:
    wider = policy.escalation
    places = (*policy.recipients, *policy.fallback, *(wider.recipients if wider else ()))
    for channel in {place.channel for place in places if not on[place.channel]}:
        log.warning("recipients_of_a_chat_that_is_off", policy=policy.name, channel=channel)
    return replace(
        policy,
        recipients=_open(policy.recipients, on),
        fallback=_open(policy.fallback, on),
        escalation=None if wider is None else replace(wider, recipients=_open(wider.recipients, on)),
    )


def _open(places: Sequence[Recipient], on: Mapping[str, bool]) -> tuple[Recipient, ...]:
    return tuple(place for place in places if on[place.channel])


@asynccontextmanager
async def house(
    settings: Settings,
    configuration: Configuration,
    definitions: Mapping[str, FlowDefinition],
    database: Database,
    *,
    extras: Extras | None = None,
    usergroup_changed: Callable[[str], object] | None = None,
    as_read: Configuration | None = None,
    is_web: bool = True,
    tracing: Tracing | None = None,
) -> AsyncIterator[House]:
    """Everything running, from the store outwards; stopped within 10 s.

    `usergroup_changed` is told the id of each Slack user group that changes. `as_read` is what the file says
    where `configuration` has more. Without `is_web` nothing listens. With `tracing` there is a span around
    what is done.

    The web server listens before the chats are opened, so that a slow platform delays nobody. It is the
    first to stop, so that nothing new comes in while the rest ends. The database has been prepared; a SQLite
    file is held by this process alone.
    """
    stop = Deadline(STOP)
    make_service: Callable[..., Service] = Service if tracing is None else tracing.service
    make_runner_of_flows: Callable[..., FlowRunner] = FlowRunner if tracing is None else tracing.runner
    async with AsyncExitStack() as stack:
        if tracing is not None:
            stack.push_async_callback(tracing.stop, TRACES_MAY_LEAVE)
        replica = None if isinstance(database, SQLite) else new_id()
        store, clock = await _opened(stack, database, replica)
        feed, measures = Feed(store, hears_all=database.has_one_writer), Measures()
        service = make_service(
            store,
            feed,
            configuration.people,
            definitions,
            policies=configuration.policies,
            admins=configuration.admins,
            clock=clock,
            observer=measures,
        )
        alike = None
        if replica is not None:
            alike = Alike(store, settings, await store.secret(KEY), as_read or configuration)
        grace = partial(stop.left, SEGMENTS_MAY_END, keep=CUT_OFF + KEPT_FOR_THE_STORE)
        engine = _engine(
            make_runner_of_flows(store, definitions, clock, alike), store, database, clock, grace
        )
        exposition = Exposition(store=store, engine=engine, measures=measures, clock=clock)
        store.listen(measures)
        store.listen(feed)
        store.listen(engine)
        neighbours = Neighbours(usergroup_changed or ignored)
        turns = await shared_out(stack, store, database, replica, clock, neighbours)
        if not turns.is_alone:
            await stack.enter_async_context(lookout(feed, clock))
        await stack.enter_async_context(engine)
        if alike is not None:
            await alike.look()
        hooks = await _webhooks(stack, settings, clock, tracing)
        chats = Chats(
            settings,
            configuration,
            service,
            store,
            clock,
            turns,
            usergroup_changed and neighbours.group_changed,
        )
        address, quieten = "", _nothing
        if is_web:
            app = _app(
                settings,
                configuration,
                service,
                store,
                alike or store,
                chats,
                clock,
                exposition,
                extras or Extras(),
            )
            runner = make_runner(app)
            quieten = runner.cleanup
            stack.push_async_callback(quieten)
            address = await _listen(runner, settings.web.host, settings.web.port)
        closing = partial(stop.left, CHATS_MAY_CLOSE, keep=KEPT_FOR_THE_ENGINE)
        channels = await stack.enter_async_context(left_in_time(chats.open(), "chats", closing))
        ending = partial(stop.left, DELIVERIES_MAY_END, keep=KEPT_FOR_THE_CHATS)
        outward: list[Channel] = [
            channel if tracing is None else tracing.channel(channel) for channel in (*channels, *hooks)
        ]
        exposition.deliveries.update((channel.name, Deliveries()) for channel in outward)
        serve = partial(
            served,
            store,
            configuration.policies,
            clock,
            ending,
            turns,
            exposition.show,
            exposition.deliveries,
        )
        await stack.enter_async_context(
            together(turns.holding(f"outbox {channel.name}", partial(serve, channel)) for channel in outward)
        )
        timekeeper = Timekeeper(store, clock, configuration.people, configuration.policies)
        store.listen(timekeeper)
        await stack.enter_async_context(turns.holding("timers", lambda _: timekeeper))
        stack.push_async_callback(quieten)
        stack.callback(stop.begin)
        yield House(store=store, service=service, timekeeper=timekeeper, address=address, alike=alike)


async def _opened(
    stack: AsyncExitStack, database: Database, replica: str | None
) -> tuple[SqlStore, SystemClock]:
    """The store, and the clock to go by: that of the database, where there may be other replicas."""
    clock = SystemClock() if replica is None else SharedClock()
    store = await stack.enter_async_context(SqlStore(database, clock, replica=replica))
    if isinstance(clock, SharedClock):
        await stack.enter_async_context(in_step(clock, store))
    return store, clock


async def _nothing() -> None:
    """Nothing listens, so nothing is to be stopped first."""


def _engine(
    runner: FlowRunner,
    store: SqlStore,
    database: Database,
    clock: SystemClock,
    grace: Callable[[], timedelta],
) -> Segments:
    """SQLite is one process's alone, PostgreSQL is shared."""
    if isinstance(database, SQLite):
        return LocalEngine(runner, store, clock, grace=grace)
    from core.engines.procrastinate import ProcrastinateEngine

    return ProcrastinateEngine(runner, store, clock, conninfo=conninfo(database), grace=grace)


async def _webhooks(
    stack: AsyncExitStack, settings: Settings, clock: SystemClock, tracing: Tracing | None
) -> list[WebhookChannel]:
    """The channel for callbacks, where there is a secret to sign them with."""
    secret = settings.web.webhook_secret
    if secret is None:
        return []
    channel = WebhookChannel(
        secret=secret.get_secret_value(),
        guard=CallbackGuard(settings.web.webhook_allow, signed=True),
        base_url=settings.web.base_url,
        clock=clock,
        carried=dict if tracing is None else tracing.carried,
    )
    return [await stack.enter_async_context(channel)]


def _app(
    settings: Settings,
    configuration: Configuration,
    service: Service,
    store: SqlStore,
    health: Health,
    chats: Chats,
    clock: SystemClock,
    exposition: Exposition,
    extras: Extras,
) -> web.Application:
    return create_app(
        service=service,
        credentials=store,
        secrets=store,
        health=health,
        clock=clock,
        settings=settings.web,
        hooks=configuration.hooks,
        extra_routes=[*chats.routes(), *extras.routes],
        public_paths={*chats.public_paths, *extras.public_paths},
        banner=extras.banner,
        links=extras.links,
        exposition=exposition,
    )


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    from aiohttp.web import TCPSite

    await runner.setup()
    try:
        await TCPSite(runner, host, port).start()
    except OSError as error:
        refusal = PortIsTaken if error.errno == errno.EADDRINUSE else SettingsError
        raise refusal(
            f"COUNTERSIGN_HOST, COUNTERSIGN_PORT: cannot listen at {host}:{port}: {error}."
        ) from error
    bound = runner.addresses[0]
    return f"http://{bound[0]}:{bound[1]}"
