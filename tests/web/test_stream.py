"""web/stream.py: what happened, replayed and then live."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientConnectionError
from aiohttp.web import Application, StreamResponse
from structlog.testing import capture_logs

from core.events import EVENTS, NodeRetried, TaskCompleted, TaskResumed, kind
from core.model import LOCAL, PersonId, Piece, StoredEvent, TaskId, Verdict
from tests.web.web_house import House, Troubled
from tests.world import PATIENCE, eventually
from web.app import REQUESTS_MAY_END
from web.pings import Pings
from web.settings import WebSettings
from web.stream import MOST_AT_ONCE, intermediate_result, status_message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp
    from aiohttp.web import Server

    from core.model import Json
    from tests.web.web_house import Houses
    from tests.world import StoppedClock, World

DOCS = Path(__file__).parents[2] / "docs/http.md"

Seen = list[tuple[int, dict[str, Any]]]


async def read(answer: aiohttp.ClientResponse, until: str | None = None) -> Seen:
    """The messages up to the first of status `until`, or up to the end."""
    seen: Seen = []
    number = 0
    async for raw in answer.content:
        field, _, value = raw.decode().rstrip("\n").partition(": ")
        if field == "id":
            number = int(value)
        if field == "data":
            seen.append((number, json.loads(value)))
            if seen[-1][1].get("status") == until:
                break
    return seen


async def history(house: House, task_id: str, after: int | str | None = None) -> tuple[int, Seen]:
    headers = await house.bearer("ana")
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    async with house.http.get(f"/stream/{task_id}", headers=headers) as answer:
        return answer.status, await read(answer)


async def decided(house: House, task_id: str, verdict: Verdict, comment: str | None = None) -> None:
    attempt = (await house.task(task_id)).attempt
    review = await house.open_review(task_id, attempt)
    await house.service.decide(review, PersonId("ana"), verdict, comment=comment, via="api")
    if verdict is Verdict.REJECT:
        await house.open_review(task_id, attempt + 1)
    else:
        await house.world.end(task_id)


async def finished(house: House, text: str = "hello") -> str:
    """A task with two attempts, completed."""
    task_id = await house.submitted(text)
    await decided(house, task_id, Verdict.REJECT, "why?")
    await decided(house, task_id, Verdict.APPROVE)
    return task_id


async def test_a_history_too_long_for_one_packet_arrives_whole(house: House) -> None:
    task_id = await finished(house, "x" * MOST_AT_ONCE)
    status, seen = await history(house, task_id)
    assert status == 200
    numbers = [number for number, _ in seen]
    assert (numbers, seen[-1][1]["status"]) == (sorted(numbers), "completed")
    drafts = [message["output_to_review"] for _, message in seen if "output_to_review" in message]
    assert drafts == [review.draft for review in await house.service.reviews(task_id)]


async def test_what_was_sent_is_not_kept_while_the_stream_is_open(house: House) -> None:
    """A draft may be large, and the next event days away."""
    task_id = await house.submitted("hello")
    async with house.http.get(f"/stream/{task_id}", headers=await house.bearer("ana")) as answer:
        await read(answer, until="waiting_for_review")

        async def ask() -> bool:
            return not any(isinstance(found, Piece) for found in gc.get_objects())

        await eventually(ask)


async def test_the_shapes_are_the_contract_s(house: House) -> None:
    task_id = await finished(house)
    first, second = await house.world.service.reviews(task_id)
    assert first.draft != second.draft
    status, seen = await history(house, task_id)
    assert status == 200
    assert [message for _, message in seen] == [
        {"status": "pending", "task_id": task_id},
        {"status": "running", "attempt": 1},
        {
            "status": "waiting_for_review",
            "output_to_review": first.draft,
            "attempt": 1,
            "review_id": first.id,
        },
        {"status": "running", "attempt": 2},
        {
            "status": "waiting_for_review",
            "output_to_review": second.draft,
            "attempt": 2,
            "review_id": second.id,
        },
        {"status": "completed", "final_result": second.draft, "outcome": "approved"},
    ]
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))


async def test_it_is_an_event_stream_that_proxies_leave_alone(house: House) -> None:
    task_id = await finished(house)
    async with house.http.get(f"/stream/{task_id}", headers=await house.bearer("ana")) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "no-cache" in answer.headers["Cache-Control"]


def test_the_documentation_names_every_event_and_its_fields() -> None:
    told = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    rows = {name: set(re.findall(r"\w+", said)) for names, said in told for name in re.findall(r"\w+", names)}
    for event in EVENTS:
        assert {field.name for field in fields(event)} <= rows[kind(event)], kind(event)


async def test_every_event_has_its_message_or_none(house: House) -> None:
    silent = {
        "NodeRetried",
        "NodeFinished",
        "ActionUnmatched",
        "ProgressReported",
        "TextStreamed",
        "TaskForked",
        "DecisionRecorded",
        "ReviewApproved",
        "ReviewRejected",
        "ReviewEdited",
        "DecisionWithdrawn",
        "DecisionsCarried",
        "DecisionsDropped",
        "ReviewerReminded",
        "ReviewClaimed",
        "ClaimEnded",
        "ReminderSnoozed",
        "QuestionAsked",
        "QuestionAnswered",
        "ReviewEscalated",
        "ReviewStuck",
        "ReviewExpired",
    }
    task_id = await finished(house)
    spoken = {
        type(stored.event).__name__
        for stored in await house.world.store.events(TaskId(task_id), 0)
        if status_message(stored)
    }
    assert not spoken & silent
    assert {event.__name__ for event in EVENTS} - silent - spoken == {
        "TaskFailed",
        "TaskCancelled",
        "TaskResumed",
        "TaskRewound",
    }


async def test_cancelled_ends_the_stream(house: House) -> None:
    task_id = await house.submitted()
    await house.service.cancel(task_id, PersonId("sam"))
    _, seen = await history(house, task_id)
    assert seen[-1][1] == {"status": "cancelled"}


async def test_any_last_event_id_replays_the_rest_to_three_readers(house: House) -> None:
    task_id = await finished(house)
    _, everything = await history(house, task_id)
    last = everything[-1][0]
    for after in range(last):
        rest = [(number, message) for number, message in everything if number > after]
        answers = await asyncio.gather(*(history(house, task_id, after) for _ in range(3)))
        assert answers == [(200, rest)] * 3
    assert await asyncio.gather(*(history(house, task_id, last) for _ in range(3))) == [(204, [])] * 3


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "9" * 40, "\u0663", "0x1", "1 2"])
async def test_an_id_that_is_not_ours_replays_everything(house: House, after: str) -> None:
    task_id = await finished(house)
    assert len((await history(house, task_id, after))[1]) == 6


async def test_a_number_that_the_task_has_not_reached_replays_everything(house: House) -> None:
    """As a page has one after an older backup was put back: it would wait for what it has seen there."""
    task_id = await house.submitted()
    async with asyncio.timeout(PATIENCE):
        headers = {**await house.bearer("ana"), "Last-Event-ID": "99"}
        async with house.http.get(f"/stream/{task_id}", headers=headers) as answer:
            await read(answer, until="waiting_for_review")
            await decided(house, task_id, Verdict.APPROVE)
            assert [message["status"] for _, message in await read(answer)] == ["completed"]
        async with house.http.get(f"/stream/{task_id}", headers=headers) as answer:
            assert answer.status == 204, "it has ended, which they may have seen"


async def test_the_query_says_it_where_a_browser_cannot(house: House) -> None:
    task_id = await finished(house)
    _, everything = await history(house, task_id)
    path = f"/stream/{task_id}?last_event_id={everything[4][0]}"
    async with house.http.get(path, headers=await house.bearer("ana")) as answer:
        assert await read(answer) == everything[5:]


async def test_the_header_wins_over_the_query(house: House) -> None:
    """A browser that comes back by itself asks at the address that it began with."""
    task_id = await finished(house)
    _, everything = await history(house, task_id)
    path, headers = f"/stream/{task_id}?last_event_id={everything[0][0]}", await house.bearer("ana")
    headers["Last-Event-ID"] = str(everything[4][0])
    async with house.http.get(path, headers=headers) as answer:
        assert await read(answer) == everything[5:]


async def test_three_live_readers_see_the_same_in_order(house: House) -> None:
    task_id = await house.submitted()
    headers = await house.bearer("ana")

    async def follow() -> Seen:
        async with house.http.get(f"/stream/{task_id}", headers=headers) as answer:
            started.release()
            return await read(answer)

    started = asyncio.Semaphore(0)
    readers = [asyncio.create_task(follow()) for _ in range(3)]
    for _ in readers:
        await started.acquire()
    await decided(house, task_id, Verdict.REJECT)
    await decided(house, task_id, Verdict.APPROVE)
    seen = await asyncio.gather(*readers)
    assert seen[0] == seen[1] == seen[2] == (await history(house, task_id))[1]


async def test_headers_do_not_wait_for_the_first_message(house: House) -> None:
    task_id = await house.submitted()
    headers = {**await house.bearer("ana"), "Last-Event-ID": "4"}
    async with asyncio.timeout(PATIENCE), house.http.get(f"/stream/{task_id}", headers=headers) as answer:
        assert answer.status == 200
        await decided(house, task_id, Verdict.APPROVE)
        assert [message["status"] for _, message in await read(answer)] == ["completed"]


async def test_silent_streams_are_pinged(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, ping_seconds=0.01))
    task_id = await house.submitted()
    async with house.http.get(f"/stream/{task_id}", headers=await house.bearer("ana")) as answer:
        await read(answer, until="waiting_for_review")
        lines = [await answer.content.readline() for _ in range(3)]
    assert any(line.startswith(b":") for line in lines)


async def test_streams_end_at_once_when_the_server_stops(house: House) -> None:
    task_id = await house.submitted()
    headers = await house.bearer("ana")
    answers = [await house.http.get(f"/stream/{task_id}", headers=headers) for _ in range(20)]
    for answer in answers:
        await read(answer, until="waiting_for_review")
    async with asyncio.timeout(REQUESTS_MAY_END):
        await house.server.close()
        for answer in answers:
            assert await read(answer) == []
            answer.release()


async def test_a_waiting_submission_is_answered_when_the_server_stops(idle_house: House) -> None:
    house = idle_house
    headers = {**await house.bearer("sam"), "Prefer": "wait=60"}

    async def create() -> int:
        async with house.http.post("/v1/tasks", json={"input": "x"}, headers=headers) as answer:
            return answer.status

    waiting = asyncio.create_task(create())
    await house.world.diary.until(lambda: house.world.diary.events)
    async with asyncio.timeout(REQUESTS_MAY_END):
        await house.server.close()
        assert await waiting == 201


async def test_a_reader_that_goes_away_leaves_nothing_behind(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, max_streams_per_person=1, ping_seconds=0.01))
    task_id = await house.submitted()
    headers = await house.bearer("ana")
    for _ in range(3):
        answer = await house.http.get(f"/stream/{task_id}", headers=headers)
        assert answer.status == 200
        await read(answer, until="waiting_for_review")
        answer.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                async with house.http.get(f"/stream/{task_id}", headers=headers) as again:
                    if again.status == 200:
                        break


class Leaving(Troubled):
    """Cuts every connection off while a reader's task is looked up, a moment before its stream begins."""

    server: Server
    handling: asyncio.Task[Any] | None = None

    async def task(self, task_id: str) -> Any:
        found = await self._part.task(task_id)
        self._leave()
        return found

    async def follow_in_pieces(self, task_id: str, **how: Any) -> AsyncGenerator[Piece]:
        async for piece in self._part.follow_in_pieces(task_id, **how):
            self._leave()
            yield piece

    def _leave(self) -> None:
        self.handling = asyncio.current_task()
        for connection in self.server.connections:
            assert connection.transport
            connection.transport.abort()


@pytest.mark.parametrize("after", ["", "1"])
async def test_a_reader_who_leaves_before_the_first_byte_is_no_fault(
    world: World, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        house = House(world, stack)
        house.service = service = Leaving(world.service)
        await house.start(WebSettings(port=0))
        runner = house.server.runner
        assert runner
        assert runner.server
        service.server = runner.server
        task_id = await house.submitted()
        headers = {**await house.bearer("ana"), "Last-Event-ID": after}
        with capture_logs() as logs:
            with pytest.raises(ClientConnectionError):
                await house.http.get(f"/stream/{task_id}", headers=headers)
            assert service.handling
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([service.handling])
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_reader_who_takes_nothing_is_cut_off(houses: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.stream.SEND_SECONDS", 3600)  # the kernel is not to do it in our place
    house = await houses(WebSettings(port=0, max_streams_per_person=1, ping_seconds=0.05))
    task_id = await house.submitted("x" * 900_000)
    headers = await house.bearer("ana")
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", house.server.port))
    stuck.sendall(
        f"GET /stream/{task_id} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {headers['Authorization']}\r\n\r\n".encode()
    )
    runner = house.server.runner
    assert runner
    server = runner.server
    assert server

    async def accepted() -> Any:
        found = [one.transport.get_extra_info for one in server.connections if one.transport]
        return [told("socket") for told in found if told("peername") == stuck.getsockname()]

    (theirs,) = await eventually(accepted)
    for _ in range(4):  # five megabytes are more than the kernel keeps for it
        await decided(house, task_id, Verdict.REJECT)
    async with asyncio.timeout(PATIENCE):
        while True:
            async with house.http.get(f"/stream/{task_id}", headers=headers) as answer:
                if answer.status == 200:
                    break

    async def is_gone() -> bool:
        """Its connection, too: what it did not take would be kept for as long as that stays."""
        return bool(theirs.fileno() < 0)

    await eventually(is_gone)
    stuck.close()


async def test_too_many_streams_are_refused(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, max_streams=3, max_streams_per_person=2))
    task_id = await house.submitted()

    async def opened(person: str) -> aiohttp.ClientResponse:
        return await house.http.get(f"/stream/{task_id}", headers=await house.bearer(person))

    answers = [await opened("ana") for _ in range(3)] + [await opened("ben") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200, 429, 200, 503]
    assert "Retry-After" in answers[2].headers
    for answer in answers:
        answer.close()


@pytest.mark.parametrize("length", [1, MOST_AT_ONCE + 1])
async def test_a_revoked_reader_sees_no_more(house: House, clock: StoppedClock, length: int) -> None:
    task_id = await house.submitted()
    async with house.http.get(f"/stream/{task_id}", headers=await house.bearer("ben")) as answer:
        await read(answer, until="waiting_for_review")
        await house.world.store.revoke_credentials(PersonId("ben"))
        clock.advance(seconds=2)
        review = await house.open_review(task_id)
        text = "e" * length
        await house.world.service.decide(review, PersonId("ana"), Verdict.EDIT, content=text, via="api")
        assert await read(answer) == []


async def test_named_events_tell_everything(house: House) -> None:
    task_id = await finished(house)
    path = f"/v1/tasks/{task_id}/events"
    async with house.http.get(path, headers=await house.bearer("ana")) as answer:
        text = await answer.text()
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event:")]
    assert names[0] == "task_submitted"
    assert names[-1] == "task_completed"
    assert "decision_recorded" in names
    first = json.loads(text.split("data: ")[1].splitlines()[0])
    assert first == {"task_id": task_id, "seq": 1, "at": "2026-11-21T08:00:00Z", "submitter": "sam"}


async def named(house: House, task_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Every event of a task that has ended: its name and its data."""
    path = f"/v1/tasks/{task_id}/events"
    async with house.http.get(path, headers=await house.bearer("ana")) as answer:
        lines = (await answer.text()).splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    bodies = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return list(zip(names, bodies, strict=True))


async def test_a_finished_node_comes_with_what_it_changed(house: House) -> None:
    task_id = await house.submitted()
    draft = (await house.task(task_id)).draft
    await decided(house, task_id, Verdict.APPROVE)
    results = [body for name, body in await named(house, task_id) if name == "node_finished"]
    (process,) = results  # what a review without an `apply` of its own did, its decision tells
    assert (process["node"], process["checkpoint"]) == ("process", 1)
    assert process["changed"] == {"processed_output": draft, "current_attempt": 1}
    assert "truncated" not in process


async def test_what_is_stored_is_read_without_waiting_for_more(house: House) -> None:
    task_id = await house.submitted()
    path, headers = f"/v1/tasks/{task_id}/events", await house.bearer("ana")
    async with house.http.get(path, params={"follow": "false"}, headers=headers) as answer:
        text = await answer.text()
    assert text.count("event: ") == 4
    assert "review_requested" in text
    last = {**headers, "Last-Event-ID": "4"}
    async with house.http.get(path, params={"follow": "false"}, headers=last) as answer:
        assert (answer.status, await answer.text()) == (200, "")
    async with house.http.get(path, params={"follow": "maybe"}, headers=headers) as answer:
        assert answer.status == 422
    unknown = f"/v1/tasks/{'0' * 32}/events"
    async with house.http.get(unknown, params={"follow": "false"}, headers=headers) as answer:
        assert answer.status == 404


async def test_a_review_says_where_in_its_flow_it_is_asked(house: House) -> None:
    task_id = await house.submitted()
    await decided(house, task_id, Verdict.APPROVE)
    (asked,) = [body for name, body in await named(house, task_id) if name == "review_requested"]
    assert (asked["node"], asked["point"]) == ("review", "review")


def test_large_results_are_left_out_of_messages() -> None:
    fits, whole = "x" * 1000, "\u00e4" * 11_000
    assert intermediate_result({"a": (None, whole), "b": (1, fits)}) == {
        "changed": {"b": fits},
        "truncated": True,
    }
    assert intermediate_result({"a": (None, fits), "gone": (1, None)}) == {
        "changed": {"a": fits, "gone": None}
    }
    many: dict[str, tuple[Json, Json]] = {str(key): (None, fits) for key in range(100)}
    left = intermediate_result(many)
    assert len(json.dumps(left)) < 66_000
    assert left["truncated"] is True


async def test_who_saw_the_end_hears_of_a_resume(house: House) -> None:
    task_id = await finished(house)
    last = (await history(house, task_id))[1][-1][0]
    assert (await history(house, task_id, last))[0] == 204
    await house.world.service.checkpoints.resume(task_id, LOCAL, checkpoint=1)
    review = await house.open_review(task_id, 3)
    await house.world.approve(review)
    await house.world.event(task_id, TaskCompleted, 2)
    for after in (last, 0):
        status, seen = await history(house, task_id, after)
        assert status == 200
        rest = [message for number, message in seen if number > last]
        assert rest[0] == {"status": "running", "attempt": 3}
        assert rest[1]["status"] == "waiting_for_review"
        assert rest[-1]["status"] == "completed"
    assert (await history(house, task_id, seen[-1][0]))[0] == 204


def test_a_retried_step_is_no_message() -> None:
    event = NodeRetried(node="process", retry=1, error="again")
    stored = StoredEvent(task=TaskId("t"), seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), event=event)
    assert status_message(stored) is None


def test_resumed_work_is_running() -> None:
    stored = StoredEvent(
        task=TaskId("t"), seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), event=TaskResumed(attempt=2)
    )
    assert status_message(stored) == (None, '{"status": "running", "attempt": 2}')


async def test_a_reader_who_is_behind_at_times_stays() -> None:
    """A slow line, and no dead one: it catches up before its next turn."""

    class Line(asyncio.Transport):
        behind = cycle([1, 0])
        is_cut = False

        def get_write_buffer_size(self) -> int:
            return next(self.behind)

        def is_closing(self) -> bool:
            return False

        def abort(self) -> None:
            self.is_cut = True

    class Answer(StreamResponse):
        pinged = asyncio.Semaphore(0)

        async def write(self, data: object) -> None:
            self.pinged.release()

    line, answer, pings = Line(), Answer(), Pings(0.001)
    async with asyncio.timeout(PATIENCE), asynccontextmanager(pings.running)(Application()):
        scope = asyncio.timeout(None)
        async with scope:
            pings.join(scope, answer, line)
            for _ in range(3):
                await answer.pinged.acquire()
    assert not line.is_cut
