"""What is said in a task's thread between two looks of its card."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import User

from bot import blocks, markup
from bot.cards import Named
from bot.notices import NAMED, words
from bot.simulator.slack.limits import BLOCKS_TEXT, blocks_text_length, message_problems
from core.errors import Undeliverable
from core.events import (
    DecisionWithdrawn,
    QuestionAnswered,
    QuestionAsked,
    ReminderSnoozed,
    ReviewerReminded,
    ReviewEscalated,
    ReviewStuck,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
)
from core.literal import utf16
from core.model import Notice, Outcome, PersonId, Policy, StoredEvent, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.notices import Words
    from core.events import Event
    from core.model import Decision, ReviewRequest

AT = datetime(2026, 11, 5, 14, 2, tzinfo=UTC)
ANA, BEN = PersonId("ana"), PersonId("ben")
REMINDED = ReviewerReminded(review="a" * 32, attempt=1, people=["Ana Ruiz", "Ben Okri"], ids=[ANA, BEN])
ESCALATED = ReviewEscalated(
    review="a" * 32, attempt=1, people=["Cy Young"], ids=["cy"], reason="Nobody has decided yet."
)
SNOOZED = ReminderSnoozed(
    review="a" * 32, person="ana", person_name="Ana Ruiz", until="2026-11-21T15:20:00Z", via="web"
)
ASKED = QuestionAsked(
    review="a" * 32,
    attempt=1,
    question="b" * 32,
    text="Which customer?\n<!channel>",
    person="ana",
    person_name="Ana Ruiz",
    submitter="sam",
    submitter_name="Sam Lee",
    via="slack",
)
ANSWERED = QuestionAnswered(
    review="a" * 32,
    attempt=1,
    question="b" * 32,
    text="Acme.",
    person="sam",
    person_name="Sam Lee",
    asked_by="ana",
    asked_by_name="Ana Ruiz",
    via="web",
)
STUCK = ReviewStuck(review="a" * 32, attempt=1, reason="Too few are left.")


def notice(event: Event, review: ReviewRequest) -> Notice:
    return Notice(
        task=review.task, event=StoredEvent(task=review.task.id, seq=4, at=AT, event=event), review=review
    )


def said(event: Event, review: ReviewRequest) -> Words:
    return words(notice(event, review), public_url="https://sign.example.com")


def plain(told: Words) -> str:
    return "".join(
        part if isinstance(part, str) else part.name if isinstance(part, Named) else part.text
        for part in told.parts
    )


def test_a_reminder_says_whom_what_until_when_and_what_then(a_review: Callable[..., ReviewRequest]) -> None:
    assert plain(said(REMINDED, a_review(expires_at=AT))) == (
        "Reminder for Ana Ruiz and Ben Okri: please decide on attempt 1 of Refund for order 1042. "
        "Until 2026-11-05 14:02 UTC, then rejected."
    )


def test_an_escalation_says_why_and_who_may_decide_now(a_review: Callable[..., ReviewRequest]) -> None:
    assert plain(said(ESCALATED, a_review())) == (
        "Escalated, attempt 1 of Refund for order 1042: Nobody has decided yet. Cy Young may decide now, too."
    )


def test_a_question_calls_the_submitter_and_its_answer_the_one_who_asked(
    a_review: Callable[..., ReviewRequest],
) -> None:
    asked, answered = said(ASKED, a_review(expires_at=AT)), said(ANSWERED, a_review(expires_at=AT))
    about = "about attempt 1 of Refund for order 1042:"
    assert (plain(asked), asked.quote) == (f"Ana Ruiz asks Sam Lee {about}", "Which customer?\n<!channel>")
    assert (plain(answered), answered.quote) == (f"Sam Lee answers Ana Ruiz {about}", "Acme.")
    for told, person in ((asked, "sam"), (answered, "ana")):
        assert [part.person for part in told.parts if isinstance(part, Named)] == [person]
    assert (asked.question, answered.question) == ("b" * 32, None), "an answer asks nothing"


def test_in_slack_the_question_follows_its_colon_and_the_link_the_question(
    a_review: Callable[..., ReviewRequest],
) -> None:
    line, quote, link, button = blocks.said(said(ASKED, a_review()), {}, answer="token")
    assert line["elements"][0]["elements"][-1]["text"].endswith(":")
    assert quote["elements"][0]["elements"][0]["text"] == "Which customer?\n<!channel>"
    assert [part["text"] for part in link["elements"][0]["elements"]] == ["Open the task"]
    assert button["type"] == "actions"


def test_a_stuck_review_says_who_can_mend_it(a_review: Callable[..., ReviewRequest]) -> None:
    stuck = a_review(stuck="nobody can decide on it now", remedy="wait for Ben, or cancel it")
    assert plain(said(STUCK, stuck)) == (
        "Stuck, attempt 1 of Refund for order 1042: Too few are left. To go on, wait for Ben, or cancel it."
    )


def test_of_a_review_that_is_not_stuck_any_more_it_is_said_only_that_it_was(
    a_review: Callable[..., ReviewRequest],
) -> None:
    assert plain(said(STUCK, a_review())) == "Stuck, attempt 1 of Refund for order 1042: Too few are left."


ENDS: dict[str, tuple[Event, str, str | None]] = {
    "approved": (
        TaskCompleted(final_result="Paid.", outcome="approved"),
        " was approved by Ana Ruiz.",
        "Paid.",
    ),
    "rejected": (TaskCompleted(final_result=None, outcome="rejected"), " was rejected.", None),
    "expired": (
        TaskCompleted(final_result=None, outcome="expired"),
        " expired, as it was not decided in time.",
        None,
    ),
    "unreviewed": (TaskCompleted(final_result={"a": 1}, outcome=None), " is done.", '{\n  "a": 1\n}'),
    "failed": (TaskFailed(error="The model is away."), " failed.", "The model is away."),
    "cancelled": (TaskCancelled(by="sam"), " was cancelled.", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_who_handed_in_hears_how_it_ended_and_who_decided(
    a_review: Callable[..., ReviewRequest], a_decision: Callable[..., Decision], end: str
) -> None:
    event, how, quote = ENDS[end]
    approved = (a_decision(),) if end == "approved" else ()
    told_of = a_review(outcome=Outcome.APPROVED, closed_at=AT, decisions=approved)
    ended = replace(notice(event, told_of), to_submitter=True)
    told = words(ended, public_url="https://sign.example.com")
    assert plain(told) == f"Cid Moss: your task Refund for order 1042{how}"
    assert told.quote == quote
    assert [part.person for part in told.parts if isinstance(part, Named)] == [told_of.task.submitter]


def test_who_handed_in_hears_that_their_text_was_edited(
    a_review: Callable[..., ReviewRequest], a_decision: Callable[..., Decision]
) -> None:
    """What it ended with stands below: it is not what they wrote."""
    edited = a_decision(verdict=Verdict.EDIT, content="Paid in full.")
    told_of = a_review(outcome=Outcome.APPROVED, closed_at=AT, decisions=(edited,))
    ended = notice(TaskCompleted(final_result="Paid in full.", outcome="approved"), told_of)
    told = words(replace(ended, to_submitter=True), public_url="https://sign.example.com")
    assert plain(told) == "Cid Moss: your task Refund for order 1042 was edited and approved by Ana Ruiz."
    assert told.quote == "Paid in full."


def test_an_end_is_told_where_nothing_was_reviewed(a_review: Callable[..., ReviewRequest]) -> None:
    review = a_review()
    stored = StoredEvent(task=review.task.id, seq=4, at=AT, event=TaskFailed(error="x"))
    told = words(
        Notice(task=review.task, event=stored, to_submitter=True), public_url="https://sign.example.com"
    )
    assert plain(told).endswith("failed.")


def test_who_is_reminded_later_is_told_without_being_called(a_review: Callable[..., ReviewRequest]) -> None:
    told = said(SNOOZED, a_review(expires_at=AT))
    assert plain(told) == (
        "Ana Ruiz wants to be reminded later, at 2026-11-21 15:20 UTC, of attempt 1 of Refund for order 1042."
    )
    assert not [part for part in told.parts if isinstance(part, Named)]
    with pytest.raises(Undeliverable):
        said(replace(SNOOZED, until=None), a_review())


def test_nothing_is_said_of_a_review_that_was_decided_meanwhile(
    a_review: Callable[..., ReviewRequest],
) -> None:
    with pytest.raises(Undeliverable):
        said(REMINDED, a_review(outcome=Outcome.APPROVED, closed_at=AT))


def test_an_event_of_an_earlier_release_names_people_without_calling_them(
    a_review: Callable[..., ReviewRequest],
) -> None:
    told = said(ReviewerReminded(review="a" * 32, attempt=1, people=["Ana Ruiz"]), a_review())
    assert Named(name="Ana Ruiz", person=None) in told.parts


def test_an_answer_taken_back_is_told_with_who_did_it(a_review: Callable[..., ReviewRequest]) -> None:
    two = a_review(policy=Policy(name="two", reviewers=(ANA, BEN), approvals=2))
    own = DecisionWithdrawn(review="a" * 32, reviewer="ana", reviewer_name="Ana Ruiz", via="web")
    assert plain(said(own, two)) == (
        "Ana Ruiz has taken back their answer on attempt 1 of Refund for order 1042. 0 of 2 approvals."
    )
    other = replace(own, by="ben", by_name="Ben Okri")
    assert plain(said(other, two)).startswith(
        "Ben Okri has taken back the answer of Ana Ruiz on attempt 1 of "
    )


@pytest.mark.parametrize(
    ("event", "words", "quote"),
    [
        (TaskCompleted(final_result="paid", outcome="approved"), "Completed", "paid"),
        (TaskCompleted(final_result={"paid": 30}, outcome="approved"), "Completed", '{\n  "paid": 30\n}'),
        (TaskFailed(error="The bank is closed."), "Failed", "The bank is closed."),
        (TaskCancelled(by="cid"), "Cancelled by Cid Moss", None),
        (TaskCancelled(by="local"), "Cancelled by local (open)", None),
    ],
)
def test_the_end_of_a_task_says_what_came_of_it(
    a_review: Callable[..., ReviewRequest], event: Event, words: str, quote: str | None
) -> None:
    told = said(event, a_review(outcome=Outcome.APPROVED, closed_at=AT))
    assert (plain(told), told.quote) == (f"{words}, Refund for order 1042.", quote)


def test_many_people_are_counted(a_review: Callable[..., ReviewRequest]) -> None:
    many = [f"P{number}" for number in range(NAMED + 3)]
    told = said(ReviewerReminded(review="a" * 32, attempt=1, people=[*many], ids=[*many]), a_review())
    assert sum(isinstance(part, Named) for part in told.parts) == NAMED
    assert f"P{NAMED - 1} and 3 more: please" in plain(told)


NASTY = st.one_of(
    st.sampled_from(["<!channel>", "<@U01ANA>", "@here /start https://evil.example", "<" * 5000, "a" * 9000]),
    st.text(max_size=300),
)


@given(NASTY, st.lists(NASTY, min_size=1, max_size=40))
def test_in_slack_it_fits_and_only_whom_we_name_is_called(
    a_review: Callable[..., ReviewRequest], title: str, names: list[str]
) -> None:
    event = ReviewerReminded(review="a" * 32, attempt=1, people=[*names], ids=["ana"] * len(names))
    told = said(event, a_review(task={"title": title}))
    made = blocks.said(told, {ANA: "U01ANA"})
    assert message_problems(made) == []
    (section,) = made[0]["elements"]
    called = [part for part in section["elements"] if part["type"] == "user"]
    assert {part["user_id"] for part in called} == {"U01ANA"}
    assert len(called) == min(len(names), NAMED)
    assert {part["type"] for part in section["elements"]} == {"text", "link", "user"}
    text = blocks.said_plainly(told)
    assert len(text) < 4000
    assert "<" not in text


@given(NASTY, st.lists(NASTY, min_size=1, max_size=40))
def test_in_telegram_it_fits_and_only_whom_we_name_is_called(
    a_review: Callable[..., ReviewRequest], title: str, names: list[str]
) -> None:
    event = ReviewerReminded(review="a" * 32, attempt=1, people=[*names], ids=["ana"] * len(names))
    made = markup.said(
        said(event, a_review(task={"title": title})), {ANA: User(id=42, first_name="", is_bot=False)}
    )
    assert utf16(made.text) <= markup.LIMIT
    called = [entity for entity in made.entities if entity.type == "text_mention"]
    assert {entity.user.id for entity in called if entity.user} <= {42}
    assert {entity.type for entity in made.entities} <= {"text_mention", "bold", "code"}


@given(NASTY, st.one_of(NASTY, st.text(st.characters(codec=None), max_size=5000)))
def test_what_a_task_ended_with_fits_and_nothing_in_it_is_alive(
    a_review: Callable[..., ReviewRequest], title: str, result: str
) -> None:
    told = said(TaskCompleted(final_result=result, outcome="approved"), a_review(task={"title": title}))
    made = blocks.said(told, {})
    assert message_problems(made) == []
    assert blocks_text_length(made) < BLOCKS_TEXT
    kinds = {part["type"] for element in made[0]["elements"] for part in element["elements"]}
    assert kinds == ({"text"} if result else {"text", "link"})
    drawn = markup.said(told, {})
    assert utf16(drawn.text) <= markup.LIMIT
    assert {entity.type for entity in drawn.entities} <= {"pre", "bold", "code"}
    assert [entity.type for entity in drawn.entities].count("pre") == bool(result)


@given(NASTY, NASTY)
def test_words_of_any_length_fit_and_call_nobody(
    a_review: Callable[..., ReviewRequest], text: str, name: str
) -> None:
    told = said(replace(ASKED, text=text, person_name=name, submitter_name=name), a_review())
    made = blocks.said(told, {PersonId("sam"): "U01SAM"})
    assert message_problems(made) == []
    line, *rest = made
    (section,) = line["elements"]
    assert [part["user_id"] for part in section["elements"] if part["type"] == "user"] == ["U01SAM"]
    kinds = [one["type"] for block in rest if block["type"] == "rich_text" for one in block["elements"]]
    assert kinds == [*(["rich_text_quote"] if text else []), *(["rich_text_section"] if text else [])]
    drawn = markup.said(told, {})
    assert utf16(drawn.text) <= markup.LIMIT
    assert {entity.type for entity in drawn.entities} <= {"pre", "bold", "code"}
