"""Puts the side server together: routes, the gate, start and stop."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aiohttp import web

from core.errors import Unidentified
from web import expectations
from web.absence import Absences
from web.auth import Callers
from web.backups import Backups
from web.checkpoints import Checkpoints
from web.closing import Closing
from web.gate import Admission, add_headers, make_gate
from web.hooks.addresses import CallbackGuard
from web.hooks.inbound import Hooks
from web.looking import Looking
from web.metrics import Metrics
from web.pages import Pages
from web.pages.changes import Changes
from web.pages.views import Views
from web.pings import Pings
from web.questions import Conversation
from web.schemas import json_response
from web.standing import Standing
from web.stream import Streams
from web.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from core.ports import Clock, Credentials, Health, Secrets
    from core.service import Service
    from web.hooks.inbound import Hook
    from web.metrics import Exposition
    from web.pages.views import CardLinks
    from web.settings import WebSettings

LARGEST_BODY = 1024 * 1024
MACHINES = frozenset({"/healthz", "/readyz", "/hooks/{name}"})


def create_app(
    *,
    service: Service,
    credentials: Credentials,
    secrets: Secrets,
    health: Health,
    clock: Clock,
    settings: WebSettings,
    hooks: Mapping[str, Hook] | None = None,
    extra_routes: Sequence[web.RouteDef] = (),
    public_paths: Collection[str] = (),
    banner: str | None = None,
    links: Mapping[str, str] | None = None,
    card_links: CardLinks | None = None,
    exposition: Exposition | None = None,
    closing: Closing | None = None,
) -> web.Application:
    """The whole server as an application; serve it with `make_runner`.

    `extra_routes` are the chat callbacks and the demo's page; those whose path is in `public_paths` prove
    themselves otherwise and pass without sign-in. `banner` stands above every page, `links` in the
    navigation (name to path), `card_links` on a task's page. Where there is an `exposition`, there is
    `/metrics`. By `closing` it is told that it is about to stop.
    """
    refused: Counter[tuple[int, str]] = Counter()
    callers = Callers(
        settings=settings, service=service, credentials=credentials, secrets=secrets, clock=clock
    )
    pages = Pages(callers, banner=banner, links=links)
    closing = closing or Closing()
    pings = Pings(settings.ping_seconds)
    admission = Admission(settings=settings, callers=callers, machines=MACHINES | frozenset(public_paths))
    app = web.Application(middlewares=[make_gate(admission, pages, refused)], client_max_size=LARGEST_BODY)
    expectations.hear(app)
    guard = CallbackGuard(settings.webhook_allow, signed=settings.webhook_secret is not None)
    app.add_routes(Tasks(service=service, settings=settings, closing=closing, guard=guard).routes())
    app.add_routes(Standing(service=service, settings=settings).routes())
    app.add_routes(Conversation(service=service).routes())
    app.add_routes(Looking(service=service, clock=clock).routes())
    app.add_routes(Absences(service=service, pages=pages, clock=clock).routes())
    app.add_routes(Checkpoints(service=service, settings=settings).routes())
    app.add_routes(Backups(service=service, closing=closing).routes())
    streams = Streams(service=service, callers=callers, closing=closing, pings=pings, settings=settings)
    app.add_routes(streams.routes())
    if exposition is not None:
        app.add_routes(
            Metrics(exposition=exposition, readers=lambda: streams.readers, refused=refused).routes()
        )
    app.add_routes(Views(service=service, callers=callers, pages=pages, card_links=card_links).routes())
    app.add_routes(Changes(service=service, pages=pages).routes())
    app.add_routes(Hooks(service=service, hooks=hooks or {}).routes())
    app.add_routes(probes(health, callers, closing))
    app.add_routes(pages.assets.routes())
    app.add_routes(extra_routes)
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(closing.mark)
    app.cleanup_ctx.append(pings.running)
    app.on_shutdown.append(closing.close)
    return app


def create_probes(
    *,
    service: Service,
    credentials: Credentials,
    secrets: Secrets,
    health: Health,
    clock: Clock,
    settings: WebSettings,
    exposition: Exposition,
) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics` as the whole server has them, and nothing else."""
    refused: Counter[tuple[int, str]] = Counter()
    callers = Callers(
        settings=settings, service=service, credentials=credentials, secrets=secrets, clock=clock
    )
    admission = Admission(settings=settings, callers=callers, machines=MACHINES)
    app = web.Application(middlewares=[make_gate(admission, None, refused)])
    expectations.hear(app)
    app.add_routes(Metrics(exposition=exposition, readers=lambda: 0, refused=refused).routes())
    app.add_routes(probes(health, callers))
    app.on_response_prepare.append(add_headers)
    return app


REQUESTS_MAY_END = 3.0
"""Seconds for requests under way when the server stops: longer than a locked database is waited for."""


def make_runner(app: web.Application) -> web.AppRunner:
    """No access log (paths say who reads what); a reader that goes away ends its handler at once.

    Bodies that come compressed are left to `web.encodings`.
    """
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=REQUESTS_MAY_END,
        auto_decompress=False,
    )


def probes(health: Health, callers: Callers, closing: Closing | None = None) -> list[web.RouteDef]:
    """`/healthz`: alive; `/readyz`: can take work, and is to get more, with `warnings` for people.

    Anybody may ask; machines are named to those who sign in.
    """

    async def alive(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def ready(request: web.Request) -> web.Response:
        if closing is not None:
            closing.check()
        await health.check()
        warnings = await health.warnings(named=await _is_known(request))
        return json_response({"status": "ready", **({"warnings": [*warnings]} if warnings else {})})

    async def _is_known(request: web.Request) -> bool:
        try:
            await callers.caller(request)
        except Unidentified:
            return False
        return True

    return [web.get("/healthz", alive), web.get("/readyz", ready)]
