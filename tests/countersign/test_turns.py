"""What replicas tell each other of groups, and an outbox that serves for one turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from core.leases import Alone
from core.measures import Deliveries
from core.model import Hint
from core.store.hints import Hints
from countersign.turns import Neighbours, Outboxes
from tests.contracts.steps import ANYONE, waiting
from tests.world import DESK, PaperChannel, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.outbox import Outbox
    from core.store.sql import SqlStore
    from tests.world import StoppedClock


async def test_a_group_that_slack_says_has_changed_is_asked_for_everywhere() -> None:
    asked: list[str] = []

    def changed(group: str) -> bool:
        asked.append(group)
        return group != "C0LUNCH"

    here = Neighbours(changed)
    here.group_changed("S1")
    here.hints = Hints("", "r", lambda _: None)
    here.group_changed("S2")
    here.group_changed("C0LUNCH")
    here.heard(Hint(groups=frozenset({"S3"})))
    here.heard(Hint(is_whole=False))
    assert asked == ["S1", "S2", "C0LUNCH", "S3"]
    (said,) = here.hints._messages()
    assert json.loads(said)["groups"] == ["S2"], (
        "what others said they have told everybody, and nobody asks for C0LUNCH"
    )


@dataclass
class Turn:
    left: timedelta = timedelta(seconds=10)

    @property
    def may_begin(self) -> bool:
        return bool(self.left)


class Others(Alone):
    is_alone = False


class Doubtful(PaperChannel):
    """One that can look for what was posted and not noted."""

    times = 0

    def taken_over(self) -> None:
        self.times += 1


async def test_an_outbox_serves_for_its_turn_and_hears_of_what_falls_due_in_it(
    store: SqlStore, clock: StoppedClock
) -> None:
    channel = Doubtful()
    policy = replace(ANYONE, recipients=(DESK,))
    shown: list[Outbox] = []

    def show(outbox: Outbox) -> Callable[[], None]:
        shown.append(outbox)
        return partial(shown.remove, outbox)

    measures = {channel.name: Deliveries()}
    outboxes = Outboxes(
        store=store,
        clock=clock,
        turns=Others(),
        policies={},
        ending=lambda: timedelta(seconds=1),
        show=show,
        measures=measures,
    )
    serve = partial(outboxes.turn, channel)
    await waiting(store, policy)
    async with serve(Turn()):
        await channel.called(1)
        await waiting(store, policy)
        await channel.called(2)
        assert [outbox.measures for outbox in shown] == [measures]
    assert not shown
    await waiting(store, policy)
    assert len(channel.calls) == 2
    assert channel.times == 1, "it looks whether the one before posted something"
    over = Turn()
    over.left = timedelta(0)
    async with serve(over):
        await eventually(partial(_looked, store))
    assert len(channel.calls) == 2, "a turn that is over shows nothing"
    async with serve(Turn()):
        await channel.called(3)


async def _looked(store: SqlStore) -> bool:
    """A few looks of the outbox, as reads are served one after the other."""
    for _ in range(20):
        await store.check()
    return True
