"""`@Countersign …`: the command's words in a channel or a thread, answered to whoever wrote them alone."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from bot.blocks import escape
from bot.slack.commands import Said, drawn
from bot.slack.failures import FAILURES, failure
from bot.slack.payloads import SLACK, Mention
from core.model import MessageRef

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.errands import Errands
    from bot.menu import Answer
    from bot.slack.commands import Commands
    from core.errors import DeliveryError

log = structlog.get_logger()

REMEMBERED = 1_000
"""Ids of events that are known again: Slack sends one again for six minutes. In memory, since whatever is
asked for twice is done once."""
PREFIX = "@Countersign "


class Mentions:
    """The listener of app_mention."""

    def __init__(self, *, commands: Commands, client: AsyncWebClient, errands: Errands) -> None:
        self._commands = commands
        self._client = client
        self._errands = errands
        self._known: OrderedDict[str, None] = OrderedDict()
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
        if mention.event_id in self._known:
            log.info("callback_repeated", channel=SLACK)
            return
        self._remember(mention.event_id)
        try:
            answer = await self._answer(mention)
        except Exception:
            # Whatever it is: the listener tells of it, and Slack, which is not answered, asks again.
            self._known.pop(mention.event_id, None)
            raise
        self._errands.start(self._tell(mention, answer), "answer to a mention")

    def _remember(self, event_id: str) -> None:
        self._known[event_id] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _answer(self, mention: Mention) -> Answer:
        event = mention.event
        said = Said(
            user=event.user or "",
            team=mention.user_team,
            text=_without_name(event.text, self.own_user),
            # not the event's id: an event is told of under another one where it is told of twice
            key=f"slack/{event.channel}/{event.ts}",
            prefix=PREFIX,
            thread=None if event.thread_ts is None else MessageRef(f"{event.channel}/{event.thread_ts}"),
        )
        return await self._commands.answer(said)

    async def _tell(self, mention: Mention, answer: Answer) -> None:
        event = mention.event
        try:
            await self._client.chat_postEphemeral(
                channel=event.channel,
                user=event.user or "",
                text=escape(answer.text),
                blocks=drawn(answer),
                thread_ts=event.thread_ts,
                parse="none",
                link_names=False,
            )
        except FAILURES as error:
            reason: DeliveryError = failure(error)
            log.warning("private_answer_lost", channel=SLACK, error=str(reason))


def _without_name(text: str, own_user: str) -> str:
    """What stands besides our own name, the first time that it is said."""
    return re.sub(rf"<@{re.escape(own_user)}(?:\|[^<>]*)?>[\s,:]*", "", text, count=1).strip()
