"""Button tokens: ours, bound, and of no use when changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.buttons import CHOICES, LIMIT, Action, Buttons, Press
from core.model import ReviewId

if TYPE_CHECKING:
    from collections.abc import Callable

REVIEW = ReviewId("0123456789abcdef" * 2)


class OneKey:
    """A store that keeps one key."""

    async def secret(self, name: str) -> bytes:
        return name.encode().ljust(32, b".")


@pytest.mark.parametrize("action", Action)
def test_a_token_says_what_it_was_made_for(buttons: Buttons, action: Action) -> None:
    token = buttons.token(REVIEW, 9999, action)
    assert len(token.encode("ascii")) <= LIMIT
    assert buttons.read(token) == Press(review=REVIEW, attempt=9999, action=action)


def test_a_token_says_which_reason_was_chosen(buttons: Buttons) -> None:
    tokens = [buttons.token(REVIEW, 9999, Action.CHOOSE, number) for number in range(CHOICES)]
    assert {len(token.encode("ascii")) for token in tokens} <= set(range(LIMIT + 1))
    said = [buttons.read(token) for token in tokens]
    assert [press.choice for press in said if press] == list(range(CHOICES))
    assert {press.action for press in said if press} == {Action.CHOOSE}


def test_a_token_with_any_byte_changed_is_refused(buttons: Buttons) -> None:
    token = buttons.token(REVIEW, 12, Action.APPROVE).encode()
    for at in range(len(token)):
        for byte in range(256):
            changed = (token[:at] + bytes([byte]) + token[at + 1 :]).decode("latin-1")
            if changed.encode("latin-1") != token:
                assert buttons.read(changed) is None


def test_a_token_of_another_key_is_refused(buttons: Buttons) -> None:
    assert buttons.read(Buttons(bytes(32)).token(REVIEW, 1, Action.APPROVE)) is None


@pytest.mark.parametrize(
    "change", [lambda token: token[:-1], lambda token: token + "A", lambda token: token + "\n"]
)
def test_a_token_of_another_length_is_refused(buttons: Buttons, change: Callable[[str], str]) -> None:
    assert buttons.read(change(buttons.token(REVIEW, 1, Action.REJECT))) is None


@given(st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.lists(st.text())))
def test_whatever_else_is_refused_without_an_error(value: object) -> None:
    assert Buttons(bytes(32)).read(value) is None


async def test_the_key_is_the_one_that_the_database_keeps() -> None:
    kept = await Buttons.kept_in(OneKey())
    assert kept.read(kept.token(REVIEW, 1, Action.APPROVE)) is not None
    assert kept.key.startswith(b"buttons")


class Kept:
    """A database with a key of its own."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    async def secret(self, name: str) -> bytes:
        assert name == "buttons"
        return self.key


async def test_a_token_is_read_where_the_key_is_kept_that_made_it() -> None:
    """A key that every installation had would let anybody make buttons for all of them."""
    one, other = await Buttons.kept_in(Kept(b"1" * 32)), await Buttons.kept_in(Kept(b"2" * 32))
    token = one.token(ReviewId("0" * 32), 1, Action.APPROVE)
    assert one.read(token) is not None
    assert other.read(token) is None
