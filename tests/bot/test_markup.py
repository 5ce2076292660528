"""Telegram messages: within every limit, and with nothing alive in them that is not ours."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from telegram import MessageEntity, User

from bot.cards import REMARKS, Named
from bot.markup import ENTITIES, LIMIT, markup
from core.explaining import CALLED
from core.literal import SHORT, is_short, literal, utf16
from core.model import Earlier, Outcome, Verdict
from tests.bot.conftest import full
from tests.bot.telegram_texts import ANY_TEXT
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cards import Card
    from bot.markup import Markup
    from core.model import Decision

OURS = re.compile(r"([\w \n:,;()·\u2019-]|\.\n)*")
"""Only letters, digits and punctuation that start nothing."""
QUOTING = {MessageEntity.CODE, MessageEntity.PRE}


def uncovered(made: Markup, kinds: set[str]) -> str:
    """The text outside entities of these kinds; what is covered leaves a space."""
    units = made.text.encode("utf-16-le")
    for entity in sorted(made.entities, key=lambda found: found.offset, reverse=True):
        if entity.type in kinds:
            start, end = entity.offset * 2, (entity.offset + entity.length) * 2
            units = units[:start] + " ".encode("utf-16-le") + units[end:]
    return units.decode("utf-16-le")


@given(
    title=ANY_TEXT,
    name=ANY_TEXT,
    draft=ANY_TEXT,
    earlier=st.none() | ANY_TEXT,
    comment=ANY_TEXT,
    decided=st.integers(0, REMARKS + 2),
    outcome=st.sampled_from([Outcome.OPEN, Outcome.APPROVED]),
)
@example("x" * 5000, "y" * 5000, "z" * 9000, None, "c" * 5000, REMARKS + 2, Outcome.OPEN)
@example("x" * 5000, "y" * 5000, "z" * SHORT, "a\n" * 900, "c" * 5000, REMARKS + 2, Outcome.OPEN)
@example("x" * 5000, "y" * 5000, "z\n" * 2000, "a\n" * 900, "c" * 5000, REMARKS + 2, Outcome.APPROVED)
@example("x" * 5000, "y" * 5000, "z" * SHORT, "a\n" * 900, "c" * 5000, 2, Outcome.OPEN)
@example("x" * 5000, "y" * 5000, "z" * 9000, "a\n" * 900, "c" * 5000, 2, Outcome.OPEN)
@example("x" * 5000, "y" * 5000, "z" * 9000, "@durov", "c" * 5000, REMARKS, Outcome.OPEN)
def test_any_text_gives_a_message_within_every_limit(
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
    card = replace(card, called=(Named(name=name, person=ANA.id),) * CALLED)
    made = markup(card, {ANA.id: User(id=42, first_name="", is_bot=False)})
    calls = [entity for entity in made.entities if entity.type == MessageEntity.TEXT_MENTION]
    assert {entity.user.id for entity in calls if entity.user} <= {42}
    assert 0 < utf16(made.text) <= LIMIT
    assert not is_short(card.draft) or (literal(card.draft) or "(empty)") in made.text
    assert earlier is None or "since attempt 1" in made.text or outcome is Outcome.APPROVED
    assert outcome is Outcome.OPEN or "by the edit" in made.text
    assert (made.keyboard is None) == (outcome is Outcome.APPROVED)
    assert len(made.entities) <= ENTITIES
    made.text.encode()  # no lone surrogate is left
    ends = [0]
    for entity in made.entities:
        assert entity.length > 0
        assert entity.offset >= ends[-1]
        ends.append(entity.offset + entity.length)
    assert ends[-1] <= utf16(made.text)


@given(title=ANY_TEXT, name=ANY_TEXT, draft=ANY_TEXT, earlier=ANY_TEXT, comment=ANY_TEXT)
def test_nothing_of_theirs_stands_where_telegram_looks_for_links_and_mentions(
    a_card: Callable[..., Card],
    a_decision: Callable[..., Decision],
    title: str,
    name: str,
    draft: str,
    earlier: str,
    comment: str,
) -> None:
    card = a_card(**full(a_decision, title, name, draft, earlier, comment, 1))
    made = markup(card)
    assert {entity.type for entity in made.entities} <= {*QUOTING, MessageEntity.BOLD}
    ours = uncovered(made, QUOTING | {MessageEntity.BOLD}).replace(card.url, "")
    assert OURS.fullmatch(ours), ours


def test_names_of_letters_are_bold_and_others_are_code(a_card: Callable[..., Card]) -> None:
    def kind(name: str) -> str:
        made = markup(a_card(task={"submitter_name": name}))
        return made.entities[1].type

    assert kind("Ana Ruiz-O'Neil") == MessageEntity.BOLD
    assert kind("@durov") == MessageEntity.CODE
    assert kind("evil.example") == MessageEntity.CODE


def test_a_cut_draft_says_how_much_is_missing_and_where_it_is(a_card: Callable[..., Card]) -> None:
    card = a_card(draft="x" * 9000)
    made = markup(card)
    shown = next(entity for entity in made.entities if entity.type == MessageEntity.PRE)
    assert f"Cut off here: {9000 - shown.length:,} of 9,000 characters are missing" in made.text
    assert card.url in made.text
    assert card.sha256 in made.text


def test_what_has_changed_stands_between_the_reviewers_words_and_the_draft(
    a_card: Callable[..., Card], a_decision: Callable[..., Decision]
) -> None:
    said = a_decision(Verdict.REJECT, comment="too much")
    made = markup(
        a_card(attempt=2, previous=said, draft="25 EUR", earlier=Earlier(attempt=1, draft="30 EUR"))
    )
    quoted = [
        (entity.type, entity.language, made.text[entity.offset : entity.offset + entity.length])
        for entity in made.entities
        if entity.type in QUOTING
    ]
    assert quoted[1:4] == [
        (MessageEntity.CODE, None, "too much"),
        (MessageEntity.PRE, "diff", "-30 EUR\n+25 EUR"),
        (MessageEntity.PRE, None, "25 EUR"),
    ]


def test_lines_that_do_not_fit_are_counted(a_card: Callable[..., Card]) -> None:
    old, new = ("\n".join(f"{what} line {number}" for number in range(500)) for what in ("old", "new"))
    made = markup(a_card(attempt=2, draft=new, earlier=Earlier(attempt=1, draft=old)))
    assert "Lines of it missing here: " in made.text


def test_offsets_count_utf_16_units(a_card: Callable[..., Card]) -> None:
    made = markup(a_card(task={"title": "😀 title"}, draft="draft"))
    draft = next(entity for entity in made.entities if entity.type == MessageEntity.PRE)
    units = made.text.encode("utf-16-le")[draft.offset * 2 : (draft.offset + draft.length) * 2]
    assert units.decode("utf-16-le") == "draft"


def test_the_keyboard_carries_the_tokens(a_card: Callable[..., Card]) -> None:
    card = a_card()
    keyboard = markup(card).keyboard
    assert keyboard is not None
    shown = [[(button.text, button.callback_data) for button in row] for row in keyboard.inline_keyboard]
    deciding = [(button.label, button.token) for button in card.buttons]
    assert shown == [deciding, [(button.label, button.token) for button in card.menu[:3]]]
    assert [label for label, _ in shown[1]] == ["Edit…", "Ask…", "I'm looking"]


def test_a_decided_card_has_no_keyboard(a_card: Callable[..., Card]) -> None:
    assert markup(a_card(outcome=Outcome.EXPIRED)).keyboard is None


@pytest.mark.parametrize("draft", ["", " ", "\n"])
def test_an_empty_draft_still_makes_a_message(a_card: Callable[..., Card], draft: str) -> None:
    assert markup(a_card(draft=draft)).text.startswith("Review: ")
