"""The forms by which people change what a task does next: an edit, and going on from a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from core.errors import CountersignError, NotFound
from core.model import OpenReview, Status, Verdict
from core.states import content_of
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other, wants_page
from web.pages.forms import edits_of
from web.pages.trail import leaf
from web.parameters import known_id, known_number
from web.problems import problem_of
from web.schemas import Edit, ResumeForm

if TYPE_CHECKING:
    from core.model import ReviewRequest
    from core.service import Service
    from web.pages import Pages

log = structlog.get_logger(__name__)

LONGEST_STATE = 300_000
"""Characters of a state on its page."""


class Changes:
    """Each form's refusal is a page that keeps what was typed."""

    def __init__(self, *, service: Service, pages: Pages) -> None:
        self._service = service
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/tasks/{task_id}/edit", self.edit),
            web.get("/tasks/{task_id}/checkpoints/{number}", self.checkpoint),
            web.post("/tasks/{task_id}/resume", self.resume),
        ]

    async def edit(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        body = await parsed(request, Edit)
        review = await self._review(task_id, body.review_id)
        try:
            await self._record(request, review, body)
        except CountersignError as error:
            # As it stands now: somebody else may have closed it.
            review = await self._review(task_id, body.review_id)
            return self._refused(request, error, "edit.html", review=review, typed=body)
        return see_other("/inbox" if body.back == "inbox" else f"/tasks/{task_id}")

    async def _review(self, task_id: str, review_id: str) -> ReviewRequest:
        review = await self._service.review(review_id)
        if review.task.id != task_id:
            raise NotFound("There is no such review.")
        return review

    async def _record(self, request: web.Request, review: ReviewRequest, body: Edit) -> None:
        caller = request[CALLER]
        await self._service.decide(
            OpenReview(task=review.task.id, review=review.id),
            caller.person,
            Verdict.EDIT,
            comment=body.comment.strip() if body.comment else None,
            content=content_of(body.content, review.draft),
            via=caller.via,
        )

    async def checkpoint(self, request: web.Request) -> web.Response:
        shown = await self._shown(request, known_id(request), known_number(request))
        return self._pages.page(request, "checkpoint.html", **shown, typed=None, problem=None)

    async def resume(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        body = await parsed(request, ResumeForm)
        found = await self._service.checkpoints.one(task_id, body.checkpoint)
        try:
            task = await self._service.checkpoints.resume(
                task_id,
                request[CALLER].person,
                checkpoint=body.checkpoint,
                state=edits_of(body.state, found.state),
                node=body.node or None,
                fork=body.how == "fork",
            )
        except CountersignError as error:
            shown = await self._shown(request, task_id, body.checkpoint)
            return self._refused(request, error, "checkpoint.html", **shown, typed=body)
        return see_other(f"/tasks/{task.id}")

    async def _shown(self, request: web.Request, task_id: str, number: int) -> dict[str, Any]:
        found = await self._service.checkpoints.one(task_id, number)
        task = await self._service.task(task_id)
        graph = self._service.graph(task.flow)
        return {
            "task": task,
            "leaf": leaf(found, LONGEST_STATE),
            "may_resume": self._service.may_resume(request[CALLER].person),
            "is_running": task.status in {Status.PENDING, Status.RUNNING},
            "nodes": [] if graph is None else graph.named(),
        }

    def _refused(
        self, request: web.Request, error: CountersignError, template: str, **shown: Any
    ) -> web.Response:
        """The page with the problem above; raises it for whoever wants no page."""
        if not wants_page(request):
            raise error
        problem = problem_of(error)
        log.info("request_refused", method=request.method, status=problem.status, problem=problem.slug)
        page = self._pages.page(request, template, status=problem.status, problem=problem, **shown)
        page.headers.update(problem.headers)
        return page
