"""What the world may ask of core: submit, decide, cancel, follow."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from core.backups import Backups
from core.changes import is_compared
from core.checkpoints import Checkpoints
from core.clock import SystemClock
from core.delegations import Delegations
from core.errors import Forbidden, Invalid, NotAReviewer, Refused, UnknownFlow
from core.explaining import explain, with_others
from core.ids import new_id
from core.looking import Looking
from core.measures import Measures
from core.model import (
    LOCAL,
    LOCAL_NAME,
    DeliveryState,
    NewDecision,
    Person,
    PersonId,
    TaskFilter,
    TaskId,
    Verdict,
)
from core.policy import check_assurance, check_in_time, check_may_decide, check_open, check_reason
from core.questions import Questions
from core.reconsidering import Reconsidering
from core.sequel import AtOnce
from core.states import check_shape, content_of
from core.submissions import (
    MAX_COMMENT,
    MAX_NAME,
    as_named,
    check,
    check_content,
    check_text,
    checked_id,
    checked_review,
    is_id,
    page_after,
    title_of,
)
from core.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from core.errors import CountersignError
    from core.explaining import Explanation
    from core.feed import Feed
    from core.flow import FlowDefinition
    from core.graph import Graph
    from core.model import (
        ChannelName,
        Delegation,
        Delivery,
        FlowSettings,
        Json,
        MessageRef,
        OpenReview,
        Piece,
        Policy,
        Recipient,
        ReviewRequest,
        StoredEvent,
        Story,
        Submission,
        Task,
        TaskPage,
    )
    from core.ports import Clock, Observer, Store

log = structlog.get_logger()

DEFAULT_FLOW = "draft"
LOCAL_PERSON = Person(id=LOCAL, name=LOCAL_NAME)
PAGE = 200
"""The most tasks on one page."""


class Service:
    """One door for every front end. Every answer is given after what it says is durable."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        people: Mapping[PersonId, Person],
        flows: Mapping[str, FlowDefinition],
        *,
        policies: Mapping[str, Policy] = {},
        admins: Collection[PersonId] = (),
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        """`policies` are those in force now; a review is judged by them as well as by its own.

        `admins` may resume tasks from their checkpoints, past reviews too, cancel any task, and take backups.
        """
        self._store = store
        self._feed = feed
        self._people = people
        self._flows = flows
        self._policies = policies
        self._admins = frozenset(admins)
        self._clock = clock or SystemClock()
        self._observer = observer or Measures()
        self._turnstile = Turnstile()
        self._with_others = partial(with_others, people=people, policies=policies)
        self.questions = Questions(
            store,
            policies=policies,
            known=self._known,
            is_admin=self._is_admin,
            with_others=self._with_others,
            clock=self._clock,
        )
        self.looking = Looking(
            store, policies=policies, known=self._known, with_others=self._with_others, clock=self._clock
        )
        self.delegations = Delegations(
            store,
            person=self.person,
            known=self._known,
            is_admin=self._is_admin,
            policies=policies,
            clock=self._clock,
        )
        self.reconsidering = Reconsidering(store, policies=policies)
        self.checkpoints = Checkpoints(store, flows, known=self._known, may_resume=self.may_resume)
        self.backups = Backups(store, may_take=self.may_resume)

    async def submit(self, submission: Submission) -> tuple[Task, bool]:
        """The stored task, and True where it is new (False: same idempotency key, same request).

        Raises `Invalid` (and `UnknownFlow`, `KeyReused`), `Overloaded`, `StoreUnavailable`.
        """
        check(submission)
        flow = DEFAULT_FLOW if submission.flow is None else submission.flow
        if flow not in self._flows:
            raise self._unknown_flow(flow)
        self._check_choice(flow, submission.policy)
        async with self._turnstile.submission():
            task, is_new = await self._store.create(
                TaskId(new_id()),
                replace(submission, flow=flow),
                title=title_of(submission),
                name=self.somebody(submission.submitter).name,
                sequel=AtOnce(self._flows, self._clock),
            )
        log.info("task_submitted", task_id=task.id, flow=flow, submitter=submission.submitter, new=is_new)
        return task, is_new

    def _check_choice(self, flow: str, policy: str | None) -> None:
        """Who submits may not pick who judges, beyond what the flow offers."""
        settings = self._flows[flow].settings
        offered = settings.policies
        if policy not in {None, settings.policy, *offered}:
            known = f"it offers: {', '.join(offered)}" if offered else "it offers none to choose"
            raise Invalid(f"The flow {flow!r} does not offer the policy {policy!r}; {known}.")

    def offers(self) -> Sequence[FlowSettings]:
        """The flows to choose from: those of the file, and `draft`, unless nobody may decide there."""
        known = [flow.settings for flow in self._flows.values()]
        return [
            flow
            for flow in sorted(known, key=lambda flow: flow.name != DEFAULT_FLOW)
            if flow.is_named or (flow.name == DEFAULT_FLOW and self._has_reviewers(flow.policy))
        ]

    def _has_reviewers(self, policy: str) -> bool:
        found = self._policies.get(policy)
        return found is None or bool(found.reviewers or found.outside)

    async def task(self, task_id: str) -> Task:
        """Raises `NotFound`."""
        return await self._store.task(checked_id(task_id, "task"))

    async def tasks(self, wanted: TaskFilter, *, cursor: str | None = None, limit: int = 50) -> TaskPage:
        """Newest first; raises `Invalid` for a cursor that no page gave, and `UnknownFlow`."""
        check_text(wanted.submitter, "submitter", MAX_NAME)
        check_text(wanted.flow, "flow", MAX_NAME)
        after = page_after(cursor)
        found = await self._store.tasks(wanted, cursor=after, limit=max(1, min(limit, PAGE)))
        if not found.tasks and after is None and wanted.flow is not None:
            await self._check_known(wanted.flow)
        return found

    async def _check_known(self, flow: str) -> None:
        """Raises `UnknownFlow`: a list that is empty for a slip of the pen looks as if nothing waited.

        Tasks of a flow that was taken out of the configuration are still to be found.
        """
        if flow in self._flows:
            return
        if not (await self._store.tasks(TaskFilter(flow=flow), cursor=None, limit=1)).tasks:
            raise self._unknown_flow(flow)

    def _unknown_flow(self, flow: str) -> UnknownFlow:
        known = ", ".join(self.flow_names)
        hint = "" if flow else f" Left out, it is {DEFAULT_FLOW}."
        return UnknownFlow(f"There is no flow {as_named(flow)}; there are: {known}.{hint}")

    @property
    def flow_names(self) -> list[str]:
        """All that the configuration knows, also those that no form offers."""
        return sorted(self._flows)

    async def review(self, review_id: str) -> ReviewRequest:
        """Raises `NotFound`."""
        return await self._store.review(checked_id(review_id, "review"))

    async def check_open(self, review_id: str) -> None:
        """Raises `ReviewIsClosed`, which says who closed it and when, and `NotFound`."""
        check_open(await self.review(review_id))

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]:
        """All reviews of a task, oldest first; none of one that there is not."""
        return await self._store.reviews(task_id) if is_id(task_id) else ()

    async def waiting_for(self, person: PersonId, *, limit: int = 100) -> Sequence[ReviewRequest]:
        """Open reviews that this person may decide now, oldest first."""
        return await self._store.waiting_for(
            person, everybody=person == LOCAL, policies=self._policies, limit=limit
        )

    async def compared(self, reviews: Sequence[ReviewRequest]) -> list[ReviewRequest]:
        """The same with what each was asked of before, as its card has it: read in one go, or not at all
        where there is nothing to compare."""
        wanted = [review.id for review in reviews if is_compared(review)]
        earlier = await self._store.earlier(wanted) if wanted else {}
        return [replace(review, earlier=earlier.get(review.id)) for review in reviews]

    def explained(self, review: ReviewRequest, person: PersonId) -> Explanation:
        """As `explain`, of a review that this person may decide and that was read already; without its
        timers, and without who is away."""
        return explain(review, self._people, self._policies, timers=(), away=(), asking=self.person(person))

    async def answered_by(self, person: PersonId, *, limit: int = 100) -> Sequence[ReviewRequest]:
        """Open reviews on which this person decided, or a delegate in their place, oldest first."""
        return await self._store.answered_by(person, limit=limit)

    async def shown_at(self, channel: ChannelName, message: MessageRef) -> ReviewRequest | None:
        """The review whose card that message in a chat is, or the newest of the task that it tells of; None
        where it is no message of ours."""
        return await self._store.shown_at(channel, message)

    async def story(self, task_id: str) -> Story:
        """What has happened to a task, as its page tells it. Raises `NotFound` for an id that is none."""
        return await self._store.story(checked_id(task_id, "task"))

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        """Every card and notice of a task, oldest first; none of one that there is not."""
        return await self._store.deliveries(task_id) if is_id(task_id) else ()

    async def decide(
        self,
        which: str | OpenReview,
        reviewer: PersonId,
        verdict: Verdict,
        *,
        comment: str | None = None,
        content: Json = None,
        via: str,
        copy: tuple[Recipient, MessageRef] | None = None,
    ) -> ReviewRequest:
        """Record one reviewer's answer; the review as it stands after it (still open below the quorum).

        `which` names it by its id, or as a task's open review, which is checked against what the caller saw.
        An edit says in `content` what is to stand in place of the draft, of the draft's own shape.
        `copy` names the message whose button was pressed; where no delivery knows it (a post whose answer
        was lost), it is adopted, so that it changes like every other copy.
        Raises `NotFound`, `NotAReviewer`, `SelfReview`, `ReviewIsClosed`, `AlreadyDecided`, `Invalid`
        (a comment too long), `Unavailable`; for a task's open review also `NotWaiting`, and `StaleReview`
        where another one or another attempt was meant, both with the sentence that its id would have brought.
        A refusal changes nothing of the record.
        """
        check_text(comment, "comment", MAX_COMMENT)
        check_content(verdict, content)
        which = checked_review(which)
        new = NewDecision(
            reviewer=self._known(reviewer),
            verdict=verdict,
            comment=comment or None,
            content=content,
            via=via,
            copy=copy,
        )
        with self._turnstile.decision():
            review, refusal, end = await self._store.decide(
                which,
                new,
                policies=self._policies,
                people=self._people,
                sequel=AtOnce(self._flows, self._clock),
            )
        told = self._told(review, refusal, new)
        if end is not None:
            log.info("task_completed", task_id=told.task.id, outcome=end.outcome)
        return told

    async def withdraw(self, which: str | OpenReview, reviewer: PersonId, *, via: str) -> ReviewRequest:
        """Take back one's own answer while the review is open, or the one a delegate gave in one's place.

        Raises `NotFound`, `NotWaiting` where there is none, `NotAReviewer` where it is that of somebody who
        was struck since, `ReviewIsClosed`, `ConfirmOnPage`, `Unavailable`; the first of these that holds.
        """
        review, refusal = await self._store.withdraw(
            checked_review(which), self._known(reviewer), via=via, policies=self._policies
        )
        facts = {"task_id": review.task.id, "review_id": review.id, "reviewer": reviewer, "via": via}
        if refusal is not None:
            raise refusal
        log.info("decision_withdrawn", **facts)
        return review

    async def explain(self, task_id: str, person: PersonId | None = None) -> Explanation | None:
        """Where the task's newest review stands, and whether `person` may decide; None before the first.

        Raises `NotFound`.
        """
        task = await self._store.task(checked_id(task_id, "task"))
        reviews = await self._store.reviews(task.id)
        if not reviews:
            return None
        review = reviews[-1]
        away = await self._store.delegations() if review.is_open else ()
        seat, refusal = None, None
        if person is not None:
            try:
                seat = self._seat(review, person, away)
            except (Forbidden, Refused) as error:
                refusal = str(error)
        return explain(
            review,
            self._people,
            self._policies,
            timers=await self._store.timers(review.id) if review.is_open else (),
            away=away,
            asking=None if person is None else self.person(person),
            seat=seat,
            refusal=refusal,
        )

    def _seat(self, review: ReviewRequest, person: PersonId, away: Sequence[Delegation]) -> PersonId:
        """Whose answer this person's would be; raises as `decide` would."""
        for_whom = [of.person for of in away if of.delegate == person]
        try:
            seat = check_may_decide(review, person, self._policies, for_whom)
            check_in_time(review, self._clock.now())
        except (Forbidden, Refused) as error:
            raise self._with_others(error, review) from None
        return seat

    def _told(
        self, review: ReviewRequest, refusal: CountersignError | None, new: NewDecision
    ) -> ReviewRequest:
        """Log what became of a decision; raise its refusal, which says who can instead."""
        reviewer, verdict, via = new.reviewer.id, new.verdict, new.via
        facts = {"task_id": review.task.id, "review_id": review.id, "reviewer": reviewer, "via": via}
        if refusal is not None:
            self._observer.refused(refusal, via)
            log.info("decision_refused", reason=type(refusal).__name__, **facts)
            raise self._with_others(refusal, review)
        self._observer.decided(review, verdict, via)
        log.info("decision_recorded", verdict=verdict.value, outcome=review.outcome.value, **facts)
        return review

    def _known(self, person_id: PersonId) -> Person:
        person = self.person(person_id)
        if person is None:
            raise NotAReviewer("You are not among the people whom countersign.toml names.")
        return person

    async def check_may_decide(
        self,
        review_id: str,
        person: PersonId,
        *,
        via: str | None = None,
        copy: tuple[Recipient, MessageRef] | None = None,
    ) -> ReviewRequest:
        """The review, where this person could decide it now (and there); raises as `decide` would.

        For a front end that asks for a reason first; `decide` judges again. Changes nothing of the record;
        a `copy` that no delivery knows is adopted, as there.
        """
        self._known(person)
        review = await self._store.review(checked_id(review_id, "review"))
        away = () if person in review.policy.reviewers else await self._store.delegations()
        try:
            self._seat(review, person, away)
            if via is not None:
                check_assurance(review, via)
        except Refused:
            await self._adopt(review, copy)
            raise
        await self._adopt(review, copy)
        return review

    async def check_edit(
        self,
        review_id: str,
        person: PersonId,
        typed: str,
        *,
        via: str,
        comment: str | None = None,
    ) -> tuple[ReviewRequest, Json]:
        """The review, and what would stand in place of its draft if `typed` became this person's edit.

        Without a `comment` a reason may still be asked for, and is not missed here.
        For a front end that shows the difference before it asks whether that is what they want; raises as
        `decide` would, which judges again. Changes nothing.
        """
        review = await self.check_may_decide(review_id, person, via=via)
        content = content_of(typed, review.draft)
        check_content(Verdict.EDIT, content)
        check_shape(review.draft, content)
        if comment is not None:
            check_reason(review.policy, Verdict.EDIT, comment)
        return review, content

    async def _adopt(self, review: ReviewRequest, copy: tuple[Recipient, MessageRef] | None) -> None:
        """Ask before writing: nearly every copy is known."""
        if copy is None:
            return
        recipient, message = copy
        known = [
            delivery
            for delivery in await self._store.deliveries(review.task.id)
            if (delivery.review, delivery.recipient.channel, delivery.message)
            == (review.id, recipient.channel, message)
        ]
        if not known or known[0].state is DeliveryState.GIVEN_UP:
            await self._store.adopt_copy(review.id, copy)

    async def cancel(self, task_id: str, person: PersonId) -> Task:
        """Call a task off; its submitter may, and an administrator.

        Raises `NotFound`, `Forbidden`, `TaskIsClosed`.
        """
        name = self.somebody(person).name if self._is_admin(person) else None
        task = await self._store.cancel(checked_id(task_id, "task"), person, admin_name=name)
        log.info("task_cancelled", task_id=task_id, by=person)
        return task

    def appoint(self, admins: Collection[PersonId]) -> None:
        """Who are the administrators from now on: the configuration was read anew."""
        self._admins = frozenset(admins)

    def _is_admin(self, person: PersonId) -> bool:
        return person in self._admins

    def may_resume(self, person: PersonId) -> bool:
        """Whether this person may resume tasks from their checkpoints."""
        return person == LOCAL or self._is_admin(person)

    def graph(self, flow: str) -> Graph | None:
        """The nodes of a flow as it is configured now; None where it is not, any more."""
        return self._flows[flow].graph if flow in self._flows else None

    def follow(self, task_id: TaskId, *, after: int = 0, live: bool = True) -> AsyncGenerator[StoredEvent]:
        """Stored events with `seq` above `after`, then each new one; ends after a final one.

        Where it is not `live`, it ends with what is stored now.
        Raises `NotFound`, for an id that is none at once, else at the first step.
        """
        return self._feed.follow(TaskId(checked_id(task_id, "task")), after=after, live=live)

    def follow_in_pieces(
        self, task_id: TaskId, *, after: int = 0, live: bool = True
    ) -> AsyncGenerator[Piece]:
        """As `follow`, what is known at once in one piece."""
        return self._feed.follow_in_pieces(TaskId(checked_id(task_id, "task")), after=after, live=live)

    def person(self, person_id: str) -> Person | None:
        """Who that is, by the configuration in force; None for nobody."""
        return LOCAL_PERSON if person_id == LOCAL else self._people.get(PersonId(person_id))

    def somebody(self, person_id: str) -> Person:
        """As `person`; whom the configuration names no more is called by their id."""
        return self.person(person_id) or Person(id=PersonId(person_id), name=person_id)

    def in_force(self) -> Sequence[Policy]:
        """The policies by which reviews are judged now, as well as by their own; in its order."""
        return tuple(self._policies.values())

    def people(self) -> Sequence[Person]:
        """All whom the configuration in force names, in its order."""
        return tuple(self._people.values())
