"""What scripts send and get, as pydantic models and one function; the names are a public contract."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from core.model import Json, Task


def storable(value: Any) -> Any:
    """Refuse what JSON or a database cannot hold: NUL, and numbers that are not finite."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise ValueError("Text may not hold the NUL character.")
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise ValueError("NaN and infinite numbers are not JSON.")
        elif isinstance(item, dict):
            todo += item.keys()
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return value


def not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("The text is empty.")
    return value


Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[str, Field(max_length=200), AfterValidator(storable)]
AnyJson = Annotated[JsonValue, AfterValidator(storable)]
Attempt = Annotated[int, Field(ge=1, le=1_000_000)]


class _Lenient(BaseModel):
    """The seed's calls pass over what they do not know."""

    model_config = ConfigDict(hide_input_in_errors=True)


class _Exact(BaseModel):
    """/v1 refuses a name that it does not know: a typo must not lift a rule unseen."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="forbid")


class Submit(_Lenient):
    data: Annotated[Text, AfterValidator(not_blank)]
    submitter: Name | None = None
    """Kept as `on_behalf_of`."""


class Feedback(_Lenient):
    feedback: Literal["approved", "rejected"]
    comment: Text | None = None
    review_id: Name | None = None
    attempt: Attempt | None = None
    back: Literal["", "inbox"] = ""
    """Where a form's answer leads: the task's page, or the inbox."""

    @property
    def verdict(self) -> Verdict:
        return Verdict.APPROVE if self.feedback == "approved" else Verdict.REJECT


class NewTask(_Exact):
    input: AnyJson
    title: Name | None = None
    flow: Name | None = None
    submitter: Name | None = None
    callback_url: Annotated[str, Field(max_length=2048)] | None = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(storable)] = {}


class NewDecision(_Exact):
    verdict: Literal["approve", "reject", "edit"]
    comment: Text | None = None
    content: AnyJson = None
    review_id: Name | None = None
    attempt: Attempt | None = None


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
