"""Chats in a whole house: a real core on SQLite, a real channel, a simulated platform."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from pocketflow import Flow

from bot.buttons import Buttons
from core.definitions import definition
from core.engines.local import LocalEngine
from core.errors import StoreUnavailable
from core.events import ReviewRequested
from core.feed import Feed
from core.flow import FlowDefinition, FlowRunner
from core.graph import Graph
from core.model import (
    Assurance,
    Escalation,
    OnExpiry,
    Policy,
    Quorum,
    ReasonRule,
    ReviewId,
    Submission,
    TaskId,
)
from core.nodes import ProcessNode, ReviewNode
from core.outbox import Outbox
from core.processors.offline import offline
from core.service import Service
from core.store.sql import SqlStore
from core.timekeeper import Timekeeper
from tests.core.graphs import Does
from tests.world import ANA, BEN, CY, PEOPLE, SAM, Diary, draft_flows, eventually, flow_settings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

    from core.model import (
        ChannelName,
        ChatUpdate,
        Decision,
        Delivery,
        Dialog,
        MessageRef,
        PersonId,
        Recipient,
        ReviewRequest,
        Task,
    )
    from core.ports import Channel
    from core.store.database import Database
    from tests.world import StoppedClock

QUICK = ("Too expensive", "Not now")
PUBLIC_URL = "https://sign.example.com"


DOWN = StoreUnavailable("The database is locked.")


class ShakyService(Service):
    """The service, over a database that cannot be reached for presses while `is_down`."""

    is_down = False
    refused = 0
    """So many decisions were, as it was down."""
    defect: Exception | None = None
    """What the next decision, or list of what waits for somebody, raises."""
    slow: asyncio.Event | None = None
    """Decisions wait for it."""
    slow_lists: asyncio.Event | None = None
    """What waits for somebody is known once it is set."""
    slow_checks: asyncio.Event | None = None
    """What is to be known before somebody is asked waits for it."""
    slow_copies: asyncio.Event | None = None
    """Whether the copy that was pressed is known waits for it."""

    async def decide(self, *args: Any, **options: Any) -> ReviewRequest:
        if self.slow is not None:
            await self.slow.wait()
        if self.is_down:
            self.refused += 1
            raise DOWN
        self._break()
        return await super().decide(*args, **options)

    async def waiting_for(self, *args: Any, **options: Any) -> Sequence[ReviewRequest]:
        if self.slow_lists is not None:
            await self.slow_lists.wait()
        self._break()
        return await super().waiting_for(*args, **options)

    def _break(self) -> None:
        if self.defect is not None:
            defect, self.defect = self.defect, None
            raise defect

    async def withdraw(self, *args: Any, **options: Any) -> ReviewRequest:
        if self.is_down:
            raise DOWN
        return await super().withdraw(*args, **options)

    async def check_may_decide(self, *args: Any, **options: Any) -> ReviewRequest:
        if self.slow_copies is not None and options.get("copy"):
            await self.slow_copies.wait()
        if self.slow_checks is not None:
            await self.slow_checks.wait()
        if self.is_down:
            raise DOWN
        return await super().check_may_decide(*args, **options)


@dataclass
class ShakyInbox:
    """The store's inbox; what comes while `is_down` cannot be stored. While `is_full` nothing is marked."""

    store: SqlStore
    is_down: bool = False
    is_full: bool = False
    unmarked: int = 0
    """So many marks were refused."""
    defect: Exception | None = None
    """What the next look at unhandled updates raises."""
    lookup_defect: Exception | None = None
    """What the next look whether one is handled raises."""
    slow: asyncio.Event | None = None
    """What was stored is known only after it."""
    pages: list[int] = field(default_factory=list)
    """How many updates each look brought."""

    async def keep_update(self, update: ChatUpdate, *, handled: bool = False) -> bool:
        if self.is_down:
            raise DOWN
        is_new = await self.store.keep_update(update, handled=handled)
        if self.slow is not None:
            await self.slow.wait()
        return is_new

    async def unhandled_updates(
        self, channel: ChannelName, *, after: ChatUpdate | None = None, limit: int = 100
    ) -> Sequence[ChatUpdate]:
        if self.defect is not None:
            defect, self.defect = self.defect, None
            raise defect
        page = await self.store.unhandled_updates(channel, after=after, limit=limit)
        self.pages.append(len(page))
        return page

    async def update_handled(self, channel: ChannelName, update_id: str) -> None:
        if self.is_full:
            self.unmarked += 1
            raise DOWN
        await self.store.update_handled(channel, update_id)

    async def is_handled(self, channel: ChannelName, update_id: str) -> bool:
        if self.is_down:
            raise DOWN
        if self.lookup_defect is not None:
            defect, self.lookup_defect = self.lookup_defect, None
            raise defect
        return await self.store.is_handled(channel, update_id)

    async def place_moved(self, place: Recipient, address: str) -> None:
        if self.is_down:
            raise DOWN
        await self.store.place_moved(place, address)

    async def heard(self, channel: ChannelName, *, kept: timedelta) -> int:
        if self.is_down:
            raise DOWN
        return await self.store.heard(channel, kept=kept)


class ShakyStore(SqlStore):
    """The store, in which what messages of ours are may become known late, or not at all."""

    slow_notes: asyncio.Event | None = None
    """Until then nothing that was posted is noted as posted."""
    slow_dialogs: asyncio.Event | None = None
    """Until then no message is known to ask anything."""
    has_no_room: bool = False
    """Whether no message can be kept as one that asks something, though all that is stored can be read."""

    async def delivery_shown(self, wanted: Delivery, message: MessageRef) -> None:
        if self.slow_notes is not None and wanted.message is None:
            await self.slow_notes.wait()
        await super().delivery_shown(wanted, message)

    async def open_dialog(self, dialog: Dialog) -> None:
        if self.has_no_room:
            raise DOWN
        if self.slow_dialogs is not None:
            await self.slow_dialogs.wait()
        await super().open_dialog(dialog)


@dataclass
class House:
    """Core, and the key of its buttons."""

    store: ShakyStore
    service: ShakyService
    inbox: ShakyInbox
    buttons: Buttons
    diary: Diary
    clock: StoppedClock
    outbox: Outbox = field(init=False)
    """Made after the channel, which is made knowing the house, as are these."""
    engine: LocalEngine = field(init=False)
    timekeeper: Timekeeper = field(init=False)

    async def quiet(self) -> None:
        """Everything that is due by the stopped clock has been done, and been shown, or was tried."""

        async def ask() -> bool:
            # Before a turn of the loop, too: somebody may be about to be woken.
            was_at_rest = self.is_at_rest
            await self.store.check()
            return was_at_rest and self.is_at_rest

        await eventually(ask)

    async def noted(self) -> None:
        """What was sent is stored as sent; before, it is seen already, and no reply to it understood."""

        async def ask() -> bool:
            await self.store.counts()
            return not self.outbox.under_way

        await eventually(ask)

    @property
    def is_at_rest(self) -> bool:
        return not self.engine.held and self.timekeeper.is_at_rest and self.outbox.is_at_rest

    async def submit(self, text: str = "hello world", *, flow: str = "draft") -> Task:
        """A new task of Sam's."""
        task, _ = await self.service.submit(Submission(input=text, submitter=SAM.id, flow=flow))
        return task

    async def review(self, task: Task, attempt: int = 1) -> ReviewRequest:
        """The review of an attempt, once it is open."""

        def opened() -> list[ReviewId]:
            events = self.diary.of(task.id)
            return [
                ReviewId(event.review)
                for event in events
                if isinstance(event, ReviewRequested) and event.attempt == attempt
            ]

        (found,) = await self.diary.until(opened)
        return await self.service.review(found)

    async def task(self, task: Task) -> Task:
        return await self.service.task(TaskId(task.id))

    async def delivery(self, task: Task, holds: Callable[[Delivery], object]) -> Delivery:
        """The task's first delivery, once that holds for it."""

        async def look() -> Delivery | None:
            deliveries = await self.service.deliveries(task.id)
            return deliveries[0] if deliveries and holds(deliveries[0]) else None

        found = await eventually(look)
        assert found is not None
        return found


class Housed(Protocol):
    """A house with a chat."""

    house: House


async def decisions(there: Housed, task: Task) -> tuple[Decision, ...]:
    """On the task's first review."""
    return (await there.house.service.reviews(task.id))[0].decisions


async def decided(there: Housed, task: Task) -> Decision:
    """The only one, once it is made."""
    (decision,) = await eventually(lambda: decisions(there, task))
    return decision


def house_policies() -> tuple[Policy, ...]:
    """`own` has Sam, who submits, among its reviewers; the others are what their names say."""
    both = (ANA.id, BEN.id)
    return (
        Policy(name="own", reviewers=(ANA.id, SAM.id)),
        Policy(name="destructive", reviewers=both, destructive=True),
        Policy(name="page", reviewers=both, assurance=Assurance.CONFIRM),
        Policy(name="paged", reviewers=both, approvals=2, assurance=Assurance.CONFIRM),
        Policy(name="reasoned", reviewers=both, reason=ReasonRule.ON_REJECT),
        Policy(name="always", reviewers=both, reason=ReasonRule.ALWAYS, quick_reasons=QUICK),
        Policy(name="lenient", reviewers=both, approvals=2, rejections=2),
        Policy(
            name="staged",
            reviewers=both,
            approvals=2,
            stages=tuple(
                (Quorum(name=name, people=(person,), approvals=1),)
                for name, person in (("legal", ANA.id), ("ops", BEN.id))
            ),
        ),
        Policy(name="brief", reviewers=(ANA.id,), deadline=timedelta(minutes=2)),
        Policy(name="fatal", reviewers=(ANA.id,), deadline=timedelta(minutes=2), on_expiry=OnExpiry.FAIL),
        Policy(
            name="timed",
            reviewers=(ANA.id,),
            deadline=timedelta(hours=4),
            reminders=(timedelta(hours=1),),
            escalation=Escalation(after=timedelta(hours=2), people=(BEN.id, CY.id)),
        ),
    )


def paying(policies: dict[str, Policy]) -> FlowDefinition:
    """What is approved is then paid, which gives a receipt, or fails where the input says so."""

    async def pay(shared: dict[str, Any]) -> None:
        if "broke" in shared["task_input"]:
            raise ValueError("no money")
        shared["final_result"] = f"receipt 7 for {shared['processed_output']}"

    process, review = ProcessNode(processor=offline), ReviewNode(policy="lenient")
    process >> review
    review - "approved" >> Does("pay", pay)
    review - "rejected" >> process
    return FlowDefinition(
        graph=Graph(Flow(start=process)), settings=flow_settings("paying", retries=0), policies=policies
    )


@asynccontextmanager
async def core_with(
    database: Database,
    clock: StoppedClock,
    recipients: Iterable[Recipient],
    *makes: Callable[[House], Channel],
    in_force: Mapping[str, Policy] = {},
    admins: Collection[PersonId] = (),
) -> AsyncIterator[House]:
    """Core as it runs, with the channels that `makes` make; their listening is the caller's affair.

    Besides the flows of `tests.world` there are those of `house_policies`, each under its policy's name, and
    `approval`, whose draft is the input as it is, under `own`.
    """
    places = tuple(recipients)
    own = {policy.name: replace(policy, recipients=places) for policy in house_policies()}
    flows = draft_flows(*places) | {
        name: definition(flow_settings(name, policy=name), own, None) for name in own
    }
    flows["approval"] = definition(flow_settings("approval", shipped="approval", policy="own"), own, None)
    flows["paying"] = paying(own)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(ShakyStore(database, clock))
        feed, diary = Feed(store), Diary()
        service = ShakyService(store, feed, PEOPLE, flows, policies=in_force, admins=admins, clock=clock)
        inbox = ShakyInbox(store)
        house = House(store, service, inbox, await Buttons.kept_in(store), diary, clock)
        engine = LocalEngine(FlowRunner(store, flows, clock), store, clock)
        channels = [make(house) for make in makes]
        outbox = Outbox(store, channels, clock, policies=in_force, random=Random(1))  # noqa: S311 - jitter, the same each time
        timekeeper = Timekeeper(store, clock, PEOPLE, in_force)
        house.outbox, house.engine, house.timekeeper = outbox, engine, timekeeper
        for listener in (diary, feed, outbox, engine, timekeeper):
            store.listen(listener)
        await stack.enter_async_context(outbox)
        await stack.enter_async_context(engine)
        await stack.enter_async_context(timekeeper)
        yield house


@asynccontextmanager
async def served(routes: Iterable[web.RouteDef]) -> AsyncIterator[str]:
    """The routes on loopback; the server's base URL."""
    app = web.Application()
    app.add_routes(routes)
    # As ours (web/app.py): a request that its sender gives up is cancelled.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
