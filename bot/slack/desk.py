"""Who pressed or sent what in Slack, and how they are answered.

The answer to a press is given after what it asked for is durable, and says nothing else than that; past
`DECIDE_SECONDS` the person is told that it may not be.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import ValidationError
from slack_bolt.response import BoltResponse

from bot.answers import NOT_RECORDED, UNREADABLE, OnThePage, StillDeciding, sentence
from bot.blocks import escape, link_to, listed
from bot.buttons import Action
from bot.cards import url_of
from bot.menu import about
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import SLACK, ButtonPress, DialogClosed, DialogSent, copy_at
from bot.slack.repeats import Repeats
from bot.slack.strangers import stranger
from bot.slack.threads import in_thread
from core.errors import ConfirmOnPage, CountersignError, Invalid, ReasonMissing, Unavailable
from core.events import DecisionRecorded, DecisionWithdrawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from slack_bolt.async_app import AsyncAck
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.blocks import Block
    from bot.buttons import Buttons, Press
    from bot.errands import Errands
    from bot.people import Directory
    from bot.slack.payloads import Interaction
    from core.errors import DeliveryError
    from core.events import Event
    from core.model import MessageRef, PersonId, Recipient, ReviewId, ReviewRequest
    from core.ports import Clock
    from core.service import Service

log = structlog.get_logger()

T = TypeVar("T")

CHECK_SECONDS = 0.3
"""Whoever may not decide is told so instead of being asked; but the dialog's trigger lives for 3 s only
(docs.slack.dev, trigger_id), so a slow database does not hold the question back."""
OPEN_SECONDS = 2.0
"""Slack waits 3 s for the answer to a press (docs.slack.dev, "Acknowledgment response")."""
DECIDE_SECONDS = 2.5
"""Likewise: what takes longer is answered before its end."""

PROMPT = timedelta(seconds=10)
"""Slack gives a press up after 3 s and sends none again: what comes later than this is a replay.

What comes sooner may be one too, and is not found out: to tell it from a press by somebody who changes their
mind at once, Slack's clock and ours would have to agree better than people are quick."""
CLOCKS_APART = timedelta(seconds=30)
"""Between Slack's and ours, at most, where somebody is to be kept from replaying a press."""

CAME_LATE = "Nothing was changed: this came late, and you have answered since. Please try again in a minute."
SLOW = "Nothing was changed: the database is slow. Please press again in a moment."
NOT_OPENED = "Slack did not open the dialog. Nothing was changed; please press again."


class Desk:
    """What every listener needs; `own_team` is set before anybody can press: only Slack can tell."""

    def __init__(
        self,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        client: AsyncWebClient,
        errands: Errands,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._service = service
        self._people = people
        self._buttons = buttons
        self._client = client
        self._errands = errands
        self._clock = clock
        self._public_url = public_url
        self._repeats = Repeats(clock)
        self.own_team = ""

    async def pressed(
        self, ack: AsyncAck, body: Mapping[str, Any], act: Callable[[ButtonPress], Awaitable[None]]
    ) -> BoltResponse:
        """Do what a button asks for; a refusal is said in private."""
        try:
            press = ButtonPress.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        return await self._repeats.once(press.key, partial(self._pressed, ack, press, act))

    async def _pressed(
        self, ack: AsyncAck, press: ButtonPress, act: Callable[[ButtonPress], Awaitable[None]]
    ) -> BoltResponse:
        try:
            with self._errands.busy():
                await act(press)
        except Unavailable as error:
            log.warning("press_not_recorded", reason=type(error).__name__)
            self.tell(press, NOT_RECORDED)
            return BoltResponse(status=503)
        except CountersignError as error:
            self._refuse(press, error)
        return await ack()

    async def sent(
        self,
        ack: AsyncAck,
        body: Mapping[str, Any],
        take: Callable[[DialogSent], Awaitable[Block | None]],
        *,
        block: str,
        why: str | None = None,
    ) -> BoltResponse:
        """Take what a dialog brings; the view that shall stand in its place, if any.

        A refusal stands in the dialog, below its input `block`, or below `why` where that is missing. What
        was written stays.
        """
        try:
            said = DialogSent.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        return await self._repeats.once(said.key, partial(self._sent, ack, said, take, block=block, why=why))

    async def _sent(
        self,
        ack: AsyncAck,
        said: DialogSent,
        take: Callable[[DialogSent], Awaitable[Block | None]],
        *,
        block: str,
        why: str | None,
    ) -> BoltResponse:
        try:
            with self._errands.busy():
                view = await take(said)
        except CountersignError as error:
            at = why if why is not None and isinstance(error, ReasonMissing) else block
            return await ack(response_action="errors", errors={at: sentence(error)})
        return await ack() if view is None else await ack(response_action="update", view=view)

    async def closed(self, ack: AsyncAck, body: Mapping[str, Any]) -> BoltResponse:
        """A dialog given up decides nothing, and nothing is to be dropped: it alone held what was written.

        It is in the log for whoever asks why nobody decided.
        """
        try:
            given_up = DialogClosed.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        log.info("dialog_closed", channel="slack", view=given_up.view.callback_id)
        return await ack()

    async def open(self, press: ButtonPress, view: Block) -> None:
        """Within the time that the press's trigger lives; where Slack does not open it, that is said."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._client.views_open(trigger_id=press.trigger_id, view=view)
        except FAILURES as error:
            log.warning("dialog_not_opened", view=view["callback_id"], error=str(failure(error)))
            self._errands.start(self._tell_of_card(press, NOT_OPENED), "slack private answer")

    async def may_decide(self, press: ButtonPress, said: Press) -> ReviewRequest | None:
        """The review, where this person could decide it now; None where reading it takes too long.

        One read, for the press's trigger lives for 3 s only: whether this copy of the card is known is looked
        up besides. Raises refusals.
        """
        check = partial(self._service.check_may_decide, said.review, self.person(press), via=SLACK)
        try:
            return await self.soon(check())
        finally:
            self._errands.start(self._outcome(check(copy=pressed_copy(press))), "slack copy")

    async def check_timely(self, said_by: Interaction, review_id: ReviewId, person: PersonId) -> None:
        """Raise `Invalid` where it is an old answer of this person's, who has given or taken back one since.

        Whoever got hold of a request could send it to a replica that has not seen it: an approval, say, that
        was withdrawn meanwhile. The record tells of what was said, and is asked about old requests only:
        for `PROMPT` after it was signed, by our clock, a replay counts as a press of its own.
        """
        if said_by.signed_at is None:
            return
        at = datetime.fromtimestamp(said_by.signed_at, UTC)
        if self._clock.now() - at <= PROMPT:
            return
        task = (await self._service.review(review_id)).task.id
        for stored in (await self._service.story(task)).turns:
            if stored.at >= at - CLOCKS_APART and _is_of(stored.event, review_id, person):
                log.warning("late_answer_refused", channel=SLACK, review_id=review_id)
                raise Invalid(CAME_LATE)

    async def soon(self, check: Awaitable[T]) -> T | None:
        """What is to be known before a dialog opens, unless reading it takes too long; raises refusals."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check
        except TimeoutError:
            log.warning("check_took_too_long")
            return None

    async def in_time(self, call: Coroutine[Any, Any, T], review: ReviewId) -> T:
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

    def said(self, token: str | None, *actions: Action) -> Press:
        """What a button of ours says, if it is one of these."""
        said = self._buttons.read(token)
        if said is None or said.action not in actions:
            log.warning("token_refused", channel="slack")
            raise Invalid(UNREADABLE)
        return said

    def person(self, interaction: Interaction) -> PersonId:
        user, team = interaction.user.id, interaction.user_team
        person = self._people.slack_person(user=user, team=team, own_team=self.own_team)
        if person is None:
            log.info("stranger_refused", channel="slack", team=team, user=user)
            raise stranger(user, team)
        return person

    def tell(self, press: ButtonPress, words: str, drawn: list[Block] | None = None) -> None:
        """Only this person reads it, `drawn` where it has words of other people; nobody waits for that."""
        self._errands.start(self._tell_privately(press, words, drawn=drawn), "slack private answer")

    def _refuse(self, press: ButtonPress, error: CountersignError) -> None:
        is_for_page = isinstance(error, ConfirmOnPage | OnThePage)
        telling = self._tell_of_card(press, sentence(error), has_link=is_for_page)
        self._errands.start(telling, "slack private answer")

    async def _tell_of_card(self, press: ButtonPress, words: str, *, has_link: bool = False) -> None:
        """What is said in private stands at the end of the conversation, so it names the card's task; with a
        link also in the text that stands for it."""
        review = await self._pressed_on(press)
        if review is None:
            await self._tell_privately(press, words)
            return
        link = f" {link_to(url_of(review.task.id, self._public_url))}" if has_link else ""
        drawn = listed(about(words, review, self._public_url))
        await self._tell_privately(press, words, link, drawn=drawn)

    async def _pressed_on(self, press: ButtonPress) -> ReviewRequest | None:
        """The review whose card the button is on, or the newest of the task of which the message tells.

        None where that cannot be known soon.
        """
        said = self._buttons.read(press.token)
        if said is None:
            return None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                if said.action is Action.ANSWER:
                    return await self._service.shown_at(SLACK, pressed_copy(press)[1])
                return await self._service.review(said.review)
        except (CountersignError, TimeoutError):
            return None

    async def _tell_privately(
        self, press: ButtonPress, words: str, link: str = "", *, drawn: list[Block] | None = None
    ) -> None:
        """`link` is markup of ours."""
        post = partial(
            self._client.chat_postEphemeral,
            channel=press.container.channel_id,
            user=press.user.id,
            text=escape(words) + link,
            blocks=drawn,
            parse="none",
            link_names=False,
        )
        try:
            await in_thread(post, press.container.thread_ts)
        except FAILURES as error:
            reason: DeliveryError = failure(error)
            log.warning("private_answer_lost", channel="slack", error=str(reason))


def _is_of(event: Event, review_id: ReviewId, person: PersonId) -> bool:
    """Whether this person, or somebody in their place, said it on that review."""
    match event:
        case DecisionRecorded(review=review, reviewer=who, person=other):
            return review == review_id and person in {who, other}
        case DecisionWithdrawn(review=review, reviewer=who, by=other):
            return review == review_id and person in {who, other}
        case _:
            return False


def pressed_copy(press: ButtonPress) -> tuple[Recipient, MessageRef]:
    """The message whose button it was."""
    return copy_at(press.container.channel_id, press.container.message_ts)
