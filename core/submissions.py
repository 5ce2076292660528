"""What may be handed in: checked once, here, whatever door it came through."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import Invalid, NotFound
from core.literal import is_blank
from core.model import OpenReview, Verdict, text_of
from core.states import NOTHING_LEFT

if TYPE_CHECKING:
    from core.model import Json, Submission

_ID = re.compile("[0-9a-f]{32}")
_NAME = re.compile(r"[\w-]{0,64}")
MAX_DEPTH = 64
"""Levels of lists and objects; deeper ones would exhaust the stack of somebody who reads them."""
MAX_BITS = 4096
"""Of a whole number: Python refuses to write out those of more than 4,300 digits."""
MAX_TITLE = 200
MAX_NAME = 200
"""Characters of `on_behalf_of` and of an idempotency key."""
MAX_COMMENT = 10_000
MAX_URL = 2_000
MAX_METADATA = 50
"""Keys in `metadata`."""


def check(submission: Submission) -> None:
    """Raise `Invalid`, with the sentence that says what to change."""
    if submission.input is None or submission.input == "":
        raise Invalid("The task is empty; there has to be something to work on.")
    check_json(submission.input, "input")
    if isinstance(submission.input, str) and is_blank(submission.input):
        raise Invalid("The task is only white space; there has to be something to work on.")
    check_json(dict(submission.metadata), "metadata")
    if len(submission.metadata) > MAX_METADATA:
        raise Invalid(f"metadata has {len(submission.metadata)} keys; {MAX_METADATA} is the most.")
    check_text(submission.title, "title", MAX_TITLE)
    check_text(submission.on_behalf_of, "submitter", MAX_NAME)
    check_text(submission.idempotency_key, "Idempotency-Key", MAX_NAME)
    check_text(submission.callback_url, "callback_url", MAX_URL)


def is_id(text: str) -> bool:
    """Whether it has the shape of a task's or a review's id."""
    return _ID.fullmatch(text) is not None


def checked_id(text: str, what: str) -> str:
    """The id of a task or review, which is `what`.

    Raises `NotFound`: what has not the shape of an id may hold what a database cannot even be asked.
    """
    if not is_id(text):
        raise NotFound(f"There is no such {what}.")
    return text


def checked_review(which: str | OpenReview) -> str | OpenReview:
    """The review that is named by its id, or as its task's open one. Raises `NotFound`."""
    if isinstance(which, OpenReview):
        return replace(which, task=checked_id(which.task, "task"))
    return checked_id(which, "review")


def page_after(cursor: str | None) -> tuple[int, str] | None:
    """When the last task of a page was made, in microseconds, and its id; raises `Invalid`."""
    if cursor is None:
        return None
    created_at, _, task_id = cursor.partition("-")
    if not (created_at.isascii() and created_at.isdigit() and len(created_at) < 19 and is_id(task_id)):
        raise Invalid("This cursor was not given by a page of tasks.")
    return int(created_at), task_id


def check_content(verdict: Verdict, content: Json) -> None:
    """Raise `Invalid` unless an edit, and nothing else, says what is to stand instead."""
    if verdict is Verdict.EDIT and content is None:
        raise Invalid("An edit comes with `content`, other than null: what is to stand instead of the draft.")
    if verdict is not Verdict.EDIT and content is not None:
        raise Invalid("Only an edit comes with `content`, what is to stand instead of the draft.")
    check_json(content, "content")
    if isinstance(content, str) and is_blank(content):
        raise Invalid(NOTHING_LEFT)


def check_text(value: str | None, name: str, most: int) -> None:
    """Raise `Invalid` where a text is too long or holds what cannot be stored."""
    if value is None:
        return
    if len(value) > most:
        raise Invalid(f"{name} has {len(value)} characters; {most} is the most.")
    _check_characters(value, name)


def check_json(value: Json, name: str, depth: int = 0) -> None:
    """Raise `Invalid` for text that no database takes, and for structures that are too deep."""
    if depth > MAX_DEPTH:
        raise Invalid(f"{name} is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        _check_characters(value, name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_characters(key, name)
            check_json(inner, name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_json(inner, name, depth + 1)
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Invalid(f"{name} holds a number of more than {MAX_BITS} bits.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"{name} holds a number that JSON does not have.")


def _check_characters(value: str, name: str) -> None:
    if "\x00" in value:
        raise Invalid(f"{name} holds a NUL character, which PostgreSQL cannot store.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{name} holds half of a surrogate pair, which is not text.") from None


def as_named(name: str) -> str:
    """A name that somebody gave and there is not, for a sentence: quoted where nothing in it comes alive."""
    return repr(name) if _NAME.fullmatch(name) else "of that name"


def title_of(submission: Submission) -> str:
    """The title given, or the first words of the input."""
    if submission.title and submission.title.strip():
        return " ".join(submission.title.split())
    words = " ".join(text_of(submission.input).lstrip()[:1000].split())
    return words if len(words) <= 80 else words[:79].rstrip() + "…"
