"""What a task's flow left behind after each node, and going on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from web.auth import CALLER
from web.bodies import parsed
from web.parameters import before, idempotency_key, known_id, known_number
from web.schemas import Resume, checkpoint_json, json_response, task_json, whole_checkpoint_json

if TYPE_CHECKING:
    from core.service import Service
    from web.settings import WebSettings


class Checkpoints:
    """Whoever may read a task may read its checkpoints; administrators resume it from them."""

    def __init__(self, *, service: Service, settings: WebSettings) -> None:
        self._service = service
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/tasks/{task_id}/checkpoints", self.all),
            web.get("/v1/tasks/{task_id}/checkpoints/{number}", self.one),
            web.post("/v1/tasks/{task_id}/resume", self.resume),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """The newest hundred; `next_before` is for the `before` of the page of earlier ones."""
        found = await self._service.checkpoints.of_task(known_id(request), before=before(request))
        earlier = found[0].number if found and found[0].number else None
        return json_response({"checkpoints": [checkpoint_json(one) for one in found], "next_before": earlier})

    async def one(self, request: web.Request) -> web.Response:
        found = await self._service.checkpoints.one(known_id(request), known_number(request))
        return json_response(whole_checkpoint_json(found))

    async def resume(self, request: web.Request) -> web.Response:
        task_id = known_id(request)
        body = await parsed(request, Resume)
        task = await self._service.checkpoints.resume(
            task_id,
            request[CALLER].person,
            checkpoint=body.checkpoint,
            state=body.state,
            node=body.node,
            fork=body.fork,
            key=idempotency_key(request),
        )
        shown = task_json(task, base_url=self._settings.base_url)
        if body.fork:
            return json_response(shown, status=201, headers={"Location": f"/v1/tasks/{task.id}"})
        return json_response(shown)
