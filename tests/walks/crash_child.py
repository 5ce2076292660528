"""Core in a process of its own, to be killed: `python crash_child.py FOLDER [--die-after N] [--tasks N]`.

Submits its tasks with idempotency keys, rejects each first attempt, approves the second, and ends once all
are completed; started again, it goes on. After each answer it writes a line to `told`, so that whoever counts
afterwards knows what was acknowledged. The chat is a file: `chat` has a line for each card posted or changed.

Where the folder names a PostgreSQL database in `url`, it is one of several that may share that database.

With `--shapes` the tasks are of every shape in `tests/core/shapes.py`, one after the other, and `effects` has
a line for each effect of a node: its name and its run key.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from core.clock import SystemClock
from core.definitions import definition
from core.engines.local import LocalEngine
from core.engines.procrastinate import ProcrastinateEngine
from core.errors import ReviewIsClosed, StoreUnavailable
from core.events import ReviewRequested
from core.feed import Feed
from core.flow import FlowRunner
from core.ids import new_id
from core.model import (
    ChannelName,
    FlowSettings,
    MessageRef,
    Policy,
    Recipient,
    ReviewId,
    ReviewRequest,
    Submission,
    TaskId,
    Verdict,
)
from core.outbox import Outbox
from core.service import Service
from core.store.database import database
from core.store.postgresql import conninfo
from core.store.replicas import STALLED
from core.store.sql import SqlStore
from tests.core import shapes
from tests.world import ANA, PEOPLE, SAM, THEIRS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from core.flow import FlowDefinition
    from core.model import Delivery, Hint, Notice, StoredEvent

CHAT = ChannelName("chat")


class Book:
    """A file that has each line before the next step is taken; a kill loses none of them."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def write_through(self, *words: object) -> None:
        """Also to the disk, as a receiver does that means what it acknowledges."""
        self.write(*words)
        os.fsync(self._file)


class FileChat:
    """A chat that is a file; a message's reference is the id of its delivery."""

    name = CHAT

    def __init__(self, path: Path) -> None:
        self._book = Book(path)

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        self._note("post", delivery, content)
        return MessageRef(delivery.id)

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        self._note("update", delivery, content)

    def _note(self, kind: str, delivery: Delivery, content: ReviewRequest | Notice) -> None:
        shown = content.outcome if isinstance(content, ReviewRequest) else "notice"
        superseded = content.superseded_by if isinstance(content, ReviewRequest) else None
        self._book.write(kind, delivery.id, delivery.review, shown, superseded)

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        return 0.0


class Assassin:
    """A listener that kills the process right after the commit of the `n`-th event, before any answer."""

    def __init__(self, after: int) -> None:
        self._left = after

    def committed(self, events: Sequence[StoredEvent], due: AbstractSet[ChannelName]) -> None:
        self._left -= len(events)
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(self, hint: Hint) -> None:
        """There is no other."""


def drafts(place: Recipient) -> dict[str, FlowDefinition]:
    """The flow that ships, with a processor of somebody's: with ours it would have a third of the commits."""
    policies = {"default": Policy(name="default", reviewers=(ANA.id,), recipients=(place,))}
    second = timedelta(seconds=1)
    settings = FlowSettings(
        name="draft",
        processor=THEIRS,
        timeout=10 * second,
        retries=2,
        backoff=second,
        backoff_limit=second,
        max_attempts=5,
    )
    return {"draft": definition(settings, policies, None)}


async def run(folder: Path, *, die_after: int | None, tasks: int, with_shapes: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    clock = SystemClock()
    place = Recipient(channel=CHAT, address="room")
    receive = Book(folder / "effects").write_through
    flows = shapes.flows(receive, place) if with_shapes else drafts(place)
    async with AsyncExitStack() as stack:
        store, engine = await opened(stack, folder, flows, clock)
        if die_after is not None:
            store.listen(Assassin(die_after))
        feed = Feed(store)
        outbox = Outbox(store, [FileChat(folder / "chat")], clock)
        for listener in (feed, outbox, engine):
            store.listen(listener)
        await stack.enter_async_context(outbox)
        await stack.enter_async_context(engine)
        if isinstance(engine, ProcrastinateEngine):
            store._watch.since -= STALLED * 1_000_000  # it has watched long enough to tell who is dead
            await engine.sweep()  # as it does every few seconds
        service = Service(store, feed, PEOPLE, flows)
        driver = Driver(service, folder)
        (folder / "ready").touch()
        if with_shapes:
            await asyncio.gather(*(play(service, number) for number in range(tasks)))
        else:
            await asyncio.gather(*(driver.drive(f"task-{number}") for number in range(tasks)))
        while await store.next_due_delivery(CHAT, after=clock.now() - timedelta(hours=1)) is not None:  # noqa: ASYNC110 - the store tells nobody else
            await asyncio.sleep(0.01)


async def opened(
    stack: AsyncExitStack, folder: Path, flows: dict[str, FlowDefinition], clock: SystemClock
) -> tuple[SqlStore, LocalEngine | ProcrastinateEngine]:
    """The store of this folder, and what runs its work."""
    if not (folder / "url").exists():
        base = database(f"sqlite:///{folder / 'crash.db'}")
        store = await stack.enter_async_context(SqlStore(base, clock))
        return store, LocalEngine(FlowRunner(store, flows, clock), store, clock)
    base = database((folder / "url").read_text())
    store = await stack.enter_async_context(SqlStore(base, clock, replica=new_id()))
    runner = FlowRunner(store, flows, clock)
    return store, ProcrastinateEngine(runner, store, clock, conninfo=conninfo(base))


async def play(service: Service, number: int) -> None:
    """The `number`-th task, whose key names its shape."""
    name = [*shapes.SHAPES][number % len(shapes.SHAPES)]
    await shapes.play(service, name, f"{name}-{number}")


class Driver:
    """Plays the submitter and the reviewer, both of whom press again when no answer came."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._service = service
        self._told = Book(folder / "told")

    async def drive(self, key: str) -> None:
        task, _ = await self._service.submit(Submission(input=key, submitter=SAM.id, idempotency_key=key))
        self._told.write("submit", key, task.id)
        async for stored in self._service.follow(TaskId(task.id)):
            if isinstance(stored.event, ReviewRequested):
                await self._press(ReviewId(stored.event.review), stored.event.attempt)

    async def _press(self, review: ReviewId, attempt: int) -> None:
        if not (await self._service.review(review)).is_open:
            return
        verdict = Verdict.REJECT if attempt == 1 else Verdict.APPROVE
        try:
            await self._service.decide(review, ANA.id, verdict, comment=f"no. {attempt}", via="api")
        except ReviewIsClosed:
            return
        self._told.write("decide", review, verdict)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--shapes", action="store_true")
    given = parser.parse_args()
    try:
        asyncio.run(run(given.folder, die_after=given.die_after, tasks=given.tasks, with_shapes=given.shapes))
    except StoreUnavailable as error:
        raise SystemExit(error.in_full) from error


if __name__ == "__main__":
    main()
