"""The Bot API's methods on messages: send, edit, delete, pin, react, and answer a press."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from bot.simulator.telegram.chats import Answer, Chat, ChatKind, Message, Standing, StoredFile
from bot.simulator.telegram.entities import formatted
from bot.simulator.telegram.errors import NOT_MODIFIED, QUERY_TOO_OLD, bad_request
from bot.simulator.telegram.keyboards import Markup, read_markup
from bot.simulator.telegram.limits import (
    ANSWER_LENGTH,
    CAPTION_LENGTH,
    DELETION_WINDOW,
    TEXT_LENGTH,
    UPLOAD_BYTES,
    utf16_length,
)
from bot.simulator.telegram.reader import Formatted
from bot.simulator.telegram.requests import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.simulator.telegram.chats import State

CHAT_ACTIONS = frozenset(
    [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ]
)


def send_message(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    chat = _writable(state, params)
    text = _text(state, params)
    return _posted(state, chat, params, text)


def send_document(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    chat = _writable(state, params)
    caption = _caption(state, params)
    return _posted(state, chat, params, caption, document=_document(state, params.get("document")))


def edit_message_text(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    message = _editable(state, params)
    if message.document is not None:
        raise bad_request("there is no text in the message to edit")
    return _edited(state, message, params, _text(state, params))


def edit_message_caption(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    message = _editable(state, params)
    if message.document is None:
        raise bad_request("there is no caption in the message to edit")
    return _edited(state, message, params, _caption(state, params))


def edit_message_reply_markup(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    message = _editable(state, params)
    return _edited(state, message, params, Formatted(text=message.text, entities=message.entities))


def delete_message(state: State, params: Mapping[str, Any]) -> bool:
    chat, message = _standing(state, params, "delete")
    is_ours = message.sender in {None, state.bot}
    may = is_ours or chat.kind is ChatKind.PRIVATE or chat.bot is Standing.ADMINISTRATOR
    if not may or state.now() - message.date > DELETION_WINDOW:
        raise bad_request("message can't be deleted")
    state.change(message, deleted=True)
    return True


def answer_callback_query(state: State, params: Mapping[str, Any]) -> bool:
    """One answer per query, within the window; the text is what the presser sees."""
    press = state.presses.get(str(params.get("callback_query_id")))
    text = params.get("text") or None
    if press is None or press.answered or state.now() > press.expires:
        raise bad_request(QUERY_TOO_OLD)
    if text is not None and utf16_length(str(text)) > ANSWER_LENGTH:
        raise bad_request("MESSAGE_TOO_LONG")
    show_alert = params.get("show_alert") is True
    press.answer(text=text, show_alert=show_alert, url=params.get("url"))
    answer = Answer(
        query_id=press.query_id, user=press.user, text=text, show_alert=show_alert, at=state.now()
    )
    state.answers.append(answer)
    return True


def pin_chat_message(state: State, params: Mapping[str, Any]) -> bool:
    chat, message = _standing(state, params, "pin")
    if chat.kind is not ChatKind.PRIVATE and chat.bot is not Standing.ADMINISTRATOR:
        raise bad_request("not enough rights to manage pinned messages in the chat")
    chat.pinned.append(message.id)
    return True


def set_message_reaction(state: State, params: Mapping[str, Any]) -> bool:
    _, message = _standing(state, params, "react")
    state.change(
        message, reactions=tuple(str(kind.get("emoji", "")) for kind in params.get("reaction") or [])
    )
    return True


def send_chat_action(state: State, params: Mapping[str, Any]) -> bool:
    _writable(state, params)
    if params.get("action") not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


def _standing(state: State, params: Mapping[str, Any], verb: str) -> tuple[Chat, Message]:
    """The message that is meant, and its chat."""
    chat = state.open_chat(params.get("chat_id"))
    message = chat.standing(params.get("message_id"))
    if message is None:
        raise bad_request(f"message to {verb} not found")
    return chat, message


def _writable(state: State, params: Mapping[str, Any]) -> Chat:
    chat = state.open_chat(params.get("chat_id"))
    if chat.bot is Standing.MUTED:
        raise bad_request("not enough rights to send text messages to the chat")
    if chat.kind is ChatKind.CHANNEL and chat.bot is not Standing.ADMINISTRATOR:
        raise bad_request("need administrator rights in the channel chat")
    return chat


def _marked(state: State, params: Mapping[str, Any], name: str, entities: str) -> Formatted:
    return formatted(
        str(params.get(name) or ""),
        params.get("parse_mode"),
        params.get(entities) or (),
        state.users.get,
    )


def _text(state: State, params: Mapping[str, Any]) -> Formatted:
    text = _marked(state, params, "text", "entities")
    if not text.text:
        raise bad_request("message text is empty")
    if utf16_length(text.text) > TEXT_LENGTH:
        raise bad_request("message is too long")
    return text


def _caption(state: State, params: Mapping[str, Any]) -> Formatted:
    caption = _marked(state, params, "caption", "caption_entities")
    if utf16_length(caption.text) > CAPTION_LENGTH:
        raise bad_request("message caption is too long")
    return caption


def _posted(
    state: State,
    chat: Chat,
    params: Mapping[str, Any],
    text: Formatted,
    *,
    document: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    is_channel = chat.kind is ChatKind.CHANNEL
    markup = read_markup(params.get("reply_markup"), only_inline=is_channel)
    answered = _replied(chat, params)
    message = state.post(
        chat,
        None if is_channel else state.bot,
        text=text.text,
        entities=text.entities,
        document=document,
        reply_to=None if answered is None else answered.id,
        thread=_thread(chat, params, answered),
        **_shown(markup),
    )
    return state.as_api(message)


def _shown(markup: Markup) -> dict[str, Any]:
    return {
        "keyboard": markup.keyboard,
        "force_reply": markup.force_reply,
        "has_reply_keyboard": markup.has_reply_keyboard,
    }


def _replied(chat: Chat, params: Mapping[str, Any]) -> Message | None:
    """The message that this one answers, by reply_parameters or the older reply_to_message_id."""
    legacy = {
        "message_id": params.get("reply_to_message_id"),
        "allow_sending_without_reply": params.get("allow_sending_without_reply"),
    }
    asked = params.get("reply_parameters") or legacy
    if asked.get("message_id") is None:
        return None
    message = chat.standing(asked["message_id"])
    if message is None and not asked.get("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")
    return message


def _thread(chat: Chat, params: Mapping[str, Any], answered: Message | None) -> int | None:
    thread = params.get("message_thread_id")
    if thread is None:
        return None if answered is None else answered.thread
    if thread not in chat.topics:
        raise bad_request("message thread not found")
    return int(thread)


def _editable(state: State, params: Mapping[str, Any]) -> Message:
    """A bot edits its own messages, without a time limit, but none that came with a reply keyboard or a
    ForceReply [td: can_edit_message]."""
    if params.get("message_id") is None:
        raise bad_request("message identifier is not specified")
    chat = state.open_chat(params.get("chat_id"))
    message = chat.standing(params["message_id"])
    if message is None:
        raise bad_request("message to edit not found")
    is_ours = message.sender is state.bot or (message.sender is None and chat.bot is Standing.ADMINISTRATOR)
    if not is_ours or message.service or message.force_reply or message.has_reply_keyboard:
        raise bad_request("message can't be edited")
    return message


def _edited(state: State, message: Message, params: Mapping[str, Any], text: Formatted) -> dict[str, Any]:
    """An edit without reply_markup takes the keyboard away."""
    markup = read_markup(params.get("reply_markup"), only_inline=True)
    before = (message.text, message.entities, message.keyboard)
    if (text.text, text.entities, markup.keyboard) == before:
        raise bad_request(NOT_MODIFIED)
    is_text_new = (text.text, text.entities) != (message.text, message.entities)
    edited = state.date() if is_text_new else message.edited
    changed = state.change(
        message, text=text.text, entities=text.entities, keyboard=markup.keyboard, edited=edited
    )
    return state.as_api(changed)


def _document(state: State, document: object) -> Mapping[str, Any]:
    """The Bot API's description of an uploaded file, or of one that is known by its file_id."""
    if isinstance(document, str):
        known = state.files.get(document)
        if known is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        return known.document
    if not isinstance(document, Upload):
        raise bad_request("there is no document in the request")
    if not document.content:
        raise bad_request("file must be non-empty")
    if len(document.content) > UPLOAD_BYTES:
        raise bad_request("file is too big")
    return _stored(state, document)


def _stored(state: State, upload: Upload) -> Mapping[str, Any]:
    file_id = f"simulated-{secrets.token_urlsafe(24)}"
    described = {
        "file_id": file_id,
        "file_unique_id": f"u{len(state.files) + 1}",
        "file_name": upload.name,
        "mime_type": upload.content_type,
        "file_size": len(upload.content),
    }
    path = f"documents/file_{len(state.files) + 1}"
    state.files[file_id] = StoredFile(content=upload.content, document=described, path=path)
    return described
