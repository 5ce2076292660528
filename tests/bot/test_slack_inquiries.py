"""Ask in Slack: a reviewer's question, the submitter's answer, and nothing decided by either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.blocks import MENU_ACTION
from bot.views import ANSWER_BLOCK, QUESTION_BLOCK
from core.events import QuestionAnswered, QuestionAsked
from core.model import Verdict
from tests.bot import slack_fixtures
from tests.bot.endings import ENDS, ends
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house, text_of, the_view
from tests.world import ANA, BEN, SAM, StoppedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bot.simulator.slack import Message
    from core.model import Question, Task
    from core.store.database import Database

WHY = "Which <!channel> customer? <@U01EVE> \u202e"
BECAUSE = "Acme, *all* of it. <https://evil.example|x>"


clock = slack_fixtures.clock


@pytest.fixture(params=["socket mode", "http"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[SlackHouse]:
    async with slack_house(sqlite_database, clock, http=request.param == "http", admins=[BEN.id]) as started:
        yield started


async def questions(there: SlackHouse, task: Task) -> Sequence[Question]:
    return await there.house.service.questions.of_task(task.id)


async def asked(there: SlackHouse, words: str = WHY, flow: str = "own") -> tuple[Task, Message]:
    """A task about which Ana has asked that, and what its thread says of it."""
    task = await there.house.submit(flow=flow)
    await there.slack.press(await there.card(), MENU_ACTION, option="Ask…", user="U01ANA")
    await there.slack.submit(the_view(there), {QUESTION_BLOCK: words}, user="U01ANA")
    return task, await there.card_with(" asks ")


async def test_a_question_is_asked_told_in_the_thread_and_answered_there(there: SlackHouse) -> None:
    task, notice = await asked(there)
    assert there.slack.open_views("U01ANA") == ()
    assert notice.thread_ts == (await there.card()).ts
    assert "Which <!channel> customer? <@U01EVE> ⟨U+202E⟩" in text_of(notice)
    await there.slack.press(notice, "Answer…", user="U01SAM")
    view = the_view(there, "U01SAM")
    assert "Ana Ruiz asks:" in str(view.body)
    await there.slack.submit(view, {ANSWER_BLOCK: BECAUSE}, user="U01SAM")
    told = await there.card_with(" answers ")
    assert told.thread_ts == notice.thread_ts
    assert BECAUSE in text_of(told)
    (question,) = await questions(there, task)
    assert (question.text, question.person, question.via) == (WHY, ANA.id, "slack")
    assert question.reply is not None
    assert (question.reply.text, question.reply.person, question.reply.via) == (BECAUSE, SAM.id, "slack")
    review = await there.house.review(task)
    assert review.is_open
    assert review.decisions == ()


@pytest.mark.parametrize("words", ["ok", "approved", "yes"])
async def test_words_are_never_consent(there: SlackHouse, words: str) -> None:
    task, notice = await asked(there, words)
    await there.slack.press(notice, "Answer…", user="U01SAM")
    await there.slack.submit(the_view(there, "U01SAM"), {ANSWER_BLOCK: words}, user="U01SAM")
    await there.card_with(" answers ")
    assert (await there.house.review(task)).decisions == ()


async def test_a_dialog_sent_twice_asks_and_answers_once(there: SlackHouse) -> None:
    task = await there.house.submit(flow="own")
    await there.slack.press(await there.card(), MENU_ACTION, option="Ask…", user="U01ANA")
    view = the_view(there)
    for _ in range(2):
        assert (await there.slack.submit(view, {QUESTION_BLOCK: "Why?"}, user="U01ANA")).ok
    other = await there.slack.submit(view, {QUESTION_BLOCK: "What?"}, user="U01ANA")
    assert "another question" in str(other.body)
    notice = await there.card_with(" asks ")
    await there.slack.press(notice, "Answer…", user="U01SAM")
    view = the_view(there, "U01SAM")
    for _ in range(2):
        assert (await there.slack.submit(view, {ANSWER_BLOCK: "So."}, user="U01SAM")).ok
    await there.card_with(" answers ")
    kinds = [type(event) for event in there.house.diary.of(task.id)]
    assert (kinds.count(QuestionAsked), kinds.count(QuestionAnswered)) == (1, 1)
    await there.slack.press(notice, "Answer…", user="U01SAM")
    assert await there.told("U01SAM") == "Sam Lee has answered this question already."


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("U01SAM", "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."),
        ("U01EVE", "nobody is listed under yours"),
        ("U01BEN", "You are not among the reviewers"),
    ],
)
async def test_who_may_not_ask_gets_no_dialog_but_the_words_of_a_decision(
    there: SlackHouse, user: str, words: str
) -> None:
    task = await there.house.submit(flow="own")
    await there.slack.press(await there.card(), MENU_ACTION, option="Ask…", user=user)
    assert words in await there.told(user)
    assert there.slack.open_views(user) == ()
    assert await questions(there, task) == []


async def test_only_the_submitter_or_an_administrator_answers(there: SlackHouse) -> None:
    task, notice = await asked(there)
    await there.slack.press(notice, "Answer…", user="U01ANA")
    assert await there.told("U01ANA") == "Sam Lee is asked; only they answer, or an administrator."
    await there.slack.press(notice, "Answer…", user="U01EVE")
    assert "nobody is listed under yours" in await there.told("U01EVE")
    assert there.slack.open_views("U01ANA") == there.slack.open_views("U01EVE") == ()
    await there.slack.press(notice, "Answer…", user="U01BEN")
    await there.slack.submit(the_view(there, "U01BEN"), {ANSWER_BLOCK: "For Sam."}, user="U01BEN")
    await there.card_with(" answers ")
    (question,) = await questions(there, task)
    assert question.reply is not None
    assert question.reply.person == BEN.id


async def test_once_the_review_is_closed_nobody_asks_or_answers(there: SlackHouse) -> None:
    task, notice = await asked(there)
    card = await there.card()
    await there.slack.press(card, MENU_ACTION, option="Ask…", user="U01ANA")
    await there.slack.press(notice, "Answer…", user="U01SAM")
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    for user, block in (("U01ANA", QUESTION_BLOCK), ("U01SAM", ANSWER_BLOCK)):
        await there.slack.submit(the_view(there, user), {block: "Late?"}, user=user)
        assert the_view(there, user).errors[block].startswith("Already approved by Ana Ruiz at ")
    await there.slack.press(card, MENU_ACTION, option="Ask…", user="U01ANA")
    assert (await there.told("U01ANA")).startswith("Already approved by Ana Ruiz at ")
    await there.slack.press(notice, "Answer…", user="U01SAM")
    assert (await there.told("U01SAM")).startswith("Already approved by Ana Ruiz at ")
    assert len(await questions(there, task)) == 1


@pytest.mark.parametrize("how", ENDS)
async def test_the_button_goes_once_there_is_nothing_to_answer(there: SlackHouse, how: str) -> None:
    task, notice = await asked(there, "Why?", flow="brief")
    await ends(there.house, task, how)
    await there.slack.until(lambda: not there.slack.message(GENERAL, notice.ts).labels)
    now = there.slack.message(GENERAL, notice.ts)
    assert text_of(now) == text_of(notice).replace("\nAnswer…", ""), "the words stay as they were"
    assert now.thread_ts == notice.thread_ts
    await there.slack.press(notice, "Answer…", user="U01SAM")
    assert (await there.told("U01SAM")).startswith(ENDS[how])
    assert there.slack.open_views("U01SAM") == ()


async def test_an_answers_token_decides_nothing_and_a_verdicts_answers_nothing(there: SlackHouse) -> None:
    task, notice = await asked(there)
    card = await there.card()
    approve = there.slack.action_payload(card, "Approve", user="U01ANA")
    answer = there.slack.action_payload(notice, "Answer…", user="U01ANA")
    tokens = [payload["actions"][0]["value"] for payload in (approve, answer)]
    approve["actions"][0]["value"], answer["actions"][0]["value"] = reversed(tokens)
    for payload in (approve, answer):
        await there.slack.deliver(payload)
    await there.slack.until(lambda: len(there.slack.ephemerals("U01ANA")) == 2)
    assert all("cannot be read" in seen.text for seen in there.slack.ephemerals("U01ANA"))
    assert (await there.house.review(task)).decisions == ()


@pytest.mark.parametrize("http", [False, True])
async def test_dialogs_outlive_a_restart(
    sqlite_database: Database, clock: StoppedClock, *, http: bool
) -> None:
    async with simulated() as slack:
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            task = await there.house.submit()
            await there.slack.press(await there.card(), MENU_ACTION, option="Ask…", user="U01ANA")
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            await there.slack.submit(the_view(there), {QUESTION_BLOCK: "Why?"}, user="U01ANA")
            notice = await there.card_with(" asks ")
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            await there.slack.press(notice, "Answer…", user="U01SAM")
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            await there.slack.submit(the_view(there, "U01SAM"), {ANSWER_BLOCK: "So."}, user="U01SAM")
            await there.card_with(" answers ")
            (question,) = await questions(there, task)
            assert question.reply is not None
