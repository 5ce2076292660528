"""The simulated Slack's Web API, called by the real slack_sdk."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.simulator.faults import Fault
from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.forms import NotOffered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANA, BEN, EVE, GENERAL = "U01ANA", "U02BEN", "U09EVE", "C01GEN"


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackSimulator]:
    async with SlackSimulator(now=clock) as simulator:
        simulator.add_user(ANA, "Ana Ruiz", email="ana@example.org")
        simulator.add_user(BEN, "Ben Okri")
        simulator.add_user(EVE, "Eve", team="T0OTHER", email="eve@example.org")
        simulator.add_channel(GENERAL, "general", members=[ANA, BEN])
        yield simulator


@pytest.fixture
def client(slack: SlackSimulator) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url)


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(label: str = "Approve", **others: Any) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": "approve", **others}


def actions(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(buttons)}


def modal(**others: Any) -> dict[str, Any]:
    title = {"type": "plain_text", "text": "Reject"}
    return {"type": "modal", "title": title, "blocks": [section("Why?")], **others}


async def refusal(call: Any) -> dict[str, Any]:
    """What Slack answered to a call that it refused."""
    with pytest.raises(SlackApiError) as caught:
        await call
    answer: dict[str, Any] = caught.value.response.data
    return answer


async def error(call: Any) -> str:
    return str((await refusal(call))["error"])


# -- messages ---------------------------------------------------------------------------------------------


async def test_a_posted_message_stands_in_its_channel(slack: SlackSimulator, client: AsyncWebClient) -> None:
    metadata = {"event_type": "review", "event_payload": {"id": "r1"}}
    answer = await client.chat_postMessage(
        channel=GENERAL,
        text="Please review",
        blocks=[section("*Draft*"), actions(button())],
        metadata=metadata,
    )
    [message] = slack.messages(GENERAL)
    assert (message.ts, message.text, message.labels) == (answer["ts"], "Please review", ("Approve",))
    assert message.metadata == metadata
    assert answer["message"]["blocks"][1]["block_id"]


async def test_a_reply_to_a_reply_lands_in_the_thread_of_its_first_message(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    first = (await client.chat_postMessage(channel=GENERAL, text="attempt 1"))["ts"]
    second = (await client.chat_postMessage(channel=GENERAL, text="attempt 2", thread_ts=first))["ts"]
    await client.chat_postMessage(channel=GENERAL, text="attempt 3", thread_ts=second)
    assert [message.thread_ts for message in slack.messages(GENERAL)] == [None, first, first]
    thread = await client.conversations_replies(channel=GENERAL, ts=first)
    assert [message["text"] for message in thread["messages"]] == ["attempt 1", "attempt 2", "attempt 3"]


async def test_timestamps_rise_although_the_clock_stands_still(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    for number in range(5):
        await client.chat_postMessage(channel=GENERAL, text=str(number))
    stamps = [message.ts for message in slack.messages(GENERAL)]
    assert stamps == sorted(set(stamps))


async def test_posting_to_a_user_opens_their_direct_conversation(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    answer = await client.chat_postMessage(channel=ANA, text="hello")
    assert answer["channel"] == slack.open_im(ANA).id
    opened = await client.conversations_open(users=[ANA])
    assert opened["channel"]["id"] == answer["channel"]


async def test_an_update_of_text_alone_removes_the_blocks_and_is_marked(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    ts = (await client.chat_postMessage(channel=GENERAL, text="card", blocks=[actions(button())]))["ts"]
    await client.chat_update(channel=GENERAL, ts=ts, text="approved by Ana")
    [message] = slack.messages(GENERAL)
    assert message.blocks == ()
    assert message.edited is not None


async def test_an_update_with_blocks_is_not_marked_and_keeps_the_metadata(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    metadata = {"event_type": "review", "event_payload": {"id": "r1"}}
    ts = (await client.chat_postMessage(channel=GENERAL, text="card", metadata=metadata))["ts"]
    await client.chat_update(channel=GENERAL, ts=ts, text="approved", blocks=[section("approved")])
    [message] = slack.messages(GENERAL)
    assert (message.edited, message.metadata) == (None, metadata)
    await client.chat_update(channel=GENERAL, ts=ts, text="approved", metadata={})
    assert slack.messages(GENERAL)[0].metadata is None


async def test_a_deleted_message_is_gone(slack: SlackSimulator, client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
    await client.chat_delete(channel=GENERAL, ts=ts)
    assert slack.messages(GENERAL) == ()
    assert [message.deleted for message in slack.messages(GENERAL, deleted=True)] == [True]
    assert await error(client.chat_update(channel=GENERAL, ts=ts, text="x")) == "message_not_found"


async def test_an_ephemeral_message_is_seen_by_one_and_can_not_be_updated(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    answer = await client.chat_postEphemeral(channel=GENERAL, user=ANA, text="You may not decide this.")
    assert [message.text for message in slack.ephemerals(ANA)] == ["You may not decide this."]
    assert slack.ephemerals(BEN) == slack.messages(GENERAL) == ()
    ts = answer["message_ts"]
    assert await error(client.chat_update(channel=GENERAL, ts=ts, text="x")) == "message_not_found"
    assert (
        await error(client.chat_postEphemeral(channel=GENERAL, user=EVE, text="x")) == "user_not_in_channel"
    )


async def test_people_s_messages_can_not_be_changed_by_the_bot(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    said = await slack.say(GENERAL, "mine", user=ANA)
    assert await error(client.chat_update(channel=GENERAL, ts=said.ts, text="x")) == "cant_update_message"
    assert await error(client.chat_delete(channel=GENERAL, ts=said.ts)) == "cant_delete_message"


async def test_a_reaction_is_added_once(slack: SlackSimulator, client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
    await client.reactions_add(channel=GENERAL, timestamp=ts, name="eyes")
    assert slack.messages(GENERAL)[0].reactions == ("eyes",)
    assert await error(client.reactions_add(channel=GENERAL, timestamp=ts, name="eyes")) == "already_reacted"


# -- where the bot may post -------------------------------------------------------------------------------


async def test_channels_refuse_as_slack_s_do(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.add_channel("C02OUT", "without-us", with_bot=False)
    slack.add_channel("C03OLD", "old", is_archived=True)
    slack.add_channel("C04SEC", "secret", with_bot=False, is_private=True)
    wanted = {
        "C02OUT": "not_in_channel",
        "C03OLD": "is_archived",
        "C04SEC": "channel_not_found",
        "C0NONE": "channel_not_found",
        "": "invalid_arguments",
    }
    for channel, refused in wanted.items():
        assert await error(client.chat_postMessage(channel=channel, text="x")) == refused
    await client.conversations_join(channel="C02OUT")
    await client.chat_postMessage(channel="C02OUT", text="now it works")


async def test_an_archived_channel_s_messages_can_not_be_updated(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    ts = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
    slack.channel(GENERAL).is_archived = True
    assert await error(client.chat_update(channel=GENERAL, ts=ts, text="x")) == "is_inactive"


async def test_the_directory_tells_of_people_and_channels(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    assert (await client.users_info(user=ANA))["user"]["real_name"] == "Ana Ruiz"
    assert (await client.users_lookupByEmail(email="ANA@example.org"))["user"]["id"] == ANA
    assert await error(client.users_info(user="U0NOBODY")) == "user_not_found"
    assert await error(client.users_lookupByEmail(email="eve@example.org")) == "users_not_found"
    assert (await client.conversations_info(channel=GENERAL))["channel"]["is_member"] is True
    members = await client.conversations_members(channel=GENERAL, limit=2)
    rest = await client.conversations_members(
        channel=GENERAL, limit=2, cursor=members["response_metadata"]["next_cursor"]
    )
    assert {*members["members"], *rest["members"]} == {ANA, BEN, slack.bot_user.id}
    assert [channel["id"] for channel in (await client.conversations_list())["channels"]] == [GENERAL]
    await slack.say(GENERAL, "hello", user=ANA)
    assert (await client.conversations_history(channel=GENERAL))["messages"][0]["user"] == ANA
    ts = slack.messages(GENERAL)[0].ts
    assert GENERAL in (await client.chat_getPermalink(channel=GENERAL, message_ts=ts))["permalink"]


# -- limits -----------------------------------------------------------------------------------------------


async def test_blocks_beyond_a_limit_are_refused_with_their_place(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    post = client.chat_postMessage(channel=GENERAL, text="x", blocks=[actions(button("x" * 76))])
    problem = "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"
    assert await refusal(post) == {
        "ok": False,
        "error": "invalid_blocks",
        "errors": [problem],
        "response_metadata": {"messages": [f"[ERROR] {problem}"]},
    }
    assert slack.messages(GENERAL) == ()


async def test_texts_of_blocks_are_limited_together(client: AsyncWebClient) -> None:
    blocks = [section("x" * 3000)] * 4
    await client.chat_postMessage(channel=GENERAL, text="x", blocks=blocks)
    refused = client.chat_postMessage(channel=GENERAL, text="x", blocks=[*blocks, section("x")])
    assert await error(refused) == "msg_blocks_too_long"


async def test_texts_that_are_too_long_are_cut_when_posted_and_refused_when_updated(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    answer = await client.chat_postMessage(channel=GENERAL, text="x" * 40_001)
    assert answer["response_metadata"]["warnings"] == ["message_truncated"]
    assert len(slack.messages(GENERAL)[0].text) == 40_000
    update = client.chat_update(channel=GENERAL, ts=answer["ts"], text="x" * 4001)
    assert await error(update) == "msg_too_long"
    ephemeral = client.chat_postEphemeral(channel=GENERAL, user=ANA, text="x" * 40_001)
    assert await error(ephemeral) == "msg_too_long"


async def test_a_message_needs_something_to_say(client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
    blank = client.api_call("chat.postMessage", json={"channel": GENERAL, "text": " \n"})
    assert await error(blank) == "no_text"
    empty = client.api_call("chat.update", json={"channel": GENERAL, "ts": ts, "blocks": []})
    assert await error(empty) == "no_text"


async def test_metadata_has_two_fields_and_a_size(client: AsyncWebClient) -> None:
    for metadata in ({"event_type": "x"}, {"event_type": 1, "event_payload": {}}):
        post = client.chat_postMessage(channel=GENERAL, text="x", metadata=metadata)
        assert await error(post) == "invalid_metadata_format"
    huge = {"event_type": "x", "event_payload": {"data": "x" * 16_000}}
    assert (
        await error(client.chat_postMessage(channel=GENERAL, text="x", metadata=huge)) == "metadata_too_large"
    )


# -- tokens and encodings ---------------------------------------------------------------------------------


async def test_tokens_are_checked(slack: SlackSimulator, client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"]) == (slack.team_id, slack.bot_user.id)
    assert "chat:write" in answer.headers["x-oauth-scopes"]
    assert answer.headers["Server"] == "simulated-slack"
    assert await error(AsyncWebClient("xoxb-other", base_url=slack.api_url).auth_test()) == "invalid_auth"
    assert await error(AsyncWebClient(base_url=slack.api_url).auth_test()) == "not_authed"
    assert await error(client.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"
    app = AsyncWebClient(slack.app_token, base_url=slack.api_url)
    assert await error(app.chat_postMessage(channel=GENERAL, text="x")) == "not_allowed_token_type"
    assert await error(client.files_info(file="F1")) == "unknown_method"


async def test_a_missing_scope_is_named() -> None:
    async with SlackSimulator(bot_scopes=["users:read"]) as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        answer = await refusal(client.chat_postMessage(channel=GENERAL, text="x"))
        assert (answer["error"], answer["needed"]) == ("missing_scope", "chat:write")
        assert answer["provided"] == "users:read"


async def test_arguments_arrive_in_query_form_multipart_or_json(slack: SlackSimulator) -> None:
    url, auth = slack.api_url + "chat.postMessage", {"Authorization": f"Bearer {slack.bot_token}"}
    said = {"channel": GENERAL, "text": "x", "blocks": json.dumps([section("x")])}
    multipart = aiohttp.FormData(said | {"token": slack.bot_token}, default_to_multipart=True)
    async with aiohttp.ClientSession() as session:
        sent: list[dict[str, Any]] = [
            {"params": said, "headers": auth},
            {"data": said | {"token": slack.bot_token}},
            {"data": multipart},
            {"json": said | {"blocks": [section("x")]}, "headers": auth},
        ]
        for arguments in sent:
            async with session.post(url, **arguments) as response:
                assert (await response.json())["ok"] is True
    assert len(slack.messages(GENERAL)) == 4
    assert slack.bot_token not in repr(slack.calls)


@pytest.mark.parametrize(
    ("body", "content_type", "refused"),
    [
        ("{", "application/json", "invalid_json"),
        ("[]", "application/json", "json_not_object"),
        ("<x/>", "application/xml", "invalid_post_type"),
        ('{"token": "xoxb-simulated"}', "application/json", "not_authed"),
        (
            "token=xoxb-simulated&channel=C01GEN&blocks={",
            "application/x-www-form-urlencoded",
            "invalid_blocks_format",
        ),
    ],
)
async def test_malformed_calls_are_refused(
    slack: SlackSimulator, body: str, content_type: str, refused: str
) -> None:
    async with (
        aiohttp.ClientSession(headers={"Content-Type": content_type}) as session,
        session.post(slack.api_url + "chat.postMessage", data=body) as response,
    ):
        assert await response.json() == {"ok": False, "error": refused}


# -- faults and rates -------------------------------------------------------------------------------------


async def test_a_fault_answers_once_with_its_status_body_and_headers(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    slack.faults.add(Fault(method="chat.postMessage", status=429, headers={"Retry-After": "7"}))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=GENERAL, text="x")
    response = caught.value.response
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert response.headers["Retry-After"] == "7"
    await client.chat_postMessage(channel=GENERAL, text="x")
    assert [call.status for call in slack.calls] == [429, 200]


async def test_a_fault_may_wait_for_a_text(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.faults.add(Fault(contains="attempt 2", body={"ok": False, "error": "fatal_error"}))
    await client.chat_postMessage(channel=GENERAL, text="attempt 1")
    assert await error(client.chat_postMessage(channel=GENERAL, text="attempt 2")) == "fatal_error"


async def test_a_fault_after_acting_loses_the_answer_only(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    slack.faults.add(Fault(method="chat.postMessage", status=500, after_acting=True))
    assert await error(client.chat_postMessage(channel=GENERAL, text="x")) == "internal_error"
    assert len(slack.messages(GENERAL)) == 1


async def test_a_cut_line_gives_no_answer(slack: SlackSimulator) -> None:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    slack.faults.add(Fault(method="chat.postMessage", cut=True))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel=GENERAL, text="x")
    assert slack.messages(GENERAL) == ()
    slack.faults.add(Fault(method="chat.postMessage", cut=True, after_acting=True))
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel=GENERAL, text="x")
    assert len(slack.messages(GENERAL)) == 1
    assert [call.status for call in slack.calls] == [0, 0]


async def test_a_slow_answer_can_outlast_the_client(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.faults.add(Fault(delay=60.0, after_acting=True, times=None))
    call = asyncio.ensure_future(client.chat_postMessage(channel=GENERAL, text="x"))
    await slack.until(lambda: slack.messages(GENERAL))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_delay_alone_only_delays(slack: SlackSimulator, client: AsyncWebClient) -> None:
    slack.faults.add(Fault(delay=0.01))
    assert (await client.chat_postMessage(channel=GENERAL, text="x"))["ok"] is True


async def test_posts_are_paced_per_channel_when_asked(
    slack: SlackSimulator, client: AsyncWebClient, clock: Clock
) -> None:
    slack.enforce_rate_limits = True
    slack.add_channel("C02OPS", "ops")
    for _ in range(4):
        await client.chat_postMessage(channel=GENERAL, text="x")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=GENERAL, text="x")
    assert caught.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel="C02OPS", text="another channel")
    clock.seconds += 1
    await client.chat_postMessage(channel=GENERAL, text="a second later")


async def test_updates_are_tier_3(slack: SlackSimulator, client: AsyncWebClient, clock: Clock) -> None:
    slack.enforce_rate_limits = True
    ts = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
    for number in range(50):
        await client.chat_update(channel=GENERAL, ts=ts, text=str(number))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_update(channel=GENERAL, ts=ts, text="one too many")
    assert caught.value.response.headers["Retry-After"] == "2"
    clock.seconds += 1.2
    await client.chat_update(channel=GENERAL, ts=ts, text="after the wait")


async def test_slack_sdk_s_own_retry_gets_through(slack: SlackSimulator, client: AsyncWebClient) -> None:
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler())
    slack.faults.add(Fault(status=429, headers={"Retry-After": "0"}))
    assert (await client.chat_postMessage(channel=GENERAL, text="x"))["ok"] is True


# -- the App Home and what onlookers see ------------------------------------------------------------------


async def test_a_file_lands_in_the_thread_in_three_steps(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    root = await client.chat_postMessage(channel=GENERAL, text="a card")
    answer = await client.files_upload_v2(
        channel=GENERAL,
        thread_ts=root["ts"],
        filename="attempt-1.txt",
        content="é" * 9,
        initial_comment="all",
    )
    methods = [call.method for call in slack.calls]
    assert methods[1:] == ["files.getUploadURLExternal", "files.completeUploadExternal"]
    (_, shared) = slack.messages(GENERAL)
    assert (shared.thread_ts, shared.text) == (root["ts"], "all")
    (file,) = shared.files
    assert (file.name, file.title, file.content) == ("attempt-1.txt", "attempt-1.txt", ("é" * 9).encode())
    assert answer["files"] == [{"id": file.id, "title": file.title}], "it does not say where it is shared"
    assert slack.file(file.id) == file
    assert "é" not in repr(slack.calls)
    (channel,) = slack.snapshot()["channels"]
    shown = channel["messages"][0]["replies"][0]["files"]
    assert shown == [{"id": file.id, "name": file.name, "title": file.title, "size": 18}]


async def test_uploads_are_refused_as_slack_does(slack: SlackSimulator, client: AsyncWebClient) -> None:
    ask = client.files_getUploadURLExternal
    assert await error(ask(filename="a", length=0)) == "invalid_arguments"
    assert await error(ask(filename="a", length=2 * 10**9)) == "file_upload_size_restricted"
    complete = client.files_completeUploadExternal
    unfinished = (await ask(filename="a", length=3))["file_id"]
    assert await error(complete(files=[{"id": unfinished}])) == "file_not_found"
    for place, said in ((ANA, "invalid_arguments"), ("C0NOWHERE", "channel_not_found")):
        assert await error(client.files_upload_v2(channel=place, filename="a", content="b")) == said
    slack.add_channel("C02OUT", "out", with_bot=False)
    assert (
        await error(client.files_upload_v2(channel="C02OUT", filename="a", content="b")) == "not_in_channel"
    )
    with pytest.raises(NotOffered):
        slack.file("F0NOWHERE")


async def test_an_upload_has_the_length_that_was_named_and_an_address_of_its_own(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    url = (await client.files_getUploadURLExternal(filename="a", length=3))["upload_url"]
    async with aiohttp.ClientSession() as session:
        for address, body, status in ((url, b"four", 400), (f"{url}x", b"abc", 404), (url, b"abc", 200)):
            async with session.post(address, data=body) as response:
                assert response.status == status


async def test_an_app_home_is_published_and_guarded_by_its_hash(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    first = await client.views_publish(user_id=ANA, view={"type": "home", "blocks": [section("one")]})
    second = {"type": "home", "blocks": [section("two")]}
    await client.views_publish(user_id=ANA, view=second, hash=first["view"]["hash"])
    stale = client.views_publish(user_id=ANA, view=second, hash=first["view"]["hash"])
    assert await error(stale) == "hash_conflict"
    home = slack.home(ANA)
    assert home is not None
    assert home.blocks[0]["text"]["text"] == "two"


async def test_onlookers_hear_of_changes_and_can_take_a_picture(
    slack: SlackSimulator, client: AsyncWebClient
) -> None:
    heard: list[str] = []
    slack.on_change.append(lambda change: heard.append(change.kind))
    with slack.changes() as changes:
        first = (await client.chat_postMessage(channel=GENERAL, text="card"))["ts"]
        change = await anext(changes)
        assert (change.kind, change.channel, change.ts) == ("message", GENERAL, first)
    await client.chat_postMessage(channel=GENERAL, text="reply", thread_ts=first)
    await client.chat_postEphemeral(channel=GENERAL, user=ANA, text="psst")
    await client.chat_update(channel=GENERAL, ts=first, text="done")
    assert [kind for kind in heard if kind != "called"] == [
        "message",
        "message",
        "ephemeral",
        "message_changed",
    ]
    picture = json.loads(json.dumps(slack.snapshot()))
    assert picture["platform"] == "Slack (simulated)"
    [general] = picture["channels"]
    assert general["messages"][0]["replies"][0]["text"] == "reply"
    assert general["ephemerals"][0]["only_for"] == ANA


# -- staying on this machine ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", ""])  # noqa: S104 - it must be refused
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SlackSimulator(host=host)


async def test_every_page_says_that_it_is_simulated(slack: SlackSimulator) -> None:
    async with aiohttp.ClientSession() as session, session.get(slack.api_url.removesuffix("api/")) as page:
        assert "simulated" in await page.text()


async def test_it_ends_at_once_with_requests_still_open() -> None:
    loop = asyncio.get_running_loop()
    async with SlackSimulator() as slack:
        slack.add_channel(GENERAL, "general")
        slack.faults.add(Fault(delay=60.0, after_acting=True))
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        call = asyncio.ensure_future(client.chat_postMessage(channel=GENERAL, text="x"))
        await slack.until(lambda: slack.messages(GENERAL))
        begun = loop.time()
    assert loop.time() - begun < 0.5
    with pytest.raises(aiohttp.ClientConnectionError):
        await call
