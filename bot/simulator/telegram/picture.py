"""The simulated chats as one JSON-able picture, for a page that shows them as their people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.simulator.telegram.chats import EVERYBODY, ChatKind

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Chat, Message, State

ANSWERS_SHOWN = 20
"""The latest answers to presses that a picture holds."""


def picture(state: State, version: int) -> dict[str, Any]:
    """All there is to see. `version` rises with every change; entity offsets are UTF-16, as in scripts."""
    return {
        "platform": "telegram",
        "simulated": True,
        "version": version,
        "bot": state.bot.as_api(),
        "commands": state.commands.get(EVERYBODY, []),
        "users": [user.as_api() for user in state.users.values()],
        "chats": [_chat(state, chat) for chat in state.chats.values()],
        "prompts": [prompt for chat in state.chats.values() for prompt in _prompts(state, chat)],
        "answers": [
            {
                "query_id": answer.query_id,
                "user": answer.user,
                "chat": state.presses[answer.query_id].chat,
                "message": state.presses[answer.query_id].message,
                "text": answer.text,
                "show_alert": answer.show_alert,
                "at": answer.at,
            }
            for answer in state.answers[-ANSWERS_SHOWN:]
        ],
    }


def _chat(state: State, chat: Chat) -> dict[str, Any]:
    return {
        "id": chat.id,
        "kind": chat.kind.value,
        "title": chat.title,
        "forum": chat.forum,
        "topics": {str(thread): name for thread, name in chat.topics.items()},
        "bot": chat.bot.value,
        "members": sorted(chat.members),
        "migrated_to": chat.migrated_to,
        "pinned": list(chat.pinned),
        "messages": [_message(state, message) for message in chat.messages.values() if not message.deleted],
    }


def _message(state: State, message: Message) -> dict[str, Any]:
    sender = message.sender
    return {
        "id": message.id,
        "date": message.date,
        "from": None if sender is None else sender.as_api(),
        "is_ours": sender is None or sender is state.bot,
        "text": message.text,
        "entities": [dict(entity) for entity in message.entities],
        "keyboard": [[dict(button) for button in row] for row in message.keyboard],
        "document": None if message.document is None else dict(message.document),
        "reply_to": message.reply_to,
        "thread": message.thread,
        "edited": message.edited,
        "reactions": list(message.reactions),
        "service": dict(message.service),
    }


def _prompts(state: State, chat: Chat) -> list[dict[str, Any]]:
    """Whose client now asks for a reply to which message of the bot."""
    return [
        {
            "chat": chat.id,
            "message": message.id,
            "user": user,
            "placeholder": message.force_reply.get("input_field_placeholder"),
        }
        for message in chat.messages.values()
        if message.force_reply is not None and not message.deleted
        for user in sorted(prompted(state, chat, message))
        if not _has_replied(chat, message, user)
    ]


def prompted(state: State, chat: Chat, message: Message) -> set[int]:
    """Whose client a ForceReply concerns: everyone's or, if selective, those mentioned in its text and the
    author of the message it answers [api: ForceReply]."""
    if message.force_reply is None:
        return set()
    if chat.kind is ChatKind.PRIVATE or not message.force_reply.get("selective"):
        return set(chat.members)
    answered = chat.messages.get(message.reply_to or 0)
    chosen = {answered.sender.id} if answered is not None and answered.sender is not None else set()
    return (chosen | _mentioned(state, message)) & chat.members


def _mentioned(state: State, message: Message) -> set[int]:
    linked = {entity["user"]["id"] for entity in message.entities if entity["type"] == "text_mention"}
    words = message.text.lower().split()
    named = {
        user.id for user in state.users.values() if user.username and f"@{user.username.lower()}" in words
    }
    return linked | named


def _has_replied(chat: Chat, message: Message, user: int) -> bool:
    return any(
        later.reply_to == message.id and later.sender is not None and later.sender.id == user
        for later in chat.messages.values()
    )
