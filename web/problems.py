"""What went wrong, as RFC 9457 problem documents; one table turns core's errors into statuses."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from core import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE_PREFIX = "urn:countersign:problem:"

STATUS: Mapping[type[errors.CountersignError], tuple[int, str]] = {
    errors.CountersignError: (500, "Something went wrong"),
    errors.NotFound: (404, "Not found"),
    errors.Unidentified: (401, "Who are you?"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotAReviewer: (403, "Not a reviewer"),
    errors.SelfReview: (403, "Your own task"),
    errors.NotAnAdmin: (403, "Not an administrator"),
    errors.NotTheSubmitter: (403, "Not yours to answer"),
    errors.Refused: (409, "Too late or too early"),
    errors.NotWaiting: (409, "Not waiting for review"),
    errors.ReviewIsClosed: (409, "Already decided"),
    errors.AlreadyDecided: (409, "You have decided already"),
    errors.AlreadyAnswered: (409, "Answered already"),
    errors.NotYourTurn: (409, "Not your turn"),
    errors.ConfirmOnPage: (409, "Decide on the page"),
    errors.TaskIsClosed: (409, "The task is over"),
    errors.TaskIsRunning: (409, "The task is running"),
    errors.StaleReview: (412, "Not the open review"),
    errors.Invalid: (422, "Cannot be accepted"),
    errors.ReasonMissing: (422, "A reason is asked for"),
    errors.UnknownFlow: (422, "Unknown flow"),
    errors.KeyReused: (422, "Idempotency key reused"),
    errors.Unavailable: (503, "Try again in a moment"),
    errors.StoreUnavailable: (503, "Try again in a moment"),
    errors.Overloaded: (503, "Too much work is waiting"),
    errors.NotOffered: (501, "Not offered here"),
    errors.DeliveryError: (502, "A message could not be delivered"),
    errors.RateLimited: (503, "Try again in a moment"),
    errors.FlowError: (500, "The flow cannot run"),
    errors.StaleRun: (409, "The task moved on"),
    errors.SettingsError: (500, "Wrong settings"),
}

HTTP_SENTENCES: Mapping[int, tuple[str, str]] = {
    404: ("Not found", "There is nothing at this address."),
    405: ("Method not allowed", "This address does not take that method."),
    413: ("Too large", "A request's body may have 1 MiB at most."),
}


class HttpRefusal(Exception):
    """A request refused for HTTP's own reasons, before any rule of the workflow was asked."""

    def __init__(
        self, status: int, title: str, sentence: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.problem = Problem(
            slug=slug(title), title=title, status=status, detail=sentence, headers=headers or {}
        )


def malformed(sentence: str, *, headers: Mapping[str, str] | None = None) -> HttpRefusal:
    return HttpRefusal(400, "Malformed body", sentence, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem, ready to be shown as JSON or as a page; `slug` is stable and ends the `type`."""

    slug: str
    title: str
    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> bytes:
        members = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return json.dumps(members).encode()


def problem_of(error: errors.CountersignError) -> Problem:
    """The problem of the most specific class that the table knows."""
    cls = next(cls for cls in type(error).__mro__ if cls in STATUS)
    status, title = STATUS[cls]
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unavailable | errors.RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="countersign"'
    return Problem(slug=slug(cls.__name__), title=title, status=status, detail=str(error), headers=headers)


def problem_of_http(error: web.HTTPException) -> Problem:
    """The problem of one of aiohttp's own refusals (no such route, wrong method, body too large)."""
    title, detail = HTTP_SENTENCES.get(error.status, (error.reason, f"{error.reason}."))
    kept = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(slug=slug(title), title=title, status=error.status, detail=detail, headers=kept)


def unexpected() -> Problem:
    """For a fault of ours; says nothing about it, the log does."""
    return Problem(
        slug="unexpected",
        title="Something went wrong",
        status=500,
        detail="This is a fault of the server, not yours. Its log says more.",
    )


def problem_response(problem: Problem) -> web.Response:
    return web.Response(
        body=problem.document(),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )


def slug(title: str) -> str:
    """`NotAReviewer` and `Not a reviewer` both give `not-a-reviewer`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", title)
    return re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-")
