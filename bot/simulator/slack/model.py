"""What a simulated Slack workspace holds: people, channels, messages, dialogs. It knows no HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NewType, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Body: TypeAlias = dict[str, Any]
"""JSON as Slack sends or takes it."""
Blocks: TypeAlias = tuple[Body, ...]
Ts = NewType("Ts", str)
"""A message's id in its channel: seconds since 1970 with six decimals, never the same twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody in Slack; `team` differs from the workspace's for people of a Slack Connect channel."""

    id: str
    name: str
    team: str
    email: str | None = None
    is_bot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What was uploaded and shared."""

    id: str
    name: str
    title: str
    content: bytes = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Upload:
    """A file on its way; `content` is None until it has arrived."""

    file_id: str
    name: str
    length: int
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroup:
    """A user group (S…) as it stands now; `changed_at` is in seconds since 1970."""

    id: str
    handle: str
    users: tuple[str, ...]
    changed_at: int
    is_disabled: bool = False


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
    files: tuple[File, ...] = ()

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
