"""The simulated Telegram, driven by the real python-telegram-bot: limits and refusals."""

from __future__ import annotations

import aiohttp
import pytest
from telegram import (
    Bot,
    BotCommand,
    BotCommandScope,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
)
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter

from bot.simulator.telegram import TelegramSimulator
from tests.bot.simulator import telegram_group
from tests.bot.simulator.telegram_group import ANA, BASIC, BEN, CHANNEL, GROUP, connected, keyboard, populate

telegram, bot = telegram_group.telegram, telegram_group.bot


def refused(reason: str, error: type[Exception] = BadRequest) -> pytest.RaisesExc[Exception]:
    """Case is left open: python-telegram-bot drops the prefix and makes the next letter a capital."""
    return pytest.RaisesExc(error, match=f"(?i){reason}")


async def test_a_channel_takes_no_forced_reply(bot: Bot) -> None:
    with refused("inline keyboard expected"):
        await bot.send_message(CHANNEL, "why?", reply_markup=ForceReply())


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
    with refused("can't parse botcommandscope"):
        await bot.set_my_commands([("pending", "x")], scope=BotCommandScope("everybody"))
    with refused("bot_commands_too_much"):
        await bot.set_my_commands([(f"c{number}", "x") for number in range(101)])


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
