"""Asks Slack and Telegram whether we could work with them as configured; changes nothing there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from telegram import Bot
from telegram.error import TelegramError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Collection, Mapping

    from bot.settings import BotSettings

NEEDED_SCOPES = {"chat:write": "to post and change cards"}
"""Without these nothing works; the manifest in docs asks for a few more."""
READ_SCOPES = {"channels:read", "groups:read"}
"""Either lets us look a channel up before the first card."""
SKEW = timedelta(seconds=60)
"""Slack refuses requests whose time is five minutes off; a minute is worth a word."""
PATIENCE = 15.0
"""Seconds for one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; where it is not well, `mend` says what to do."""

    check: str
    is_well: bool
    text: str
    mend: str = ""


async def slack_findings(settings: BotSettings, channels: Collection[str]) -> AsyncIterator[Finding]:
    """Token, scopes, clock, app token, and each channel that cards go to."""
    if settings.slack_bot_token is None:
        return
    client = AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(), base_url=settings.slack_api_url, timeout=15
    )
    answer, problem = await _answer(client.auth_test())
    if answer is None:
        yield Finding(check="slack token", is_well=False, text=problem, mend="set SLACK_BOT_TOKEN anew")
        return
    yield Finding(check="slack token", is_well=True, text=f"bot {answer['user']} in {answer['team']}")
    yield _scopes(answer.headers)
    yield _clock(answer.headers)
    async for finding in _app_token(settings):
        yield finding
    for channel in channels:
        yield await _slack_channel(client, channel)


async def _answer(call: Awaitable[Any]) -> tuple[Any, str]:
    """The answer, or None and why not; never a token or an address."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await call, ""
    except SlackApiError as error:
        return None, f"Slack answered {error.response.get('error', error.response.status_code)}"
    except TelegramError as error:
        return None, f"Telegram answered: {error.message}"
    except (SlackClientError, OSError, TimeoutError) as error:
        return None, f"no connection ({type(error).__name__})"


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _scopes(headers: Mapping[str, str]) -> Finding:
    granted = {scope.strip() for scope in _header(headers, "x-oauth-scopes").split(",")}
    missing = [scope for scope in NEEDED_SCOPES if scope not in granted]
    if missing:
        return Finding(
            check="slack scopes",
            is_well=False,
            text=f"missing: {', '.join(missing)}",
            mend="add them under OAuth & Permissions and install the app again",
        )
    return Finding(check="slack scopes", is_well=True, text="every needed scope is granted")


def _clock(headers: Mapping[str, str]) -> Finding:
    date = _header(headers, "date")
    skew = abs(datetime.now(UTC) - parsedate_to_datetime(date)) if date else timedelta(0)
    return Finding(
        check="clock",
        is_well=skew <= SKEW,
        text=f"{skew.total_seconds():.0f} s from Slack's",
        mend="let the machine's clock be set from the network (NTP)",
    )


async def _app_token(settings: BotSettings) -> AsyncIterator[Finding]:
    if settings.slack_app_token is None:
        return
    client = AsyncWebClient(base_url=settings.slack_api_url, timeout=15)
    answer, problem = await _answer(
        client.apps_connections_open(app_token=settings.slack_app_token.get_secret_value())
    )
    yield Finding(
        check="slack socket mode",
        is_well=answer is not None,
        text=problem or "a connection would be opened",
        mend="set SLACK_APP_TOKEN to an app-level token with connections:write, and switch Socket Mode on",
    )


async def _slack_channel(client: AsyncWebClient, channel: str) -> Finding:
    answer, problem = await _answer(client.conversations_info(channel=channel))
    if answer is None:
        is_unknown = "missing_scope" in problem
        return Finding(
            check=f"slack {channel}",
            is_well=is_unknown,
            text="not looked up: no channels:read" if is_unknown else problem,
            mend="check the id, and invite the bot to the channel",
        )
    found = answer["channel"]
    is_well = not found.get("is_archived") and (found.get("is_member", True) or found.get("is_im", False))
    return Finding(
        check=f"slack {channel}",
        is_well=is_well,
        text="the bot can post" if is_well else "archived, or the bot is not a member",
        mend="unarchive it, or invite the bot to it",
    )


async def telegram_findings(settings: BotSettings, chats: Collection[str]) -> AsyncIterator[Finding]:
    """Token, webhook against polling, and each chat that cards go to."""
    if settings.telegram_bot_token is None:
        return
    bot = Bot(
        settings.telegram_bot_token.get_secret_value(),
        base_url=settings.telegram_api_url,
        base_file_url=settings.telegram_file_url,
    )
    me, problem = await _answer(bot.get_me())
    if me is None:
        yield Finding(check="telegram token", is_well=False, text=problem, mend="set TELEGRAM_BOT_TOKEN anew")
        return
    yield Finding(check="telegram token", is_well=True, text=f"bot @{me.username}")
    for chat in chats:
        _, problem = await _answer(bot.get_chat(int(chat)))
        yield Finding(
            check=f"telegram {chat}",
            is_well=not problem,
            text=problem or "the bot can reach it",
            mend="check the id, and add the bot to the chat (people have to press Start first)",
        )
