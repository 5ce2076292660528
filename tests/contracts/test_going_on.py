"""Where a flow goes on once its review is closed: as it is known at once, and as it is read later."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from core.events import AttemptStarted, ReviewRequested
from core.model import NewDecision, NewReview, OpenReview, Party, Point, ReviewId, Verdict
from core.store import deciding, tasks
from core.store.commits import Commits
from tests.contracts.steps import ANYONE, new_id, step, submitted
from tests.world import ANA, BEN, CY, PEOPLE

if TYPE_CHECKING:
    from core.model import Person, Position
    from core.store.sql import SqlStore
    from core.store.transaction import Transaction

OTHERS = replace(ANYONE, distinct_from=(Party.EDITOR,))
"""Have to approve somebody's edit."""
APPROVE, REJECT, EDIT = Verdict.APPROVE, Verdict.REJECT, Verdict.EDIT

STORIES = {
    "edited": (EDIT,),
    "edited and approved": (EDIT, APPROVE),
    "edited twice": (EDIT, EDIT),
    "edited twice and rejected": (EDIT, EDIT, REJECT),
    "rejected and edited": (REJECT, EDIT),
    "rejected, edited and approved": (REJECT, EDIT, APPROVE),
}


async def test_a_place_to_go_on_that_its_own_group_has_passed_is_not_kept(store: SqlStore) -> None:
    """A runner would be refused with it, and look again only at the next sweep."""
    task = await submitted(store)
    position = await store.position(task.id)
    assert position is not None
    (told,) = await store.events(task.id, 0)
    commits = Commits()
    for events, kept in (([told], True), ([told, replace(told, seq=told.seq + 1)], False)):
        commits.tell(events, set(), [position], frozenset())
        assert (task.id in commits.positions) is kept


async def asked(store: SqlStore, task: str, attempt: int, *, checkpoint: int, is_edit: bool) -> ReviewId:
    """The review of an attempt; of an edit that others have to approve, where its draft was asked about."""
    review = ReviewId(new_id())
    await step(
        store,
        task,
        AttemptStarted(attempt=attempt),
        ReviewRequested(review=review, attempt=attempt, draft=f"draft {attempt}"),
        node="review",
        point=Point.REVIEW,
        attempt=attempt,
        state=None if is_edit else '{"n":1}',
        review=NewReview(id=review, policy=OTHERS, checkpoint=checkpoint),
    )
    return review


def known_at_once(
    tx: Transaction, which: str | OpenReview, person: Person, verdict: Verdict
) -> Position | None:
    content = "another draft" if verdict is EDIT else None
    new = NewDecision(reviewer=person, verdict=verdict, content=content, via="web")
    deciding.decide(tx, which, new, policies={}, people=PEOPLE)
    return tx.position


@pytest.mark.parametrize("by_task", [True, False], ids=["by its task", "by its id"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_a_flow_goes_on_with_every_edit_since_its_draft_whenever_they_were_read(
    store: SqlStore, story: tuple[Verdict, ...], by_task: bool
) -> None:
    """Who names the task has its last checkpoint read ahead on PostgreSQL: before the review is closed."""
    task = (await submitted(store)).id
    checkpoint, since = 0, list[ReviewId]()
    for attempt, (person, verdict) in enumerate(zip((ANA, BEN, CY), story, strict=False), start=1):
        is_edit = bool(since)
        checkpoint += not is_edit
        review = await asked(store, task, attempt, checkpoint=checkpoint, is_edit=is_edit)
        since.append(review)
        which = OpenReview(task=task) if by_task else review
        known = await store.lanes["write"].run(
            partial(known_at_once, which=which, person=person, verdict=verdict)
        )
        read = await store.lanes["read"].run(partial(tasks.position, task_id=task))
        assert known is not None
        assert read is not None
        assert [answer.id for answer in known.answers] == since
        assert known.answers == read.answers
        if verdict is REJECT:
            since.clear()
