"""Marks of configurations: the same for the same, and where they differ they say in which section."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.store.sql import SqlStore
from countersign.alike import DIGITS, KEY, SECTIONS, Alike, differences, living, mark
from countersign.configuration import configuration
from countersign.settings import settings
from tests.contracts.conftest import on
from tests.contracts.steps import submitted

if TYPE_CHECKING:
    from core.store.database import Database
    from countersign.configuration import Configuration
    from countersign.settings import Settings
    from tests.world import StoppedClock

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


def test_a_secret_that_differs_is_seen_and_stands_nowhere() -> None:
    mine = mark(settings(), read(BEGIN), b"k")
    others = mark(settings(), read(BEGIN, {"CI_SECRET": "another-secret-of-some-length"}), b"k")
    assert differences(mine, others) == ["hooks"]
    assert "secret" not in mine


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
            [(worker,)] = on(
                postgres_database, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
            )
            await store.enlist(worker)
        said = ["Another replica is configured otherwise: flows."]
        assert [await first.warnings(), await second.warnings()] == [said, said]
        seen = living(postgres_database, settings(), read(BEGIN))
        assert sorted(sections for _, sections in seen) == [[], ["flows"]]
        task = await submitted(one)
        assert await first.leave(task.id), "the other has other flows, perhaps this one"
        assert await one.runnable() == []
        assert [found for found, _ in await two.uncovered()] == [task.id]
        await second.changed(read(BEGIN))
        assert not await first.leave(task.id)
        assert [await first.warnings(), await second.warnings()] == [[], []]
