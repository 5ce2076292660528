"""What processors outside of this process are asked, and how their answers are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

from core.errors import Invalid
from core.submissions import check_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from core.model import Json

LARGEST = 2**20
"""Bytes of an answer: as much as a submission may have."""


class ProcessorError(Exception):
    """A processor did not bring a draft this time; its text is one sentence without a secret.

    `retry_after` is how long the other side asked to be left alone.
    """

    def __init__(self, sentence: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class TooLarge(ProcessorError):
    """It went on after `LARGEST` bytes."""

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} answered with more than {LARGEST // 2**20} MiB.")


def question(shared: Mapping[str, Json]) -> bytes:
    """The task as JSON, the same for endpoints and commands."""
    asked = {
        "task_id": shared["task_id"],
        "input": shared["task_input"],
        "feedback": shared.get("feedback"),
        "feedback_comment": shared.get("feedback_comment"),
        "attempt": shared["attempt"],
        "previous": shared.get("processed_output"),
    }
    return json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace")


def text(answer: bytes, who: str) -> str:
    """UTF-8, or `ProcessorError`."""
    try:
        return answer.decode()
    except UnicodeDecodeError as error:
        raise ProcessorError(f"{who} answered with bytes that are not UTF-8.") from error


def parsed(answer: str, who: str) -> Json:
    """JSON, or `ProcessorError`."""
    try:
        value: Json = json.loads(answer, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise ProcessorError(f"{who} answered with what is not JSON.") from error
    return value


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"JSON has no {word}")


def draft_in(answer: Json, who: str) -> Json:
    """The draft of `{"draft": …}`, or `ProcessorError`."""
    if not isinstance(answer, dict) or answer.get("draft") is None:
        raise ProcessorError(f'{who} answered with JSON that is not {{"draft": …}}.')
    return storable(answer["draft"], who)


def storable(draft: Json, who: str) -> Json:
    """The draft itself, or `ProcessorError` where it is none that could be kept and shown."""
    if isinstance(draft, str) and not draft.strip():
        raise ProcessorError(f"{who} answered with an empty draft.")
    try:
        check_json(draft, "the draft")
    except Invalid as error:
        raise ProcessorError(f"{who} answered with what cannot be stored: {error}") from error
    return draft
