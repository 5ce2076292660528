"""What callers say in a path, a query or a header, or a refusal with a sentence."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

from core.errors import Invalid, NotFound
from core.model import PersonId, Status, TaskFilter, TaskId

if TYPE_CHECKING:
    from datetime import datetime

    from aiohttp import web

LONGEST_WAIT = 60
LONGEST_PATH = 4096
PAGE, LARGEST_PAGE = 50, 200
QUERY_LENGTH = 512
BELOW = 10**9
"""Checkpoints have smaller numbers; a larger one might not even fit into the database's column."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,4000})\"?\s*(?:$|[,;])", re.IGNORECASE)


def known_id(request: web.Request) -> TaskId:
    """The task id in the path; raises `NotFound` where no task can have it."""
    task_id = request.match_info["task_id"]
    if len(task_id) > 64 or not task_id.isascii() or not task_id.isalnum():
        raise NotFound("There is no such task.")
    return TaskId(task_id)


def known_number(request: web.Request) -> int:
    """The checkpoint's number in the path; raises `NotFound` where none can have it."""
    number = _number(request.match_info["number"], BELOW)
    if number is None:
        raise NotFound("This task has no such checkpoint.")
    return number


def before(request: web.Request) -> int | None:
    """The checkpoint's number that a page of earlier ones ends below; None is the newest page."""
    text = request.query.get("before")
    if not text:
        return None
    number = _number(text, BELOW)
    if number is None:
        raise Invalid("`before` is the number of a checkpoint.")
    return number


def task_filter(request: web.Request) -> TaskFilter:
    """Which tasks to list; raises `Invalid`."""
    status, submitter = request.query.get("status"), _clean(request, "submitter")
    if status and status not in set(Status):
        raise Invalid(f"`status` is one of {', '.join(Status)}.")
    return TaskFilter(
        status=Status(status) if status else None,
        submitter=PersonId(submitter) if submitter else None,
        flow=_clean(request, "flow"),
    )


def named_review(request: web.Request) -> str | None:
    """The review that `review_id` names in the query; None where none is named."""
    return _clean(request, "review_id")


def cursor(request: web.Request) -> str | None:
    return _clean(request, "cursor")


def limit(request: web.Request) -> int:
    """How many tasks to list; raises `Invalid`."""
    text = request.query.get("limit")
    if not text:
        return PAGE
    number = _number(text, LARGEST_PAGE + 1)
    if not number:
        raise Invalid(f"`limit` is a number from 1 to {LARGEST_PAGE}.")
    return number


def last_event_id(request: web.Request) -> int:
    """The sequence number a reader saw last; 0 (from the first event) where it names none of ours.

    A browser cannot set the header on a new EventSource, so the query may say it too.
    """
    text = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
    return _number(text, 10**15) or 0


def is_live(request: web.Request) -> bool:
    """Whether a stream goes on after what is stored; raises `Invalid`."""
    text = request.query.get("follow", "true")
    if text not in ("true", "false"):
        raise Invalid("`follow` is true or false.")
    return text == "true"


def idempotency_key(request: web.Request) -> str | None:
    """The header as sent, in printable ASCII; how long it may be is core's to say. Raises `Invalid`."""
    keys = set(request.headers.getall("Idempotency-Key", ()))
    if len(keys) > 1:
        raise Invalid("Idempotency-Key: there are two of them, and not the same.")
    key = next(iter(keys), None)
    if key is not None and not (key and key.isascii() and key.isprintable()):
        raise Invalid("Idempotency-Key: printable ASCII characters, please.")
    return key


def preferred_wait(request: web.Request) -> int:
    """Seconds of `Prefer: wait=…` (RFC 7240), bounded; 0 without one."""
    found = _WAIT.search(",".join(request.headers.getall("Prefer", ())))
    return min(int(found[1]), LONGEST_WAIT) if found else 0


def own_path(text: str) -> str:
    """A path of ours, to go on to: a form must not lead to another site; `/` for anything else."""
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_ours and len(text) <= LONGEST_PATH and text.isascii() and text.isprintable() else "/"


def in_utc(until: datetime) -> datetime:
    """Raises `Invalid` for a time that there is in some zone only."""
    try:
        return until.astimezone(UTC)
    except OverflowError:
        raise Invalid("`until`: there is no such time.") from None


def _number(text: str, below: int) -> int | None:
    """A whole number as digits and nothing else; None for any other text, and for `below` and more."""
    is_number = text.isascii() and text.isdigit() and len(text) < 16
    return int(text) if is_number and int(text) < below else None


def _clean(request: web.Request, name: str) -> str | None:
    """A query value that a database can compare."""
    text = request.query.get(name)
    if not text:
        return None
    if len(text) > QUERY_LENGTH or not text.isprintable():
        raise Invalid(f"`{name}` is too long, or holds characters that no name has.")
    return text
