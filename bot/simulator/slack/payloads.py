"""The JSON that Slack sends for each thing a person does.

Shapes: bolt-python's `tests/scenario_tests_async` and docs.slack.dev, "interaction payloads".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from bot.simulator.slack.directory_methods import user_json
from bot.simulator.slack.method import message_json
from bot.simulator.slack.usergroup_methods import usergroup_json
from bot.simulator.slack.view_methods import view_json

if TYPE_CHECKING:
    from bot.simulator.slack.model import Body, Channel, Message, Ts, User, UserGroup, View
    from bot.simulator.slack.workspace import Workspace

DOMAIN = "simulated"
VERIFICATION_TOKEN = "simulated-verification-token"  # noqa: S105 - deprecated by Slack; nothing checks it


class Payloads:
    """Writes payloads for one workspace, and issues the triggers and response URLs in them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def message_action(self, user: User, message: Message, block: Body, element: Body, extra: Body) -> Body:
        """block_actions of a press on a message; that of an ephemeral one carries no message."""
        channel = self._workspace.channels[message.channel]
        container: Body = {"type": "message", "message_ts": message.ts, "channel_id": channel.id}
        container["is_ephemeral"] = message.only_for is not None
        if message.thread_ts is not None:
            container["thread_ts"] = message.thread_ts
        return {
            **self._interaction("block_actions", user),
            "container": container,
            "trigger_id": self._workspace.issue_trigger(user.id),
            "channel": {"id": channel.id, "name": "directmessage" if channel.is_im else channel.name},
            **({} if message.only_for else {"message": self._seen(channel, message)}),
            "state": {"values": {}},
            "response_url": self._workspace.issue_response_url(channel.id, user.id, message.ts),
            "actions": [self._action(block, element, extra)],
        }

    def view_action(self, user: User, view: View, block: Body, element: Body, extra: Body) -> Body:
        return {
            **self._interaction("block_actions", user),
            "container": {"type": "view", "view_id": view.id},
            "trigger_id": self._workspace.issue_trigger(user.id, view.id),
            "view": view_json(self._workspace, view),
            "actions": [self._action(block, element, extra)],
        }

    def view_submission(self, user: User, view: View, values: Body) -> Body:
        return {
            **self._interaction("view_submission", user),
            "trigger_id": self._workspace.issue_trigger(user.id, view.id),
            "view": view_json(self._workspace, view, values),
            "response_urls": [],
        }

    def view_closed(self, user: User, view: View, *, is_cleared: bool) -> Body:
        shown = view_json(self._workspace, view)
        return {**self._interaction("view_closed", user), "view": shown, "is_cleared": is_cleared}

    def command(self, user: User, channel: Channel, command: str, text: str) -> Body:
        """Flat, as a form has it."""
        return {
            "token": VERIFICATION_TOKEN,
            "team_id": self._workspace.team_id,
            "team_domain": DOMAIN,
            "channel_id": channel.id,
            "channel_name": "directmessage" if channel.is_im else channel.name,
            "user_id": user.id,
            "user_name": user_json(user)["name"],
            "command": command,
            "text": text,
            "api_app_id": self._workspace.app_id,
            "is_enterprise_install": "false",
            "response_url": self._workspace.issue_response_url(channel.id, user.id, None),
            "trigger_id": self._workspace.issue_trigger(user.id),
        }

    def event(self, event: Body) -> Body:
        """The Events API's frame; every redelivery carries the same `event_id`."""
        authorization = {
            "enterprise_id": None,
            "team_id": self._workspace.team_id,
            "user_id": self._workspace.bot.id,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        return {
            "token": VERIFICATION_TOKEN,
            "team_id": self._workspace.team_id,
            "api_app_id": self._workspace.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": int(self._workspace.now()),
            "authorizations": [authorization],
            "is_ext_shared_channel": False,
            "event_context": f"simulated-{secrets.token_hex(8)}",
        }

    def said(self, message: Message, kind: str) -> Body:
        """The inner event of `message` or `app_mention`."""
        channel = self._workspace.channels[message.channel]
        event: Body = {
            "type": kind,
            "user": message.user,
            "text": message.text,
            "ts": message.ts,
            "event_ts": message.ts,
            "channel": channel.id,
            "team": self._workspace.users[message.user].team,
        }
        if message.thread_ts is not None:
            event["thread_ts"] = message.thread_ts
        return event if kind == "app_mention" else {**event, "channel_type": _channel_type(channel)}

    def members_changed(self, before: UserGroup, after: UserGroup) -> Body:
        """Only who came and who left (docs.slack.dev, events)."""
        added = [user for user in after.users if user not in before.users]
        removed = [user for user in before.users if user not in after.users]
        return {
            "type": "subteam_members_changed",
            "subteam_id": after.id,
            "team_id": self._workspace.team_id,
            "date_previous_update": before.changed_at,
            "date_update": after.changed_at,
            "added_users": added,
            "added_users_count": str(len(added)),
            "removed_users": removed,
            "removed_users_count": str(len(removed)),
        }

    def usergroup_updated(self, group: UserGroup) -> Body:
        return {"type": "subteam_updated", "subteam": usergroup_json(self._workspace, group)}

    def member_joined(self, channel: Channel, user: User, inviter: str | None) -> Body:
        invited = {} if inviter is None else {"inviter": inviter}
        return self._member("member_joined_channel", channel, user) | invited

    def member_left(self, channel: Channel, user: User) -> Body:
        return self._member("member_left_channel", channel, user)

    def _member(self, kind: str, channel: Channel, user: User) -> Body:
        return {
            "type": kind,
            "user": user.id,
            "channel": channel.id,
            "channel_type": "G" if channel.is_private else "C",
            "team": user.team,
            "event_ts": self._workspace.next_ts(),
        }

    def home_opened(self, user: User) -> Body:
        channel = self._workspace.im_with(user.id)
        view = self._workspace.homes.get(user.id)
        shown = {} if view is None else {"view": view_json(self._workspace, view)}
        event_ts: Ts = self._workspace.next_ts()
        return {
            "type": "app_home_opened",
            "user": user.id,
            "channel": channel.id,
            "tab": "home",
            "event_ts": event_ts,
            **shown,
        }

    def _interaction(self, kind: str, user: User) -> Body:
        return {
            "type": kind,
            "user": {
                "id": user.id,
                "username": user_json(user)["name"],
                "name": user_json(user)["name"],
                "team_id": user.team,
            },
            "team": {"id": self._workspace.team_id, "domain": DOMAIN},
            "api_app_id": self._workspace.app_id,
            "token": VERIFICATION_TOKEN,
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _action(self, block: Body, element: Body, extra: Body) -> Body:
        ids = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"]}
        return {**ids, "action_ts": self._workspace.next_ts(), **extra}

    def _seen(self, channel: Channel, message: Message) -> Body:
        """The message as the presser saw it, which may be a version older than what stands there now."""
        current = self._workspace.message(channel, message.ts)
        return {
            **message_json(self._workspace, channel, message.ts),
            "text": message.text,
            "blocks": list(message.blocks or current.blocks),
        }


def _channel_type(channel: Channel) -> str:
    if channel.is_im:
        return "im"
    return "group" if channel.is_private else "channel"
