"""Which review somebody means, on both databases: by a message in a chat, or by what they decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from core.model import ChannelName, MessageRef, NewQuestion, Policy, QuestionId, Verdict
from tests.contracts.steps import decide, delegated, fired, parked, recorded, waiting
from tests.world import ANA, BEN, CY, DESK, EVE, PAPER, SAM

if TYPE_CHECKING:
    from core.model import Person
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

TWO = Policy(name="two", reviewers=(ANA.id, BEN.id, CY.id), approvals=2, recipients=(DESK,))


async def show(store: SqlStore, message: str) -> None:
    """What is due on paper first, changes before new cards, is shown as that message."""
    due, *_ = await store.due_deliveries(PAPER)
    await store.delivery_shown(due, MessageRef(message))


async def tell(store: SqlStore, message: str) -> None:
    """All that is due on paper is shown, what is new as that message."""
    while due := await store.due_deliveries(PAPER):
        await store.delivery_shown(due[0], due[0].message or MessageRef(message))


async def shown_at(store: SqlStore, message: str, channel: str = PAPER) -> str | None:
    found = await store.shown_at(ChannelName(channel), MessageRef(message))
    return None if found is None else found.id


async def test_a_card_shows_its_own_review_also_once_another_is_open(store: SqlStore) -> None:
    first = await waiting(store, replace(TWO, approvals=1))
    await show(store, "card 1")
    await decide(store, first, verdict=Verdict.REJECT)
    await show(store, "card 1")
    second = await parked(store, (await store.review(first)).task.id, TWO, attempt=2)
    assert await shown_at(store, "card 1") == first
    assert await shown_at(store, "card 2") is None
    await show(store, "card 1")
    await show(store, "card 2")
    assert await shown_at(store, "card 2") == second
    assert await shown_at(store, "card 2", "slack") is None


async def test_a_notice_tells_of_its_tasks_newest_review(store: SqlStore, clock: StoppedClock) -> None:
    first = await waiting(store, replace(TWO, approvals=1, reminders=(timedelta(hours=1),)))
    await show(store, "card")
    clock.advance(hours=1)
    await fired(store)
    await tell(store, "reminder")
    assert await shown_at(store, "reminder") == first
    await decide(store, first, verdict=Verdict.REJECT)
    second = await parked(store, (await store.review(first)).task.id, TWO, attempt=2)
    assert await shown_at(store, "reminder") == second


async def test_a_question_is_found_by_its_notice_and_by_no_other_message(store: SqlStore) -> None:
    async def found(message: str, channel: str = PAPER) -> str | None:
        asked = await store.question_at(ChannelName(channel), MessageRef(message))
        return None if asked is None else asked.id

    review = await waiting(store, TWO)
    await show(store, "card")
    first = NewQuestion(id=QuestionId("1" * 32), person=ANA, text="Why?", via="web")
    await store.ask(review, first, policies={})
    await tell(store, "question")
    await store.answer(first.id, SAM, "So.", via="web", is_admin=False)
    await tell(store, "answer")
    assert await found("question") == first.id
    assert [await found(message) for message in ("card", "answer", "else")] == [None] * 3
    assert await found("question", "slack") is None


async def test_what_somebody_decided_is_found_while_it_is_open(store: SqlStore) -> None:
    async def answered(person: Person) -> list[str]:
        return [review.id for review in await store.answered_by(person.id, limit=10)]

    first, second = await waiting(store, TWO), await waiting(store, TWO)
    await waiting(store, TWO)
    assert await answered(ANA) == []
    await recorded(store, second)
    await recorded(store, first)
    assert set(await answered(ANA)) == {first, second}
    assert len(await store.answered_by(ANA.id, limit=1)) == 1
    await store.withdraw(second, ANA, via="web")
    await recorded(store, first, BEN)
    assert await answered(ANA) == await answered(BEN) == []


async def test_what_a_delegate_decided_is_found_by_both(store: SqlStore, clock: StoppedClock) -> None:
    review = await waiting(store, TWO)
    await delegated(store, BEN, EVE, clock)
    await recorded(store, review, EVE)
    for person in (BEN, EVE):
        assert [found.id for found in await store.answered_by(person.id, limit=10)] == [review]
    assert list(await store.answered_by(ANA.id, limit=10)) == []
