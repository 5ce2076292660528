"""The one door of every decision, on both databases: changes of mind, delegates, what carries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.counting import waited_for
from core.delegations import Delegations
from core.errors import (
    AlreadyDecided,
    ConfirmOnPage,
    Invalid,
    NotAReviewer,
    NotFound,
    NotWaiting,
    NotYourTurn,
    ReviewIsClosed,
    SelfReview,
    StaleReview,
)
from core.events import (
    AttemptStarted,
    DecisionRecorded,
    DecisionsCarried,
    DecisionsDropped,
    DecisionWithdrawn,
    ReviewApproved,
    ReviewEdited,
    ReviewExpired,
    ReviewRejected,
    ReviewRequested,
)
from core.model import (
    Assurance,
    Escalation,
    NewDecision,
    OnExpiry,
    OpenReview,
    Outcome,
    Person,
    PersonId,
    Point,
    Policy,
    Quorum,
    Status,
    TimerKind,
    Verdict,
    timestamp,
)
from core.store import reviews
from core.store.sql import SqlStore
from tests.contracts.steps import completed, decide, delegated, fired, parked, recorded, submitted, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, PEOPLE, SAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.events import Event
    from core.model import Decision, Json
    from core.store.database import Database
    from tests.world import StoppedClock

SAM_TWO = Person(id=PersonId("sam2"), name="Sam Two")
THREE = (ANA.id, BEN.id, CY.id)
TWO = Policy(name="two", reviewers=THREE, approvals=2)
TWO_EACH = replace(TWO, name="each", rejections=2)
THEN = Policy(
    name="then",
    reviewers=THREE,
    approvals=2,
    stages=(
        (Quorum(name="first", people=(ANA.id, BEN.id), approvals=1),),
        (Quorum(name="last", people=(CY.id,), approvals=1),),
    ),
)
CARRIES = replace(TWO_EACH, name="carries", carries=True)
NO = Verdict.REJECT


async def history(store: SqlStore, review: str) -> list[Event]:
    task = (await store.review(review)).task.id
    return [stored.event for stored in await store.events(task, 0)]


def made_by(person: Person, review: str) -> DecisionRecorded:
    return DecisionRecorded(
        review=review,
        reviewer=person.id,
        reviewer_name=person.name,
        verdict="approve",
        comment=None,
        via="api",
    )


async def answers(store: SqlStore, review: str) -> list[tuple[str, str]]:
    return [(made.seat, made.verdict.value) for made in (await store.review(review)).decisions]


# Changes of mind


async def test_an_answer_taken_back_counts_no_more_and_stays_in_the_history(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    found, refusal = await store.withdraw(review, ANA, via="web")
    assert (refusal, found.decisions, found.is_open) == (None, (), True)
    assert (await store.review(review)).decisions == ()
    assert (await recorded(store, review, BEN)).is_open
    assert [type(event) for event in (await history(store, review))[-3:]] == [
        DecisionRecorded,
        DecisionWithdrawn,
        DecisionRecorded,
    ]
    assert (await recorded(store, review, ANA)).outcome is Outcome.APPROVED


async def test_nothing_to_take_back_is_refused_and_changes_nothing(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    before = await history(store, review)
    for person in (BEN, EVE):
        assert isinstance((await store.withdraw(review, person, via="web"))[1], NotWaiting)
    assert await history(store, review) == before
    await recorded(store, review, BEN)
    assert isinstance((await store.withdraw(review, ANA, via="web"))[1], ReviewIsClosed)
    with pytest.raises(NotFound):
        await store.withdraw("0" * 32, ANA, via="web")


async def test_an_answer_is_taken_back_by_the_task_where_that_is_clear(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO_EACH, rejections=1))
    task = (await store.review(review)).task.id
    for which in (OpenReview(task=task), OpenReview(task=task, review=review, attempt=1)):
        await recorded(store, review, ANA)
        found, refusal = await store.withdraw(which, ANA, via="web")
        assert (refusal, found.decisions) == (None, ())
    await recorded(store, review, ANA, NO)
    with pytest.raises(NotWaiting, match="is running; there is no decision to take back now"):
        await store.withdraw(OpenReview(task=task), ANA, via="web")
    again = await next_attempt(store, review, TWO_EACH)
    for which in (OpenReview(task=task, review=review), OpenReview(task=task, attempt=1)):
        found, refusal = await store.withdraw(which, ANA, via="web")
        assert (found.id, type(refusal)) == (review, ReviewIsClosed), "not the open one instead"
    others = await waiting(store, TWO)
    for which in (
        OpenReview(task=task, review=others),
        OpenReview(task=task, review="\x00"),
        OpenReview(task=task, review=again, attempt=1),
        OpenReview(task="0" * 32),
        OpenReview(task="0" * 32, review=review),
    ):
        with pytest.raises(NotFound, match="task" if which.task != task else "review"):
            await store.withdraw(which, ANA, via="web")


async def test_who_takes_back_is_told_first_whether_anything_is_theirs(
    store: SqlStore, clock: StoppedClock
) -> None:
    """As whoever decides is told first that they may not: a stranger hears of no verdict, and who has nothing
    to take back is sent to no page."""
    policy = replace(TWO, assurance=Assurance.CONFIRM, deadline=timedelta(hours=1))
    today = {"two": replace(policy, reviewers=(BEN.id, CY.id))}
    review = await waiting(store, policy)
    await recorded(store, review, ANA)

    async def refusal(person: Person, now: Mapping[str, Policy] = {}) -> type[object]:
        return type((await store.withdraw(review, person, via="slack", policies=now))[1])

    assert [await refusal(who) for who in (EVE, BEN, ANA)] == [NotWaiting, NotWaiting, ConfirmOnPage]
    assert await refusal(ANA, today) is NotAReviewer
    clock.advance(hours=1)
    assert [await refusal(who) for who in (EVE, BEN, ANA)] == [NotWaiting, NotWaiting, ReviewIsClosed]
    assert await refusal(ANA, today) is NotAReviewer
    clock.advance(hours=-1)
    await recorded(store, review, BEN)
    assert [await refusal(who) for who in (EVE, CY, ANA)] == [NotWaiting, ReviewIsClosed, ReviewIsClosed]
    assert await refusal(ANA, today) is NotAReviewer
    gone = {"other": TWO}
    assert await refusal(ANA, gone) is ReviewIsClosed, "as who decides is told"


async def test_where_the_page_decides_a_chat_takes_nothing_back(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO, assurance=Assurance.CONFIRM))
    await recorded(store, review, ANA)
    assert isinstance((await store.withdraw(review, ANA, via="slack"))[1], ConfirmOnPage)
    assert (await store.withdraw(review, ANA, via="web"))[1] is None


async def test_another_answer_takes_the_place_of_the_one_before(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO_EACH, approvals=3))
    await recorded(store, review, ANA)
    await recorded(store, review, ANA, NO)
    assert await answers(store, review) == [("ana", "reject")]
    assert [type(event) for event in (await history(store, review))[-2:]] == [
        DecisionWithdrawn,
        DecisionRecorded,
    ]
    await recorded(store, review, BEN)
    await recorded(store, review, ANA)
    assert await answers(store, review) == [("ben", "approve"), ("ana", "approve")]
    assert (await recorded(store, review, CY)).outcome is Outcome.APPROVED


async def test_a_change_of_mind_can_close_the_review(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    closed = await recorded(store, review, ANA, NO)
    assert (closed.outcome, [made.verdict for made in closed.decisions]) == (Outcome.REJECTED, [NO])
    events = (await history(store, review))[-3:]
    assert [type(event) for event in events] == [DecisionWithdrawn, DecisionRecorded, ReviewRejected]


async def test_who_takes_back_what_opened_the_next_stage_closes_it_again(store: SqlStore) -> None:
    review = await waiting(store, THEN)
    await recorded(store, review, ANA)
    await store.withdraw(review, ANA, via="web")
    assert isinstance((await decide(store, review, CY))[1], NotYourTurn)
    await recorded(store, review, BEN)
    assert (await recorded(store, review, CY)).outcome is Outcome.APPROVED
    assert [made.stage for made in (await store.review(review)).decisions] == [0, 1]


async def test_an_edit_of_one_of_several_ends_the_review_for_the_next_attempt(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    closed = await recorded(store, review, BEN, Verdict.EDIT, content="better")
    assert (closed.outcome, closed.edit) == (Outcome.EDITED, "better")
    assert isinstance((await history(store, review))[-1], ReviewEdited)
    again = await parked(store, closed.task.id, TWO, attempt=2, draft="better")
    opened = await store.review(again)
    assert opened.previous is not None
    assert (opened.decisions, opened.previous.reviewer) == ((), BEN.id)


async def test_the_same_answer_again_changes_nothing(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    before = await history(store, review)
    assert isinstance((await decide(store, review, ANA))[1], AlreadyDecided)
    assert await history(store, review) == before


async def test_the_same_verdict_with_another_comment_takes_the_place_of_the_one_before(
    store: SqlStore,
) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    found = await recorded(store, review, ANA, comment="as agreed")
    assert [(made.seat, made.comment) for made in found.decisions] == [("ana", "as agreed")]
    assert [type(event) for event in (await history(store, review))[-2:]] == [
        DecisionWithdrawn,
        DecisionRecorded,
    ]
    assert isinstance((await decide(store, review, ANA))[1], AlreadyDecided)
    assert (await recorded(store, review, BEN)).outcome is Outcome.APPROVED


async def test_everybody_who_rejected_is_told_to_the_next_attempt(store: SqlStore) -> None:
    review = await waiting(store, TWO_EACH)
    await recorded(store, review, BEN, NO, comment="too long")
    await recorded(store, review, CY)
    await recorded(store, review, ANA, NO, comment="too late")
    opened = await store.review(await next_attempt(store, review, TWO_EACH))
    assert opened.previous is not None
    assert [(made.seat, made.comment) for made in (*opened.before_previous, opened.previous)] == [
        ("ben", "too long"),
        ("ana", "too late"),
    ]


async def test_one_person_in_two_chats_at_once_has_one_vote(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(20):
            review = await waiting(one, TWO)
            found = await asyncio.gather(decide(one, review, ANA), decide(two, review, ANA))
            assert sorted(type(refusal).__name__ for _, refusal in found) == ["AlreadyDecided", "NoneType"]
            assert await answers(one, review) == [("ana", "approve")]


# Delegates


async def test_a_delegate_decides_and_both_names_are_kept(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    assert isinstance((await decide(store, review, EVE))[1], NotAReviewer)
    await delegated(store, ANA, EVE, clock)
    made = (await recorded(store, review, EVE)).decisions[0]
    assert (made.reviewer, made.person, made.person_name, made.seat) == (EVE.id, ANA.id, ANA.name, ANA.id)
    assert (await store.review(review)).decisions == (made,)
    told = (await history(store, review))[-1]
    assert isinstance(told, DecisionRecorded)
    assert (told.reviewer_name, told.person_name) == (EVE.name, ANA.name)
    assert isinstance((await decide(store, review, ANA))[1], AlreadyDecided), "the seat has one answer"
    assert (await recorded(store, review, BEN)).outcome is Outcome.APPROVED


async def test_who_is_back_may_take_back_what_was_said_for_them(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    await store.withdraw(review, ANA, via="web")
    assert (await store.review(review)).decisions == ()
    told = (await history(store, review))[-1]
    assert told == DecisionWithdrawn(
        review=review, reviewer=EVE.id, reviewer_name=EVE.name, via="web", by=ANA.id, by_name=ANA.name
    )


async def test_who_is_back_may_say_otherwise(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO_EACH)
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    await recorded(store, review, ANA, NO)
    assert await answers(store, review) == [("ana", "reject")]


async def test_a_delegate_does_not_change_what_somebody_else_said(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Neither the person themselves, nor another delegate of theirs; the person may, as ever."""
    review = await waiting(store, replace(TWO_EACH, approvals=3))
    await recorded(store, review, ANA)
    await delegated(store, ANA, EVE, clock)
    refusal = (await decide(store, review, EVE, NO))[1]
    assert isinstance(refusal, AlreadyDecided)
    assert str(refusal) == f"{ANA.name} has already decided for themselves; that stays theirs to change."
    assert isinstance((await store.withdraw(review, EVE, via="web"))[1], NotWaiting)
    await delegated(store, BEN, EVE, clock)
    await recorded(store, review, EVE)
    await delegated(store, BEN, SAM_TWO, clock)
    refusal = (await decide(store, review, SAM_TWO, NO))[1]
    assert str(refusal) == f"{EVE.name} has already decided for {BEN.name}; that stays theirs to change."
    assert (await recorded(store, review, BEN, NO)).is_open


async def test_whoever_spoke_for_another_is_not_waited_for_when_asked_too(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Eve, who spoke for Ana, comes in by the escalation; she has no second answer."""
    wider = Escalation(after=timedelta(hours=1), people=(EVE.id,))
    policy = replace(TWO_EACH, reviewers=(ANA.id, BEN.id), escalation=wider)
    review = await waiting(store, policy)
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    clock.advance(hours=1)
    await fired(store)
    assert waited_for(await store.review(review)) == [BEN.id]
    await delegated(store, EVE, SAM_TWO, clock)
    refusal = (await decide(store, review, SAM_TWO))[1]
    assert str(refusal).startswith(f"{EVE.name} has already decided for {ANA.name}; nobody decides twice")
    await recorded(store, review, BEN, NO)
    assert [timer.kind for timer in await store.timers(review)] == [TimerKind.STUCK], "only Eve is left"


async def test_a_delegation_ends_by_itself_and_when_it_is_ended(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await delegated(store, ANA, EVE, clock, days=2)
    clock.advance(days=2)
    assert isinstance((await decide(store, review, EVE))[1], NotAReviewer)
    await delegated(store, ANA, EVE, clock)
    assert await store.revoke_delegation(ANA.id)
    assert not await store.revoke_delegation(ANA.id)
    assert isinstance((await decide(store, review, EVE))[1], NotAReviewer)
    assert await store.delegations() == []


async def test_a_newer_delegation_takes_the_place_of_the_older(store: SqlStore, clock: StoppedClock) -> None:
    await delegated(store, ANA, EVE, clock)
    await delegated(store, ANA, SAM, clock)
    assert [(of.person, of.delegate) for of in await store.delegations()] == [(ANA.id, SAM.id)]
    await delegated(store, ANA, None, clock)
    assert [(of.person, of.delegate) for of in await store.delegations()] == [(ANA.id, None)]


async def test_a_circle_of_delegates_is_refused(store: SqlStore, clock: StoppedClock) -> None:
    await delegated(store, ANA, BEN, clock)
    await delegated(store, BEN, CY, clock)
    for delegate in (ANA, BEN):
        with pytest.raises(Invalid, match="delegated to you"):
            await delegated(store, CY, delegate, clock)
    assert len(await store.delegations()) == 2
    await delegated(store, BEN, None, clock)
    await delegated(store, CY, BEN, clock)


async def test_a_circle_is_refused_also_where_both_speak_at_once(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(20):
            done = await asyncio.gather(
                delegated(one, ANA, BEN, clock), delegated(two, BEN, ANA, clock), return_exceptions=True
            )
            assert sum(isinstance(answer, Invalid) for answer in done) == 1, done
            assert len(await one.delegations()) == 1
            for person in (ANA, BEN):
                await one.revoke_delegation(person.id)


async def test_no_delegate_lets_a_submitter_approve(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, replace(TWO, reviewers=(ANA.id, BEN.id, SAM.id)))
    await delegated(store, SAM, EVE, clock)
    assert isinstance((await decide(store, review, EVE))[1], SelfReview)
    await delegated(store, ANA, SAM, clock)
    assert isinstance((await decide(store, review, SAM))[1], SelfReview)


async def test_a_delegate_of_two_in_turn_speaks_in_one_seat(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    await store.revoke_delegation(ANA.id)
    await delegated(store, BEN, EVE, clock)
    before = await history(store, review)
    refusal = (await decide(store, review, EVE))[1]
    assert isinstance(refusal, AlreadyDecided)
    assert ANA.name in str(refusal)
    assert await history(store, review) == before
    await store.withdraw(review, EVE, via="web")
    assert (await recorded(store, review, EVE)).decisions[0].seat == BEN.id


# People who are struck


async def test_a_struck_person_decides_nothing_at_once(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    today = {"two": replace(TWO, reviewers=(BEN.id, CY.id))}
    refusal = (await decide(store, review, ANA, policies=today))[1]
    assert isinstance(refusal, NotAReviewer)
    assert "any more" in str(refusal)


@pytest.mark.parametrize("keeps", [True, False])
async def test_what_a_struck_person_said_counts_as_the_policy_says(store: SqlStore, keeps: bool) -> None:
    policy = replace(TWO, keeps_removed=keeps)
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    today = {"two": replace(policy, reviewers=(BEN.id, CY.id))}
    found = await recorded(store, review, BEN, policies=today)
    assert found.outcome is (Outcome.APPROVED if keeps else Outcome.OPEN)
    if not keeps:
        assert (await recorded(store, review, CY, policies=today)).outcome is Outcome.APPROVED


def legal_and_ops(
    *, legal: tuple[Person, ...] = (ANA, BEN), ops: tuple[Person, ...] = (ANA, CY), keeps: bool = True
) -> Policy:
    groups = {"legal": tuple(one.id for one in legal), "ops": tuple(one.id for one in ops)}
    return Policy(
        name="both",
        reviewers=tuple(dict.fromkeys(who for people in groups.values() for who in people)),
        approvals=2,
        stages=(tuple(Quorum(name=name, people=who, approvals=1) for name, who in groups.items()),),
        keeps_removed=keeps,
    )


@pytest.mark.parametrize("keeps", [True, False])
async def test_who_is_struck_from_one_group_counts_in_the_other_only(store: SqlStore, keeps: bool) -> None:
    review = await waiting(store, legal_and_ops(keeps=keeps))
    today = {"both": legal_and_ops(legal=(BEN,), keeps=keeps)}
    assert (await recorded(store, review, ANA, policies=today)).is_open
    assert (await recorded(store, review, CY, policies=today)).is_open, "two of ops, none of legal"
    assert (await recorded(store, review, BEN, policies=today)).outcome is Outcome.APPROVED


async def test_what_is_said_after_that_counts_there_only_whatever_is_struck_next(store: SqlStore) -> None:
    """Else whoever is struck from the rest, too, would count in the first group again, as it is kept."""
    review = await waiting(store, legal_and_ops())
    await recorded(store, review, ANA, policies={"both": legal_and_ops(legal=(BEN,))})
    nowhere = {"both": legal_and_ops(legal=(BEN,), ops=(CY,))}
    assert (await recorded(store, review, CY, policies=nowhere)).is_open
    assert (await recorded(store, review, BEN, policies=nowhere)).outcome is Outcome.APPROVED


async def test_what_was_said_before_that_counts_on_where_the_policy_keeps_it(store: SqlStore) -> None:
    review = await waiting(store, legal_and_ops())
    await recorded(store, review, ANA)
    today = {"both": legal_and_ops(legal=(BEN,))}
    assert (await recorded(store, review, CY, policies=today)).outcome is Outcome.APPROVED


async def test_who_is_struck_from_a_stage_has_no_turn_in_it(store: SqlStore) -> None:
    def then(*first: Person) -> Policy:
        stages = (
            (Quorum(name="legal", people=tuple(one.id for one in first), approvals=1),),
            (Quorum(name="ops", people=(ANA.id, CY.id), approvals=1),),
        )
        return Policy(name="then", reviewers=(ANA.id, BEN.id, CY.id), approvals=2, stages=stages)

    review = await waiting(store, then(ANA, BEN))
    refusal = (await decide(store, review, ANA, policies={"then": then(BEN)}))[1]
    assert isinstance(refusal, NotYourTurn)
    await recorded(store, review, BEN, policies={"then": then(BEN)})
    assert (await recorded(store, review, ANA, policies={"then": then(BEN)})).outcome is Outcome.APPROVED


async def test_a_rejection_of_a_struck_person_is_dropped_too(store: SqlStore) -> None:
    policy = replace(TWO_EACH, keeps_removed=False)
    review = await waiting(store, policy)
    await recorded(store, review, ANA, NO)
    today = {"each": replace(policy, reviewers=(BEN.id, CY.id))}
    assert (await recorded(store, review, BEN, NO, policies=today)).is_open
    assert (await recorded(store, review, CY, NO, policies=today)).outcome is Outcome.REJECTED


async def test_what_did_not_count_stands_no_more_once_the_review_is_closed(store: SqlStore) -> None:
    policy = replace(TWO, keeps_removed=False)
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    today = {"two": replace(policy, reviewers=(BEN.id, CY.id))}
    await recorded(store, review, BEN, policies=today)
    assert await answers(store, review) == [("ana", "approve"), ("ben", "approve")], "Ana may come back"
    closed = await recorded(store, review, CY, policies=today)
    assert [made.seat for made in closed.decisions] == ["ben", "cy"]
    assert await answers(store, review) == [("ben", "approve"), ("cy", "approve")]
    assert (await history(store, review))[-3:] == [
        made_by(CY, review),
        DecisionsDropped(review=review, people=[ANA.name], ids=[ANA.id]),
        ReviewApproved(review=review, attempt=1),
    ]


async def test_who_returns_before_the_end_has_their_say_again(store: SqlStore) -> None:
    policy = replace(TWO, keeps_removed=False)
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, policies={"two": replace(policy, reviewers=(BEN.id, CY.id))})
    closed = await recorded(store, review, CY, policies={"two": policy})
    assert [made.seat for made in closed.decisions] == ["ana", "ben", "cy"]


async def test_a_deadline_too_leaves_only_what_counted(store: SqlStore, clock: StoppedClock) -> None:
    policy = replace(TWO, keeps_removed=False, deadline=timedelta(hours=1), on_expiry=OnExpiry.APPROVE)
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    clock.advance(hours=1)
    (expiry,) = await store.due_timers(9)
    today = {"two": replace(policy, reviewers=(BEN.id, CY.id))}
    assert await store.fire(expiry, policies=today, people=PEOPLE)
    assert await answers(store, review) == []
    assert [type(event) for event in (await history(store, review))[-2:]] == [DecisionsDropped, ReviewExpired]


async def test_a_stage_that_lost_who_met_it_is_decided_again(store: SqlStore) -> None:
    policy = replace(THEN, keeps_removed=False)
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    today = {"then": replace(policy, reviewers=(BEN.id, CY.id))}
    assert isinstance((await decide(store, review, CY, policies=today))[1], NotYourTurn)
    assert (await recorded(store, review, BEN, policies=today)).is_open
    assert (await recorded(store, review, CY, policies=today)).outcome is Outcome.APPROVED


async def test_who_was_struck_takes_nothing_back(store: SqlStore) -> None:
    """What is kept of them is not theirs to change: they decide nothing any more."""
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    for today in ({"two": replace(TWO, reviewers=(BEN.id, CY.id))}, {"renamed": TWO}):
        refusal = (await store.withdraw(review, ANA, via="web", policies=today))[1]
        assert isinstance(refusal, NotAReviewer)
    assert len((await store.review(review)).decisions) == 1


async def test_a_decision_that_leaves_too_few_makes_it_known(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO_EACH, reviewers=(ANA.id, BEN.id)))
    await recorded(store, review, ANA, NO)
    assert [timer.kind for timer in await store.timers(review)] == [TimerKind.STUCK]


# The deadline


async def test_after_the_deadline_nobody_decides_although_it_has_not_closed_yet(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(TWO, deadline=timedelta(hours=1)))
    await recorded(store, review, ANA)
    clock.advance(hours=1)
    assert isinstance((await decide(store, review, BEN))[1], ReviewIsClosed)
    assert isinstance((await store.withdraw(review, ANA, via="web"))[1], ReviewIsClosed)
    assert (await store.review(review)).is_open
    assert await store.waiting_for(BEN.id, everybody=False, policies={}, limit=9) == []


async def test_where_one_approves_alone_two_may_be_needed_to_reject(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO, approvals=1, rejections=2))
    assert (await recorded(store, review, ANA, NO)).is_open
    assert (await recorded(store, review, BEN, NO)).outcome is Outcome.REJECTED


async def test_what_a_delegate_answered_is_listed_for_both(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    for person, found in ((ANA, [review]), (EVE, [review]), (BEN, [])):
        assert [one.id for one in await store.answered_by(person.id, limit=9)] == found


async def test_what_waits_for_somebody_is_found_behind_much_that_does_not(
    store: SqlStore, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "SIEVED", 2)
    for _ in range(5):
        await recorded(store, await waiting(store, TWO), ANA)
        clock.advance(seconds=1)
    review = await waiting(store, TWO)
    found = await store.waiting_for(ANA.id, everybody=False, policies={}, limit=9)
    assert [one.id for one in found] == [review]


async def test_of_two_reviews_in_one_attempt_its_number_names_neither(store: SqlStore) -> None:
    """Somebody who has seen the first would decide on the second."""
    task = (await recorded(store, await waiting(store))).task.id
    second = await parked(store, task)
    new = NewDecision(reviewer=BEN, verdict=Verdict.APPROVE, via="api")
    with pytest.raises(StaleReview, match="more than one review"):
        await store.decide(OpenReview(task=task, attempt=1), new, policies={}, people=PEOPLE)
    named = OpenReview(task=task, attempt=1, review=second)
    decided, refusal, _ = await store.decide(named, new, policies={}, people=PEOPLE)
    assert (decided.outcome, refusal) == (Outcome.APPROVED, None)


async def test_who_names_no_review_of_an_ended_task_is_told_of_the_newest(store: SqlStore) -> None:
    review = await waiting(store)
    task = (await recorded(store, review, ANA, NO)).task.id
    await recorded(store, await parked(store, task, attempt=2), BEN)
    await completed(store, task)
    new = NewDecision(reviewer=CY, verdict=Verdict.APPROVE, via="api")
    with pytest.raises(NotWaiting, match=f"Already approved by {BEN.name}"):
        await store.decide(OpenReview(task=task), new, policies={}, people=PEOPLE)


async def test_whom_the_configuration_names_no_more_decides_in_nobodys_place(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Nor does anybody in theirs, also once they are named again."""
    known = {person.id: person for person in (ANA, BEN, CY, SAM)}
    delegations = Delegations(
        store,
        person=lambda one: known.get(PersonId(one)),
        known=known.__getitem__,
        is_admin=lambda _: False,
        policies={},
        clock=clock,
    )
    await delegated(store, ANA, EVE, clock)
    await delegated(store, EVE, SAM, clock)
    await delegated(store, BEN, SAM, clock)
    await delegated(store, CY, None, clock)
    await delegations.end_those_of_strangers()
    left = {(of.person, of.delegate) for of in await delegations.standing()}
    assert left == {(BEN.id, SAM.id), (CY.id, None)}


# What carries


async def next_attempt(store: SqlStore, review: str, policy: Policy, attempt: int = 2) -> str:
    return await parked(store, (await store.review(review)).task.id, policy, attempt=attempt)


async def test_approvals_carry_into_the_next_attempt_where_the_policy_says_so(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, approvals=3, rejections=1))
    await recorded(store, review, ANA, comment="fine")
    await recorded(store, review, BEN, NO)
    first = (await store.review(review)).decisions[0]
    again = await next_attempt(store, review, CARRIES)
    opened = await store.review(again)
    assert (opened.is_open, opened.decisions) == (True, (first,))
    events = await history(store, again)
    assert [type(event) for event in events[-3:]] == [AttemptStarted, ReviewRequested, DecisionsCarried]
    said: Json = {
        "reviewer": "ana",
        "reviewer_name": ANA.name,
        "verdict": "approve",
        "comment": "fine",
        "via": "api",
        "person": None,
        "person_name": None,
        "at": timestamp(first.at),
    }
    assert events[-1] == DecisionsCarried(review=again, reviewers=[ANA.name], decisions=[said])
    assert [stored.seq for stored in await store.events(opened.task.id, 0)] == list(range(1, len(events) + 1))
    assert isinstance((await decide(store, again, ANA))[1], AlreadyDecided)
    closed = await recorded(store, again, BEN)
    assert (closed.outcome, closed.task.status) == (Outcome.APPROVED, Status.RUNNING)
    assert isinstance((await history(store, again))[-1], ReviewApproved)
    assert (await store.review(review)).decisions[0] == first, "the first attempt keeps its own"


async def test_what_is_carried_can_be_taken_back(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, rejections=1))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, CARRIES)
    await store.withdraw(again, ANA, via="web")
    assert (await store.review(again)).decisions == ()
    assert (await recorded(store, again, BEN)).is_open


async def test_without_the_policy_nothing_carries(store: SqlStore) -> None:
    review = await waiting(store, replace(TWO, approvals=3))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, TWO)
    assert (await store.review(again)).decisions == ()
    assert isinstance((await history(store, again))[-1], ReviewRequested)


async def test_what_is_carried_is_never_enough_alone(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, approvals=3, rejections=1))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN)
    await recorded(store, review, CY, NO)
    again = await next_attempt(store, review, CARRIES)  # two are enough by now
    assert await answers(store, again) == [("ana", "approve")]
    assert (await store.review(again)).is_open
    assert (await recorded(store, again, BEN)).outcome is Outcome.APPROVED


async def test_only_who_is_a_reviewer_in_that_stage_still_is_carried(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, approvals=3, rejections=1))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, replace(CARRIES, reviewers=(BEN.id, CY.id)))
    assert (await store.review(again)).decisions == ()


async def test_nothing_carries_from_a_review_under_another_policy(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, rejections=1))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, replace(CARRIES, name="another"))
    assert await answers(store, again) == []


async def test_nothing_carries_into_what_a_node_asks_itself(store: SqlStore) -> None:
    """It may be another question each time."""
    task, policy = await submitted(store), replace(CARRIES, rejections=1)
    review = await parked(store, task.id, policy, point=Point.INSIDE)
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await parked(store, task.id, policy, attempt=2, point=Point.INSIDE)
    assert await answers(store, again) == []


async def test_nobody_is_carried_from_a_stage_that_there_is_no_more(store: SqlStore) -> None:
    stages = (
        (Quorum(name="first", people=(ANA.id,), approvals=1),),
        (Quorum(name="second", people=(BEN.id, CY.id), approvals=2),),
    )
    review = await waiting(store, replace(CARRIES, approvals=3, rejections=1, stages=stages))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN)
    await recorded(store, review, CY, NO)
    again = await next_attempt(store, review, replace(CARRIES, approvals=3))
    assert await answers(store, again) == [("ana", "approve")]


async def test_a_delegates_answer_is_carried_with_both_names(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, replace(CARRIES, rejections=1))
    await delegated(store, ANA, EVE, clock)
    await recorded(store, review, EVE)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, CARRIES)
    made: Decision = (await store.review(again)).decisions[0]
    assert (made.reviewer, made.seat) == (EVE.id, ANA.id)


async def test_nothing_carries_over_an_edit(store: SqlStore) -> None:
    """Else a text would be released that nobody but its author has approved."""
    review = await waiting(store, CARRIES)
    await recorded(store, review, ANA)
    closed = await recorded(store, review, BEN, Verdict.EDIT, content="better")
    again = await parked(store, closed.task.id, CARRIES, attempt=2, draft="better")
    assert await answers(store, again) == []
    assert (await recorded(store, again, BEN)).is_open
    assert (await recorded(store, again, CY)).outcome is Outcome.APPROVED


async def test_nothing_carries_from_an_attempt_that_was_undone(store: SqlStore) -> None:
    """It was approved, and an administrator has resumed the task from before it: that text is another one."""
    review = await waiting(store, CARRIES)
    await recorded(store, review, ANA)
    task = (await recorded(store, review, BEN)).task.id
    await completed(store, task)
    await store.rewind(task, number=0, edits={}, node="process", by=CY)
    again = await parked(store, task, CARRIES, attempt=2, draft="another text")
    assert await answers(store, again) == []
    assert (await recorded(store, again, CY)).is_open


async def test_what_was_carried_carries_on(store: SqlStore) -> None:
    review = await waiting(store, replace(CARRIES, rejections=1, recipients=(DESK,)))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await next_attempt(store, review, replace(CARRIES, rejections=1))
    await recorded(store, again, BEN, NO)
    third = await next_attempt(store, again, CARRIES, attempt=3)
    assert await answers(store, third) == [("ana", "approve")]
    assert (await recorded(store, third, CY)).outcome is Outcome.APPROVED


async def test_the_runner_is_told_of_the_carried_event(store: SqlStore) -> None:
    task = await submitted(store)
    review = await parked(store, task.id, replace(CARRIES, rejections=1))
    await recorded(store, review, ANA)
    await recorded(store, review, BEN, NO)
    again = await parked(store, task.id, CARRIES, attempt=2)
    await recorded(store, again, CY)
    position = await store.position(task.id)
    assert position is not None
    assert position.seq == len(await store.events(task.id, 0))
