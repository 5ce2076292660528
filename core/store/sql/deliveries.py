"""What is to be shown where, and what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import content, deliveries, places, queues, receipts
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from core.model import ChannelName, Delivery, MessageRef, Notice, Recipient, ReviewRequest


class DeliveryRows(Lanes):
    """Implements `core.ports.DeliveryStore`, and what `core.ports.ChatInbox` says of places."""

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        return await self._read.run(partial(deliveries.of_task, task=task_id))

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]:
        return await self._read.run(partial(queues.due, channel=channel))

    async def next_due_delivery(self, channel: ChannelName, *, after: datetime) -> datetime | None:
        """When the first delivery falls due that was not due at `after`."""
        return await self._read.run(partial(queues.next_due, channel=channel, after=after))

    async def delivery_content(self, wanted: Delivery) -> tuple[ReviewRequest | Notice, MessageRef | None]:
        """What a delivery shows as it is now, and the message whose thread it belongs to."""
        return await self._read.run(partial(content.of_delivery, wanted=wanted))

    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None:
        await self._write.run(partial(receipts.shown, wanted=wanted, message=message))

    async def delivery_failed(self, wanted: Delivery, error: str, due_at: datetime) -> None:
        await self._write.run(partial(receipts.failed, wanted=wanted, error=error, due_at=due_at))

    async def delivery_postponed(self, wanted: Delivery, due_at: datetime) -> None:
        await self._write.run(partial(receipts.postponed, wanted=wanted, due_at=due_at))

    async def retry_failed(self, channel: ChannelName) -> None:
        """Once at the start of a channel: do not wait out the pauses of before."""
        await self._write.run(partial(queues.retry_failed, channel=channel))

    async def delivery_given_up(self, wanted: Delivery, error: str, *, ends_here: bool = False) -> None:
        await self._write.run(partial(receipts.given_up, wanted=wanted, error=error, ends_here=ends_here))

    async def delivery_moved(self, wanted: Delivery, address: str) -> None:
        await self._write.run(partial(places.delivery_moved, wanted=wanted, address=address))

    async def moved_places(self, channel: ChannelName) -> Mapping[str, str]:
        return await self._read.run(partial(places.moved_places, channel=channel))

    async def place_moved(self, place: Recipient, address: str) -> None:
        await self._write.run(partial(places.place_moved, place=place, address=address))

    async def heard(self, channel: ChannelName, *, kept: timedelta) -> int:
        return await self._write.run(partial(places.note_heard, channel=channel, kept=kept))
