"""The words of the workflow as values. All times are aware and in UTC."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, TypeAlias
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from core.events import Event

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

TaskId = NewType("TaskId", str)
"""128 random bits as 32 hexadecimal digits; so are the ids that follow."""
ReviewId = NewType("ReviewId", str)
DeliveryId = NewType("DeliveryId", str)
QuestionId = NewType("QuestionId", str)
PersonId = NewType("PersonId", str)
"""A person's key in the configuration file (`[people.ana]`), or `LOCAL` in open mode."""
ChannelName = NewType("ChannelName", str)
"""`slack`, `telegram` or `webhook`."""
MessageRef = NewType("MessageRef", str)
"""Where a sent message stands, in its channel's own notation; opaque to everybody else."""

TIMERS = ChannelName("timers")
"""Among the channels that a commit made something due for: open reviews have timers that they had not."""
LEASES = ChannelName("leases")
"""Likewise: somebody gave up what only one replica does at a time, and another may begin."""
LOCAL = PersonId("local")
"""The built-in person of `COUNTERSIGN_AUTH=open`."""
TRACEPARENT = "traceparent"
"""The header of W3C Trace Context; and the name in a task's metadata under which its trace goes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What other replicas did, as far as it is known: a reason to look at what is stored, never the truth."""

    tasks: frozenset[TaskId] = frozenset()
    """Those that moved."""
    cancelled: frozenset[TaskId] = frozenset()
    """Those of them that nobody is to run any more."""
    due: frozenset[ChannelName] = frozenset()
    """As `Listener.committed` has it."""
    groups: frozenset[str] = frozenset()
    """Groups of people that changed where they are kept, as their platform calls them."""
    is_whole: bool = True
    """False where hints were lost: anything may have moved, and anything may be due."""


class Status(StrEnum):
    """Where a task stands. The words are a public contract."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_FOR_REVIEW = "waiting_for_review"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Verdict(StrEnum):
    """One reviewer's word."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"
    """The reviewer's own text in place of the draft."""


class Outcome(StrEnum):
    """What the policy makes of all decisions on one review."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """Closed undecided, because its task was cancelled or taken back; never a task's `outcome`."""
    EDITED = "edited"
    """Closed by an edit that others have yet to approve, in the next attempt; never a task's `outcome`."""


class Point(StrEnum):
    """What a task does, or waits for, at the node where it stands."""

    RUN = "run"
    REVIEW = "review"
    """A ReviewNode that parked."""
    BEFORE = "before"
    """Parked by `interrupt_before`, or sent there with the word that it may go on."""
    AFTER = "after"
    """Parked by `interrupt_after`: the node has run, and its action is in the last checkpoint."""
    INSIDE = "inside"
    """The node itself asked for a review, and runs again with the answer."""
    LEAVE = "leave"
    """A nested flow whose nodes have run and whose `post` has not."""


class DeliveryState(StrEnum):
    """Whether a card reached its recipient."""

    DUE = "due"
    SENT = "sent"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the configuration file names."""

    id: PersonId
    name: str
    subject: str | None = None
    """Who they are to the sign-in of their organisation; unique. Nothing reads it yet."""
    zone: str = "UTC"
    """Of the IANA database: `Europe/Madrid`. Their days end by it, and pages show them times in it."""
    language: str | None = None
    """A BCP 47 tag: `pt-BR`. Nothing is said in it yet."""

    def local(self, at: datetime) -> datetime:
        """The same moment on this person's clock."""
        return at.astimezone(ZoneInfo(self.zone))

    def utc(self, local: datetime) -> datetime:
        """A moment in UTC; one that names no zone is read on this person's clock. Raises `OverflowError`."""
        return (local if local.tzinfo else local.replace(tzinfo=ZoneInfo(self.zone))).astimezone(UTC)

    def end_of(self, day: date) -> datetime:
        """The first moment after that day where this person is, in UTC. Raises `OverflowError`."""
        return self.utc(datetime.combine(day + timedelta(days=1), time()))


def name_of(person: PersonId, people: Mapping[PersonId, Person]) -> str:
    """The name, or the id of whom the configuration names no more."""
    return people[person].name if person in people else person


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A place in a channel: a Slack channel id, a Telegram chat id, a webhook's URL."""

    channel: ChannelName
    address: str


class Party(StrEnum):
    """Somebody who has a hand in what is reviewed."""

    SUBMITTER = "submitter"
    EDITOR = "editor"
    """Whose edit the draft is."""


class ReasonRule(StrEnum):
    """When a decision has to come with a comment."""

    NEVER = "never"
    ON_REJECT = "on_reject"
    ALWAYS = "always"


class Assurance(StrEnum):
    """What proves that a decision is its reviewer's."""

    CHAT = "chat"
    """A press in chat will do."""
    CONFIRM = "confirm"
    """A press in chat leads to the page, where whoever is signed in decides."""


class OnExpiry(StrEnum):
    """What becomes of a review that nobody decided in time."""

    REJECT = "reject"
    """It expires, and the flow goes the way of a rejection, without a next attempt."""
    APPROVE = "approve"
    ESCALATE = "escalate"
    """The escalation happens, and the deadline begins anew; the second time it is as `REJECT`."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """So many of these people have to approve."""

    name: str
    """The group's; `reviewers` where there is none."""
    people: tuple[PersonId, ...]
    approvals: int
    outside: tuple[str, ...] = ()
    """The groups among them whose members somebody else keeps; who is in them today may approve, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingHours:
    """When somebody is at work; reminders and escalations wait for it."""

    cron: str
    """The minutes at work as five cron fields: `* 9-16 * * mon-fri`."""
    zone: str
    """Of the IANA database: `Europe/Madrid`."""
    holidays: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Who is asked besides, and where, once a review has waited so long."""

    after: timedelta | None
    """Since the review opened; None is at the deadline only, where `on_expiry` says so."""
    people: tuple[PersonId, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    outside: tuple[str, ...] = ()
    """As a quorum's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may decide, how many must agree, by when. No reviewers means nobody.

    Where there are no `stages`, `approvals` of all `reviewers` are asked for in one.
    """

    name: str
    reviewers: tuple[PersonId, ...]
    """Everybody who may decide in some stage."""
    approvals: int = 1
    """How many approvals are asked for in all."""
    stages: tuple[tuple[Quorum, ...], ...] = ()
    """In sequence; each has one quorum or more, met side by side and by different people."""
    rejections: int = 1
    """How many people have to reject; 1 is a veto."""
    distinct_from: tuple[Party, ...] = (Party.SUBMITTER,)
    """Who may not decide, although a reviewer."""
    reason: ReasonRule = ReasonRule.NEVER
    quick_reasons: tuple[str, ...] = ()
    """Comments to choose from."""
    assurance: Assurance = Assurance.CHAT
    deadline: timedelta | None = None
    """How long the review is open; None is for ever."""
    reminders: tuple[timedelta, ...] = ()
    """How long after its opening those who have not decided are reminded."""
    escalation: Escalation | None = None
    on_expiry: OnExpiry = OnExpiry.REJECT
    hours: tuple[WorkingHours, ...] = ()
    """Of the reviewers' groups; none is at any time."""
    carries: bool = False
    """Whether approvals count in the next attempt, too."""
    keeps_removed: bool = True
    """Whether decisions count of people who are no reviewers any more."""
    claim: timedelta = timedelta(minutes=15)
    """How long it is shown that somebody is looking, unless they say so again."""
    recipients: tuple[Recipient, ...] = ()
    outside: tuple[str, ...] = ()
    """The groups of all its quorums whose members somebody else keeps."""
    fallback: tuple[Recipient, ...] = ()
    """Where the card goes that one of the recipients cannot be shown."""

    @property
    def channels(self) -> frozenset[ChannelName]:
        """Where there may be cards."""
        return frozenset(place.channel for place in (*self.recipients, *self.fallback))

    @property
    def in_stages(self) -> tuple[tuple[Quorum, ...], ...]:
        return self.stages or ((self._everybody,),)

    @property
    def _everybody(self) -> Quorum:
        return Quorum(name="reviewers", people=self.reviewers, approvals=self.approvals, outside=self.outside)

    def asks_why(self, verdict: Verdict) -> bool:
        """Whether a decision of this kind has to come with a reason."""
        return self.reason is ReasonRule.ALWAYS or (
            self.reason is ReasonRule.ON_REJECT and verdict is Verdict.REJECT
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One person decides for another, until then."""

    id: str
    person: PersonId
    delegate: PersonId | None
    """None: the person is only absent, and nobody decides for them."""
    until: datetime
    made_by: PersonId
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One reviewer's answer as recorded; `at` is when it became durable, `reviewer_name` as it was then."""

    reviewer: PersonId
    reviewer_name: str
    verdict: Verdict
    comment: str | None
    via: str
    """`slack`, `telegram`, `web` or `api`."""
    at: datetime
    content: Json = None
    """What an edit put in place of the draft."""
    stage: int = 0
    """In which of the policy's stages it was given, from 0."""
    person: PersonId | None = None
    """For whom the reviewer, as their delegate, decided; None is for themselves."""
    person_name: str | None = None

    @property
    def seat(self) -> PersonId:
        """The person whose answer it is: one answer each."""
        return self.person or self.reviewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody is looking at a review, until then. It binds nobody: others may decide meanwhile."""

    person: PersonId
    name: str
    """As it was when they said so."""
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Somebody is not reminded of a review before then, and is then."""

    person: PersonId
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the submitter says to a question, or an administrator in their place."""

    text: str
    person: PersonId
    name: str
    """As it was then."""
    via: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuestion:
    """A question that is still to be stored; one of the same id is the same request, repeated."""

    id: QuestionId
    person: Person
    text: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a reviewer wants to know of the submitter before deciding. No verdict: the review stays open."""

    id: QuestionId
    task: TaskId
    review: ReviewId
    text: str
    person: PersonId
    name: str
    """As it was then."""
    via: str
    at: datetime
    reply: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a submitter hands in; `service.submit` checks it."""

    input: Json
    submitter: PersonId
    flow: str | None = None
    """None is the flow `draft`."""
    policy: str | None = None
    """One of those that the flow lets submitters choose; None is the flow's own."""
    title: str | None = None
    """None is the start of the input."""
    on_behalf_of: str | None = None
    callback_url: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    idempotency_key: str | None = None
    """Unique per submitter: the same key again gives the first task, or `KeyReused` if anything differs."""
    tell: Recipient | None = None
    """Where in a chat its submitter is to hear how it ended."""
    traceparent: str | None = None
    """The W3C trace context of the request that it came with, unchecked; only tracing looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work as it stands. `attempt` is 0 until the first one starts."""

    id: TaskId
    flow: str
    title: str
    status: Status
    outcome: Outcome | None
    """That of the last closed review: approved, rejected or expired; None before."""
    attempt: int
    review: ReviewId | None
    """The open review, or None."""
    input: Json
    draft: Json
    """What the last opened review showed; None before."""
    final_result: Json
    error: str | None
    submitter: PersonId
    submitter_name: str
    on_behalf_of: str | None
    callback_url: str | None
    metadata: Mapping[str, Json]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    """When it completed, failed or was cancelled."""
    parent: TaskId | None = None
    """The task that this one was forked from, at its checkpoint `parent_checkpoint`."""
    parent_checkpoint: int | None = None
    node: str | None = None
    """Where it stands in its flow, and what it does or waits for there."""
    point: Point = Point.RUN
    policy: str | None = None
    """The one that its submitter chose, for reviews whose node names none; None is the flow's."""
    tell: Recipient | None = None
    """Where in a chat its submitter is to hear how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A task that was made of a checkpoint of another, as the other's page lists it."""

    task: TaskId
    checkpoint: int
    by_name: str
    status: Status
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a review, for the flow that asked."""

    review: ReviewId
    outcome: Outcome
    """Approved, rejected or expired."""
    draft: Json
    """What reviewers were shown."""
    content: Json
    """What stands approved: the last edit, or the draft."""
    comment: str | None
    """The last decision's; where several people rejected, all that gave a reason, a line each, with names."""
    reviewers: tuple[str, ...]
    """Names of those who decided, in order."""
    attempt: int
    is_edited: bool
    """Whether `content` is a reviewer's and not what the flow had made."""

    @property
    def is_approved(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier attempt put before reviewers."""

    attempt: int
    draft: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """One attempt put before reviewers under one policy, as it stands now."""

    id: ReviewId
    task: Task
    attempt: int
    node: str
    policy: Policy
    """As it was when the review opened, widened by its escalation once that has happened."""
    draft: Json
    outcome: Outcome
    opened_at: datetime
    closed_at: datetime | None
    superseded_by: int | None
    """The attempt that replaced this one first: by a review of its own, or by a resume from before it.

    An approval is replaced only where the same is asked anew.
    """
    decisions: tuple[Decision, ...]
    """In the order in which they became durable."""
    previous: Decision | None = None
    """The rejection, or the edit, that led to this attempt, if one did."""
    before_previous: tuple[Decision, ...] = ()
    """The other rejections of the same review, before that one: several may have to reject."""
    point: Point = Point.REVIEW
    """Why the flow asked at `node`."""
    expires_at: datetime | None = None
    """By when it has to be decided."""
    is_escalated: bool = False
    kept: Policy | None = None
    """Where it has escalated, the policy as it was before, which its row keeps."""
    claims: tuple[Claim, ...] = ()
    """Who is looking, whoever began first coming first; one for each person. None once it is closed."""
    snoozes: tuple[Snooze, ...] = ()
    """Who wants to be reminded later; one for each person. None once it is closed."""
    questions: int = 0
    """How many were asked about it."""
    earlier: Earlier | None = None
    """What the same was asked of before, for a card, which shows what has changed; None elsewhere."""

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def is_by_the_clock(self) -> bool:
        """Whether the deadline closed it, and no decision: where it escalates, people may decide after it."""
        closed, end = self.closed_at, self.expires_at
        is_late = closed is not None and end is not None and closed >= end
        return is_late and all(made.at != closed for made in self.decisions)

    @property
    def edit(self) -> Json:
        """The last edit; None where nobody edited."""
        edits = [decision.content for decision in self.decisions if decision.verdict is Verdict.EDIT]
        return edits[-1] if edits else None

    @property
    def content(self) -> Json:
        """What stands: the edit where one is approved, else the draft."""
        edit = self.edit if self.outcome is Outcome.APPROVED else None
        return self.draft if edit is None else edit


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReview:
    """The open review of a task, for whoever knows the task; and what they saw of it, if they say."""

    task: str
    review: str | None = None
    attempt: int | None = None

    def is_meant(self, review: ReviewRequest) -> bool:
        """Whether that review of the task can be the one they saw."""
        return self.review in {None, review.id} and self.attempt in {None, review.attempt}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A numbered fact about one task; `seq` starts at 1 and rises by 1."""

    task: TaskId
    seq: int
    at: datetime
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a follower of a task learns at once."""

    events: Sequence[StoredEvent]
    """In their order; at least one."""
    is_last: bool
    """Whether nothing comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is told of a task's events to whoever comes to look."""

    seq: int
    """The newest event's number; 0 where there is no such task."""
    turns: tuple[StoredEvent, ...]
    """Reviews that were asked, decisions, resumes and forks."""
    said: tuple[StoredEvent, ...]
    """Progress and text since the last event of another kind: what the node at work has said lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A stored event with its task, as a webhook or a thread in chat tells it."""

    task: Task
    event: StoredEvent
    review: ReviewRequest | None = None
    """In a chat, the review that the event is about, as it stands now; of the end, the task's last one."""
    to_submitter: bool = False
    """Whether it tells whoever handed the task in, in a chat, how it ended."""
    is_answered: bool = False
    """Whether it tells a question that has its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One card (or one notice) to one recipient.

    A card is due again whenever what it should show is newer than what it shows: `version` counts what
    should be shown, `shown` what was. So edits of one card coalesce, and keep their order.
    """

    id: DeliveryId
    task: TaskId
    review: ReviewId | None
    """The review whose card this is; None for a notice."""
    event_seq: int
    """The event that a notice tells, or that opened the card's review."""
    recipient: Recipient
    state: DeliveryState
    message: MessageRef | None
    version: int
    shown: int
    tries: int
    """Failed tries since the last success."""
    due_at: datetime | None
    """When to show it next; None while there is nothing to do."""
    failing_since: datetime | None
    """The first failure or postponement since the last success."""
    error: str | None
    """The last failure since the last success."""
    is_retired: bool = False
    """Whether a newer card of the same review stands in for it: it can only be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is stored after a node: enough to go on from there."""

    node: str
    action: str | None
    attempt: int
    state: str
    """The `shared` dict as JSON text."""
    following: str | None = None
    """The node to go on with; None where the flow ends."""
    point: Point = Point.RUN
    """What is to be done there."""
    frames: str | None = None
    """What `prep` of each flow around that node returned, outermost first, as JSON text; None: nothing."""
    cause: str = ""
    """What led to this run of the node, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as it can be looked at and resumed from."""

    task: TaskId
    number: int
    """From 1; 0 is the task as submitted, before its first node."""
    node: str | None
    action: str | None
    attempt: int
    state: Mapping[str, Json]
    following: str | None
    point: Point
    cause: str
    at: datetime
    schema: int
    parent: int | None
    """The checkpoint that it followed; None for number 0."""
    superseded: bool
    """On a branch that was left by resuming from an earlier checkpoint."""
    changes: Mapping[str, tuple[Json, Json]]
    """The keys of the state that differ from the parent's, with the value there and here (None: absent)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a task with stored work stands, as a runner takes it up."""

    task: Task
    version: int
    """Rises with every stored change of the task: what a runner's next `Step` compares with."""
    seq: int
    """The number of the task's newest event."""
    node: str | None
    """The node to go on with, as a path through nested flows (`outer/inner`); None is the flow's start."""
    point: Point = Point.RUN
    action: str | None = None
    """Of the last checkpoint."""
    frames: tuple[Json, ...] = ()
    """What `prep` of each flow around `node` returned, outermost first."""
    cause: str = ""
    """Why the task goes on, where a person or a submission is the reason."""
    state: Mapping[str, Json] | None
    """The `shared` dict after the last checkpoint; None before the first."""
    checkpoints: int
    schema: int = 1
    """Of how the state was stored."""
    begun: bool
    """`node` was begun and not finished: by a crash, or because it runs somewhere."""
    starts: int
    """How many starts of the service in a row found this node begun."""
    tries: int
    """How often this node failed."""
    due_at: datetime | None
    """Not to be run earlier."""
    review: ReviewRequest | None
    """The closed review that `node` asked for, whose outcome is to be applied."""
    answers: tuple[ReviewRequest, ...] = ()
    """The closed reviews that this visit of the node asked for, in order; `review` is the last of them."""


class TimerKind(StrEnum):
    """What falls due."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    EXPIRY = "expiry"
    STUCK = "stuck"
    """The review can be met by nobody; due as soon as that is known."""
    CLAIM = "claim"
    """The first of those who are looking has looked long enough; one for a review, as is the next."""
    SNOOZE = "snooze"
    """The first of those who put their reminder off is to be reminded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something that is to happen to an open review; `number` tells those of one kind apart, from 1."""

    review: ReviewId
    kind: TimerKind
    number: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReview:
    """A review about to open."""

    id: ReviewId
    policy: Policy
    point: Point = Point.REVIEW
    checkpoint: int = 0
    """The number of the task's last checkpoint before it: which visit of the node asked."""
    is_hopeless: bool = False
    """Whether its policy leaves too few who may decide on this submitter's task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a runner stores in one transaction; `StaleRun` unless `version` is still the task's."""

    task: TaskId
    version: int
    seq: int
    """The number of the newest event at `version`; that of the first of `events` is one more."""
    status: Status
    """The task's status after `events`."""
    callback_url: str | None = None
    """The task's; it hears of what the events say."""
    tell: Recipient | None = None
    """The task's; it hears of the last one."""
    checkpoints: tuple[Checkpoint, ...] = ()
    first_checkpoint: int
    """The number of the first of `checkpoints`; they count from 1."""
    events: tuple[Event, ...] = ()
    attempt: int
    node: str | None
    """Where the flow goes on; None once it ended."""
    point: Point = Point.RUN
    begun: bool = False
    starts: int = 0
    tries: int = 0
    due_at: datetime | None = None
    review: NewReview | None = None
    """The review that a `ReviewRequested` among the events opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSettings:
    """One `[flows.NAME]`: which graph it is, how its nodes are run, how often an attempt may be made."""

    name: str
    graph: str | None = None
    """`module:function` that returns a PocketFlow graph; None is the shipped flow of this kind."""
    shipped: str = "draft"
    is_named: bool = False
    """Whether the configuration file has it; those that ship are there all the same."""
    processor: str | None = None
    prompt: str | None = None
    """What the model is told first: a text, or `@file` beside the configuration file."""
    policy: str = "default"
    policies: tuple[str, ...] = ()
    """Those that submitters may choose instead."""
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    """Nodes, as paths, at which reviewers are asked before they run, or after."""
    strict_actions: bool = False
    """Whether an action that leads nowhere fails the task."""
    timeout: timedelta
    retries: int
    """How often a failed process step is repeated before the task fails; 0 is never."""
    backoff: timedelta
    """The wait before the first retry; it doubles with each, up to `backoff_limit`."""
    backoff_limit: timedelta
    max_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """An OpenAI-compatible chat endpoint."""

    url: str
    """Its base, as OpenAI clients take it: `https://…/v1`."""
    model: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list; None means any."""

    status: Status | None = None
    submitter: PersonId | None = None
    flow: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks, newest first, and where the next page begins (None at the end)."""

    tasks: tuple[Task, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatUpdate:
    """What a chat platform sent, stored before it was confirmed; `body` is the platform's own JSON."""

    channel: ChannelName
    id: str
    body: bytes
    kept_at: datetime | None = field(default=None, compare=False)
    """When it was stored; None before that."""


class Asks(StrEnum):
    """What somebody is asked for in a dialog."""

    REASON = "reason"
    """Why they decide as they do."""
    QUESTION = "question"
    """What they want to know of the submitter."""
    TEXT = "text"
    """What shall stand in place of the draft."""
    CONSENT = "consent"
    """Whether the edit that they were shown is what they want: by a button, never in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """A question put to one person in a chat, whose answer belongs to a review (why do you reject?).

    Found again by the prompt's `message`, by that person only, until `expires_at`.
    """

    message: MessageRef
    channel: ChannelName
    review: ReviewId
    person: PersonId
    verdict: Verdict
    """What the answer leads to. Of a `QUESTION`, which leads to none, it is `EDIT`: an earlier release takes
    every dialog for one about reasons, and then refuses the answer, since an edit without a text is none."""
    expires_at: datetime
    asks: Asks = Asks.REASON
    content: Json = None
    """An edit that waits for its confirmation, or for the reason that is asked for with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A person's token as stored: its SHA-256 as hexadecimal digits, never the token."""

    id: str
    person: PersonId
    token_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One of several processes on one database."""

    id: str
    name: str
    """For people: where it runs."""
    release: str
    configuration: str
    """A mark of what all are to be configured alike."""


def clock_name(local: datetime) -> str:
    """What the clock goes by that shows this: `CET`, or `UTC+05:45` where that time has no letters."""
    name = local.tzname() or ""
    return name if name.isalpha() else f"UTC{local.isoformat()[-6:]}"


def cause_of(node: str, action: str | None) -> str:
    """Why a node runs that another's action led to, as a checkpoint says it."""
    return f"{node}: {action or 'default'}"


def text_of(value: Json) -> str:
    """A draft, input or result as people read it: text as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")
