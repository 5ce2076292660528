"""Submitting, reading, deciding and cancelling: the seed's calls and /v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from core.errors import Invalid
from core.events import FINAL, ReviewRequested
from core.model import TRACEPARENT, OpenReview, Submission, Verdict
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other, wants_page
from web.parameters import cursor, idempotency_key, known_id, limit, preferred_wait, task_filter
from web.schemas import Feedback, NewDecision, NewTask, Submit, json_response, task_json

if TYPE_CHECKING:
    from core.model import Json, ReviewRequest, StoredEvent, Task
    from core.service import Service
    from web.closing import Closing
    from web.hooks.addresses import CallbackGuard
    from web.settings import WebSettings

log = structlog.get_logger(__name__)


class Tasks:
    """The calls that scripts and forms make."""

    def __init__(
        self, *, service: Service, settings: WebSettings, closing: Closing, guard: CallbackGuard
    ) -> None:
        self._service = service
        self._settings = settings
        self._closing = closing
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/submit", self.submit),
            web.post("/feedback/{task_id}", self.feedback),
            web.post("/v1/tasks", self.create),
            web.get("/v1/tasks", self.page),
            web.get("/v1/tasks/{task_id}", self.one),
            web.post("/v1/tasks/{task_id}/decisions", self.decide),
            web.post("/v1/tasks/{task_id}/cancel", self.cancel),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        body = await parsed(request, Submit)
        task, _ = await self._service.submit(
            Submission(
                input=body.data,
                submitter=request[CALLER].person,
                flow=body.flow,
                policy=body.policy,
                title=body.title,
                on_behalf_of=body.submitter,
                idempotency_key=idempotency_key(request) or body.key(),
                traceparent=request.headers.get(TRACEPARENT),
            )
        )
        if wants_page(request):
            return see_other(f"/tasks/{task.id}")
        return json_response({"message": "The task is submitted.", "task_id": task.id}, status=202)

    async def feedback(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        body = await parsed(request, Feedback)
        review = await self._recorded(request, task_id, body, body.verdict)
        if wants_page(request):
            return see_other("/inbox" if body.back == "inbox" else f"/tasks/{task_id}")
        return json_response({"message": sentence_of(review, body.verdict)})

    async def create(self, request: web.Request) -> web.Response:
        body = await parsed(request, NewTask)
        if body.callback_url is not None:
            self._guard.check_url(body.callback_url)
        task, _ = await self._service.submit(
            Submission(
                input=body.input,
                submitter=request[CALLER].person,
                flow=body.flow,
                policy=body.policy,
                title=body.title,
                on_behalf_of=body.submitter,
                callback_url=body.callback_url,
                metadata=body.metadata,
                idempotency_key=idempotency_key(request),
                traceparent=request.headers.get(TRACEPARENT),
            )
        )
        headers = {"Location": f"/v1/tasks/{task.id}"}
        seconds = preferred_wait(request)
        if seconds:
            task = await self._settled(task, seconds)
            headers["Preference-Applied"] = f"wait={seconds}"
        return json_response(self._shown(task), status=201, headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        found = await self._service.tasks(task_filter(request), cursor=cursor(request), limit=limit(request))
        return json_response(
            {"tasks": [self._shown(task) for task in found.tasks], "next_cursor": found.cursor}
        )

    async def one(self, request: web.Request) -> web.Response:
        return json_response(self._shown(await self._service.task(known_id(request))))

    async def decide(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        body = await parsed(request, NewDecision)
        if body.review_id is None and body.attempt is None:
            raise Invalid("Name the review that you decide: `review_id`, or `attempt`.")
        review = await self._recorded(request, task_id, body, Verdict(body.verdict), body.content)
        return json_response(self._shown(review.task))

    async def cancel(self, request: web.Request) -> web.Response:
        task = await self._service.cancel(known_id(request), request[CALLER].person)
        if wants_page(request):
            return see_other(f"/tasks/{task.id}")
        return json_response(self._shown(task))

    async def _recorded(
        self,
        request: web.Request,
        task_id: str,
        body: Feedback | NewDecision,
        verdict: Verdict,
        content: Json = None,
    ) -> ReviewRequest:
        caller = request[CALLER]
        return await self._service.decide(
            OpenReview(task=task_id, review=body.review_id, attempt=body.attempt),
            caller.person,
            verdict,
            comment=body.comment.strip() if body.comment else None,
            content=content,
            via=caller.via,
        )

    async def _settled(self, task: Task, seconds: int) -> Task:
        """The task once it waits for review or has ended, or as it stands after `seconds`."""
        async with self._closing.limit(seconds):
            async for stored in self._service.follow(task.id):
                if _is_settled(stored):
                    break
        return await self._service.task(task.id)

    def _shown(self, task: Task) -> dict[str, object]:
        return {**task_json(task, base_url=self._settings.base_url)}


def sentence_of(review: ReviewRequest, verdict: Verdict) -> str:
    """What a decision came to, for whoever made it."""
    done = "approved" if verdict is Verdict.APPROVE else "rejected"
    if review.is_open:
        rest = (
            "More approvals are needed"
            if verdict is Verdict.APPROVE
            else "The review is still open for others"
        )
        return f"Your decision is recorded: {done}. {rest}."
    return f"Attempt {review.attempt} is {review.outcome}."


def _is_settled(stored: StoredEvent) -> bool:
    return isinstance(stored.event, (ReviewRequested, *FINAL))
