"""What else than a decision Telegram offers: I'm looking, remind me later, take back my decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.menu import LISTED
from bot.simulator.faults import Fault
from bot.telegram.payloads import COMMANDS, DECISIONS
from core.events import ReviewClaimed, ReviewerReminded
from core.model import Verdict
from tests.bot import telegram_fixtures
from tests.bot.telegram_house import (
    ANA_ID,
    BEN_ID,
    EVE_ID,
    GROUP,
    SAM_ID,
    TelegramHouse,
    said,
    simulated,
    telegram_house,
)
from tests.world import ANA, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import ReviewRequest
    from core.store.database import Database
    from tests.world import StoppedClock

LOOKING = "I'm looking"
CLAIMED = "The cards say that you are looking at attempt 1 of hello world."
NOT_DECIDED = "You have not decided on this review."


there, polling = telegram_fixtures.there, telegram_fixtures.polling


async def half_approved(there: TelegramHouse, text: str = "hello world", flow: str = "lenient") -> Message:
    """The card of a task that Ana has approved and that waits for Ben."""
    task = await there.house.submit(text, flow=flow)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    there.house.clock.advance(seconds=10)
    return await there.card_with("Approved by Ana Ruiz")


async def the_review(there: TelegramHouse) -> ReviewRequest:
    """The one that waits for Ben."""
    (review,) = await there.house.service.waiting_for(ANA.id) or await there.house.service.answered_by(ANA.id)
    return review


# By button


async def test_everybody_sees_who_is_looking_and_twice_is_harmless(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    for _ in range(2):
        press = await there.telegram.press(card, LOOKING, user=ANA_ID)
        assert (press.text, press.show_alert) == (CLAIMED, False)
    assert [type(event) for event in there.house.diary.of(task.id)].count(ReviewClaimed) == 1
    there.house.clock.advance(seconds=10)
    await there.card_with("Ana Ruiz is looking, until ")
    await there.telegram.press(card, "Approve", user=BEN_ID)
    there.house.clock.advance(seconds=10)
    closed = await there.card_with("Approved by Ben Okri")
    assert "looking" not in closed.text
    assert closed.labels == ()
    late = await there.telegram.press(card, LOOKING, user=ANA_ID)
    assert (late.text or "").startswith("Already approved by Ben Okri at ")
    assert late.show_alert


async def test_who_may_not_decide_is_refused_in_the_words_of_a_decision(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="own")
    card = await there.card()
    told = {
        user: (await there.telegram.press(card, LOOKING, user=user)).text or ""
        for user in (SAM_ID, BEN_ID, EVE_ID)
    }
    assert told[SAM_ID] == "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."
    assert "not among the reviewers" in told[BEN_ID]
    assert f"nobody is listed under yours, {EVE_ID}" in told[EVE_ID]
    assert (await there.house.review(task)).claims == ()


async def test_a_changed_button_is_refused(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    data = card.button(LOOKING)["callback_data"]
    for forged in (data[:-1] + "!", data.replace(".l1.", ".w1.")):
        press = await there.telegram.press_raw(forged, user=ANA_ID, message=card)
        assert "this button cannot be read" in (press.text or "")
    assert (await there.house.review(task)).claims == ()


async def test_a_press_before_a_stop_counts_after_the_start(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            task = await there.house.submit()
            card = await there.card()
        telegram.tap(card, LOOKING, user=ANA_ID)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as again:

            async def claimed() -> bool:
                return bool((await again.house.service.reviews(task.id))[0].claims)

            assert await eventually(claimed)


# By command, in reply to a card


async def test_a_message_of_somebody_else_points_at_no_review_whatever_buttons_it_has(
    there: TelegramHouse,
) -> None:
    """Another bot can put ours below its own words."""
    tasks = [await there.house.submit(f"task {number}") for number in range(2)]
    card = await there.card()
    group = there.telegram.chat(GROUP)
    forged = group.keep(replace(card, id=group.next_id(), sender=there.telegram.user(EVE_ID), text="lunch?"))
    await there.house.review(tasks[1])
    answer = await said(there, "/looking", reply_to=forged)
    assert answer.text.startswith("More than one review waits for you.")
    assert [(await there.house.review(task)).claims for task in tasks] == [(), ()]


async def test_our_name_behind_a_command_is_ours_however_it_is_written(there: TelegramHouse) -> None:
    name = there.telegram.bot.username
    await there.telegram.say(GROUP, f"/back@not_{name}", user=ANA_ID)
    for written in (name, str(name).upper(), str(name).lower()):
        assert (await said(there, f"/back@{written}")).text == "You were not away."
    assert len(there.ours()) == 3


async def test_a_decision_is_taken_back_and_twice_is_harmless(there: TelegramHouse) -> None:
    card = await half_approved(there, "@eve https://evil.example")
    review = await the_review(there)
    answer = await said(there, "/withdraw", reply_to=card)
    assert answer.text == "Your decision on attempt 1 of @eve https://evil.example is taken back."
    assert [entity["type"] for entity in answer.entities] == ["code"]
    assert (await there.house.service.review(review.id)).decisions == ()
    there.house.clock.advance(seconds=10)
    again = await there.card_with("0 of 2 approvals")
    assert "Approved by" not in again.text
    assert (await said(there, "/withdraw", reply_to=card)).text == NOT_DECIDED


async def test_each_word_acts_on_the_card_that_is_replied_to(there: TelegramHouse) -> None:
    first = await there.house.submit("the first", flow="lenient")
    card = await there.card_with("the first")
    there.house.clock.advance(seconds=10)
    await there.house.submit("the second", flow="lenient")
    await there.card_with("the second")
    me = there.telegram.bot.username
    assert "looking at attempt 1 of the first" in (await said(there, f"/looking@{me}", reply_to=card)).text
    at = there.house.clock.now() + timedelta(hours=2)
    later = (await said(there, "/later in 2 hours", reply_to=card)).text
    assert later == f"You are reminded of attempt 1 of the first at {at:%Y-%m-%d %H:%M} UTC, not before."
    review = await there.house.review(first)
    assert [one.person for one in review.claims] == [ANA.id]
    assert [(one.person, one.until) for one in review.snoozes] == [(ANA.id, at)]
    assert "no longer say" in (await said(there, "/looking off", reply_to=card)).text
    off = (await said(there, "/later off", reply_to=card)).text
    assert off == "Nothing reminds you of attempt 1 of the first."
    review = await there.house.review(first)
    assert (review.claims, review.snoozes) == ((), ())


async def reminded(there: TelegramHouse) -> bool:
    waiting = await there.house.service.waiting_for(ANA.id)
    events = [event for one in waiting for event in there.house.diary.of(one.task.id)]
    return [type(event) for event in events].count(ReviewerReminded) == len(waiting) > 0


async def is_said_a_second_later(there: TelegramHouse, words: str) -> bool:
    """Whether the bot has said so by then: the group takes few messages at once."""
    await there.house.quiet()
    there.house.clock.advance(seconds=1)
    return bool(there.saying(words))


async def test_a_reply_to_a_reminder_is_about_its_review(there: TelegramHouse) -> None:
    for task in [await there.house.submit(flow="timed") for _ in range(2)]:
        await there.house.review(task)
    there.house.clock.advance(hours=1)
    await eventually(lambda: reminded(there))
    await eventually(lambda: is_said_a_second_later(there, "Reminder for "))
    reminder = await there.card_with("Reminder for ")
    told = await said(there, "/later 2h", reply_to=reminder)
    assert "not before" in told.text
    snoozed = [one for one in await there.house.service.waiting_for(ANA.id) if one.snoozes]
    assert len(snoozed) == 1
    assert f"/tasks/{snoozed[0].task.id}" in reminder.text


async def test_who_wants_to_be_reminded_after_the_deadline_is_told_of_it(there: TelegramHouse) -> None:
    await there.house.submit(flow="timed")
    card = await there.card()
    by = there.house.clock.now() + timedelta(hours=4)
    assert (await said(there, "/later 3h", reply_to=card)).text.endswith(" UTC, not before.")
    told = (await said(there, "/later 4h", reply_to=card)).text
    assert told.endswith(f" comes to you before {by:%Y-%m-%d %H:%M} UTC, by when it is to be decided.")


async def test_a_reply_to_a_closed_card_is_refused_with_who_closed_it(there: TelegramHouse) -> None:
    await there.house.submit()
    card = await there.card()
    await there.telegram.press(card, "Approve", user=BEN_ID)
    for text in ("/looking", "/later 2h", "/withdraw"):
        told = (await said(there, text, reply_to=card)).text
        assert told.startswith("Already approved by Ben Okri at "), text


async def test_who_may_not_is_told_so(there: TelegramHouse) -> None:
    card = await half_approved(there)
    assert (await said(there, "/withdraw", user=BEN_ID, reply_to=card)).text == NOT_DECIDED
    stranger = await said(there, "/withdraw", user=EVE_ID, reply_to=card)
    assert f"nobody is listed under yours, {EVE_ID}" in stranger.text
    assert "not among the reviewers" in (await said(there, "/looking", user=SAM_ID, reply_to=card)).text
    assert len((await the_review(there)).decisions) == 1


async def test_where_the_page_decides_taking_back_is_not_for_chats(there: TelegramHouse) -> None:
    card = await half_approved(there, flow="paged")
    told = (await said(there, "/withdraw", reply_to=card)).text
    assert told.startswith("This review is decided on its page: its reviewers sign in there.\nhello world ")
    assert f"{there.public_url}/tasks/" in told
    assert len((await the_review(there)).decisions) == 1


# Without a reply


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_without_a_reply_it_is_about_the_one_that_waits(there: TelegramHouse, chat: int) -> None:
    for text in ("/looking", "/later 2h"):
        assert (await said(there, text, chat=chat)).text == "No review waits for you."
    nothing = "There is no open review on which you have decided."
    assert (await said(there, "/withdraw", chat=chat)).text == nothing
    task = await there.house.submit(flow="lenient")
    await there.card_with("Review: ")
    what = "hello world" if chat == ANA_ID else f"{there.public_url}/tasks/{task.id}"
    assert (await said(there, "/looking", chat=chat)).text == CLAIMED.replace("hello world", what)
    there.house.clock.advance(seconds=60)
    review = await the_review(there)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    assert (await said(there, "/withdraw", chat=chat)).text.endswith("is taken back.")
    assert (await there.house.service.review(review.id)).decisions == ()


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_where_several_could_be_meant_they_are_listed_with_titles_in_private_only(
    there: TelegramHouse, chat: int
) -> None:
    tasks = []
    for number in range(2):
        tasks.append(await there.house.submit(f"secret {number}"))
        await there.house.review(tasks[-1])
    other = await there.telegram.say(GROUP, "what about these?", user=BEN_ID)
    for text in ("/looking", "/later 2h"):
        answer = await said(there, text, chat=chat, reply_to=other if chat == GROUP else None)
        assert answer.text.startswith(
            "More than one review waits for you. Reply to its card with the command"
        )
        assert [f"/tasks/{task.id}" in answer.text for task in tasks] == [True, True]
        assert ("secret" in answer.text) is (chat == ANA_ID)
    waiting = await there.house.service.waiting_for(ANA.id)
    assert [(one.claims, one.snoozes) for one in waiting] == [((), ()), ((), ())]


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_more_than_a_list_holds_is_counted_and_leads_to_the_inbox(
    polling: TelegramHouse, chat: int
) -> None:
    for number in range(LISTED + 2):
        await polling.house.review(await polling.house.submit(f"secret {number}"))
    answer = await said(polling, "/looking", chat=chat)
    assert answer.text.count("/tasks/") == LISTED
    assert answer.text.endswith(f"\nAnd 2 more:\n{polling.public_url}/inbox")
    assert ("secret" in answer.text) is (chat == ANA_ID)


@pytest.mark.parametrize("text", ["/later", "/later soon", "/later 2020-01-01", "/later 400d", "/looking on"])
async def test_words_that_say_no_time_are_answered_with_how_to_say_it(
    polling: TelegramHouse, text: str
) -> None:
    there = polling
    task = await there.house.submit()
    card = await there.card()
    told = (await said(there, text, reply_to=card)).text
    assert "Say it as “/l" in told or "A reminder can be put off by" in told
    review = await there.house.review(task)
    assert (review.claims, review.snoozes) == ((), ())


async def test_a_command_while_the_database_is_down_is_kept_and_counts_later(there: TelegramHouse) -> None:
    card = await half_approved(there)
    review = await the_review(there)
    there.house.service.is_down = True
    await there.telegram.say(GROUP, "/withdraw", user=ANA_ID, reply_to=card)

    async def postponed() -> bool:
        alarm = there.house.clock.next_alarm
        return alarm is not None and alarm - there.house.clock.now() <= timedelta(seconds=2)

    await eventually(postponed)
    there.house.service.is_down = False
    there.house.clock.advance(seconds=2)
    await there.card_with("is taken back.")
    assert (await there.house.service.review(review.id)).decisions == ()


# The list of commands


async def test_all_commands_are_offered_and_registered_once(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        for _ in range(2):
            async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram):
                listed = telegram.snapshot()["commands"]
                assert {one["command"] for one in listed} == set(COMMANDS) - {"start", *DECISIONS}
        assert len(telegram.calls_of("setMyCommands")) == 1


@pytest.mark.parametrize("method", ["getMyCommands", "setMyCommands"])
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"cut": True}, {"delay": 3.0}])
async def test_commands_that_cannot_be_offered_hold_up_nothing(
    sqlite_database: Database, clock: StoppedClock, method: str, fault: dict[str, float]
) -> None:
    async with simulated() as telegram:
        telegram.faults.add(Fault(method=method, **fault))  # type: ignore[arg-type]  # of any field
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await there.house.submit()
            press = await telegram.press(await there.card(), "Approve", user=ANA_ID)
            assert press.text == "Approved."
            assert telegram.snapshot()["commands"] == []
