"""Cards and notices: which should be shown, and what they should show."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, exists, func, insert, literal_column, null, select, update

from core.ids import new_id
from core.literal import is_short
from core.model import ChannelName, DeliveryState, MessageRef, Recipient, text_of
from core.store.chats import find_dialog
from core.store.rows import DELIVERY_COLUMNS, delivery_of, micros
from core.store.statements import Statement, p
from core.store.tables import delivery, question
from core.timetable import has_timers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from core.model import Delivery, Json, Policy, ReviewRequest
    from core.store.transaction import Transaction

LEISURE = timedelta(seconds=5)
"""Between two changes of cards for which nobody waits. Hundreds of reminders may fall due in one minute, the
first at work; Slack takes 50 changes a minute in all, a Telegram group 20, and people wait for those that say
what was decided."""
GIVES_WAY = timedelta(hours=1)
"""For how long the card of a review that was closed before it could be posted stands behind newer posts.

A busy group takes twenty messages a minute: those that still ask somebody are not to wait for the others."""

_columns = [delivery.c[name] for name in DELIVERY_COLUMNS]

INSERT = Statement(insert(delivery), DELIVERY_COLUMNS)
THREAD = Statement(
    select(delivery.c.message)
    .where(
        delivery.c.task_id == p("task"),
        delivery.c.channel == p("channel"),
        delivery.c.address == p("address"),
        delivery.c.event_seq <= p("before"),
        delivery.c.id != p("id"),
        delivery.c.message.is_not(None),
        delivery.c.review_id.is_not(None),
    )
    .order_by(delivery.c.event_seq, delivery.c.retired.desc(), delivery.c.id)
    .limit(literal_column("1"))
)
OF_TASK = Statement(
    select(*_columns).where(delivery.c.task_id == p("task")).order_by(delivery.c.event_seq, delivery.c.id)
)
AT_MESSAGE = Statement(
    select(delivery.c.task_id, delivery.c.review_id)
    .where(delivery.c.channel == p("channel"), delivery.c.message == p("message"))
    .limit(literal_column("1"))
)
KNOWN_COPY = Statement(
    select(delivery.c.id, delivery.c.state).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id == p("review"),
        delivery.c.channel == p("channel"),
        delivery.c.message == p("message"),
    )
)
LOCK_CARDS = Statement(
    select(delivery.c.id)
    .where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id == p("review"),
        delivery.c.channel == p("channel"),
    )
    .with_for_update()
)
REVIVE = Statement(
    update(delivery)
    .where(delivery.c.id == p("id"), delivery.c.state == literal_column("'given_up'"))
    .values(
        state=literal_column("'sent'"),
        due_at=p("now"),
        tries=literal_column("0"),
        failing_since=null(),
        error=null(),
    )
)
_open = and_(delivery.c.task_id == p("task"), delivery.c.state != literal_column("'given_up'"))
DROP_WORDS = Statement(
    delete(delivery).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id.is_(None),
        delivery.c.channel != literal_column("'webhook'"),
        delivery.c.message.is_(None),
    )
)
_raised = {
    "version": delivery.c.version + literal_column("1"),
    # Nothing loses its turn by a vote.
    "due_at": case((delivery.c.due_at < p("now"), delivery.c.due_at), else_=p("now")),
    "tries": literal_column("0"),
}
_asks = and_(_open, delivery.c.review_id.is_(None), delivery.c.channel != literal_column("'webhook'"))
# A question that is not said yet, or in this moment, is then said as it stands by then.
RAISE_QUESTION = Statement(
    update(delivery)
    .where(
        _asks,
        delivery.c.event_seq.in_(select(question.c.event_seq).where(question.c.id == p("question"))),
    )
    .values(**_raised)
)
RAISE_UNANSWERED = Statement(
    update(delivery)
    .where(
        _asks,
        delivery.c.message.is_not(None),
        delivery.c.event_seq.in_(
            select(question.c.event_seq).where(
                question.c.task_id == p("task"),
                question.c.review_id == p("review"),
                question.c.reply.is_(None),
            )
        ),
    )
    .values(**_raised)
)
_ended = delivery.alias("ended")
# What is retired is no card here: its recipient has said that it wants nothing more.
END_UNWANTED = Statement(
    update(delivery)
    .where(
        delivery.c.task_id == p("task"),
        delivery.c.channel == p("channel"),
        delivery.c.review_id.is_(None),
        delivery.c.due_at.is_not(None),
        exists(
            select(_ended.c.id).where(
                _ended.c.task_id == delivery.c.task_id,
                _ended.c.channel == delivery.c.channel,
                _ended.c.address == delivery.c.address,
                _ended.c.review_id.is_(None),
                _ended.c.retired == literal_column("1"),
            )
        ),
    )
    .values(
        state=literal_column("'given_up'"),
        due_at=null(),
        error=literal_column("'Its recipient wants nothing more of this task.'"),
    )
)
SHOWN_IN = Statement(
    select(delivery.c.channel, delivery.c.address).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id.is_not(None),
        delivery.c.state != literal_column("'given_up'"),
    )
)
RAISE_REVIEW = Statement(
    update(delivery)
    .where(_open, delivery.c.review_id == p("review"))
    .values(**_raised, gives_way=p("gives_way"))
)
# Few rows of an index, whatever is due by now. What threads are told may be tried again in an hour only, and
# a card that one chat does not take now is no end of the queue for all the others.
LAST_CHANGE = Statement(
    select(func.max(delivery.c.due_at)).where(
        delivery.c.channel == p("channel"),
        delivery.c.due_at > p("now"),
        delivery.c.message.is_not(None),
        delivery.c.review_id.is_not(None),
        delivery.c.failing_since.is_(None),
    )
)
# A card that is to be shown anyway shows this, too.
RAISE_AT_LEISURE = Statement(
    update(delivery)
    .where(
        _open,
        delivery.c.review_id == p("review"),
        delivery.c.channel == p("channel"),
        delivery.c.retired == literal_column("0"),
    )
    .values(
        version=delivery.c.version + literal_column("1"),
        due_at=func.coalesce(delivery.c.due_at, p("at")),
    )
)
KEEP_TURN = Statement(
    update(delivery)
    .where(
        delivery.c.task_id == p("task"),
        delivery.c.channel == p("channel"),
        delivery.c.address == p("address"),
        delivery.c.message.is_(None),
        delivery.c.gives_way > literal_column("0"),
    )
    .values(gives_way=literal_column("0"))
)


def new_delivery(
    tx: Transaction, task: str, seq: int, channel: str, address: str, *, review: str | None = None
) -> dict[str, Any]:
    """A row that is due now."""
    return {
        "id": new_id(),
        "task_id": task,
        "event_seq": seq,
        "review_id": review,
        "channel": channel,
        "address": address,
        "state": DeliveryState.DUE.value,
        "message": None,
        "version": 1,
        "shown": 0,
        "tries": 0,
        "due_at": micros(tx.now),
        "failing_since": None,
        "error": None,
        "retired": 0,
    }


def insert_deliveries(tx: Transaction, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    tx.insert_many(INSERT, rows)
    tx.due.update(ChannelName(row["channel"]) for row in rows)


def open_cards(
    tx: Transaction, task: str, seq: int, review: str, places: Iterable[Recipient], draft: Json
) -> None:
    """One card for each place; where that cannot show the draft whole, the draft as a file besides."""
    places = list(dict.fromkeys(places))
    for place in places:
        # What stands before its card in the thread is posted first: it gives way no more.
        tx.send(KEEP_TURN, task=task, channel=place.channel, address=place.address)
    cards = [new_delivery(tx, task, seq, place.channel, place.address, review=review) for place in places]
    insert_deliveries(tx, cards)
    if not is_short(text_of(draft)):
        say(tx, task, seq, places)


def say(tx: Transaction, task: str, seq: int, places: Iterable[Recipient]) -> None:
    """Tell each place, in the task's thread there, of the event numbered `seq`."""
    insert_deliveries(
        tx,
        [new_delivery(tx, task, seq, place.channel, place.address) for place in dict.fromkeys(places)],
    )


def end_unwanted(tx: Transaction, task: str, channel: str) -> None:
    """Whoever has said that they want nothing more of the task is told nothing more."""
    tx.send(END_UNWANTED, task=task, channel=channel)


def shown_in(tx: Transaction, task: str) -> list[Recipient]:
    """Where the task has cards; a place as often as it has some."""
    return [
        Recipient(channel=ChannelName(channel), address=address)
        for channel, address in tx.all(SHOWN_IN, task=task)
    ]


def raise_cards(tx: Transaction, task: str, review: str, policy: Policy, *, gives_way: bool = False) -> None:
    """Every card of the review has something newer to show; where it is over, what is not posted yet
    `gives_way` to what still asks."""
    if channels := policy.channels:
        way = GIVES_WAY if gives_way else timedelta(0)
        tx.send(
            RAISE_REVIEW,
            task=task,
            review=review,
            now=micros(tx.now),
            gives_way=way // timedelta(microseconds=1),
        )
        tx.due.update(channels)


def raise_at_leisure(tx: Transaction, review: ReviewRequest) -> None:
    """As `raise_cards`, but behind all that is due by now, and one review after another."""
    now = micros(tx.now)
    for channel in review.policy.channels:
        last = tx.one(LAST_CHANGE, channel=channel, now=now)
        cards = sum(place.channel == channel for place in review.policy.recipients)
        behind = now if last is None or last[0] is None else last[0]
        at = behind + cards * LEISURE // timedelta(microseconds=1)
        tx.send(RAISE_AT_LEISURE, task=review.task.id, review=review.id, channel=channel, at=at)
        tx.due.add(channel)


def raise_question(tx: Transaction, task: str, asked: str, policy: Policy) -> None:
    """It has been answered: what asks it anywhere offers no answer any more."""
    tx.send(RAISE_QUESTION, task=task, question=asked, now=micros(tx.now))
    tx.due.update(policy.channels)


def end_words(tx: Transaction, task: str, review: str, policy: Policy) -> None:
    """Of a review that is closed nothing more is said, and what it asked cannot be answered any more."""
    tx.send(DROP_WORDS, task=task)
    _raise_unanswered(tx, task, review, policy)


def _raise_unanswered(tx: Transaction, task: str, review: str, policy: Policy) -> None:
    if tx.run(RAISE_UNANSWERED, task=task, review=review, now=micros(tx.now)):
        tx.due.update(policy.channels)


def drop_words(tx: Transaction, review: ReviewRequest, *, was_snoozed: bool) -> None:
    """As `end_words`, where there may be some."""
    policy = review.policy
    if (
        was_snoozed
        or review.questions
        or has_timers(policy)
        or policy.approvals > 1
        or policy.rejections > 1
        or (policy.recipients and not is_short(text_of(review.draft)))
    ):
        tx.send(DROP_WORDS, task=review.task.id)
    if review.questions:
        _raise_unanswered(tx, review.task.id, review.id, policy)


def adopt_copy(
    tx: Transaction, task: str, seq: int, review: str, recipient: Recipient, message: MessageRef
) -> None:
    """A card that no delivery knows, as after a post whose answer was lost, is shown like every other.

    One that was given up is tried again: who presses it shows that its place is open to us. A message that is
    another review's card, a notice or a question stays what it is: a client can name any message.
    """
    copy = {"task": task, "review": review, "channel": recipient.channel, "message": message}
    known = tx.one(KNOWN_COPY, **copy)
    if known is None:
        # Another server may be noting in this moment that it was posted: either waits for the other.
        tx.lock(LOCK_CARDS, task=task, review=review, channel=recipient.channel)
        known = tx.one(KNOWN_COPY, **copy)
    if known is None:
        if at_message(tx, recipient.channel, message) or find_dialog(tx, recipient.channel, message):
            return
        row = new_delivery(tx, task, seq, recipient.channel, recipient.address, review=review)
        insert_deliveries(tx, [{**row, "state": DeliveryState.SENT.value, "message": message}])
    elif known[1] == DeliveryState.GIVEN_UP.value and tx.run(REVIVE, id=known[0], now=micros(tx.now)):
        tx.due.add(recipient.channel)


def at_message(tx: Transaction, channel: str, message: str) -> tuple[str, str | None] | None:
    """The task and, of a card, the review that a message of ours belongs to."""
    row = tx.one(AT_MESSAGE, channel=channel, message=message)
    return None if row is None else (row[0], row[1])


def thread_of(tx: Transaction, wanted: Delivery) -> MessageRef | None:
    """The task's first message in the same place, before this delivery: a retired one began its thread, and a
    draft's file has its own card."""
    place = wanted.recipient
    row = tx.one(
        THREAD,
        task=wanted.task,
        channel=place.channel,
        address=place.address,
        before=wanted.event_seq,
        id=wanted.id,
    )
    return None if row is None else MessageRef(row[0])


def of_task(tx: Transaction, task: str) -> list[Delivery]:
    return [delivery_of(row) for row in tx.all(OF_TASK, task=task)]
