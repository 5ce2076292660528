"""The Store: every unit of work by name, run by one writer lane and one reader lane."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog

from core.errors import Overloaded, StoreUnavailable
from core.model import Replica
from core.store import (
    admitting,
    census,
    chats,
    checkpoints,
    content,
    credentials,
    deciding,
    delegations,
    deliveries,
    firing,
    history,
    looked_over,
    looking,
    places,
    questions,
    queues,
    receipts,
    recovery,
    replicas,
    resuming,
    reviews,
    steps,
    submissions,
    tasks,
    timers,
)
from core.store.commits import Commits
from core.store.lane import Lane
from core.store.placing import Placing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime, timedelta
    from types import TracebackType

    from core.errors import CountersignError
    from core.events import TaskCompleted
    from core.measures import Census, Distribution
    from core.model import (
        ChannelName,
        ChatUpdate,
        Credential,
        Delegation,
        Delivery,
        Dialog,
        Fork,
        Hint,
        Json,
        MessageRef,
        NewQuestion,
        Notice,
        OpenReview,
        Person,
        PersonId,
        Policy,
        Position,
        Question,
        Recipient,
        ReviewRequest,
        Status,
        Step,
        StoredCheckpoint,
        StoredEvent,
        Story,
        Submission,
        Task,
        TaskFilter,
        TaskId,
        TaskPage,
        Timer,
        Verdict,
    )
    from core.ports import Clock, Listener, Sequel
    from core.store.database import Database

log = structlog.get_logger()

SUBMISSIONS_WAITING = 1_000
"""Submissions are refused while so many units wait for the writer, long before decisions are: each may
hold a megabyte, and a reviewer's answer is worth more than the next task."""


UNCOVERED = 1_000
"""Tasks that one sweep leaves to jobs; the next comes in seconds."""


class SqlStore:
    """`async with` it. Each method is one unit of work: all or nothing, durable on return.

    All raise `StoreUnavailable` while the database cannot take or give data, and recover by themselves.
    """

    def __init__(self, database: Database, clock: Clock, *, replica: str | None = None) -> None:
        """`replica` is the id of this process among several on one PostgreSQL database."""
        self._placing = None if replica is None else Placing(replica)
        self._known_as: Replica | None = None
        self._watch = replicas.Watch()
        self._commits = Commits()
        self._write = Lane(database, clock, writes=True, committed=self._commits.tell, placing=self._placing)
        self._read = Lane(database, clock, writes=False, committed=self._commits.tell)

    async def __aenter__(self) -> Self:
        self._write.start()
        try:
            self._read.start()
        except StoreUnavailable:
            await self._write.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._write.stop()
        await self._read.stop()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every commit, on the event loop and before the answers; undone by the result."""
        return self._commits.listen(listener)

    def overheard(self, hint: Hint) -> None:
        """Tell the listeners what other replicas did."""
        self._commits.overhear(hint)

    # Tasks

    async def create(
        self,
        task_id: TaskId,
        submission: Submission,
        *,
        title: str,
        name: str,
        sequel: Sequel | None = None,
    ) -> tuple[Task, bool]:
        if self._write.waiting >= SUBMISSIONS_WAITING:
            raise Overloaded("Too many tasks are being submitted at once; try again.")
        return await self._write.run(
            partial(
                submissions.create, task_id=task_id, new=submission, title=title, name=name, sequel=sequel
            )
        )

    async def task(self, task_id: str) -> Task:
        return await self._read.run(partial(tasks.one, task_id=task_id))

    async def tasks(self, wanted: TaskFilter, *, cursor: tuple[int, str] | None, limit: int) -> TaskPage:
        return await self._read.run(partial(tasks.page, wanted=wanted, cursor=cursor, limit=limit))

    async def cancel(self, task_id: str, person: PersonId) -> Task:
        return await self._write.run(partial(steps.cancel, task_id=task_id, person=person))

    async def events(self, task_id: str, after: int) -> Sequence[StoredEvent]:
        return await self._read.run(partial(history.events_after, task=task_id, after=after))

    async def last_numbers(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, int]:
        return await self._read.run(partial(history.last_numbers, tasks=task_ids))

    async def story(self, task_id: str) -> Story:
        return await self._read.run(partial(history.story, task=task_id))

    # Running

    async def position(self, task_id: str) -> Position | None:
        """Where a runner takes the task up; None where no work is stored for it, or another replica holds it.

        Just after a submission or decision it is known without a read. Should another server have moved
        the task on since, the runner's first step is refused, as any overtaken one.
        """
        known = self._commits.positions.pop(task_id, None)
        if known is not None:
            return known
        replica = None if self._placing is None else self._placing.replica
        return await self._read.run(partial(tasks.position, task_id=task_id, replica=replica))

    async def step(self, step: Step) -> int:
        """The task's new version. Raises `StaleRun` where something else moved it on."""
        self._commits.positions.pop(step.task, None)
        return await self._write.run(partial(steps.store_step, step=step))

    async def fail(self, task_id: str, error: str) -> None:
        """End a task that cannot be run; one that has ended stays as it is."""
        await self._write.run(partial(steps.fail, task_id=task_id, error=error))

    async def last_approved(self, task_id: str) -> Json:
        """What the task's last approved review approved; None where there is none."""
        return await self._read.run(partial(reviews.last_approved, task_id=task_id))

    async def recover(self) -> Sequence[str]:
        """Once at start: count the nodes found begun, and fail the tasks of those found so three times."""
        return await self._write.run(recovery.recover)

    async def put_back(self, task_ids: Sequence[str]) -> None:
        """Once at a stop in good order: `recover` is not to count the nodes of these tasks."""
        await self._write.run(partial(recovery.put_back, task_ids=task_ids))

    async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]:
        """Every task with stored work that is to be run here, oldest first, and when (None: now)."""
        if self._placing is not None:
            return await self._read.run(partial(replicas.held, me=self._placing.replica))
        return await self._read.run(tasks.runnable)

    # Replicas

    @property
    def replica(self) -> str:
        """The id of this one. Raises `RuntimeError` where the store was opened for the only one."""
        return self._place.replica

    @property
    def _place(self) -> Placing:
        if self._placing is None:
            raise RuntimeError("This store belongs to no replica.")
        return self._placing

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        """Ask that, in any thread, before this replica is made the holder of work that is stored."""
        self._place.has_room = has_room

    def is_left_to_a_job(self, task: TaskId) -> bool:
        """Of the commit that listeners are being told of."""
        return task in self._commits.left

    def describe(self, *, name: str, release: str, configuration: str) -> None:
        """What the others are to be told of this one, when it is enlisted."""
        self._known_as = Replica(id=self.replica, name=name, release=release, configuration=configuration)

    async def enlist(self, worker: int) -> None:
        """Make known which Procrastinate worker's heartbeat is this replica's."""
        known_as = self._known_as or Replica(id=self.replica, name="", release="", configuration="")
        self._watch.begin(await self._write.run(partial(replicas.enlist, me=known_as, worker=worker)))

    async def reconfigure(self, configuration: str) -> None:
        if self._known_as is not None:
            self._known_as = replace(self._known_as, configuration=configuration)
        await self._write.run(partial(replicas.reconfigure, me=self.replica, configuration=configuration))

    async def others(self) -> Sequence[Replica]:
        """The replicas that live but this one."""
        return await self._read.run(partial(replicas.others, me=self.replica))

    async def time(self) -> tuple[datetime, float, float]:
        return await self._read.run(replicas.time)

    async def beaten(self, worker: int) -> bool:
        """This replica's heartbeat was stored; whether others know it as that."""
        at = await self._read.run(partial(replicas.last_beat, me=self.replica, worker=worker))
        if at is not None:
            self._watch.go_on(at)
        return at is not None

    async def may_judge(self) -> bool:
        return await self._read.run(
            partial(replicas.may_judge, me=self.replica, since=self._watch.since, last=self._watch.last)
        )

    async def take(self, task: TaskId) -> bool:
        """Become the holder of a task with stored work, unless another that lives is; whether this one is."""
        return await self._write.run(
            partial(
                replicas.take, me=self.replica, task_id=task, since=self._watch.since, last=self._watch.last
            )
        )

    async def uncovered(self) -> Sequence[tuple[TaskId, int]]:
        return await self._read.run(
            partial(
                replicas.uncovered,
                me=self.replica,
                since=self._watch.since,
                last=self._watch.last,
                limit=UNCOVERED,
            )
        )

    async def leave(self, task: TaskId) -> None:
        """Hold the task no more; a sweep finds it."""
        await self._write.run(partial(replicas.leave, me=self.replica, task_id=task))

    async def bury(self) -> None:
        await self._write.run(replicas.bury)

    async def retire(self) -> None:
        """Leave what this replica holds to jobs, and forget it."""
        await self._write.run(partial(replicas.retire, me=self.replica))

    # Reviews

    async def decide(
        self,
        which: str | OpenReview,
        reviewer: Person,
        verdict: Verdict,
        *,
        comment: str | None,
        content: Json = None,
        via: str,
        copy: tuple[Recipient, MessageRef] | None,
        policies: Mapping[str, Policy] = {},
        people: Mapping[PersonId, Person] = {},
        sequel: Sequel | None = None,
    ) -> tuple[ReviewRequest, CountersignError | None, TaskCompleted | None]:
        return await self._write.run(
            partial(
                deciding.decide,
                which=which,
                reviewer=reviewer,
                verdict=verdict,
                comment=comment,
                content=content,
                via=via,
                copy=copy,
                policies=policies,
                people=people,
                sequel=sequel,
            ),
            urgent=True,
        )

    async def adopt_copy(self, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
        await self._write.run(partial(deciding.adopt, review_id=review_id, copy=copy))

    async def review(self, review_id: str) -> ReviewRequest:
        return await self._read.run(partial(reviews.one, review_id=review_id))

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.of_task, task_id=task_id))

    async def waiting_for(
        self, person: PersonId, *, everybody: bool, policies: Mapping[str, Policy] = {}, limit: int
    ) -> Sequence[ReviewRequest]:
        return await self._read.run(
            partial(reviews.waiting_for, person=person, everybody=everybody, policies=policies, limit=limit)
        )

    async def answered_by(self, person: PersonId, *, limit: int) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.answered_by, person=person, limit=limit))

    async def shown_at(self, channel: ChannelName, message: MessageRef) -> ReviewRequest | None:
        return await self._read.run(partial(reviews.shown_at, channel=channel, message=message))

    async def withdraw(
        self, which: str | OpenReview, reviewer: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(deciding.withdraw, which=which, reviewer=reviewer, via=via, policies=policies)
        )

    async def claim(
        self, which: str | OpenReview, person: Person, *, via: str, policies: Mapping[str, Policy] = {}
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(looking.claim, which=which, person=person, via=via, policies=policies)
        )

    async def release(self, review_id: str, person: Person) -> ReviewRequest:
        return await self._write.run(partial(looking.release, review_id=review_id, person=person))

    async def snooze(
        self,
        which: str | OpenReview,
        person: Person,
        until: datetime,
        *,
        via: str,
        policies: Mapping[str, Policy] = {},
    ) -> tuple[ReviewRequest, CountersignError | None]:
        return await self._write.run(
            partial(looking.snooze, which=which, person=person, until=until, via=via, policies=policies)
        )

    async def wake(self, review_id: str, person: Person, *, via: str) -> ReviewRequest:
        return await self._write.run(partial(looking.wake, review_id=review_id, person=person, via=via))

    async def ask(
        self, which: str | OpenReview, new: NewQuestion, *, policies: Mapping[str, Policy]
    ) -> Question:
        return await self._write.run(partial(questions.ask, which=which, new=new, policies=policies))

    async def answer(
        self, question_id: str, person: Person, text: str, *, via: str, is_admin: bool
    ) -> Question:
        return await self._write.run(
            partial(
                questions.answer,
                question_id=question_id,
                person=person,
                text=text,
                via=via,
                is_admin=is_admin,
            )
        )

    async def question(self, question_id: str) -> Question:
        return await self._read.run(partial(questions.one, question_id=question_id))

    async def question_at(self, channel: ChannelName, message: MessageRef) -> Question | None:
        return await self._read.run(partial(questions.at_message, channel=channel, message=message))

    async def questions(self, task_id: str) -> Sequence[Question]:
        return await self._read.run(partial(questions.of_task, task_id=task_id))

    async def unanswered(self, submitter: PersonId, *, limit: int) -> Sequence[Question]:
        return await self._read.run(partial(questions.unanswered, submitter=submitter, limit=limit))

    async def open_reviews(
        self, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ReviewRequest]:
        return await self._read.run(partial(reviews.open_page, after=after, limit=limit))

    async def policies_changed(
        self, policies: Mapping[str, Policy], besides: Collection[str]
    ) -> frozenset[str] | None:
        return await self._read.run(partial(looked_over.changed, policies=policies, besides=besides))

    async def looked_over(self, policies: Mapping[str, Policy], besides: Collection[str]) -> None:
        await self._write.run(partial(looked_over.note, policies=policies, besides=besides))

    async def mark_stuck(self, reviews: Sequence[str]) -> None:
        await self._write.run(partial(timers.mark_stuck, reviews=reviews))

    async def show_again(self, review_ids: Sequence[str]) -> None:
        await self._write.run(partial(reviews.show_again, ids=review_ids))

    async def admit(self, members: Mapping[str, Sequence[PersonId]]) -> int:
        return await self._write.run(partial(admitting.admit, members=members))

    # Delegations

    async def delegate(self, new: Delegation) -> None:
        await self._write.run(partial(delegations.add, new=new))

    async def revoke_delegation(self, person: PersonId) -> bool:
        return await self._write.run(partial(delegations.revoke, person=person))

    async def delegations(self) -> Sequence[Delegation]:
        return await self._read.run(delegations.standing)

    # Timers

    async def due_timers(self, limit: int) -> Sequence[Timer]:
        return await self._read.run(partial(timers.due, limit=limit))

    async def next_timer(self) -> datetime | None:
        return await self._read.run(timers.next_due)

    async def timers(self, review_id: str) -> Sequence[Timer]:
        return await self._read.run(partial(timers.of_review, review=review_id))

    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        return await self._write.run(partial(firing.fire, timer=timer, policies=policies, people=people))

    # Checkpoints

    async def checkpoints(
        self, task_id: str, *, before: int | None, limit: int
    ) -> Sequence[StoredCheckpoint]:
        """The newest below `before`, oldest first, down to 0, the task as submitted. Raises `NotFound`."""
        return await self._read.run(
            lambda tx: checkpoints.of_task(tx, tasks.one(tx, task_id), before=before, limit=limit)
        )

    async def checkpoint(self, task_id: str, number: int) -> StoredCheckpoint:
        return await self._read.run(lambda tx: checkpoints.one(tx, tasks.one(tx, task_id), number))

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
        return await self._write.run(
            partial(resuming.rewind, task_id=task_id, number=number, edits=edits, node=node, by=by, key=key)
        )

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
        return await self._write.run(
            partial(
                resuming.fork,
                task_id=task_id,
                number=number,
                edits=edits,
                node=node,
                by=by,
                child=child,
                key=key,
            )
        )

    async def forks(self, task_id: str) -> Sequence[Fork]:
        """The newest of those made of this task, oldest first."""
        return await self._read.run(partial(resuming.forks, task_id=task_id))

    # Deliveries

    async def deliveries(self, task_id: str) -> Sequence[Delivery]:
        return await self._read.run(partial(deliveries.of_task, task=task_id))

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]:
        return await self._read.run(partial(queues.due, channel=channel))

    async def next_due_delivery(self, channel: ChannelName, *, after: datetime) -> datetime | None:
        """When the first delivery falls due that was not due at `after`."""
        return await self._read.run(partial(queues.next_due, channel=channel, after=after))

    async def delivery_content(self, wanted: Delivery) -> tuple[ReviewRequest | Notice, MessageRef | None]:
        """What a delivery shows as it is now, and the message whose thread it belongs to."""
        return await self._read.run(partial(content.of_delivery, wanted=wanted))

    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None:
        await self._write.run(partial(receipts.shown, wanted=wanted, message=message))

    async def delivery_failed(self, wanted: Delivery, error: str, due_at: datetime) -> None:
        await self._write.run(partial(receipts.failed, wanted=wanted, error=error, due_at=due_at))

    async def delivery_postponed(self, wanted: Delivery, due_at: datetime) -> None:
        await self._write.run(partial(receipts.postponed, wanted=wanted, due_at=due_at))

    async def retry_failed(self, channel: ChannelName) -> None:
        """Once at the start of a channel: do not wait out the pauses of before."""
        await self._write.run(partial(queues.retry_failed, channel=channel))

    async def delivery_given_up(self, wanted: Delivery, error: str) -> None:
        await self._write.run(partial(receipts.given_up, wanted=wanted, error=error))

    async def delivery_moved(self, wanted: Delivery, address: str) -> None:
        await self._write.run(partial(places.delivery_moved, wanted=wanted, address=address))

    async def moved_places(self, channel: ChannelName) -> Mapping[str, str]:
        return await self._read.run(partial(places.moved_places, channel=channel))

    async def place_moved(self, place: Recipient, address: str) -> None:
        await self._write.run(partial(places.place_moved, place=place, address=address))

    async def heard(self, channel: ChannelName, *, kept: timedelta) -> int:
        return await self._write.run(partial(places.note_heard, channel=channel, kept=kept))

    # Chats

    async def keep_update(self, update: ChatUpdate) -> bool:
        return await self._write.run(partial(chats.keep_update, received=update))

    async def unhandled_updates(
        self, channel: ChannelName, *, after: ChatUpdate | None = None, limit: int = 100
    ) -> Sequence[ChatUpdate]:
        return await self._read.run(
            partial(chats.unhandled_updates, channel=channel, after=after, limit=limit)
        )

    async def update_handled(self, channel: ChannelName, update_id: str) -> None:
        await self._write.run(partial(chats.update_handled, channel=channel, update_id=update_id))

    async def open_dialog(self, dialog: Dialog) -> None:
        await self._write.run(partial(chats.open_dialog, opened=dialog))

    async def dialog(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        return await self._read.run(partial(chats.find_dialog, channel=channel, message=message))

    async def asked_in_vain(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        return await self._read.run(partial(chats.asked_in_vain, channel=channel, message=message))

    async def close_dialog(self, channel: ChannelName, message: MessageRef) -> None:
        await self._write.run(partial(chats.close_dialog, channel=channel, message=message))

    async def forget_old(self) -> None:
        """Drop what is kept for a while only: expired dialogs, ids of old chat updates."""
        await self._write.run(chats.forget_old)

    # Credentials, secrets, health

    async def credential(self, token_hash: str) -> Credential | None:
        return await self._read.run(partial(credentials.by_hash, token_hash=token_hash))

    async def credential_by_id(self, credential_id: str) -> Credential | None:
        return await self._read.run(partial(credentials.by_id, credential_id=credential_id))

    async def add_credential(self, credential: Credential) -> None:
        await self._write.run(partial(credentials.add, new=credential))

    async def revoke_credentials(self, person: PersonId) -> int:
        return await self._write.run(partial(credentials.revoke, person=person))

    async def secret(self, name: str) -> bytes:
        return await self._write.run(partial(credentials.secret, name=name))

    async def check(self) -> None:
        """Raise `StoreUnavailable` where the database does not take changes now."""
        if self._write.failing:
            await self._write.run(credentials.write_something)
        else:
            await self._write.run(credentials.write_nothing)

    async def warnings(self) -> Sequence[str]:
        """Of a process that has the database to itself."""
        return ()

    async def counts(self) -> Mapping[Status, int]:
        return await self._read.run(tasks.counts)

    # Observing

    async def census(self, channels: Collection[ChannelName]) -> Census:
        """What is unfinished, and what these channels have still to show."""
        return await self._read.run(partial(census.census, channels=channels))

    @property
    def attempts(self) -> Distribution:
        """Of tasks that this process brought to their end."""
        return self._write.attempts

    @property
    def lanes(self) -> Mapping[str, Lane]:
        return {"write": self._write, "read": self._read}
