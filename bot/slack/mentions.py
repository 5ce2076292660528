"""`@Countersign …`: the command's words in a channel or a thread, answered to whoever wrote them alone."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from bot.answers import NOT_RECORDED
from bot.blocks import escape
from bot.menu import Answer
from bot.slack.commands import Said, SaidBefore, drawn
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import SLACK, Mention
from bot.slack.threads import in_thread
from core.errors import Unavailable
from core.model import MessageRef
from core.pauses import elapse

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.errands import Errands
    from bot.slack.commands import Commands
    from core.errors import DeliveryError
    from core.ports import Clock

log = structlog.get_logger()

PREFIX = "@Countersign "
ANSWER, LATER_ANSWER = "answer to a mention", "later answer to a mention"
"""What is under way in the background."""
BY_THEN = timedelta(seconds=10)
"""What a mention asks for is done or given up, and answered: Slack's three seconds, and a call."""


class Mentions:
    """The listener of app_mention.

    Slack sends one again for six minutes, to whichever replica, also where the first has it. What a mention
    asks for is done once, or does no harm twice; one replica answers it, and the others say nothing.
    """

    def __init__(self, *, commands: Commands, client: AsyncWebClient, errands: Errands, clock: Clock) -> None:
        self._clock = clock
        self._commands = commands
        self._client = client
        self._errands = errands
        self.own_user = ""
        """Set before anybody can mention us: only Slack can tell."""

    async def said(self, body: dict[str, Any]) -> None:
        """Raises what is a defect of ours: then Slack sends it again."""
        try:
            mention = Mention.model_validate(body)
        except ValidationError:
            return
        event = mention.event
        if event.user is None or event.bot_id is not None or event.edited is not None:
            return  # what people change afterwards was answered when they wrote it
        try:
            answer = await self._commands.answer(self._said(mention))
        except SaidBefore as error:
            self._errands.start(self._tell_later(mention, Answer(line=(str(error),))), LATER_ANSWER)
        except Unavailable:
            # Where it is sent again that may be done, and is told, too.
            self._errands.start(self._post(mention, Answer(line=(NOT_RECORDED,))), ANSWER)
        else:
            self._errands.start(self._tell(mention, answer), ANSWER)

    def _said(self, mention: Mention) -> Said:
        event = mention.event
        return Said(
            user=event.user or "",
            team=mention.user_team,
            text=_without_name(event.text, self.own_user),
            key=_key(mention),
            prefix=PREFIX,
            thread=None if event.thread_ts is None else MessageRef(f"{event.channel}/{event.thread_ts}"),
        )

    async def _is_first(self, mention: Mention) -> bool:
        """To answer it. After it was done, so that where one replica fails, another one's answer is heard."""
        try:
            return await self._commands.is_new(f"{_key(mention)}/answered")
        except Unavailable:
            return True  # heard twice is better than not at all

    async def _tell_later(self, mention: Mention, answer: Answer) -> None:
        """Unless whoever began it answers by then: it may have failed there in the middle."""
        await elapse(self._clock, BY_THEN)
        await self._tell(mention, answer)

    async def _tell(self, mention: Mention, answer: Answer) -> None:
        if await self._is_first(mention):
            await self._post(mention, answer)
        else:
            log.info("callback_repeated", channel=SLACK)

    async def _post(self, mention: Mention, answer: Answer) -> None:
        event = mention.event
        post = partial(
            self._client.chat_postEphemeral,
            channel=event.channel,
            user=event.user or "",
            text=escape(answer.text),
            blocks=drawn(answer),
            parse="none",
            link_names=False,
        )
        try:
            await in_thread(post, event.thread_ts)
        except FAILURES as error:
            reason: DeliveryError = failure(error)
            log.warning("private_answer_lost", channel=SLACK, error=str(reason))


def _key(mention: Mention) -> str:
    """Not the event's id: Slack may tell of the same words under another one, and then calls it no retry."""
    return f"slack/{mention.event.channel}/{mention.event.ts}"


def _without_name(text: str, own_user: str) -> str:
    """What stands besides our own name, the first time that it is said."""
    return re.sub(rf"<@{re.escape(own_user)}(?:\|[^<>]*)?>[\s,:]*", "", text, count=1).strip()
