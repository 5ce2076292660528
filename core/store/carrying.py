"""Approvals that count in the next attempt, too, where the policy says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, literal_column, select

from core import counting
from core.events import DecisionsCarried, ReviewRequested
from core.model import LOCAL, Outcome, Point, Verdict, timestamp
from core.store.policies import policy_of
from core.store.rows import DECISION_COLUMNS, decision_of
from core.store.statements import Statement, p
from core.store.tables import decision, review

if TYPE_CHECKING:
    from core.model import Decision, Json, NewReview, Policy, Step
    from core.store.transaction import Row, Transaction

COLUMNS = ("number", *DECISION_COLUMNS)
LAST_AT_NODE = Statement(
    select(review.c.id, review.c.policy, review.c.outcome)
    .where(
        review.c.task_id == p("task"),
        review.c.node == p("node"),
        review.c.point == p("point"),
        review.c.attempt < p("attempt"),
        review.c.undone == literal_column("0"),
        review.c.closed_at.is_not(None),
        review.c.outcome != literal_column("'cancelled'"),
    )
    .order_by(review.c.event_seq.desc())
    .limit(literal_column("1"))
)
NUMBERED = Statement(
    select(*(decision.c[name] for name in COLUMNS))
    .where(decision.c.review_id == p("review"))
    .order_by(decision.c.number)
)
INSERT = Statement(insert(decision), ("review_id", *COLUMNS))


def carried(tx: Transaction, step: Step) -> list[Row]:
    """The approvals that the review which `step` opens begins with; never enough to close it.

    None where the text is an edit: nobody has approved that but its author.
    """
    new, asked = step.review, step.events[-1] if step.events else None
    if new is None or not isinstance(asked, ReviewRequested) or not new.policy.carries or step.attempt == 1:
        return []
    # What a node asks itself may be another question each time.
    if new.point is Point.INSIDE or step.node is None:
        return []
    last = tx.one(LAST_AT_NODE, task=step.task, node=step.node, point=new.point.value, attempt=step.attempt)
    if last is None or policy_of(last[1]).name != new.policy.name or last[2] == Outcome.EDITED:
        return []
    rows = [row for row in tx.all(NUMBERED, review=last[0]) if _counts(new.policy, decision_of(row[1:]))]
    while rows and counting.stage_now(new.policy, [decision_of(row[1:]) for row in rows]) is None:
        rows.pop()
    return rows


def _counts(policy: Policy, made: Decision) -> bool:
    if made.verdict is not Verdict.APPROVE or made.stage >= len(policy.in_stages):
        return False
    return made.seat == LOCAL or any(made.seat in quorum.people for quorum in policy.in_stages[made.stage])


def told(step: Step, rows: list[Row]) -> Step:
    """The step, which says so in the history."""
    if not rows or step.review is None:
        return step
    decisions = [decision_of(row[1:]) for row in rows]
    said = DecisionsCarried(
        review=step.review.id,
        reviewers=[made.person_name or made.reviewer_name for made in decisions],
        decisions=[_said(made) for made in decisions],
    )
    return replace(step, events=(*step.events, said))


def _said(made: Decision) -> dict[str, Json]:
    return {
        "reviewer": made.reviewer,
        "reviewer_name": made.reviewer_name,
        "verdict": made.verdict.value,
        "comment": made.comment,
        "via": made.via,
        "person": made.person,
        "person_name": made.person_name,
        "at": timestamp(made.at),
    }


def carry(tx: Transaction, new: NewReview, rows: list[Row]) -> None:
    """Their numbers are lower than any that will be given on the new review."""
    tx.insert_many(INSERT, [{"review_id": new.id, **dict(zip(COLUMNS, row, strict=True))} for row in rows])
