"""The menu's words, typed: looking, later, withdraw; and which review they are about."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.menu import LISTED
from core.model import Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions
from tests.bot.slack_house import GENERAL, SlackHouse, typed
from tests.bot.test_slack_menu import half_approved
from tests.world import ANA, BEN

clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def test_words_are_about_the_one_review_that_waits(there: SlackHouse) -> None:
    assert (await typed(there, "looking")).text == "No review waits for you."
    assert (await typed(there, "withdraw")).text == "There is no open review on which you have decided."
    task = await there.house.submit(flow="lenient")
    await there.card()
    assert (await typed(there, "looking off")).text == "You are not looking at any review."
    assert "that you are looking at attempt 1 of hello world" in (await typed(there, "looking")).text
    await there.card_with("Ana Ruiz is looking")
    assert "no longer say" in (await typed(there, "looking off")).text
    assert (await there.house.review(task)).claims == ()
    assert "not before." in (await typed(there, "later 2h")).text
    (snooze,) = (await there.house.review(task)).snoozes
    assert snooze.until == there.house.clock.now() + timedelta(hours=2)
    assert (await typed(there, "later off")).text == "Nothing reminds you of attempt 1 of hello world."
    assert (await there.house.review(task)).snoozes == ()
    await there.house.service.decide((await there.house.review(task)).id, ANA.id, Verdict.APPROVE, via="web")
    assert (await typed(there, "withdraw")).text == "Your decision on attempt 1 of hello world is taken back."
    assert await decisions(there, task) == ()


async def test_where_several_could_be_meant_they_are_listed(there: SlackHouse) -> None:
    tasks = [await there.house.submit(f"{number} <!channel>", flow="lenient") for number in range(2)]
    reviews = [await there.house.review(task) for task in tasks]
    for words in ("looking", "later 2h", "withdraw"):
        if words == "withdraw":
            for review in reviews:
                await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
        said = await typed(there, words)
        (section,) = said.blocks[0]["elements"]
        links = [part for part in section["elements"] if part["type"] == "link"]
        assert [(link["text"], link["url"]) for link in links] == [
            (f"{number} <!channel>", f"{PUBLIC_URL}/tasks/{task.id}") for number, task in enumerate(tasks)
        ]
        assert "more than one" in said.text.lower()
        assert "Use the menu on its card, or say it to me in its thread." in said.text
    for task in tasks:
        review = await there.house.review(task)
        assert (review.claims, review.snoozes, len(review.decisions)) == ((), (), 1)


async def test_off_is_about_the_one_that_was_said(over_socket: SlackHouse) -> None:
    there = over_socket
    tasks = [await there.house.submit(f"task {number}") for number in range(2)]
    reviews = [await there.house.review(task) for task in tasks]
    await there.house.service.looking.claim(reviews[1].id, ANA.id, via="web")
    await there.house.service.looking.snooze(reviews[0].id, ANA.id, timedelta(hours=1), via="web")
    await there.house.service.looking.snooze(reviews[1].id, BEN.id, timedelta(hours=1), via="web")
    for words, about, nothing in (
        ("looking off", "task 1.", "You are not looking at any review."),
        ("later off", "task 0.", "You have put off no reminder."),
    ):
        assert (await typed(there, words)).text.endswith(about)
        assert (await typed(there, words)).text == nothing
    waiting = await there.house.service.waiting_for(ANA.id)
    assert [one.claims for one in waiting] == [(), ()]
    assert [snooze.person for one in waiting for snooze in one.snoozes] == [BEN.id]


async def test_words_in_a_thread_are_about_the_attempt_that_waits_in_it(there: SlackHouse) -> None:
    """The thread begins with the first attempt's card, and other tasks wait, too."""
    task = await there.house.submit()
    first = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    review = await there.house.review(task, 2)
    other = await there.house.review(await there.house.submit("another"))
    words = f"<@{there.slack.bot_user.id}> looking"
    await there.slack.say(GENERAL, words, user="U01ANA", thread_ts=first.ts)
    assert "that you are looking at attempt 2 of hello world" in await there.told("U01ANA")
    assert [one.person for one in (await there.house.service.review(review.id)).claims] == [ANA.id]
    assert (await there.house.service.review(other.id)).claims == ()


async def test_more_than_a_list_holds_is_counted_and_leads_to_the_inbox(over_socket: SlackHouse) -> None:
    there = over_socket
    for number in range(LISTED + 2):
        await there.house.review(await there.house.submit(f"task {number}"))
    choices, below = (block["elements"][0]["elements"] for block in (await typed(there, "looking")).blocks)
    assert [part["text"] for part in choices if part["type"] == "link"] == [
        f"task {number}" for number in range(LISTED)
    ]
    assert [part["text"] for part in below] == ["And 2 more: ", "Your inbox"]
    assert below[-1]["url"] == f"{PUBLIC_URL}/inbox"


async def test_more_decided_than_a_list_holds_is_counted_and_is_in_no_inbox(over_socket: SlackHouse) -> None:
    there = over_socket
    for number in range(LISTED + 1):
        review = await there.house.review(await there.house.submit(f"task {number}", flow="lenient"))
        await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    _, below = (await typed(there, "withdraw")).blocks
    assert below["elements"][0]["elements"] == [{"type": "text", "text": "And 1 more."}]


async def test_where_the_page_decides_the_word_leads_there(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await half_approved(there, flow="paged")
    said = await typed(there, "withdraw")
    (section,) = said.blocks[0]["elements"]
    assert said.text == "This review is decided on its page: its reviewers sign in there."
    assert section["elements"][-1]["url"] == f"{PUBLIC_URL}/tasks/{task.id}"
    assert len(await decisions(there, task)) == 1


@pytest.mark.parametrize(
    "words",
    [
        "later 999999999999d",
        "later",
        "later soon",
        "later 2020-01-01",
        "later 1s",
        "later 400d",
        "looking hard",
    ],
)
async def test_words_that_say_no_time_are_answered_with_how_to_say_it(
    over_socket: SlackHouse, words: str
) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    said = (await typed(there, words)).text
    assert "Say it as “/countersign " in said or "A reminder can be put off by" in said
    review = await there.house.review(task)
    assert (review.claims, review.snoozes) == ((), ())


async def test_a_stranger_and_unknown_words_are_told_so(there: SlackHouse) -> None:
    assert "nobody is listed under yours" in (await typed(there, "looking", "U01EVE")).text
    help_ = (await typed(there, "help")).text
    assert all(line.startswith("“/countersign ") for line in help_.splitlines()), "a line each"
    assert len(help_.splitlines()) == 10
    for word in ("away", "back", "looking", "later 2h", "withdraw"):
        assert f"/countersign {word}" in help_
    for words in ("submit flow:NAME TEXT", "looking off", "later off"):
        assert f"“/countersign {words}”" in help_


async def test_whoever_wants_no_reminder_of_their_own_is_told_when_the_next_comes_if_one_does(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    task = await there.house.submit(flow="timed")
    opened = (await there.house.review(task)).opened_at
    next_one, by = opened + timedelta(hours=1), f"{opened + timedelta(hours=4):%Y-%m-%d %H:%M} UTC"
    await typed(there, "later 2h")
    off = "You are reminded of attempt 1 of hello world when everybody is, next at "
    assert (await typed(there, "later off")).text == f"{off}{next_one:%Y-%m-%d %H:%M} UTC."
    there.house.clock.advance(hours=1)
    await there.card_with("Reminder for ")
    told = (await typed(there, "later off")).text
    assert told == f"Nothing reminds you of attempt 1 of hello world; it is to be decided by {by}."


async def test_a_reminder_that_would_come_after_the_deadline_is_not_promised(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="brief")
    by = (await there.house.review(task)).expires_at
    none = "No reminder of attempt 1 of hello world comes to you before "
    assert by is not None
    assert (await typed(there, "later 2h")).text == (
        f"{none}{by:%Y-%m-%d %H:%M} UTC, by when it is to be decided."
    )
