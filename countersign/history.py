"""A task's stored events as the server streams them, in lines for people, and what they say of reviews."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from httpx_sse import SSEError, connect_sse

from core.errors import SettingsError
from core.events import FINAL, kind
from core.model import text_of
from countersign.client import STRANGER, ServerError, refusal
from countersign.terminal import bar, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from httpx_sse import EventSource, ServerSentEvent

    from countersign.terminal import Screen

Event = dict[str, Any]
"""An event's fields, with its name as `event`, its number as `seq` and its time as `at`."""

FINAL_NAMES = frozenset(map(kind, FINAL))
PATIENCE = httpx.Timeout(30.0, read=60.0)
"""A minute without a byte and a stream is taken for dead: the server pings every 15 s."""
RECONNECTS = 5
"""How often in a row a stream may break without an event before it is given up."""


def events(http: httpx.Client, task: str, *, live: bool = True) -> Iterator[Event]:
    """Every event of a task, until one is its last, or, where it is not `live`, as many as there are now.

    After a break it goes on where it was.
    """
    path = f"/v1/tasks/{quote(task, safe='')}/events"
    asked = {} if live else {"follow": "false"}
    last, breaks = "", 0
    name = ""
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        reason = "it ended too soon"
        try:
            with connect_sse(http, "GET", path, params=asked, headers=headers, timeout=PATIENCE) as source:
                if source.response.status_code == httpx.codes.NO_CONTENT:
                    return
                if not source.response.is_success:
                    source.response.read()
                    raise refusal(source.response)
                for message in _messages(source):
                    last, breaks, name = message.id or last, 0, message.event
                    yield {"event": name, **message.json()}
            # Not sooner: somebody may have gone back on an end, and the server says when there is no more.
            if name in FINAL_NAMES or not live:
                return
        except (SSEError, json.JSONDecodeError) as error:
            raise SettingsError(STRANGER) from error
        except httpx.TransportError as error:
            if not last:
                raise
            reason = str(error)
        breaks += 1
        if breaks > RECONNECTS:
            raise ServerError(f"The task's stream broke {breaks} times in a row: {reason}.")
        time.sleep(min(2.0**breaks, 10.0))


def _messages(source: EventSource) -> Iterator[ServerSentEvent]:
    """Without the pings: once httpx-sse has seen an id, it makes an empty message of each."""
    return (message for message in source.iter_sse() if message.data)


def is_good(event: Event | None) -> bool:
    """Whether a task that ended with it was completed, and not against its reviewers."""
    return event is not None and event["event"] == "task_completed" and event["outcome"] in (None, "approved")


def tell(event: Event, screen: Screen) -> None:
    """Show one event to people: a line that stays where the status changed, more only on a terminal."""
    match event["event"]:
        case "progress_reported":
            screen.show(bar(event["fraction"], f"{event['node']}: {event['text'] or 'at work'}"))
        case "text_streamed":
            screen.stream(event["text"])
        case "node_retried" if screen.is_live:
            screen.say(literal(f"{event['node']}: retry {event['retry']} after {event['error']}"))
        case "decision_recorded" if screen.is_live:
            screen.say(literal(_decision(event)))
        case (
            "question_asked" | "question_answered" | "review_claimed" | "claim_ended" | "reminder_snoozed"
        ) if screen.is_live:
            screen.say(literal(_SAID[event["event"]](event)))
        case _:
            said = line(event)
            if said is not None:
                screen.say(said)


def line(event: Event) -> str | None:
    """One change of the status for people; None where it stayed as it was."""
    words = _LINES.get(event["event"])
    return None if words is None else words(event)


def _waits(event: Event) -> str:
    review = f"attempt {event['attempt']}, review {event['review']}"
    return f"waiting_for_review ({review})\n{literal(text_of(event['draft']))}"


def _completed(event: Event) -> str:
    done, result = f"completed ({event['outcome'] or 'no review'})", event["final_result"]
    return done if result is None else f"{done}\n{literal(text_of(result))}"


_LINES: Mapping[str, Callable[[Event], str]] = {
    "task_submitted": lambda _: "pending",
    "attempt_started": lambda event: f"running (attempt {event['attempt']})",
    "task_resumed": lambda event: f"running (attempt {event['attempt']})",
    "task_rewound": lambda event: literal(
        f"taken back to checkpoint {event['checkpoint']} by {event['by_name']}"
    ),
    "review_requested": _waits,
    "task_completed": _completed,
    "task_failed": lambda event: f"failed: {literal(event['error'])}",
    "task_cancelled": lambda _: "cancelled",
}


_SAID: Mapping[str, Callable[[Event], str]] = {
    "review_claimed": lambda event: f"{event['person_name']} is looking, until {event['until']}",
    "claim_ended": lambda event: f"{event['person_name']} is not looking any more",
    "question_asked": lambda event: f"{event['person_name']} asks: {event['text']}",
    "question_answered": lambda event: f"{event['person_name']} answers: {event['text']}",
    "reminder_snoozed": lambda event: (
        f"{event['person_name']} wants to be reminded "
        + ("with everybody else again" if event["until"] is None else f"at {event['until']}")
    ),
}


def _decision(event: Event) -> str:
    comment = f" - {event['comment']}" if event["comment"] else ""
    return f"{event['reviewer_name']}: {event['verdict']}{comment}"


def until(found: Iterable[Event], ended_at: str) -> Iterator[Event]:
    """The events up to the end that the task had then: it may have been resumed meanwhile."""
    for event in found:
        yield event
        if event["event"] in FINAL_NAMES and moment(event["at"]) >= moment(ended_at):
            return


def reviews(found: Iterable[Event]) -> list[dict[str, Any]]:
    """Every review with its policy and the decisions that stand, those carried from the attempt before, too,
    and whether each counts; `closed_by` is decision, deadline, cancel, resume or failure. The outcome of one
    that is open, or called off, is None."""
    known: dict[str, dict[str, Any]] = {}
    for event in found:
        name = event["event"]
        if name == "review_requested":
            known[event["review"]] = {
                "review_id": event["review"],
                "attempt": event["attempt"],
                "draft": event["draft"],
                "node": event.get("node"),
                "point": event.get("point"),
                "policy": {"name": event.get("policy"), "hash": event.get("policy_hash")},
                "opened_at": event["at"],
                "outcome": None,
                "closed_at": None,
                "closed_by": None,
                "decisions": [],
            }
        elif name in _CLOSING:
            outcome = event.get("outcome") or name.removeprefix("review_")
            by = "deadline" if name == "review_expired" else "decision"
            known[event["review"]].update(outcome=outcome, closed_at=event["at"], closed_by=by)
        elif name in _CALLED_OFF:
            for review in known.values():
                if review["closed_at"] is None:
                    review.update(closed_at=event["at"], closed_by=_CALLED_OFF[name])
        elif event.get("review") in known:
            _decided(known[event["review"]]["decisions"], event)
    return list(known.values())


def _decided(standing: list[dict[str, Any]], event: Event) -> None:
    """What an event makes of a review's decisions."""
    match event["event"]:
        case "decision_recorded":
            made = {key: value for key, value in event.items() if key not in _NOT_OF_A_DECISION}
            standing.append({**made, "carried": False, "counts": True})
        case "decisions_carried":
            # The first release told only their names.
            named = [{"reviewer_name": name, "verdict": "approve"} for name in event["reviewers"]]
            carried = event.get("decisions") or named
            standing += [{**made, "carried": True, "counts": True} for made in carried]
        case "decision_withdrawn":
            standing[:] = [made for made in standing if made.get("reviewer") != event["reviewer"]]
        case "decisions_dropped":
            for made in standing:
                if (made.get("person") or made.get("reviewer")) in event["ids"]:
                    made["counts"] = False


_CLOSING = frozenset({"review_approved", "review_rejected", "review_edited", "review_expired"})
_CALLED_OFF = {"task_cancelled": "cancel", "task_rewound": "resume", "task_failed": "failure"}
"""What closes a review that is still open, and what it was closed by."""
_NOT_OF_A_DECISION = frozenset({"event", "task_id", "seq", "review"})


def moment(text: str) -> datetime:
    """A time of the server's."""
    return datetime.fromisoformat(text)
