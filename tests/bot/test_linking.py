"""Which copy of a card a link leads to, and which message its thread began with."""

from __future__ import annotations

from dataclasses import replace

from bot.linking import card_link
from core.model import (
    ChannelName,
    Delivery,
    DeliveryId,
    DeliveryState,
    MessageRef,
    Recipient,
    ReviewId,
    TaskId,
)

SLACK = ChannelName("slack")
FIRST, SECOND = ReviewId("1" * 32), ReviewId("2" * 32)
CARD = Delivery(
    id=DeliveryId("a" * 32),
    task=TaskId("0" * 32),
    review=FIRST,
    event_seq=3,
    recipient=Recipient(channel=SLACK, address="C1"),
    state=DeliveryState.SENT,
    message=MessageRef("C1/1"),
    version=1,
    shown=1,
    tries=0,
    due_at=None,
    failing_since=None,
    error=None,
)


def another(name: str, **changes: object) -> Delivery:
    return replace(CARD, id=DeliveryId(name * 32), message=MessageRef(f"C1/{name}"), **changes)  # type: ignore[arg-type]


def shown(message: MessageRef, thread: MessageRef | None) -> str:
    return f"{message} in {thread}"


def test_of_several_copies_the_newest_is_meant_that_a_link_leads_to() -> None:
    copies = [CARD, another("b"), another("c")]
    assert card_link(FIRST, copies, SLACK, shown) == "C1/c in C1/1"
    assert (
        card_link(FIRST, copies, SLACK, lambda message, _: message if message == "C1/b" else None) == "C1/b"
    )
    assert card_link(SECOND, copies, SLACK, shown) is None
    assert card_link(FIRST, copies, ChannelName("telegram"), shown) is None


def test_a_retired_card_began_the_thread_of_the_one_that_stands_in_for_it() -> None:
    cards = [CARD, replace(another("b"), is_retired=True), another("c", review=SECOND, event_seq=9)]
    assert card_link(SECOND, cards, SLACK, shown) == "C1/c in C1/b"
    assert card_link(FIRST, cards[1:2], SLACK, shown) == "C1/b in None"
