"""Who may decide, ask, answer or take back; whoever may not is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.amendments import gone, in_force, is_gone
from core.counting import as_it_counts, barred_from, decision_of, sits_in, stage_now
from core.errors import (
    AlreadyAnswered,
    AlreadyDecided,
    ConfirmOnPage,
    NotAReviewer,
    NotTheSubmitter,
    NotYourTurn,
    ReasonMissing,
    ReviewIsClosed,
    SelfReview,
)
from core.literal import is_blank
from core.model import LOCAL, Assurance, OnExpiry, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from core.model import Decision, PersonId, Policy, Question, ReviewRequest


SIGNED_IN = frozenset({"web", "api"})
"""Where somebody has proved who they are to us, not to a chat platform."""
DECIDED = frozenset({Outcome.APPROVED, Outcome.REJECTED, Outcome.EDITED})


def check_may_decide(
    review: ReviewRequest,
    person: PersonId,
    policies: Mapping[str, Policy] | None = None,
    delegators: Collection[PersonId] = (),
) -> PersonId:
    """Whose answer it would be, if `person` decided now: their own, or that of one of their `delegators`.

    Raises `NotAReviewer`, `SelfReview`, `ReviewIsClosed` or `NotYourTurn`.
    The review keeps the policy under which it opened. Of the `policies` now in force, the one of that name
    has to know the person, too: whoever is struck from it decides nothing any more, and where there is none
    of that name, nobody does. Without any `policies`, which no configuration is, the review's own is asked.
    `LOCAL`, who exists in open mode only, stands for whoever sits at the machine: it may decide under
    any policy that asks for one approval, its own tasks included.
    """
    if person == LOCAL:
        if review.policy.approvals != 1:
            raise NotAReviewer("This review asks for several people; in open mode there is only one.")
        check_open(review)
        return person
    review = as_it_counts(review, policies)
    seat = _seat(review, person, policies, delegators)
    _check_is_distinct(review, person, seat)
    check_open(review)
    _check_is_one_voice(review, person, seat)
    _check_is_their_turn(review, seat)
    return seat


def check_may_ask(
    review: ReviewRequest,
    person: PersonId,
    policies: Mapping[str, Policy] | None = None,
    delegators: Collection[PersonId] = (),
) -> None:
    """Raise `NotAReviewer`, `SelfReview` or `ReviewIsClosed` where this person may not ask the submitter.

    Reviewers may, those of other stages and those who have answered, too.
    """
    if person != LOCAL:
        seat = _seat(review, person, policies, delegators)
        _check_is_distinct(review, person, seat)
    check_open(review)


def check_may_answer(asked: Question, review: ReviewRequest, person: PersonId, *, is_admin: bool) -> None:
    """Raise `NotTheSubmitter`, `AlreadyAnswered` or `ReviewIsClosed` where this person may not answer."""
    submitter = review.task.submitter_name
    if person not in {review.task.submitter, LOCAL}:
        if not is_admin:
            raise NotTheSubmitter(f"{submitter} is asked; only they answer, or an administrator.")
        if person == asked.person:  # a remark in reply to one's own words is no answer to them
            raise NotTheSubmitter(f"You asked this yourself; {submitter} is to answer.")
    if asked.reply is not None:
        raise AlreadyAnswered(f"{asked.reply.name} has answered this question already.")
    check_open(review)


def _seat(
    review: ReviewRequest,
    person: PersonId,
    policies: Mapping[str, Policy] | None,
    delegators: Collection[PersonId],
) -> PersonId:
    """A reviewer decides for themselves; anybody else for the one delegator for whom they began to, or for
    the first who is waited for."""
    if is_gone(review, policies):
        check_open(review)
        raise NotAReviewer(gone(review.policy))
    known, allowed = review.policy.reviewers, in_force(review, policies)
    if person in known:
        if person not in allowed:
            raise NotAReviewer("You are not among the reviewers of this task any more.")
        return person
    seats = [seat for seat in delegators if seat in known and seat in allowed]
    if not seats:
        raise NotAReviewer("You are not among the reviewers of this task.")
    taken = [decision.seat for decision in review.decisions if decision.reviewer == person]
    barred = barred_from(review)
    return next(
        (seat for seat in taken if seat in seats),
        min(
            seats,
            key=lambda seat: (
                seat in barred,
                decision_of(review, seat) is not None,
                not _is_their_turn(review, seat),
            ),
        ),
    )


def _check_is_one_voice(review: ReviewRequest, person: PersonId, seat: PersonId) -> None:
    """Whoever has answered in one seat does not answer in a second one, nor is answered for. What somebody
    said is changed by nobody else but by the person in whose seat it stands."""
    for made in review.decisions:
        if made.reviewer in {person, seat} and made.seat != seat:
            who = "You have" if made.reviewer == person else f"{made.reviewer_name} has"
            name = made.person_name or made.reviewer_name
            raise AlreadyDecided(f"{who} already decided for {name}; nobody decides twice on one review.")
        if made.seat == seat and person not in {seat, made.reviewer}:
            whom = "themselves" if made.reviewer == seat else made.person_name
            raise AlreadyDecided(
                f"{made.reviewer_name} has already decided for {whom}; that stays theirs to change."
            )


def _check_is_distinct(review: ReviewRequest, *people: PersonId) -> None:
    """Neither who decides nor for whom may have made what is decided on."""
    barred = barred_from(review)
    if review.task.submitter in people and review.task.submitter in barred:
        whose = "You" if review.task.submitter == people[0] else "The person for whom you decide"
        raise SelfReview(f"{whose} submitted this task, so somebody else has to decide.")
    if not barred.isdisjoint(people):
        raise SelfReview("This draft is an edit of yours, so somebody else has to decide.")


def _is_their_turn(review: ReviewRequest, seat: PersonId) -> bool:
    now = stage_now(review.policy, review.decisions)
    return now is None or sits_in(review.policy.in_stages[now], seat)


def _check_is_their_turn(review: ReviewRequest, seat: PersonId) -> None:
    if not review.policy.stages:
        return  # everybody sits in the one quorum
    stages = review.policy.in_stages
    now = stage_now(review.policy, review.decisions)
    if now is None or sits_in(stages[now], seat) or decision_of(review, seat) is not None:
        return
    waits = " and ".join(quorum.name for quorum in stages[now])
    place = next((n for n, stage in enumerate(stages) if n > now and sits_in(stage, seat)), None)
    if place is not None:
        raise NotYourTurn(f"It is not your turn yet: stage {now + 1} of {len(stages)} waits for {waits}.")
    raise NotYourTurn(f"Your stage is done; the review now waits for {waits}.")


def check_may_withdraw(
    review: ReviewRequest, made: Decision, policies: Mapping[str, Policy] | None = None
) -> None:
    """Raise `NotAReviewer` where it is the answer of somebody who was struck: that would be a say, too.

    Where the policy is gone `ReviewIsClosed` comes first, as for who decides."""
    if is_gone(review, policies) and made.seat != LOCAL:
        check_open(review)
        raise NotAReviewer(gone(review.policy))
    if made.seat != LOCAL and made.seat not in in_force(review, policies):
        raise NotAReviewer("You are not among the reviewers of this task any more.")


def check_answer(review: ReviewRequest, made: Decision) -> None:
    """Raise `AlreadyDecided` where the same was said before, `ConfirmOnPage` where a press in chat is not
    enough, `ReasonMissing` where nobody said why, `ReviewIsClosed` where the time is over.

    The same with another comment is another answer; with none it is a press too many.
    """
    check_in_time(review, made.at)
    check_assurance(review, made.via)
    standing = decision_of(review, made.seat)
    if standing is not None and _is_repeated(standing, made):
        by = "You have" if standing.reviewer == made.reviewer else f"{standing.reviewer_name} has"
        raise AlreadyDecided(f"{by} already decided; the review waits for others.")
    check_reason(review.policy, made.verdict, made.comment)


def _is_repeated(standing: Decision, made: Decision) -> bool:
    if standing.verdict is not made.verdict or made.verdict is Verdict.EDIT:
        return False
    comment = (made.comment or "").strip()
    return not comment or comment == (standing.comment or "").strip()


def check_assurance(review: ReviewRequest, via: str) -> None:
    """Raise `ConfirmOnPage` where a press in chat is not enough."""
    if review.policy.assurance is Assurance.CONFIRM and via not in SIGNED_IN:
        raise ConfirmOnPage("This review is decided on its page: its reviewers sign in there.")


def check_in_time(review: ReviewRequest, at: datetime) -> None:
    """Raise `ReviewIsClosed` after the deadline, also where what follows from it has not happened yet.

    Else it would depend on who is quicker, a press or the clock. Where the deadline only escalates, the
    review stays open, and so it is.
    """
    policy = review.policy
    escalates = (
        policy.on_expiry is OnExpiry.ESCALATE and policy.escalation is not None and not review.is_escalated
    )
    if review.expires_at is not None and at >= review.expires_at and not escalates:
        raise ReviewIsClosed(f"This review expired undecided at {_shown(review.expires_at)}.")


def check_reason(policy: Policy, verdict: Verdict, comment: str | None) -> None:
    """Raise `ReasonMissing` where the policy asks for a reason and there is none."""
    if policy.asks_why(verdict) and is_blank(comment or ""):
        raise ReasonMissing("This policy asks for a reason: say why.")


def check_open(request: ReviewRequest) -> None:
    """Raise `ReviewIsClosed`, which says who closed it and when."""
    if request.is_open:
        return
    if request.superseded_by is not None:
        sentence = f"This was attempt {request.attempt}; attempt {request.superseded_by} has replaced it."
    elif request.outcome is Outcome.APPROVED and request.is_by_the_clock:
        sentence = f"Approved by its policy at {_shown(request.closed_at)}, as it was not decided in time."
    elif request.decisions and request.outcome in DECIDED:
        last = request.decisions[-1]
        sentence = f"Already {request.outcome} by {last.reviewer_name} at {_shown(last.at)}."
    elif request.outcome is Outcome.EXPIRED:
        sentence = f"This review expired undecided at {_shown(request.closed_at)}."
    elif request.cancelled_by is not None:
        who, when = request.cancelled_by, _shown(request.closed_at)
        sentence = f"This review is closed: the task was cancelled by {who} at {when}."
    else:
        sentence = f"This review is closed: the task is {request.task.status}."
    raise ReviewIsClosed(sentence)


def _shown(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
