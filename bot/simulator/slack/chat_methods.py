"""Simulated chat.* and reactions.*: messages, as docs.slack.dev/reference/methods describes each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.simulator.slack import limits
from bot.simulator.slack.method import Args, Method, blocks_of, message_json, seen_channel
from bot.simulator.slack.model import Blocks, Body, Channel, Message, Ts, with_ids
from bot.simulator.slack.pace import POST, SPECIAL, TIER_3, TIER_4
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_IDS = ("U", "W")


def post_message(workspace: Workspace, args: Args) -> Body:
    channel = open_channel(workspace, args)
    text, warnings = _cut(args.text("text"))
    blocks = _checked_blocks(args) or ()
    _refuse_empty(text, blocks)
    message = _put(workspace, channel, args, text=text, blocks=blocks, metadata=_metadata(args))
    answer = {
        "channel": channel.id,
        "ts": message.ts,
        "message": message_json(workspace, channel, message.ts),
    }
    return {**answer, **({"response_metadata": {"warnings": warnings}} if warnings else {})}


def _put(workspace: Workspace, channel: Channel, args: Args, **content: Any) -> Message:
    """A new message of the bot's, in the thread that was asked for."""
    message = Message(
        channel=channel.id,
        ts=workspace.next_ts(),
        user=workspace.bot.id,
        thread_ts=thread_root(channel, args.text("thread_ts")),
        **content,
    )
    return workspace.put(message, "ephemeral" if message.only_for else "message")


def update(workspace: Workspace, args: Args) -> Body:
    """Text without blocks removes the blocks and marks the message as edited; blocks leave no mark."""
    channel = seen_channel(workspace, args)
    if channel.is_archived:
        raise SlackError("is_inactive")
    old = _own(workspace, channel, args.required("ts"), "cant_update_message")
    new = _updated(workspace, old, args)
    workspace.put(new, "message_changed")
    shown = message_json(workspace, channel, new.ts)
    return {"channel": channel.id, "ts": new.ts, "text": new.text, "message": shown}


def delete(workspace: Workspace, args: Args) -> Body:
    channel = seen_channel(workspace, args)
    message = _own(workspace, channel, args.required("ts"), "cant_delete_message")
    workspace.put(replace(message, deleted=True), "message_deleted")
    return {"channel": channel.id, "ts": message.ts}


def post_ephemeral(workspace: Workspace, args: Args) -> Body:
    channel = open_channel(workspace, args)
    user = args.required("user")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    text, blocks = args.text("text"), _checked_blocks(args) or ()
    _refuse_empty(text, blocks)
    if len(text) > limits.POSTED_TEXT:
        raise SlackError("msg_too_long")
    return {"message_ts": _put(workspace, channel, args, text=text, blocks=blocks, only_for=user).ts}


def get_permalink(workspace: Workspace, args: Args) -> Body:
    channel = seen_channel(workspace, args)
    message = workspace.message(channel, args.required("message_ts"))
    path = f"archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts is not None:
        path += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": f"https://simulated.slack.example/{path}"}


def add_reaction(workspace: Workspace, args: Args) -> Body:
    channel = seen_channel(workspace, args)
    message = workspace.message(channel, args.required("timestamp"))
    name = args.required("name")
    if name in message.reactions:
        raise SlackError("already_reacted")
    workspace.put(replace(message, reactions=(*message.reactions, name)), "reaction")
    return {}


def _updated(workspace: Workspace, old: Message, args: Args) -> Message:
    blocks, text = _checked_blocks(args), args.text("text")
    if blocks is None and not text:
        raise SlackError("no_text")
    if len(text) > limits.UPDATED_TEXT:
        raise SlackError("msg_too_long")
    _refuse_empty(text, blocks or ())
    return replace(
        old,
        text=text,
        blocks=blocks or (),
        metadata=(_metadata(args) or None) if "metadata" in args else old.metadata,
        edited=old.edited if blocks else workspace.next_ts(),
    )


def open_channel(workspace: Workspace, args: Args, name: str = "channel") -> Channel:
    """Where the bot may post: `name` holds an id, a #name, or a user, whose direct conversation is meant."""
    wanted = args.required(name)
    if wanted.startswith(USER_IDS) and wanted in workspace.users:
        return workspace.im_with(wanted)
    named = [c for c in workspace.channels.values() if c.name == wanted.removeprefix("#") and not c.is_im]
    channel = named[0] if named else workspace.channel(wanted)
    if workspace.bot.id not in channel.members:
        raise SlackError("channel_not_found" if channel.is_private or channel.is_im else "not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return channel


def _own(workspace: Workspace, channel: Channel, ts: str, error: str) -> Message:
    """The bot's own message; an ephemeral one is never found."""
    message = workspace.message(channel, ts)
    if message.user != workspace.bot.id:
        raise SlackError(error)
    return message


def _cut(text: str) -> tuple[str, list[str]]:
    if len(text) <= limits.POSTED_TEXT:
        return text, []
    return text[: limits.POSTED_TEXT], ["message_truncated"]


def _refuse_empty(text: str, blocks: Blocks) -> None:
    if not blocks and not text.strip():
        raise SlackError("no_text")


def _checked_blocks(args: Args) -> Blocks | None:
    """The call's blocks with every id filled in; None where the call names none."""
    blocks = blocks_of(args)
    if blocks is None:
        return None
    problems = limits.message_problems(list(blocks))
    if problems:
        messages = [f"[ERROR] {problem}" for problem in problems]
        raise SlackError("invalid_blocks", errors=problems, response_metadata={"messages": messages})
    if limits.blocks_text_length(blocks) > limits.BLOCKS_TEXT:
        raise SlackError("msg_blocks_too_long")
    return with_ids(blocks)


def _metadata(args: Args) -> Mapping[str, Any] | None:
    """The message's metadata; {} where the call takes it away."""
    metadata = args.json("metadata", "invalid_metadata_format")
    if not metadata:
        return metadata if metadata is None else {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    if len(json.dumps(metadata).encode()) > limits.METADATA_BYTES:
        raise SlackError("metadata_too_large")
    return metadata


def thread_root(channel: Channel, thread_ts: str) -> Ts | None:
    """The first message of the thread, also where the call names a reply of it."""
    if not thread_ts:
        return None
    named = channel.messages.get(Ts(thread_ts))
    return Ts(thread_ts) if named is None or named.thread_ts is None else named.thread_ts


WRITE = ("chat:write",)
METHODS = {
    "chat.postMessage": Method(call=post_message, scopes=WRITE, rate=POST),
    "chat.update": Method(call=update, scopes=WRITE, rate=TIER_3),
    "chat.delete": Method(call=delete, scopes=WRITE, rate=TIER_3),
    "chat.postEphemeral": Method(call=post_ephemeral, scopes=WRITE, rate=TIER_4),
    "chat.getPermalink": Method(call=get_permalink, rate=SPECIAL),
    "reactions.add": Method(call=add_reaction, scopes=("reactions:write",), rate=TIER_3),
}
