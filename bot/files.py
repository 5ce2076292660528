"""Notice -> DraftFile: a draft too long for its card, as a file in the same thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from bot.cards import encoded
from core.errors import Undeliverable
from core.events import ReviewRequested
from core.model import text_of

if TYPE_CHECKING:
    from core.model import MessageRef, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFile:
    """A whole draft as it is, with nothing made visible: what its SHA-256 is made of."""

    name: str
    content: bytes = field(repr=False)
    words: str
    """A sentence of ours on it."""
    sha256: str
    thread: MessageRef
    """The first message of the thread that it is put into."""


def is_file(notice: Notice) -> bool:
    """Whether the notice is no words but the draft that its review is about."""
    return isinstance(notice.event.event, ReviewRequested)


def file_of(notice: Notice, thread: MessageRef | None) -> DraftFile:
    """Raises `Undeliverable` where nobody is asked about this draft any more, or it would follow no card."""
    if thread is None:
        raise Undeliverable("There is no card that the draft's file could follow.")
    review = notice.review
    if review is None or not review.is_open:
        raise Undeliverable("The review is closed, so its draft is not sent any more.")
    content = encoded(review.draft)
    kind = "txt" if isinstance(review.draft, str) else "json"
    return DraftFile(
        name=f"attempt-{review.attempt}.{kind}",
        content=content,
        words=f"All {len(text_of(review.draft)):,} characters of attempt {review.attempt}",
        sha256=sha256(content).hexdigest(),
        thread=thread,
    )
