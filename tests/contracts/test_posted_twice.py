"""What a replica that was cut off still notes once another one has served its channel, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import DeliveryState, MessageRef, NewQuestion, QuestionId, ReviewRequest
from tests.contracts.cards import DAY, ON_DESK, WITH_FALLBACK, card, cards
from tests.contracts.steps import decide, waiting
from tests.world import ANA, HALL, PAPER

if TYPE_CHECKING:
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

FIRST, SECOND = MessageRef("desk/first"), MessageRef("desk/second")


async def test_both_messages_of_a_card_that_two_posted_change_with_the_decision(store: SqlStore) -> None:
    review = await waiting(store, ON_DESK)
    due = await card(store, review)
    await store.delivery_shown(due, FIRST)
    await store.delivery_shown(due, SECOND)
    await store.delivery_shown(due, SECOND)
    by_message = {one.message: one for one in await cards(store, review)}
    assert len(await cards(store, review)) == 2
    assert by_message.keys() == {FIRST, SECOND}
    assert by_message[FIRST].id == due.id, "who was first stays the card"
    await decide(store, review)
    raised = {one.message: one for one in await cards(store, review)}
    assert all(one.due_at is not None and one.version > one.shown for one in raised.values())
    assert {one.review for one in raised.values()} == {review}
    content, _ = await store.delivery_content(raised[SECOND])
    assert isinstance(content, ReviewRequest)
    assert not content.is_open


async def test_a_press_on_the_second_message_is_of_the_same_review(store: SqlStore) -> None:
    review = await waiting(store, ON_DESK)
    due = await card(store, review)
    await store.delivery_shown(due, FIRST)
    await store.delivery_shown(due, SECOND)
    found = await store.shown_at(PAPER, SECOND)
    assert found is not None
    assert found.id == review


async def test_a_question_that_two_asked_loses_both_its_answers(store: SqlStore) -> None:
    review = await waiting(store, ON_DESK)
    await store.delivery_shown(await card(store, review), MessageRef("desk/card"))
    asked = NewQuestion(id=QuestionId("e" * 32), person=ANA, text="Why?", via="web")
    question = await store.ask(review, asked, policies={})
    (due,) = [one for one in await cards(store, review) if one.review is None]
    await store.delivery_shown(due, FIRST)
    await store.delivery_shown(due, SECOND)
    await decide(store, review)
    said = [one for one in await cards(store, review) if one.message in {FIRST, SECOND}]
    assert [one.version > one.shown for one in said] == [True, True]
    found = await store.question_at(PAPER, SECOND)
    assert found is not None
    assert found.id == question.id


async def test_what_another_has_posted_is_not_given_up_and_goes_to_no_fallback(store: SqlStore) -> None:
    review = await waiting(store, WITH_FALLBACK)
    due = await card(store, review)
    await store.delivery_shown(due, FIRST)
    await store.delivery_given_up(due, "The bot was kicked.")
    now = await card(store, review)
    assert (now.state, now.message) == (DeliveryState.SENT, FIRST)
    assert [one.recipient for one in await cards(store, review)].count(HALL) == 0


async def test_a_failure_that_is_noted_late_costs_one_more_look(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, ON_DESK)
    due = await card(store, review)
    await store.delivery_shown(due, FIRST)
    again = clock.now() + timedelta(seconds=1)
    await store.delivery_failed(due, "It was down.", again)
    assert (await card(store, review)).message == FIRST
    await store.delivery_shown(await card(store, review), FIRST)
    assert (await card(store, review)).due_at is None


async def test_who_hears_a_chat_again_at_the_same_time_renews_its_cards_once(
    store: SqlStore, clock: StoppedClock
) -> None:
    await store.heard(PAPER, kept=DAY)
    review = await waiting(store, ON_DESK)
    await store.delivery_shown(await card(store, review), FIRST)
    clock.advance(2 * DAY)
    assert [await store.heard(PAPER, kept=DAY) for _ in range(2)] == [1, 0]
