"""People come into a group from outside, and leave it, while reviews are open; nothing is faked."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot.settings import BotSettings
from bot.simulator.faults import Fault
from bot.simulator.slack import SlackSimulator
from bot.simulator.telegram import TelegramSimulator
from core.errors import NotAReviewer, StoreUnavailable
from core.events import DecisionRecorded, ReviewApproved, ReviewEscalated, ReviewStuck
from core.model import Outcome, PersonId, Status
from core.timekeeper import Timekeeper
from countersign.composition import flows
from countersign.configuration import configuration
from countersign.membership import asker
from countersign.outside import Keeper
from countersign.reloading import FIRST_ANSWERS, Live, Reloader
from tests.countersign.listing import listing
from tests.world import ANA, BEN, CY, EVE, PATIENCE, eventually, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from core.events import Event
    from core.model import Person, ReviewId, Task
    from core.store.database import Database
    from tests.countersign.listing import Lists
    from tests.world import StoppedClock, World

PEOPLE = "".join(
    f'[people.{name}]\nname = "{name.title()}"\nslack = "U01{name.upper()}"\n'
    for name in ("ana", "ben", "cy", "eve", "sam")
)
ONE = '[policies.default]\nreviewers = ["legal"]\n'
REFRESH, STALE = timedelta(minutes=5), timedelta(minutes=15)
HALF_A_MINUTE = timedelta(seconds=30)


@dataclass
class Town:
    """A house whose group `legal` somebody else keeps."""

    world: World
    live: Live
    keeper: Keeper
    reloader: Reloader
    file: Path
    clock: StoppedClock

    async def opened(self) -> tuple[Task, ReviewId]:
        task = await self.world.submit("x")
        return task, await self.world.open_review(task.id)

    async def legal_is(self, *people: Person) -> None:
        """Wait until these are in force as the group's members, and open reviews were looked at."""
        await self.until(lambda: self.live.members.get("legal") == tuple(person.id for person in people))
        await self.looked_at()

    async def looked_at(self) -> None:
        """Wait until all that is due was asked and put in force."""
        await self.until(lambda: self.keeper.is_at_rest)

    async def until(self, holds: Callable[[], object]) -> None:
        async def ask() -> object:
            await self.world.store.next_timer()
            return holds()

        await eventually(ask)

    async def pass_time(self, by: timedelta) -> None:
        """So long, in steps in which everything may be asked that is due."""
        until = self.clock.now() + by
        while self.clock.now() < until:
            self.clock.advance(min(HALF_A_MINUTE, until - self.clock.now()))
            await self.looked_at()

    async def refused(self, review: ReviewId, person: Person = ANA) -> str:
        with pytest.raises(NotAReviewer) as caught:
            await self.world.approve(review, person)
        return str(caught.value)

    async def happened(self, task: Task, kind: type[Event]) -> Sequence[Event]:
        return await self.world.diary.until(
            lambda: [event for event in self.world.diary.of(task.id) if isinstance(event, kind)]
        )


def write(file: Path, text: str) -> None:
    file.write_text(PEOPLE + text)


@asynccontextmanager
async def town(
    file: Path, database: Database, clock: StoppedClock, text: str, bot: BotSettings | None = None
) -> AsyncIterator[Town]:
    """As `serve` puts it together."""
    write(file, text)
    live = Live(configuration(file, {}))
    known = flows(live.configuration)
    now = live.configuration
    async with (
        asyncio.timeout(3 * PATIENCE),
        Keeper(live.read.outside, asker(bot or BotSettings()), clock) as keeper,
        whole_core(database, clock, flows=known, people=now.people, in_force=now.policies) as world,
        Timekeeper(world.store, clock, now.people, now.policies) as timekeeper,
        asyncio.TaskGroup() as tasks,
    ):
        await keeper.answered(FIRST_ANSWERS)
        live.replace(live.read, keeper.members())
        reloader = Reloader(
            lambda: configuration(file, {}),
            live,
            known,
            world.service,
            look=timekeeper.look,
            keeper=keeper,
        )
        running = tasks.create_task(keeper.run(reloader.members_changed))
        yield Town(world, live, keeper, reloader, file, clock)
        running.cancel()


@pytest.fixture
async def lists() -> AsyncIterator[Lists]:
    async with listing() as running:
        running.body = '["ana", "ben"]'
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "countersign.toml"


def legal(lists: Lists) -> str:
    return f'[groups.legal]\nurl = "{lists.url}/legal"\n'


async def test_who_leaves_the_group_decides_nothing_any_more_and_who_comes_does(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        assert here.live.configuration.policies["default"].reviewers == (ANA.id, BEN.id)
        task, review = await here.opened()
        lists.body = '["ben", "cy", "zoe"]'
        clock.advance(REFRESH)
        await here.legal_is(BEN, CY)
        assert "You are not among the reviewers of this task any more." in await here.refused(review)
        assert (await here.world.service.waiting_for(CY.id))[0].id == review
        await here.world.approve(review, CY)
        assert (await here.world.end(task.id)).status is Status.COMPLETED
        assert (await here.world.service.review(review)).policy.reviewers == (ANA.id, BEN.id, CY.id)


@pytest.mark.parametrize(("removed", "outcome"), [("keep", Outcome.APPROVED), ("drop", Outcome.OPEN)])
async def test_what_they_decided_is_kept_or_dropped_as_the_policy_says(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock, removed: str, outcome: Outcome
) -> None:
    lists.body = '["ana", "ben", "cy"]'
    two = ONE + f'approvals = 2\nremoved = "{removed}"\n'
    async with town(file, sqlite_database, clock, legal(lists) + two) as here:
        _, review = await here.opened()
        await here.world.approve(review, ANA)
        lists.body = '["ben", "cy"]'
        clock.advance(REFRESH)
        await here.legal_is(BEN, CY)
        assert (await here.world.approve(review, BEN)).outcome is outcome
        if outcome is Outcome.OPEN:
            assert (await here.world.approve(review, CY)).outcome is Outcome.APPROVED


async def test_somebody_who_came_later_and_left_again_is_counted_where_that_is_kept(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE + "approvals = 2\n") as here:
        _, review = await here.opened()
        lists.body = '["ben", "cy"]'
        clock.advance(REFRESH)
        await here.legal_is(BEN, CY)
        await here.world.approve(review, CY)
        lists.body = '["ben"]'
        clock.advance(REFRESH)
        await here.legal_is(BEN)
        assert (await here.world.approve(review, BEN)).outcome is Outcome.APPROVED


async def test_a_source_that_stays_away_leaves_nobody_and_the_review_escalates(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    wider = ONE + 'escalation = { after = "3d", reviewers = ["eve"] }\n'
    async with town(file, sqlite_database, clock, legal(lists) + wider) as here:
        task, review = await here.opened()
        lists.status = 500
        await here.pass_time(STALE - timedelta(seconds=1))
        assert here.live.configuration.policies["default"].reviewers == (ANA.id, BEN.id)
        assert not (await here.world.service.review(review)).is_escalated
        await here.pass_time(timedelta(seconds=1))
        await here.happened(task, ReviewEscalated)
        await here.refused(review)
        await here.world.approve(review, EVE)


async def test_a_source_that_stays_away_is_told_where_nobody_else_can_be_asked_and_heals(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
        lists.status = 500
        await here.pass_time(STALE)
        assert len(await here.happened(task, ReviewStuck)) == 1
        assert "Nobody can decide on it now." in await here.refused(review)
        explained = await here.world.service.explain(task.id)
        assert explained is not None
        assert not explained.can_be_met
        lists.status = 200
        clock.advance(HALF_A_MINUTE)
        await here.legal_is(ANA, BEN)
        await here.world.approve(review, ANA)


async def test_what_opens_while_nobody_is_known_can_be_decided_once_somebody_is(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    lists.status = 503
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
        assert (await here.world.service.review(review)).policy.reviewers == ()
        assert "Nobody can decide on it now." in await here.refused(review)
        lists.status = 200
        await here.pass_time(2 * HALF_A_MINUTE)
        await here.legal_is(ANA, BEN)
        assert not [event for event in here.world.diary.of(task.id) if isinstance(event, ReviewStuck)]
        assert [found.id for found in await here.world.service.waiting_for(ANA.id)] == [review]
        await here.world.approve(review, ANA)
        assert (await here.world.end(task.id)).status is Status.COMPLETED


async def test_what_opens_while_nobody_is_known_says_so_after_a_minute_and_heals(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    lists.status = 503
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
        await here.pass_time(2 * HALF_A_MINUTE)
        await here.happened(task, ReviewStuck)
        lists.status = 200
        await here.pass_time(HALF_A_MINUTE)
        await here.world.approve(review, ANA)
        assert await here.world.store.timers(review) == []


async def test_a_restart_while_the_source_is_down_troubles_nobody_before_it_is_sure(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    wider = ONE + 'escalation = { after = "3d", reviewers = ["eve"] }\n'
    async with town(file, sqlite_database, clock, legal(lists) + wider) as here:
        task, review = await here.opened()
    lists.status = 500
    async with town(file, sqlite_database, clock, legal(lists) + wider) as here:
        await here.pass_time(STALE - timedelta(seconds=1))
        assert not (await here.world.service.review(review)).is_escalated
        await here.refused(review)
        await here.pass_time(timedelta(seconds=1))
        await here.happened(task, ReviewEscalated)


async def test_an_answer_that_is_not_in_force_yet_troubles_nobody_at_a_start(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    """On a busy machine it may come between the start, which waited for it, and the look at what is open."""
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
    live = Live(configuration(file, {}))
    known, now = flows(live.configuration), live.configuration
    async with (
        Keeper(live.read.outside, asker(BotSettings()), clock) as keeper,
        whole_core(sqlite_database, clock, flows=known, people=now.people, in_force=now.policies) as world,
    ):
        reloader = Reloader(lambda: live.read, live, known, world.service, look=list, keeper=keeper)
        live.replace(live.read, keeper.members())
        await keeper.answered(FIRST_ANSWERS)
        with capture_logs() as logged:
            await reloader.look_over()
            await reloader.members_changed()
        assert "reviews_stuck" not in {line["event"] for line in logged}
        assert await world.store.next_timer() is None
        await world.approve(review, ANA)
        assert (await world.end(task.id)).status is Status.COMPLETED


async def test_a_member_who_left_while_the_server_was_down_leaves_a_review_that_says_so(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
    lists.body = "[]"
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        await here.happened(task, ReviewStuck)
        await here.refused(review)


async def test_a_word_that_did_not_count_while_nobody_was_known_counts_again_and_decides(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    two = '[policies.default]\nreviewers = ["legal", "cy"]\napprovals = 2\nremoved = "drop"\n'
    async with town(file, sqlite_database, clock, legal(lists) + two) as here:
        task, review = await here.opened()
        await here.world.approve(review, ANA)
        lists.status = 500
        await here.pass_time(STALE)
        assert (await here.world.approve(review, CY)).outcome is Outcome.OPEN
        lists.status = 200
        await here.pass_time(HALF_A_MINUTE)
        await here.happened(task, ReviewApproved)
        assert len(await here.happened(task, DecisionRecorded)) == 2


async def test_sighup_while_the_source_is_down_keeps_who_was_known_but_not_for_ever(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        _, review = await here.opened()
        lists.status = 500
        await here.pass_time(REFRESH)
        write(file, legal(lists) + ONE + "rejections = 2\n")
        assert await here.reloader.reload()
        default = here.live.configuration.policies["default"]
        assert (default.rejections, default.reviewers) == (2, (ANA.id, BEN.id))
        await here.pass_time(STALE - REFRESH)
        assert not here.live.configuration.policies["default"].reviewers
        await here.refused(review)


async def test_sighup_asks_a_group_that_is_new_before_it_is_in_force(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    before = '[policies.default]\nreviewers = ["ana", "ben"]\n'
    async with town(file, sqlite_database, clock, before) as here:
        task, review = await here.opened()
        write(file, legal(lists) + ONE)
        assert await here.reloader.reload()
        assert here.live.configuration.policies["default"].reviewers == (ANA.id, BEN.id)
        await here.world.approve(review, BEN)
        await here.world.end(task.id)
        assert not [e for e in here.world.diary.of(task.id) if isinstance(e, ReviewStuck)]


async def test_a_database_that_cannot_be_asked_keeps_nobody_who_left(
    lists: Lists,
    file: Path,
    sqlite_database: Database,
    clock: StoppedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        task, review = await here.opened()
        await here.looked_at()  # what was answered at first is in force
        tried: list[int] = []

        async def locked(*_: object, **__: object) -> int:
            tried.append(1)
            raise StoreUnavailable("The database is locked.")

        monkeypatch.setattr(here.world.service.reconsidering, "under", locked)
        lists.body = "[]"
        clock.advance(REFRESH)
        await here.legal_is()
        await here.refused(review)
        await here.until(lambda: tried)
        monkeypatch.undo()
        clock.advance(seconds=5)
        await here.happened(task, ReviewStuck)


async def test_the_same_with_a_slack_user_group(
    file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SlackSimulator(events=()) as slack:
        slack.add_usergroup("S01LEGAL", "legal", users=["U01ANA", "U01BEN", "U0BOT"])
        bot = BotSettings(
            slack_bot_token=SecretStr(slack.bot_token),
            slack_app_token=SecretStr(slack.app_token),
            slack_api_url=slack.api_url,
        )
        text = '[groups.legal]\nslack = "S01LEGAL"\n' + ONE
        async with town(file, sqlite_database, clock, text, bot) as here:
            await here.legal_is(ANA, BEN)
            _, review = await here.opened()
            await slack.change_usergroup("S01LEGAL", users=["U01BEN"])
            clock.advance(seconds=10)
            here.keeper.changed("S01LEGAL")
            await here.legal_is(BEN)
            await here.refused(review)
            await slack.change_usergroup("S01LEGAL", is_disabled=True)
            await here.pass_time(STALE)
            await here.refused(review, BEN)
            await slack.change_usergroup("S01LEGAL", is_disabled=False)
            await here.pass_time(HALF_A_MINUTE)
            await here.world.approve(review, BEN)


async def test_the_same_with_a_slack_channel(
    file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with SlackSimulator(events=()) as slack:
        for person in ("U01ANA", "U01BEN"):
            slack.add_user(person, person)
        slack.add_channel("C01LEGAL", "legal", members=["U01ANA", "U01BEN", "U0GUEST"], is_private=True)
        bot = BotSettings(
            slack_bot_token=SecretStr(slack.bot_token),
            slack_app_token=SecretStr(slack.app_token),
            slack_api_url=slack.api_url,
        )
        text = '[groups.legal]\nslack = "C01LEGAL"\n' + ONE
        async with town(file, sqlite_database, clock, text, bot) as here:
            await here.legal_is(ANA, BEN)
            _, review = await here.opened()
            await slack.leave_channel("C01LEGAL", user="U01ANA")
            clock.advance(seconds=10)
            assert here.keeper.changed("C01LEGAL")
            await here.legal_is(BEN)
            await here.refused(review)
            slack.channel("C01LEGAL").members.remove(slack.bot_user.id)
            await here.pass_time(STALE)
            await here.refused(review, BEN)
            slack.channel("C01LEGAL").members.add(slack.bot_user.id)
            await here.pass_time(HALF_A_MINUTE)
            await here.world.approve(review, BEN)


IN_TELEGRAM = (
    "[people.dan]\nname = 'Dan'\ntelegram = 1\n[people.fay]\nname = 'Fay'\ntelegram = 2\n"
    "[groups.legal]\ntelegram = -1001\n" + ONE
)
DAN, FAY, GIL = (replace(ANA, id=PersonId(name)) for name in ("dan", "fay", "gil"))


@asynccontextmanager
async def night_shift() -> AsyncIterator[tuple[TelegramSimulator, BotSettings]]:
    """A chat in Telegram with Dan and Fay in it."""
    async with TelegramSimulator() as telegram:
        telegram.add_chat(-1001, title="Legal", members=[telegram.add_user(n, "X") for n in (1, 2)])
        yield (
            telegram,
            BotSettings(
                telegram_bot_token=SecretStr(telegram.token),
                telegram_api_url=telegram.api_url,
                telegram_file_url=telegram.file_url,
            ),
        )


async def test_the_same_with_a_chat_in_telegram(
    file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        night_shift() as (telegram, bot),
        town(file, sqlite_database, clock, IN_TELEGRAM, bot) as here,
    ):
        await here.legal_is(DAN, FAY)
        _, review = await here.opened()
        telegram.leave(-1001, 1)
        await here.pass_time(REFRESH)
        await here.legal_is(FAY)
        await here.refused(review, DAN)
        telegram.kick_bot(-1001)
        await here.pass_time(STALE)
        await here.refused(review, FAY)
        telegram.let_bot_in(-1001)
        await here.pass_time(HALF_A_MINUTE)
        await here.world.approve(review, FAY)


async def test_one_person_of_whom_telegram_does_not_tell_keeps_everybody_as_they_were_and_not_for_ever(
    file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        night_shift() as (telegram, bot),
        town(file, sqlite_database, clock, IN_TELEGRAM, bot) as here,
    ):
        await here.legal_is(DAN, FAY)
        _, review = await here.opened()
        telegram.faults.add(Fault(method="getChatMember", contains="'user_id': 2", status=502, times=None))
        telegram.leave(-1001, 1)
        await here.pass_time(STALE - HALF_A_MINUTE)
        assert here.live.members["legal"] == (DAN.id, FAY.id), "half an answer is none"
        await here.pass_time(HALF_A_MINUTE)
        await here.refused(review, FAY)
        telegram.faults.clear()
        await here.pass_time(HALF_A_MINUTE)
        await here.legal_is(FAY)
        await here.refused(review, DAN)


async def test_who_comes_to_the_file_is_asked_for_in_telegram_at_once(
    file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        night_shift() as (telegram, bot),
        town(file, sqlite_database, clock, IN_TELEGRAM, bot) as here,
    ):
        await here.legal_is(DAN, FAY)
        _, review = await here.opened()
        telegram.join(-1001, telegram.add_user(3, "X"))
        clock.advance(seconds=10)
        write(file, IN_TELEGRAM + "[people.gil]\nname = 'Gil'\ntelegram = 3\n")
        assert await here.reloader.reload()
        await here.legal_is(DAN, FAY, GIL)
        await here.world.approve(review, GIL)


async def test_strangers_are_named_once(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    with capture_logs() as lines:
        async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
            lists.body = json.dumps(["ana", "zoe", "y" * 500])
            for _ in range(3):
                await here.pass_time(REFRESH)
            await here.legal_is(ANA)
    (told,) = [line for line in lines if line["event"] == "group_members_unknown"]
    assert (told["group"], told["count"], told["ids"]) == ("legal", 2, ["zoe", "y" * 64])
    (changed,) = [line for line in lines if line["event"] == "group_members_changed"]
    assert (changed["policies_changed"], changed["groups"]) == (["default"], {"legal": 1})


async def test_a_stranger_who_leaves_is_not_told_of_and_one_who_comes_is(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    """In a channel people come and go, most of whom never review."""
    told: list[tuple[int, list[str]]] = []
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        for body in ('["ana", "zoe", "kim"]', '["kim", "ana"]', '["ana", "kim", "lou"]'):
            lists.body = body
            with capture_logs() as lines:
                await here.pass_time(REFRESH)
            told += [
                (line["count"], line["ids"]) for line in lines if line["event"] == "group_members_unknown"
            ]
    assert told == [(2, ["zoe", "kim"]), (2, ["lou"])]


async def test_a_reload_says_how_many_are_in_each_group(
    lists: Lists, file: Path, sqlite_database: Database, clock: StoppedClock
) -> None:
    async with town(file, sqlite_database, clock, legal(lists) + ONE) as here:
        with capture_logs() as lines:
            assert await here.reloader.reload()
    (told,) = [line for line in lines if line["event"] == "configuration_reloaded"]
    assert told["groups"] == {"legal": 2}
