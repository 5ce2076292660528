"""The parts of the house with a span around what they do: one trace for each task, over all its waits.

A task's trace goes with it as `metadata.traceparent`, so that it is the same one after days and restarts.
Spans hold ids and words of the vocabulary: no input, draft or comment, and no sentence of an error.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.errors import CountersignError
from core.flow import FlowRunner
from core.model import TRACEPARENT, OpenReview
from core.ports import TakesOver
from core.running import Interrupt
from core.segment import Segment
from core.service import Service
from core.store.rows import micros
from core.submissions import MAX_METADATA

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, MutableMapping
    from datetime import datetime, timedelta

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from core.flow import FlowDefinition
    from core.graph import Place
    from core.model import (
        ChannelName,
        Delivery,
        Json,
        MessageRef,
        Notice,
        PersonId,
        Position,
        Recipient,
        ReviewRequest,
        Submission,
        Task,
        Verdict,
    )
    from core.ports import Channel

T = TypeVar("T")
W3C = TraceContextTextMapPropagator()


class Tracing:
    """Where spans go."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.tracer: Tracer = provider.get_tracer("countersign", version("countersign"))

    def service(self, *parts: Any, **more: Any) -> Service:
        """As `Service`."""
        return TracedService(self.tracer, *parts, **more)

    def runner(self, *parts: Any) -> FlowRunner:
        """As `FlowRunner`."""
        return TracedRunner(self.tracer, *parts)

    def channel(self, channel: Channel) -> Channel:
        return TracedChannel(channel, self.tracer)

    async def stop(self, within: timedelta) -> None:
        """Send what is left; a collector that does not answer holds nobody up."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may be gone by now
                loop.call_soon_threadsafe(done.set)

        # A thread of its own: the event loop would wait for one of its pool.
        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await done.wait()

    @staticmethod
    def carried() -> Mapping[str, str]:
        """The headers that hand the present span on."""
        carrier: dict[str, str] = {}
        W3C.inject(carrier)
        return carrier

    @staticmethod
    def named(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A log line with the ids of the present span."""
        found = trace.get_current_span().get_span_context()
        if found.is_valid:
            event["trace_id"] = trace.format_trace_id(found.trace_id)
            event["span_id"] = trace.format_span_id(found.span_id)
        return event


def exported() -> Tracing:
    """To an OTLP collector; address, headers, sampler and batches are by the standard variables."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create(None if is_named else {SERVICE_NAME: "countersign"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def context_of(traceparent: object) -> Context | None:
    """None for what is no W3C trace context: the span then begins a trace of its own."""
    return W3C.extract({TRACEPARENT: traceparent}) if isinstance(traceparent, str) else None


def of_task(task: Task) -> Context | None:
    return context_of(task.metadata.get(TRACEPARENT))


@contextmanager
def span(
    tracer: Tracer,
    name: str,
    context: Context | None,
    attributes: Mapping[str, str | int],
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """What fails in it is named by its class alone: a sentence may hold what somebody wrote."""
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=dict(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except Interrupt:
            made.set_attribute("countersign.asks", True)
            raise
        except Exception as error:  # whatever it is, it is noted and goes on its way
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def _nanoseconds(at: datetime) -> int:
    return micros(at) * 1000


def note_wait(tracer: Tracer, review: ReviewRequest) -> None:
    """The span of a review's wait, made once it is over."""
    if review.closed_at is None:
        return
    waited = tracer.start_span(
        "review",
        context=of_task(review.task),
        start_time=_nanoseconds(review.opened_at),
        attributes={**_of_review(review), "countersign.outcome": review.outcome.value},
    )
    waited.end(_nanoseconds(review.closed_at))


def _of_review(review: ReviewRequest) -> dict[str, str | int]:
    return {
        "countersign.task_id": review.task.id,
        "countersign.review_id": review.id,
        "countersign.attempt": review.attempt,
        "countersign.policy": review.policy.name,
    }


class TracedService(Service):
    """Begins a task's trace, or goes on with its submitter's; tells of waits and decisions."""

    def __init__(self, tracer: Tracer, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.tracer = tracer

    async def submit(self, submission: Submission) -> tuple[Task, bool]:
        theirs = submission.metadata.get(TRACEPARENT)
        context = context_of(theirs if theirs is not None else submission.traceparent)
        with span(self.tracer, "submit", context, {}, SpanKind.SERVER) as made:
            task, is_new = await super().submit(_carrying(submission))
            made.set_attributes(
                {"countersign.task_id": task.id, "countersign.flow": task.flow, "countersign.new": is_new}
            )
            return task, is_new

    async def decide(
        self,
        which: str | OpenReview,
        reviewer: PersonId,
        verdict: Verdict,
        *,
        comment: str | None = None,
        content: Json = None,
        via: str,
        copy: tuple[Recipient, MessageRef] | None = None,
    ) -> ReviewRequest:
        facts: dict[str, str | int] = {
            "countersign.verdict": verdict.value,
            "countersign.channel": via,
        }
        context = await self._trace_of(which)
        with span(self.tracer, "decide", context, facts, SpanKind.SERVER) as made:
            review = await super().decide(
                which, reviewer, verdict, comment=comment, content=content, via=via, copy=copy
            )
            made.set_attributes({**_of_review(review), "countersign.outcome": review.outcome.value})
            note_wait(self.tracer, review)
            return review

    async def _trace_of(self, which: str | OpenReview) -> Context | None:
        """A read more; what is wrong with `which` the decision itself will say."""
        try:
            if isinstance(which, OpenReview):
                return of_task(await self.task(which.task))
            return of_task((await self.review(which)).task)
        except CountersignError:
            return None


def _carrying(submission: Submission) -> Submission:
    """With the present span in its metadata, unless its submitter put one there, or all room is taken."""
    known = submission.metadata
    carried = Tracing.carried().get(TRACEPARENT)
    if carried is None or TRACEPARENT in known or len(known) >= MAX_METADATA:
        return submission
    return replace(submission, metadata={**known, TRACEPARENT: carried})


class TracedRunner(FlowRunner):
    """A span for each segment, and in it one for each run of a node."""

    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self.tracer = tracer

    async def _run_segment(self, flow: FlowDefinition, position: Position) -> datetime | None:
        task = position.task
        facts: dict[str, str | int] = {
            "countersign.task_id": task.id,
            "countersign.flow": task.flow,
            "countersign.attempt": max(task.attempt, 1),
            "countersign.node": position.node or "",
        }
        with span(self.tracer, "segment", of_task(task), facts):
            closed = position.review or (position.answers[-1] if position.answers else None)
            if closed is not None and closed.is_by_the_clock:
                note_wait(self.tracer, closed)
            return await TracedSegment(self.tracer, self._store, flow, position, self._clock).run()


class TracedSegment(Segment):
    """A span around what is somebody else's code."""

    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self.tracer = tracer

    async def _in_a_run(
        self, place: Place, work: Coroutine[Any, Any, T], answers: tuple[ReviewRequest, ...] = ()
    ) -> T:
        facts: dict[str, str | int] = {
            "countersign.task_id": self._task.id,
            "countersign.node": place.path,
            "countersign.attempt": self._attempt,
        }
        with span(self.tracer, f"node {place.path}", None, facts):
            return await super()._in_a_run(place, work, answers)


class TracedChannel:
    """A channel with a span around each call, in the trace of the task that it tells of."""

    def __init__(self, channel: Channel, tracer: Tracer) -> None:
        self._channel = channel
        self._tracer = tracer

    @property
    def name(self) -> ChannelName:
        return self._channel.name

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        with self._calling("post", delivery, content):
            return await self._channel.post(delivery, content, thread=thread)

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        with self._calling("update", delivery, content):
            await self._channel.update(delivery, content, message=message)

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        return self._channel.spacing(recipient, edits=edits)

    def taken_over(self) -> None:
        if isinstance(self._channel, TakesOver):
            self._channel.taken_over()

    @contextmanager
    def _calling(self, what: str, delivery: Delivery, content: ReviewRequest | Notice) -> Iterator[None]:
        facts: dict[str, str | int] = {
            "countersign.task_id": delivery.task,
            "countersign.delivery_id": delivery.id,
            "countersign.channel": self.name,
            "countersign.try": delivery.tries + 1,
        }
        with span(self._tracer, f"{what} {self.name}", of_task(content.task), facts, SpanKind.CLIENT):
            yield
