"""`countersign doctor` on groups from outside: who is in them, and how to mend what keeps it from knowing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.simulator.slack import SlackSimulator
from bot.simulator.slack.method import BOT_SCOPES
from bot.simulator.telegram import TelegramSimulator
from countersign.doctor import findings
from tests.countersign.listing import listing

if TYPE_CHECKING:
    from pathlib import Path

    from bot.findings import Finding

PEOPLE = '[people.ana]\nname = "Ana"\nslack = "U01ANA"\n[policies.default]\nreviewers = ["legal"]\n'
SLACK = '[groups.legal]\nslack = "S01LEGAL"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "countersign.toml"


async def examined(file: Path, text: str) -> dict[str, Finding]:
    _write(file, PEOPLE + text)
    return {found.check: found async for found in findings()}


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def configured(monkeypatch: pytest.MonkeyPatch, slack: SlackSimulator) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", slack.bot_token)
    monkeypatch.setenv("SLACK_APP_TOKEN", slack.app_token)
    monkeypatch.setenv("COUNTERSIGN_SLACK_API_URL", slack.api_url)


async def test_who_is_in_a_slack_user_group(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SlackSimulator() as slack:
        slack.add_usergroup("S01LEGAL", "legal", users=["U01ANA", "U01ZOE"])
        configured(monkeypatch, slack)
        found = await examined(file, SLACK)
    assert found["group legal"].is_well
    assert found["group legal"].text == "1 of [people]; 1 others, who may not decide: T0SIMULATED/U01ZOE"
    assert found["configuration"].is_well


async def test_the_scope_that_is_missing_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {"usergroups:read"}) as slack:
        configured(monkeypatch, slack)
        legal = (await examined(file, SLACK))["group legal"]
    assert not legal.is_well
    assert "missing_scope" in legal.text
    assert "add usergroups:read under OAuth & Permissions" in legal.mend


async def test_who_is_in_a_slack_channel(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SlackSimulator() as slack:
        slack.add_channel("C01LEGAL", "legal", members=["U01ANA", "U01ZOE"])
        configured(monkeypatch, slack)
        found = await examined(file, '[groups.legal]\nslack = "C01LEGAL"\n')
    assert found["group legal"].is_well
    assert found["group legal"].text == "1 of [people]; 1 others, who may not decide: T0SIMULATED/U01ZOE"


@pytest.mark.parametrize("is_private", [False, True])
async def test_the_scope_that_a_channel_misses_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, is_private: bool
) -> None:
    missing = "groups:read" if is_private else "channels:read"
    async with SlackSimulator(bot_scopes=BOT_SCOPES - {missing}) as slack:
        slack.add_channel("C01LEGAL", "legal", members=["U01ANA"], is_private=is_private)
        configured(monkeypatch, slack)
        legal = (await examined(file, '[groups.legal]\nslack = "C01LEGAL"\n'))["group legal"]
    assert not legal.is_well
    assert "missing_scope" in legal.text
    assert "add channels:read (groups:read for a private channel) under OAuth & Permissions" in legal.mend


async def test_who_is_in_a_chat_in_telegram(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[groups.legal]\ntelegram = -1001\n[people.ben]\nname = 'Ben'\ntelegram = 43\n"
    async with TelegramSimulator() as telegram:
        telegram.add_user(43, "Ben")
        telegram.add_chat(-1001, title="Legal", members=[43])
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", telegram.token)
        monkeypatch.setenv("COUNTERSIGN_TELEGRAM_API_URL", telegram.api_url)
        assert (await examined(file, text))["group legal"].text == "1 of [people]"
        telegram.leave(-1001, 43)
        nobody = (await examined(file, text))["group legal"]
        telegram.kick_bot(-1001)
        kicked = (await examined(file, text))["group legal"]
    assert (nobody.is_well, nobody.text) == (False, "0 of [people]")
    assert nobody.mend == (
        "name its members in [people], by their Telegram ids, and make the bot an administrator of the chat"
    )
    assert not kicked.is_well
    assert "so nobody is in it: Telegram refused it (Forbidden: bot was kicked from" in kicked.text
    mend = "add the bot to the chat, as an administrator, and check the ids of the chat and of [people]"
    assert kicked.mend == mend


async def test_telegram_that_is_off_or_wrong_is_named_and_no_token_is_sent(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[groups.legal]\ntelegram = -1001\n[people.ben]\nname = 'Ben'\ntelegram = 43\n"
    legal = (await examined(file, text))["group legal"]
    assert legal.text == "its members are not known, so nobody is in it: TELEGRAM_BOT_TOKEN is not set"
    async with TelegramSimulator() as telegram:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "xoxb-simulated")
        monkeypatch.setenv("COUNTERSIGN_TELEGRAM_API_URL", telegram.api_url)
        legal = (await examined(file, text))["group legal"]
        assert telegram.calls == []
    assert legal.text.endswith("Telegram's settings are not right; see TELEGRAM_BOT_TOKEN")


async def test_slack_that_is_off_is_named(file: Path) -> None:
    legal = (await examined(file, SLACK))["group legal"]
    assert legal.text == "its members are not known, so nobody is in it: SLACK_BOT_TOKEN is not set"


async def test_who_is_in_an_http_source_and_that_a_group_of_nobody_is_not_well(file: Path) -> None:
    async with listing() as lists:
        text = f'[groups.legal]\nurl = "{lists.url}/legal"\n'
        lists.body = '["ana"]'
        assert (await examined(file, text))["group legal"].text == "1 of [people]"
        lists.body = '["Ana"]'
        legal = (await examined(file, text))["group legal"]
        assert (legal.is_well, legal.text) == (False, "0 of [people]; 1 others, who may not decide: Ana")
        lists.body = '["ana", "zo\\ne\\u001b[2J"]'
        assert (await examined(file, text))["group legal"].text.endswith("may not decide: zo e\\x1b[2J")
        lists.status = 401
        legal = (await examined(file, text))["group legal"]
        assert (legal.is_well, legal.mend) == (False, "check `url` and `token_env`, and see docs/policies.md")
        assert legal.text.endswith("so nobody is in it: 127.0.0.1 answered 401")


async def test_a_policy_of_nobody_is_named_with_the_flow_that_asks_for_it_or_offers_it(file: Path) -> None:
    inside = '[groups.legal]\npeople = ["ana"]\n[policies.empty]\n[flows.release]\npolicies = ["empty"]\n'
    found = (await examined(file, inside))["configuration"]
    assert not found.is_well
    assert found.text == "nobody may review under: empty (flow release)"
    _write(file, '[people.ana]\nname = "Ana"\n')
    found = {one.check: one async for one in findings()}["configuration"]
    assert found.text == "nobody may review under: default (flow draft)"
    assert "Tasks that name no flow take draft" in str(found.mend)


PLACES = """
[recipients]
slack = ["C01GEN"]
fallback = { slack = ["C02OPS"] }
[people.ana]
name = "Ana"
[policies.default]
reviewers = ["ana"]
escalation = { after = "1h", recipients = { slack = ["C03LATE"] } }
"""


async def test_every_place_that_a_card_may_go_to_is_looked_at(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it goes only once something is wrong: it would be found out then."""
    _write(file, PLACES)
    async with SlackSimulator() as slack:
        slack.add_channel("C01GEN", "general")
        configured(monkeypatch, slack)
        found = {one.check: one.is_well async for one in findings()}
    places = {check: is_well for check, is_well in found.items() if check.startswith("slack C")}
    assert places == {"slack C01GEN": True, "slack C02OPS": False, "slack C03LATE": False}
