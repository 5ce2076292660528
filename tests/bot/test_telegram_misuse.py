"""What somebody's own client, a slip or a misunderstanding brings to Telegram's bot, and what it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from bot.answers import ANONYMOUS, KEPT, unlisted
from bot.buttons import Action
from bot.markup import LIMIT
from bot.reception import HELP, WORDS_DECIDE_NOTHING
from bot.simulator.faults import Fault
from bot.simulator.telegram.people import MessageShape
from bot.telegram.commands import ANSWERED
from bot.telegram.desk import IN_WORDS, OVER, UNCHANGED
from bot.telegram.payloads import shape_of
from bot.telegram.prompts import MINUTES
from core.model import MessageRef, Verdict
from tests.bot import telegram_fixtures
from tests.bot.telegram_edits import asked_for_text, prompt_of, proposed
from tests.bot.telegram_house import ANA_ID, BEN_ID, EVE_ID, GROUP, SAM_ID, TelegramHouse, named, said
from tests.bot.telegram_tasks import tasks
from tests.world import BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message

there = telegram_fixtures.polling


async def test_a_button_pressed_on_another_reviews_card_leaves_that_card_as_it_is(
    there: TelegramHouse,
) -> None:
    first = await there.house.submit("the first")
    await there.card(1)
    await there.house.submit("the second")
    other = await there.card(2)
    token = there.house.buttons.token((await there.house.review(first)).id, 1, Action.APPROVE)
    press = await there.telegram.press_raw(token, user=ANA_ID, message=other)
    assert press.text == "Approved."
    there.house.clock.advance(seconds=10)
    await there.card_with("Approved by Ana Ruiz")
    await there.house.quiet()
    shown = there.telegram.message(GROUP, other.id)
    assert "the second" in shown.text
    assert shown.labels == other.labels


@pytest.mark.parametrize("action", [Action.REJECT_PLAINLY, Action.GIVE_REASON, Action.NEVER_MIND])
async def test_a_question_takes_no_button_of_another_reviews_question(
    there: TelegramHouse, action: Action
) -> None:
    """What somebody reads is what they answer: a client may send any of our buttons under any message."""
    task = await there.house.submit("the first")
    card = await there.card(1)
    other = await there.house.submit("the second")
    await there.telegram.press(card, "Reject…", user=ANA_ID)
    asked = await there.card_with("why do you reject attempt 1 of the first")
    token = there.house.buttons.token((await there.house.review(other)).id, 1, action)
    press = await there.telegram.press_raw(token, user=ANA_ID, message=asked)
    assert press.text == OVER
    await there.house.quiet()
    for one in (task, other):
        assert (await there.house.review(one)).decisions == ()
    assert there.telegram.message(GROUP, asked.id).labels == asked.labels, "it can be answered still"


async def test_a_question_why_takes_no_confirmation_for_an_answer(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    asked = await there.card_with("why do you reject")
    token = there.house.buttons.token((await there.house.review(task)).id, 1, Action.CONFIRM)
    assert (await there.telegram.press_raw(token, user=ANA_ID, message=asked)).text == OVER
    assert (await there.house.review(task)).decisions == ()
    assert there.telegram.message(GROUP, asked.id).labels == asked.labels, "it can be answered still"


@pytest.mark.parametrize("second", ["Discard", "Confirm"])
async def test_a_second_press_waits_for_the_first_and_is_told_the_truth(
    there: TelegramHouse, second: str
) -> None:
    await asked_for_text(there)
    shown = await proposed(there, "better")
    there.house.service.slow = asyncio.Event()
    first = there.telegram.tap(shown, "Confirm", user=ANA_ID)
    other = there.telegram.tap(shown, second, user=ANA_ID)
    await there.telegram.say(GROUP, "/back", user=BEN_ID)
    await there.card_with("You were not away.")  # by then the first is under way
    assert not first.answered
    assert not other.answered, "nothing was changed would not be true"
    there.house.service.slow.set()
    for press in (first, other):
        await press.wait(5)
    assert first.text == "Your edit is recorded."
    assert other.text is not None
    assert other.text.startswith("This question is over. Already approved by Ana Ruiz at ")


async def answered_and_left(there: TelegramHouse) -> Message:
    """A question that Telegram did not take away, and of which nothing is known any more."""
    refused = {"ok": False, "error_code": 400, "description": "Bad Request: message can't be deleted"}
    there.telegram.faults.add(Fault(method="deleteMessage", status=400, body=refused))
    await there.telegram.press(await there.card(), "Reject…", user=BEN_ID)
    over = await there.card_with("why do you reject")
    await there.telegram.press(over, "Cancel", user=BEN_ID)
    await there.house.store.close_dialog(there.channel.name, MessageRef(f"{GROUP}/{over.id}"))
    return over


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT, Action.EDIT])
@pytest.mark.parametrize("is_question", [True, False], ids=["an answered question", "an answer of ours"])
async def test_a_button_sent_with_a_message_that_never_was_a_card_makes_none_of_it(
    there: TelegramHouse, action: Action, *, is_question: bool
) -> None:
    task = await there.house.submit()
    card = await there.card()
    other = await answered_and_left(there) if is_question else await said(there, "/whoami")
    token = there.house.buttons.token((await there.house.review(task)).id, 1, action)
    await there.telegram.press_raw(token, user=ANA_ID, message=other)
    if action is Action.REJECT:
        await there.telegram.press(there.saying("@ana, why do you reject")[0], "No reason", user=ANA_ID)
    there.house.clock.advance(seconds=60)
    await there.house.quiet()
    found = await there.house.service.deliveries(task.id)
    assert found[0].message == f"{GROUP}/{card.id}"
    assert f"{GROUP}/{other.id}" not in [one.message for one in found]
    assert there.telegram.message(GROUP, other.id).text == other.text


async def test_a_question_below_a_card_that_is_not_noted_yet_makes_no_other_reviews_card_of_it(
    there: TelegramHouse,
) -> None:
    """A client may send any of our buttons with it, and the question then stands below it."""
    first = await there.house.submit("the first")
    await there.card(1)
    cut = Fault(method="sendMessage", contains="the second", after_acting=True, cut=True)
    there.telegram.faults.add(cut)
    await there.house.submit("the second")
    copy = await there.telegram.until(lambda: there.saying("the second")[0])
    token = there.house.buttons.token((await there.house.review(first)).id, 1, Action.REJECT)
    await there.telegram.press_raw(token, user=ANA_ID, message=copy)
    asked = await there.card_with("@ana, why do you reject attempt 1 of the first")
    assert asked.reply_to == copy.id
    assert (await there.telegram.press(asked, "No reason", user=ANA_ID)).text == "Rejected."
    there.house.clock.advance(seconds=60)
    await there.house.quiet()
    noted = [one.message for one in await there.house.service.deliveries(first.id)]
    assert f"{GROUP}/{copy.id}" not in noted
    assert there.telegram.message(GROUP, copy.id).text == copy.text


async def test_nor_where_telegram_shows_that_message_no_more(there: TelegramHouse) -> None:
    task = await there.house.submit()
    await there.card()
    other = await said(there, "/whoami")
    token = there.house.buttons.token((await there.house.review(task)).id, 1, Action.APPROVE)
    press = there.telegram.tap_raw(token, user=ANA_ID, message=other, shape=MessageShape.INACCESSIBLE)
    await press.wait(60)
    assert press.text == "Approved."
    there.house.clock.advance(seconds=60)
    await there.house.quiet()
    assert f"{GROUP}/{other.id}" not in [one.message for one in await there.house.service.deliveries(task.id)]


# Words


async def test_words_that_come_after_the_decision_are_refused_in_private_by_the_tasks_name(
    there: TelegramHouse,
) -> None:
    """In whose private chat nothing else says which of their cards it was."""
    title = "*bold* <b>x</b> @eve https://evil.example \u202eeman"
    task = await there.house.submit(title)
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    prompt = await there.card(2)
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await there.telegram.say(GROUP, "too expensive", user=ANA_ID, reply_to=prompt)
    told = await there.card(chat=ANA_ID)
    sentence, _, page = told.text.partition("\n")
    assert sentence.startswith("Already approved by Ben Okri at ")
    assert page.startswith("*bold* <b>x</b> @eve https://evil.example ⟨U+202E⟩eman ")
    assert page.endswith(f" {there.public_url}/tasks/{task.id}")
    (literal,) = [one for one in told.entities if one["type"] == "code"]
    assert literal["length"] >= len(title), "nothing of it comes alive"


async def test_where_the_page_decides_the_private_word_names_the_task(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="page")
    press = await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    assert (await there.card(chat=ANA_ID)).text == named(there, press.text or "", task)


async def test_a_draft_that_begins_like_a_command_is_edited_and_commands_nothing(
    there: TelegramHouse,
) -> None:
    await asked_for_text(there, text="/submit pay Eve 1,000 EUR")
    prompt = await prompt_of(there)
    await there.telegram.say(GROUP, "/submit pay Eve 1 EUR", user=ANA_ID, reply_to=prompt)
    shown = await there.card_with(" edit changes attempt ")
    assert "+/submit pay Eve 1 EUR" in shown.text
    assert len(await tasks(there)) == 1, "nothing was handed in"


async def test_a_command_in_reply_to_what_somebody_else_is_asked_is_a_command(there: TelegramHouse) -> None:
    await asked_for_text(there)
    prompt = await prompt_of(there)
    await there.telegram.say(GROUP, "/submit a task of mine", user=SAM_ID, reply_to=prompt)
    await there.card_with("Handed in: ")
    assert not prompt.deleted


@pytest.mark.parametrize("label", ["Edit…", "Ask…", "Reject…"])
async def test_an_answer_that_comes_too_late_is_told_so(there: TelegramHouse, label: str) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), label, user=ANA_ID)
    prompt = await there.card(2)
    there.house.clock.advance(minutes=MINUTES, seconds=1)
    await there.telegram.say(GROUP, "not for me", user=BEN_ID, reply_to=prompt)
    await there.telegram.say(GROUP, "too expensive", user=ANA_ID, reply_to=prompt)
    assert (await there.card(chat=ANA_ID)).text == named(there, OVER, task)
    assert len(there.ours()) == 2, "and nobody else"
    assert (await there.house.review(task)).is_open


@pytest.mark.parametrize("words", ["approved", "OK!", "👍", "No."])
async def test_a_reply_to_a_card_that_sounds_like_a_decision_is_told_that_it_is_none(
    there: TelegramHouse, words: str
) -> None:
    task = await there.house.submit()
    card = await there.card()
    for user, text in ((EVE_ID, words), (ANA_ID, "no idea what that is"), (ANA_ID, words)):
        await there.telegram.say(GROUP, text, user=user, reply_to=card)
    assert (await there.card(chat=ANA_ID)).text == named(there, WORDS_DECIDE_NOTHING, task)
    await there.telegram.say(GROUP, words, user=BEN_ID, reply_to=card)
    assert (await there.card(2)).text == WORDS_DECIDE_NOTHING, "in the group to whom we may not write"
    assert there.ours(EVE_ID) == []
    review = await there.house.review(task)
    assert (review.is_open, review.decisions) == (True, ())
    await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await there.telegram.say(GROUP, words, user=BEN_ID, reply_to=card)
    await said(there, "/back")
    assert len(there.ours()) == 3, "a closed card needs no such word"


@pytest.mark.parametrize("label", ["Reject…", "Ask…"])
@pytest.mark.parametrize(
    "words", ["cancel", "Never mind.", "/cancel", "/Cancel@simulated_bot", "/stop", "/cancel."]
)
async def test_cancel_is_no_reason_and_no_question(there: TelegramHouse, label: str, words: str) -> None:
    task = await there.house.submit()
    await there.telegram.press(await there.card(), label, user=ANA_ID)
    prompt = await there.card(2)
    if label == "Reject…":
        await there.telegram.press(prompt, "Give a reason", user=ANA_ID)
        prompt = await there.card_with("Reply to this message within")
    await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    await there.gone(prompt)
    assert (await there.card(chat=ANA_ID)).text == named(there, UNCHANGED, task)
    review = await there.house.review(task)
    assert (review.is_open, review.decisions, review.questions) == (True, (), 0)


async def test_help_and_words_of_decision_are_answered(there: TelegramHouse) -> None:
    told = (await said(there, "/help")).text
    assert told == HELP.format("/")
    assert all(line.startswith("“/") for line in told.splitlines()), "a line each"
    assert len(told.splitlines()) == 10
    for words in ("submit flow:NAME TEXT", "looking off", "later off"):
        assert f"“/{words}”" in told
    assert "Say “/whoami”" in (await said(there, "/help", user=EVE_ID)).text
    for text in ("/approve", "/reject too expensive"):
        assert (await said(there, text)).text == WORDS_DECIDE_NOTHING


@pytest.mark.parametrize("chat", [GROUP, ANA_ID])
async def test_what_somebody_forwards_are_not_their_words(there: TelegramHouse, chat: int) -> None:
    eves = await there.telegram.say(GROUP, "/submit pay Eve 1,000 EUR", user=EVE_ID)
    away = await there.telegram.say(GROUP, "/away nobody until 2026-12-24", user=EVE_ID)
    for words in (eves, away):
        await there.telegram.forward(words, chat, user=ANA_ID)
    assert (await said(there, "/back", chat=chat)).text == "You were not away."
    await there.house.quiet()
    assert not await tasks(there)


async def test_a_picture_instead_of_words_is_told_so_where_we_may_not_write(there: TelegramHouse) -> None:
    await there.house.submit()
    await there.telegram.press(await there.card(), "Ask…", user=BEN_ID)
    prompt = await there.card(2)
    await there.telegram.say(GROUP, " ", user=BEN_ID, reply_to=prompt)
    assert (await there.card_with(IN_WORDS)).reply_to is not None


async def test_an_answer_of_an_anonymous_admin_gets_a_hint(there: TelegramHouse) -> None:
    await asked_for_text(there)
    prompt = await prompt_of(there)
    anonymous = there.telegram.add_user(1087968824, "Group", username="GroupAnonymousBot")
    there.telegram.join(GROUP, anonymous)
    await there.telegram.say(GROUP, "better", user=anonymous, reply_to=prompt)
    assert (await there.card(3)).text == ANONYMOUS


@pytest.mark.parametrize("words", ["/pending", "/whoami", "/submit pay Eve"])
async def test_a_command_of_an_anonymous_admin_gets_a_hint(there: TelegramHouse, words: str) -> None:
    """Where they typed it: there is no private chat with nobody."""
    anonymous = there.telegram.add_user(1087968824, "Group", username="GroupAnonymousBot")
    there.telegram.join(GROUP, anonymous)
    assert (await said(there, words, user=1087968824)).text == ANONYMOUS
    assert not await tasks(there)


async def test_a_task_that_may_have_been_cut_is_not_handed_in(there: TelegramHouse) -> None:
    for begin, number in (("/submit ", 0), ("/submit 🙂", 0), ("/submit ", 1)):
        units = len(begin.encode("utf-16-le")) // 2
        told = await said(there, begin + "x" * (LIMIT - units - number), user=SAM_ID, chat=SAM_ID)
        assert told.text.startswith(
            "Handed in: " if number else "Nothing was handed in: Telegram takes 4,096"
        )
    assert len(await tasks(there)) == 1


async def test_a_long_task_is_told_how_long_it_came(there: TelegramHouse) -> None:
    """Telegram Desktop cuts what is too long for a message at a paragraph, anywhere in the second half."""
    short = await said(there, f"/submit {'x' * 2000}", user=SAM_ID, chat=SAM_ID)
    assert "characters" not in short.text
    told = await said(there, f"/submit {'x' * 2500}", user=SAM_ID, chat=SAM_ID)
    assert "It has 2,500 characters: if you wrote more, the rest came as another message" in told.text


async def test_a_refusal_repeats_nothing_that_comes_alive(there: TelegramHouse) -> None:
    for name in ("@everyone", "https://evil.example", "x" * 3000):
        told = await said(there, f"/submit flow:{name} x", user=SAM_ID)
        assert told.text.startswith("There is no flow of that name; there are: ")


async def test_a_stranger_who_asks_in_a_group_is_refused_in_private(there: TelegramHouse) -> None:
    assert (await said(there, "/pending", user=EVE_ID)).text == ANSWERED
    (private,) = there.ours(EVE_ID)
    assert private.text.startswith(
        f"People are known here by their id, and nobody is listed under yours, {EVE_ID}."
    )


async def test_withdraw_with_more_words_takes_nothing_back(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="lenient")
    await there.telegram.press(await there.card(), "Approve", user=ANA_ID)
    assert "nothing after it" in (await said(there, "/withdraw the question", chat=ANA_ID)).text
    assert len((await there.house.review(task)).decisions) == 1


@pytest.mark.parametrize(
    ("above", "is_ours"),
    [({"id": 1, "first_name": "bot"}, True), (None, True), ({"id": 2, "first_name": "who began it"}, False)],
)
def test_only_replies_to_us_are_kept(above: dict[str, Any] | None, *, is_ours: bool) -> None:
    """In a forum's topic whatever people write replies to the topic's first message."""
    chat = {"id": GROUP, "type": "supergroup"}
    first = {"message_id": 7, "chat": chat, "date": 1} | ({"from": above} if above else {})
    message = {"message_id": 8, "chat": chat, "date": 2, "text": "talk", "reply_to_message": first}
    assert shape_of({"update_id": 1, "message": message}).concerns(1) is is_ours


# Presses that come too late for an answer


async def test_who_is_refused_when_the_press_takes_no_answer_any_more_is_told_in_private(
    there: TelegramHouse,
) -> None:
    task = await there.house.submit(flow="own")
    card = await there.card()
    there.telegram.tap(card, "Approve", user=EVE_ID, too_old=True)
    told = await there.card(chat=EVE_ID)
    assert told.text == named(there, str(unlisted(EVE_ID, "/")), task)
    there.telegram.tap(card, "Approve", user=ANA_ID, too_old=True)
    await there.card_with("Approved by Ana Ruiz")
    assert there.ours(ANA_ID) == [], "that says the card"


async def test_a_press_that_was_kept_and_is_refused_after_the_outage_is_told_so(there: TelegramHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.service.is_down = True
    press = await there.telegram.press(card, "Approve", user=ANA_ID)
    assert press.text == KEPT
    there.house.service.is_down = False
    review = await there.house.review(task)
    await there.house.service.decide(review.id, BEN.id, Verdict.REJECT, via="web")
    there.house.clock.advance(seconds=2)
    told = await there.card(chat=ANA_ID)
    assert told.text == named(there, "This was attempt 1; attempt 2 has replaced it.", task)


async def test_however_long_the_outage_a_kept_press_is_told_so_once(there: TelegramHouse) -> None:
    """Telegram takes one answer to a press, and the log is told of an outage once."""
    await there.house.submit()
    card = await there.card()
    service = there.house.service

    async def is_tried_again_and_again() -> bool:
        there.house.clock.advance(seconds=2)
        await there.house.noted()
        return service.refused >= 5

    async def answers() -> list[str]:
        await there.house.noted()
        return [call.params["text"] for call in there.telegram.calls_of("answerCallbackQuery")]

    async def is_counted() -> bool:
        there.house.clock.advance(seconds=2)
        return "Approved." in await answers()

    service.is_down = True
    with capture_logs() as logs:
        await there.telegram.press(card, "Approve", user=ANA_ID)
        await eventually(is_tried_again_and_again)
        service.is_down = False
        await eventually(is_counted)
    assert await answers() == [KEPT, "Approved."]
    assert [line["event"] for line in logs].count("update_postponed") == 1
