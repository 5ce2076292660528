"""What is said in a thread, where Slack may take nothing there any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from slack_sdk.errors import SlackApiError

from bot.slack.failures import refusal_of
from bot.slack.payloads import SLACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slack_sdk.web.async_slack_response import AsyncSlackResponse

log = structlog.get_logger()

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
            code = refusal_of(error).code
            if code not in NO_REPLIES:
                raise
            log.info("thread_takes_no_replies", channel=SLACK, error=code)
    return await post(thread_ts=None)
