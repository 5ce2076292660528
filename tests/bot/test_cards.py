"""What a card says of a review in each state."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bot.buttons import Action
from bot.cards import NEWER, REMARKS, STANDS_IN, CardState, Remark, Theirs, retired
from bot.cards import card as draw
from core.changes import Difference
from core.literal import SHORT
from core.model import (
    Assurance,
    ChannelName,
    Claim,
    Earlier,
    OnExpiry,
    Outcome,
    PersonId,
    Point,
    Policy,
    Quorum,
    ReasonRule,
    Recipient,
    ReviewId,
    Status,
    Timer,
    TimerKind,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.buttons import Buttons
    from bot.cards import Card
    from core.model import Decision, ReviewRequest

AT = datetime(2026, 11, 5, 14, 2, tzinfo=UTC)
TWO_OF_THEM = Policy(name="two", reviewers=(PersonId("ana"), PersonId("ben")), approvals=2)


def words(remark: Remark) -> str:
    return "".join(part.text if isinstance(part, Theirs) else part for part in remark.line)


def test_an_open_review_can_be_approved_and_rejected(a_card: Callable[..., Card], buttons: Buttons) -> None:
    card = a_card()
    assert card.state is CardState.OPEN
    assert [button.label for button in card.buttons] == ["Approve", "Reject…"]
    presses = [buttons.read(button.token) for button in card.buttons]
    assert [press.action for press in presses if press] == [Action.APPROVE, Action.REJECT]


def test_a_card_in_the_fallback_says_that_it_stands_in_for_another(
    a_review: Callable[..., ReviewRequest], buttons: Buttons
) -> None:
    usual, spare = (Recipient(channel=ChannelName("slack"), address=one) for one in ("C01GEN", "C02ALT"))
    policy = Policy(
        name="default", reviewers=(PersonId("ana"),), recipients=(usual,), fallback=(spare, usual)
    )
    for place, words in ((spare, (f" · {STANDS_IN}",)), (usual, ()), (None, ())):
        shown = draw(a_review(policy=policy), public_url="https://x.test", buttons=buttons, place=place)
        assert shown.byline[2:] == words
    wider = replace(policy, recipients=(usual, spare))  # as after an escalation that calls people there
    shown = draw(a_review(policy=wider), public_url="https://x.test", buttons=buttons, place=spare)
    assert shown.byline[2:] == ()


def test_a_card_that_another_one_stands_in_for_can_only_be_looked_at(a_card: Callable[..., Card]) -> None:
    card = retired(a_card())
    assert (card.buttons, card.menu, card.note) == ((), (), NEWER)
    over = a_card(outcome=Outcome.CANCELLED)
    assert retired(over) == over, "and once it is over it says how it ended"


@pytest.mark.parametrize(
    ("policy", "approve"),
    [
        ({"destructive": True}, Action.ASK_APPROVE),
        ({"destructive": True, "reason": ReasonRule.ON_REJECT}, Action.ASK_APPROVE),
        ({"destructive": True, "reason": ReasonRule.ALWAYS}, Action.APPROVE),
        ({"destructive": True, "assurance": Assurance.CONFIRM}, Action.APPROVE),
        ({"reason": ReasonRule.ALWAYS}, Action.APPROVE),
    ],
    ids=["destructive", "reason to reject", "reason to approve", "on the page", "no"],
)
def test_what_cannot_be_undone_takes_a_second_press_where_none_follows_anyway(
    a_card: Callable[..., Card], policy: dict[str, Any], approve: Action
) -> None:
    card = a_card(policy=replace(TWO_OF_THEM, **policy))
    assert [button.action for button in card.buttons] == [approve, Action.REJECT]


def test_a_card_says_before_anybody_presses_that_its_page_decides(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    policy = replace(TWO_OF_THEM, assurance=Assurance.CONFIRM)
    card = a_card(policy=policy)
    assert (card.note, card.is_for_page) == ("0 of 2 approvals · decided on its page", True)
    closed = a_card(policy=policy, outcome=Outcome.APPROVED, closed_at=AT, decisions=(a_decision(),))
    assert (closed.note, closed.is_for_page) == (None, False), "nothing is to be decided any more"
    assert not a_card().is_for_page


def test_a_card_names_title_submitter_attempt_draft_and_page(a_card: Callable[..., Card]) -> None:
    card = a_card(attempt=2)
    assert card.title == "Refund for order 1042"
    assert card.byline == ("attempt 2 · submitted by ", Theirs(text="Cid Moss"))
    assert card.draft == "We refund 30 EUR."
    assert card.url == f"https://sign.example.com/tasks/{'7' * 32}"


def test_a_card_names_for_whom_a_task_was_submitted(a_card: Callable[..., Card]) -> None:
    assert a_card(task={"on_behalf_of": "shop"}).byline[2:] == (" on behalf of ", Theirs(text="shop"))


def test_the_hash_is_that_of_the_whole_draft(a_card: Callable[..., Card]) -> None:
    assert a_card(draft="é" * 9000).sha256 == hashlib.sha256(("é" * 9000).encode()).hexdigest()
    assert len(a_card(draft="\ud800").sha256) == 64


def test_structured_drafts_are_shown_as_json(a_card: Callable[..., Card]) -> None:
    card = a_card(draft={"amount": 30})
    assert card.draft == '{\n  "amount": 30\n}'
    assert not card.is_prose


def test_an_approved_card_says_who_and_when_and_has_no_buttons(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    card = a_card(outcome=Outcome.APPROVED, closed_at=AT, decisions=(a_decision(),))
    assert card.state is CardState.APPROVED
    assert [words(remark) for remark in card.remarks] == ["Approved by Ana Ruiz, 2026-11-05 14:02 UTC"]
    assert card.buttons == ()


def test_a_rejected_card_quotes_the_reason(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    no = a_decision(Verdict.REJECT, comment="too much")
    card = a_card(outcome=Outcome.REJECTED, closed_at=AT, decisions=(no,))
    assert card.state is CardState.REJECTED
    assert words(card.remarks[0]) == "Rejected by Ana Ruiz, 2026-11-05 14:02 UTC"
    assert card.remarks[0].comment == "too much"


def test_the_next_attempt_quotes_the_reason_of_the_no_before(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    card = a_card(attempt=2, previous=a_decision(Verdict.REJECT, comment="too much"))
    assert words(card.previous[0]) == "Before this, rejected by Ana Ruiz, 2026-11-05 14:02 UTC"
    assert card.previous[0].comment == "too much"


def test_the_next_attempt_quotes_everybody_who_said_no(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    first = a_decision(Verdict.REJECT, reviewer_name="Ben Okri", comment="too long")
    last = a_decision(Verdict.REJECT, comment="too much")
    card = a_card(attempt=2, before_previous=(first,), previous=last)
    assert [(words(one), one.comment) for one in card.previous] == [
        ("Before this, rejected by Ben Okri, 2026-11-05 14:02 UTC", "too long"),
        ("Before this, rejected by Ana Ruiz, 2026-11-05 14:02 UTC", "too much"),
    ]
    card = a_card(attempt=2, before_previous=(first,) * 4, previous=last, decisions=(last,) * 6)
    assert words(card.previous[0]) == "Rejections before these: 2"
    assert len(card.previous) == 1 + 3


def test_a_replaced_card_says_by_which_attempt(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    no = a_decision(Verdict.REJECT)
    card = a_card(outcome=Outcome.REJECTED, closed_at=AT, superseded_by=2, decisions=(no,))
    assert card.note == "superseded by attempt 2"
    assert card.buttons == ()


def test_an_edit_that_becomes_the_next_attempt_is_not_said_to_have_approved(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    """Where more than one has to approve nobody has approved it yet, nor its editor."""
    edit = a_decision(Verdict.EDIT, content="better")
    card = a_card(
        policy=TWO_OF_THEM, outcome=Outcome.EDITED, closed_at=AT, superseded_by=2, decisions=(edit,)
    )
    assert words(card.remarks[0]) == "Edited by Ana Ruiz, 2026-11-05 14:02 UTC"


def test_a_review_replaced_undecided_is_superseded(a_card: Callable[..., Card]) -> None:
    card = a_card(superseded_by=2)
    assert card.state is CardState.SUPERSEDED
    assert card.buttons == ()


def test_below_the_quorum_a_card_counts_and_keeps_its_buttons(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    card = a_card(policy=TWO_OF_THEM, decisions=(a_decision(),))
    assert card.note == "1 of 2 approvals"
    assert len(card.buttons) == 2
    assert words(card.remarks[0]).startswith("Approved by Ana Ruiz")


def test_an_approval_that_was_carried_is_told_from_one_of_this_draft(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    """Whoever gave it has not seen what is approved now."""
    carried, here = a_decision(at=AT - timedelta(minutes=5)), a_decision(reviewer_name="Ben Okri", at=AT)
    card = a_card(attempt=2, policy=TWO_OF_THEM, decisions=(carried, here))
    assert [words(one) for one in card.remarks] == [
        "Approved by Ana Ruiz in an attempt before, 2026-11-05 13:57 UTC",
        "Approved by Ben Okri, 2026-11-05 14:02 UTC",
    ]


def test_a_card_says_who_is_looking_and_keeps_its_buttons(a_card: Callable[..., Card]) -> None:
    names = ["Ana Ruiz", "Ben Okri", "Cy Young", "Eve Moss", "Sam Lee"]
    claims = [Claim(person=PersonId(name), name=name, until=AT) for name in names]
    card = a_card(claims=tuple(claims[:1]))
    assert card.note == "Ana Ruiz is looking, until 14:02 UTC"
    assert len(card.buttons) == 2
    card = a_card(policy=TWO_OF_THEM, claims=tuple(claims[:2]))
    assert card.note == (
        "0 of 2 approvals · Ana Ruiz (until 14:02 UTC) and Ben Okri (until 14:02 UTC) are looking"
    )
    card = a_card(claims=tuple(claims))
    assert card.note == (
        "Ana Ruiz (until 14:02 UTC), Ben Okri (until 14:02 UTC), Cy Young (until 14:02 UTC)"
        " and 2 more are looking"
    )


def test_many_decisions_are_counted(a_card: Callable[..., Card], a_decision: Callable[..., Decision]) -> None:
    card = a_card(policy=TWO_OF_THEM, decisions=(a_decision(),) * (REMARKS + 3))
    assert len(card.remarks) == REMARKS
    assert words(card.told(REMARKS)[0]) == "Decisions before these: 3"
    assert len(card.told(REMARKS)) == REMARKS + 1
    assert words(card.told(2)[0]) == f"Decisions before these: {REMARKS + 1}", (
        "where there is no room for more"
    )
    assert len(card.told(2)) == 3


def test_an_expired_card_says_when(a_card: Callable[..., Card]) -> None:
    card = a_card(outcome=Outcome.EXPIRED, closed_at=AT)
    assert card.state is CardState.EXPIRED
    assert words(card.remarks[0]) == "Expired undecided, 2026-11-05 14:02 UTC"
    assert card.buttons == ()


def test_a_cancelled_card_says_so(a_card: Callable[..., Card]) -> None:
    card = a_card(outcome=Outcome.CANCELLED, closed_at=AT, task={"status": Status.CANCELLED})
    assert card.state is CardState.CANCELLED
    assert words(card.remarks[0]) == "Cancelled, 2026-11-05 14:02 UTC"
    assert card.buttons == ()


def test_a_cancelled_card_names_who_called_it_off(a_card: Callable[..., Card]) -> None:
    off = {"outcome": Outcome.CANCELLED, "closed_at": AT, "task": {"status": Status.CANCELLED}}
    (remark,) = a_card(**off, cancelled_by="Cid Moss").remarks
    assert words(remark) == "Cancelled by Cid Moss, 2026-11-05 14:02 UTC"
    assert Theirs(text="Cid Moss") in remark.line


def test_a_card_on_which_nobody_can_decide_says_so_and_what_helps(a_card: Callable[..., Card]) -> None:
    stuck = a_card(stuck="nobody can decide on it now", remedy="wait for Ben, or cancel it")
    assert stuck.note == "nobody can decide on it now: wait for Ben, or cancel it"


def test_a_card_that_a_resume_took_back_names_who_resumed_the_task(a_card: Callable[..., Card]) -> None:
    off = {"outcome": Outcome.CANCELLED, "closed_at": AT, "superseded_by": 2, "taken_back_by": "Dee Doe"}
    for status in (Status.RUNNING, Status.FAILED):
        card = a_card(**off, task={"status": status})
        assert card.state is CardState.SUPERSEDED, "nobody cancelled anything"
        (remark,) = card.remarks
        assert words(remark) == "Taken back by Dee Doe, who resumed the task, 2026-11-05 14:02 UTC"
        assert Theirs(text="Dee Doe") in remark.line
        assert (card.note, card.buttons) == ("superseded by attempt 2", ())


def test_a_failed_task_shows_its_error_on_its_last_card(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    failed = {"status": Status.FAILED, "error": "no attempts left"}
    undecided = a_card(outcome=Outcome.CANCELLED, closed_at=AT, task=failed)
    assert undecided.state is CardState.FAILED
    assert undecided.remarks[-1].comment == "no attempts left"
    no = a_decision(Verdict.REJECT)
    rejected = a_card(outcome=Outcome.REJECTED, closed_at=AT, decisions=(no,), task=failed)
    assert rejected.state is CardState.REJECTED
    assert words(rejected.remarks[-1]) == "The task failed."
    earlier = a_card(outcome=Outcome.REJECTED, closed_at=AT, superseded_by=2, decisions=(no,), task=failed)
    assert [words(remark) for remark in earlier.remarks] == ["Rejected by Ana Ruiz, 2026-11-05 14:02 UTC"]


def test_an_approved_edit_is_what_its_card_shows_from_then_on(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    edit = a_decision(Verdict.EDIT, content="We refund 20 EUR.", comment="too much")
    card = a_card(outcome=Outcome.APPROVED, closed_at=AT, decisions=(edit,))
    assert (card.state, card.draft) == (CardState.APPROVED, "We refund 20 EUR.")
    assert card.sha256 == hashlib.sha256(b"We refund 20 EUR.").hexdigest()
    assert words(card.remarks[0]) == "Edited and approved by Ana Ruiz, 2026-11-05 14:02 UTC"


def test_an_edit_that_others_have_to_approve_leaves_its_card_as_it_was(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    edit = a_decision(Verdict.EDIT, content="We refund 20 EUR.")
    card = a_card(outcome=Outcome.EDITED, closed_at=AT, superseded_by=2, decisions=(edit,))
    assert (card.state, card.draft, card.note) == (
        CardState.EDITED,
        "We refund 30 EUR.",
        "superseded by attempt 2",
    )
    after = a_card(attempt=2, previous=edit)
    assert words(after.previous[0]).startswith("Before this, edited by Ana Ruiz")


def test_a_card_says_where_in_its_flow_it_is_asked(a_card: Callable[..., Card]) -> None:
    begins = {
        (Point.REVIEW, "legal"): ("", Theirs(text="legal")),
        (Point.BEFORE, "pay"): ("before ", Theirs(text="pay")),
        (Point.AFTER, "price"): ("after ", Theirs(text="price")),
        (Point.INSIDE, "agent"): ("asked by ", Theirs(text="agent")),
    }
    for (point, node), begin in begins.items():
        assert a_card(point=point, node=node).byline[:3] == (*begin, " · ")


def test_an_open_card_says_what_is_missing_until_when_and_what_then(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    legal = Quorum(name="legal", people=(PersonId("ana"),), approvals=1)
    ops = Quorum(name="ops", people=(PersonId("ben"),), approvals=1)
    both = replace(TWO_OF_THEM, stages=((legal, ops),))
    card = a_card(policy=both, decisions=(a_decision(),), expires_at=AT, is_escalated=True)
    assert (
        card.note
        == "escalated · 1 of 2 approvals · waits for ops · until 2026-11-05 14:02 UTC, then rejected"
    )


@pytest.mark.parametrize(
    ("kind", "words_of_it"),
    [
        (TimerKind.REMINDER, "next reminder"),
        (TimerKind.SNOOZE, "next reminder"),
        (TimerKind.ESCALATION, "escalation"),
    ],
)
def test_an_open_card_says_when_people_are_called_next(
    a_card: Callable[..., Card], kind: TimerKind, words_of_it: str
) -> None:
    call = Timer(review=ReviewId("r"), kind=kind, number=1, due_at=AT)
    until = "until 2026-11-05 14:02 UTC, then rejected"
    assert a_card(expires_at=AT, next_call=call).note == f"{until} · {words_of_it} 2026-11-05 14:02 UTC"
    assert a_card(next_call=call).note == f"{words_of_it} 2026-11-05 14:02 UTC"


def test_whoever_decided_for_somebody_is_named_with_them(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    for_ana = {"person": PersonId("ana"), "person_name": "Ana Ruiz", "reviewer_name": "Ben Okri"}
    card = a_card(outcome=Outcome.APPROVED, closed_at=AT, decisions=(a_decision(**for_ana),))
    assert words(card.remarks[0]) == "Approved by Ben Okri for Ana Ruiz, 2026-11-05 14:02 UTC"
    after = a_card(attempt=2, previous=a_decision(Verdict.REJECT, **for_ana))
    assert words(after.previous[0]).startswith("Before this, rejected by Ben Okri for Ana Ruiz, ")


def test_what_time_approved_nobody_is_said_to_have_approved(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    by_time = Policy(name="p", reviewers=(PersonId("ana"),), on_expiry=OnExpiry.APPROVE)
    card = a_card(policy=by_time, outcome=Outcome.APPROVED, closed_at=AT, expires_at=AT)
    assert [words(remark) for remark in card.remarks] == [
        "Approved by its policy, as it was not decided in time, 2026-11-05 14:02 UTC"
    ]
    made = a_decision(at=AT)
    pressed = a_card(policy=by_time, outcome=Outcome.APPROVED, closed_at=AT, expires_at=AT, decisions=(made,))
    assert [words(remark)[:20] for remark in pressed.remarks] == ["Approved by Ana Ruiz"]


def test_a_task_that_failed_in_the_end_shows_both(a_card: Callable[..., Card]) -> None:
    failed = {"status": Status.FAILED, "error": "Nobody decided in time."}
    card = a_card(outcome=Outcome.EXPIRED, closed_at=AT, task=failed)
    assert card.state is CardState.EXPIRED
    assert [remark.comment for remark in card.remarks] == ["Nobody decided in time."]


def test_the_next_attempts_card_shows_what_has_changed(a_card: Callable[..., Card]) -> None:
    card = a_card(attempt=2, draft="We refund 25 EUR.", earlier=Earlier(attempt=1, draft="We refund 30 EUR."))
    assert card.difference == Difference(
        words="Changed since attempt 1:", lines=("-We refund 30 EUR.", "+We refund 25 EUR.")
    )


def test_data_is_compared_as_it_is_read(a_card: Callable[..., Card]) -> None:
    card = a_card(
        attempt=3, draft={"eur": 25, "to": "ana"}, earlier=Earlier(attempt=1, draft={"eur": 30, "to": "ana"})
    )
    assert card.difference is not None
    assert card.difference.lines == (" {", '-  "eur": 30,', '+  "eur": 25,', '   "to": "ana"', " }")


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("a", "a", "Nothing was changed since attempt 1."),
        ("a\r\nb", "a\nb", "Only line ends were changed since attempt 1."),
        ("a\n" * 2000, "b\n" * 2000, "Changed since attempt 1: too much to be compared here."),
        ("a\n" * 500_000, "a\n" * 500_000, "Nothing was changed since attempt 1."),
        ("a\r\n" * 300_000, "a\n" * 300_000, "Only line ends were changed since attempt 1."),
    ],
    ids=["equal", "line ends", "too many", "equal and too long", "line ends and too long"],
)
def test_where_no_line_differs_or_too_many_the_card_says_so(
    a_card: Callable[..., Card], before: str, now: str, said: str
) -> None:
    card = a_card(attempt=2, draft=now, earlier=Earlier(attempt=1, draft=before))
    assert card.difference == Difference(words=said)


@pytest.mark.parametrize(
    ("before", "now"), [("a\nb", "a \nb"), ("a\nb", "a\n\tb"), ("a b", "a  b"), ("a", "a\n"), (" ", "")]
)
def test_where_two_lines_look_alike_the_card_says_why(
    a_card: Callable[..., Card], before: str, now: str
) -> None:
    shown = a_card(attempt=2, draft=now, earlier=Earlier(attempt=1, draft=before)).difference
    assert shown is not None
    assert shown.words == "Only white space was changed since attempt 1:"
    assert shown.lines


def test_nothing_is_compared_where_nothing_came_before(a_card: Callable[..., Card]) -> None:
    assert a_card().difference is None


def test_an_approved_edit_is_compared_with_the_draft_that_it_changed(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    card = a_card(
        draft="a",
        outcome=Outcome.APPROVED,
        closed_at=AT,
        decisions=(a_decision(Verdict.EDIT, content="b"),),
        earlier=Earlier(attempt=1, draft="c"),
    )
    assert card.draft == "b"
    assert card.difference == Difference(words="Changed by the edit:", lines=("-a", "+b"))


def test_a_long_draft_that_is_being_reviewed_has_a_file(a_card: Callable[..., Card]) -> None:
    assert not a_card(draft="x" * SHORT).has_file
    assert a_card(draft="x" * (SHORT + 1)).has_file
    assert not a_card(draft="x" * (SHORT + 1), outcome=Outcome.EXPIRED, closed_at=AT).has_file
