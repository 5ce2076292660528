"""Who is in a Telegram chat, of those who are asked for: the Bot API has no list of members."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from telegram import Bot, ChatMember, ChatMemberRestricted
from telegram.error import BadRequest, ChatMigrated, RetryAfter, TelegramError

from bot.pace import Pace, limit
from bot.telegram.failures import failure, pause
from bot.telegram.requests import QuietRequest
from bot.telegram.updates import TELEGRAM
from core.addresses import is_loopback_url
from core.errors import RateLimited, Unavailable
from core.pauses import elapse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.settings import BotSettings
    from core.ports import Clock

log = structlog.get_logger()

SIDE_BY_SIDE = 4
"""Questions under way at once, of one chat."""
LIMITS = (limit(20, 1.0),)
"""For all chats together. Telegram tells none for getChatMember; of messages it takes 30 a second."""
SHORT = timedelta(seconds=5)
"""A pause that is waited out: begun anew after each, a long list would never be told."""
EVERYWHERE = "getChatMember"
PRESENT = frozenset({ChatMember.OWNER, ChatMember.ADMINISTRATOR, ChatMember.MEMBER})
_NOBODY_THERE = (
    "user not found",
    "member not found",
    "participant_id_invalid",
    "user_id_invalid",
    "invalid user_id",
)
"""What Telegram says of a user who is not in the chat, or of whom the bot has never heard."""
_BE_ADMINISTRATOR = "make the bot an administrator of the chat, which lets it see who is there"
_HINTS = {
    "chat not found": "there is no such chat, or the bot is not in it",
    "bot is not a member": "add the bot to the chat",
    "bot was kicked": "add the bot to the chat again",
    "member list is inaccessible": _BE_ADMINISTRATOR,
    "chat_admin_required": _BE_ADMINISTRATOR,
}


class Memberships:
    """One for all chats that are asked for, as the limits are those of the bot."""

    def __init__(self, settings: BotSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._pace = Pace(clock)
        self._one_at_a_time = asyncio.Lock()
        self._rests_until: timedelta | None = None
        self._moved: dict[int, int] = {}
        """Groups that have become supergroups, by their old ids."""

    async def members(self, chat: int, users: Sequence[int]) -> tuple[str, ...]:
        """Those of `users` who are in the chat, in their order.

        Raises `Unavailable` where that cannot be told of each of them: half an answer would strike people.
        How long it may take is the caller's to say: short pauses that Telegram asks for are waited out.
        """
        token = self._settings.telegram_bot_token
        if token is None:
            raise Unavailable("TELEGRAM_BOT_TOKEN is not set.")
        # A proxy that the environment names cannot reach this machine.
        trust_env = not is_loopback_url(self._settings.telegram_api_url)
        async with QuietRequest(connections=SIDE_BY_SIDE, trust_env=trust_env) as request:
            bot = Bot(
                token.get_secret_value(),
                base_url=self._settings.telegram_api_url,
                base_file_url=self._settings.telegram_file_url,
                request=request,
                get_updates_request=request,
            )
            try:
                return await self._followed(bot, chat, users)
            except TelegramError as error:
                raise _unavailable(error) from error

    async def _followed(self, bot: Bot, chat: int, users: Sequence[int]) -> tuple[str, ...]:
        """A group that became a supergroup is asked for by its new id, as long as nobody changes the file."""
        try:
            return await self._among(bot, self._moved.get(chat, chat), users)
        except ChatMigrated as error:
            log.warning("place_moved", channel=TELEGRAM, address=str(chat), moved_to=error.new_chat_id)
            self._moved[chat] = error.new_chat_id
        return await self._among(bot, self._moved[chat], users)

    async def _among(self, bot: Bot, chat: int, users: Sequence[int]) -> tuple[str, ...]:
        """The first trouble ends it, and calls off what else is under way."""
        places = asyncio.Semaphore(SIDE_BY_SIDE)
        try:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._is_in(bot, chat, user, places)) for user in users]
        except ExceptionGroup as troubles:
            raise troubles.exceptions[0] from None
        return tuple([str(user) for user, is_in in zip(users, asked, strict=True) if is_in.result()])

    async def _is_in(self, bot: Bot, chat: int, user: int, places: asyncio.Semaphore) -> bool:
        async with places:
            try:
                return _is_present(await self._told(bot, chat, user), user)
            except BadRequest as error:
                if any(words in error.message.lower() for words in _NOBODY_THERE):
                    return False
                if _hint(error) is not None:  # it is about the chat
                    raise
                raise _without(user, f"Telegram refused it ({error.message})") from error
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # python-telegram-bot takes what Telegram's answer should hold for granted
                raise _without(user, "Telegram answered with what is not a member") from error

    async def _told(self, bot: Bot, chat: int, user: int) -> ChatMember:
        while True:
            await self._in_turn()
            try:
                return await bot.get_chat_member(chat, user)
            except RetryAfter as error:
                if pause(error) > SHORT:
                    raise
                self._rests_until = self._clock.steady() + pause(error)

    async def _in_turn(self) -> None:
        async with self._one_at_a_time:
            while (wait := self._wait()) > timedelta(0):
                await elapse(self._clock, wait)
            self._pace.called(EVERYWHERE, LIMITS)

    def _wait(self) -> timedelta:
        """Before the next question."""
        rest = timedelta(0) if self._rests_until is None else self._rests_until - self._clock.steady()
        return max(rest, timedelta(seconds=self._pace.wait(EVERYWHERE, LIMITS)))


def _is_present(found: ChatMember, user: int) -> bool:
    """Also who may only read. Raises `ValueError` for what is not of this user."""
    if found.user.id != user:
        raise ValueError(user)
    return found.status in PRESENT or (isinstance(found, ChatMemberRestricted) and found.is_member)


def _without(user: int, reason: str) -> Unavailable:
    """Names whom it fails for: one of [people] may keep it from ever knowing the others."""
    return Unavailable(f"{reason}, and nobody is told without the user {user}.")


def _unavailable(error: TelegramError) -> Unavailable:
    trouble = failure(error)
    if isinstance(trouble, RateLimited):
        return Unavailable(str(trouble), retry_after=trouble.retry_after)
    hint = _hint(error)
    return Unavailable(f"{str(trouble).removesuffix('.')}: {hint}." if hint else str(trouble))


def _hint(error: TelegramError) -> str | None:
    return next((hint for words, hint in _HINTS.items() if words in error.message.lower()), None)
