"""What every log line says."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import asyncio
import gc
import logging
import threading
import structlog
from countersign import logs
from countersign.serve import run

def named(logger, method, event):
    return {**event, "trace_id": "0af7"}

logs.configure(named)
logs.always(replica="north")
structlog.get_logger().info("task_submitted", task_id="7")
other = threading.Thread(target=lambda: structlog.get_logger().info("from_a_thread", replica="its own"))
other.start()
other.join()
logging.getLogger("a.library").warning("of a library")
for library in ("httpx", "aiohttp.access", "procrastinate.jobs", "slack_bolt.App", "telegram.ext"):
    logging.getLogger(library).info("GET https://platform.example/bot-token/send")
    logging.getLogger(library).debug("GET https://platform.example/bot-token/send")
structlog.get_logger().debug("a_draft", text="a private text")
private = "a private text"
try:
    raise ValueError(private)
except ValueError:
    structlog.get_logger().exception("broke")
    logging.getLogger("a.library").exception("broke there")

async def broken():
    raise ValueError(private)

async def main():
    asyncio.create_task(broken())
    asyncio.get_running_loop().call_soon(int, private)
    await asyncio.sleep(0)

run(main())
gc.collect()
"""


def test_a_line_is_json_and_says_where_it_is_from() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "task_submitted",
        "from_a_thread",
        "of a library",
        "broke",
        "broke there",
        "not_handled",
        "not_handled",
    ]
    assert [line["replica"] for line in lines] == ["north", "its own", *["north"] * 5]
    assert [line.get("error") for line in lines] == [None] * 3 + ["ValueError"] * 4
    assert lines[3]["at"] == "<string>:26 <module>"
    assert {line["trace_id"] for line in lines} == {"0af7"}
    assert lines[0]["task_id"] == "7"
    assert "a private text" not in run.stderr
    assert "bot-token" not in run.stderr
    assert run.stdout == ""


SERVED = """
import asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from countersign import logs

async def broken(request):
    raise ZeroDivisionError

async def read(request):
    try:
        await request.read()
    except web.RequestPayloadError:
        return web.Response(status=400)

async def main():
    logs.configure()
    logs.configure()
    house = web.Application()
    house.add_routes([web.get("/broken", broken), web.post("/read", read)])
    async with TestServer(house) as server:
        for sent in (
            b"GET / HTTP/1.1\\r\\nHost: a\\r\\nA header of no kind\\r\\n\\r\\n",
            b"POST /read HTTP/1.1\\r\\nHost: a\\r\\nContent-Encoding: gzip\\r\\n"
            b"Content-Length: 5\\r\\n\\r\\nplain",
            b"GET /broken HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            while await reader.read(65536):
                pass
            writer.close()

asyncio.run(main())
"""


def test_what_is_no_http_is_nobodys_alarm_and_a_fault_of_ours_is() -> None:
    run = subprocess.run([sys.executable, "-c", SERVED], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [(line["level"], line["error"]) for line in lines] == [
        ("info", "BadHttpMessage"),
        ("info", "RequestPayloadError"),
        ("error", "ZeroDivisionError"),
    ]
    assert [line["event"] for line in lines[:2]] == ["request_unreadable"] * 2
