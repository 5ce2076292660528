"""`countersign policy check` tells which decided reviews would have gone another way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from core.store.database import database
from core.store.schema import migrate
from countersign.cli import run
from tests.countersign.test_membership import listing
from tests.world import BEN, whole_core

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import StoppedClock

PEOPLE = "".join(f'[people.{name}]\nname = "{name.title()}"\n' for name in ("ana", "ben", "cy", "sam"))


@pytest.fixture
async def recorded(tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with one task that Ana approved and one that Ben rejected; the configuration file."""
    url = f"sqlite:///{tmp_path / 'countersign.db'}"
    migrate(database(url))
    async with whole_core(database(url), clock) as world:
        first = await world.submit("x")
        await world.approve(await world.open_review(first.id))
        await world.end(first.id)
        second = await world.submit("y")
        await world.reject(await world.open_review(second.id), BEN)
        await world.open_review(second.id, 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    return tmp_path / "countersign.toml"


def check(file: Path, text: str, *words: str) -> int:
    file.write_text(PEOPLE + text)
    return run(["policy", "check", *words])


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ('[policies.default]\nreviewers = ["ana", "ben"]', 0, "of 2 decided reviews 0 would"),
        ('[policies.default]\nreviewers = ["ana", "ben"]\napprovals = 2', 1, "was approved, would be open"),
        ('[policies.default]\nreviewers = ["ana", "ben"]\nrejections = 2', 1, "was rejected, would be open"),
        ('[policies.default]\nreviewers = ["ben"]', 1, "Ana Ruiz's decision would be refused: You are not"),
        ('[policies.default]\nreviewers = ["zoe"]', 2, "'zoe' is neither in [people]"),
    ],
)
async def test_what_would_differ(
    recorded: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, said: str
) -> None:
    assert check(recorded, text) == status
    told = capsys.readouterr()
    assert said in told.out + told.err


async def test_a_script_gets_lines_of_json(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(recorded, '[policies.default]\nreviewers = ["ben"]', "--json") == 1
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["attempt"], found["policy"], found["was"], found["would_be"]) == (
        1,
        "default",
        "approved",
        "open",
    )


async def test_who_is_in_a_group_from_outside_is_asked_first(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listing() as lists:
        text = f'[groups.legal]\nurl = "{lists.url}/legal"\n[policies.default]\nreviewers = ["legal"]\n'
        lists.body = '["ana", "ben", "zoe"]'
        assert await asyncio.to_thread(check, recorded, text) == 0
        told = capsys.readouterr()
        assert told.err == "group legal: 2 of [people], and 1 others\n"
        assert "of 2 decided reviews 0 would" in told.out
        lists.body = '["ana"]'
        assert await asyncio.to_thread(check, recorded, text) == 1
        assert "Ben Okri's decision would be refused" in capsys.readouterr().out
        lists.status = 500
        assert await asyncio.to_thread(check, recorded, text) == 1
        told = capsys.readouterr()
        assert "groups.legal: its members are not known: 127.0.0.1 answered 500." in told.err
        assert told.out == ""
