"""What happens when somebody in Slack approves, rejects, says why, or chooses in a card's menu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.buttons import Action
from bot.menu import ACTIONS
from bot.slack.commands import drawn
from bot.slack.desk import Desk, pressed_copy
from bot.slack.edits import Edits
from bot.slack.inquiries import Inquiries
from bot.slack.payloads import SLACK, Origin
from bot.views import CHOICE_BLOCK, CHOICE_INPUT, INPUT, REASON_BLOCK, reason_view
from core.errors import ReasonMissing
from core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_bolt.async_app import AsyncAck
    from slack_bolt.response import BoltResponse
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.buttons import Buttons, Press
    from bot.errands import Errands
    from bot.menu import Menu
    from bot.people import Directory
    from bot.slack.payloads import ButtonPress, DialogSent, Interaction, State
    from core.model import PersonId, ReviewId
    from core.service import Service


_APPROVES = (Action.APPROVE, Action.ASK_APPROVE)
"""Slack asks by itself, before it sends the second."""
_VERDICTS = {**dict.fromkeys(_APPROVES, Verdict.APPROVE), Action.REJECT: Verdict.REJECT}


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
        self._menu = menu
        self.desk = Desk(
            service=service,
            people=people,
            buttons=buttons,
            client=client,
            errands=errands,
            clock=menu.clock,
            public_url=public_url,
        )
        self.edits = Edits(service=service, desk=self.desk)
        self.inquiries = Inquiries(service=service, desk=self.desk)

    @property
    def own_team(self) -> str:
        return self.desk.own_team

    @own_team.setter
    def own_team(self, team: str) -> None:
        self.desk.own_team = team

    async def approve(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self.desk.pressed(ack, body, self._approve)

    async def reject(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self.desk.pressed(ack, body, self._reject)

    async def chosen(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        """In a card's menu."""
        return await self.desk.pressed(ack, body, self._choose)

    async def reason_sent(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        return await self.desk.sent(ack, body, self._take_reason, block=REASON_BLOCK)

    async def _approve(self, press: ButtonPress) -> None:
        said = self.desk.said(press.token, *_APPROVES)
        person = self.desk.person(press)
        try:
            await self._decide(press, said.review, person, Verdict.APPROVE, copy=pressed_copy(press))
        except ReasonMissing:
            await self._ask_why(press, said)

    async def _reject(self, press: ButtonPress) -> None:
        await self._ask_why(press, self.desk.said(press.token, Action.REJECT))

    async def _choose(self, press: ButtonPress) -> None:
        said = self.desk.said(press.token, Action.ASK, *ACTIONS)
        if said.action is Action.ASK:
            await self.inquiries.ask(press, said)
            return
        person = self.desk.person(press)
        if said.action is Action.WITHDRAW:
            await self.desk.check_timely(press, said.review, person)
        call = self._menu.pressed(said, person, via=SLACK)
        answer = await self.desk.in_time(call, said.review)
        self.desk.tell(press, answer.text, drawn(answer))

    async def _ask_why(self, press: ButtonPress, said: Press) -> None:
        review = await self.desk.may_decide(press, said)
        verdict = _VERDICTS[said.action]
        title = f"Attempt {said.attempt}" + (f" of {review.task.title}" if review else "")
        view = reason_view(
            what=title,
            verdict=verdict,
            private_metadata=Origin.of(press).model_dump_json(),
            is_needed=review is not None and review.policy.asks_why(verdict),
            choices=review.policy.quick_reasons if review else (),
        )
        await self.desk.open(press, view)

    async def _take_reason(self, sent: DialogSent) -> None:
        origin = sent.origin
        said = self.desk.said(origin.token, *_VERDICTS)
        person = self.desk.person(sent)
        comment = await self._reason(said, sent.view.state)
        verdict = _VERDICTS[said.action]
        await self._decide(sent, said.review, person, verdict, comment=comment, copy=origin.copy_pressed)

    async def _reason(self, said: Press, state: State) -> str | None:
        """The reason chosen, and the words that follow it. What a choice says the policy knows, not Slack."""
        words = [state.typed(REASON_BLOCK, INPUT).strip()]
        option = state.values.get(CHOICE_BLOCK, {}).get(CHOICE_INPUT)
        if option is not None and option.selected_option is not None:
            review = await self._service.review(said.review)
            words.insert(0, _chosen(review.policy.quick_reasons, option.selected_option.value))
        return "\n".join(word for word in words if word) or None

    async def _decide(
        self, said_by: Interaction, review: ReviewId, person: PersonId, verdict: Verdict, **options: Any
    ) -> None:
        await self.desk.check_timely(said_by, review, person)
        await self.desk.in_time(self._service.decide(review, person, verdict, via=SLACK, **options), review)


def _chosen(reasons: Sequence[str], value: str) -> str:
    """By its number; one that there is not is no reason."""
    return next((reason for number, reason in enumerate(reasons) if str(number) == value), "")
