"""Two replicas on one PostgreSQL: each hears what the other committed, also after its connection was cut."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from core.events import TaskCancelled, TaskSubmitted
from core.feed import Feed
from core.model import ChannelName, Hint, StoredEvent, TaskId
from core.store.database import database as database_at
from core.store.hints import CHANNEL, GATHER, IDS, WAITING, Hints
from core.store.postgresql import conninfo
from core.store.sql import SqlStore
from tests.contracts.conftest import on
from tests.contracts.steps import ANYONE, decide, parked, submitted, waiting
from tests.world import PATIENCE, SAM, START, Diary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'countersign hints'"


@dataclass
class Replica:
    store: SqlStore
    hints: Hints
    diary: Diary = field(default_factory=Diary)

    async def heard(self, task: str) -> Hint:
        """The first hint that names the task."""
        found = await self.diary.until(lambda: [hint for hint in self.diary.hints if task in hint.tasks])
        return found[0]

    @property
    def misses(self) -> int:
        return sum(not hint.is_whole for hint in self.diary.hints)


async def replica(
    stack: AsyncExitStack, database: Database, clock: StoppedClock, name: str, gather: float = GATHER
) -> Replica:
    store = await stack.enter_async_context(SqlStore(database, clock))
    url = database.url.update_query_dict({"application_name": "countersign hints"})
    called = conninfo(database_at(url.render_as_string(hide_password=False)))
    hints = Hints(called, name, store.overheard, gather=gather)
    made = Replica(store, await stack.enter_async_context(hints))
    store.listen(made.hints)
    store.listen(made.diary)
    await made.hints.connected.wait()
    return made


@pytest.fixture
async def pair(postgres_database: Database, clock: StoppedClock) -> AsyncIterator[tuple[Replica, Replica]]:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        one = await replica(stack, postgres_database, clock, "one")
        yield one, await replica(stack, postgres_database, clock, "two")


async def test_each_hears_the_other_and_not_itself(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    task = await submitted(one.store)
    assert (await two.heard(task.id)).is_whole
    back = await submitted(two.store)
    await one.heard(back.id)
    assert not [hint for hint in one.diary.hints if task.id in hint.tasks]
    assert (one.misses, two.misses) == (1, 1), "when they began"


async def test_who_is_cancelled_and_what_is_due_is_told(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    review = await waiting(one.store, ANYONE)
    task = (await one.store.review(review)).task.id
    await one.store.cancel(task, SAM.id)
    await two.diary.until(lambda: any(task in hint.cancelled for hint in two.diary.hints))


async def test_a_reader_here_sees_what_is_decided_there_once_and_in_order(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    feed = Feed(two.store)
    two.store.listen(feed)
    review = await waiting(one.store)
    task = (await one.store.review(review)).task.id
    seen: list[int] = []

    async def read() -> None:
        seen.extend([event.seq async for event in feed.follow(task)])

    reading = asyncio.create_task(read())
    await two.diary.until(lambda: two.diary.hints)
    await decide(one.store, review)
    await one.store.cancel(task, SAM.id)
    await reading
    assert seen == [event.seq for event in await one.store.events(task, 0)]


async def test_a_reader_misses_nothing_where_the_next_is_stored_here_before_the_hint_came(
    pair: tuple[Replica, Replica],
) -> None:
    """Found by readers of three replicas: events 5 and 6 were stored here before anybody told of 3 and 4."""
    one, two = pair
    feed = Feed(two.store)
    task = (await submitted(one.store)).id
    events = feed.follow(task)
    seen = [await anext(events)]
    reading = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    two.store.listen(OnlyHere(feed))
    review = await parked(one.store, task)
    await decide(two.store, review)
    seen.append(await reading)
    await two.store.cancel(task, SAM.id)
    seen += [event async for event in events]
    assert [event.seq for event in seen] == list(range(1, len(await one.store.events(task, 0)) + 1))


class OnlyHere:
    """Passes on what is stored here, and no hint."""

    def __init__(self, feed: Feed) -> None:
        self.committed = feed.committed

    def heard(self, hint: Hint) -> None:
        """It is still on its way."""


async def test_a_reader_is_told_again_of_an_end_that_it_has_seen(pair: tuple[Replica, Replica]) -> None:
    """The hint of what was read already must not make it wait for more."""
    one, two = pair
    task = (await submitted(one.store)).id
    await one.store.cancel(task, SAM.id)
    feed = Feed(two.store)
    pieces = feed.follow_in_pieces(task)
    first = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    feed.heard(Hint(tasks=frozenset({task})))
    piece = await first
    assert not piece.is_last
    assert [piece async for piece in pieces] == []


async def test_many_tasks_are_told_in_messages_one_after_the_other(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    ids = {TaskId(f"{number:032x}") for number in range(3 * IDS)}
    event = TaskSubmitted(submitter=SAM.id)
    one.hints.committed([StoredEvent(task=task, seq=1, at=START, event=event) for task in ids], set())
    await two.diary.until(lambda: ids <= {task for hint in two.diary.hints for task in hint.tasks})


async def test_what_is_heard_is_no_reason_to_speak_before_its_time(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """Two busy replicas answered each other's every message with one of their own."""
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        two = await replica(stack, postgres_database, clock, "two")
        async with AsyncExitStack() as short:
            one = await replica(short, postgres_database, clock, "one", gather=3600)
            first = await submitted(one.store)
            await two.heard(first.id)
            waits = await submitted(one.store)
            theirs = await submitted(two.store)
            await one.heard(theirs.id)
            joins = await submitted(one.store)
        assert (await two.heard(waits.id)).tasks == {waits.id, joins.id}, "in one message, at the end"


async def test_a_group_that_changed_is_told(pair: tuple[Replica, Replica]) -> None:
    """Slack tells one of us."""
    one, two = pair
    one.hints.group_changed("S0123ABCD")
    await two.diary.until(lambda: any("S0123ABCD" in hint.groups for hint in two.diary.hints))


async def test_after_a_cut_everybody_is_told_that_something_may_be_missing(
    pair: tuple[Replica, Replica], postgres_database: Database
) -> None:
    one, two = pair
    assert len(on(postgres_database, CUT)) == 2
    await one.diary.until(lambda: one.misses == 2)
    await two.diary.until(lambda: two.misses == 2)
    task = await submitted(one.store)
    await two.heard(task.id)


async def test_what_was_committed_while_nobody_could_be_told_is_told_later(
    pair: tuple[Replica, Replica], postgres_database: Database
) -> None:
    one, two = pair
    on(postgres_database, CUT)
    task = await submitted(one.store)
    await two.diary.until(
        lambda: any(task.id in hint.tasks or not hint.is_whole for hint in two.diary.hints[1:])
    )


class Gone:
    """A server whose connection has broken."""

    async def ask(self, _prepared: str, *_values: str) -> None:
        raise OSError("gone")


async def test_nothing_of_what_could_not_be_said_is_forgotten() -> None:
    hints = Hints("", "r", lambda _: None)
    await _told(hints, [TaskId("t")])
    hints.committed((), {ChannelName("leases")})
    hints.group_changed("S1")
    hints._ring()
    with pytest.raises(OSError, match="gone"):
        await hints._say(Gone())  # type: ignore[arg-type]  # this is the fault
    await _told(hints, [TaskId("later")])
    (message,) = hints._messages()
    said = json.loads(message)
    assert (said["moved"], said["due"], said["groups"]) == (["t", "later"], ["leases"], ["S1"])


class Hearing:
    """A server that takes what it is told."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    async def ask(self, _prepared: str, _channel: str, message: str) -> None:
        self.said.append(json.loads(message))


async def test_what_could_not_be_said_is_said_as_soon_as_it_can_be_and_as_it_stands_by_then() -> None:
    hints = Hints("", "r", lambda _: None)
    called_off = StoredEvent(task=TaskId("t"), seq=2, at=START, event=TaskCancelled(by=SAM.id))

    class CancelledMeanwhile(Gone):
        async def ask(self, *said: str) -> None:
            hints.committed([called_off], set())
            await super().ask(*said)

    await _told(hints, [TaskId("t")])
    hints._ring()
    with pytest.raises(OSError, match="gone"):
        await hints._say(CancelledMeanwhile())  # type: ignore[arg-type]  # as above
    server = Hearing()
    assert await hints._say(server)  # type: ignore[arg-type]  # likewise
    assert [(said["moved"], said["cancelled"], said["whole"]) for said in server.said] == [([], ["t"], True)]


async def test_that_there_were_too_many_to_name_is_not_forgotten_where_it_could_not_be_said() -> None:
    hints = Hints("", "r", lambda _: None)
    await _told(hints, [TaskId(str(number)) for number in range(WAITING + 1)])
    hints._ring()
    with pytest.raises(OSError, match="gone"):
        await hints._say(Gone())  # type: ignore[arg-type]  # as above
    server = Hearing()
    assert await hints._say(server)  # type: ignore[arg-type]  # likewise
    assert [said["whole"] for said in server.said] == [False]


async def test_the_last_word_of_who_leaves_is_heard(postgres_database: Database, clock: StoppedClock) -> None:
    async with AsyncExitStack() as stack:
        stays = await replica(stack, postgres_database, clock, "stays")
        async with AsyncExitStack() as short:
            leaves = await replica(short, postgres_database, clock, "leaves")
            leaves.hints.committed((), {ChannelName("leases")})
        await stays.diary.until(lambda: any("leases" in hint.due for hint in stays.diary.hints))


async def test_a_message_that_nobody_understands_is_a_reason_to_look(
    pair: tuple[Replica, Replica], postgres_database: Database
) -> None:
    one, _ = pair
    on(postgres_database, f"SELECT pg_notify('{CHANNEL}', '{{\"by\": \"a later release\"}}')")
    await one.diary.until(lambda: one.misses == 2)


def test_messages_stay_below_what_postgresql_takes() -> None:
    hints = Hints("", "r" * 32, lambda _: None)
    ids = [TaskId(f"{number:032x}") for number in range(3 * IDS + 1)]
    with asyncio.Runner() as runner:
        runner.run(_told(hints, ids))
    messages = hints._messages()
    assert len(messages) == 4
    assert max(map(len, messages)) < 8000
    assert sorted(task for message in messages for task in json.loads(message)["moved"]) == sorted(ids)


def test_of_many_groups_that_changed_each_is_told() -> None:
    hints = Hints("", "r" * 32, lambda _: None)
    groups = {f"S{number:039x}" for number in range(3 * IDS + 1)}
    ids = [TaskId(f"{number:032x}") for number in range(IDS + 1)]

    async def changed() -> None:
        for group in groups:
            hints.group_changed(group)
        await _told(hints, ids)

    with asyncio.Runner() as runner:
        runner.run(changed())
    messages = hints._messages()
    assert max(map(len, messages)) < 8000
    said = [json.loads(message) for message in messages]
    assert sorted(group for message in said for group in message["groups"]) == sorted(groups)
    assert sorted(task for message in said for task in message["moved"]) == sorted(ids)


def test_of_too_many_it_is_only_said_that_there_were_some() -> None:
    hints = Hints("", "r", lambda _: None)
    with asyncio.Runner() as runner:
        runner.run(_told(hints, [TaskId(str(number)) for number in range(WAITING + 1)]))
    (message,) = hints._messages()
    assert json.loads(message) == {
        "by": "r",
        "moved": [],
        "cancelled": [],
        "due": [],
        "groups": [],
        "whole": False,
    }


async def _told(hints: Hints, ids: list[TaskId]) -> None:
    event = TaskSubmitted(submitter=SAM.id)
    hints.committed([StoredEvent(task=task, seq=1, at=START, event=event) for task in ids], set())


def test_a_cancelled_task_is_named_as_such() -> None:
    hints = Hints("", "r", lambda _: None)

    async def cancelled() -> None:
        event = TaskCancelled(by=SAM.id)
        hints.committed([StoredEvent(task=TaskId("t"), seq=2, at=START, event=event)], set())

    with asyncio.Runner() as runner:
        runner.run(cancelled())
    (message,) = hints._messages()
    assert json.loads(message)["cancelled"] == ["t"]
