"""What reviewers ask the submitter of an open review, and what they are told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, literal_column, select, update

from core import policy as rules
from core.errors import Invalid, KeyReused, NotFound
from core.events import QuestionAnswered, QuestionAsked
from core.model import Question, Reply
from core.store import delegations, deliveries
from core.store.firing import tell
from core.store.holding import held, locked
from core.store.reviews import SEQ
from core.store.rows import QUESTION_COLUMNS, micros, question_of
from core.store.statements import Statement, p
from core.store.tables import delivery, question, review, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import NewQuestion, OpenReview, Person, Policy, ReviewRequest
    from core.store.transaction import Row, Transaction

MOST = 100
"""Questions about one review: a conversation of more is had better elsewhere."""

_columns = [question.c[name] for name in QUESTION_COLUMNS]
INSERT = Statement(
    insert(question),
    ("id", "task_id", "review_id", "event_seq", "text", "person", "person_name", "via", "at"),
)
ONE = Statement(select(*_columns).where(question.c.id == p("id")))
OF_TASK = Statement(select(*_columns).where(question.c.task_id == p("task")).order_by(question.c.event_seq))
AT_MESSAGE = Statement(
    select(*_columns)
    .join(
        delivery, (delivery.c.task_id == question.c.task_id) & (delivery.c.event_seq == question.c.event_seq)
    )
    .where(
        delivery.c.channel == p("channel"),
        delivery.c.message == p("message"),
        delivery.c.review_id.is_(None),
    )
    .limit(literal_column("1"))
)
UNANSWERED = Statement(
    select(*_columns)
    .join(task, task.c.id == question.c.task_id)
    .where(
        question.c.reply.is_(None),
        task.c.submitter == p("submitter"),
        # Only of the review that is open: what was asked of a closed one needs no answer any more.
        task.c.review_id == question.c.review_id,
    )
    .order_by(question.c.at, question.c.id)
    .limit(p("limit"))
)
COUNTED = Statement(
    update(review).where(review.c.id == p("id")).values(questions=review.c.questions + literal_column("1"))
)
# The first answer stands; the lock of the task keeps two of them apart.
ANSWER = Statement(
    update(question)
    .where(question.c.id == p("id"), question.c.reply.is_(None))
    .values(
        reply=p("reply"),
        reply_person=p("reply_person"),
        reply_person_name=p("reply_person_name"),
        reply_via=p("reply_via"),
        reply_at=p("now"),
    )
)


def ask(
    tx: Transaction, which: str | OpenReview, new: NewQuestion, *, policies: Mapping[str, Policy]
) -> Question:
    """Store a question and tell it in the review's threads; one that is known by its id is not asked again.

    Raises `NotAReviewer`, `SelfReview`, `ReviewIsClosed`, `Invalid`, `KeyReused`, and as `held`.
    """
    known = _repeated(tx, new)
    if known is not None:
        return known
    return _asked(tx, *held(tx, which, new.person.id, policies), new, policies)


def answer(
    tx: Transaction, question_id: str, person: Person, text: str, *, via: str, is_admin: bool
) -> Question:
    """Store the submitter's answer and tell it in the threads; the same answer again changes nothing.

    Raises `NotFound`, `NotTheSubmitter`, `ReviewIsClosed`, `AlreadyAnswered`.
    """
    asked = one(tx, question_id)
    row, request = locked(tx, asked.review)
    asked = one(tx, question_id)  # as it stands behind the lock
    if asked.reply is not None and (asked.reply.person, asked.reply.text) == (person.id, text):
        return asked
    rules.check_may_answer(asked, request, person.id, is_admin=is_admin)
    reply = Reply(text=text, person=person.id, name=person.name, via=via, at=tx.now)
    tx.run(
        ANSWER,
        id=asked.id,
        reply=text,
        reply_person=person.id,
        reply_person_name=person.name,
        reply_via=via,
        now=micros(tx.now),
    )
    told = QuestionAnswered(
        review=request.id,
        attempt=request.attempt,
        question=asked.id,
        text=text,
        person=person.id,
        person_name=person.name,
        asked_by=asked.person,
        asked_by_name=asked.name,
        via=via,
    )
    deliveries.raise_question(tx, request.task.id, asked.id, request.policy)
    tell(tx, row, request, told)
    return replace(asked, reply=reply)


def one(tx: Transaction, question_id: str) -> Question:
    """Raises `NotFound`."""
    row = tx.one(ONE, id=question_id)
    if row is None:
        raise NotFound("There is no such question.")
    return question_of(row)


def at_message(tx: Transaction, channel: str, message: str) -> Question | None:
    """What a notice of ours asks; None for every other message."""
    row = tx.one(AT_MESSAGE, channel=channel, message=message)
    return None if row is None else question_of(row)


def of_task(tx: Transaction, task_id: str) -> list[Question]:
    """All that were asked about a task's reviews, oldest first."""
    return [question_of(row) for row in tx.all(OF_TASK, task=task_id)]


def unanswered(tx: Transaction, submitter: str, limit: int) -> list[Question]:
    """What waits for this submitter's answer, oldest first."""
    return [question_of(row) for row in tx.all(UNANSWERED, submitter=submitter, limit=limit)]


def _repeated(tx: Transaction, new: NewQuestion) -> Question | None:
    """The question, where it was asked before by a request with the same key."""
    row = tx.one(ONE, id=new.id)
    if row is None:
        return None
    known = question_of(row)
    if (known.person, known.text) != (new.person.id, new.text):
        raise KeyReused("This idempotency key was used for another question.")
    return known


def _asked(
    tx: Transaction, row: Row, request: ReviewRequest, new: NewQuestion, policies: Mapping[str, Policy]
) -> Question:
    person = new.person
    rules.check_may_ask(request, person.id, policies, delegations.delegators(tx, request.policy, person.id))
    rules.check_in_time(request, tx.now)
    if request.questions >= MOST:
        raise Invalid(f"{MOST} questions were asked about this review; no more can be.")
    asked = Question(
        id=new.id,
        task=request.task.id,
        review=request.id,
        text=new.text,
        person=person.id,
        name=person.name,
        via=new.via,
        at=tx.now,
    )
    tx.insert(
        INSERT,
        id=asked.id,
        task_id=asked.task,
        review_id=asked.review,
        event_seq=row[SEQ] + 1,
        text=asked.text,
        person=asked.person,
        person_name=asked.name,
        via=asked.via,
        at=micros(asked.at),
    )
    tx.send(COUNTED, id=request.id)
    told = QuestionAsked(
        review=request.id,
        attempt=request.attempt,
        question=asked.id,
        text=asked.text,
        person=asked.person,
        person_name=asked.name,
        submitter=request.task.submitter,
        submitter_name=request.task.submitter_name,
        via=asked.via,
    )
    tell(tx, row, replace(request, questions=request.questions + 1), told)
    return asked
