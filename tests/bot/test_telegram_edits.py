"""Edit and ask in Telegram: replies carry words, and only presses decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from telegram import MessageEntity, User

from bot.buttons import Action
from bot.markup import ENTITIES, LIMIT
from bot.simulator.faults import Fault
from bot.telegram.desk import AGAIN, MAY_BE_CUT, NOT_HERE, OVER
from bot.telegram.edits import LONGEST, PRESS
from bot.telegram.prompts import MINUTES, proposal, request_for_question, request_for_text
from core.events import QuestionAnswered, QuestionAsked
from core.literal import utf16
from core.model import Policy, Submission, Verdict
from tests.bot import telegram_fixtures
from tests.bot.endings import ENDS, ends
from tests.bot.house import PUBLIC_URL, decided, decisions
from tests.bot.telegram_edits import asked_for_text, prompt_of, proposed
from tests.bot.telegram_house import (
    ANA_ID,
    BEN_ID,
    EVE_ID,
    GROUP,
    SAM_ID,
    TelegramHouse,
    named,
    simulated,
    telegram_house,
)
from tests.bot.telegram_texts import ANY_TEXT
from tests.bot.telegram_updates import postponed
from tests.world import ANA, BEN, SAM, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from bot.buttons import Buttons
    from bot.simulator.telegram.chats import Message
    from core.model import Question, ReviewRequest, Task
    from core.store.database import Database
    from tests.world import StoppedClock

FRAMED = "\n  hello world\n\n"
HOSTILE = "@eve https://evil.example /withdraw <b>bold</b> \u202edlrow\u200b"


@pytest.fixture(params=["polling", "webhook"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[TelegramHouse]:
    by_webhook = request.param == "webhook"
    async with telegram_house(sqlite_database, clock, webhook=by_webhook, admins=[BEN.id]) as started:
        yield started


polling = telegram_fixtures.polling


async def answered(there: TelegramHouse, message: Message) -> Message:
    """What the bot replies to that message."""
    found = await there.telegram.until(
        lambda: next((one for one in there.ours() if one.reply_to == message.id), None)
    )
    assert found is not None
    return found


# Edit


async def test_a_new_text_is_sent_its_difference_shown_and_then_confirmed(there: TelegramHouse) -> None:
    task = await asked_for_text(there, text="hello\nworld")
    prompt = await prompt_of(there)
    assert prompt.text.startswith("@ana, send the whole new text of attempt 1 of ")
    assert "Nothing is decided until you confirm. Copy it from here:\nhello\nworld" in prompt.text
    assert prompt.force_reply is not None
    assert prompt.force_reply["selective"] is True
    shown = await proposed(there, "hello\nmoon")
    assert " hello\n-world\n+moon" in shown.text
    assert "@@" not in shown.text
    assert (
        "Nothing is decided until you confirm. Then your text is approved in place of the draft."
        in shown.text
    )
    assert shown.labels == ("Confirm", "Discard")
    await there.gone(prompt)
    assert await decisions(there, task) == (), "seeing is not deciding"
    press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (press.text, press.show_alert) == ("Your edit is recorded.", False)
    (made,) = await decisions(there, task)
    assert (made.reviewer, made.verdict, made.content, made.via) == (
        ANA.id,
        Verdict.EDIT,
        "hello\nmoon",
        "telegram",
    )
    await there.gone(shown)
    there.house.clock.advance(seconds=10)
    card = await there.card_with("Edited and approved by Ana Ruiz")
    assert "moon" in card.text
    assert card.labels == ()


async def test_a_discarded_edit_changes_nothing(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    press = await there.telegram.press(shown, "Discard", user=ANA_ID)
    assert press.text == "Nothing was changed."
    await there.gone(shown)
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("words", ["ok", "approved", "yes", "Confirm"])
async def test_words_are_never_consent(polling: TelegramHouse, words: str) -> None:
    """In reply to the difference, to the card, or to nothing."""
    there = polling
    task = await asked_for_text(there)
    shown = await proposed(there, words)
    await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=shown)
    told = await there.card(1, chat=ANA_ID)
    assert told.text == named(there, PRESS, task)
    await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=await there.card())
    await there.telegram.say(GROUP, words, user=ANA_ID)
    await there.telegram.say(GROUP, words, user=SAM_ID, reply_to=shown)
    assert await decisions(there, task) == ()
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == words


async def test_a_confirmation_pressed_twice_decides_once(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    again = await there.telegram.press_raw(
        shown.button("Confirm")["callback_data"], user=ANA_ID, message=shown
    )
    assert again.text is not None
    assert again.text.startswith("This question is over. Already approved by Ana Ruiz at ")
    assert len(await decisions(there, task)) == 1


async def test_only_the_person_asked_writes_and_confirms(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    await there.telegram.say(GROUP, "Eve's", user=EVE_ID, reply_to=await prompt_of(there))
    told = await there.card(1, chat=EVE_ID)
    assert told.text == named(there, "Only Ana Ruiz can answer this question.", task)
    shown = await proposed(there, "better")
    for label in ("Confirm", "Discard"):
        press = await there.telegram.press(shown, label, user=BEN_ID)
        assert press.text == "Only Ana Ruiz can answer this question."
    assert await decisions(there, task) == ()
    assert not there.telegram.message(GROUP, shown.id).deleted


@pytest.mark.parametrize(
    "action", [Action.REJECT_PLAINLY, Action.CHOOSE, Action.GIVE_REASON, Action.WITHDRAW, Action.APPROVE]
)
async def test_another_buttons_token_under_a_difference_does_not_edit(
    polling: TelegramHouse, action: Action
) -> None:
    there = polling
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    review = await there.house.review(task)
    token = there.house.buttons.token(review.id, 1, action)
    await there.telegram.press_raw(token, user=ANA_ID, message=shown)
    assert all(made.verdict is Verdict.APPROVE for made in await decisions(there, task))


async def test_a_confirmations_token_under_a_question_why_decides_nothing(polling: TelegramHouse) -> None:
    there = polling
    task = await there.house.submit()
    await there.telegram.press(await there.card(), "Reject…", user=ANA_ID)
    review = await there.house.review(task)
    token = there.house.buttons.token(review.id, 1, Action.CONFIRM)
    for message in (await there.card(2), await there.card()):
        press = await there.telegram.press_raw(token, user=ANA_ID, message=message)
        assert press.text == OVER
    assert await decisions(there, task) == ()


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (SAM_ID, "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."),
        (EVE_ID, f"nobody is listed under yours, {EVE_ID}"),
        (BEN_ID, "You are not among the reviewers"),
    ],
)
@pytest.mark.parametrize("label", ["Edit…", "Ask…"])
async def test_who_may_not_decide_is_asked_nothing_and_refused_in_the_words_of_a_decision(
    there: TelegramHouse, label: str, user: int, words: str
) -> None:
    task = await there.house.submit(flow="own")
    press = await there.telegram.press(await there.card(), label, user=user)
    assert words in (press.text or "")
    assert press.show_alert
    assert len(there.ours()) == 1
    assert await decisions(there, task) == ()


async def test_a_closed_review_says_so_at_every_step(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    prompt = await prompt_of(there)
    shown = await proposed(there, "better")
    card = await there.card()
    await there.telegram.press(card, "Edit…", user=ANA_ID)
    again = await there.card_with("as a reply to this message within")
    assert again.id != prompt.id
    await there.telegram.press(card, "Approve", user=BEN_ID)
    already = "Already approved by Ben Okri at "
    press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (press.text or "").startswith(already)
    await there.gone(shown)
    await there.telegram.say(GROUP, "better", user=ANA_ID, reply_to=again)
    assert (await there.card(1, chat=ANA_ID)).text.startswith(already)
    await there.gone(again)
    press = await there.telegram.press(card, "Edit…", user=ANA_ID)
    assert (press.text or "").startswith(already)
    assert [made.verdict for made in await decisions(there, task)] == [Verdict.APPROVE]


async def test_an_old_attempts_buttons_ask_nothing(polling: TelegramHouse) -> None:
    there = polling
    task = await there.house.submit()
    card = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await there.house.review(task, 2)
    for label in ("Edit…", "Ask…"):
        press = await there.telegram.press(card, label, user=ANA_ID)
        assert press.text == "This was attempt 1; attempt 2 has replaced it."


async def test_whoever_was_struck_meanwhile_is_refused(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    in_force: dict[str, Policy] = {}
    async with telegram_house(sqlite_database, clock, webhook=False, in_force=in_force) as there:
        task = await asked_for_text(there, flow="own")
        shown = await proposed(there, "better")
        in_force["own"] = Policy(name="own", reviewers=(SAM.id,))
        press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
        assert "not among" in (press.text or "")
        assert await decisions(there, task) == ()


async def test_where_the_page_decides_editing_leads_there(there: TelegramHouse) -> None:
    task = await asked_for_text(there, flow="page")
    told = await there.card(1, chat=ANA_ID)
    assert told.text.endswith(f"{there.public_url}/tasks/{task.id}")


async def test_a_channel_has_no_replies_so_the_page_has_the_form(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(-1009, "channel", "News", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=-1009
        ) as there:
            await there.house.submit()
            for number, label in enumerate(("Edit…", "Ask…"), 1):
                press = await telegram.press(await there.card(chat=-1009), label, user=ANA_ID)
                assert press.text == NOT_HERE
                assert "/tasks/" in (await there.card(number, chat=ANA_ID)).text
            assert len(there.ours(-1009)) == 1


@pytest.mark.parametrize(("text", "counted"), [("x" * (LONGEST + 1), "4,0"), ("😀" * 2001, "4,0")])
async def test_a_draft_that_fits_no_message_is_edited_on_its_page(
    there: TelegramHouse, text: str, counted: str
) -> None:
    task = await there.house.submit(text)
    press = await there.telegram.press(await there.card(), "Edit…", user=ANA_ID)
    assert (press.text or "").startswith(
        f"A reply takes a draft of 4,000 characters, and as Telegram counts this one has {counted}"
    )
    assert f"/tasks/{task.id}" in (await there.card(1, chat=ANA_ID)).text


@pytest.mark.parametrize(("length", "is_told"), [(2000, False), (2500, True)])
async def test_who_confirms_a_long_text_is_told_how_long_it_came(
    polling: TelegramHouse, length: int, *, is_told: bool
) -> None:
    """Telegram Desktop may have cut it; the difference alone could hide that."""
    await asked_for_text(polling)
    shown = await proposed(polling, "y" * length)
    words = f"It has {length:,} characters: if you wrote more, the rest came as another message"
    assert (words in shown.text) is is_told


async def test_a_text_that_may_have_been_cut_is_not_taken(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    reply = await there.telegram.say(GROUP, "y" * LIMIT, user=ANA_ID, reply_to=await prompt_of(there))
    told = await answered(there, reply)
    assert "the end of yours may be missing" in told.text
    assert f"/tasks/{task.id}" in told.text
    there.house.clock.advance(AGAIN)
    shown = await proposed(there, "y" * (LIMIT - 1))
    assert "more characters of changes." in shown.text
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == "y" * (LIMIT - 1)


async def test_a_text_that_will_not_do_is_asked_for_again(there: TelegramHouse) -> None:
    task, _ = await there.house.service.submit(
        Submission(input={"@eve": 30, "note": "ü"}, submitter=SAM.id, flow="approval")
    )
    await there.telegram.press(await there.card(), "Edit…", user=ANA_ID)
    prompt = await there.card_with("send the whole new JSON of attempt 1")
    for typed, words in (
        ("{", "The draft is JSON, and what you wrote is not"),
        ('{"note": "ü"}', "has lost '@eve'"),
        ('{"note": "ü", "@eve": 30}', "This is the draft as it is"),
    ):
        reply = await there.telegram.say(GROUP, typed, user=ANA_ID, reply_to=prompt)
        told = await answered(there, reply)
        assert words in told.text
        assert [entity["type"] for entity in told.entities] == ["code"], "nothing in it comes alive"
    assert not there.telegram.message(GROUP, prompt.id).deleted
    await there.telegram.say(GROUP, '{"@eve": 25, "note": "ü"}', user=ANA_ID, reply_to=prompt)
    shown = await there.card_with(" edit changes attempt ")
    await there.gone(prompt)
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == {"@eve": 25, "note": "ü"}


async def test_hostile_text_is_kept_as_it_is_and_shown_harmless(polling: TelegramHouse) -> None:
    there = polling
    task = await asked_for_text(there, text=HOSTILE)
    assert "Copy it" not in (await prompt_of(there)).text, "a copy of what is shown would not be the draft"
    shown = await proposed(there, f"{HOSTILE}!")
    assert "\u202e" not in shown.text
    kinds = [entity["type"] for entity in shown.entities]
    assert kinds == ["code", "pre", "url"], "only our own page is a link"
    bare = "".join(
        sign
        for at, sign in enumerate(shown.text)
        if not any(one["offset"] <= at < one["offset"] + one["length"] for one in shown.entities[:2])
    )
    assert "@eve" not in bare
    assert "evil.example" not in bare
    assert bare.startswith("@ana, your edit changes attempt 1 of ")
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await decided(there, task)).content == f"{HOSTILE}!"


async def test_below_a_quorum_an_edit_becomes_the_next_attempt(there: TelegramHouse) -> None:
    task = await asked_for_text(there, flow="lenient")
    shown = await proposed(there, "better")
    assert "2 people have to approve, so your text becomes the next attempt." in shown.text
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await there.house.review(task, 2)).draft == "better"


@pytest.mark.parametrize("typed", [False, True])
async def test_a_policy_that_wants_reasons_wants_one_with_an_edit(
    there: TelegramHouse, *, typed: bool
) -> None:
    task = await asked_for_text(there, flow="always")
    shown = await proposed(there, "better")
    press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert press.text is None
    why = await there.card_with("why do you edit attempt 1")
    assert await decisions(there, task) == ()
    if typed:
        await there.telegram.say(GROUP, "too long", user=ANA_ID, reply_to=why)
    else:
        await there.telegram.press(why, "Not now", user=ANA_ID)
    made = await decided(there, task)
    assert (made.verdict, made.content, made.comment) == (
        Verdict.EDIT,
        "better",
        "too long" if typed else "Not now",
    )
    cards = [one for one in await there.house.service.deliveries(task.id) if one.review is not None]
    assert len(cards) == 1, "no message of a dialog is taken for a card"


async def test_a_dialog_expires_and_leaves_the_review_open(there: TelegramHouse) -> None:
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    there.house.clock.advance(minutes=MINUTES, seconds=1)
    press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert press.text == OVER
    assert await decisions(there, task) == ()


@pytest.mark.parametrize("webhook", [False, True])
async def test_an_edit_outlives_a_restart_at_every_step(
    sqlite_database: Database, clock: StoppedClock, *, webhook: bool
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            task = await asked_for_text(there)
            prompt = await prompt_of(there)
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            await there.telegram.say(GROUP, "better", user=ANA_ID, reply_to=prompt)
            shown = await there.card_with(" edit changes attempt ")
            await there.gone(prompt)
        if not webhook:
            telegram.tap(shown, "Confirm", user=ANA_ID)
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            if webhook:
                await telegram.press(shown, "Confirm", user=ANA_ID)
            assert (await decided(there, task)).content == "better"


async def test_a_confirmation_while_the_database_is_down_is_kept_and_counts_later(
    there: TelegramHouse,
) -> None:
    task = await asked_for_text(there)
    shown = await proposed(there, "better")
    there.house.service.is_down = True
    press = await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert "Your press is kept" in (press.text or "")
    await eventually(lambda: postponed(there))
    there.house.service.is_down = False
    there.house.clock.advance(seconds=2)
    assert (await decided(there, task)).content == "better"


async def test_what_cannot_be_sent_is_told(polling: TelegramHouse) -> None:
    there = polling
    await there.house.submit()
    card = await there.card()
    for label in ("Edit…", "Ask…"):
        forbidden = {"ok": False, "description": "Forbidden"}
        there.telegram.faults.add(Fault(method="sendMessage", status=403, body=forbidden))
        press = await there.telegram.press(card, label, user=ANA_ID)
        assert (press.text or "").startswith("Nothing was changed: Telegram could not ask you.")


# Ask


async def questions(there: TelegramHouse, task: Task) -> Sequence[Question]:
    return await there.house.service.questions.of_task(task.id)


INVITED = "\nReply to this message to answer, or on the page:"


async def asked(
    there: TelegramHouse, words: str = "Which customer?", flow: str = "own"
) -> tuple[Task, Message]:
    """A task about which Ana has asked that, and what its thread says of it."""
    task = await there.house.submit(flow=flow)
    await there.telegram.press(await there.card(), "Ask…", user=ANA_ID)
    prompt = await there.card_with("what do you want to ask Sam Lee about attempt 1 of ")
    await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    await there.gone(prompt)
    there.house.clock.advance(seconds=10)
    return task, await there.card_with(" asks ")


async def replied(there: TelegramHouse, task: Task) -> Question:
    async def reply() -> Question | None:
        return next((one for one in await questions(there, task) if one.reply is not None), None)

    found = await eventually(reply)
    assert found is not None
    return found


async def test_a_question_is_asked_told_and_answered_by_replies(there: TelegramHouse) -> None:
    task, notice = await asked(there, HOSTILE)
    assert notice.reply_to == (await there.card()).id
    assert "Reply to this message to answer" in notice.text
    assert "⟨U+202E⟩" in notice.text
    await there.telegram.say(GROUP, "Acme.", user=SAM_ID, reply_to=notice)
    question = await replied(there, task)
    assert (question.text, question.person, question.via) == (HOSTILE, ANA.id, "telegram")
    assert question.reply is not None
    assert (question.reply.text, question.reply.person, question.reply.via) == ("Acme.", SAM.id, "telegram")
    there.house.clock.advance(seconds=10)
    told = await there.card_with(" answers ")
    assert "Acme." in told.text
    assert "Reply to this message" not in told.text
    review = await there.house.review(task)
    assert review.is_open
    assert review.decisions == ()


async def test_in_a_channel_a_question_is_answered_on_the_page(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(-1009, "channel", "News", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=-1009, also=[GROUP]
        ) as there:
            task = await there.house.submit()
            await telegram.press(await there.card(), "Ask…", user=ANA_ID)
            prompt = await there.card_with("what do you want to ask ")
            await telegram.say(GROUP, "For whom?", user=ANA_ID, reply_to=prompt)
            notice = await there.card_with(" asks ", chat=-1009)
            assert notice.text.endswith(f"\nAnswer on the page:\n{there.public_url}/tasks/{task.id}")
            assert "\nReply to this message to answer" in (await there.card_with(" asks ")).text
            clock.advance(seconds=60)
            review = await there.house.review(task)
            await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
            await telegram.until(lambda: "Answer on" not in telegram.message(-1009, notice.id).text)
            assert len(telegram.calls_of("getChat")) == 2, "once for each place"


@pytest.mark.parametrize("words", ["x" * LIMIT, "\U0001f600" * (LIMIT // 2)])
async def test_a_question_and_an_answer_that_may_have_been_cut_are_not_taken(
    there: TelegramHouse, words: str
) -> None:
    task = await there.house.submit(flow="own")
    await there.telegram.press(await there.card(), "Ask…", user=ANA_ID)
    prompt = await there.card_with("what do you want to ask ")
    await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    told = await there.telegram.until(lambda: there.telegram.messages(ANA_ID)[-1])
    assert told.text == named(there, MAY_BE_CUT, task)
    await there.telegram.say(GROUP, words[:-1], user=ANA_ID, reply_to=prompt)
    there.house.clock.advance(seconds=10)
    notice = await there.card_with(" asks ")
    reply = await there.telegram.say(GROUP, words, user=SAM_ID, reply_to=notice)
    assert (await answered(there, reply)).text == MAY_BE_CUT
    await there.telegram.say(GROUP, words[:-1], user=SAM_ID, reply_to=notice)
    question = await replied(there, task)
    assert question.reply is not None
    assert (question.text, question.reply.text) == (words[:-1], words[:-1])


async def test_a_reason_that_may_have_been_cut_is_asked_for_again(polling: TelegramHouse) -> None:
    task = await polling.house.submit()
    await polling.telegram.press(await polling.card(), "Reject…", user=ANA_ID)
    asked = await polling.card_with("why do you reject")
    await polling.telegram.say(GROUP, "x" * LIMIT, user=ANA_ID, reply_to=asked)
    told = await polling.telegram.until(lambda: polling.telegram.messages(ANA_ID)[-1])
    assert told.text == named(polling, MAY_BE_CUT, task)
    assert await decisions(polling, task) == ()
    await polling.telegram.say(GROUP, "x" * (LIMIT - 1), user=ANA_ID, reply_to=asked)
    assert (await decided(polling, task)).comment == "x" * (LIMIT - 1)


@pytest.mark.parametrize("words", ["ok", "approved", "yes"])
async def test_neither_a_question_nor_an_answer_decides(polling: TelegramHouse, words: str) -> None:
    task, notice = await asked(polling, words)
    await polling.telegram.say(GROUP, words, user=SAM_ID, reply_to=notice)
    await replied(polling, task)
    assert await decisions(polling, task) == ()


async def test_a_question_is_asked_and_answered_once(there: TelegramHouse) -> None:
    task = await there.house.submit(flow="own")
    await there.telegram.press(await there.card(), "Ask…", user=ANA_ID)
    prompt = await there.card_with("what do you want to ask ")
    for words in ("Why?", "What?"):
        await there.telegram.say(GROUP, words, user=ANA_ID, reply_to=prompt)
    await there.gone(prompt)
    there.house.clock.advance(seconds=10)
    notice = await there.card_with(" asks ")
    await there.telegram.say(GROUP, "So.", user=SAM_ID, reply_to=notice)
    await replied(there, task)
    late = await there.telegram.say(GROUP, "Or so.", user=SAM_ID, reply_to=notice)
    assert (await answered(there, late)).text == "Sam Lee has answered this question already."
    kinds = [type(event) for event in there.house.diary.of(task.id)]
    assert (kinds.count(QuestionAsked), kinds.count(QuestionAnswered)) == (1, 1)


async def test_only_the_submitter_or_an_administrator_answers(there: TelegramHouse) -> None:
    task, notice = await asked(there)
    await there.telegram.say(GROUP, "I know!", user=ANA_ID, reply_to=notice)
    refused = "Sam Lee is asked; only they answer, or an administrator."
    assert (await there.card(1, chat=ANA_ID)).text == named(there, refused, task)
    await there.telegram.say(GROUP, "Me too!", user=EVE_ID, reply_to=notice)
    stranger = (await there.card(1, chat=EVE_ID)).text
    assert f"nobody is listed under yours, {EVE_ID}. Say “/whoami”" in stranger
    assert [one.reply for one in await questions(there, task)] == [None]
    await there.telegram.say(GROUP, "For Sam.", user=BEN_ID, reply_to=notice)
    question = await replied(there, task)
    assert question.reply is not None
    assert question.reply.person == BEN.id


async def test_once_the_review_is_closed_nobody_asks_or_answers(there: TelegramHouse) -> None:
    task, notice = await asked(there)
    card = await there.card()
    await there.telegram.press(card, "Ask…", user=ANA_ID)
    prompt = await there.card_with("what do you want to ask ")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    already = "Already approved by Ana Ruiz at "
    press = await there.telegram.press(card, "Ask…", user=ANA_ID)
    assert (press.text or "").startswith(already)
    await there.telegram.say(GROUP, "Late?", user=ANA_ID, reply_to=prompt)
    assert (await there.card(1, chat=ANA_ID)).text.startswith(already)
    late = await there.telegram.say(GROUP, "Late.", user=SAM_ID, reply_to=notice)
    assert (await answered(there, late)).text.startswith(already)
    assert len(await questions(there, task)) == 1


@pytest.mark.parametrize("how", ENDS)
async def test_nobody_is_invited_to_answer_once_there_is_nothing_to_answer(
    there: TelegramHouse, how: str
) -> None:
    task, notice = await asked(there, flow="brief")
    assert INVITED in notice.text
    await ends(there.house, task, how)
    there.house.clock.advance(seconds=10)
    await there.telegram.until(lambda: INVITED not in there.telegram.message(GROUP, notice.id).text)
    now = there.telegram.message(GROUP, notice.id)
    assert now.text == notice.text.replace(INVITED, ""), "the words stay as they were"
    late = await there.telegram.say(GROUP, "Late.", user=SAM_ID, reply_to=notice)
    assert (await answered(there, late)).text.startswith(ENDS[how])


@pytest.mark.parametrize("webhook", [False, True])
async def test_a_question_outlives_a_restart_at_every_step(
    sqlite_database: Database, clock: StoppedClock, *, webhook: bool
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            task = await there.house.submit()
            await there.telegram.press(await there.card(), "Ask…", user=ANA_ID)
            prompt = await there.card_with("what do you want to ask ")
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            await there.telegram.say(GROUP, "Why?", user=ANA_ID, reply_to=prompt)
            await there.gone(prompt)
            there.house.clock.advance(seconds=10)
            notice = await there.card_with(" asks ")
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            await there.telegram.say(GROUP, "So.", user=SAM_ID, reply_to=notice)
            assert (await replied(there, task)).text == "Why?"


# Any text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(title=ANY_TEXT, name=ANY_TEXT, draft=ANY_TEXT, changes=ANY_TEXT)
def test_any_text_yields_messages_within_every_limit(
    a_review: Callable[..., ReviewRequest],
    buttons: Buttons,
    title: str,
    name: str,
    draft: str,
    changes: str,
) -> None:
    review = a_review(task={"title": title, "submitter_name": name}, draft=draft)
    user = User(id=1, first_name=name, is_bot=False)
    note, url = "n" * 200, "https://sign.example.com/tasks/" + "7" * 32
    for made in (
        request_for_text(review, user, url),
        request_for_question(review, user),
        proposal(review, user, buttons, changes=changes or "-a", note=note, url=url),
    ):
        assert 0 < utf16(made.text) <= LIMIT
        assert len(made.entities) <= ENTITIES
        assert not any(sign in made.text for sign in "\u202e\u200b\x00")
    shown = proposal(review, user, buttons, changes=changes or "-a", note=note, url=url)
    assert any(entity.type == MessageEntity.PRE for entity in shown.entities)
    assert url in shown.text


@pytest.mark.parametrize("text", ["pay\u202eme", "x" * 3900])
async def test_a_draft_that_cannot_be_copied_from_the_question_is_on_its_page(
    polling: TelegramHouse, text: str
) -> None:
    task = await asked_for_text(polling, text=text)
    prompt = await prompt_of(polling)
    assert prompt.text.endswith(f"its page has it:\n{PUBLIC_URL}/tasks/{task.id}")


async def test_white_space_around_a_draft_which_telegram_drops_is_dropped_by_nobody(
    polling: TelegramHouse,
) -> None:
    there = polling
    task = await there.house.submit(flow="lenient")
    first = await there.house.review(task)
    await there.house.service.decide(first.id, BEN.id, Verdict.EDIT, content=FRAMED, via="web")
    await there.house.review(task, 2)
    there.house.clock.advance(seconds=10)
    await there.telegram.press(await there.card_with("attempt 2 · "), "Edit…", user=ANA_ID)
    shown = await proposed(there, "better world")
    await there.telegram.press(shown, "Confirm", user=ANA_ID)
    assert (await there.house.review(task, 3)).draft == FRAMED.replace("hello", "better")


@pytest.mark.parametrize("action", [Action.REJECT_PLAINLY, Action.GIVE_REASON, Action.CHOOSE])
async def test_no_other_button_is_taken_for_a_confirmation(polling: TelegramHouse, action: Action) -> None:
    task = await asked_for_text(polling)
    shown = await proposed(polling, "better")
    token = polling.house.buttons.token((await polling.house.review(task)).id, 1, action)
    assert (await polling.telegram.press_raw(token, user=ANA_ID, message=shown)).text == OVER
    assert await decisions(polling, task) == ()
    assert (await polling.telegram.press(shown, "Confirm", user=ANA_ID)).text == "Your edit is recorded."
