"""SIGHUP reads people and policies anew; nothing is dropped, and a mistake changes nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from core.errors import Forbidden, NotAReviewer, SettingsError, StoreUnavailable
from core.events import ReviewEscalated, ReviewStuck, kind
from core.model import ChannelName
from core.service import Service
from core.timekeeper import Timekeeper
from countersign.composition import flows
from countersign.configuration import configuration
from countersign.reloading import Live, Reloader, follow
from tests.world import ANA, BEN, PATIENCE, SAM, PaperChannel, eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from pathlib import Path

    from core.store.database import Database
    from tests.world import StoppedClock, World

PEOPLE = "".join(f'[people.{name}]\nname = "{name.title()}"\n' for name in ("ana", "ben", "sam"))
BOTH = PEOPLE + '[policies.default]\nreviewers = ["ana", "ben"]\n'
ONLY_BEN = PEOPLE + '[policies.default]\nreviewers = ["ben"]\n'


@asynccontextmanager
async def started(
    file: Path,
    database: Database,
    clock: StoppedClock,
    *,
    look: Callable[[], object] = list,
    channels: Sequence[PaperChannel] = (),
) -> AsyncIterator[tuple[World, Live, Reloader]]:
    """As `serve` puts it together, by what the file says now."""
    live = Live(configuration(file, {}))
    known, now = flows(live.configuration), live.configuration
    async with whole_core(
        database, clock, flows=known, channels=channels, people=now.people, in_force=now.policies
    ) as world:
        yield world, live, Reloader(lambda: configuration(file, {}), live, known, world.service, look=look)


async def test_who_is_struck_decides_nothing_any_more_on_what_is_open(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    looked: list[int] = []
    look = partial(looked.append, 1)
    async with started(file, sqlite_database, clock, look=look) as (world, _, reloader):
        asked = await world.open_review((await world.submit("x")).id)
        file.write_text(ONLY_BEN)
        assert await reloader.reload()
        with pytest.raises(NotAReviewer):
            await world.approve(asked, ANA)
        await world.approve(asked, BEN)
        later = await world.open_review((await world.submit("y")).id)
        assert (await world.service.review(later)).policy.reviewers == (BEN.id,)
        assert looked


async def test_a_reload_appoints_and_dismisses_administrators(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    async with started(file, sqlite_database, clock) as (world, _, reloader):
        for admins, may in (('["ben"]', True), ('["ana"]', False)):
            file.write_text(f"{BOTH}[admins]\npeople = {admins}\n")
            assert await reloader.reload()
            assert world.service.may_resume(BEN.id) is may
        until = clock.now() + timedelta(days=1)
        with pytest.raises(Forbidden):
            await world.service.delegations.add(SAM.id, ANA.id, until, by=BEN.id)
        await world.service.delegations.add(SAM.id, BEN.id, until, by=ANA.id)


def test_a_reload_moves_people_to_other_zones(tmp_path: Path) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    live = Live(configuration(file, {}))
    people = live.configuration.people
    assert people[ANA.id].zone == "UTC"
    file.write_text(BOTH.replace('name = "Ana"', 'name = "Ana"\nzone = "Europe/Madrid"'))
    assert live.replace(configuration(file, {})) == []
    assert people[ANA.id].zone == "Europe/Madrid"


def test_after_a_reload_an_account_is_whom_the_file_says_now(tmp_path: Path) -> None:
    """Whoever holds the directory holds it for good: an account that was taken away, or is another's now,
    would go on deciding as who it was."""

    def says(ana: str, ben: str) -> str:
        return f'[people.ana]\nname = "Ana"\n{ana}\n[people.ben]\nname = "Ben"\n{ben}\n'

    file = tmp_path / "countersign.toml"
    file.write_text(says('slack = "U01"\ntelegram = 41', 'slack = "T0P/U02"\ntelegram = 42'))
    live = Live(configuration(file, {}))
    held = live.configuration.directory

    def known() -> list[str | None]:
        slack = [held.slack_person(user="U01", team="T0", own_team="T0")]
        slack.append(held.slack_person(user="U02", team="T0P", own_team="T0"))
        return [*slack, held.telegram_person(41), held.telegram_person(42)]

    assert known() == [ANA.id, BEN.id, ANA.id, BEN.id]
    file.write_text(says("", 'slack = "U01"\ntelegram = 41'))
    live.replace(configuration(file, {}))
    assert known() == [BEN.id, None, BEN.id, None]
    assert held.slack_users() == {BEN.id: "U01"}
    assert held.telegram_users() == {BEN.id: 41}


async def test_a_review_that_nobody_is_left_to_decide_says_so(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH.replace('"ana", "ben"', '"ana"'))
    keepers: list[Timekeeper] = []

    def look() -> None:
        keepers[0].look()

    async with started(file, sqlite_database, clock, look=look) as (world, live, reloader):
        keepers.append(Timekeeper(world.store, clock, live.configuration.people, live.configuration.policies))
        async with keepers[0]:
            task = await world.submit("x")
            await world.open_review(task.id)
            file.write_text(ONLY_BEN)
            assert await reloader.reload()
            await world.diary.until(
                lambda: [e for e in world.diary.of(task.id) if isinstance(e, (ReviewStuck, ReviewEscalated))]
            )


async def test_what_one_server_has_looked_over_before_another_knew_is_looked_at_again(
    tmp_path: Path, any_database: Database, clock: StoppedClock
) -> None:
    """Each is told by a signal of its own; the timers are let fire by one that had not heard it yet."""
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH.replace('"ana", "ben"', '"ana"'))
    async with started(file, any_database, clock) as (world, _, reloader):
        task = await world.submit("x")
        review = await world.open_review(task.id)
        await reloader.look_over()
        file.write_text(ONLY_BEN)
        quicker = Live(configuration(file, {}))
        now = quicker.configuration
        service = Service(
            world.store, world.feed, now.people, world.flows, policies=now.policies, clock=clock
        )
        await Reloader(lambda: now, quicker, world.flows, service, look=list).look_over()
        await eventually(partial(_nothing_is_due, world, review))
        assert not [event for event in world.diary.of(task.id) if isinstance(event, ReviewStuck)]
        assert await reloader.reload()
        await world.diary.until(
            lambda: [event for event in world.diary.of(task.id) if isinstance(event, ReviewStuck)]
        )


async def _nothing_is_due(world: World, review: str) -> bool:
    return not await world.store.timers(review)


async def test_flows_that_changed_are_named_and_wait(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    own = '[policies.own]\nreviewers = ["ana"]\n'
    file.write_text(BOTH + own + '[flows.release]\npolicy = "own"\n')
    live = Live(configuration(file, {}))
    known = flows(live.configuration)
    async with whole_core(sqlite_database, clock) as world:
        reloader = Reloader(lambda: configuration(file, {}), live, known, world.service, look=list)
        with capture_logs() as logged:
            assert await reloader.reload()
        assert not [line for line in logged if line["log_level"] == "warning"]
        file.write_text(BOTH + own + '[flows.release]\npolicy = "default"\n[flows.more]\n')
        for _ in range(2):
            with capture_logs() as logged:
                assert await reloader.reload()
            (line,) = [line for line in logged if line["log_level"] == "warning"]
            assert (line["event"], line["flows"]) == ("flows_wait_for_restart", ["more", "release"])
        file.write_text(BOTH + '[flows.release]\npolicy = "default"\n')
        with capture_logs() as logged:
            assert not await reloader.reload()
        (line,) = logged
        assert "flows wait for the next start" in line["reason"]


@pytest.mark.parametrize("name", ["default", "another"])
async def test_what_changed_while_nothing_ran_is_looked_at_at_the_start(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, name: str
) -> None:
    """Somebody was struck, or the policy renamed: what is open says so, once."""
    file = tmp_path / "countersign.toml"
    text = PEOPLE + '[policies.default]\nreviewers = ["ana"]\n[flows.draft]\npolicy = "default"\n'
    for then in (text, text.replace('"ana"', '"ben"').replace("default", name), None):
        if then is not None:
            file.write_text(then)
        async with started(file, sqlite_database, clock) as (world, live, reloader):
            if then == text:
                task = await world.submit("x")
                review = await world.open_review(task.id)
            await reloader.look_over()
            for timer in await world.store.timers(review):
                await world.store.fire(
                    timer, policies=live.configuration.policies, people=live.configuration.people
                )
            said = [e for e in await world.history(task.id) if isinstance(e, ReviewStuck)]
            assert len(said) == (0 if then == text else 1)


@pytest.mark.parametrize("by_signal", [True, False])
async def test_a_delegation_of_whoever_is_named_no_more_ends(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, by_signal: bool
) -> None:
    """Else it stood again once they are named again."""
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    async with started(file, sqlite_database, clock) as (world, live, reloader):
        until = clock.now() + timedelta(days=9)
        await world.service.delegations.add(ANA.id, SAM.id, until, by=ANA.id)
        await world.service.delegations.add(BEN.id, ANA.id, until, by=BEN.id)
        file.write_text(BOTH.replace('[people.sam]\nname = "Sam"\n', ""))
        if by_signal:
            assert await reloader.reload()
        else:
            live.replace(configuration(file, {}))
            await reloader.look_over()
        assert [of.person for of in await world.service.delegations.standing()] == [BEN.id]


async def test_cards_change_where_the_file_says_that_a_decision_counts_no_more(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    three = PEOPLE + (
        '[people.cy]\nname = "Cy"\n[recipients]\nslack = ["C01GEN"]\n[policies.default]\n'
        'reviewers = ["ana", "ben", "cy"]\napprovals = 2\nremoved = "drop"\n'
    )
    file.write_text(three)
    paper = PaperChannel(ChannelName("slack"))
    async with started(file, sqlite_database, clock, channels=[paper]) as (world, _, reloader):
        asked = await world.open_review((await world.submit("x")).id)
        await paper.called(1)
        await world.approve(asked, ANA)
        await paper.called(2)
        file.write_text(three.replace('"ana", ', ""))
        assert await reloader.reload()
        clock.advance(seconds=5)
        await paper.called(3)
        assert (await world.service.review(asked)).is_open


async def test_a_file_that_was_changed_while_nobody_ran_is_looked_at_once(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH.replace('"ana", "ben"', '"ana"'))
    told: list[list[str]] = []
    task = ""
    for _ in range(3):
        async with started(file, sqlite_database, clock) as (world, live, reloader):
            if not task:
                task = (await world.submit("x")).id
                await world.open_review(task)
                file.write_text(ONLY_BEN)
            await reloader.look_over()
            for timer in await world.store.due_timers(10):
                await world.store.fire(timer, policies=live.configuration.policies, people={})
            told.append(
                [kind(event) for event in await world.history(task) if isinstance(event, ReviewStuck)]
            )
    assert told == [[], ["review_stuck"], ["review_stuck"]]


@pytest.mark.parametrize(
    "text",
    ["not toml", PEOPLE + '[policies.default]\nreviewers = ["zoe"]\n', ""],
)
async def test_a_mistake_leaves_in_force_what_was(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, text: str
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH + '[policies.own]\nreviewers = ["ana"]\n[flows.draft]\npolicy = "own"\n')
    async with started(file, sqlite_database, clock) as (_, live, reloader):
        file.write_text(text)
        assert not await reloader.reload()
        assert live.configuration.policies["own"].reviewers == (ANA.id,)


async def test_a_file_that_is_gone_strikes_nobody(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    live = Live(configuration(None, {}))
    async with whole_core(sqlite_database, clock) as world:
        reloader = Reloader(lambda: configuration(None, {}), live, {}, world.service, look=list)
        file.unlink()
        with capture_logs() as logs:
            assert not await reloader.reload()
        assert "countersign.toml" in logs[0]["reason"]
        assert live.configuration.policies["default"].reviewers == (ANA.id, BEN.id)
        file.write_text(ONLY_BEN)
        assert await reloader.reload()


async def test_many_signals_in_one_moment_are_one_reload(
    sqlite_database: Database, clock: StoppedClock, tmp_path: Path
) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH)
    live = Live(configuration(file, {}))
    read: list[int] = []

    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def once() -> None:
        read.append(1)
        loop.call_soon_threadsafe(done.set)
        raise SettingsError("no")

    async with whole_core(sqlite_database, clock) as world:
        asked = asyncio.Event()
        reloader = Reloader(once, live, {}, world.service, look=list)  # type: ignore[arg-type]  # it only raises
        task = asyncio.create_task(follow(asked, reloader))
        asked.set()
        asked.set()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        task.cancel()
        assert len(read) == 1


async def test_what_the_database_was_not_there_for_is_looked_at_once_it_is(
    tmp_path: Path, sqlite_database: Database, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would hear that too few are left, until the next signal or start."""
    file = tmp_path / "countersign.toml"
    file.write_text(BOTH.replace('"ana", "ben"', '"ana"'))
    async with started(file, sqlite_database, clock) as (world, _, reloader):
        review = await world.open_review((await world.submit("x")).id)
        await reloader.look_over()
        outages = [StoreUnavailable("away"), StoreUnavailable("away")]
        changed = world.store.policies_changed

        async def policies_changed(*given: Any) -> Collection[str] | None:
            if outages:
                raise outages.pop()
            return await changed(*given)

        monkeypatch.setattr(world.store, "policies_changed", policies_changed)
        file.write_text(ONLY_BEN)
        assert await reloader.reload()
        following = asyncio.create_task(follow(asyncio.Event(), reloader, again=timedelta(0)))
        await eventually(partial(world.store.timers, review))
        following.cancel()
        assert not outages
