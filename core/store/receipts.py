"""What came of a delivery that its channel was handed: shown, failed, given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, delete, func, literal_column, null, or_, select, update

from core.jsontext import from_json
from core.model import DeliveryState, MessageRef
from core.store.deliveries import at_message, end_unwanted, insert_deliveries, new_delivery, open_cards
from core.store.policies import policy_of
from core.store.rows import micros
from core.store.statements import Statement, p
from core.store.tables import STANDS_OPEN, delivery, question, review
from core.store.tasks import LOCK

if TYPE_CHECKING:
    from datetime import datetime

    from core.model import Delivery
    from core.store.transaction import Transaction

# Its place may have moved while it was being shown: what came of that at the old address, where nothing can
# be changed, says nothing of what is to be seen at the new one.
_there = and_(delivery.c.id == p("id"), delivery.c.address == p("address"))
SHOWN = Statement(
    update(delivery)
    .where(
        _there,
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
STANDS = Statement(
    select(delivery.c.version, delivery.c.address, delivery.c.message).where(delivery.c.id == p("id"))
)
LOCK_ONE = Statement(select(delivery.c.id).where(delivery.c.id == p("id")).with_for_update())
ASKS = Statement(
    select(question.c.id).where(question.c.task_id == p("task"), question.c.event_seq == p("seq"))
)
FAILED = Statement(
    update(delivery)
    .where(_there)
    .values(
        tries=delivery.c.tries + literal_column("1"),
        failing_since=func.coalesce(delivery.c.failing_since, p("now")),
        error=p("error"),
        due_at=p("due_at"),
    )
)
POSTPONED = Statement(
    update(delivery)
    .where(_there)
    .values(due_at=p("due_at"), failing_since=func.coalesce(delivery.c.failing_since, p("now")))
)
GIVEN_UP = Statement(
    update(delivery).where(_there).values(state=literal_column("'given_up'"), due_at=null(), error=p("error"))
)
END_HERE = Statement(update(delivery).where(_there).values(retired=literal_column("1")))
OPEN_POLICY = Statement(
    select(review.c.policy, review.c.draft).where(review.c.id == p("review"), STANDS_OPEN)
)
PLACES = Statement(
    select(delivery.c.channel, delivery.c.address, delivery.c.state).where(
        delivery.c.task_id == p("task"), delivery.c.review_id == p("review")
    )
)


def shown(tx: Transaction, wanted: Delivery, message: MessageRef) -> None:
    noted = tx.run(
        SHOWN,
        **_of(wanted),
        message=message,
        before=wanted.message,
        shown=wanted.version,
        version=wanted.version,
        now=micros(tx.now),
    )
    if not noted:
        _not_as_it_was(tx, wanted, message)
    elif wanted.message != message and wanted.review is not None:
        # A press may have been quicker than this note, and its copy taken for one that nobody knew.
        tx.run(
            DISOWN,
            id=wanted.id,
            task=wanted.task,
            review=wanted.review,
            channel=wanted.recipient.channel,
            message=message,
        )


def _not_as_it_was(tx: Transaction, wanted: Delivery, message: MessageRef) -> None:
    """It was shown, and meanwhile dropped, moved, or posted by another replica."""
    stands = tx.one(STANDS, id=wanted.id)
    if stands is None:
        if wanted.review is None:
            _take_back(tx, wanted, message)
    elif wanted.message != message and stands[1] == wanted.recipient.address:
        _second(tx, wanted, message, version=stands[0])


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
    tx.send(FAILED, **_of(wanted), error=error, due_at=micros(due_at), now=micros(tx.now))


def postponed(tx: Transaction, wanted: Delivery, due_at: datetime) -> None:
    """Not counted among the tries, as the platform asked for patience; but not asked for ever, either."""
    tx.send(POSTPONED, **_of(wanted), due_at=micros(due_at), now=micros(tx.now))


def given_up(tx: Transaction, wanted: Delivery, error: str, *, ends_here: bool = False) -> None:
    """A card of an open review goes to the policy's fallback: once, and again for the next review.

    That it went there is said where some place of the fallback was not given up as well.
    Where it `ends_here`, its recipient is told nothing more of the task.
    """
    # Its task first, as everywhere: it may be decided in this moment. Then the row: another replica may be
    # noting that it has posted it.
    tx.lock(LOCK, id=wanted.task)
    tx.lock(LOCK_ONE, id=wanted.id)
    stands = tx.one(STANDS, id=wanted.id)
    if stands is None or stands[1] != wanted.recipient.address:
        return  # it was dropped, or its place has moved
    if wanted.message != stands[2]:
        return  # posted by another replica, perhaps anew
    if _fall_back(tx, wanted):
        error = f"{error} The card went to the fallback."
    tx.send(GIVEN_UP, **_of(wanted), error=error)
    if ends_here:
        tx.send(END_HERE, **_of(wanted))
        end_unwanted(tx, wanted.task, wanted.recipient.channel)


def _of(wanted: Delivery) -> dict[str, str]:
    """The parameters of what is noted of it where it stands."""
    return {"id": wanted.id, "address": wanted.recipient.address}


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
