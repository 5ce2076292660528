"""One POST to somebody's endpoint, repeated where that may help, and its answer read within bounds.

Every call has a session of its own: nothing to open, to close or to share, and a call that is stopped
takes its connection with it. One kept open would save 0.4 ms of CPU (measured on loopback) and, with TLS,
a handshake, of calls that take seconds.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorCertificateError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)

from core.errors import FlowError, SettingsError
from core.processors.exchange import LARGEST, ProcessorError, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

T = TypeVar("T")

TRIES = 3
"""Calls in one run of a node; the flow's own `retries` repeat whole runs."""
FIRST_PAUSE = 0.5
"""Seconds before the second call, more or less; twice as long before the third."""
CONNECT = 10.0
"""Seconds in which a connection has to stand, TLS included."""
LONGEST_WAIT = timedelta(hours=1)
"""That an endpoint may ask for: one that says a year would leave its task running for a year."""
AGAIN = frozenset({408, 425, 429})
"""Refusals that pass, as every 5xx may."""


class Unreached(ProcessorError):
    """Nothing came of this call that anybody has seen, so that it may simply be repeated."""


def host_of(url: str, what: str) -> str:
    """Host and port of a URL that can be called; raises `SettingsError`, which calls it `what`.

    The rest of the URL may hold passwords and is never shown.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise SettingsError(f"{what} is not a URL.") from error
    blank = any(character.isspace() or not character.isprintable() for character in url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or blank or parts.fragment:
        raise SettingsError(f"{what} must be http(s)://host[:port]/path.")
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


class Endpoint:
    """Where to POST to; `who` is what sentences call it."""

    def __init__(
        self,
        url: str,
        *,
        who: str,
        within: timedelta,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`within` is how long all calls of one run may take together."""
        self.who = who
        self._url = url
        self._within = within.total_seconds()
        self._pause = pause

    async def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[ClientResponse], Awaitable[T]],
    ) -> T:
        """What `read` makes of an answer of 2xx, or of one that stands for good.

        Raises `ProcessorError`, and whatever `read` raises; after `Unreached` it is called again.
        """
        now = asyncio.get_running_loop().time
        until = now() + self._within
        for tries in range(1, TRIES + 1):
            try:
                return await self._once(body, headers, read, until - now())
            except Unreached as error:
                wait = _wait(tries, error)
                if tries == TRIES or now() + wait >= until:
                    raise
                await self._pause(wait)
        raise AssertionError("the last try returns or raises")

    async def _once(
        self,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[ClientResponse], Awaitable[T]],
        seconds: float,
    ) -> T:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "countersign",
            "Accept-Encoding": "identity",
            **headers,
        }
        timeout = ClientTimeout(total=seconds, sock_connect=min(CONNECT, seconds))
        async with (
            self._troubles(),
            ClientSession(
                connector=TCPConnector(force_close=True),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=timeout,
            ) as session,
            session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            if 300 <= response.status < 400:
                raise FlowError(f"{self.who} redirects ({response.status}), which is not followed.")
            return await read(response)

    @asynccontextmanager
    async def _troubles(self) -> AsyncIterator[None]:
        """The client's errors as ours; their texts hold the whole URL, so only their names are kept."""
        try:
            yield
        except InvalidURL as error:
            raise FlowError(f"{self.who} has a URL that cannot be called.") from error
        except ClientConnectorCertificateError as error:
            raise ProcessorError(f"{self.who} has a certificate that cannot be verified.") from error
        except TimeoutError as error:
            raise Unreached(f"{self.who} did not answer in time.") from error
        except (ClientError, OSError) as error:
            raise Unreached(f"{self.who} could not be reached ({type(error).__name__}).") from error

    def refusal(self, response: ClientResponse, reason: str | None = None) -> Exception:
        """What to raise for a status that is no success."""
        sentence = f"{self.who} answered {response.status}"
        sentence = f"{sentence}: {reason}" if reason else f"{sentence}."
        if response.status >= 500 or response.status in AGAIN:
            return Unreached(sentence, retry_after=_asked_for(response.headers.get("Retry-After")))
        return FlowError(sentence)

    async def pieces(self, response: ClientResponse, most: int = LARGEST) -> AsyncIterator[bytes]:
        """The body as it comes, never unpacked: a small one could become a large one. Raises `TooLarge`."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ProcessorError(f"{self.who} answered compressed, which it was asked not to do.")
        if (response.content_length or 0) > most:
            raise TooLarge(self.who)
        size = 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > most:
                raise TooLarge(self.who)
            yield piece

    async def whole(self, response: ClientResponse, most: int = LARGEST) -> bytes:
        """The whole body; raises `TooLarge`."""
        return b"".join([piece async for piece in self.pieces(response, most)])


def _wait(tries: int, error: Unreached) -> float:
    """Seconds: what was asked for, or else a pause that grows and that not everybody makes at once."""
    if error.retry_after is not None:
        return error.retry_after.total_seconds()
    return FIRST_PAUSE * tries * random.uniform(0.75, 1.25)  # noqa: S311 - not for secrets


def _asked_for(header: str | None) -> timedelta | None:
    """`Retry-After`: seconds or an HTTP date; None where neither is given."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return min(timedelta(seconds=int(header[:9])), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(header) - datetime.now(UTC)
        return min(max(wait, timedelta(0)), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
