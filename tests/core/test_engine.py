"""Both engines: at most so many at once, what one forgot it finds, and it stops when it is told to.

What only several do, on one database: test_shared_engine.py.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from structlog.testing import capture_logs

from core.defects import Broke
from core.engines.local import FORGET, LocalEngine
from core.engines.procrastinate import ProcrastinateEngine
from core.engines.segments import PAUSE, SWEEP
from core.errors import StaleRun, StoreUnavailable
from core.events import (
    AttemptStarted,
    NodeRetried,
    ReviewApproved,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskSubmitted,
)
from core.model import Hint, Status, StoredEvent, TaskId
from core.store.postgresql import conninfo
from core.store.sql import SqlStore
from tests.contracts.steps import step, submitted
from tests.world import PATIENCE, START, Board, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from core.engines.segments import Segments
    from core.events import Event
    from core.store.database import Database
    from tests.world import StoppedClock

A, B, C, D = (TaskId(name * 32) for name in "abcd")


class Runner(Board):
    """Notes which segments run; each waits for its gate, then returns or raises what is set for it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[TaskId] = []
        self.inside: list[TaskId] = []
        self.most = 0
        self.cut: list[TaskId] = []
        self.gate = asyncio.Event()
        self.answers: dict[TaskId, list[datetime | Exception | None]] = {}

    async def run(self, task_id: TaskId, at: datetime | None = None) -> datetime | None:
        self.begun.append(task_id)
        self.inside.append(task_id)
        self.most = max(self.most, len(self.inside))
        self.change()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cut.append(task_id)
            raise
        finally:
            self.inside.remove(task_id)
            self.change()
        answer = self.answers[task_id].pop(0) if self.answers.get(task_id) else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Work(Board):
    """The stored work, as the engine asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[TaskId, datetime | None]] = []
        self.failed: list[tuple[str, str]] = []
        self.failed_at: list[int | None] = []
        """At which versions."""
        self.put = 0
        self.retired = 0
        self.forgot = 0
        self.sweeps = 0
        self.faults: list[Exception] = []
        self.untidy: list[Exception] = []
        """Faults of forgetting what is old."""
        self.judges = True
        """Whether this replica may say that others have ended."""
        self.buried = 0

    async def recover(self) -> Sequence[str]:
        return []

    async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]:
        self.sweeps += 1
        self.change()
        if self.faults:
            raise self.faults.pop(0)
        return self.found

    async def put_back(self) -> None:
        self.put += 1
        if self.faults:
            raise self.faults.pop(0)

    # For one of several

    replica = "r" * 32

    def ask_for_room(self, has_room: Callable[[], bool]) -> None:
        self.has_room = has_room

    def is_left_to_a_job(self, task: TaskId) -> bool:
        return False

    async def enlist(self, worker: int) -> None:
        pass

    async def beaten(self, worker: int) -> bool:
        return True

    async def may_judge(self) -> bool:
        return self.judges

    async def take(self, task: TaskId) -> bool:
        return True

    async def uncovered(self) -> Sequence[tuple[TaskId, int]]:
        return []

    async def bury(self) -> None:
        self.buried += 1

    async def retire(self) -> None:
        """Whatever it holds."""
        self.retired += 1
        if self.faults:
            raise self.faults.pop(0)

    async def fail(self, task_id: str, error: str, *, version: int | None = None) -> None:
        self.failed.append((task_id, error))
        self.failed_at.append(version)
        self.change()
        if self.faults:
            raise self.faults.pop(0)

    async def forget_old(self) -> None:
        self.forgot += 1
        self.change()
        if self.untidy:
            raise self.untidy.pop(0)


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def work() -> Work:
    return Work()


class Make(Protocol):
    def __call__(self, *, limit: int = 64) -> LocalEngine | ProcrastinateEngine: ...


@pytest.fixture(params=["local", "one of several"])
def make(request: pytest.FixtureRequest, runner: Runner, work: Work, clock: StoppedClock) -> Make:
    """Makes engines of each kind, on the same runner and store."""
    if request.param == "local":
        return partial(LocalEngine, runner, work, clock)
    shared: Database = request.getfixturevalue("postgres_database")
    return partial(ProcrastinateEngine, runner, work, clock, conninfo=conninfo(shared))


@pytest.fixture
async def engine(make: Make) -> AsyncIterator[LocalEngine | ProcrastinateEngine]:
    async with make(limit=2) as started:
        yield started


@pytest.fixture
async def local(runner: Runner, work: Work, clock: StoppedClock) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(runner, work, clock, limit=2) as started:
        yield started


def told(engine: Segments, *events: tuple[TaskId, Event]) -> None:
    engine.committed([StoredEvent(task=task, seq=1, at=START, event=event) for task, event in events], set())


def told_of(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Defects that were logged with their places."""
    return [line["event"] for line in logs if line.get("at")]


SUBMITTED = TaskSubmitted(submitter="sam")
APPROVED = ReviewApproved(review="r", attempt=1)
CANCELLED = TaskCancelled(by="sam")
COMPLETED = TaskCompleted(final_result="text", outcome="approved")
ASKED = ReviewRequested(review="r", attempt=1, draft="text", node="review", point="review")


async def test_it_runs_what_a_commit_left_to_do(engine: Segments, runner: Runner) -> None:
    told(engine, (A, SUBMITTED), (B, APPROVED), (C, NodeRetried(node="n", retry=1, error="e")))
    await runner.until(lambda: len(runner.begun) == 2)
    runner.gate.set()
    await runner.until(lambda: not runner.inside)
    assert runner.begun == [A, B]


async def test_work_that_its_own_transaction_has_done_is_not_taken_up(
    engine: Segments, runner: Runner
) -> None:
    told(engine, (A, APPROVED), (B, SUBMITTED), (A, COMPLETED), (B, ASKED), (C, ASKED), (C, APPROVED))
    await runner.until(lambda: bool(runner.begun))
    runner.gate.set()
    await runner.until(lambda: not runner.inside)
    assert runner.begun == [C]


async def test_no_more_run_at_once_than_the_limit(engine: Segments, runner: Runner) -> None:
    tasks = [TaskId(f"{n:032x}") for n in range(20)]
    for task in tasks:
        engine.run(task)
        engine.run(task)
    await runner.until(lambda: len(runner.inside) == 2)
    assert len(runner.begun) == 2
    runner.gate.set()
    await runner.until(lambda: len(runner.begun) == 20 and not runner.inside)
    assert runner.begun == tasks, "in the order in which they were asked for, once each"
    assert runner.most == 2


async def test_a_task_told_of_while_it_runs_is_run_once_more(engine: Segments, runner: Runner) -> None:
    engine.run(A)
    await runner.until(lambda: runner.inside)
    for _ in range(3):
        engine.run(A)
    runner.gate.set()
    await runner.until(lambda: len(runner.begun) == 2 and not runner.inside)
    engine.run(B)
    await runner.until(lambda: B in runner.begun and not runner.inside)
    assert runner.begun == [A, A, B]


@pytest.mark.parametrize("is_cancelled_here", [True, False])
async def test_a_cancelled_task_is_stopped_and_its_place_is_free(
    engine: Segments, runner: Runner, is_cancelled_here: bool
) -> None:
    engine.run(A)
    engine.run(B)
    await runner.until(lambda: len(runner.inside) == 2)
    if is_cancelled_here:
        told(engine, (A, CANCELLED))
    else:
        engine.heard(Hint(tasks=frozenset({A, B}), cancelled=frozenset({A})))
    await runner.until(lambda: runner.cut == [A])
    engine.run(C)
    await runner.until(lambda: C in runner.begun)


async def test_a_task_cancelled_while_it_waits_to_be_tried_again_is_looked_at_no_more(
    engine: Segments, runner: Runner, clock: StoppedClock
) -> None:
    runner.gate.set()
    for task in (A, B):
        engine.run_at(task, START + timedelta(seconds=5))
    told(engine, (A, CANCELLED))
    clock.advance(seconds=5)
    await runner.until(lambda: B in runner.begun)
    assert A not in runner.begun


async def test_who_may_not_judge_buries_nobody(
    runner: Runner, work: Work, clock: StoppedClock, postgres_database: Database
) -> None:
    """It has not seen for long enough whether the others' hearts beat."""
    work.judges = False
    async with ProcrastinateEngine(runner, work, clock, conninfo=conninfo(postgres_database)) as engine:
        await engine.sweep()
        assert work.buried == 0
        work.judges = True
        await engine.sweep()
        assert work.buried > 0


async def test_tasks_cancelled_in_the_commit_that_made_them_cost_no_place(
    engine: Segments, runner: Runner
) -> None:
    for task in (A, B, C):
        told(engine, (task, SUBMITTED), (task, CANCELLED))
    told(engine, (D, SUBMITTED))
    await runner.until(lambda: D in runner.begun)


async def test_a_task_is_run_at_its_time_and_a_later_word_counts(
    engine: Segments, runner: Runner, clock: StoppedClock
) -> None:
    runner.gate.set()
    engine.run_at(A, START + timedelta(seconds=5))
    engine.run_at(A, START + timedelta(seconds=9))
    clock.advance(seconds=8)
    engine.run(B)
    await runner.until(lambda: B in runner.begun)
    assert A not in runner.begun
    clock.advance(seconds=1)
    await runner.until(lambda: A in runner.begun)


async def test_a_segment_that_asks_to_be_run_later_is(
    engine: Segments, runner: Runner, clock: StoppedClock
) -> None:
    runner.gate.set()
    runner.answers[A] = [START + timedelta(seconds=7)]
    engine.run(A)
    await runner.until(lambda: clock.next_alarm == START + timedelta(seconds=7))
    clock.advance(seconds=7)
    await runner.until(lambda: runner.begun == [A, A])


async def test_a_database_that_was_away_is_asked_again(
    engine: Segments, runner: Runner, clock: StoppedClock
) -> None:
    runner.gate.set()
    runner.answers[A] = [StoreUnavailable("locked"), StoreUnavailable("locked")]
    engine.run(A)
    for times in (2, 3):
        await runner.until(lambda: clock.next_alarm == clock.now() + PAUSE)
        clock.advance(PAUSE)
        await runner.until(lambda times=times: len(runner.begun) == times and not runner.inside)  # type: ignore[misc]  # mypy does not infer a lambda with defaults


async def test_a_segment_that_breaks_fails_its_task(engine: Segments, runner: Runner, work: Work) -> None:
    runner.gate.set()
    runner.answers[A] = [ZeroDivisionError("x")]
    with capture_logs() as logs:
        engine.run(A)
        await work.until(lambda: work.failed)
    assert told_of(logs) == ["segment_broke"]
    assert work.failed == [(A, "The flow could not be run: ZeroDivisionError.")]


async def test_a_segment_that_breaks_fails_its_task_where_that_stood(
    engine: Segments, runner: Runner, work: Work
) -> None:
    """One that something else moved on in the meantime goes on; the log names the cause."""
    runner.gate.set()
    broke = Broke(7)
    broke.__cause__ = ZeroDivisionError("x")
    runner.answers[A] = [broke]
    work.faults = [StaleRun("It was moved on.")]
    with capture_logs() as logs:
        engine.run(A)
        await work.until(lambda: work.failed)
        engine.run(B)
        await runner.until(lambda: B in runner.begun)
    assert (work.failed, work.failed_at) == ([(A, "The flow could not be run: ZeroDivisionError.")], [7])
    told = [(line["event"], line.get("error")) for line in logs if line["event"].startswith("segment_")]
    assert told == [("segment_broke", "ZeroDivisionError"), ("segment_overtaken", None)]


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), RuntimeError("a defect")])
async def test_a_task_that_cannot_even_be_failed_leaves_the_engine_running(
    engine: Segments, runner: Runner, work: Work, fault: Exception
) -> None:
    runner.gate.set()
    runner.answers[A] = [ZeroDivisionError("x")]
    work.faults = [fault]
    with capture_logs() as logs:
        engine.run(A)
        await work.until(lambda: work.failed)
        engine.run(B)
        await runner.until(lambda: B in runner.begun)
    broke = [] if isinstance(fault, StoreUnavailable) else ["task_not_failed"]
    assert told_of(logs) == ["segment_broke", *broke]


async def test_a_sweep_finds_what_nobody_told_of(
    engine: Segments, runner: Runner, work: Work, clock: StoppedClock
) -> None:
    runner.gate.set()
    assert work.sweeps == 1, "at the start"
    work.found = [(A, None), (B, START + timedelta(seconds=95))]
    clock.advance(SWEEP)
    await runner.until(lambda: A in runner.begun)
    assert B not in runner.begun
    clock.advance(seconds=65)
    await runner.until(lambda: B in runner.begun)


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), RuntimeError("a defect")])
async def test_a_sweep_that_failed_is_followed_by_another(
    engine: Segments, work: Work, clock: StoppedClock, runner: Runner, fault: Exception
) -> None:
    work.faults = [fault]
    with capture_logs() as logs:
        for sweeps in (2, 3):
            await eventually(lambda: has_alarm(clock))
            clock.advance(SWEEP)
            await work.until(lambda sweeps=sweeps: work.sweeps == sweeps)  # type: ignore[misc]  # likewise
    assert told_of(logs) == ([] if isinstance(fault, StoreUnavailable) else ["sweep_broke"])


async def test_what_is_old_is_forgotten_once_an_hour_or_as_soon_as_it_can_be(
    local: LocalEngine, work: Work, clock: StoppedClock
) -> None:
    async def swept(sweeps: int) -> None:
        await eventually(lambda: has_alarm(clock))
        clock.advance(SWEEP)
        await work.until(lambda: work.sweeps == sweeps)
        await eventually(lambda: has_alarm(clock))

    assert work.forgot == 1, "at the start"
    await swept(2)
    await swept(3)
    assert work.forgot == 1
    work.untidy = [StoreUnavailable("away")]
    await eventually(lambda: has_alarm(clock))
    clock.advance(FORGET)
    await work.until(lambda: work.forgot == 2)
    await swept(4)
    assert work.forgot == 3, "one that failed is followed by another"
    await swept(5)
    assert work.forgot == 3


@pytest.mark.parametrize("fault", [StoreUnavailable("locked"), RuntimeError("a defect")])
async def test_what_was_left_is_taken_up_though_nothing_old_can_be_forgotten(
    runner: Runner, work: Work, clock: StoppedClock, fault: Exception
) -> None:
    work.found, work.untidy = [(A, None)], [fault]
    async with LocalEngine(runner, work, clock):
        await runner.until(lambda: runner.begun == [A])


async def has_alarm(clock: StoppedClock) -> bool:
    await asyncio.sleep(0)
    return clock.next_alarm is not None


async def test_what_was_left_is_taken_up_at_the_start(
    make: Make, runner: Runner, work: Work, clock: StoppedClock
) -> None:
    work.found = [(A, None), (B, START + timedelta(seconds=1))]
    runner.gate.set()
    async with make():
        await runner.until(lambda: A in runner.begun)
        clock.advance(seconds=1)
        await runner.until(lambda: B in runner.begun)


async def test_work_that_is_stored_while_a_start_looks_for_what_was_left_is_run_once(
    runner: Runner, clock: StoppedClock
) -> None:
    """A is submitted while it recovers, B while it reads what can be run, C was left and is told of again."""

    class Busy(Work):
        async def recover(self) -> Sequence[str]:
            told(starting, (A, SUBMITTED))
            return []

        async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]:
            told(starting, (B, SUBMITTED), (C, APPROVED))
            await runner.until(lambda: len(runner.inside) == 2)
            return [(A, None), (C, None)]

    starting = LocalEngine(runner, Busy(), clock)
    async with starting:
        await runner.until(lambda: len(runner.inside) == 3)
        runner.gate.set()
        await runner.until(lambda: not runner.inside)
    assert sorted(runner.begun) == [A, B, C]


async def test_a_stop_lets_what_runs_end_and_begins_nothing_new(
    make: Make, runner: Runner, clock: StoppedClock
) -> None:
    engine = make(limit=1)
    async with engine:
        engine.run(A)
        engine.run(B)
        engine.run_at(C, START + timedelta(seconds=1))
        await runner.until(lambda: runner.inside)
        stopping = asyncio.ensure_future(engine.stop(timedelta(seconds=PATIENCE)))
        await asyncio.sleep(0)
        engine.run(D)
        runner.gate.set()
        await stopping
        clock.advance(seconds=60)
    assert (runner.begun, runner.cut) == ([A], [])
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("segment")]


async def test_a_stop_cuts_off_what_does_not_end_in_time(make: Make, runner: Runner, work: Work) -> None:
    engine = make()
    async with engine:
        engine.run(A)
        await runner.until(lambda: runner.inside)
        await engine.stop(timedelta(0))
        assert runner.cut == [A]
        if isinstance(engine, LocalEngine):
            assert work.put == 1, "a stop in good order does not count against it"
        else:
            assert work.retired == 1, "nor does it here: all that it holds is left to others"
    await engine.stop(timedelta(0))
    assert work.put in {0, 1}


async def test_stops_in_good_order_fail_nothing_that_waits_to_be_run_again(
    sqlite_database: Database, clock: StoppedClock, runner: Runner
) -> None:
    """What a crash left begun was counted when it was found, whether or not it has had its turn since."""
    async with SqlStore(sqlite_database, clock) as store:
        left = [(await submitted(store)).id for _ in range(2)]
        for task in left:
            await step(store, task, AttemptStarted(attempt=1), begun=True)
        for _ in range(4):
            async with LocalEngine(runner, store, clock, limit=1):
                await runner.until(lambda: runner.inside)
        assert [(await store.task(task)).status for task in left] == [Status.RUNNING] * 2


async def test_stops_in_good_order_fail_nothing_that_no_start_could_take_up(
    sqlite_database: Database, clock: StoppedClock, runner: Runner
) -> None:
    """It was counted, and what there is to be run could not be read after that."""

    class Unreadable(SqlStore):
        async def runnable(self) -> Sequence[tuple[TaskId, datetime | None]]:
            raise StoreUnavailable("away")

    async with Unreadable(sqlite_database, clock) as store:
        left = (await submitted(store)).id
        await step(store, left, AttemptStarted(attempt=1), begun=True)
        for _ in range(4):
            async with LocalEngine(runner, store, clock):
                pass
        assert (await store.task(left)).status is Status.RUNNING


async def test_a_stop_puts_back_what_was_to_be_tried_again_soon(
    runner: Runner, work: Work, clock: StoppedClock
) -> None:
    async with LocalEngine(runner, work, clock) as engine:
        engine.run_at(A, START + timedelta(seconds=1))
    assert work.put == 1
    async with LocalEngine(runner, work, clock):
        pass
    assert work.put == 1, "nothing was left"


async def test_a_stop_puts_back_what_lost_its_database_while_it_was_waited_for(
    runner: Runner, work: Work, clock: StoppedClock
) -> None:
    async with LocalEngine(runner, work, clock) as engine:
        engine.run(A)
        await runner.until(lambda: runner.inside)
        runner.answers[A] = [StoreUnavailable("away")]
        runner.gate.set()
        await engine.stop(timedelta(seconds=PATIENCE))
        assert work.put == 1, "its node is begun still"
    assert work.put == 1


async def test_what_is_put_back_once_is_not_by_a_second_stop(
    runner: Runner, work: Work, clock: StoppedClock
) -> None:
    """It would let a node that stops the service do so once more than others."""
    async with LocalEngine(runner, work, clock) as engine:
        engine.run_at(A, START + timedelta(seconds=1))
        await engine.stop(timedelta(0))
    assert work.put == 1


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), RuntimeError("a defect")])
async def test_a_stop_goes_on_where_nothing_can_be_put_back(
    make: Make, runner: Runner, work: Work, fault: Exception
) -> None:
    engine = make()
    async with engine:
        engine.run(A)
        await runner.until(lambda: runner.inside)
        work.faults = [fault]
        with capture_logs() as logs:
            await engine.stop(timedelta(0))
    assert told_of(logs) == ([] if isinstance(fault, StoreUnavailable) else ["put_back_broke"])
    assert runner.cut == [A]
