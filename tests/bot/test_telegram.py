"""Real python-telegram-bot against the simulated Telegram, by polling and by webhook, on a real core."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bot.simulator.faults import Fault
from bot.simulator.telegram import MessageShape
from bot.telegram.updates import PAGE
from core.errors import RateLimited, SettingsError
from core.model import ChannelName, ChatUpdate, DeliveryState, Outcome, Status, TaskFilter, Verdict
from tests.bot import telegram_fixtures
from tests.bot.house import DOWN, decided, decisions
from tests.bot.telegram_house import (
    ANA_ID,
    BEN_ID,
    EVE_ID,
    GROUP,
    SAM_ID,
    SECRET,
    TelegramHouse,
    named,
    simulated,
    telegram_house,
)
from tests.bot.telegram_updates import none_left, postponed
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.store.database import Database
    from tests.world import StoppedClock


there, polling, by_webhook = telegram_fixtures.there, telegram_fixtures.polling, telegram_fixtures.by_webhook


async def test_a_card_is_posted_with_both_buttons(there: TelegramHouse) -> None:
    task = await there.house.submit("please refund")
    card = await there.card()
    assert card.labels == ("Approve", "Reject…", "Edit…", "Ask…", "I'm looking")
    assert f"/tasks/{task.id}" in card.text
    assert "attempt 1 · submitted by Sam Lee" in card.text


async def test_approve_decides_before_it_is_answered(there: TelegramHouse) -> None:
    task = await there.house.submit()
    press = await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    assert (press.text, press.show_alert) == ("Approved.", False)
    (decision,) = await decisions(there, task)
    assert (decision.reviewer, decision.via, decision.verdict) == (ANA.id, "telegram", Verdict.APPROVE)
    assert (await there.card_with("Approved by Ana Ruiz")).labels == ()


async def test_reject_without_a_reason_takes_two_taps(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    asked = await there.telegram.press(card, "Reject…", user=ANA_ID)
    assert asked.text is None
    prompt = await there.card(2)
    assert prompt.reply_to == card.id
    assert prompt.text.startswith("@ana, why do you reject attempt 1 of hello world")
    assert prompt.labels == ("No reason", "Give a reason", "Cancel")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW
    press = await there.telegram.press(prompt, "No reason", user=ANA_ID)
    assert press.text == "Rejected."
    (decision,) = await decisions(there, task)
    assert (decision.verdict, decision.comment) == (Verdict.REJECT, None)
    await there.gone(prompt)


async def test_a_typed_reason_reaches_the_next_attempt(there: TelegramHouse) -> None:
    task = await there.house.submit()
    first = await there.card()
    await there.telegram.press(first, "Reject…", user=ANA_ID)
    await there.telegram.press(await there.card(2), "Give a reason", user=ANA_ID)
    question = await there.card_with("Reply to this message within 30 minutes, ")
    assert question.force_reply is not None
    assert question.force_reply["selective"] is True
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=question)
    decision = await decided(there, task)
    assert (decision.reviewer, decision.verdict, decision.comment) == (ANA.id, Verdict.REJECT, "too long")
    await there.gone(question)
    there.house.clock.advance(seconds=10)
    second = await there.card_with("attempt 2 ·")
    assert second.reply_to == first.id
    assert "Before this, rejected by Ana Ruiz" in second.text
    assert "too long" in second.text
    there.house.clock.advance(seconds=10)
    assert (await there.card_with("superseded by attempt 2")).id == first.id


async def test_a_plain_reply_to_the_first_question_is_the_reason(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    assert prompt.text.endswith("? Reply to this message with a reason, or press a button.")
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=prompt)
    decision = await decided(there, task)
    assert (decision.reviewer, decision.verdict, decision.comment) == (ANA.id, Verdict.REJECT, "too long")
    await there.gone(prompt)


async def test_somebody_without_a_username_is_asked_by_a_mention(there: TelegramHouse) -> None:
    await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=BEN_ID)
    prompt = await there.card(2)
    assert prompt.text.startswith("Ben, why do you reject")
    (mention,) = [entity for entity in prompt.entities if entity["type"] == "text_mention"]
    assert (mention["offset"], mention["length"], mention["user"]["id"]) == (0, 3, BEN_ID)


async def test_cancel_changes_nothing_and_takes_the_question_away(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    press = await there.telegram.press(prompt, "Cancel", user=ANA_ID)
    assert press.text == "Nothing was changed."
    await there.gone(prompt)
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("label", ["No reason", "Give a reason", "Cancel"])
async def test_only_the_person_asked_may_answer(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    press = await there.telegram.press(prompt, label, user=BEN_ID)
    assert (press.text, press.show_alert) == ("Only Ana Ruiz can answer this question.", True)
    assert await decisions(there, task) == ()
    assert not there.telegram.message(GROUP, prompt.id).deleted


async def test_somebody_elses_reply_is_not_the_reason(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    await there.telegram.press(await there.card(2), "Give a reason", user=ANA_ID)
    question = await there.card_with("Reply to this message within")
    await there.telegram.say(GROUP, "because I say so", user=EVE_ID, reply_to=question)
    told = await there.card(1, chat=EVE_ID)
    assert told.text == named(there, "Only Ana Ruiz can answer this question.", task)
    assert await decisions(there, task) == ()


async def test_a_question_expires_and_leaves_the_review_open(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    there.house.clock.advance(minutes=30, seconds=1)
    press = await there.telegram.press(prompt, "No reason", user=ANA_ID)
    assert press.text == "This question is over. Please press the button on the card again."
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_a_question_overtaken_by_somebody_else_says_who_was_first(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    await there.telegram.press(prompt, "Give a reason", user=ANA_ID)
    question = await there.card_with("Reply to this message within")
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")
    await there.telegram.say(GROUP, "no", user=ANA_ID, reply_to=question)
    await there.gone(question)
    assert (await there.card(chat=ANA_ID)).text.startswith("Already approved by Ben Okri at ")


async def test_whoever_cannot_be_told_in_private_is_told_in_a_reply(there: TelegramHouse) -> None:
    """Ben never started the bot, so it may not write to him."""
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=BEN_ID)
    await there.telegram.press(await there.card(2), "Give a reason", user=BEN_ID)
    question = await there.card_with("Reply to this message within")
    await there.house.service.decide((await there.house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    words = await there.telegram.say(GROUP, "no", user=BEN_ID, reply_to=question)
    assert (await there.card_with("Already approved by Ana Ruiz at ")).reply_to == words.id


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_a_stranger_is_told_in_private_and_changes_nothing(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit()
    press = await there.telegram.press(await there.card(), label, user=EVE_ID)
    assert press.show_alert
    assert press.text is not None
    assert "nobody is listed under yours, 66" in press.text
    assert press.text.endswith("Say “/whoami” for the lines that make you known.")
    assert len(there.ours()) == 1
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_submitters_do_not_decide_their_own(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit(flow="own")
    press = await there.telegram.press(await there.card(), label, user=SAM_ID)
    assert press.show_alert
    assert press.text is not None
    assert press.text.startswith("You submitted this task, so somebody else has to decide. ")
    assert press.text.endswith(" can decide."), "and who that is"
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_an_anonymous_admin_gets_a_hint(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    anonymous = there.telegram.add_user(1087968824, "Group", username="GroupAnonymousBot")
    there.telegram.join(GROUP, anonymous)
    press = await there.telegram.press(card, "Approve", user=anonymous)
    assert press.text is not None
    assert "anonymous admin" in press.text
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize("words", ["/pending", "/submit pay me", "/looking"])
async def test_an_anonymous_admin_who_types_gets_the_hint_too(there: TelegramHouse, words: str) -> None:
    await there.house.submit()
    card = await there.card()
    anonymous = there.telegram.add_user(1087968824, "Group", username="GroupAnonymousBot")
    there.telegram.join(GROUP, anonymous)
    said = await there.telegram.say(GROUP, words, user=anonymous, reply_to=card)
    told = await there.card_with("anonymous admin")
    assert told.reply_to == said.id
    assert len((await there.house.service.tasks(TaskFilter())).tasks) == 1


async def test_a_late_press_learns_who_was_first_and_when(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")
    press = await there.telegram.press(card, "Approve", user=ANA_ID)
    assert press.show_alert
    assert press.text is not None
    assert press.text.startswith("Already approved by Ben Okri at ")


async def test_an_old_attempts_button_decides_nothing(there: TelegramHouse) -> None:
    task = await there.house.submit()
    old = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await there.house.review(task, 2)
    press = await there.telegram.press(old, "Approve", user=ANA_ID)
    assert press.text == "This was attempt 1; attempt 2 has replaced it."
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_below_the_quorum_the_card_counts_and_keeps_its_buttons(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="two")
    card = await there.card()
    press = await there.telegram.press(card, "Approve", user=ANA_ID)
    assert press.text == "Recorded: 1 of 2 approvals."
    assert (await there.card_with("1 of 2 approvals")).labels == card.labels
    assert (await there.telegram.press(card, "Approve", user=ANA_ID)).show_alert
    assert (await there.telegram.press(card, "Approve", user=BEN_ID)).text == "Approved."
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


async def test_a_changed_button_is_refused(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    token = str(card.button("Approve")["callback_data"])
    for data in (token[:-1] + "!", "a", "", "\ud800", token.upper(), token.replace(".a", ".c"), "x" * 64):
        press = await there.telegram.press_raw(data, user=ANA_ID, message=card)
        assert press.text is not None
        assert "cannot be read" in press.text
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_an_answer_token_on_a_card_answers_nothing(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    token = str((await there.card(2)).button("No reason")["callback_data"])
    press = await there.telegram.press_raw(token, user=ANA_ID, message=card)
    assert press.text == "This question is over. Please press the button on the card again."
    assert not there.telegram.message(GROUP, card.id).deleted
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("shape", MessageShape)
async def test_a_press_counts_whatever_telegram_tells_of_its_message(
    there: TelegramHouse, shape: MessageShape
) -> None:
    task = await there.house.submit()
    press = await there.telegram.press(await there.card(), "Approve", user=ANA_ID, shape=shape)
    assert press.text == "Approved."
    assert (await decided(there, task)).reviewer == ANA.id


async def test_a_dead_query_still_decides(there: TelegramHouse) -> None:
    task = await there.house.submit()
    there.telegram.tap(await there.card(), "Approve", user=ANA_ID, too_old=True)
    assert (await decided(there, task)).reviewer == ANA.id


async def test_a_repeated_update_is_handled_once(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="two")
    there.telegram.updates.duplicate = 1
    await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    there.telegram.updates.repeat()
    await there.telegram.press(await there.card(), "Approve", user=BEN_ID)
    assert len(await decisions(there, task)) == 2
    assert len(there.telegram.answers) == 2


async def test_presses_at_once_make_one_decision(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    presses = await asyncio.gather(
        *(there.telegram.press(card, "Approve", user=user) for user in (ANA_ID, BEN_ID) for _ in range(10))
    )
    assert [press.text for press in presses].count("Approved.") == 1
    assert len(await decisions(there, task)) == 1


async def test_a_chat_that_fails_after_a_decision_does_not_undo_it(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    for method in ("answerCallbackQuery", "editMessageText"):
        there.telegram.faults.add(Fault(method=method, status=502, times=None))
    there.telegram.tap(card, "Approve", user=ANA_ID)
    assert (await decided(there, task)).reviewer == ANA.id


async def test_a_question_that_cannot_be_sent_is_told(there: TelegramHouse) -> None:
    await there.house.submit()
    card = await there.card()
    there.telegram.faults.add(
        Fault(method="sendMessage", status=403, body={"ok": False, "description": "Forbidden"})
    )
    press = await there.telegram.press(card, "Reject…", user=ANA_ID)
    assert press.text is not None
    assert press.text.startswith("Nothing was changed: Telegram could not ask you.")


async def test_in_a_channel_no_typed_reason_is_offered_to_whom_we_may_not_write(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        channel = -1009
        telegram.add_chat(channel, "channel", "News", [BEN_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=channel
        ) as there:
            task = await there.house.submit()
            await telegram.press(await there.card(chat=channel), "Reject…", user=BEN_ID)
            prompt = await there.card(2, chat=channel)
            assert prompt.labels == ("No reason", "Cancel")
            await telegram.press(prompt, "No reason", user=BEN_ID)
            assert (await decided(there, task)).verdict is Verdict.REJECT


async def test_a_press_before_a_stop_counts_after_the_start(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task = await there.house.submit()
            card = await there.card()
        telegram.tap(card, "Approve", user=ANA_ID)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as again:
            assert (await decided(again, task)).reviewer == ANA.id


async def test_an_update_stored_and_not_handled_comes_first(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task = await there.house.submit()
            card = await there.card()
            kept = press_update(card.button("Approve")["callback_data"], update_id=1)
            await there.house.store.keep_update(stored(kept))
            await there.house.store.keep_update(stored({"update_id": 2, "callback_query": 5}))
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as again:
            assert (await decided(again, task)).reviewer == ANA.id
            assert await eventually(lambda: none_left(again))


async def test_malformed_updates_do_not_come_for_ever(polling: TelegramHouse) -> None:
    task = await polling.house.submit()
    card = await polling.card()
    junk: list[Any] = [
        5,
        "x",
        None,
        [],
        {},
        {"update_id": "7"},
        {"update_id": 8, "callback_query": {"from": 5}},
    ]
    polling.telegram.faults.add(Fault(method="getUpdates", status=200, body={"ok": True, "result": junk}))
    polling.telegram.tap(card, "Approve", user=ANA_ID)
    assert (await decided(polling, task)).reviewer == ANA.id
    # Polls that bring nothing are not among the calls, so something has to come after the junk.
    await polling.telegram.press(card, "Approve", user=BEN_ID)
    assert await polling.telegram.until(lambda: "9" in offsets(polling))


def offsets(there: TelegramHouse) -> set[str]:
    """Up to which updates we said to have them, poll by poll."""
    return {str(call.params.get("offset")) for call in there.telegram.calls_of("getUpdates")}


async def test_polling_outlives_whatever_telegram_answers(polling: TelegramHouse) -> None:
    task = await polling.house.submit()
    card = await polling.card()
    for status in (401, 404, 409, 500, 502):
        polling.telegram.faults.add(Fault(method="getUpdates", status=status, body={"ok": False}, times=1))
    polling.telegram.faults.add(Fault(method="getUpdates", cut=True))
    polling.telegram.tap(card, "Approve", user=ANA_ID)
    assert (await decided(polling, task)).reviewer == ANA.id


async def test_a_press_while_the_database_is_down_is_kept_and_counts_later(there: TelegramHouse) -> None:
    task = await there.house.submit()
    there.house.service.is_down = True
    press = await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    assert press.text is not None
    assert press.text.startswith("The database does not answer right now. Your press is kept")
    assert await decisions(there, task) == ()
    await eventually(lambda: postponed(there))
    there.house.service.is_down = False
    there.house.clock.advance(seconds=2)
    assert (await decided(there, task)).reviewer == ANA.id
    assert await eventually(lambda: none_left(there))


async def test_a_reason_typed_while_the_database_is_down_counts_later(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    await there.telegram.press(await there.card(2), "Give a reason", user=ANA_ID)
    question = await there.card_with("Reply to this message within")
    there.house.service.is_down = True
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=question)
    await eventually(lambda: postponed(there))
    there.house.service.is_down = False
    there.house.clock.advance(seconds=2)
    assert (await decided(there, task)).comment == "too long"


async def test_an_update_that_cannot_be_stored_is_not_confirmed(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.inbox.is_down = True
    there.telegram.tap(card, "Approve", user=ANA_ID)
    await there.telegram.until(lambda: there.telegram.updates.pending)
    there.house.inbox.is_down = False
    assert (await decided(there, task)).reviewer == ANA.id


@pytest.mark.parametrize("what", ["kicked", "muted", "no chat"])
async def test_a_chat_that_is_closed_to_us_is_given_up(polling: TelegramHouse, what: str) -> None:
    if what == "kicked":
        polling.telegram.kick_bot(GROUP)
    elif what == "muted":
        polling.telegram.let_bot_in(GROUP, "restricted")
    else:
        del polling.telegram.state.chats[GROUP]
    task = await polling.house.submit()
    given_up = await polling.house.delivery(task, lambda found: found.state is DeliveryState.GIVEN_UP)
    assert given_up.error is not None
    assert given_up.error.startswith("Telegram refused it (")
    assert (await polling.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize(("asked", "seconds"), [(7, 7), (-1, 1)])
async def test_a_pause_that_telegram_asks_for_is_kept(
    polling: TelegramHouse, asked: int, seconds: int
) -> None:
    wait = {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": asked}}
    polling.telegram.faults.add(Fault(method="sendMessage", status=429, body=wait))
    task = await polling.house.submit()
    due = polling.house.clock.now() + timedelta(seconds=seconds)
    await polling.house.delivery(task, lambda found: found.due_at == due)
    polling.house.clock.advance(seconds=seconds)
    await polling.card()


async def test_a_pause_of_one_chat_holds_up_no_other(sqlite_database: Database, clock: StoppedClock) -> None:
    wait = {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 60}}
    async with simulated() as telegram:
        telegram.add_chat(-7, "group", "Another", [ANA_ID])
        for method in ("sendMessage", "editMessageText"):
            telegram.faults.add(Fault(method=method, contains=str(GROUP), status=429, body=wait, times=1))
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, also=[-7]
        ) as there:
            task = await there.house.submit()
            await telegram.press(await there.card(chat=-7), "Approve", user=ANA_ID)
            assert (await decided(there, task)).reviewer == ANA.id
            await there.card_with("Approved by Ana Ruiz", chat=-7)
            assert there.ours(GROUP) == []
            clock.advance(seconds=60)
            assert (await there.card()).labels == ()


async def test_a_group_that_became_a_supergroup_is_followed(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(-5, "group", "Reviews", [ANA_ID])
        new = telegram.migrate(-5)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram, chat=-5) as there:
            task = await there.house.submit()
            await telegram.press(await there.card(chat=new), "Approve", user=ANA_ID)
            assert (await decided(there, task)).reviewer == ANA.id
            await there.card_with("Approved by Ana Ruiz", chat=new)


async def test_a_deleted_card_is_given_up_and_the_decision_stands(polling: TelegramHouse) -> None:
    task = await polling.house.submit()
    polling.telegram.delete(await polling.card())
    await polling.house.service.decide(
        (await polling.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web"
    )
    gone = await polling.house.delivery(task, lambda found: found.state is DeliveryState.GIVEN_UP)
    assert gone.error is not None
    assert "cannot be changed any more" in gone.error


async def test_a_token_never_reaches_a_log(
    polling: TelegramHouse, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for fault in (
        Fault(cut=True),
        Fault(status=500, body={"ok": False}),
        Fault(status=404, body={"ok": False}),
    ):
        for method in ("sendMessage", "editMessageText", "getUpdates", "answerCallbackQuery"):
            polling.telegram.faults.add(replace(fault, method=method))
    task = await polling.house.submit()
    await polling.house.delivery(task, lambda found: found.error)
    secret = polling.telegram.token.partition(":")[2]
    assert secret not in caplog.text
    assert secret not in capsys.readouterr().out


async def test_a_wrong_token_stops_the_start_without_being_shown(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        simulated(token="1000000001:another-token") as telegram,
        telegram_house(sqlite_database, clock, webhook=False, telegram=telegram, listening=False) as there,
    ):
        telegram.faults.add(
            Fault(method="getMe", status=401, body={"ok": False, "description": "Unauthorized"})
        )
        with pytest.raises(SettingsError, match=r"^TELEGRAM_BOT_TOKEN is refused by Telegram\.$"):
            async with there.channel.listening():
                pass


@pytest.mark.parametrize("is_reachable", [True, False])
async def test_listening_ends_at_once(
    sqlite_database: Database, clock: StoppedClock, *, is_reachable: bool
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, listening=False) as there:
        async with there.channel.listening():
            await there.telegram.until(lambda: there.telegram.calls_of("deleteWebhook"))
            if not is_reachable:
                there.telegram.faults.add(Fault(cut=True, times=None))
            started = time.monotonic()
        assert time.monotonic() - started < 2


async def test_a_telegram_that_is_away_at_the_start_is_listened_to_later(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, listening=False) as there:
        there.telegram.faults.add(Fault(method="getMe", status=502, body={"ok": False}))
        async with there.channel.listening():
            task = await there.house.submit()
            there.telegram.tap(await there.card(), "Approve", user=ANA_ID)
            assert (await decided(there, task)).reviewer == ANA.id


async def test_what_could_not_be_marked_as_handled_is_marked_later_and_not_answered_again(
    there: TelegramHouse, clock: StoppedClock
) -> None:
    inbox = there.house.inbox
    inbox.is_full = True
    await there.telegram.say(ANA_ID, "/whoami", user=ANA_ID)

    async def is_refused(times: int) -> bool:
        await there.house.store.check()
        return inbox.unmarked == times

    await eventually(lambda: is_refused(1))
    clock.advance(DOWN.retry_after)
    await eventually(lambda: is_refused(2))
    inbox.is_full = False
    clock.advance(DOWN.retry_after)
    await eventually(lambda: none_left(there))
    assert len(there.ours(ANA_ID)) == 1


async def test_what_the_last_run_left_is_read_in_pages(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, listening=False) as there:
        for number in range(PAGE + 1):
            await there.house.store.keep_update(stored(press_update("junk", update_id=number + 1)))
        there.telegram.faults.add(Fault(method="answerCallbackQuery", status=400, times=None))
        async with there.channel.listening():
            await eventually(lambda: none_left(there))
        assert there.house.inbox.pages == [PAGE, 1]


# -- what is not from Telegram


def press_update(token: object, *, update_id: int, user: object = ANA_ID) -> dict[str, Any]:
    sender = {"id": user, "is_bot": False, "first_name": "Ana"}
    return {
        "update_id": update_id,
        "callback_query": {"id": "1", "from": sender, "chat_instance": "1", "data": token},
    }


def stored(raw: dict[str, Any]) -> ChatUpdate:
    return ChatUpdate(
        channel=ChannelName("telegram"), id=str(raw["update_id"]), body=json.dumps(raw).encode()
    )


async def posted(there: TelegramHouse, body: Any, secret: str | None) -> tuple[int, str]:
    """What the webhook answers to these very bytes."""
    assert there.webhook_url is not None
    headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
    async with (
        aiohttp.ClientSession() as session,
        session.post(there.webhook_url, data=body, headers=headers) as response,
    ):
        return response.status, await response.text()


async def test_a_press_whose_bringer_leaves_while_it_is_stored_is_decided(by_webhook: TelegramHouse) -> None:
    task = await by_webhook.house.submit()
    token = (await by_webhook.card()).button("Approve")["callback_data"]
    body = json.dumps(press_update(token, update_id=1)).encode()
    inbox = by_webhook.house.inbox
    inbox.slow = asyncio.Event()
    leaving = asyncio.ensure_future(posted(by_webhook, body, SECRET))
    await eventually(lambda: kept(by_webhook))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (await posted(by_webhook, b"", SECRET))[0] == 400, "by now it has left"
    assert not await decisions(by_webhook, task)
    inbox.slow.set()
    assert (await decided(by_webhook, task)).reviewer == ANA.id
    assert await posted(by_webhook, body, SECRET) == (200, "")
    assert len(await decisions(by_webhook, task)) == 1


async def kept(there: TelegramHouse) -> bool:
    return bool(await there.house.store.unhandled_updates(ChannelName("telegram")))


async def test_what_cannot_be_stored_is_not_confirmed_to_telegram_which_brings_it_again(
    by_webhook: TelegramHouse,
) -> None:
    task = await by_webhook.house.submit()
    token = (await by_webhook.card()).button("Approve")["callback_data"]
    body = json.dumps(press_update(token, update_id=1)).encode()
    by_webhook.house.inbox.is_down = True
    assert await posted(by_webhook, body, SECRET) == (503, "")
    by_webhook.house.inbox.is_down = False
    assert not await decisions(by_webhook, task)
    assert (await posted(by_webhook, body, SECRET))[0] == 200
    assert (await decided(by_webhook, task)).reviewer == ANA.id


JUNK = [
    b"",
    b"\xff\xfe",
    b"\x00" * 100,
    b"{",
    b"[]",
    b"5",
    b"null",
    b'"x"',
    b"{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
]
ODD = [
    {"update_id": "7"},
    {"update_id": True},
    {"update_id": 2**70},
    {"update_id": 7},
    {"update_id": 7, "callback_query": 5},
    {"update_id": 7, "callback_query": {"id": 1, "from": {"id": "42"}}},
    {"update_id": 7, "callback_query": {"id": "1", "from": {"id": "42", "first_name": "Ana"}}},
    {"update_id": 7, "callback_query": {"id": "1", "from": {"id": 2**70}}},
    {"update_id": 7, "message": {"message_id": 1, "chat": {"id": 1, "type": 5}}},
    {"update_id": 7, "message": {"message_id": 1, "date": 2**60, "chat": {"id": 1, "type": "private"}}},
    {"update_id": 7, "poll": {"id": "x"}},
]


async def test_more_than_telegram_takes_in_a_second_closes_the_whole_channel(polling: TelegramHouse) -> None:
    task = await polling.house.submit()
    await polling.card()
    sent = await polling.house.delivery(task, lambda found: found.message is not None)
    assert sent.message is not None
    review, channel = await polling.house.review(task), polling.channel
    for chat in range(-29, 0):
        polling.telegram.add_chat(chat, "group", "Another", [ANA_ID])
        place = replace(sent.recipient, address=str(chat))
        await channel.post(replace(sent, recipient=place), review, thread=None)
    for call in (
        channel.post(sent, review, thread=None),
        channel.update(sent, review, message=sent.message),
    ):
        with pytest.raises(RateLimited) as refused:
            await call
        assert refused.value.whole_channel
        assert refused.value.retry_after == timedelta(seconds=1)
    assert len(polling.telegram.calls_of("sendMessage")) == 30
    polling.house.clock.advance(seconds=1)
    await channel.post(sent, review, thread=None)


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", SECRET[:-1], "ü", "x" * 5000])
async def test_who_does_not_know_the_secret_is_turned_away(
    by_webhook: TelegramHouse, secret: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    token = (await shown(by_webhook)).button("Approve")["callback_data"]
    good = json.dumps(press_update(token, update_id=1)).encode()
    for body in (*JUNK, good, b'{"update_id": 1, "x": "canary-7151"}'):
        assert await posted(by_webhook, body, secret) == (401, "")
    assert await none_left(by_webhook)
    assert "canary-7151" not in capsys.readouterr().out


@pytest.mark.parametrize("body", JUNK, ids=lambda body: repr(body[:20]))
async def test_junk_is_a_bad_request(by_webhook: TelegramHouse, body: bytes) -> None:
    assert (await posted(by_webhook, body, SECRET))[0] == 400


@pytest.mark.parametrize("update", ODD, ids=str)
async def test_an_odd_update_is_passed_over(by_webhook: TelegramHouse, update: dict[str, Any]) -> None:
    has_id = type(update["update_id"]) is int and update["update_id"] == 7
    assert (await posted(by_webhook, json.dumps(update).encode(), SECRET))[0] == (200 if has_id else 400)
    assert await none_left(by_webhook)


async def test_a_body_without_end_is_cut_short(by_webhook: TelegramHouse) -> None:
    assert (await posted(by_webhook, io.BytesIO(b"x" * (1024 * 1024 + 1)), SECRET))[0] == 413


async def test_a_press_is_answered_in_the_answer_to_the_webhook(by_webhook: TelegramHouse) -> None:
    token = (await shown(by_webhook)).button("Approve")["callback_data"]
    status, said = await posted(by_webhook, json.dumps(press_update(token, update_id=1)).encode(), SECRET)
    assert (status, json.loads(said)) == (
        200,
        {"method": "answerCallbackQuery", "callback_query_id": "1", "text": "Approved."},
    )
    assert by_webhook.telegram.calls_of("answerCallbackQuery") == []


async def test_what_was_answered_is_not_answered_again(by_webhook: TelegramHouse) -> None:
    token = (await shown(by_webhook)).button("Approve")["callback_data"]
    body = json.dumps(press_update(token, update_id=1)).encode()
    await posted(by_webhook, body, SECRET)
    assert await posted(by_webhook, body, SECRET) == (200, "")


async def test_the_user_id_must_be_a_number(by_webhook: TelegramHouse) -> None:
    """python-telegram-bot itself would take the string."""
    token = (await shown(by_webhook)).button("Approve")["callback_data"]
    update = press_update(token, update_id=1, user=str(ANA_ID))
    assert (await posted(by_webhook, json.dumps(update).encode(), SECRET))[0] == 200
    assert by_webhook.telegram.answers == []


async def test_the_webhook_is_set_with_its_secret(by_webhook: TelegramHouse) -> None:
    (call,) = by_webhook.telegram.calls_of("setWebhook")
    assert call.params["url"] == by_webhook.webhook_url
    assert call.params["secret_token"] == SECRET
    assert set(call.params["allowed_updates"]) == {"message", "callback_query"}


async def test_nobody_calls_where_we_poll(polling: TelegramHouse) -> None:
    assert polling.channel.routes() == []
    assert len(polling.telegram.calls_of("deleteWebhook")) == 1


async def shown(there: TelegramHouse) -> Message:
    """A card, for what is in its buttons."""
    await there.house.submit()
    return await there.card()
