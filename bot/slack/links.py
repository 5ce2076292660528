"""Links to messages in Slack, without asking Slack for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.model import MessageRef


def archive_link(workspace_url: str, message: MessageRef) -> str | None:
    """What chat.getPermalink answers for a message that is no reply, as Slack's own clients link to it.

    `workspace_url` is what auth.test says; None where it said nothing.
    """
    channel, _, ts = message.partition("/")
    if not workspace_url or not channel or not ts:
        return None
    return f"{workspace_url.rstrip('/')}/archives/{channel}/p{ts.replace('.', '')}"
