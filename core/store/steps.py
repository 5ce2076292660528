"""How tasks move on: by a runner's step, or to an end from outside their flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, null, update

from core.errors import Forbidden, StaleRun
from core.events import DecisionsCarried, ReviewRequested, TaskCancelled, TaskCompleted, TaskFailed
from core.jsontext import to_json
from core.lifecycle import after
from core.model import LOCAL, Outcome, Party, Status, Task
from core.store import carrying, checkpoints, opening, reviews
from core.store.deliveries import say, shown_in
from core.store.history import append
from core.store.rows import micros, task_of
from core.store.statements import Statement, p
from core.store.tables import task
from core.store.tasks import LOCK, NODE, POINT, SEQ, STARTS, TRIES, VERSION, one, row_of

if TYPE_CHECKING:
    from core.events import Event
    from core.model import Json, PersonId, ReviewRequest, Step
    from core.ports import Sequel
    from core.store.transaction import Row, Transaction


_moved: dict[str, Any] = {
    "status": p("status"),
    "attempt": p("attempt"),
    "updated_at": p("now"),
    "seq": p("new_seq"),
    "version": task.c.version + literal_column("1"),
    "node": p("node"),
    "begun": p("begun"),
    "starts": p("starts"),
    "tries": p("tries"),
    "due_at": p("due_at"),
    "point": p("point"),
}
_this = and_(task.c.id == p("id"), task.c.version == p("version"))
MOVE = Statement(update(task).where(_this).values(_moved))
PARK = Statement(update(task).where(_this).values({**_moved, "draft": p("draft"), "review_id": p("review")}))
END = Statement(
    update(task)
    .where(_this)
    .values(
        {
            **_moved,
            "final_result": p("final_result"),
            "error": p("error"),
            "review_id": null(),
            "ended_at": p("now"),
        }
    )
)


def follow(tx: Transaction, sequel: Sequel | None) -> TaskCompleted | None:
    """Store what follows from the unit at once, in place of leaving its task to a runner; the task's end,
    where it is that."""
    step = None if sequel is None or tx.position is None else sequel(tx.position)
    if step is None:
        return None
    store_step(tx, step, follows=None if tx.position is None else tx.position.review)
    tx.position = None
    last = step.events[-1]
    return last if isinstance(last, TaskCompleted) else None


def store_step(tx: Transaction, step: Step, *, follows: ReviewRequest | None = None) -> int:
    """Move the task on, with its checkpoints, events and review; its new version. Raises `StaleRun`.

    `follows` is the review that the same unit has closed, if one.
    """
    rows = carrying.carried(tx, step)
    step = carrying.told(step, rows)
    _move(tx, step)
    checkpoints.insert_checkpoints(tx, step.task, step.first_checkpoint, step.checkpoints)
    append(tx, step.task, step.seq, step.events, step.callback_url, step.tell)
    if step.status.is_final:
        tx.attempts.append(step.attempt)
    _open_review(tx, step)
    _tell_the_end(tx, step, follows)
    if step.review is not None:
        carrying.carry(tx, step.review, rows)
        if rows or (step.attempt > 1 and Party.EDITOR in step.review.policy.distinct_from):
            opening.mark_if_stuck(tx, step.review.id)
    return step.version + 1


def _move(tx: Transaction, step: Step) -> None:
    stale = StaleRun(f"The task was moved on from version {step.version} by something else.")
    moved = {
        "id": step.task,
        "version": step.version,
        "status": step.status.value,
        "attempt": step.attempt,
        "now": micros(tx.now),
        "new_seq": step.seq + len(step.events),
        "node": step.node,
        "begun": int(step.begun),
        "starts": step.starts,
        "tries": step.tries,
        "due_at": None if step.due_at is None else micros(step.due_at),
        "point": step.point.value,
    }
    match next((event for event in reversed(step.events) if not isinstance(event, DecisionsCarried)), None):
        case ReviewRequested(draft=draft, review=review_id):
            tx.must(PARK, stale, **moved, draft=to_json(draft), review=review_id)
        case TaskCompleted(final_result=result):
            tx.must(END, stale, **moved, final_result=to_json(result), error=None)
        case TaskFailed(error=error):
            tx.must(END, stale, **moved, final_result=None, error=error)
        case _:
            tx.must(MOVE, stale, **moved)


def _open_review(tx: Transaction, step: Step) -> None:
    for number, stored in enumerate(step.events, step.seq + 1):
        if isinstance(stored, ReviewRequested) and step.review is not None and step.node is not None:
            opening.open_review(
                tx,
                step.task,
                number,
                step.review,
                attempt=step.attempt,
                node=step.node,
                draft=stored.draft,
            )


def _tell_the_end(tx: Transaction, step: Step, follows: ReviewRequest | None) -> None:
    """In every thread, where it is news: people who have approved something want to know what came of it."""
    end = step.events[-1] if step.events else None
    if follows is not None and follows.outcome is Outcome.APPROVED and _is_result(end, follows.content):
        return
    if not isinstance(end, TaskCompleted | TaskFailed) or not (
        # where it was handed in its end is told in any case
        places := [place for place in shown_in(tx, step.task) if place != step.tell]
    ):
        return
    if isinstance(end, TaskFailed) or (
        # What was approved is on its card, and that nothing was, too.
        end.final_result is not None and end.final_result != reviews.last_approved(tx, step.task)
    ):
        say(tx, step.task, step.seq + len(step.events), places)


def _is_result(end: Event | None, content: Json) -> bool:
    return isinstance(end, TaskCompleted) and end.final_result == content


def cancel(tx: Transaction, task_id: str, person: PersonId, *, admin_name: str | None) -> Task:
    """Raises `NotFound`, `Forbidden` or `TaskIsClosed`."""
    tx.lock(LOCK, id=task_id)
    row = row_of(tx, task_id)
    is_anothers = person not in (row[11], LOCAL)
    if is_anothers and admin_name is None:
        raise Forbidden("Only the person who submitted a task may cancel it, or an administrator.")
    end(tx, row, TaskCancelled(by=person, by_name=admin_name if is_anothers else None))
    return one(tx, task_id)


def fail(
    tx: Transaction, task_id: str, error: str, *, version: int | None = None, is_on_cards: bool = False
) -> None:
    """End a task that cannot be run; one that has ended already stays as it is. As `end`.

    Raises `StaleRun` where it is at another `version` than that at which it could not be run.
    """
    tx.lock(LOCK, id=task_id)
    row = row_of(tx, task_id)
    if Status(row[3]).is_final:
        return
    if version is not None and row[VERSION] != version:
        raise StaleRun(f"The task was moved on from version {version} by something else.")
    end(tx, row, TaskFailed(error=error), is_on_cards=is_on_cards)


def end(tx: Transaction, row: Row, event: Event, *, is_on_cards: bool = False) -> None:
    """End a task from outside its flow, with its open review, if there is one.

    Threads are told, unless the cards of that review say it, or those of one that was closed by the same
    (`is_on_cards`).
    """
    of = task_of(row)
    status = after(of.status, event)
    changed = tx.run(
        END,
        id=of.id,
        version=row[VERSION],
        status=status.value,
        attempt=of.attempt,
        now=micros(tx.now),
        new_seq=row[SEQ] + 1,
        node=row[NODE],
        begun=0,
        starts=row[STARTS],
        tries=row[TRIES],
        due_at=None,
        point=row[POINT],
        final_result=None,
        error=event.error if isinstance(event, TaskFailed) else None,
    )
    if not changed:
        raise StaleRun("The task was moved on at the same moment.")
    tx.attempts.append(of.attempt)
    opening.close_undecided(tx, of)  # before: it drops what is still to be said, and the end is to be told
    append(tx, of.id, row[SEQ], [event], of.callback_url, of.tell)
    if of.review is None and not is_on_cards:
        say(tx, of.id, row[SEQ] + 1, [place for place in shown_in(tx, of.id) if place != of.tell])
