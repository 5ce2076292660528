"""What happens when somebody in Slack presses a button or sends the dialog that asks why.

The answer to a press is given after the decision is durable, and says nothing else than that; past
`DECIDE_SECONDS` the person is told that it may not be.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import ValidationError
from slack_bolt.response import BoltResponse

from bot.answers import NOT_RECORDED, STRANGER, UNREADABLE, StillDeciding, sentence
from bot.blocks import (
    CHOICE_BLOCK,
    CHOICE_INPUT,
    REASON_BLOCK,
    REASON_INPUT,
    escape,
    link_to,
    reason_view,
)
from bot.buttons import Action
from bot.cards import url_of
from bot.menu import ACTIONS
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import SLACK, ButtonPress, DialogSent, Interaction, Origin, copy_at
from core.errors import (
    ConfirmOnPage,
    CountersignError,
    DeliveryError,
    Invalid,
    NotAReviewer,
    ReasonMissing,
    Unavailable,
)
from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from slack_bolt.async_app import AsyncAck
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.buttons import Buttons, Press
    from bot.errands import Errands
    from bot.menu import Menu
    from bot.people import Directory
    from bot.slack.payloads import State
    from core.model import PersonId, ReviewId, ReviewRequest
    from core.service import Service

log = structlog.get_logger()

T = TypeVar("T")

CHECK_SECONDS = 0.3
"""Whoever may not decide is told so instead of being asked why; but the dialog's trigger lives for 3 s only
(docs.slack.dev, trigger_id), so a slow database does not hold the question back."""
OPEN_SECONDS = 2.0
"""Slack waits 3 s for the answer to a press (docs.slack.dev, "Acknowledgment response")."""
DECIDE_SECONDS = 2.5
"""Likewise: what takes longer is answered before its end."""

NOT_OPENED = "Slack did not open the dialog. Nothing was changed; please press again."


_VERDICTS = {Action.APPROVE: Verdict.APPROVE, Action.REJECT: Verdict.REJECT}


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
        menu: Menu,
        public_url: str,
    ) -> None:
        self._service = service
        self._people = people
        self._buttons = buttons
        self._client = client
        self._errands = errands
        self._menu = menu
        self._public_url = public_url
        self.own_team = ""
        """Set before anybody can press: only Slack can tell."""

    async def approve(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._answered(ack, body, self._approve)

    async def reject(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self._answered(ack, body, self._reject)

    async def chosen(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        """In a card's menu."""
        return await self._answered(ack, body, self._choose)

    async def reason_sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        """A refusal stands in the dialog, which stays open with what was written."""
        try:
            with self._errands.busy():
                await self._take_reason(DialogSent.model_validate(body))
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
        except ConfirmOnPage as error:
            self._errands.start(self._send_to_page(press, sentence(error)), "slack private answer")
        except CountersignError as error:
            self._tell(press, sentence(error))
        return await ack()

    async def _approve(self, press: ButtonPress) -> None:
        said = self._said(press.token, Action.APPROVE)
        copy = copy_at(press.container.channel_id, press.container.message_ts)
        try:
            await self._decide(said.review, self._person(press), Verdict.APPROVE, copy=copy)
        except ReasonMissing:
            await self._ask_why(press, said)

    async def _reject(self, press: ButtonPress) -> None:
        await self._ask_why(press, self._said(press.token, Action.REJECT))

    async def _choose(self, press: ButtonPress) -> None:
        said = self._said(press.token, *ACTIONS)
        call = self._menu.pressed(said, self._person(press), via=SLACK)
        self._tell(press, (await self._in_time(call, said.review)).text)

    async def _ask_why(self, press: ButtonPress, said: Press) -> None:
        token = press.token or ""
        review = await self._checked(said, press)
        verdict = _VERDICTS[said.action]
        title = f"Attempt {said.attempt}" + (f" of {review.task.title}" if review else "")
        origin = Origin(token=token, channel=press.container.channel_id, ts=press.container.message_ts)
        view = reason_view(
            what=title,
            verdict=verdict,
            private_metadata=origin.model_dump_json(),
            is_needed=review is not None and review.policy.asks_why(verdict),
            choices=review.policy.quick_reasons if review else (),
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._client.views_open(trigger_id=press.trigger_id, view=view)
        except FAILURES as error:
            log.warning("dialog_not_opened", review_id=said.review, error=str(failure(error)))
            self._tell(press, NOT_OPENED)

    async def _take_reason(self, sent: DialogSent) -> None:
        try:
            origin = Origin.model_validate_json(sent.view.private_metadata)
        except ValidationError:
            raise Invalid(UNREADABLE) from None
        said = self._said(origin.token, *_VERDICTS)
        person = self._person(sent)
        comment = await self._reason(said, sent.view.state)
        await self._decide(
            said.review, person, _VERDICTS[said.action], comment=comment, copy=origin.copy_pressed
        )

    async def _reason(self, said: Press, state: State) -> str | None:
        """The reason chosen, and the words that follow it. What a choice says the policy knows, not Slack."""
        typed = state.values.get(REASON_BLOCK, {}).get(REASON_INPUT)
        option = state.values.get(CHOICE_BLOCK, {}).get(CHOICE_INPUT)
        words = [((typed.value if typed else None) or "").strip()]
        if option is not None and option.selected_option is not None:
            review = await self._service.review(said.review)
            words.insert(0, _chosen(review.policy.quick_reasons, option.selected_option.value))
        return "\n".join(word for word in words if word) or None

    async def _decide(self, review: ReviewId, person: PersonId, verdict: Verdict, **options: Any) -> None:
        await self._in_time(self._service.decide(review, person, verdict, via=SLACK, **options), review)

    async def _in_time(self, call: Coroutine[Any, Any, T], review: ReviewId) -> T:
        """Raises `StillDeciding` where it takes too long; what was asked for goes on all the same."""
        deciding = self._errands.start(self._outcome(call), "slack decision")
        done, _ = await asyncio.wait({deciding}, timeout=DECIDE_SECONDS)
        if not done:
            log.warning("decision_took_too_long", review_id=review)
            raise StillDeciding
        outcome = deciding.result()
        if isinstance(outcome, CountersignError):
            raise outcome
        return outcome

    async def _outcome(self, call: Coroutine[Any, Any, T]) -> T | CountersignError:
        try:
            with self._errands.busy():
                return await call
        except CountersignError as error:
            return error

    async def _checked(self, said: Press, press: ButtonPress) -> ReviewRequest | None:
        """The review, unless reading it takes too long; raises where this person may not decide it."""
        person = self._person(press)
        copy = copy_at(press.container.channel_id, press.container.message_ts)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._service.check_may_decide(said.review, person, via=SLACK, copy=copy)
        except TimeoutError:
            log.warning("check_took_too_long", review_id=said.review)
            return None

    def _said(self, token: str | None, *actions: Action) -> Press:
        said = self._buttons.read(token)
        if said is None or said.action not in actions:
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

    async def _send_to_page(self, press: ButtonPress, words: str) -> None:
        said = self._buttons.read(press.token)
        link = ""
        if said is not None:
            with contextlib.suppress(CountersignError):
                review = await self._service.review(said.review)
                link = f" {link_to(url_of(review.task.id, self._public_url))}"
        await self._tell_privately(press, words, link)

    async def _tell_privately(self, press: ButtonPress, words: str, link: str = "") -> None:
        """`link` is markup of ours."""
        try:
            await self._client.chat_postEphemeral(
                channel=press.container.channel_id,
                user=press.user.id,
                text=escape(words) + link,
                thread_ts=press.container.thread_ts,
                parse="none",
                link_names=False,
            )
        except FAILURES as error:
            reason: DeliveryError = failure(error)
            log.warning("private_answer_lost", channel="slack", error=str(reason))


def _chosen(reasons: Sequence[str], value: str) -> str:
    """By its number; one that there is not is no reason."""
    return next((reason for number, reason in enumerate(reasons) if str(number) == value), "")
