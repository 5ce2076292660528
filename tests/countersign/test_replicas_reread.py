"""Several servers on one PostgreSQL database read another file, one after the other or at once.

Each card is shown anew once; and whatever an old one judged until its end stands at last under the newest.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from core.feed import Feed
from core.model import TimerKind
from core.service import Service
from core.store.sql import SqlStore
from countersign.alike import KEY, Alike
from countersign.configuration import configuration
from countersign.reloading import Live, Reloader
from countersign.settings import settings
from tests.contracts.conftest import on
from tests.contracts.hearts import beats, dies, worker_of
from tests.contracts.steps import fired, recorded, waiting
from tests.world import ANA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from core.model import Delivery, Policy
    from core.store.database import Database
    from tests.world import StoppedClock

PEOPLE = "".join(f'[people.{name}]\nname = "{name.title()}"\n' for name in ("ana", "ben", "cy"))
TWO_OF = (
    '[recipients]\nslack = ["C01GEN"]\n[policies.default]\nreviewers = {}\napprovals = 2\nremoved = "drop"\n'
)
ALL = PEOPLE + TWO_OF.format('["ana", "ben", "cy"]')
WITHOUT_ANA = PEOPLE + TWO_OF.format('["ben", "cy"]')
ONLY_CY = PEOPLE + TWO_OF.format('["cy"]').replace("approvals = 2", "approvals = 1")
ONLY_BEN = ONLY_CY.replace('["cy"]', '["ben"]')


@dataclass(frozen=True, slots=True)
class Server:
    """One that lives, without what runs or shows anything."""

    store: SqlStore
    live: Live
    reloader: Reloader

    @property
    def policies(self) -> Mapping[str, Policy]:
        return self.live.configuration.policies


@asynccontextmanager
async def serving(file: Path, database: Database, clock: StoppedClock, name: str) -> AsyncIterator[Server]:
    live = Live(configuration(file, {}))
    async with SqlStore(database, clock, replica=name * 32) as store:
        store.ask_for_room(lambda: True)
        alike = Alike(store, settings(), await store.secret(KEY), live.read, name)
        [(worker,)] = on(database, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        await store.enlist(worker)
        now = live.configuration
        service = Service(store, Feed(store), now.people, {}, policies=now.policies, clock=clock)
        yield Server(
            store,
            live,
            Reloader(
                lambda: configuration(file, {}),
                live,
                {},
                service,
                look=list,
                reread=alike.changed,
                beside=alike.beside,
            ),
        )


async def the_card(server: Server, review: str) -> Delivery:
    task = (await server.store.review(review)).task.id
    (card,) = [one for one in await server.store.deliveries(task) if one.review == review]
    return card


async def is_marked(server: Server, review: str) -> bool:
    return TimerKind.STUCK in [timer.kind for timer in await server.store.timers(review)]


@pytest.mark.parametrize("order", ["abc", "cab", "bca"])
async def test_each_card_is_shown_anew_once_however_many_read_another_file(
    tmp_path: Path, postgres_database: Database, clock: StoppedClock, order: str
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(ALL)
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(serving(file, postgres_database, clock, name))
            for name in "abc"
        }
        one = servers["a"]
        for server in servers.values():
            await server.reloader.look_over()
        review = await waiting(one.store, one.policies["default"])
        await recorded(one.store, review, ANA, policies=one.policies)
        before = (await the_card(one, review)).version
        file.write_text(WITHOUT_ANA)
        for name in order:
            await servers[name].reloader.reload()
        for name in order * 2:
            await servers[name].reloader.keep_up()
        assert (await the_card(one, review)).version == before + 1
        for name in order:
            await servers[name].reloader.look_over()
        assert (await the_card(one, review)).version == before + 1, "nothing changed since"


@pytest.mark.parametrize("then", ["the new one goes on", "the new one is killed, too"])
async def test_what_an_old_server_judged_until_its_end_is_looked_over_after_it(
    tmp_path: Path, postgres_database: Database, clock: StoppedClock, then: str
) -> None:
    """A rolling restart with a changed file: the old one still acts on what the new one finds."""
    file = tmp_path / "countersign.toml"
    file.write_text(ONLY_CY)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(serving(file, postgres_database, clock, "a"))
        await old.reloader.look_over()
        before = await waiting(old.store, old.policies["default"])
        file.write_text(ONLY_BEN)
        new = await stack.enter_async_context(serving(file, postgres_database, clock, "b"))
        await new.reloader.look_over()
        assert await fired(old.store, policies=old.policies) == [("stuck", 1)], "by what it knows, it is not"
        after = await waiting(old.store, old.policies["default"])
        await new.reloader.keep_up()
        assert not await is_marked(new, after), "the old one is there still"
        dies(postgres_database, "a" * 32)
        if then == "the new one goes on":
            await new.reloader.keep_up()
        else:
            dies(postgres_database, "b" * 32)
            new = await stack.enter_async_context(serving(file, postgres_database, clock, "c"))
            await new.reloader.look_over()
        assert [await is_marked(new, review) for review in (before, after)] == [True, True]
        assert await new.store.policies_changed(new.policies, ()) == frozenset(), (
            "and the next start does not"
        )


async def test_one_that_comes_back_with_the_old_file_is_looked_after_again(
    tmp_path: Path, postgres_database: Database, clock: StoppedClock
) -> None:
    """It had been taken for dead, and what it opens then nobody would look at."""
    file = tmp_path / "countersign.toml"
    file.write_text(ONLY_CY)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(serving(file, postgres_database, clock, "a"))
        await old.reloader.look_over()
        dies(postgres_database, "a" * 32)
        file.write_text(ONLY_BEN)
        new = await stack.enter_async_context(serving(file, postgres_database, clock, "b"))
        await new.reloader.look_over()
        assert await new.store.policies_changed(new.policies, ()) == frozenset()
        beats(postgres_database, worker_of(postgres_database, "a" * 32))
        late = await waiting(old.store, old.policies["default"])
        await new.reloader.keep_up()
        await old.reloader.keep_up()
        dies(postgres_database, "a" * 32)
        await new.reloader.keep_up()
        assert await is_marked(new, late)


async def test_where_nothing_changed_a_restart_looks_nothing_over(
    tmp_path: Path, postgres_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(ONLY_CY)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(serving(file, postgres_database, clock, "a"))
        await old.reloader.look_over()
        await waiting(old.store, old.policies["default"])
        new = await stack.enter_async_context(serving(file, postgres_database, clock, "b"))

        async def looked_at(**_: object) -> list[object]:
            pytest.fail("it looked")

        for server in (old, new):
            monkeypatch.setattr(server.store, "open_reviews", looked_at)
        await new.reloader.look_over()
        await new.reloader.keep_up()
        dies(postgres_database, "a" * 32)
        await new.reloader.keep_up()
        await new.reloader.look_over()


@pytest.mark.parametrize("group", ["", '[groups.legal]\nslack = "S01LEGAL"\n'])
async def test_who_is_in_people_matters_only_to_groups_from_outside(
    tmp_path: Path, postgres_database: Database, clock: StoppedClock, group: str
) -> None:
    """A source names people by their chats: with others in [people] the same policies let others decide."""
    file = tmp_path / "countersign.toml"
    file.write_text(ONLY_BEN + group)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(serving(file, postgres_database, clock, "a"))
        await old.reloader.look_over()
        file.write_text(ONLY_BEN + group + '[people.dan]\nname = "Dan"\nslack = "U0DAN"\n')
        new = await stack.enter_async_context(serving(file, postgres_database, clock, "b"))
        await new.reloader.look_over()
        await new.reloader.keep_up()
        changed = await new.store.policies_changed(new.policies, ())
        assert changed == (frozenset({"default"}) if group else frozenset()), "to be looked over once more"
        await old.reloader.reload()
        await new.reloader.keep_up()
        await old.reloader.keep_up()
        assert await new.store.policies_changed(new.policies, ()) == frozenset()
