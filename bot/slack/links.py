"""Whom a place in Slack is for, and links to messages there, without asking Slack for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.model import MessageRef


PEOPLE = frozenset({"U", "W"})
"""What a person's id begins with. What is posted to it has no buttons, and lands where the id is another."""
ONE_PERSON = PEOPLE | {"D"}
"""What an address begins with where only one person reads."""


def is_for_one(address: str) -> bool:
    """Whether only one person reads there: whatever is said calls them, and nobody else can follow a link."""
    return address[:1] in ONE_PERSON


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
