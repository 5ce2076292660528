"""What Slack delivers again: answered as before, and done once.

Over HTTP the door knows a request by its bytes once it is answered; over Socket Mode each repeat has its own
envelope, and two that come at once are under way together. A trigger is given to one press or dialog only.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import structlog
from slack_bolt.response import BoltResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from core.ports import Clock

log = structlog.get_logger()

REMEMBERED = 5_000
"""Answers kept at most; each replica keeps its own."""
KEPT = timedelta(hours=1)
"""And for how long. Slack tries three times more, at once, after one minute and after five
(docs.slack.dev, Events API, "Retries")."""


class Act(NamedTuple):
    """What is being done, or was."""

    began: timedelta
    answer: asyncio.Future[BoltResponse | None]


class Repeats:
    """What was done lately, or is being done, by what Slack calls it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._acts: dict[Hashable, Act] = {}
        """The oldest first."""

    @property
    def remembered(self) -> int:
        return len(self._acts)

    async def once(self, key: Hashable, act: Callable[[], Awaitable[BoltResponse]]) -> BoltResponse:
        """The answer of `act`, or of the call before with the same key: then nothing is done.

        What was not answered with 200 is done again, and so is what has no key.
        """
        if key is None:
            return await act()
        self._forget()
        while (before := self._acts.get(key)) is not None:
            answer = await asyncio.shield(before.answer)
            if answer is not None:
                log.info("callback_repeated", channel="slack")
                return _copy(answer)
        doing = Act(self._clock.steady(), asyncio.get_running_loop().create_future())
        self._acts[key] = doing
        answer = None
        try:
            answer = await act()
        finally:
            done = None if answer is None or answer.status != 200 else _copy(answer)
            if done is None and self._acts.get(key) is doing:
                del self._acts[key]
            doing.answer.set_result(done)
        return answer

    def _forget(self) -> None:
        """What is old, and the oldest of too many; whoever waits for one still hears of it."""
        too_old = self._clock.steady() - KEPT
        while self._acts:
            key, oldest = next(iter(self._acts.items()))
            if oldest.began >= too_old and len(self._acts) < REMEMBERED:
                return
            del self._acts[key]


def _copy(answer: BoltResponse) -> BoltResponse:
    """bolt's adapters take headers out of the answers that they send."""
    return BoltResponse(status=answer.status, body=answer.body, headers=dict(answer.headers))
