"""What somebody types in Slack, as `/countersign …` or to our name, answered to them alone."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError
from slack_bolt.response import BoltResponse

from bot.absence import Absences
from bot.answers import NOT_RECORDED, SLOW
from bot.blocks import escape, listed
from bot.menu import Answer, Word
from bot.reception import HELP, QUESTIONS, WORDS_DECIDE_NOTHING, Asked, is_consent
from bot.slack.payloads import PREFIX, SLACK, Typing
from bot.slack.strangers import UNTOLD, stranger
from bot.slack.wording import as_typed
from bot.zones import has_moment
from core.errors import CountersignError, Invalid, Unavailable
from core.model import ChatUpdate, Recipient

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck

    from bot.blocks import Block
    from bot.errands import Errands
    from bot.menu import Menu
    from bot.people import Directory
    from bot.reception import Reception
    from core.model import MessageRef, PersonId, ReviewId
    from core.ports import ChatInbox
    from core.service import Service

log = structlog.get_logger()

POINTING = "Use the menu on its card, or say it to me in its thread."
"""Slack takes no commands in threads, so that they cannot point at a card."""
SECONDS = 2.5
"""Slack waits 3 s for the answer (docs.slack.dev, "Acknowledgment response")."""
SAID_BEFORE = "You have said that before, so nothing was changed. Please say it again if you mean it."
WHERE = "in a direct message from me"

_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>")
"""How a command's text names somebody where the manifest says `should_escape`."""


class SaidBefore(Invalid):
    """These very words came before, at whichever replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Some words, who said them, and what they point at."""

    user: str
    team: str
    """The user's own workspace, as Slack signed it; empty where it does not say."""
    text: str
    key: str | None
    """The same whenever Slack tells of these very words again."""
    prefix: str = PREFIX
    thread: MessageRef | None = None
    """The first message of the thread in which they stand."""


class Commands:
    """The listener; called by bolt with `ack` and the payload."""

    def __init__(
        self,
        *,
        service: Service,
        people: Directory,
        errands: Errands,
        menu: Menu,
        reception: Reception,
        inbox: ChatInbox,
    ) -> None:
        self._inbox = inbox
        self._people = people
        self._errands = errands
        self._menu = menu
        self._reception = reception
        self._service = service
        self._absences = Absences(service=service, people=people, clock=menu.clock)
        self.own_team = ""
        """Set before anybody can type: only Slack can tell."""

    async def typed(self, ack: AsyncAck, body: dict[str, Any]) -> BoltResponse:
        try:
            typing = Typing.model_validate(body)
        except ValidationError:
            return BoltResponse(status=400)
        said = Said(user=typing.user_id, team=typing.team_id, text=typing.text, key=typing.key)
        try:
            answer = await self.answer(said)
        except SaidBefore as error:
            answer = Answer(line=(str(error),))
        except Unavailable:
            answer = Answer(line=(NOT_RECORDED,))
        return await ack(text=escape(answer.text), blocks=drawn(answer), response_type="ephemeral")

    async def answer(self, said: Said) -> Answer:
        """Do what is asked for, within the time that Slack waits; what to say to them alone.

        Raises `SaidBefore` where that is not to be done twice, `Unavailable` where nothing was changed.
        """
        try:
            with self._errands.busy():
                async with asyncio.timeout(SECONDS):
                    return await self._act(said)
        except TimeoutError:
            log.warning("command_took_too_long", channel=SLACK)
            return Answer(line=(SLOW,))
        except Unavailable:
            raise  # no refusal: it may be done when it is said again
        except SaidBefore:
            log.info("callback_repeated", channel=SLACK)
            raise
        except CountersignError as error:
            return Answer(line=(str(error),))

    async def _act(self, said: Said) -> Answer:
        word, rest = _first_word(said.text)
        if word == Asked.WHOAMI:
            return self.introduction(said.user, said.team)
        person = self._person(said, asks=word in QUESTIONS)
        match word:
            case Asked.PENDING:
                return await self._reception.pending(person)
            case Asked.SUBMIT:
                tell = Recipient(channel=SLACK, address=said.user)
                return await self._reception.submit(
                    person, as_typed(rest), key=said.key, tell=tell, where=WHERE, prefix=said.prefix
                )
            case "away":
                await self._check_new(said)
                delegate = self._mentioned(rest)
                words = as_typed(rest, keeps_people=True)
                ends = await self._absences.away(person, words, prefix=said.prefix, delegate=delegate)
                return Answer(line=(ends,))
            case "back":
                await self._check_new(said)
                return Answer(line=(await self._absences.back(person),))
            case Word.LOOKING | Word.LATER | Word.WITHDRAW as known:
                await self._check_new(said)
                return await self._menu.typed(
                    Word(known),
                    as_typed(rest),
                    person,
                    via=SLACK,
                    prefix=said.prefix,
                    pointing=POINTING,
                    review=await self._meant_in(said.thread),
                )
            case _ if is_consent(word):
                raise Invalid(WORDS_DECIDE_NOTHING)
            case _:
                raise Invalid(HELP.format(said.prefix))

    async def _check_new(self, said: Said) -> None:
        """Raise `SaidBefore` for words that came before.

        What they ask for may be undone by now, and whoever got hold of Slack's request would do it again.
        """
        if said.key is not None and not await self.is_new(said.key):
            raise SaidBefore(SAID_BEFORE)

    async def is_new(self, key: str) -> bool:
        """Once for each key, whichever replica asks: what is asked about is done with that."""
        return await self._inbox.keep_update(ChatUpdate(channel=SLACK, id=key, body=b""), handled=True)

    async def _meant_in(self, thread: MessageRef | None) -> ReviewId | None:
        """The review that words in a card's thread are about: the newest open one of the card's task."""
        shown = None if thread is None else await self._service.shown_at(SLACK, thread)
        if shown is None:
            return None
        reviews = await self._service.reviews(shown.task.id)
        return next((one.id for one in reversed(reviews) if one.is_open), shown.id)

    async def list_for(self, user: str, team: str) -> Answer:
        """What waits for whoever opens our Home; to strangers, who they are. Raises what `Service` does."""
        person = self._people.slack_person(user=user, team=team, own_team=self.own_team)
        return self.introduction(user, team) if person is None else await self._reception.pending(person)

    def introduction(self, user: str, team: str) -> Answer:
        """Who that is to us; answered to strangers, too."""
        if not team:
            # In the file the id alone would be somebody of our own workspace.
            return Answer(line=(UNTOLD.format(user),))
        person = self._people.slack_person(user=user, team=team, own_team=self.own_team)
        return self._reception.whoami(person, user if team == self.own_team else f"{team}/{user}")

    def _mentioned(self, text: str) -> PersonId | None:
        """Raises `Invalid` where a mention names nobody that we know."""
        found = _MENTION.search(text)
        if found is None:
            return None
        person = self._people.slack_mentioned(found[1], own_team=self.own_team)
        if person is None:
            raise Invalid("People are known here by their id, and nobody is listed under that person's.")
        return person

    def _person(self, said: Said, *, asks: bool) -> PersonId:
        person = self._people.slack_person(user=said.user, team=said.team, own_team=self.own_team)
        if person is None:
            log.info("stranger_refused", channel=SLACK, team=said.team, user=said.user)
            raise stranger(said.user, said.team, said.prefix, asks=asks)
        return person


def drawn(answer: Answer) -> list[Block] | None:
    """Blocks where text alone would not do: Slack reads it as markup, and nobody's clock shows its times."""
    return None if answer.is_plain and not has_moment(answer.text) else listed(answer)


def _first_word(text: str) -> tuple[str, str]:
    """In small letters, and what follows it, with its lines as they are."""
    said = text.strip()
    word = said.split(maxsplit=1)[0] if said else ""
    return word.lower(), said[len(word) :].strip()
