"""The Bot API's limits as named figures with their source, and the checks that need nothing else.

Sources: [api] the Bot API 10.1 description; [ptb] python-telegram-bot 22.8, `telegram.constants`; [td] the
server's source; [ours] a figure that Telegram does not publish, chosen here.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.simulator.telegram.errors import bad_request, too_many_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT_LENGTH = 4096
"""Of a message after its entities are parsed [api]; counted in UTF-16 units, the sterner reading."""
CAPTION_LENGTH = 1024
"""Of a document's caption, likewise [api]."""
ENTITIES = 100
"""Of a message; Telegram ignores further ones [ptb]."""
CALLBACK_DATA_BYTES = 64
"""Of a button, at least 1 [api]."""
BUTTONS = 100
"""Of an inline keyboard [ptb]. Telegram may drop further ones silently; refused here, lest a test miss it."""
BUTTONS_PER_ROW = 8
"""[ptb]; refused here likewise."""
ANSWER_LENGTH = 200
"""Of the text of answerCallbackQuery [api]."""
ANSWER_WINDOW = 15.0
"""Seconds in which a callback query may be answered [ours: Telegram says only that it is short]."""
COMMANDS = 100
"""Of setMyCommands [api]."""
COMMAND = re.compile(r"[a-z0-9_]{1,32}")
"""A command's name [api]."""
COMMAND_DESCRIPTION_LENGTH = 256
"""At least 1 [api]."""
TOPIC_NAME_LENGTH = 128
"""At least 1 [api]."""
PLACEHOLDER_LENGTH = 64
"""Of ForceReply's input_field_placeholder [api]."""
UPDATES_PER_CALL = 100
"""Of getUpdates [api]."""
UPDATE_LIFE = 24 * 3600.0
"""Seconds that an update is kept [api: "not longer than 24 hours"]."""
POLL_SECONDS = 50
"""The longest long poll; more is cut down to it [td]."""
DELETION_WINDOW = 48 * 3600.0
"""Seconds after which a message cannot be deleted any more [api]."""
SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""A webhook's secret_token [api]."""
WEBHOOK_PORTS = frozenset({80, 88, 443, 8443})
"""[api]"""
WEBHOOK_CONNECTIONS = 40
"""max_connections when left out; 1 to 100 are allowed [api]."""
UPLOAD_BYTES = 50 * 1024 * 1024
"""Of a document sent by a bot [api]."""
DOWNLOAD_BYTES = 20 * 1024 * 1024
"""Of a file that getFile prepares [api]."""

MESSAGES_PER_SECOND = 30
"""Over all chats [ptb]."""
MESSAGES_PER_SECOND_PER_CHAT = 1
"""[ptb]; "Telegram may allow short bursts"."""
CHAT_BURST = 3
"""Messages a chat takes at once before the second above counts [ours]."""
MESSAGES_PER_MINUTE_PER_GROUP = 20
"""Channels count as groups [ptb]."""


def utf16_length(text: str) -> int:
    """Length in the unit of Telegram's offsets: a character beyond the first 65,536 counts twice."""
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def checked_url(url: str) -> str | None:
    """The address as Telegram would open it, or None where it finds it wrong: above all, a host without a
    dot, such as `localhost`."""
    address = url.strip() if "://" in url else f"http://{url.strip()}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme in {"tg", "ton", "tonsite"}:
        return address
    is_good = parts.scheme in {"http", "https"} and host and "." in host.strip(".") and " " not in address
    return address if is_good else None


def check_commands(names_and_descriptions: list[tuple[str, str]]) -> None:
    if len(names_and_descriptions) > COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for name, description in names_and_descriptions:
        if COMMAND.fullmatch(name) is None:
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(description) <= COMMAND_DESCRIPTION_LENGTH:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")


@dataclass(slots=True)
class Window:
    """At most `most` messages in any `seconds`."""

    most: int
    seconds: float
    sent: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until one more may be sent; 0 is now."""
        while self.sent and self.sent[0] <= now - self.seconds:
            self.sent.popleft()
        return 0.0 if len(self.sent) < self.most else self.sent[0] + self.seconds - now

    def count(self, now: float) -> None:
        self.sent.append(now)


@dataclass(slots=True)
class Bucket:
    """A steady rate with bursts: `full` at once, then `rate` a second."""

    full: int
    rate: float
    used: float = 0.0
    at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until one more may be sent; 0 is now."""
        self.used, self.at = max(0.0, self.used - (now - self.at) * self.rate), now
        return max(0.0, (self.used + 1 - self.full) / self.rate)

    def count(self, now: float) -> None:
        self.used, self.at = self.used + 1, now


@dataclass(slots=True, kw_only=True)
class FloodLimits:
    """How fast a bot may send and edit, per chat and in all. A refused message does not count."""

    now: Callable[[], float]
    overall: Window = field(default_factory=lambda: Window(MESSAGES_PER_SECOND, 1.0))
    chats: defaultdict[int, Bucket] = field(
        default_factory=lambda: defaultdict(lambda: Bucket(CHAT_BURST, MESSAGES_PER_SECOND_PER_CHAT))
    )
    groups: defaultdict[int, Window] = field(
        default_factory=lambda: defaultdict(lambda: Window(MESSAGES_PER_MINUTE_PER_GROUP, 60.0))
    )

    def count(self, chat: int) -> None:
        """Count one message to this chat, or raise 429 with the seconds to wait."""
        now = self.now()
        limits = list(self._limits(chat))
        wait = max(limit.wait(now) for limit in limits)
        if wait > 0:
            raise too_many_requests(wait)
        for limit in limits:
            limit.count(now)

    def _limits(self, chat: int) -> Iterator[Window | Bucket]:
        yield self.overall
        yield self.chats[chat]
        if chat < 0:  # groups, supergroups and channels have negative ids
            yield self.groups[chat]
