"""Ask, in Slack: a dialog for the question, and one for the submitter's answer. Neither decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.buttons import Action
from bot.slack.desk import SLOW
from bot.slack.payloads import SLACK, Origin
from bot.views import ANSWER_BLOCK, INPUT, QUESTION_BLOCK, answer_view, question_view
from core.errors import Invalid

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck
    from slack_bolt.response import BoltResponse

    from bot.buttons import Press
    from bot.slack.desk import Desk
    from bot.slack.payloads import ButtonPress, DialogSent
    from core.service import Service


class Inquiries:
    """The listeners; each is called by bolt with `ack` and the payload."""

    def __init__(self, *, service: Service, desk: Desk) -> None:
        self._questions = service.questions
        self._desk = desk

    async def ask(self, press: ButtonPress, said: Press) -> None:
        """Open the dialog; raises where this person may not ask."""
        review = await self._desk.soon(self._questions.check_may_ask(said.review, self._desk.person(press)))
        title = f"Attempt {said.attempt}" + (f" of {review.task.title}" if review else "")
        origin = Origin.of(press).model_dump_json()
        await self._desk.open(press, question_view(what=title, private_metadata=origin))

    async def question_sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._desk.sent(ack, body, self._take_question, block=QUESTION_BLOCK)

    async def pressed(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        """The button below a question."""
        return await self._desk.pressed(ack, body, self._answer)

    async def answer_sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._desk.sent(ack, body, self._take_answer, block=ANSWER_BLOCK)

    async def _take_question(self, sent: DialogSent) -> None:
        """A dialog that is sent twice asks once: its id is the question's key."""
        said = self._desk.said(sent.origin.token, Action.ASK)
        text = sent.view.state.typed(QUESTION_BLOCK, INPUT)
        asking = self._questions.ask(
            said.review, self._desk.person(sent), text, via=SLACK, key=f"slack:{sent.view.id}"
        )
        await self._desk.in_time(asking, said.review)

    async def _answer(self, press: ButtonPress) -> None:
        said = self._desk.said(press.token, Action.ANSWER)
        asked = await self._desk.soon(
            self._questions.check_may_answer(said.question, self._desk.person(press))
        )
        if asked is None:
            raise Invalid(SLOW)
        origin = Origin.of(press).model_dump_json()
        await self._desk.open(
            press, answer_view(who=asked.name, question=asked.text, private_metadata=origin)
        )

    async def _take_answer(self, sent: DialogSent) -> None:
        said = self._desk.said(sent.origin.token, Action.ANSWER)
        text = sent.view.state.typed(ANSWER_BLOCK, INPUT)
        answering = self._questions.answer(said.question, self._desk.person(sent), text, via=SLACK)
        await self._desk.in_time(answering, said.review)
