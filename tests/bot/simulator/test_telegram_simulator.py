"""The simulated Telegram, driven by the real python-telegram-bot: messages, dialogs, limits, refusals."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from telegram import (
    Bot,
    BotCommand,
    CallbackQuery,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    Message,
    ReplyParameters,
)
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter

from bot.simulator.telegram import MessageShape, TelegramSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP = -1001
CHANNEL = -1002
BASIC = -55
ANA, BEN = 42, 43


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    async with TelegramSimulator() as simulator:
        populate(simulator)
        yield simulator


def populate(simulator: TelegramSimulator) -> None:
    people = [
        simulator.add_user(ANA, "Ana", username="ana_ruiz", started=True),
        simulator.add_user(BEN, "Ben"),
    ]
    simulator.add_chat(GROUP, title="Reviews", members=people)
    simulator.add_chat(CHANNEL, "channel", title="News", members=people, username="the_news")
    simulator.add_chat(BASIC, "group", title="Old", members=people)


@asynccontextmanager
async def connected(telegram: TelegramSimulator, token: str | None = None) -> AsyncIterator[Bot]:
    client = Bot(token or telegram.token, base_url=telegram.api_url, base_file_url=telegram.file_url)
    async with client:
        yield client


@pytest.fixture
async def bot(telegram: TelegramSimulator) -> AsyncIterator[Bot]:
    async with connected(telegram) as client:
        yield client


def keyboard(*labels: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=label.lower()) for label in labels]]
    )


async def only_query(bot: Bot) -> CallbackQuery:
    (update,) = await bot.get_updates(timeout=5)
    assert update.callback_query is not None
    return update.callback_query


async def only_message(bot: Bot) -> Message:
    (update,) = await bot.get_updates(timeout=5)
    assert update.message is not None
    return update.message


def refused(reason: str, error: type[Exception] = BadRequest) -> pytest.RaisesExc[Exception]:
    """Case is left open: python-telegram-bot drops the prefix and makes the next letter a capital."""
    return pytest.RaisesExc(error, match=f"(?i){reason}")


async def test_a_card_is_posted_pressed_answered_and_edited(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(
        GROUP, "<b>Refund</b>", parse_mode="HTML", reply_markup=keyboard("Approve", "Reject")
    )
    card = telegram.messages(GROUP)[-1]
    press = telegram.tap(card, "Approve", user=ANA)
    query = await only_query(bot)
    assert (query.from_user.id, query.data) == (ANA, "approve")
    await query.answer("Thanks", show_alert=True)
    await query.edit_message_text("Approved by Ana")
    assert (press.answered, press.text, press.show_alert) == (True, "Thanks", True)
    now = telegram.messages(GROUP)[-1]
    assert (now.text, now.labels, now.entities, card.labels) == (
        "Approved by Ana",
        (),
        (),
        ("Approve", "Reject"),
    )
    assert now.edited is not None
    assert [call.method for call in telegram.calls] == [
        "getMe",
        "sendMessage",
        "getUpdates",
        "answerCallbackQuery",
        "editMessageText",
    ]


async def test_an_old_card_presses_its_old_button(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    old = telegram.messages(GROUP)[-1]
    await bot.edit_message_text("two", GROUP, old.id)
    telegram.tap(old, "Approve", user=BEN)
    assert (await only_query(bot)).data == "approve"
    with pytest.raises(LookupError, match="no button 'Approve'"):
        telegram.tap(telegram.messages(GROUP)[-1], "Approve", user=BEN)


async def test_a_press_without_an_answer_ends_unanswered(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    press = await telegram.press(telegram.messages(GROUP)[-1], "Approve", user=ANA, timeout=0.01)
    assert not press.answered


async def test_any_data_may_be_pressed_raw(telegram: TelegramSimulator, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "one")
    telegram.tap_raw("forged", user=ANA, message=telegram.message(GROUP, sent.message_id))
    assert (await only_query(bot)).data == "forged"


async def test_a_press_may_hide_its_message(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    card = telegram.messages(GROUP)[-1]
    telegram.tap(card, "Approve", user=ANA, shape=MessageShape.INACCESSIBLE)
    telegram.tap(card, "Approve", user=ANA, shape=MessageShape.ABSENT)
    telegram.delete(card)
    telegram.tap(card, "Approve", user=ANA)
    queries = [update.callback_query for update in await bot.get_updates(timeout=5)]
    messages = [query.message for query in queries if query is not None]
    # python-telegram-bot makes a Message even of an inaccessible one
    assert [message and message.is_accessible for message in messages] == [False, None, False]


async def test_a_query_takes_one_answer_within_its_window() -> None:
    now = 1000.0
    async with TelegramSimulator(now=lambda: now, answer_window=15) as telegram:
        populate(telegram)
        async with connected(telegram) as bot:
            await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
            card = telegram.messages(GROUP)[-1]
            first, second = (telegram.tap(card, "Approve", user=ANA) for _ in range(2))
            dead = telegram.tap(card, "Approve", user=ANA, too_old=True)
            await bot.answer_callback_query(first.query_id)
            now += 16
            for query_id in (first.query_id, second.query_id, dead.query_id, "1"):
                with refused("query is too old and response timeout expired or query ID is invalid"):
                    await bot.answer_callback_query(query_id)
            assert [answer.query_id for answer in telegram.answers] == [first.query_id]


async def test_a_forced_reply_is_a_dialog_between_bot_and_person(
    telegram: TelegramSimulator, bot: Bot
) -> None:
    prompt = await bot.send_message(
        GROUP,
        "@ana_ruiz why?",
        reply_markup=ForceReply(selective=True, input_field_placeholder="Reason"),
    )
    assert prompt.reply_markup is None
    assert telegram.snapshot()["prompts"] == [
        {"chat": GROUP, "message": prompt.message_id, "user": ANA, "placeholder": "Reason"}
    ]
    await telegram.say(GROUP, "too dear", user=ANA, reply_to=telegram.message(GROUP, prompt.message_id))
    reply = await only_message(bot)
    assert (reply.text, reply.from_user and reply.from_user.id) == ("too dear", ANA)
    assert reply.reply_to_message is not None
    assert reply.reply_to_message.message_id == prompt.message_id
    assert telegram.snapshot()["prompts"] == []
    with refused("message can't be edited"):
        await bot.edit_message_text("thanks", GROUP, prompt.message_id)
    await bot.delete_message(GROUP, prompt.message_id)
    assert [message.text for message in telegram.messages(GROUP)] == ["too dear"]


async def test_a_channel_takes_no_forced_reply(bot: Bot) -> None:
    with refused("inline keyboard expected"):
        await bot.send_message(CHANNEL, "why?", reply_markup=ForceReply())


async def test_channel_posts_have_no_author_but_presses_have_one(
    telegram: TelegramSimulator, bot: Bot
) -> None:
    sent = await bot.send_message("@the_news", "one", reply_markup=keyboard("Approve"))
    assert sent.from_user is None
    await telegram.say(CHANNEL, "news", user=BEN)
    telegram.tap(telegram.message(CHANNEL, sent.message_id), "Approve", user=BEN)
    post, press = await bot.get_updates(timeout=5)
    assert post.channel_post is not None
    assert post.channel_post.from_user is None
    assert press.callback_query is not None
    assert press.callback_query.from_user.id == BEN


async def test_a_reply_names_its_message_or_is_refused(telegram: TelegramSimulator, bot: Bot) -> None:
    first = await bot.send_message(GROUP, "one")
    second = await bot.send_message(GROUP, "two", reply_parameters=ReplyParameters(first.message_id))
    assert second.reply_to_message is not None
    assert telegram.messages(GROUP)[-1].reply_to == first.message_id
    with refused("message to be replied not found"):
        await bot.send_message(GROUP, "three", reply_parameters=ReplyParameters(99))
    lenient = ReplyParameters(99, allow_sending_without_reply=True)
    assert (await bot.send_message(GROUP, "three", reply_parameters=lenient)).reply_to_message is None


async def test_topics_exist_in_forums_only(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.add_chat(-1003, title="Forum", members=[ANA], forum=True, bot="administrator")
    topic = await bot.create_forum_topic(-1003, "Refunds")
    sent = await bot.send_message(-1003, "one", message_thread_id=topic.message_thread_id)
    assert (sent.message_thread_id, sent.is_topic_message) == (topic.message_thread_id, True)
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.forum_topic_created is not None
    reply = await telegram.say(-1003, "two", user=ANA, reply_to=sent.message_id)
    assert reply.thread == topic.message_thread_id
    with refused("message thread not found"):
        await bot.send_message(GROUP, "one", message_thread_id=7)
    with refused("the chat is not a forum"):
        await bot.create_forum_topic(GROUP, "Refunds")


async def test_a_document_can_be_sent_and_fetched(telegram: TelegramSimulator, bot: Bot) -> None:
    sent = await bot.send_document(
        GROUP, InputFile(b"all of it", "draft.txt"), caption="<i>in full</i>", parse_mode="HTML"
    )
    assert sent.document is not None
    assert (sent.document.file_name, sent.caption) == ("draft.txt", "in full")
    file = await bot.get_file(sent.document.file_id)
    assert bytes(await file.download_as_bytearray()) == b"all of it"
    await bot.edit_message_caption(GROUP, sent.message_id, caption="briefly")
    assert telegram.messages(GROUP)[-1].text == "briefly"
    again = await bot.send_document(GROUP, sent.document.file_id)
    assert again.document == sent.document
    with refused("there is no text in the message to edit"):
        await bot.edit_message_text("x", GROUP, sent.message_id)
    with refused("wrong file identifier"):
        await bot.send_document(GROUP, "nonsense")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 4097, "message is too long"),
        ("😀" * 2049, "message is too long"),
        ("  \n", "message text is empty"),
    ],
)
async def test_a_text_has_bounds(bot: Bot, text: str, reason: str) -> None:
    with refused(reason):
        await bot.send_message(GROUP, text)


async def test_a_text_is_measured_after_its_entities_are_read(bot: Bot) -> None:
    sent = await bot.send_message(GROUP, f"<b>{'&amp;' * 4096}</b>", parse_mode="HTML")
    assert sent.text == "&" * 4096
    with refused("can't parse entities: unsupported start tag"):
        await bot.send_message(GROUP, "<x>", parse_mode="HTML")


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        ({"text": "x", "callback_data": "é" * 33}, "button_data_invalid"),
        ({"text": "x", "callback_data": ""}, "button_data_invalid"),
        ({"text": "x"}, "text buttons are unallowed"),
        ({"text": "", "callback_data": "x"}, "button text must be non-empty"),
        ({"callback_data": "x"}, "can't find field"),
        ({"text": "x", "url": "http://localhost:8080/t/1"}, "button URL .* is invalid: Wrong HTTP URL"),
        ({"text": "x", "callback_data": "x", "style": "green"}, "invalid button style"),
        ("x", "must be an Object"),
    ],
)
async def test_a_wrong_button_refuses_the_whole_message(
    telegram: TelegramSimulator, bot: Bot, button: object, reason: str
) -> None:
    with refused(reason):
        await bot.send_message(GROUP, "x", api_kwargs={"reply_markup": {"inline_keyboard": [[button]]}})
    assert telegram.messages(GROUP) == []


async def test_data_of_64_bytes_and_addresses_with_a_dot_are_fine(
    telegram: TelegramSimulator, bot: Bot
) -> None:
    buttons = [
        InlineKeyboardButton("Approve", callback_data="é" * 32, style="success"),
        InlineKeyboardButton("Open", url="http://127.0.0.1:8080/tasks/1"),
    ]
    sent = await bot.send_message(GROUP, "x", reply_markup=InlineKeyboardMarkup([buttons]))
    assert sent.reply_markup is not None
    assert telegram.messages(GROUP)[-1].button("Open")["url"] == "http://127.0.0.1:8080/tasks/1"
    with pytest.raises(LookupError, match="the bot is not told"):
        telegram.tap(telegram.messages(GROUP)[-1], "Open", user=ANA)


@pytest.mark.parametrize("rows", [[9], [8] * 13])
async def test_a_keyboard_has_bounds(bot: Bot, rows: list[int]) -> None:
    buttons = [[InlineKeyboardButton("x", callback_data="x")] * width for width in rows]
    with refused("reply markup is too long"):
        await bot.send_message(GROUP, "x", reply_markup=InlineKeyboardMarkup(buttons))


async def test_edits_are_refused_for_telegrams_reasons(telegram: TelegramSimulator, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "<b>one</b>", parse_mode="HTML", reply_markup=keyboard("Approve"))
    theirs = await telegram.say(GROUP, "mine", user=ANA)
    with refused("message is not modified: specified new message content"):
        await bot.edit_message_text(
            "*one*", GROUP, sent.message_id, parse_mode="MarkdownV2", reply_markup=keyboard("Approve")
        )
    await bot.edit_message_reply_markup(GROUP, sent.message_id)
    with refused("message is not modified"):
        await bot.edit_message_reply_markup(GROUP, sent.message_id)
    assert telegram.messages(GROUP)[0].entities
    with refused("message can't be edited"):
        await bot.edit_message_text("x", GROUP, theirs.id)
    with refused("inline keyboard expected"):
        await bot.edit_message_text(
            "x", GROUP, sent.message_id, api_kwargs={"reply_markup": {"force_reply": True}}
        )
    await bot.delete_message(GROUP, sent.message_id)
    with refused("message to edit not found"):
        await bot.edit_message_text("x", GROUP, sent.message_id)
    with refused("message to delete not found"):
        await bot.delete_message(GROUP, sent.message_id)


async def test_a_message_can_be_deleted_for_two_days_only() -> None:
    now = 1000.0
    async with TelegramSimulator(now=lambda: now) as telegram:
        populate(telegram)
        async with connected(telegram) as bot:
            sent = await bot.send_message(GROUP, "one")
            now += 48 * 3600 + 1
            with refused("message can't be deleted"):
                await bot.delete_message(GROUP, sent.message_id)
            assert (await bot.edit_message_text("two", GROUP, sent.message_id)).edit_date is not None  # type: ignore[union-attr]  # not inline


async def test_an_answer_has_at_most_200_characters(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    press = telegram.tap(telegram.messages(GROUP)[-1], "Approve", user=ANA)
    with refused("message_too_long"):
        await bot.answer_callback_query(press.query_id, "x" * 201)
    await bot.answer_callback_query(press.query_id, "x" * 200)
    assert press.answered


async def test_commands_are_checked_and_kept(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.set_my_commands([BotCommand("pending", "What waits for me")])
    assert telegram.snapshot()["commands"] == [{"command": "pending", "description": "What waits for me"}]
    with refused("bot_command_invalid"):
        await bot.set_my_commands([("Pending", "x")])
    with refused("bot_commands_too_much"):
        await bot.set_my_commands([(f"c{number}", "x") for number in range(101)])


async def test_the_bot_sees_who_is_in_a_chat(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.add_chat(-1004, title="Team", members=[BEN], administrators=[ANA], bot="administrator")
    assert (await bot.get_chat_member(-1004, ANA)).status == "administrator"
    assert (await bot.get_chat_member(-1004, BEN)).status == "member"
    assert (await bot.get_chat_member(GROUP, bot.id)).status == "member"
    assert {one.user.id for one in await bot.get_chat_administrators(-1004)} == {ANA, bot.id}
    assert (await bot.get_chat(-1004)).title == "Team"
    with refused("invalid user_id specified"):
        await bot.get_chat_member(GROUP, 999)
    with refused("chat not found"):
        await bot.get_chat(-1)


async def test_pins_and_reactions_are_seen(telegram: TelegramSimulator, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "one")
    await bot.set_message_reaction(GROUP, sent.message_id, "👍")
    assert telegram.messages(GROUP)[-1].reactions == ("👍",)
    with refused("not enough rights to manage pinned messages"):
        await bot.pin_chat_message(GROUP, sent.message_id)
    telegram.let_bot_in(GROUP, "administrator")
    await bot.pin_chat_message(GROUP, sent.message_id)
    assert telegram.chat(GROUP).pinned == [sent.message_id]
    await bot.send_chat_action(GROUP, "typing")
    with refused("wrong parameter action"):
        await bot.send_chat_action(GROUP, "dancing")


async def test_a_bot_may_not_write_where_people_do_not_want_it(telegram: TelegramSimulator, bot: Bot) -> None:
    with refused("bot can't initiate conversation with a user", Forbidden):
        await bot.send_message(BEN, "hello")
    await telegram.start(BEN)
    await bot.send_message(BEN, "hello")
    telegram.block_bot(BEN)
    with refused("bot was blocked by the user", Forbidden):
        await bot.send_message(BEN, "hello")
    telegram.deactivate(BEN)
    with refused("user is deactivated", Forbidden):
        await bot.send_message(BEN, "hello")
    telegram.kick_bot(GROUP)
    with refused("bot was kicked from the supergroup chat", Forbidden):
        await bot.send_message(GROUP, "hello")
    telegram.let_bot_in(GROUP, "restricted")
    with refused("not enough rights to send text messages to the chat"):
        await bot.send_message(GROUP, "hello")
    await bot.leave_chat(CHANNEL)
    with refused("bot is not a member of the channel chat", Forbidden):
        await bot.send_message(CHANNEL, "hello")
    members = [update.my_chat_member for update in await bot.get_updates() if update.my_chat_member]
    assert [(one.chat.id, one.new_chat_member.status) for one in members] == [
        (BEN, "kicked"),
        (GROUP, "kicked"),
        (GROUP, "restricted"),
    ]


async def test_a_group_that_became_a_supergroup_names_its_new_id(
    telegram: TelegramSimulator, bot: Bot
) -> None:
    await bot.send_message(BASIC, "one")
    new = telegram.migrate(BASIC)
    with pytest.raises(ChatMigrated) as raised:
        await bot.send_message(BASIC, "two")
    assert raised.value.new_chat_id == new
    await bot.send_message(new, "two")
    told = [update.message for update in await bot.get_updates() if update.message]
    assert [(one.migrate_to_chat_id, one.migrate_from_chat_id) for one in told] == [
        (new, None),
        (None, BASIC),
    ]


async def test_groups_are_private_to_people_unless_the_bot_is_meant(
    telegram: TelegramSimulator, bot: Bot
) -> None:
    sent = await bot.send_message(GROUP, "one")
    for text in ("chatter", "/pending", "/pending@other_bot", f"hey @{telegram.bot.username}"):
        await telegram.say(GROUP, text, user=ANA)
    await telegram.say(GROUP, "reply", user=ANA, reply_to=sent.message_id)
    await telegram.say(ANA, "in private", user=ANA)
    heard = [update.message.text for update in await bot.get_updates() if update.message]
    assert heard == ["/pending", f"hey @{telegram.bot.username}", "reply", "in private"]


async def test_a_bot_that_administers_a_group_hears_everything(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.add_chat(-1005, title="Open", members=[ANA], bot="administrator")
    spoken = await telegram.say(-1005, "chatter", user=ANA)
    telegram.edit(spoken, "loud chatter")
    first, second = await bot.get_updates()
    assert (first.message and first.message.text) == "chatter"
    assert (second.edited_message and second.edited_message.text) == "loud chatter"


async def test_only_those_who_are_there_can_act(telegram: TelegramSimulator, bot: Bot) -> None:
    await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    stranger = telegram.add_user(66, "Stranger")
    with pytest.raises(ValueError, match="is not in the chat"):
        telegram.tap(telegram.messages(GROUP)[-1], "Approve", user=stranger)
    telegram.join(GROUP, stranger)
    telegram.tap(telegram.messages(GROUP)[-1], "Approve", user=stranger)
    assert (await only_query(bot)).from_user.id == 66


async def test_rate_limits_are_enforced_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # without it, RetryAfter warns when it is made
    now = 1000.0
    async with TelegramSimulator(now=lambda: now, enforce_rate_limits=True) as telegram:
        populate(telegram)
        async with connected(telegram) as bot:
            for number in range(3):
                await bot.send_message(GROUP, str(number))
            with refused("retry in 0:00:01", RetryAfter):
                await bot.send_message(GROUP, "a burst")
            for number in range(3, 20):
                now += 1
                await bot.send_message(GROUP, str(number))
            now += 1
            with refused("retry in 0:00:42", RetryAfter):
                await bot.send_message(GROUP, "the twenty-first in a minute")
            await bot.send_message(ANA, "elsewhere")
            for user in range(100, 129):
                telegram.add_user(user, "Somebody", started=True)
                await bot.send_message(user, "x")
            with refused("retry in 0:00:01", RetryAfter):
                await bot.send_message(ANA, "the thirty-first in a second")


async def test_a_wrong_token_is_refused(telegram: TelegramSimulator) -> None:
    for token in ("123:not-the-token", "nonsense"):
        with pytest.raises(InvalidToken):
            async with connected(telegram, token):
                pytest.fail("it was let in")
    assert [(call.status, call.answer["description"]) for call in telegram.calls] == [
        (401, "Unauthorized"),
        (404, "Not Found"),
    ]


async def test_an_unknown_method_is_not_found(telegram: TelegramSimulator) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{telegram.api_url}{telegram.token}/getMoney") as answer,
    ):
        assert answer.status == 404
        assert await answer.json() == {
            "ok": False,
            "error_code": 404,
            "description": "Not Found: method not found",
        }


async def test_a_call_may_come_in_any_form(telegram: TelegramSimulator) -> None:
    markup = {"inline_keyboard": [[{"text": "Approve", "callback_data": "a"}]]}
    fields = {"chat_id": str(GROUP), "text": "x", "reply_markup": json.dumps(markup)}
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    url = f"{telegram.api_url}{telegram.token}/SENDmessage"
    async with aiohttp.ClientSession() as client:
        answers = [
            await client.get(url, params=fields),
            await client.post(url, data=fields),
            await client.post(url, data=form),
            await client.post(url, json={"chat_id": GROUP, "text": "x", "reply_markup": markup}),
        ]
        assert [answer.status for answer in answers] == [200] * 4
        assert all("simulator" in answer.headers["Server"] for answer in answers)
        broken = await client.post(url, data=b"{", headers={"Content-Type": "application/json"})
        assert broken.status == 400
        markup_broken = await client.post(url, data=fields | {"reply_markup": "{"})
        assert (await markup_broken.json())[
            "description"
        ] == "Bad Request: can't parse reply markup JSON object"
    assert [message.labels for message in telegram.messages(GROUP)] == [("Approve",)] * 4
    assert all(call.params["chat_id"] == GROUP for call in telegram.calls_of("sendMessage")[:4])


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("sendMessage", {"chat_id": [1], "text": "x"}, "invalid chat_id specified"),
        ("sendMessage", {"text": "x"}, "chat_id is empty"),
        ("sendMessage", {"chat_id": GROUP, "text": "x", "entities": [1]}, "can't parse entities JSON object"),
        ("sendMessage", {"chat_id": GROUP, "text": "x", "reply_markup": []}, "text"),
        (
            "sendMessage",
            {"chat_id": GROUP, "text": "x", "reply_parameters": 1},
            "can't parse reply parameters",
        ),
        ("setMyCommands", {"commands": "{}"}, "can't parse commands JSON object"),
        ("setMessageReaction", {"chat_id": GROUP, "message_id": 1, "reaction": [1]}, "can't parse reaction"),
        ("editMessageText", {"chat_id": GROUP, "text": "x"}, "message identifier is not specified"),
        ("answerCallbackQuery", {}, "query ID is invalid"),
        ("getFile", {}, "invalid file_id"),
        ("sendDocument", {"chat_id": GROUP}, "there is no document in the request"),
    ],
)
async def test_nonsense_is_refused_with_a_sentence(
    telegram: TelegramSimulator, method: str, params: dict[str, object], reason: str
) -> None:
    url = f"{telegram.api_url}{telegram.token}/{method}"
    async with aiohttp.ClientSession() as client, client.post(url, json=params) as answer:
        body = await answer.json()
    assert (answer.status, body["ok"]) == (400, False) if reason != "text" else (200, True)
    assert reason in str(body)


async def test_the_picture_is_json_and_every_change_is_told(telegram: TelegramSimulator, bot: Bot) -> None:
    versions = aiter(telegram.changes())
    first = await anext(versions)
    sent = await bot.send_message(GROUP, "one", reply_markup=keyboard("Approve"))
    assert await anext(versions) > first
    press = telegram.tap(telegram.message(GROUP, sent.message_id), "Approve", user=ANA)
    await bot.answer_callback_query(press.query_id, "Thanks")
    picture = json.loads(json.dumps(telegram.snapshot()))
    assert picture["simulated"] is True
    group = next(chat for chat in picture["chats"] if chat["id"] == GROUP)
    assert group["messages"][0]["keyboard"] == [[{"text": "Approve", "callback_data": "approve"}]]
    assert (picture["answers"][0]["user"], picture["answers"][0]["text"]) == (ANA, "Thanks")


async def test_the_changes_end_with_the_simulator() -> None:
    async with TelegramSimulator() as telegram:
        seen = asyncio.create_task(_count(telegram))
        await telegram.until(lambda: telegram.user(telegram.add_user(ANA, "Ana").id))
    assert await asyncio.wait_for(seen, 1) >= 0


async def _count(telegram: TelegramSimulator) -> int:
    return len([version async for version in telegram.changes()])


async def test_waiting_in_vain_names_what_the_bot_did_last(telegram: TelegramSimulator, bot: Bot) -> None:
    with pytest.raises(TimeoutError, match="getMe 200"):
        await telegram.until(lambda: telegram.messages(GROUP)[0], timeout=0.01)


@pytest.mark.parametrize("host", ["192.0.2.1", "::"])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        async with TelegramSimulator(host=host):
            pytest.fail("it listens")
