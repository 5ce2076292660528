"""Every refusal of core has a sentence for the person who pressed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.answers import LIMIT, sentence, thanks, unlisted
from core import errors
from core.errors import CountersignError, NotAReviewer
from core.model import PersonId, Policy, Quorum, Verdict

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


@pytest.mark.parametrize(
    ("identity", "prefix"), [(2**52 - 1, "/"), ("E0123456789A/W0123456789A", "/countersign ")]
)
def test_how_a_stranger_becomes_known_fits_below_a_button(identity: str | int, prefix: str) -> None:
    """Telegram's ids have 52 bits at most (Bot API, User)."""
    said = sentence(unlisted(identity, prefix))
    assert str(identity) in said
    assert said.endswith(f"Say “{prefix}whoami” for the lines that make you known.")


def test_thanks_count_below_the_quorum(
    a_review: Callable[..., ReviewRequest], a_decision: Callable[..., Decision]
) -> None:
    two = Policy(name="two", reviewers=(PersonId("ana"), PersonId("ben")), approvals=2)
    assert (
        thanks(a_review(policy=two, decisions=(a_decision(),)), Verdict.APPROVE)
        == "Recorded: 1 of 2 approvals."
    )
    each = replace(
        two,
        stages=(
            (
                Quorum(name="legal", people=(PersonId("ana"), PersonId("ben")), approvals=1),
                Quorum(name="cy", people=(PersonId("cy"),), approvals=1),
            ),
        ),
    )
    both = (a_decision(), a_decision(reviewer=PersonId("ben")))
    assert (
        thanks(a_review(policy=each, decisions=both), Verdict.APPROVE)
        == "Recorded: 1 of 2 approvals · waits for cy."
    ), "as the card says"
    done = a_review(closed_at=a_review().opened_at)
    assert thanks(done, Verdict.APPROVE) == "Approved."
    assert thanks(done, Verdict.REJECT) == "Rejected."
