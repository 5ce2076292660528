"""Where a review stands and why, in values and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import policy as rules
from core.model import LOCAL, OnExpiry, Verdict
from core.store.policies import policy_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from core.model import (
        Claim,
        Decision,
        Delegation,
        Person,
        PersonId,
        Policy,
        ReviewRequest,
        Snooze,
        Timer,
    )

LOOKING = 3
"""More people than these who are looking are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What one quorum of the stage that is being decided lacks, and who could give it."""

    quorum: str
    approvals: int
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One review, explained to one person or to anybody."""

    review: ReviewRequest
    policy_hash: str
    """Of the policy that the review keeps, as `countersign policy check` names it."""
    stage: int
    """The one that is being decided, from 1; the last one once all are met."""
    stages: int
    decided: tuple[Decision, ...]
    missing: tuple[Missing, ...]
    rejections: int
    """How many more rejections would reject it."""
    expires_at: datetime | None
    then: OnExpiry
    timers: tuple[Timer, ...]
    away: tuple[Delegation, ...]
    """Of those who are waited for."""
    seat: Person | None
    """Whose answer it would be, if the person who asks decided now: a delegator's, or their own."""
    mine: Decision | None
    """What the person who asks has answered, or a delegate in their place; they may take it back."""
    refusal: str | None
    """Why the person who asks may not decide; None where they may, or nobody in particular asks."""
    can_be_met: bool
    claims: tuple[Claim, ...]
    """Who is looking, and until when that is shown."""
    snoozed: tuple[Snooze, ...]
    """Who is reminded later than everybody."""

    @property
    def may_decide(self) -> bool:
        """Whether the person who asks may decide now."""
        return self.review.is_open and self.refusal is None

    @property
    def after_that(self) -> str:
        """What happens at `expires_at`: `then rejected`."""
        return _THEN[_then(self.review)]

    @property
    def sentence(self) -> str:
        return standing(self.review)


def explain(
    review: ReviewRequest,
    people: Mapping[PersonId, Person],
    policies: Mapping[str, Policy],
    *,
    timers: Sequence[Timer],
    away: Sequence[Delegation],
    asking: Person | None = None,
    seat: PersonId | None = None,
    refusal: str | None = None,
) -> Explanation:
    # In open mode whoever sits at the machine can decide, and stands in no policy.
    here = (asking,) if asking is not None and asking.id == LOCAL and refusal is None else ()
    known = {**people, **{person.id: person for person in here}}
    now = rules.as_it_counts(review, policies)
    waited_for = rules.waited_for(now, policies) if review.is_open else []
    stage = rules.stage_now(now.policy, now.decisions)
    rejected = sum(1 for decision in now.decisions if decision.verdict is Verdict.REJECT)
    return Explanation(
        review=review,
        policy_hash=policy_hash(review.policy),
        stage=len(review.policy.in_stages) if stage is None else stage + 1,
        stages=len(review.policy.in_stages),
        decided=review.decisions,
        missing=tuple(
            Missing(
                quorum=quorum.name,
                approvals=lacks,
                people=(
                    *(people[who] for who in waited_for if who in quorum.people and who in people),
                    *here,
                ),
            )
            for quorum, lacks in (rules.shortfall_now(now, policies) if review.is_open else ())
            if lacks
        ),
        rejections=max(0, review.policy.rejections - rejected),
        expires_at=review.expires_at,
        then=_then(review),
        timers=tuple(timers),
        away=tuple(of for of in away if of.person in waited_for),
        seat=None if seat is None else known.get(seat),
        mine=None if asking is None else answer_of(review, asking.id),
        refusal=refusal,
        can_be_met=not review.is_open or bool(here) or not rules.is_stuck(review, policies),
        claims=review.claims,
        snoozed=review.snoozes,
    )


def answer_of(review: ReviewRequest, person: PersonId) -> Decision | None:
    """What somebody has answered, for themselves or for another, or a delegate in their place."""
    return next((made for made in review.decisions if person in {made.reviewer, made.seat}), None)


def standing(review: ReviewRequest) -> str:
    """One line for a card: what is missing, until when, what happens then. Empty where that is nothing new.

    `1 of 3 approvals · waits for legal and ops · until 2026-11-21 18:00 UTC, then rejected`
    """
    if not review.is_open:
        return ""
    return " · ".join(part for part in (_count(review), _waits(review), _until(review)) if part)


def progress(review: ReviewRequest) -> str:
    """The same, for whoever has approved just now: `1 of 3 approvals · waits for legal and ops`."""
    return " · ".join(part for part in (_count(review), _waits(review)) if part)


def looking(review: ReviewRequest) -> str:
    """Who is looking, for a card: `Ana Ruiz is looking, until 15:20 UTC`. Empty where nobody is.

    No claim lasts longer than a day, so the time will do.
    """
    claims = review.claims
    if len(claims) == 1:
        return f"{claims[0].name} is looking, until {claims[0].until:%H:%M} UTC"
    shown = [f"{one.name} (until {one.until:%H:%M} UTC)" for one in claims[:LOOKING]]
    if len(claims) > LOOKING:
        shown.append(f"{len(claims) - LOOKING} more")
    return f"{', '.join(shown[:-1])} and {shown[-1]} are looking" if shown else ""


def _count(review: ReviewRequest) -> str:
    if review.policy.approvals == 1:
        return ""
    return f"{rules.approvals_given(review)} of {review.policy.approvals} approvals"


def _waits(review: ReviewRequest) -> str:
    """Only where there are groups to tell apart."""
    if not review.policy.stages:
        return ""
    missing = [quorum.name for quorum, lacks in rules.shortfall_now(review) if lacks]
    return f"waits for {' and '.join(missing)}" if missing else ""


def _until(review: ReviewRequest) -> str:
    if review.expires_at is None:
        return ""
    return f"until {review.expires_at:%Y-%m-%d %H:%M} UTC, {_THEN[_then(review)]}"


def _then(review: ReviewRequest) -> OnExpiry:
    """What follows from the deadline; what has escalated does so no more."""
    escalates = review.policy.on_expiry is OnExpiry.ESCALATE
    return OnExpiry.REJECT if escalates and review.is_escalated else review.policy.on_expiry


_THEN = {
    OnExpiry.REJECT: "then rejected",
    OnExpiry.APPROVE: "then approved",
    OnExpiry.ESCALATE: "then escalated",
    OnExpiry.FAIL: "then the task fails",
}
