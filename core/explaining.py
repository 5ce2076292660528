"""Where a review stands and why, in values and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core import amendments, counting
from core.errors import Forbidden, NotYourTurn
from core.listing import listed
from core.model import LOCAL, OnExpiry, TimerKind, Verdict
from core.store.policies import policy_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from core.errors import CountersignError
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
CALLED = 6
"""More people than these are not called by a card: who calls everybody calls nobody."""
NAMED = 5
"""Names in one sentence."""
REJECTABLE = "They can still reject it."


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
    """Of the policy under which the review opened."""
    stage: int
    """The one that is being decided, from 1; the last one once all are met."""
    stages: int
    decided: tuple[Decision, ...]
    counted: tuple[Decision, ...]
    """Those of them that count: not what was said by people who are no reviewers any more, where the policy
    drops it."""
    missing: tuple[Missing, ...]
    rejections: int
    """How many more rejections would reject it; 0 once it is closed."""
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
    stuck: str | None
    """Why nothing can approve it any more; None where something can."""
    claims: tuple[Claim, ...]
    """Who is looking, and until when that is shown."""
    snoozed: tuple[Snooze, ...]
    """Who is reminded later than everybody."""
    policies: Mapping[str, Policy]
    """Those in force."""

    @property
    def can_be_met(self) -> bool:
        return self.stuck is None

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
        """As a card says it, with the stage, whether it has escalated, and whether it is stuck."""
        if not self.review.is_open:
            return ""
        parts = (
            "escalated" if self.review.is_escalated else "",
            f"stage {self.stage} of {self.stages}" if self.stages > 1 else "",
            standing(self.review, self.policies),
            _how_stuck(self.review, self.policies) if self.stuck else "",
        )
        return " · ".join(filter(None, parts))

    @property
    def remedy(self) -> str | None:
        """What helps where nothing can approve it, as its card says it."""
        return _remedy(self.review, self.policies) if self.stuck else None


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
    now = counting.as_it_counts(review, policies)
    waited_for = counting.waited_for(now, policies) if review.is_open else []
    stage = counting.stage_now(now.policy, now.decisions)
    rejected = sum(1 for decision in now.decisions if decision.verdict is Verdict.REJECT)
    is_stuck = review.is_open and not here and counting.is_stuck(review, policies)
    return Explanation(
        review=review,
        policy_hash=hash_of(review),
        stage=len(review.policy.in_stages) if stage is None else stage + 1,
        stages=len(review.policy.in_stages),
        decided=review.decisions,
        counted=now.decisions,
        missing=tuple(
            Missing(
                quorum=quorum.name,
                approvals=lacks,
                people=(
                    *(people[who] for who in waited_for if who in quorum.people and who in people),
                    *here,
                ),
            )
            for quorum, lacks in (counting.shortfall_now(now, policies) if review.is_open else ())
            if lacks
        ),
        rejections=max(0, review.policy.rejections - rejected) if review.is_open else 0,
        expires_at=review.expires_at,
        then=_then(review),
        timers=tuple(timers),
        away=tuple(of for of in away if of.person in waited_for),
        seat=None if seat is None else known.get(seat),
        mine=None if asking is None else answer_of(review, asking.id),
        refusal=refusal,
        stuck=why_stuck(review, policies) if is_stuck else None,
        claims=review.claims,
        snoozed=review.snoozes,
        policies=policies,
    )


def hash_of(review: ReviewRequest) -> str:
    """Of the policy under which the review opened, also once it has escalated."""
    return policy_hash(review.kept or review.policy)


def answer_of(review: ReviewRequest, person: PersonId) -> Decision | None:
    """What somebody has answered, for themselves or for another, or a delegate in their place."""
    return next((made for made in review.decisions if person in {made.reviewer, made.seat}), None)


def standing(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> str:
    """One line for a card: what is missing, until when, what happens then. Empty where that is nothing new.

    `policies` are those in force, by which what somebody said may count no more.

    `1 of 3 approvals · waits for legal and ops · until 2026-11-21 18:00 UTC, then rejected`
    """
    if not review.is_open:
        return ""
    counted = counting.as_it_counts(review, policies)
    return " · ".join(part for part in (_count(counted), _waits(counted), _until(counted)) if part)


def as_shown(review: ReviewRequest, policies: Mapping[str, Policy]) -> ReviewRequest:
    """The review as a card or a thread shows it: as it counts today, and whether it is stuck.

    In open mode it never is: whoever sits at the machine stands in no policy.
    """
    now = counting.as_it_counts(review, policies)
    if not review.is_open or review.task.submitter == LOCAL or not counting.is_stuck(review, policies):
        return now
    return replace(now, stuck=_how_stuck(review, policies), remedy=_remedy(review, policies))


def _how_stuck(review: ReviewRequest, policies: Mapping[str, Policy]) -> str:
    """In a few words."""
    if counting.can_be_rejected(review, policies):
        return "can only be rejected, as too few are left who may approve"
    if counting.waited_for(review, policies):
        return "stuck, as too few are left who may decide"
    return "nobody can decide on it now"


def _remedy(review: ReviewRequest, policies: Mapping[str, Policy]) -> str:
    """What helps then. An open review gains nobody by a policy that names more people: only a task that is
    resumed comes under it."""
    if amendments.is_gone(review, policies):
        return "put the policy back, have an administrator resume the task, or cancel it"
    rejected = any(made.verdict is Verdict.REJECT for made in review.decisions)
    escalates = "" if review.policy.escalation else " or an escalation"
    ways = (
        "take back a rejection, " if rejected else "",
        "bring back who was struck, " if amendments.has_struck(review, policies) else "",
        f"have an administrator resume the task under a policy with more people{escalates}, or cancel it",
    )
    return "".join(ways)


def why_stuck(review: ReviewRequest, policies: Mapping[str, Policy]) -> str:
    """A sentence on a review that those who may still decide cannot meet, or two."""
    if amendments.is_gone(review, policies):
        return amendments.gone(review.policy)
    why = _why_too_few(review, policies)
    return f"{why} {REJECTABLE}" if counting.can_be_rejected(review, policies) else why


def _why_too_few(review: ReviewRequest, policies: Mapping[str, Policy]) -> str:
    makers = counting.makers(review)
    if makers and not counting.is_stuck(
        replace(review, policy=replace(review.policy, distinct_from=())), policies
    ):
        made = "submitted this task" if review.task.submitter in makers else "wrote this draft"
        names = " and ".join(makers.values())
        return (
            f"{names} {made} and may not decide on it, and the others are too few for what the policy asks."
        )
    return "Those who may still decide are too few for what the policy asks."


def with_others(
    refusal: CountersignError,
    review: ReviewRequest,
    people: Mapping[PersonId, Person],
    policies: Mapping[str, Policy],
) -> CountersignError:
    """The same refusal; where it is the person's, not the moment's, with the names of who can decide."""
    if isinstance(refusal, (Forbidden, NotYourTurn)):
        return type(refusal)(f"{refusal}{_instead(review, people, policies)}")
    return refusal


def _instead(review: ReviewRequest, people: Mapping[PersonId, Person], policies: Mapping[str, Policy]) -> str:
    """Who may decide, for whom may not."""
    if not review.is_open:
        return ""
    names = [people[who].name for who in counting.waited_for(review, policies) if who in people]
    if not names:
        return " Nobody can decide on it now."
    if len(names) > NAMED:
        return f" {', '.join(names[:NAMED])} and {len(names) - NAMED} more can decide."
    return f" {listed(names)} can decide."


def called(
    review: ReviewRequest,
    delegates: Mapping[PersonId, PersonId | None],
    policies: Mapping[str, Policy] | None = None,
) -> list[PersonId]:
    """Whom a card calls when it is posted: who is waited for, or decides in their place while they are away.
    Nobody where they are more than `CALLED`, or were struck from the `policies` in force."""
    asked = counting.asked(review, delegates, policies) if review.is_open else ()
    return _few(dict.fromkeys(who for _, who in asked))


def named(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> list[PersonId]:
    """Whom it names when it changes: who is waited for, be they away or not, for nothing happens to it when
    they go or come back. Nobody where they are more than `CALLED`, or were struck."""
    return _few(counting.waited_for(review, policies) if review.is_open else ())


def _few(people: Collection[PersonId]) -> list[PersonId]:
    return list(people) if len(people) <= CALLED else []


def progress(review: ReviewRequest) -> str:
    """As `standing`, for whoever has approved just now: `1 of 3 approvals · waits for legal and ops`."""
    return " · ".join(part for part in (_count(review), _waits(review)) if part)


def upcoming(review: ReviewRequest) -> str:
    """What next calls people to a review, for its card: `next reminder 2026-11-21 12:00 UTC`. Empty where
    nothing does."""
    call = review.next_call
    return f"{_CALLS[call.kind]} {call.due_at:%Y-%m-%d %H:%M} UTC" if call is not None else ""


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
    return f"{listed(shown)} are looking" if shown else ""


def _count(review: ReviewRequest) -> str:
    if review.policy.approvals == 1:
        return ""
    return f"{counting.approvals_given(review)} of {review.policy.approvals} approvals"


def _waits(review: ReviewRequest) -> str:
    """Only where there are groups to tell apart."""
    if not review.policy.stages:
        return ""
    missing = [quorum.name for quorum, lacks in counting.shortfall_now(review) if lacks]
    return f"waits for {' and '.join(missing)}" if missing else ""


def _until(review: ReviewRequest) -> str:
    if review.expires_at is None:
        return ""
    return f"until {review.expires_at:%Y-%m-%d %H:%M} UTC, {_THEN[_then(review)]}"


def _then(review: ReviewRequest) -> OnExpiry:
    """What follows from the deadline; what has escalated by then does so no more."""
    policy = review.policy
    has_escalated = review.is_escalated or _escalates_before(policy)
    return OnExpiry.REJECT if policy.on_expiry is OnExpiry.ESCALATE and has_escalated else policy.on_expiry


def _escalates_before(policy: Policy) -> bool:
    """Whether it will have escalated at the deadline; working hours may come only after it."""
    return policy.escalation is not None and policy.escalation.after is not None and not policy.hours


_CALLS = {
    TimerKind.REMINDER: "next reminder",
    TimerKind.SNOOZE: "next reminder",
    TimerKind.ESCALATION: "escalation",
}
_THEN = {
    OnExpiry.REJECT: "then rejected",
    OnExpiry.APPROVE: "then approved",
    OnExpiry.ESCALATE: "then escalated",
    OnExpiry.FAIL: "then the task fails",
}
