"""Asks Slack and Telegram whether we could work with them as configured; changes nothing there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from bot.findings import Finding
from bot.slack.failures import FAILURES, refusal_of
from bot.telegram.failures import failure
from bot.telegram.places import place_of
from bot.telegram.requests import QuietRequest
from core.addresses import is_loopback_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Collection, Mapping

    from httpx import Response
    from telegram import WebhookInfo

    from bot.settings import BotSettings

NEEDED_SCOPES = {
    "chat:write": "to post and change cards",
    "commands": "for /countersign",
    "app_mentions:read": "to hear @Countersign in threads",
    "files:write": "to put long drafts into the thread as files",
}
"""Without these something does not work."""
WANTED_SCOPES = {
    "channels:history": "channels",
    "groups:history": "private channels",
}
"""Without these a card stands twice in such a place when Slack's answer to its post was lost."""
SKEW = timedelta(seconds=60)
"""Slack's requests count as stale when the clock is five minutes off; a minute is worth a word."""
PATIENCE = 15.0
"""Seconds for one call."""
PASSING = frozenset(
    {"ratelimited", "fatal_error", "internal_error", "request_timeout", "service_unavailable"}
)
"""What Slack answers when it has a trouble of its own (docs.slack.dev, errors of auth.test)."""
SLACK_URL, TELEGRAM_URL = "COUNTERSIGN_SLACK_API_URL", "COUNTERSIGN_TELEGRAM_API_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a platform said to one call; `problem` is empty where all went well."""

    answer: Any = None
    problem: str = ""
    is_refusal: bool = False
    """The platform answered, and it is this very thing that it refuses."""
    is_silence: bool = False
    """Nobody could be reached."""

    def mend(self, setting: str, refused: str) -> str:
        if self.is_silence:
            return f"check the network, the proxy, or {setting}"
        return refused if self.is_refusal else "run doctor again in a while"


async def slack_findings(settings: BotSettings, channels: Collection[str]) -> AsyncIterator[Finding]:
    """Token, scopes, clock, app token, and each channel that cards go to."""
    if settings.slack_bot_token is None:
        if channels:
            yield _off("slack", "SLACK_BOT_TOKEN")
        return
    client = _slack_client(settings, settings.slack_bot_token.get_secret_value())
    reply = await _slack_reply(client.auth_test())
    if reply.problem:
        mend = reply.mend(SLACK_URL, "set SLACK_BOT_TOKEN anew")
        yield Finding(check="slack token", is_well=False, text=reply.problem, mend=mend)
        return
    answer = reply.answer
    yield Finding(check="slack token", is_well=True, text=f"bot {answer['user']} in {answer['team']}")
    yield _scopes(answer.headers)
    yield _clock(answer.headers, "Slack")
    async for finding in _app_token(settings):
        yield finding
    for channel in channels:
        yield await _slack_channel(client, channel)


def _off(chat: str, setting: str) -> Finding:
    return Finding(
        check=chat,
        is_well=True,  # people decide in the inbox
        is_warning=True,
        text=f"off ({setting} is not set); its recipients get no cards",
        mend=f"set {setting}, or take its recipients out of countersign.toml",
    )


def _slack_client(settings: BotSettings, token: str | None = None) -> AsyncWebClient:
    client = AsyncWebClient(token=token, base_url=settings.slack_api_url, timeout=15)
    if is_loopback_url(settings.slack_api_url):
        client.proxy = None  # slack_sdk takes one from the environment, which cannot reach this machine
    return client


async def _slack_reply(call: Awaitable[Any]) -> Reply:
    """Never a token or an address."""
    try:
        async with asyncio.timeout(PATIENCE):
            return Reply(answer=await call)
    except SlackApiError as error:
        refusal = refusal_of(error)
        is_refusal = bool(refusal.code) and refusal.status < 500 and refusal.code not in PASSING
        return Reply(problem=f"Slack answered {refusal.code or refusal.status}", is_refusal=is_refusal)
    except FAILURES as error:
        return Reply(problem=f"no connection ({type(error).__name__})", is_silence=True)


async def _telegram_reply(call: Awaitable[Any]) -> Reply:
    """Likewise; python-telegram-bot's own sentences quote both."""
    try:
        async with asyncio.timeout(PATIENCE):
            return Reply(answer=await call)
    except (InvalidToken, BadRequest, Forbidden, ChatMigrated) as error:
        return Reply(problem=str(failure(error)).removesuffix("."), is_refusal=True)
    except RetryAfter as error:
        return Reply(problem=str(failure(error)).removesuffix("."))
    except (TelegramError, OSError) as error:
        return Reply(problem=f"no connection ({type(error).__name__})", is_silence=True)


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _scopes(headers: Mapping[str, str]) -> Finding:
    granted = {scope.strip() for scope in _header(headers, "x-oauth-scopes").split(",")}
    missing = [scope for scope in NEEDED_SCOPES if scope not in granted]
    if missing:
        return Finding(
            check="slack scopes",
            is_well=False,
            text="missing: " + ", ".join(f"{scope} ({NEEDED_SCOPES[scope]})" for scope in missing),
            mend="add them under OAuth & Permissions and install the app again",
        )
    text = "every needed scope is granted"
    if unread := [scope for scope in WANTED_SCOPES if scope not in granted]:
        where = " and ".join(WANTED_SCOPES[scope] for scope in unread)
        text += f"; without {' and '.join(unread)} a card may come twice to {where} after an outage"
    return Finding(check="slack scopes", is_well=True, text=text)


def _clock(headers: Mapping[str, str], whose: str) -> Finding:
    date = _header(headers, "date")
    skew = abs(datetime.now(UTC) - parsedate_to_datetime(date)) if date else timedelta(0)
    return Finding(
        check="clock",
        is_well=skew <= SKEW,
        text=f"{skew.total_seconds():.0f} s from {whose}'s",
        mend="let the machine's clock be set from the network (NTP)",
    )


async def _app_token(settings: BotSettings) -> AsyncIterator[Finding]:
    if settings.slack_app_token is None:
        return
    reply = await _slack_reply(
        _slack_client(settings).apps_connections_open(app_token=settings.slack_app_token.get_secret_value())
    )
    refused = "set SLACK_APP_TOKEN to an app-level token with connections:write, and switch Socket Mode on"
    yield Finding(
        check="slack socket mode",
        is_well=not reply.problem,
        text=reply.problem or "a connection would be opened",
        mend=reply.mend(SLACK_URL, refused),
    )


async def _slack_channel(client: AsyncWebClient, channel: str) -> Finding:
    reply = await _slack_reply(client.conversations_info(channel=channel))
    if reply.problem:
        is_unknown = "missing_scope" in reply.problem
        return Finding(
            check=f"slack {channel}",
            is_well=is_unknown,
            text="not looked up: no channels:read" if is_unknown else reply.problem,
            mend=reply.mend(SLACK_URL, "check the id, and invite the bot to the channel"),
        )
    found = reply.answer["channel"]
    is_well = not found.get("is_archived") and (found.get("is_member", True) or found.get("is_im", False))
    return Finding(
        check=f"slack {channel}",
        is_well=is_well,
        text="the bot can post" if is_well else "archived, or the bot is not a member",
        mend="unarchive it, or invite the bot to it",
    )


class _Request(HTTPXRequest):
    """Answers are read as the channel reads them; it speaks httpx, whose headers tell Telegram's time."""

    parse_json_payload = staticmethod(QuietRequest.parse_json_payload)


async def telegram_findings(settings: BotSettings, chats: Collection[str]) -> AsyncIterator[Finding]:
    """Token, clock where Slack does not tell it, webhook against polling, and each chat that cards go to."""
    if settings.telegram_bot_token is None:
        if chats:
            yield _off("telegram", "TELEGRAM_BOT_TOKEN")
        return
    headers: dict[str, str] = {}

    async def keep_headers(response: Response) -> None:
        headers.update(response.headers)

    # httpx takes a proxy from the environment, which cannot reach this machine
    options: dict[str, Any] = {"event_hooks": {"response": [keep_headers]}} | (
        {"trust_env": False} if is_loopback_url(settings.telegram_api_url) else {}
    )
    async with _Request(read_timeout=PATIENCE, httpx_kwargs=options) as request:
        bot = Bot(
            settings.telegram_bot_token.get_secret_value(),
            base_url=settings.telegram_api_url,
            base_file_url=settings.telegram_file_url,
            request=request,
            get_updates_request=request,
        )
        reply = await _telegram_reply(bot.get_me())
        if reply.problem:
            mend = reply.mend(TELEGRAM_URL, "set TELEGRAM_BOT_TOKEN anew")
            yield Finding(check="telegram token", is_well=False, text=reply.problem, mend=mend)
            return
        yield Finding(check="telegram token", is_well=True, text=f"bot @{reply.answer.username}")
        if settings.slack_bot_token is None:
            yield _clock(headers, "Telegram")
        yield _webhook(await _telegram_reply(bot.get_webhook_info()), settings)
        for chat in chats:
            yield await _telegram_chat(bot, chat)


def _webhook(reply: Reply, settings: BotSettings) -> Finding:
    """Which of both is used follows from the settings: `serve` sets a webhook, or takes it away."""
    if reply.problem:
        mend = reply.mend(TELEGRAM_URL, "run doctor again in a while")
        return Finding(check="telegram webhook", is_well=False, text=reply.problem, mend=mend)
    info: WebhookInfo = reply.answer
    if settings.telegram_webhook_secret is None:
        text = "one is set elsewhere; serve takes it away and polls" if info.url else "none; serve polls"
        return Finding(check="telegram webhook", is_well=True, text=text)
    is_stuck = bool(info.url and info.pending_update_count and info.last_error_date)
    return Finding(
        check="telegram webhook",
        is_well=not is_stuck,
        text=f"{info.pending_update_count} updates could not be delivered" if is_stuck else "serve sets it",
        mend="let Telegram reach COUNTERSIGN_PUBLIC_URL from outside, by https",
    )


async def _telegram_chat(bot: Bot, chat: str) -> Finding:
    reply = await _telegram_reply(bot.get_chat(place_of(chat).chat))
    refused = "check the id, and add the bot to the chat (people have to press Start first)"
    return Finding(
        check=f"telegram {chat}",
        is_well=not reply.problem,
        text=reply.problem or "the bot can reach it",
        mend=reply.mend(TELEGRAM_URL, refused),
    )
