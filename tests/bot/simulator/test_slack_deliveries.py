"""Presses, dialogs, commands and events on their way to a real slack-bolt app, over both transports."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.slack import Forgery, Kind, NotOffered, SlackSimulator
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack import Message

ANA, BEN, EVE, GENERAL = "U01ANA", "U02BEN", "U09EVE", "C01GEN"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Recorder:
    """A bolt app that keeps what it is told: `heard` by kind, in order."""

    def __init__(self, slack: SlackSimulator) -> None:
        self.client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        self.app = AsyncApp(
            client=self.client,
            signing_secret=slack.signing_secret,
            process_before_response=True,
        )
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {}
        """What dialogs and commands are acknowledged with."""
        self.gate = asyncio.Event()
        """Presses of `slow` are answered once this is set."""
        self.event_gate = asyncio.Event()
        """So are events; it is set at first."""
        self.event_gate.set()
        self._news = asyncio.Condition()
        self.app.action("approve")(self.on_press)
        self.app.action("pick")(self.on_press)
        self.app.action("more")(self.on_press)
        self.app.action("reject")(self.on_reject)
        self.app.action("slow")(self.on_slow)
        self.app.view("reason")(self.on_submission)
        self.app.view_closed("reason")(self.on_closed)
        self.app.command("/countersign")(self.on_command)
        self.app.event("app_mention")(self.on_event)
        self.app.event("message")(self.on_event)
        self.app.event("app_home_opened")(self.on_event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for heard, body in self.heard if heard == kind]

    async def hear(self, kind: str, body: dict[str, Any]) -> None:
        self.heard.append((kind, body))
        async with self._news:
            self._news.notify_all()

    async def told(self, kind: str, times: int) -> None:
        """Return when it was told this so often."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.of(kind)) >= times)

    async def on_press(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("press", body)
        await ack()

    async def on_reject(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("press", body)
        await self.client.views_open(trigger_id=body["trigger_id"], view=REASON)
        await ack()

    async def on_slow(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("press", body)
        await self.gate.wait()
        await ack()

    async def on_submission(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("submission", body)
        await ack(**self.answer)

    async def on_closed(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("closed", body)
        await ack()

    async def on_command(self, ack: Any, body: dict[str, Any]) -> None:
        await self.hear("command", body)
        await ack(**self.answer)

    async def on_event(self, ack: Any, body: dict[str, Any], request: Any) -> None:
        self.headers.append(request.headers)
        await self.hear("event", body)
        await self.event_gate.wait()
        await ack()


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def button(label: str, action_id: str) -> dict[str, Any]:
    return {"type": "button", "text": plain(label), "action_id": action_id, "value": f"token-{action_id}"}


OPTIONS = [{"text": plain("One"), "value": "1"}, {"text": plain("Two"), "value": "2"}]
MENU = {
    "type": "static_select",
    "action_id": "pick",
    "placeholder": plain("Pick"),
    "options": OPTIONS,
}
MORE = {"type": "overflow", "action_id": "more", "options": OPTIONS}
CARD: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Draft*"}, "accessory": MENU},
    {
        "type": "actions",
        "elements": [button("Approve", "approve"), button("Reject…", "reject"), button("Slow", "slow"), MORE],
    },
]
TEXT_INPUT = {"type": "plain_text_input", "action_id": "text", "max_length": 100}
REASON: dict[str, Any] = {
    "type": "modal",
    "callback_id": "reason",
    "private_metadata": "r1",
    "notify_on_close": True,
    "title": plain("Reject"),
    "submit": plain("Reject"),
    "blocks": [{"type": "input", "block_id": "why", "label": plain("Reason"), "element": TEXT_INPUT}],
}


def set_up(slack: SlackSimulator) -> None:
    slack.add_user(ANA, "Ana Ruiz")
    slack.add_user(EVE, "Eve", team="T0OTHER")
    slack.add_channel(GENERAL, "general", members=[ANA, EVE])


@asynccontextmanager
async def by_socket(slack: SlackSimulator, recorder: Recorder) -> AsyncIterator[None]:
    handler = AsyncSocketModeHandler(
        recorder.app, slack.app_token, web_client=AsyncWebClient(slack.app_token, base_url=slack.api_url)
    )
    await handler.connect_async()  # type: ignore[no-untyped-call]  # bolt leaves it untyped
    try:
        await slack.connected()
        yield
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]  # as above


@asynccontextmanager
async def by_http(slack: SlackSimulator, recorder: Recorder) -> AsyncIterator[None]:
    async def receive(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await recorder.app.async_dispatch(await to_bolt_request(request)))

    server = web.Application()
    server.router.add_post("/slack/events", receive)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    try:
        yield
    finally:
        await runner.cleanup()


TRANSPORTS = {"socket": by_socket, "http": by_http}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackSimulator]:
    async with SlackSimulator(now=clock, event_retries=(0.0, 0.0, 0.0)) as simulator:
        set_up(simulator)
        yield simulator


@pytest.fixture(params=TRANSPORTS)
async def bot(request: pytest.FixtureRequest, slack: SlackSimulator) -> AsyncIterator[Recorder]:
    """The app, connected in each of the two ways."""
    recorder = Recorder(slack)
    async with TRANSPORTS[request.param](slack, recorder):
        yield recorder
        recorder.gate.set()


@pytest.fixture
async def socket_bot(slack: SlackSimulator) -> AsyncIterator[Recorder]:
    recorder = Recorder(slack)
    async with by_socket(slack, recorder):
        yield recorder
        recorder.gate.set()


@pytest.fixture
async def http_bot(slack: SlackSimulator) -> AsyncIterator[Recorder]:
    recorder = Recorder(slack)
    async with by_http(slack, recorder):
        yield recorder
        recorder.gate.set()


async def card(slack: SlackSimulator, bot: Recorder, *, thread_ts: str | None = None) -> Message:
    await bot.client.chat_postMessage(channel=GENERAL, text="Draft", blocks=CARD, thread_ts=thread_ts)
    return slack.messages(GENERAL)[-1]


# -- pressing ---------------------------------------------------------------------------------------------


async def test_a_press_carries_who_pressed_what_and_where(slack: SlackSimulator, bot: Recorder) -> None:
    root = await card(slack, bot)
    message = await card(slack, bot, thread_ts=root.ts)
    answer = await slack.press(message, "Approve", user=ANA)
    assert (answer.ok, answer.status) == (True, 200)
    [body] = bot.of("press")
    assert body["user"]["id"] == ANA
    assert body["user"]["team_id"] == body["team"]["id"] == slack.team_id
    assert (body["channel"]["id"], body["message"]["ts"]) == (GENERAL, message.ts)
    assert body["container"]["thread_ts"] == root.ts
    [action] = body["actions"]
    assert (action["action_id"], action["value"]) == ("approve", "token-approve")


async def test_a_foreigner_s_press_names_their_own_team(slack: SlackSimulator, bot: Recorder) -> None:
    await slack.press(await card(slack, bot), "Approve", user=EVE)
    [body] = bot.of("press")
    assert (body["user"]["team_id"], body["team"]["id"]) == ("T0OTHER", slack.team_id)


async def test_an_outdated_card_can_be_pressed_as_it_was_seen(slack: SlackSimulator, bot: Recorder) -> None:
    seen = await card(slack, bot)
    await bot.client.chat_update(channel=GENERAL, ts=seen.ts, text="approved", blocks=[CARD[0]])
    assert (await slack.press(seen, "Approve", user=ANA)).ok
    with pytest.raises(NotOffered, match="Approve"):
        await slack.press(slack.messages(GENERAL)[0], "Approve", user=ANA)
    with pytest.raises(NotOffered, match="U0NOBODY"):
        await slack.press(seen, "Approve", user="U0NOBODY")


async def test_a_menu_is_picked_from(slack: SlackSimulator, bot: Recorder) -> None:
    message = await card(slack, bot)
    assert (await slack.press(message, "pick", user=ANA, option="Two")).ok
    assert bot.of("press")[0]["actions"][0]["selected_option"]["value"] == "2"


async def test_what_is_chosen_behind_the_dots_comes_as_an_option(
    slack: SlackSimulator, bot: Recorder
) -> None:
    message = await card(slack, bot)
    assert (await slack.press(message, "more", user=ANA, option="Two")).ok
    (chosen,) = bot.of("press")[0]["actions"]
    assert (chosen["type"], chosen["selected_option"]) == ("overflow", OPTIONS[1])
    assert set(chosen) == {"type", "action_id", "block_id", "action_ts", "selected_option"}
    with pytest.raises(NotOffered, match="Three"):
        await slack.press(message, "more", user=ANA, option="Three")


async def test_a_press_on_an_ephemeral_message_carries_no_message(
    slack: SlackSimulator, bot: Recorder
) -> None:
    await bot.client.chat_postEphemeral(channel=GENERAL, user=ANA, text="x", blocks=CARD)
    [message] = slack.ephemerals(ANA)
    assert (await slack.press(message, "Approve", user=ANA)).ok
    [body] = bot.of("press")
    assert body["container"]["is_ephemeral"] is True
    assert "message" not in body


async def test_an_unanswered_press_times_out_and_is_not_sent_again() -> None:
    for connect in TRANSPORTS.values():
        async with SlackSimulator(ack_seconds=0.5, event_retries=(0.0,)) as slack:
            set_up(slack)
            recorder = Recorder(slack)
            async with connect(slack, recorder):
                answer = await slack.press(await card(slack, recorder), "Slow", user=ANA)
                assert (answer.timed_out, answer.status) == (True, 0)
                await recorder.told("press", 1)
                assert len(recorder.of("press")) == 1
                recorder.gate.set()


# -- dialogs ----------------------------------------------------------------------------------------------


async def test_reject_opens_a_dialog_whose_submission_closes_it(slack: SlackSimulator, bot: Recorder) -> None:
    assert (await slack.press(await card(slack, bot), "Reject", user=ANA)).ok
    [view] = slack.open_views(ANA)
    assert (view.title, view.callback_id, view.private_metadata) == ("Reject", "reason", "r1")
    assert slack.snapshot()["views"][0]["user"] == ANA
    assert (await slack.submit(view, {"Reason": "too dear"}, user=ANA)).ok
    [body] = bot.of("submission")
    assert body["view"]["state"]["values"]["why"]["text"]["value"] == "too dear"
    assert slack.open_views(ANA) == ()


async def opened(slack: SlackSimulator, bot: Recorder) -> Any:
    await slack.press(await card(slack, bot), "Reject", user=ANA)
    return slack.open_views(ANA)[-1]


async def test_the_answer_to_a_submission_says_what_becomes_of_the_dialog(
    slack: SlackSimulator, bot: Recorder
) -> None:
    view = await opened(slack, bot)
    bot.answer = {"response_action": "errors", "errors": {"why": "Say more."}}
    await slack.submit(view, {"why": "no"}, user=ANA)
    assert slack.open_views(ANA)[0].errors == {"why": "Say more."}
    bot.answer = {"response_action": "update", "view": REASON | {"title": plain("Again")}}
    await slack.submit(view, {"text": "no"}, user=ANA)
    assert [view.title for view in slack.open_views(ANA)] == ["Again"]
    bot.answer = {"response_action": "push", "view": REASON | {"title": plain("Sure?")}}
    await slack.submit(slack.open_views(ANA)[0], {"text": "no"}, user=ANA)
    assert [view.title for view in slack.open_views(ANA)] == ["Again", "Sure?"]
    bot.answer = {"response_action": "clear"}
    await slack.submit(slack.open_views(ANA)[1], {"text": "no"}, user=ANA)
    assert slack.open_views(ANA) == ()


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"elsewhere": "x"}},
        {"response_action": "update", "view": REASON | {"title": plain("x" * 25)}},
    ],
)
async def test_an_answer_that_slack_can_not_use_leaves_the_dialog_in_trouble(
    slack: SlackSimulator, bot: Recorder, answer: dict[str, Any]
) -> None:
    view, bot.answer = await opened(slack, bot), answer
    await slack.submit(view, {"Reason": "no"}, user=ANA)
    [still_open] = slack.open_views(ANA)
    assert "trouble" in still_open.errors[""]


async def test_a_dialog_asks_for_what_is_required(slack: SlackSimulator, bot: Recorder) -> None:
    view = await opened(slack, bot)
    for values in ({}, {"Reason": "x" * 101}, {"Reason": "x", "Other": "y"}):
        with pytest.raises(NotOffered):
            await slack.submit(view, values, user=ANA)
    assert bot.of("submission") == []


async def test_a_closed_dialog_is_told_and_can_not_be_updated(slack: SlackSimulator, bot: Recorder) -> None:
    view = await opened(slack, bot)
    answer = await slack.close_view(view, user=ANA)
    assert answer is not None
    assert answer.ok
    assert bot.of("closed")[0]["is_cleared"] is False
    with pytest.raises(SlackApiError, match="not_found"):
        await bot.client.views_update(view_id=view.id, view=REASON)


async def test_messages_and_dialogs_are_found_by_their_ids(slack: SlackSimulator, bot: Recorder) -> None:
    view = await opened(slack, bot)
    assert slack.view(view.id) == view
    [message] = slack.messages(GENERAL)
    assert slack.message(GENERAL, message.ts) == message
    for look in (lambda: slack.view("V0"), lambda: slack.message(GENERAL, "1.2")):
        with pytest.raises(NotOffered):
            look()


async def test_an_answer_for_a_dialog_that_is_gone_changes_nothing(
    slack: SlackSimulator, bot: Recorder
) -> None:
    view = await opened(slack, bot)
    await slack.close_view(view, user=ANA, whole_stack=True)
    bot.answer = {"response_action": "errors", "errors": {"why": "Say more."}}
    assert (await slack.submit(view, {"Reason": "no"}, user=ANA)).ok
    assert slack.open_views(ANA) == ()


async def test_a_trigger_lives_three_seconds_and_serves_once(
    slack: SlackSimulator, bot: Recorder, clock: Clock
) -> None:
    message = await card(slack, bot)
    await slack.press(message, "Reject", user=ANA)
    used = bot.of("press")[-1]["trigger_id"]
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await bot.client.views_open(trigger_id=used, view=REASON)
    await slack.press(message, "Approve", user=ANA)
    clock.seconds += 3.1
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await bot.client.views_open(trigger_id=bot.of("press")[-1]["trigger_id"], view=REASON)
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await bot.client.views_open(trigger_id="1.2.3", view=REASON)


async def test_views_beyond_a_limit_are_refused_with_their_place(
    slack: SlackSimulator, http_bot: Recorder
) -> None:
    await slack.press(await card(slack, http_bot), "Approve", user=ANA)
    with pytest.raises(SlackApiError) as caught:
        await http_bot.client.views_open(
            trigger_id=http_bot.of("press")[0]["trigger_id"], view=REASON | {"title": plain("x" * 25)}
        )
    assert caught.value.response["error"] == "invalid_arguments"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] failed to match all allowed schemas [json-pointer:/view]",
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]",
    ]


async def test_a_view_of_over_250_kb_is_too_large_and_one_with_inputs_needs_submit(
    slack: SlackSimulator, http_bot: Recorder
) -> None:
    await slack.press(await card(slack, http_bot), "Approve", user=ANA)
    huge = REASON | {"blocks": [{"type": "section", "text": plain("x" * 3000)}] * 90}
    with pytest.raises(SlackApiError, match="view_too_large"):
        await http_bot.client.views_open(trigger_id=http_bot.of("press")[0]["trigger_id"], view=huge)
    await slack.press(await card(slack, http_bot), "Approve", user=ANA)
    mute = {key: value for key, value in REASON.items() if key != "submit"}
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await http_bot.client.views_open(trigger_id=http_bot.of("press")[1]["trigger_id"], view=mute)


async def test_three_dialogs_stack_and_no_fourth(slack: SlackSimulator, http_bot: Recorder) -> None:
    view = await opened(slack, http_bot)
    buttons = REASON | {"blocks": [*REASON["blocks"], CARD[1]]}
    await http_bot.client.views_update(view_id=view.id, view=buttons, hash=view.hash)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await http_bot.client.views_update(view_id=view.id, view=buttons, hash=view.hash)
    for _ in range(2):
        await slack.press(slack.open_views(ANA)[-1], "Approve", user=ANA)
        trigger_id = http_bot.of("press")[-1]["trigger_id"]
        await http_bot.client.views_push(trigger_id=trigger_id, view=buttons)
    await slack.press(slack.open_views(ANA)[-1], "Approve", user=ANA)
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        await http_bot.client.views_push(trigger_id=http_bot.of("press")[-1]["trigger_id"], view=REASON)


# -- words ------------------------------------------------------------------------------------------------


async def test_a_command_s_answer_is_shown_to_its_writer_only(slack: SlackSimulator, bot: Recorder) -> None:
    bot.answer = {"text": "Nothing waits for you."}
    assert (await slack.command("/countersign", "pending", user=ANA, channel=GENERAL)).ok
    [body] = bot.of("command")
    assert (body["command"], body["text"], body["user_id"]) == ("/countersign", "pending", ANA)
    assert [message.text for message in slack.ephemerals(ANA)] == ["Nothing waits for you."]


async def test_a_mention_in_a_thread_reaches_the_app(slack: SlackSimulator, bot: Recorder) -> None:
    root = await slack.say(GENERAL, "not for the bot", user=ANA)
    await slack.say(GENERAL, f"<@{slack.bot_user.id}> pending", user=ANA, thread_ts=root.ts)
    [body] = bot.of("event")
    assert body["event"]["type"] == "app_mention"
    assert body["event"]["thread_ts"] == root.ts
    await slack.say(slack.open_im(ANA).id, "hello", user=ANA)
    assert bot.of("event")[1]["event"]["channel_type"] == "im"
    await slack.open_home(ANA)
    assert bot.of("event")[2]["event"]["type"] == "app_home_opened"


async def test_a_response_url_serves_five_times_and_can_replace_an_ephemeral_message(
    slack: SlackSimulator, bot: Recorder, clock: Clock
) -> None:
    await bot.client.chat_postEphemeral(channel=GENERAL, user=ANA, text="x", blocks=CARD)
    await slack.press(slack.ephemerals(ANA)[0], "Approve", user=ANA)
    url = bot.of("press")[0]["response_url"]
    async with aiohttp.ClientSession() as session:
        for number in range(5):
            async with session.post(url, json={"replace_original": True, "text": str(number)}) as response:
                assert response.status == 200
        async with session.post(url, json={"text": "six"}) as response:
            assert (response.status, (await response.json())["error"]) == (404, "used_url")
        assert [message.text for message in slack.ephemerals(ANA)] == ["4"]
        await slack.press(await card(slack, bot), "Approve", user=ANA)
        clock.seconds += 30 * 60 + 1
        async with session.post(bot.of("press")[1]["response_url"], json={"text": "late"}) as response:
            assert (await response.json())["error"] == "expired_url"


# -- what can go wrong on the way -------------------------------------------------------------------------


async def test_a_duplicate_arrives_twice_with_the_same_trigger(slack: SlackSimulator, bot: Recorder) -> None:
    slack.deliveries.duplicate = 1
    answer = await slack.press(await card(slack, bot), "Approve", user=ANA)
    assert answer.ok
    assert [copy.ok for copy in answer.duplicates] == [True]
    first, second = bot.of("press")
    assert first["trigger_id"] == second["trigger_id"]
    await slack.press(slack.messages(GENERAL)[0], "Approve", user=ANA)
    assert len(bot.of("press")) == 3


async def test_held_presses_arrive_late_and_in_reverse(slack: SlackSimulator, bot: Recorder) -> None:
    message = await card(slack, bot)
    slack.deliveries.hold()
    async with asyncio.TaskGroup() as presses:
        presses.create_task(slack.press(message, "Approve", user=ANA))
        presses.create_task(slack.press(message, "Approve", user=EVE))
        await slack.until(lambda: slack.deliveries.held == 2)
        assert bot.of("press") == []
        slack.deliveries.release(reverse=True)
    assert [body["user"]["id"] for body in bot.of("press")] == [EVE, ANA]


async def test_a_delayed_press_still_arrives(slack: SlackSimulator, bot: Recorder) -> None:
    slack.deliveries.delay = 0.01
    assert (await slack.press(await card(slack, bot), "Approve", user=ANA)).ok


async def test_a_lost_acknowledgement_makes_an_event_come_again(slack: SlackSimulator, bot: Recorder) -> None:
    slack.deliveries.drop_ack = 1
    await slack.say(GENERAL, f"<@{slack.bot_user.id}> pending", user=ANA)
    await bot.told("event", 2)
    first, second = bot.of("event")
    assert first["event_id"] == second["event_id"]
    assert bot.headers[1]["x-slack-retry-num"] == ["1"]


async def test_a_lost_acknowledgement_of_a_press_is_a_timeout(slack: SlackSimulator, bot: Recorder) -> None:
    slack.deliveries.drop_ack = 1
    answer = await slack.press(await card(slack, bot), "Approve", user=ANA)
    assert answer.timed_out
    assert len(bot.of("press")) == 1


async def test_an_event_is_redelivered_three_times_unless_the_app_says_no(slack: SlackSimulator) -> None:
    heard: list[tuple[str | None, str | None, str]] = []
    done = asyncio.Event()
    headers: dict[str, str] = {}

    async def refuse(request: web.Request) -> web.Response:
        retry = request.headers.get("X-Slack-Retry-Num"), request.headers.get("X-Slack-Retry-Reason")
        heard.append((*retry, (await request.json())["event_id"]))
        if len(heard) == 4:
            done.set()
        return web.Response(status=500, headers=headers)

    server = web.Application()
    server.router.add_post("/", refuse)
    runner = web.AppRunner(server, access_log=None)
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        slack.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        await slack.say(GENERAL, f"<@{slack.bot_user.id}> hi", user=ANA)
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        assert [number for number, _, _ in heard] == [None, "1", "2", "3"]
        assert {reason for _, reason, _ in heard[1:]} == {"http_error"}
        assert len({event_id for _, _, event_id in heard}) == 1
        headers["X-Slack-No-Retry"] = "1"
        await slack.say(GENERAL, f"<@{slack.bot_user.id}> hi", user=ANA)
        assert len(heard) == 5


async def test_an_event_that_is_answered_too_late_comes_again_as_timed_out() -> None:
    async with SlackSimulator(ack_seconds=0.5, event_retries=(0.0,)) as slack:
        set_up(slack)
        recorder = Recorder(slack)
        async with by_http(slack, recorder):
            recorder.event_gate.clear()
            await slack.say(GENERAL, f"<@{slack.bot_user.id}> hi", user=ANA)
            recorder.event_gate.set()
            await recorder.told("event", 2)
            assert recorder.headers[1]["x-slack-retry-reason"] == ["http_timeout"]


async def test_the_app_hears_only_what_it_subscribed_to(slack: SlackSimulator, bot: Recorder) -> None:
    await slack.say(GENERAL, "unheard", user=ANA)
    slack.events = {"message.channels"}
    await slack.say(GENERAL, f"<@{slack.bot_user.id}> heard once", user=ANA)
    slack.add_channel("C02OUT", "without-us", members=[ANA], with_bot=False)
    await slack.say("C02OUT", "unheard", user=ANA)
    assert await slack.open_home(ANA) is None
    [body] = bot.of("event")
    assert (body["event"]["type"], body["event"]["channel_type"]) == ("message", "channel")


# -- HTTP only --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgery", Forgery)
async def test_forged_presses_are_told_apart_by_bolt(
    slack: SlackSimulator, http_bot: Recorder, forgery: Forgery
) -> None:
    answer = await slack.press(await card(slack, http_bot), "Approve", user=ANA, forged=forgery)
    assert answer.status == 401
    assert http_bot.of("press") == []


async def test_a_payload_can_be_altered_before_it_is_signed(
    slack: SlackSimulator, http_bot: Recorder
) -> None:
    payload = slack.action_payload(await card(slack, http_bot), "Approve", user=ANA)
    payload["actions"][0]["value"] = "something else"
    assert (await slack.deliver(payload)).ok
    assert http_bot.of("press")[0]["actions"][0]["value"] == "something else"
    assert (await slack.deliver(payload, kind=Kind.INTERACTIVE, forged=Forgery.UNSIGNED)).status == 401


async def test_the_request_url_is_verified_by_a_challenge(slack: SlackSimulator, http_bot: Recorder) -> None:
    assert await slack.verify_request_url() is True
    slack.request_url = slack.api_url + "elsewhere"
    assert await slack.verify_request_url() is False


async def test_nobody_at_the_request_url_is_a_failed_connection(
    slack: SlackSimulator, http_bot: Recorder
) -> None:
    message = await card(slack, http_bot)
    slack.request_url = "http://127.0.0.1:1/slack/events"
    answer = await slack.press(message, "Approve", user=ANA)
    assert (answer.ok, answer.timed_out) == (False, False)
    with pytest.raises(ValueError, match="loopback"):
        slack.request_url = "http://192.0.2.1/slack/events"


async def test_raw_requests_can_be_signed(slack: SlackSimulator, http_bot: Recorder) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "c"}).encode()
    assert slack.request_url is not None
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json", **slack.signing_headers(body)}
        async with session.post(slack.request_url, data=body, headers=headers) as response:
            assert response.status == 200


# -- Socket Mode only -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled", "too_many_websockets"])
async def test_the_app_comes_back_after_a_disconnect(
    slack: SlackSimulator, socket_bot: Recorder, reason: Any
) -> None:
    message = await card(slack, socket_bot)
    with slack.changes() as changes:
        await slack.disconnect(reason)
        while (await anext(changes)).kind != "connected":
            pass
    assert (await slack.press(message, "Approve", user=ANA)).ok
    await slack.until(lambda: slack.connections == 1)


async def test_a_press_under_way_is_answered_over_the_renewed_connection(
    slack: SlackSimulator, socket_bot: Recorder
) -> None:
    message = await card(slack, socket_bot)
    async with asyncio.TaskGroup() as tasks:
        press = tasks.create_task(slack.press(message, "Slow", user=ANA))
        await socket_bot.told("press", 1)
        with slack.changes() as changes:
            await slack.disconnect("warning")
            while (await anext(changes)).kind != "connected":
                pass
        socket_bot.gate.set()
        assert (await press).ok


async def test_each_press_goes_to_one_of_several_connections(slack: SlackSimulator) -> None:
    recorders = [Recorder(slack) for _ in range(3)]
    async with AsyncExitStack() as stack:
        for recorder in recorders:
            await stack.enter_async_context(by_socket(slack, recorder))
        await slack.connected(3)
        message = await card(slack, recorders[0])
        for _ in range(6):
            assert (await slack.press(message, "Approve", user=ANA)).ok
        assert [len(recorder.of("press")) for recorder in recorders] == [2, 2, 2]


async def test_a_socket_url_can_be_used_once_and_the_eleventh_socket_is_refused(
    slack: SlackSimulator,
) -> None:
    client = AsyncWebClient(slack.app_token, base_url=slack.api_url)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        for number in range(10):
            url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
            socket = await stack.enter_async_context(session.ws_connect(url))
            hello = await socket.receive_json()
            assert (hello["type"], hello["num_connections"]) == ("hello", number + 1)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
        url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
        socket = await stack.enter_async_context(session.ws_connect(url))
        assert (await socket.receive_json())["reason"] == "too_many_websockets"
        assert slack.connections == 10


async def test_an_event_on_a_connection_that_is_cut_comes_again_on_the_next(slack: SlackSimulator) -> None:
    client = AsyncWebClient(slack.app_token, base_url=slack.api_url)

    async def connect(session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
        socket = await session.ws_connect(url)
        assert (await socket.receive_json())["type"] == "hello"
        return socket

    async with aiohttp.ClientSession() as session:
        socket = await connect(session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slack.say(GENERAL, f"<@{slack.bot_user.id}> hi", user=ANA))
            first = await socket.receive_json()
            slack.cut_connections()
        await slack.until(lambda: slack.connections == 0)
        socket = await connect(session)
        second = await socket.receive_json()
        await socket.send_json({"envelope_id": second["envelope_id"]})
        assert first["payload"]["event_id"] == second["payload"]["event_id"]
        assert (first["retry_attempt"], second["retry_attempt"]) == (0, 1)
        await socket.send_str("not an acknowledgement")


async def test_a_press_without_a_connection_waits_for_one(slack: SlackSimulator) -> None:
    recorder = Recorder(slack)
    message = await card(slack, recorder)
    async with asyncio.TaskGroup() as tasks:
        press = tasks.create_task(slack.press(message, "Approve", user=ANA))
        async with by_socket(slack, recorder):
            assert (await press).ok


async def test_a_forged_press_makes_no_sense_over_a_socket(
    slack: SlackSimulator, socket_bot: Recorder
) -> None:
    with pytest.raises(ValueError, match="HTTP only"):
        await slack.press(await card(slack, socket_bot), "Approve", user=ANA, forged=Forgery.UNSIGNED)


async def test_it_ends_at_once_with_sockets_open() -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        async with SlackSimulator() as slack:
            set_up(slack)
            recorder = Recorder(slack)
            await stack.enter_async_context(by_socket(slack, recorder))
            begun = loop.time()
        assert loop.time() - begun < 0.5
