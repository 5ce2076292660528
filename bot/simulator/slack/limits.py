"""Slack's limits as named figures, and what Slack finds wrong with blocks and views.

Sources: the constants of `slack_sdk.models` 3.47 where it has one, else Slack's reference pages
(docs.slack.dev); a figure that comes from elsewhere says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.simulator.slack.elements import element_problems, text_problems, too_long, too_many, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
VIEW_BYTES = 250_000
"""`view_too_large`: "greater than 250kb" (reference of views.open)."""
VIEW_TITLE = 24
"""The same for `submit` and `close`."""
PRIVATE_METADATA = 3000
CALLBACK_ID = 255
MODAL_STACK = 3
"""`push_limit_reached` (reference of views.push)."""
POSTED_TEXT = 40_000
"""chat.postMessage cuts what is longer (reference of chat.postMessage)."""
UPDATED_TEXT = 4000
"""chat.update refuses what is longer (`msg_too_long`)."""
BLOCKS_TEXT = 12_000
"""All texts of a message's blocks together, else `msg_blocks_too_long`: what Slack's staff name in bolt-js
issue 2509. Issue 2867 there saw 11,341 in 45 blocks refused and 9,597 in 50 accepted: stay well below."""
FILE_BYTES = 1_000_000_000
"""`file_upload_size_restricted`; Slack's help names 1 GB for a file."""
METADATA_BYTES = 16_000
"""`metadata_too_large`; Slack names 16 kB."""

TRIGGER_SECONDS = 3.0
"""Life of a `trigger_id` (handling user interaction)."""
ACK_SECONDS = 3.0
"""How long Slack waits for the answer to a delivery (handling user interaction)."""
RESPONSE_URL_USES = 5
RESPONSE_URL_SECONDS = 30 * 60.0
EVENT_RETRY_SECONDS = (0.0, 60.0, 300.0)
"""Waits before the three redeliveries of an event (Events API, "error handling")."""
SIGNATURE_SECONDS = 300
"""Apps refuse a signed timestamp older than this ("verifying requests from Slack")."""
SOCKETS = 10
"""WebSocket connections an app may hold at once (using Socket Mode)."""

BLOCK_ID = 255
SECTION_TEXT = 3000
SECTION_FIELDS = 10
FIELD_TEXT = 2000
HEADER_TEXT = 150
ACTIONS_ELEMENTS = 25
CONTEXT_ELEMENTS = 10
MARKDOWN_TEXT = 12_000
LABEL = 2000
IMAGE_URL = 3000
ALT_TEXT = 2000

KNOWN_BLOCKS = frozenset(types_of(Block))


def message_problems(blocks: object) -> list[str]:
    """What Slack refuses in a message's blocks, each with its JSON pointer; empty where all is well."""
    return _blocks_problems(blocks, "/blocks", MESSAGE_BLOCKS)


def view_problems(view: Mapping[str, Any]) -> list[str]:
    """What Slack refuses in a view, each with its JSON pointer; empty where all is well."""
    found = [*_frame_problems(view), *_blocks_problems(view.get("blocks"), "/view/blocks", VIEW_BLOCKS)]
    if not found and _has_input(view) and view.get("type") == "modal" and "submit" not in view:
        found.append(
            "`submit` is required when an input block is within the blocks array [json-pointer:/view]"
        )
    return found or _sdk_problems(lambda: View(**view).validate_json(), "/view")


def is_view_too_large(view: Mapping[str, Any]) -> bool:
    return len(json.dumps(view).encode()) > VIEW_BYTES


def blocks_text_length(blocks: Sequence[Mapping[str, Any]]) -> int:
    """Characters in everything called `text` in these blocks."""
    return sum(map(len, _texts(blocks)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "text" and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _frame_problems(view: Mapping[str, Any]) -> Iterator[str]:
    if view.get("type") not in ("modal", "home"):
        yield f"unsupported type: {view.get('type')} [json-pointer:/view/type]"
    if view.get("type") == "modal" and "title" not in view:
        yield "missing required field: title [json-pointer:/view]"
    for name in ("title", "submit", "close"):
        if name in view:
            yield from text_problems(view[name], f"/view/{name}", VIEW_TITLE, plain=True)
    yield from too_long(view.get("private_metadata"), "/view/private_metadata", PRIVATE_METADATA)
    yield from too_long(view.get("callback_id"), "/view/callback_id", CALLBACK_ID)
    yield from too_long(view.get("external_id"), "/view/external_id", CALLBACK_ID)


def _has_input(view: Mapping[str, Any]) -> bool:
    return any(block["type"] == "input" for block in view["blocks"])


def _blocks_problems(blocks: object, path: str, limit: int) -> list[str]:
    if not isinstance(blocks, list):
        return [f"must provide an array [json-pointer:{path}]"]
    found = list(too_many(blocks, path, limit))
    for index, block in enumerate(blocks):
        found += _block_problems(block, f"{path}/{index}")
    return found + list(_repeated_ids(blocks, path))


def _repeated_ids(blocks: Sequence[object], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(block_id, str):
            if block_id in seen:
                yield f"`block_id` already exists: {block_id} [json-pointer:{path}/{index}/block_id]"
            seen.add(block_id)


def _block_problems(block: object, path: str) -> list[str]:
    if not isinstance(block, dict):
        return [f"must be a valid object [json-pointer:{path}]"]
    kind = str(block.get("type"))
    if kind not in KNOWN_BLOCKS:
        return [f"unsupported type: {kind} [json-pointer:{path}/type]"]
    found = list(too_long(block.get("block_id"), f"{path}/block_id", BLOCK_ID))
    if kind in CHECKS:
        found += CHECKS[kind](block, path)
    return found or _sdk_problems(lambda: _parse(block), path)


def _parse(block: dict[str, Any]) -> None:
    parsed = Block.parse(block)
    if parsed is not None:
        parsed.validate_json()


def _sdk_problems(check: Callable[[], None], path: str) -> list[str]:
    """What slack_sdk's own models say; they raise whatever comes first where a field is missing or odd."""
    try:
        check()
    except SlackObjectFormationError as error:
        return [f"{error} [json-pointer:{path}]"]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return [f"failed to match all allowed schemas: {error} [json-pointer:{path}]"]
    return []


def _section(block: Mapping[str, Any], path: str) -> Iterator[str]:
    if "text" not in block and not block.get("fields"):
        yield f"missing required field: text [json-pointer:{path}]"
    if "text" in block:
        yield from text_problems(block["text"], f"{path}/text", SECTION_TEXT)
    fields = block.get("fields", [])
    yield from too_many(fields, f"{path}/fields", SECTION_FIELDS)
    for index, field in enumerate(fields if isinstance(fields, list) else ()):
        yield from text_problems(field, f"{path}/fields/{index}", FIELD_TEXT)
    if "accessory" in block:
        yield from element_problems(block["accessory"], f"{path}/accessory")


def _header(block: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from text_problems(block.get("text"), f"{path}/text", HEADER_TEXT, plain=True)


def _actions(block: Mapping[str, Any], path: str) -> Iterator[str]:
    elements = block.get("elements")
    yield from too_many(elements, f"{path}/elements", ACTIONS_ELEMENTS, at_least=1)
    seen: set[str] = set()
    for index, element in enumerate(elements if isinstance(elements, list) else ()):
        at = f"{path}/elements/{index}"
        yield from element_problems(element, at)
        action_id = element.get("action_id") if isinstance(element, dict) else None
        if isinstance(action_id, str):
            if action_id in seen:
                yield f"`action_id` already exists in this block: {action_id} [json-pointer:{at}/action_id]"
            seen.add(action_id)


def _context(block: Mapping[str, Any], path: str) -> Iterator[str]:
    elements = block.get("elements")
    yield from too_many(elements, f"{path}/elements", CONTEXT_ELEMENTS, at_least=1)
    for index, element in enumerate(elements if isinstance(elements, list) else ()):
        if not isinstance(element, dict) or element.get("type") != "image":
            yield from text_problems(element, f"{path}/elements/{index}", SECTION_TEXT)


def _input(block: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from text_problems(block.get("label"), f"{path}/label", LABEL, plain=True)
    if "hint" in block:
        yield from text_problems(block["hint"], f"{path}/hint", LABEL, plain=True)
    yield from element_problems(block.get("element"), f"{path}/element")


def _image(block: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from too_long(block.get("image_url"), f"{path}/image_url", IMAGE_URL)
    yield from too_long(block.get("alt_text"), f"{path}/alt_text", ALT_TEXT, at_least=1)


def _markdown(block: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from too_long(block.get("text"), f"{path}/text", MARKDOWN_TEXT, at_least=1)


CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], Iterator[str]]] = {
    "section": _section,
    "header": _header,
    "actions": _actions,
    "context": _context,
    "input": _input,
    "image": _image,
    "markdown": _markdown,
}
"""Block types that we walk ourselves, because slack_sdk does not look inside their elements."""
