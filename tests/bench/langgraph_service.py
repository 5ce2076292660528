"""The same job as a LangGraph service: submit, process, interrupt, reject, process, interrupt, approve.

`python -m tests.bench.langgraph_service PORT URL` serves the three addresses that the benchmark's clients
use of Countersign, over LangGraph's own savers: `sqlite:///FILE` or `postgresql://…`. What it leaves out is
to its favour: accounts, policies, chats, webhooks, a history to be replayed, and taking up its work after a
restart. A feedback is answered when its run is over, for not before then is it stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import uuid4

import uvloop
from aiohttp import web
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECTIONS = 8


class State(TypedDict, total=False):
    """What is stored of a task."""

    data: str
    draft: str
    attempt: int
    feedback: str
    comment: str
    result: str


async def process(state: State) -> State:
    """The benchmark's processor hands back what it was given."""
    return {"draft": state["data"], "attempt": state.get("attempt", 0) + 1}


async def review(state: State) -> State:
    answer = interrupt({"draft": state["draft"]})
    return {"feedback": answer["feedback"], "comment": answer.get("comment", "")}


async def result(state: State) -> State:
    return {"result": state["draft"]}


def where_next(state: State) -> str:
    return "result" if state["feedback"] == "approved" else "process"


def built(saver: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("process", process)
    graph.add_node("review", review)
    graph.add_node("result", result)
    graph.add_edge(START, "process")
    graph.add_edge("process", "review")
    graph.add_conditional_edges("review", where_next, ["result", "process"])
    graph.add_edge("result", END)
    return graph.compile(checkpointer=saver)


@asynccontextmanager
async def saving(url: str) -> AsyncIterator[Any]:
    """LangGraph's saver for the database, its tables made."""
    if url.startswith("sqlite:///"):
        async with AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            await saver.setup()
            yield saver
        return
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Any = AsyncConnectionPool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
    )
    async with pool:
        postgres = AsyncPostgresSaver(pool)
        await postgres.setup()
        yield postgres


class Service:
    """Runs the graph and tells the streams of each task what became of it."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._told: dict[str, list[str]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._running: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/readyz", self.ready),
                web.post("/submit", self.submit),
                web.post("/feedback/{task}", self.feedback),
                web.get("/stream/{task}", self.stream),
            ]
        )
        return app

    async def ready(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def submit(self, request: web.Request) -> web.Response:
        body, task = await request.json(), uuid4().hex
        self._told[task], self._news[task] = [], asyncio.Event()
        running = asyncio.create_task(self._run(task, {"data": body["data"]}))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return web.json_response({"task_id": task}, status=202)

    async def feedback(self, request: web.Request) -> web.Response:
        task = request.match_info["task"]
        await self._run(task, Command(resume=await request.json()))
        return web.json_response({"task_id": task})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        task = request.match_info["task"]
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        sent = 0
        while True:
            self._news[task].clear()
            for status in self._told[task][sent:]:
                await answer.write(b"data: " + json.dumps({"status": status}).encode() + b"\n\n")
                sent += 1
                if status == "completed":
                    del self._told[task], self._news[task]
                    return answer
            await self._news[task].wait()

    async def _run(self, task: str, given: Any) -> None:
        state = await self._graph.ainvoke(given, {"configurable": {"thread_id": task}})
        self._told[task].append("waiting_for_review" if "__interrupt__" in state else "completed")
        self._news[task].set()


async def serve(port: int, url: str) -> None:
    async with saving(url) as saver:
        runner = web.AppRunner(Service(built(saver)).app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
