"""A draft too long for its card, as a file."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bot.files import file_of, is_file
from core.errors import Undeliverable
from core.events import ReviewRequested, TaskFailed
from core.model import MessageRef, Notice, Outcome, StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cards import Card
    from core.events import Event
    from core.model import Json, ReviewRequest

THREAD = MessageRef("C01GEN/1.1")
AT = datetime(2026, 11, 5, 14, 2, tzinfo=UTC)


def notice(review: ReviewRequest, event: Event | None = None) -> Notice:
    asked = event or ReviewRequested(review=review.id, attempt=review.attempt, draft=review.draft)
    stored = StoredEvent(task=review.task.id, seq=3, at=AT, event=asked)
    return Notice(task=review.task, event=stored, review=review)


@pytest.mark.parametrize(
    ("draft", "name", "content"),
    [
        ("é\r\n\u202e", "attempt-2.txt", "é\r\n\u202e".encode()),
        ({"ü": 1}, "attempt-2.json", '{\n  "ü": 1\n}'.encode()),
    ],
)
def test_a_file_is_the_draft_as_it_is(
    a_review: Callable[..., ReviewRequest],
    a_card: Callable[..., Card],
    draft: Json,
    name: str,
    content: bytes,
) -> None:
    file = file_of(notice(a_review(attempt=2, draft=draft)), THREAD)
    assert (file.name, file.content) == (name, content)
    assert file.sha256 == hashlib.sha256(content).hexdigest() == a_card(draft=draft).sha256


def test_its_words_say_how_long_it_is(a_review: Callable[..., ReviewRequest]) -> None:
    assert file_of(notice(a_review(draft="é" * 12345)), THREAD).words == "All 12,345 characters of attempt 1"


def test_it_tells_nothing_of_its_content_to_a_log(a_review: Callable[..., ReviewRequest]) -> None:
    assert "secret" not in repr(file_of(notice(a_review(draft="secret")), THREAD))


def test_a_closed_review_has_none(a_review: Callable[..., ReviewRequest]) -> None:
    with pytest.raises(Undeliverable):
        file_of(notice(a_review(outcome=Outcome.APPROVED, closed_at=AT)), THREAD)


def test_other_notices_are_words(a_review: Callable[..., ReviewRequest]) -> None:
    assert is_file(notice(a_review()))
    assert not is_file(notice(a_review(), TaskFailed(error="x")))


def test_a_file_follows_a_card(a_review: Callable[..., ReviewRequest]) -> None:
    assert file_of(notice(a_review()), THREAD).thread == THREAD
    with pytest.raises(Undeliverable):
        file_of(notice(a_review()), None)
