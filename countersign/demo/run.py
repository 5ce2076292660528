"""Runs the house over simulated chats until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import structlog
from click.core import ParameterSource
from pydantic import SecretStr

from bot.simulator.page import PATH, Frame, Page
from bot.simulator.slack import NotOffered
from core.settings import CoreSettings
from core.store.database import database
from countersign import logs
from countersign.composition import Extras, flows, house
from countersign.database import prepared
from countersign.demo.chats import demo_configuration, simulated_chats
from countersign.demo.machine import check_host, forget_environment, free_port
from countersign.demo.samples import submit_samples
from countersign.departure import stop_on_signals
from countersign.serve import run
from countersign.server import PortIsTaken
from countersign.settings import Settings
from web.pages.assets import Assets
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from collections.abc import Set as AbstractSet

    from core.model import ChannelName, Hint, StoredEvent
    from core.service import Service
    from core.store.database import Database
    from countersign.demo.chats import SimulatedChats

log = structlog.get_logger()

BANNER = "Demo: both chats are simulated. Nothing leaves this machine, and nothing is kept."
LINKS = {"Both chats": PATH}


def run_demo(host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT; raises `SettingsError` where it cannot listen there."""
    check_host(host)
    forget_environment()
    _log_trouble_only()
    while True:
        free = free_port(host, port, or_next=_is_default("port"))
        try:
            run(_demo(WebSettings(host=host, port=free, auth="open")))
        except PortIsTaken:
            continue  # somebody took it between our look and our listening
        else:
            return 0


def _is_default(parameter: str) -> bool:
    """Whether nobody chose this, on the command line or in the environment."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(parameter) is ParameterSource.DEFAULT


def _log_trouble_only() -> None:
    """What goes well is to be seen on the page, not on the terminal."""
    logs.configure()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


async def _demo(web: WebSettings) -> None:
    stop = stop_on_signals()
    with TemporaryDirectory(prefix="countersign-demo-", ignore_cleanup_errors=True) as folder:
        target = database(f"sqlite:///{Path(folder) / 'demo.db'}")
        await asyncio.to_thread(prepared, target)
        if stop.is_set():  # on a slow machine the rest takes longer than a stop may
            return
        async with _everything(web, target) as (service, chats), asyncio.TaskGroup() as group:
            opening = group.create_task(_open(service, chats, web.base_url))
            await stop.wait()
            opening.cancel()


async def _open(service: Service, chats: SimulatedChats, base_url: str) -> None:
    """The samples first, so that the page is worth looking at when its address is printed."""
    try:
        await submit_samples(service, chats)
    except (TimeoutError, NotOffered) as error:
        log.warning("samples_incomplete", reason=str(error))
    _greet(base_url)


@asynccontextmanager
async def _everything(web: WebSettings, target: Database) -> AsyncIterator[tuple[Service, SimulatedChats]]:
    """The house, its chats and their page."""
    configuration = demo_configuration()
    async with simulated_chats(configuration) as chats:
        page = Page(slack=chats.slack, telegram=chats.telegram, frame=_frame())
        found = Settings(core=_core(str(target.url)), bot=chats.settings, web=web)
        extras = Extras(routes=page.routes(), banner=BANNER, links=LINKS, are_chats_real=False)
        known = flows(configuration)
        async with house(found, configuration, known, target, extras=extras) as running, page.following():
            running.store.listen(Ringer(page))
            yield running.service, chats


class Ringer:
    """Tells open pages that tasks have changed."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def committed(self, events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        if events:
            self._page.tasks_changed()

    def heard(self, _hint: Hint) -> None:
        """The demo is alone on its database."""


def _core(url: str) -> CoreSettings:
    """Made without reading the environment or `.env`."""
    return CoreSettings.model_construct(database_url=SecretStr(url), config=None)


def _frame() -> Frame:
    """Looks as the product's own pages do."""
    assets = Assets()
    return Frame(
        icon=assets.url("icon.svg"),
        stylesheets=[assets.url("vendor/pico.classless.min.css"), assets.url("app.css")],
        scripts=[assets.url("vendor/htmx.min.js")],
        links={"New task": "/", "Inbox": "/inbox", **LINKS},
        banner=BANNER,
    )


def _greet(base_url: str) -> None:
    """The address first, alone on its line, for scripts to read."""
    click.echo(f"{base_url}{PATH}")
    click.echo(
        "\nThat page holds the form, the task and both chats: submit a text, reject it with a reason in one"
        "\nchat, approve the second attempt in the other. Or submit from a terminal:\n"
        f"\n  curl -d 'data=Announce the new opening hours' {base_url}/submit\n"
        "\nBoth chats are simulated, and nothing is kept. Ctrl-C ends the demo."
    )
