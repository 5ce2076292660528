"""What every log line says."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging
import threading
import structlog
from countersign import logs

def named(logger, method, event):
    return {**event, "trace_id": "0af7"}

logs.configure(named)
logs.always(replica="north")
structlog.get_logger().info("task_submitted", task_id="7")
other = threading.Thread(target=lambda: structlog.get_logger().info("from_a_thread", replica="its own"))
other.start()
other.join()
logging.getLogger("a.library").warning("of a library")
logging.getLogger("httpx").info("GET https://platform.example/bot-token/send")
try:
    secret = "a private text"
    raise ValueError("broke")
except ValueError:
    structlog.get_logger().exception("broke")
"""


def test_a_line_is_json_and_says_where_it_is_from() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["task_submitted", "from_a_thread", "of a library", "broke"]
    assert [line["replica"] for line in lines] == ["north", "its own", "north", "north"]
    assert {line["trace_id"] for line in lines} == {"0af7"}
    assert lines[0]["task_id"] == "7"
    assert "a private text" not in run.stderr
    assert "bot-token" not in run.stderr
    assert run.stdout == ""
