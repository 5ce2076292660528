"""What is tried again while something is away: the log is told when that begins, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from core.errors import CountersignError

log = structlog.get_logger()


class Outage:
    """Of one thing that is tried again: say after each try whether it `failed` or is `over`.

    Logged as `event` with its facts: a warning with the `reason`, again only for another one, and then a line
    with `over` and how many `tries` had failed.
    """

    def __init__(self, event: str, **facts: str) -> None:
        self._event = event
        self._facts = facts
        self._reason: str | None = None
        self._tries = 0

    def failed(self, error: CountersignError) -> None:
        reason = str(error)
        if reason != self._reason:
            log.warning(self._event, reason=reason, **self._facts)
        self._reason = reason
        self._tries += 1

    def over(self) -> None:
        """Any number of times."""
        if self._reason is not None:
            log.info(self._event, over=True, tries=self._tries, **self._facts)
        self._reason, self._tries = None, 0
