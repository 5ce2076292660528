"""What reviewers want to know of the submitter before they decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from core.model.names import PersonId, QuestionId, ReviewId, TaskId
    from core.model.people import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the submitter says to a question, or an administrator in their place."""

    text: str
    person: PersonId
    name: str
    """As it was then."""
    via: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuestion:
    """A question that is still to be stored; one of the same id is the same request, repeated."""

    id: QuestionId
    person: Person
    text: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a reviewer wants to know of the submitter before deciding. No verdict: the review stays open."""

    id: QuestionId
    task: TaskId
    review: ReviewId
    text: str
    person: PersonId
    name: str
    """As it was then."""
    via: str
    at: datetime
    reply: Reply | None = None
