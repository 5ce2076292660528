"""Flows of every shape that a crash may meet, and the people who play them to their end.

A player asks what is stored before each act, so that it can be stopped and started anywhere: it submits
under one key, answers only what is open, and forks only what has no fork. The effects of nodes are told to a
`Receive`, which stands for the world outside and outlives every crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pocketflow import AsyncFlow, AsyncNode, Flow

from core.codec import encode
from core.errors import AlreadyDecided, Overloaded, ReviewIsClosed
from core.events import ReviewRequested, TaskRewound, kind
from core.flow import FlowDefinition
from core.graph import Graph
from core.model import LOCAL, Answer, Person, ReviewId, Submission, TaskFilter, TaskId, Verdict
from core.nodes import ProcessNode, ResultNode, ReviewNode, review, run_key
from core.processors import offline
from tests.world import ANA, BEN, CY, SAM, flow_settings, policies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from core.events import Event
    from core.model import Json, Recipient, Task
    from core.service import Service

Shared = dict[str, Any]
# PocketFlow has no types, so every class that is made of its is one of Any.
# mypy: disable-error-code="misc"

Receive = Callable[[str, str], None]
"""Is told a node's name and its run key."""


class Works(AsyncNode):
    """Has an effect outside, under its run key, and makes a draft of how often it was here."""

    def __init__(self, name: str, receive: Receive) -> None:
        super().__init__()
        self.name = name
        self.receive = receive

    async def post_async(self, shared: Shared, prep_res: object, exec_res: object) -> None:
        self.receive(self.name, run_key(shared))
        done = shared.setdefault("done", [])
        done.append(self.name)
        shared["processed_output"] = f"{shared['task_input']}, {done.count(self.name)} of {self.name}"


class Asks(Works):
    """Asks twice in the middle of its work; its effect stands behind both answers."""

    async def prep_async(self, shared: Shared) -> list[Json]:
        first = await review("May I?")
        second = await review({"after": first.comment, "what": "How much?"}, policy="two")
        return [first.content, first.comment, second.content, list(second.reviewers)]

    async def post_async(self, shared: Shared, prep_res: object, exec_res: object) -> None:
        shared["answers"] = [*shared.get("answers", []), prep_res]
        await super().post_async(shared, prep_res, exec_res)


class Framed(AsyncFlow):
    """A flow with a prep and a post of its own."""

    async def prep_async(self, shared: Shared) -> dict[str, Json]:
        shared["entered"] = shared.get("entered", 0) + 1
        return {"came with": shared.get("processed_output")}

    async def post_async(self, shared: Shared, prep_res: dict[str, Json], exec_res: str | None) -> str:
        shared["left"] = [prep_res, exec_res]
        return "again" if shared["entered"] < 2 else "default"


def loop(receive: Receive) -> Flow:
    work, look = Works("work", receive), ReviewNode("look")
    work >> look
    look - "rejected" >> work
    look - "approved" >> Works("publish", receive) >> ResultNode()
    return Flow(start=work)


def three(receive: Receive) -> Flow:
    """The second folds its answer in by itself."""

    def note(shared: Shared, answer: Answer) -> None:
        shared["legal"] = [*shared.get("legal", []), [answer.outcome.value, answer.comment]]

    work, ship = Works("work", receive), Works("ship", receive)
    style, legal, board = ReviewNode("style"), ReviewNode("legal", apply=note), ReviewNode("board")
    work >> style
    for one, following in ((style, legal), (legal, board), (board, ship)):
        one - "approved" >> following
        one - "rejected" >> work
    return Flow(start=work)


def nested(receive: Receive) -> Flow:
    """A loop with a review inside a flow that is gone through twice."""
    inside, look = Works("inside", receive), ReviewNode("look")
    inside >> look
    look - "rejected" >> inside
    look - "approved" >> Works("further", receive)
    inner = Framed(start=inside)
    inner.name = "inner"
    first = Works("first", receive)
    first >> inner
    inner - "again" >> inner
    inner >> Works("last", receive)
    return AsyncFlow(start=first)


def from_inside(receive: Receive) -> Flow:
    first = Works("first", receive)
    first >> Asks("asks", receive) >> Works("last", receive)
    return AsyncFlow(start=first)


def plain(receive: Receive) -> Flow:
    """Knows nothing of reviews."""
    first = Works("first", receive)
    first >> Works("second", receive) >> Works("third", receive)
    return AsyncFlow(start=first)


def two(receive: Receive) -> Flow:
    """Work and a review, and once more."""
    first, second = Works("first", receive), Works("second", receive)
    one, other = ReviewNode("one"), ReviewNode("other")
    first >> one
    one - "approved" >> second
    one - "rejected" >> first
    second >> other
    other - "approved" >> ResultNode()
    other - "rejected" >> second
    return AsyncFlow(start=first)


def ours(_receive: Receive) -> Flow:
    """Runs nobody's code, so that what follows from a decision is stored with it."""
    process, look, again = ProcessNode(processor=offline), ReviewNode("look"), ReviewNode("again")
    process >> look
    look - "approved" >> again
    again - "approved" >> ResultNode()
    for one in (look, again):
        one - "rejected" >> process
    return Flow(start=process)


class Press(NamedTuple):
    """One reviewer's answer."""

    person: Person
    verdict: Verdict = Verdict.APPROVE
    comment: str | None = None
    content: Json = None


class Resume(NamedTuple):
    """An administrator goes back to a checkpoint: in place, unless it is a fork."""

    checkpoint: int
    state: Mapping[str, Json]


YES, NO = Press(ANA, comment="good"), Press(BEN, Verdict.REJECT, comment="once more")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A flow, its settings, and what people do at each of its reviews, in their order."""

    make: Callable[[Receive], Flow]
    answers: Sequence[Sequence[Press | Resume]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: Resume | None = None
    """After its end, in place; the rest of `answers` is then for the reviews that follow."""
    fork: Resume | None = None
    """After its end; the new task is answered as `forked`."""
    forked: Sequence[Sequence[Press]] = ()


SHAPES = {
    "loop": Shape(make=loop, answers=[[NO], [NO], [YES]]),
    "three reviews": Shape(make=three, answers=[[YES], [NO], [YES], [YES], [YES]]),
    "nested": Shape(make=nested, answers=[[NO], [YES], [YES]]),
    "from inside": Shape(make=from_inside, answers=[[YES], [Press(ANA), Press(BEN, comment="much")]]),
    "interrupts": Shape(
        make=plain,
        answers=[[YES], [YES], [YES]],
        settings={"interrupt_before": ("second", "third"), "interrupt_after": ("second",)},
    ),
    "edit": Shape(
        make=loop,
        answers=[[NO], [Press(ANA, Verdict.EDIT, "mine", "better")], [Press(BEN), Press(CY)]],
        settings={"policy": "two"},
    ),
    "resume": Shape(
        make=two,
        answers=[[YES], [Resume(1, {"processed_output": "another", "added": 1})], [YES], [NO], [YES]],
    ),
    "resume after the end": Shape(
        make=two, answers=[[YES], [YES], [YES]], resume=Resume(3, {"processed_output": "another"})
    ),
    "ours": Shape(
        make=ours,
        answers=[
            [NO],
            [Press(ANA, Verdict.EDIT, "mine", "better")],
            [Press(BEN), Press(CY)],
            [NO],
            [Press(ANA), Press(BEN)],
            [Press(CY), Press(BEN)],
        ],
        settings={"policy": "two"},
    ),
    "fork": Shape(
        make=two,
        answers=[[YES], [YES]],
        fork=Resume(2, {"processed_output": "another"}),
        forked=[[NO], [YES]],
    ),
}


def flows(receive: Receive, *recipients: Recipient) -> dict[str, FlowDefinition]:
    """Each shape as a configured flow."""
    return {
        name: FlowDefinition(
            graph=Graph(shape.make(receive)),
            settings=flow_settings(name, **shape.settings),
            policies=policies(*recipients),
        )
        for name, shape in SHAPES.items()
    }


async def play(service: Service, name: str, key: str) -> list[TaskId]:
    """Bring the task of that key to its end, and what is made of it; all their ids."""
    shape = SHAPES[name]
    task = await submitted(
        service, Submission(input="a text", submitter=SAM.id, flow=name, idempotency_key=key)
    )
    await answer(service, task.id, shape.answers)
    if shape.resume is not None and not await was_resumed(service, task.id):
        await service.checkpoints.resume(
            task.id, LOCAL, checkpoint=shape.resume.checkpoint, state=shape.resume.state
        )
    if shape.resume is not None:
        await answer(service, task.id, shape.answers)
    if shape.fork is None:
        return [task.id]
    child = await fork_of(service, task.id, shape.fork)
    await answer(service, child, shape.forked)
    return [task.id, child]


async def submitted(service: Service, submission: Submission) -> Task:
    """Whoever is told to come back, does."""
    while True:
        try:
            return (await service.submit(submission))[0]
        except Overloaded:
            await asyncio.sleep(0.1)


async def answer(service: Service, task: TaskId, answers: Sequence[Sequence[Press | Resume]]) -> None:
    """Play the reviewers until the task ends."""
    number = 0
    async for event in told(service, task):
        if isinstance(event, ReviewRequested):
            for act in answers[number]:
                await do(service, ReviewId(event.review), act)
            number += 1


async def told(service: Service, task: TaskId) -> AsyncIterator[Event]:
    async for stored in service.follow(task):
        yield stored.event


async def do(service: Service, review_id: ReviewId, act: Press | Resume) -> None:
    """One act at an open review; nothing where it was done before."""
    found = await service.review(review_id)
    if not found.is_open:
        return
    if isinstance(act, Resume):
        await service.checkpoints.resume(found.task.id, LOCAL, checkpoint=act.checkpoint, state=act.state)
        return
    try:
        await service.decide(
            review_id, act.person.id, act.verdict, comment=act.comment, content=act.content, via="api"
        )
    except (AlreadyDecided, ReviewIsClosed):
        return


async def was_resumed(service: Service, task: TaskId) -> bool:
    return any([isinstance(event, TaskRewound) async for event in told(service, task)])


async def fork_of(service: Service, task: TaskId, at: Resume) -> TaskId:
    """The task's one fork, made now where there is none."""
    page = await service.tasks(TaskFilter(submitter=LOCAL), limit=200)
    known = [TaskId(found.id) for found in page.tasks if found.parent == task]
    if known:
        return known[0]
    made = await service.checkpoints.resume(task, LOCAL, checkpoint=at.checkpoint, state=at.state, fork=True)
    return TaskId(made.id)


def story(events: Sequence[Event]) -> list[tuple[str, dict[str, Json]]]:
    """The events with their fields; ids are told apart by their order, for they differ from run to run."""
    names: dict[Json, str] = {}
    told: list[tuple[str, dict[str, Json]]] = []
    for event in events:
        facts = encode(event)
        for key in ("review", "parent"):
            if key in facts:
                facts[key] = names.setdefault(str(facts[key]), f"{key} {len(names) + 1}")
        told.append((kind(event), facts))
    return told
