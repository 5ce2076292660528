"""What happens when somebody in Slack presses a button or sends the dialog that asks why.

The answer to a press is given after the decision is durable, and says nothing else than that; past
`DECIDE_SECONDS` the person is told that it may not be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError
from slack_bolt.response import BoltResponse

from bot.answers import NOT_RECORDED, STRANGER, UNREADABLE, StillDeciding, sentence
from bot.blocks import REASON_BLOCK, REASON_INPUT, escape, reason_view
from bot.buttons import Action
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import ButtonPress, DialogSent, Interaction, Origin, copy_at
from core.errors import CountersignError, DeliveryError, Invalid, NotAReviewer, Unavailable
from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from slack_bolt.async_app import AsyncAck
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.buttons import Buttons, Press
    from bot.errands import Errands
    from bot.people import Directory
    from core.model import PersonId, ReviewId, ReviewRequest
    from core.service import Service

log = structlog.get_logger()

CHECK_SECONDS = 0.3
"""Whoever may not decide is told so instead of being asked why; but the dialog's trigger lives for 3 s only
(docs.slack.dev, trigger_id), so a slow database does not hold the question back."""
OPEN_SECONDS = 2.0
"""Slack waits 3 s for the answer to a press (docs.slack.dev, "Acknowledgment response")."""
DECIDE_SECONDS = 2.5
"""Likewise: what takes longer is answered before its end."""

NOT_OPENED = "Slack did not open the dialog. Nothing was changed; please press Reject again."


class Presses:
    """The listeners; each is called by bolt with `ack` and the payload."""

    def __init__(
        self,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        client: AsyncWebClient,
        errands: Errands,
    ) -> None:
        self._service = service
        self._people = people
        self._buttons = buttons
        self._client = client
        self._errands = errands
        self.own_team = ""
        """Set before anybody can press: only Slack can tell."""

    async def approve(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._answered(ack, body, self._approve)

    async def reject(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._answered(ack, body, self._ask_why)

    async def reason_sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        """A refusal stands in the dialog, which stays open with what was written."""
        try:
            with self._errands.busy():
                await self._reject(DialogSent.model_validate(body))
        except ValidationError:
            return BoltResponse(status=400)
        except CountersignError as error:
            return await ack(response_action="errors", errors={REASON_BLOCK: sentence(error)})
        return await ack()

    async def _answered(
        self, ack: AsyncAck, body: Mapping[str, Any], act: Callable[[ButtonPress], Awaitable[None]]
    ) -> BoltResponse:
        try:
            press = ButtonPress.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        try:
            with self._errands.busy():
                await act(press)
        except Unavailable as error:
            log.warning("press_not_recorded", reason=type(error).__name__)
            self._tell(press, NOT_RECORDED)
            return BoltResponse(status=503)
        except CountersignError as error:
            self._tell(press, sentence(error))
        return await ack()

    async def _approve(self, press: ButtonPress) -> None:
        said = self._said(press.actions[0].value, Action.APPROVE)
        copy = copy_at(press.container.channel_id, press.container.message_ts)
        await self._decide(said.review, self._person(press), Verdict.APPROVE, copy=copy)

    async def _ask_why(self, press: ButtonPress) -> None:
        token = press.actions[0].value or ""
        said = self._said(token, Action.REJECT)
        review = await self._checked(said, press)
        title = f"Attempt {said.attempt}" + (f" of {review.task.title}" if review else "")
        origin = Origin(token=token, channel=press.container.channel_id, ts=press.container.message_ts)
        view = reason_view(what=title, private_metadata=origin.model_dump_json())
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._client.views_open(trigger_id=press.trigger_id, view=view)
        except FAILURES as error:
            log.warning("dialog_not_opened", review_id=said.review, error=str(failure(error)))
            self._tell(press, NOT_OPENED)

    async def _reject(self, sent: DialogSent) -> None:
        try:
            origin = Origin.model_validate_json(sent.view.private_metadata)
        except ValidationError:
            raise Invalid(UNREADABLE) from None
        said = self._said(origin.token, Action.REJECT)
        typed = sent.view.state.values.get(REASON_BLOCK, {}).get(REASON_INPUT)
        comment = ((typed.value if typed else None) or "").strip() or None
        await self._decide(
            said.review, self._person(sent), Verdict.REJECT, comment=comment, copy=origin.copy_pressed
        )

    async def _decide(self, review: ReviewId, person: PersonId, verdict: Verdict, **options: Any) -> None:
        """Raises `StillDeciding` where it takes too long; the decision goes on all the same."""
        call = self._service.decide(review, person, verdict, via="slack", **options)
        deciding = self._errands.start(self._refusal(call), "slack decision")
        done, _ = await asyncio.wait({deciding}, timeout=DECIDE_SECONDS)
        if not done:
            log.warning("decision_took_too_long", review_id=review)
            raise StillDeciding
        if (refusal := deciding.result()) is not None:
            raise refusal

    async def _refusal(self, call: Coroutine[Any, Any, ReviewRequest]) -> CountersignError | None:
        try:
            with self._errands.busy():
                await call
        except CountersignError as error:
            return error
        return None

    async def _checked(self, said: Press, press: ButtonPress) -> ReviewRequest | None:
        """The review, unless reading it takes too long; raises where this person may not decide it."""
        person = self._person(press)
        copy = copy_at(press.container.channel_id, press.container.message_ts)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._service.check_may_decide(said.review, person, copy=copy)
        except TimeoutError:
            log.warning("check_took_too_long", review_id=said.review)
            return None

    def _said(self, token: str | None, action: Action) -> Press:
        said = self._buttons.read(token)
        if said is None or said.action is not action:
            log.warning("token_refused", channel="slack")
            raise Invalid(UNREADABLE)
        return said

    def _person(self, interaction: Interaction) -> PersonId:
        user, team = interaction.user.id, interaction.user_team
        person = self._people.slack_person(user=user, team=team, own_team=self.own_team)
        if person is None:
            log.info("stranger_refused", channel="slack", team=team, user=user)
            raise NotAReviewer(STRANGER.format(f"{team}/{user}"))
        return person

    def _tell(self, press: ButtonPress, words: str) -> None:
        self._errands.start(self._tell_privately(press, words), "slack private answer")

    async def _tell_privately(self, press: ButtonPress, words: str) -> None:
        try:
            await self._client.chat_postEphemeral(
                channel=press.container.channel_id,
                user=press.user.id,
                text=escape(words),
                thread_ts=press.container.thread_ts,
                parse="none",
                link_names=False,
            )
        except FAILURES as error:
            reason: DeliveryError = failure(error)
            log.warning("private_answer_lost", channel="slack", error=str(reason))
