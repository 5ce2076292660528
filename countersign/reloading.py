"""Reading the configuration anew at SIGHUP: who people are and what policies say, while everything goes on.

Flows, hooks and settings stay as they were until the next start: tasks are in the middle of them.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bot.people import Directory
from core.errors import SettingsError, Unavailable
from core.inforce import InForce

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from core.flow import FlowDefinition
    from core.service import Service
    from countersign.configuration import Configuration

log = structlog.get_logger()


class Live:
    """A configuration whose people and policies can be replaced under everybody who holds it."""

    def __init__(self, configured: Configuration) -> None:
        self._people = InForce(configured.people)
        self._policies = InForce(configured.policies)
        self._slack = InForce(configured.directory.slack)
        self._telegram = InForce(configured.directory.telegram)
        self.configuration = replace(
            configured,
            people=self._people,
            policies=self._policies,
            directory=Directory(slack=self._slack, telegram=self._telegram),
        )

    def replace(self, new: Configuration) -> list[str]:
        """From now on what `new` says; the names of the policies that changed."""
        changed = [
            name
            for name in {*self._policies, *new.policies}
            if self._policies.get(name) != new.policies.get(name)
        ]
        self._people.replace(new.people)
        self._policies.replace(new.policies)
        self._slack.replace(new.directory.slack)
        self._telegram.replace(new.directory.telegram)
        return sorted(changed)


def check_fits(new: Configuration, definitions: Mapping[str, FlowDefinition]) -> None:
    """Raise `SettingsError` where a flow that runs asks for a policy that the file has no more."""
    for name, definition in definitions.items():
        for policy in sorted(definition.policies_asked_for):
            if policy not in new.policies:
                raise SettingsError(f"policies.{policy}: is gone, and the flow {name!r} asks for it.")


class Reloader:
    """`read` gives the configuration as the file says it now, or raises `SettingsError`.

    `look` tells the timekeeper that something fell due.
    """

    def __init__(
        self,
        read: Callable[[], Configuration],
        live: Live,
        definitions: Mapping[str, FlowDefinition],
        service: Service,
        *,
        look: Callable[[], object],
    ) -> None:
        self._read = read
        self._live = live
        self._definitions = definitions
        self._service = service
        self._look = look

    async def reload(self) -> bool:
        """Whether the file is in force now; with a mistake in it, what was in force stays so."""
        try:
            new = await asyncio.to_thread(self._read)
            check_fits(new, self._definitions)
        except SettingsError as error:
            log.warning("configuration_refused", reason=str(error))
            return False
        changed = self._live.replace(new)
        self._service.appoint(new.admins)
        log.info("configuration_reloaded", policies_changed=changed)
        await self._reconsider(changed)
        return True

    async def look_over(self) -> None:
        """Once, at the start: the file may have been changed while nobody ran."""
        await self._reconsider(self._live.configuration.policies, unsaid=True)

    async def _reconsider(self, policies: Collection[str], *, unsaid: bool = False) -> None:
        with suppress(Unavailable):
            stuck = await self._service.reconsider(policies, unsaid=unsaid)
            self._look()
            if stuck:
                log.warning("reviews_stuck", count=stuck)


def on_hangup(asked: asyncio.Event) -> None:
    """Set `asked` at SIGHUP, where there is such a signal."""
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)


async def follow(asked: asyncio.Event, reloader: Reloader) -> None:
    """Reload whenever it is asked for; several calls in one moment are one."""
    await _tried(reloader.look_over)
    while True:
        await asked.wait()
        asked.clear()
        await _tried(reloader.reload)


async def _tried(act: Callable[[], Awaitable[object]]) -> None:
    try:
        await act()
    except Exception:
        # What is in force stays so; the next signal tries again.
        log.exception("configuration_not_reloaded")
