"""Slack messages: within every limit, and with nothing alive in them that is not ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.blocks import TEXT, blocks, fallback, link_to
from bot.cards import MENU, REMARKS, Named
from bot.simulator.slack.limits import BLOCKS_TEXT, blocks_text_length, message_problems, view_problems
from bot.views import CHOOSE, reason_view
from core.explaining import CALLED
from core.literal import SHORT, is_short, literal
from core.model import Assurance, Earlier, Outcome, Verdict
from tests.bot.conftest import full
from tests.bot.slack_texts import ANY_TEXT
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bot.cards import Card
    from core.model import Decision, ReviewRequest


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every JSON object in it, however deep."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def test_an_address_cannot_end_the_link_that_it_stands_in() -> None:
    assert link_to("https://x.example/<a>|b&c") == "<https://x.example/%3Ca%3E%7Cb&amp;c|Open the task>"


@given(
    title=ANY_TEXT,
    name=ANY_TEXT,
    draft=ANY_TEXT,
    earlier=st.none() | ANY_TEXT,
    comment=ANY_TEXT,
    decided=st.integers(0, REMARKS + 2),
    outcome=st.sampled_from([Outcome.OPEN, Outcome.APPROVED]),
)
@example("<" * 500, "<" * 500, "x" * SHORT, "<\n" * 400, "<" * 5000, REMARKS + 2, Outcome.OPEN)
@example("<" * 500, "<" * 500, "x\n" * 1000, "y\n" * 900, "<" * 5000, REMARKS + 2, Outcome.APPROVED)
def test_any_text_gives_blocks_within_every_limit(
    a_card: Callable[..., Card],
    a_decision: Callable[..., Decision],
    title: str,
    name: str,
    draft: str,
    earlier: str | None,
    comment: str,
    decided: int,
    outcome: Outcome,
) -> None:
    card = a_card(**full(a_decision, title, name, draft, earlier, comment, decided, outcome))
    card = replace(card, called=(Named(name=name, person=ANA.id), *(Named(name=name, person=None),) * CALLED))
    made = blocks(card, {ANA.id: "U01ANA"})
    assert {"type": "user", "user_id": "U01ANA"} in made[2]["elements"][0]["elements"]
    assert message_problems(made) == []
    assert blocks_text_length(made) <= TEXT <= BLOCKS_TEXT
    shown = [block["elements"][0]["elements"][0]["text"] for block in made if block["type"] == "rich_text"]
    assert not is_short(card.draft) or (literal(card.draft) or "(empty)") in shown
    compared = [line for line in lines_of_ours(made) if "since attempt 1" in line or "by the edit" in line]
    assert len(compared) == (earlier is not None or outcome is Outcome.APPROVED)
    assert any(block["type"] == "actions" for block in made) == (outcome is Outcome.OPEN)
    assert len(fallback(card)) <= 4000
    json.dumps(made, ensure_ascii=False).encode()  # no lone surrogate is left
    for block in Block.parse_all(made):
        block.validate_json()


@given(title=ANY_TEXT, draft=ANY_TEXT, comment=ANY_TEXT)
def test_markup_exists_only_in_our_own_footer(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision], title: str, draft: str, comment: str
) -> None:
    card = a_card(draft=draft, previous=a_decision(Verdict.REJECT, comment=comment), task={"title": title})
    alive = [found["text"] for found in objects(blocks(card)) if found.get("type") == "mrkdwn"]
    assert alive == [f"<{card.url}|Open the task> · SHA-256 `{card.sha256}`"]
    kinds = {found.get("type") for found in objects(blocks(card))}
    assert not kinds & {"user", "usergroup", "channel", "broadcast", "link", "emoji", "markdown"}
    assert "<" not in fallback(card)
    assert ">" not in fallback(card)


def lines_of_ours(made: list[dict[str, Any]]) -> list[str]:
    return [element["text"] for block in made if block["type"] == "context" for element in block["elements"]]


def test_what_has_changed_stands_between_the_reviewers_words_and_the_draft(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    said = a_decision(Verdict.REJECT, comment="too much")
    card = a_card(attempt=2, previous=said, draft="25 EUR", earlier=Earlier(attempt=1, draft="30 EUR"))
    told = [
        (element["type"], element["elements"][0]["text"])
        for block in blocks(card)
        if block["type"] == "rich_text"
        for element in block["elements"]
        if element["type"] != "rich_text_section"
    ]
    assert told == [
        ("rich_text_quote", "too much"),
        ("rich_text_preformatted", "-30 EUR\n+25 EUR"),
        ("rich_text_quote", "25 EUR"),
    ]


def test_lines_that_do_not_fit_are_counted(a_card: Callable[..., Card]) -> None:
    old, new = ("\n".join(f"{what} line {number}" for number in range(500)) for what in ("old", "new"))
    ours = lines_of_ours(blocks(a_card(attempt=2, draft=new, earlier=Earlier(attempt=1, draft=old))))
    assert [line for line in ours if line.startswith("Lines of it missing here: ")]


def test_a_task_without_a_title_says_so(a_card: Callable[..., Card]) -> None:
    card = a_card(task={"title": ""})
    assert blocks(card)[0]["text"]["text"] == "Review: (untitled)"
    assert fallback(card).startswith("Review: (untitled) (")


def test_plain_text_never_turns_words_into_emoji(a_card: Callable[..., Card]) -> None:
    plain = [found for found in objects(blocks(a_card())) if found.get("type") == "plain_text"]
    assert plain
    assert all(found["emoji"] is False for found in plain)


def test_a_cut_draft_says_how_much_is_missing_and_where_it_is(a_card: Callable[..., Card]) -> None:
    card = a_card(draft="x" * 5000)
    text = json.dumps(blocks(card), ensure_ascii=False)
    assert (
        "Cut off here: 2,000 of 5,000 characters are missing; the file below and its page have them" in text
    )
    assert card.url in text
    assert card.sha256 in text


def test_buttons_carry_their_token_and_say_which_is_which(a_card: Callable[..., Card]) -> None:
    card = a_card()
    approve, reject, edit = (found for found in objects(blocks(card)) if found.get("type") == "button")
    assert (approve["text"]["text"], approve["style"], approve["value"]) == (
        "Approve",
        "primary",
        card.buttons[0].token,
    )
    assert (reject["text"]["text"], reject["style"], reject["value"]) == (
        "Reject…",
        "danger",
        card.buttons[1].token,
    )
    assert (edit["text"]["text"], edit["value"]) == ("Edit…", card.menu[0].token)
    assert "style" not in edit


def test_where_the_page_decides_the_buttons_lead_there(
    a_card: Callable[..., Card], a_review: Callable[..., ReviewRequest]
) -> None:
    policy = replace(a_review().policy, assurance=Assurance.CONFIRM)
    card = a_card(policy=policy)
    pressed = [found for found in objects(blocks(card)) if found.get("type") == "button"]
    assert [(found["text"]["text"], found["url"]) for found in pressed] == [
        ("Approve", card.url),
        ("Reject…", card.url),
        ("Edit…", card.url),
    ]
    assert not any("url" in found for found in objects(blocks(a_card())) if found.get("type") == "button")


def test_the_menu_is_within_its_limits_and_carries_tokens(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    card = a_card(decisions=(a_decision(),))
    (menu,) = (found for found in objects(blocks(card)) if found.get("type") == "overflow")
    assert [(option["text"]["text"], option["value"]) for option in menu["options"]] == [
        (button.label, button.token) for button in card.menu[1:]
    ]
    assert [button.label for button in card.menu] == [
        "Edit…",
        "Ask…",
        "I'm looking",
        "Remind me in 1 hour",
        "Remind me tomorrow",
        "Take back my decision",
    ]
    assert len(menu["options"]) <= MENU
    assert [button.label for button in a_card().menu] == [button.label for button in card.menu[:-1]]


def test_a_decided_card_has_no_buttons(
    a_card: Callable[..., Card], a_review: Callable[..., ReviewRequest]
) -> None:
    closed = replace(a_review(), outcome=Outcome.EXPIRED, closed_at=a_review().opened_at)
    made = blocks(a_card(outcome=closed.outcome, closed_at=closed.closed_at))
    assert not [block for block in made if block["type"] == "actions"]


def test_structured_drafts_are_preformatted_and_prose_is_quoted(a_card: Callable[..., Card]) -> None:
    def kinds(card: Card) -> set[object]:
        return {found.get("type") for found in objects(blocks(card))}

    assert "rich_text_preformatted" in kinds(a_card(draft={"a": 1}))
    assert "rich_text_quote" in kinds(a_card(draft="a"))


@given(ANY_TEXT, st.sampled_from([0, 1, 10, 11, 101]))
def test_the_reason_modal_is_within_its_limits(title: str, count: int) -> None:
    view = reason_view(
        what=title,
        verdict=Verdict.REJECT,
        private_metadata="x" * 3000,
        is_needed=True,
        choices=["&" * 200] * count,
    )
    assert view_problems(view) == []
    View(**view).validate_json()


@pytest.mark.parametrize(("is_needed", "count"), [(True, 2), (True, 0), (False, 2)])
def test_the_reason_modal_says_that_a_reason_is_needed_where_slack_cannot(
    *, is_needed: bool, count: int
) -> None:
    """Slack marks a field, and of two it would insist on both."""
    view = reason_view(
        what="a",
        verdict=Verdict.REJECT,
        private_metadata="x",
        is_needed=is_needed,
        choices=["Not now", "Too dear"][:count],
    )
    fields = [block for block in view["blocks"] if block["type"] == "input"]
    is_marked = any(not block["optional"] for block in fields)
    assert is_marked == (is_needed and not count)
    assert (CHOOSE in json.dumps(view)) == (is_needed and count > 0)
