"""Questions that nobody can answer any more lose their buttons and say why, wherever it was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from bot.simulator.faults import Fault
from bot.telegram.desk import OVER
from bot.telegram.prompt_sweep import EVERY, PAGE
from bot.telegram.prompts import MINUTES
from core.model import Dialog, MessageRef, Verdict
from tests.bot import telegram_fixtures
from tests.bot.house import decided, decisions
from tests.bot.telegram_edits import asked_for_text, prompt_of, proposed
from tests.bot.telegram_house import ANA_ID, GROUP, TelegramHouse, simulated, telegram_house
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.faults import Call
    from bot.simulator.telegram.chats import Message
    from core.model import Task
    from core.store.database import Database
    from tests.world import StoppedClock


there, polling = telegram_fixtures.there, telegram_fixtures.polling


async def asked_why(there: TelegramHouse) -> tuple[Task, Message]:
    task = await there.house.submit()
    card = await there.telegram.until(
        lambda: next((one for one in there.ours() if "Reject…" in one.labels), None)
    )
    assert card is not None
    await there.house.noted()
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    return task, await there.card_with("why do you reject")


async def decided_elsewhere(there: TelegramHouse, task: Task) -> None:
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")


async def swept(there: TelegramHouse, message: Message, *, until: str) -> Message:
    """The message as it stands once it says so."""

    async def says_so() -> bool:
        there.house.clock.advance(EVERY)
        await there.house.noted()
        return until in there.telegram.message(message.chat, message.id).text

    await eventually(says_so)
    return there.telegram.message(message.chat, message.id)


async def looked_over(there: TelegramHouse) -> None:
    """One more look is over: the next is to come."""
    clock = there.house.clock
    clock.advance(EVERY)

    async def is_over() -> bool:
        await there.house.noted()
        return clock.now() + EVERY in clock.alarms

    await eventually(is_over)


async def nothing_is_left(there: TelegramHouse) -> bool:
    there.house.clock.advance(EVERY)
    return not await there.house.store.ended_dialogs(there.channel.name, limit=9)


async def left_behind(there: TelegramHouse, task: Task, count: int, chat: int = GROUP) -> None:
    """Questions in a chat that ended before any that is asked from now on."""
    review = await there.house.review(task)
    for number in range(count):
        await there.house.store.open_dialog(
            Dialog(
                message=MessageRef(f"{chat}/{9000 + number}"),
                channel=there.channel.name,
                review=review.id,
                person=ANA.id,
                verdict=Verdict.REJECT,
                expires_at=there.house.clock.now(),
            )
        )


def edits_of(there: TelegramHouse, message: Message) -> list[Call]:
    return [
        call
        for call in there.telegram.calls_of("editMessageText")
        if str(call.params["message_id"]) == str(message.id)
    ]


async def test_a_question_why_ends_with_a_decision_elsewhere(there: TelegramHouse) -> None:
    task, prompt = await asked_why(there)
    assert prompt.labels == ("No reason", "Give a reason", "Cancel")
    await decided_elsewhere(there, task)
    over = await swept(there, prompt, until="This question is over. Already approved by Ben Okri at ")
    assert over.labels == ()


async def test_a_proposed_edit_ends_with_a_decision_elsewhere(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    await decided_elsewhere(there, task)
    over = await swept(there, shown, until="This question is over. Already approved by Ben Okri at ")
    assert over.labels == ()


async def test_a_question_ends_when_its_time_is_over_and_late_answers_are_still_told_so(
    polling: TelegramHouse,
) -> None:
    there = polling
    task, prompt = await asked_why(there)
    there.house.clock.advance(minutes=MINUTES)
    assert (await swept(there, prompt, until=OVER)).labels == ()
    late = await there.telegram.press(prompt, "No reason", user=ANA_ID)
    assert late.text == OVER
    await there.telegram.say(GROUP, "not like this", user=ANA_ID, reply_to=prompt)
    await there.telegram.until(lambda: OVER in there.telegram.messages(ANA_ID)[-1].text)
    assert await decisions(there, task) == ()


async def test_who_replies_after_a_decision_elsewhere_is_told_whose(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_why(there)
    await decided_elsewhere(there, task)
    await swept(there, prompt, until="This question is over. ")
    await there.telegram.say(GROUP, "not like this", user=ANA_ID, reply_to=prompt)
    told = await there.telegram.until(lambda: there.telegram.messages(ANA_ID)[-1])
    assert told.text.startswith("This question is over. Already approved by Ben Okri at ")


@pytest.mark.parametrize("label", ["Edit…", "Ask…", "Reject…"])
async def test_who_replies_too_late_after_a_decision_elsewhere_is_not_sent_to_a_button(
    polling: TelegramHouse, label: str
) -> None:
    """The card has none any more."""
    there = polling
    task = await there.house.submit()
    await there.telegram.press(await there.card(), label, user=ANA_ID)
    prompt = await there.card(2)
    await decided_elsewhere(there, task)
    there.house.clock.advance(minutes=MINUTES, seconds=1)
    await there.telegram.say(GROUP, "not like this", user=ANA_ID, reply_to=prompt)
    told = await there.telegram.until(lambda: there.telegram.messages(ANA_ID)[-1])
    assert told.text.startswith("This question is over. Already approved by Ben Okri at ")


async def test_who_presses_too_late_after_a_decision_elsewhere_is_not_sent_to_a_button(
    polling: TelegramHouse,
) -> None:
    there = polling
    task, prompt = await asked_why(there)
    await decided_elsewhere(there, task)
    there.house.clock.advance(minutes=MINUTES, seconds=1)
    late = await there.telegram.press(prompt, "No reason", user=ANA_ID)
    assert late.text is not None
    assert late.text.startswith("This question is over. Already approved by Ben Okri at ")


async def test_who_replies_to_a_question_that_lost_its_buttons_is_not_told_to_press_them(
    polling: TelegramHouse,
) -> None:
    there = polling
    task = await there.house.submit(flow="destructive")
    await there.telegram.press(await there.card(), "Approve…", user=ANA_ID)
    prompt = await there.card_with("do you approve attempt 1 of ")
    await decided_elsewhere(there, task)
    await swept(there, prompt, until="This question is over. Already approved by Ben Okri at ")
    await there.telegram.say(GROUP, "approve", user=ANA_ID, reply_to=prompt)
    told = await there.telegram.until(lambda: there.telegram.messages(ANA_ID)[-1])
    assert told.text.startswith("This question is over. Already approved by Ben Okri at ")


async def test_each_question_is_ended_once_and_an_open_one_stays(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_why(there)
    for _ in range(3):
        there.house.clock.advance(EVERY)
    await there.house.noted()
    assert there.telegram.message(GROUP, prompt.id).labels != ()
    await decided_elsewhere(there, task)
    await swept(there, prompt, until="This question is over. ")
    for _ in range(3):
        there.house.clock.advance(EVERY)
        await there.house.noted()
    assert len(edits_of(there, prompt)) == 1


async def test_a_request_for_words_has_no_buttons_and_is_left_as_it_is(polling: TelegramHouse) -> None:
    there = polling
    task = await asked_for_text(there)
    prompt = await prompt_of(there)
    await decided_elsewhere(there, task)
    await eventually(lambda: nothing_is_left(there))
    assert edits_of(there, prompt) == []


async def test_a_question_outlived_by_a_restart_ends_after_it(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task, prompt = await asked_why(there)
            await decided_elsewhere(there, task)
        clock.advance(days=2)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await there.house.store.forget_old()
            assert (await swept(there, prompt, until="Already approved by Ben Okri at ")).labels == ()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="editMessageText", contains="This question is over", status=502, times=2),
        Fault(method="editMessageText", contains="This question is over", cut=True),
    ],
)
async def test_where_telegram_is_away_it_ends_later(polling: TelegramHouse, fault: Fault) -> None:
    there = polling
    task, prompt = await asked_why(there)
    there.telegram.faults.add(fault)
    await decided_elsewhere(there, task)
    assert (await swept(there, prompt, until="Already approved by Ben Okri at ")).labels == ()
    assert len(edits_of(there, prompt)) > 1


@pytest.mark.parametrize("how", [{"status": 502}, {"cut": True}])
async def test_an_answered_question_that_could_not_be_taken_away_is_later(
    polling: TelegramHouse, how: dict[str, Any]
) -> None:
    there = polling
    task, prompt = await asked_why(there)
    there.telegram.faults.add(Fault(method="deleteMessage", times=2, **how))
    assert (await there.telegram.press(prompt, "No reason", user=ANA_ID)).text == "Rejected."
    await eventually(lambda: nothing_is_left(there))
    await there.gone(prompt)
    assert (await decided(there, task)).verdict is Verdict.REJECT
    assert edits_of(there, prompt) == []


async def test_an_answered_question_that_may_not_be_taken_away_loses_its_buttons(
    polling: TelegramHouse,
) -> None:
    there = polling
    task, prompt = await asked_why(there)
    refused = {"ok": False, "error_code": 400, "description": "Bad Request: message can't be deleted"}
    there.telegram.faults.add(Fault(method="deleteMessage", status=400, body=refused, times=None))
    assert (await there.telegram.press(prompt, "No reason", user=ANA_ID)).text == "Rejected."
    assert (await swept(there, prompt, until="This question is over. ")).labels == ()
    assert (await decided(there, task)).verdict is Verdict.REJECT
    await eventually(lambda: nothing_is_left(there))
    assert len(edits_of(there, prompt)) == 1


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_nor_does_one_for_which_a_busy_chat_leaves_a_single_call_each_time(
    sqlite_database: Database, clock: StoppedClock, chat: int
) -> None:
    """What is refused must not take the turn of what would succeed, time and again."""
    async with telegram_house(sqlite_database, clock, webhook=False, chat=chat) as there:
        await there.house.submit()
        await there.telegram.press(await there.card(chat=chat), "Reject…", user=ANA_ID)
        prompt = await there.card_with("why do you reject", chat=chat)
        refused = {"ok": False, "error_code": 400, "description": "Bad Request: message can't be deleted"}
        there.telegram.faults.add(Fault(method="deleteMessage", status=400, body=refused, times=None))
        await looked_over(there)
        clock.advance(seconds=1)
        await there.house.submit("that takes a call")
        await there.card_with("that takes a call", chat)
        assert (await there.telegram.press(prompt, "No reason", user=ANA_ID)).text == "Rejected."
        for _ in range(60):
            await looked_over(there)
        assert there.telegram.message(chat, prompt.id).labels == ()
        assert len(there.telegram.calls_of("deleteMessage")) == 2, "as it was answered, and of the sweep"


async def test_the_log_is_told_of_an_outage_once(polling: TelegramHouse) -> None:
    there = polling
    away = Fault(method="editMessageText", contains="This question is over", status=502, times=None)
    with capture_logs() as logs:
        for outages in (1, 2):
            task, prompt = await asked_why(there)
            there.telegram.faults.add(away)
            await decided_elsewhere(there, task)
            for _ in range(3):
                await looked_over(there)
            assert [line["event"] for line in logs if "reason" in line].count("prompts_not_ended") == outages
            there.telegram.faults.clear()
            await swept(there, prompt, until="This question is over. ")
            await looked_over(there)


async def test_a_message_that_is_gone_is_not_asked_for_again(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_why(there)
    there.telegram.delete(prompt)
    await decided_elsewhere(there, task)
    with capture_logs() as logs:
        await eventually(lambda: nothing_is_left(there))
    assert [line["event"] for line in logs if "prompt" in line["event"]] == ["prompt_not_changed"]


async def test_a_busy_group_does_not_hold_up_another_chat(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, also=[ANA_ID]) as there:
        task, prompt = await asked_why(there)
        await there.telegram.press(await there.card(chat=ANA_ID), "Reject…", user=ANA_ID)
        private = await there.card_with("why do you reject", chat=ANA_ID)
        pause = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 60"}
        there.telegram.faults.add(
            Fault(
                method="editMessageText",
                status=429,
                body={**pause, "parameters": {"retry_after": 60}},
                contains=str(GROUP),
                times=10,
            )
        )
        await decided_elsewhere(there, task)
        await swept(there, private, until="Already approved by Ben Okri at ")
        assert there.telegram.message(GROUP, prompt.id).labels != ()


async def test_a_pause_asked_for_is_no_longer_where_the_clock_is_set_back(polling: TelegramHouse) -> None:
    there = polling
    task, prompt = await asked_why(there)
    pause = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 60"}
    there.telegram.faults.add(
        Fault(
            method="editMessageText", status=429, body={**pause, "parameters": {"retry_after": 60}}, times=2
        )
    )
    await decided_elsewhere(there, task)
    await looked_over(there)
    there.house.clock.advance(hours=-6)
    for _ in range(60 // int(EVERY.total_seconds()) + 2):
        await looked_over(there)
    assert there.telegram.message(GROUP, prompt.id).labels == ()


async def test_a_chat_where_it_always_fails_does_not_hold_up_another(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, also=[ANA_ID]) as there:
        task, prompt = await asked_why(there)
        there.house.clock.advance(EVERY)
        await there.telegram.press(await there.card(chat=ANA_ID), "Reject…", user=ANA_ID)
        private = await there.card_with("why do you reject", chat=ANA_ID)
        there.telegram.faults.add(
            Fault(method="editMessageText", status=502, contains=str(GROUP), times=None)
        )
        await decided_elsewhere(there, task)
        await swept(there, private, until="Already approved by Ben Okri at ")
        there.telegram.faults.clear()
        assert (await swept(there, prompt, until="Already approved by Ben Okri at ")).labels == ()


async def test_however_many_wait_in_a_busy_group_another_chat_does_not(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, also=[ANA_ID]) as there:
        task = await there.house.submit()
        await left_behind(there, task, 2 * PAGE)
        await there.telegram.press(await there.card(chat=ANA_ID), "Reject…", user=ANA_ID)
        private = await there.card_with("why do you reject", chat=ANA_ID)
        await decided_elsewhere(there, task)
        for _ in range(4):
            await looked_over(there)
        assert there.telegram.message(ANA_ID, private.id).labels == ()
        assert await there.house.store.ended_dialogs(there.channel.name, limit=1)


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_new_cards_do_not_wait_until_all_questions_are_changed(
    sqlite_database: Database, clock: StoppedClock, chat: int
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, chat=chat) as there:
        task = await there.house.submit()
        await there.card(chat=chat)
        await left_behind(there, task, PAGE, chat)
        for _ in range(25):
            await looked_over(there)
        assert await there.house.store.ended_dialogs(there.channel.name, limit=1)
        await there.house.submit("something new")
        assert (await there.card_with("something new", chat)).labels


async def test_in_a_group_known_by_name_they_share_its_turns_with_the_cards(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        simulated() as telegram,
        telegram_house(sqlite_database, clock, webhook=False, telegram=telegram, chat="@Desk") as there,
    ):
        desk = telegram.add_chat(-1009, "supergroup", "Desk", [ANA_ID], username="Desk").id
        task = await there.house.submit()
        await there.card(chat=desk)
        await left_behind(there, task, 30, desk)
        for _ in range(16):
            await there.house.submit()
        for _ in range(25):
            await looked_over(there)
        posts, edits = telegram.calls_of("sendMessage"), telegram.calls_of("editMessageText")
        assert posts
        assert edits
        assert len(posts) + len(edits) <= 20, "in a minute"
