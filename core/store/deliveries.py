"""Cards and notices: which should be shown, which are, and which are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)

from core.ids import new_id
from core.jsontext import from_json
from core.literal import is_short
from core.model import ChannelName, DeliveryState, MessageRef, Recipient, text_of
from core.store.chats import find_dialog
from core.store.policies import policy_of
from core.store.rows import DELIVERY_COLUMNS, delivery_of, micros, moment
from core.store.statements import Statement, p
from core.store.tables import delivery, question, review
from core.timetable import has_timers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from core.model import Delivery, Json, Policy, ReviewRequest
    from core.store.transaction import Transaction

HEADS = 200
"""Heads of queues looked at in one go; the rest follow as these are served."""

_columns = [delivery.c[name] for name in DELIVERY_COLUMNS]
_older = delivery.alias("older")
_waits_for_older = exists().where(
    _older.c.task_id == delivery.c.task_id,
    _older.c.channel == delivery.c.channel,
    _older.c.address == delivery.c.address,
    or_(
        _older.c.event_seq < delivery.c.event_seq,
        # A draft's file follows its card.
        and_(_older.c.event_seq == delivery.c.event_seq, delivery.c.review_id.is_(None)),
    ),
    _older.c.review_id.is_not(None),
    _older.c.message.is_(None),
    _older.c.state == literal_column("'due'"),
)


def _heads(of: ColumnElement[bool], *, is_post: int) -> Select[Any]:
    """For each place the oldest that is due of this kind.

    Place by place, each by a step in an index: to rank all that is due takes as long as the queues are.
    """
    place = (
        select(func.min(delivery.c.address).label("address"))
        .where(delivery.c.channel == p("channel"), delivery.c.due_at.is_not(None), of)
        .cte(f"place_{is_post}", recursive=True)
    )
    following = (
        select(func.min(delivery.c.address))
        .where(
            delivery.c.channel == p("channel"),
            delivery.c.due_at.is_not(None),
            of,
            delivery.c.address > place.c.address,
        )
        .correlate(place)
        .scalar_subquery()
    )
    place = place.union_all(select(following).where(place.c.address.is_not(None)))
    head = delivery.alias(f"head_{is_post}")
    oldest = (
        select(delivery.c.id)
        .where(
            delivery.c.channel == p("channel"),
            delivery.c.address == place.c.address,
            delivery.c.due_at.is_not(None),
            delivery.c.due_at <= p("now"),
            of,
            # A reply needs its thread: what is new waits until the task's older cards there are posted.
            *([~_waits_for_older] if is_post else []),
        )
        .order_by(delivery.c.due_at, delivery.c.event_seq)
        .limit(literal_column("1"))
        .correlate(place)
        .scalar_subquery()
    )
    columns = [head.c[name] for name in DELIVERY_COLUMNS]
    return select(*columns, literal_column(str(is_post)).label("is_post")).join_from(
        place, head, head.c.id == oldest
    )


# Changes of cards that people can see go before new cards, and never stand behind them.
_first = union_all(
    _heads(delivery.c.message.is_not(None), is_post=0), _heads(delivery.c.message.is_(None), is_post=1)
).subquery("first")

INSERT = Statement(insert(delivery), DELIVERY_COLUMNS)
DUE = Statement(
    select(*(_first.c[name] for name in DELIVERY_COLUMNS))
    .order_by(_first.c.is_post, _first.c.due_at)
    .limit(literal_column(str(HEADS)))
)
NEXT_DUE = Statement(
    select(func.min(delivery.c.due_at)).where(
        delivery.c.channel == p("channel"), delivery.c.due_at.is_not(None), delivery.c.due_at > p("after")
    )
)
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
    .order_by(delivery.c.event_seq, delivery.c.retired.desc())
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
    select(delivery.c.id).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id == p("review"),
        delivery.c.channel == p("channel"),
        delivery.c.message == p("message"),
    )
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
    "due_at": p("now"),
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
ASKS = Statement(
    select(question.c.id).where(question.c.task_id == p("task"), question.c.event_seq == p("seq"))
)
SHOWN_IN = Statement(
    select(delivery.c.channel, delivery.c.address).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id.is_not(None),
        delivery.c.state != literal_column("'given_up'"),
    )
)
RAISE_REVIEW = Statement(update(delivery).where(_open, delivery.c.review_id == p("review")).values(**_raised))
SHOWN = Statement(
    update(delivery)
    .where(
        delivery.c.id == p("id"),
        # Another replica may have posted it, too, when this one was cut off from the database.
        or_(
            delivery.c.message.is_(None),
            delivery.c.message == p("message"),
            delivery.c.message == p("before"),
        ),
    )
    .values(
        state=literal_column("'sent'"),
        message=p("message"),
        shown=p("shown"),
        tries=literal_column("0"),
        failing_since=null(),
        error=null(),
        # Raised while it was being shown: due again at once.
        due_at=case((delivery.c.version > p("version"), p("now")), else_=null()),
    )
)
DISOWN = Statement(
    delete(delivery).where(
        delivery.c.task_id == p("task"),
        delivery.c.review_id == p("review"),
        delivery.c.channel == p("channel"),
        delivery.c.message == p("message"),
        delivery.c.id != p("id"),
    )
)
FAILED = Statement(
    update(delivery)
    .where(delivery.c.id == p("id"))
    .values(
        tries=delivery.c.tries + literal_column("1"),
        failing_since=func.coalesce(delivery.c.failing_since, p("now")),
        error=p("error"),
        due_at=p("due_at"),
    )
)
POSTPONED = Statement(
    update(delivery)
    .where(delivery.c.id == p("id"))
    .values(due_at=p("due_at"), failing_since=func.coalesce(delivery.c.failing_since, p("now")))
)
# Only what failed: what was merely postponed keeps the time that the platform asked for.
RETRY_FAILED = Statement(
    update(delivery)
    .where(
        delivery.c.channel == p("channel"),
        delivery.c.due_at.is_not(None),
        delivery.c.due_at > p("now"),
        delivery.c.tries > literal_column("0"),
    )
    .values(due_at=p("now"))
)
POSTED = Statement(
    select(delivery.c.version).where(delivery.c.id == p("id"), delivery.c.message.is_not(None))
)
GIVEN_UP = Statement(
    update(delivery)
    .where(delivery.c.id == p("id"))
    .values(state=literal_column("'given_up'"), due_at=null(), error=p("error"))
)

OPEN_POLICY = Statement(
    select(review.c.policy, review.c.draft).where(review.c.id == p("review"), review.c.closed_at.is_(None))
)
PLACES = Statement(
    select(delivery.c.channel, delivery.c.address, delivery.c.state).where(
        delivery.c.task_id == p("task"), delivery.c.review_id == p("review")
    )
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


def shown_in(tx: Transaction, task: str) -> list[Recipient]:
    """Where the task has cards; a place as often as it has some."""
    return [
        Recipient(channel=ChannelName(channel), address=address)
        for channel, address in tx.all(SHOWN_IN, task=task)
    ]


def raise_cards(tx: Transaction, task: str, review: str, policy: Policy) -> None:
    """Every card of the review has something newer to show."""
    if channels := policy.channels:
        tx.send(RAISE_REVIEW, task=task, review=review, now=micros(tx.now))
        tx.due.update(channels)


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
    known = tx.one(KNOWN_COPY, task=task, review=review, channel=recipient.channel, message=message)
    if known is None:
        if at_message(tx, recipient.channel, message) or find_dialog(tx, recipient.channel, message):
            return
        row = new_delivery(tx, task, seq, recipient.channel, recipient.address, review=review)
        insert_deliveries(tx, [{**row, "state": DeliveryState.SENT.value, "message": message}])
    elif tx.run(REVIVE, id=known[0], now=micros(tx.now)):
        tx.due.add(recipient.channel)


def at_message(tx: Transaction, channel: str, message: str) -> tuple[str, str | None] | None:
    """The task and, of a card, the review that a message of ours belongs to."""
    row = tx.one(AT_MESSAGE, channel=channel, message=message)
    return None if row is None else (row[0], row[1])


def due(tx: Transaction, channel: str) -> list[Delivery]:
    """What may be shown now: for each recipient at most one change and one new card; all changes first."""
    return [delivery_of(row) for row in tx.all(DUE, channel=channel, now=micros(tx.now))]


def next_due(tx: Transaction, channel: str, after: datetime) -> datetime | None:
    row = tx.one(NEXT_DUE, channel=channel, after=micros(after))
    return None if row is None or row[0] is None else moment(row[0])


def thread_of(tx: Transaction, wanted: Delivery) -> MessageRef | None:
    """The task's first message in the same place, before this delivery: a retired one began its thread, and a
    draft's file has its own card."""
    place = wanted.recipient
    row = tx.one(
        THREAD,
        task=wanted.task,
        channel=place.channel,
        address=place.address,
        before=wanted.event_seq + (wanted.review is None),
        id=wanted.id,
    )
    return None if row is None else MessageRef(row[0])


def of_task(tx: Transaction, task: str) -> list[Delivery]:
    return [delivery_of(row) for row in tx.all(OF_TASK, task=task)]


def shown(tx: Transaction, wanted: Delivery, message: MessageRef) -> None:
    noted = tx.run(
        SHOWN,
        id=wanted.id,
        message=message,
        before=wanted.message,
        shown=wanted.version,
        version=wanted.version,
        now=micros(tx.now),
    )
    if not noted and wanted.message is None and (other := tx.one(POSTED, id=wanted.id)) is not None:
        _second(tx, wanted, message, version=other[0])
    elif not noted and wanted.review is None:
        _take_back(tx, wanted, message)
    elif wanted.message is None and wanted.review is not None:
        # A press may have been quicker than this note, and its copy taken for one that nobody knew.
        tx.run(
            DISOWN,
            id=wanted.id,
            task=wanted.task,
            review=wanted.review,
            channel=wanted.recipient.channel,
            message=message,
        )


def _take_back(tx: Transaction, wanted: Delivery, message: MessageRef) -> None:
    """A question whose review was closed while it was being said: nobody can answer it any more."""
    if tx.one(ASKS, task=wanted.task, seq=wanted.event_seq) is None:
        return
    place = wanted.recipient
    row = new_delivery(tx, wanted.task, wanted.event_seq, place.channel, place.address)
    said = {"id": wanted.id, "state": DeliveryState.SENT.value, "message": message, "shown": wanted.version}
    insert_deliveries(tx, [{**row, **said, "version": wanted.version + 1}])


def _second(tx: Transaction, wanted: Delivery, message: MessageRef, *, version: int) -> None:
    """What another replica has posted, too: people see both, so both are to change."""
    place = wanted.recipient
    if at_message(tx, place.channel, message) is not None:
        return
    row = new_delivery(tx, wanted.task, wanted.event_seq, place.channel, place.address, review=wanted.review)
    said = {"state": DeliveryState.SENT.value, "message": message, "shown": wanted.version}
    # Numbered above what it shows: it is looked at once more, however old that is.
    insert_deliveries(tx, [{**row, **said, "version": max(version, wanted.version + 1)}])


def failed(tx: Transaction, wanted: Delivery, error: str, due_at: datetime) -> None:
    tx.send(FAILED, id=wanted.id, error=error, due_at=micros(due_at), now=micros(tx.now))


def postponed(tx: Transaction, wanted: Delivery, due_at: datetime) -> None:
    """Not counted among the tries, as the platform asked for patience; but not asked for ever, either."""
    tx.send(POSTPONED, id=wanted.id, due_at=micros(due_at), now=micros(tx.now))


def retry_failed(tx: Transaction, channel: str) -> None:
    """What failed and waits for its next try is due now."""
    tx.run(RETRY_FAILED, channel=channel, now=micros(tx.now))


def given_up(tx: Transaction, wanted: Delivery, error: str) -> None:
    """A card of an open review goes to the policy's fallback: once, and again for the next review.

    That it went there is said where some place of the fallback was not given up as well.
    """
    if wanted.message is None and tx.one(POSTED, id=wanted.id) is not None:
        return  # by another replica
    if _fall_back(tx, wanted):
        error = f"{error} The card went to the fallback."
    tx.send(GIVEN_UP, id=wanted.id, error=error)


def _fall_back(tx: Transaction, wanted: Delivery) -> bool:
    if wanted.review is None or wanted.is_retired:
        return False
    found = tx.one(OPEN_POLICY, review=wanted.review)
    if found is None:
        return False
    places = policy_of(found[0]).fallback
    others = [place for place in dict.fromkeys(places) if place != wanted.recipient]
    known = {(row[0], row[1]): row[2] for row in tx.all(PLACES, task=wanted.task, review=wanted.review)}
    new = [place for place in others if (place.channel, place.address) not in known]
    open_cards(tx, wanted.task, wanted.event_seq, wanted.review, new, from_json(found[1]))
    states = [known.get((place.channel, place.address)) for place in others]
    return any(state != DeliveryState.GIVEN_UP.value for state in states)
