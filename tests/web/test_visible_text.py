"""web/pages/text.py: other people's text is escaped on both sides of whatever is made visible in it."""

from __future__ import annotations

import pytest
from markupsafe import Markup, escape

from web.pages.text import marked, visible

ALIVE = "<img src=x onerror=alert(1)>"
HIDDEN = ("\u202e", "\u200b", "\x07", "\U000e0041", "\ufe0f")


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_nothing_comes_alive_before_between_or_behind_hidden_characters(hidden: str) -> None:
    for text in (f"{ALIVE}{hidden}", f"{hidden}{ALIVE}", f"{ALIVE}{hidden}{ALIVE}{hidden}{ALIVE}"):
        shown = visible(text)
        assert isinstance(shown, Markup)
        assert "<img" not in shown
        assert shown.count(escape(ALIVE)) == text.count(ALIVE)
        assert shown.count(f"U+{ord(hidden):04X}</span>") == text.count(hidden)


def test_nor_in_what_was_changed() -> None:
    for sign in "+- ":
        shown = marked(f"{sign}{ALIVE}\u202e{ALIVE}")
        assert "<img" not in shown
        assert shown.count(escape(ALIVE)) == 2
