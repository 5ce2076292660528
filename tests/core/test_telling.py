"""What nodes say while they run, whoever says it and however much."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import Flow

from core import telling
from core.events import ProgressReported, TextStreamed
from core.model import Status
from core.nodes import progress, stream_text
from core.telling import MOST_TEXT, Telling
from tests.core.graphs import Does, DoesInThread, Shared
from tests.core.small_flows import flow_of
from tests.world import StoppedClock, World, whole_core

if TYPE_CHECKING:
    from core.events import Event
    from core.store.database import Database


async def streamed(world: World, task: str) -> str:
    return "".join(one.text for one in await world.history(task) if isinstance(one, TextStreamed))


@pytest.mark.parametrize("said", [b"bytes", 7, ["a", "list"]])
async def test_what_is_streamed_and_is_no_text_is_no_harm(
    sqlite_database: Database, clock: StoppedClock, said: Any
) -> None:
    """The node had done its work by the time that this failed it, and it was run again."""
    runs: list[None] = []

    async def works(shared: Shared) -> None:
        runs.append(None)
        stream_text(said)
        shared["final_result"] = "done"

    flow = flow_of(Flow(start=Does("works", works)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
        assert (done.status, done.final_result, len(runs)) == (Status.COMPLETED, "done", 1)
        assert await streamed(world, done.id) == str(said)


async def test_a_node_that_streams_without_end_is_not_recorded_without_end(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def works(shared: Shared) -> None:
        for _ in range(20):
            stream_text("x" * (MOST_TEXT // 10))

    flow = flow_of(Flow(start=Does("works", works)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
        text = await streamed(world, done.id)
    assert done.status is Status.COMPLETED
    assert (len(text), text[-1]) == (MOST_TEXT + 1, "…")


async def test_who_speaks_again_after_a_silence_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "SPACING", timedelta())
    stored: list[Event] = []

    async def store(events: list[Event]) -> None:
        stored.extend(events)

    said = Telling("works", store)
    for word in ("one", "two", "three"):
        said.note(None, None, word)
        assert said._notes is not None
        await said._notes
    await said.end()
    assert stored == [TextStreamed(node="works", text=word) for word in ("one", "two", "three")]


async def test_what_a_thread_left_behind_says_after_the_end_is_not_recorded() -> None:
    stored: list[Event] = []

    async def store(events: list[Event]) -> None:
        stored.extend(events)

    said = Telling("works", store)
    said.note(0.5, "half", "")
    await said.end()
    said.note(1, "all", "")
    said.note(None, None, "and more")
    await said.end()
    assert stored == [ProgressReported(node="works", fraction=0.5, text="half")]


async def test_a_thread_that_reports_its_progress_all_the_time_costs_one_note_at_a_time(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """The event loop is not given a call for each word: it would be behind for as long again."""
    texts = 5_000

    def works(shared: Shared) -> None:
        for number in range(100_000):
            progress(number / 100_000, f"step {number}")
        for number in range(texts):
            stream_text(f"{number} ")
        progress(1, "all")

    flow = flow_of(Flow(start=DoesInThread("works", works)))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        done = await world.end((await world.submit()).id)
        told = [one for one in await world.history(done.id) if isinstance(one, ProgressReported)]
        assert await streamed(world, done.id) == "".join(f"{number} " for number in range(texts))
    assert done.status is Status.COMPLETED
    assert (told[-1].fraction, told[-1].text) == (1.0, "all")
    assert len(told) < 100
