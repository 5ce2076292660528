"""The simulated workspace as it stands, and what may become of it. It knows no HTTP."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.simulator.slack.limits import RESPONSE_URL_SECONDS, RESPONSE_URL_USES, TRIGGER_SECONDS
from bot.simulator.slack.model import (
    Change,
    Channel,
    Message,
    ResponseUrl,
    Trigger,
    Ts,
    User,
    UserGroup,
    View,
    with_ids,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.simulator.slack.model import Body, File, Upload


class SlackError(Exception):
    """An answer `{"ok": false, "error": ...}`, with what stands beside the error."""

    def __init__(self, error: str, **details: Any) -> None:
        super().__init__(error)
        self.answer: Body = {"ok": False, "error": error, **details}


class Workspace:
    """All of the simulated workspace. Every change is told to the callables in `on_change`."""

    def __init__(self, *, team_id: str, now: Callable[[], float]) -> None:
        self.team_id = team_id
        self.base_url = ""
        """Where response URLs point, without a slash at its end; known once the simulator listens."""
        self.app_id = "A0SIMULATED"
        self.now = now
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.usergroups: dict[str, UserGroup] = {}
        self.stacks: dict[str, list[View]] = {}
        """Open dialogs of each user, the topmost last."""
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.uploads: dict[str, Upload] = {}
        """By what their URL ends in."""
        self.files: dict[str, File] = {}
        self.on_change: list[Callable[[Change], object]] = []
        self._last_ts = 0
        self.bot = User(id="U0BOT", name="countersign", team=team_id, is_bot=True)
        self.bot_id = "B0BOT"
        self.users[self.bot.id] = self.bot

    def tell(self, kind: str, **where: Any) -> None:
        change = Change(kind=kind, **where)
        for callback in tuple(self.on_change):
            callback(change)

    def next_ts(self) -> Ts:
        self._last_ts = max(self._last_ts + 1, round(self.now() * 1_000_000))
        return Ts(f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06}")

    def user(self, user_id: str, error: str = "user_not_found") -> User:
        if user_id not in self.users:
            raise SlackError(error)
        return self.users[user_id]

    def channel(self, channel_id: str) -> Channel:
        if channel_id not in self.channels:
            raise SlackError("channel_not_found")
        return self.channels[channel_id]

    def im_with(self, user_id: str) -> Channel:
        """The bot's direct conversation with this user, opened where there is none yet."""
        for channel in self.channels.values():
            if channel.is_im and user_id in channel.members:
                return channel
        opened = Channel(id=f"D{user_id}", name=user_id, members={user_id, self.bot.id}, is_im=True)
        self.channels[opened.id] = opened
        self.tell("channel", channel=opened.id)
        return opened

    def put(self, message: Message, kind: str) -> Message:
        """Store this version of a message and tell what kind of change it is."""
        channel = self.channels[message.channel]
        shelf = channel.messages if message.only_for is None else channel.ephemerals
        if shelf is channel.messages and message.thread_ts is not None and message.ts not in shelf:
            channel.threads.setdefault(message.thread_ts, []).append(message.ts)
        shelf[message.ts] = message
        self.tell(kind, channel=message.channel, user=message.only_for, ts=message.ts)
        return message

    def message(self, channel: Channel, ts: str) -> Message:
        found = channel.messages.get(Ts(ts))
        if found is None or found.deleted:
            raise SlackError("message_not_found")
        return found

    def thread(self, channel: Channel, ts: Ts) -> list[Message]:
        """The message and its replies, oldest first."""
        known = [
            channel.messages[each] for each in (ts, *channel.threads.get(ts, ())) if each in channel.messages
        ]
        return [message for message in known if not message.deleted]

    def issue_trigger(self, user_id: str, view: str | None = None) -> str:
        trigger_id = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self.triggers[trigger_id] = Trigger(user_id, self.now(), view)
        return trigger_id

    def exchange_trigger(self, trigger_id: str) -> Trigger:
        """Use a trigger up, within 3 s and once."""
        trigger = self.triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.exchanged:
            raise SlackError("exchanged_trigger_id")
        if self.now() - trigger.at > TRIGGER_SECONDS:
            raise SlackError("expired_trigger_id")
        trigger.exchanged = True
        return trigger

    def issue_response_url(self, channel: str, user: str, message: Ts | None) -> str:
        token = secrets.token_hex(16)
        self.response_urls[token] = ResponseUrl(channel, user, self.now(), message)
        return f"{self.base_url}/actions/{self.team_id}/{token}"

    def use_response_url(self, token: str) -> ResponseUrl:
        url = self.response_urls.get(token)
        if url is None or self.now() - url.at > RESPONSE_URL_SECONDS:
            raise SlackError("expired_url")
        if url.uses >= RESPONSE_URL_USES:
            raise SlackError("used_url")
        url.uses += 1
        return url

    def new_view(self, user: str, body: Mapping[str, Any], *, below: View | None = None) -> View:
        """A view that is nowhere yet; `below` is the one it will cover."""
        view_id = f"V{secrets.token_hex(5).upper()}"
        return View(
            id=view_id,
            user=user,
            body={**body, "blocks": list(with_ids(body["blocks"]))},
            hash=self._new_hash(),
            root=view_id if below is None else below.root,
            previous=None if below is None else below.id,
        )

    def changed_view(self, view: View, body: Mapping[str, Any]) -> View:
        blocks = list(with_ids(body["blocks"]))
        return replace(view, body={**body, "blocks": blocks}, hash=self._new_hash(), errors={})

    def find_view(self, view_id: str | None, external_id: str | None = None) -> View:
        for view in [view for stack in self.stacks.values() for view in stack] + list(self.homes.values()):
            if view.id == view_id or (external_id and view.body.get("external_id") == external_id):
                return view
        raise SlackError("not_found")

    def put_view(self, view: View) -> View:
        """Store a new version of a view where the old one is."""
        if view.body["type"] == "home":
            self.homes[view.user] = view
            self.tell("home", user=view.user)
        else:
            stack = self.stacks[view.user]
            stack[[below.id for below in stack].index(view.id)] = view
            self.tell("view_changed", user=view.user)
        return view

    def push_view(self, view: View) -> View:
        """Show a dialog on top; one without a view below it replaces the user's whole stack."""
        stack = self.stacks.setdefault(view.user, [])
        if view.previous is None:
            stack.clear()
        stack.append(view)
        self.tell("view_opened", user=view.user)
        return view

    def close_view(self, view: View, *, whole_stack: bool = False) -> None:
        stack = self.stacks.get(view.user, [])
        stack[:] = [] if whole_stack else [other for other in stack if other.id != view.id]
        self.tell("view_closed", user=view.user)

    def _new_hash(self) -> str:
        return f"{int(self.now())}.{secrets.token_hex(4)}"
