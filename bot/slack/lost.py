"""Posts whose answer was lost: found again by the metadata that Slack keeps with them, not posted twice.

A place is read only where a post may stand there without our knowing: its call ended without a word from
Slack, or it was due before we were started, so that a crash may have come between. One reading serves every
such post of its place. Where we are not allowed to read, what may stand there is posted again.

Slack keeps no metadata with files: those are known by their name, and by the SHA-256 that stands with them.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import structlog
from slack_sdk.errors import SlackApiError

from bot.pace import limit
from bot.slack.failures import FAILURES, failure, refusal_of
from bot.slack.links import PEOPLE
from core.errors import DeliveryError, MessageGone, RateLimited, Undeliverable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.files import DraftFile
    from bot.pace import Pace
    from core.model import Delivery, DeliveryId
    from core.ports import Clock

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

READS = (limit(50, 60.0),)
"""conversations.history and .replies: Tier 3, 50 a minute each (docs.slack.dev, rate limits)."""
PAGE, PAGES = 200, 5
"""A channel in which more was said meanwhile is not read to its end."""
SKEW = timedelta(minutes=5)
"""Between Slack's clock and ours; more than that, and no signature of Slack's would count."""
CLOCKS_APART = timedelta(seconds=15)
"""How far our time may be behind that of whoever stored what the replica before us posted.

All go by the database's clock, and nobody is ahead of it; but each is behind by as long as the answer that it
goes by was on its way: milliseconds, and not much more than 10 s, when a connection is given up. Slack's own
clock does not come into it: that is `SKEW`'s.
"""
KEPT = 100
"""Readings that are kept for other posts of their places."""
REMEMBERED = 5_000
"""Posts, and places that could not be read or take nothing, that are remembered: some never come again."""
PATIENCE = timedelta(minutes=10)
"""How long a channel that cannot be read holds up a post."""

_SHA256 = re.compile("[0-9a-f]{64}")


class Place(NamedTuple):
    channel: str
    thread: str | None
    """The ts of its first message; None for what stands in the channel itself."""


class Found(NamedTuple):
    channel: str
    ts: str
    """A file's id, where it is one."""
    version: int
    """What it shows, as `Delivery.version` counts; of a file 0: it shows what it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was found of ours in a place."""

    number: int
    since: datetime
    found: Mapping[str, Found]
    """By the ids of deliveries, files by `mark_of`."""


class LostPosts:
    """Remembers, for as long as we run, which posts may stand there."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._started = clock.now()
        self._number = 0
        """Counts posts and readings: a reading tells nothing of a post that came after it."""
        self._begun: dict[DeliveryId, int] = {}
        """Posts that Slack has not answered, by the number of the last try."""
        self._refused: dict[DeliveryId, None] = {}
        """Posts of which Slack said that they do not stand there."""
        self._readings: dict[Place, Reading] = {}
        self._failing: dict[Place, timedelta] = {}
        self._own_bot: str | None = None
        self._own_user = ""

    def doubt(self) -> None:
        """Another replica posted before us: of what it saw due we cannot know, and our time may be behind."""
        self._started = self._clock.now() + CLOCKS_APART
        self._readings.clear()
        self._refused.clear()

    @property
    def remembered(self) -> int:
        """How many posts are; of others the store tells whether they are in doubt."""
        return len(self._begun) + len(self._refused)

    def begun(self, delivery: Delivery) -> None:
        self._number += 1
        keep(self._begun, delivery.id, self._number)
        self._refused.pop(delivery.id, None)

    def refused(self, delivery: Delivery) -> None:
        """For now: it will be tried again."""
        self._begun.pop(delivery.id, None)
        keep(self._refused, delivery.id, None)

    def settled(self, delivery: Delivery) -> None:
        """It stands there, or never will."""
        self._begun.pop(delivery.id, None)
        self._refused.pop(delivery.id, None)

    @contextmanager
    def posting(self, delivery: Delivery) -> Iterator[None]:
        """Round the call: what it raises says whether the post may stand there."""
        self.begun(delivery)
        try:
            yield
        except RateLimited:
            self.refused(delivery)
            raise
        except Undeliverable:
            self.settled(delivery)
            raise

    async def find(
        self, client: AsyncWebClient, delivery: Delivery, place: Place, *, mark: str | None = None
    ) -> Found | None:
        """Where this post stands; None where it does not, or nobody knows. Raises as a post does.

        `mark` is a file's.
        """
        if not self._is_in_doubt(delivery) or place.channel[:1] in PEOPLE:
            return None
        since = (delivery.failing_since or delivery.due_at or self._started) - SKEW
        reading = self._readings.get(place)
        if reading is None or reading.number <= self._begun.get(delivery.id, 0) or reading.since > since:
            reading = await self._read(client, place, since)
            if len(self._readings) >= KEPT:
                self._readings.clear()
            self._readings[place] = reading
        return reading.found.get(mark or delivery.id)

    def _is_in_doubt(self, delivery: Delivery) -> bool:
        if delivery.id in self._begun or delivery.id in self._refused:
            return delivery.id in self._begun
        due = delivery.due_at
        return delivery.failing_since is not None or (due is not None and due < self._started)

    async def _read(self, client: AsyncWebClient, place: Place, since: datetime) -> Reading:
        self._number += 1
        number = self._number
        try:
            found = await self._posts(client, place, since)
        except FAILURES as error:
            found = self._unreadable(place, failure(error), _code(error))
        else:
            self._failing.pop(place, None)
        return Reading(number=number, since=since, found=found)

    def _unreadable(self, place: Place, error: DeliveryError, code: str) -> Mapping[str, Found]:
        """Nothing, where it will stay like that; else raises, and the post waits."""
        since = self._failing.get(place)
        if since is None:
            since = self._clock.steady()
            keep(self._failing, place, since)
        is_for_good = isinstance(error, (Undeliverable, MessageGone)) or code == "missing_scope"
        if not is_for_good and self._clock.steady() - since < PATIENCE:
            raise error
        log.warning("lost_posts_not_looked_for", channel="slack", place=place.channel, error=str(error))
        return {}

    async def _posts(self, client: AsyncWebClient, place: Place, since: datetime) -> Mapping[str, Found]:
        """Of several copies the first."""
        found: dict[str, Found] = {}
        asked: dict[str, Any] = {"oldest": f"{since.timestamp():.6f}", "limit": PAGE}
        for _ in range(PAGES):
            answer = await self._page(client, place, asked)
            for message in answer.get("messages") or ():
                self._note(message, place, found)
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            asked["cursor"] = cursor
        return found

    async def _page(self, client: AsyncWebClient, place: Place, asked: dict[str, Any]) -> Any:
        if self._own_bot is None:
            we = await client.auth_test()
            self._own_bot, self._own_user = str(we.get("bot_id") or ""), str(we.get("user_id") or "")
        method = "history" if place.thread is None else "replies"
        wait = self._pace.wait(method, READS)
        if wait > 0:
            retry_after = timedelta(seconds=wait)
            raise RateLimited(
                "Slack lets no more be read for a while.", retry_after=retry_after, lane_only=True
            )
        self._pace.called(method, READS)
        if place.thread is None:
            return await client.conversations_history(
                channel=place.channel, include_all_metadata=True, **asked
            )
        return await client.conversations_replies(
            channel=place.channel, ts=place.thread, include_all_metadata=True, **asked
        )

    def _note(self, message: Any, place: Place, found: dict[str, Found]) -> None:
        """Anybody may put any metadata on a message, and the same file: only our own count."""
        if message.get("files"):
            self._note_files(message, place, found)
            return
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        delivery, version, ts = payload.get("delivery"), payload.get("version"), message.get("ts")
        is_ours = bool(self._own_bot) and message.get("bot_id") == self._own_bot
        if not (is_ours and isinstance(delivery, str) and isinstance(version, int) and isinstance(ts, str)):
            return
        known = found.get(delivery)
        if known is None or ts < known.ts:
            found[delivery] = Found(place.channel, ts, version)

    def _note_files(self, message: Any, place: Place, found: dict[str, Found]) -> None:
        sha256 = _SHA256.search(str(message.get("text")))
        if sha256 is None or not self._own_user or message.get("user") != self._own_user:
            return
        for file in message["files"]:
            name, file_id = file.get("name"), file.get("id")
            if isinstance(name, str) and isinstance(file_id, str):
                found.setdefault(f"{name} {sha256[0]}", Found(place.channel, file_id, 0))


def mark_of(file: DraftFile) -> str:
    """Of all files in a task's thread: a name holds its attempt."""
    return f"{file.name} {file.sha256}"


def keep(kept: dict[K, V], key: K, value: V) -> None:
    """As the newest; of more than `REMEMBERED` the oldest goes."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > REMEMBERED:
        del kept[next(iter(kept))]


def _code(error: Exception) -> str:
    return refusal_of(error).code if isinstance(error, SlackApiError) else ""
