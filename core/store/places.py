"""Places that got another address, and chats that were not heard for so long that presses are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, insert, literal_column, null, or_, select, update

from core.store.deliveries import insert_deliveries, new_delivery
from core.store.receipts import shown
from core.store.rows import DELIVERY_COLUMNS, delivery_of, micros, moment
from core.store.statements import Statement, p
from core.store.tables import delivery, heard, moved_place, review, task

if TYPE_CHECKING:
    from datetime import timedelta

    from core.model import Delivery, Recipient
    from core.store.transaction import Transaction

MOVED_PLACES = Statement(
    select(moved_place.c.address, moved_place.c.moved_to).where(moved_place.c.channel == p("channel"))
)
INSERT_MOVE = Statement(insert(moved_place), ("channel", "address", "moved_to"))
FORGET_MOVE = Statement(
    delete(moved_place).where(
        moved_place.c.channel == p("channel"),
        # the one before, and what would lead round in a circle
        or_(moved_place.c.address == p("address"), moved_place.c.address == p("moved_to")),
    )
)
_open_reviews = select(review.c.id).where(review.c.closed_at.is_(None))
_anew = {
    "address": p("moved_to"),
    "message": null(),
    "state": literal_column("'due'"),
    "due_at": p("now"),
    "shown": literal_column("0"),
    "tries": literal_column("0"),
    "failing_since": null(),
    "error": null(),
    # Others may follow it in its thread there.
    "gives_way": literal_column("0"),
}
MOVE = Statement(
    update(delivery).where(delivery.c.id == p("id"), delivery.c.address == p("address")).values(**_anew)
)
MOVE_PLACE = Statement(
    update(delivery)
    .where(
        delivery.c.channel == p("channel"),
        delivery.c.address == p("address"),
        delivery.c.state != literal_column("'given_up'"),
        delivery.c.retired == literal_column("0"),
        # what was said stays where it was said
        or_(delivery.c.review_id.is_not(None), delivery.c.message.is_(None)),
        or_(delivery.c.due_at.is_not(None), delivery.c.review_id.in_(_open_reviews)),
    )
    .values(**_anew)
)
HEARD = Statement(select(heard.c.at).where(heard.c.channel == p("channel")))
INSERT_HEARD = Statement(insert(heard), ("channel", "at"))
HEAR = Statement(
    update(heard).where(heard.c.channel == p("channel"), heard.c.at == p("before")).values(at=p("now"))
)
_is_open_card = and_(
    delivery.c.channel == p("channel"),
    delivery.c.review_id.in_(_open_reviews),
    delivery.c.message.is_not(None),
    delivery.c.state != literal_column("'given_up'"),
    delivery.c.retired == literal_column("0"),
)
# In one order, as `admitting` does; who changes all cards of a task has locked it first, too.
LOCK = Statement(
    select(task.c.id)
    .where(task.c.id.in_(select(delivery.c.task_id).where(_is_open_card)))
    .order_by(task.c.id)
    .with_for_update()
)
OPEN_CARDS = Statement(
    select(*(delivery.c[name] for name in DELIVERY_COLUMNS))
    .where(_is_open_card)
    .order_by(delivery.c.task_id, delivery.c.event_seq, delivery.c.id)
)
# Another replica may have noted meanwhile that its place has moved, or takes no card of ours.
RETIRE = Statement(
    update(delivery)
    .where(
        delivery.c.id == p("id"),
        delivery.c.address == p("address"),
        delivery.c.message == p("message"),
        delivery.c.state != literal_column("'given_up'"),
        delivery.c.retired == literal_column("0"),
    )
    .values(
        retired=literal_column("1"),
        version=delivery.c.version + literal_column("1"),
        due_at=p("now"),
        tries=literal_column("0"),
    )
)


def moved_places(tx: Transaction, channel: str) -> dict[str, str]:
    return {row[0]: row[1] for row in tx.all(MOVED_PLACES, channel=channel)}


def place_moved(tx: Transaction, place: Recipient, address: str) -> None:
    """What is open or still to be changed is posted anew at the new address, for nothing at the old one can
    be changed; what is over stays as it is."""
    if address == place.address:
        return
    tx.run(FORGET_MOVE, channel=place.channel, address=place.address, moved_to=address)
    tx.insert(INSERT_MOVE, channel=place.channel, address=place.address, moved_to=address)
    tx.run(MOVE_PLACE, channel=place.channel, address=place.address, moved_to=address, now=micros(tx.now))
    tx.due.add(place.channel)


def delivery_moved(tx: Transaction, wanted: Delivery, address: str) -> None:
    if wanted.message is not None and (wanted.review is None or wanted.is_retired):
        # nothing at the old address can be changed, and nobody presses anything there
        shown(tx, wanted, wanted.message)
        return
    tx.run(MOVE, id=wanted.id, address=wanted.recipient.address, moved_to=address, now=micros(tx.now))
    tx.due.add(wanted.recipient.channel)


def note_heard(tx: Transaction, channel: str, kept: timedelta) -> int:
    row = tx.one(HEARD, channel=channel)
    if row is None:
        tx.insert(INSERT_HEARD, channel=channel, at=micros(tx.now))
        return 0
    # Of two replicas that hear again at once, one posts anew.
    is_first = tx.run(HEAR, channel=channel, before=row[0], now=micros(tx.now)) == 1
    return _renew(tx, channel) if is_first and tx.now - moment(row[0]) > kept else 0


def _renew(tx: Transaction, channel: str) -> int:
    """Post every open card anew, and retire those that people see: a press on them may have been lost."""
    tx.lock(LOCK, channel=channel)
    found = [delivery_of(row) for row in tx.all(OPEN_CARDS, channel=channel)]
    cards = [
        card
        for card in found
        if tx.run(
            RETIRE, id=card.id, address=card.recipient.address, message=card.message, now=micros(tx.now)
        )
    ]
    insert_deliveries(
        tx,
        [
            new_delivery(tx, card.task, card.event_seq, channel, card.recipient.address, review=card.review)
            for card in cards
        ],
    )
    return len(cards)
