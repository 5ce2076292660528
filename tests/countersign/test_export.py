"""`countersign export --history` of what is open still."""

from __future__ import annotations

import json
from typing import Any

import httpx

from countersign.export import reviews_of

ANA: dict[str, Any] = {"reviewer": "ana", "reviewer_name": "Ana", "verdict": "approve", "review": "r"}
EVENTS = [
    {"event": "review_requested", "review": "r", "at": "t1", "attempt": 1, "draft": "d"},
    {"event": "decision_recorded", **ANA, "at": "t2"},
    {"event": "decision_recorded", **ANA, "reviewer": "ben", "reviewer_name": "Ben", "at": "t3"},
]
DECIDED = [{"name": "Ana", "at": "t2", "counts": False}, {"name": "Ben", "at": "t3", "counts": True}]


def test_what_counts_of_an_open_review_is_asked_of_the_server() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/explain"):
            return httpx.Response(200, json={"review_id": "r", "decided": DECIDED})
        stream = "".join(
            f"id: {number}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n"
            for number, event in enumerate(EVENTS, 1)
        )
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=stream)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://countersign.test") as http:
        (review,) = reviews_of(http, {"task_id": "t", "ended_at": None})
    assert [(made["reviewer"], made["counts"]) for made in review["decisions"]] == [
        ("ana", False),
        ("ben", True),
    ]
    assert review["closed_by"] is None
