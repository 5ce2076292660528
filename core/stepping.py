"""Runs one PocketFlow node: as PocketFlow would, but what blocks is kept off the event loop."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, TypeVar

from pocketflow import AsyncBatchFlow, AsyncFlow, AsyncNode, AsyncParallelBatchFlow, Flow

from core.errors import FlowError
from core.running import Interrupt
from core.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from datetime import timedelta

    from pocketflow import BaseNode

    from core.nodes import Shared


T = TypeVar("T")

LONGEST_ACTION = 200
"""Characters of an action that are kept."""


class TookTooLong(Exception):
    """A node did not end within the flow's timeout; its text is the whole sentence."""


async def run(node: BaseNode, shared: Shared) -> str | None:
    """The node's action."""
    return text_of(await _run(node, shared, asyncio.Lock()))


async def in_time(path: str, work: Coroutine[Any, Any, T], limit: timedelta) -> T:
    """What a node's `work` returns. Whatever it does, an ordinary exception comes out of it (or the
    interrupt that asks for a review), unless it is cancelled."""
    try:
        async with asyncio.timeout(limit.total_seconds()) as deadline:
            return await work
    except TimeoutError:
        if deadline.expired():
            raise TookTooLong(f"Node {path!r} took longer than {limit.total_seconds():g} s.") from None
        raise
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        raise RuntimeError("it cancelled itself") from error
    except (Exception, Interrupt, KeyboardInterrupt):
        raise
    except BaseException as error:  # left alone, it would end the service, or leave the task running for ever
        raise RuntimeError(f"it raised {type(error).__name__}({error})") from error


def text_of(action: object) -> str | None:
    """An action as it is stored; None for what PocketFlow takes for none, as False or an empty text.

    A node that returns its result as its action ends the flow there; the record has the beginning of it.
    Raises `FlowError` for one that no database takes.
    """
    if not action:
        return None
    text = word_of(action)
    if len(text) > LONGEST_ACTION:
        text = text[:LONGEST_ACTION] + "…"
    if "\x00" in text or text != text.encode("utf-8", "replace").decode():
        raise FlowError(f"The action {text[:100]!r} holds NUL or half a surrogate pair, which is not text.")
    return text


def word_of(action: object) -> str:
    """An action's text: of an enum's member that is text its value, as PocketFlow looks it up."""
    return str.__str__(action) if isinstance(action, str) else str(action)


def fresh(node: BaseNode, params: Mapping[str, Any]) -> BaseNode:
    """As PocketFlow does: a copy for each visit, with the flow's parameters."""
    one = copy.copy(node)
    one.set_params(dict(params))
    return one


async def prepare(flow: Flow, shared: Shared) -> Any:
    """What a flow's own `prep` returns."""
    if isinstance(flow, AsyncFlow):
        return await flow.prep_async(shared)
    return await in_thread(lambda: flow.prep(shared))


async def conclude(flow: Flow, shared: Shared, prepared: Any, action: str | None) -> Any:
    """What a flow's own `post` makes of its last node's action."""
    if isinstance(flow, AsyncFlow):
        return await flow.post_async(shared, prepared, action)
    return await in_thread(lambda: flow.post(shared, prepared, action))


def has_prep(flow: Flow) -> bool:
    """Whether somebody gave the flow a `prep` of its own."""
    if isinstance(flow, AsyncFlow):
        return type(flow).prep_async is not AsyncFlow.prep_async
    return type(flow).prep is not Flow.prep


def has_post(flow: Flow) -> bool:
    if isinstance(flow, AsyncFlow):
        return type(flow).post_async is not AsyncFlow.post_async
    return type(flow).post is not Flow.post


async def _run(node: BaseNode, shared: Shared, turn: asyncio.Lock) -> Any:
    """The node's action as it returns it. What blocks is run in `turn`, for in PocketFlow nothing that runs
    at the same time can come between what a synchronous node reads and what it writes."""
    kind = type(node)
    if not isinstance(node, AsyncNode):
        async with turn:
            return await in_thread(lambda: node._run(shared))
    if not isinstance(node, AsyncFlow):
        return await node._run_async(shared)
    if kind._run_async is AsyncBatchFlow._run_async:
        prepared = await node.prep_async(shared) or []
        for params in prepared:
            await _run_all(node, shared, {**node.params, **params}, turn)
        return await node.post_async(shared, prepared, None)
    if kind._run_async is AsyncParallelBatchFlow._run_async:
        prepared = await node.prep_async(shared) or []
        runs = [_run_all(node, shared, {**node.params, **params}, turn) for params in prepared]
        await _all_at_once(runs)
        return await node.post_async(shared, prepared, None)
    if kind._run_async is AsyncFlow._run_async:
        prepared = await node.prep_async(shared)
        return await node.post_async(shared, prepared, await _run_all(node, shared, node.params, turn))
    return await node._run_async(shared)


async def _all_at_once(runs: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Where one fails the others are stopped, and its error is the one that counts."""
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _run_all(flow: AsyncFlow, shared: Shared, params: Mapping[str, Any], turn: asyncio.Lock) -> Any:
    """The nodes of a flow in one go, for one set of parameters; the last action."""
    if type(flow)._orch_async is not AsyncFlow._orch_async:
        return await flow._orch_async(shared, dict(params))
    action: Any = None
    node: BaseNode | None = flow.start_node
    while node is not None:
        action = await _run(fresh(node, params), shared, turn)
        node = flow.get_next_node(node, action)
    return action


def _is_being_cancelled() -> bool:
    """Whether somebody asked this very task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
