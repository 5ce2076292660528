"""What stands in a task's threads besides its cards, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.events import AttemptStarted, ReviewRequested, TaskCompleted, TaskFailed
from core.literal import SHORT
from core.model import (
    LOCAL,
    DeliveryState,
    Earlier,
    Escalation,
    MessageRef,
    NewReview,
    Notice,
    Point,
    Policy,
    ReviewId,
    ReviewRequest,
    Verdict,
)
from tests.contracts.steps import decide, fired, new_id, parked, recorded, step, submitted, waiting
from tests.world import ANA, BEN, CY, DESK, HALL, PAPER, SAM

if TYPE_CHECKING:
    from core.model import Delivery, Json, PersonId, Recipient
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

HOUR = timedelta(hours=1)
LONG = "x" * (SHORT + 1)
ONE = Policy(name="one", reviewers=(ANA.id, BEN.id), recipients=(DESK,))
TWO = replace(ONE, approvals=2)


async def asked(
    store: SqlStore, policy: Policy = ONE, *, draft: Json = LONG, task: str | None = None, attempt: int = 1
) -> ReviewId:
    task = task or (await submitted(store)).id
    return await parked(store, task, policy, attempt=attempt, draft=draft)


async def task_of(store: SqlStore, review: str) -> str:
    return (await store.review(review)).task.id


async def due(store: SqlStore) -> list[Delivery]:
    return list(await store.due_deliveries(PAPER))


async def posted(store: SqlStore, *, place: Recipient = DESK) -> list[tuple[Delivery, str | None]]:
    """Post all that is due in a place, one after the other, as the outbox does; each with its thread."""
    found: list[tuple[Delivery, str | None]] = []
    while heads := [one for one in await due(store) if one.recipient == place]:
        _, thread = await store.delivery_content(heads[0])
        found.append((heads[0], thread))
        await store.delivery_shown(heads[0], heads[0].message or MessageRef(f"m{len(found)}"))
    return found


async def words(store: SqlStore, task: str) -> list[object]:
    """The events that threads are told, and are not yet."""
    events = {stored.seq: stored.event for stored in await store.events(task, 0)}
    waiting = [one for one in await store.deliveries(task) if one.review is None]
    return [events[one.event_seq] for one in waiting if one.state is DeliveryState.DUE]


async def test_a_long_draft_follows_its_card_as_a_file_in_the_same_thread(store: SqlStore) -> None:
    review = await asked(store)
    (card,) = await due(store)
    assert card.review == review, "before its card is posted it has no thread to be in"
    (card, root), (file, thread) = await posted(store)
    assert (file.review, file.event_seq, root, thread) == (None, card.event_seq, None, "m1")
    content, _ = await store.delivery_content(file)
    assert isinstance(content, Notice)
    assert isinstance(content.event.event, ReviewRequested)
    assert content.review is not None
    assert content.review.draft == LONG


async def test_a_short_draft_has_no_file(store: SqlStore) -> None:
    await asked(store, draft="x" * SHORT)
    assert len(await posted(store)) == 1


async def test_the_next_attempts_file_follows_its_own_card(store: SqlStore) -> None:
    review = await asked(store)
    await posted(store)
    task = await task_of(store, review)
    await recorded(store, review, ANA, Verdict.REJECT)
    second = await asked(store, task=task, attempt=2)
    found = await posted(store)
    assert [one.review for one, _ in found] == [review, second, None]
    assert {thread for one, thread in found if one.review != review} == {"m1"}


async def test_a_file_waits_for_a_card_that_is_tried_again_and_not_for_one_given_up(
    store: SqlStore, clock: StoppedClock
) -> None:
    await asked(store)
    (card,) = await due(store)
    await store.delivery_failed(card, "down", clock.now() + HOUR)
    assert await due(store) == []
    await store.delivery_given_up(card, "kicked")
    (file,) = await due(store)
    assert (await store.delivery_content(file))[1] is None, "and then there is nothing that it could follow"


@pytest.mark.parametrize("how", ["decide", "cancel", "rewind", "expire"])
async def test_a_file_that_was_not_sent_in_time_is_not_sent(
    store: SqlStore, clock: StoppedClock, how: str
) -> None:
    review = await asked(store, replace(ONE, deadline=HOUR))
    task = await task_of(store, review)
    match how:
        case "decide":
            await recorded(store, review)
        case "cancel":
            await store.cancel(task, SAM.id)
        case "rewind":
            await store.rewind(task, number=0, edits={}, node="process", by=ANA)
        case "expire":
            clock.advance(HOUR)
            await fired(store)
    assert [one.review for one in await store.deliveries(task)] == [review]


async def test_a_decision_without_timers_drops_the_file_too_and_leaves_one_that_was_sent(
    store: SqlStore,
) -> None:
    first = await asked(store)
    await recorded(store, first)
    assert len(await store.deliveries(await task_of(store, first))) == 1
    await posted(store)
    second = await asked(store)
    await posted(store)
    await recorded(store, second)
    files = [one for one in await store.deliveries(await task_of(store, second)) if one.review is None]
    assert [(one.state, one.due_at) for one in files] == [(DeliveryState.SENT, None)]


async def test_who_is_asked_later_gets_the_file_too(store: SqlStore, clock: StoppedClock) -> None:
    wider = Escalation(after=HOUR, people=(CY.id,), recipients=(HALL,))
    review = await asked(store, replace(ONE, escalation=wider))
    await posted(store)
    clock.advance(HOUR)
    await fired(store)
    found = await posted(store, place=HALL)
    assert [one.review for one, _ in found] == [review, None, None], "card, file, and why they are asked"
    assert [one.event_seq for one, _ in found] == sorted(one.event_seq for one, _ in found)


async def test_an_answer_taken_back_is_told_and_one_that_is_replaced_is_not(store: SqlStore) -> None:
    review = await asked(store, TWO, draft="short")
    task = await task_of(store, review)
    await posted(store)
    await recorded(store, review, ANA)
    assert await words(store, task) == []
    _, refusal = await store.withdraw(review, ANA, via="web")
    assert refusal is None
    (told,) = await words(store, task)
    assert type(told).__name__ == "DecisionWithdrawn"


async def test_what_nobody_has_been_told_yet_of_a_review_that_closes_is_told_no_more(store: SqlStore) -> None:
    policy = replace(ONE, reviewers=(ANA.id, BEN.id), rejections=2)
    review = await asked(store, policy, draft="short")
    task = await task_of(store, review)
    await posted(store)
    await recorded(store, review, ANA, Verdict.REJECT)
    assert (await store.withdraw(review, ANA, via="web"))[1] is None
    assert not (await recorded(store, review, BEN)).is_open
    assert await words(store, task) == []


async def approved(store: SqlStore, draft: Json = "a draft", policy: Policy = ONE) -> str:
    """The task of a review that was approved, running on."""
    review = await asked(store, policy, draft=draft)
    await posted(store)
    await recorded(store, review)
    await posted(store)
    return await task_of(store, review)


@pytest.mark.parametrize(
    ("result", "is_told"), [("another text", True), ({"paid": 30}, True), ("a draft", False), (None, False)]
)
async def test_a_result_is_told_where_it_is_not_what_was_approved(
    store: SqlStore, result: Json, *, is_told: bool
) -> None:
    task = await approved(store)
    end = TaskCompleted(final_result=result, outcome="approved")
    await step(store, task, end, node=None)
    assert await words(store, task) == ([end] if is_told else [])
    assert [thread for _, thread in await posted(store)] == (["m1"] if is_told else [])


async def test_an_approved_edit_is_no_news_either(store: SqlStore) -> None:
    review = await asked(store, draft="a draft")
    await posted(store)
    await recorded(store, review, ANA, Verdict.EDIT, content="edited")
    task = await task_of(store, review)
    await step(store, task, TaskCompleted(final_result="edited", outcome="approved"), node=None)
    assert await words(store, task) == []


async def test_a_failure_after_an_approval_is_told(store: SqlStore) -> None:
    task = await approved(store)
    await step(store, task, TaskFailed(error="The bank is closed."), node="pay")
    assert await words(store, task) == [TaskFailed(error="The bank is closed.")]


@pytest.mark.parametrize("how", ["fail", "cancel"])
async def test_an_end_from_outside_is_told_where_no_card_says_it(store: SqlStore, how: str) -> None:
    running = await approved(store)
    waiting = await task_of(store, await asked(store, draft="short"))
    for task in (running, waiting):
        if how == "fail":
            await store.fail(task, "Nobody can run this.")
        else:
            await store.cancel(task, SAM.id)
    assert len(await words(store, running)) == 1
    assert await words(store, waiting) == [], "its card is changed"


async def test_nobody_is_told_who_has_no_card(store: SqlStore) -> None:
    nowhere = await approved(store, policy=replace(ONE, recipients=()))
    await step(store, nowhere, TaskFailed(error="x"), node="pay")
    assert await store.deliveries(nowhere) == []
    review = await asked(store, draft="short")
    (card,) = await due(store)
    await store.delivery_given_up(card, "kicked")
    await recorded(store, review)
    task = await task_of(store, review)
    await step(store, task, TaskFailed(error="x"), node="pay")
    assert [one.id for one in await store.deliveries(task)] == [card.id]


async def on_card(store: SqlStore, review: str) -> ReviewRequest:
    """What the review's own card is given."""
    cards = [one for one in await store.deliveries(await task_of(store, review)) if one.review == review]
    content, _ = await store.delivery_content(cards[0])
    assert isinstance(content, ReviewRequest)
    return content


@pytest.mark.parametrize(("by", "name"), [(SAM.id, SAM.name), (LOCAL, "local (open)")])
async def test_the_card_of_a_task_that_was_called_off_is_told_by_whom(
    store: SqlStore, by: PersonId, name: str
) -> None:
    review = await waiting(store, ONE)
    assert (await on_card(store, review)).cancelled_by is None
    await store.cancel(await task_of(store, review), by)
    assert (await on_card(store, review)).cancelled_by == name


async def test_who_called_a_task_off_stays_on_its_card_when_it_goes_on(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, ONE)
    task = await task_of(store, review)
    await store.cancel(task, SAM.id)
    clock.advance(HOUR)
    await store.rewind(task, number=0, edits={}, node="process", by=ANA)
    assert (await on_card(store, review)).cancelled_by == SAM.name
    again = await parked(store, task, ONE, attempt=2)
    await store.rewind(task, number=0, edits={}, node="process", by=ANA)
    taken_back = await on_card(store, again)
    assert taken_back.cancelled_by is None, "the task goes on"
    assert taken_back.taken_back_by == ANA.name
    assert (await on_card(store, review)).taken_back_by is None, "that was closed before"


async def asked_at(
    store: SqlStore, task: str, node: str, point: Point, *, attempt: int, draft: Json
) -> ReviewId:
    review = ReviewId(new_id())
    await step(
        store,
        task,
        AttemptStarted(attempt=attempt),
        ReviewRequested(review=review, attempt=attempt, draft=draft),
        node=node,
        attempt=attempt,
        review=NewReview(id=review, policy=ONE, point=point),
    )
    return review


async def test_a_card_knows_what_the_attempt_before_showed(store: SqlStore) -> None:
    first = await asked(store, draft="one")
    task = await task_of(store, first)
    assert (await on_card(store, first)).earlier is None
    await recorded(store, first, ANA, Verdict.REJECT)
    second = await asked(store, task=task, attempt=2, draft={"two": 2})
    assert (await on_card(store, second)).earlier == Earlier(attempt=1, draft="one")
    await recorded(store, second, ANA, Verdict.REJECT)
    third = await asked(store, task=task, attempt=3, draft="three")
    assert (await on_card(store, third)).earlier == Earlier(attempt=2, draft={"two": 2})
    assert (await store.review(third)).earlier is None, "only a card asks for it"


async def test_it_is_the_last_one_in_the_same_place_of_the_flow(store: SqlStore) -> None:
    task = (await submitted(store)).id
    await recorded(store, await asked_at(store, task, "legal", Point.REVIEW, attempt=1, draft="law"))
    before = await asked_at(store, task, "ops", Point.REVIEW, attempt=1, draft="ops")
    assert (await on_card(store, before)).earlier is None
    await recorded(store, before, ANA, Verdict.REJECT)
    again = await asked_at(store, task, "legal", Point.REVIEW, attempt=2, draft="law 2")
    assert (await on_card(store, again)).earlier == Earlier(attempt=1, draft="law")
    await recorded(store, again)
    new = await asked_at(store, task, "ops", Point.BEFORE, attempt=2, draft="about to run")
    assert (await on_card(store, new)).earlier is None


async def test_what_a_node_asks_itself_is_compared_with_what_it_is_an_edit_of_only(store: SqlStore) -> None:
    task = (await submitted(store)).id
    first = await asked_at(store, task, "agent", Point.INSIDE, attempt=1, draft="May I?")
    await recorded(store, first, ANA, Verdict.REJECT)
    second = await asked_at(store, task, "agent", Point.INSIDE, attempt=2, draft="And this?")
    assert (await on_card(store, second)).earlier is None
    await decide(store, second, ANA, Verdict.EDIT, content="And that?")
    third = await asked_at(store, task, "agent", Point.INSIDE, attempt=3, draft="And that?")
    assert (await on_card(store, third)).earlier == Earlier(attempt=2, draft="And this?")


async def test_an_attempt_after_a_resume_is_compared_with_what_was_left_behind(store: SqlStore) -> None:
    first = await asked(store, draft="one")
    task = await task_of(store, first)
    await store.rewind(task, number=0, edits={}, node="process", by=ANA)
    second = await asked(store, task=task, attempt=2, draft="two")
    assert (await on_card(store, second)).earlier == Earlier(attempt=1, draft="one")
