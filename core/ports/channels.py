"""Where people or programs are told, and what the outbox asks of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.model import ChannelName, Delivery, MessageRef, Notice, Recipient, ReviewRequest


class Channel(Protocol):
    """A place where people or programs are told. Each method raises one of `errors.DeliveryError`.

    Delivery is at least once: after a crash `post` may come again with the same `delivery.id`.
    """

    @property
    def name(self) -> ChannelName: ...

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        """Show `content` as it is now; `thread` is the task's first message in the same place, if any.

        A `delivery.message` is one that is gone: this one is to stand in its place.
        """
        ...

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        """Make a sent message show `content` as it is now; doing so twice is harmless.

        Raises what a delivery may raise; `MessageGone` only where somebody deleted it.
        """
        ...

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        """Seconds to leave from now before the next edit, or post, there: the platform's limits."""
        ...


@runtime_checkable
class TakesOver(Protocol):
    """A channel that can tell whether something was posted without being noted."""

    def taken_over(self) -> None:
        """Another replica may have served this channel until now: what is due still may stand there."""
        ...


class DeliveryStore(Protocol):
    """The part of the store that keeps deliveries."""

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]: ...
    async def next_due_delivery(self, channel: ChannelName, *, after: datetime) -> datetime | None: ...
    async def delivery_content(
        self, wanted: Delivery
    ) -> tuple[ReviewRequest | Notice, MessageRef | None]: ...
    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None: ...
    async def delivery_failed(self, wanted: Delivery, error: str, due_at: datetime) -> None: ...
    async def delivery_postponed(self, wanted: Delivery, due_at: datetime) -> None: ...

    async def delivery_given_up(self, wanted: Delivery, error: str, *, ends_here: bool = False) -> None:
        """It will not be tried again; a card of an open review goes to the policy's fallback instead.

        Where it `ends_here`, its recipient is told nothing more of the task.
        """
        ...

    async def delivery_moved(self, wanted: Delivery, address: str) -> None:
        """It is to be posted there."""
        ...

    async def moved_places(self, channel: ChannelName) -> Mapping[str, str]:
        """Old addresses, and the ones in their place."""
        ...

    async def place_moved(self, place: Recipient, address: str) -> None:
        """The same for everything that is still to be shown at this place. Idempotent."""
        ...

    async def retry_failed(self, channel: ChannelName) -> None: ...
