"""Slack's App Home: what waits for whoever opened it, published anew as that changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from bot.blocks import home_view
from bot.pace import Pace, limit
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import SLACK, HomeOpened
from core.errors import CountersignError, RateLimited, Unavailable, Unreachable
from core.events import ProgressReported, TextStreamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.blocks import Block
    from bot.errands import Errands
    from bot.menu import Answer
    from bot.pace import Limit
    from bot.slack.commands import Commands
    from core.model import Hint, StoredEvent
    from core.ports import Alarm, Clock

log = structlog.get_logger()

LIVE_FOR = timedelta(hours=1)
"""How long after it was opened a Home is kept up to date; Slack tells of every opening, and of no closing."""
KEPT = 100
"""So many people's Homes at most are kept up to date: those who opened theirs last."""
COALESCED = timedelta(seconds=1)
"""What changes within it is shown together."""
AGAIN = timedelta(seconds=30)
"""When to try again what failed by itself."""
OPENED = (limit(100, 60.0),)
"""views.publish: Tier 4, 100 a minute and more (docs.slack.dev, rate limits)."""
CHANGED = (limit(60, 60.0),)
"""For what changes by itself, so that whoever opens theirs need not wait."""
REST = 10
"""Times as long as all lists took to read, until they are read again: many Homes must not keep the database
busy."""
OFF_LISTS = (ProgressReported, TextStreamed)
"""Events that change nobody's list, and of which there are thousands."""


@dataclass(slots=True, kw_only=True)
class Home:
    """One person's, as it was published last."""

    team: str
    opened_at: timedelta
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One after the other, so that an older list never replaces a newer one."""
    shown: list[Block] | None = None


class Homes:
    """The listener of app_home_opened; `committed` and `posted` say that lists may have changed.

    Who opened theirs is kept in memory: after a restart a Home is as old as it was until it is opened again.
    """

    def __init__(self, *, commands: Commands, client: AsyncWebClient, errands: Errands, clock: Clock) -> None:
        self._commands = commands
        self._client = client
        self._errands = errands
        self._clock = clock
        self._pace = Pace(clock)
        self._homes: OrderedDict[str, Home] = OrderedDict()
        """By user, who opened theirs last at the end."""
        self._alarm: Alarm | None = None
        self._closed_until = clock.steady()
        """Until when Slack asked for a pause."""
        self._rest = COALESCED
        self._refreshing = asyncio.Lock()

    async def opened(self, body: dict[str, Any]) -> None:
        """Answered at once; the Home follows."""
        try:
            event = HomeOpened.model_validate(body)
        except ValidationError:
            return
        if event.event.tab != "home":
            return
        user = event.event.user
        known = self._homes.pop(user, None)
        # shown again even where nothing changed: a Home that somebody opens may be that of an earlier run
        turn = known.turn if known is not None else asyncio.Lock()
        self._homes[user] = Home(team=event.team_id, opened_at=self._clock.steady(), turn=turn)
        if known is None and len(self._homes) > KEPT:
            self._homes.popitem(last=False)
        self._errands.start(self._open(user), "app home")

    def posted(self) -> None:
        """A card has a link from now on."""
        self._later(self._rest)

    def committed(self, events: Sequence[StoredEvent]) -> None:
        """Something was stored."""
        if self._homes and any(not isinstance(stored.event, OFF_LISTS) for stored in events):
            self._later(self._rest)

    def heard(self, hint: Hint) -> None:
        """Another replica stored something."""
        if self._homes and (hint.tasks or not hint.is_whole):
            self._later(self._rest)

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._homes.clear()

    def _later(self, wait: timedelta) -> None:
        if self._alarm is None and self._homes:
            self._alarm = self._clock.call_at(self._clock.now() + wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        before = self._clock.steady() - LIVE_FOR
        for user in [user for user, home in self._homes.items() if home.opened_at < before]:
            del self._homes[user]
        if self._homes:
            self._errands.start(self._refresh(list(reversed(self._homes))), "app homes")

    async def _open(self, user: str) -> None:
        """Whoever opens theirs does not wait for the Homes of others."""
        wait = await self._in_turn(user, OPENED)
        if wait is not None:
            self._later(wait)

    async def _refresh(self, users: Sequence[str]) -> None:
        """Who is left waits for the next time."""
        async with self._refreshing:
            began = self._clock.steady()
            for user in users:
                wait = await self._in_turn(user, CHANGED)
                if wait is not None:
                    self._later(wait)
                    return
            self._rest = max(COALESCED, REST * (self._clock.steady() - began))

    async def _in_turn(self, user: str, limits: tuple[Limit, ...]) -> timedelta | None:
        home = self._homes.get(user)
        if home is None:
            return None
        async with home.turn:
            newest = self._homes.get(user)
            return None if newest is None else await self._show(user, newest, limits)

    async def _show(self, user: str, home: Home, limits: tuple[Limit, ...]) -> timedelta | None:
        """How long to wait where it, and all that follow, cannot be shown now."""
        try:
            blocks = home_view(await self._list(user, home.team))
        except Unavailable as error:
            return max(error.retry_after, AGAIN)
        if blocks == home.shown:
            return None
        pause = self._closed_until - self._clock.steady()
        left = max(pause, timedelta(seconds=self._pace.wait("", limits)))
        if left > timedelta(0):
            return left
        self._pace.called("", OPENED)
        try:
            await self._client.views_publish(user_id=user, view={"type": "home", "blocks": blocks})
        except FAILURES as error:
            return self._failed(user, failure(error))
        home.shown = blocks
        return None

    def _failed(self, user: str, error: CountersignError) -> timedelta | None:
        """A pause is the whole workspace's. Whose Home Slack refuses, opens it again."""
        log.warning("app_home_not_shown", channel=SLACK, error=str(error))
        if isinstance(error, RateLimited):
            self._closed_until = self._clock.steady() + error.retry_after
            return error.retry_after
        if isinstance(error, Unreachable):
            return AGAIN
        self._homes.pop(user, None)
        return None

    async def _list(self, user: str, team: str) -> Answer:
        return await self._commands.list_for(user, team)
