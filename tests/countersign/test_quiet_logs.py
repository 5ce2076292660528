"""A log tells of every defect, and has no word of what people wrote: an error's message may quote it."""

from __future__ import annotations

import ast
import asyncio
import json
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

import core
from core.model import Policy, Recipient, Status
from core.nodes import ProcessNode, ResultNode, ReviewNode
from core.processors import from_function, offline
from core.store.sql import SqlStore
from core.timekeeper import Timekeeper
from tests.contracts.steps import waiting
from tests.core.graphs import drafting, in_a_row
from tests.web.web_house import PAGE, House
from tests.world import ANA, PAPER, PEOPLE, PaperChannel, draft_flows, eventually, flow_settings, whole_core
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from core.model import Json, Person, PersonId, Timer
    from core.store.database import Database
    from tests.world import StoppedClock, World

CANARY = "pay Mira Holm nothing"
HOUSE = Path(core.__file__).parent.parent
ROOMS = ("core", "bot", "web", "countersign")
HOUR = timedelta(hours=1)


class Log:
    """What a log file would hold, were tracebacks not left out elsewhere."""

    def __init__(self) -> None:
        self.file = StringIO()

    def defects(self) -> dict[str, str]:
        """The class of each error that was told of, by the line's event."""
        lines = [json.loads(line) for line in self.file.getvalue().splitlines()]
        return {
            line["event"]: line.get("error", "") for line in lines if line["level"] in {"error", "warning"}
        }

    async def tells(self, event: str) -> str:
        """The class, once it does."""

        async def told() -> str | None:
            await asyncio.sleep(0)
            return self.defects().get(event)

        return await eventually(told) or ""


@pytest.fixture
def log() -> Iterator[Log]:
    """Whatever is logged meanwhile; no word of the canary is in it in the end."""
    written = Log()
    with _written_to(written.file):
        yield written
    assert CANARY not in written.file.getvalue()


@contextmanager
def _written_to(file: StringIO) -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(file),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


async def quoting(_task_input: Json) -> Json:
    raise ValueError(CANARY)


class Quoting:
    """A part of ours with a defect."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError(CANARY)


class QuotingTimers(SqlStore):
    async def fire(
        self, timer: Timer, *, policies: Mapping[str, Policy], people: Mapping[PersonId, Person]
    ) -> bool:
        raise ValueError(CANARY)


async def test_a_node_that_raises(sqlite_database: Database, clock: StoppedClock, log: Log) -> None:
    """The task's own record, which its people may read, has the whole sentence."""
    flow = drafting(from_function(quoting, "quoting"), flow_settings(retries=0))
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.end((await world.submit()).id)
    assert task.error == f"Node 'process' failed: ValueError: {CANARY}"
    assert log.defects() == {"task_failed": "ValueError"}


async def test_what_follows_and_a_segment(sqlite_database: Database, clock: StoppedClock, log: Log) -> None:
    flow = in_a_row(ProcessNode(processor=offline), ReviewNode("first"), ReviewNode("second"), ResultNode())
    async with whole_core(sqlite_database, clock, flows={"draft": flow}) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
        flow.__dict__["graph"] = Quoting()
        await world.approve(review)
        assert (await world.end(task.id)).status is Status.FAILED
    assert log.defects() == {"sequel_broke": "ValueError", "segment_broke": "ValueError"}


async def test_a_channel_that_raises(sqlite_database: Database, clock: StoppedClock, log: Log) -> None:
    paper = PaperChannel()
    paper.faults = [ValueError(CANARY)]
    flows = draft_flows(Recipient(channel=PAPER, address="desk"))
    async with whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world:
        await world.submit()
        assert await log.tells("delivery_broke") == "ValueError"


async def test_a_timer_that_raises(sqlite_database: Database, clock: StoppedClock, log: Log) -> None:
    timed = Policy(name="timed", reviewers=(ANA.id,), reminders=(HOUR,), deadline=2 * HOUR)
    async with QuotingTimers(sqlite_database, clock) as store:
        await waiting(store, timed)
        clock.advance(HOUR)
        async with Timekeeper(store, clock, PEOPLE, {}):
            assert await log.tells("timer_broke") == "ValueError"


@pytest.mark.parametrize("headers", [PAGE, {}])
async def test_a_page_that_raises(world: World, log: Log, headers: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task = await house.submitted()
        browser = await house.signed_in("ana")
        house.service.fault = ValueError(CANARY)
        async with browser.get(f"/v1/tasks/{task}", headers=headers) as answer:
            assert answer.status == 500
    assert log.defects() == {"request_failed": "ValueError"}


def told_whole(source: str) -> list[int]:
    """Lines that log an exception with its message."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _tells_whole(call)]


def _tells_whole(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="log"), attr="exception"):
            return True
        case _:
            return any(given.arg == "exc_info" for given in call.keywords)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_logs_an_error_whole(room: str) -> None:
    """core/defects.py has what is told instead."""
    found = {
        f"{file.relative_to(HOUSE)}:{line}"
        for file in (HOUSE / room).rglob("*.py")
        for line in told_whole(file.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "source", ['log.exception("it_broke", task_id=task)', 'log.error("it_broke", exc_info=error)']
)
def test_one_that_does_is_found(source: str) -> None:
    assert told_whole(source) == [1]
