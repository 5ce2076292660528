"""What people see on a terminal: text that cannot steer it, and a line at its end that changes."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from core.columns import cut

if TYPE_CHECKING:
    from typing import TextIO

BAR = 24
CLEAR = "\r\x1b[K"


def literal(text: str) -> str:
    """Text that cannot steer the terminal: control characters are shown as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def bar(fraction: float | None, text: str) -> str:
    """`[######------]  50%  text`; without a fraction the text alone."""
    if fraction is None:
        return text
    full = round(fraction * BAR)
    return f"[{'#' * full}{'-' * (BAR - full)}] {fraction:4.0%}  {text}"


class Screen:
    """Lasting lines go to standard output; what passes by goes to standard error, if that is a terminal."""

    def __init__(self, passing: TextIO | None = None) -> None:
        self._passing = sys.stderr if passing is None else passing
        self.is_live = self._passing.isatty()
        self._has_line = False
        self._is_within_text = False

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        click.echo(text)

    def show(self, text: str) -> None:
        """In place of what was shown before; cut to the terminal's width."""
        if not self.is_live:
            return
        if self._is_within_text:
            self.clear()
        room = shutil.get_terminal_size().columns - 1
        self._write(CLEAR + cut(literal(text).replace("\n", " "), room))
        self._has_line = True

    def stream(self, text: str) -> None:
        """More of a text, as it comes."""
        if not self.is_live:
            return
        if self._has_line:
            self.clear()
        shown = literal(text)
        self._write(shown)
        self._is_within_text = not shown.endswith("\n")

    def clear(self) -> None:
        """Leave the place to a line that stays."""
        if self._has_line:
            self._write(CLEAR)
        elif self._is_within_text:
            self._write("\n")
        self._has_line = self._is_within_text = False

    def _write(self, text: str) -> None:
        self._passing.write(text)
        self._passing.flush()
