"""`countersign export`: what was handed in and what became of it, a line of JSON for each task."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from countersign.client import answered, client, listed
from countersign.history import events, moment, reviews, until
from countersign.terminal import Screen, bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import httpx

SHOWN_EVERY = 10


def run_export(*, status: str | None, flow: str | None, since: datetime | None, history: bool) -> int:
    """Newest first. A task's place in the list never changes, so none is left out and none comes twice."""
    screen, is_apart = Screen(), not sys.stdout.isatty()
    with client() as http:
        for count, task in enumerate(_submitted(http, since, status=status, flow=flow), start=1):
            if history:
                task["reviews"] = reviews_of(http, task)
            # UTF-8 whatever the locale; what is no character stays the escape that JSON has for it.
            click.echo(json.dumps(task, ensure_ascii=False).encode(errors="backslashreplace"))
            if is_apart and count % SHOWN_EVERY == 0:
                screen.show(progress(count, task["created_at"], since))
    screen.clear()
    return 0


def _submitted(
    http: httpx.Client, since: datetime | None, *, status: str | None, flow: str | None
) -> Iterator[dict[str, Any]]:
    for task in listed(http, status=status, flow=flow):
        if since is not None and moment(task["created_at"]) < since:
            return
        yield task


def reviews_of(http: httpx.Client, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a task that had ended up to that end, of one that goes on up to now."""
    found = events(http, task["task_id"], live=False)
    known = reviews(found if task["ended_at"] is None else until(found, task["ended_at"]))
    if known and known[-1]["closed_by"] is None and known[-1]["decisions"]:
        _judge(http, task["task_id"], known[-1])
    return known


def _judge(http: httpx.Client, task: str, review: dict[str, Any]) -> None:
    """Which decisions on an open review count depends on who is a reviewer now, which the server knows."""
    asked = answered(http.get(f"/v1/tasks/{task}/explain"))
    if asked["review_id"] == review["review_id"]:
        lost = {(made["name"], made["at"]) for made in asked["decided"] if not made["counts"]}
        for made in review["decisions"]:
            made["counts"] = (made["reviewer_name"], made.get("at")) not in lost


def progress(count: int, created_at: str, since: datetime | None) -> str:
    """How far back it is; a share of the whole where `since` says how far it goes."""
    from core.clock import SystemClock

    at, now = moment(created_at), SystemClock().now()
    fraction = None if since is None or since >= now else min(max((now - at) / (now - since), 0.0), 1.0)
    return bar(fraction, f"{count} tasks, back to {at:%Y-%m-%d}")
