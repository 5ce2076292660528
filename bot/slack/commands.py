"""`/countersign`: what somebody types in Slack, answered to them alone."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError
from slack_bolt.response import BoltResponse

from bot.absence import HOW, Absences
from bot.answers import NOT_RECORDED, SLOW, STRANGER
from bot.blocks import escape, listed
from bot.menu import Answer, Word
from bot.slack.payloads import SLACK, Typing
from core.errors import CountersignError, Invalid, NotAReviewer, Unavailable

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck

    from bot.errands import Errands
    from bot.menu import Menu
    from bot.people import Directory
    from core.model import PersonId
    from core.service import Service

log = structlog.get_logger()

COMMAND = "/countersign"
PREFIX = f"{COMMAND} "
POINTING = "Use the menu on its card."
"""Slack takes no commands in threads, so that they cannot point at a card."""
HELP = (
    f"{HOW} “{{0}}looking”, “{{0}}later 2h” and “{{0}}withdraw” are about the one review that waits for you."
)
SECONDS = 2.5
"""Slack waits 3 s for the answer (docs.slack.dev, "Acknowledgment response")."""

_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>")
"""How a command's text names somebody where the manifest says `should_escape`."""


class Commands:
    """The listener; called by bolt with `ack` and the payload."""

    def __init__(self, *, service: Service, people: Directory, errands: Errands, menu: Menu) -> None:
        self._people = people
        self._errands = errands
        self._menu = menu
        self._absences = Absences(service=service, people=people)
        self.own_team = ""
        """Set before anybody can type: only Slack can tell."""

    async def typed(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        try:
            said = Typing.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        answer = await self._answer(said)
        blocks = listed(answer) if answer.choices else None
        return await ack(text=escape(answer.text), blocks=blocks, response_type="ephemeral")

    async def _answer(self, said: Typing) -> Answer:
        try:
            with self._errands.busy():
                async with asyncio.timeout(SECONDS):
                    return await self._act(self._person(said), said.text.strip())
        except TimeoutError:
            log.warning("command_took_too_long", channel=SLACK)
            return Answer(line=(SLOW,))
        except Unavailable:
            return Answer(line=(NOT_RECORDED,))
        except CountersignError as error:
            return Answer(line=(str(error),))

    async def _act(self, person: PersonId, text: str) -> Answer:
        word, _, rest = text.partition(" ")
        match word.lower():
            case "away":
                delegate = self._mentioned(rest)
                said = await self._absences.away(person, rest, prefix=PREFIX, delegate=delegate)
                return Answer(line=(said,))
            case "back":
                return Answer(line=(await self._absences.back(person),))
            case Word.LOOKING | Word.LATER | Word.WITHDRAW as known:
                return await self._menu.typed(
                    Word(known), rest, person, via=SLACK, prefix=PREFIX, pointing=POINTING
                )
            case _:
                raise Invalid(HELP.format(PREFIX))

    def _mentioned(self, text: str) -> PersonId | None:
        """Raises `Invalid` where a mention names nobody that we know."""
        found = _MENTION.search(text)
        if found is None:
            return None
        person = self._people.slack_mentioned(found[1], own_team=self.own_team)
        if person is None:
            raise Invalid("People are known here by their id, and nobody is listed under that person's.")
        return person

    def _person(self, said: Typing) -> PersonId:
        person = self._people.slack_person(user=said.user_id, team=said.team_id, own_team=self.own_team)
        if person is None:
            log.info("stranger_refused", channel=SLACK, team=said.team_id, user=said.user_id)
            raise NotAReviewer(STRANGER.format(f"{said.team_id}/{said.user_id}"))
        return person
