"""Where a review stands and why; taking an answer back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from core.errors import NotFound
from core.model import OpenReview
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other
from web.parameters import known_id, named_review
from web.schemas import Withdrawal, explanation_json, json_response, task_json

if TYPE_CHECKING:
    from core.model import ReviewRequest
    from core.service import Service
    from web.settings import WebSettings


class Standing:
    """Whoever may read a task may have it explained; an answer is its author's to take back."""

    def __init__(self, *, service: Service, settings: WebSettings) -> None:
        self._service = service
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/tasks/{task_id}/explain", self.explain),
            web.delete("/v1/tasks/{task_id}/decisions", self.withdraw),
            web.post("/tasks/{task_id}/withdraw", self.withdraw_by_form),
        ]

    async def explain(self, request: web.Request) -> web.Response:
        """Of the task's newest review, to the caller."""
        found = await self._service.explain(known_id(request), request[CALLER].person)
        if found is None:
            raise NotFound("No review of this task has been asked for yet.")
        return json_response(explanation_json(found, self._service.somebody))

    async def withdraw(self, request: web.Request) -> web.Response:
        review = await self._withdrawn(request, named_review(request))
        return json_response(task_json(review.task, base_url=self._settings.base_url))

    async def withdraw_by_form(self, request: web.Request) -> web.Response:
        body = await parsed(request, Withdrawal)
        review = await self._withdrawn(request, body.review_id)
        return see_other(f"/tasks/{review.task.id}")

    async def _withdrawn(self, request: web.Request, review_id: str | None) -> ReviewRequest:
        """The task's open review, or the one that is named, without the caller's answer.

        Raises `NotFound`, `NotWaiting`, `ReviewIsClosed`.
        """
        caller = request[CALLER]
        which = OpenReview(task=known_id(request), review=review_id)
        return await self._service.withdraw(which, caller.person, via=caller.via)
