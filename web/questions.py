"""A reviewer asks, the submitter answers: by API and by the pages' forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from core.errors import Invalid, NotFound
from core.model import OpenReview
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other
from web.parameters import idempotency_key, known_id
from web.schemas import AnswerForm, NewAnswer, NewQuestion, QuestionForm, json_response, question_json

if TYPE_CHECKING:
    from core.model import Question
    from core.service import Service


class Conversation:
    """Whoever may read a task may read what was asked about it."""

    def __init__(self, *, service: Service) -> None:
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/tasks/{task_id}/questions", self.listed),
            web.post("/v1/tasks/{task_id}/questions", self.ask),
            web.post("/v1/tasks/{task_id}/answers", self.answer),
            web.post("/tasks/{task_id}/ask", self.ask_by_form),
            web.post("/tasks/{task_id}/answer", self.answer_by_form),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        """All, oldest first."""
        task = await self._service.task(known_id(request))
        found = await self._service.questions.of_task(task.id)
        return json_response({"questions": [question_json(one) for one in found]})

    async def ask(self, request: web.Request) -> web.Response:
        """Of the task's open review, or of the one that is named where it is that."""
        body, caller = await parsed(request, NewQuestion), request[CALLER]
        asked = await self._service.questions.ask(
            OpenReview(task=known_id(request), review=body.review_id),
            caller.person,
            body.text,
            via=caller.via,
            key=idempotency_key(request),
        )
        return json_response(question_json(asked), status=201)

    async def answer(self, request: web.Request) -> web.Response:
        """The question that is named; without a name, the only one that has no answer."""
        body = await parsed(request, NewAnswer)
        question = await self._meant(known_id(request), body.question_id)
        return json_response(question_json(await self._answered(request, question, body.text)), status=201)

    async def ask_by_form(self, request: web.Request) -> web.Response:
        body, caller = await parsed(request, QuestionForm), request[CALLER]
        which = OpenReview(task=known_id(request), review=body.review_id)
        await self._service.questions.ask(which, caller.person, body.text, via=caller.via)
        return see_other(f"/tasks/{known_id(request)}")

    async def answer_by_form(self, request: web.Request) -> web.Response:
        body = await parsed(request, AnswerForm)
        question = await self._meant(known_id(request), body.question_id)
        await self._answered(request, question, body.text)
        return see_other(f"/tasks/{known_id(request)}")

    async def _answered(self, request: web.Request, question: Question, text: str) -> Question:
        caller = request[CALLER]
        return await self._service.questions.answer(question.id, caller.person, text, via=caller.via)

    async def _meant(self, task_id: str, question_id: str | None) -> Question:
        """Raises `NotFound`, and `Invalid` where it is not clear which question is meant."""
        task = await self._service.task(task_id)
        found = await self._service.questions.of_task(task.id)
        if question_id is not None:
            wanted = [one for one in found if one.id == question_id]
            if not wanted:
                raise NotFound("There is no such question about this task.")
            return wanted[0]
        waiting = [one for one in found if one.reply is None and one.review == task.review]
        if not waiting:
            raise NotFound("No question about this task waits for an answer.")
        if len(waiting) > 1:
            raise Invalid(f"{len(waiting)} questions wait for an answer; name the `question_id`.")
        return waiting[0]
