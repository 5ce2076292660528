"""`countersign policy check` tells which decided reviews would have gone another way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.definitions import definition
from core.model import Escalation, OnExpiry
from core.store.database import database
from core.store.schema import migrate
from countersign.cli import run
from tests.countersign.listing import listing
from tests.world import ANA, BEN, flow_settings, policies, whole_core

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


async def test_what_a_deadline_approved_is_no_difference(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'countersign.db'}"
    migrate(database(url))
    late = replace(policies()["default"], deadline=timedelta(hours=1), on_expiry=OnExpiry.APPROVE)
    flow = definition(flow_settings(), {"default": late}, None)
    async with whole_core(database(url), clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        await world.open_review(task.id)
        clock.advance(hours=1)
        await world.end(task.id)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    file, text = tmp_path / "countersign.toml", '[policies.default]\nreviewers = ["ana"]\ndeadline = "2h"\n'
    assert check(file, f'{text}on_expiry = "approve"') == 0
    assert "of 1 decided reviews 0 would" in capsys.readouterr().out
    assert check(file, text) == 1
    assert "was approved, would be expired" in capsys.readouterr().out


async def test_who_came_with_an_escalation_may_decide_again(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'countersign.db'}"
    migrate(database(url))
    wider = Escalation(after=timedelta(hours=1), people=(ANA.id,))
    slow = replace(policies()["default"], reviewers=(BEN.id,), escalation=wider)
    flow = definition(flow_settings(), {"default": slow}, None)
    async with whole_core(database(url), clock, flows={"draft": flow}) as world:
        task = await world.submit("x")
        review = await world.open_review(task.id)
        clock.advance(hours=1)
        for timer in await world.store.due_timers(1):
            await world.store.fire(timer, policies={"default": slow}, people={})
        await world.approve(review, ANA)
        await world.end(task.id)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    text = '[policies.default]\nreviewers = ["ben"]\nescalation = { after = "1h", reviewers = ["ana"] }\n'
    assert check(tmp_path / "countersign.toml", text) == 0
    assert "of 1 decided reviews 0 would" in capsys.readouterr().out


async def test_flows_that_wait_and_what_a_signal_would_refuse_are_told(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (
        '[policies.default]\nreviewers = ["ana", "ben"]\n[policies.{0}]\n[flows.release]\npolicy = "{0}"\n'
    )
    assert check(recorded, before.format("old")) == 0
    told = capsys.readouterr().out
    assert "Nobody may decide under old, which the flow release asks for or offers." in told
    assert "flows wait for the next start" in told
    new = recorded.with_name("new.toml")
    new.write_text(PEOPLE + before.format("new"))
    assert run(["policy", "check", str(new)]) == 0
    told = capsys.readouterr().out
    assert "SIGHUP would refuse this file" in told
    assert "no more: old." in told
    assert "Flows that changed wait for the next start: release." in told


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
