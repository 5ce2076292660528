"""Response URLs: five answers within half an hour, without a token (handling user interaction)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from bot.simulator.slack.limits import message_problems
from bot.simulator.slack.model import Body, Message, ResponseUrl, Ts, with_ids
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from bot.simulator.slack.model import Channel


async def respond(workspace: Workspace, request: web.Request) -> web.Response:
    """Post, replace or delete; 404 for a URL that is over and 400 for a body that Slack refuses."""
    try:
        url = workspace.use_response_url(request.match_info["token"])
    except SlackError as error:
        return web.json_response(error.answer, status=404)
    try:
        _act(workspace, url, _body(await request.read()))
    except SlackError as error:
        return web.json_response(error.answer, status=400)
    return web.Response(text="ok")


def _body(raw: bytes) -> Body:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise SlackError("invalid_payload") from error
    if not isinstance(body, dict):
        raise SlackError("invalid_payload")
    return body


def _act(workspace: Workspace, url: ResponseUrl, body: Body) -> None:
    channel = workspace.channels[url.channel]
    if body.get("delete_original"):
        workspace.put(replace(_original(channel, url), deleted=True), "message_deleted")
        return
    text, blocks = str(body.get("text", "")), body.get("blocks") or []
    if not text and not blocks:
        raise SlackError("no_text")
    if message_problems(blocks):
        raise SlackError("invalid_blocks")
    if body.get("replace_original"):
        changed = replace(_original(channel, url), text=text, blocks=with_ids(blocks))
        workspace.put(changed, "message_changed")
        return
    only_for = None if body.get("response_type") == "in_channel" else url.user
    message = Message(
        channel=channel.id,
        ts=workspace.next_ts(),
        user=workspace.bot.id,
        text=text,
        blocks=with_ids(blocks),
        thread_ts=Ts(body["thread_ts"]) if body.get("thread_ts") else None,
        only_for=only_for,
    )
    workspace.put(message, "message" if only_for is None else "ephemeral")


def _original(channel: Channel, url: ResponseUrl) -> Message:
    """The message that was pressed, the ephemeral ones included: only a response URL can change those."""
    if url.message is None:
        raise SlackError("message_not_found")
    found = channel.messages.get(url.message) or channel.ephemerals.get(url.message)
    if found is None or found.deleted:
        raise SlackError("message_not_found")
    return found
