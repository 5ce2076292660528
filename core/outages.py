"""What is tried again while something is away: the log is told when that begins, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from core.errors import CountersignError

log = structlog.get_logger()


REASONS = 20
"""So many of one outage are told: some name a port or a time, and are another with every try."""


class Outage:
    """Of one thing that is tried again: say after each try whether it `failed` or is `over`.

    Logged as `event` with its facts: a warning with each `reason`, once, however they come by turns, and then
    a line with `over` and how many `tries` had failed.
    """

    def __init__(self, event: str, **facts: str) -> None:
        self._event = event
        self._facts = facts
        self._told: set[str] = set()
        self._tries = 0

    def failed(self, error: CountersignError) -> None:
        reason = str(error)
        if reason not in self._told and len(self._told) < REASONS:
            self._told.add(reason)
            log.warning(self._event, reason=reason, **self._facts)
        self._tries += 1

    def over(self) -> None:
        """Any number of times."""
        if self._tries:
            log.info(self._event, over=True, tries=self._tries, **self._facts)
        self._tries = 0
        self._told.clear()
