"""The stylesheet's colours against each other (WCAG 2.2: 1.4.3 for text, 1.4.11 for fields and the focus)."""

from __future__ import annotations

import re

import pytest

from web.pages.assets import STATIC

STYLE = (STATIC / "app.css").read_text()
TEXT, PARTS = 4.5, 3.0
ON_BOTH = [(ink, paper, TEXT) for ink in ("ink", "soft", "accent") for paper in ("card", "paper")]
PAIRS = [
    *ON_BOTH,
    *[(name, f"{name}-bg", TEXT) for name in ("wait", "yes", "no", "run")],
    *[(name, paper, TEXT) for name in ("yes", "no", "run", "wait") for paper in ("card", "paper")],
    ("soft", "rest-bg", TEXT),
    *[(name, paper, PARTS) for name in ("field", "pico-primary-focus") for paper in ("card", "paper")],
]


def colours(scheme: str) -> dict[str, str]:
    """Names and colours in one of the two schemes; what names another colour stands for it."""
    dark = STYLE.index("@media (prefers-color-scheme: dark)")
    end = STYLE.index("\n}\n", dark)
    found = dict(re.findall(r"--([\w-]+): (#\w{6}|var\(--\w+\));", STYLE[:dark] + STYLE[end:]))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#\w{6});", STYLE[dark:end]))
    return {name: found[value[6:-1]] if value.startswith("var") else value for name, value in found.items()}


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio."""
    lighter, darker = sorted(map(_luminance, (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_black_on_white_is_twenty_one_to_one() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_stands_out_from_what_it_stands_on(scheme: str) -> None:
    known = colours(scheme)
    faint = {
        (one, other): round(contrast(known[one], known[other]), 2)
        for one, other, least in PAIRS
        if contrast(known[one], known[other]) < least
    }
    assert faint == {}


def test_the_keyboard_s_place_and_fields_are_drawn_in_these_colours() -> None:
    assert ":focus-visible { outline: 3px solid var(--pico-primary-focus)" in STYLE
    assert "--pico-form-element-border-color: var(--field)" in STYLE
