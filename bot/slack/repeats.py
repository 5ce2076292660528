"""What Slack delivers again: answered as before, and done once.

Over HTTP the door knows a request by its bytes once it is answered; over Socket Mode each repeat has its own
envelope, and two that come at once are under way together. A trigger is given to one press or dialog only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from slack_bolt.response import BoltResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

log = structlog.get_logger()

REMEMBERED = 5_000
"""Answers kept: a repeat comes within minutes of the first, and each replica keeps its own."""


class Repeats:
    """What was done lately, or is being done, by what Slack calls it."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, asyncio.Future[BoltResponse | None]] = {}

    async def once(self, key: Hashable, act: Callable[[], Awaitable[BoltResponse]]) -> BoltResponse:
        """The answer of `act`, or of the call before with the same key: then nothing is done.

        What was not answered with 200 is done again, and so is what has no key.
        """
        if key is None:
            return await act()
        while (before := self._answers.get(key)) is not None:
            answer = await asyncio.shield(before)
            if answer is not None:
                log.info("callback_repeated", channel="slack")
                return _copy(answer)
        doing = self._answers[key] = asyncio.get_running_loop().create_future()
        answer = None
        try:
            answer = await act()
        finally:
            done = None if answer is None or answer.status != 200 else _copy(answer)
            if done is None:
                self._answers.pop(key, None)
            doing.set_result(done)
            self._forget()
        return answer

    def _forget(self) -> None:
        """The oldest of too many; whoever waits for one still hears of it."""
        while len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]


def _copy(answer: BoltResponse) -> BoltResponse:
    """bolt's adapters take headers out of the answers that they send."""
    return BoltResponse(status=answer.status, body=answer.body, headers=dict(answer.headers))
