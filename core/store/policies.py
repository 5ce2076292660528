"""The policy as kept with each review that opened under it."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from core import amendments
from core.jsontext import from_json, to_json
from core.model import (
    Assurance,
    ChannelName,
    Escalation,
    OnExpiry,
    Party,
    PersonId,
    Policy,
    Quorum,
    ReasonRule,
    Recipient,
    WorkingHours,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.model import Json

KEPT = 256
"""Texts and policies remembered: there are few, and each is on thousands of reviews."""
_DEFAULTS = Policy(name="", reviewers=())


@lru_cache(KEPT)
def policy_text(policy: Policy) -> str:
    """As JSON, without what is as by default; durations are in seconds."""
    data: dict[str, Json] = {"name": policy.name, "reviewers": list(policy.reviewers)}
    for field in fields(Policy):
        value = getattr(policy, field.name)
        if field.name not in data and value != getattr(_DEFAULTS, field.name):
            data[field.name] = _plain(value)
    return to_json(data)


@lru_cache(KEPT)
def policy_hash(policy: Policy) -> str:
    """Which policy a review opened under: the first 12 hexadecimal digits of its text's SHA-256."""
    return sha256(policy_text(policy).encode()).hexdigest()[:12]


def _plain(value: Any) -> Json:
    match value:
        case timedelta():
            return value.total_seconds()
        case date():
            return value.isoformat()
        case tuple():
            return [_plain(part) for part in value]
        case Quorum() | WorkingHours() | Escalation() | Recipient():
            plainly = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
            if plainly.get("outside") == []:  # as it was before there were groups from outside
                del plainly["outside"]
            return plainly
        case _:
            plain: Json = value
            return plain


@lru_cache(KEPT)
def policy_of(text: str) -> Policy:
    """Raises `ValueError` or `KeyError` for what no release has written."""
    data = from_json(text)
    if "self_review" in data:  # as the first release wrote it
        data["distinct_from"] = [] if data["self_review"] else ["submitter"]
        data["recipients"] = [{"channel": c, "address": a} for c, a in data["recipients"]]
    read = {key: _READ[key](value) for key, value in data.items() if key in _READ}
    return Policy(**read)


@lru_cache(KEPT)
def policy_of_row(text: str, escalated: int) -> Policy:
    """As a review is decided: the text stays as it was, and an escalation widens it.

    What an earlier release escalated has the wider one in its text already; to widen that changes nothing.
    """
    kept = policy_of(text)
    return amendments.escalated(kept) if escalated else kept


def _people(ids: Iterable[str]) -> tuple[PersonId, ...]:
    return tuple(map(PersonId, ids))


def _recipients(places: Iterable[dict[str, str]]) -> tuple[Recipient, ...]:
    return tuple(Recipient(channel=ChannelName(p["channel"]), address=p["address"]) for p in places)


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _quorum(data: Any) -> Quorum:
    return Quorum(
        name=data["name"],
        people=_people(data["people"]),
        approvals=data["approvals"],
        outside=tuple(data.get("outside", ())),
    )


def _escalation(data: Any) -> Escalation:
    return Escalation(
        after=_seconds(data["after"]),
        people=_people(data["people"]),
        recipients=_recipients(data["recipients"]),
        outside=tuple(data.get("outside", ())),
    )


def _hours(data: Any) -> WorkingHours:
    holidays = tuple(map(date.fromisoformat, data["holidays"]))
    return WorkingHours(cron=data["cron"], zone=data["zone"], holidays=holidays)


_READ: dict[str, Any] = {
    "name": str,
    "reviewers": _people,
    "approvals": int,
    "stages": lambda stages: tuple(tuple(map(_quorum, stage)) for stage in stages),
    "rejections": int,
    "distinct_from": lambda parties: tuple(map(Party, parties)),
    "reason": ReasonRule,
    "quick_reasons": tuple,
    "assurance": Assurance,
    "destructive": bool,
    "deadline": _seconds,
    "reminders": lambda waits: tuple(timedelta(seconds=wait) for wait in waits),
    "escalation": _escalation,
    "on_expiry": OnExpiry,
    "hours": lambda hours: tuple(map(_hours, hours)),
    "carries": bool,
    "keeps_removed": bool,
    "claim": _seconds,
    "recipients": _recipients,
    "fallback": _recipients,
    "outside": tuple,
}
