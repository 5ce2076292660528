"""Who hands in and who decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model.names import PersonId


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the configuration file names."""

    id: PersonId
    name: str
    subject: str | None = None
    """Who they are to the sign-in of their organisation; unique. Nothing reads it yet."""
    zone: str = "UTC"
    """Of the IANA database: `Europe/Madrid`. Their days end by it, and pages show them times in it."""
    language: str | None = None
    """A BCP 47 tag: `pt-BR`. Nothing is said in it yet."""

    def local(self, at: datetime) -> datetime:
        """The same moment on this person's clock."""
        return at.astimezone(ZoneInfo(self.zone))

    def utc(self, local: datetime) -> datetime:
        """A moment in UTC; one that names no zone is read on this person's clock. Raises `OverflowError`."""
        return (local if local.tzinfo else local.replace(tzinfo=ZoneInfo(self.zone))).astimezone(UTC)

    def end_of(self, day: date) -> datetime:
        """The first moment after that day where this person is, in UTC. Raises `OverflowError`."""
        return self.utc(datetime.combine(day + timedelta(days=1), time()))


def name_of(person: PersonId, people: Mapping[PersonId, Person]) -> str:
    """The name, or the id of whom the configuration names no more."""
    return people[person].name if person in people else person


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One person decides for another, until then."""

    id: str
    person: PersonId
    delegate: PersonId | None
    """None: the person is only absent, and nobody decides for them."""
    until: datetime
    made_by: PersonId
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A person's token as stored: its SHA-256 as hexadecimal digits, never the token."""

    id: str
    person: PersonId
    token_hash: str
    created_at: datetime
