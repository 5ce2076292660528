"""What a node may ask while Countersign runs it: its run key, a review, a word on how far it is.

The run stands in a context variable, which the threads of synchronous nodes inherit.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from core.errors import FlowError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from core.model import Answer, Json


class Interrupt(BaseException):
    """A node asks for a review that it has no answer to yet; its run ends here, and begins again with it.

    Not an `Exception`, so that neither a node's own `except Exception` nor PocketFlow's retries take it.
    """

    def __init__(self, draft: Json, policy: str | None) -> None:
        super().__init__("a review is asked for")
        self.draft = draft
        self.policy = policy


class Run:
    """One run of one node."""

    def __init__(
        self,
        key: str,
        answers: Iterator[Answer],
        tell: Callable[[float | None, str | None, str], None],
        *,
        may_ask: bool = True,
    ) -> None:
        self.key = key
        self._may_ask = may_ask
        self._answers = answers
        self._tell = tell
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._texts: list[str] = []
        self._progress: tuple[float | None, str | None] | None = None
        self._begun: list[Coroutine[Any, Any, Answer]] = []
        self.asked: Interrupt | None = None
        """The review that the node has no answer to; it stands, whatever the node makes of the interrupt."""

    def review(self, draft: Json, policy: str | None) -> Answer:
        """The next answer, or the interrupt that asks for it."""
        if not self._may_ask:
            raise FlowError("review() has to be awaited by a node, not by a flow's own prep or post.")
        if asyncio.current_task() is not self._task:
            raise FlowError(
                "review() has to be awaited by the node itself, not by a task or a parallel item that it "
                "started: which answer belongs to which could not be told."
            )
        for answer in self._answers:
            return answer
        self.asked = self.asked or Interrupt(draft, policy)
        raise self.asked

    def begin(self, asking: Coroutine[Any, Any, Answer]) -> None:
        """A node has called `review()`, and is about to await it, most likely."""
        self._begun.append(asking)

    def drop_unasked(self) -> bool:
        """Whether the node has called `review()` and never awaited it, so that nobody was asked."""
        unasked = [one for one in self._begun if inspect.getcoroutinestate(one) == inspect.CORO_CREATED]
        self._begun.clear()
        for one in unasked:
            one.close()
        return bool(unasked)

    def tell(self, fraction: float | None, text: str | None, streamed: str) -> None:
        """Note it on the event loop, whatever thread it comes from."""
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            self._tell(fraction, text, streamed)
            return
        with self._lock:
            is_first = self._progress is None and not self._texts
            if streamed:
                self._texts.append(streamed)
            else:
                self._progress = (fraction, text)
        if is_first:
            # One call for all that is said until it is made: a thread that never pauses would leave the loop
            # with more calls than it can ever make.
            self._loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        """What threads have said since the last time."""
        with self._lock:
            texts, self._texts = self._texts, []
            progress, self._progress = self._progress, None
        if texts:
            self._tell(None, None, "".join(texts))
        if progress is not None:
            self._tell(*progress, "")


current: ContextVar[Run | None] = ContextVar("countersign_run", default=None)
"""The run of the node whose code is running."""


def run_key(shared: Mapping[str, Any]) -> str:  # noqa: ARG001 - named by the contract; the run knows more
    """The same for every run of one task, node and visit: an idempotency key for what the node does.

    64 hexadecimal digits. Raises `FlowError` where Countersign is not running the node.
    """
    return _run("run_key()").key


def review(draft: Json, *, policy: str | None = None) -> Coroutine[Any, Any, Answer]:
    """Put `draft` before reviewers and wait for what they decide, days if need be.

    Waiting costs nothing: the node's run ends here, and its task is rows. Once the review is closed the
    node runs again **from its beginning**, `prep` included, from the state of its last checkpoint, and
    this call returns the answer. So what stands before it happens again: put effects after it, or give
    them `run_key(shared)`. The calls of one visit are answered in their order.

    `policy` is a policy's name; None is the flow's. Raises `FlowError` outside of a node. A node that
    does not await it fails: it would go on as if people had said yes.
    """
    asking = _asked(draft, policy)
    run = current.get()
    if run is not None:
        run.begin(asking)
    return asking


async def _asked(draft: Json, policy: str | None) -> Answer:
    return _run("review()").review(draft, policy)


def progress(fraction: float | None, text: str | None = None) -> None:
    """Say how far the node is: `fraction` from 0 to 1 (None: unknown), and a short text.

    Cheap: only the newest word is stored, four times a second at most. Does nothing outside of a run, so
    that a node can be tried without Countersign.
    """
    run = current.get()
    if run is not None:
        known = None if fraction is None else min(max(float(fraction), 0.0), 1.0)
        if known is not None and math.isnan(known):
            known = None
        run.tell(known, None if text is None else str(text), "")


def stream_text(text: str) -> None:
    """More of the text that the node is making, for those who watch; its result is still what it returns."""
    run = current.get()
    if run is not None and text:
        run.tell(None, None, str(text))


def _run(what: str) -> Run:
    run = current.get()
    if run is None:
        raise FlowError(f"{what} is known only while Countersign runs the node.")
    return run
