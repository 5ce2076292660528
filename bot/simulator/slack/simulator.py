"""A Slack that lives on loopback: Web API, Socket Mode, signed HTTP deliveries, people who press.

    async with SlackSimulator() as slack:
        slack.add_user("U01ANA", "Ana Ruiz")
        slack.add_channel("C01GEN", "general", members=["U01ANA"])
        ...                                  # start the app with slack.api_url, bot_token, app_token
        await slack.connected()
        [card] = slack.messages("C01GEN")
        answer = await slack.press(card, "Approve", user="U01ANA")

Without `request_url` deliveries go over Socket Mode, with it they are posted there. For tests and the demo
only: everything it says calls itself simulated, and it talks to nothing but this machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from aiohttp import web

from bot.simulator.slack.api import WebApi
from bot.simulator.slack.delivery import Deliveries, Forgery, Knobs
from bot.simulator.slack.file_methods import take_upload
from bot.simulator.slack.forms import NotOffered
from bot.simulator.slack.http import SignedHttp, refuse_foreign_host
from bot.simulator.slack.limits import ACK_SECONDS, EVENT_RETRY_SECONDS
from bot.simulator.slack.live import Changes, snapshot
from bot.simulator.slack.method import APP_SCOPES, BOT_SCOPES
from bot.simulator.slack.model import Change, Channel, File, Message, Ts, User, UserGroup, View
from bot.simulator.slack.people import EVENTS, People
from bot.simulator.slack.response_url import respond
from bot.simulator.slack.socket import Reason, SocketMode
from bot.simulator.slack.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from bot.simulator.faults import Call, Faults

CLOSING_SECONDS = 0.1
"""How long open requests are waited for at the end."""


class SlackSimulator(People):
    """One workspace with one app installed in it.

    `now` (seconds since 1970) is the clock of timestamps, triggers, response URLs and rate limits;
    `signature_clock` that of signed timestamps, the machine's by default because apps compare with theirs.
    `ack_seconds` and `event_retries` are real seconds.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        team_id: str = "T0SIMULATED",
        bot_token: str = "xoxb-simulated",  # noqa: S107 - no secret: it opens nothing but this simulator
        app_token: str = "xapp-simulated",  # noqa: S107 - as above
        signing_secret: str = "simulated-signing-secret",  # noqa: S107 - as above
        bot_scopes: Collection[str] = BOT_SCOPES,
        events: Collection[str] = EVENTS,
        enforce_rate_limits: bool = False,
        now: Callable[[], float] = time.time,
        signature_clock: Callable[[], float] = time.time,
        ack_seconds: float = ACK_SECONDS,
        event_retries: Sequence[float] = EVENT_RETRY_SECONDS,
    ) -> None:
        refuse_foreign_host(host)
        self.host, self.port = host, port
        self.team_id, self.bot_token, self.app_token = team_id, bot_token, app_token
        self.signing_secret = signing_secret
        workspace = Workspace(team_id=team_id, now=now)
        self._delivering = Deliveries(workspace, event_retries=event_retries)
        super().__init__(workspace, self._delivering)
        self.events = events
        self._http = SignedHttp(secret=signing_secret, clock=signature_clock, ack_seconds=ack_seconds)
        self._sockets = SocketMode(workspace, ack_seconds=ack_seconds)
        self._delivering.transport = self._sockets
        tokens = {bot_token: frozenset(bot_scopes), app_token: APP_SCOPES}
        self._api = WebApi(workspace, tokens=tokens, app_token=app_token)
        self._api.add_connections_open(self._sockets.open_ticket)
        self._api.enforce_rate_limits = enforce_rate_limits
        self._runner: web.AppRunner | None = None

    # -- life -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._api.handle)
        app.router.add_get("/link/", self._sockets.handle)
        app.router.add_post("/upload/v1/{token}", self._take_upload)
        app.router.add_post("/actions/{team}/{token}", self._respond)
        app.router.add_get("/", self._about)
        app.on_response_prepare.append(_mark_as_simulated)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self._workspace.base_url = f"http://{self.host}:{self.port}"
        await self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._delivering.close()
        await self._sockets.close()
        await self._http.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # -- what an app needs ------------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """Base URL of the Web API, with the slash that slack_sdk wants at its end."""
        return f"{self._workspace.base_url}/api/"

    @property
    def bot_user(self) -> User:
        return self._workspace.bot

    @property
    def request_url(self) -> str | None:
        """Where deliveries are posted; None is Socket Mode."""
        return self._http.request_url

    @request_url.setter
    def request_url(self, url: str | None) -> None:
        if url is not None:
            refuse_foreign_host(urlsplit(url).hostname)
        self._http.request_url = url
        self._delivering.transport = self._sockets if url is None else self._http

    async def verify_request_url(self) -> bool:
        """Whether the request URL answers Slack's `url_verification` challenge."""
        return await self._http.verify()

    def signing_headers(self, body: bytes, forged: Forgery | None = None) -> dict[str, str]:
        """Slack's signing headers for a raw body, for requests that a test makes itself."""
        return self._http.headers(body, forged)

    # -- who and where ----------------------------------------------------------------------------------

    def add_user(self, user_id: str, name: str, *, team: str | None = None, email: str | None = None) -> User:
        """A person; one of another `team` comes by Slack Connect."""
        user = User(id=user_id, name=name, team=team or self.team_id, email=email)
        self._workspace.users[user_id] = user
        self._workspace.tell("user", user=user_id)
        return user

    def users(self) -> list[User]:
        """Everybody, the app's bot among them."""
        return list(self._workspace.users.values())

    def add_channel(
        self,
        channel_id: str,
        name: str,
        *,
        members: Iterable[str] = (),
        with_bot: bool = True,
        is_private: bool = False,
        is_archived: bool = False,
    ) -> Channel:
        """A channel; its `members` and `is_archived` may be changed at any time."""
        everybody = {*members, self.bot_user.id} if with_bot else set(members)
        channel = Channel(
            id=channel_id, name=name, members=everybody, is_private=is_private, is_archived=is_archived
        )
        self._workspace.channels[channel_id] = channel
        self._workspace.tell("channel", channel=channel_id)
        return channel

    def add_usergroup(self, group_id: str, handle: str, *, users: Iterable[str] = ()) -> UserGroup:
        """A user group; `change_usergroup` changes it."""
        group = UserGroup(
            id=group_id, handle=handle, users=tuple(users), changed_at=int(self._workspace.now())
        )
        self._workspace.usergroups[group_id] = group
        return group

    def channel(self, channel_id: str) -> Channel:
        """A channel that was added, to change what it answers with."""
        return self._place(channel_id)

    def open_im(self, user: str) -> Channel:
        """The direct conversation between this user and the bot."""
        return self._workspace.im_with(user)

    # -- what can be seen -------------------------------------------------------------------------------

    def messages(self, channel: str, *, deleted: bool = False) -> tuple[Message, ...]:
        """A channel's messages as they stand, replies too, oldest first; the deleted ones on demand."""
        return tuple(m for m in self._place(channel).messages.values() if deleted or not m.deleted)

    def message(self, channel: str, ts: str) -> Message:
        """One message as it stands, ephemeral or deleted too; raises `NotOffered` where there is none."""
        place = self._place(channel)
        found = place.messages.get(Ts(ts)) or place.ephemerals.get(Ts(ts))
        if found is None:
            raise NotOffered(f"there is no message {ts!r} in {channel!r}")
        return found

    def ephemerals(self, user: str, channel: str | None = None) -> tuple[Message, ...]:
        """What only this user sees, oldest first."""
        places = self._workspace.channels.values() if channel is None else [self._place(channel)]
        return tuple(m for c in places for m in c.ephemerals.values() if m.only_for == user and not m.deleted)

    def file(self, file_id: str) -> File:
        """What was shared under this id; raises `NotOffered` where nothing was."""
        if file_id not in self._workspace.files:
            raise NotOffered(f"there is no file {file_id!r}")
        return self._workspace.files[file_id]

    def open_views(self, user: str) -> tuple[View, ...]:
        """This user's open dialogs, the topmost last."""
        return tuple(self._workspace.stacks.get(user, ()))

    def view(self, view_id: str) -> View:
        """An open dialog or a Home by its id; raises `NotOffered` where there is none."""
        for views in (*self._workspace.stacks.values(), self._workspace.homes.values()):
            for view in views:
                if view.id == view_id:
                    return view
        raise NotOffered(f"there is no view {view_id!r}")

    def home(self, user: str) -> View | None:
        """What the app published into this user's Home, if anything."""
        return self._workspace.homes.get(user)

    def snapshot(self) -> dict[str, Any]:
        """The workspace as JSON, for a page: users, channels with threads and ephemerals, open views."""
        return snapshot(self._workspace)

    def changes(self) -> Changes:
        """What changes from now on: `with slack.changes() as changes: async for change in changes`."""
        return Changes(self._workspace.on_change)

    @property
    def on_change(self) -> list[Callable[[Change], object]]:
        """Callables told of every change at once, on the event loop."""
        return self._workspace.on_change

    async def until(self, claim: Callable[[], object], *, within: float = 60.0) -> None:
        """Return when `claim` is true, asked at every change; `TimeoutError` after `within` real seconds."""
        with self.changes() as changes:
            async with asyncio.timeout(within):
                while not claim():
                    await anext(changes)

    # -- what can go wrong ------------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """Every Web API call, in the order of the answers; tokens are not kept."""
        return self._api.calls

    @property
    def faults(self) -> Faults:
        """Faults of the Web API, one `Fault` for the next call that it matches."""
        return self._api.faults

    @property
    def deliveries(self) -> Knobs:
        """What shall happen to presses, submissions and events on their way to the app."""
        return self._delivering.knobs

    @property
    def enforce_rate_limits(self) -> bool:
        return self._api.enforce_rate_limits

    @enforce_rate_limits.setter
    def enforce_rate_limits(self, enforce: bool) -> None:
        self._api.enforce_rate_limits = enforce

    @property
    def connections(self) -> int:
        """How many Socket Mode connections are open."""
        return len(self._sockets.connections)

    async def connected(self, count: int = 1, *, within: float = 60.0) -> None:
        """Return when this many Socket Mode connections, or more, are open."""
        await self.until(lambda: self.connections >= count, within=within)

    async def disconnect(self, reason: Reason = "refresh_requested", *, count: int | None = None) -> None:
        """End so many Socket Mode connections, or all, as Slack does; a `warning` only asks the app to renew
        them."""
        await self._sockets.disconnect(reason, count)

    def cut_connections(self, *, next_too: int = 0) -> None:
        """Drop all Socket Mode connections without a word, and so many of the next while they open."""
        self._sockets.cut_next = next_too
        self._sockets.cut()

    # -- inside -----------------------------------------------------------------------------------------

    async def _respond(self, request: web.Request) -> web.Response:
        return await respond(self._workspace, request)

    async def _take_upload(self, request: web.Request) -> web.Response:
        return await take_upload(self._workspace, request)

    async def _about(self, _: web.Request) -> web.Response:
        return web.Response(text="This is a simulated Slack for tests and the demo. Nothing here is real.\n")


async def _mark_as_simulated(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "simulated-slack"
