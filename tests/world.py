"""A whole core for tests: real store, feed, engine and outbox, with a stopped clock and channels on paper.

    async def test_an_approval_completes(world: World) -> None:
        task = await world.submit("hello")
        review = await world.open_review(task.id)
        await world.approve(review)
        assert (await world.end(task.id)).status is Status.COMPLETED

Nothing here waits for a time to pass: whoever waits, waits for an event or asks the store again, and never
longer than `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import heapq
import io
import itertools
import sqlite3
import sys
import threading
import traceback
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from core.definitions import definition
from core.engines.local import LocalEngine
from core.engines.procrastinate import ProcrastinateEngine
from core.events import FINAL, ReviewRequested
from core.feed import Feed
from core.flow import FlowRunner
from core.ids import new_id
from core.measures import Measures
from core.model import (
    ChannelName,
    FlowSettings,
    MessageRef,
    Person,
    PersonId,
    Policy,
    Recipient,
    ReviewId,
    Submission,
    TaskId,
    Verdict,
)
from core.outbox import Outbox
from core.processors import offline
from core.service import Service
from core.store.postgresql import conninfo
from core.store.replicas import STALLED
from core.store.sql import SqlStore
from core.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from core.engines.segments import Segments
    from core.events import Event
    from core.flow import FlowDefinition
    from core.model import Delivery, Hint, Json, Notice, ReviewRequest, StoredEvent, Task
    from core.ports import Channel, Clock
    from core.store.database import Database
    from countersign.traced import Tracing

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test that waits has failed: many times what it takes on a machine of its own."""
BETWEEN_LOOKS = 0.001
"""Seconds."""

ANA = Person(id=PersonId("ana"), name="Ana Ruiz")
BEN = Person(id=PersonId("ben"), name="Ben Okri")
CY = Person(id=PersonId("cy"), name="Cy Young")
SAM = Person(id=PersonId("sam"), name="Sam Lee")
EVE = Person(id=PersonId("eve"), name="Eve Moss")
"""Ana, Ben and Cy review, Sam submits, and Eve may do nothing."""
PEOPLE = {person.id: person for person in (ANA, BEN, CY, SAM, EVE)}

PAPER = ChannelName("paper")
DESK = Recipient(channel=PAPER, address="desk")
HALL = Recipient(channel=PAPER, address="hall")

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class StoppedAlarm:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def ring(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class StoppedClock:
    """Time that moves only when `advance` is called; what falls due on the way is called in its order.

    By less than nothing it is set back, as a machine's clock may be: no time passes then, and what was to be
    called in a while is called no later for it.
    """

    def __init__(self, at: datetime = START) -> None:
        self._now = at
        self._steady = timedelta(0)
        self._alarms: list[tuple[timedelta, int, StoppedAlarm]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._now

    def steady(self) -> timedelta:
        return self._steady

    def call_at(self, at: datetime, callback: Callable[[], object]) -> StoppedAlarm:
        alarm = StoppedAlarm(callback)
        if at <= self._now:
            asyncio.get_running_loop().call_soon(alarm.ring)
        else:
            heapq.heappush(self._alarms, (self._steady + (at - self._now), next(self._numbers), alarm))
        return alarm

    def advance(self, by: timedelta | None = None, **parts: float) -> None:
        """`advance(timedelta(...))` or `advance(seconds=3)`."""
        span = by or timedelta(**parts)
        until = self._steady + span
        while self._alarms and self._alarms[0][0] <= until:
            due, _, alarm = heapq.heappop(self._alarms)
            self._move(due)
            alarm.ring()
        if span < timedelta(0):
            self._now += span
        else:
            self._move(until)

    def _move(self, to: timedelta) -> None:
        self._now += max(to - self._steady, timedelta(0))
        self._steady = max(to, self._steady)

    @property
    def alarms(self) -> frozenset[datetime]:
        """When calls are to come."""
        return frozenset(self._now + (due - self._steady) for due, _, alarm in self._alarms if alarm.callback)

    @property
    def next_alarm(self) -> datetime | None:
        """When the next call is to come."""
        return min(self.alarms, default=None)


class Board:
    """Who waits for a condition is woken by every change."""

    def __init__(self) -> None:
        self._changed: asyncio.Future[None] | None = None

    def change(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    async def until(self, holds: Callable[[], T]) -> T:
        """What `holds` returns once that is true."""
        async with asyncio.timeout(PATIENCE):
            while not (found := holds()):
                if self._changed is None:
                    self._changed = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._changed)
        return found


class Diary(Board):
    """A listener that keeps every committed event, in the order of the commits."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[StoredEvent] = []
        self.due: list[ChannelName] = []
        self.hints: list[Hint] = []
        """What other replicas did."""

    def heard(self, hint: Hint) -> None:
        self.hints.append(hint)
        self.change()

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        self.events += events
        self.due += sorted(due)
        self.change()

    def of(self, task: str) -> list[Event]:
        return [stored.event for stored in self.events if stored.task == task]


@dataclass
class Call:
    """One call of a channel."""

    kind: str
    """`post` or `update`."""
    delivery: Delivery
    content: ReviewRequest | Notice
    message: MessageRef | None
    thread: MessageRef | None


class PaperChannel(Board):
    """A channel that notes what it is asked to show.

    `faults` are raised by the next calls, one each (None: that call goes well); while `closed`, calls hang.
    """

    def __init__(self, name: ChannelName = PAPER) -> None:
        super().__init__()
        self._name = name
        self.calls: list[Call] = []
        self.faults: list[Exception | None] = []
        self.gap = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = 0

    @property
    def name(self) -> ChannelName:
        return self._name

    def close(self) -> None:
        self.gate.clear()

    def open(self) -> None:
        self.gate.set()

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        number = len(self.calls) + 1
        await self._call(Call("post", delivery, content, None, thread))
        return MessageRef(f"{delivery.recipient.address}/{number}")

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        await self._call(Call("update", delivery, content, message, None))

    async def _call(self, call: Call) -> None:
        self.calls.append(call)
        self.inside += 1
        self.change()
        try:
            await self.gate.wait()
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None:
                raise fault
        finally:
            self.inside -= 1
            self.change()

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        return self.gap

    @property
    def kinds(self) -> list[str]:
        return [call.kind for call in self.calls]

    async def called(self, times: int) -> Call:
        """Wait for so many calls; the last of them."""
        await self.until(lambda: len(self.calls) >= times)
        return self.calls[times - 1]


def watches(world: World) -> None:
    """It has seen the database answer for long enough to tell who is dead."""
    world.store._watch.since -= STALLED * 1_000_000


async def eventually(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` answers once that is true; one that waits in vain says what every task and thread did."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await ask()):  # noqa: ASYNC110 - the store tells nobody of most of what is asked
                # Asked without a pause, the loop and the reader's thread hand the interpreter to each other;
                # on a busy machine what was to be written was so only after a minute, when the asking ended.
                await asyncio.sleep(BETWEEN_LOOKS)
    except TimeoutError as error:
        error.add_note(_stacks())
        raise
    return found


def _stacks() -> str:
    said = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=said)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():
        print(f"Thread {names.get(number, number)}:", file=said)
        traceback.print_stack(frame, limit=8, file=said)
    return said.getvalue()


@contextmanager
def locked(path: str | Path | None) -> Iterator[None]:
    """Another program holds the SQLite file: whoever wants to write gives up after 2 s, really."""
    other = sqlite3.connect(str(path), isolation_level=None, timeout=10)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def flow_settings(
    name: str = "draft",
    *,
    processor: str | None = None,
    policy: str = "default",
    timeout: float = 10.0,
    retries: int = 2,
    backoff: float = 1.0,
    max_attempts: int = 5,
    **more: Any,
) -> FlowSettings:
    return FlowSettings(
        name=name,
        processor=processor,
        policy=policy,
        timeout=timedelta(seconds=timeout),
        retries=retries,
        backoff=timedelta(seconds=backoff),
        backoff_limit=timedelta(seconds=60),
        max_attempts=max_attempts,
        **more,
    )


def policies(*recipients: Recipient) -> dict[str, Policy]:
    """`default` asks Ana, Ben or Cy; `two` and `three` ask so many of them; `self` lets submitters decide."""
    three = (ANA.id, BEN.id, CY.id)
    return {
        "default": Policy(name="default", reviewers=three, recipients=recipients),
        "two": Policy(name="two", reviewers=three, approvals=2, recipients=recipients),
        "three": Policy(name="three", reviewers=three, approvals=3, recipients=recipients),
        "self": Policy(name="self", reviewers=(*three, SAM.id), distinct_from=(), recipients=recipients),
        "nobody": Policy(name="nobody", reviewers=(), recipients=recipients),
    }


async def theirs(_task_input: Json, shared: Mapping[str, Json]) -> Json:
    """What somebody else wrote, so that an engine has to run it."""
    return await offline(shared)


THEIRS = "python:tests.world:theirs"


def draft_flows(*recipients: Recipient, **settings: Any) -> dict[str, FlowDefinition]:
    """The flow that ships, under each of `policies`: `draft` asks one, `two` two, …"""
    known = policies(*recipients)
    return {
        "draft" if name == "default" else name: definition(
            flow_settings("draft" if name == "default" else name, policy=name, **settings), known, None
        )
        for name in known
    }


@dataclass
class World:
    """The whole core; see the module's example."""

    clock: Clock
    store: SqlStore
    feed: Feed
    engine: Segments
    service: Service
    flows: Mapping[str, FlowDefinition]
    diary: Diary
    outbox: Outbox
    measures: Measures

    async def submit(self, text: Json = "hello world", *, flow: str = "draft", **more: str) -> Task:
        """A new task of Sam's."""
        task, _ = await self.service.submit(
            Submission(
                input=text,
                submitter=SAM.id,
                flow=flow,
                title=more.get("title"),
                callback_url=more.get("callback_url"),
                idempotency_key=more.get("key"),
            )
        )
        return task

    async def event(self, task: str, kind: type[Event], number: int = 1) -> Event:
        """The `number`-th event of a kind, once it is stored."""
        found = await self.diary.until(lambda: self._of_kind(task, kind)[number - 1 :])
        return found[0]

    def _of_kind(self, task: str, kind: type[Event]) -> list[Event]:
        return [event for event in self.diary.of(task) if type(event) is kind]

    async def open_review(self, task: str, attempt: int = 1) -> ReviewId:
        """The review of an attempt, once it is open."""
        event = await self.event(task, ReviewRequested, attempt)
        assert isinstance(event, ReviewRequested)
        return ReviewId(event.review)

    async def approve(self, review: str, person: Person = ANA, comment: str | None = None) -> ReviewRequest:
        return await self.service.decide(review, person.id, Verdict.APPROVE, comment=comment, via="api")

    async def reject(self, review: str, person: Person = ANA, comment: str | None = None) -> ReviewRequest:
        return await self.service.decide(review, person.id, Verdict.REJECT, comment=comment, via="api")

    async def end(self, task: str) -> Task:
        """The task, once it has ended."""
        await self.diary.until(lambda: [e for e in self.diary.of(task) if isinstance(e, FINAL)])
        return await self.service.task(TaskId(task))

    async def history(self, task: str) -> list[Event]:
        """As stored."""
        return [stored.event for stored in await self.store.events(task, 0)]


@asynccontextmanager
async def whole_core(
    database: Database,
    clock: Clock,
    *,
    flows: Mapping[str, FlowDefinition] | None = None,
    channels: Sequence[Channel] = (),
    people: Mapping[PersonId, Person] = PEOPLE,
    in_force: Mapping[str, Policy] = {},
    admins: Collection[PersonId] = (),
    limit: int = 64,
    held: int = 256,
    is_shared: bool = False,
    tracing: Tracing | None = None,
) -> AsyncIterator[World]:
    """Core as it runs in production, over a migrated database; stopped at the end.

    `is_shared`: as one of several on a PostgreSQL database, which holds so many tasks at most.
    """
    make_runner = FlowRunner if tracing is None else tracing.runner
    make_service = Service if tracing is None else tracing.service
    flows = draft_flows() if flows is None else flows
    async with AsyncExitStack() as stack:
        replica = new_id() if is_shared else None
        store = await stack.enter_async_context(SqlStore(database, clock, replica=replica))
        feed, diary, measures = Feed(store, hears_all=database.has_one_writer), Diary(), Measures()
        runner = make_runner(store, flows, clock)
        engine = (
            ProcrastinateEngine(runner, store, clock, conninfo=conninfo(database), limit=limit, held=held)
            if is_shared
            else LocalEngine(runner, store, clock, limit=limit)
        )
        outbox = Outbox(store, channels, clock, policies=in_force, random=Random(1))  # noqa: S311 - jitter, the same each time
        for listener in (diary, measures, feed, outbox, engine):
            store.listen(listener)
        timekeeper = Timekeeper(store, clock, people, in_force)
        store.listen(timekeeper)
        await stack.enter_async_context(outbox)
        await stack.enter_async_context(engine)
        await stack.enter_async_context(timekeeper)
        service = make_service(
            store,
            feed,
            people,
            flows,
            policies=in_force,
            admins=admins,
            clock=clock,
            observer=measures,
        )
        yield World(clock, store, feed, engine, service, flows, diary, outbox, measures)
