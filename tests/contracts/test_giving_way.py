"""In a place that takes few messages a minute: what still asks somebody goes before what only tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.model import MessageRef, Policy, Recipient, Verdict
from core.store.deliveries import GIVES_WAY
from tests.contracts.steps import parked, recorded, submitted, waiting
from tests.world import ANA, BEN, DESK, HALL, PAPER, SAM

if TYPE_CHECKING:
    from core.model import ReviewId
    from core.store.sql import SqlStore
    from tests.world import StoppedClock

ONE = Policy(name="one", reviewers=(ANA.id, BEN.id), recipients=(DESK,))
TWO = Policy(name="two", reviewers=(ANA.id, BEN.id), recipients=(DESK,), approvals=2)
IN_THE_HALL = Policy(name="hall", reviewers=(ANA.id,), recipients=(HALL,))
SOON = timedelta(seconds=3)
FOLLOWED = pytest.mark.parametrize(
    ("verdict", "attempt"), [(Verdict.REJECT, 2), (Verdict.APPROVE, 1)], ids=["next attempt", "next node"]
)
"""How the first review of a task ends, and in which attempt the second opens."""


async def posted(store: SqlStore) -> ReviewId | None:
    """Post what is next; whose card it was."""
    (due,) = [due for due in await store.due_deliveries(PAPER) if due.message is None]
    await store.delivery_shown(due, MessageRef(f"m{due.id}"))
    return due.review


async def test_a_card_that_asks_goes_before_those_of_reviews_decided_elsewhere(
    store: SqlStore, clock: StoppedClock
) -> None:
    decided = [await waiting(store, ONE) for _ in range(3)]
    clock.advance(SOON)
    newer = await waiting(store, ONE)
    for review in decided:
        clock.advance(SOON)
        await recorded(store, review)
    newest = await waiting(store, ONE)
    assert [await posted(store), await posted(store)] == [newer, newest]
    assert {await posted(store) for _ in decided} == set(decided), "they are told all the same"


async def test_so_does_one_of_a_review_that_was_called_off(store: SqlStore, clock: StoppedClock) -> None:
    off, newer = await submitted(store), await submitted(store)
    called_off = await parked(store, off.id, ONE)
    clock.advance(SOON)
    open_still = await parked(store, newer.id, ONE)
    await store.cancel(off.id, SAM.id)
    assert [await posted(store), await posted(store)] == [open_still, called_off]


async def test_it_gives_way_for_a_time_and_not_for_ever(store: SqlStore, clock: StoppedClock) -> None:
    decided = await waiting(store, ONE)
    await recorded(store, decided)
    clock.advance(GIVES_WAY - SOON)
    newer = await waiting(store, ONE)
    clock.advance(2 * SOON)
    newest = await waiting(store, ONE)
    assert [await posted(store) for _ in range(3)] == [newer, decided, newest]


async def test_whom_nothing_stands_behind_gives_way_to_nobody(store: SqlStore) -> None:
    decided = await waiting(store, ONE)
    await recorded(store, decided)
    assert await posted(store) == decided


@FOLLOWED
async def test_the_card_that_begins_a_thread_waits_no_longer_than_the_next_one_that_follows_it(
    verdict: Verdict, attempt: int, store: SqlStore, clock: StoppedClock
) -> None:
    task = await submitted(store)
    first = await parked(store, task.id, ONE)
    await recorded(store, first, verdict=verdict)
    clock.advance(SOON)
    second = await parked(store, task.id, ONE, attempt=attempt)
    clock.advance(SOON)
    other = await waiting(store, ONE)
    assert [await posted(store) for _ in range(3)] == [first, second, other]


@FOLLOWED
async def test_what_opens_elsewhere_lets_a_decided_card_give_way_here_all_the_same(
    verdict: Verdict, attempt: int, store: SqlStore, clock: StoppedClock
) -> None:
    task = await submitted(store)
    first = await parked(store, task.id, ONE)
    await recorded(store, first, verdict=verdict)
    clock.advance(SOON)
    other = await waiting(store, ONE)
    await parked(store, task.id, IN_THE_HALL, attempt=attempt)
    assert [due.review for due in await store.due_deliveries(PAPER) if due.recipient == DESK] == [other]


async def test_a_place_that_moves_lets_nothing_wait_that_others_follow(
    store: SqlStore, clock: StoppedClock
) -> None:
    task = await submitted(store)
    first = await parked(store, task.id, ONE)
    await posted(store)
    await recorded(store, first)
    clock.advance(SOON)
    second = await parked(store, task.id, ONE)
    await store.place_moved(DESK, "attic")
    clock.advance(SOON)
    attic = Recipient(channel=PAPER, address="attic")
    await waiting(store, replace(ONE, recipients=(attic,)))
    assert [await posted(store), await posted(store)] == [first, second]


async def test_between_topics_of_one_chat_too_what_asks_goes_first(
    store: SqlStore, clock: StoppedClock
) -> None:
    decided = await waiting(store, ONE)
    await recorded(store, decided)
    clock.advance(SOON)
    asks = await waiting(store, IN_THE_HALL)
    assert [due.review for due in await store.due_deliveries(PAPER)] == [asks, decided]


async def test_votes_do_not_send_a_card_to_the_end_of_the_queue(store: SqlStore, clock: StoppedClock) -> None:
    first = await waiting(store, TWO)
    clock.advance(SOON)
    second = await waiting(store, TWO)
    clock.advance(SOON)
    await recorded(store, first)
    assert [await posted(store), await posted(store)] == [first, second]


async def test_nor_do_they_send_a_change_there(store: SqlStore, clock: StoppedClock) -> None:
    first, second = await waiting(store, TWO), await waiting(store, TWO)
    for _ in range(2):
        await posted(store)
    await recorded(store, first)
    clock.advance(SOON)
    await recorded(store, second)
    clock.advance(SOON)
    await recorded(store, first, BEN)
    (due,) = await store.due_deliveries(PAPER)
    assert due.review == first


async def test_what_waits_for_its_next_try_is_tried_at_once_when_it_changes(
    store: SqlStore, clock: StoppedClock
) -> None:
    review = await waiting(store, TWO)
    (due,) = await store.due_deliveries(PAPER)
    await store.delivery_failed(due, "no answer", clock.now() + timedelta(minutes=5))
    assert await store.due_deliveries(PAPER) == []
    await recorded(store, review)
    assert await posted(store) == review
