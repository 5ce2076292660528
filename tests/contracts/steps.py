"""Walks a task through the store by hand, without a flow or an engine."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from core.events import AttemptStarted, ReviewRequested, TaskCompleted
from core.lifecycle import after
from core.model import (
    Checkpoint,
    Delegation,
    NewDecision,
    NewReview,
    Point,
    Policy,
    ReviewId,
    Step,
    Submission,
    TaskId,
    Verdict,
)
from tests.world import ANA, BEN, CY, PEOPLE, SAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.errors import CountersignError
    from core.events import Event
    from core.model import Json, MessageRef, Person, Recipient, ReviewRequest, Task
    from core.ports import Clock
    from core.store.sql import SqlStore

ANYONE = Policy(name="default", reviewers=(ANA.id, BEN.id, CY.id))


def new_id() -> str:
    return secrets.token_hex(16)


async def submitted(
    store: SqlStore,
    text: Json = "hello",
    *,
    key: str | None = None,
    callback: str | None = None,
    tell: Recipient | None = None,
) -> Task:
    """A pending task of Sam's."""
    new = Submission(
        input=text,
        submitter=SAM.id,
        flow="draft",
        idempotency_key=key,
        callback_url=callback,
        tell=tell,
        metadata={"a": 1},
    )
    task, _ = await store.create(TaskId(new_id()), new, title="a title", name=SAM.name)
    return task


async def step(
    store: SqlStore,
    task: str,
    *events: Event,
    node: str | None = "process",
    point: Point = Point.RUN,
    attempt: int = 1,
    begun: bool = False,
    starts: int | None = None,
    due_at: datetime | None = None,
    state: str | None = None,
    review: NewReview | None = None,
) -> int:
    """One step from where the task stands."""
    position = await store.position(task)
    assert position is not None
    checkpoints = (
        () if state is None else (Checkpoint(node="process", action=None, attempt=attempt, state=state),)
    )
    return await store.step(
        Step(
            task=TaskId(task),
            version=position.version,
            seq=position.seq,
            status=after(position.task.status, *events),
            callback_url=position.task.callback_url,
            tell=position.task.tell,
            checkpoints=checkpoints,
            first_checkpoint=position.checkpoints + 1,
            events=events,
            attempt=attempt,
            node=node,
            point=point,
            begun=begun,
            starts=position.starts if starts is None else starts,
            due_at=due_at,
            review=review,
        )
    )


async def parked(
    store: SqlStore,
    task: str,
    policy: Policy = ANYONE,
    *,
    attempt: int = 1,
    draft: Json = "a draft",
    point: Point = Point.REVIEW,
) -> ReviewId:
    """Run the task to an open review of `attempt`."""
    review = ReviewId(new_id())
    await step(
        store,
        task,
        AttemptStarted(attempt=attempt),
        ReviewRequested(review=review, attempt=attempt, draft=draft),
        node="review",
        point=Point.INSIDE if point is Point.INSIDE else Point.RUN,
        attempt=attempt,
        state='{"n":1}',
        review=NewReview(id=review, policy=policy, point=point),
    )
    return review


async def waiting(store: SqlStore, policy: Policy = ANYONE, *, callback: str | None = None) -> ReviewId:
    """The open review of a new task."""
    return await parked(store, (await submitted(store, callback=callback)).id, policy)


async def decide(
    store: SqlStore,
    review: str,
    person: Person = ANA,
    verdict: Verdict = Verdict.APPROVE,
    *,
    comment: str | None = None,
    copy: tuple[Recipient, MessageRef] | None = None,
    content: Json = None,
    policies: Mapping[str, Policy] = {},
) -> tuple[ReviewRequest, CountersignError | None]:
    request, refusal, _ = await store.decide(
        review,
        NewDecision(reviewer=person, verdict=verdict, comment=comment, content=content, via="api", copy=copy),
        policies=policies,
        people=PEOPLE,
    )
    return request, refusal


async def recorded(
    store: SqlStore, review: str, person: Person = ANA, verdict: Verdict = Verdict.APPROVE, **more: Any
) -> ReviewRequest:
    """The review after an answer that was not refused."""
    found, refusal = await decide(store, review, person, verdict, **more)
    assert refusal is None, refusal
    return found


async def delegated(
    store: SqlStore, person: Person, delegate: Person | None, clock: Clock, *, days: float = 1
) -> None:
    await store.delegate(
        Delegation(
            id=new_id(),
            person=person.id,
            delegate=None if delegate is None else delegate.id,
            until=clock.now() + timedelta(days=days),
            made_by=person.id,
            made_at=clock.now(),
        )
    )


async def fired(
    store: SqlStore, *, policies: Mapping[str, Policy] = {}, limit: int = 64
) -> list[tuple[str, int]]:
    """Let everything happen that is due; what did, as kind and number."""
    found: list[tuple[str, int]] = []
    while due := await store.due_timers(limit):
        found += [
            (timer.kind.value, timer.number)
            for timer in due
            if await store.fire(timer, policies=policies, people=PEOPLE)
        ]
    return found


async def completed(store: SqlStore, task: str, result: Json = "done") -> None:
    """End a running task."""
    await step(store, task, TaskCompleted(final_result=result, outcome="approved"), node=None)
