"""The commands that talk to the running server: submit, watch and tasks; export and backup stand on them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import httpx
from httpx import codes

from core.addresses import is_loopback_url
from core.errors import CountersignError, SettingsError
from countersign.settings import environment, settings
from countersign.terminal import Screen, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.model import Json

PAGE = 100
UNKNOWN = "The server does not know you: set COUNTERSIGN_TOKEN; `countersign link YOU` prints one."
REVOKED = (
    "The server does not know your COUNTERSIGN_TOKEN: it was revoked, or is another server's; "
    "`countersign link YOU` prints a new one."
)
STRANGER = "What answers at COUNTERSIGN_PUBLIC_URL is not Countersign."
MAY_PASS = frozenset({codes.REQUEST_TIMEOUT, codes.CONFLICT, codes.TOO_EARLY, codes.TOO_MANY_REQUESTS})
"""Of the refusals that blame the caller, those that the same call need not meet again."""


class ServerError(CountersignError):
    """The server cannot do it now, or cannot be reached; the text is its own sentence."""


def run_submit(
    data: Json,
    *,
    title: str | None,
    flow: str | None,
    policy: str | None,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Hand in a task; with `wait`, watch it to its end."""
    named = {"title": title, "flow": flow, "policy": policy}
    body = {"input": data, **{key: value for key, value in named.items() if value is not None}}
    headers = {"Idempotency-Key": key} if key else {}
    with client() as http:
        task = answered(http.post("/v1/tasks", json=body, headers=headers))
        click.echo(literal(str(task["url"])), err=True)
        if wait:
            if not as_json:
                click.echo(task["task_id"])
            return follow(http, task["task_id"], as_json=as_json)
        click.echo(json.dumps(task, ensure_ascii=False) if as_json else task["task_id"])
    return 0


def run_watch(task: str, *, as_json: bool) -> int:
    """Print each status of a task until its last; raises `SettingsError` where none is named."""
    if not task.strip():
        raise SettingsError("TASK is empty; `countersign tasks` lists them.")
    with client() as http:
        return follow(http, task, as_json=as_json)


def run_tasks(*, status: str | None, flow: str | None, limit: int, as_json: bool) -> int:
    """List tasks, newest first."""
    with client() as http:
        for task in islice(listed(http, limit, status=status, flow=flow), limit):
            if as_json:
                click.echo(json.dumps(task, ensure_ascii=False))
            else:
                click.echo(row(task))
    return 0


def row(task: dict[str, Any]) -> str:
    """One task for people, submitted when (UTC, to the minute) and by whom; `-` is no outcome."""
    outcome = task["outcome"] or "-"
    said = literal(f"{task['submitter_name']}: {task['title']}")
    return f"{task['task_id']}  {task['status']:<18}  {outcome:<8}  {task['created_at'][:16]}Z  {said}"


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
        trust_env=not is_loopback_url(base_url),
    )
    with http:
        try:
            yield http
        except httpx.TransportError as error:
            raise ServerError(f"The server at {base_url} cannot be reached: {error}.") from error


def answered(response: httpx.Response) -> Any:
    """The JSON of a good answer; raises what `refusal` makes of any other."""
    if not response.is_success:
        raise refusal(response)
    try:
        return response.json()
    except ValueError as error:
        raise SettingsError(STRANGER) from error


def refusal(response: httpx.Response) -> CountersignError:
    """`SettingsError` where only other words or settings help, `ServerError` where it may pass."""
    status = response.status_code
    is_lasting = (status < 500 and status not in MAY_PASS) or status == codes.NOT_IMPLEMENTED
    return (SettingsError if is_lasting else ServerError)(problem(response))


def problem(response: httpx.Response) -> str:
    """The sentence of an answer that is not a good one."""
    if response.status_code == codes.UNAUTHORIZED:
        return REVOKED if "Authorization" in response.request.headers else UNKNOWN
    try:
        body = response.json()
        return str(body.get("detail") or body["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The server answered {response.status_code}."


def listed(http: httpx.Client, page: int = PAGE, **wanted: str | None) -> Iterator[dict[str, Any]]:
    """Tasks, newest first, as many at a time as `page`, which the server bounds; `wanted` are filters."""
    query = {"limit": str(min(page, PAGE)), **{key: value for key, value in wanted.items() if value}}
    while True:
        found = answered(http.get("/v1/tasks", params=query))
        yield from found["tasks"]
        cursor = found.get("next_cursor")
        if not cursor or not found["tasks"]:
            return
        query["cursor"] = cursor


def follow(http: httpx.Client, task: str, *, as_json: bool) -> int:
    """Show events until the last; 0 where the task was completed and not rejected."""
    from countersign.history import events, is_good, tell

    screen = Screen()
    last = None
    try:
        for last in events(http, task):
            if as_json:
                click.echo(json.dumps(last, ensure_ascii=False))
            else:
                tell(last, screen)
    finally:
        screen.clear()
    return 0 if is_good(last) else 1
