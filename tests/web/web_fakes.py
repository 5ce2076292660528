"""An in-memory core, as small as the web needs it: every attempt is put before Ana and Ben at once."""

from __future__ import annotations

import asyncio
import secrets as random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core import events
from core.errors import (
    AlreadyDecided,
    Forbidden,
    Invalid,
    KeyReused,
    NotAReviewer,
    NotFound,
    ReviewIsClosed,
    TaskIsClosed,
    UnknownFlow,
)
from core.model import (
    LOCAL,
    Credential,
    Decision,
    Delivery,
    MessageRef,
    Outcome,
    Person,
    PersonId,
    Policy,
    Recipient,
    ReviewId,
    ReviewRequest,
    Status,
    StoredEvent,
    Submission,
    Task,
    TaskFilter,
    TaskId,
    TaskPage,
    Verdict,
    text_of,
)
from core.submissions import check, check_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

PEOPLE = {
    "ana": Person(id=PersonId("ana"), name="Ana Ruiz"),
    "ben": Person(id=PersonId("ben"), name="Ben Okri"),
    "sam": Person(id=PersonId("sam"), name="Sam Lee"),
    "local": Person(id=LOCAL, name="local (open)"),
}
POLICY = Policy(name="default", reviewers=(PersonId("ana"), PersonId("ben"), LOCAL), self_review=True)


class NoAlarm:
    def cancel(self) -> None: ...


@dataclass
class StoppedClock:
    at: datetime = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def call_at(self, at: datetime, callback: Callable[[], object]) -> NoAlarm:
        return NoAlarm()

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class FakeCredentials:
    kept: dict[str, Credential] = field(default_factory=dict)
    asked: int = 0

    async def credential(self, token_hash: str) -> Credential | None:
        self.asked += 1
        return self.kept.get(token_hash)

    async def credential_by_id(self, credential_id: str) -> Credential | None:
        self.asked += 1
        return next((one for one in self.kept.values() if one.id == credential_id), None)

    async def add_credential(self, credential: Credential) -> None:
        self.kept[credential.token_hash] = credential

    async def revoke_credentials(self, person: PersonId) -> int:
        mine = [hashed for hashed, one in self.kept.items() if one.person == person]
        for hashed in mine:
            del self.kept[hashed]
        return len(mine)


@dataclass
class FakeSecrets:
    kept: dict[str, bytes] = field(default_factory=dict)

    async def secret(self, name: str) -> bytes:
        return self.kept.setdefault(name, random.token_bytes(32))


@dataclass
class FakeHealth:
    fault: Exception | None = None

    async def check(self) -> None:
        if self.fault:
            raise self.fault

    async def counts(self) -> Mapping[Status, int]:
        return {}


@dataclass
class FakeService:
    clock: StoppedClock
    fault: Exception | None = None
    refusal: Exception | None = None
    """What `decide` raises, where set."""
    all_tasks: dict[str, Task] = field(default_factory=dict)
    all_reviews: dict[str, ReviewRequest] = field(default_factory=dict)
    reviews_of: dict[str, list[ReviewId]] = field(default_factory=dict)
    history: dict[str, list[StoredEvent]] = field(default_factory=dict)
    changed: dict[str, asyncio.Event] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[Submission, str]] = field(default_factory=dict)
    troubles: list[Delivery] = field(default_factory=list)
    submitted: asyncio.Event = field(default_factory=asyncio.Event)
    slow: bool = False
    """Leave submitted tasks pending."""

    async def submit(self, submission: Submission) -> tuple[Task, bool]:
        self._maybe_fail()
        check(submission)
        key = (submission.submitter, submission.idempotency_key or random.token_hex())
        if key in self.keys:
            first, task_id = self.keys[key]
            if first != submission:
                raise KeyReused("This idempotency key was used with another request.")
            return self.all_tasks[task_id], False
        if submission.flow not in {None, "draft"}:
            raise UnknownFlow("There is no flow of that name.")
        if submission.title == "refuse me":
            raise Invalid("That title is not accepted.")
        task = self._new_task(submission)
        self.keys[key] = (submission, task.id)
        self.submitted.set()
        self._store(task, events.TaskSubmitted(submitter=submission.submitter))
        if not self.slow:
            self.start_attempt(task.id)
        return self.all_tasks[task.id], True

    def _new_task(self, submission: Submission) -> Task:
        person = self.person(submission.submitter)
        return Task(
            id=TaskId(random.token_hex(16)),
            flow=submission.flow or "draft",
            title=submission.title or text_of(submission.input)[:60],
            status=Status.PENDING,
            outcome=None,
            attempt=0,
            review=None,
            input=submission.input,
            draft=None,
            final_result=None,
            error=None,
            submitter=submission.submitter,
            submitter_name=person.name if person else submission.submitter,
            on_behalf_of=submission.on_behalf_of,
            callback_url=submission.callback_url,
            metadata=submission.metadata,
            created_at=self.clock.now(),
            updated_at=self.clock.now(),
        )

    def start_attempt(self, task_id: str, comment: str | None = None) -> None:
        task = self.all_tasks[task_id]
        task = replace(task, status=Status.RUNNING, attempt=task.attempt + 1)
        self._store(task, events.AttemptStarted(attempt=task.attempt))
        draft = text_of(task.input) + (f"\n(after: {comment})" if comment else "")
        review = ReviewId(random.token_hex(16))
        task = replace(task, status=Status.WAITING_FOR_REVIEW, draft=draft, review=review)
        for old in self.reviews_of.setdefault(task_id, []):
            self.all_reviews[old] = replace(self.all_reviews[old], superseded_by=task.attempt)
        self.reviews_of[task_id].append(review)
        self.all_reviews[review] = ReviewRequest(
            id=review,
            task=task,
            attempt=task.attempt,
            node="review",
            policy=POLICY,
            draft=draft,
            outcome=Outcome.OPEN,
            opened_at=self.clock.now(),
            closed_at=None,
            superseded_by=None,
            decisions=(),
        )
        self._store(task, events.ReviewRequested(review=review, attempt=task.attempt, draft=draft))

    def _store(self, task: Task, event: events.Event) -> None:
        self.all_tasks[task.id] = task
        log = self.history.setdefault(task.id, [])
        log.append(StoredEvent(task=task.id, seq=len(log) + 1, at=self.clock.now(), event=event))
        self.changed.pop(task.id, asyncio.Event()).set()

    def tell(self, task_id: str, event: events.Event) -> None:
        self._store(self.all_tasks[task_id], event)

    def _maybe_fail(self) -> None:
        if self.fault:
            raise self.fault

    async def task(self, task_id: str) -> Task:
        self._maybe_fail()
        if task_id not in self.all_tasks:
            raise NotFound("There is no such task.")
        return self.all_tasks[task_id]

    async def tasks(self, wanted: TaskFilter, *, cursor: str | None = None, limit: int = 50) -> TaskPage:
        if cursor is not None and not cursor.isdigit():
            raise Invalid("That cursor is not one of ours.")
        found = [
            task
            for task in reversed(self.all_tasks.values())
            if wanted.status in {None, task.status} and wanted.submitter in {None, task.submitter}
        ]
        start = int(cursor or 0)
        more = str(start + limit) if len(found) > start + limit else None
        return TaskPage(tasks=tuple(found[start : start + limit]), cursor=more)

    async def review(self, review_id: str) -> ReviewRequest:
        if review_id not in self.all_reviews:
            raise NotFound("There is no such review.")
        return self.all_reviews[review_id]

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]:
        return [self.all_reviews[one] for one in self.reviews_of.get(task_id, ())]

    async def waiting_for(self, person: PersonId, *, limit: int = 100) -> Sequence[ReviewRequest]:
        return [one for one in self.all_reviews.values() if one.is_open and person in one.policy.reviewers]

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        return [one for one in self.troubles if one.task == task_id]

    async def decide(
        self,
        review_id: str,
        reviewer: PersonId,
        verdict: Verdict,
        *,
        comment: str | None = None,
        via: str,
        copy: tuple[Recipient, MessageRef] | None = None,
    ) -> ReviewRequest:
        self._maybe_fail()
        check_text(comment, "comment", 10_000)
        if self.refusal:
            raise self.refusal
        review = await self.check_may_decide(review_id, reviewer)
        person = PEOPLE[reviewer]
        decision = Decision(
            reviewer=reviewer,
            reviewer_name=person.name,
            verdict=verdict,
            comment=comment,
            via=via,
            at=self.clock.now(),
        )
        outcome = Outcome.APPROVED if verdict is Verdict.APPROVE else Outcome.REJECTED
        task = replace(self.all_tasks[review.task.id], status=Status.RUNNING, outcome=outcome, review=None)
        closed = replace(
            review, task=task, outcome=outcome, closed_at=self.clock.now(), decisions=(decision,)
        )
        self.all_reviews[review.id] = closed
        self._store(
            task,
            events.DecisionRecorded(
                review=review.id,
                reviewer=reviewer,
                reviewer_name=person.name,
                verdict=verdict,
                comment=comment,
                via=via,
            ),
        )
        self._go_on(task, closed, comment)
        return closed

    def _go_on(self, task: Task, review: ReviewRequest, comment: str | None) -> None:
        if review.outcome is Outcome.REJECTED:
            self._store(task, events.ReviewRejected(review=review.id, attempt=review.attempt))
            self.start_attempt(task.id, comment)
            return
        self._store(task, events.ReviewApproved(review=review.id, attempt=review.attempt))
        self._store(task, events.TaskResumed(attempt=review.attempt))
        done = replace(task, status=Status.COMPLETED, final_result=review.draft)
        self._store(done, events.TaskCompleted(final_result=review.draft, outcome="approved"))

    async def check_may_decide(self, review_id: str, person: PersonId) -> ReviewRequest:
        review = await self.review(review_id)
        if person not in review.policy.reviewers:
            raise NotAReviewer("You are not among this task's reviewers.")
        if not review.is_open:
            raise ReviewIsClosed(f"This was {review.outcome} already.")
        if any(one.reviewer == person for one in review.decisions):
            raise AlreadyDecided("You have decided this already.")
        return review

    async def cancel(self, task_id: str, person: PersonId) -> Task:
        task = await self.task(task_id)
        if task.submitter != person:
            raise Forbidden("Only its submitter may call a task off.")
        if task.status.is_final:
            raise TaskIsClosed(f"The task is {task.status}.")
        task = replace(task, status=Status.CANCELLED, review=None)
        self._store(task, events.TaskCancelled(by=person))
        return task

    async def follow(self, task_id: TaskId, *, after: int = 0) -> AsyncIterator[StoredEvent]:
        await self.task(task_id)
        while True:
            changed = self.changed.setdefault(task_id, asyncio.Event())
            for stored in self.history[task_id][after:]:
                after = stored.seq
                yield stored
            if self.all_tasks[task_id].status.is_final:
                return
            await changed.wait()

    def person(self, person_id: str) -> Person | None:
        return PEOPLE.get(person_id)
