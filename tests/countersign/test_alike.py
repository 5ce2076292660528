"""Marks of configurations: the same for the same, and where they differ they say in which section."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.ids import new_id
from core.model import Policy
from core.store.sql import SqlStore
from countersign.alike import DIGITS, KEY, NAMES, SECTIONS, Alike, differences, mark
from countersign.configuration import ConfigurationFile, configuration
from countersign.doctor import findings
from countersign.reach import reachable
from countersign.settings import known_names, settings
from tests.contracts.conftest import on
from tests.contracts.steps import submitted
from tests.world import StoppedClock

if TYPE_CHECKING:
    from bot.findings import Finding
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings

BEGIN = """
[people.ana]
name = "Ana"
slack = "U1"
[people.ben]
name = "Ben"
[policies.default]
reviewers = ["ana", "ben"]
[hooks.ci]
scheme = "bearer"
secret_env = "CI_SECRET"
"""
FLOWS = "[flows], COUNTERSIGN_MODEL_URL, COUNTERSIGN_MODEL or COUNTERSIGN_MODEL_API_KEY."
CALLBACKS = "COUNTERSIGN_WEBHOOK_SECRET or COUNTERSIGN_WEBHOOK_ALLOW."
POLICIES = "[policies], [groups] or [recipients]."
SIGHUP = "Give all the same countersign.toml; SIGHUP has one read it anew."
RESTART = "Set all alike; one that is restarted reads it anew."
MINE = {"CI_SECRET": "a-secret-of-some-length"}


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, environment: dict[str, str] | None = None) -> Configuration:
    path = Path("countersign.toml")
    path.write_text(text)
    return configuration(path, environment or MINE)


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return settings()


def test_the_same_is_the_same_in_another_order_and_under_another_key_it_is_not() -> None:
    first, other = BEGIN.split("[people.ben]"), '[people.ben]\nname = "Ben"\n'
    moved = other + first[0] + first[1].removeprefix('\nname = "Ben"')
    assert mark(settings(), read(BEGIN), b"k") == mark(settings(), read(moved), b"k")
    assert mark(settings(), read(BEGIN), b"k") != mark(settings(), read(BEGIN), b"l")
    assert len(mark(settings(), read(BEGIN), b"k")) == len(SECTIONS) * DIGITS == 64


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        (BEGIN.replace('"U1"', '"U2"'), ["people"]),
        (BEGIN + '[admins]\npeople = ["ana"]\n', ["people"]),
        (BEGIN.replace('["ana", "ben"]', '["ana"]'), ["policies"]),
        (BEGIN + "[flows.draft]\nretries = 1\n", ["flows"]),
        (BEGIN + 'input = "a"\n', ["hooks"]),
    ],
)
def test_what_the_file_says_otherwise_is_named_by_its_section(text: str, sections: list[str]) -> None:
    mine, others = mark(settings(), read(BEGIN), b"k"), mark(settings(), read(text), b"k")
    assert differences(mine, others) == sections


@pytest.mark.parametrize(
    ("values", "sections"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}, ["slack"]),
        ({"TELEGRAM_BOT_TOKEN": "1:a"}, ["telegram"]),
        ({"COUNTERSIGN_WEBHOOK_ALLOW": "127.0.0.1"}, ["callbacks"]),
        ({"COUNTERSIGN_PUBLIC_URL": "https://review.example"}, ["web"]),
    ],
)
def test_so_is_what_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], sections: list[str]
) -> None:
    before = mark(settings(), read(BEGIN), b"k")
    now = set_to(monkeypatch, **values)
    assert differences(before, mark(now, read(BEGIN), b"k")) == sections


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterPolicy(Policy):
    """As the next release knows them."""

    later: bool = False


def test_a_release_that_knows_one_setting_more_makes_the_same_mark_until_it_is_set() -> None:
    """Both run side by side while replicas are replaced, and their file is the same."""
    known = read(BEGIN)
    policy = known.policies["default"]
    values = {field.name: getattr(policy, field.name) for field in fields(policy)}

    def mark_with(other: Policy) -> str:
        return mark(settings(), replace(known, policies={**known.policies, "default": other}), b"k")

    mine = mark(settings(), known, b"k")
    assert differences(mine, mark_with(LaterPolicy(**values))) == []
    assert differences(mine, mark_with(LaterPolicy(**values, later=True))) == ["policies"]


def test_a_secret_that_differs_is_seen_and_stands_nowhere() -> None:
    mine = mark(settings(), read(BEGIN), b"k")
    others = mark(settings(), read(BEGIN, {"CI_SECRET": "another-secret-of-some-length"}), b"k")
    assert differences(mine, others) == ["hooks"]
    assert "secret" not in mine


def test_so_is_the_token_of_a_group_s_source() -> None:
    text = BEGIN + '[groups.legal]\nurl = "https://people.example.com"\ntoken_env = "LIST"\n'
    mine, others = (mark(settings(), read(text, MINE | {"LIST": token}), b"k") for token in ("one", "other"))
    assert differences(mine, others) == ["policies"]


def test_every_setting_that_is_compared_is_one() -> None:
    named = {word for names in NAMES.values() for name in names for word in name.split() if word.isupper()}
    assert named <= known_names()
    sections = {word for names in NAMES.values() for name in names for word in re.findall(r"\[(\w+)\]", name)}
    assert sections == set(ConfigurationFile.model_fields)


async def test_each_hears_of_the_others_until_they_read_the_same(
    postgres_database: Database, clock: StoppedClock
) -> None:
    async with (
        SqlStore(postgres_database, clock, replica="a" * 32) as one,
        SqlStore(postgres_database, clock, replica="b" * 32) as two,
    ):
        key = await one.secret(KEY)
        assert key == await two.secret(KEY)
        first = Alike(one, settings(), key, read(BEGIN))
        second = Alike(two, settings(), key, read(BEGIN + "[flows.draft]\nretries = 1\n"))
        one.ask_for_room(lambda: True)
        for store in (one, two):
            await lives(postgres_database, store)
        assert [await one.warnings(named=False) for one in (first, second)] == [
            [f"Set otherwise on 1 of 1 other replicas than here: {FLOWS} {RESTART}"]
        ] * 2
        task = await submitted(one)
        assert await first.leave(task.id), "the other has other flows, perhaps this one"
        assert await one.runnable() == []
        assert [found for found, _ in await two.uncovered()] == [task.id]
        await second.changed(read(BEGIN))
        assert await first.leave(task.id), "its flows wait for its next start, whatever its file says now"
        second = Alike(two, settings(), key, read(BEGIN))  # started anew
        await second.changed(read(BEGIN))
        assert not await first.leave(task.id)
        assert [await one.warnings(named=True) for one in (first, second)] == [[], []]
        async with SqlStore(postgres_database, clock, replica="c" * 32) as newer:
            newer.describe(name="c", release="99", configuration=mark(settings(), read(BEGIN), key))
            await lives(postgres_database, newer)
            assert await first.leave(task.id), "another release's flow may be another"


async def test_flows_and_hooks_that_wait_for_a_start_are_not_told_before(
    postgres_database: Database, clock: StoppedClock
) -> None:
    """All read a file with a new flow; then one is started anew, and runs what the other does not know."""
    later = BEGIN.replace("secret_env", 'input = "text"\nsecret_env') + "[flows.draft]\nretries = 1\n"
    async with (
        SqlStore(postgres_database, clock, replica="a" * 32) as one,
        SqlStore(postgres_database, clock, replica="b" * 32) as two,
    ):
        key = await one.secret(KEY)
        first, second = (Alike(store, settings(), key, read(BEGIN)) for store in (one, two))
        for store in (one, two):
            await lives(postgres_database, store)
        await first.changed(read(later))
        assert await first.warnings(named=True) == []
        await second.changed(read(later))
        second = Alike(two, settings(), key, read(later))  # started anew
        await second.changed(read(later))
        assert len(await first.warnings(named=True)) == len(await second.warnings(named=True)) == 2


async def lives(database: Database, store: SqlStore) -> None:
    [(worker,)] = on(database, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    await store.enlist(worker)


async def replica(
    stack: AsyncExitStack, database: Database, name: str, set_to: Settings, configured: Configuration
) -> Alike:
    """One that lives under this name."""
    store = await stack.enter_async_context(SqlStore(database, StoppedClock(), replica=new_id()))
    made = Alike(store, set_to, await store.secret(KEY), configured, name)
    await lives(database, store)
    return made


async def test_a_difference_is_one_sentence_that_names_settings_and_who_differs(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = settings()
    other = set_to(monkeypatch, COUNTERSIGN_WEBHOOK_ALLOW="10.0.0.1")
    flows = BEGIN + "[flows.draft]\nretries = 1\n"
    async with AsyncExitStack() as stack:
        me = await replica(stack, postgres_database, "web-1:7", plain, read(BEGIN))
        await replica(stack, postgres_database, "web-2:7", other, read(BEGIN))
        await replica(stack, postgres_database, "worker-1:9", other, read(flows))
        assert await me.warnings(named=True) == [
            f"Set otherwise on worker-1:9 than here (web-1:7): {FLOWS} {RESTART}",
            f"Set otherwise on web-2:7 and worker-1:9 than here (web-1:7): {CALLBACKS} {RESTART}",
        ]
        assert await me.warnings(named=False) == [
            f"Set otherwise on 1 of 2 other replicas than here: {FLOWS} {RESTART}",
            f"Set otherwise on 2 of 2 other replicas than here: {CALLBACKS} {RESTART}",
        ]


async def test_what_a_signal_puts_in_force_asks_for_no_restart(postgres_database: Database) -> None:
    plain, other = settings(), BEGIN.replace('["ana", "ben"]', '["ben"]')
    async with AsyncExitStack() as stack:
        me = await replica(stack, postgres_database, "web-1:7", plain, read(BEGIN))
        await replica(stack, postgres_database, "web-2:7", plain, read(other))
        assert await me.warnings(named=True) == [
            f"Set otherwise on web-2:7 than here (web-1:7): {POLICIES} {SIGHUP}"
        ]


async def examined(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What doctor says of replicas, in this process's environment."""
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("CI_SECRET", MINE["CI_SECRET"])
    checks = ("replica", "replicas", "this command")
    return [found async for found in findings() if found.check in checks and not found.is_well]


async def test_doctor_says_which_replicas_do_not_agree(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, configured = settings(), read(BEGIN)
    async with AsyncExitStack() as stack:
        for name in ("web-1:7", "web-2:7"):
            await replica(stack, postgres_database, name, plain, configured)
        monkeypatch.setenv("COUNTERSIGN_WEBHOOK_ALLOW", "10.0.0.1")
        await replica(stack, postgres_database, "worker-1:9", settings(), configured)
        (found,) = await examined(postgres_database, monkeypatch)
    assert found.check == "replicas"
    assert found.text == f"do not agree on {CALLBACKS.rstrip('.')}: web-1:7 and web-2:7; worker-1:9"
    assert found.mend.endswith("SIGHUP has one read people and policies anew, a restart everything")


async def test_doctor_takes_recipients_of_a_chat_that_is_off_as_the_replicas_do(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = reachable(read('[recipients]\nslack = ["C1"]\n' + BEGIN), settings())
    async with AsyncExitStack() as stack:
        await replica(stack, postgres_database, "web-1:7", settings(), configured)
        assert await examined(postgres_database, monkeypatch) == []


@pytest.mark.parametrize("names", [["web-1:7"], ["web-1:7", "web-2:7"]])
async def test_doctor_blames_itself_where_the_replicas_agree(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_WEBHOOK_ALLOW", "10.0.0.1")
    there, configured = settings(), read(BEGIN)
    async with AsyncExitStack() as stack:
        for name in names:
            await replica(stack, postgres_database, name, there, configured)
        assert await examined(postgres_database, monkeypatch) == []
        monkeypatch.delenv("COUNTERSIGN_WEBHOOK_ALLOW")
        (found,) = await examined(postgres_database, monkeypatch)
    said = "web-1:7 runs on" if len(names) == 1 else "web-1:7 and web-2:7 agree on"
    here = Path.cwd()
    assert found.check == "this command"
    assert found.text == (
        f"its environment, {here / '.env'} and {here / 'countersign.toml'} are not what {said}: "
        + CALLBACKS.rstrip(".")
    )
    assert "run it with the environment and in the folder of the service" in found.mend
