"""A task's thread in either chat: what has changed, the whole draft, and what came of it."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import pytest

from bot.simulator.faults import Fault
from core.model import DeliveryState, Verdict
from tests.bot import slack_fixtures
from tests.bot import slack_house as slack
from tests.bot import telegram_house as telegram
from tests.world import ANA, BEN, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.simulator.slack.model import Message as Said
    from bot.simulator.telegram.chats import Message as Sent
    from core.model import Delivery, Task
    from core.store.database import Database
    from tests.bot.house import House
    from tests.bot.slack_house import SlackHouse
    from tests.bot.telegram_house import TelegramHouse

LONG = "\n".join(f"{number}. Line <!channel> @everyone" for number in range(1, 400))


NASTY = [
    "<!channel> <@U01ANA> &amp; @everyone /start https://evil.example",
    "pay\u202eme\u200b\u00ad",
    "x" + "\u202e" * 3000,
    "👩🏽\u200d💻" * 2000,
    "e" + "\u0301" * 5000,
    "```py\n" + "x = 1\n" * 2000,
    "& <b>" * 3000,
    "\t\n." * 2000,
]


clock = slack_fixtures.clock


@pytest.fixture
async def in_slack(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[SlackHouse]:
    async with slack.slack_house(sqlite_database, clock, http=False) as started:
        yield started


@pytest.fixture
async def in_telegram(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[TelegramHouse]:
    async with telegram.telegram_house(sqlite_database, clock, webhook=False) as started:
        yield started


async def reject(house: House, task: Task, comment: str) -> None:
    review = await house.review(task)
    await house.service.decide(review.id, ANA.id, Verdict.REJECT, comment=comment, via="web")
    await house.review(task, 2)


async def file_delivery(house: House, task: Task, *, tries: int) -> Delivery:
    async def look() -> Delivery | None:
        found = [one for one in await house.service.deliveries(task.id) if one.review is None]
        return found[0] if found and found[0].tries >= tries else None

    found = await eventually(look)
    assert found is not None
    return found


async def given_up(house: House, task: Task) -> list[str | None]:
    """Why each of the task's deliveries was given up, once all are; its card's comes first."""

    async def look() -> list[str | None]:
        found = await house.service.deliveries(task.id)
        over = len(found) == 2 and all(one.state is DeliveryState.GIVEN_UP for one in found)
        return [one.error for one in sorted(found, key=lambda one: one.review is None)] if over else []

    return await eventually(look)


def texts(message: Said) -> list[str]:
    return [line for line in slack.text_of(message).split("\n") if line]


async def slack_file(there: SlackHouse, number: int = 1) -> Said:
    def files() -> list[Said]:
        return [message for message in there.slack.messages(slack.GENERAL) if message.files]

    await there.slack.until(lambda: len(files()) >= number)
    return files()[number - 1]


async def telegram_file(there: TelegramHouse, number: int = 1) -> Sent:
    return await there.telegram.until(lambda: [one for one in there.ours() if one.document][number - 1])


async def test_in_slack_the_next_attempt_says_why_what_and_then_all(in_slack: SlackHouse) -> None:
    task = await in_slack.house.submit("one\ntwo\nthree")
    first = await in_slack.card()
    await reject(in_slack.house, task, "too short")
    second = await in_slack.card(2)
    assert second.thread_ts == first.ts
    said = texts(second)
    order = [
        said.index(words)
        for words in (
            "too short",
            "Changed since attempt 1:",
            "+— Attempt 2, revised after the review: “too short”",
            "one",
        )
    ]
    assert order == sorted(order)
    old = await in_slack.card_with("superseded by attempt 2")
    assert (old.ts, old.labels) == (first.ts, ())


async def test_in_telegram_the_next_attempt_says_why_what_and_then_all(in_telegram: TelegramHouse) -> None:
    task = await in_telegram.house.submit("one\ntwo\nthree")
    first = await in_telegram.card()
    await reject(in_telegram.house, task, "too short")
    in_telegram.house.clock.advance(seconds=10)
    second = await in_telegram.card(2)
    assert second.reply_to == first.id
    order = [
        second.text.index(words)
        for words in ("too short", "Changed since attempt 1:", "+— Attempt 2", "\none\n")
    ]
    assert order == sorted(order)
    pre = [entity.get("language") for entity in second.entities if entity["type"] == "pre"]
    assert pre == ["diff", None]
    old = await in_telegram.card_with("superseded by attempt 2")
    assert (old.id, old.labels) == (first.id, ())


async def test_in_slack_a_long_draft_is_in_the_thread_as_a_file(in_slack: SlackHouse) -> None:
    task = await in_slack.house.submit(LONG)
    card = await in_slack.card()
    assert any("the file below and its page have them all" in line for line in texts(card))
    shared = await slack_file(in_slack)
    assert shared.thread_ts == card.ts
    (file,) = shared.files
    assert (file.name, file.content.decode()) == ("attempt-1.txt", LONG)
    digest = hashlib.sha256(LONG.encode()).hexdigest()
    assert shared.text == f"All {len(LONG):,} characters of attempt 1 · SHA-256 `{digest}`"
    assert digest in slack.text_of(card)
    await reject(in_slack.house, task, "longer")
    second = (await slack_file(in_slack, 2)).files[0]
    assert (second.name, second.content.decode()[-8:]) == ("attempt-2.txt", "“longer”")
    last = in_slack.slack.messages(slack.GENERAL)[-1]
    assert last.files == (second,), "after the card that it belongs to"


async def test_in_telegram_a_long_draft_is_in_the_thread_as_a_file(in_telegram: TelegramHouse) -> None:
    await in_telegram.house.submit(LONG)
    card = await in_telegram.card()
    assert "the file below and its page have them all" in card.text
    sent = await telegram_file(in_telegram)
    assert (sent.reply_to, sent.labels) == (card.id, ())
    assert sent.document is not None
    assert (sent.document["file_name"], sent.document["mime_type"]) == ("attempt-1.txt", "text/plain")
    stored = in_telegram.telegram.state.files[sent.document["file_id"]]
    assert stored.content.decode() == LONG
    digest = hashlib.sha256(LONG.encode()).hexdigest()
    assert sent.text == f"All {len(LONG):,} characters of attempt 1\nSHA-256 {digest}"
    assert digest in card.text


async def test_the_largest_draft_goes_through(in_slack: SlackHouse) -> None:
    largest = "é" * (2**19 - 100)
    await in_slack.house.submit(largest)
    (file,) = (await slack_file(in_slack)).files
    assert file.content.decode() == largest


@pytest.mark.parametrize("text", NASTY)
async def test_in_slack_any_draft_is_shown_changed_and_closed(in_slack: SlackHouse, text: str) -> None:
    there, house = in_slack, in_slack.house
    task = await house.submit(text)
    await there.card()
    await reject(house, task, text[:500])
    house.clock.advance(seconds=30)
    second = await there.card_with("Changed since attempt 1:")
    assert (await there.slack.press(second, "Approve", user="U01ANA")).ok
    house.clock.advance(seconds=30)
    await there.slack.until(lambda: not any(card.labels for card in there.slack.messages(slack.GENERAL)))
    assert not [one for one in await house.service.deliveries(task.id) if one.state is DeliveryState.GIVEN_UP]


@pytest.mark.parametrize("text", NASTY)
async def test_in_telegram_any_draft_is_shown_changed_and_closed(
    in_telegram: TelegramHouse, text: str
) -> None:
    there, house = in_telegram, in_telegram.house
    task = await house.submit(text)
    await there.card()
    await reject(house, task, text[:500])
    house.clock.advance(seconds=30)
    second = await there.card_with("Changed since attempt 1:")
    assert (await there.telegram.press(second, "Approve", user=telegram.ANA_ID)).answered
    house.clock.advance(seconds=30)
    await there.telegram.until(lambda: not any(card.labels for card in there.ours()))
    assert not [one for one in await house.service.deliveries(task.id) if one.state is DeliveryState.GIVEN_UP]


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_file_that_slack_did_not_take_is_sent_again_and_nothing_else_is(
    in_slack: SlackHouse, method: str
) -> None:
    in_slack.slack.faults.add(Fault(method=method, status=500))
    task = await in_slack.house.submit(LONG)
    await file_delivery(in_slack.house, task, tries=1)
    in_slack.house.clock.advance(seconds=5)
    await slack_file(in_slack)
    assert len(in_slack.slack.messages(slack.GENERAL)) == 2


@pytest.mark.parametrize("where", ["/upload/v1/nowhere", None], ids=["refused", "away"])
async def test_a_file_whose_bytes_slack_did_not_take_is_sent_again(
    in_slack: SlackHouse, where: str | None
) -> None:
    """The second of the three steps, at an address that Slack names and that is not the Web API's."""
    host = in_slack.slack.api_url.removesuffix("/api/")
    url = "http://127.0.0.1:1/" if where is None else f"{host}{where}"
    named = {"ok": True, "upload_url": url, "file_id": "F0LOST"}
    in_slack.slack.faults.add(Fault(method="files.getUploadURLExternal", status=200, body=named))
    task = await in_slack.house.submit(LONG)
    lost = await file_delivery(in_slack.house, task, tries=1)
    assert (lost.error or "").startswith("Slack could not be reached (")
    in_slack.house.clock.advance(seconds=5)
    await slack_file(in_slack)
    assert len(in_slack.slack.messages(slack.GENERAL)) == 2


async def test_without_the_scope_the_card_is_there_and_the_page_says_what_is_missing(
    in_slack: SlackHouse,
) -> None:
    refused = {"ok": False, "error": "missing_scope", "needed": "files:write"}
    in_slack.slack.faults.add(Fault(method="files.getUploadURLExternal", body=refused, times=None))
    task = await in_slack.house.submit(LONG)
    file = await file_delivery(in_slack.house, task, tries=1)
    assert file.error == (
        "Slack did not take it (missing_scope): "
        "the app lacks a permission; install it again with our manifest."
    )
    assert file.state is DeliveryState.DUE, "it goes out once the app is mended"
    answer = await in_slack.slack.press(await in_slack.card(), "Approve", user="U01ANA")
    assert answer.ok


async def test_a_file_telegram_does_not_take_costs_nobody_the_card(in_telegram: TelegramHouse) -> None:
    refused = {"ok": False, "error_code": 413, "description": "Request Entity Too Large"}
    in_telegram.telegram.faults.add(Fault(method="sendDocument", status=413, body=refused, times=None))
    task = await in_telegram.house.submit(LONG)
    await file_delivery(in_telegram.house, task, tries=1)
    press = await in_telegram.telegram.press(await in_telegram.card(), "Approve", user=telegram.ANA_ID)
    assert press.answered


async def test_in_slack_no_file_is_sent_where_its_card_was_refused(in_slack: SlackHouse) -> None:
    in_slack.slack.channel(slack.GENERAL).is_archived = True
    task = await in_slack.house.submit(LONG)
    assert await given_up(in_slack.house, task) == [
        "Slack refused it (is_archived): the channel is archived.",
        "There is no card that the draft's file could follow.",
    ]
    assert "files.getUploadURLExternal" not in in_slack.transcript


async def test_in_telegram_no_file_is_sent_where_its_card_was_refused(in_telegram: TelegramHouse) -> None:
    in_telegram.telegram.kick_bot(telegram.GROUP)
    task = await in_telegram.house.submit(LONG)
    refused, file = await given_up(in_telegram.house, task)
    assert "bot was kicked" in str(refused)
    assert file == "There is no card that the draft's file could follow."
    assert in_telegram.telegram.calls_of("sendDocument") == []


async def test_a_review_that_closed_first_sends_no_file(in_slack: SlackHouse) -> None:
    in_slack.slack.faults.add(Fault(method="files.getUploadURLExternal", status=500))
    task = await in_slack.house.submit(LONG)
    await file_delivery(in_slack.house, task, tries=1)
    await in_slack.slack.press(await in_slack.card(), "Approve", user="U01ANA")
    assert "the file below" not in slack.text_of(await in_slack.card_with("Approved by Ana Ruiz"))
    in_slack.house.clock.advance(hours=2)
    assert [one.review is None for one in await in_slack.house.service.deliveries(task.id)] == [False]


async def test_no_log_has_a_draft(
    sqlite_database: Database,
    clock: StoppedClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    async with slack.slack_house(sqlite_database, clock, http=False) as there:
        there.slack.faults.add(Fault(method="files.completeUploadExternal", status=500))
        task = await there.house.submit("a canary\n" * 500)
        await file_delivery(there.house, task, tries=1)
        there.house.clock.advance(seconds=5)
        await slack_file(there)
    printed = capsys.readouterr()
    assert "canary" not in caplog.text + printed.out + printed.err


async def test_in_slack_the_thread_hears_who_took_an_answer_back_and_what_came_of_it(
    in_slack: SlackHouse,
) -> None:
    there, house = in_slack, in_slack.house
    task = await house.submit("pay 30 EUR", flow="paying")
    card = await there.card()
    review = await house.review(task)
    await there.slack.press(card, "Approve", user="U01ANA")
    await house.service.withdraw(review.id, ANA.id, via="web")
    told = await there.card_with(" has taken back their answer on ")
    assert told.thread_ts == card.ts
    for person in (ANA, BEN):
        await house.service.decide(review.id, person.id, Verdict.APPROVE, via="web")
    house.clock.advance(seconds=30)
    end = await there.card_with("Completed, ")
    assert end.thread_ts == card.ts
    assert "receipt 7 for pay 30 EUR" in texts(end)


async def test_in_telegram_the_thread_hears_what_came_of_it(in_telegram: TelegramHouse) -> None:
    there, house = in_telegram, in_telegram.house
    for words, said, quoted in (
        ("pay 30 EUR", "Completed, ", "receipt 7 for pay 30 EUR"),
        ("pay 30 EUR though broke", "Failed, ", "no money"),
    ):
        task = await house.submit(words, flow="paying")
        review = await house.review(task)
        house.clock.advance(seconds=30)
        await house.delivery(task, lambda found: found.message)
        for person in (ANA, BEN):
            await house.service.decide(review.id, person.id, Verdict.APPROVE, via="web")
        house.clock.advance(seconds=30)
        end = await there.card_with(said)
        assert quoted in end.text
        assert end.reply_to is not None
        assert end.labels == ()


async def test_a_result_that_was_approved_as_it_is_makes_no_message(in_slack: SlackHouse) -> None:
    task = await in_slack.house.submit()
    await in_slack.slack.press(await in_slack.card(), "Approve", user="U01ANA")
    await in_slack.card_with("Approved by Ana Ruiz")
    await in_slack.house.diary.until(lambda: in_slack.house.diary.of(task.id)[-1:])
    assert len(in_slack.slack.messages(slack.GENERAL)) == 1
