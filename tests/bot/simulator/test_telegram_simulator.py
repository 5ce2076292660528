"""The simulated Telegram, driven by the real python-telegram-bot: messages, presses, dialogs, chats."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from telegram import (
    Bot,
    CallbackQuery,
    ForceReply,
    InputFile,
    Message,
    ReplyParameters,
)
from telegram.error import BadRequest

from bot.simulator.telegram import MessageShape, TelegramSimulator
from tests.bot.simulator import telegram_group
from tests.bot.simulator.telegram_group import ANA, BEN, CHANNEL, GROUP, connected, keyboard, populate
from tests.world import PATIENCE

telegram, bot = telegram_group.telegram, telegram_group.bot


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


async def test_the_bot_sees_who_is_in_a_chat(telegram: TelegramSimulator, bot: Bot) -> None:
    telegram.add_chat(-1004, title="Team", members=[BEN], administrators=[ANA], bot="administrator")
    assert (await bot.get_chat_member(-1004, ANA)).status == "administrator"
    assert (await bot.get_chat_member(-1004, BEN)).status == "member"
    assert (await bot.get_chat_member(GROUP, bot.id)).status == "member"
    assert {one.user.id for one in await bot.get_chat_administrators(-1004)} == {ANA, bot.id}
    assert (await bot.get_chat(-1004)).title == "Team"
    with refused("user not found"):
        await bot.get_chat_member(GROUP, 999)
    with refused("invalid user_id specified"):
        await bot.get_chat_member(GROUP, 0)
    with refused("chat not found"):
        await bot.get_chat(-1)


async def test_the_bot_sees_how_people_stand_in_a_chat(telegram: TelegramSimulator, bot: Bot) -> None:
    async def seen(user: int = BEN) -> tuple[str, bool | None]:
        member = await bot.get_chat_member(GROUP, user)
        return member.status, getattr(member, "is_member", None)

    telegram.chat(GROUP).owner = ANA
    assert await seen(ANA) == ("creator", None)
    telegram.chat(GROUP).restricted.add(BEN)
    assert await seen() == ("restricted", True)
    telegram.leave(GROUP, BEN)
    assert await seen() == ("restricted", False)
    telegram.chat(GROUP).restricted.remove(BEN)
    assert await seen() == ("left", None)
    telegram.leave(GROUP, BEN, banned=True)
    assert await seen() == ("kicked", None)
    telegram.join(GROUP, BEN)
    assert await seen() == ("member", None)


async def test_only_its_administrators_see_who_is_in_a_channel(telegram: TelegramSimulator, bot: Bot) -> None:
    assert (await bot.get_chat_member(CHANNEL, BEN)).status == "member"
    telegram.let_bot_in(CHANNEL, "member")
    with refused("member list is inaccessible"):
        await bot.get_chat_member(CHANNEL, BEN)


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
    assert await asyncio.wait_for(seen, PATIENCE) >= 0


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
