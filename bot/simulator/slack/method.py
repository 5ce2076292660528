"""What every simulated Web API method is made of: its arguments, its scopes, its rate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bot.simulator.slack.model import Blocks, Body, Channel, File
    from bot.simulator.slack.pace import Rate

BOT_SCOPES = frozenset(
    [
        "chat:write",
        "commands",
        "app_mentions:read",
        "users:read",
        "users:read.email",
        "im:write",
        "im:read",
        "im:history",
        "channels:read",
        "groups:read",
        "channels:history",
        "groups:history",
        "channels:join",
        "reactions:write",
        "files:write",
        "usergroups:read",
    ]
)
"""What the simulated app was granted, unless the test says otherwise."""
APP_SCOPES = frozenset({"connections:write"})

DEFAULT_PAGE = 100
"""Items per page where the caller names no `limit`, as conversations.list has it."""


class Args:
    """A call's arguments, which arrive as text (query, form) or as JSON values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """The argument as text; "" where it is missing."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def required(self, name: str) -> str:
        if not self.text(name):
            message = f"[ERROR] missing required field: {name}"
            raise SlackError("invalid_arguments", response_metadata={"messages": [message]})
        return self.text(name)

    def flag(self, name: str) -> bool:
        """A boolean, which forms and queries carry as a word or a digit."""
        return self.text(name).lower() in {"true", "1"}

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """A JSON value, which forms and queries carry as text; None where it is missing or empty."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except (ValueError, RecursionError) as broken:
            raise SlackError(error) from broken

    def page(self, items: Sequence[Any]) -> tuple[list[Any], Body]:
        """The asked-for page of `items`, and the `response_metadata` that leads to the next."""
        cursor = self.text("cursor") or "0"
        if not cursor.isdecimal():
            raise SlackError("invalid_cursor")
        start = int(cursor)
        limit = (int(self.text("limit")) if self.text("limit").isdecimal() else 0) or DEFAULT_PAGE
        following = str(start + limit) if start + limit < len(items) else ""
        return list(items[start : start + limit]), {"next_cursor": following}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One Web API method; `scopes` are alternatives, none means that any token will do.

    `scope_in` says which of them a call needs, where that follows from the place.
    """

    call: Callable[[Workspace, Args], Body]
    scopes: tuple[str, ...] = ()
    scope_in: Callable[[Channel], str] | None = None
    rate: Rate
    app_token: bool = False
    """True where only the app-level token may call it."""


def seen_channel(workspace: Workspace, args: Args) -> Channel:
    """The channel that the call names, where the bot may know of it."""
    channel = workspace.channel(args.required("channel"))
    if channel.is_private and workspace.bot.id not in channel.members:
        raise SlackError("channel_not_found")
    return channel


def message_json(workspace: Workspace, channel: Channel, ts: str) -> Body:
    """A message as the Web API and interaction payloads show it."""
    message = workspace.message(channel, ts)
    replies = len(workspace.thread(channel, message.ts)) - 1
    is_bot = message.user == workspace.bot.id
    shown: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": workspace.team_id,
        **({"bot_id": workspace.bot_id, "app_id": workspace.app_id} if is_bot else {}),
        "blocks": list(message.blocks) or None,
        "thread_ts": message.thread_ts or (message.ts if replies else None),
        "reply_count": replies or None,
        "metadata": message.metadata,
        "edited": {"user": message.user, "ts": message.edited} if message.edited else None,
        "files": [_file(file) for file in message.files] or None,
        "reactions": [{"name": name, "count": 1, "users": [workspace.bot.id]} for name in message.reactions]
        or None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _file(file: File) -> Body:
    return {"id": file.id, "name": file.name, "title": file.title, "size": len(file.content)}


def blocks_of(args: Args) -> Blocks | None:
    """The blocks of a call as given, unchecked; None where the call names none."""
    blocks = args.json("blocks", "invalid_blocks_format")
    if blocks is None:
        return None
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    return tuple(blocks)
