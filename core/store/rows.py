"""Rows to values and back: times, JSON and enums, which the drivers do not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core.codec import decode
from core.jsontext import from_json, to_json
from core.model import (
    Asks,
    ChannelName,
    ChatUpdate,
    Claim,
    Credential,
    Decision,
    Delivery,
    DeliveryId,
    DeliveryState,
    Dialog,
    MessageRef,
    Outcome,
    PersonId,
    Point,
    Question,
    QuestionId,
    Recipient,
    Reply,
    ReviewId,
    ReviewRequest,
    Snooze,
    Status,
    StoredEvent,
    Task,
    TaskId,
    Verdict,
)
from core.store.policies import policy_of, policy_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.store.transaction import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC; exact, unlike a float timestamp."""
    return (at - EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


TASK_COLUMNS = (
    "id",
    "flow",
    "title",
    "status",
    "outcome",
    "attempt",
    "review_id",
    "input",
    "draft",
    "final_result",
    "error",
    "submitter",
    "submitter_name",
    "on_behalf_of",
    "callback_url",
    "metadata",
    "created_at",
    "updated_at",
    "ended_at",
    "parent_id",
    "parent_checkpoint",
    "node",
    "point",
    "policy",
    "tell",
)


def task_of(row: Row) -> Task:
    """A task from its `TASK_COLUMNS`, which the row begins with."""
    return Task(
        id=TaskId(row[0]),
        flow=row[1],
        title=row[2],
        status=Status(row[3]),
        outcome=None if row[4] is None else Outcome(row[4]),
        attempt=row[5],
        review=None if row[6] is None else ReviewId(row[6]),
        input=from_json(row[7]),
        draft=from_json(row[8]),
        final_result=from_json(row[9]),
        error=row[10],
        submitter=PersonId(row[11]),
        submitter_name=row[12],
        on_behalf_of=row[13],
        callback_url=row[14],
        metadata=from_json(row[15]),
        created_at=moment(row[16]),
        updated_at=moment(row[17]),
        ended_at=None if row[18] is None else moment(row[18]),
        parent=None if row[19] is None else TaskId(row[19]),
        parent_checkpoint=row[20],
        node=row[21],
        point=Point(row[22]),
        policy=row[23],
        tell=place_of(row[24]),
    )


def place_of(text: str | None) -> Recipient | None:
    """From `place_text`."""
    if text is None:
        return None
    channel, _, address = text.partition("/")
    return Recipient(channel=ChannelName(channel), address=address)


def place_text(place: Recipient | None) -> str | None:
    """As it is stored: `CHANNEL/ADDRESS`."""
    return None if place is None else f"{place.channel}/{place.address}"


REVIEW_COLUMNS = (
    "id",
    "task_id",
    "attempt",
    "node",
    "policy",
    "draft",
    "outcome",
    "opened_at",
    "closed_at",
    "superseded_by",
    "point",
    "expires_at",
    "escalated",
    "claims",
    "snoozes",
    "questions",
)


def review_of(
    row: Row, task: Task, decisions: Sequence[Decision], *, previous: Decision | None
) -> ReviewRequest:
    """A review from its `REVIEW_COLUMNS`."""
    is_escalated = row[12] == 1
    return ReviewRequest(
        id=ReviewId(row[0]),
        task=task,
        attempt=row[2],
        node=row[3],
        policy=policy_of_row(row[4], row[12]),
        draft=from_json(row[5]),
        outcome=Outcome(row[6]),
        opened_at=moment(row[7]),
        closed_at=None if row[8] is None else moment(row[8]),
        superseded_by=row[9],
        point=Point(row[10]),
        expires_at=None if row[11] is None else moment(row[11]),
        is_escalated=is_escalated,
        kept=policy_of(row[4]) if is_escalated else None,
        claims=claims_of(row[13]),
        snoozes=snoozes_of(row[14]),
        questions=row[15],
        decisions=tuple(decisions),
        previous=previous,
    )


QUESTION_COLUMNS = (
    "id",
    "task_id",
    "review_id",
    "text",
    "person",
    "person_name",
    "via",
    "at",
    "reply",
    "reply_person",
    "reply_person_name",
    "reply_via",
    "reply_at",
)


def question_of(row: Row) -> Question:
    """A question from its `QUESTION_COLUMNS`."""
    reply = None
    if row[8] is not None:
        reply = Reply(text=row[8], person=PersonId(row[9]), name=row[10], via=row[11], at=moment(row[12]))
    return Question(
        id=QuestionId(row[0]),
        task=TaskId(row[1]),
        review=ReviewId(row[2]),
        text=row[3],
        person=PersonId(row[4]),
        name=row[5],
        via=row[6],
        at=moment(row[7]),
        reply=reply,
    )


def claims_of(text: str | None) -> tuple[Claim, ...]:
    """`[{"person": "ana", "name": "Ana Ruiz", "until": microseconds}, …]`; NULL is nobody."""
    if text is None:
        return ()
    return tuple(
        Claim(person=PersonId(one["person"]), name=one["name"], until=moment(one["until"]))
        for one in from_json(text)
    )


def claims_text(claims: Sequence[Claim]) -> str | None:
    if not claims:
        return None
    return to_json([{"person": one.person, "name": one.name, "until": micros(one.until)} for one in claims])


def snoozes_of(text: str | None) -> tuple[Snooze, ...]:
    """`{"ana": microseconds, …}`; NULL is nobody, ever."""
    if text is None:
        return ()
    return tuple(Snooze(person=PersonId(person), until=moment(at)) for person, at in from_json(text).items())


def snoozes_text(snoozes: Sequence[Snooze]) -> str:
    return to_json({one.person: micros(one.until) for one in snoozes})


DECISION_COLUMNS = (
    "reviewer",
    "reviewer_name",
    "verdict",
    "comment",
    "via",
    "at",
    "content",
    "stage",
    "person",
    "person_name",
)


def decision_of(row: Row) -> Decision:
    return Decision(
        reviewer=PersonId(row[0]),
        reviewer_name=row[1],
        verdict=Verdict(row[2]),
        comment=row[3],
        via=row[4],
        at=moment(row[5]),
        content=from_json(row[6]),
        stage=row[7],
        person=None if row[8] is None else PersonId(row[8]),
        person_name=row[9],
    )


DELIVERY_COLUMNS = (
    "id",
    "task_id",
    "event_seq",
    "review_id",
    "channel",
    "address",
    "state",
    "message",
    "version",
    "shown",
    "tries",
    "due_at",
    "failing_since",
    "error",
    "retired",
)


def delivery_of(row: Row) -> Delivery:
    return Delivery(
        id=DeliveryId(row[0]),
        task=TaskId(row[1]),
        event_seq=row[2],
        review=None if row[3] is None else ReviewId(row[3]),
        recipient=Recipient(channel=ChannelName(row[4]), address=row[5]),
        state=DeliveryState(row[6]),
        message=None if row[7] is None else MessageRef(row[7]),
        version=row[8],
        shown=row[9],
        tries=row[10],
        due_at=None if row[11] is None else moment(row[11]),
        failing_since=None if row[12] is None else moment(row[12]),
        error=row[13],
        is_retired=row[14] == 1,
    )


EVENT_COLUMNS = ("task_id", "seq", "kind", "at", "data")


def event_of(row: Row) -> StoredEvent:
    return StoredEvent(
        task=TaskId(row[0]), seq=row[1], at=moment(row[3]), event=decode(row[2], from_json(row[4]))
    )


def dialog_of(row: Row) -> Dialog:
    return Dialog(
        channel=ChannelName(row[0]),
        message=MessageRef(row[1]),
        review=ReviewId(row[2]),
        person=PersonId(row[3]),
        verdict=Verdict(row[4]),
        expires_at=moment(row[5]),
        asks=Asks(row[6]),
        content=from_json(row[7]),
        ended_at=None if row[8] is None else moment(row[8]),
    )


def chat_update_of(row: Row) -> ChatUpdate:
    return ChatUpdate(channel=ChannelName(row[0]), id=row[1], body=bytes(row[2]), kept_at=moment(row[3]))


def credential_of(row: Row) -> Credential:
    return Credential(id=row[0], person=PersonId(row[1]), token_hash=row[2], created_at=moment(row[3]))
