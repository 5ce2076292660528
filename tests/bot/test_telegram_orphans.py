"""Questions that nobody knows of, or that a crash left standing once answered: none keeps its buttons."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from telegram import CallbackQuery, User

from bot.buttons import Action
from bot.simulator.faults import Fault
from bot.simulator.telegram.people import MessageShape
from bot.telegram.desk import NO_QUESTION, OVER, UNCHANGED
from bot.telegram.payloads import KEYBOARD, tokens_shown
from bot.telegram.prompt_sweep import EVERY
from bot.telegram.prompts import MINUTES
from core.model import Dialog, MessageRef, Verdict
from tests.bot import telegram_fixtures
from tests.bot.house import decided
from tests.bot.telegram_edits import asked_for_text, prompt_of
from tests.bot.telegram_house import ANA_ID, EVE_ID, GROUP, TelegramHouse, simulated, telegram_house
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import ReviewId, Task
    from core.store.database import Database
    from tests.world import StoppedClock


there, polling = telegram_fixtures.there, telegram_fixtures.polling


async def orphaned(there: TelegramHouse) -> tuple[Task, Message]:
    """A question that stands in the chat, while we never heard that it was posted."""
    task = await there.house.submit()
    card = await there.card()
    lost = Fault(method="sendMessage", contains="why do you reject", after_acting=True, cut=True)
    there.telegram.faults.add(lost)
    assert (await there.telegram.press(card, "Reject…", user=ANA_ID)).text == NO_QUESTION
    return task, await there.card_with("why do you reject")


async def looks(there: TelegramHouse, count: int = 3) -> None:
    """So many looks of the sweep go by."""
    clock = there.house.clock

    async def is_over() -> bool:
        await there.house.noted()
        return clock.now() + EVERY in clock.alarms

    for _ in range(count):
        clock.advance(EVERY)
        await eventually(is_over)


async def settled(there: TelegramHouse) -> None:
    """All that is known to be over is ended, or taken away."""

    async def nothing_is_left() -> bool:
        there.house.clock.advance(EVERY)
        await there.house.noted()
        return not await there.house.store.ended_dialogs(there.channel.name, limit=9)

    await eventually(nothing_is_left)


def now(there: TelegramHouse, message: Message) -> Message:
    return there.telegram.message(message.chat, message.id)


def edits_of(there: TelegramHouse, message: Message) -> int:
    calls = there.telegram.calls_of("editMessageText")
    return sum(str(call.params["message_id"]) == str(message.id) for call in calls)


# Nobody knows of it


async def test_a_question_whose_post_was_never_noted_ends_with_a_press_of_its_buttons(
    there: TelegramHouse,
) -> None:
    task, orphan = await orphaned(there)
    assert orphan.labels == ("No reason", "Give a reason", "Cancel")
    press = await there.telegram.press(orphan, "No reason", user=ANA_ID)
    assert (press.text, press.show_alert) == (OVER, True)
    await settled(there)
    assert (now(there, orphan).text, now(there, orphan).labels) == (OVER, ())
    assert (await there.house.review(task)).decisions == ()


async def test_it_says_who_decided_meanwhile(polling: TelegramHouse) -> None:
    there = polling
    task, orphan = await orphaned(there)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await there.telegram.press(orphan, "Cancel", user=ANA_ID)
    await settled(there)
    assert now(there, orphan).text.startswith("This question is over. Already approved by Ben Okri at ")
    assert now(there, orphan).labels == ()


async def test_one_that_telegram_tells_nothing_of_but_where_it_stands_ends_as_well(
    polling: TelegramHouse,
) -> None:
    there = polling
    _, orphan = await orphaned(there)
    await there.telegram.press(orphan, "No reason", user=ANA_ID, shape=MessageShape.ABSENT)
    await looks(there)
    assert now(there, orphan).labels != (), "nobody said which message it was"
    await there.telegram.press(orphan, "No reason", user=ANA_ID, shape=MessageShape.INACCESSIBLE)
    await settled(there)
    assert now(there, orphan).labels == ()


async def test_however_often_it_is_pressed_it_is_ended_once(polling: TelegramHouse) -> None:
    there = polling
    _, orphan = await orphaned(there)
    for _ in range(3):
        await there.telegram.press(orphan, "No reason", user=ANA_ID)
        await settled(there)
    assert edits_of(there, orphan) == 1


async def test_where_it_cannot_be_ended_the_log_says_so_once(polling: TelegramHouse) -> None:
    there = polling
    _, orphan = await orphaned(there)
    refused = {"ok": False, "error_code": 403, "description": "Forbidden: not enough rights"}
    there.telegram.faults.add(Fault(method="editMessageText", status=403, body=refused, times=None))
    with capture_logs() as logs:
        for _ in range(3):
            assert (await there.telegram.press(orphan, "No reason", user=ANA_ID)).text == OVER
            await settled(there)
    assert [line["event"] for line in logs].count("prompt_not_changed") == 1
    assert "prompts_not_ended" not in [line["event"] for line in logs]


async def test_where_telegram_is_away_it_ends_later_also_after_a_restart(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            _, orphan = await orphaned(there)
            telegram.faults.add(Fault(method="editMessageText", status=502, times=None))
            await there.telegram.press(orphan, "No reason", user=ANA_ID)
            await looks(there)
        telegram.faults.clear()
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await settled(there)
            assert now(there, orphan).labels == ()


async def test_one_that_another_replica_notes_in_this_moment_stays_open(
    polling: TelegramHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telegram shows people a message before it tells who posted it."""
    there = polling
    task, prompt = await orphaned(there)
    review = await there.house.review(task)
    check_open = there.house.service.check_open

    async def noted_meanwhile(which: ReviewId) -> None:
        await there.house.store.open_dialog(
            Dialog(
                message=MessageRef(f"{prompt.chat}/{prompt.id}"),
                channel=there.channel.name,
                review=review.id,
                person=ANA.id,
                verdict=Verdict.REJECT,
                expires_at=there.house.clock.now() + timedelta(minutes=MINUTES),
            )
        )
        await check_open(which)

    with monkeypatch.context() as patch:
        patch.setattr(there.house.service, "check_open", noted_meanwhile)
        assert (await there.telegram.press(prompt, "No reason", user=ANA_ID)).text == OVER
    await looks(there)
    assert now(there, prompt).labels == prompt.labels
    assert (await there.telegram.press(prompt, "No reason", user=ANA_ID)).text == "Rejected."


async def test_a_stranger_ends_nothing(polling: TelegramHouse) -> None:
    there = polling
    _, orphan = await orphaned(there)
    await there.telegram.press(orphan, "No reason", user=EVE_ID)
    await looks(there)
    assert now(there, orphan).labels == orphan.labels


@pytest.mark.parametrize("shape", [MessageShape.FULL, MessageShape.INACCESSIBLE])
async def test_a_questions_button_sent_with_a_card_takes_nothing_from_the_card(
    polling: TelegramHouse, shape: MessageShape
) -> None:
    """A client can name any message."""
    there = polling
    task = await there.house.submit()
    card = await there.card()
    token = there.house.buttons.token((await there.house.review(task)).id, 1, Action.REJECT_PLAINLY)
    press = there.telegram.tap_raw(token, user=ANA_ID, message=card, shape=shape)
    await press.wait(60)
    assert press.text == OVER
    await looks(there)
    assert (now(there, card).text, now(there, card).labels) == (card.text, card.labels)


async def test_nor_from_one_that_is_not_noted_yet(polling: TelegramHouse) -> None:
    there = polling
    there.telegram.faults.add(Fault(method="sendMessage", after_acting=True, cut=True))
    task = await there.house.submit()
    copy = await there.telegram.until(lambda: there.ours()[0])
    token = there.house.buttons.token((await there.house.review(task)).id, 1, Action.REJECT_PLAINLY)
    await there.telegram.press_raw(token, user=ANA_ID, message=copy)
    await looks(there)
    assert now(there, copy).labels == copy.labels != ()


async def test_the_second_of_two_taps_on_an_answered_question_changes_nothing_more(
    polling: TelegramHouse,
) -> None:
    there = polling
    await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    first = there.telegram.tap(prompt, "Cancel", user=ANA_ID)
    second = there.telegram.tap(prompt, "Cancel", user=ANA_ID)
    for press in (first, second):
        await press.wait(60)
    assert (first.text, second.text) == (UNCHANGED, OVER)
    await looks(there)
    assert edits_of(there, prompt) == 0
    assert len(there.telegram.calls_of("deleteMessage")) == 1


# It is answered, and a crash left it standing


@pytest.mark.parametrize("label", ["No reason", "Give a reason"])
async def test_an_answered_question_that_a_crash_left_standing_goes_after_the_restart(
    sqlite_database: Database, clock: StoppedClock, label: str
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task = await there.house.submit()
            await telegram.press(await there.card(), "Reject…", user=ANA_ID)
            prompt = await there.card(2)
            if label == "Give a reason":
                await telegram.press(prompt, label, user=ANA_ID)
                prompt = await there.card_with("Reply to this message within")
            # The call is on its way when we are gone, and never arrives.
            telegram.faults.add(Fault(method="deleteMessage", cut=True, delay=3600))
            if label == "Give a reason":
                await telegram.say(GROUP, "too long", user=ANA_ID, reply_to=prompt)
            else:
                telegram.tap(prompt, label, user=ANA_ID)
            await eventually(lambda: _is_over(there, prompt))
            assert (await decided(there, task)).verdict is Verdict.REJECT
        assert not telegram.message(GROUP, prompt.id).deleted
        telegram.faults.clear()
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await settled(there)
            await there.gone(prompt)


async def _is_over(there: TelegramHouse, prompt: Message) -> bool:
    """As far as the store knows."""
    found = await there.house.store.dialog(there.channel.name, f"{prompt.chat}/{prompt.id}")  # type: ignore[arg-type]
    return found is None


# It goes once it has said for a while that it is over


async def test_a_request_for_words_goes_an_hour_after_its_time(polling: TelegramHouse) -> None:
    """Until then whoever is still writing is told that it is over."""
    there = polling
    await asked_for_text(there)
    prompt = await prompt_of(there)
    there.house.clock.advance(minutes=MINUTES)
    await settled(there)
    there.house.clock.advance(minutes=59)
    await looks(there)
    assert not now(there, prompt).deleted
    there.house.clock.advance(minutes=1)
    await settled(there)
    assert now(there, prompt).deleted
    assert edits_of(there, prompt) == 0


@pytest.mark.parametrize("label", ["No reason", "Give a reason"])
async def test_so_does_a_question_why(polling: TelegramHouse, label: str) -> None:
    there = polling
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    if label == "Give a reason":
        await there.telegram.press(prompt, label, user=ANA_ID)
        prompt = await there.card_with("Reply to this message within")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await settled(there)
    assert not now(there, prompt).deleted
    there.house.clock.advance(hours=1)
    await settled(there)
    assert now(there, prompt).deleted


async def test_one_that_somebody_else_took_away_is_not_asked_for_again(polling: TelegramHouse) -> None:
    there = polling
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await settled(there)
    assert edits_of(there, prompt) == 1
    there.telegram.delete(prompt)
    there.house.clock.advance(hours=1)
    await settled(there)
    assert edits_of(there, prompt) == 1, "nothing is left to be changed"


async def test_one_too_old_to_be_taken_away_stays_and_is_asked_for_once(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Telegram lets a bot delete its own messages for 48 hours."""
    async with simulated(now=lambda: clock.now().timestamp()) as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await asked_for_text(there)
            prompt = await prompt_of(there)
        clock.advance(days=3)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await settled(there)
            with capture_logs() as logs:
                clock.advance(hours=1)
                await settled(there)
            assert not now(there, prompt).deleted
            assert len(telegram.calls_of("deleteMessage")) == 1
            assert [line["event"] for line in logs].count("question_not_removed") == 1


@pytest.mark.parametrize(
    ("keeps", "tokens"),
    [
        (None, None),
        ({KEYBOARD: None}, ()),
        ({KEYBOARD: {"inline_keyboard": "none"}}, ()),
        (
            {
                KEYBOARD: {
                    "inline_keyboard": [
                        [{"text": "Open", "url": "https://a.example"}],
                        [{"text": "B", "callback_data": "b"}],
                    ]
                }
            },
            ("b",),
        ),
    ],
)
def test_what_a_messages_buttons_carry_is_told_by_telegram(
    keeps: dict[str, Any] | None, tokens: tuple[str, ...] | None
) -> None:
    """None where it is not shown; of what cannot be read nothing is ended."""
    query = CallbackQuery("1", User(ANA_ID, "Ana", is_bot=False), "1", api_kwargs=keeps)
    assert tokens_shown(query) == tokens
