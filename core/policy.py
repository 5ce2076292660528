"""Who may decide, and what the decisions add up to."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

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
from core.model import LOCAL, Assurance, OnExpiry, Outcome, Party, Verdict
from core.seating import Seating

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from core.model import Decision, PersonId, Policy, Question, Quorum, ReviewRequest


T = TypeVar("T")
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
    if person not in {review.task.submitter, LOCAL} and not is_admin:
        raise NotTheSubmitter(f"{review.task.submitter_name} is asked; nobody else answers for them.")
    if asked.reply is not None:
        raise AlreadyAnswered(f"{asked.reply.name} has answered this question already.")
    check_open(review)


def _today(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> Policy | None:
    """The policy now in force under the name of the review's, if there is one."""
    return policies.get(review.policy.name) if policies else review.policy


def is_gone(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> bool:
    """Whether no policy of the review's name is in force any more: then nobody may decide on it."""
    return _today(review, policies) is None


def gone(policy: Policy) -> str:
    """The sentence for that."""
    return f"The policy {policy.name!r}, under which this review opened, is not in countersign.toml any more."


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
    barred = _barred(review)
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


def in_force(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> Collection[PersonId]:
    """Whom the policy of today lets decide on the review, in some quorum."""
    now = _today(review, policies)
    if now is None:
        return ()
    if _is_narrowed(review, now):
        stages = _narrowed(review, now, kept=())
        return {person for stage in stages for quorum in stage for person in quorum.people}
    if review.is_escalated and now.escalation is not None:
        return {*now.reviewers, *now.escalation.people}
    return now.reviewers


def _is_narrowed(review: ReviewRequest, now: Policy) -> bool:
    """Whether it has to be asked for each quorum who is in it still: not where there are none to tell apart,
    and not where nothing was changed."""
    mine = review.policy.stages
    return bool(mine) and bool(now.stages) and now.stages != mine


def _narrowed(
    review: ReviewRequest, now: Policy, *, kept: Collection[PersonId]
) -> tuple[tuple[Quorum, ...], ...]:
    """The review's quorums with those who are in them by today's policy, too, or are `kept`."""
    wider = now.escalation.people if review.is_escalated and now.escalation is not None else ()
    stages = review.policy.stages
    return tuple(
        tuple(
            replace(quorum, people=tuple(one for one in quorum.people if one in kept or one in known))
            for quorum in stage
            for known in ({*_of_today(now.stages, stages, number, quorum), *wider},)
        )
        for number, stage in enumerate(stages)
    )


def _of_today(
    now: tuple[tuple[Quorum, ...], ...],
    before: tuple[tuple[Quorum, ...], ...],
    number: int,
    quorum: Quorum,
) -> tuple[PersonId, ...]:
    """Who is in this quorum of stage `number` today: in the one of its name there, or in another stage.

    One that stands alone in its stage may have another name today, where there are as many stages. Else
    nobody is: whoever was in it sits in no such quorum any more.
    """
    here = now[number] if number < len(now) else ()
    named = [one for stage in (here, *now) for one in stage if one.name == quorum.name]
    if not named and len(here) == len(before[number]) == 1 and len(now) == len(before):
        named = list(here)
    return named[0].people if named else ()


def _check_is_distinct(review: ReviewRequest, *people: PersonId) -> None:
    """Neither who decides nor for whom may have made what is decided on."""
    barred = _barred(review)
    if review.task.submitter in people and review.task.submitter in barred:
        whose = "You" if review.task.submitter == people[0] else "The person for whom you decide"
        raise SelfReview(f"{whose} submitted this task, so somebody else has to decide.")
    if not barred.isdisjoint(people):
        raise SelfReview("This draft is an edit of yours, so somebody else has to decide.")


def makers(review: ReviewRequest) -> dict[PersonId, str]:
    """Reviewers who may not decide as they made what is decided on, with their names."""
    barred = _barred(review)
    names = {review.task.submitter: review.task.submitter_name}
    if review.previous is not None:
        made = review.previous
        names |= {made.reviewer: made.reviewer_name, made.seat: made.person_name or made.reviewer_name}
    return {person: names[person] for person in review.policy.reviewers if person in barred}


def _barred(review: ReviewRequest) -> set[PersonId]:
    parties = review.policy.distinct_from
    barred = {review.task.submitter} if Party.SUBMITTER in parties else set()
    previous = review.previous
    if Party.EDITOR in parties and previous is not None and previous.verdict is Verdict.EDIT:
        barred |= {previous.reviewer, previous.seat}
    return barred


def _is_their_turn(review: ReviewRequest, seat: PersonId) -> bool:
    now = stage_now(review.policy, review.decisions)
    return now is None or _sits_in(review.policy.in_stages[now], seat)


def _sits_in(stage: Iterable[Quorum], seat: PersonId) -> bool:
    return any(seat in quorum.people for quorum in stage)


def _check_is_their_turn(review: ReviewRequest, seat: PersonId) -> None:
    if not review.policy.stages:
        return  # everybody sits in the one quorum
    stages = review.policy.in_stages
    now = stage_now(review.policy, review.decisions)
    if now is None or _sits_in(stages[now], seat) or decision_of(review, seat) is not None:
        return
    waits = " and ".join(quorum.name for quorum in stages[now])
    place = next((n for n, stage in enumerate(stages) if n > now and _sits_in(stage, seat)), None)
    if place is not None:
        raise NotYourTurn(f"It is not your turn yet: stage {now + 1} of {len(stages)} waits for {waits}.")
    raise NotYourTurn(f"Your stage is done; the review now waits for {waits}.")


def stage_for(policy: Policy, decisions: Sequence[Decision], seat: PersonId, before: Decision | None) -> int:
    """In which stage an answer counts that is given now; one in place of another may stay where that was."""
    if not policy.stages:
        return 0
    now = stage_now(policy, decisions)
    if now is not None and (before is None or _sits_in(policy.in_stages[now], seat)):
        return now
    return 0 if before is None else before.stage


def check_may_withdraw(
    review: ReviewRequest, made: Decision, policies: Mapping[str, Policy] | None = None
) -> None:
    """Raise `NotAReviewer` where it is the answer of somebody who was struck: that would be a say, too."""
    if is_gone(review, policies) and made.seat != LOCAL:
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
        raise ConfirmOnPage("This review is decided on its page, by whoever is signed in there.")


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
    if policy.asks_why(verdict) and not (comment or "").strip():
        raise ReasonMissing("This policy asks for a reason: say why in the comment.")


def decision_of(review: ReviewRequest, seat: PersonId) -> Decision | None:
    """What stands as this person's answer, by whomever it was given."""
    return next((decision for decision in review.decisions if decision.seat == seat), None)


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
    else:
        sentence = f"This review is closed: the task is {request.task.status}."
    raise ReviewIsClosed(sentence)


def _shown(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def outcome(policy: Policy, decisions: Sequence[Decision]) -> Outcome:
    """What the decisions add up to: so many rejections reject, the quorums of every stage approve.

    An edit is its author's approval of their own text: enough where that is all that is asked for, else the
    text has to be put before everybody anew.
    """
    rejecting = {decision.seat for decision in decisions if decision.verdict is Verdict.REJECT}
    if len(rejecting) >= policy.rejections:
        return Outcome.REJECTED
    if any(decision.verdict is Verdict.EDIT for decision in decisions):
        alone = policy.approvals == 1 and Party.EDITOR not in policy.distinct_from
        return Outcome.APPROVED if alone else Outcome.EDITED
    return Outcome.APPROVED if stage_now(policy, decisions) is None else Outcome.OPEN


def stage_now(policy: Policy, decisions: Iterable[Decision]) -> int | None:
    """The first stage, from 0, whose quorums are not met; None once all are."""
    made = tuple(decisions)
    if not made:
        return 0  # each quorum asks for somebody
    for number, stage in enumerate(policy.in_stages):
        if any(missing for _, missing in shortfall(stage, approvers(made, number))):
            return number
    return None


def approvers(decisions: Iterable[Decision], stage: int) -> list[PersonId]:
    """Who approved in a stage, in order, each once, whatever chat they sat in."""
    return list(
        dict.fromkeys(
            decision.seat
            for decision in decisions
            if decision.verdict is Verdict.APPROVE and decision.stage == stage
        )
    )


def as_it_counts(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> ReviewRequest:
    """The open review as it counts today: its quorums without those who were struck from them.

    What these have said is dropped, or kept, as the policy says.
    """
    keeps = review.policy.keeps_removed
    if not review.is_open or (not review.policy.stages and (keeps or not review.decisions)):
        return review
    now, made = _today(review, policies), review.decisions
    if not keeps and made:
        made = tuple(counted(review.policy, made, in_force(review, policies)))
    if now is None or not _is_narrowed(review, now):
        return review if made is review.decisions else replace(review, decisions=made)
    stages = _narrowed(review, now, kept={decision.seat for decision in made} if keeps else ())
    return replace(review, decisions=made, policy=replace(review.policy, stages=stages))


def confined(policy: Policy, seat: PersonId, now: Policy) -> Policy:
    """The policy with this seat in those quorums only where `now` has it.

    What is said in a seat counts on where it was when that was said (`removed = "keep"`). So whoever answers
    after they were struck from a quorum is in it no more, for this review.
    """
    return replace(
        policy,
        stages=tuple(
            tuple(
                quorum
                if seat in narrowed.people or seat not in quorum.people
                else replace(quorum, people=tuple(one for one in quorum.people if one != seat))
                for quorum, narrowed in zip(stage, of, strict=True)
            )
            for stage, of in zip(policy.stages, now.stages, strict=True)
        ),
    )


def counted(policy: Policy, decisions: Iterable[Decision], known: Collection[PersonId]) -> list[Decision]:
    """The decisions that count, where `known` are the reviewers of today."""
    return [made for made in decisions if policy.keeps_removed or made.seat in known or made.seat == LOCAL]


def shortfall(
    stage: Sequence[Quorum], approving: Sequence[PersonId], able: Sequence[PersonId] = ()
) -> list[tuple[Quorum, int]]:
    """How many approvals each quorum lacks; somebody who is in two of them counts in one.

    In which, depends on who is `able` to approve besides: they are to find their places.
    """
    if len(stage) == 1:
        (only,) = stage
        there = sum(person in only.people or person == LOCAL for person in approving)
        return [(only, max(0, only.approvals - there))]
    seating, choices = _seated(stage, approving), _choices(stage)
    for person in able:
        if seating.is_full:
            break
        seating.seat(choices.get(person, ()), counts=False)
    return [(quorum, quorum.approvals - seating.counting(n)) for n, quorum in enumerate(stage)]


def _seated(stage: Sequence[Quorum], approving: Sequence[PersonId]) -> Seating:
    seating, choices = Seating([quorum.approvals for quorum in stage]), _choices(stage)
    for person in approving:
        if seating.is_full:
            break
        seating.seat(tuple(range(len(stage))) if person == LOCAL else choices.get(person, ()))
    return seating


def _choices(quorums: Iterable[Quorum]) -> dict[PersonId, tuple[int, ...]]:
    """In which of these each person sits, by number."""
    found: dict[PersonId, tuple[int, ...]] = {}
    for number, quorum in enumerate(quorums):
        for person in quorum.people:
            found[person] = (*found.get(person, ()), number)
    return found


def can_be_met(policy: Policy, decisions: Sequence[Decision], able: Collection[PersonId]) -> bool:
    """Whether `able`, those who may still decide, are enough for what is missing in all stages."""
    decided = _heard(decisions)
    stages = policy.in_stages
    quorums = [quorum for stage in stages for quorum in stage]
    choices = _choices(quorums)
    seating = Seating([quorum.approvals for quorum in quorums])
    first = 0
    for number, stage in enumerate(stages):
        here = range(first, first + len(stage))
        for person in approvers(decisions, number):
            sits_in = here if person == LOCAL else [n for n in choices.get(person, ()) if n in here]
            seating.seat(tuple(sits_in))
        first += len(stage)
    for person in able:
        if seating.is_full:
            break
        if person not in decided:
            seating.seat(choices.get(person, ()))
    return seating.is_full


def able(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> list[PersonId]:
    """Reviewers who may, by the policy they had and that of today, decide on the review in some stage."""
    now, barred = frozenset(in_force(review, policies)), _barred(review)
    return [person for person in review.policy.reviewers if person in now and person not in barred]


def is_stuck(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> bool:
    """Whether those who may still decide are too few for what the policy asks."""
    now = as_it_counts(review, policies)
    return not can_be_met(now.policy, now.decisions, able(now, policies))


def comes_to(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> Outcome:
    """What the decisions add up to that count today: not open where a word that did not count does again."""
    now = as_it_counts(review, policies)
    return outcome(now.policy, now.decisions)


def waited_for(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> list[PersonId]:
    """Who could bring the review nearer to its end now and has not decided."""
    review = as_it_counts(review, policies)
    number = stage_now(review.policy, review.decisions)
    if number is None:
        return []
    stage, approving = review.policy.in_stages[number], approvers(review.decisions, number)
    open_to, choices = _seated(stage, approving).open_to(), _choices(stage)
    undecided = _undecided(review, policies)
    return [person for person in undecided if not open_to.isdisjoint(choices.get(person, ()))]


def _undecided(review: ReviewRequest, policies: Mapping[str, Policy] | None) -> list[PersonId]:
    decided = _heard(review.decisions)
    return [person for person in able(review, policies) if person not in decided]


def _heard(decisions: Iterable[Decision]) -> set[PersonId]:
    """Who has answered, or was answered for: they have no other answer to give."""
    return {person for decision in decisions for person in (decision.seat, decision.reviewer)}


def _lacking(stage: Sequence[Quorum], approving: Sequence[PersonId]) -> int:
    return sum(missing for _, missing in shortfall(stage, approving))


def shortfall_now(
    review: ReviewRequest, policies: Mapping[str, Policy] | None = None
) -> list[tuple[Quorum, int]]:
    """What the stage that is being decided lacks, quorum by quorum; nothing once all are met."""
    review = as_it_counts(review, policies)
    stage = stage_now(review.policy, review.decisions)
    if stage is None:
        return []
    approving = approvers(review.decisions, stage)
    return shortfall(review.policy.in_stages[stage], approving, _undecided(review, policies))


def approvals_given(review: ReviewRequest, policies: Mapping[str, Policy] | None = None) -> int:
    """How many of the approvals that the policy asks for are there; more than a quorum needs are no more."""
    review = as_it_counts(review, policies)
    return review.policy.approvals - sum(
        _lacking(stage, approvers(review.decisions, number))
        for number, stage in enumerate(review.policy.in_stages)
    )


def escalated(policy: Policy) -> Policy:
    """The policy once it was escalated: more people in every quorum, more places."""
    wider = policy.escalation
    if wider is None:
        return policy
    return replace(
        policy,
        reviewers=_joined(policy.reviewers, wider.people),
        stages=tuple(
            tuple(
                replace(
                    quorum,
                    people=_joined(quorum.people, wider.people),
                    outside=_joined(quorum.outside, wider.outside),
                )
                for quorum in stage
            )
            for stage in policy.stages
        ),
        recipients=_joined(policy.recipients, wider.recipients),
        outside=_joined(policy.outside, wider.outside),
    )


def admitted(policy: Policy, members: Mapping[str, Sequence[PersonId]]) -> Policy:
    """The policy with those besides who are in its groups from outside, by what these say now.

    It takes nobody away: who may decide no more, today's policy says.
    """

    def of(groups: Iterable[str]) -> tuple[PersonId, ...]:
        return tuple(person for group in groups for person in members.get(group, ()))

    wider = policy.escalation
    return replace(
        policy,
        reviewers=_joined(policy.reviewers, of(policy.outside)),
        stages=tuple(
            tuple(replace(quorum, people=_joined(quorum.people, of(quorum.outside))) for quorum in stage)
            for stage in policy.stages
        ),
        escalation=wider and replace(wider, people=_joined(wider.people, of(wider.outside))),
    )


def groups_of(policy: Policy) -> frozenset[str]:
    """The groups from outside on which it depends who may decide."""
    return frozenset((*policy.outside, *(policy.escalation.outside if policy.escalation else ())))


def _joined(first: tuple[T, ...], second: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*first, *second)))


@lru_cache(1024)
def is_hopeless(policy: Policy, submitter: PersonId) -> bool:
    """Whether a review of this submitter's could never be met, however its reviewers decide."""
    barred = {submitter} if Party.SUBMITTER in policy.distinct_from else set()
    return not can_be_met(policy, (), [person for person in policy.reviewers if person not in barred])
