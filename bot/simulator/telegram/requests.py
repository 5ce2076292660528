"""How a Bot API call is read off HTTP: GET or POST; query, urlencoded, multipart or JSON; one mapping out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.simulator.telegram.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INTEGERS = frozenset(
    [
        "chat_id",
        "message_id",
        "message_thread_id",
        "reply_to_message_id",
        "user_id",
        "offset",
        "limit",
        "timeout",
        "max_connections",
        "icon_color",
        "cache_time",
    ]
)
FLAGS = frozenset(
    [
        "show_alert",
        "drop_pending_updates",
        "allow_sending_without_reply",
        "disable_notification",
        "protect_content",
        "disable_content_type_detection",
        "is_big",
    ]
)
OBJECTS = frozenset({"reply_markup", "reply_parameters", "link_preview_options", "scope"})
LISTS = frozenset({"allowed_updates"})
LISTS_OF_OBJECTS = frozenset({"entities", "caption_entities", "commands", "reaction"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file sent with a call."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


async def read_params(request: web.Request) -> dict[str, Any]:
    """All parameters with the types that the Bot API gives them; what does not fit stays as it came."""
    params: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        params |= await _json(request)
    elif request.method == "POST":
        form = await request.post()
        params |= {name: _part(value) for name, value in form.items()}
    return {name: _typed(name, value) for name, value in _joined(params.items()) if value is not None}


async def _json(request: web.Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(body, dict):
        raise bad_request("object expected")
    return body


def _part(value: str | bytes | bytearray | web.FileField) -> object:
    if isinstance(value, web.FileField):
        return Upload(name=value.filename, content_type=value.content_type, content=value.file.read())
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def _joined(params: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    """A value `attach://NAME` stands for the part NAME."""
    known = dict(params)
    for name, value in known.items():
        is_attached = isinstance(value, str) and value.startswith("attach://")
        yield name, known.get(value.removeprefix("attach://"), value) if is_attached else value


def _typed(name: str, value: Any) -> Any:
    if name in OBJECTS | LISTS | LISTS_OF_OBJECTS:
        return _structure(name, value)
    if name in INTEGERS:
        return _integer(name, value)
    if name in FLAGS and isinstance(value, str):
        return value.lower() in {"true", "1", "yes"}
    return value


def _integer(name: str, value: Any) -> int | str:
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        raise bad_request(f"invalid {name} specified")
    return int(value) if value.removeprefix("-").isdecimal() else value


def _structure(name: str, value: Any) -> Any:
    """JSON, also where it comes as text; of the shape that this parameter has."""
    refusal = bad_request(f"can't parse {name.replace('_', ' ')} JSON object")
    try:
        structure = json.loads(value) if isinstance(value, str) and value else value or None
    except (ValueError, RecursionError) as error:
        raise refusal from error
    if structure is None or (name in OBJECTS and isinstance(structure, dict)):
        return structure
    is_list = name not in OBJECTS and isinstance(structure, list)
    if is_list and (name in LISTS or all(isinstance(one, dict) for one in structure)):
        return structure
    raise refusal
