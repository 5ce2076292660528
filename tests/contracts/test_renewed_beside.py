"""All cards are renewed while another server holds a task: no row is kept from it meanwhile."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from core.model import MessageRef
from core.store import tasks
from core.store.sql import SqlStore
from tests.contracts.beside import begun, held
from tests.contracts.cards import DAY, ON_DESK, card, cards
from tests.contracts.conftest import on
from tests.contracts.steps import waiting
from tests.world import PAPER

if TYPE_CHECKING:
    from core.store.database import Database
    from core.store.lane import Lane
    from core.store.transaction import Transaction
    from tests.world import StoppedClock


async def test_who_renews_all_cards_waits_for_their_tasks_before_it_takes_their_rows(
    postgres_database: Database, postgres_writer: Lane, clock: StoppedClock
) -> None:
    """The other one, which holds the task, would wait for them, and the database would end one of the two."""
    async with SqlStore(postgres_database, clock) as store:
        await store.heard(PAPER, kept=DAY)
        review = await waiting(store, ON_DESK)
        shown = await card(store, review)
        await store.delivery_shown(shown, MessageRef("desk/0"))
        clock.advance(DAY + timedelta(seconds=1))
        async with held(postgres_writer, partial(_lock, task=shown.task)):
            renewing = await begun(postgres_database, store.heard(PAPER, kept=DAY))
            free = "SELECT id FROM delivery WHERE message = 'desk/0' FOR UPDATE SKIP LOCKED"
            assert on(postgres_database, free) == [(shown.id,)], "its row is free"
        assert await renewing == 1
        assert len(await cards(store, review)) == 2


def _lock(tx: Transaction, task: str) -> None:
    tx.lock(tasks.LOCK, id=task)
