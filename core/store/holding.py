"""Which review somebody means, found and locked: what is judged of it holds until the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from core import policy as rules
from core.errors import NotFound, NotWaiting, Refused, StaleReview
from core.model import OpenReview
from core.store import checkpoints, delegations, reviews
from core.store.reviews import EVENT_SEQ, as_it_stands
from core.store.statements import Statement, p
from core.store.tables import review, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import PersonId, Policy, ReviewRequest
    from core.store.transaction import Row, Transaction

# The lock keeps two decisions of a quorum apart, and is the task's, as everywhere: each unit locks one task,
# or several in the order of their ids (`admitting`, `firing.mark_stuck`). A group of units on PostgreSQL may
# lock several in another order than that of a second server; the database then ends one of the two after its
# `deadlock_timeout` (1 s unless set), and its units are run again.
LOCK_TASK_OF = Statement(
    select(task.c.id)
    .join(review, review.c.task_id == task.c.id)
    .where(review.c.id == p("id"))
    .with_for_update(of=task)
)
LOCK_TASK = Statement(select(task.c.id).where(task.c.id == p("id")).with_for_update())


def locked(tx: Transaction, review_id: str) -> tuple[Row, ReviewRequest]:
    """The review, open or closed, which nobody else changes before the commit. Raises `NotFound`."""
    tx.lock(LOCK_TASK_OF, id=review_id)
    row = tx.one(reviews.BY_ID, id=review_id)
    if row is None:
        raise NotFound("There is no such review.")
    return row, as_it_stands(tx, row)


def held(
    tx: Transaction,
    which: str | OpenReview,
    person: PersonId,
    policies: Mapping[str, Policy],
    *,
    may_go_on: bool = False,
) -> tuple[Row, ReviewRequest]:
    """The review that `person` means, locked; one that is named by its id may be closed.

    With `may_go_on` the last checkpoint is read along, from which its flow goes on where it is closed now.
    Raises `NotFound`; of a task `NotWaiting`, or `StaleReview` for another review or attempt than the open
    one, both with the sentence that its id would have brought; `Forbidden` before both of them.
    """
    if not isinstance(which, OpenReview):
        return locked(tx, which)
    row, request = _open_of(tx, which.task, may_go_on=may_go_on)
    if row is None or request is None or not which.is_meant(request):
        raise _not_open(tx, which, request, _why_closed(tx, _seen(tx, which), person, policies))
    if which.review is None and which.attempt is not None:
        _check_is_only_one(tx, row, which.attempt)
    return row, request


def held_or_closed(tx: Transaction, which: str | OpenReview) -> tuple[Row, ReviewRequest]:
    """As `held`, for whoever takes an answer back: a closed one is theirs to name, and says so itself.

    Raises `NotFound`, and `NotWaiting` where none is named and none is open.
    """
    if not isinstance(which, OpenReview):
        return locked(tx, which)
    row, request = _open_of(tx, which.task)
    if row is not None and request is not None and which.is_meant(request):
        return row, request
    status = _status(tx, which.task)
    if which.review is None and which.attempt is None:
        raise NotWaiting(f"This task is {status}; there is no decision to take back now.")
    seen = _seen(tx, which)
    if seen is None:
        raise NotFound("There is no such review.")
    return locked(tx, seen.id)


def _open_of(
    tx: Transaction, task_id: str, *, may_go_on: bool = False
) -> tuple[Row, ReviewRequest] | tuple[None, None]:
    tx.lock(LOCK_TASK, id=task_id)
    if may_go_on:
        tx.ahead(checkpoints.LAST, task=task_id)
    row = tx.one(reviews.OPEN_BY_TASK, task=task_id)
    return (None, None) if row is None else (row, as_it_stands(tx, row))


def _seen(tx: Transaction, which: OpenReview) -> ReviewRequest | None:
    """The review of the task that somebody saw; who says nothing of it means the newest."""
    found = [of for of in reviews.of_task(tx, which.task) if which.is_meant(of)]
    return found[-1] if found else None


def _why_closed(
    tx: Transaction, seen: ReviewRequest | None, person: PersonId, policies: Mapping[str, Policy]
) -> str | None:
    """What whoever presses a button of that review is told; raises `Forbidden`, as there."""
    if seen is None:
        return None
    try:
        rules.check_may_decide(seen, person, policies, delegations.delegators(tx, seen.policy, person))
    except Refused as error:
        return str(error)
    return None


def _not_open(
    tx: Transaction, which: OpenReview, other: ReviewRequest | None, why: str | None
) -> NotWaiting | StaleReview:
    """For an answer to what is not open; `other` is. Raises `NotFound`."""
    if other is not None:
        return StaleReview(why or f"That is not the open review; attempt {other.attempt} is.")
    status = _status(tx, which.task)
    return NotWaiting(why or f"This task is {status}; there is nothing to decide now.")


def _status(tx: Transaction, task_id: str) -> str:
    """In words. Raises `NotFound`."""
    row = tx.one(reviews.STATUS_OF_TASK, id=task_id)
    if row is None:
        raise NotFound("There is no such task.")
    return str(row[0]).replace("_", " ")


def _check_is_only_one(tx: Transaction, row: Row, attempt: int) -> None:
    """Where an attempt has several reviews, its number does not say which of them somebody has seen."""
    if tx.one(reviews.BEFORE_IT, task=row[0], attempt=attempt, before=row[EVENT_SEQ]) is not None:
        raise StaleReview(f"Attempt {attempt} has more than one review; name the open one's `review_id`.")
