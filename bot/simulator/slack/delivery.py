"""What the simulated Slack sends to the app: one delivery, its answer, and what can go wrong on the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from bot.simulator.slack.limits import EVENT_RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.simulator.slack.model import Body
    from bot.simulator.slack.workspace import Workspace


class Kind(StrEnum):
    """A Socket Mode envelope's type; over HTTP the three differ in their encoding."""

    EVENT = "events_api"
    INTERACTIVE = "interactive"
    COMMAND = "slash_commands"


class Forgery(StrEnum):
    """What is wrong with an HTTP delivery that does not come from Slack, or not in time."""

    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong signature"
    OLD_TIMESTAMP = "old timestamp"
    """Signed well, but 301 s ago."""
    ALTERED_BODY = "altered body"
    """The signature is that of another body."""


class Failure(StrEnum):
    """Why there was no good answer: the words of `X-Slack-Retry-Reason`."""

    TIMEOUT = "http_timeout"
    ERROR = "http_error"
    CONNECTION = "connection_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One payload on its way to the app."""

    kind: Kind
    payload: Body
    accepts_payload: bool = False
    """Whether the answer may carry something (dialogs and commands)."""
    retry: int = 0
    retry_reason: Failure | None = None
    forged: Forgery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the app said to a delivery."""

    status: int = 0
    """The HTTP status; an acknowledgement over Socket Mode is 200; 0 is no answer."""
    body: Body | str | None = None
    """JSON where it is some, else text; None where it is empty."""
    seconds: float = 0.0
    """How long it took, by the event loop's clock."""
    failure: Failure | None = None
    no_retry: bool = False
    """`X-Slack-No-Retry: 1` came with it."""
    duplicates: tuple[Answer, ...] = ()
    """The answers to the further copies, where `Knobs.duplicate` made some."""

    @property
    def ok(self) -> bool:
        return self.failure is None

    @property
    def timed_out(self) -> bool:
        return self.failure is Failure.TIMEOUT


class Transport(Protocol):
    """A way to the app: `SocketMode` or `SignedHttp`."""

    async def send(self, delivery: Delivery) -> Answer:
        """Deliver once; failures are answers too, never exceptions."""
        ...


@dataclass(slots=True)
class Knobs:
    """What shall happen to the next deliveries on their way."""

    duplicate: int = 0
    """How many of the next deliveries arrive twice, both at once."""
    delay: float = 0.0
    """Seconds before each delivery leaves, until set to 0 again."""
    drop_ack: int = 0
    """How many of the next answers get lost: Slack then behaves as after a timeout."""
    _gate: list[asyncio.Future[None]] | None = field(default=None, repr=False)

    def hold(self) -> None:
        """Keep every delivery back from now on, until `release`."""
        self._gate = self._gate or []

    @property
    def held(self) -> int:
        """How many deliveries wait for `release`."""
        return len(self._gate or ())

    def release(self, *, reverse: bool = False) -> None:
        """Let go of what is held, in the order of the presses or in reverse, and hold no more."""
        waiting, self._gate = self._gate or [], None
        for future in reversed(waiting) if reverse else waiting:
            if not future.done():
                future.set_result(None)

    async def pass_gate(self, workspace: Workspace) -> None:
        if self._gate is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gate.append(future)
        workspace.tell("held")
        await future


class Deliveries:
    """Sends payloads by the current transport and redelivers events that were not acknowledged."""

    def __init__(self, workspace: Workspace, *, event_retries: Sequence[float] = EVENT_RETRY_SECONDS) -> None:
        self.knobs = Knobs()
        self.event_retries = tuple(event_retries)
        self.transport: Transport | None = None
        self._workspace = workspace
        self._redeliveries: set[asyncio.Task[None]] = set()

    async def deliver(self, delivery: Delivery) -> Answer:
        """Send it, with what the knobs ask for; unacknowledged events are redelivered by themselves."""
        answer = await self._once(delivery)
        if delivery.kind is Kind.EVENT and _shall_retry(answer):
            task = asyncio.create_task(self._redeliver(delivery, answer))
            self._redeliveries.add(task)
            task.add_done_callback(self._forget)
        return answer

    def _forget(self, task: asyncio.Task[None]) -> None:
        """Let go of a redelivery that ended well; one that did not is kept for `close` to raise."""
        if task.cancelled() or task.exception() is None:
            self._redeliveries.discard(task)

    async def close(self) -> None:
        """Give up what would still be redelivered; a redelivery that failed by a bug of ours raises here."""
        self.transport = None
        self.knobs.release()
        waiting = list(self._redeliveries)
        for task in waiting:
            task.cancel()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _redeliver(self, delivery: Delivery, answer: Answer) -> None:
        for retry, seconds in enumerate(self.event_retries, start=1):
            await asyncio.sleep(seconds)
            answer = await self._once(replace(delivery, retry=retry, retry_reason=answer.failure))
            if not _shall_retry(answer):
                return

    async def _once(self, delivery: Delivery) -> Answer:
        await self.knobs.pass_gate(self._workspace)
        if self.knobs.delay:
            await asyncio.sleep(self.knobs.delay)
        if self.knobs.duplicate <= 0:
            return await self._sent(delivery)
        self.knobs.duplicate -= 1
        first, second = await asyncio.gather(self._sent(delivery), self._sent(delivery))
        return replace(first, duplicates=(second,))

    async def _sent(self, delivery: Delivery) -> Answer:
        if self.transport is None:
            return Answer(failure=Failure.CONNECTION)
        answer = await self.transport.send(delivery)
        if self.knobs.drop_ack > 0:
            self.knobs.drop_ack -= 1
            return replace(answer, status=0, body=None, failure=Failure.TIMEOUT, no_retry=False)
        return answer


def _shall_retry(answer: Answer) -> bool:
    return not answer.ok and not answer.no_retry
