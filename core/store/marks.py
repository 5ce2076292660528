"""Claims and snoozes as kept with their open review, and the timers that end them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import update

from core.model import TimerKind
from core.store import timers
from core.store.rows import claims_text, snoozes_text
from core.store.statements import Statement, p
from core.store.tables import review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Claim, PersonId, ReviewRequest, Snooze
    from core.store.transaction import Transaction

CLAIMED = Statement(update(review).where(review.c.id == p("id")).values(claims=p("claims")))
SNOOZED = Statement(update(review).where(review.c.id == p("id")).values(snoozes=p("snoozes")))


def claimed(tx: Transaction, request: ReviewRequest, claims: Sequence[Claim]) -> ReviewRequest:
    """The open review, at which these look from now on."""
    tx.send(CLAIMED, id=request.id, claims=claims_text(claims))
    timers.rearm(tx, request.id, TimerKind.CLAIM, min((one.until for one in claims), default=None))
    return replace(request, claims=tuple(claims))


def snoozed(tx: Transaction, request: ReviewRequest, snoozes: Sequence[Snooze]) -> ReviewRequest:
    """The open review, of which these are reminded later from now on."""
    tx.send(SNOOZED, id=request.id, snoozes=snoozes_text(snoozes))
    timers.rearm(tx, request.id, TimerKind.SNOOZE, min((one.until for one in snoozes), default=None))
    return replace(request, snoozes=tuple(snoozes))


def forget(tx: Transaction, request: ReviewRequest, person: PersonId) -> ReviewRequest:
    """Without what this person had said, who has decided now; the decision tells everybody."""
    claims = [one for one in request.claims if one.person != person]
    snoozes = [one for one in request.snoozes if one.person != person]
    if len(claims) < len(request.claims):
        request = claimed(tx, request, claims)
    if len(snoozes) < len(request.snoozes):
        request = snoozed(tx, request, snoozes)
    return request
