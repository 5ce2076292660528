"""Reviews, decisions and policies to judge by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.model import (
    Decision,
    Outcome,
    PersonId,
    Policy,
    Quorum,
    ReviewId,
    ReviewRequest,
    Status,
    Task,
    TaskId,
    Verdict,
)
from tests.world import ANA, BEN, SAM, START

ONE = Policy(name="one", reviewers=(ANA.id, BEN.id, SAM.id))


def by(person: PersonId, verdict: Verdict = Verdict.APPROVE) -> Decision:
    return Decision(
        reviewer=person, reviewer_name=person.title(), verdict=verdict, comment=None, via="web", at=START
    )


def review(
    policy: Policy = ONE,
    *decisions: Decision,
    closed: Outcome | None = None,
    superseded: int | None = None,
    status: Status = Status.WAITING_FOR_REVIEW,
) -> ReviewRequest:
    task = Task(
        id=TaskId("t"),
        flow="draft",
        title="t",
        status=status,
        outcome=None,
        attempt=1,
        review=None,
        input="x",
        draft="d",
        final_result=None,
        error=None,
        submitter=SAM.id,
        submitter_name="Sam",
        on_behalf_of="ana",
        callback_url=None,
        metadata={},
        created_at=START,
        updated_at=START,
    )
    return ReviewRequest(
        id=ReviewId("r"),
        task=task,
        attempt=1,
        node="review",
        policy=policy,
        draft="d",
        outcome=closed or Outcome.OPEN,
        opened_at=START,
        closed_at=START + timedelta(seconds=5) if closed else None,
        superseded_by=superseded,
        decisions=decisions,
    )


def quorum(name: str, approvals: int, *people: PersonId) -> Quorum:
    return Quorum(name=name, people=people, approvals=approvals)


def staged(*stages: tuple[Quorum, ...], **more: object) -> Policy:
    everybody = dict.fromkeys(person for stage in stages for one in stage for person in one.people)
    asked = sum(one.approvals for stage in stages for one in stage)
    policy = Policy(name="staged", reviewers=tuple(everybody), approvals=asked, stages=stages)
    return replace(policy, **more)  # type: ignore[arg-type]  # the values are of many types
