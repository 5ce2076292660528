"""Whatever people may write, and what Telegram would make something of."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = [
    "@durov",
    "https://evil.example",
    "/approve",
    "#tag",
    "$USD",
    "a@b.example",
    "+1 202 555 0100",
    "<b>x</b>",
    "😀" * 3000,
]

ANY_TEXT = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(codec=None), max_size=50), st.text(max_size=5000)
)
