"""Simulated auth.*, conversations.* and users.*, as docs.slack.dev/reference/methods describes each."""

from __future__ import annotations

from bot.simulator.slack.method import Args, Method, message_json, seen_channel
from bot.simulator.slack.model import Body, Channel, Message, Ts, User
from bot.simulator.slack.pace import SPECIAL, TIER_2, TIER_3, TIER_4
from bot.simulator.slack.workspace import SlackError, Workspace


def auth_test(workspace: Workspace, _: Args) -> Body:
    return {
        "url": "https://simulated.slack.example/",
        "team": "Simulated workspace",
        "user": workspace.bot.name,
        "team_id": workspace.team_id,
        "user_id": workspace.bot.id,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


def open_conversation(workspace: Workspace, args: Args) -> Body:
    """Direct conversations with one person only; the simulator has none with several."""
    if "channel" in args:
        return {"channel": {"id": workspace.channel(args.text("channel")).id}}
    users = [user for user in args.text("users").split(",") if user]
    if len(users) != 1:
        raise SlackError("users_list_not_supplied" if not users else "not_enough_users")
    user = workspace.user(users[0])
    if user.is_bot:
        raise SlackError("cannot_dm_bot")
    return {"channel": {"id": workspace.im_with(user.id).id}}


def info(workspace: Workspace, args: Args) -> Body:
    return {"channel": channel_json(workspace, seen_channel(workspace, args))}


def list_conversations(workspace: Workspace, args: Args) -> Body:
    kinds = set(args.text("types").split(",")) if "types" in args else {"public_channel"}
    seen = [c for c in workspace.channels.values() if _kind(c) in kinds and _is_seen(workspace, c)]
    page, metadata = args.page([channel_json(workspace, channel) for channel in seen])
    return {"channels": page, "response_metadata": metadata}


def members(workspace: Workspace, args: Args) -> Body:
    page, metadata = args.page(sorted(seen_channel(workspace, args).members))
    return {"members": page, "response_metadata": metadata}


def history(workspace: Workspace, args: Args) -> Body:
    """Newest first, without replies."""
    channel = _joined(workspace, args)
    roots = [m for m in _standing(channel) if m.thread_ts is None and _is_asked(m, args)]
    page, metadata = args.page([_read(workspace, channel, m, args) for m in reversed(roots)])
    return {"messages": page, "has_more": bool(metadata["next_cursor"]), "response_metadata": metadata}


def replies(workspace: Workspace, args: Args) -> Body:
    channel = _joined(workspace, args)
    thread = workspace.thread(channel, Ts(args.required("ts")))
    if not thread:
        raise SlackError("thread_not_found")
    asked = [m for m in thread if m.ts == thread[0].ts or _is_asked(m, args)]
    page, metadata = args.page([_read(workspace, channel, m, args) for m in asked])
    return {"messages": page, "has_more": bool(metadata["next_cursor"]), "response_metadata": metadata}


def _is_asked(message: Message, args: Args) -> bool:
    """`oldest` itself is left out unless it is `inclusive`."""
    oldest = float(args.text("oldest") or 0)
    return float(message.ts) > oldest or (args.flag("inclusive") and float(message.ts) == oldest)


def _read(workspace: Workspace, channel: Channel, message: Message, args: Args) -> Body:
    """Of metadata only its type is told to who does not ask for more."""
    shown = message_json(workspace, channel, message.ts)
    if message.metadata is not None and not args.flag("include_all_metadata"):
        shown["metadata"] = {"event_type": message.metadata.get("event_type")}
    return shown


def join(workspace: Workspace, args: Args) -> Body:
    channel = seen_channel(workspace, args)
    if channel.is_im or channel.is_private:
        raise SlackError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackError("is_archived")
    channel.members.add(workspace.bot.id)
    workspace.tell("channel", channel=channel.id)
    return {"channel": channel_json(workspace, channel)}


def user_info(workspace: Workspace, args: Args) -> Body:
    return {"user": user_json(workspace.user(args.required("user")))}


def user_by_email(workspace: Workspace, args: Args) -> Body:
    """People of other workspaces are not found by e-mail."""
    email = args.required("email").lower()
    for user in workspace.users.values():
        if user.email and user.email.lower() == email and user.team == workspace.team_id:
            return {"user": user_json(user)}
    raise SlackError("users_not_found")


def user_json(user: User) -> Body:
    profile = {"real_name": user.name, "display_name": user.name, "email": user.email}
    return {
        "id": user.id,
        "team_id": user.team,
        "name": user.name.lower().replace(" ", "."),
        "real_name": user.name,
        "deleted": False,
        "is_bot": user.is_bot,
        "profile": {key: value for key, value in profile.items() if value is not None},
    }


def channel_json(workspace: Workspace, channel: Channel) -> Body:
    shown = {
        "id": channel.id,
        "is_channel": not channel.is_im and not channel.is_private,
        "is_group": channel.is_private,
        "is_im": channel.is_im,
        "is_private": channel.is_private or channel.is_im,
        "is_archived": channel.is_archived,
        "context_team_id": workspace.team_id,
    }
    if channel.is_im:
        others = sorted(channel.members - {workspace.bot.id})
        return {**shown, "user": others[0] if others else workspace.bot.id}
    is_member = workspace.bot.id in channel.members
    return {**shown, "name": channel.name, "is_member": is_member, "num_members": len(channel.members)}


def _kind(channel: Channel) -> str:
    if channel.is_im:
        return "im"
    return "private_channel" if channel.is_private else "public_channel"


def _is_seen(workspace: Workspace, channel: Channel) -> bool:
    return not channel.is_private or workspace.bot.id in channel.members


def _read_scope(channel: Channel) -> str:
    if channel.is_im:
        return "im:read"
    return "groups:read" if channel.is_private else "channels:read"


def _joined(workspace: Workspace, args: Args) -> Channel:
    channel = seen_channel(workspace, args)
    if workspace.bot.id not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def _standing(channel: Channel) -> list[Message]:
    return [message for message in channel.messages.values() if not message.deleted]


READ = ("channels:read", "groups:read", "im:read")
HISTORY = ("channels:history", "groups:history", "im:history")
METHODS = {
    "auth.test": Method(call=auth_test, rate=SPECIAL),
    "conversations.open": Method(call=open_conversation, scopes=("im:write",), rate=TIER_3),
    "conversations.info": Method(call=info, scopes=READ, rate=TIER_3),
    "conversations.list": Method(call=list_conversations, scopes=READ, rate=TIER_2),
    "conversations.members": Method(call=members, scopes=READ, scope_in=_read_scope, rate=TIER_4),
    "conversations.history": Method(call=history, scopes=HISTORY, rate=TIER_3),
    "conversations.replies": Method(call=replies, scopes=HISTORY, rate=TIER_3),
    "conversations.join": Method(call=join, scopes=("channels:join",), rate=TIER_3),
    "users.info": Method(call=user_info, scopes=("users:read",), rate=TIER_4),
    "users.lookupByEmail": Method(call=user_by_email, scopes=("users:read.email",), rate=TIER_3),
}
