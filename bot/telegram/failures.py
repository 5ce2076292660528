"""Telegram's errors as core's. Texts quote no error that may hold a token, an address or an answer's body."""

from __future__ import annotations

import os
from datetime import timedelta

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from core.errors import (
    DeliveryError,
    MessageGone,
    PlaceMoved,
    RateLimited,
    Undeliverable,
    Unreachable,
)

# How python-telegram-bot 22 is asked for durations as timedelta, which later releases give anyway; without
# it, reading one warns.
os.environ.setdefault("PTB_TIMEDELTA", "true")

# Telegram names its errors in words only; these are the ones of an edit whose message is not there any more,
# or stands there as it is.
_GONE = ("message to edit not found", "message_id_invalid")
_STAYS = "message can't be edited"
_DELETED = "message to delete not found"
_HINTS = {
    "message thread not found": "the topic does not exist, or not any more; the general one has no number",
    "topic_closed": "the topic is closed, and the bot may not write there",
}
# Of polls alone: one ends the other, also where a replica took over from one that was frozen and wakes.
_HELD = "Another poller still holds this bot's updates; we wait for them."
_HELD_BY_A_WEBHOOK = "Telegram calls a webhook, and lets nobody poll meanwhile; we wait."
UNAUTHORIZED = "Telegram refuses the bot's token."
_NOT_MODIFIED = "message is not modified"


class PollFailed(NetworkError):
    """Telegram answered a poll, and nothing came of it; the message is a sentence fit for the log.

    As any trouble of the network it ends no polling: the next poll is tried.
    """


def failure(error: TelegramError) -> DeliveryError:
    """The error as core knows it, to be raised from the other."""
    match error:
        case RetryAfter():
            return RateLimited("Telegram asks for a pause.", retry_after=pause(error))
        case ChatMigrated():
            moved = f"The group has become the supergroup {error.new_chat_id}: put that id in its place."
            return PlaceMoved(moved, address=str(error.new_chat_id))
        case Forbidden():
            return Undeliverable(f"Telegram refused it ({error.message}).")
        case BadRequest():
            return _bad_request(error)
        case _:
            return Unreachable(_why_not(error))


def _why_not(error: TelegramError) -> str:
    match error:
        case InvalidToken():
            return UNAUTHORIZED
        case Conflict():
            return _HELD_BY_A_WEBHOOK if "webhook" in error.message.lower() else _HELD
        case PollFailed():
            return error.message
        case _:
            return f"Telegram could not be reached ({type(error).__name__})."


def changed_nothing(error: TelegramError) -> bool:
    """The message shows already what it should."""
    return isinstance(error, BadRequest) and _NOT_MODIFIED in error.message.lower()


def is_gone(error: TelegramError) -> bool:
    """Nothing is left to be deleted."""
    return isinstance(error, BadRequest) and _DELETED in error.message.lower()


def _bad_request(error: BadRequest) -> DeliveryError:
    said = error.message.lower()
    unchangeable = f"The message cannot be changed any more ({error.message})."
    if any(words in said for words in _GONE):
        return MessageGone(unchangeable)
    if _STAYS in said:
        return Undeliverable(unchangeable)
    hint = next((f": {hint}" for words, hint in _HINTS.items() if words in said), "")
    return Undeliverable(f"Telegram refused it ({error.message}){hint}.")


def pause(error: RetryAfter) -> timedelta:
    """Whole seconds, in either of python-telegram-bot's ways; one at least."""
    found = error.retry_after
    return max(timedelta(seconds=1), found if isinstance(found, timedelta) else timedelta(seconds=found))
