"""What a delivery shows, read in one go so that it is one moment's truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import NotFound
from core.events import QuestionAsked
from core.model import Notice
from core.store import deliveries, history, questions, reviews, tasks

if TYPE_CHECKING:
    from core.model import Delivery, MessageRef, ReviewRequest
    from core.store.transaction import Transaction


def of_delivery(tx: Transaction, wanted: Delivery) -> tuple[ReviewRequest | Notice, MessageRef | None]:
    """The review as it is now or the notice's event; in a chat, with the thread that it belongs to."""
    if wanted.review is not None:
        return reviews.on_card(tx, wanted.review), deliveries.thread_of(tx, wanted)
    stored = history.event_numbered(tx, wanted.task, wanted.event_seq)
    if stored is None:
        raise NotFound("There is no such event.")
    task = tasks.one(tx, wanted.task)
    if wanted.recipient.channel == history.WEBHOOK:
        return Notice(task=task, event=stored), None
    about = getattr(stored.event, "review", None)
    to_submitter = wanted.recipient == task.tell and isinstance(stored.event, history.ENDS)
    if to_submitter:
        review = next(iter(reviews.of_task(tx, wanted.task)[-1:]), None)
    else:
        review = None if about is None else reviews.one(tx, about)
    asked = stored.event
    is_answered = isinstance(asked, QuestionAsked) and questions.one(tx, asked.question).reply is not None
    told = Notice(task=task, event=stored, review=review, to_submitter=to_submitter, is_answered=is_answered)
    return told, deliveries.thread_of(tx, wanted)
