"""The Slack channel: posts and edits cards, and listens for presses."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.blocks import blocks, fallback, said, said_plainly
from bot.cards import calling, card, retired
from bot.errands import Errands
from bot.files import file_of, is_file
from bot.gate import Gate
from bot.menu import Menu
from bot.notices import words
from bot.pace import Pace, limit
from bot.reception import Reception
from bot.slack.commands import Commands
from bot.slack.door import Door
from bot.slack.failures import FAILURES, failure
from bot.slack.home import Homes
from bot.slack.links import archive_link, is_for_one
from bot.slack.listener import Listener
from bot.slack.lost import Found, LostPosts, Place, mark_of
from bot.slack.mentions import Mentions
from bot.slack.patience import Patience
from bot.slack.payloads import SLACK
from bot.slack.presses import Presses
from bot.slack.threads import Threads
from core.addresses import is_loopback_url
from core.errors import RateLimited
from core.model import MessageRef, Notice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from collections.abc import Set as AbstractSet

    from slack_bolt.async_app import AsyncApp
    from slack_sdk.http_retry.async_handler import AsyncRetryHandler
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

    from bot.blocks import Block
    from bot.buttons import Buttons
    from bot.files import DraftFile
    from bot.people import Directory
    from bot.settings import BotSettings
    from core.model import ChannelName, Delivery, Hint, PersonId, Recipient, ReviewRequest, StoredEvent
    from core.ports import ChatInbox, Clock
    from core.service import Service

log = structlog.get_logger()

ROUTE = "/slack/events"
CALL_SECONDS = 10.0
"""The longest that one call of the Web API may take."""

IN_A_CHANNEL = (limit(4, 4.0),)
"""chat.postMessage: about one a second in a channel, short bursts allowed (docs.slack.dev, rate limits)."""
EDITS = (limit(50, 60.0),)
"""chat.update: Tier 3, 50 a minute (docs.slack.dev, rate limits)."""


class SlackChannel:
    """Implements `core.ports.Channel`. Outside `listening()` a post or an edit waits for it."""

    def __init__(
        self,
        settings: BotSettings,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        inbox: ChatInbox,
        clock: Clock,
        public_url: str,
        membership_changed: Callable[[str], object] | None = None,
    ) -> None:
        """`membership_changed` is told the id of each user group and channel that people came to, or left."""
        self._settings = settings
        self._service = service
        self._people = people
        self._buttons = buttons
        self._inbox = inbox
        self._clock = clock
        self._public_url = public_url
        self._membership_changed = membership_changed
        self._pace = Pace(clock)
        self._lost = LostPosts(clock, Pace(clock))
        self._gate: Gate[AsyncWebClient] = Gate()
        self._listener: Listener | None = None
        self._homes: Homes | None = None
        self._threads = Threads()
        self._no_edits_until = clock.steady()

    @property
    def name(self) -> ChannelName:
        return SLACK

    async def post(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, thread: MessageRef | None
    ) -> MessageRef:
        if isinstance(content, Notice) and is_file(content):
            return await self._upload(delivery, file_of(content, thread))
        where = Place(_place(thread), _ts(thread)) if thread else Place(delivery.recipient.address, None)
        found: Found | None = None

        async def put(place: Place) -> MessageRef:
            nonlocal found
            found = await self._lost.find(client, delivery, place)
            there = found and MessageRef(f"{found.channel}/{found.ts}")
            if there is None or there == delivery.message:  # seen before somebody deleted it
                found = None
                return await self._post(client, delivery, content, place)
            log.info("post_found_again", channel=SLACK, delivery_id=delivery.id)
            return there

        async with self._gate.client() as client:
            message = await self._threads.put(where, put)
        if found is not None and found.version != delivery.version:
            await self.update(delivery, content, message=message)
        self._lost.settled(delivery)
        if self._homes is not None:
            self._homes.posted()
        return message

    async def _post(
        self, client: AsyncWebClient, delivery: Delivery, content: ReviewRequest | Notice, where: Place
    ) -> MessageRef:
        shown = await self._message(delivery, content, is_post=True)
        self._pace.called(delivery.recipient.address, IN_A_CHANNEL)
        with self._lost.posting(delivery):
            answer = await _asked(
                client.chat_postMessage(
                    channel=delivery.recipient.address,
                    thread_ts=where.thread,
                    unfurl_links=False,
                    unfurl_media=False,
                    mrkdwn=False,
                    **shown,
                )
            )
        return MessageRef(f"{answer['channel']}/{answer['ts']}")

    async def _upload(self, delivery: Delivery, file: DraftFile) -> MessageRef:
        """Sharing a file takes a conversation's own id, which the card in it tells us."""
        where = Place(_place(file.thread), _ts(file.thread))

        async def put(place: Place) -> str:
            found = await self._lost.find(client, delivery, place, mark=mark_of(file))
            if found is None:
                return await self._share(client, delivery, file, place)
            log.info("post_found_again", channel=SLACK, delivery_id=delivery.id)
            return found.ts

        async with self._gate.client() as client:
            file_id = await self._threads.put(where, put)
        self._lost.settled(delivery)
        return MessageRef(f"{where.channel}/{file_id}")

    async def _share(self, client: AsyncWebClient, delivery: Delivery, file: DraftFile, where: Place) -> str:
        self._pace.called(delivery.recipient.address, IN_A_CHANNEL)
        with self._lost.posting(delivery):
            answer = await _asked(
                client.files_upload_v2(
                    channel=where.channel,
                    thread_ts=where.thread,
                    filename=file.name,
                    content=file.content,
                    initial_comment=f"{file.words} · SHA-256 `{file.sha256}`",
                )
            )
        return str(answer["file"]["id"])

    async def update(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, message: MessageRef
    ) -> None:
        async with self._gate.client() as client:
            self._check_edits_are_welcome()
            self._pace.called("", EDITS)
            try:
                await _asked(
                    client.chat_update(
                        channel=_place(message), ts=_ts(message), **await self._message(delivery, content)
                    )
                )
            except RateLimited as error:
                self._no_edits_until = self._clock.steady() + error.retry_after
                raise

    def _check_edits_are_welcome(self) -> None:
        """A pause of chat.update is the whole workspace's, and no pause of posts."""
        asked_for = self._no_edits_until - self._clock.steady()
        left = max(asked_for, timedelta(seconds=self._pace.wait("", EDITS)))
        if left > timedelta(0):
            raise RateLimited("Slack takes no more edits for a while.", retry_after=left, lane_only=True)

    def spacing(self, recipient: Recipient, *, edits: bool) -> float:
        return self._pace.wait("", EDITS) if edits else self._pace.wait(recipient.address, IN_A_CHANNEL)

    def routes(self) -> list[web.RouteDef]:
        """What Slack calls where Socket Mode is off; outside `listening()` it answers 503."""
        secret = self._settings.slack_signing_secret
        if self._settings.slack_app_token is not None or secret is None:
            return []
        door = Door(secret=secret.get_secret_value().encode(), clock=self._clock, app=self._bolt)
        return [web.post(ROUTE, door.handle)]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Raises `SettingsError` where Slack refuses a token; goes on trying where it cannot be reached."""
        async with AsyncExitStack() as stack:
            timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            errands = await stack.enter_async_context(Errands())
            client = _web_client(self._settings, session)
            menu = Menu(service=self._service, clock=self._clock, public_url=self._public_url)
            patient = _web_client(self._settings, session, Patience())
            presses = self._presses(patient, errands, menu)
            commands = Commands(
                service=self._service,
                people=self._people,
                errands=errands,
                menu=menu,
                inbox=self._inbox,
                reception=Reception(
                    service=self._service, public_url=self._public_url, channel=SLACK, link=self.link
                ),
            )
            self._homes = Homes(commands=commands, client=client, errands=errands, clock=self._clock)
            stack.callback(self._homes.close)
            self._listener = Listener(
                self._settings,
                client=client,
                presses=presses,
                commands=commands,
                errands=errands,
                mentions=Mentions(commands=commands, client=patient, errands=errands, clock=self._clock),
                homes=self._homes,
                membership_changed=self._membership_changed,
            )
            self._gate.open(client, errands)
            stack.callback(self._close)
            await stack.enter_async_context(self._listener)
            stack.callback(self._close)  # before the listener leaves, which waits for what is under way
            yield

    def _bolt(self) -> AsyncApp | None:
        return self._listener.app if self._listener else None

    def _close(self) -> None:
        self._gate.close()
        self._listener = None
        self._homes = None

    def committed(self, events: Sequence[StoredEvent], _due: AbstractSet[ChannelName]) -> None:
        """As a `core.ports.Listener`: lists in people's Homes may have changed."""
        if self._homes is not None:
            self._homes.committed(events)

    def heard(self, hint: Hint) -> None:
        """Likewise, where another replica stored something."""
        if self._homes is not None:
            self._homes.heard(hint)

    def taken_over(self) -> None:
        """As `core.ports.TakesOver`: what is due may stand there, posted by the replica before us."""
        self._lost.doubt()

    def link(self, message: MessageRef, thread: MessageRef | None) -> str | None:
        """See `bot.linking.Link`; None until Slack has said who we are, and where only one person can go."""
        if is_for_one(message):
            return None
        identity = self._listener.identity if self._listener else None
        thread = None if self._threads.stands_outside(message) else thread
        return archive_link((identity and identity.url) or "", message, thread)

    def _presses(self, client: AsyncWebClient, errands: Errands, menu: Menu) -> Presses:
        return Presses(
            service=self._service,
            people=self._people,
            buttons=self._buttons,
            client=client,
            errands=errands,
            menu=menu,
            public_url=self._public_url,
        )

    async def _message(
        self, delivery: Delivery, content: ReviewRequest | Notice, *, is_post: bool = False
    ) -> dict[str, Any]:
        payload = {"delivery": delivery.id, "version": delivery.version}
        if isinstance(content, Notice):
            text, drawn = self._notice(content, is_said=delivery.message is not None)
            kind = "countersign_notice"
        else:
            at = delivery.recipient
            shown = card(content, public_url=self._public_url, buttons=self._buttons, place=at)
            shown = retired(shown) if delivery.is_retired else shown
            users: dict[PersonId, str] = {}
            if content.is_open and not delivery.is_retired and not is_for_one(at.address):
                users = self._people.slack_users()
                of = self._service.delegations
                shown = calling(shown, await of.called(content) if is_post else of.named(content), users)
            # a card that changes names them, and calls nobody
            drawn = blocks(shown, users if is_post else {})
            text, kind = fallback(shown), "countersign_card"
            payload["review"] = content.id
        return {
            "text": text,
            "blocks": drawn,
            "metadata": {"event_type": kind, "event_payload": payload},
            "parse": "none",
            "link_names": False,
        }

    def _notice(self, notice: Notice, *, is_said: bool) -> tuple[str, list[Block]]:
        told = words(notice, public_url=self._public_url, is_said=is_said)
        answer = told.question and self._buttons.answer_token(told.question, told.attempt)
        return said_plainly(told), said(told, self._people.slack_users(), answer=answer)


async def _asked(call: Awaitable[AsyncSlackResponse]) -> AsyncSlackResponse:
    try:
        return await call
    except FAILURES as error:
        raise failure(error) from error


def _place(message: MessageRef) -> str:
    return message.partition("/")[0]


def _ts(message: MessageRef) -> str:
    return message.partition("/")[2]


def _web_client(
    settings: BotSettings, session: aiohttp.ClientSession, *retries: AsyncRetryHandler
) -> AsyncWebClient:
    """For cards without retries of its own: the outbox repeats, and knows what was shown."""
    token = settings.slack_bot_token.get_secret_value() if settings.slack_bot_token else None
    client = AsyncWebClient(
        token=token, base_url=settings.slack_api_url, session=session, retry_handlers=list(retries)
    )
    if is_loopback_url(settings.slack_api_url):
        client.proxy = None  # slack_sdk takes one from the environment, which cannot reach this machine
    return client
