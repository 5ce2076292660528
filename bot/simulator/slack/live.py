"""The simulated workspace for onlookers: changes as they come, and a picture of everything as JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from bot.simulator.slack.directory_methods import channel_json, user_json
from bot.simulator.slack.method import message_json
from bot.simulator.slack.view_methods import view_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.simulator.slack.model import Body, Change, Channel, Message, View
    from bot.simulator.slack.workspace import Workspace


class Changes:
    """An endless async iterator of changes since it was made, until closed (`with`, or `close`)."""

    def __init__(self, callbacks: list[Callable[[Change], object]]) -> None:
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self._callbacks = callbacks
        callbacks.append(self._queue.put_nowait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        return await self._queue.get()

    def close(self) -> None:
        if self._queue.put_nowait in self._callbacks:
            self._callbacks.remove(self._queue.put_nowait)


def snapshot(workspace: Workspace) -> Body:
    """`{platform, team_id, bot, users, channels: [{…, messages: [{…, replies}], ephemerals}], views, homes}`.

    Messages and views look as in Slack's own answers; a view also has `user` and `errors`.
    """
    return {
        "platform": "Slack (simulated)",
        "team_id": workspace.team_id,
        "bot": user_json(workspace.bot),
        "users": [user_json(user) for user in workspace.users.values() if not user.is_bot],
        "channels": [_channel(workspace, channel) for channel in workspace.channels.values()],
        "views": [_view(workspace, view) for stack in workspace.stacks.values() for view in stack],
        "homes": [_view(workspace, view) for view in workspace.homes.values()],
    }


def _channel(workspace: Workspace, channel: Channel) -> Body:
    standing = [message for message in channel.messages.values() if not message.deleted]
    known = {message.ts for message in standing}
    roots = [m for m in standing if m.thread_ts is None or m.thread_ts not in known]
    return {
        **channel_json(workspace, channel),
        "members": sorted(channel.members),
        "messages": [_thread(workspace, channel, message) for message in roots],
        "ephemerals": [_ephemeral(m) for m in channel.ephemerals.values() if not m.deleted],
    }


def _thread(workspace: Workspace, channel: Channel, root: Message) -> Body:
    replies = [m for m in workspace.thread(channel, root.ts) if m.ts != root.ts]
    return {
        **message_json(workspace, channel, root.ts),
        "replies": [message_json(workspace, channel, reply.ts) for reply in replies],
    }


def _ephemeral(message: Message) -> Body:
    return {
        "ts": message.ts,
        "only_for": message.only_for,
        "text": message.text,
        "blocks": list(message.blocks),
        "thread_ts": message.thread_ts,
    }


def _view(workspace: Workspace, view: View) -> Body:
    return {**view_json(workspace, view), "user": view.user, "errors": dict(view.errors)}
