"""What the service asks of the store: tasks, reviews, questions, delegations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from core.ports.backups import BackupStore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from core.errors import CountersignError
    from core.events import TaskCompleted
    from core.model import (
        ChannelName,
        Delegation,
        Delivery,
        Earlier,
        Fork,
        Json,
        MessageRef,
        NewDecision,
        NewQuestion,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Question,
        Recipient,
        ReviewId,
        ReviewRequest,
        StoredCheckpoint,
        Story,
        Submission,
        Task,
        TaskFilter,
        TaskId,
        TaskPage,
        Timer,
    )
    from core.ports.engines import Sequel


class DelegationStore(Protocol):
    """What `delegations` needs of the store."""

    async def delegate(self, new: Delegation) -> None:
        """In place of what the person had said before."""
        ...

    async def revoke_delegation(self, person: PersonId) -> bool:
        """Whether there was one. Idempotent."""
        ...

    async def delegations(self) -> Sequence[Delegation]:
        """All that are in force now."""
        ...


class OpenReviewStore(Protocol):
    """What `reconsidering` needs of the store."""

    async def open_reviews(
        self, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ReviewRequest]:
        """A page of them, oldest first; `after` is when the last page's last one opened, and its id."""
        ...

    async def policies_changed(
        self, policies: Mapping[str, Policy], besides: Collection[str]
    ) -> frozenset[str] | None:
        """Names of those that are not what they were when `looked_over` was last called, but for `besides`;
        None where it never was. What this process was about to write before is there afterwards."""
        ...

    async def policies_seem_changed(self, policies: Mapping[str, Policy], besides: Collection[str]) -> bool:
        """Whether `policies_changed` has more to say than that nothing did, by what is stored: no more than a
        read."""
        ...

    async def looked_over(
        self, policies: Mapping[str, Policy], besides: Collection[str], again: Collection[str] = ()
    ) -> None:
        """Note that what is open was looked over under these, but for `besides`; `again` has changed for the
        next look in any case."""
        ...

    async def last_looked_over(self) -> Mapping[str, str]:
        """The hash of each policy under which what is open was last looked over; empty of those that are to
        be looked over in any case."""
        ...

    async def mark_stuck(self, reviews: Sequence[str]) -> None:
        """Nobody is left to decide these, or what was decided is enough now: what follows falls due."""
        ...

    async def show_again(self, review_ids: Sequence[str]) -> None:
        """What counts of these changed, where they are open still: so do their cards."""
        ...

    async def show_calls(self, review_ids: Sequence[str]) -> None:
        """As `show_again`, when nobody waits for it."""
        ...

    async def admit(self, members: Mapping[str, Sequence[PersonId]]) -> int:
        """Let the `members` of groups from outside decide on open reviews, too; on how many more."""
        ...


class QuestionStore(Protocol):
    """What `questions` needs of the store; refusals are raised, since they write nothing."""

    async def ask(
        self, which: str | OpenReview, new: NewQuestion, *, policies: Mapping[str, Policy]
    ) -> Question:
        """Store a question and tell it in the review's threads; one that is known is not asked again."""
        ...

    async def answer(
        self, question_id: str, person: Person, text: str, *, via: str, is_admin: bool
    ) -> Question:
        """Store the answer and tell it in the threads; the same again changes nothing."""
        ...

    async def question(self, question_id: str) -> Question:
        """Raises `NotFound`."""
        ...

    async def question_at(self, channel: ChannelName, message: MessageRef) -> Question | None:
        """The question that a message of ours tells."""
        ...

    async def questions(self, task_id: str) -> Sequence[Question]:
        """All of a task, oldest first."""
        ...

    async def unanswered(self, submitter: PersonId, *, limit: int) -> Sequence[Question]:
        """Those about open reviews of this submitter's tasks, oldest first."""
        ...

    async def review(self, review_id: str) -> ReviewRequest: ...

    async def delegations(self) -> Sequence[Delegation]:
        """All that are in force now."""
        ...


class LookingStore(Protocol):
    """What `looking` needs of the store."""

    async def claim(
        self, which: str | OpenReview, person: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        """Show for a while that this person is looking; a refusal comes back beside the review."""
        ...

    async def release(self, review_id: str, person: Person) -> ReviewRequest:
        """The person looks no more. Idempotent."""
        ...

    async def snooze(
        self,
        which: str | OpenReview,
        person: Person,
        until: datetime,
        *,
        via: str,
        policies: Mapping[str, Policy] = {},
    ) -> tuple[ReviewRequest, CountersignError | None]:
        """Remind this person then, and not before; a refusal comes back beside the review."""
        ...

    async def wake(self, review_id: str, person: Person, *, via: str) -> ReviewRequest:
        """Remind this person when everybody is. Idempotent."""
        ...


class CheckpointStore(Protocol):
    """What `checkpoints` needs of the store."""

    async def task(self, task_id: str) -> Task: ...

    async def checkpoints(
        self, task_id: str, *, before: int | None, limit: int
    ) -> Sequence[StoredCheckpoint]: ...

    async def checkpoint(self, task_id: str, number: int) -> StoredCheckpoint: ...

    async def rewind(
        self,
        task_id: str,
        *,
        number: int,
        edits: Mapping[str, Json],
        node: str | None,
        by: Person,
        key: str | None = None,
    ) -> Task:
        """Go on from a checkpoint; what came after it is superseded. With a `key` only the first time."""
        ...

    async def fork(
        self,
        task_id: str,
        *,
        number: int,
        edits: Mapping[str, Json],
        node: str | None,
        by: Person,
        child: TaskId,
        key: str | None = None,
    ) -> Task:
        """A new task that goes on from a checkpoint of this one."""
        ...

    async def forks(self, task_id: str) -> Sequence[Fork]: ...


class Store(
    QuestionStore, DelegationStore, OpenReviewStore, LookingStore, CheckpointStore, BackupStore, Protocol
):
    """What `service` needs of the store: each call one unit of work, durable on return."""

    async def create(
        self,
        task_id: TaskId,
        submission: Submission,
        *,
        title: str,
        name: str,
        sequel: Sequel | None = None,
    ) -> tuple[Task, bool]:
        """Store a pending task and what follows at once, or find the one of the same idempotency key."""
        ...

    async def tasks(self, wanted: TaskFilter, *, cursor: tuple[int, str] | None, limit: int) -> TaskPage: ...

    async def cancel(self, task_id: str, person: PersonId, *, admin_name: str | None = None) -> Task:
        """`admin_name`: what an administrator is called, who may cancel what others submitted."""
        ...

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]: ...

    async def waiting_for(
        self, person: PersonId, *, everybody: bool, policies: Mapping[str, Policy] = {}, limit: int
    ) -> Sequence[ReviewRequest]:
        """Open reviews that wait for this person, for themselves or as a delegate, also by the `policies` in
        force now, oldest first."""
        ...

    async def earlier(self, of: Sequence[ReviewId]) -> Mapping[ReviewId, Earlier]:
        """What was put before reviewers in their places before; nothing of those before which there was
        none."""
        ...

    async def answered_by(self, person: PersonId, *, limit: int) -> Sequence[ReviewRequest]:
        """Open reviews on which this person decided, or a delegate in their place, oldest first."""
        ...

    async def shown_at(self, channel: ChannelName, message: MessageRef) -> ReviewRequest | None:
        """The review whose card that message is, or the newest of the task that it tells of."""
        ...

    async def story(self, task_id: str) -> Story: ...

    async def deliveries(self, task_id: str) -> Sequence[Delivery]: ...

    async def decide(
        self,
        which: str | OpenReview,
        new: NewDecision,
        *,
        policies: Mapping[str, Policy] = {},
        people: Mapping[PersonId, Person] = {},
        sequel: Sequel | None = None,
    ) -> tuple[ReviewRequest, CountersignError | None, TaskCompleted | None]:
        """Judge and record, and what follows at once; a refusal comes back beside the review, unless none is
        open that is meant, and the task's end, where that followed.

        The person has to be a reviewer by the review's own policy, and by that of its name in `policies`.
        """
        ...

    async def withdraw(
        self, which: str | OpenReview, reviewer: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        """Take one's own answer back; a refusal comes back beside the review."""
        ...

    async def timers(self, review_id: str) -> Sequence[Timer]:
        """What is still to happen to a review, next first."""
        ...

    async def adopt_copy(self, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
        """Show what has become of the review on this message of ours, too, which no delivery knows."""
        ...
