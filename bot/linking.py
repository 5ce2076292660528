"""Where a review's card stands in a chat, as a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.model import ChannelName, Delivery, MessageRef, ReviewId

    Link = Callable[[MessageRef, MessageRef | None], str | None]
    """To a message of ours, and the first of its thread if that is another; None where there is no link."""


def card_link(
    review: ReviewId, deliveries: Sequence[Delivery], channel: ChannelName, link: Link
) -> str | None:
    """Of several copies in the channel the newest that a link leads to; `deliveries` are the task's."""
    for delivery in reversed(deliveries):
        if (delivery.review, delivery.recipient.channel) == (review, channel):
            found = delivery.message and link(delivery.message, _thread(delivery, deliveries))
            if found:
                return found
    return None


def _thread(card: Delivery, deliveries: Sequence[Delivery]) -> MessageRef | None:
    """The first message of the thread that the card stands in; None where it began it."""
    cards = [one for one in deliveries if one.review and one.message and one.recipient == card.recipient]
    first = min(cards, key=lambda one: (one.event_seq, not one.is_retired))
    return None if first.id == card.id else first.message
