"""Every refusal of core has a sentence for the person who pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.answers import LIMIT, closed, sentence, thanks
from core import errors
from core.errors import CountersignError, NotAReviewer
from core.model import Outcome, PersonId, Policy, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.model import Decision, ReviewRequest

CLASSES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, CountersignError)
]


def an(cls: type[CountersignError]) -> CountersignError:
    error = cls.__new__(cls, "x" * 500)
    error.args = ("x" * 500,)
    return error


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_sentence_that_fits(cls: type[CountersignError]) -> None:
    assert 0 < len(sentence(an(cls))) <= LIMIT


def test_a_rule_speaks_for_itself() -> None:
    assert sentence(NotAReviewer("You are not among the reviewers.")) == "You are not among the reviewers."


def test_the_late_one_learns_who_was_first_and_when(
    a_review: Callable[..., ReviewRequest], a_decision: Callable[..., Decision]
) -> None:
    review = a_review(outcome=Outcome.APPROVED, decisions=(a_decision(),))
    assert closed(review) == "Already approved by Ana Ruiz at 2026-11-05 14:02 UTC."
    no = a_review(outcome=Outcome.REJECTED, decisions=(a_decision(Verdict.REJECT),), superseded_by=2)
    assert closed(no) == "Already rejected by Ana Ruiz at 2026-11-05 14:02 UTC. Attempt 2 took its place."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"superseded_by": 2}, "This is attempt 1; attempt 2 took its place."),
        ({"outcome": Outcome.EXPIRED}, "Nothing was changed: the time for this review is over."),
        ({"outcome": Outcome.CANCELLED}, "Nothing was changed: this task was called off."),
    ],
)
def test_a_review_closed_undecided_says_how(
    a_review: Callable[..., ReviewRequest], changes: dict[str, object], words: str
) -> None:
    assert closed(a_review(**changes)) == words


def test_thanks_count_below_the_quorum(
    a_review: Callable[..., ReviewRequest], a_decision: Callable[..., Decision]
) -> None:
    two = Policy(name="two", reviewers=(PersonId("ana"), PersonId("ben")), approvals=2)
    assert (
        thanks(a_review(policy=two, decisions=(a_decision(),)), Verdict.APPROVE)
        == "Recorded: 1 of 2 approvals."
    )
    done = a_review(closed_at=a_review().opened_at)
    assert thanks(done, Verdict.APPROVE) == "Approved."
    assert thanks(done, Verdict.REJECT) == "Rejected."
