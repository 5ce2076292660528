"""`countersign doctor` on what works, but perhaps not as somebody meant it: a word, and no failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bot.simulator.slack import SlackSimulator
from countersign.cli import run
from countersign.doctor import findings, line

if TYPE_CHECKING:
    from pathlib import Path

    from bot.findings import Finding

PEOPLE = """
[people.ana]
name = "Ana"
[people.ben]
name = "Ben"
[people.cy]
name = "Cy"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERSIGN_PORT", "0")  # another program may listen at the usual one
    return tmp_path


async def warnings(folder: Path, text: str) -> dict[str, Finding]:
    (folder / "countersign.toml").write_text(PEOPLE + text)
    found = [one async for one in findings()]
    assert all(one.is_well for one in found), found
    return {one.check: one for one in found if one.is_warning}


@pytest.mark.parametrize(
    ("policy", "who"),
    [
        ('reviewers = ["ana", "ben"]\napprovals = 2', "ana or ben"),
        ('reviewers = ["ana"]', "ana"),
        ('reviewers = ["ana", "ben", "cy"]\napprovals = 3', "ana, ben or cy"),
        ('stages = [{ reviewers = ["ana"] }, { reviewers = ["ben", "cy"] }]', "ana"),
    ],
)
async def test_a_policy_under_which_a_reviewers_own_tasks_are_stuck_is_named(
    folder: Path, policy: str, who: str
) -> None:
    (found,) = (await warnings(folder, f"[policies.default]\n{policy}\n")).values()
    assert found.check == "policy default"
    assert found.text == (
        f"what {who} hands in can never be approved: nobody decides on their own task, and without them too "
        "few are left"
    )
    assert found.mend == (
        "name one more reviewer, ask for fewer approvals, or let submitters decide on their own tasks "
        "(self_review = true)"
    )
    assert line(found) == f"warn  policy default: {found.text} - {found.mend}"


@pytest.mark.parametrize(
    "policy",
    [
        'reviewers = ["ana", "ben"]',
        'reviewers = ["ana", "ben"]\napprovals = 2\nself_review = true',
        'reviewers = ["ana", "ben"]\napprovals = 2\nescalation = { after = "1h", reviewers = ["cy"] }',
    ],
)
async def test_a_policy_that_somebody_else_can_meet_is_not_warned_of(folder: Path, policy: str) -> None:
    assert await warnings(folder, f"[policies.default]\n{policy}\n") == {}


async def test_a_policy_that_no_flow_asks_for_or_offers_is_not_warned_of(folder: Path) -> None:
    unused = '[policies.default]\nreviewers = ["ana", "ben"]\n[policies.spare]\nreviewers = ["ana"]\n'
    assert await warnings(folder, unused) == {}


async def test_in_open_mode_whoever_sits_there_may_approve_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_AUTH", "open")
    assert await warnings(folder, '[policies.default]\nreviewers = ["ana"]\n') == {}


def test_a_warning_is_no_failure_and_is_told_to_scripts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "countersign.toml").write_text(PEOPLE + '[policies.default]\nreviewers = ["ana"]\n')
    assert run(["doctor", "--json"]) == 0
    found = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [one["check"] for one in found if one["is_warning"]] == ["policy default"]


def test_what_a_flow_s_module_prints_does_not_stand_among_the_findings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "chatty_flow.py").write_text('print("said while it is imported")\n')
    (folder / "countersign.toml").write_text(PEOPLE + '[flows.x]\ngraph = "chatty_flow:absent"\n')
    run(["doctor", "--json"])
    told = capsys.readouterr()
    assert "flow" in [json.loads(one)["check"] for one in told.out.splitlines()]
    assert "said while it is imported" in told.err


async def test_swapped_tokens_are_named_and_sent_to_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SlackSimulator() as slack:
        monkeypatch.setenv("SLACK_BOT_TOKEN", slack.app_token)
        monkeypatch.setenv("SLACK_APP_TOKEN", slack.bot_token)
        monkeypatch.setenv("COUNTERSIGN_SLACK_API_URL", slack.api_url)
        (folder / "countersign.toml").write_text(
            PEOPLE + '[recipients]\nslack = ["C01GEN"]\n[policies.default]\nreviewers = ["ana", "ben"]\n'
            '[groups.legal]\nslack = "S01LEGAL"\n'
        )
        found = {one.check: one async for one in findings()}
        assert slack.calls == []
    assert found["SLACK_BOT_TOKEN"].text == "holds an app-level token of Slack's"
    assert found["SLACK_APP_TOKEN"].text == "holds a bot token of Slack's"
    assert [check for check, one in found.items() if "slack" in check and not one.is_well] == []
    assert "SLACK_BOT_TOKEN" in found["group legal"].text


async def test_a_list_of_callback_addresses_that_stops_the_start_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_WEBHOOK_ALLOW", "hooks.internal, 10.0.0.0/99")
    (folder / "countersign.toml").write_text(PEOPLE + '[policies.default]\nreviewers = ["ana", "ben"]\n')
    [wrong] = [one async for one in findings() if not one.is_well]
    assert wrong.check == "settings"
    assert wrong.text == "COUNTERSIGN_WEBHOOK_ALLOW: each entry is a host name, an address or a network."
