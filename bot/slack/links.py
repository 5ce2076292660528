"""Links to messages in Slack, without asking Slack for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.model import MessageRef


def archive_link(workspace_url: str, message: MessageRef, thread: MessageRef | None) -> str | None:
    """What chat.getPermalink answers, as Slack's own clients link to it; a reply's link names its `thread`:
    in the channel itself it does not stand (docs.slack.dev, chat.getPermalink).

    `workspace_url` is what auth.test says; None where it said nothing.
    """
    channel, _, ts = message.partition("/")
    if not workspace_url or not channel or not ts:
        return None
    link = f"{workspace_url.rstrip('/')}/archives/{channel}/p{ts.replace('.', '')}"
    return link if thread is None else f"{link}?thread_ts={thread.partition('/')[2]}&cid={channel}"
