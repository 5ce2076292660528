"""What a policy asks of people in Telegram: turns, reasons, the page; reminders, and who decides for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.model import Outcome, Verdict
from core.store.deliveries import LEISURE
from tests.bot import telegram_fixtures
from tests.bot.house import QUICK, decided, decisions, house_policies
from tests.bot.telegram_house import ANA_ID, BEN_ID, EVE_ID, GROUP, TelegramHouse, telegram_house
from tests.world import ANA, BEN, SAM

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.store.database import Database
    from tests.world import StoppedClock


there = telegram_fixtures.there


def called(message: Message) -> list[int]:
    """The users whom a message calls, in their order."""
    return [one["user"]["id"] for one in message.entities if one["type"] == "text_mention"]


async def test_a_card_calls_whom_it_waits_for_as_it_is_posted_and_only_names_them_as_it_changes(
    there: TelegramHouse,
) -> None:
    await there.house.submit("@eve", flow="two")
    card = await there.card()
    assert "\nFor Ana Ruiz and Ben Okri\n" in card.text
    assert called(card) == [ANA_ID, BEN_ID]
    await there.telegram.press(card, "Approve", user=ANA_ID)
    there.house.clock.advance(seconds=10)
    changed = await there.card_with("1 of 2 approvals")
    assert (changed.id, called(changed)) == (card.id, [])
    assert "\nFor Ben Okri\n" in changed.text, "and whom it waits for now"
    await there.telegram.press(changed, "Approve", user=BEN_ID)
    there.house.clock.advance(seconds=10)
    closed = await there.card_with("Approved by Ben Okri")
    assert (closed.id, "\nFor " in closed.text) == (card.id, False)


async def test_a_card_that_another_stands_in_for_calls_nobody(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="two")
    await there.card()
    (posted,) = await there.house.service.deliveries(task.id)
    retired = replace(posted, is_retired=True, message=None)
    await there.channel.post(retired, await there.house.review(task), thread=None)
    assert called(await there.card(2)) == []


async def test_a_card_calls_the_delegate_of_who_is_away(there: TelegramHouse) -> None:
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    await there.house.submit(flow="timed")
    card = await there.card()
    assert "\nFor Ben Okri\n" in card.text
    assert called(card) == [BEN_ID]


async def test_a_card_that_changes_names_who_is_waited_for_whoever_is_away(there: TelegramHouse) -> None:
    """Nothing happens to it as they go and come back, and what it said of that would stay."""
    await there.house.submit("@eve", flow="two")
    card = await there.card()
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(BEN.id, None, until, by=BEN.id)
    await there.telegram.press(card, "Approve", user=ANA_ID)
    there.house.clock.advance(seconds=10)
    assert "\nFor Ben Okri\n" in (await there.card_with("1 of 2 approvals")).text


async def test_in_private_nobody_is_called_by_name(sqlite_database: Database, clock: StoppedClock) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False, chat=ANA_ID) as there:
        await there.house.submit()
        assert called(await there.card(chat=ANA_ID)) == []


async def test_a_reminder_calls_who_has_not_decided_in_the_thread(there: TelegramHouse) -> None:
    task = await there.house.submit("/start @eve https://evil.example", flow="timed")
    card = await there.card()
    there.house.clock.advance(hours=1)
    told = await there.card(2)
    assert told.reply_to == card.id
    assert told.text.startswith(
        "Reminder for Ana Ruiz: please decide on attempt 1 of /start @eve https://evil.example. Until "
    )
    assert told.text.endswith(f"/tasks/{task.id}")
    kinds = [entity["type"] for entity in told.entities]
    assert kinds == ["text_mention", "code", "url"]
    assert told.entities[0]["user"]["id"] == ANA_ID
    assert told.labels == ()


async def test_a_card_says_when_people_are_called_next_and_after_that_when_again(
    there: TelegramHouse,
) -> None:
    task = await there.house.submit(flow="timed")
    card = await there.card()
    opened = (await there.house.review(task)).opened_at
    assert f" · next reminder {opened + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in card.text
    there.house.clock.advance(hours=1)
    await there.card_with("Reminder for ")
    there.house.clock.advance(LEISURE)
    card = await there.card_with(f" · escalation {opened + timedelta(hours=2):%Y-%m-%d %H:%M} UTC")
    assert called(card) == [], "whoever is called is called by the reminder"
    there.house.clock.advance(hours=1)
    card = await there.card_with("escalated · until ")
    assert all(words not in card.text for words in ("next reminder", " · escalation "))


async def test_a_reminder_that_somebody_puts_off_is_on_the_card_with_its_time(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    assert "next reminder" not in card.text
    at = there.house.clock.now() + timedelta(hours=2)
    await there.house.service.looking.snooze((await there.house.review(task)).id, ANA.id, at, via="web")
    await there.card_with("wants to be reminded later")
    there.house.clock.advance(LEISURE)
    assert (await there.card_with(f"next reminder {at:%Y-%m-%d %H:%M} UTC")).id == card.id
    there.house.clock.advance(hours=2)
    await there.card_with("Reminder for ")
    there.house.clock.advance(LEISURE)
    await there.house.quiet()
    assert "next reminder" not in (await there.card()).text


async def test_an_escalation_is_told_and_the_card_says_so(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="timed")
    await there.card()
    there.house.clock.advance(hours=1)
    await there.card_with("Reminder for ")
    there.house.clock.advance(hours=1)
    told = await there.card_with("Nobody has decided yet.")
    assert "Ben Okri and Cy Young may decide now, too." in told.text
    there.house.clock.advance(seconds=10)
    card = await there.card_with("escalated · until ")
    await there.telegram.press(card, "Approve", user=BEN_ID)
    assert (await decided(there, task)).reviewer == BEN.id


async def test_an_expired_card_says_so_and_is_not_pressed(there: TelegramHouse) -> None:
    await there.house.submit(flow="timed")
    card = await there.card()
    there.house.clock.advance(hours=4)
    assert (await there.card_with("Expired undecided")).labels == ()
    press = await there.telegram.press(card, "Approve", user=ANA_ID)
    assert press.text is not None
    assert press.text.startswith("This review expired undecided at ")


async def test_a_task_that_its_deadline_fails_is_told_once_by_its_card(there: TelegramHouse) -> None:
    await there.house.submit(flow="fatal")
    await there.card()
    there.house.clock.advance(minutes=2)
    card = await there.card_with("The task failed.")
    assert "Nobody decided in time." in card.text
    there.house.clock.advance(minutes=1)
    await there.house.quiet()
    assert len(there.ours()) == 1, "the card says it"


async def test_a_cancelled_card_names_who_called_it_off(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.card()
    await there.house.service.cancel(task.id, SAM.id)
    assert (await there.card_with("Cancelled by Sam Lee, ")).labels == ()


async def test_out_of_turn_a_press_is_told_whom_the_review_waits_for(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="staged")
    card = await there.card()
    assert "0 of 2 approvals · waits for legal" in card.text
    press = await there.telegram.press(card, "Approve", user=BEN_ID)
    assert press.text == "It is not your turn yet: stage 1 of 2 waits for legal. Ana Ruiz can decide."
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_where_the_page_decides_a_press_leads_there(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit(flow="page")
    await there.card_with("decided on its page")
    press = await there.telegram.press(await there.card(), label, user=ANA_ID)
    assert press.text == "This review is decided on its page: its reviewers sign in there."
    private = await there.card(1, ANA_ID)
    assert private.text.startswith(press.text)
    assert private.text.endswith(f"/tasks/{task.id}")
    assert len(there.ours()) == 1
    assert await decisions(there, task) == ()


async def test_where_a_no_needs_a_reason_there_is_no_way_without(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="reasoned")
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    asked = await there.card_with("why do you reject attempt 1")
    assert asked.labels == ("Give a reason", "Cancel")
    await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=asked)
    assert (await decided(there, task)).comment == "too long"


async def test_where_a_yes_needs_a_reason_approve_asks_for_it(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="always")
    await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    asked = await there.card_with("why do you approve attempt 1")
    assert asked.labels == ("Too expensive", "Not now", "Give a reason", "Cancel")
    assert await decisions(there, task) == ()
    await there.telegram.press(asked, "Give a reason", user=ANA_ID)
    field = await there.card_with("Reply to this message within")
    assert field.force_reply is not None
    assert field.force_reply["input_field_placeholder"] == "Why do you approve it?"
    await there.telegram.say(GROUP, "all is well", user=ANA_ID, reply_to=field)
    made = await decided(there, task)
    assert (made.verdict, made.comment, made.via) == (Verdict.APPROVE, "all is well", "telegram")


@pytest.mark.parametrize(("label", "verdict"), [("Approve", Verdict.APPROVE), ("Reject…", Verdict.REJECT)])
async def test_a_ready_reason_is_one_tap(there: TelegramHouse, label: str, verdict: Verdict) -> None:
    task = await there.house.submit(flow="always")
    await there.telegram.press(await there.card(), label, user=ANA_ID)
    asked = await there.card_with("why do you")
    press = await there.telegram.press(asked, "Not now", user=ANA_ID)
    assert press.text == ("Approved." if verdict is Verdict.APPROVE else "Rejected.")
    made = await decided(there, task)
    assert (made.verdict, made.comment) == (verdict, "Not now")
    await there.gone(asked)


async def test_a_ready_reason_is_only_for_who_was_asked(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="always")
    await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    asked = await there.card_with("why do you")
    press = await there.telegram.press(asked, "Not now", user=BEN_ID)
    assert press.text == "Only Ana Ruiz can answer this question."
    assert await decisions(there, task) == ()


async def test_in_a_channel_a_reason_in_words_leads_to_the_page(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    channel = -1009000000001
    async with telegram_house(sqlite_database, clock, webhook=False, chat=channel) as there:
        there.telegram.add_chat(channel, "channel", "News", [BEN_ID])
        task = await there.house.submit(flow="reasoned")
        there.house.clock.advance(seconds=60)
        card = await there.card(1, channel)
        press = await there.telegram.press(card, "Reject…", user=BEN_ID)
        assert press.text == (
            "Nothing was changed: a reason is asked for, and none can be written here. Please use the task's "
            "page, or press Start in a chat with me and then the button again."
        )
        assert await decisions(there, task) == ()


async def test_in_a_channel_a_ready_reason_can_be_chosen_by_whom_we_may_not_write(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    channel = -1009000000001
    async with telegram_house(sqlite_database, clock, webhook=False, chat=channel) as there:
        there.telegram.add_chat(channel, "channel", "News", [BEN_ID])
        task = await there.house.submit(flow="always")
        there.house.clock.advance(seconds=60)
        await there.telegram.press(await there.card(1, channel), "Reject…", user=BEN_ID)
        asked = await there.card_with("why do you reject", channel)
        assert asked.labels == (*QUICK, "Cancel")
        await there.telegram.press(asked, QUICK[1], user=BEN_ID)
        assert (await decided(there, task)).comment == QUICK[1]


async def test_a_changed_mind_counts_while_the_review_is_open(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="lenient")
    first = await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    assert first.text == "Recorded: 1 of 2 approvals."
    await there.telegram.press(await there.card_with("Approved by Ana Ruiz"), "Reject…", user=ANA_ID)
    asked = await there.card_with("why do you reject")
    press = await there.telegram.press(asked, "No reason", user=ANA_ID)
    assert press.text == "Your rejection is recorded; the review goes on."
    there.house.clock.advance(seconds=10)
    changed = await there.card_with("Rejected by Ana Ruiz")
    assert "Approved by" not in changed.text
    assert (await decided(there, task)).verdict is Verdict.REJECT


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_a_delegate_decides_and_the_card_names_both(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit(flow="timed")
    card = await there.card()
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    await there.telegram.press(card, label, user=BEN_ID)
    if label != "Approve":
        await there.telegram.press(await there.card_with("why do you"), "No reason", user=BEN_ID)
    did = "Approved" if label == "Approve" else "Rejected"
    there.house.clock.advance(seconds=10)
    await there.card_with(f"{did} by Ben Okri for Ana Ruiz, ")
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome(did.lower())


async def answer_to(there: TelegramHouse, text: str, user: int = ANA_ID, chat: int = GROUP) -> str:
    said = await there.telegram.say(chat, text, user=user)
    return (
        await there.telegram.until(
            lambda: next((one for one in there.ours(chat) if one.reply_to == said.id), None)
        )
        or said
    ).text


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_away_hands_over_and_back_takes_it_back(there: TelegramHouse, chat: int) -> None:
    tomorrow = f"{there.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    said = await answer_to(there, f"/away Ben Okri until {tomorrow}", chat=chat)
    assert said.endswith(" UTC; Ben Okri decides for you.")
    task = await there.house.submit(flow="timed")
    await there.telegram.press(await there.card_with("Review: "), "Approve", user=BEN_ID)
    assert (await decided(there, task)).seat == ANA.id
    there.house.clock.advance(seconds=60)
    me = there.telegram.bot.username
    assert await answer_to(there, f"/back@{me}", chat=chat) == (
        "Welcome back: you are reminded again, and nobody decides for you."
    )
    assert list(await there.house.service.delegations.standing()) == []


async def test_an_open_card_says_what_comes_next_once_somebody_is_away_and_back(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="timed")
    opened = (await there.house.review(task)).opened_at
    card = await there.card_with(" · next reminder ")
    tomorrow = f"{there.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    await answer_to(there, f"/away nobody until {tomorrow}", chat=ANA_ID)
    await there.house.quiet()
    there.house.clock.advance(LEISURE)
    changed = await there.card_with(f" · escalation {opened + timedelta(hours=2):%Y-%m-%d %H:%M} UTC")
    assert changed.id == card.id
    assert (
        await answer_to(there, "/back", chat=ANA_ID)
        == "Welcome back: you are reminded again, and nobody decides for you."
    )
    await there.house.quiet()
    there.house.clock.advance(LEISURE)
    await there.card_with(f" · next reminder {opened + timedelta(hours=1):%Y-%m-%d %H:%M} UTC")


async def test_wrong_words_and_strangers_are_told_so(there: TelegramHouse) -> None:
    assert "Say it as “/away Ben Okafor until 2026-11-30”" in await answer_to(there, "/away")
    assert "does not tell bots whose @name" in await answer_to(there, "/away @ben until 2026-11-30")
    assert f"nobody is listed under yours, {EVE_ID}" in await answer_to(there, "/back", EVE_ID)
    assert list(await there.house.service.delegations.standing()) == []


async def test_another_bots_command_and_talk_are_not_ours(there: TelegramHouse) -> None:
    there.telegram.state.privacy = False
    for text in ("/back@other_bot", "I am /back", "/backup"):
        await there.telegram.say(GROUP, text, user=ANA_ID)
    assert await answer_to(there, "/back") == "You were not away."
    assert len(there.ours()) == 1


async def test_a_card_names_no_more_who_was_struck_and_says_when_nobody_is_left(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    policy = next(one for one in house_policies() if one.name == "lenient")
    in_force = {"lenient": policy}
    async with telegram_house(sqlite_database, clock, webhook=False, in_force=in_force) as there:
        looking = there.house.service.reconsidering
        await looking.look_over()
        await there.house.submit(flow="lenient")
        assert called(await there.card()) == [ANA_ID, BEN_ID]
        in_force["lenient"] = replace(policy, reviewers=(ANA.id,), approvals=1)
        await looking.look_over()
        there.house.clock.advance(seconds=10)
        await there.card_with("\nFor Ana Ruiz\n")
        in_force["lenient"] = replace(policy, reviewers=())
        await looking.look_over()
        there.house.clock.advance(seconds=10)
        stuck = await there.card_with("nobody can decide on it now: bring back who was struck, ")
        assert "\nFor " not in stuck.text
