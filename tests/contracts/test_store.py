"""What every Store promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest

from core.errors import (
    AlreadyDecided,
    Forbidden,
    KeyReused,
    NotAReviewer,
    NotFound,
    ReviewIsClosed,
    SelfReview,
    StaleRun,
    TaskIsClosed,
)
from core.events import (
    AttemptStarted,
    DecisionRecorded,
    NodeFinished,
    NodeRetried,
    ProgressReported,
    ReviewApproved,
    ReviewRejected,
    ReviewRequested,
    TaskCancelled,
    TaskFailed,
    TaskSubmitted,
    TextStreamed,
)
from core.model import (
    LOCAL,
    Asks,
    ChannelName,
    ChatUpdate,
    Credential,
    Delegation,
    DeliveryState,
    Dialog,
    MessageRef,
    Notice,
    Outcome,
    Person,
    PersonId,
    Policy,
    Recipient,
    ReviewRequest,
    Status,
    Step,
    Submission,
    TaskFilter,
    TaskId,
    Verdict,
)
from core.service import LOCAL_PERSON
from core.store.history import LATELY
from core.store.sql import SqlStore
from tests.contracts.steps import ANYONE, completed, decide, new_id, parked, step, submitted, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, HALL, PAPER, PATIENCE, SAM, START, Diary
from web.auth import SESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock

TWO = Policy(name="two", reviewers=(ANA.id, BEN.id, CY.id), approvals=2)
ON_PAPER = Policy(name="paper", reviewers=(ANA.id, BEN.id), recipients=(DESK, HALL))
WEBHOOK = ChannelName("webhook")
HOOK = "https://ci.example/hook"


# Tasks


async def test_a_task_comes_back_as_it_was_submitted(store: SqlStore) -> None:
    new = Submission(
        input={"text": "höhe ☃ \x1f", "n": [1, 2.5, None, True]},
        submitter=SAM.id,
        flow="draft",
        on_behalf_of="the build",
        callback_url=HOOK,
        metadata={"build": 7},
    )
    task, is_new = await store.create(TaskId(new_id()), new, title="t", name=SAM.name)
    assert is_new
    assert await store.task(task.id) == task
    assert (task.input, task.on_behalf_of, task.metadata) == (new.input, "the build", {"build": 7})
    assert (task.status, task.attempt, task.outcome, task.review) == (Status.PENDING, 0, None, None)
    assert (task.submitter, task.submitter_name) == (SAM.id, SAM.name)
    assert task.created_at == START
    assert task.created_at.tzinfo is UTC


async def test_an_unknown_task_or_review_is_not_found(store: SqlStore) -> None:
    for asked in (store.task("0" * 32), store.review("0" * 32), store.cancel("0" * 32, SAM.id)):
        with pytest.raises(NotFound):
            await asked
    with pytest.raises(NotFound):
        await decide(store, "0" * 32)
    assert await store.position("0" * 32) is None
    assert await store.events("0" * 32, 0) == []


async def test_the_same_key_finds_the_same_task(store: SqlStore) -> None:
    new = Submission(input="x", submitter=SAM.id, flow="draft", idempotency_key="k")
    first, is_new = await store.create(TaskId(new_id()), new, title="t", name="n")
    again, is_new_again = await store.create(TaskId(new_id()), new, title="t", name="n")
    assert (is_new, is_new_again) == (True, False)
    assert first == again
    assert len(await store.events(first.id, 0)) == 1


async def test_the_same_key_of_another_submitter_is_another_key(store: SqlStore) -> None:
    first = Submission(input="x", submitter=SAM.id, flow="draft", idempotency_key="k")
    second = Submission(input="y", submitter=ANA.id, flow="draft", idempotency_key="k")
    made = [(await store.create(TaskId(new_id()), new, title="t", name="n"))[1] for new in (first, second)]
    assert made == [True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"input": "y"},
        {"title": "another"},
        {"callback_url": HOOK},
        {"metadata": {"a": 2}},
        {"on_behalf_of": "x"},
        {"flow": "other"},
        {"policy": "two"},
    ],
)
async def test_the_same_key_with_another_request_is_refused(
    store: SqlStore, other: dict[str, object]
) -> None:
    asked: dict[str, object] = {"input": "x", "submitter": SAM.id, "flow": "draft", "idempotency_key": "k"}
    await store.create(TaskId(new_id()), Submission(**asked), title="t", name="n")  # type: ignore[arg-type]  # the values are of many types
    with pytest.raises(KeyReused):
        await store.create(TaskId(new_id()), Submission(**{**asked, **other}), title="t", name="n")  # type: ignore[arg-type]  # the values are of many types
    assert len((await store.tasks(TaskFilter(), cursor=None, limit=10)).tasks) == 1


async def test_the_order_of_keys_in_an_object_makes_no_other_request(store: SqlStore) -> None:
    for body in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        new = Submission(input=dict(body), submitter=SAM.id, flow="draft", idempotency_key="k")
        await store.create(TaskId(new_id()), new, title="t", name="n")
    assert len((await store.tasks(TaskFilter(), cursor=None, limit=10)).tasks) == 1


async def test_one_key_at_once_from_many_makes_one_task(store: SqlStore) -> None:
    async def submit(key: str) -> tuple[str, bool]:
        new = Submission(input="x", submitter=SAM.id, flow="draft", idempotency_key=key)
        task, is_new = await store.create(TaskId(new_id()), new, title="t", name="n")
        return task.id, is_new

    for key in (f"k{n}" for n in range(20)):
        answers = await asyncio.gather(*(submit(key) for _ in range(5)))
        assert len({task for task, _ in answers}) == 1
        assert sum(is_new for _, is_new in answers) == 1


async def test_one_key_at_once_through_two_servers_makes_one_task(
    any_database: Database, clock: StoppedClock
) -> None:
    async def submit(store: SqlStore, key: str) -> tuple[str, bool]:
        new = Submission(input="x", submitter=SAM.id, flow="draft", idempotency_key=key)
        task, is_new = await store.create(TaskId(new_id()), new, title="t", name="n")
        return task.id, is_new

    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for key in (f"k{n}" for n in range(60)):
            answers = await asyncio.gather(submit(one, key), submit(two, key), submit(one, key))
            assert len({task for task, _ in answers}) == 1, answers
            assert sum(is_new for _, is_new in answers) == 1


async def test_pages_show_every_task_once_newest_first(store: SqlStore, clock: StoppedClock) -> None:
    made = []
    for number in range(7):
        made.append((await submitted(store)).id)
        if number % 2:  # some were created in the same microsecond
            clock.advance(seconds=1)
    seen: list[str] = []
    cursor = None
    while True:
        page = await store.tasks(TaskFilter(), cursor=cursor, limit=3)
        seen += [task.id for task in page.tasks]
        if page.cursor is None:
            break
        at, _, task_id = page.cursor.partition("-")
        cursor = (int(at), task_id)
    assert sorted(seen) == sorted(made)
    assert [seen.index(task) for task in made[1::2]] == sorted(
        (seen.index(task) for task in made[1::2]), reverse=True
    )


async def test_tasks_are_listed_by_status_submitter_and_flow(store: SqlStore) -> None:
    mine = await submitted(store)
    new = Submission(input="x", submitter=ANA.id, flow="other")
    hers, _ = await store.create(TaskId(new_id()), new, title="t", name="n")
    await parked(store, mine.id)

    async def ids(wanted: TaskFilter) -> list[str]:
        return [task.id for task in (await store.tasks(wanted, cursor=None, limit=10)).tasks]

    assert await ids(TaskFilter(status=Status.WAITING_FOR_REVIEW)) == [mine.id]
    assert await ids(TaskFilter(submitter=ANA.id)) == [hers.id]
    assert await ids(TaskFilter(flow="other")) == [hers.id]
    assert await ids(TaskFilter(flow="draft", status=Status.PENDING)) == []
    assert await store.counts() == {Status.PENDING: 1, Status.WAITING_FOR_REVIEW: 1}


async def test_a_submitter_cancels_and_the_open_review_closes(store: SqlStore) -> None:
    review = await waiting(store, ON_PAPER)
    task = (await store.review(review)).task
    cancelled = await store.cancel(task.id, SAM.id)
    closed = await store.review(review)
    assert (cancelled.status, cancelled.review) == (Status.CANCELLED, None)
    assert (closed.outcome, closed.is_open) == (Outcome.CANCELLED, False)
    assert (await store.events(task.id, 0))[-1].event == TaskCancelled(by=SAM.id)
    assert {delivery.version for delivery in await store.deliveries(task.id)} == {2}
    with pytest.raises(TaskIsClosed):
        await store.cancel(task.id, SAM.id)
    refusal = (await decide(store, review))[1]
    assert isinstance(refusal, ReviewIsClosed)
    assert "cancelled" in str(refusal)


async def test_only_the_submitter_an_administrator_or_the_one_at_the_machine_cancels(store: SqlStore) -> None:
    task, other = await submitted(store), await submitted(store)
    with pytest.raises(Forbidden):
        await store.cancel(task.id, ANA.id)
    assert (await store.cancel(task.id, LOCAL)).status is Status.CANCELLED
    assert (await store.cancel(other.id, ANA.id, admin_name=ANA.name)).status is Status.CANCELLED
    assert (await store.events(other.id, 0))[-1].event == TaskCancelled(by=ANA.id, by_name=ANA.name)


# Steps


async def test_a_step_of_an_older_version_is_stale_and_changes_nothing(store: SqlStore) -> None:
    task = await submitted(store)
    position = await store.position(task.id)
    assert position is not None
    assert await step(store, task.id, AttemptStarted(attempt=1), begun=True) == position.version + 1
    before = await store.events(task.id, 0)
    stale = Step(
        task=task.id,
        version=position.version,
        seq=position.seq,
        status=Status.RUNNING,
        first_checkpoint=1,
        events=(AttemptStarted(attempt=1),),
        attempt=1,
        node="x",
    )
    with pytest.raises(StaleRun):
        await store.step(stale)
    assert await store.events(task.id, 0) == before


async def test_of_two_runs_at_once_one_is_stale(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(20):
            task = await submitted(one)
            same = Step(
                task=task.id,
                version=1,
                seq=1,
                status=Status.RUNNING,
                first_checkpoint=1,
                events=(AttemptStarted(attempt=1),),
                attempt=1,
                node="process",
                begun=True,
            )
            done = await asyncio.gather(one.step(same), two.step(same), return_exceptions=True)
            assert {type(answer) for answer in done} == {int, StaleRun}
            assert len(await one.events(task.id, 0)) == 2


async def test_a_position_tells_where_to_go_on(store: SqlStore) -> None:
    task = await submitted(store)
    fresh = await store.position(task.id)
    assert fresh is not None
    assert (fresh.node, fresh.state, fresh.checkpoints, fresh.begun, fresh.review) == (
        None,
        None,
        0,
        False,
        None,
    )

    await step(store, task.id, AttemptStarted(attempt=1), begun=True)
    begun = await store.position(task.id)
    assert begun is not None
    assert (begun.node, begun.begun, begun.review) == ("process", True, None)

    review = await parked(store, task.id)
    assert await store.position(task.id) is None, "a waiting task has no stored work"
    await decide(store, review, verdict=Verdict.REJECT, comment="no")
    decided = await store.position(task.id)
    assert decided is not None
    assert decided.review is not None
    assert (decided.node, decided.state, decided.checkpoints) == ("review", {"n": 1}, 1)
    assert (decided.review.id, decided.review.outcome) == (review, Outcome.REJECTED)

    await completed(store, task.id)
    assert await store.position(task.id) is None


async def test_a_node_that_is_to_be_tried_again_has_its_time(store: SqlStore, clock: StoppedClock) -> None:
    task = await submitted(store)
    due = clock.now() + timedelta(seconds=5)
    await store.step(
        Step(
            task=task.id,
            version=1,
            seq=1,
            status=Status.RUNNING,
            first_checkpoint=1,
            events=(AttemptStarted(attempt=1), NodeRetried(node="process", retry=1, error="x")),
            attempt=1,
            node="process",
            tries=1,
            due_at=due,
        )
    )
    position = await store.position(task.id)
    assert position is not None
    assert (position.tries, position.due_at, position.begun, position.review) == (1, due, False, None)
    assert await store.runnable() == [(task.id, due)]


async def test_stored_work_is_found_oldest_first_and_waiting_tasks_are_not(
    store: SqlStore, clock: StoppedClock
) -> None:
    first = await submitted(store)
    clock.advance(seconds=1)
    second = await submitted(store)
    clock.advance(seconds=1)
    await waiting(store)
    decided = await waiting(store)
    await decide(store, decided)
    third = (await store.review(decided)).task.id
    found = [task for task, _ in await store.runnable()]
    assert found[:2] == [first.id, second.id]
    assert found[2:] == [third]


async def test_a_node_found_begun_at_three_starts_in_a_row_fails_its_task(store: SqlStore) -> None:
    poison, healthy = await submitted(store), await submitted(store)
    for task in (poison, healthy):
        await step(store, task.id, AttemptStarted(attempt=1), begun=True)
    assert await store.recover() == []
    await step(store, healthy.id, node="process", begun=False)  # it got further once
    assert await store.recover() == []
    assert await store.recover() == [poison.id]
    failed = await store.task(poison.id)
    assert failed.status is Status.FAILED
    assert "process" in str(failed.error)
    assert (await store.task(healthy.id)).status is Status.RUNNING
    assert await store.recover() == []


def test_sqlite_acknowledges_nothing_that_a_loss_of_power_could_take_back(sqlite_database: Database) -> None:
    """With less than FULL (2) a WAL file is not on the disk when COMMIT returns (sqlite.org, PRAGMA)."""
    with closing(sqlite_database.connect()) as connection:
        cursor = sqlite_database.cursor(connection)
        found = []
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            cursor.execute(f"PRAGMA {name}", {})
            found.append(cursor.fetchone())
    assert found == [("wal",), (2,), (1,)]


async def test_a_resumed_task_is_not_blamed_for_the_ends_that_it_failed_for(store: SqlStore) -> None:
    poison = await submitted(store)
    await step(store, poison.id, AttemptStarted(attempt=1), begun=True)
    for _ in range(3):
        await store.recover()
    await store.rewind(poison.id, number=0, edits={}, node="process", by=ANA)
    await step(store, poison.id, begun=True)
    assert [await store.recover() for _ in range(2)] == [[], []]
    assert await store.recover() == [poison.id], "three more"


async def test_a_stop_in_good_order_does_not_count_and_a_crash_still_does(store: SqlStore) -> None:
    slow, crashed = await submitted(store), await submitted(store)
    await step(store, crashed.id, AttemptStarted(attempt=1), begun=True)
    assert await store.recover() == []
    await step(store, slow.id, AttemptStarted(attempt=1), begun=True)
    for _ in range(3):
        await store.put_back()
        assert await store.recover() == []
    assert await store.recover() == []
    assert await store.recover() == [crashed.id], "three crashes in a row, whatever stops came between"
    await store.put_back()
    assert await store.recover() == []
    assert await store.recover() == [slow.id], "likewise"


async def test_what_is_put_back_goes_on_where_it_stood(store: SqlStore) -> None:
    review = await waiting(store)
    await decide(store, review, verdict=Verdict.REJECT)
    task = (await store.review(review)).task.id
    await step(store, task, AttemptStarted(attempt=2), begun=True, attempt=2, state='{"n":2}')
    await store.put_back()
    position = await store.position(task)
    assert position is not None
    assert (position.node, position.begun, position.state) == ("process", True, {"n": 2})
    assert position.review is None, "its rejection has been applied"


async def test_only_what_runs_is_put_back(store: SqlStore) -> None:
    review, pending = await waiting(store), await submitted(store)
    before = await store.review(review)
    await store.put_back()
    assert (await store.task(pending.id), await store.review(review)) == (pending, before)
    position = await store.position(pending.id)
    assert position is not None
    assert position.starts == 0


async def test_a_task_that_was_moved_on_meanwhile_is_not_failed(store: SqlStore) -> None:
    """Who gives it up has run what is not there any more."""
    task = await submitted(store)
    position = await store.position(task.id)
    assert position is not None
    await step(store, task.id, AttemptStarted(attempt=1))
    with pytest.raises(StaleRun):
        await store.fail(task.id, "broken", version=position.version)
    assert (await store.task(task.id)).status is Status.RUNNING
    await store.fail(task.id, "broken", version=position.version + 1)
    assert (await store.task(task.id)).status is Status.FAILED


async def test_a_task_that_cannot_be_run_fails_once(store: SqlStore) -> None:
    task = await submitted(store)
    await store.fail(task.id, "broken")
    await store.fail(task.id, "broken again")
    assert (await store.task(task.id)).error == "broken"
    assert [stored.event for stored in await store.events(task.id, 0)] == [
        TaskSubmitted(submitter=SAM.id),
        TaskFailed(error="broken"),
    ]


async def test_events_are_numbered_from_one_without_a_gap(store: SqlStore, clock: StoppedClock) -> None:
    task = await submitted(store)
    clock.advance(seconds=1)
    review = await parked(store, task.id)
    clock.advance(seconds=1)
    await decide(store, review)
    events = await store.events(task.id, 0)
    assert [stored.seq for stored in events] == list(range(1, 6))
    assert [stored.at for stored in events] == sorted(stored.at for stored in events)
    assert [stored.event for stored in events] == [
        TaskSubmitted(submitter=SAM.id),
        AttemptStarted(attempt=1),
        ReviewRequested(review=review, attempt=1, draft="a draft"),
        DecisionRecorded(
            review=review,
            reviewer=ANA.id,
            reviewer_name=ANA.name,
            verdict="approve",
            comment=None,
            via="api",
        ),
        ReviewApproved(review=review, attempt=1),
    ]
    assert await store.events(task.id, 3) == events[3:]


async def test_a_story_leaves_out_what_nodes_said_on_the_way(store: SqlStore) -> None:
    task = await submitted(store)
    early, late = (ProgressReported(node="process", fraction=f, text=None) for f in (0.2, 0.4))
    text = TextStreamed(node="process", text="more")
    asked = await parked(store, task.id)
    await decide(store, asked)
    await step(store, task.id, early, text, begun=True)
    await step(store, task.id, NodeFinished(node="process", action=None, checkpoint=2))
    story = await store.story(task.id)
    assert [stored.event for stored in story.said] == []
    await step(store, task.id, text, late, begun=True)
    story = await store.story(task.id)
    events = await store.events(task.id, 0)
    assert story.seq == events[-1].seq
    assert story.turns == tuple(events[2:4])
    assert [type(stored.event) for stored in story.turns] == [ReviewRequested, DecisionRecorded]
    assert story.said == tuple(events[-2:])
    nothing = await store.story("0" * 32)
    assert (nothing.seq, nothing.turns, nothing.said) == (0, (), ())


async def test_of_what_a_node_says_only_the_newest_is_read(store: SqlStore) -> None:
    task = await submitted(store)
    pieces = [TextStreamed(node="process", text=str(n)) for n in range(LATELY + 5)]
    await step(store, task.id, AttemptStarted(attempt=1), *pieces, begun=True)
    said = (await store.story(task.id)).said
    assert [stored.event for stored in said] == pieces[5:]


# Decisions


async def test_an_approval_closes_the_review_and_wakes_the_task(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store)
    clock.advance(seconds=3)
    decided, refusal = await decide(store, review, comment="fine")
    assert refusal is None
    assert decided == await store.review(review)
    assert (decided.outcome, decided.closed_at) == (Outcome.APPROVED, clock.now())
    (made,) = decided.decisions
    assert (made.reviewer, made.reviewer_name, made.verdict) == (ANA.id, ANA.name, Verdict.APPROVE)
    assert (made.comment, made.via, made.at) == ("fine", "api", clock.now())
    task = await store.task(decided.task.id)
    assert decided.task == task
    assert (task.status, task.outcome, task.review) == (Status.RUNNING, Outcome.APPROVED, None)


async def test_a_rejection_is_told_to_the_next_attempt_as_previous(store: SqlStore) -> None:
    first = await waiting(store)
    await decide(store, first, BEN, Verdict.REJECT, comment="too short")
    task = (await store.review(first)).task.id
    second = await parked(store, task, attempt=2)
    shown = await store.review(second)
    assert shown.previous is not None
    assert (shown.previous.reviewer, shown.previous.comment) == (BEN.id, "too short")
    old = await store.review(first)
    assert (old.superseded_by, old.outcome) == (2, Outcome.REJECTED)
    refusal = (await decide(store, first))[1]
    assert isinstance(refusal, ReviewIsClosed)
    assert "attempt 2" in str(refusal)
    assert [request.id for request in await store.reviews(task)] == [first, second]


async def test_each_next_attempt_supersedes_the_one_before_only(store: SqlStore) -> None:
    task = await submitted(store)
    reviews = []
    for attempt in (1, 2, 3):
        reviews.append(await parked(store, task.id, attempt=attempt))
        await decide(store, reviews[-1], verdict=Verdict.REJECT)
    assert [(await store.review(review)).superseded_by for review in reviews] == [2, 3, None]


async def test_every_review_of_the_attempts_before_is_superseded_and_none_of_its_own(store: SqlStore) -> None:
    task = await submitted(store)
    reviews = []
    for attempt in (1, 1, 2, 2):
        reviews.append(await parked(store, task.id, ON_PAPER, attempt=attempt))
        await decide(store, reviews[-1], verdict=Verdict.REJECT)
    found = [await store.review(review) for review in reviews]
    assert [request.superseded_by for request in found] == [2, 2, None, None]
    versions = {d.review: d.version for d in await store.deliveries(task.id)}
    assert [versions[review] for review in reviews] == [3, 3, 2, 2], "their cards say so"


@pytest.mark.parametrize(
    ("policy", "person", "refused"),
    [
        (ANYONE, EVE, NotAReviewer),
        (Policy(name="nobody", reviewers=()), ANA, NotAReviewer),
        (Policy(name="x", reviewers=(SAM.id, ANA.id)), SAM, SelfReview),
        (TWO, LOCAL_PERSON, NotAReviewer),
    ],
)
async def test_who_may_not_decide_changes_nothing(
    store: SqlStore, policy: Policy, person: Person, refused: type[Exception]
) -> None:
    review = await waiting(store, policy)
    before = await store.review(review)
    events = await store.events(before.task.id, 0)
    after, refusal = await decide(store, review, person)
    assert type(refusal) is refused
    assert after == before == await store.review(review)
    assert await store.events(before.task.id, 0) == events


@pytest.mark.parametrize(
    ("policy", "person"),
    [(Policy(name="x", reviewers=(SAM.id,), distinct_from=()), SAM), (ANYONE, LOCAL_PERSON)],
)
async def test_who_may_decide_where_a_rule_is_lifted(store: SqlStore, policy: Policy, person: Person) -> None:
    decided, refusal = await decide(store, await waiting(store, policy), person)
    assert refusal is None
    assert decided.outcome is Outcome.APPROVED


async def test_a_quorum_counts_people_and_not_presses(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    first, _ = await decide(store, review, ANA)
    assert (first.outcome, first.is_open, first.task.status) == (
        Outcome.OPEN,
        True,
        Status.WAITING_FOR_REVIEW,
    )
    assert first.task.review == review
    _, refusal = await decide(store, review, ANA)
    assert isinstance(refusal, AlreadyDecided)
    second, refusal = await decide(store, review, BEN)
    assert refusal is None
    assert (second.outcome, len(second.decisions)) == (Outcome.APPROVED, 2)
    events = [type(stored.event) for stored in await store.events(second.task.id, 3)]
    assert events == [DecisionRecorded, DecisionRecorded, ReviewApproved]


async def test_one_rejection_ends_a_quorum(store: SqlStore) -> None:
    review = await waiting(store, TWO)
    await decide(store, review, ANA)
    decided, _ = await decide(store, review, BEN, Verdict.REJECT)
    assert decided.outcome is Outcome.REJECTED
    assert isinstance((await decide(store, review, CY))[1], ReviewIsClosed)
    kinds = [type(stored.event) for stored in await store.events(decided.task.id, 3)]
    assert kinds == [DecisionRecorded, DecisionRecorded, ReviewRejected]


@pytest.mark.parametrize("servers", [1, 2])
async def test_of_many_deciding_at_once_one_wins(
    any_database: Database, clock: StoppedClock, servers: int
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(15):
            review = await waiting(one)
            presses = [
                decide((one, two)[n % servers], review, person, verdict)
                for n, (person, verdict) in enumerate(
                    [(p, v) for p in (ANA, BEN, CY) for v in (Verdict.APPROVE, Verdict.REJECT)] * 2
                )
            ]
            answers = await asyncio.gather(*presses)
            assert sum(refusal is None for _, refusal in answers) == 1
            assert {type(refusal) for _, refusal in answers if refusal} == {ReviewIsClosed}
            decided = await one.review(review)
            assert len(decided.decisions) == 1
            events = await one.events(decided.task.id, 3)
            assert len(events) == 2


@pytest.mark.parametrize("servers", [1, 2])
async def test_a_quorum_at_once_is_reached_once_by_distinct_people(
    any_database: Database, clock: StoppedClock, servers: int
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(15):
            review = await waiting(one, TWO)
            presses = [
                decide((one, two)[n % servers], review, p) for n, p in enumerate((ANA, ANA, BEN, BEN, CY, CY))
            ]
            answers = await asyncio.gather(*presses)
            assert sum(refusal is None for _, refusal in answers) == 2
            decided = await one.review(review)
            assert decided.outcome is Outcome.APPROVED
            assert len({made.reviewer for made in decided.decisions}) == len(decided.decisions) == 2
            kinds = [type(stored.event) for stored in await one.events(decided.task.id, 3)]
            assert kinds == [DecisionRecorded, DecisionRecorded, ReviewApproved]


@pytest.mark.parametrize("servers", [1, 2])
async def test_a_decision_and_a_cancellation_at_once_leave_one_story(
    any_database: Database, clock: StoppedClock, servers: int
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for _ in range(15):
            review = await waiting(one)
            task = (await one.review(review)).task.id
            (_, refusal), cancelled = await asyncio.gather(
                decide((one, two)[servers - 1], review), one.cancel(task, SAM.id)
            )
            assert cancelled.status is Status.CANCELLED, "a running task may be cancelled as well"
            decided = await one.review(review)
            assert decided.outcome is (Outcome.CANCELLED if refusal else Outcome.APPROVED)
            seqs = [stored.seq for stored in await one.events(task, 0)]
            assert seqs == list(range(1, len(seqs) + 1))


async def test_the_inbox_shows_what_a_person_may_decide_now(store: SqlStore, clock: StoppedClock) -> None:
    first = await waiting(store)
    clock.advance(seconds=1)
    second = await waiting(store, TWO)
    await waiting(
        store, Policy(name="ana", reviewers=(BEN.id,), recipients=(Recipient(channel=PAPER, address="ana"),))
    )
    await decide(store, second, BEN)

    async def inbox(person: PersonId, limit: int = 10) -> list[str]:
        return [
            request.id for request in await store.waiting_for(person, everybody=person == LOCAL, limit=limit)
        ]

    assert await inbox(ANA.id) == [first, second]
    assert await inbox(ANA.id, limit=1) == [first]
    assert len(await inbox(BEN.id)) == 2
    assert second not in await inbox(BEN.id), "Ben has decided it"
    assert await inbox(EVE.id) == []
    assert second not in await inbox(LOCAL)
    await decide(store, first)
    assert await inbox(ANA.id) == [second]


async def test_the_inbox_of_a_delegate_shows_what_waits_for_the_delegator(
    store: SqlStore, clock: StoppedClock
) -> None:
    def delegation(person: Person, delegate: Person, days: int) -> Delegation:
        now = clock.now()
        return Delegation(
            id=new_id(),
            person=person.id,
            delegate=delegate.id,
            until=now + timedelta(days=days),
            made_by=person.id,
            made_at=now,
        )

    async def inbox(person: PersonId, limit: int = 10) -> list[str]:
        return [found.id for found in await store.waiting_for(person, everybody=False, limit=limit)]

    own = Policy(name="eve", reviewers=(EVE.id,))
    of_ben = await waiting(store, Policy(name="ben", reviewers=(BEN.id,)))
    clock.advance(seconds=1)
    of_both = await waiting(store, Policy(name="both", reviewers=(ANA.id, BEN.id), approvals=2))
    clock.advance(seconds=1)
    of_eve = await waiting(store, own)
    await waiting(store, Policy(name="cy", reviewers=(CY.id,)))
    assert await inbox(EVE.id) == [of_eve]
    await store.delegate(delegation(ANA, EVE, 2))
    clock.advance(seconds=1)
    await store.delegate(delegation(BEN, EVE, 1))
    assert await inbox(EVE.id) == [of_ben, of_both, of_eve], "oldest first, each once"
    assert await inbox(EVE.id, limit=2) == [of_ben, of_both]
    await decide(store, of_both, EVE)
    assert await inbox(EVE.id) == [of_ben, of_eve], "one person has one answer"
    assert await inbox(BEN.id) == [of_ben, of_both], "who is away may decide all the same"
    clock.advance(days=1)
    assert await inbox(EVE.id) == [of_eve], "Ben is back"
    await store.revoke_delegation(ANA.id)
    assert await inbox(EVE.id) == [of_eve]


async def test_nobody_finds_in_their_inbox_what_they_submitted_as_a_delegate(
    store: SqlStore, clock: StoppedClock
) -> None:
    await waiting(store, Policy(name="ana", reviewers=(ANA.id,)))
    now = clock.now()
    await store.delegate(
        Delegation(
            id=new_id(),
            person=ANA.id,
            delegate=SAM.id,
            until=now + timedelta(days=1),
            made_by=ANA.id,
            made_at=now,
        )
    )
    assert await store.waiting_for(SAM.id, everybody=False, limit=5) == []


async def test_what_others_may_decide_does_not_crowd_an_inbox(store: SqlStore, clock: StoppedClock) -> None:
    own = Policy(name="own", reviewers=(SAM.id, ANA.id))
    for _ in range(12):
        await waiting(store, own)
        clock.advance(seconds=1)
    hers = await store.create(
        TaskId(new_id()), Submission(input="x", submitter=ANA.id, flow="draft"), title="t", name="n"
    )
    review = await parked(store, hers[0].id, own)
    assert [found.id for found in await store.waiting_for(SAM.id, everybody=False, limit=5)] == [review]


# Deliveries


async def test_an_open_review_has_a_card_due_for_each_recipient(store: SqlStore) -> None:
    review = await waiting(store, ON_PAPER)
    found = await store.due_deliveries(PAPER)
    assert {delivery.recipient for delivery in found} == {DESK, HALL}
    assert {(d.review, d.state, d.message, d.version, d.shown) for d in found} == {
        (review, DeliveryState.DUE, None, 1, 0)
    }
    assert await store.due_deliveries(ChannelName("slack")) == []


async def test_a_recipient_named_twice_gets_one_card(store: SqlStore) -> None:
    await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK, DESK)))
    assert len(await store.due_deliveries(PAPER)) == 1


async def test_a_decision_makes_every_sent_card_due_again(store: SqlStore) -> None:
    review = await waiting(store, ON_PAPER)
    for delivery in await store.due_deliveries(PAPER):
        await store.delivery_shown(delivery, MessageRef(f"m-{delivery.recipient.address}"))
    assert await store.due_deliveries(PAPER) == []
    await decide(store, review)
    found = await store.due_deliveries(PAPER)
    assert {(d.state, d.message, d.version, d.shown) for d in found} == {
        (DeliveryState.SENT, "m-desk", 2, 1),
        (DeliveryState.SENT, "m-hall", 2, 1),
    }


async def test_a_card_raised_while_it_was_shown_is_due_again(store: SqlStore) -> None:
    review = await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (posting,) = await store.due_deliveries(PAPER)
    await decide(store, review)
    await store.delivery_shown(posting, MessageRef("m1"))
    (again,) = await store.due_deliveries(PAPER)
    assert (again.message, again.version, again.shown) == ("m1", 2, 1)
    await store.delivery_shown(again, MessageRef("m1"))
    assert await store.due_deliveries(PAPER) == []


async def test_changes_of_cards_go_before_new_cards(store: SqlStore, clock: StoppedClock) -> None:
    policy = Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,))
    first = await waiting(store, policy)
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("m1"))
    await waiting(store, policy)
    clock.advance(seconds=1)
    await decide(store, first)
    change, new = await store.due_deliveries(PAPER)
    assert (change.review, change.message) == (first, "m1")
    assert new.message is None


async def test_a_reply_waits_until_its_root_is_posted_or_given_up(
    store: SqlStore, clock: StoppedClock
) -> None:
    policy = Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,))
    for gives_up in (False, True):
        first = await waiting(store, policy)
        (root,) = await store.due_deliveries(PAPER)
        await decide(store, first, verdict=Verdict.REJECT)
        await parked(store, root.task, policy, attempt=2)
        await store.delivery_failed(root, "down", clock.now() + timedelta(seconds=9))
        assert await store.due_deliveries(PAPER) == []
        if gives_up:
            await store.delivery_given_up(root, "gone")
            (reply,) = await store.due_deliveries(PAPER)
            assert (await store.delivery_content(reply))[1] is None
        else:
            await store.delivery_shown(root, MessageRef("m1"))
            found = [d for d in await store.due_deliveries(PAPER) if d.message is None]
            if not found:  # the root's own change goes first
                (change,) = await store.due_deliveries(PAPER)
                await store.delivery_shown(change, MessageRef("m1"))
                found = list(await store.due_deliveries(PAPER))
            (reply,) = found
            content, thread = await store.delivery_content(reply)
            assert thread == "m1"
            assert isinstance(content, ReviewRequest)
            assert content.attempt == 2
        await store.delivery_shown(reply, MessageRef("m2"))
        for rest in await store.due_deliveries(PAPER):
            await store.delivery_shown(rest, MessageRef("m3"))


async def test_failures_are_counted_and_forgotten_after_a_success(
    store: SqlStore, clock: StoppedClock
) -> None:
    await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (card,) = await store.due_deliveries(PAPER)
    since = clock.now()
    for number in (1, 2):
        due = clock.now() + timedelta(seconds=5)
        await store.delivery_failed(card, f"down {number}", due)
        assert await store.due_deliveries(PAPER) == []
        assert await store.next_due_delivery(PAPER, after=clock.now()) == due
        clock.advance(seconds=5)
        (card,) = await store.due_deliveries(PAPER)
        assert (card.tries, card.error, card.failing_since) == (number, f"down {number}", since)
    later = clock.now() + timedelta(seconds=60)
    await store.delivery_postponed(card, later)
    (postponed,) = await store.deliveries(card.task)
    assert (postponed.tries, postponed.due_at) == (2, later)
    await store.delivery_shown(card, MessageRef("m"))
    (sent,) = await store.deliveries(card.task)
    assert (sent.tries, sent.error, sent.failing_since, sent.due_at) == (0, None, None, None)
    assert await store.next_due_delivery(PAPER, after=clock.now()) is None


async def test_what_waits_for_its_turn_already_is_not_what_falls_due_next(
    store: SqlStore, clock: StoppedClock
) -> None:
    """Else an outbox would look again and again while a place takes nothing yet."""
    for _ in range(2):
        await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (first,) = await store.due_deliveries(PAPER)
    later = clock.now() + timedelta(seconds=60)
    await store.delivery_postponed(first, later)
    assert len(await store.due_deliveries(PAPER)) == 1
    assert await store.next_due_delivery(PAPER, after=clock.now()) == later


async def test_what_changes_on_a_card_that_failed_is_tried_as_soon_as_anything_new(store: SqlStore) -> None:
    review = await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (card,) = await store.due_deliveries(PAPER)
    for _ in range(9):
        await store.delivery_failed(card, "down", START + timedelta(minutes=5))
    await decide(store, review)
    (card,) = await store.due_deliveries(PAPER)
    assert (card.tries, card.failing_since) == (0, START), "but for how long it has failed is not forgotten"


async def test_a_card_that_is_only_ever_postponed_has_a_beginning(
    store: SqlStore, clock: StoppedClock
) -> None:
    await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (card,) = await store.due_deliveries(PAPER)
    for _ in range(2):
        await store.delivery_postponed(card, clock.now() + timedelta(seconds=5))
        clock.advance(seconds=5)
    (card,) = await store.due_deliveries(PAPER)
    assert (card.failing_since, card.tries, card.error) == (START, 0, None)


async def test_what_failed_on_a_channel_can_be_made_due(store: SqlStore, clock: StoppedClock) -> None:
    await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK, HALL)))
    failed, postponed = await store.due_deliveries(PAPER)
    later = clock.now() + timedelta(hours=1)
    await store.delivery_failed(failed, "down", later)
    await store.delivery_postponed(postponed, later)
    await store.retry_failed(WEBHOOK)
    assert await store.due_deliveries(PAPER) == []
    await store.retry_failed(PAPER)
    assert [card.id for card in await store.due_deliveries(PAPER)] == [failed.id]
    await store.delivery_given_up(failed, "gone")
    await store.retry_failed(PAPER)
    assert await store.due_deliveries(PAPER) == []


async def test_a_card_given_up_says_why_and_stays_so(store: SqlStore) -> None:
    review = await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_given_up(card, "kicked out")
    await decide(store, review)
    (given_up,) = await store.deliveries(card.task)
    assert (given_up.state, given_up.error, given_up.due_at) == (DeliveryState.GIVEN_UP, "kicked out", None)
    assert await store.due_deliveries(PAPER) == []


async def test_a_pressed_copy_that_nobody_knew_is_adopted_once(store: SqlStore) -> None:
    review = await waiting(
        store, Policy(name="x", reviewers=(ANA.id, BEN.id), approvals=2, recipients=(DESK,))
    )
    (card,) = await store.due_deliveries(PAPER)
    await store.delivery_shown(card, MessageRef("known"))
    await decide(store, review, ANA, copy=(DESK, MessageRef("known")))
    assert len(await store.deliveries(card.task)) == 1
    for _ in range(2):
        await decide(store, review, ANA, copy=(DESK, MessageRef("lost")))  # refused, and adopted all the same
    adopted = [d for d in await store.deliveries(card.task) if d.message == "lost"]
    assert [(d.state, d.review, d.shown) for d in adopted] == [(DeliveryState.SENT, review, 0)]
    assert adopted[0].due_at is not None


async def test_a_stranger_adopts_nothing(store: SqlStore) -> None:
    review = await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    await decide(store, review, EVE, copy=(DESK, MessageRef("forged")))
    assert [d.message for d in await store.deliveries((await store.review(review)).task.id)] == [None]


async def test_what_is_another_message_of_ours_is_not_adopted(store: SqlStore, clock: StoppedClock) -> None:
    policy = Policy(name="x", reviewers=(ANA.id, BEN.id), approvals=2, recipients=(DESK,))
    pressed, other = await waiting(store, policy), await waiting(store, policy)
    for card in await store.due_deliveries(PAPER):
        await store.delivery_shown(card, MessageRef(f"card of {card.review}"))
    for card in await store.due_deliveries(PAPER):
        await store.delivery_shown(card, MessageRef(f"card of {card.review}"))
    asked = Dialog(
        channel=PAPER,
        message=MessageRef("asks"),
        review=other,
        person=ANA.id,
        verdict=Verdict.REJECT,
        expires_at=clock.now() + timedelta(minutes=30),
    )
    await store.open_dialog(asked)
    for message in (f"card of {other}", "asks"):
        await decide(store, pressed, copy=(DESK, MessageRef(message)))
        await store.adopt_copy(pressed, (DESK, MessageRef(message)))
    task = (await store.review(pressed)).task.id
    assert [each.message for each in await store.deliveries(task)] == [f"card of {pressed}"]


async def test_a_press_that_is_quicker_than_the_note_of_its_post_makes_no_second_card(
    store: SqlStore,
) -> None:
    review = await waiting(store, Policy(name="x", reviewers=(ANA.id,), recipients=(DESK,)))
    (posting,) = await store.due_deliveries(PAPER)
    await decide(store, review, copy=(DESK, MessageRef("m1")))  # pressed before the post was noted
    await store.delivery_shown(posting, MessageRef("m1"))
    (only,) = await store.deliveries(posting.task)
    assert (only.id, only.message, only.version, only.shown) == (posting.id, "m1", 2, 1)


async def test_a_callback_is_told_when_the_task_waits_and_when_it_ends(store: SqlStore) -> None:
    review = await waiting(store, callback=HOOK)
    (notice,) = await store.due_deliveries(WEBHOOK)
    assert (notice.recipient, notice.review) == (Recipient(channel=WEBHOOK, address=HOOK), None)
    content, thread = await store.delivery_content(notice)
    assert isinstance(content, Notice)
    assert content.event.event == ReviewRequested(review=review, attempt=1, draft="a draft")
    assert thread is None
    await store.delivery_shown(notice, MessageRef("200"))
    await decide(store, review)
    assert await store.due_deliveries(WEBHOOK) == []
    await completed(store, notice.task)
    (ended,) = await store.due_deliveries(WEBHOOK)
    content, _ = await store.delivery_content(ended)
    assert isinstance(content, Notice)
    assert content.task.status is Status.COMPLETED


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_a_callback_is_told_of_every_end(store: SqlStore, how: str) -> None:
    task = await submitted(store, callback=HOOK)
    if how == "cancel":
        await store.cancel(task.id, SAM.id)
    else:
        await store.fail(task.id, "x")
    assert len(await store.due_deliveries(WEBHOOK)) == 1


HANDED_IN_AT = Recipient(channel=ChannelName("slack"), address="U01SAM")


async def test_who_handed_in_from_a_chat_hears_there_of_the_end_alone(store: SqlStore) -> None:
    task = await submitted(store, tell=HANDED_IN_AT)
    assert (await store.task(task.id)).tell == HANDED_IN_AT
    review = await parked(store, task.id, ANYONE)
    assert await store.due_deliveries(HANDED_IN_AT.channel) == []
    await decide(store, review)
    assert await store.due_deliveries(HANDED_IN_AT.channel) == []
    await completed(store, task.id)
    (ended,) = await store.due_deliveries(HANDED_IN_AT.channel)
    assert (ended.recipient, ended.review) == (HANDED_IN_AT, None)
    content, thread = await store.delivery_content(ended)
    assert isinstance(content, Notice)
    assert thread is None
    assert content.review is not None
    assert [made.reviewer for made in content.review.decisions] == [ANA.id]


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_who_handed_in_from_a_chat_hears_of_every_end(store: SqlStore, how: str) -> None:
    """Although a review that is called off takes with it what was still to be said of it."""
    task = await submitted(store, tell=HANDED_IN_AT)
    await parked(store, task.id, Policy(name="x", reviewers=(ANA.id,), deadline=timedelta(hours=1)))
    if how == "cancel":
        await store.cancel(task.id, SAM.id)
    else:
        await store.fail(task.id, "x")
    (ended,) = await store.due_deliveries(HANDED_IN_AT.channel)
    await store.delivery_shown(ended, MessageRef("D01/1"))
    assert await store.due_deliveries(HANDED_IN_AT.channel) == []


# Chats, credentials, secrets, health


async def test_an_update_is_kept_once_and_handed_out_until_it_is_handled(
    store: SqlStore, clock: StoppedClock
) -> None:
    one = ChatUpdate(channel=ChannelName("telegram"), id="1", body=b"\x00\xff{}")
    two = ChatUpdate(channel=ChannelName("telegram"), id="2", body=b"{}")
    assert await store.keep_update(one)
    clock.advance(seconds=1)
    assert await store.keep_update(two)
    assert not await store.keep_update(one)
    assert await store.keep_update(ChatUpdate(channel=ChannelName("slack"), id="1", body=b"s"))
    assert await store.unhandled_updates(one.channel) == [one, two]
    assert not await store.is_handled(one.channel, "1")
    await store.update_handled(one.channel, "1")
    assert await store.is_handled(one.channel, "1")
    assert await store.unhandled_updates(one.channel) == [two]
    assert not await store.keep_update(one), "its id is remembered"
    clock.advance(days=32)
    await store.forget_old()
    assert await store.keep_update(one), "for a month"
    assert two in await store.unhandled_updates(one.channel), "what was never handled is never forgotten"


async def test_an_update_that_is_kept_as_handled_is_known_again_and_never_handed_out(
    store: SqlStore, clock: StoppedClock
) -> None:
    words = ChatUpdate(channel=ChannelName("slack"), id="slack/C01/1.0", body=b"")
    assert await store.keep_update(words, handled=True)
    assert await store.unhandled_updates(words.channel) == []
    assert not await store.keep_update(words, handled=True)
    assert not await store.keep_update(words)
    clock.advance(days=32)
    await store.forget_old()
    assert await store.keep_update(words, handled=True), "for a month"


async def test_of_two_servers_that_are_told_the_same_at_once_one_keeps_it(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for number in range(10):
            words = ChatUpdate(channel=ChannelName("slack"), id=str(number), body=b"")
            kept = await asyncio.gather(*(each.keep_update(words, handled=True) for each in (one, two)))
            assert sorted(kept) == [False, True]


async def test_unhandled_updates_are_read_in_pages_in_the_order_of_arrival(
    store: SqlStore, clock: StoppedClock
) -> None:
    channel = ChannelName("telegram")
    for ids in (("9", "7"), ("8",), ("11", "10")):
        for each in ids:  # of one moment by id
            await store.keep_update(ChatUpdate(channel=channel, id=each, body=b"{}"))
        clock.advance(seconds=1)
    read: list[str] = []
    page: Sequence[ChatUpdate] = ()
    while page := await store.unhandled_updates(channel, after=page[-1] if page else None, limit=2):
        assert len(page) <= 2
        read += [update.id for update in page]
        await store.update_handled(channel, page[0].id)
    assert read == ["7", "9", "8", "10", "11"]


async def test_a_dialog_is_found_by_its_prompt_until_it_is_closed_or_expired(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store)

    def dialog(message: str, person: PersonId = ANA.id) -> Dialog:
        return Dialog(
            message=MessageRef(message),
            channel=PAPER,
            review=review,
            person=person,
            verdict=Verdict.REJECT,
            expires_at=clock.now() + timedelta(minutes=10),
        )

    first, second = dialog("m1"), dialog("m2")
    await store.open_dialog(first)
    await store.open_dialog(second)
    await store.open_dialog(dialog("m2", BEN.id))
    assert await store.dialog(PAPER, MessageRef("m1")) == first
    replaced = await store.dialog(PAPER, MessageRef("m2"))
    assert replaced is not None
    assert replaced.person == BEN.id
    assert not await store.note_ended(replace(first, expires_at=clock.now())), "it is open"
    assert await store.dialog(PAPER, MessageRef("m1")) == first
    unknown = replace(dialog("m3"), expires_at=clock.now() - timedelta(minutes=10))
    assert [await store.note_ended(unknown) for _ in range(2)] == [True, False]
    assert await store.asked_in_vain(PAPER, MessageRef("m3")) == unknown
    await store.close_dialog(PAPER, MessageRef("m1"))
    await store.close_dialog(PAPER, MessageRef("m1"))
    assert await store.dialog(PAPER, MessageRef("m1")) is None
    assert await store.asked_in_vain(PAPER, MessageRef("m2")) is None
    clock.advance(minutes=10)
    assert await store.dialog(PAPER, MessageRef("m2")) is None
    await store.forget_old()
    assert await store.asked_in_vain(PAPER, MessageRef("m2")) == replaced
    assert await store.asked_in_vain(PAPER, MessageRef("m1")) is None, "it has its answer"
    await store.prompt_ended(PAPER, MessageRef("m2"))
    ended = replace(replaced, ended_at=clock.now())
    assert await store.asked_in_vain(PAPER, MessageRef("m2")) == ended
    clock.advance(days=31)
    await store.forget_old()
    assert await store.asked_in_vain(PAPER, MessageRef("m2")) is None


async def test_edits_that_wait_for_somebodys_press_are_found_by_the_person(
    store: SqlStore, clock: StoppedClock
) -> None:
    asked = Dialog(
        message=MessageRef("m1"),
        channel=PAPER,
        review=await waiting(store),
        person=ANA.id,
        verdict=Verdict.EDIT,
        expires_at=clock.now() + timedelta(minutes=10),
        asks=Asks.CONSENT,
        content="a new text",
    )
    await store.open_dialog(asked)
    for number, other in enumerate(
        (
            replace(asked, asks=Asks.TEXT, content=None),
            replace(asked, verdict=Verdict.APPROVE, content=None),
            replace(asked, person=BEN.id),
            replace(asked, ended_at=clock.now()),
        )
    ):
        await store.open_dialog(replace(other, message=MessageRef(f"other {number}")))
    clock.advance(minutes=1)
    newer = replace(asked, message=MessageRef("m0"), expires_at=clock.now() + timedelta(minutes=10))
    await store.open_dialog(newer)
    assert await store.edits_to_confirm(PAPER, ANA.id) == [asked, newer]
    clock.advance(minutes=9)
    assert await store.edits_to_confirm(PAPER, ANA.id) == [newer]


async def test_a_dialog_has_ended_when_its_time_is_over_or_its_review(
    store: SqlStore, clock: StoppedClock
) -> None:
    async def ended(limit: int = 9) -> list[str]:
        return [dialog.message for dialog in await store.ended_dialogs(PAPER, limit=limit)]

    reviews = [await waiting(store), await waiting(store)]
    dialogs = {
        message: Dialog(
            message=MessageRef(message),
            channel=PAPER,
            review=review,
            person=ANA.id,
            verdict=Verdict.REJECT,
            expires_at=clock.now() + timedelta(minutes=minutes),
        )
        for message, review, minutes in (("soon", reviews[0], 1), ("later", reviews[1], 30))
    }
    for dialog in dialogs.values():
        await store.open_dialog(dialog)
    assert await ended() == []
    await decide(store, reviews[1], ANA)
    assert await store.ended_dialogs(PAPER, limit=9) == [dialogs["later"]]
    assert await store.ended_dialogs(ChannelName("elsewhere"), limit=9) == []
    clock.advance(minutes=1)
    assert await ended() == ["soon", "later"]
    assert await ended(limit=1) == ["soon"]
    assert await store.ended_dialogs(PAPER, after=dialogs["soon"], limit=9) == [dialogs["later"]]
    assert await store.ended_dialogs(PAPER, after=dialogs["later"], limit=9) == []
    await store.prompt_ended(PAPER, MessageRef("soon"))
    await store.prompt_ended(PAPER, MessageRef("soon"))
    assert await ended() == ["later"]
    await store.open_dialog(dialogs["soon"])
    assert await ended() == ["soon", "later"], "a prompt that asks anew"
    await store.prompt_ended(PAPER, MessageRef("soon"))
    clock.advance(minutes=59)
    assert await ended() == ["later"]
    clock.advance(minutes=1)
    assert await ended() == ["soon", "later"], "an hour later its prompt may go"
    await store.open_dialog(replace(dialogs["soon"], ended_at=clock.now() - timedelta(hours=1)))
    assert await ended() == ["soon", "later"], "one that is answered, at once"
    clock.advance(days=2)
    await store.forget_old()
    assert await ended() == ["soon", "later"], "remembered until it is done"
    clock.advance(days=30)
    await store.forget_old()
    assert await ended() == []


async def test_a_dialog_that_has_ended_is_open_by_no_clock(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store)
    answered, over = (
        Dialog(
            message=MessageRef(message),
            channel=PAPER,
            review=review,
            person=ANA.id,
            verdict=Verdict.REJECT,
            expires_at=clock.now() + timedelta(minutes=30),
        )
        for message in ("answered", "over")
    )
    await store.open_dialog(over)
    clock.advance(minutes=31)
    await store.prompt_ended(PAPER, over.message)
    await store.open_dialog(replace(answered, ended_at=clock.now() - timedelta(days=1)))
    clock.advance(timedelta(days=-2))
    for dialog in (answered, over):
        assert await store.dialog(PAPER, dialog.message) is None
        found = await store.asked_in_vain(PAPER, dialog.message)
        assert found is not None
        assert found.person == ANA.id
        assert not await store.note_ended(dialog), "it is known"


async def test_what_an_ended_dialog_left_in_the_chat_is_remembered_until_it_is_taken_away(
    store: SqlStore, clock: StoppedClock
) -> None:
    """The chat may be out of reach for days."""
    review = await waiting(store)
    asked = Dialog(
        message=MessageRef("answered"),
        channel=PAPER,
        review=review,
        person=ANA.id,
        verdict=Verdict.REJECT,
        expires_at=clock.now(),
        ended_at=clock.now() - timedelta(days=1),
    )
    gone = replace(asked, message=MessageRef("gone"))
    for dialog in (asked, gone):
        await store.open_dialog(dialog)
    await store.close_dialog(PAPER, gone.message)
    clock.advance(days=30)
    await store.forget_old()
    assert await store.ended_dialogs(PAPER, limit=9) == [asked]
    clock.advance(days=1)
    await store.forget_old()
    assert await store.ended_dialogs(PAPER, limit=9) == [], "a month is enough"


async def test_a_dialog_keeps_what_it_asks_and_the_edit_that_waits(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store)
    contents: tuple[Json, ...] = ("a text", "", {"a": [1, None]}, ["ü"], False, None)
    for number, content in enumerate(contents):
        kept = Dialog(
            message=MessageRef(f"m{number}"),
            channel=PAPER,
            review=review,
            person=ANA.id,
            verdict=Verdict.EDIT,
            expires_at=clock.now() + timedelta(minutes=10),
            asks=Asks.CONSENT,
            content=content,
        )
        await store.open_dialog(kept)
        assert await store.dialog(PAPER, kept.message) == kept


async def test_a_revoked_token_is_unknown(store: SqlStore, clock: StoppedClock) -> None:
    kept = Credential(id=new_id(), person=ANA.id, token_hash="a" * 64, created_at=clock.now())
    other = Credential(id=new_id(), person=BEN.id, token_hash="b" * 64, created_at=clock.now())
    for credential in (kept, other):
        await store.add_credential(credential)
    assert await store.credential(kept.token_hash) == kept
    assert await store.credential_by_id(kept.id, "c" * 64) == kept
    assert await store.revoke_credentials(ANA.id) == 1
    assert await store.revoke_credentials(ANA.id) == 0
    assert await store.credential(kept.token_hash) is None
    assert await store.credential_by_id(kept.id, "c" * 64) is None
    assert await store.credential(other.token_hash) == other


async def test_an_ended_session_is_unknown_and_its_token_is_not(store: SqlStore, clock: StoppedClock) -> None:
    kept = Credential(id=new_id(), person=ANA.id, token_hash="a" * 64, created_at=clock.now())
    await store.add_credential(kept)
    await asyncio.gather(*(store.end_session(kept.id, "c" * 64) for _ in range(3)))
    assert await store.credential_by_id(kept.id, "c" * 64) is None
    assert await store.credential("c" * 64) is None, "nor is it a token"
    assert await store.credential_by_id(kept.id, "d" * 64) == kept
    assert await store.credential(kept.token_hash) == kept
    await store.end_session("f" * 32, "e" * 64)
    assert await store.revoke_credentials(ANA.id) == 1
    await store.end_session(kept.id, "d" * 64)


async def test_ended_sessions_are_forgotten_once_no_session_lasts_as_long(
    store: SqlStore, clock: StoppedClock
) -> None:
    kept = Credential(id=new_id(), person=ANA.id, token_hash="a" * 64, created_at=clock.now())
    await store.add_credential(kept)
    await store.end_session(kept.id, "c" * 64)
    clock.advance(SESSION)
    await store.forget_old()
    assert await store.credential_by_id(kept.id, "c" * 64) is None
    clock.advance(2 * SESSION)
    await store.forget_old()
    assert await store.credential_by_id(kept.id, "c" * 64) == kept


async def test_a_secret_is_made_once_for_every_server(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as one, SqlStore(any_database, clock) as two:
        for name in (f"s{n}" for n in range(10)):
            made = await asyncio.gather(one.secret(name), two.secret(name), one.secret(name))
            assert len(set(made)) == 1
            assert len(made[0]) == 32
        assert await one.secret("s0") != await one.secret("s1")


async def test_a_healthy_store_says_so_and_changes_nothing(store: SqlStore) -> None:
    await store.check()
    assert await store.counts() == {}


# After the commit


async def test_listeners_hear_of_a_commit_before_its_answer_and_in_order(store: SqlStore) -> None:
    diary = Diary()
    silence = store.listen(diary)
    tasks = await asyncio.gather(*(submitted(store) for _ in range(20)))
    assert {stored.task for stored in diary.events} == {task.id for task in tasks}
    reviews = await asyncio.gather(*(parked(store, task.id, ON_PAPER) for task in tasks))
    await asyncio.gather(*(decide(store, review) for review in reviews))
    for task in tasks:
        assert diary.of(task.id) == [stored.event for stored in await store.events(task.id, 0)]
    assert PAPER in diary.due
    silence()
    heard = len(diary.events)
    await submitted(store)
    assert len(diary.events) == heard


async def test_a_refusal_is_announced_to_nobody(store: SqlStore) -> None:
    review = await waiting(store)
    diary = Diary()
    store.listen(diary)
    await decide(store, review, EVE)
    assert (diary.events, diary.due) == ([], [])


async def test_a_listener_that_breaks_takes_no_answer_with_it(store: SqlStore) -> None:
    class Broken:
        def committed(self, events: object, due: object) -> None:
            raise RuntimeError("a listener's defect")

        def heard(self, hint: object) -> None:
            raise RuntimeError("a listener's defect")

    diary = Diary()
    store.listen(Broken())
    store.listen(diary)
    async with asyncio.timeout(PATIENCE):
        task = await submitted(store)
    assert diary.of(task.id) == [TaskSubmitted(submitter=SAM.id)]
