"""Where cards go when a place is closed, has moved, or was not heard for long, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.model import DeliveryState, MessageRef, NewQuestion, QuestionId, Recipient
from tests.contracts.cards import DAY, ON_DESK, STONE, WALL, WITH_FALLBACK, card, cards
from tests.contracts.steps import decide, waiting
from tests.world import ANA, DESK, HALL, PAPER

if TYPE_CHECKING:
    from core.model import Delivery
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

ATTIC = Recipient(channel=PAPER, address="attic")


async def shown(store: SqlStore, review: str, message: str, place: Recipient = DESK) -> None:
    await store.delivery_shown(await card(store, review, place), MessageRef(message))


async def test_a_card_that_cannot_be_shown_goes_to_the_fallback_once(store: SqlStore) -> None:
    review = await waiting(store, WITH_FALLBACK)
    await store.delivery_given_up(await card(store, review), "The bot was kicked.")
    gone = await card(store, review)
    assert gone.state is DeliveryState.GIVEN_UP
    assert gone.error == "The bot was kicked. The card went to the fallback."
    others = [await card(store, review, place) for place in (HALL, WALL)]
    assert {(one.state, one.review, one.message) for one in others} == {(DeliveryState.DUE, review, None)}
    await store.delivery_given_up(await card(store, review, HALL), "The bot was kicked there, too.")
    await store.delivery_given_up(gone, "Again.")
    assert len(await cards(store, review)) == 3
    assert (await store.review(review)).is_open, "nothing is decided by it"


async def test_where_the_fallback_fails_as_well_nobody_says_that_the_card_went_there(store: SqlStore) -> None:
    review = await waiting(store, WITH_FALLBACK)
    for place in (DESK, HALL, WALL):
        await store.delivery_given_up(await card(store, review, place), "No.")
    errors = [(await card(store, review, place)).error for place in (HALL, WALL)]
    assert errors == ["No. The card went to the fallback.", "No."], "the second was the last place"


async def test_a_decision_changes_the_card_in_the_fallback_too(store: SqlStore) -> None:
    review = await waiting(store, WITH_FALLBACK)
    await store.delivery_given_up(await card(store, review), "No.")
    await shown(store, review, "wall/1", WALL)
    await decide(store, review)
    (due,) = await store.due_deliveries(STONE)
    assert (due.review, due.message) == (review, "wall/1")


async def test_a_card_that_stood_there_goes_to_the_fallback_while_its_review_is_open(store: SqlStore) -> None:
    opened, closed = await waiting(store, WITH_FALLBACK), await waiting(store, WITH_FALLBACK)
    for number, review in enumerate((opened, closed)):
        await shown(store, review, f"desk/{number}")
    await decide(store, closed)
    for review in (opened, closed):
        await store.delivery_given_up(await card(store, review), "The bot was kicked.")
    assert len(await cards(store, opened)) == 3
    (left,) = await cards(store, closed)
    assert left.error == "The bot was kicked."


async def test_without_a_fallback_a_card_is_only_given_up(store: SqlStore) -> None:
    review = await waiting(store, ON_DESK)
    await store.delivery_given_up(await card(store, review), "No.")
    (gone,) = await cards(store, review)
    assert gone.error == "No."


async def test_what_is_open_or_still_to_be_changed_follows_a_place_that_moved(store: SqlStore) -> None:
    waits, opened, closing, closed = [await waiting(store, ON_DESK) for _ in range(4)]
    for number, review in enumerate((opened, closing, closed)):
        await shown(store, review, f"desk/{number}")
    for review in (closing, closed):
        await decide(store, review)
    await shown(store, closed, "desk/2")
    await store.place_moved(DESK, "attic")
    await store.place_moved(DESK, "attic")
    for review in (waits, opened, closing):
        moved = await card(store, review, ATTIC)
        assert (moved.message, moved.state, moved.due_at is None) == (None, DeliveryState.DUE, False)
    assert (await card(store, closed)).message == "desk/2", "what is over stays where it is"
    assert await store.moved_places(PAPER) == {"desk": "attic"}


async def test_what_was_given_up_does_not_follow_a_place_that_moved(store: SqlStore) -> None:
    gone, waits = await waiting(store, ON_DESK), await waiting(store, ON_DESK)
    await store.delivery_given_up(await card(store, gone), "No.")
    await store.place_moved(DESK, "attic")
    assert [(one.state, one.due_at) for one in await cards(store, gone)] == [(DeliveryState.GIVEN_UP, None)]
    assert (await card(store, waits, ATTIC)).due_at is not None


async def test_a_place_may_move_again_and_even_back(store: SqlStore) -> None:
    await store.place_moved(DESK, "attic")
    await store.place_moved(DESK, "hall")
    await store.place_moved(HALL, "attic")
    assert await store.moved_places(PAPER) == {"desk": "hall", "hall": "attic"}
    await store.place_moved(ATTIC, "desk")
    assert "desk" not in await store.moved_places(PAPER), "nothing goes round in a circle"
    await store.place_moved(DESK, "desk")
    assert "desk" not in await store.moved_places(PAPER)


async def test_one_card_follows_on_its_own(store: SqlStore) -> None:
    one, other = await waiting(store, ON_DESK), await waiting(store, ON_DESK)
    await store.delivery_moved(await card(store, one), "attic")
    assert (await card(store, one, ATTIC)).message is None
    assert (await card(store, other)).recipient == DESK


async def test_what_came_of_a_card_at_its_old_address_is_not_noted_of_the_new_one(
    store: SqlStore, clock: StoppedClock
) -> None:
    """A group moves while its cards are being posted, changed or given up there."""
    posted, seen, gone, late = [await waiting(store, WITH_FALLBACK) for _ in range(4)]
    await shown(store, seen, "desk/0")
    posting, changing, giving_up, retrying = [
        await card(store, review) for review in (posted, seen, gone, late)
    ]
    await store.place_moved(DESK, "attic")
    await store.delivery_shown(posting, MessageRef("desk/1"))
    await store.delivery_shown(changing, MessageRef("desk/0"))
    await store.delivery_given_up(giving_up, "The chat is gone.")
    await store.delivery_failed(retrying, "It was down.", clock.now() + DAY)
    await store.delivery_postponed(retrying, clock.now() + DAY)
    for review in (posted, seen, gone, late):
        (moved,) = await cards(store, review)
        assert (moved.recipient, moved.message, moved.state) == (ATTIC, None, DeliveryState.DUE)
        assert (moved.due_at, moved.tries, moved.failing_since) == (clock.now(), 0, None)
    await shown(store, posted, "attic/1", ATTIC)
    await store.delivery_shown(posting, MessageRef("desk/1"))
    (moved,) = await cards(store, posted)
    assert moved.message == "attic/1"


async def test_a_question_that_was_being_told_as_its_place_moved_is_told_there(store: SqlStore) -> None:
    review = await waiting(store, ON_DESK)
    asked = NewQuestion(id=QuestionId("e" * 32), person=ANA, text="Why?", via="web")
    await store.ask(review, asked, policies={})
    (telling,) = [one for one in await cards(store, review) if one.review is None]
    await store.place_moved(DESK, "attic")
    await store.delivery_shown(telling, MessageRef("desk/1"))
    (moved,) = [one for one in await cards(store, review) if one.review is None]
    assert (moved.recipient, moved.message) == (ATTIC, None)


async def test_after_a_day_of_silence_open_cards_come_anew_once(store: SqlStore, clock: StoppedClock) -> None:
    assert await store.heard(PAPER, kept=DAY) == 0, "the first note of all says nothing"
    opened, closed, unsent = [await waiting(store, ON_DESK) for _ in range(3)]
    for number, review in enumerate((opened, closed)):
        await shown(store, review, f"desk/{number}")
    await decide(store, closed)
    clock.advance(DAY)
    assert await store.heard(PAPER, kept=DAY) == 0
    clock.advance(DAY + timedelta(seconds=1))
    assert await store.heard(PAPER, kept=DAY) == 1
    assert await store.heard(PAPER, kept=DAY) == 0
    new = await card(store, opened)
    (old,) = [one for one in await cards(store, opened) if one.is_retired]
    assert (new.message, new.due_at) == (None, clock.now())
    assert (old.message, old.due_at) == ("desk/0", clock.now()), "it is changed, to lose its buttons"
    assert old.version > old.shown
    (_, thread) = await store.delivery_content(new)
    assert thread == "desk/0", "the new one stands in the same thread"
    assert len(await cards(store, closed)) == len(await cards(store, unsent)) == 1


async def test_another_silence_renews_the_new_card_and_not_the_old_one(
    store: SqlStore, clock: StoppedClock
) -> None:
    await store.heard(PAPER, kept=DAY)
    review = await waiting(store, ON_DESK)
    for number in range(3):
        await shown(store, review, f"desk/{number}")
        clock.advance(2 * DAY)
        assert await store.heard(PAPER, kept=DAY) == 1
        (_, thread) = await store.delivery_content(await card(store, review))
        assert thread == "desk/0", "each stands in the thread that the first began"
    assert [one.is_retired for one in await cards(store, review)].count(False) == 1
    assert len(await cards(store, review)) == 4


async def test_a_decision_reaches_retired_cards_too(store: SqlStore, clock: StoppedClock) -> None:
    await store.heard(PAPER, kept=DAY)
    review = await waiting(store, ON_DESK)
    await shown(store, review, "desk/0")
    clock.advance(2 * DAY)
    await store.heard(PAPER, kept=DAY)
    for one in await cards(store, review):
        await store.delivery_shown(one, MessageRef(f"desk/{one.is_retired}"))
    await decide(store, review)
    assert all(one.due_at == clock.now() for one in await cards(store, review))


async def test_silence_of_one_chat_concerns_no_other(store: SqlStore, clock: StoppedClock) -> None:
    for channel in (PAPER, STONE):
        await store.heard(channel, kept=DAY)
    review = await waiting(store, replace(ON_DESK, recipients=(DESK, WALL)))
    for place in (DESK, WALL):
        await shown(store, review, f"{place.address}/0", place)
    clock.advance(2 * DAY)
    assert await store.heard(STONE, kept=DAY) == 1
    assert [one.recipient for one in await cards(store, review) if one.is_retired] == [WALL]


async def test_a_retired_card_stays_at_an_address_that_is_no_more(
    store: SqlStore, clock: StoppedClock
) -> None:
    await store.heard(PAPER, kept=DAY)
    review = await waiting(store, ON_DESK)
    await shown(store, review, "desk/0")
    clock.advance(2 * DAY)
    await store.heard(PAPER, kept=DAY)
    (old,) = [one for one in await cards(store, review) if one.is_retired]
    await store.place_moved(DESK, "attic")
    await store.delivery_moved(old, "attic")
    (left,) = [one for one in await cards(store, review) if one.is_retired]
    assert (left.recipient, left.message, left.due_at) == (DESK, "desk/0", None)


@pytest.mark.parametrize("edits", [False, True])
async def test_changes_and_new_cards_of_one_place_are_due_side_by_side(
    store: SqlStore, clock: StoppedClock, *, edits: bool
) -> None:
    seen = await waiting(store, ON_DESK)
    await shown(store, seen, "desk/0")
    for _ in range(3):
        clock.advance(seconds=1)
        await waiting(store, ON_DESK)
    clock.advance(seconds=1)
    if edits:
        await decide(store, seen)
    due = await store.due_deliveries(PAPER)
    assert [one.message for one in due] == (["desk/0", None] if edits else [None])


# A card that somebody deleted in the chat


async def test_a_card_that_was_posted_anew_is_the_same_one(store: SqlStore) -> None:
    """Also where it is pressed before it is noted that it was posted."""
    review = await waiting(store, WITH_FALLBACK)
    await shown(store, review, "desk/1")
    await store.adopt_copy(review, (DESK, MessageRef("desk/2")))
    deleted = await by_message(store, review, "desk/1")
    await store.delivery_shown(deleted, MessageRef("desk/2"))
    (only,) = await cards(store, review)
    assert (only.id, only.message, only.state) == (deleted.id, "desk/2", DeliveryState.SENT)


async def test_two_that_were_posted_anew_in_one_moment_both_change(store: SqlStore) -> None:
    """By two replicas: people see both."""
    review = await waiting(store, WITH_FALLBACK)
    await shown(store, review, "desk/1")
    deleted = await card(store, review)
    for message in ("desk/2", "desk/3"):
        await store.delivery_shown(deleted, MessageRef(message))
    await decide(store, review)
    due = {one.message for one in await cards(store, review) if one.due_at is not None}
    assert due == {"desk/2", "desk/3"}


async def test_what_another_replica_has_posted_anew_is_not_given_up(store: SqlStore) -> None:
    review = await waiting(store, WITH_FALLBACK)
    await shown(store, review, "desk/1")
    deleted = await card(store, review)
    await store.delivery_shown(deleted, MessageRef("desk/2"))
    await store.delivery_given_up(deleted, "The channel is archived.")
    (stands,) = await cards(store, review)
    assert (stands.message, stands.state, stands.error) == ("desk/2", DeliveryState.SENT, None)


async def by_message(store: SqlStore, review: str, message: str) -> Delivery:
    (found,) = [one for one in await cards(store, review) if one.message == message]
    return found
