"""The Bot API's methods by name; those on the bot, chats, members and files stand here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from bot.simulator.telegram import messages
from bot.simulator.telegram.chats import ChatKind, Standing, User
from bot.simulator.telegram.errors import bad_request
from bot.simulator.telegram.limits import DOWNLOAD_BYTES, TOPIC_NAME_LENGTH, check_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.simulator.telegram.chats import Chat, State

Method: TypeAlias = "Callable[[State, Mapping[str, Any]], Any]"
"""Takes the parameters, returns the `result`, raises ApiError."""

TOPIC_COLOR = 0x6FB9F0
"""icon_color when left out: the first of the colours that createForumTopic allows."""
ADMINISTRATOR_RIGHTS = {
    "can_be_edited": False,
    "is_anonymous": False,
    "can_manage_chat": True,
    "can_delete_messages": True,
    "can_manage_video_chats": False,
    "can_restrict_members": False,
    "can_promote_members": False,
    "can_change_info": False,
    "can_invite_users": True,
    "can_post_stories": False,
    "can_edit_stories": False,
    "can_delete_stories": False,
    "can_pin_messages": True,
    "can_manage_topics": True,
}
"""ChatMemberAdministrator's fields. All administrators here have the same rights."""

MUTED_RIGHTS = {
    "is_member": True,
    "until_date": 0,
    **dict.fromkeys(
        (
            "can_change_info",
            "can_invite_users",
            "can_pin_messages",
            "can_manage_topics",
            "can_edit_tag",
            "can_react_to_messages",
            "can_send_messages",
            "can_send_audios",
            "can_send_documents",
            "can_send_photos",
            "can_send_videos",
            "can_send_video_notes",
            "can_send_voice_notes",
            "can_send_polls",
            "can_send_other_messages",
            "can_add_web_page_previews",
        ),
        False,
    ),
}
"""ChatMemberRestricted's fields of one who may only read."""


SCOPES: Mapping[str, set[str]] = {
    "default": set(),
    "all_private_chats": set(),
    "all_group_chats": set(),
    "all_chat_administrators": set(),
    "chat": {"chat_id"},
    "chat_administrators": {"chat_id"},
    "chat_member": {"chat_id", "user_id"},
}
"""Each BotCommandScope and what else it says [api]."""


def get_me(state: State, _: Mapping[str, Any]) -> dict[str, Any]:
    abilities = {
        "can_join_groups": True,
        "can_read_all_group_messages": not state.privacy,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
        "has_topics_enabled": False,
        "allows_users_to_create_topics": False,
        "can_manage_bots": False,
    }
    return state.bot.as_api() | abilities


def set_my_commands(state: State, params: Mapping[str, Any]) -> bool:
    """For one scope and one language."""
    commands = params.get("commands")
    if not isinstance(commands, list) or not all(isinstance(command, dict) for command in commands):
        raise bad_request("can't parse commands JSON object")
    check_commands([(str(one.get("command", "")), str(one.get("description", ""))) for one in commands])
    state.commands[_audience(params)] = commands
    return True


def get_my_commands(state: State, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those set for this very scope and language, else none [api]."""
    return list(state.commands.get(_audience(params), []))


def delete_my_commands(state: State, params: Mapping[str, Any]) -> bool:
    state.commands.pop(_audience(params), None)
    return True


def _audience(params: Mapping[str, Any]) -> tuple[str, str]:
    """Whom a list of commands is for: the scope, as JSON, and the language."""
    scope = params.get("scope") or {"type": "default"}
    if not isinstance(scope, dict) or not SCOPES.get(str(scope.get("type")), {"?"}) <= scope.keys():
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    return json.dumps(scope, sort_keys=True), str(params.get("language_code") or "")


def get_chat(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    """A ChatFullInfo."""
    chat = state.open_chat(params.get("chat_id"))
    gifts = dict.fromkeys(
        ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"),
        False,
    )
    return chat.as_api() | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}


def get_chat_member(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    """In a channel only administrators see who is there [td]; of groups the simulated bot sees all."""
    chat = state.open_chat(params.get("chat_id"))
    user_id = params.get("user_id", 0)  # which nobody has
    if not isinstance(user_id, int) or user_id <= 0:
        raise bad_request("invalid user_id specified")
    user = state.bot if user_id == state.bot.id else state.users.get(user_id)
    if user is None:
        raise bad_request("user not found")
    if chat.kind is ChatKind.CHANNEL and chat.bot is not Standing.ADMINISTRATOR and user is not state.bot:
        raise bad_request("member list is inaccessible")
    return member(state, chat, user)


def get_chat_administrators(state: State, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The other bots are left out, as Telegram does; the asking bot is told."""
    chat = state.open_chat(params.get("chat_id"))
    if chat.kind is ChatKind.PRIVATE:
        raise bad_request("there are no administrators in the private chat")
    people = [state.users[user] for user in sorted(chat.administrators)]
    ours = [state.bot] if chat.bot is Standing.ADMINISTRATOR else []
    return [member(state, chat, user) for user in (*people, *ours)]


def member(state: State, chat: Chat, user: User) -> dict[str, Any]:
    """A ChatMember."""
    if user.id == state.bot.id:
        known = {Standing.UNSTARTED: "left", Standing.BLOCKED: "kicked", Standing.DEACTIVATED: "left"}
        status = known.get(chat.bot, chat.bot.value)
    else:
        status = _status(chat, user.id)
    shown = {"status": status, "user": user.as_api()} | _rights(status)
    if status == "restricted":
        shown["is_member"] = user.id == state.bot.id or user.id in chat.members
    return shown


def _status(chat: Chat, user: int) -> str:
    """A person's; whoever is restricted stays so when they leave."""
    if user == chat.owner:
        return "creator"
    named = {"kicked": chat.banned, "administrator": chat.administrators, "restricted": chat.restricted}
    return next((status for status, people in named.items() if user in people), _presence(chat, user))


def _presence(chat: Chat, user: int) -> str:
    return "member" if user in chat.members else "left"


def _rights(status: str) -> dict[str, Any]:
    if status == "administrator":
        return ADMINISTRATOR_RIGHTS
    if status == "restricted":
        return MUTED_RIGHTS
    if status == "creator":
        return {"is_anonymous": False}
    return {"until_date": 0} if status == "kicked" else {}


def get_file(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    stored = state.files.get(str(params.get("file_id")))
    if stored is None:
        raise bad_request("invalid file_id")
    if len(stored.content) > DOWNLOAD_BYTES:
        raise bad_request("file is too big")
    kept = ("file_id", "file_unique_id", "file_size")
    return {name: stored.document[name] for name in kept} | {"file_path": stored.path}


def create_forum_topic(state: State, params: Mapping[str, Any]) -> dict[str, Any]:
    chat = state.open_chat(params.get("chat_id"))
    name = str(params.get("name") or "")
    if not chat.forum:
        raise bad_request("the chat is not a forum")
    if chat.bot is not Standing.ADMINISTRATOR:
        raise bad_request("not enough rights to create a topic")
    if not 1 <= len(name) <= TOPIC_NAME_LENGTH:
        raise bad_request("TOPIC_TITLE_EMPTY" if not name else "TOPIC_TITLE_TOO_LONG")
    topic = {"name": name, "icon_color": params.get("icon_color", TOPIC_COLOR)}
    thread = state.post(chat, state.bot, service={"forum_topic_created": topic}).id
    chat.topics[thread] = name
    return {"message_thread_id": thread} | topic


def leave_chat(state: State, params: Mapping[str, Any]) -> bool:
    chat = state.open_chat(params.get("chat_id"))
    if chat.kind is ChatKind.PRIVATE:
        raise bad_request("chat member status can't be changed in private chats")
    chat.bot = Standing.LEFT
    return True


READING: Mapping[str, Method] = {
    "getMe": get_me,
    "getMyCommands": get_my_commands,
    "getChat": get_chat,
    "getChatMember": get_chat_member,
    "getChatAdministrators": get_chat_administrators,
    "getFile": get_file,
    "sendChatAction": messages.send_chat_action,
}
"""Change nothing that anybody could see."""

CHANGING: Mapping[str, Method] = {
    "sendMessage": messages.send_message,
    "sendDocument": messages.send_document,
    "editMessageText": messages.edit_message_text,
    "editMessageCaption": messages.edit_message_caption,
    "editMessageReplyMarkup": messages.edit_message_reply_markup,
    "deleteMessage": messages.delete_message,
    "answerCallbackQuery": messages.answer_callback_query,
    "pinChatMessage": messages.pin_chat_message,
    "setMessageReaction": messages.set_message_reaction,
    "setMyCommands": set_my_commands,
    "deleteMyCommands": delete_my_commands,
    "createForumTopic": create_forum_topic,
    "leaveChat": leave_chat,
}

FLOODING = frozenset(
    {"sendMessage", "sendDocument", "editMessageText", "editMessageCaption", "editMessageReplyMarkup"}
)
"""What counts against the limits on messages."""
