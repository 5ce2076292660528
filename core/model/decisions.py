"""One reviewer's answer: as given, and as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.deliveries import Recipient
    from core.model.names import Json, MessageRef, PersonId
    from core.model.people import Person


class Verdict(StrEnum):
    """One reviewer's word."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"
    """The reviewer's own text in place of the draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """What a reviewer says, and where, before it is judged and recorded."""

    reviewer: Person
    verdict: Verdict
    comment: str | None = None
    content: Json = None
    """What an edit puts in place of the draft."""
    via: str
    copy: tuple[Recipient, MessageRef] | None = None
    """The message whose button was pressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One reviewer's answer as recorded; `at` is when it became durable, `reviewer_name` as it was then."""

    reviewer: PersonId
    reviewer_name: str
    verdict: Verdict
    comment: str | None
    via: str
    """`slack`, `telegram`, `web` or `api`."""
    at: datetime
    content: Json = None
    """What an edit put in place of the draft."""
    stage: int = 0
    """In which of the policy's stages it was given, from 0."""
    person: PersonId | None = None
    """For whom the reviewer, as their delegate, decided; None is for themselves."""
    person_name: str | None = None

    @property
    def seat(self) -> PersonId:
        """The person whose answer it is: one answer each."""
        return self.person or self.reviewer
