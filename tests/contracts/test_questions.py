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
from core.model import (
    LOCAL,
    DeliveryState,
    MessageRef,
    NewQuestion,
    Notice,
    OpenReview,
    Policy,
    QuestionId,
    Quorum,
    Verdict,
)
from core.questions import Questions
from core.service import LOCAL_PERSON
from core.store.questions import MOST
from core.store.sql import SqlStore
from tests.contracts.steps import decide, delegated, new_id, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, PEOPLE, SAM

if TYPE_CHECKING:
    from core.errors import CountersignError
    from core.events import Event
    from core.model import Delivery, Person, Question, Task
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


async def test_an_administrator_who_asked_does_not_answer_for_the_submitter(
    any_database: Database, clock: StoppedClock
) -> None:
    """Words in reply to one's own question would be the answer, and the submitter's came too late."""
    async with SqlStore(any_database, clock) as store:
        question = await ask(store, await waiting(store, PLAIN))
        with pytest.raises(NotTheSubmitter, match=r"You asked this yourself; Sam Lee is to answer\."):
            await answer(store, question.id, ANA, is_admin=True)
        assert (await answer(store, question.id)).reply is not None


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


async def notices(store: SqlStore, review: str) -> list[Delivery]:
    found = await store.deliveries((await task_of(store, review)).id)
    return [one for one in found if one.review is None]


async def told(store: SqlStore, review: str) -> tuple[Question, Delivery]:
    """A question, and the message that tells it."""
    asked = await ask(store, review)
    fresh = (await notices(store, review))[-1]
    await store.delivery_shown(fresh, MessageRef(f"desk/{asked.id}"))
    (notice,) = [one for one in await notices(store, review) if one.id == fresh.id]
    assert (notice.state, notice.due_at) == (DeliveryState.SENT, None)
    return asked, notice


async def as_shown(store: SqlStore, notice: Delivery) -> Notice:
    content, _ = await store.delivery_content(notice)
    assert isinstance(content, Notice)
    return content


async def test_what_tells_a_question_is_changed_once_it_has_its_answer(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        asked, notice = await told(store, review)
        _, other = await told(store, review)
        assert not (await as_shown(store, notice)).is_answered
        await answer(store, asked.id)
        changed, same, _answer = await notices(store, review)
        assert (changed.id, changed.message, changed.version) == (notice.id, notice.message, 2)
        assert changed.due_at == clock.now()
        assert same == other
        assert (await as_shown(store, changed)).is_answered
        await store.delivery_shown(changed, MessageRef("desk/1"))
        await answer(store, asked.id)
        assert (await notices(store, review))[0].due_at is None, "the same answer once more changes nothing"


async def test_a_question_answered_before_it_was_told_is_told_with_its_answer(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        asked = await ask(store, review)
        (begun,) = await notices(store, review)
        await answer(store, asked.id)
        assert (await as_shown(store, begun)).is_answered
        await store.delivery_shown(begun, MessageRef("desk/1"))
        due = (await notices(store, review))[0]
        assert (due.message, due.due_at) == ("desk/1", clock.now()), "it may have been told as unanswered"


@pytest.mark.parametrize("how", ["approved", "rejected", "cancelled"])
async def test_what_tells_a_question_is_changed_once_its_review_is_closed(
    any_database: Database, clock: StoppedClock, how: str
) -> None:
    async with SqlStore(any_database, clock) as store:
        review, elsewhere = await waiting(store, PLAIN), await waiting(store, PLAIN)
        _, notice = await told(store, review)
        asked, _ = await told(store, review)
        await answer(store, asked.id)
        _, other = await told(store, elsewhere)
        for one in (await notices(store, review))[1:]:
            await store.delivery_shown(one, MessageRef(f"desk/{one.event_seq}"))
        if how == "cancelled":
            await store.cancel((await task_of(store, review)).id, SAM.id)
        else:
            verdict = Verdict.APPROVE if how == "approved" else Verdict.REJECT
            await decide(store, review, verdict=verdict)
        due, *answered = [one for one in await notices(store, review) if one.message]
        assert (due.id, due.due_at) == (notice.id, clock.now())
        assert {one.due_at for one in answered} == {None}
        assert (await notices(store, elsewhere)) == [other]


async def test_a_question_that_was_being_told_as_its_review_closed_is_changed_too(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        await ask(store, review)
        (begun,) = await notices(store, review)
        await decide(store, review)
        assert await notices(store, review) == [], "what was not told is not told any more"
        await store.delivery_shown(begun, MessageRef("desk/7"))
        (due,) = await notices(store, review)
        assert (due.message, due.due_at, due.shown, due.version) == ("desk/7", clock.now(), 1, 2)
        await store.delivery_shown(due, MessageRef("desk/7"))
        (over,) = await notices(store, review)
        assert over.due_at is None


async def test_what_was_told_at_an_address_that_is_no_more_is_left_there(
    any_database: Database, clock: StoppedClock
) -> None:
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, PLAIN)
        asked, _ = await told(store, review)
        await answer(store, asked.id)
        due, unsaid = await notices(store, review)
        await store.place_moved(DESK, "attic")
        assert [one.recipient.address for one in await notices(store, review)] == ["desk", "attic"]
        await store.delivery_moved(due, "attic")
        left, moved = await notices(store, review)
        assert (left.recipient, left.due_at, left.message) == (DESK, None, due.message)
        assert (moved.id, moved.message) == (unsaid.id, None)


async def test_who_asks_first_is_told_that_the_time_is_over(
    any_database: Database, clock: StoppedClock
) -> None:
    """Also where what follows from the deadline has not happened yet."""
    async with SqlStore(any_database, clock) as store:
        review = await waiting(store, replace(PLAIN, deadline=timedelta(hours=1)))
        questions = Questions(
            store,
            policies={},
            known=PEOPLE.__getitem__,
            is_admin=lambda _: False,
            with_others=lambda error, _: error,
            clock=clock,
        )
        assert (await questions.check_may_ask(review, ANA.id)).id == review
        clock.advance(hours=1)
        with pytest.raises(ReviewIsClosed):
            await questions.check_may_ask(review, ANA.id)
