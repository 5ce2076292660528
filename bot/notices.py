"""Notice -> Words: what is said in a task's thread between two looks of its card, in no platform's markup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bot.cards import Named, Theirs, clock_time, enumerated, url_of
from core.errors import Undeliverable
from core.events import (
    DecisionWithdrawn,
    QuestionAnswered,
    QuestionAsked,
    ReminderSnoozed,
    ReviewerReminded,
    ReviewEscalated,
    ReviewStuck,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
)
from core.explaining import standing
from core.model import Outcome, PersonId, QuestionId, Verdict, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.events import Event
    from core.model import Json, Notice, ReviewRequest, Task

NAMED = 20
"""More people than these are counted: a message has limits, and whoever calls hundreds calls nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One short message."""

    parts: tuple[str | Theirs | Named, ...]
    quote: str | None = None
    """What somebody wrote, or a task ended with, to stand below them as it is."""
    url: str
    """The task's page."""
    question: QuestionId | None = None
    """What can be answered now."""
    attempt: int = 1
    """Of which review."""


def words(notice: Notice, *, public_url: str, is_said: bool = False) -> Words:
    """Whom it concerns, what is asked and until when; of a question that `is_said` already, as it stands now.

    Raises `Undeliverable` where there is nothing to be said: the review was decided in this very moment.
    """
    url = url_of(notice.task.id, public_url)
    event = notice.event.event
    if notice.to_submitter and isinstance(event, (TaskCompleted, TaskFailed, TaskCancelled)):
        return _ending(notice, event, public_url)
    if (end := _end(notice)) is not None:
        return Words(parts=(*end[0], ", ", _title(notice.task), "."), quote=end[1], url=url)
    review = notice.review
    if review is None or not (review.is_open or is_said):
        raise Undeliverable("The review is closed, so nothing is said about it any more.")
    if isinstance(event, (QuestionAsked, QuestionAnswered)):
        is_asking = isinstance(event, QuestionAsked) and review.is_open and not notice.is_answered
        return Words(
            parts=_said(event, review),
            quote=event.text,
            url=url,
            question=QuestionId(event.question) if is_asking else None,
            attempt=review.attempt,
        )
    # whoever is reminded later said nothing of how long it can be decided
    until = () if isinstance(event, ReminderSnoozed) else _until(review)
    return Words(parts=(*_begin(event, review), *until), url=url)


def _ending(notice: Notice, event: TaskCompleted | TaskFailed | TaskCancelled, public_url: str) -> Words:
    """For whoever handed the task in: how it ended, and who decided."""
    task = notice.task
    whom = Named(name=task.submitter_name, person=task.submitter)
    title, url = _title(task), url_of(task.id, public_url)
    match event:
        case TaskFailed(error=error):
            return Words(parts=(whom, ": your task ", title, " failed."), quote=error, url=url)
        case TaskCancelled():
            return Words(parts=(whom, ": your task ", title, " was cancelled."), url=url)
        case TaskCompleted(outcome=outcome, final_result=result):
            came = Outcome(outcome) if outcome else None
            how, by, comment = _decided(notice.review, came)
            quote = comment if result is None else text_of(result)
            return Words(parts=(whom, ": your task ", title, how, *by, "."), quote=quote, url=url)


_OUTCOMES = {
    Outcome.APPROVED: " was approved",
    Outcome.REJECTED: " was rejected",
    Outcome.EXPIRED: " expired, as it was not decided in time",  # some may have decided, too few
}


def _decided(
    review: ReviewRequest | None, outcome: Outcome | None
) -> tuple[str, tuple[str | Theirs, ...], str | None]:
    """How, by whom, and what the last of them said."""
    how = _OUTCOMES.get(outcome, " is done") if outcome else " is done"
    wanted = _VERDICTS.get(outcome) if outcome else None
    made = [one for one in review.decisions if one.verdict in wanted] if review and wanted else []
    if not made:
        return how, (), None
    if made[-1].verdict is Verdict.EDIT:  # which approves alone, or not at all
        how = " was edited and approved"
    names: tuple[str | Theirs, ...] = ()
    for one in made[-NAMED:]:
        names += (" and " if names else " by ", Theirs(text=one.reviewer_name))
        if one.person is not None:
            names += (" for ", Theirs(text=one.person_name or one.person))
    return how, names, made[-1].comment


_VERDICTS = {
    Outcome.APPROVED: frozenset({Verdict.APPROVE, Verdict.EDIT}),
    Outcome.REJECTED: frozenset({Verdict.REJECT}),
}


def _end(notice: Notice) -> tuple[tuple[str | Theirs, ...], str | None] | None:
    """What became of the task, if it ended, and what it ended with."""
    match notice.event.event:
        case TaskCompleted(final_result=result):
            return ("Completed",), text_of(result)
        case TaskFailed(error=error):
            return ("Failed",), error
        case TaskCancelled(by=by, by_name=name):
            return ("Cancelled by ", Theirs(text=notice.task.canceller(by, name))), None
        case _:
            return None


def _title(task: Task) -> Theirs:
    return Theirs(text=task.title or "(untitled)")


def _what(review: ReviewRequest) -> tuple[str | Theirs, ...]:
    return (f"attempt {review.attempt} of ", _title(review.task))


def _begin(event: Event, review: ReviewRequest) -> tuple[str | Theirs | Named, ...]:
    what = _what(review)
    match event:
        case ReviewerReminded(people=people, ids=ids):
            return ("Reminder for ", *_people(people, ids), ": please decide on ", *what, ".")
        case ReminderSnoozed(person_name=name, until=str(until)):
            at = clock_time(datetime.fromisoformat(until))
            return (Theirs(text=name), f" wants to be reminded later, at {at}, of ", *what, ".")
        case ReviewEscalated(people=people, ids=ids, reason=reason):
            more = (" ", *_people(people, ids), " may decide now, too.") if people else ()
            return ("Escalated, ", *what, f": {reason}", *more)
        case ReviewStuck(reason=reason):
            return ("Stuck, ", *what, f": {reason}", f" To go on, {review.remedy}." if review.remedy else "")
        case DecisionWithdrawn(reviewer_name=name, by_name=None):
            return (Theirs(text=name), " has taken back their answer on ", *what, ".")
        case DecisionWithdrawn(reviewer_name=name, by_name=str(by)):
            return (Theirs(text=by), " has taken back the answer of ", Theirs(text=name), " on ", *what, ".")
        case _:
            raise Undeliverable("This is nothing that a chat is told.")


def _said(event: QuestionAsked | QuestionAnswered, review: ReviewRequest) -> tuple[str | Theirs | Named, ...]:
    if isinstance(event, QuestionAsked):
        verb, name, person = " asks ", event.submitter_name, event.submitter
    else:
        verb, name, person = " answers ", event.asked_by_name, event.asked_by
    whom = Named(name=name, person=PersonId(person))
    return (Theirs(text=event.person_name), verb, whom, " about ", *_what(review), ":")


def _people(names: Sequence[Json], ids: Sequence[Json]) -> list[str | Named]:
    """`Ana, Ben and Cy`; ids may be missing in events of an earlier release."""
    known = [PersonId(str(one)) for one in ids] if len(ids) == len(names) else [None] * len(names)
    called = [Named(name=str(name), person=person) for name, person in zip(names, known, strict=True)]
    if len(called) <= NAMED:
        return enumerated(called)
    parts: list[str | Named] = [part for one in called[:NAMED] for part in (", ", one)]
    return [*parts[1:], f" and {len(called) - NAMED} more"]


def _until(review: ReviewRequest) -> tuple[str, ...]:
    how = standing(review)
    return (f" {how[0].upper()}{how[1:]}.",) if how else ()
