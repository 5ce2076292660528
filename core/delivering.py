"""The deliveries of one channel: claims what is due, hands it over, retries, and says when it gives up.

A recipient has two lanes, one of edits and one of posts, each served one at a time: people wait for a card
to say what was decided, and that must not stand behind a thousand new ones. Several recipients are served
side by side.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import structlog

from core.addresses import place_in_log
from core.defects import defect
from core.errors import (
    DeliveryError,
    MessageGone,
    PlaceMoved,
    RateLimited,
    Unavailable,
    Undeliverable,
    Unwanted,
)
from core.explaining import as_shown
from core.model import Notice
from core.outages import Outage
from core.stopping import cut_off

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from random import Random

    from core.measures import Deliveries
    from core.model import Delivery, MessageRef, Policy, Recipient, ReviewRequest
    from core.ports import Alarm, Channel, Clock, DeliveryStore

log = structlog.get_logger()

SIDE_BY_SIDE = 16
"""Lanes of one channel that are served at once."""
CALL = timedelta(seconds=30)
"""The longest that one call of a channel may take."""
FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=5)
"""Between two tries of a card: people wait for it, and a chat that was down comes back for all at once."""
LONGEST_RETRY_OF_NOTICES = timedelta(hours=1)
"""Between two tries of a notice, whose receiver may be gone for good."""
GIVE_UP_AFTER = timedelta(hours=75)
"""How long a delivery is tried: the span of the sample schedule of Standard Webhooks 1.0.0."""
SWEEP = timedelta(seconds=30)
"""How often a loop looks at the store although nobody woke it."""


class Lane(NamedTuple):
    """What is shown one after the other."""

    recipient: Recipient
    edits: bool


class ChannelLoop:
    """Serves the deliveries of one channel."""

    def __init__(
        self,
        store: DeliveryStore,
        channel: Channel,
        clock: Clock,
        random: Random,
        policies: Mapping[str, Policy],
        rest: Callable[[float], Awaitable[object]],
        measures: Deliveries,
    ) -> None:
        self._store = store
        self._channel = channel
        self._clock = clock
        self._random = random
        self._policies = policies
        self._wake = asyncio.Event()
        self._waits = False
        self._alarm: Alarm | None = None
        self._serving: dict[Lane, asyncio.Task[None]] = {}
        self._free_at: dict[Lane, timedelta] = {}
        """When a lane may be served again, by what counts on though the clock is set back."""
        self._closed_until: timedelta | None = None
        """Likewise, until when the platform refuses the whole channel."""
        self._moved: dict[str, str] = {}
        """Addresses that are no longer good, and the ones in their place."""
        self._task: asyncio.Task[None] | None = None
        self._rest = rest
        self.measures = measures
        self._is_new = True
        """Whether what is stored of the time before the start is still to be taken up."""
        self._outage = Outage("outbox_postponed", channel=channel.name)

    def start(self) -> None:
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name=f"outbox {self._channel.name}")

    def wake(self) -> None:
        self._wake.set()

    @property
    def under_way(self) -> int:
        return len(self._serving)

    @property
    def is_at_rest(self) -> bool:
        return self._waits and not self._wake.is_set() and not self._serving

    async def stop(self, grace: timedelta) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            await cut_off([self._task])
        if self._serving:
            await asyncio.wait(list(self._serving.values()), timeout=grace.total_seconds())
        await cut_off(list(self._serving.values()))

    def cancel(self) -> None:
        """What is left, without waiting for its end."""
        for task in (self._task, *self._serving.values()):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        while True:
            self._waits = True
            await self._wake.wait()
            self._waits = False
            self._wake.clear()
            began, found_only_queues = monotonic(), False
            try:
                found_only_queues = await self._serve_due()
            except Unavailable as error:
                self._outage.failed(error)
                self._wake_at(self._clock.now() + FIRST_RETRY)
            except Exception as error:  # noqa: BLE001 - a defect must not end the loop: the channel would be dumb until the next start
                log.error("outbox_broke", channel=self._channel.name, **defect(error))
                self._wake_at(self._clock.now() + SWEEP)
            if found_only_queues:
                # A look reads all that is due: while a thousand cards wait for their turn, and every decision
                # makes one more due, it would be taken again at once, and again.
                await self._rest(monotonic() - began)

    async def _serve_due(self) -> bool:
        """Whether something is due and nothing of it could be begun, as its turn has not come."""
        now, steady = self._clock.now(), self._clock.steady()
        if self._closed_until is not None and self._closed_until > steady:
            self._wake_at(now + (self._closed_until - steady))
            return False
        if self._is_new:
            await self._store.retry_failed(self._channel.name)
            self._moved = dict(await self._store.moved_places(self._channel.name))
            self._is_new = False
        # Taken before the read: of who was served while it ran it may tell what has been shown since.
        busy = frozenset(self._serving)
        due, has_begun = await self._store.due_deliveries(self._channel.name), False
        self._outage.over()
        for delivery in due:
            if len(self._serving) >= SIDE_BY_SIDE:
                break
            lane = _lane(delivery)
            if lane not in busy and self._is_free(lane, steady):
                has_begun = True
                self._serving[lane] = asyncio.create_task(
                    self._serve(delivery, lane), name=f"delivery {delivery.id}"
                )
        await self._wake_when_due(now, steady)
        return bool(due) and not has_begun

    def _is_free(self, lane: Lane, steady: timedelta) -> bool:
        """Posts wait while an edit is made there: it is not to lose to them what the platform still takes."""
        serving = [lane] if lane.edits else _lanes(lane.recipient)
        return not any(one in self._serving for one in serving) and self._free_at.get(lane, steady) <= steady

    async def _wake_when_due(self, now: datetime, steady: timedelta) -> None:
        """At the first of: a delivery falls due, a lane is free again, the regular look."""
        self._free_at = {lane: at for lane, at in self._free_at.items() if at > steady}
        due = await self._store.next_due_delivery(self._channel.name, after=now)
        free = [now + (at - steady) for at in self._free_at.values()]
        self._wake_at(min([now + SWEEP, *([due] if due else []), *free]))

    def _wake_at(self, at: datetime) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._clock.call_at(at, self._wake.set)

    async def _serve(self, delivery: Delivery, lane: Lane) -> None:
        """One delivery, from the store's present to the store's note of what became of it."""
        moved_to = self._moved.get(delivery.recipient.address)
        try:
            if delivery.message is None and moved_to is not None:
                await self._store.delivery_moved(delivery, moved_to)
            else:
                await self._show(delivery)
        except Unavailable as error:
            # Not noted, so it is due still; a card posted in this moment may be posted again.
            log.warning("delivery_not_noted", reason=str(error), **self._facts(delivery))
            self._leave_alone(lane, FIRST_RETRY)
        except Exception as error:  # noqa: BLE001 - a defect must not end it unseen, nor be tried again at once: the delivery is due still
            log.error("delivery_not_served", **self._facts(delivery), **defect(error))
            self._leave_alone(lane, SWEEP)
        finally:
            del self._serving[lane]
            self._wake.set()

    def _leave_alone(self, lane: Lane, wait: timedelta) -> None:
        """Serve the lane again after `wait` at the earliest; a longer wait asked for before stands."""
        until = self._clock.steady() + wait
        self._free_at[lane] = max(until, self._free_at.get(lane, until))

    async def _show(self, delivery: Delivery) -> None:
        try:
            message = await self._call(delivery)
        except Unavailable:
            raise
        except DeliveryError as error:
            self.measures.failures[type(error).__name__] += 1
            await self._failed(delivery, error)
        except TimeoutError:
            self.measures.failures[TimeoutError.__name__] += 1
            await self._retry(delivery, "the call took too long")
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            # A client library cancels what it has under way when it closes its session.
            self.measures.failures["CutOff"] += 1
            await self._retry(delivery, "the call was cut off")
        except Exception as error:  # noqa: BLE001 - a defect of a channel must not stop its loop, and is tried again like any failure
            self.measures.failures["Defect"] += 1
            log.error("delivery_broke", **self._facts(delivery), **defect(error))
            await self._retry(delivery, type(error).__name__)
        else:
            await self._store.delivery_shown(delivery, message)
            self._measure(delivery)
        finally:
            self._pace(delivery)

    def _measure(self, delivery: Delivery) -> None:
        since = delivery.failing_since or delivery.due_at
        if since is not None:
            self.measures.lag.add((self._clock.now() - since).total_seconds())

    async def _failed(self, delivery: Delivery, error: DeliveryError) -> None:
        match error:
            case RateLimited():
                await self._postpone(delivery, error)
            case PlaceMoved():
                await self._follow(delivery, error)
            case Undeliverable() | MessageGone():
                await self._give_up(delivery, str(error), ends_here=isinstance(error, Unwanted))
            case _:
                await self._retry(delivery, str(error))

    async def _call(self, delivery: Delivery) -> MessageRef:
        """Show what is stored now. A card that somebody deleted is posted anew, while it asks."""
        stored, thread = await self._store.delivery_content(delivery)
        content = self._as_shown(stored)
        async with asyncio.timeout(CALL.total_seconds()):
            if delivery.message is not None:
                try:
                    await self._channel.update(delivery, content, message=delivery.message)
                except MessageGone:
                    if not _still_asks(delivery, content):
                        raise
                else:
                    return delivery.message
            try:
                message = await self._channel.post(delivery, content, thread=thread)
            except RateLimited as error:
                error.is_post = True
                raise
        if delivery.message is not None:
            log.info("deleted_card_posted_anew", **self._facts(delivery))
        return message

    def _as_shown(self, content: ReviewRequest | Notice) -> ReviewRequest | Notice:
        if not isinstance(content, Notice):
            return as_shown(content, self._policies)
        review = content.review
        return content if review is None else replace(content, review=as_shown(review, self._policies))

    async def _follow(self, delivery: Delivery, error: PlaceMoved) -> None:
        """What stays behind at the old address can never be changed: what is to be seen is posted anew."""
        place = delivery.recipient
        log.warning("place_moved", channel=place.channel, address=place.address, moved_to=error.address)
        if self._moved.get(place.address) != error.address:
            await self._store.place_moved(place, error.address)
            self._moved[place.address] = error.address
        await self._store.delivery_moved(delivery, error.address)

    def _pace(self, delivery: Delivery) -> None:
        for lane in _lanes(delivery.recipient):
            seconds = self._channel.spacing(delivery.recipient, edits=lane.edits)
            if seconds > 0:
                self._leave_alone(lane, timedelta(seconds=seconds))

    async def _postpone(self, delivery: Delivery, error: RateLimited) -> None:
        again = self._clock.now() + error.retry_after
        # Kept here as well: a decision meanwhile makes the card due at once, and must not break the limit.
        # A deleted card's is a post, and what is decided of others is not to wait for it.
        tried = Lane(delivery.recipient, edits=False) if error.is_post else _lane(delivery)
        for lane in [tried] if error.lane_only else _lanes(delivery.recipient):
            self._leave_alone(lane, error.retry_after)
        if error.whole_channel:
            until = self._clock.steady() + error.retry_after
            self._closed_until = max(until, self._closed_until or until)
        if self._has_had_its_time(delivery):
            await self._give_up(delivery, str(error))
            return
        log.info("delivery_postponed", until=again.isoformat(), **self._facts(delivery))
        await self._store.delivery_postponed(delivery, again)

    async def _retry(self, delivery: Delivery, error: str) -> None:
        if self._has_had_its_time(delivery):
            await self._give_up(delivery, error)
            return
        longest = LONGEST_RETRY_OF_NOTICES if delivery.review is None else LONGEST_RETRY
        wait = min(FIRST_RETRY * 2 ** min(delivery.tries, 12), longest)
        # Jitter, so that what failed together does not come back together.
        again = self._clock.now() + wait * self._random.uniform(0.8, 1.2)
        log.warning("delivery_failed", error=error, **self._facts(delivery))
        await self._store.delivery_failed(delivery, error, again)

    def _has_had_its_time(self, delivery: Delivery) -> bool:
        since = delivery.failing_since
        return since is not None and self._clock.now() - since >= GIVE_UP_AFTER

    async def _give_up(self, delivery: Delivery, error: str, *, ends_here: bool = False) -> None:
        if ends_here:
            # Asked for by who is told, so nothing that somebody has to look after, or be paged for.
            log.info("deliveries_ended", reason=error, **self._facts(delivery))
        else:
            self.measures.given_up += 1
            log.error("delivery_given_up", error=error, **self._facts(delivery))
        await self._store.delivery_given_up(delivery, error, ends_here=ends_here)

    def _facts(self, delivery: Delivery) -> dict[str, str]:
        """For the log: whoever reads of a delivery looks for its task's page."""
        return {
            "delivery_id": delivery.id,
            "task_id": delivery.task,
            "channel": self._channel.name,
            "place": place_in_log(delivery.recipient.address),
        }


def _still_asks(delivery: Delivery, content: ReviewRequest | Notice) -> bool:
    return not isinstance(content, Notice) and content.is_open and not delivery.is_retired


def _lane(delivery: Delivery) -> Lane:
    return Lane(delivery.recipient, delivery.message is not None)


def _lanes(recipient: Recipient) -> tuple[Lane, Lane]:
    return Lane(recipient, edits=True), Lane(recipient, edits=False)


def _is_being_cancelled() -> bool:
    """Whether somebody asked this very task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
