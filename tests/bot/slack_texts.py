"""Whatever people may write, and what Slack would make something of."""

from __future__ import annotations

from hypothesis import strategies as st

NASTY = [
    "<!channel>",
    "<@U01ALICE>",
    "<https://evil.example|safe>",
    "*bold* _x_ `y`",
    "@here",
    "&lt;",
    "a" * 5000,
    "<" * 5000,
]

ANY_TEXT = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(codec=None), max_size=50), st.text(max_size=5000)
)
