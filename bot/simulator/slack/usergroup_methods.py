"""Simulated usergroups.*, as docs.slack.dev/reference/methods describes each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.simulator.slack.method import Args, Method
from bot.simulator.slack.pace import TIER_2
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from bot.simulator.slack.model import Body, UserGroup


def list_usergroups(workspace: Workspace, args: Args) -> Body:
    """In no particular order; the disabled ones on demand."""
    shown = [group for group in workspace.usergroups.values() if _is_seen(group, args)]
    return {
        "usergroups": [
            usergroup_json(
                workspace, group, users=args.flag("include_users"), count=args.flag("include_count")
            )
            for group in shown
        ]
    }


def list_users(workspace: Workspace, args: Args) -> Body:
    """All at once. Slack does not say what it answers of a disabled group; the simulator knows of none."""
    group = workspace.usergroups.get(args.required("usergroup"))
    if group is None or not _is_seen(group, args):
        raise SlackError("no_such_subteam")
    return {"users": list(group.users)}


def usergroup_json(workspace: Workspace, group: UserGroup, *, users: bool = True, count: bool = True) -> Body:
    """A user group as the Web API and events show it."""
    return {
        "id": group.id,
        "team_id": workspace.team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.handle,
        "handle": group.handle,
        "description": "",
        "is_external": False,
        "date_create": group.changed_at,
        "date_update": group.changed_at,
        "date_delete": group.changed_at if group.is_disabled else 0,
        "auto_type": None,
        "prefs": {"channels": [], "groups": []},
        **({"users": list(group.users)} if users else {}),
        **({"user_count": len(group.users)} if count else {}),
    }


def _is_seen(group: UserGroup, args: Args) -> bool:
    return not group.is_disabled or args.flag("include_disabled")


SCOPES = ("usergroups:read",)
METHODS = {
    "usergroups.list": Method(call=list_usergroups, scopes=SCOPES, rate=TIER_2),
    "usergroups.users.list": Method(call=list_users, scopes=SCOPES, rate=TIER_2),
}
