"""Simulated files.*: an upload in three steps, as docs.slack.dev/reference/methods describes each.

A URL is asked for, the bytes are posted there without a token, and completing it shares the file.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from bot.simulator.slack.chat_methods import open_channel, thread_root
from bot.simulator.slack.limits import FILE_BYTES
from bot.simulator.slack.method import Method
from bot.simulator.slack.model import File, Message, Upload
from bot.simulator.slack.pace import TIER_4
from bot.simulator.slack.workspace import SlackError

if TYPE_CHECKING:
    from bot.simulator.slack.method import Args
    from bot.simulator.slack.model import Body
    from bot.simulator.slack.workspace import Workspace

CONVERSATION = re.compile(r"[CGDZ][A-Z0-9]+")
"""No user and no name, unlike in chat.postMessage (bolt-js issue 2115)."""


def get_upload_url(workspace: Workspace, args: Args) -> Body:
    name, length = args.required("filename"), args.required("length")
    if not length.isdecimal() or int(length) == 0:
        raise _wrong("must be a positive integer [json-pointer:/length]")
    if int(length) > FILE_BYTES:
        raise SlackError("file_upload_size_restricted")
    token = secrets.token_urlsafe(24)
    upload = Upload(file_id=f"F{secrets.token_hex(5).upper()}", name=name, length=int(length))
    workspace.uploads[token] = upload
    return {"upload_url": f"{workspace.base_url}/upload/v1/{token}", "file_id": upload.file_id}


async def take_upload(workspace: Workspace, request: web.Request) -> web.Response:
    """The bytes, raw; nobody has to say who they are."""
    upload = workspace.uploads.get(request.match_info["token"])
    if upload is None:
        return web.Response(status=404, text="no such upload")
    content = await request.read()
    if len(content) != upload.length:
        return web.Response(status=400, text="not the length that was named")
    upload.content = content
    return web.Response(text=f"OK - {len(content)}")


def complete_upload(workspace: Workspace, args: Args) -> Body:
    """Share what was uploaded, as a message of the bot's; without a channel it stays private."""
    asked = args.json("files")
    if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
        raise _wrong("missing required field: files")
    place = args.text("channel_id")
    if place and not CONVERSATION.fullmatch(place):
        raise _wrong("input must match regex pattern: ^[CGDZ][A-Z0-9]{8,}$ [json-pointer:/channel_id]")
    channel = open_channel(workspace, args, "channel_id") if place else None
    files = tuple(_completed(workspace, one) for one in asked)
    if channel is not None:
        message = Message(
            channel=channel.id,
            ts=workspace.next_ts(),
            user=workspace.bot.id,
            text=args.text("initial_comment"),
            thread_ts=thread_root(channel, args.text("thread_ts")),
            files=files,
        )
        workspace.put(message, "message")
    # Where it was shared is not told: Slack does that later.
    return {"files": [{"id": file.id, "title": file.title} for file in files]}


def _completed(workspace: Workspace, asked: Body) -> File:
    for token, upload in workspace.uploads.items():
        if upload.file_id == asked.get("id") and upload.content is not None:
            del workspace.uploads[token]
            file = File(
                id=upload.file_id,
                name=upload.name,
                title=str(asked.get("title") or upload.name),
                content=upload.content,
            )
            workspace.files[file.id] = file
            return file
    raise SlackError("file_not_found")


def _wrong(problem: str) -> SlackError:
    return SlackError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {problem}"]})


WRITE = ("files:write",)
METHODS = {
    "files.getUploadURLExternal": Method(call=get_upload_url, scopes=WRITE, rate=TIER_4),
    "files.completeUploadExternal": Method(call=complete_upload, scopes=WRITE, rate=TIER_4),
}
