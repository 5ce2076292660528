"""What a button carries: an opaque token of at most 64 bytes, bound to one review, attempt and action."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from core.model import QuestionId, ReviewId

if TYPE_CHECKING:
    from core.ports import Secrets

LIMIT = 64
"""Bytes in a Telegram button's `callback_data` (Bot API, InlineKeyboardButton)."""

_MAC_BYTES = 18
"""144 bits; 18 bytes are 24 characters of base64 with no bit to spare, so every character counts."""

_SHAPE = re.compile(r"([0-9a-f]{32})\.([a-zA-Z])([1-9][0-9]{0,3})\.([A-Za-z0-9_-]{24})", re.ASCII)


class Action(StrEnum):
    """What a press asks for, as the letter in its token."""

    APPROVE = "a"
    ASK_APPROVE = "p"
    """Ask me whether I am sure, then approve."""
    REJECT = "r"
    """Ask me why, then reject."""
    REJECT_PLAINLY = "n"
    """The answer to that question: no reason."""
    GIVE_REASON = "g"
    """The answer to that question: let me write."""
    NEVER_MIND = "c"
    """The answer to that question: nothing shall happen."""
    CLAIM = "l"
    """I am looking at it."""
    SNOOZE_HOUR = "h"
    """Remind me in an hour."""
    SNOOZE_DAY = "t"
    """Remind me tomorrow morning."""
    WITHDRAW = "w"
    """Take back what I decided."""
    EDIT = "e"
    """Let me write what shall stand instead."""
    CONFIRM = "k"
    """The answer to that question, or to the difference that an edit makes: it is what I want."""
    ASK = "q"
    """Let me ask the submitter something."""
    ANSWER = "s"
    """Let me answer that; the token's id is the question's, where others have the review's."""
    CHOOSE = "A"
    """The answer to that question: the first of the policy's reasons; `B` is the second, and so on."""


CHOICES = 26
"""As many of a policy's reasons can be told apart by one letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What a genuine token says."""

    review: ReviewId
    attempt: int
    action: Action
    choice: int = 0
    """Which of the policy's reasons, from 0, where the action is `CHOOSE`."""

    @property
    def question(self) -> QuestionId:
        """Which one, where the action is `ANSWER`."""
        return QuestionId(self.review)


@dataclass(frozen=True, slots=True)
class Buttons:
    """Makes and reads tokens under one key.

    A token is `REVIEW.aATTEMPT.MAC`, `a` being the action; clients can change it as they like
    (Telegram passes on whatever they send), so nothing in it counts before its MAC is checked.
    """

    key: bytes

    @classmethod
    async def kept_in(cls, secrets: Secrets) -> Buttons:
        """Under the key that the database keeps, so that buttons outlive restarts."""
        return cls(await secrets.secret("buttons"))

    def token(self, review: ReviewId, attempt: int, action: Action, choice: int = 0) -> str:
        """ASCII, at most `LIMIT` bytes; the same for the same button every time.

        `choice`, below `CHOICES`, is for `CHOOSE` alone.
        """
        said = f"{review}.{chr(ord(action) + choice)}{attempt}"
        return f"{said}.{self._mac(said)}"

    def answer_token(self, question: QuestionId, attempt: int) -> str:
        """Likewise, for the button of a question."""
        return self.token(ReviewId(question), attempt, Action.ANSWER)

    def read(self, token: object) -> Press | None:
        """None unless we made this very token."""
        found = _SHAPE.fullmatch(token) if isinstance(token, str) else None
        if found is None:
            return None
        review, letter, attempt, mac = found.groups()
        choice = ord(letter) - ord(Action.CHOOSE) if letter.isupper() else 0
        action = Action.CHOOSE.value if letter.isupper() else letter
        expected = self._mac(f"{review}.{letter}{attempt}")
        if action not in _ACTIONS or not hmac.compare_digest(expected.encode(), mac.encode()):
            return None
        return Press(review=ReviewId(review), attempt=int(attempt), action=Action(action), choice=choice)

    def _mac(self, said: str) -> str:
        digest = hmac.new(self.key, said.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode()


_ACTIONS = frozenset(Action)
