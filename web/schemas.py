"""What scripts send and get, as pydantic models and one function; the names are a public contract.

Types are checked here; lengths, empty texts and characters that cannot be stored are core's to refuse.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal, Self

from aiohttp import web
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    model_validator,
)

from core.differences import diff
from core.durations import UNITS, duration
from core.jsontext import to_ascii_json
from core.model import Verdict, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from core.explaining import Explanation
    from core.model import Delegation, Json, Person, Question, ReviewRequest, StoredCheckpoint, Task

    Known = Callable[[str], Person]


Name = Annotated[str, Field(max_length=200)]
Attempt = Annotated[int, Field(ge=1, le=1_000_000)]
LARGEST_NUMBER = 2**31 - 1
"""Of a checkpoint, as databases count them."""
LONGEST_PATH = 1_000


def _chosen(name: object, info: ValidationInfo) -> object:
    """A form sends an empty text for what was not chosen; in JSON it is a name like others."""
    return None if name == "" and info.mode == "python" else name


Chosen = Annotated[Name | None, BeforeValidator(_chosen)]


class _Lenient(BaseModel):
    """The seed's calls pass over what they do not know."""

    model_config = ConfigDict(hide_input_in_errors=True)


class _Exact(BaseModel):
    """/v1 refuses a name that it does not know: a typo must not lift a rule unseen."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="forbid")


class Submit(_Lenient):
    data: str
    submitter: Name | None = None
    """Kept as `on_behalf_of`."""
    title: Name | None = None
    flow: Chosen = None
    policy: Chosen = None
    """As in `NewTask`."""
    once: Name | None = None
    """The page's mark on its form: sent twice, the same words make one task."""

    def key(self) -> str | None:
        """An idempotency key; other words from the same page are another task."""
        if not self.once:
            return None
        parts = json.dumps([self.once, self.data, self.flow, self.policy])
        return f"form-{sha256(parts.encode()).hexdigest()[:40]}"


class Feedback(_Lenient):
    feedback: Literal["approved", "rejected"]
    comment: str | None = None
    review_id: Name | None = None
    attempt: Attempt | None = None
    back: Literal["", "inbox"] = ""
    """Where a form's answer leads: the task's page, or the inbox."""

    @property
    def verdict(self) -> Verdict:
        return Verdict.APPROVE if self.feedback == "approved" else Verdict.REJECT


class NewTask(_Exact):
    input: JsonValue
    title: Name | None = None
    flow: Name | None = None
    policy: Name | None = None
    """One of the flow's `policies`."""
    submitter: Name | None = None
    callback_url: str | None = None
    metadata: dict[str, JsonValue] = {}


class NewDecision(_Exact):
    verdict: Literal["approve", "reject", "edit"]
    comment: str | None = None
    content: JsonValue = None
    """An edit's: what is to stand in place of the draft."""
    review_id: Name | None = None
    attempt: Attempt | None = None


class Edit(_Lenient):
    """The pages' form for an edit."""

    content: str
    """The text, or JSON where the draft is not text."""
    review_id: Name
    comment: str | None = None
    back: Literal["", "inbox"] = ""


class Resume(_Exact):
    checkpoint: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
    state: dict[str, JsonValue] | None = None
    """Laid over the checkpoint's state, key by key."""
    node: Annotated[str, Field(max_length=LONGEST_PATH)] | None = None
    fork: bool = False


class ResumeForm(_Lenient):
    """The pages' form for it; `state` is the whole state as JSON, empty where it stays as it is."""

    checkpoint: Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
    state: str = ""
    node: Annotated[str, Field(max_length=LONGEST_PATH)] = ""
    how: Literal["here", "fork"] = "here"


class Withdrawal(_Lenient):
    """The pages' form that takes an answer back."""

    review_id: Name


class NewQuestion(_Exact):
    text: str
    review_id: Name | None = None


class NewAnswer(_Exact):
    text: str
    question_id: Name | None = None


class QuestionForm(_Lenient):
    """The pages' form for it, as is the next."""

    text: str
    review_id: Name


class AnswerForm(_Lenient):
    text: str
    question_id: Name


class NewClaim(_Exact):
    review_id: Name | None = None


class ClaimForm(_Lenient):
    """The pages' form for it, and the one that ends it."""

    review_id: Name
    back: Literal["", "inbox"] = ""


def _wait(text: object) -> object:
    """`"2h"`; a bare number would leave its unit to guessing."""
    if isinstance(text, timedelta):
        return text
    wait = duration(text, _UNITS) if isinstance(text, str) else None
    if wait is None:
        raise ValueError('`for` is a wait such as "30m", "2h" or "3d".')
    return wait


def _time(text: object) -> object:
    """`"2026-11-24T18:00:00+01:00"`; pydantic takes digits alone, for seconds or for thousandths of them."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError:
        raise ValueError("`until`: must be a time with its offset: 2026-12-24T18:00:00+01:00.") from None


_UNITS = {unit: UNITS[unit] for unit in ("m", "h", "d")}
Wait = Annotated[timedelta, BeforeValidator(_wait)]
Time = Annotated[AwareDatetime, BeforeValidator(_time)]


class NewSnooze(_Exact):
    """Either is asked for."""

    until: Time | None = None
    wait: Annotated[Wait | None, Field(alias="for")] = None
    review_id: Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.until is None) == (self.wait is None):
            raise ValueError('Say either `until`, a time, or `for`, a wait such as "2h".')
        return self


class SnoozeForm(ClaimForm):
    """The pages' form for it: a wait, or a time in UTC as browsers send it."""

    wait: Annotated[Literal["1h", "4h", "tomorrow", ""], Field(alias="for")] = ""
    until: Annotated[str, Field(max_length=40)] = ""


class Absence(_Exact):
    delegate: Name | None
    """None: nobody decides instead."""
    until: Annotated[str, Field(max_length=40)]
    """A time with its zone; or a day, which counts to its end where the person is."""


class AbsenceForm(_Lenient):
    """The pages' form for it; `until` is the last day."""

    delegate: Name = ""
    until: Annotated[str, Field(max_length=40)]


class SignIn(_Lenient):
    token: Annotated[str, Field(max_length=512)]
    next: str = "/"


def task_json(task: Task, *, base_url: str) -> dict[str, Json]:
    """A task as the API, `--json` and webhooks show it."""
    return {
        "task_id": task.id,
        "flow": task.flow,
        "title": task.title,
        "status": task.status,
        "outcome": task.outcome,
        "attempt": task.attempt,
        "review_id": task.review,
        "input": task.input,
        "draft": task.draft,
        "final_result": task.final_result,
        "error": task.error,
        "submitter": task.submitter,
        "on_behalf_of": task.on_behalf_of,
        "created_at": timestamp(task.created_at),
        "updated_at": timestamp(task.updated_at),
        "ended_at": None if task.ended_at is None else timestamp(task.ended_at),
        "policy": task.policy,
        "parent": task.parent,
        "parent_checkpoint": task.parent_checkpoint,
        "node": task.node if task.review else None,
        "point": task.point if task.review else None,
        "submitter_name": task.submitter_name,
        "metadata": dict(task.metadata),
        "url": f"{base_url}/tasks/{task.id}",
    }


def explanation_json(found: Explanation, known: Known) -> dict[str, Json]:
    """Where a review stands, to the person who asked; names, and no draft or comment."""
    review = found.review
    return {
        "task_id": review.task.id,
        "review_id": review.id,
        "attempt": review.attempt,
        "outcome": review.outcome,
        "sentence": found.sentence,
        "policy": {"name": review.policy.name, "hash": found.policy_hash},
        "stage": found.stage,
        "stages": found.stages,
        "decided": [
            {
                "name": made.reviewer_name,
                "for": made.person_name,
                "verdict": made.verdict,
                "at": timestamp(made.at),
                "via": made.via,
                "counts": made in found.counted,
                "carried": made.at < review.opened_at,
            }
            for made in found.decided
        ],
        "missing": [
            {
                "quorum": one.quorum,
                "approvals": one.approvals,
                "people": [person.name for person in one.people],
            }
            for one in found.missing
        ],
        "rejections": found.rejections,
        "waits_for": [*dict.fromkeys(person.name for one in found.missing for person in one.people)],
        "can_be_met": found.can_be_met,
        "expires_at": None if found.expires_at is None else timestamp(found.expires_at),
        "then": found.then,
        "escalated": review.is_escalated,
        "timers": [{"kind": timer.kind, "due_at": timestamp(timer.due_at)} for timer in found.timers],
        "away": [delegation_json(one, known) for one in found.away],
        "may_decide": found.may_decide,
        "decides_for": None if found.seat is None else found.seat.name,
        "decided_by_you": None if found.mine is None else found.mine.verdict,
        "refusal": found.refusal,
        "claims": claims_json(review),
        "snoozed": snoozed_json(review, known),
    }


def question_json(asked: Question) -> dict[str, Json]:
    reply = asked.reply
    return {
        "question_id": asked.id,
        "task_id": asked.task,
        "review_id": asked.review,
        "text": asked.text,
        "person": asked.person,
        "name": asked.name,
        "via": asked.via,
        "at": timestamp(asked.at),
        "answer": None
        if reply is None
        else {
            "text": reply.text,
            "person": reply.person,
            "name": reply.name,
            "via": reply.via,
            "at": timestamp(reply.at),
        },
    }


def looking_json(task_id: str, review: ReviewRequest | None, known: Known) -> dict[str, Json]:
    """Who is looking at a task's open review, and who is reminded of it later."""
    return {
        "task_id": task_id,
        "review_id": None if review is None else review.id,
        "claims": [] if review is None else claims_json(review),
        "snoozed": [] if review is None else snoozed_json(review, known),
    }


def claims_json(review: ReviewRequest) -> list[Json]:
    """Who is looking, whoever began first coming first."""
    return [{"person": one.person, "name": one.name, "until": timestamp(one.until)} for one in review.claims]


def snoozed_json(review: ReviewRequest, known: Known) -> list[Json]:
    """Who is reminded later than everybody."""
    return [
        {"person": one.person, "name": known(one.person).name, "until": timestamp(one.until)}
        for one in review.snoozes
    ]


def delegation_json(one: Delegation, known: Known) -> dict[str, Json]:
    """Ids, as calls take them, and names, as people read them."""
    return {
        "person": one.person,
        "person_name": known(one.person).name,
        "delegate": one.delegate,
        "delegate_name": None if one.delegate is None else known(one.delegate).name,
        "until": timestamp(one.until),
        "made_by": one.made_by,
        "made_at": timestamp(one.made_at),
    }


def checkpoint_json(one: StoredCheckpoint) -> dict[str, Json]:
    """A checkpoint in a list: what was changed by name only."""
    return {
        "number": one.number,
        "node": one.node,
        "action": one.action,
        "attempt": one.attempt,
        "cause": one.cause,
        "at": timestamp(one.at),
        "parent": one.parent,
        "superseded": one.superseded,
        "following": one.following,
        "changed": [*one.changes],
    }


def whole_checkpoint_json(one: StoredCheckpoint) -> dict[str, Json]:
    """A checkpoint with its state, and each change of it; changed text as a unified diff, too."""
    return {
        **checkpoint_json(one),
        "state": dict(one.state),
        "changes": {
            key: {"from": before, "to": now, **({} if text is None else {"diff": text})}
            for key, (before, now) in one.changes.items()
            for text in [text_diff(one, before, now)]
        },
    }


def text_diff(one: StoredCheckpoint, before: Json, now: Json) -> str | None:
    """None where either is no text, or too long to be compared."""
    if not (isinstance(before, str) and isinstance(now, str)):
        return None
    return diff(before, now, (f"checkpoint {one.parent}", f"checkpoint {one.number}"))


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """ASCII JSON, so that no stored character can spoil it."""
    return web.Response(
        body=to_ascii_json(data).encode(), status=status, content_type="application/json", headers=headers
    )
