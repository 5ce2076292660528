"""The commands that talk to the running server: submit, watch and tasks."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import httpx
from httpx_sse import SSEError, connect_sse

from core.errors import CountersignError, SettingsError
from countersign.settings import environment, settings
from web.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

FINAL = {"completed", "failed", "cancelled"}
PATIENCE = httpx.Timeout(30.0, read=60.0)
"""A minute without a byte and a stream is taken for dead: the server pings every 15 s."""
RECONNECTS = 5
"""How often in a row a stream may break without a message before it is given up."""
UNKNOWN = "The server does not know you: set COUNTERSIGN_TOKEN; `countersign link YOU` prints one."
STRANGER = "What answers at COUNTERSIGN_PUBLIC_URL is not Countersign."


class ServerError(CountersignError):
    """The server refused, or cannot be reached; the text is its own sentence."""


def run_submit(
    text: str, *, title: str | None, flow: str | None, key: str | None, wait: bool, as_json: bool
) -> int:
    """Hand in a task; with `wait`, watch it to its end."""
    body = {"input": text, "title": title, "flow": flow}
    headers = {"Idempotency-Key": key} if key else {}
    with client() as http:
        task = answered(
            http.post("/v1/tasks", json={k: v for k, v in body.items() if v is not None}, headers=headers)
        )
        click.echo(literal(str(task["url"])), err=True)
        if wait:
            if not as_json:
                click.echo(task["task_id"])
            return follow(http, task["task_id"], as_json=as_json)
        click.echo(json.dumps(task, ensure_ascii=False) if as_json else task["task_id"])
    return 0


def run_watch(task: str, *, as_json: bool) -> int:
    """Print each status of a task until its last."""
    with client() as http:
        return follow(http, task, as_json=as_json)


def run_tasks(*, status: str | None, limit: int, as_json: bool) -> int:
    """List tasks, newest first."""
    with client() as http:
        for task in listed(http, status, limit):
            if as_json:
                click.echo(json.dumps(task, ensure_ascii=False))
            else:
                click.echo(row(task))
    return 0


def row(task: dict[str, Any]) -> str:
    """One task for people; `-` is no outcome."""
    outcome = task["outcome"] or "-"
    return f"{task['task_id']}  {task['status']:<18}  {outcome:<8}  {literal(task['title'])}"


@contextmanager
def client() -> Iterator[httpx.Client]:
    """A client with the person's token.

    Raises `SettingsError` for a token that no header can carry, `ServerError` where nobody answers.
    """
    token = environment().get("COUNTERSIGN_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise SettingsError("COUNTERSIGN_TOKEN holds characters that no token has.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base_url = settings().web.base_url
    # A proxy from the environment cannot reach this machine's own loopback.
    http = httpx.Client(
        base_url=base_url,
        headers=headers,
        timeout=30.0,
        trust_env=not is_loopback(urlsplit(base_url).hostname or ""),
    )
    with http:
        try:
            yield http
        except httpx.TransportError as error:
            raise ServerError(f"The server at {base_url} cannot be reached: {error}.") from error


def answered(response: httpx.Response) -> Any:
    """The JSON of a good answer; raises `ServerError` with the problem's sentence."""
    if not response.is_success:
        raise ServerError(_problem(response))
    try:
        return response.json()
    except ValueError as error:
        raise ServerError(STRANGER) from error


def _problem(response: httpx.Response) -> str:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return UNKNOWN
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The server answered {response.status_code}."


def listed(http: httpx.Client, status: str | None, limit: int) -> Iterator[dict[str, Any]]:
    """Tasks, page by page, as many as `limit`."""
    cursor: str | None = None
    while limit > 0:
        wanted = {"limit": min(limit, 100), "status": status, "cursor": cursor}
        page = answered(http.get("/v1/tasks", params={k: v for k, v in wanted.items() if v is not None}))
        yield from page["tasks"]
        limit -= len(page["tasks"])
        cursor = page.get("next_cursor")
        if not cursor or not page["tasks"]:
            return


def follow(http: httpx.Client, task: str, *, as_json: bool) -> int:
    """Print messages until the last; 0 where the task was completed and not rejected."""
    for message in messages(http, task):
        click.echo(json.dumps(message, ensure_ascii=False) if as_json else line(message))
        if message["status"] in FINAL:
            good = message["status"] == "completed" and message.get("outcome") in (None, "approved")
            return 0 if good else 1
    return 1


def messages(http: httpx.Client, task: str) -> Iterator[dict[str, Any]]:
    """Every message of a task's stream; after a break it goes on where it was."""
    last, breaks = "", 0
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        reason = "it ended too soon"
        try:
            with connect_sse(http, "GET", f"/stream/{task}", headers=headers, timeout=PATIENCE) as source:
                if source.response.status_code == httpx.codes.NO_CONTENT:
                    return
                if not source.response.is_success:
                    source.response.read()
                    raise ServerError(_problem(source.response))
                for event in source.iter_sse():
                    last, breaks = event.id or last, 0
                    yield event.json()
        except SSEError as error:
            raise ServerError(STRANGER) from error
        except httpx.TransportError as error:
            if not last:
                raise
            reason = str(error)
        breaks += 1
        if breaks > RECONNECTS:
            raise ServerError(f"The task's stream broke {breaks} times in a row: {reason}.")
        time.sleep(min(2.0**breaks, 10.0))


def line(message: dict[str, Any]) -> str:
    """One message for people."""
    match message["status"]:
        case "running":
            return f"running (attempt {message['attempt']})"
        case "waiting_for_review":
            shown = literal(str(message["output_to_review"]))
            return (
                f"waiting_for_review (attempt {message['attempt']}, review {message['review_id']})\n{shown}"
            )
        case "completed":
            outcome = message.get("outcome") or "no review"
            return f"completed ({outcome})\n{literal(str(message['final_result']))}"
        case "failed":
            return f"failed: {literal(message['error'])}"
        case status:
            return str(status)


def literal(text: str) -> str:
    """Text that cannot steer the terminal: control characters are shown as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
