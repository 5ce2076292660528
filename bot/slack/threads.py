"""What is said in a thread, where Slack may take nothing there any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog
from slack_sdk.errors import SlackApiError

from bot.slack.failures import refusal_of
from bot.slack.lost import Place, keep
from bot.slack.payloads import SLACK
from core.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slack_sdk.web.async_slack_response import AsyncSlackResponse

log = structlog.get_logger()

Ref = TypeVar("Ref", bound=str)
"""What Slack calls what was put somewhere."""

NO_REPLIES = frozenset(
    {
        "cannot_reply_to_message",
        "message_not_found",
        "restricted_action_non_threadable_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
    }
)
"""Of a post: its thread takes none, and the channel may (docs.slack.dev, errors of chat.postMessage). The
message that began the thread was deleted, the thread locked, or the workspace allows none there."""


async def in_thread(
    post: Callable[..., Awaitable[AsyncSlackResponse]], thread: str | None
) -> AsyncSlackResponse:
    """In the channel itself where the thread takes nothing any more: somebody waits for what is posted."""
    if thread is not None:
        try:
            return await post(thread_ts=thread)
        except SlackApiError as error:
            if not _takes_none(error):
                raise
    return await post(thread_ts=None)


class Threads:
    """Which of them take nothing any more, as this process was told."""

    def __init__(self) -> None:
        self._closed: dict[Place, None] = {}
        self._outside: dict[str, None] = {}

    def stands_outside(self, message: str) -> bool:
        """Whether it was put into the channel itself, and not into its thread."""
        return message in self._outside

    async def put(self, where: Place, put: Callable[[Place], Awaitable[Ref]]) -> Ref:
        """`put` there, or in the channel itself where that thread takes nothing; raises as it does."""
        if where.thread is not None and where not in self._closed:
            try:
                return await put(where)
            except DeliveryError as error:
                if not _takes_none(error.__cause__):
                    raise
                keep(self._closed, where, None)
        message = await put(Place(where.channel, None))
        if where.thread is not None:
            keep(self._outside, str(message), None)
        return message


def _takes_none(error: BaseException | None) -> bool:
    code = refusal_of(error).code if isinstance(error, SlackApiError) else ""
    if code in NO_REPLIES:
        log.info("thread_takes_no_replies", channel=SLACK, error=code)
    return code in NO_REPLIES
