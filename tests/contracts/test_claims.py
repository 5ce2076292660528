"""Who is looking at a review, and who is reminded later, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Insert

from core.errors import AlreadyDecided, NotAReviewer, NotFound, NotYourTurn, ReviewIsClosed, SelfReview
from core.events import ClaimEnded, ReminderSnoozed, ReviewClaimed, ReviewerReminded
from core.model import (
    LOCAL,
    Claim,
    DeliveryState,
    MessageRef,
    NewDecision,
    Notice,
    Party,
    Policy,
    Quorum,
    Snooze,
    Verdict,
)
from core.service import LOCAL_PERSON
from core.store import deciding, deliveries, opening, settling
from core.store.sql import SqlStore
from core.store.transaction import Transaction
from tests.contracts.conftest import on
from tests.contracts.steps import decide, delegated, fired, recorded, waiting
from tests.contracts.timers import left, told
from tests.world import ANA, BEN, CY, DESK, EVE, PAPER, PEOPLE, SAM, START

if TYPE_CHECKING:
    from core.model import Person, ReviewRequest
    from core.store.database import Database
    from core.store.statements import Statement
    from tests.world import StoppedClock

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PLAIN = Policy(name="plain", reviewers=(ANA.id, BEN.id), recipients=(DESK,))
TWO = replace(PLAIN, approvals=2)
REMINDING = replace(TWO, reminders=(HOUR, 5 * HOUR))
LATER = START + 15 * MINUTE


async def claim(store: SqlStore, review: str, person: Person = ANA, **more: Any) -> ReviewRequest:
    found, refusal = await store.claim(review, person, via="web", **more)
    assert refusal is None, refusal
    return found


async def snooze(
    store: SqlStore, review: str, person: Person = ANA, by: timedelta = 2 * HOUR, **more: Any
) -> ReviewRequest:
    found, refusal = await store.snooze(review, person, START + by, via="web", **more)
    assert refusal is None, refusal
    return found


def claimed(person: Person, minutes: int = 15) -> Claim:
    return Claim(person=person.id, name=person.name, until=START + minutes * MINUTE)


async def columns(store: SqlStore, database: Database, review: str) -> list[Any]:
    (row,) = on(database, f"SELECT claims, snoozes FROM review WHERE id = '{review}'")  # noqa: S608 - an id of ours
    return list(row)


async def test_whoever_is_looking_is_told_to_everybody_and_binds_nobody(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, PLAIN)
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("m1"))
    found = await claim(store, review)
    assert found.claims == (claimed(ANA),)
    assert await store.review(review) == found
    assert await told(store, review, ReviewClaimed) == [
        ReviewClaimed(
            review=review,
            attempt=1,
            person=ANA.id,
            person_name=ANA.name,
            until="2026-11-21T08:15:00Z",
            via="web",
        )
    ]
    (again,) = await store.due_deliveries(PAPER)
    assert (again.id, again.message) == (card.id, "m1"), "the card changes, and no message is sent"
    assert await left(store, review) == [("claim", 1)]
    clock.advance(MINUTE)
    assert not (await recorded(store, review, BEN)).is_open


async def test_several_look_and_whoever_began_first_comes_first(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, PLAIN)
    await claim(store, review)
    clock.advance(5 * MINUTE)
    await claim(store, review, BEN)
    clock.advance(5 * MINUTE)
    found = await claim(store, review)
    assert found.claims == (claimed(ANA, 25), claimed(BEN, 20)), "to say so again changes no place"
    assert [timer.due_at for timer in await store.timers(review)] == [START + 20 * MINUTE]


async def test_who_says_so_again_within_a_minute_changes_nothing(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, PLAIN)
    first = await claim(store, review)
    clock.advance(seconds=59)
    assert await claim(store, review) == first
    clock.advance(seconds=1)
    assert (await claim(store, review)).claims == (claimed(ANA, 16),)
    assert len(await told(store, review, ReviewClaimed)) == 2


async def test_a_policy_says_how_long_it_lasts(store: SqlStore) -> None:
    review = await waiting(store, replace(PLAIN, claim=HOUR))
    assert (await claim(store, review)).claims == (claimed(ANA, 60),)


async def test_it_ends_by_itself_and_once(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, PLAIN)
    await claim(store, review)
    clock.advance(5 * MINUTE)
    await claim(store, review, BEN)
    clock.advance(10 * MINUTE - timedelta(microseconds=1))
    assert await fired(store) == []
    clock.advance(timedelta(microseconds=1))
    assert await fired(store) == [("claim", 1)]
    assert (await store.review(review)).claims == (claimed(BEN, 20),)
    clock.advance(HOUR)
    assert await fired(store) == [("claim", 1)]
    assert await fired(store) == []
    assert (await store.review(review)).claims == ()
    assert await told(store, review, ClaimEnded) == [
        ClaimEnded(review=review, person=who.id, person_name=who.name, reason="expired") for who in (ANA, BEN)
    ]
    assert await left(store, review) == []


async def test_those_that_are_over_end_together_also_when_nobody_was_there(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        await claim(store, review)
        clock.advance(5 * MINUTE)
        await claim(store, review, BEN)
    clock.advance(HOUR)
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        (due,) = await one.due_timers(9)
        done = await asyncio.gather(*(s.fire(due, policies={}, people=PEOPLE) for s in (one, two)))
        assert sorted(done) == [False, True]
        assert len(await told(one, review, ClaimEnded)) == 2
        assert await left(one, review) == []


async def test_one_who_stops_looking_is_shown_no_more(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, PLAIN)
    assert await store.release(review, ANA) == await store.review(review), "there is nothing to end"
    await claim(store, review)
    clock.advance(MINUTE)
    await claim(store, review, BEN)
    assert (await store.release(review, ANA)).claims == (claimed(BEN, 16),)
    assert [timer.due_at for timer in await store.timers(review)] == [START + 16 * MINUTE]
    await store.release(review, ANA)
    await store.release(review, BEN)
    assert [event.reason for event in await told(store, review, ClaimEnded)] == ["released"] * 2
    assert await left(store, review) == []
    with pytest.raises(NotFound):
        await store.release("0" * 32, ANA)


STAGED = Policy(
    name="staged",
    reviewers=(ANA.id, BEN.id, SAM.id),
    approvals=2,
    stages=(
        (Quorum(name="first", people=(ANA.id, SAM.id), approvals=1),),
        (Quorum(name="last", people=(BEN.id,), approvals=1),),
    ),
    distinct_from=(Party.SUBMITTER,),
    deadline=HOUR,
)


@pytest.mark.parametrize("what", ["claim", "snooze"])
async def test_who_may_not_decide_hears_the_same_sentence(
    store: SqlStore, clock: StoppedClock, what: str
) -> None:
    review = await waiting(store, STAGED)
    events = await store.events((await store.review(review)).task.id, 0)

    async def tried(person: Person, policies: Any) -> Any:
        if what == "claim":
            return (await store.claim(review, person, via="web", policies=policies))[1]
        return (await store.snooze(review, person, START + 2 * HOUR, via="web", policies=policies))[1]

    struck = {"staged": replace(STAGED, reviewers=(BEN.id,))}
    for person, error, policies in [
        (EVE, NotAReviewer, {}),
        (SAM, SelfReview, {}),
        (BEN, NotYourTurn, {}),
        (ANA, NotAReviewer, struck),
    ]:
        refusal = await tried(person, policies)
        assert type(refusal) is error
        assert str(refusal) == str((await decide(store, review, person, policies=policies))[1])
    clock.advance(HOUR)
    assert type(await tried(ANA, {})) is ReviewIsClosed, "its time is over, although nothing followed yet"
    assert await store.events((await store.review(review)).task.id, 0) == events
    await fired(store)
    assert str(await tried(ANA, {})) == str((await decide(store, review, ANA))[1])


async def test_a_delegate_may_look_and_put_off_as_they_may_decide(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, REMINDING)
    await delegated(store, ANA, EVE, clock)
    assert (await claim(store, review, EVE)).claims == (claimed(EVE),)
    await snooze(store, review, EVE)
    clock.advance(HOUR)
    await fired(store)
    clock.advance(HOUR)
    await fired(store)
    reminded = await told(store, review, ReviewerReminded)
    assert [event.people for event in reminded] == [[BEN.name], [EVE.name]]


async def test_whoever_sits_at_the_machine_may(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, PLAIN)
    found = await claim(store, review, LOCAL_PERSON)
    assert [one.name for one in found.claims] == ["local (open)"]
    await snooze(store, review, LOCAL_PERSON)
    clock.advance(2 * HOUR)
    await fired(store)
    reminded = await told(store, review, ReviewerReminded)
    assert [event.ids for event in reminded] == [[LOCAL]]


@pytest.mark.parametrize("how", ["approve", "reject", "cancel", "fail", "rewind", "expire", "other"])
async def test_nothing_is_left_of_either_once_the_review_is_closed(
    any_database: Database, clock: StoppedClock, how: str
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, replace(PLAIN, deadline=HOUR if how == "expire" else None))
        task = (await store.review(review)).task.id
        await claim(store, review)
        await snooze(store, review)
        timers = await store.timers(review)
        match how:
            case "approve":
                await recorded(store, review, ANA)
            case "reject":
                await recorded(store, review, ANA, Verdict.REJECT)
            case "other":
                await recorded(store, review, BEN)
            case "cancel":
                await store.cancel(task, SAM.id)
            case "fail":
                await store.fail(task, "broken")
            case "rewind":
                await store.rewind(task, number=0, edits={}, node="process", by=ANA)
            case "expire":
                clock.advance(HOUR)
                await fired(store)
        found = await store.review(review)
        assert (found.is_open, found.claims, found.snoozes) == (False, (), ())
        assert await left(store, review) == []
        assert await columns(store, any_database, review) == [None, None]
        events = await store.events(task, 0)
        clock.advance(days=1)
        assert [await store.fire(timer, policies={}, people=PEOPLE) for timer in timers] == [False] * len(
            timers
        )
        assert await store.release(review, ANA) == await store.wake(review, ANA, via="web")
        assert await store.events(task, 0) == events


async def test_a_decision_ends_what_its_author_had_said_and_nothing_of_others(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TWO)
    for person in (ANA, BEN):
        await claim(store, review, person)
        await snooze(store, review, person)
        clock.advance(MINUTE)
    found = await recorded(store, review, ANA)
    assert (found.claims, found.snoozes) == (
        (claimed(BEN, 16),),
        (Snooze(person=BEN.id, until=START + 2 * HOUR),),
    )
    assert await store.review(review) == found
    assert [(timer.kind, timer.due_at) for timer in await store.timers(review)] == [
        ("claim", START + 16 * MINUTE),
        ("snooze", START + 2 * HOUR),
    ]
    assert await told(store, review, ClaimEnded) == [], "the decision tells everybody"


async def test_who_has_decided_may_look_again_and_has_nothing_to_put_off(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await recorded(store, review, ANA)
    assert (await claim(store, review)).claims == (claimed(ANA),)
    refusal = (await store.snooze(review, ANA, START + HOUR, via="web"))[1]
    assert type(refusal) is AlreadyDecided


async def test_a_reminder_that_was_put_off_comes_then_and_once(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, REMINDING)
    found = await snooze(store, review)
    assert found.snoozes == (Snooze(person=ANA.id, until=START + 2 * HOUR),)
    assert await store.review(review) == found
    assert await told(store, review, ReminderSnoozed) == [
        ReminderSnoozed(
            review=review, person=ANA.id, person_name=ANA.name, until="2026-11-21T10:00:00Z", via="web"
        )
    ]
    clock.advance(HOUR)
    assert await fired(store) == [("reminder", 1)]
    clock.advance(HOUR)
    assert await fired(store) == [("snooze", 1)]
    assert await fired(store) == []
    clock.advance(3 * HOUR)
    assert await fired(store) == [("reminder", 2)]
    reminded = await told(store, review, ReviewerReminded)
    assert [event.people for event in reminded] == [[BEN.name], [ANA.name], [ANA.name, BEN.name]]
    assert (await store.review(review)).snoozes == ()


async def test_it_is_told_in_the_threads(store: SqlStore) -> None:
    review = await waiting(store, PLAIN)
    await snooze(store, review)
    found = await store.wake(review, ANA, via="web")
    words = [of for of in await store.deliveries(found.task.id) if of.review is None]
    assert [(of.recipient, of.state) for of in words] == [(DESK, DeliveryState.DUE)]
    content, _ = await store.delivery_content(words[0])
    assert isinstance(content, Notice)
    assert isinstance(content.event.event, ReminderSnoozed)


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_was_to_be_said_of_it_is_not_said_of_a_closed_review(
    store: SqlStore, clock: StoppedClock, is_over: bool
) -> None:
    review = await waiting(store, PLAIN)
    found = await snooze(store, review)
    if is_over:
        clock.advance(2 * HOUR)
        await fired(store)
    await recorded(store, review, BEN)
    assert [of for of in await store.deliveries(found.task.id) if of.review is None] == []


async def test_to_say_the_same_again_is_no_news_and_another_time_is(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, PLAIN)
    assert await snooze(store, review) == await snooze(store, review)
    assert (await snooze(store, review, by=2 * HOUR + MINUTE / 2)).snoozes[0].until == START + 2 * HOUR
    await snooze(store, review, by=3 * HOUR)
    await snooze(store, review, BEN, by=HOUR)
    assert len(await told(store, review, ReminderSnoozed)) == 3
    assert [timer.due_at for timer in await store.timers(review)] == [START + HOUR]
    clock.advance(2 * HOUR)
    assert await fired(store) == [("snooze", 1)]
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[BEN.name]]
    assert [timer.due_at for timer in await store.timers(review)] == [START + 3 * HOUR]


async def test_who_is_awake_again_is_reminded_with_everybody(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, REMINDING)
    await store.wake(review, ANA, via="web")
    assert await told(store, review, ReminderSnoozed) == []
    await snooze(store, review)
    await store.wake(review, ANA, via="slack")
    assert [event.until for event in await told(store, review, ReminderSnoozed)] == [
        "2026-11-21T10:00:00Z",
        None,
    ]
    clock.advance(2 * HOUR)
    assert await fired(store) == [("reminder", 1)]
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[ANA.name, BEN.name]]


@pytest.mark.parametrize("by", [HOUR, HOUR / 2, HOUR * 1.5])
async def test_what_falls_due_together_is_one_reminder(
    store: SqlStore, clock: StoppedClock, by: timedelta
) -> None:
    """At the same moment, or while the service was down."""
    review = await waiting(store, replace(REMINDING, reminders=(HOUR,)))
    await snooze(store, review, by=by)
    clock.advance(HOUR if by == HOUR else 3 * HOUR)
    await fired(store)
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[ANA.name, BEN.name]]
    assert (await store.review(review)).snoozes == ()
    assert await left(store, review) == []


async def test_who_is_not_waited_for_at_its_end_is_not_reminded(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await snooze(store, review)
    clock.advance(2 * HOUR)
    struck = {"plain": replace(TWO, reviewers=(BEN.id, CY.id))}
    assert await fired(store, policies=struck) == [("snooze", 1)]
    assert await told(store, review, ReviewerReminded) == []
    assert (await store.review(review)).snoozes == ()


async def test_of_who_went_away_meanwhile_the_delegate_is_reminded(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TWO)
    await snooze(store, review)
    await snooze(store, review, BEN)
    await delegated(store, ANA, EVE, clock)
    await delegated(store, BEN, None, clock)
    clock.advance(2 * HOUR)
    await fired(store)
    assert [event.people for event in await told(store, review, ReviewerReminded)] == [[EVE.name]]


class Noting(Transaction):
    """Keeps what changes rows."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.ran: list[Statement] = []

    def run(self, statement: Statement, /, **parameters: Any) -> int:
        self.ran.append(statement)
        return super().run(statement, **parameters)

    def send(self, statement: Statement, /, **parameters: Any) -> None:
        if not isinstance(statement.expression, Insert):
            self.ran.append(statement)
        super().send(statement, **parameters)


async def test_a_decision_costs_no_more_where_nobody_said_anything(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
    connection = any_database.connect()
    tx = Noting(connection.cursor(), any_database.dialect)
    tx.now = clock.now()
    found, _, _ = deciding.decide(
        tx,
        review,
        NewDecision(reviewer=ANA, verdict=Verdict.APPROVE, via="web"),
        policies={},
        people=PEOPLE,
    )
    connection.close()
    assert not found.is_open
    assert tx.ran == [settling.MOVED, opening.CLOSE, deliveries.RAISE_REVIEW]


async def test_whatever_comes_at_once_leaves_nothing_behind(
    any_database: Database, clock: StoppedClock
) -> None:
    """Claims, snoozes, timers and the decision, through two servers."""
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        review = await waiting(one, replace(REMINDING, approvals=1))
        await claim(one, review, BEN)
        await snooze(two, review, BEN, by=HOUR)
        clock.advance(HOUR)
        timers = await one.due_timers(9)
        await asyncio.gather(
            *(store.claim(review, ANA, via="web") for store in (one, two)),
            *(store.snooze(review, ANA, START + 3 * HOUR, via="web") for store in (one, two)),
            *(store.release(review, BEN) for store in (one, two)),
            *(store.wake(review, BEN, via="web") for store in (one, two)),
            *(store.fire(timer, policies={}, people=PEOPLE) for timer in timers for store in (one, two)),
            decide(two, review, BEN),
        )
        assert not (await one.review(review)).is_open
        assert await left(one, review) == []
        assert await columns(one, any_database, review) == [None, None]
        assert len(await told(one, review, ClaimEnded)) <= 1
        assert len(await told(one, review, ReviewerReminded)) <= 1
