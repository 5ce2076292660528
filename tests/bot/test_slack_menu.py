"""What else than a decision Slack offers: I'm looking, remind me later, take back my decision."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.blocks import MENU_ACTION
from bot.simulator.slack.forms import NotOffered
from core.events import ReminderSnoozed, ReviewClaimed
from core.model import Verdict
from core.timetable import next_morning
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house, text_of, typed
from tests.world import ANA, CY, StoppedClock

if TYPE_CHECKING:
    from bot.simulator.slack import Message
    from core.model import Task
    from core.store.database import Database

WITHDRAW = "Take back my decision"
LOOKING = "I'm looking"
IN_AN_HOUR = "Remind me in 1 hour"
TOMORROW = "Remind me tomorrow"


clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def chosen(there: SlackHouse, card: Message, option: str, user: str = "U01ANA") -> str:
    """Choose in a card's menu; what only this person reads in answer."""
    before = len(there.slack.ephemerals(user))
    answer = await there.slack.press(card, MENU_ACTION, option=option, user=user)
    assert answer.status == 200
    await there.slack.until(lambda: len(there.slack.ephemerals(user)) > before)
    (seen,) = there.slack.ephemerals(user)[before:]
    return seen.text


async def test_a_title_in_a_private_answer_is_text_and_times_are_the_readers(there: SlackHouse) -> None:
    await there.house.submit("*bold* <https://evil.example> \u202eeman")
    card = await there.card()
    shown = "*bold* <https://evil.example> ⟨U+202E⟩eman"
    before = len(there.slack.ephemerals("U01ANA"))
    await chosen(there, card, LOOKING)
    await chosen(there, card, IN_AN_HOUR)
    await typed(there, "looking off")
    looking, later, no_more = there.slack.ephemerals("U01ANA")[before:]
    for answer in (looking, later, no_more):
        assert shown in text_of(answer)
        assert {block["type"] for block in answer.blocks} == {"rich_text"}, "which knows no markup"
        assert "\u202e" not in answer.text
        assert "<" not in answer.text, "which Slack reads as markup in whatever shows no blocks"
    assert '"date"' in json.dumps(list(later.blocks))


async def test_a_title_in_the_answer_to_a_mention_is_text(there: SlackHouse) -> None:
    await there.house.submit("<!channel> <https://evil.example>")
    card = await there.card()
    words = f"<@{there.slack.bot_user.id}> looking"
    await there.slack.say(GENERAL, words, user="U01ANA", thread_ts=card.ts)
    assert "<" not in await there.told("U01ANA")
    (seen,) = there.slack.ephemerals("U01ANA")
    assert "<!channel> <https://evil.example>" in text_of(seen)
    assert {block["type"] for block in seen.blocks} == {"rich_text"}


async def half_approved(there: SlackHouse, text: str = "hello world", flow: str = "lenient") -> Task:
    """A task that Ana has approved and that waits for Ben."""
    task = await there.house.submit(text, flow=flow)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    await there.card_with("Approved by Ana Ruiz")
    return task


# Take back my decision


async def test_a_decision_is_taken_back_in_the_cards_menu_and_twice_is_harmless(there: SlackHouse) -> None:
    task = await there.house.submit("<b> & more", flow="lenient")
    card = await there.card()
    with pytest.raises(NotOffered, match=WITHDRAW):
        await chosen(there, card, WITHDRAW)
    await there.slack.press(card, "Approve", user="U01ANA")
    approved = await there.card_with("Approved by Ana Ruiz")
    said = await chosen(there, approved, WITHDRAW)
    assert said == "Your decision on attempt 1 of &lt;b&gt; &amp; more is taken back."
    assert await decisions(there, task) == ()
    await there.slack.until(lambda: "0 of 2" in text_of(there.slack.message(card.channel, card.ts)))
    assert "Approved by" not in text_of(there.slack.message(card.channel, card.ts))
    assert await chosen(there, approved, WITHDRAW) == "You have not decided on this review."


async def test_who_may_not_take_back_is_told_why_and_nothing_changes(there: SlackHouse) -> None:
    task = await half_approved(there)
    card = await there.card_with("Approved by Ana Ruiz")
    assert await chosen(there, card, WITHDRAW, "U01BEN") == "You have not decided on this review."
    assert await chosen(there, card, WITHDRAW, "U01SAM") == "You have not decided on this review."
    assert "nobody is listed under yours, T0SIMULATED/U01EVE" in await chosen(there, card, WITHDRAW, "U01EVE")
    assert [made.reviewer for made in await decisions(there, task)] == [ANA.id]
    await there.slack.press(card, "Approve", user="U01BEN")
    await there.card_with("Approved by Ben Okri")
    assert (await chosen(there, card, WITHDRAW)).startswith("Already approved by Ben Okri at ")
    assert len(await decisions(there, task)) == 2


async def test_what_a_delegate_decided_in_ones_place_is_taken_back(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="staged")
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, CY.id, until, by=ANA.id)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, CY.id, Verdict.APPROVE, via="web")
    card = await there.card_with("Approved by Cy Young for Ana Ruiz")
    assert (await chosen(there, card, WITHDRAW)).endswith(" is taken back.")
    assert await decisions(there, task) == ()


async def test_where_the_page_decides_taking_back_leads_there(there: SlackHouse) -> None:
    task = await half_approved(there, flow="paged")
    card = await there.card_with("Approved by Ana Ruiz")
    assert await chosen(there, card, WITHDRAW) == (
        "This review is decided on its page: its reviewers sign in there. "
        f"<{PUBLIC_URL}/tasks/{task.id}|Open the task>"
    )
    assert len(await decisions(there, task)) == 1


async def test_a_menu_takes_no_other_buttons_token_and_a_button_none_of_the_menus(there: SlackHouse) -> None:
    task = await half_approved(there)
    card = await there.card_with("Approved by Ana Ruiz")
    unreadable = "Nothing was changed: this button cannot be read. Please use the task's page instead."
    payload = there.slack.action_payload(card, MENU_ACTION, option=WITHDRAW, user="U01BEN")
    token = payload["actions"][0]["selected_option"]["value"]
    approve = there.slack.action_payload(card, "Approve", user="U01BEN")
    payload["actions"][0]["selected_option"]["value"] = approve["actions"][0]["value"]
    approve["actions"][0]["value"] = token
    await there.slack.deliver(payload)
    await there.slack.deliver(approve)
    for forged in (token[:-1] + "!", None, {"value": 5}):
        payload["actions"][0]["selected_option"] = forged if forged is None else {"value": forged}
        await there.slack.deliver(payload)
    await there.slack.until(lambda: len(there.slack.ephemerals("U01BEN")) >= 4)
    assert {seen.text for seen in there.slack.ephemerals("U01BEN")} == {unreadable}
    assert len(await decisions(there, task)) == 1


async def test_a_menu_of_an_attempt_before_is_refused(there: SlackHouse) -> None:
    await there.house.submit(flow="lenient")
    card = await there.card()
    for user in ("U01ANA", "U01BEN"):
        await there.slack.press(card, "Reject…", user=user)
        (view,) = there.slack.open_views(user)
        await there.slack.submit(view, user=user)
    await there.card_with("attempt 2 · submitted by ")
    for option in (LOOKING, IN_AN_HOUR):
        assert await chosen(there, card, option) == "This was attempt 1; attempt 2 has replaced it."


async def test_a_menu_while_the_database_is_down_does_nothing_and_says_so(there: SlackHouse) -> None:
    task = await half_approved(there)
    card = await there.card_with("Approved by Ana Ruiz")
    there.house.service.is_down = True
    assert not (await there.slack.press(card, MENU_ACTION, option=WITHDRAW, user="U01ANA")).ok
    assert (await there.told("U01ANA")).startswith("This could not be recorded")
    assert len(await decisions(there, task)) == 1


@pytest.mark.parametrize("http", [False, True])
async def test_a_menu_outlives_a_restart(
    sqlite_database: Database, clock: StoppedClock, *, http: bool
) -> None:
    async with simulated() as slack:
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            task = await half_approved(there)
            card = await there.card_with("Approved by Ana Ruiz")
        async with slack_house(sqlite_database, clock, http=http, running=slack) as again:
            assert (await chosen(again, card, LOOKING, "U01BEN")).startswith("The cards say that you are")
            await again.card_with("Ben Okri is looking")
            assert (await chosen(again, card, WITHDRAW)).endswith(" is taken back.")
            assert await decisions(again, task) == ()


# I'm looking


async def test_everybody_sees_who_is_looking_and_twice_is_harmless(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    said = "The cards say that you are looking at attempt 1 of hello world."
    assert await chosen(there, card, LOOKING) == said
    await there.card_with("Ana Ruiz is looking, until ")
    assert await chosen(there, card, LOOKING) == said
    assert [type(event) for event in there.house.diary.of(task.id)].count(ReviewClaimed) == 1
    await there.slack.press(card, "Approve", user="U01BEN")
    closed = await there.card_with("Approved by Ben Okri")
    assert "looking" not in text_of(closed)
    assert (await chosen(there, card, LOOKING)).startswith("Already approved by Ben Okri at ")


@pytest.mark.parametrize("option", [LOOKING, IN_AN_HOUR, TOMORROW])
async def test_who_may_not_decide_is_refused_in_the_words_of_a_decision(
    there: SlackHouse, option: str
) -> None:
    task = await there.house.submit(flow="own")
    card = await there.card()
    told = await chosen(there, card, option, "U01SAM")
    assert told == "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."
    assert "not among the reviewers" in await chosen(there, card, option, "U01BEN")
    assert "nobody is listed under yours" in await chosen(there, card, option, "U01EVE")
    review = await there.house.review(task)
    assert (review.claims, review.snoozes) == ((), ())


# Remind me later


async def test_a_reminder_comes_in_an_hour_and_twice_is_harmless(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    at = there.house.clock.now() + timedelta(hours=1)
    said = f"You are reminded of attempt 1 of hello world at {at:%Y-%m-%d %H:%M} UTC, not before."
    assert await chosen(there, card, IN_AN_HOUR) == said
    there.house.clock.advance(seconds=5)
    assert await chosen(there, card, IN_AN_HOUR) == said
    assert [type(event) for event in there.house.diary.of(task.id)].count(ReminderSnoozed) == 1
    there.house.clock.advance(hours=1)
    told = await there.card_with("Reminder for ")
    assert told.thread_ts == card.ts
    assert told.text.startswith("Reminder for Ana Ruiz: please decide on attempt 1 of hello world.")


async def test_tomorrow_is_what_it_is_on_the_page(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await chosen(there, await there.card(), TOMORROW)
    (snooze,) = (await there.house.review(task)).snoozes
    assert (snooze.person, snooze.until) == (ANA.id, next_morning(there.house.clock.now(), ANA))
