"""What decisions add up to, and whose are still missing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from core.amendments import in_force, is_narrowed, narrowed, today
from core.model import LOCAL, Outcome, Party, Verdict
from core.seating import Seating

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from core.model import Decision, PersonId, Policy, Quorum, ReviewRequest


def outcome(policy: Policy, decisions: Sequence[Decision]) -> Outcome:
    """What the decisions add up to: so many rejections reject, the quorums of every stage approve.

    An edit is its author's approval of their own text: enough where that is all that is asked for, else the
    text has to be put before everybody anew.
    """
    rejecting = {decision.seat for decision in decisions if decision.verdict is Verdict.REJECT}
    if len(rejecting) >= policy.rejections:
        return Outcome.REJECTED
    if any(decision.verdict is Verdict.EDIT for decision in decisions):
        alone = policy.approvals == 1 and Party.EDITOR not in policy.distinct_from
        return Outcome.APPROVED if alone else Outcome.EDITED
    return Outcome.APPROVED if stage_now(policy, decisions) is None else Outcome.OPEN


def stage_now(policy: Policy, decisions: Iterable[Decision]) -> int | None:
    """The first stage, from 0, whose quorums are not met; None once all are."""
    made = tuple(decisions)
    if not made:
        return 0  # each quorum asks for somebody
    for number, stage in enumerate(policy.in_stages):
        if any(missing for _, missing in shortfall(stage, approvers(made, number))):
            return number
    return None


def stage_for(policy: Policy, decisions: Sequence[Decision], seat: PersonId, before: Decision | None) -> int:
    """In which stage an answer counts that is given now; one in place of another may stay where that was."""
    if not policy.stages:
        return 0
    now = stage_now(policy, decisions)
    if now is not None and (before is None or sits_in(policy.in_stages[now], seat)):
        return now
    return 0 if before is None else before.stage


def sits_in(stage: Iterable[Quorum], seat: PersonId) -> bool:
    return any(seat in quorum.people for quorum in stage)


def approvers(decisions: Iterable[Decision], stage: int) -> list[PersonId]:
    """Who approved in a stage, in order, each once, whatever chat they sat in."""
    return list(
        dict.fromkeys(
            decision.seat
            for decision in decisions
            if decision.verdict is Verdict.APPROVE and decision.stage == stage
        )
    )


def decision_of(review: ReviewRequest, seat: PersonId) -> Decision | None:
    """What stands as this person's answer, by whomever it was given."""
    return next((decision for decision in review.decisions if decision.seat == seat), None)


def as_it_counts(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> ReviewRequest:
    """The open review as it counts today: its quorums without those who were struck from them.

    What these have said is dropped, or kept, as the policy says.
    """
    keeps = review.policy.keeps_removed
    if not review.is_open or (not review.policy.stages and (keeps or not review.decisions)):
        return review
    now, made = today(review, policies), review.decisions
    if not keeps and made:
        made = tuple(counted(review.policy, made, in_force(review, policies)))
    if now is None or not is_narrowed(review, now):
        return review if made is review.decisions else replace(review, decisions=made)
    stages = narrowed(review, now, kept={decision.seat for decision in made} if keeps else ())
    return replace(review, decisions=made, policy=replace(review.policy, stages=stages))


def counted(policy: Policy, decisions: Iterable[Decision], known: Collection[PersonId]) -> list[Decision]:
    """The decisions that count, where `known` are the reviewers of today."""
    return [made for made in decisions if policy.keeps_removed or made.seat in known or made.seat == LOCAL]


def comes_to(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> Outcome:
    """What the decisions add up to that count today: not open where a word that did not count does again."""
    now = as_it_counts(review, policies)
    return outcome(now.policy, now.decisions)


def shortfall(
    stage: Sequence[Quorum], approving: Sequence[PersonId], able: Sequence[PersonId] = ()
) -> list[tuple[Quorum, int]]:
    """How many approvals each quorum lacks; somebody who is in two of them counts in one.

    In which, depends on who is `able` to approve besides: they are to find their places.
    """
    if len(stage) == 1:
        (only,) = stage
        there = sum(person in only.people or person == LOCAL for person in approving)
        return [(only, max(0, only.approvals - there))]
    seating, choices = _seated(stage, approving), _choices(stage)
    for person in able:
        if seating.is_full:
            break
        seating.seat(choices.get(person, ()), counts=False)
    return [(quorum, quorum.approvals - seating.counting(n)) for n, quorum in enumerate(stage)]


def shortfall_now(
    review: ReviewRequest, policies: Mapping[str, Policy] | None = None
) -> list[tuple[Quorum, int]]:
    """What the stage that is being decided lacks, quorum by quorum; nothing once all are met."""
    review = as_it_counts(review, policies)
    stage = stage_now(review.policy, review.decisions)
    if stage is None:
        return []
    approving = approvers(review.decisions, stage)
    return shortfall(review.policy.in_stages[stage], approving, _undecided(review, policies))


def approvals_given(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> int:
    """How many of the approvals that the policy asks for are there; more than a quorum needs are no more."""
    review = as_it_counts(review, policies)
    return review.policy.approvals - sum(
        _lacking(stage, approvers(review.decisions, number))
        for number, stage in enumerate(review.policy.in_stages)
    )


def _lacking(stage: Sequence[Quorum], approving: Sequence[PersonId]) -> int:
    return sum(missing for _, missing in shortfall(stage, approving))


def _seated(stage: Sequence[Quorum], approving: Sequence[PersonId]) -> Seating:
    seating, choices = Seating([quorum.approvals for quorum in stage]), _choices(stage)
    for person in approving:
        if seating.is_full:
            break
        seating.seat(tuple(range(len(stage))) if person == LOCAL else choices.get(person, ()))
    return seating


def _choices(quorums: Iterable[Quorum]) -> dict[PersonId, tuple[int, ...]]:
    """In which of these each person sits, by number."""
    found: dict[PersonId, tuple[int, ...]] = {}
    for number, quorum in enumerate(quorums):
        for person in quorum.people:
            found[person] = (*found.get(person, ()), number)
    return found


def makers(review: ReviewRequest) -> dict[PersonId, str]:
    """Reviewers who may not decide as they made what is decided on, with their names."""
    barred = barred_from(review)
    names = {review.task.submitter: review.task.submitter_name}
    if review.previous is not None:
        made = review.previous
        names |= {made.reviewer: made.reviewer_name, made.seat: made.person_name or made.reviewer_name}
    return {person: names[person] for person in review.policy.reviewers if person in barred}


def barred_from(review: ReviewRequest) -> set[PersonId]:
    parties = review.policy.distinct_from
    barred = {review.task.submitter} if Party.SUBMITTER in parties else set()
    previous = review.previous
    if Party.EDITOR in parties and previous is not None and previous.verdict is Verdict.EDIT:
        barred |= {previous.reviewer, previous.seat}
    return barred


def able(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> list[PersonId]:
    """Reviewers who may, by the policy they had and that of today, decide on the review in some stage."""
    now, barred = frozenset(in_force(review, policies)), barred_from(review)
    return [person for person in review.policy.reviewers if person in now and person not in barred]


def waited_for(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> list[PersonId]:
    """Who could bring the review nearer to its end now and has not decided."""
    review = as_it_counts(review, policies)
    number = stage_now(review.policy, review.decisions)
    if number is None:
        return []
    stage, approving = review.policy.in_stages[number], approvers(review.decisions, number)
    open_to, choices = _seated(stage, approving).open_to(), _choices(stage)
    undecided = _undecided(review, policies)
    return [person for person in undecided if not open_to.isdisjoint(choices.get(person, ()))]


def asked(
    review: ReviewRequest,
    delegates: Mapping[PersonId, PersonId | None],
    policies: Mapping[str, Policy] | None = None,
) -> list[tuple[PersonId, PersonId]]:
    """Who is waited for, each with who is asked in their place: their delegate, while they are away.

    Without those in whose place nobody can answer: who is away, too, or a reviewer, who answers in their own.
    """
    found = [(person, delegates.get(person, person)) for person in waited_for(review, policies)]
    return [
        (person, who)
        for person, who in found
        if who is not None
        and (who == person or (who not in delegates and who not in review.policy.reviewers))
    ]


def _undecided(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> list[PersonId]:
    decided = _heard(review.decisions)
    return [person for person in able(review, policies) if person not in decided]


def _heard(decisions: Iterable[Decision]) -> set[PersonId]:
    """Who has answered, or was answered for: they have no other answer to give."""
    return {person for decision in decisions for person in (decision.seat, decision.reviewer)}


def can_be_met(policy: Policy, decisions: Sequence[Decision], able: Collection[PersonId]) -> bool:
    """Whether `able`, those who may still decide, are enough for what is missing in all stages."""
    decided = _heard(decisions)
    stages = policy.in_stages
    quorums = [quorum for stage in stages for quorum in stage]
    choices = _choices(quorums)
    seating = Seating([quorum.approvals for quorum in quorums])
    first = 0
    for number, stage in enumerate(stages):
        here = range(first, first + len(stage))
        for person in approvers(decisions, number):
            sits_in = here if person == LOCAL else [n for n in choices.get(person, ()) if n in here]
            seating.seat(tuple(sits_in))
        first += len(stage)
    for person in able:
        if seating.is_full:
            break
        if person not in decided:
            seating.seat(choices.get(person, ()))
    return seating.is_full


def is_stuck(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> bool:
    """Whether those who may still decide are too few for what the policy asks."""
    now = as_it_counts(review, policies)
    return not can_be_met(now.policy, now.decisions, able(now, policies))


def can_be_rejected(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> bool:
    """Whether those who have not decided, and may now, are enough for what is missing to a rejection."""
    now = as_it_counts(review, policies)
    number = stage_now(now.policy, now.decisions)
    if number is None:
        return False
    stage = now.policy.in_stages[number]
    left = [person for person in _undecided(now, policies) if not now.policy.stages or sits_in(stage, person)]
    rejecting = {decision.seat for decision in now.decisions if decision.verdict is Verdict.REJECT}
    return len(rejecting) + len(left) >= now.policy.rejections


@lru_cache(1024)
def is_hopeless(policy: Policy, submitter: PersonId) -> bool:
    """Whether a review of this submitter's could never be met, however its reviewers decide."""
    barred = {submitter} if Party.SUBMITTER in policy.distinct_from else set()
    return not can_be_met(policy, (), [person for person in policy.reviewers if person not in barred])
