"""What becomes of a policy while a review is open under it: what today's of its name leaves, who joins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from core.model import PersonId, Policy, Quorum, ReviewRequest

T = TypeVar("T")


def today(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> Policy | None:
    """The policy now in force under the name of the review's, if there is one."""
    return policies.get(review.policy.name) if policies else review.policy


def is_gone(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> bool:
    """Whether no policy of the review's name is in force any more: then nobody may decide on it."""
    return today(review, policies) is None


def gone(policy: Policy) -> str:
    """The sentence for that."""
    return f"The policy {policy.name!r}, under which this review opened, is not in countersign.toml any more."


def in_force(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> Collection[PersonId]:
    """Whom the policy of today lets decide on the review, in some quorum."""
    now = today(review, policies)
    if now is None:
        return ()
    if is_narrowed(review, now):
        stages = narrowed(review, now, kept=())
        return {person for stage in stages for quorum in stage for person in quorum.people}
    if review.is_escalated and now.escalation is not None:
        return {*now.reviewers, *now.escalation.people}
    return now.reviewers


def has_struck(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> bool:
    """Whether today's policy lacks somebody whom the review's has, in all its groups or in one."""
    now = today(review, policies)
    if now is not None and is_narrowed(review, now):
        return narrowed(review, now, kept=()) != review.policy.stages
    return not set(review.policy.reviewers) <= set(in_force(review, policies))


def is_narrowed(review: ReviewRequest, now: Policy) -> bool:
    """Whether it has to be asked for each quorum who is in it still: not where there are none to tell apart,
    and not where nothing was changed."""
    mine = review.policy.stages
    return bool(mine) and bool(now.stages) and now.stages != mine


def narrowed(
    review: ReviewRequest, now: Policy, *, kept: Collection[PersonId]
) -> tuple[tuple[Quorum, ...], ...]:
    """The review's quorums with those who are in them by today's policy, too, or are `kept`."""
    wider = now.escalation.people if review.is_escalated and now.escalation is not None else ()
    stages = review.policy.stages
    return tuple(
        tuple(
            replace(quorum, people=tuple(one for one in quorum.people if one in kept or one in known))
            for quorum in stage
            for known in ({*_of_today(now.stages, stages, number, quorum), *wider},)
        )
        for number, stage in enumerate(stages)
    )


def _of_today(
    now: tuple[tuple[Quorum, ...], ...],
    before: tuple[tuple[Quorum, ...], ...],
    number: int,
    quorum: Quorum,
) -> tuple[PersonId, ...]:
    """Who is in this quorum of stage `number` today: in the one of its name there, or in another stage.

    One that stands alone in its stage may have another name today, where there are as many stages. Else
    nobody is: whoever was in it sits in no such quorum any more.
    """
    here = now[number] if number < len(now) else ()
    named = [one for stage in (here, *now) for one in stage if one.name == quorum.name]
    if not named and len(here) == len(before[number]) == 1 and len(now) == len(before):
        named = list(here)
    return named[0].people if named else ()


def confined(policy: Policy, seat: PersonId, now: Policy) -> Policy:
    """The policy with this seat in those quorums only where `now` has it.

    What is said in a seat counts on where it was when that was said (`removed = "keep"`). So whoever answers
    after they were struck from a quorum is in it no more, for this review.
    """
    return replace(
        policy,
        stages=tuple(
            tuple(
                quorum
                if seat in narrowed.people or seat not in quorum.people
                else replace(quorum, people=tuple(one for one in quorum.people if one != seat))
                for quorum, narrowed in zip(stage, of, strict=True)
            )
            for stage, of in zip(policy.stages, now.stages, strict=True)
        ),
    )


def escalated(policy: Policy) -> Policy:
    """The policy once it was escalated: more people in every quorum, more places."""
    wider = policy.escalation
    if wider is None:
        return policy
    return replace(
        policy,
        reviewers=_joined(policy.reviewers, wider.people),
        stages=tuple(
            tuple(
                replace(
                    quorum,
                    people=_joined(quorum.people, wider.people),
                    outside=_joined(quorum.outside, wider.outside),
                )
                for quorum in stage
            )
            for stage in policy.stages
        ),
        recipients=_joined(policy.recipients, wider.recipients),
        outside=_joined(policy.outside, wider.outside),
    )


def admitted(policy: Policy, members: Mapping[str, Sequence[PersonId]]) -> Policy:
    """The policy with those besides who are in its groups from outside, by what these say now.

    It takes nobody away: who may decide no more, today's policy says.
    """

    def of(groups: Iterable[str]) -> tuple[PersonId, ...]:
        return tuple(person for group in groups for person in members.get(group, ()))

    wider = policy.escalation
    return replace(
        policy,
        reviewers=_joined(policy.reviewers, of(policy.outside)),
        stages=tuple(
            tuple(replace(quorum, people=_joined(quorum.people, of(quorum.outside))) for quorum in stage)
            for stage in policy.stages
        ),
        escalation=wider and replace(wider, people=_joined(wider.people, of(wider.outside))),
    )


def groups_of(policy: Policy) -> frozenset[str]:
    """The groups from outside on which it depends who may decide."""
    return frozenset((*policy.outside, *(policy.escalation.outside if policy.escalation else ())))


def _joined(first: tuple[T, ...], second: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*first, *second)))
