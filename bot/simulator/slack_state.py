"""What a simulated Slack workspace holds: people, channels, messages, dialogs. It knows no HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NewType, TypeAlias

from bot.simulator.slack_limits import RESPONSE_URL_SECONDS, RESPONSE_URL_USES, TRIGGER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Body: TypeAlias = dict[str, Any]
"""JSON as Slack sends or takes it."""
Blocks: TypeAlias = tuple[Body, ...]
Ts = NewType("Ts", str)
"""A message's id in its channel: seconds since 1970 with six decimals, never the same twice."""


class SlackError(Exception):
    """An answer `{"ok": false, "error": ...}`, with what stands beside the error."""

    def __init__(self, error: str, **details: Any) -> None:
        super().__init__(error)
        self.answer: Body = {"ok": False, "error": error, **details}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody in Slack; `team` differs from the workspace's for people of a Slack Connect channel."""

    id: str
    name: str
    team: str
    email: str | None = None
    is_bot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it stands now; a later version is another value with the same channel and ts."""

    channel: str
    ts: Ts
    user: str
    text: str
    blocks: Blocks = ()
    thread_ts: Ts | None = None
    """The first message of the thread in which this is a reply; None outside threads."""
    metadata: Mapping[str, Any] | None = None
    edited: Ts | None = None
    """When it was edited in a way that Slack marks as such."""
    deleted: bool = False
    only_for: str | None = None
    """The one user who sees it, where it is ephemeral."""
    reactions: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What its buttons say, from top to bottom."""
        return tuple(element["text"]["text"] for _, element in elements(self.blocks, "button"))


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel (C…) or a direct conversation with the bot (D…)."""

    id: str
    name: str
    members: set[str]
    is_im: bool = False
    is_private: bool = False
    is_archived: bool = False
    messages: dict[Ts, Message] = field(default_factory=dict)
    threads: dict[Ts, list[Ts]] = field(default_factory=dict)
    """The replies to each first message, oldest first."""
    ephemerals: dict[Ts, Message] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A dialog (modal) or App Home of one user as it stands now."""

    id: str
    user: str
    body: Mapping[str, Any]
    """The view as the app gave it, with every block_id and action_id filled in."""
    hash: str
    root: str
    previous: str | None = None
    """The view below it in the user's stack."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """What stands under the inputs after a refused submission, by block_id; under "" a general failure."""

    @property
    def blocks(self) -> Blocks:
        return tuple(self.body["blocks"])

    @property
    def title(self) -> str:
        return str(self.body["title"]["text"]) if "title" in self.body else ""

    @property
    def callback_id(self) -> str:
        return str(self.body.get("callback_id", ""))

    @property
    def private_metadata(self) -> str:
        return str(self.body.get("private_metadata", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something changed: `kind` says what, and the rest where, as far as it applies.

    Kinds: user, channel, message, message_changed, message_deleted, ephemeral, reaction, view_opened,
    view_changed, view_closed, home, called (an API call was answered), connected, disconnected, held.
    """

    kind: str
    channel: str | None = None
    user: str | None = None
    ts: Ts | None = None


@dataclass(slots=True)
class Trigger:
    user: str
    at: float
    view: str | None
    exchanged: bool = False


@dataclass(slots=True)
class ResponseUrl:
    channel: str
    user: str
    at: float
    message: Ts | None
    uses: int = 0


def elements(blocks: Sequence[Mapping[str, Any]], *kinds: str) -> Iterator[tuple[Body, Body]]:
    """Every (block, element) in actions, accessories and inputs, of these types or of any."""
    for block in blocks:
        inner = [*block.get("elements", ()), block.get("accessory"), block.get("element")]
        for element in inner:
            if isinstance(element, dict) and (not kinds or element.get("type") in kinds):
                yield dict(block), element


def with_ids(blocks: Sequence[Mapping[str, Any]]) -> Blocks:
    """The blocks as Slack stores them: every block_id and action_id that the app left out is made up."""
    return tuple(_block_with_ids(dict(block)) for block in blocks)


def _block_with_ids(block: Body) -> Body:
    block.setdefault("block_id", secrets.token_hex(3))
    for name in ("accessory", "element"):
        if isinstance(block.get(name), dict):
            block[name] = _element_with_id(block[name])
    if block["type"] == "actions":
        block["elements"] = [_element_with_id(element) for element in block["elements"]]
    return block


def _element_with_id(element: Body) -> Body:
    return element if element.get("type") == "image" else {"action_id": secrets.token_hex(3), **element}


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
        self.stacks: dict[str, list[View]] = {}
        """Open dialogs of each user, the topmost last."""
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
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
