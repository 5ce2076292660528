"""Puts the house together: the only place that chooses implementations."""

from __future__ import annotations

import errno
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from core.clock import SystemClock
from core.engines.local import LocalEngine
from core.errors import SettingsError
from core.feed import Feed
from core.flow import FlowRunner
from core.measures import Measures
from core.outbox import Outbox, rest
from core.service import Service
from core.stopping import CUT_OFF, Deadline, left_in_time
from core.store.sql import SqlStore
from core.timekeeper import Timekeeper
from countersign.chats import Chats
from countersign.departure import STOP
from countersign.flows import loaded
from countersign.metrics import Exposition
from web.app import create_app, make_runner
from web.hooks.addresses import CallbackGuard
from web.hooks.outbound import WebhookChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from aiohttp import web

    from core.flow import FlowDefinition
    from core.model import ModelEndpoint, Policy, Recipient
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
    """Where the web server listens, as `http://host:port`."""


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
    tracing: Tracing | None = None,
) -> AsyncIterator[House]:
    """Everything running, from the store outwards; stopped within 10 s.

    `usergroup_changed` is told the id of each Slack user group that changes; with `tracing` there is a span
    around what is done.

    The web server listens before the chats are opened, so that a slow platform delays nobody. It is the
    first to stop, so that nothing new comes in while the rest ends. The database has been prepared, and
    is held by this process alone.
    """
    clock = SystemClock()
    stop = Deadline(STOP)
    make_service: Callable[..., Service] = Service if tracing is None else tracing.service
    make_runner_of_flows: Callable[..., FlowRunner] = FlowRunner if tracing is None else tracing.runner
    async with AsyncExitStack() as stack:
        if tracing is not None:
            stack.push_async_callback(tracing.stop, TRACES_MAY_LEAVE)
        store = await stack.enter_async_context(SqlStore(database, clock))
        feed, measures = Feed(store), Measures()
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
        engine = LocalEngine(
            make_runner_of_flows(store, definitions, clock),
            store,
            clock,
            grace=partial(stop.left, SEGMENTS_MAY_END, keep=CUT_OFF + KEPT_FOR_THE_STORE),
        )
        exposition = Exposition(store=store, engine=engine, measures=measures, clock=clock)
        store.listen(measures)
        store.listen(feed)
        store.listen(engine)
        await stack.enter_async_context(engine)
        hooks = await _webhooks(stack, settings, clock, tracing)
        chats = Chats(settings, configuration, service, store, clock, usergroup_changed)
        runner = make_runner(
            _app(settings, configuration, service, store, chats, clock, exposition, extras or Extras())
        )
        stack.push_async_callback(runner.cleanup)
        address = await _listen(runner, settings.web.host, settings.web.port)
        closing = partial(stop.left, CHATS_MAY_CLOSE, keep=KEPT_FOR_THE_ENGINE)
        channels = await stack.enter_async_context(left_in_time(chats.open(), "chats", closing))
        ending = partial(stop.left, DELIVERIES_MAY_END, keep=KEPT_FOR_THE_CHATS)
        outbox = Outbox(
            store,
            [channel if tracing is None else tracing.channel(channel) for channel in (*channels, *hooks)],
            clock,
            policies=configuration.policies,
            grace=ending,
            rest=rest,
        )
        store.listen(outbox)
        exposition.outbox = outbox
        await stack.enter_async_context(outbox)
        timekeeper = Timekeeper(store, clock, configuration.people, configuration.policies)
        store.listen(timekeeper)
        await stack.enter_async_context(timekeeper)
        stack.push_async_callback(runner.cleanup)
        stack.callback(stop.begin)
        yield House(store=store, service=service, timekeeper=timekeeper, address=address)


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
    chats: Chats,
    clock: SystemClock,
    exposition: Exposition,
    extras: Extras,
) -> web.Application:
    return create_app(
        service=service,
        credentials=store,
        secrets=store,
        health=store,
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
