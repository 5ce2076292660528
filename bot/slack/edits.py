"""Edit, in Slack: the draft in a dialog, then the difference in the same dialog, and only then a decision."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from bot.answers import OnThePage
from bot.buttons import Action
from bot.edits import UNDECIDED, consequence, difference
from bot.slack.desk import SLOW
from bot.slack.payloads import SLACK, Origin
from bot.views import EDIT_BLOCK, INPUT, TEXT, WHY_BLOCK, edit_view, fits
from core.errors import Invalid
from core.literal import utf16
from core.model import Verdict, text_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck
    from slack_bolt.response import BoltResponse

    from bot.blocks import Block
    from bot.slack.desk import Desk
    from bot.slack.payloads import ButtonPress, DialogSent
    from core.model import Json, ReviewId, ReviewRequest
    from core.service import Service

TOO_LONG = (
    "A dialog takes a draft of {:,} characters, and as Slack counts this one has {:,}: "
    "edit it on the task's page."
)


class Edits:
    """The listeners; each is called by bolt with `ack` and the payload.

    What was written is not stored: Slack's own dialog holds it until it is decided, over restarts of ours.
    """

    def __init__(self, *, service: Service, desk: Desk) -> None:
        self._service = service
        self._desk = desk

    async def pressed(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._desk.pressed(ack, body, self._open)

    async def sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._desk.sent(ack, body, self._take, block=EDIT_BLOCK, why=WHY_BLOCK)

    async def _open(self, press: ButtonPress) -> None:
        said = self._desk.said(press.token, Action.EDIT)
        review = await self._desk.may_decide(press, said)
        if review is None:
            raise Invalid(SLOW)
        text = text_of(review.draft)
        if not fits(text):
            raise OnThePage(TOO_LONG.format(TEXT, utf16(text)))
        await self._desk.open(press, _view(review, text, "", Origin.of(press)))

    async def _take(self, sent: DialogSent) -> Block | None:
        """Show the difference; or, where this person was looking at it, decide."""
        origin = sent.origin
        said = self._desk.said(origin.token, Action.EDIT)
        return await self._desk.in_time(self._taken(sent, origin, said.review), said.review)

    async def _taken(self, sent: DialogSent, origin: Origin, review_id: ReviewId) -> Block | None:
        person = self._desk.person(sent)
        text = sent.view.state.typed(EDIT_BLOCK, INPUT)
        comment = sent.view.state.typed(WHY_BLOCK, INPUT)
        review, content = await self._service.check_edit(review_id, person, text, via=SLACK, comment=comment)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if origin.shown != digest:
            return _view(review, text, comment, origin.model_copy(update={"shown": digest}), content)
        await self._desk.check_timely(sent, review_id, person)
        await self._service.decide(
            review_id,
            person,
            Verdict.EDIT,
            comment=comment.strip() or None,
            content=content,
            via=SLACK,
            copy=origin.copy_pressed,
        )
        return None


def _view(review: ReviewRequest, text: str, comment: str, origin: Origin, content: Json = None) -> Block:
    """With `content`, which differs from the draft, the one that asks for consent."""
    return edit_view(
        what=f"Attempt {review.attempt} of {review.task.title}",
        text=text,
        is_json=not isinstance(review.draft, str),
        comment=comment,
        is_reason_needed=review.policy.asks_why(Verdict.EDIT),
        private_metadata=origin.model_dump_json(),
        difference=None if content is None else difference(review.draft, content),
        consequence=f"{UNDECIDED} {consequence(review)}",
    )
