"""What core asks of the world, and the stored things that front ends may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    from core.errors import CountersignError
    from core.events import TaskCompleted
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


class Alarm(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The time, aware and in UTC, and calls at a time."""

    def now(self) -> datetime: ...

    def call_at(self, at: datetime, callback: Callable[[], object]) -> Alarm:
        """Call back on the event loop at `at`, or as soon as possible where that is past."""
        ...


class Sequel(Protocol):
    """Says inside a unit of work what follows from it at once."""

    def __call__(self, position: Position) -> Step | None:
        """The step to be stored with it; None where a runner has to take the task up. Without effects."""
        ...


class Processor(Protocol):
    """Turns a task and the last feedback into a draft."""

    async def __call__(self, shared: Mapping[str, Json]) -> Json:
        """Read the seed's keys (`task_input`, `feedback`, `feedback_comment`, …); return the draft."""
        ...


class Channel(Protocol):
    """A place where people or programs are told. Each method raises one of `errors.DeliveryError`.

    Delivery is at least once: after a crash `post` may come again with the same `delivery.id`.
    """

    @property
    def name(self) -> ChannelName: ...

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        """Show `content` as it is now; `thread` is the task's first message in the same place, if any."""
        ...

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        """Make a sent message show `content` as it is now; doing so twice is harmless."""
        ...

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        """Seconds to leave from now before the next edit, or post, there: the platform's limits."""
        ...


@runtime_checkable
class TakesOver(Protocol):
    """A channel that can tell whether something was posted without being noted."""

    def taken_over(self) -> None:
        """Another replica may have served this channel until now: what is due still may stand there."""
        ...


class Engine(Protocol):
    """Decides where and when stored work runs; holds no truth, and may be asked twice."""

    def run(self, task: TaskId) -> None:
        """Work is stored for this task: run it soon."""
        ...

    def drop(self, task: TaskId) -> None:
        """This task is over: stop what runs of it."""
        ...


class Listener(Protocol):
    """Who is to know of every commit."""

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName], /) -> None:
        """Called on the event loop after each commit, before its answers; must not raise or wait.

        `events` were stored; deliveries of the channels in `due` are to be shown, and where `TIMERS` is
        among them, timers were set.
        """
        ...

    def heard(self, hint: Hint, /) -> None:
        """Called on the event loop when other replicas committed something; must not raise or wait.

        Late, in any order and perhaps not at all: whom it concerns reads the store.
        """
        ...


class Held(Protocol):
    """Something that only one replica does at a time, and this one does it now."""

    @property
    def left(self) -> timedelta:
        """How long this replica may go on for certain; never below zero."""
        ...


class TimeStore(Protocol):
    """The clock that all replicas share."""

    async def time(self) -> tuple[datetime, float, float]:
        """What it said, and between which two moments of `core.clock.seconds`."""
        ...


class LeaseStore(Protocol):
    """Who does what only one does at a time; all durations by the database's clock."""

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        """A token, higher than any before; or how long another holder's lease lasts still.

        What the same holder has it takes anew. A call that was cut off may have taken it all the same.
        """
        ...

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        """False where it has expired."""
        ...

    async def release(self, name: str, holder: str) -> None:
        """Another may take it at once. Idempotent, and harmless where this holder has it not."""
        ...


class Turns(Protocol):
    """Lets one replica at a time do what must not be done twice at once."""

    @property
    def is_alone(self) -> bool:
        """Whether there can be no other replica."""
        ...

    def holding(
        self, name: str, work: Callable[[Held], AbstractAsyncContextManager[object]]
    ) -> AbstractAsyncContextManager[None]:
        """While inside, `work` is entered whenever it is this replica's turn, and left when that is over.

        Entering raises what `work` raises if it is this replica's turn at once.
        """
        ...


class Observer(Protocol):
    """Is told what became of decisions, on the event loop and once it is durable; must not raise or wait."""

    def decided(self, review: ReviewRequest, verdict: Verdict, via: str) -> None:
        """The review as it stands after it."""
        ...

    def refused(self, refusal: CountersignError, via: str) -> None: ...


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
        None where it never was."""
        ...

    async def looked_over(self, policies: Mapping[str, Policy], besides: Collection[str]) -> None:
        """Note that what is open was looked over under these, but for `besides`."""
        ...

    async def mark_stuck(self, reviews: Sequence[str]) -> None:
        """Nobody is left to decide these, or what was decided is enough now: what follows falls due."""
        ...

    async def show_again(self, review_ids: Sequence[str]) -> None:
        """What counts of these changed, where they are open still: so do their cards."""
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


class Store(QuestionStore, DelegationStore, OpenReviewStore, Protocol):
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

    async def task(self, task_id: str) -> Task: ...

    async def tasks(self, wanted: TaskFilter, *, cursor: tuple[int, str] | None, limit: int) -> TaskPage: ...

    async def cancel(self, task_id: str, person: PersonId) -> Task: ...

    async def reviews(self, task_id: str) -> Sequence[ReviewRequest]: ...

    async def waiting_for(
        self, person: PersonId, *, everybody: bool, policies: Mapping[str, Policy] = {}, limit: int
    ) -> Sequence[ReviewRequest]:
        """Open reviews that wait for this person, for themselves or as a delegate, also by the `policies` in
        force now, oldest first."""
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

    async def timers(self, review_id: str) -> Sequence[Timer]:
        """What is still to happen to a review, next first."""
        ...

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

    async def adopt_copy(self, review_id: str, copy: tuple[Recipient, MessageRef]) -> None:
        """Show what has become of the review on this message of ours, too, which no delivery knows."""
        ...


class StepStore(Protocol):
    """The part of the store that a segment needs."""

    async def step(self, step: Step) -> int: ...
    async def last_approved(self, task_id: str) -> Json: ...


class FlowStore(StepStore, Protocol):
    """The part of the store that a runner needs."""

    async def position(self, task_id: str) -> Position | None: ...
    async def fail(self, task_id: str, error: str) -> None: ...


class Others(Protocol):
    """The other replicas, which may know more: a release, or a flow, comes to one after the other."""

    async def leave(self, task: TaskId) -> bool:
        """Leave to them a task that cannot be run here; False where they know no more than this one."""
        ...


class Runner(Protocol):
    """Runs one segment; when to come back, where it is to be tried again later."""

    async def run(self, task_id: TaskId) -> datetime | None: ...


class TimerStore(Protocol):
    """The part of the store that tells what falls due, and lets it happen."""

    async def due_timers(self, limit: int) -> Sequence[Timer]: ...
    async def next_timer(self) -> datetime | None: ...

    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        """Let it happen, once; False where it has happened, or its review is closed."""
        ...


class SegmentStore(Protocol):
    """The part of the store that tells what is to be run here."""

    async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]: ...
    async def fail(self, task_id: str, error: str) -> None: ...


class WorkStore(SegmentStore, Protocol):
    """The same for an engine that has the database to itself."""

    async def recover(self) -> Sequence[str]: ...
    async def put_back(self, task_ids: Sequence[str]) -> None: ...
    async def forget_old(self) -> None: ...


class SharedWorkStore(SegmentStore, Protocol):
    """The same for one engine of several on one database."""

    @property
    def replica(self) -> str:
        """The id of this one."""
        ...

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        """Ask that, in any thread, before this replica is made the holder of work that is stored."""
        ...

    def is_left_to_a_job(self, task: TaskId) -> bool:
        """Whether the commit that listeners are being told of gave the work that it stored to a job."""
        ...

    async def enlist(self, worker: int) -> None:
        """Make known which worker's heartbeat is this replica's."""
        ...

    async def beaten(self, worker: int) -> bool:
        """The worker's heartbeat was stored; whether others know it as this replica's still."""
        ...

    async def may_judge(self) -> bool:
        """Whether this replica has been answered for long enough to tell that another is dead."""
        ...

    async def take(self, task: TaskId) -> bool:
        """Become the holder of a task with stored work, unless another that lives is; whether this one is."""
        ...

    async def uncovered(self) -> Sequence[tuple[TaskId, int]]:
        """Tasks with stored work, and their versions, that neither a job nor a holder that lives covers.

        Those of holders that seem dead only where this replica `may_judge`.
        """
        ...

    async def bury(self) -> None:
        """Forget the replicas that have not lived for a while."""
        ...

    async def retire(self) -> None:
        """This replica ends in good order: leave what it holds to jobs, and forget it."""
        ...

    async def forget_old(self) -> None: ...


class DeliveryStore(Protocol):
    """The part of the store that keeps deliveries."""

    async def due_deliveries(self, channel: ChannelName) -> Sequence[Delivery]: ...
    async def next_due_delivery(self, channel: ChannelName, *, after: datetime) -> datetime | None: ...
    async def delivery_content(
        self, wanted: Delivery
    ) -> tuple[ReviewRequest | Notice, MessageRef | None]: ...
    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None: ...
    async def delivery_failed(self, wanted: Delivery, error: str, due_at: datetime) -> None: ...
    async def delivery_postponed(self, wanted: Delivery, due_at: datetime) -> None: ...

    async def delivery_given_up(self, wanted: Delivery, error: str) -> None:
        """It will not be tried again; a card of an open review goes to the policy's fallback instead."""
        ...

    async def delivery_moved(self, wanted: Delivery, address: str) -> None:
        """It is to be posted there."""
        ...

    async def moved_places(self, channel: ChannelName) -> Mapping[str, str]:
        """Old addresses, and the ones in their place."""
        ...

    async def place_moved(self, place: Recipient, address: str) -> None:
        """The same for everything that is still to be shown at this place. Idempotent."""
        ...

    async def retry_failed(self, channel: ChannelName) -> None: ...


class EventStore(Protocol):
    """The part of the store that is replayed."""

    async def events(self, task_id: str, after: int) -> Sequence[StoredEvent]: ...
    async def task(self, task_id: str) -> Task: ...

    async def last_numbers(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, int]:
        """Of at most a hundred tasks the number of their last event."""
        ...


class ChatInbox(Protocol):
    """Updates of a chat platform, stored before the platform is told that we have them."""

    async def keep_update(self, update: ChatUpdate) -> bool:
        """Store it; False where this id of this channel is stored already. Durable on return."""
        ...

    async def unhandled_updates(self, channel: ChannelName) -> Sequence[ChatUpdate]:
        """What was kept and not yet handled, in the order of arrival."""
        ...

    async def update_handled(self, channel: ChannelName, update_id: str) -> None:
        """Never hand it out again, and forget its body; its id is remembered for a month."""
        ...

    async def place_moved(self, place: Recipient, address: str) -> None:
        """What is still to be shown at this place is shown at that address, now and later. Idempotent."""
        ...

    async def heard(self, channel: ChannelName, *, kept: timedelta) -> int:
        """Note that the platform's presses reach us now.

        The platform keeps them for so long: after a longer silence some may be lost, and every open review
        gets new cards there, once. How many.
        """
        ...


class Dialogs(Protocol):
    """Questions put to people in chat, kept over restarts."""

    async def open_dialog(self, dialog: Dialog) -> None: ...

    async def dialog(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        """The dialog whose prompt is `message`; None where there is none, or it is closed or expired."""
        ...

    async def asked_in_vain(self, channel: ChannelName, message: MessageRef) -> PersonId | None:
        """Whom that prompt asked, where it expired within the last day."""
        ...

    async def close_dialog(self, channel: ChannelName, message: MessageRef) -> None:
        """Idempotent."""
        ...


class Credentials(Protocol):
    """Personal tokens, stored as hashes."""

    async def credential(self, token_hash: str) -> Credential | None:
        """The credential with this hash; None where there is none, or it is revoked."""
        ...

    async def credential_by_id(self, credential_id: str) -> Credential | None:
        """The same by its id, for sessions."""
        ...

    async def add_credential(self, credential: Credential) -> None: ...

    async def revoke_credentials(self, person: PersonId) -> int:
        """Revoke all of a person's; how many there were."""
        ...


class Secrets(Protocol):
    """Random keys that the database keeps for us."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes, made at the first call for `name` and the same ever after."""
        ...


class Health(Protocol):
    """For readiness probes."""

    async def check(self) -> None:
        """Raise `Unavailable` where the store cannot write now; changes nothing."""
        ...

    async def warnings(self) -> Sequence[str]:
        """What somebody should look at, although work can be taken."""
        ...

    async def counts(self) -> Mapping[Status, int]:
        """How many tasks stand where."""
        ...
