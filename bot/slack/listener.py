"""Listens to one Slack workspace: who we are there, the bolt app, and its Socket Mode connection."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.blocks import MENU_ACTION, action_id
from bot.buttons import Action
from bot.connecting import connect_or_go_on
from bot.slack.failures import BAD_TOKEN, FAILURES, failure, refusal_of
from bot.slack.payloads import COMMAND, SLACK
from bot.slack.socket import CONNECTIONS, Socket
from bot.views import ANSWER_VIEW, EDIT_VIEW, QUESTION_VIEW, REASON_VIEW
from core.defects import defect
from core.errors import DeliveryError, SettingsError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bot.errands import Errands
    from bot.settings import BotSettings
    from bot.slack.commands import Commands
    from bot.slack.failures import Failure
    from bot.slack.home import Homes
    from bot.slack.mentions import Mentions
    from bot.slack.presses import Presses

log = structlog.get_logger()

START_SECONDS = 5.0
"""How long the start waits for Slack before it goes on without."""
STOP_SECONDS = 1.0
"""How long the stop waits for presses that are being answered."""

USERGROUP_EVENTS = ("subteam_members_changed", "subteam_updated")
"""The second also where a group is disabled (docs.slack.dev, events)."""
CHANNEL_EVENTS = ("member_joined_channel", "member_left_channel")
"""Of channels that the app is in, and no others (likewise)."""

LOGGER = logging.getLogger("countersign.slack")
# bolt warns with the body of a request that nobody listens for, and of a token in the environment that it
# was told not to look for
LOGGER.setLevel(logging.ERROR)


class Listener:
    """`async with` it: connected on entry, or trying to be where Slack cannot be reached."""

    def __init__(
        self,
        settings: BotSettings,
        *,
        client: AsyncWebClient,
        presses: Presses,
        commands: Commands,
        errands: Errands,
        mentions: Mentions,
        homes: Homes,
        membership_changed: Callable[[str], object] | None = None,
    ) -> None:
        self._mentions = mentions
        self._homes = homes
        self._settings = settings
        self._client = client
        self._presses = presses
        self._commands = commands
        self._errands = errands
        self._membership_changed = membership_changed
        self._sockets: list[Socket] = []
        self.identity: AuthorizeResult | None = None
        self.app: AsyncApp | None = None
        """None until Slack told us who we are: before that nobody who presses can be known."""

    async def __aenter__(self) -> Self:
        try:
            await connect_or_go_on(self._connect, self._errands, SLACK)
        except SettingsError:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._errands.quiet(STOP_SECONDS)
        await self._close()

    async def _connect(self) -> None:
        """Raises `SettingsError` for a token that Slack refuses, else a `DeliveryError`."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._introduce("SLACK_BOT_TOKEN")
                await self._open_socket("SLACK_APP_TOKEN")
        except TimeoutError as error:
            raise Unreachable("Slack did not answer in time.") from error
        log.info(
            "chat_listening",
            channel="slack",
            team=self._presses.own_team,
            socket_mode=bool(self._sockets),
        )

    async def _introduce(self, setting: str) -> None:
        try:
            answer = await self._client.auth_test()
        except FAILURES as error:
            raise _refused(setting, error) from error
        self.identity = AuthorizeResult.from_auth_test_response(
            auth_test_response=answer, bot_token=self._client.token
        )
        self._presses.own_team = self._commands.own_team = self.identity.team_id or ""
        self._mentions.own_user = self.identity.bot_user_id or ""
        self.app = self.app or self._bolt()

    async def _open_socket(self, setting: str) -> None:
        if self._settings.slack_app_token is None or self.app is None:
            return
        token = self._settings.slack_app_token.get_secret_value()
        if not self._sockets:
            turn = asyncio.Lock()
            for _ in range(CONNECTIONS):
                socket = Socket(self.app, app_token=token, client=self._client, logger=LOGGER, turn=turn)
                self._sockets.append(socket)
        first, *others = self._sockets
        await _opened(first, setting)
        for socket in others:
            # The start does not wait for these: Slack may take a while to allow another one (Tier 1).
            opening = connect_or_go_on(partial(_opened, socket, setting), self._errands, SLACK)
            self._errands.start(opening, "slack connection")

    def _bolt(self) -> AsyncApp:
        """The client carries no token: `authorize` gives it, and asks Slack nothing."""

        async def authorize() -> AuthorizeResult:  # bolt hands a method a second `self`
            if self.identity is None:
                raise Unreachable("Slack has not told yet who we are.")
            return self.identity

        secret = self._settings.slack_signing_secret
        app = AsyncApp(
            logger=LOGGER,
            name="countersign",
            process_before_response=True,
            signing_secret=secret.get_secret_value() if secret else "",
            client=AsyncWebClient(base_url=self._client.base_url),
            authorize=authorize,
        )
        for approve in (Action.APPROVE, Action.ASK_APPROVE):
            app.action(action_id(approve))(self._presses.approve)
        app.action(action_id(Action.REJECT))(self._presses.reject)
        app.action(MENU_ACTION)(self._presses.chosen)
        app.action(action_id(Action.EDIT))(self._presses.edits.pressed)
        app.action(action_id(Action.ANSWER))(self._presses.inquiries.pressed)
        app.view(REASON_VIEW)(self._presses.reason_sent)
        app.view(EDIT_VIEW)(self._presses.edits.sent)
        app.view(QUESTION_VIEW)(self._presses.inquiries.question_sent)
        app.view(ANSWER_VIEW)(self._presses.inquiries.answer_sent)
        for view in (REASON_VIEW, EDIT_VIEW, QUESTION_VIEW, ANSWER_VIEW):
            app.view_closed(view)(self._presses.desk.closed)
        app.command(COMMAND)(self._commands.typed)
        app.event("app_mention")(self._mentions.said)
        app.event("app_home_opened")(self._homes.opened)
        for event in USERGROUP_EVENTS:
            app.event(event)(self._usergroup)
        for event in CHANNEL_EVENTS:
            app.event(event)(self._channel)
        app.error(_failed)
        return app

    async def _usergroup(self, event: dict[str, Any]) -> None:
        self._changed(event.get("subteam_id") or (event.get("subteam") or {}).get("id"))

    async def _channel(self, event: dict[str, Any]) -> None:
        self._changed(event.get("channel"))

    def _changed(self, where: object) -> None:
        """Only that it changed is taken from an event; who is there, Slack is asked."""
        if self._membership_changed is not None and isinstance(where, str):
            self._membership_changed(where)

    async def _close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        self._sockets.clear()


async def _failed(error: Exception) -> None:
    """A defect of ours, answered with 500. bolt would log its message, which may quote what people wrote."""
    log.error("request_failed", channel=SLACK, **defect(error))


async def _opened(socket: Socket, setting: str) -> None:
    try:
        await socket.connect()
    except FAILURES as error:
        raise _refused(setting, error) from error


def _refused(setting: str, error: Failure) -> SettingsError | DeliveryError:
    if isinstance(error, SlackApiError) and (code := refusal_of(error).code) in BAD_TOKEN:
        return SettingsError(f"{setting} is refused by Slack ({code}).")
    return failure(error)
