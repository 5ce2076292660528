"""What scripts send and get, as pydantic models and one function; the names are a public contract.

Types are checked here; lengths, empty texts and characters that cannot be stored are core's to refuse.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.model import Json, Task


Name = Annotated[str, Field(max_length=200)]
Attempt = Annotated[int, Field(ge=1, le=1_000_000)]

NO_EDITS = "Editing a draft is not possible yet: approve it, or reject it with a comment."


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
    submitter: Name | None = None
    callback_url: str | None = None
    metadata: dict[str, JsonValue] = {}


class NewDecision(_Exact):
    verdict: Literal["approve", "reject"]
    comment: str | None = None
    content: JsonValue = None
    review_id: Name | None = None
    attempt: Attempt | None = None

    @field_validator("verdict", mode="before")
    @classmethod
    def _edit_is_reserved(cls, value: object) -> object:
        if value == "edit":
            raise ValueError(NO_EDITS)
        return value


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
        "submitter_name": task.submitter_name,
        "metadata": dict(task.metadata),
        "url": f"{base_url}/tasks/{task.id}",
    }


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """ASCII JSON, so that no stored character can spoil it."""
    return web.Response(
        body=json.dumps(data).encode(), status=status, content_type="application/json", headers=headers
    )
