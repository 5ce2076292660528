"""What people do in the simulated workspace: press, fill in and send dialogs, write, use commands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.simulator.slack.delivery import Answer, Deliveries, Delivery, Forgery, Kind
from bot.simulator.slack.forms import NotOffered, button, chosen, state_values
from bot.simulator.slack.model import (
    Body,
    Channel,
    Message,
    Ts,
    User,
    UserGroup,
    View,
    elements,
    with_ids,
)
from bot.simulator.slack.payloads import Payloads
from bot.simulator.slack.view_methods import checked_view
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

EVENTS = frozenset(
    {
        "app_mention",
        "message.im",
        "app_home_opened",
        "subteam_members_changed",
        "subteam_updated",
        "member_joined_channel",
        "member_left_channel",
    }
)
"""What the app subscribes to unless told otherwise; there are `message.channels` and `message.groups` too."""
TROUBLE = "We had some trouble connecting. Try again?"
"""What Slack writes into a dialog whose submission was not answered well."""


class People:
    """Every call that reaches the app returns when the app has answered, or Slack has given up on it."""

    def __init__(self, workspace: Workspace, deliveries: Deliveries) -> None:
        self._workspace = workspace
        self._deliveries = deliveries
        self._payloads = Payloads(workspace)
        self.events: Collection[str] = EVENTS

    def action_payload(
        self, where: Message | View, wanted: str, *, user: str, option: str | None = None
    ) -> Body:
        """The block_actions payload of such a press, for `deliver`: to be altered, or sent again."""
        block, element = button(tuple(where.blocks), wanted)
        extra, person = chosen(element, option), self._person(user)
        if isinstance(where, View):
            return self._payloads.view_action(person, where, block, element, extra)
        return self._payloads.message_action(person, where, block, element, extra)

    async def press(
        self,
        where: Message | View,
        wanted: str,
        *,
        user: str,
        option: str | None = None,
        forged: Forgery | None = None,
    ) -> Answer:
        """Press what `wanted` names, by label or action_id, as this user saw it: `where` may be outdated.

        `option` is what is picked in a menu. Confirmation dialogs are confirmed. Raises `NotOffered`.
        """
        payload = self.action_payload(where, wanted, user=user, option=option)
        return await self.deliver(payload, forged=forged)

    async def submit(self, view: View, values: Mapping[str, Any] | None = None, *, user: str) -> Answer:
        """Fill in and send a dialog; `values` by label, block_id or action_id of the inputs.

        The dialog then closes, changes or shows errors as the app's answer says. Raises `NotOffered`.
        """
        state = state_values(view.blocks, values or {})
        payload = self._payloads.view_submission(self._person(user), view, state)
        answer = await self._send(Kind.INTERACTIVE, payload, accepts_payload=True)
        self._follow(view, answer)
        return answer

    async def close_view(self, view: View, *, user: str, whole_stack: bool = False) -> Answer | None:
        """Close a dialog (`whole_stack` is its x); None where the app did not ask to hear of it."""
        self._workspace.close_view(view, whole_stack=whole_stack)
        if not view.body.get("notify_on_close"):
            return None
        payload = self._payloads.view_closed(self._person(user), view, is_cleared=whole_stack)
        return await self._send(Kind.INTERACTIVE, payload)

    async def say(self, channel: str, text: str, *, user: str, thread_ts: str | None = None) -> Message:
        """Write into a channel; the app hears of it where it subscribed to that, and answered on return."""
        place = self._place(channel)
        message = Message(
            channel=place.id,
            ts=self._workspace.next_ts(),
            user=self._person(user).id,
            text=text,
            thread_ts=None if thread_ts is None else Ts(thread_ts),
        )
        self._workspace.put(message, "message")
        if self._workspace.bot.id in place.members:
            for name, kind in self._heard(place, text):
                if name in self.events:
                    await self._send(Kind.EVENT, self._payloads.event(self._payloads.said(message, kind)))
        return message

    async def command(self, command: str, text: str = "", *, user: str, channel: str) -> Answer:
        """Type a slash command; what the app answers with is shown to this user only."""
        place, person = self._place(channel), self._person(user)
        payload = self._payloads.command(person, place, command, text)
        answer = await self._send(Kind.COMMAND, payload, accepts_payload=True)
        if answer.ok and answer.body:
            self._show_reply(place, person, answer.body)
        return answer

    async def open_home(self, user: str) -> Answer | None:
        """Open the app's Home; None where the app did not subscribe to that."""
        if "app_home_opened" not in self.events:
            return None
        event = self._payloads.home_opened(self._person(user))
        return await self._send(Kind.EVENT, self._payloads.event(event))

    async def change_usergroup(
        self, group: str, *, users: Collection[str] | None = None, is_disabled: bool | None = None
    ) -> None:
        """Change who is in a user group, or switch it off or on; the app has heard of it on return."""
        before = self._usergroup(group)
        after = replace(
            before,
            users=before.users if users is None else tuple(users),
            is_disabled=before.is_disabled if is_disabled is None else is_disabled,
            changed_at=int(self._workspace.now()),
        )
        self._workspace.usergroups[group] = after
        events = [self._payloads.usergroup_updated(after)]
        if before.users != after.users:
            events.append(self._payloads.members_changed(before, after))
        for event in events:
            if event["type"] in self.events:
                await self._send(Kind.EVENT, self._payloads.event(event))

    async def join_channel(self, channel: str, *, user: str, inviter: str | None = None) -> None:
        """Come into a channel, by oneself or invited; an app that is in it has heard of it on return."""
        place, person = self._place(channel), self._person(user)
        if person.id not in place.members:
            place.members.add(person.id)
            await self._tell_of_member(self._payloads.member_joined(place, person, inviter))

    async def leave_channel(self, channel: str, *, user: str) -> None:
        """Leave a channel, or be removed from it; likewise."""
        place, person = self._place(channel), self._person(user)
        if person.id in place.members:
            place.members.remove(person.id)
            await self._tell_of_member(self._payloads.member_left(place, person))

    async def _tell_of_member(self, event: Body) -> None:
        place = self._place(event["channel"])
        self._workspace.tell("channel", channel=place.id)
        if event["type"] in self.events and self._workspace.bot.id in place.members:
            await self._send(Kind.EVENT, self._payloads.event(event))

    def _usergroup(self, group: str) -> UserGroup:
        if group not in self._workspace.usergroups:
            raise NotOffered(f"there is no user group {group!r}; add_usergroup makes one")
        return self._workspace.usergroups[group]

    async def deliver(
        self, payload: Body, *, kind: Kind = Kind.INTERACTIVE, forged: Forgery | None = None
    ) -> Answer:
        """Send any payload as Slack would, or as a forger would (HTTP only)."""
        return await self._send(kind, payload, forged=forged)

    async def _send(
        self, kind: Kind, payload: Body, *, accepts_payload: bool = False, forged: Forgery | None = None
    ) -> Answer:
        return await self._deliveries.deliver(
            Delivery(kind=kind, payload=payload, accepts_payload=accepts_payload, forged=forged)
        )

    def _follow(self, view: View, answer: Answer) -> None:
        """Do to the dialog, if it still stands, what the app's answer asks for, or show that it failed."""
        standing = [other for other in self._workspace.stacks.get(view.user, ()) if other.id == view.id]
        for current in standing:
            try:
                self._apply(current, answer)
            except SlackError:
                self._workspace.put_view(replace(current, errors={"": TROUBLE}))

    def _apply(self, view: View, answer: Answer) -> None:
        if not answer.ok or isinstance(answer.body, str):
            raise SlackError("no_good_answer")
        body = answer.body or {}
        match body.get("response_action"):
            case None if not body:
                self._workspace.close_view(view)
            case "clear":
                self._workspace.close_view(view, whole_stack=True)
            case "update":
                self._workspace.put_view(self._workspace.changed_view(view, checked_view(body.get("view"))))
            case "push":
                pushed = checked_view(body.get("view"))
                self._workspace.push_view(self._workspace.new_view(view.user, pushed, below=view))
            case "errors":
                self._workspace.put_view(replace(view, errors=_input_errors(view, body.get("errors"))))
            case _:
                raise SlackError("no_good_answer")

    def _show_reply(self, place: Channel, person: User, body: Body | str) -> None:
        """A command's immediate answer: text, or JSON with text and blocks."""
        reply: Body = {"text": body} if isinstance(body, str) else body
        message = Message(
            channel=place.id,
            ts=self._workspace.next_ts(),
            user=self._workspace.bot.id,
            text=str(reply.get("text", "")),
            blocks=with_ids(reply.get("blocks", ())),
            only_for=None if reply.get("response_type") == "in_channel" else person.id,
        )
        self._workspace.put(message, "message" if message.only_for is None else "ephemeral")

    def _heard(self, place: Channel, text: str) -> list[tuple[str, str]]:
        """Which subscriptions such a message concerns, and the type of the event for each."""
        kind = "im" if place.is_im else "groups" if place.is_private else "channels"
        heard = [(f"message.{kind}", "message")]
        if f"<@{self._workspace.bot.id}>" in text and not place.is_im:
            heard.append(("app_mention", "app_mention"))
        return heard

    def _person(self, user: str) -> User:
        if user not in self._workspace.users:
            raise NotOffered(f"there is no user {user!r}; add_user makes one")
        return self._workspace.users[user]

    def _place(self, channel: str) -> Channel:
        if channel not in self._workspace.channels:
            raise NotOffered(f"there is no channel {channel!r}; add_channel and open_im make them")
        return self._workspace.channels[channel]


def _input_errors(view: View, errors: object) -> dict[str, str]:
    """Errors must name input blocks, else Slack refuses the answer."""
    inputs = {block["block_id"] for block, _ in elements(view.blocks) if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not set(errors) <= inputs:
        raise SlackError("no_good_answer")
    return {block_id: str(sentence) for block_id, sentence in errors.items()}
