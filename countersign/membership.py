"""Asks a group's source who is in it, a chat or whoever keeps a list; every trouble is `Unavailable`."""

from __future__ import annotations

import asyncio
import importlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, DummyCookieJar, TCPConnector

from core.clock import SystemClock
from core.errors import Unavailable
from countersign.sources import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse

    from bot.settings import BotSettings
    from bot.telegram.memberships import Memberships
    from countersign.sources import Source

SECONDS = 10.0
"""For one answer."""
PEOPLE = 50
"""In Telegram, where each is asked for, so many people take as long as one answer."""
LARGEST = 2**20
"""Bytes of an answer."""
LONGEST_PAUSE = timedelta(hours=1)
"""That a source may ask for."""


class Ask(Protocol):
    """Tells who is in a group, in its source's own words. Raises `Unavailable`."""

    async def __call__(self, source: Source) -> tuple[str, ...]: ...


def asker(settings: BotSettings, *, within: float = SECONDS) -> Ask:
    """Asks Slack and Telegram with the bot's tokens, and anybody else by HTTP.

    Chats in Telegram one after the other, since all share one pace: side by side each would take as long as
    all together, and so many would never be in time.
    """
    telegram = _Telegram(settings)
    turn = asyncio.Lock()

    async def answer(source: Source) -> tuple[str, ...]:
        match source.kind:
            case Kind.SLACK:
                return await _slack(settings, source)
            case Kind.TELEGRAM:
                return await telegram.members(source)
            case Kind.HTTP:
                return await _http(source)

    async def in_time(source: Source) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(patience(source, within)):
                return await answer(source)
        except TimeoutError:
            raise Unavailable("There was no answer in time.") from None

    async def ask(source: Source) -> tuple[str, ...]:
        if source.kind is not Kind.TELEGRAM:
            return await in_time(source)
        async with turn:  # each ahead ends in its time
            return await in_time(source)

    return ask


def patience(source: Source, within: float = SECONDS) -> float:
    """Seconds for the whole of its answer, once it is its turn."""
    return within * (1 + len(source.candidates) // PEOPLE)


async def asked(
    sources: Mapping[str, Source], ask: Ask
) -> tuple[dict[str, tuple[str, ...]], dict[str, Unavailable]]:
    """Every source once, side by side: who is in each group, and why that is not known of others."""
    answers = await asyncio.gather(*(ask(source) for source in sources.values()), return_exceptions=True)
    found: dict[str, tuple[str, ...]] = {}
    troubles: dict[str, Unavailable] = {}
    for group, answer in zip(sources, answers, strict=True):
        if isinstance(answer, Unavailable):
            troubles[group] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[group] = answer
    return found, troubles


async def _slack(settings: BotSettings, source: Source) -> tuple[str, ...]:
    await asyncio.to_thread(importlib.import_module, "bot.slack.memberships")
    from bot.slack.memberships import members

    return await members(settings, source.address)


class _Telegram:
    """All chats are asked for at one pace, so by one; made where the first is asked for."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        self._memberships: Memberships | None = None

    async def members(self, source: Source) -> tuple[str, ...]:
        await asyncio.to_thread(importlib.import_module, "bot.telegram.memberships")
        if self._memberships is None:
            from bot.telegram.memberships import Memberships

            self._memberships = Memberships(self._settings, SystemClock())
        return await self._memberships.members(int(source.address), source.candidates)


async def _http(source: Source) -> tuple[str, ...]:
    """The client's own sentences hold the whole URL, so only their classes are kept."""
    who = urlsplit(source.address).hostname
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "countersign"}
    if source.token is not None:
        headers["Authorization"] = f"Bearer {source.token}"
    try:
        async with (
            ClientSession(
                connector=TCPConnector(force_close=True),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.get(source.address, headers=headers, allow_redirects=False) as response,
        ):
            return _names(await _body(response, who), who)
    except (ClientError, OSError, ValueError) as error:
        raise Unavailable(f"{who} could not be reached ({type(error).__name__}).") from None


async def _body(response: ClientResponse, who: str | None) -> bytes:
    if 300 <= response.status < 400:
        raise Unavailable(f"{who} redirects ({response.status}), which is not followed.")
    if response.status != 200:
        raise Unavailable(f"{who} answered {response.status}.", retry_after=_pause(response))
    body = bytearray()
    async for piece in response.content.iter_chunked(2**16):
        body += piece
        if len(body) > LARGEST:
            raise Unavailable(f"{who} answered with more than 1 MiB.")
    return bytes(body)


def _pause(response: ClientResponse) -> timedelta:
    """In whole seconds (RFC 9110, Retry-After); nothing where that is missing or a date."""
    value = response.headers.get("Retry-After", "")
    known = value.isascii() and value.isdigit()
    return min(timedelta(seconds=int(value[:9])), LONGEST_PAUSE) if known else timedelta(0)


def _names(body: bytes, who: str | None) -> tuple[str, ...]:
    """`{"people": ["ana", …]}` or `["ana", …]`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable(f"{who} answered with what is not JSON.") from None
    names = found.get("people") if isinstance(found, dict) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unavailable(f'{who} answered with JSON that is not {{"people": ["ana", …]}}.')
    return tuple(dict.fromkeys(names))
