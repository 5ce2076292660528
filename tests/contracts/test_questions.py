"""What reviewers ask the submitter, and the answers, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.errors import (
    AlreadyAnswered,
    Invalid,
    KeyReused,
    NotAReviewer,
    NotFound,
    NotTheSubmitter,
    NotWaiting,
    ReviewIsClosed,
    SelfReview,
    StaleReview,
)
from core.events import QuestionAnswered, QuestionAsked, kind
from core.model import LOCAL, NewQuestion, OpenReview, Policy, QuestionId, Quorum, Verdict
from core.service import LOCAL_PERSON
from core.store.questions import MOST
from core.store.sql import SqlStore
from tests.contracts.steps import decide, delegated, new_id, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, SAM

if TYPE_CHECKING:
    from core.errors import CountersignError
    from core.events import Event
    from core.model import Person, Question, Task
    from core.store.database import Database
    from tests.world import StoppedClock

PLAIN = Policy(name="plain", reviewers=(ANA.id, BEN.id), recipients=(DESK,))


def new(person: Person = ANA, text: str = "Which customer?", question_id: str = "") -> NewQuestion:
    return NewQuestion(id=QuestionId(question_id or new_id()), person=person, text=text, via="web")


async def ask(store: SqlStore, review: str, person: Person = ANA, text: str = "Which customer?") -> Question:
    return await store.ask(review, new(person, text), policies={})


async def answer(
    store: SqlStore, question: str, person: Person = SAM, text: str = "Acme.", *, is_admin: bool = False
) -> Question:
    return await store.answer(question, person, text, via="web", is_admin=is_admin)


async def task_of(store: SqlStore, review: str) -> Task:
    return (await store.review(review)).task


async def said(store: SqlStore, review: str) -> list[Event]:
    stored = await store.events((await task_of(store, review)).id, 0)
    return [one.event for one in stored if isinstance(one.event, (QuestionAsked, QuestionAnswered))]


async def test_a_question_is_answered_and_the_review_stays_open(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        before = await task_of(store, review)
        asked = await ask(store, review)
        clock.advance(minutes=5)
        answered = await answer(store, asked.id)
        assert answered.reply is not None
        assert (answered.reply.text, answered.reply.person, answered.reply.at) == (
            "Acme.",
            SAM.id,
            clock.now(),
        )
        after = await store.review(review)
        assert (after.is_open, after.decisions, after.questions) == (True, (), 1)
        assert after.task.status is before.status
        assert await store.questions(before.id) == [answered]
        assert await store.question(asked.id) == answered
        first, second = await said(store, review)
    assert isinstance(first, QuestionAsked)
    assert isinstance(second, QuestionAnswered)
    assert (first.question, first.text, first.submitter) == (asked.id, "Which customer?", SAM.id)
    assert (second.question, second.text, second.asked_by_name) == (asked.id, "Acme.", ANA.name)


async def test_both_are_told_in_the_threads_and_dropped_once_it_is_decided(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        task = await task_of(store, review)
        asked = await ask(store, review)
        await answer(store, asked.id)
        events = {one.seq: one.event for one in await store.events(task.id, 0)}
        notices = [one for one in await store.deliveries(task.id) if one.review is None]
        assert [kind(events[one.event_seq]) for one in notices] == ["question_asked", "question_answered"]
        assert {one.recipient for one in notices} == {DESK}
        await decide(store, review)
        assert [one for one in await store.deliveries(task.id) if one.review is None] == []


@pytest.mark.parametrize(
    ("person", "refusal"), [(SAM, SelfReview), (EVE, NotAReviewer), (CY, NotAReviewer)], ids=str
)
async def test_only_reviewers_ask(
    any_database: Database, clock: StoppedClock, person: Person, refusal: type[CountersignError]
) -> None:
    policy = replace(PLAIN, reviewers=(ANA.id, BEN.id, SAM.id))
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, policy)
        with pytest.raises(refusal):
            await ask(store, review, person)
        assert await said(store, review) == []


async def test_also_of_another_stage_and_after_one_s_own_answer(
    any_database: Database, clock: StoppedClock
) -> None:
    stages = (
        (Quorum(name="legal", people=(ANA.id,), approvals=1),),
        (Quorum(name="ops", people=(BEN.id,), approvals=1),),
    )
    policy = replace(PLAIN, approvals=2, stages=stages)
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, policy)
        await decide(store, review, ANA)
        await ask(store, review, ANA)
        await ask(store, review, BEN)
        await delegated(store, BEN, CY, clock)
        await ask(store, review, CY)
        assert len(await said(store, review)) == 3


async def test_whoever_is_struck_asks_nothing_any_more(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        today = {"plain": replace(PLAIN, reviewers=(BEN.id,))}
        with pytest.raises(NotAReviewer):
            await store.ask(review, new(), policies=today)


async def test_nobody_else_answers_but_an_administrator(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        first, second, third = [await ask(store, review) for _ in range(3)]
        with pytest.raises(NotTheSubmitter, match="Sam Lee is asked"):
            await answer(store, first.id, BEN)
        with pytest.raises(NotTheSubmitter):
            await answer(store, first.id, ANA)
        assert (await answer(store, first.id, SAM)).reply is not None
        assert (await answer(store, second.id, EVE, is_admin=True)).reply is not None
        assert (await answer(store, third.id, LOCAL_PERSON)).reply is not None
        assert LOCAL_PERSON.id == LOCAL


async def test_the_first_answer_stands(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        asked = await ask(store, review)
        texts = [f"answer {n}" for n in range(8)]
        answered = await asyncio.gather(
            *(answer(store, asked.id, text=text) for text in texts), return_exceptions=True
        )
        stands = (await store.question(asked.id)).reply
        assert stands is not None
        assert [isinstance(one, AlreadyAnswered) for one in answered].count(True) == 7
        again = await answer(store, asked.id, text=stands.text)
        assert again.reply == stands, "the same once more changes nothing"
        assert len(await said(store, review)) == 2


async def test_a_repeated_request_asks_nothing_again(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        task = (await task_of(store, review)).id
        once = new(question_id="a" * 32)
        found = await asyncio.gather(*(store.ask(review, once, policies={}) for _ in range(4)))
        found.append(await store.ask(OpenReview(task=task), once, policies={}))
        assert len({one.id for one in found}) == 1
        assert len(await said(store, review)) == 1
        with pytest.raises(KeyReused):
            await store.ask(review, replace(once, text="Which product?"), policies={})


async def test_nothing_is_asked_or_answered_of_what_is_closed(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, replace(PLAIN, deadline=timedelta(hours=1)))
        task = (await task_of(store, review)).id
        asked = await ask(store, review)
        with pytest.raises(StaleReview):
            await store.ask(OpenReview(task=task, review="b" * 32), new(), policies={})
        clock.advance(hours=1)
        with pytest.raises(ReviewIsClosed, match="expired"):
            await ask(store, review)
        clock.advance(minutes=-1)
        await decide(store, review, verdict=Verdict.REJECT)
        with pytest.raises(ReviewIsClosed, match="Already rejected by Ana Ruiz"):
            await ask(store, review, BEN)
        with pytest.raises(ReviewIsClosed):
            await answer(store, asked.id)
        with pytest.raises(NotWaiting):
            await store.ask(OpenReview(task=task), new(), policies={})
        for gone in (
            store.ask("c" * 32, new(), policies={}),
            answer(store, "d" * 32),
            store.question("e" * 32),
        ):
            with pytest.raises(NotFound):
                await gone
        assert await store.unanswered(SAM.id, limit=9) == []
        assert len(await said(store, review)) == 1


async def test_what_waits_for_the_submitter_s_answer(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        first, second = await waiting(store, PLAIN), await waiting(store, PLAIN)
        asked = []
        for review, text in ((first, "one"), (second, "two"), (first, "three")):
            clock.advance(seconds=1)
            asked.append(await ask(store, review, text=text))
        assert [one.text for one in await store.unanswered(SAM.id, limit=9)] == ["one", "two", "three"]
        assert [one.text for one in await store.unanswered(SAM.id, limit=2)] == ["one", "two"]
        assert await store.unanswered(ANA.id, limit=9) == []
        await answer(store, asked[0].id)
        await decide(store, second)
        assert [one.text for one in await store.unanswered(SAM.id, limit=9)] == ["three"]


async def test_a_conversation_has_an_end(any_database: Database, clock: StoppedClock) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        await asyncio.gather(*(ask(store, review) for _ in range(MOST)))
        with pytest.raises(Invalid, match=f"{MOST} questions were asked"):
            await ask(store, review)
