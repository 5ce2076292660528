"""The parts of Slack's payloads that we read; all the rest is passed over."""

from __future__ import annotations

import json
from binascii import a2b_qp
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.answers import UNREADABLE
from core.errors import Invalid
from core.model import ChannelName, MessageRef, Recipient

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

SLACK = ChannelName("slack")
COMMAND = "/countersign"
PREFIX = f"{COMMAND} "
SIGNED_AT = "countersign_signed_at"
"""The key under which our door adds to a payload when Slack signed it."""
FIELDS = 100
"""The most that a form has; Slack's have ten."""


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class User(Shape):
    id: str
    team_id: str | None = None
    """The user's own workspace, which is not always the one of the press."""


class Team(Shape):
    id: str


class Container(Shape):
    message_ts: str
    channel_id: str
    thread_ts: str | None = None


class Option(Shape):
    value: str


class Pressed(Shape):
    action_id: str
    value: str | None = None
    selected_option: Option | None = None
    """Where it is a menu."""
    action_ts: str | None = None


class Interaction(Shape):
    """What every press and every dialog has in common."""

    user: User
    team: Team | None = None
    """None in organisation-wide installations."""
    signed_at: int | None = Field(None, alias="countersign_signed_at")
    """When, in seconds since 1970; None over Socket Mode, where nobody gets hold of a request."""

    @property
    def user_team(self) -> str:
        """The workspace that the user belongs to; empty where Slack does not say."""
        return self.user.team_id or (self.team.id if self.team else "")


class ButtonPress(Interaction):
    """block_actions of a card."""

    type: Literal["block_actions"]
    trigger_id: str
    container: Container
    actions: list[Pressed] = Field(min_length=1)

    @property
    def token(self) -> str | None:
        """The pressed button's, or the chosen option's."""
        pressed = self.actions[0]
        return pressed.selected_option.value if pressed.selected_option else pressed.value

    @property
    def key(self) -> Hashable:
        """Of this very press, however often Slack delivers it."""
        return (self.type, self.trigger_id, self.actions[0].action_ts, self.user, self.token)


class Typing(Shape):
    """A slash command."""

    user_id: str
    team_id: str = ""
    text: str = ""
    trigger_id: str | None = None

    @property
    def key(self) -> str | None:
        """Of this very command: Slack gives no trigger twice."""
        return None if self.trigger_id is None else f"slack/{self.trigger_id}"


class HomeEvent(Shape):
    """app_home_opened."""

    user: str
    tab: str = "home"


class HomeOpened(Shape):
    """Its frame."""

    team_id: str
    """The workspace whose user opened it: nobody else sees an app's Home."""
    event: HomeEvent


class MentionEvent(Shape):
    """app_mention."""

    channel: str
    ts: str
    text: str = ""
    user: str | None = None
    bot_id: str | None = None
    team: str | None = None
    user_team: str | None = None
    thread_ts: str | None = None
    edited: object = None


class Mention(Shape):
    """Its frame."""

    team_id: str = ""
    is_ext_shared_channel: bool = True
    event: MentionEvent

    @property
    def user_team(self) -> str:
        """The workspace of whoever wrote; empty where Slack does not say, and it may be another."""
        own = "" if self.is_ext_shared_channel else self.team_id
        return self.event.user_team or self.event.team or own


class Typed(Shape):
    """What stands in an input: words, or an option chosen."""

    value: str | None = None
    selected_option: Option | None = None


class State(Shape):
    values: dict[str, dict[str, Typed]]

    def typed(self, block: str, action: str) -> str:
        """What stands in that input; empty where there is none."""
        found = self.values.get(block, {}).get(action)
        return (found.value if found else None) or ""


class View(Shape):
    id: str
    private_metadata: str
    state: State


class DialogSent(Interaction):
    """view_submission of a dialog."""

    type: Literal["view_submission"]
    trigger_id: str | None = None
    view: View

    @property
    def key(self) -> Hashable:
        """As a press's; a dialog that is sent again, after a refusal, has another. None without a trigger."""
        return self.trigger_id and (self.type, self.trigger_id, self.user, self.view.id)

    @property
    def origin(self) -> Origin:
        """Raises `Invalid` for what we did not write."""
        try:
            return Origin.model_validate_json(self.view.private_metadata)
        except ValidationError:
            raise Invalid(UNREADABLE) from None


class ClosedView(Shape):
    callback_id: str


class DialogClosed(Interaction):
    """view_closed: a dialog was given up, and what stood in it is gone with it."""

    type: Literal["view_closed"]
    view: ClosedView


class Origin(Shape):
    """What a dialog has to know of the press that opened it; kept in its private_metadata."""

    token: str
    channel: str
    ts: str
    shown: str | None = None
    """The SHA-256 of the text whose difference from the draft this person is looking at."""

    @classmethod
    def of(cls, press: ButtonPress) -> Self:
        place = press.container
        return cls(token=press.token or "", channel=place.channel_id, ts=place.message_ts)

    @property
    def copy_pressed(self) -> tuple[Recipient, MessageRef]:
        return copy_at(self.channel, self.ts)


def copy_at(channel: str, ts: str) -> tuple[Recipient, MessageRef]:
    """A message as core knows it: `CHANNEL/TS`."""
    return Recipient(channel=SLACK, address=channel), MessageRef(f"{channel}/{ts}")


def read(body: bytes, content_type: str) -> dict[str, Any] | None:
    """What a request brings, where it is something that bolt can take without an error; else None.

    Interactions come as a form whose `payload` is JSON, commands as a flat form, events as JSON.
    """
    try:
        return _read(body.decode(), content_type)
    except (ValueError, RecursionError):
        return None


def _read(text: str, content_type: str) -> dict[str, Any] | None:
    # as bolt itself does: what begins like JSON is JSON, whatever its type, and the last of several counts
    if content_type == "application/json" or text.startswith("{"):
        event = json.loads(text)
        return event if isinstance(event, dict) else None
    found = _payload(text)
    if found is None:
        form = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS))
        if "payload" not in form:
            return form or None
        found = form["payload"]
    payload: dict[str, Any] = json.loads(found)
    return payload if _is_interaction(payload) else None


def _payload(form: str) -> str | None:
    """The one field of an interaction, as Slack writes it; None where it takes more care to read.

    Quoted-printable differs from a form by the sign alone, and is read in C: 1 us instead of 35.
    """
    field = form.removeprefix("payload=")
    if field == form or not form.isascii() or any(sign in field for sign in "&=\r\n"):
        return None
    read_in_c = a2b_qp(field.replace("%", "=").replace("+", " "))
    is_whole = len(read_in_c) == len(field) - 2 * field.count("%")  # each sign with two digits after it
    return read_in_c.decode(errors="replace") if is_whole else None


def _is_interaction(payload: Mapping[str, object]) -> bool:
    try:
        Interaction.model_validate(payload)
    except ValidationError:
        return False
    return True
