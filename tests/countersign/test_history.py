"""The event stream as `watch` reads it, from a server that says what the test wants."""

from __future__ import annotations

import httpx

from countersign.history import events, is_good

STREAM = b"""id: 1
event: task_submitted
data: {"submitter": "ana"}

: ping

: ping

id: 2
event: task_completed
data: {"final_result": "done", "outcome": "approved"}

"""


def test_pings_in_the_middle_of_a_stream_are_no_events() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=STREAM)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://countersign.test") as http:
        found = list(events(http, "task"))
    assert [event["event"] for event in found] == ["task_submitted", "task_completed"]
    assert is_good(found[-1])
