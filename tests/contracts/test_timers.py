"""Timers of open reviews, on SQLite and on PostgreSQL alike: scheduled, fired once each, dropped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.amendments import escalated
from core.events import (
    AttemptStarted,
    ReviewApproved,
    ReviewerReminded,
    ReviewEscalated,
    ReviewExpired,
    ReviewRequested,
    ReviewStuck,
    TaskCompleted,
    TaskFailed,
)
from core.explaining import hash_of
from core.model import (
    DeliveryState,
    Escalation,
    MessageRef,
    NewReview,
    OnExpiry,
    Outcome,
    Policy,
    Quorum,
    ReviewId,
    Status,
    TaskId,
    TimerKind,
    Verdict,
)
from core.service import LOCAL_PERSON
from core.store.policies import policy_hash, policy_text
from core.store.sql import SqlStore
from tests.contracts.conftest import on
from tests.contracts.steps import (
    completed,
    decide,
    delegated,
    fired,
    new_id,
    parked,
    recorded,
    step,
    submitted,
    waiting,
)
from tests.contracts.timers import left, told
from tests.world import ANA, BEN, CY, DESK, EVE, HALL, PAPER, PEOPLE, SAM, START

if TYPE_CHECKING:
    from core.store.database import Database
    from tests.world import StoppedClock

HOUR = timedelta(hours=1)
TIMED = Policy(
    name="timed",
    reviewers=(ANA.id, BEN.id),
    approvals=2,
    deadline=4 * HOUR,
    reminders=(HOUR, 2 * HOUR),
    escalation=Escalation(after=3 * HOUR, people=(CY.id,), recipients=(HALL,)),
    recipients=(DESK,),
)
PLAIN = replace(TIMED, reminders=(), escalation=None)
ALL = [("reminder", 1), ("reminder", 2), ("escalation", 1), ("expiry", 1)]


async def test_a_review_opens_with_everything_that_is_to_happen_to_it(store: SqlStore) -> None:
    review = await waiting(store, TIMED)
    assert await left(store, review) == ALL
    assert (await store.review(review)).expires_at == START + 4 * HOUR
    assert await store.next_timer() == START + HOUR
    assert await store.due_timers(9) == []


async def test_what_is_due_first_comes_first_and_no_more_than_asked_for(
    store: SqlStore, clock: StoppedClock
) -> None:
    early = await waiting(store, PLAIN)
    clock.advance(minutes=1)
    late = await waiting(store, PLAIN)
    clock.advance(days=1)
    assert [timer.review for timer in await store.due_timers(9)] == [early, late]
    assert [timer.review for timer in await store.due_timers(1)] == [early]


@pytest.mark.parametrize("how", ["approve", "reject", "cancel", "fail", "rewind", "expire"])
async def test_nothing_is_left_to_happen_to_a_closed_review(
    store: SqlStore, clock: StoppedClock, how: str
) -> None:
    review = await waiting(store, TIMED)
    task = (await store.review(review)).task.id
    clock.advance(HOUR)
    due = await store.due_timers(9)
    match how:
        case "approve":
            await recorded(store, review, ANA)
            assert await left(store, review) == ALL
            await recorded(store, review, BEN)
        case "reject":
            await decide(store, review, ANA, verdict=Verdict.REJECT)
        case "cancel":
            await store.cancel(task, SAM.id)
        case "fail":
            await store.fail(task, "broken")
        case "rewind":
            await store.rewind(task, number=0, edits={}, node="process", by=ANA)
        case "expire":
            clock.advance(3 * HOUR)
            expiry = next(timer for timer in await store.due_timers(9) if timer.kind is TimerKind.EXPIRY)
            assert await store.fire(expiry, policies={}, people=PEOPLE)
    assert await left(store, review) == []
    events = await store.events(task, 0)
    for timer in due:
        assert not await store.fire(timer, policies={}, people=PEOPLE)
    assert await store.events(task, 0) == events
    assert await store.next_timer() is None


async def test_a_fork_leaves_the_timers_of_its_parent(store: SqlStore) -> None:
    review = await waiting(store, TIMED)
    task = (await store.review(review)).task.id
    child = TaskId(new_id())
    await store.fork(task, number=0, edits={}, node="process", by=ANA, child=child)
    assert await left(store, review) == ALL
    again = await parked(store, child, TIMED)
    assert await left(store, again) == ALL
    await store.cancel(task, SAM.id)
    assert (await left(store, review), await left(store, again)) == ([], ALL)


async def test_each_happens_once(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TIMED)
    clock.advance(HOUR)
    (timer,) = await store.due_timers(9)
    assert await store.fire(timer, policies={}, people=PEOPLE)
    assert not await store.fire(timer, policies={}, people=PEOPLE)
    assert await told(store, review, ReviewerReminded) == [
        ReviewerReminded(review=review, attempt=1, people=[ANA.name, BEN.name], ids=[ANA.id, BEN.id])
    ]
    assert await left(store, review) == ALL[1:]


async def test_each_happens_once_through_two_servers(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        reviews = [await waiting(one, replace(TIMED, reminders=(HOUR,))) for _ in range(10)]
        clock.advance(HOUR)
        due = await one.due_timers(99)
        done = await asyncio.gather(
            *(store.fire(timer, policies={}, people=PEOPLE) for timer in due for store in (one, two))
        )
        assert sum(done) == len(due) == 10
        for review in reviews:
            assert len(await told(one, review, ReviewerReminded)) == 1


async def test_what_is_not_due_does_not_happen(store: SqlStore) -> None:
    review = await waiting(store, TIMED)
    for timer in await store.timers(review):
        assert not await store.fire(timer, policies={}, people=PEOPLE)
    assert await left(store, review) == ALL


async def test_those_who_have_decided_are_not_reminded(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TIMED)
    await recorded(store, review, ANA)
    clock.advance(HOUR)
    await fired(store)
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[BEN.name]]


async def test_who_is_away_is_left_in_peace_and_their_delegate_is_not(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TIMED)
    await delegated(store, ANA, EVE, clock)
    await delegated(store, BEN, None, clock)
    clock.advance(HOUR)
    await fired(store)
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[EVE.name]]


async def test_a_delegate_who_is_a_reviewer_and_has_decided_is_not_reminded_for_another(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TIMED)
    await delegated(store, ANA, BEN, clock)
    await recorded(store, review, BEN)
    clock.advance(HOUR)
    await fired(store)
    assert await told(store, review, ReviewerReminded) == []


async def test_a_reminder_is_said_and_edits_no_card(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, replace(TIMED, recipients=(DESK,)))
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("card"))
    clock.advance(HOUR)
    assert await fired(store) == [("reminder", 1)]
    (notice,) = await store.due_deliveries(PAPER)
    assert (notice.review, notice.event_seq > card.event_seq) == (None, True)
    await store.delivery_shown(notice, MessageRef("notice"))
    assert await store.due_deliveries(PAPER) == []
    await decide(store, review)
    assert [due.id for due in await store.due_deliveries(PAPER)] == [card.id]


async def test_reminders_that_fell_due_together_are_one(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, replace(TIMED, escalation=None))
    clock.advance(3 * HOUR)
    await fired(store)
    assert len(await told(store, review, ReviewerReminded)) == 1
    assert await left(store, review) == [("expiry", 1)]


async def test_an_escalation_lets_more_people_decide_and_shows_them_the_card(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TIMED)
    assert (await decide(store, review, CY))[1] is not None
    clock.advance(3 * HOUR)
    await fired(store)
    found = await store.review(review)
    assert (found.is_escalated, found.policy.reviewers) == (True, (ANA.id, BEN.id, CY.id))
    assert found.expires_at == START + 4 * HOUR, "the deadline stays"
    assert {place.recipient for place in await store.deliveries(found.task.id)} >= {DESK, HALL}
    assert len(await told(store, review, ReviewEscalated)) == 1
    await recorded(store, review, CY)
    assert (await recorded(store, review, ANA)).outcome is Outcome.APPROVED


async def test_an_escalation_leaves_the_policy_under_which_the_review_opened(
    store: SqlStore, clock: StoppedClock
) -> None:
    policy = replace(TIMED, recipients=())
    review = await waiting(store, policy)
    clock.advance(3 * HOUR)
    await fired(store)
    found = await store.review(review)
    assert (found.kept, found.policy) == (policy, escalated(policy))
    assert hash_of(found) == policy_hash(policy)
    waits = await store.waiting_for(CY.id, everybody=False, policies={}, limit=9)
    assert [one.id for one in waits] == [review], "who was asked besides finds it in their inbox"
    (card,) = [
        place for place in await store.deliveries(found.task.id) if place.recipient == HALL and place.review
    ]
    await store.rewind(found.task.id, number=0, edits={}, node="process", by=ANA)
    (after,) = [
        place for place in await store.deliveries(found.task.id) if place.recipient == HALL and place.review
    ]
    assert after.version > card.version, "and its cards say what became of it"


async def test_what_an_earlier_release_escalated_is_read_as_it_was(
    any_database: Database, clock: StoppedClock
) -> None:
    """It wrote the wider policy over the one before."""
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, TIMED)
    wider = policy_text(escalated(TIMED)).replace(":", r"\:")
    on(any_database, f"UPDATE review SET escalated = 1, policy = '{wider}'")  # noqa: S608 - our own text
    async with SqlStore(any_database, clock) as store:
        found = await store.review(review)
    assert (found.is_escalated, found.policy) == (True, escalated(TIMED))


async def test_an_escalation_says_what_has_been_decided_so_far(store: SqlStore, clock: StoppedClock) -> None:
    nobody, one, no = [await waiting(store, replace(TIMED, rejections=2)) for _ in range(3)]
    await recorded(store, one, ANA)
    await recorded(store, no, ANA, Verdict.REJECT)
    clock.advance(3 * HOUR)
    await fired(store)
    reasons = {
        review: event.reason
        for review in (nobody, one, no)
        for event in await told(store, review, ReviewEscalated)
    }
    assert reasons[nobody] == "Nobody has decided yet."
    assert reasons[one] == "It is not decided yet: 1 of 2 approvals."


async def test_a_deadline_says_what_was_decided_until_then(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, replace(PLAIN, on_expiry=OnExpiry.FAIL))
    await recorded(store, review, ANA)
    clock.advance(4 * HOUR)
    await fired(store)
    assert (await store.review(review)).task.error == "It was not decided in time: 1 of 2 approvals."


async def test_a_task_that_a_deadline_fails_is_told_by_its_card_alone(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(PLAIN, on_expiry=OnExpiry.FAIL))
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("1"))
    clock.advance(4 * HOUR)
    await fired(store)
    found = await store.review(review)
    assert found.task.status is Status.FAILED
    assert [one.id for one in await store.deliveries(found.task.id)] == [card.id]
    assert [one.id for one in await store.due_deliveries(PAPER)] == [card.id]


async def test_what_has_escalated_early_does_not_escalate_later(store: SqlStore) -> None:
    review = await hopeless(store, replace(TIMED, reviewers=(SAM.id, ANA.id)))
    await fired(store)
    assert (await store.review(review)).is_escalated
    assert ("escalation", 1) not in await left(store, review)


async def test_a_quorum_that_its_submitter_breaks_says_so(store: SqlStore) -> None:
    review = await hopeless(store, Policy(name="p", reviewers=(SAM.id, ANA.id), approvals=2))
    await fired(store)
    (event,) = await told(store, review, ReviewStuck)
    assert isinstance(event, ReviewStuck)
    assert event.reason.startswith(
        "Sam Lee submitted this task and may not decide on it, and the others are too"
    )


@pytest.mark.parametrize(
    ("on_expiry", "outcome", "status"),
    [
        (OnExpiry.REJECT, Outcome.EXPIRED, Status.RUNNING),
        (OnExpiry.APPROVE, Outcome.APPROVED, Status.RUNNING),
        (OnExpiry.FAIL, Outcome.EXPIRED, Status.FAILED),
    ],
)
async def test_what_a_deadline_does(
    store: SqlStore, clock: StoppedClock, on_expiry: OnExpiry, outcome: Outcome, status: Status
) -> None:
    review = await waiting(store, replace(PLAIN, on_expiry=on_expiry))
    await recorded(store, review, ANA)
    clock.advance(4 * HOUR)
    assert await fired(store) == [("expiry", 1)]
    found = await store.review(review)
    assert (found.outcome, found.task.status, found.task.outcome) == (outcome, status, outcome)
    assert await told(store, review, ReviewExpired) == [
        ReviewExpired(review=review, attempt=1, outcome=outcome.value)
    ]
    position = await store.position(found.task.id)
    if on_expiry is OnExpiry.FAIL:
        assert position is None
        assert len(await told(store, review, TaskFailed)) == 1
    else:
        assert position is not None
        assert position.review is not None
        assert position.review.outcome is outcome
        await completed(store, found.task.id)
        assert len(await told(store, review, TaskCompleted)) == 1


async def test_an_escalation_that_makes_what_was_said_enough_closes_the_review(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Ben, who sits in `legal`, comes into `ops`, too: with Ana's approval and his own both are met."""
    policy = Policy(
        name="both",
        reviewers=(ANA.id, BEN.id, CY.id),
        approvals=2,
        stages=(
            (
                Quorum(name="legal", people=(ANA.id, BEN.id), approvals=1),
                Quorum(name="ops", people=(CY.id,), approvals=1),
            ),
        ),
        deadline=10 * HOUR,
        escalation=Escalation(after=2 * HOUR, people=(BEN.id,), recipients=(HALL,)),
        recipients=(DESK,),
    )
    review = await waiting(store, policy)
    await recorded(store, review, ANA)
    assert (await recorded(store, review, BEN)).is_open
    clock.advance(3 * HOUR)
    await fired(store)
    closed = await store.review(review)
    assert (closed.outcome, closed.is_escalated) == (Outcome.APPROVED, True)
    assert await left(store, review) == []
    events = [type(stored.event) for stored in await store.events(closed.task.id, 0)]
    assert events[-2:] == [ReviewEscalated, ReviewApproved]
    assert {of.recipient for of in await store.deliveries(closed.task.id)} == {DESK}


async def test_after_the_deadline_nobody_is_asked_any_more(store: SqlStore, clock: StoppedClock) -> None:
    """Nothing ran from before the first reminder until long after the deadline."""
    review = await waiting(store, TIMED)
    await store.snooze(review, BEN, START + 3 * HOUR, via="web")
    await store.mark_stuck([review])
    clock.advance(100 * HOUR)
    assert await fired(store, policies={"timed": replace(TIMED, reviewers=(BEN.id,))}) == [("expiry", 1)]
    assert not [*await told(store, review, ReviewerReminded), *await told(store, review, ReviewEscalated)]
    found = await store.review(review)
    assert (found.outcome, found.is_escalated) == (Outcome.EXPIRED, False)


async def test_who_wanted_to_be_reminded_before_a_deadline_that_escalates_is_forgotten(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(TIMED, on_expiry=OnExpiry.ESCALATE))
    await store.snooze(review, BEN, START + 3 * HOUR, via="web")
    await store.snooze(review, ANA, START + 102 * HOUR, via="web")
    clock.advance(100 * HOUR)
    await fired(store)
    assert [one.person for one in (await store.review(review)).snoozes] == [ANA.id]
    assert ("snooze", 1) in await left(store, review)


async def test_a_deadline_that_escalates_leaves_time_also_where_nothing_ran(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Had the escalation of the hour before come first, the deadline would have ended the review at once."""
    review = await waiting(store, replace(TIMED, on_expiry=OnExpiry.ESCALATE))
    clock.advance(100 * HOUR)
    gone = {"renamed": TIMED}
    assert await fired(store, policies=gone) == [("expiry", 1), ("stuck", 1)], "and says that it is stuck"
    found = await store.review(review)
    assert (found.is_open, found.is_escalated, found.expires_at) == (True, True, START + 104 * HOUR)


async def test_a_deadline_that_escalates_begins_anew_once(store: SqlStore, clock: StoppedClock) -> None:
    policy = replace(
        PLAIN,
        on_expiry=OnExpiry.ESCALATE,
        escalation=Escalation(after=None, people=(CY.id,), recipients=(HALL,)),
    )
    review = await waiting(store, policy)
    clock.advance(4 * HOUR)
    assert await fired(store) == [("expiry", 1)]
    found = await store.review(review)
    assert (found.is_open, found.is_escalated, found.expires_at) == (True, True, START + 8 * HOUR)
    assert await left(store, review) == [("expiry", 2)]
    await recorded(store, review, CY)
    clock.advance(4 * HOUR)
    assert await fired(store) == [("expiry", 2)]
    assert (await store.review(review)).outcome is Outcome.EXPIRED


async def test_a_deadline_that_has_nobody_to_escalate_to_rejects(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(PLAIN, on_expiry=OnExpiry.ESCALATE))
    clock.advance(4 * HOUR)
    await fired(store)
    assert (await store.review(review)).outcome is Outcome.EXPIRED


async def hopeless(store: SqlStore, policy: Policy) -> str:
    """A review that was known to be so when it opened."""

    task, review = await submitted(store), ReviewId(new_id())
    await step(
        store,
        task.id,
        AttemptStarted(attempt=1),
        ReviewRequested(review=review, attempt=1, draft="d"),
        node="review",
        review=NewReview(id=review, policy=policy, is_hopeless=True),
    )
    return review


async def test_a_review_that_nobody_can_meet_says_so_at_once(store: SqlStore) -> None:
    review = await hopeless(store, Policy(name="p", reviewers=(SAM.id,), recipients=(DESK,)))
    assert await fired(store) == [("stuck", 1)]
    assert len(await told(store, review, ReviewStuck)) == 1
    assert await fired(store) == []


async def test_a_review_that_nobody_can_meet_asks_more_people(store: SqlStore) -> None:
    wider = Escalation(after=HOUR, people=(CY.id,))
    review = await hopeless(store, Policy(name="p", reviewers=(SAM.id,), escalation=wider))
    assert await fired(store) == [("stuck", 1)]
    assert await told(store, review, ReviewStuck) == []
    assert (await recorded(store, review, CY)).outcome is Outcome.APPROVED


async def test_a_review_that_more_people_cannot_meet_either_says_so_too(store: SqlStore) -> None:
    wider = Escalation(after=HOUR, people=(CY.id,))
    review = await hopeless(
        store, Policy(name="p", reviewers=(SAM.id, ANA.id), approvals=3, escalation=wider)
    )
    assert await fired(store) == [("stuck", 1), ("stuck", 1)]
    assert len(await told(store, review, ReviewEscalated)) == len(await told(store, review, ReviewStuck)) == 1
    assert await fired(store) == []


async def test_what_was_the_last_word_is_not_said_again(store: SqlStore) -> None:
    """At every start it is looked at who may decide."""
    review = await hopeless(store, Policy(name="p", reviewers=(SAM.id,), reminders=(HOUR,)))
    await fired(store)
    await store.mark_stuck([review])
    await fired(store)
    assert len(await told(store, review, ReviewStuck)) == 1
    await store.claim(review, LOCAL_PERSON, via="web")
    await store.mark_stuck([review])
    await fired(store)
    assert len(await told(store, review, ReviewStuck)) == 2


async def test_a_review_whose_policy_is_gone_says_so_and_asks_nobody(store: SqlStore) -> None:
    """Nobody whom it asked could decide either."""
    review = await waiting(store, TIMED)
    await store.mark_stuck([review])
    await fired(store, policies={"renamed": TIMED})
    (stuck,) = await told(store, review, ReviewStuck)
    assert isinstance(stuck, ReviewStuck)
    assert stuck.reason == (
        "The policy 'timed', under which this review opened, is not in countersign.toml any more."
    )
    assert not (await store.review(review)).is_escalated


async def test_what_nobody_may_refuse_any_more_the_clock_does_not_approve(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(PLAIN, on_expiry=OnExpiry.APPROVE))
    clock.advance(4 * HOUR)
    await fired(store, policies={"renamed": PLAIN})
    assert (await store.review(review)).outcome is Outcome.EXPIRED


async def test_a_review_that_was_freed_meanwhile_says_nothing(store: SqlStore) -> None:
    review = await waiting(store, replace(TIMED, rejections=2))
    await recorded(store, review, ANA, Verdict.REJECT)
    assert ("stuck", 1) in await left(store, review)
    await store.withdraw(review, ANA, via="web")
    await fired(store)
    assert await told(store, review, ReviewStuck) == []


@pytest.mark.parametrize("how", ["decide", "cancel", "rewind", "expire"])
async def test_what_was_to_be_said_of_an_open_review_is_not_said_of_a_closed_one(
    store: SqlStore, clock: StoppedClock, how: str
) -> None:
    review = await waiting(store, replace(TIMED, escalation=None))
    task = (await store.review(review)).task.id
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("m1"))
    clock.advance(HOUR)
    await fired(store)
    words = [of for of in await store.deliveries(task) if of.review is None]
    assert [of.state for of in words] == [DeliveryState.DUE]
    match how:
        case "decide":
            await recorded(store, review, ANA)
            await recorded(store, review, BEN)
        case "cancel":
            await store.cancel(task, SAM.id)
        case "rewind":
            await store.rewind(task, number=0, edits={}, node="process", by=ANA)
        case "expire":
            clock.advance(3 * HOUR)
            await fired(store)
    assert [of for of in await store.deliveries(task) if of.review is None] == []
