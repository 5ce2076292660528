"""`.env.example` and the settings name the same things."""

from __future__ import annotations

from pathlib import Path

from dotenv import dotenv_values

from countersign.settings import INTERNAL, known_names

EXAMPLE = Path(".env.example")


def test_every_setting_stands_in_the_example_and_nothing_else() -> None:
    assert set(dotenv_values(EXAMPLE)) == known_names() - INTERNAL


def test_every_setting_has_a_line_on_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    explained = [
        n for n in settings if lines[n - 1].startswith("#") or lines[n - 1].startswith("COUNTERSIGN_")
    ]
    assert explained == settings


def test_the_example_holds_no_secret() -> None:
    secret = {name for name in known_names() if name.endswith(("TOKEN", "SECRET"))}
    assert {name: value for name, value in dotenv_values(EXAMPLE).items() if name in secret and value} == {}
