"""Three replicas whose clocks are 15 s apart: what falls due happens once, and by the database's clock.

Noted by the database itself, which knows no other clock: when each timer was set, and each event stored.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest

from tests.contracts.conftest import on
from tests.walks.fleet import fleet
from tests.walks.runs import eventually, figures, seeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from core.store.database import Database
    from tests.walks.fleet import Replica

SKEWED = Path(__file__).parent / "skewed_child.py"
APART = 15
"""Seconds between the clocks of two replicas."""
REMINDER, ESCALATION = 1, 3
CONFIGURATION = f"""
[people.sam]
name = "Sam Lee"
[people.ana]
name = "Ana Ruiz"
[people.ben]
name = "Ben Okafor"
[policies.default]
reviewers = ["ana"]
reminders = ["{REMINDER}s"]
deadline = "DEADLINE"
[policies.default.escalation]
after = "{ESCALATION}s"
reviewers = ["ben"]
"""
SAID = {"reminder": "reviewer_reminded", "escalation": "review_escalated", "expiry": "review_expired"}
STAMPED_WITHIN = 5.0
"""Seconds before it is stored that a review opened, at most: far below what the clocks are apart."""
DONE_WITHIN = 90.0

NOW = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
NOTE = f"""
CREATE TABLE noted_timer (review text, kind text, due_at bigint, at bigint);
CREATE TABLE noted_event (review text, kind text, at bigint);
CREATE FUNCTION note_timer() RETURNS trigger AS $$ BEGIN
INSERT INTO noted_timer VALUES (NEW.review_id, NEW.kind, NEW.due_at, {NOW}); RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE FUNCTION note_event() RETURNS trigger AS $$ BEGIN
INSERT INTO noted_event VALUES (NEW.data::json->>'review', NEW.kind, {NOW}); RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER note_timer AFTER INSERT ON timer FOR EACH ROW EXECUTE FUNCTION note_timer();
CREATE TRIGGER note_event AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION note_event();
"""  # noqa: S608 - ours
NOTE_NO_MORE = """
DROP TRIGGER note_timer ON timer; DROP TRIGGER note_event ON event;
DROP FUNCTION note_timer; DROP FUNCTION note_event; DROP TABLE noted_timer; DROP TABLE noted_event;
"""
HOLDER = f"""
SELECT replica.name FROM lease JOIN replica ON replica.id = lease.holder
WHERE lease.name = 'timers' AND lease.expires_at > {NOW}
"""  # noqa: S608 - ours


class Noted(NamedTuple):
    """One timer: when it was set and when it is due, and when it was said that it happened; in seconds."""

    review: str
    kind: str
    set_at: float
    due_at: float
    said_at: list[float]


@asynccontextmanager
async def noted(database: Database) -> AsyncIterator[None]:
    await asyncio.to_thread(on, database, NOTE)
    try:
        yield
    finally:
        await asyncio.to_thread(on, database, NOTE_NO_MORE)


async def rows(database: Database, statement: str) -> list[Any]:
    return await asyncio.to_thread(on, database, statement)


async def submit(replicas: list[Replica], chance: Random, tasks: int) -> None:
    """At replicas whose clocks differ; the drafts are made at once, and the reviews open."""
    async with aiohttp.ClientSession(trust_env=False) as http:

        async def one(number: int) -> None:
            where = chance.choice(replicas)
            url, body = f"{where.url}/v1/tasks", {"input": f"Task-{number}"}
            async with http.post(url, json=body, headers=where.headers("sam")) as answer:
                assert answer.status == 201, await answer.text()

        await asyncio.gather(*map(one, range(tasks)))


async def keeper(database: Database, replicas: list[Replica]) -> Replica:
    """Who keeps the timers now."""

    async def look() -> list[Replica]:
        names = [row[0] for row in await rows(database, HOLDER)]
        return [one for one in replicas if one.is_up and any(n.endswith(f":{one.pid}") for n in names)]

    return (await eventually(look, within=DONE_WITHIN))[0]


async def until_said(database: Database, kind: str, times: int) -> None:
    async def look() -> bool:
        [(count,)] = await rows(database, f"SELECT count(*) FROM noted_event WHERE kind = '{SAID[kind]}'")  # noqa: S608 - ours
        return bool(count >= times)

    await eventually(look, within=DONE_WITHIN)


async def what_was_noted(database: Database) -> list[Noted]:
    timers = await rows(database, "SELECT review, kind, at, due_at FROM noted_timer ORDER BY at")
    events = await rows(database, "SELECT review, kind, at FROM noted_event ORDER BY at")
    return [
        Noted(
            review,
            kind,
            set_at / 1e6,
            due_at / 1e6,
            [at / 1e6 for of, said, at in events if (of, said) == (review, SAID[kind])],
        )
        for review, kind, set_at, due_at in timers
    ]


async def timers_under_skew(
    folder: Path, database: Database, *, tasks: int, deadline: int, handovers: list[str]
) -> None:
    """`handovers` are how whoever keeps the timers ends meanwhile, one after the other.

    The `deadline`, in seconds, is to leave time for one: what comes before it is not to be overtaken by it.
    """
    waits = {"reminder": REMINDER, "escalation": ESCALATION, "expiry": deadline}
    configuration = CONFIGURATION.replace("DEADLINE", f"{deadline}s")
    seed, chance = seeded()
    url = database.url.render_as_string(hide_password=False)
    commands = {0: (str(SKEWED), str(-APART)), 2: (str(SKEWED), str(APART))}
    async with (
        noted(database),
        fleet(folder, url, configuration=configuration, people=["sam"], commands=commands) as replicas,
    ):
        began, keepers = time.monotonic(), set()
        for number, ends in enumerate(handovers, 1):
            await submit(replicas, chance, tasks)
            await until_said(database, "reminder", (number - 1) * tasks + tasks // 2)
            victim = await keeper(database, replicas)
            keepers.add(replicas.index(victim))
            await (victim.kill() if ends == "kill" else victim.stop())
            await until_said(database, "escalation", number * tasks)
            await victim.start()
        keepers.add(replicas.index(await keeper(database, replicas)))
        await until_said(database, "expiry", len(handovers) * tasks)
        took = time.monotonic() - began
        found = await what_was_noted(database)
    assert len(found) == len(handovers) * tasks * len(waits)
    assert {len(timer.said_at) for timer in found} == {1}, "each once"
    early = [timer for timer in found if timer.said_at[0] < timer.due_at]
    assert early == [], "none before its time"
    for timer in found:
        opened_at = timer.due_at - waits[timer.kind]
        assert timer.set_at - STAMPED_WITHIN < opened_at <= timer.set_at, "by the database's clock"
    late = sorted(timer.said_at[0] - timer.due_at for timer in found)
    figures(
        timers=len(found),
        apart_s=APART,
        handovers=len(handovers),
        keepers=len(keepers),
        early=0,
        twice=0,
        late_p50_s=f"{late[len(late) // 2]:.2f}",
        late_max_s=f"{late[-1]:.2f}",
        took_s=f"{took:.0f}",
        seed=seed,
    )


async def test_timers_fire_once_and_never_early_though_clocks_differ(
    tmp_path: Path, postgres_database: Database
) -> None:
    await timers_under_skew(tmp_path, postgres_database, tasks=12, deadline=12, handovers=["stop"])


@pytest.mark.soak
async def test_many_timers_fire_once_and_never_early_whoever_keeps_them(
    tmp_path: Path, postgres_database: Database
) -> None:
    await timers_under_skew(
        tmp_path, postgres_database, tasks=200, deadline=30, handovers=["kill", "stop"] * 3
    )
