"""What a chat platform sends, and what is asked of one person in a chat."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.decisions import Verdict
    from core.model.names import ChannelName, Json, MessageRef, PersonId, ReviewId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatUpdate:
    """What a chat platform sent, stored before it was confirmed; `body` is the platform's own JSON."""

    channel: ChannelName
    id: str
    body: bytes
    kept_at: datetime | None = field(default=None, compare=False)
    """When it was stored; None before that."""


class Asks(StrEnum):
    """What somebody is asked for in a dialog."""

    REASON = "reason"
    """Why they decide as they do."""
    QUESTION = "question"
    """What they want to know of the submitter."""
    TEXT = "text"
    """What shall stand in place of the draft."""
    CONSENT = "consent"
    """Whether they mean it, the edit that they were shown or, as the verdict says, an approval: by a button,
    never in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """A question put to one person in a chat, whose answer belongs to a review (why do you reject?).

    Found again by the prompt's `message`, by that person only, until `expires_at`.
    """

    message: MessageRef
    channel: ChannelName
    review: ReviewId
    person: PersonId
    verdict: Verdict
    """What the answer leads to. Of a `QUESTION`, which leads to none, it is `EDIT`: an earlier release takes
    every dialog for one about reasons, and then refuses the answer, since an edit without a text is none."""
    expires_at: datetime
    asks: Asks = Asks.REASON
    content: Json = None
    """An edit that waits for its confirmation, or for the reason that is asked for with it."""
    ended_at: datetime | None = None
    """When its prompt was last changed to offer no answer. Of one that is answered it is long ago: it only
    has to go."""
