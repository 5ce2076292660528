"""Two servers on one PostgreSQL database, each in the middle of what the other is about to find."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from core import counting
from core.errors import AlreadyAnswered, Refused
from core.events import (
    DecisionRecorded,
    DecisionWithdrawn,
    QuestionAnswered,
    ReviewApproved,
    ReviewEdited,
    ReviewExpired,
    ReviewRejected,
    TaskCancelled,
)
from core.lifecycle import after
from core.model import (
    DeliveryState,
    Dialog,
    MessageRef,
    NewDecision,
    NewQuestion,
    Outcome,
    Policy,
    QuestionId,
    Quorum,
    Status,
    TimerKind,
    Verdict,
)
from core.store import admitting, chats, deciding, firing, places, questions, receipts
from core.store.sql import SqlStore
from tests.contracts.beside import begun, held
from tests.contracts.cards import DAY, STONE, WITH_FALLBACK, card, cards
from tests.contracts.steps import decide, delegated, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, PAPER, PEOPLE, SAM

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from core.model import PersonId, ReviewRequest, StoredEvent, Timer
    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction
    from tests.world import StoppedClock

QUORUM_IS_OPEN = timedelta(hours=1)
QUORUM = Policy(
    name="quorum",
    reviewers=(ANA.id, BEN.id, CY.id),
    approvals=2,
    rejections=2,
    deadline=QUORUM_IS_OPEN,
    recipients=(DESK,),
)
CLOSED_BY = {
    Outcome.APPROVED: ReviewApproved,
    Outcome.REJECTED: ReviewRejected,
    Outcome.EDITED: ReviewEdited,
}
FIRST, SECOND = MessageRef("desk/1"), MessageRef("desk/2")


@pytest.mark.parametrize("why", ["given up", "posted twice", "not heard for long"])
async def test_a_card_that_is_made_while_somebody_decides_shows_that(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock, why: str
) -> None:
    """It would keep its buttons: the decision knows nothing of it, and it is shown before the commit."""
    async with SqlStore(postgres_database, clock) as store:
        await store.heard(PAPER, kept=DAY)
        review = await waiting(store, WITH_FALLBACK)
        due = await card(store, review)
        if why != "given up":
            await store.delivery_shown(due, FIRST)
        known = {one.id for one in await cards(store, review)}
        clock.advance(2 * DAY)
        making_one: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "given up": partial(store.delivery_given_up, due, "The bot was kicked."),
            "posted twice": partial(store.delivery_shown, due, SECOND),
            "not heard for long": partial(store.heard, PAPER, kept=DAY),
        }
        new = NewDecision(reviewer=ANA, verdict=Verdict.APPROVE, via="web")
        unit = partial(deciding.decide, which=review, new=new, policies={}, people=PEOPLE)
        async with held(postgres_writer, unit):
            making = await begun(postgres_database, making_one[why]())
            for one in [*await store.due_deliveries(PAPER), *await store.due_deliveries(STONE)]:
                if one.id not in known:
                    await store.delivery_shown(one, one.message or MessageRef(f"{one.recipient.address}/9"))
        await making
        assert not (await store.review(review)).is_open
        new_ones = [one for one in await cards(store, review) if one.id not in known]
        assert all(one.due_at for one in new_ones)
        assert why != "given up" or not new_ones, "the fallback is told of nothing that is decided"


async def test_a_card_that_another_server_posts_while_this_one_gives_it_up_goes_on_being_changed(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    """What is given up is never shown again: its buttons would stay after the decision."""
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store, WITH_FALLBACK)
        due = await card(store, review)
        async with held(postgres_writer, partial(receipts.shown, wanted=due, message=FIRST)):
            giving_up = await begun(postgres_database, store.delivery_given_up(due, "It took too long."))
        await giving_up
        (only,) = await cards(store, review)
        assert (only.state, only.message) == (DeliveryState.SENT, FIRST)
        await decide(store, review)
        assert (await card(store, review)).due_at == clock.now()


@pytest.mark.parametrize("meanwhile", ["moves", "is given up"])
async def test_a_card_that_moves_or_is_given_up_while_all_are_renewed_is_not_there_twice(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock, meanwhile: str
) -> None:
    """Two servers: one hears the chat again, the other had a card under way."""
    async with SqlStore(postgres_database, clock) as store:
        await store.heard(PAPER, kept=DAY)
        review = await waiting(store, WITH_FALLBACK)
        due = await card(store, review)
        await store.delivery_shown(due, FIRST)
        stood = await card(store, review)
        clock.advance(2 * DAY)
        units: dict[str, Callable[[Transaction], object]] = {
            "moves": partial(places.place_moved, place=DESK, address="attic"),
            "is given up": partial(receipts.given_up, wanted=stood, error="The bot was kicked."),
        }
        async with held(postgres_writer, units[meanwhile]):
            renewing = await begun(postgres_database, store.heard(PAPER, kept=DAY))
        assert await renewing == 0
        at = [(one.recipient.address, one.state, one.is_retired) for one in await cards(store, review)]
        if meanwhile == "moves":
            assert at == [("attic", DeliveryState.DUE, False)]
        else:
            assert sorted(at) == [
                ("desk", DeliveryState.GIVEN_UP, False),
                ("hall", DeliveryState.DUE, False),
                ("wall", DeliveryState.DUE, False),
            ]


@pytest.mark.parametrize("first", ["the note", "the press"])
async def test_a_press_in_the_moment_that_its_card_is_noted_makes_no_second_one_of_it(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock, first: str
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store, WITH_FALLBACK)
        due = await card(store, review)
        await decide(store, review)
        note = partial(receipts.shown, wanted=due, message=FIRST)
        press = partial(deciding.adopt, review_id=review, copy=(DESK, FIRST))
        async with held(postgres_writer, note if first == "the note" else press):
            if first == "the note":
                other = await begun(postgres_database, store.adopt_copy(review, (DESK, FIRST)))
            else:
                other = await begun(postgres_database, store.delivery_shown(due, FIRST))
        await other
        (only,) = await cards(store, review)
        assert (only.id, only.message) == (due.id, FIRST)


@pytest.mark.parametrize("first", ["opened", "not known"])
async def test_a_question_that_is_pressed_in_the_moment_that_it_is_noted_is_open(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock, first: str
) -> None:
    """Whichever is stored first: the one who presses sees it, and was told that it is not known."""
    async with SqlStore(postgres_database, clock) as store:
        asked = Dialog(
            message=FIRST,
            channel=PAPER,
            review=await waiting(store),
            person=ANA.id,
            verdict=Verdict.REJECT,
            expires_at=clock.now() + timedelta(minutes=30),
        )
        ended = replace(asked, expires_at=clock.now() - timedelta(minutes=30))
        if first == "opened":
            async with held(postgres_writer, partial(chats.open_dialog, opened=asked)):
                noting = await begun(postgres_database, store.note_ended(ended))
            assert not await noting, "it is known"
        else:
            async with held(postgres_writer, partial(chats.note_ended, ended=ended)):
                opening = await begun(postgres_database, store.open_dialog(asked))
            await opening
        assert await store.dialog(PAPER, FIRST) == asked
        assert await store.ended_dialogs(PAPER, limit=9) == []


async def test_a_question_that_is_answered_twice_at_once_has_ended(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        asked = Dialog(
            message=FIRST,
            channel=PAPER,
            review=await waiting(store),
            person=ANA.id,
            verdict=Verdict.REJECT,
            expires_at=clock.now(),
        )
        await store.open_dialog(asked)
        ended = replace(asked, ended_at=clock.now() - DAY)
        async with held(postgres_writer, partial(chats.open_dialog, opened=ended)):
            again = await begun(postgres_database, store.open_dialog(ended))
        await again
        assert await store.ended_dialogs(PAPER, limit=9) == [ended]


async def test_what_is_to_be_looked_at_again_while_that_is_being_done_is_once_more(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    """Who looks just now may do so under what was in force before."""
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store)
        await store.mark_stuck([review])
        (timer,) = await store.timers(review)
        looking = partial(firing.fire, timer=timer, policies={}, people=PEOPLE)
        async with held(postgres_writer, looking):
            marking = await begun(postgres_database, store.mark_stuck([review]))
        await marking
        assert [one.kind for one in await store.timers(review)] == [TimerKind.STUCK]


@pytest.mark.parametrize("first", ["the decision", "the admission"])
async def test_who_comes_in_while_somebody_decides_who_was_struck_from_a_quorum_is_in(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock, first: str
) -> None:
    """Both write the review's policy."""
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store, _legal_and_ops(ANA.id, BEN.id))
        new = NewDecision(reviewer=ANA, verdict=Verdict.APPROVE, via="web")
        today = {"both": _legal_and_ops(BEN.id)}
        members = {"legal": [BEN.id, EVE.id]}
        if first == "the decision":
            unit = partial(deciding.decide, which=review, new=new, policies=today, people=PEOPLE)
            async with held(postgres_writer, unit):
                other = await begun(postgres_database, store.admit(members))
            assert await other == 1
        else:
            async with held(postgres_writer, partial(admitting.admit, members=members)):
                decision = await begun(postgres_database, store.decide(review, new, policies=today))
            assert (await decision)[1] is None
        ((legal, _),) = (await store.review(review)).policy.stages
        assert legal.people == (BEN.id, EVE.id)


def _legal_and_ops(*legal: PersonId) -> Policy:
    return Policy(
        name="both",
        reviewers=(ANA.id, BEN.id),
        approvals=2,
        stages=(
            (
                Quorum(name="legal", people=legal, approvals=1, outside=("legal",)),
                Quorum(name="ops", people=(ANA.id,), approvals=1),
            ),
        ),
        outside=("legal",),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_people_and_the_clock_do_at_once_is_one_story(
    postgres_database: Database, clock: StoppedClock, seed: int
) -> None:
    """Votes, changes of mind, edits, delegates, the deadline, a cancellation: through two servers, in any
    order. What is stored is what the history tells, and a review closes once, by what stood then."""
    async with SqlStore(postgres_database, clock) as one, SqlStore(postgres_database, clock) as two:
        review = await waiting(one, QUORUM)
        task = (await one.review(review)).task.id
        await delegated(one, BEN, EVE, clock)
        clock.advance(QUORUM_IS_OPEN)
        (deadline,) = await one.due_timers(9)
        clock.advance(timedelta(seconds=-1))
        calls = []
        for store in (one, two):
            calls += [
                decide(store, review, ANA),
                decide(store, review, ANA, Verdict.REJECT),
                decide(store, review, BEN),
                decide(store, review, EVE, Verdict.REJECT),
                decide(store, review, CY, Verdict.EDIT, content="another draft"),
                decide(store, review, CY),
                store.withdraw(review, ANA, via="api"),
                store.withdraw(review, BEN, via="api"),
                store.revoke_delegation(BEN.id),
                _over(store, clock, deadline),
            ]
        calls += [two.cancel(task, SAM.id)] if seed % 2 else []
        Random(seed).shuffle(calls)  # noqa: S311 - an order, not a secret
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, Refused) for one in found if isinstance(one, BaseException)), found
        _check_is_one_story(await one.review(review), await one.events(task, 0))
        assert await one.due_timers(9) == ([deadline] if (await one.review(review)).is_open else [])


async def _over(store: SqlStore, clock: StoppedClock, deadline: Timer) -> None:
    clock.advance(seconds=1)
    await store.fire(deadline, policies={}, people=PEOPLE)


def _check_is_one_story(review: ReviewRequest, stored: Sequence[StoredEvent]) -> None:
    assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
    status, standing = Status.PENDING, dict[str, str]()
    ends = []
    for event in (one.event for one in stored[1:]):
        status = after(status, event)
        if isinstance(event, DecisionRecorded):
            assert event.reviewer not in standing
            standing[event.reviewer] = event.verdict
        elif isinstance(event, DecisionWithdrawn):
            del standing[event.reviewer]
        elif isinstance(event, (ReviewApproved, ReviewRejected, ReviewEdited, ReviewExpired, TaskCancelled)):
            ends.append(type(event))
    assert status is review.task.status
    assert {made.reviewer: made.verdict.value for made in review.decisions} == standing
    closing = [end for end in ends if end is not TaskCancelled]
    assert len(closing) <= 1
    assert review.is_open == (not ends)
    came_to = counting.outcome(review.policy, review.decisions)
    if closing and closing[0] is not ReviewExpired:
        assert (review.outcome, CLOSED_BY[came_to]) == (came_to, closing[0])
    else:
        assert came_to is Outcome.OPEN


async def test_of_two_answers_to_a_question_at_once_one_is_told(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    async with SqlStore(postgres_database, clock) as store:
        review = await waiting(store, QUORUM)
        new = NewQuestion(id=QuestionId("0" * 32), person=ANA, text="Which customer?", via="web")
        asked = await store.ask(review, new, policies={})
        unit = partial(
            questions.answer, question_id=asked.id, person=SAM, text="Acme.", via="web", is_admin=False
        )
        async with held(postgres_writer, unit):
            answering = store.answer(asked.id, SAM, "Another.", via="api", is_admin=False)
            second = await begun(postgres_database, answering)
        with pytest.raises(AlreadyAnswered):
            await second
        events = [stored.event for stored in await store.events(asked.task, 0)]
        assert [one.text for one in events if isinstance(one, QuestionAnswered)] == ["Acme."]
