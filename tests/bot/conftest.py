"""Samples: reviews, cards and people as the chats see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bot.buttons import Buttons
from bot.cards import Card, card
from core.model import (
    Claim,
    Decision,
    Earlier,
    Outcome,
    PersonId,
    Policy,
    ReviewId,
    ReviewRequest,
    Status,
    Task,
    TaskId,
    Timer,
    TimerKind,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 5, 14, 2, tzinfo=UTC)
KEY = bytes(range(32))

TASK = Task(
    id=TaskId("7" * 32),
    flow="draft",
    title="Refund for order 1042",
    status=Status.WAITING_FOR_REVIEW,
    outcome=None,
    attempt=1,
    review=ReviewId("a" * 32),
    input="please refund",
    draft="We refund 30 EUR.",
    final_result=None,
    error=None,
    submitter=PersonId("cid"),
    submitter_name="Cid Moss",
    on_behalf_of=None,
    callback_url=None,
    metadata={},
    created_at=NOW,
    updated_at=NOW,
)
REVIEW = ReviewRequest(
    id=ReviewId("a" * 32),
    task=TASK,
    attempt=1,
    node="review",
    policy=Policy(name="default", reviewers=(PersonId("ana"), PersonId("ben"))),
    draft="We refund 30 EUR.",
    outcome=Outcome.OPEN,
    opened_at=NOW,
    closed_at=None,
    superseded_by=None,
    decisions=(),
)


@pytest.fixture(scope="session")
def buttons() -> Buttons:
    return Buttons(KEY)


@pytest.fixture(scope="session")
def a_review() -> Callable[..., ReviewRequest]:
    """An open review, but for what is said otherwise; `task` takes the task's own changes."""

    def build(*, task: dict[str, Any] | None = None, **changes: Any) -> ReviewRequest:
        return replace(REVIEW, task=replace(TASK, **(task or {})), **changes)

    return build


@pytest.fixture(scope="session")
def a_decision() -> Callable[..., Decision]:
    def build(verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Decision:
        decision = Decision(
            reviewer=PersonId("ana"),
            reviewer_name="Ana Ruiz",
            verdict=verdict,
            comment=None,
            via="web",
            at=NOW,
        )
        return replace(decision, **changes)

    return build


CALL = Timer(review=ReviewId("r"), kind=TimerKind.REMINDER, number=1, due_at=NOW)


def full(
    a_decision: Callable[..., Decision],
    title: str,
    name: str,
    draft: str,
    earlier: str | None,
    comment: str,
    decided: int,
    outcome: Outcome = Outcome.OPEN,
) -> dict[str, Any]:
    """A review with something in every place of its card, each as somebody else may have chosen it.

    One that is approved is so with an edit.
    """
    closed = outcome is Outcome.APPROVED
    said = a_decision(
        Verdict.REJECT, reviewer_name=name, comment=comment, person=PersonId("cy"), person_name=name
    )
    edit = replace(said, verdict=Verdict.EDIT, content=f"{draft}\nand this")
    names = {"title": title, "submitter_name": name, "on_behalf_of": name}
    return {
        "draft": draft,
        "node": name,
        "previous": said,
        "before_previous": (said,) * decided,
        "earlier": None if earlier is None else Earlier(attempt=1, draft=earlier),
        "decisions": (*(said,) * decided, *((edit,) if closed else ())),
        "outcome": outcome,
        "closed_at": NOW if closed else None,
        "superseded_by": 7 if closed else None,
        "claims": (Claim(person=PersonId("ana"), name=name, until=NOW),) * 3,
        "expires_at": NOW,
        "next_call": None if closed else CALL,
        "cancelled_by": name,
        "task": names | ({"error": comment, "status": Status.FAILED} if closed else {}),
    }


@pytest.fixture(scope="session")
def a_card(a_review: Callable[..., ReviewRequest], buttons: Buttons) -> Callable[..., Card]:
    """The card of `a_review`."""

    def build(**changes: Any) -> Card:
        return card(a_review(**changes), public_url="https://sign.example.com", buttons=buttons)

    return build
