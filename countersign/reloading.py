"""Who people are and what policies say, put in force while everything goes on: when SIGHUP has the file read
anew, and when somebody came into a group from outside or left it.

Flows, hooks and settings stay as they were until the next start: tasks are in the middle of them.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from bot.people import Directory
from core.amendments import admitted, groups_of
from core.defects import defect
from core.errors import SettingsError, Unavailable
from core.inforce import InForce
from core.outages import Outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from core.flow import FlowDefinition
    from core.model import PersonId
    from core.service import Service
    from countersign.alike import Beside
    from countersign.configuration import Configuration
    from countersign.outside import Keeper

log = structlog.get_logger()

FIRST_ANSWERS = timedelta(seconds=3)
"""How long the start, or a reload, waits for groups of which nothing is known."""
AGAIN = timedelta(seconds=5)
"""Before what is open is looked at again that the database was not there for, or that replicas judged by what
another file said: a question of two small tables."""
NAMED = 20
"""Ids in one line of the log."""
LONGEST_ID = 64
"""Characters of one: a source may say anything."""


class Live:
    """A configuration whose people and policies can be replaced under everybody who holds it.

    `read` is what the file says, `configuration` that with those in its policies who come from outside.
    """

    def __init__(self, configured: Configuration) -> None:
        self.read = configured
        self.members: Mapping[str, tuple[PersonId, ...]] = {}
        """Of groups from outside that are known."""
        self._strangers: Mapping[str, tuple[str, ...]] = {}
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

    def replace(self, new: Configuration, members: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """From now on what `new` says; the names of the policies that changed.

        `members` are those of groups from outside, as their sources call them.
        """
        meant = {
            group: new.outside[group].meant(found, new.directory, new.people)
            for group, found in (members or {}).items()
            if group in new.outside
        }
        self._tell({group: strangers for group, (_, strangers) in meant.items()})
        self.read, self.members = new, {group: people for group, (people, _) in meant.items()}
        policies = {name: admitted(policy, self.members) for name, policy in new.policies.items()}
        changed = [
            name for name in {*self._policies, *policies} if self._policies.get(name) != policies.get(name)
        ]
        self._people.replace(new.people)
        self._policies.replace(policies)
        self._slack.replace(new.directory.slack)
        self._telegram.replace(new.directory.telegram)
        return sorted(changed)

    def _tell(self, strangers: Mapping[str, tuple[str, ...]]) -> None:
        """Once, of those whom a source names and [people] does not; not of one who leaves a busy channel.

        How many there are, and who is new: of a large channel the first twenty are always the same.
        """
        for group, unknown in strangers.items():
            before = frozenset(self._strangers.get(group, ()))
            new = [name[:LONGEST_ID] for name in unknown if name not in before]
            if new:
                log.warning("group_members_unknown", group=group, count=len(unknown), ids=new[:NAMED])
        self._strangers = strangers


def check_there(new: Configuration, before: Configuration) -> None:
    """Raise `SettingsError` where the file that was read before is gone: a start takes that for a file that
    names nobody, but a moved file is no wish to strike everybody."""
    if new.path is None and before.path is not None:
        raise SettingsError(
            f"COUNTERSIGN_CONFIG: {before.path.name} is gone, and what it said stays in force."
        )


def check_fits(new: Configuration, definitions: Mapping[str, FlowDefinition]) -> None:
    """Raise `SettingsError` where a flow that runs asks for a policy that the file has no more."""
    for name, definition in definitions.items():
        for policy in sorted(definition.policies_asked_for):
            if policy not in new.policies:
                raise SettingsError(
                    f"policies.{policy}: is gone, and the flow {name!r} that runs asks for it; flows wait "
                    "for the next start, so keep the policy until then."
                )


def flows_changed(before: Configuration, now: Configuration) -> list[str]:
    """Flows that the next start will read otherwise."""
    names = {*before.flows, *now.flows}
    return sorted(name for name in names if before.flows.get(name) != now.flows.get(name))


class Reloader:
    """`read` gives the configuration as the file says it now, or raises `SettingsError`.

    `look` tells the timekeeper that something fell due. `keeper` knows who is in groups from outside.
    `reread` is told what the file says now, for the other replicas; `beside` tells of these.
    """

    def __init__(
        self,
        read: Callable[[], Configuration],
        live: Live,
        definitions: Mapping[str, FlowDefinition],
        service: Service,
        *,
        look: Callable[[], object],
        keeper: Keeper | None = None,
        reread: Callable[[Configuration], Awaitable[None]] | None = None,
        beside: Callable[[], Awaitable[Beside]] | None = None,
    ) -> None:
        self._read = read
        self._live = live
        self._started = live.read
        self._definitions = definitions
        self._service = service
        self._look = look
        self._keeper = keeper
        self._reread = reread
        self._beside = beside
        self._one_at_a_time = asyncio.Lock()
        self._outage = Outage("configuration_not_heeded")
        self._untold: Configuration | None = None
        """What the other replicas are still to be told."""
        self._changed: set[str] = set()
        """Policies that are others here since what is open was looked at, where no replica tells of it."""
        self.is_behind = False
        """Whether the database was not there for the last look at what is open: there is to be another."""

    async def reload(self) -> bool:
        """Whether the file is in force now; with a mistake in it, what was in force stays so."""
        try:
            new = await asyncio.to_thread(self._read)
            check_there(new, self._live.read)
            check_fits(new, self._definitions)
        except SettingsError as error:
            log.warning("configuration_refused", reason=str(error))
            return False
        changed_flows = flows_changed(self._started, new)
        if changed_flows:
            log.warning("flows_wait_for_restart", flows=changed_flows)
        async with self._one_at_a_time:
            if self._keeper is not None:
                # A group that is new is asked first: for a moment it would be nobody's.
                self._keeper.watch(new.outside)
                await self._keeper.answered(FIRST_ANSWERS)
            changed = self._replace(new)
            if self._beside is None:
                self._changed.update(changed)
            self._service.appoint(new.admins)
            log.info("configuration_reloaded", policies_changed=changed, groups=self._counts())
            self._untold = new
            await self._catch_up()
        return True

    async def look_over(self) -> None:
        """At the start, as the file may have been changed while nobody ran; and while it `is_behind`."""
        async with self._one_at_a_time:
            await self._catch_up()

    @property
    def has_others(self) -> bool:
        """Whether there may be replicas that judge by another file, or did."""
        return self._beside is not None

    async def keep_up(self) -> None:
        """Now and then: look over once more what was judged by another file, once no replica has it any more.

        One of them does it for all.
        """
        async with self._one_at_a_time:
            if self.is_behind:
                await self._catch_up()
                return
            try:
                if await self._is_our_turn():
                    await self._reconsider()
            except Unavailable as error:
                self._outage.failed(error)
            else:
                self._outage.over()

    async def _is_our_turn(self) -> bool:
        if self._beside is None:
            return False
        waiting, beside = self._waiting(), await self._beside()
        if await self._service.reconsidering.is_due(besides=waiting):
            return beside.is_first and not beside.differ
        if beside.differ:
            # It was settled without one that had been away, or that began just now.
            await self._service.reconsidering.unsettle(besides=waiting)
        return False

    async def _catch_up(self) -> None:
        """Have what is stored heed what is in force."""
        self.is_behind = False
        try:
            if self._reread is not None and self._untold is not None:
                await self._reread(self._untold)
            self._untold = None
            await self._service.delegations.end_those_of_strangers()
            await self._reconsider()
        except Unavailable as error:
            self.is_behind = True
            self._outage.failed(error)
        else:
            self._outage.over()

    async def members_changed(self) -> None:
        """Put in force who is in groups from outside now. Raises `Unavailable`: to be called again then."""
        async with self._one_at_a_time:
            changed = self._replace(self._live.read)
            self._changed.update(changed)
            if changed:
                log.info("group_members_changed", policies_changed=changed, groups=self._counts())
            await self._reconsider()

    def _replace(self, new: Configuration) -> list[str]:
        return self._live.replace(new, self._keeper.members() if self._keeper else {})

    def _counts(self) -> dict[str, int]:
        """How many of [people] are in each group from outside; those that nobody knows are not there."""
        return {group: len(people) for group, people in self._live.members.items()}

    async def _reconsider(self) -> None:
        """What is open: who came may decide on it, too; where too few are left, it is to say so.

        Not yet, where it depends on a group of which nothing is known since the start.
        """
        if self._live.members:
            await self._service.reconsidering.admit(self._live.members)
        waiting = self._waiting()
        beside = None if self._beside is None else await self._beside()
        stuck = 0
        if beside is None or beside.differ or beside.is_first or self._changed:
            stuck = await self._service.reconsidering.look_over(
                besides=waiting,
                changed_here=self._changed,
                settles=beside is None or not beside.differ,
            )
        self._changed &= waiting
        self._look()
        if stuck:
            log.warning("reviews_stuck", count=stuck)

    def _waiting(self) -> set[str]:
        """Policies with a group of which nothing is in force yet: an answer may have come that nobody has put
        in force, and until then nobody is in it."""
        if self._keeper is None:
            return set()
        unheard = self._live.read.outside.keys() - self._live.members.keys() - self._keeper.closed()
        return {name for name, policy in self._live.read.policies.items() if groups_of(policy) & unheard}


def on_hangup(asked: asyncio.Event) -> None:
    """Set `asked` at SIGHUP, where there is such a signal."""
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)


async def follow(asked: asyncio.Event, reloader: Reloader, *, again: timedelta = AGAIN) -> None:
    """Reload whenever it is asked for; several calls in one moment are one."""
    await _tried(reloader.look_over)
    while True:
        with suppress(TimeoutError):
            looks = reloader.is_behind or reloader.has_others
            async with asyncio.timeout(again.total_seconds() if looks else None):
                await asked.wait()
        if asked.is_set():
            asked.clear()
            await _tried(reloader.reload)
        else:
            await _tried(reloader.keep_up)


async def _tried(act: Callable[[], Awaitable[object]]) -> None:
    try:
        await act()
    except Exception as error:  # noqa: BLE001 - what is in force stays so; the next signal tries again
        log.error("configuration_not_reloaded", **defect(error))
