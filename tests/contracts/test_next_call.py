"""What a card is told of the next reminder or escalation, and when it is changed for that."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.calling import AT_A_TIME, Calls
from core.model import Escalation, MessageRef, Policy, ReviewRequest, TimerKind, WorkingHours
from core.store.deliveries import LAST_CHANGE, LEISURE
from core.store.sql import SqlStore
from core.store.tables import delivery
from tests.contracts.steps import decide, delegated, fired, recorded, waiting
from tests.world import ANA, BEN, CY, DESK, HALL, PAPER, SAM, START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from core.model import Delivery, Person, ReviewId
    from core.store.database import Database
    from core.store.transaction import Cursor
    from tests.world import StoppedClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIMED = Policy(
    name="timed",
    reviewers=(ANA.id,),
    deadline=5 * HOUR,
    reminders=(HOUR, 2 * HOUR),
    escalation=Escalation(after=3 * HOUR, people=(CY.id,)),
    recipients=(DESK,),
)
BOTH = replace(TIMED, reviewers=(ANA.id, BEN.id), approvals=2)
PLAIN = Policy(name="plain", reviewers=(ANA.id,), deadline=5 * HOUR, recipients=(DESK,))
REMINDER, ESCALATION, SNOOZE = TimerKind.REMINDER, TimerKind.ESCALATION, TimerKind.SNOOZE


async def cards(store: SqlStore, review: ReviewId) -> list[Delivery]:
    task = (await store.review(review)).task.id
    return [one for one in await store.deliveries(task) if one.review == review]


async def next_call(store: SqlStore, review: ReviewId) -> tuple[TimerKind, timedelta] | None:
    """What the card would show, and how long after the start that is."""
    content, _ = await store.delivery_content((await cards(store, review))[0])
    assert isinstance(content, ReviewRequest)
    call = content.next_call
    return None if call is None else (call.kind, call.due_at - START)


async def shown(store: SqlStore) -> None:
    """All that is due now, and the store knows it; no two messages are one."""
    while due := await store.due_deliveries(PAPER):
        for one in due:
            await store.delivery_shown(one, one.message or MessageRef(f"m{one.id}"))


async def changed(store: SqlStore, review: ReviewId) -> list[timedelta | None]:
    """How long after the start each card of the review is to be changed."""
    return [None if one.due_at is None else one.due_at - START for one in await cards(store, review)]


async def snooze(store: SqlStore, review: ReviewId, person: Person, at: datetime) -> None:
    assert (await store.snooze(review, person, at, via="web"))[1] is None


async def test_each_reminder_gives_way_to_the_next_and_the_last_to_the_escalation(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TIMED)
    await shown(store)
    assert await next_call(store, review) == (REMINDER, HOUR)
    for hours, call in ((1, (REMINDER, 2 * HOUR)), (2, (ESCALATION, 3 * HOUR))):
        assert await changed(store, review) == [None], "what it shows holds"
        clock.advance(START + hours * HOUR - clock.now())
        assert await fired(store) == [("reminder", hours)]
        assert await next_call(store, review) == call
        await shown(store)
        assert await changed(store, review) == [hours * HOUR + LEISURE], "after the words that call people"
        clock.advance(LEISURE)
        await shown(store)
    clock.advance(START + 3 * HOUR - clock.now())
    assert await fired(store) == [("escalation", 1)]
    assert await next_call(store, review) is None


async def test_where_it_is_the_escalation_that_comes_first_that_is_told(store: SqlStore) -> None:
    early = replace(TIMED, escalation=Escalation(after=HOUR / 2, people=(CY.id,)))
    assert await next_call(store, await waiting(store, early)) == (ESCALATION, HOUR / 2)


async def test_a_review_without_reminders_has_none(store: SqlStore) -> None:
    at_the_deadline = replace(PLAIN, escalation=Escalation(after=None, people=(CY.id,)))
    assert await next_call(store, await waiting(store, PLAIN)) is None
    assert await next_call(store, await waiting(store, at_the_deadline)) is None


async def test_what_waits_for_working_hours_is_told_with_its_true_time(store: SqlStore) -> None:
    monday = (WorkingHours(cron="* 9-16 * * mon-fri", zone="UTC"),)  # START is on a Saturday, at 8
    late = replace(TIMED, deadline=timedelta(days=7), hours=monday)
    at_nine = timedelta(days=2, hours=1)
    assert await next_call(store, await waiting(store, late)) == (ESCALATION, at_nine), "it happens first"
    alone = replace(late, escalation=None)
    assert await next_call(store, await waiting(store, alone)) == (REMINDER, at_nine)


async def test_who_wants_to_be_reminded_later_is_reminded_then(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TIMED)
    await shown(store)
    await snooze(store, review, ANA, START + 2.5 * HOUR)
    assert await next_call(store, review) == (SNOOZE, 2.5 * HOUR), "the policy's pass her over"
    assert await changed(store, review) == [LEISURE]
    await shown(store)
    clock.advance(LEISURE)
    await shown(store)
    await store.wake(review, ANA, via="web")
    assert await next_call(store, review) == (REMINDER, HOUR)
    assert await changed(store, review) == [2 * LEISURE], "and a moment later here, too"


async def test_a_reminder_that_others_get_all_the_same_is_still_the_next(store: SqlStore) -> None:
    review = await waiting(store, BOTH)
    await shown(store)
    await snooze(store, review, ANA, START + 2.5 * HOUR)
    assert await next_call(store, review) == (REMINDER, HOUR)
    assert await changed(store, review) == [None], "no card says anything else than before"
    await snooze(store, review, BEN, START + HOUR / 2)
    assert await next_call(store, review) == (SNOOZE, HOUR / 2)
    await recorded(store, review, BEN)
    assert await next_call(store, review) == (SNOOZE, 2.5 * HOUR), "nobody else is waited for"


async def test_what_is_put_off_beyond_the_deadline_is_told_of_nobody(store: SqlStore) -> None:
    review = await waiting(store, replace(TIMED, escalation=None))
    await snooze(store, review, ANA, START + 6 * HOUR)
    assert await next_call(store, review) is None


async def test_without_a_deadline_or_reminders_a_postponed_one_is_told(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(PLAIN, deadline=None))
    await shown(store)
    await snooze(store, review, ANA, START + HOUR)
    assert await next_call(store, review) == (SNOOZE, HOUR)
    clock.advance(HOUR)
    assert await fired(store) == [("snooze", 1)]
    assert await next_call(store, review) is None
    assert await changed(store, review) == [LEISURE], "which was raised when it was put off, and is due"


@pytest.mark.parametrize(
    ("delegate", "away", "call"),
    [
        (None, 1.5 * HOUR, (REMINDER, 2 * HOUR)),
        (None, 9 * HOUR, (ESCALATION, 3 * HOUR)),
        (CY, 9 * HOUR, (REMINDER, HOUR)),
    ],
    ids=["for a while", "for long", "with a delegate"],
)
async def test_a_reminder_for_which_everybody_is_away_is_not_told(
    store: SqlStore,
    clock: StoppedClock,
    delegate: Person | None,
    away: timedelta,
    call: tuple[TimerKind, timedelta],
) -> None:
    await delegated(store, ANA, delegate, clock, days=away / timedelta(days=1))
    assert await next_call(store, await waiting(store, TIMED)) == call


async def test_a_closed_review_has_none(store: SqlStore) -> None:
    review = await waiting(store, TIMED)
    await decide(store, review, ANA)
    assert await next_call(store, review) is None
    called_off = await waiting(store, TIMED)
    await store.cancel((await store.review(called_off)).task.id, SAM.id)
    assert await next_call(store, called_off) is None


async def test_many_reminders_at_once_hold_up_no_card_that_tells_a_decision(
    store: SqlStore, clock: StoppedClock
) -> None:
    both = replace(TIMED, recipients=(DESK, HALL))
    reviews = [await waiting(store, both) for _ in range(20)]
    await shown(store)
    clock.advance(HOUR)
    assert len(await fired(store)) == 20
    queue = sorted({due for review in reviews for due in await changed(store, review) if due is not None})
    assert queue == [HOUR + n * 2 * LEISURE for n in range(1, 21)]
    clock.advance(minutes=1)
    decided = await waiting(store, both)
    await shown(store)
    await decide(store, decided, ANA)
    assert await changed(store, decided) == [HOUR + timedelta(minutes=1)] * 2
    assert {due.review for due in await store.due_deliveries(PAPER)} == {decided}


async def test_what_is_tried_again_in_an_hour_holds_up_no_change(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TIMED)
    await shown(store)
    clock.advance(HOUR)
    await fired(store)
    (said,) = [due for due in await store.due_deliveries(PAPER) if due.message is None]
    await store.delivery_failed(said, "The place is archived.", clock.now() + HOUR)
    other = await waiting(store, TIMED)
    await snooze(store, other, ANA, clock.now() + 90 * timedelta(minutes=1))
    assert await changed(store, review) == [HOUR + LEISURE]
    await shown(store)
    await snooze(store, other, ANA, clock.now() + 100 * timedelta(minutes=1))
    assert await changed(store, other) == [HOUR + 2 * LEISURE]


async def test_a_card_that_its_chat_takes_in_an_hour_holds_up_no_other_chat(
    store: SqlStore, clock: StoppedClock
) -> None:
    asked, broken, other = [await waiting(store, TIMED) for _ in range(3)]
    await shown(store)
    clock.advance(HOUR / 2)
    for review in (asked, broken):
        await decide(store, review, ANA)
    (told_to_pause,), (failed,) = await cards(store, asked), await cards(store, broken)
    await store.delivery_postponed(told_to_pause, clock.now() + HOUR)
    await store.delivery_failed(failed, "The chat could not be reached.", clock.now() + HOUR)
    await snooze(store, other, ANA, clock.now() + HOUR)
    assert await changed(store, other) == [HOUR / 2 + LEISURE]


async def test_a_card_that_is_to_be_changed_anyway_is_changed_once(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, BOTH)
    await shown(store)
    clock.advance(HOUR)
    await recorded(store, review, ANA)
    await fired(store)
    assert await changed(store, review) == [HOUR], "the vote's turn is kept"
    await shown(store)
    clock.advance(LEISURE)
    assert await changed(store, review) == [None]


async def test_a_retired_card_is_not_changed_for_the_next_reminder(
    store: SqlStore, clock: StoppedClock
) -> None:
    """It says that it is no more; the one in its place tells the rest."""
    await store.heard(PAPER, kept=HOUR / 4)
    review = await waiting(store, TIMED)
    await shown(store)
    clock.advance(HOUR / 2)
    assert await store.heard(PAPER, kept=HOUR / 4) == 1
    await shown(store)
    clock.advance(HOUR / 2)
    await fired(store)
    due = {one.is_retired: one.due_at for one in await cards(store, review)}
    assert due == {True: None, False: START + HOUR + LEISURE}


async def test_a_decision_before_that_takes_its_turn_at_once(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TIMED)
    await shown(store)
    clock.advance(HOUR)
    await fired(store)
    await decide(store, review, ANA)
    assert await changed(store, review) == [HOUR]


async def test_the_end_of_the_queue_is_found_in_an_index(any_database: Database, clock: StoppedClock) -> None:
    """It is read while a reminder is stored, however many cards wait."""
    async with SqlStore(any_database, clock) as store:
        await waiting(store, TIMED)
    text, constants = LAST_CHANGE.text(any_database.dialect)
    given = {**constants, "channel": PAPER, "now": 0}
    connection = any_database.connect()
    try:
        cursor = connection.cursor()
        is_postgres = any_database.dialect.name == "postgresql"
        if is_postgres:
            _fill(cursor)  # for a few rows PostgreSQL would look into no index, or into any
        cursor.execute(f"EXPLAIN {text}" if is_postgres else f"EXPLAIN QUERY PLAN {text}", given)
        plan = " ".join(str(row[0 if is_postgres else 3]) for row in cursor.fetchall())
    finally:
        connection.close()
    # Of two indexes that have the time PostgreSQL may take either.
    by_time = "Index Cond: (((channel)::text = 'paper'::text) AND (due_at > "
    expected = by_time if is_postgres else "ix_delivery_due (channel=? AND due_at"
    assert expected in plan, plan


def _fill(cursor: Cursor) -> None:
    """The first card as 20,000 more of which half were shown and a tenth are due, with statistics of them."""
    changed = {
        "id": "'copy ' || copy",
        "message": "CASE WHEN mod(copy, 2) = 0 THEN 'card ' || copy END",
        "due_at": "CASE WHEN mod(copy, 10) = 0 THEN copy END",
    }
    columns = [column.name for column in delivery.columns]
    values = ", ".join(changed.get(name, f"one.{name}") for name in columns)
    cursor.execute(
        f"INSERT INTO delivery ({', '.join(columns)}) SELECT {values}"  # noqa: S608 - names of ours
        " FROM (SELECT * FROM delivery LIMIT 1) AS one, generate_series(1, 20000) AS copy",
        {},
    )
    cursor.execute("ANALYZE delivery", {})


@asynccontextmanager
async def followed(store: SqlStore) -> AsyncIterator[None]:
    """What is said of absences meanwhile reaches the cards."""
    calls = Calls(store)
    await calls.step()
    assert not calls.is_wanted
    yield
    calls.absent()
    while calls.is_wanted:
        await calls.step()


async def test_whoever_says_that_they_are_away_or_back_moves_what_open_cards_say(
    store: SqlStore, clock: StoppedClock
) -> None:
    others = replace(TIMED, reviewers=(CY.id,), name="others")
    hers, both, theirs, plain = [await waiting(store, one) for one in (TIMED, BOTH, others, PLAIN)]
    await shown(store)
    async with followed(store):
        await delegated(store, ANA, None, clock, days=1.5 * HOUR / DAY)
    assert await next_call(store, hers) == (REMINDER, 2 * HOUR)
    assert await changed(store, hers) == [LEISURE]
    for one in (both, theirs, plain):
        assert await changed(store, one) == [None], "it says nothing else than before"
    clock.advance(LEISURE)
    await shown(store)
    async with followed(store):
        assert await store.revoke_delegation(ANA.id)
    assert await next_call(store, hers) == (REMINDER, HOUR)
    assert await changed(store, hers) == [2 * LEISURE]
    clock.advance(LEISURE)
    await shown(store)
    async with followed(store):
        await delegated(store, ANA, BEN, clock)
    assert await changed(store, hers) == [None], "her delegate is reminded as she would be"


async def test_who_put_off_a_reminder_and_goes_away_moves_it_too(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, replace(PLAIN, deadline=None))
    await snooze(store, review, ANA, START + HOUR)
    await shown(store)
    clock.advance(LEISURE)
    await shown(store)
    async with followed(store):
        await delegated(store, ANA, None, clock)
    assert await next_call(store, review) is None
    assert await changed(store, review) == [2 * LEISURE]


async def test_an_absence_that_ends_by_itself_moves_nothing(store: SqlStore, clock: StoppedClock) -> None:
    await delegated(store, ANA, None, clock, days=HOUR / 2 / DAY)
    review = await waiting(store, TIMED)
    await shown(store)
    async with followed(store):
        clock.advance(HOUR * 0.75)
    assert await changed(store, review) == [None], "the card knew that she would be back"


async def test_of_many_open_cards_each_that_is_concerned_is_changed_one_after_the_other(
    store: SqlStore, clock: StoppedClock
) -> None:
    reviews = [await waiting(store, TIMED) for _ in range(2 * AT_A_TIME + 2)]
    await decide(store, reviews.pop(), ANA)
    await shown(store)
    async with followed(store):
        await delegated(store, ANA, None, clock, days=1.5 * HOUR / DAY)
    found = [(await changed(store, one))[0] for one in reviews]
    assert sorted(one for one in found if one) == [(n + 1) * LEISURE for n in range(len(reviews))]


async def test_of_two_who_leave_one_after_the_other_each_moves_what_is_theirs(
    store: SqlStore, clock: StoppedClock
) -> None:
    """The second as the cards of the first are looked at."""
    theirs = replace(TIMED, reviewers=(BEN.id,), name="theirs")
    reviews = [await waiting(store, policy) for policy in (TIMED, theirs) for _ in range(AT_A_TIME)]
    await shown(store)
    calls = Calls(store)
    await calls.step()
    await delegated(store, ANA, None, clock)
    calls.absent()
    await calls.step()
    await delegated(store, BEN, None, clock)
    calls.absent()
    while calls.is_wanted:
        await calls.step()
    assert all([(await changed(store, one))[0] for one in reviews])
