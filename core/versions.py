"""Which of its policy's versions an open card may show: it is shown anew only where they tell it otherwise.

What a card shows is stored nowhere. But the hashes are of the policies under which what is open was looked
over last, and what was in force here since then is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from core.explaining import as_shown, hash_of, named
from core.model import Policy
from core.store.policies import policy_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from core.model import PersonId, ReviewRequest

Version: TypeAlias = "Policy | None"
"""None while there is none of that name."""

_NONE = {"": Policy(name="", reviewers=())}
"""In force where a policy is gone: with none at all a review's own would be asked."""


class Versions:
    """Of each policy, those that were in force in this process since it looked over what is open."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        """`policies` are those in force, which change."""
        self._policies = policies
        self._had: dict[str, list[Version]] = {name: [policy] for name, policy in policies.items()}

    def note(self) -> None:
        """To be called before each look: what is in force may be another than before it."""
        for name in {*self._had, *self._policies}:
            had, now = self._had.setdefault(name, [None]), self._policies.get(name)
            if now in had:
                had.remove(now)
            had.append(now)

    def forget(self, *, besides: Collection[str]) -> None:
        """The cards show what was last noted, but for those under `besides`."""
        self._had = {name: had if name in besides else had[-1:] for name, had in self._had.items()}

    def differ(self, review: ReviewRequest, noted: Mapping[str, str], *, here: Collection[str] = ()) -> bool:
        """Whether the review's card may name others than it is to name now, or another word on it.

        `noted` are the hashes of the policies under which what is open was last looked over, by any process;
        none where none ever did. What was in force `here` this process may have shown, whatever is noted.
        """
        known = self._since(review, noted, is_here=review.policy.name in here)
        if known is None:
            return True
        told = {_who(one): one for one in known}
        return len(told) > 1 and len({_told(review, one) for one in told.values()}) > 1

    def _since(
        self, review: ReviewRequest, noted: Mapping[str, str], *, is_here: bool
    ) -> Iterable[Version] | None:
        """What its card may show, and what is in force now; None where that is not known."""
        had, own = self._had.get(review.policy.name, [None]), review.kept or review.policy
        before = noted.get(review.policy.name) if noted else hash_of(review)
        if before == "":  # it was looked over while servers judged otherwise
            return had if len(had) > 1 else None
        hashes = [None if one is None else policy_hash(one) for one in had]
        if before in hashes:
            last = len(hashes) - 1 - hashes[::-1].index(before)
            return had if is_here else had[last:]
        return (own, *had) if before == hash_of(review) else None


def _who(policy: Version) -> object:
    """All of a policy on which it depends whom a card names."""
    wider = policy and policy.escalation
    return policy and (policy.reviewers, policy.stages, wider and wider.people)


def _told(review: ReviewRequest, policy: Version) -> tuple[tuple[PersonId, ...], str | None, str | None]:
    in_force = _NONE if policy is None else {policy.name: policy}
    shown = as_shown(review, in_force)
    return tuple(named(review, in_force)), shown.stuck, shown.remedy
