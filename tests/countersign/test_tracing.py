"""One trace over submission, wait, decision and webhook, with a restart between; and no trace of content."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from core.definitions import definition
from core.errors import NotAReviewer, NotFound
from core.model import Policy, Submission, TaskId, Verdict
from core.ports import TakesOver
from core.processors.python import from_function
from core.submissions import MAX_METADATA
from countersign.traced import Tracing
from countersign.tracing import is_asked_for, tracing
from tests.core.graphs import drafting
from tests.countersign.plain_house import bearer, posted, running
from tests.world import (
    ANA,
    EVE,
    PATIENCE,
    PEOPLE,
    SAM,
    Board,
    PaperChannel,
    flow_settings,
    policies,
    whole_core,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock, World

THEIRS = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{THEIRS}-b7ad6b7169203331-01"


class Receiver(Board):
    """Keeps the headers and bodies of what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.json()))
        self.change()
        return web.Response()

    async def told(self, kind: str) -> tuple[dict[str, str], dict[str, Any]]:
        return (await self.until(lambda: [one for one in self.got if one[1]["type"] == kind]))[0]


class Traces:
    """Spans of all houses, kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def tracing(self) -> Tracing:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(_Kept(self.exporter)))
        return Tracing(provider)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


class _Kept(InMemorySpanExporter):
    """Hands all to another one, which outlives the shutdown of a provider."""

    def __init__(self, kept: InMemorySpanExporter) -> None:
        super().__init__()
        self.export = kept.export  # type: ignore[method-assign]  # the same method, of the one that lasts


def trace_of(span: ReadableSpan) -> str:
    return format(span.context.trace_id, "032x") if span.context else ""


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    kept = Receiver()
    app = web.Application()
    app.router.add_post("/told", kept.receive)
    async with TestServer(app) as server:
        yield kept, str(server.make_url("/told"))


async def test_one_trace_from_submission_over_a_restart_to_the_webhook(
    sqlite_database: Database, receiver: tuple[Receiver, str]
) -> None:
    kept, url = receiver
    traces = Traces()
    async with running(sqlite_database, traces.tracing()) as (opened, http):
        sam = {**await bearer(opened, "sam"), "traceparent": TRACEPARENT}
        task = await posted(http, "/v1/tasks", sam, input="a private text", callback_url=url)
        headers, notice = await kept.told("task.waiting_for_review")
        assert headers["traceparent"].split("-")[1] == THEIRS
        assert notice["data"]["metadata"]["traceparent"].split("-")[1] == THEIRS
    assert not traces.named("review")
    async with running(sqlite_database, traces.tracing()) as (opened, http):
        ana = await bearer(opened, "ana")
        review = notice["data"]["review_id"]
        await posted(
            http,
            f"/v1/tasks/{task['task_id']}/decisions",
            ana,
            verdict="approve",
            review_id=review,
            comment="a private word",
        )
        headers, _ = await kept.told("task.completed")
    assert {trace_of(span) for span in traces.spans} == {THEIRS}
    submit, wait, decide = (traces.named(name)[0] for name in ("submit", "review", "decide"))
    assert submit.parent is not None
    assert format(submit.parent.span_id, "016x") == "b7ad6b7169203331"
    assert submit.context is not None
    for span in (wait, decide, *traces.named("segment"), *traces.named("post webhook")):
        assert span.parent is not None
        assert span.parent.span_id == submit.context.span_id, span.name
    (node,) = traces.named("node process")
    assert node.parent is not None
    assert node.parent.span_id in {span.context.span_id for span in traces.named("segment") if span.context}
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert submit.end_time is not None
    assert decide.start_time is not None
    assert decide.end_time is not None
    assert submit.start_time is not None
    assert submit.start_time < wait.start_time < decide.start_time < wait.end_time < decide.end_time
    sent = [span for span in traces.named("post webhook") if span.context]
    assert headers["traceparent"].split("-")[2] in {
        format(span.context.span_id, "016x") for span in sent if span.context
    }
    assert (decide.attributes or {})["countersign.verdict"] == "approve"
    everything = "".join(span.to_json() for span in traces.spans)
    assert "private" not in everything
    assert "ana" not in everything


async def test_the_same_key_in_another_trace_is_the_same_request(sqlite_database: Database) -> None:
    traces = Traces()
    async with running(sqlite_database, traces.tracing()) as (opened, http):
        sam = {**await bearer(opened, "sam"), "Idempotency-Key": "once"}
        first = await posted(http, "/v1/tasks", {**sam, "traceparent": TRACEPARENT}, input="hello")
        again = await posted(http, "/v1/tasks", sam, input="hello")
    assert again["task_id"] == first["task_id"]
    assert again["metadata"] == first["metadata"]


async def test_a_hook_goes_on_with_its_senders_trace_and_bad_ones_begin_anew(
    sqlite_database: Database,
) -> None:
    traces = Traces()
    async with running(sqlite_database, traces.tracing()) as (opened, http):
        ci = {"Authorization": "Bearer ci-secret"}
        hooked = await posted(http, "/hooks/ci", {**ci, "traceparent": TRACEPARENT}, build=1)
        task = await opened.service.task(TaskId(hooked["task_id"]))
        assert str(task.metadata["traceparent"]).split("-")[1] == THEIRS
        hooked = await posted(http, "/hooks/ci", {**ci, "traceparent": "00-no-trace-01"}, build=2)
        task = await opened.service.task(TaskId(hooked["task_id"]))
        assert len(str(task.metadata["traceparent"]).split("-")[1]) == 32


async def test_who_names_a_trace_in_the_metadata_is_followed(sqlite_database: Database) -> None:
    traces = Traces()
    async with running(sqlite_database, traces.tracing()) as (opened, http):
        sam = await bearer(opened, "sam")
        task = await posted(http, "/v1/tasks", sam, input="hello", metadata={"traceparent": TRACEPARENT})
        assert task["metadata"] == {"traceparent": TRACEPARENT}
    assert trace_of(traces.named("submit")[0]) == THEIRS


async def test_metadata_that_has_room_for_no_more_is_taken_as_it_is(sqlite_database: Database) -> None:
    full = {f"key {number}": number for number in range(MAX_METADATA)}
    async with running(sqlite_database, Traces().tracing()) as (opened, http):
        task = await posted(http, "/v1/tasks", await bearer(opened, "sam"), input="hello", metadata=full)
    assert task["metadata"] == full


def test_a_traced_channel_hears_that_another_server_has_called_meanwhile() -> None:
    class Paced(PaperChannel):
        told = 0

        def taken_over(self) -> None:
            self.told += 1

    paced, traced = Paced(), Traces().tracing()
    for channel in (paced, PaperChannel()):
        found = traced.channel(channel)
        assert isinstance(found, TakesOver)
        found.taken_over()
    assert paced.told == 1


async def test_without_tracing_nothing_is_added(sqlite_database: Database) -> None:
    async with running(sqlite_database, None) as (opened, http):
        sam = {**await bearer(opened, "sam"), "traceparent": TRACEPARENT}
        task = await posted(http, "/v1/tasks", sam, input="hello")
        assert task["metadata"] == {}


async def test_a_wait_that_the_deadline_ended_is_told_too(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    traces, hour = Traces(), timedelta(hours=1)
    policy = Policy(name="default", reviewers=(ANA.id,), deadline=hour)
    drafts = {"draft": definition(flow_settings(max_attempts=1), {"default": policy}, None)}
    async with whole_core(sqlite_database, clock, flows=drafts, tracing=traces.tracing()) as world:
        task = await world.submit("hello")
        await world.open_review(task.id)
        clock.advance(hour)
        await world.end(task.id)
    (wait,) = traces.named("review")
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert wait.end_time - wait.start_time == 3_600 * 10**9
    assert (wait.attributes or {})["countersign.outcome"] == "expired"
    assert trace_of(wait) == str(task.metadata["traceparent"]).split("-")[1]


async def test_a_node_that_fails_is_named_by_the_class_of_its_error(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async def process(shared: Mapping[str, Json]) -> Json:
        raise ValueError("a private text")

    traces = Traces()
    drafts = {"draft": drafting(process, flow_settings(retries=0))}
    async with whole_core(sqlite_database, clock, flows=drafts, tracing=traces.tracing()) as world:
        task = await world.submit("hello")
        await world.end(task.id)
    (node,) = traces.named("node process")
    assert (node.status.status_code, node.status.description) == (StatusCode.ERROR, "ValueError")
    assert "private" not in "".join(span.to_json() for span in traces.spans)


async def test_what_a_node_traces_hangs_below_it_also_in_a_thread(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    traces = Traces()
    traced = traces.tracing()

    def process(text: str) -> str:
        with traced.tracer.start_as_current_span("a call of the node's own"):
            return text

    drafts = {"draft": drafting(from_function(process, "a function"))}
    async with whole_core(sqlite_database, clock, flows=drafts, tracing=traced) as world:
        await world.open_review((await world.submit("hello")).id)
    (own,), (node,) = traces.named("a call of the node's own"), traces.named("node process")
    assert own.parent is not None
    assert node.context is not None
    assert own.parent.span_id == node.context.span_id


async def test_a_refused_decision_is_a_span_with_its_class(world: World, clock: StoppedClock) -> None:
    traces = Traces()
    service = traces.tracing().service(
        world.store, world.feed, PEOPLE, world.flows, policies=policies(), clock=clock
    )
    review = await world.open_review((await world.submit("hello")).id)
    with pytest.raises(NotAReviewer):
        await service.decide(review, EVE.id, Verdict.APPROVE, via="api")
    with pytest.raises(NotFound):
        await service.decide("0" * 32, ANA.id, Verdict.APPROVE, via="api")
    said = [span.status.description for span in traces.named("decide")]
    assert said == ["NotAReviewer", "NotFound"]
    assert not traces.named("review")


async def test_log_lines_name_the_trace_that_they_belong_to(world: World, clock: StoppedClock) -> None:
    found = Traces().tracing()
    service = found.service(world.store, world.feed, PEOPLE, world.flows, policies=policies(), clock=clock)
    lines: list[dict[str, Any]] = []

    def keep(_logger: object, _method: str, event: Any) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[found.named, keep])
    try:
        task, _ = await service.submit(
            Submission(input="a private text", submitter=SAM.id, traceparent=TRACEPARENT)
        )
        await service.decide(await world.open_review(task.id), ANA.id, Verdict.APPROVE, via="api")
    finally:
        structlog.reset_defaults()
    told = {line["event"]: line for line in lines}
    for event in ("task_submitted", "decision_recorded"):
        assert told[event]["trace_id"] == THEIRS
        assert len(told[event]["span_id"]) == 16
    assert "private" not in str(lines)


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
    ],
)
def test_tracing_is_asked_for_by_the_standard_variables(environ: dict[str, str], asked: bool) -> None:
    assert is_asked_for(environ) is asked


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
    ],
)
def test_what_is_not_supported_is_said_and_stops_nothing(environ: dict[str, str], setting: str) -> None:
    found, trouble = tracing(environ)
    assert found is None
    assert trouble.startswith(f"{setting}: ")


def test_nothing_of_it_is_imported_where_nobody_asks() -> None:
    program = (
        "import sys, countersign.serve, countersign.tracing\n"
        "assert countersign.tracing.tracing({}) == (None, '')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


async def test_spans_leave_for_the_collector_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[tuple[str, bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((request.headers["x-key"], await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with TestServer(app) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(collector.make_url("")).rstrip("/"))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        found, trouble = tracing(os.environ)
        assert found is not None, trouble
        with found.tracer.start_as_current_span("a span"):
            pass
        await found.stop(timedelta(seconds=PATIENCE))
    ((key, body),) = got
    assert key == "k"
    assert b"a span" in body
    assert b"countersign" in body


async def test_a_collector_that_does_not_answer_holds_no_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, leave = asyncio.Event(), asyncio.Event()

    async def receive(_request: web.Request) -> web.Response:
        asked.set()
        await leave.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with TestServer(app) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(collector.make_url("")).rstrip("/"))
        found, _ = tracing(os.environ)
        assert found is not None
        with found.tracer.start_as_current_span("a span"):
            pass
        await found.stop(timedelta(seconds=0.01))
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
        leave.set()
