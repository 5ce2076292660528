"""`[groups]` with a list that somebody else keeps: what it says, what is refused, whom its members mean."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from bot.settings import BotSettings
from core.errors import SettingsError
from core.settings import CoreSettings
from countersign.configuration import configuration
from countersign.serve import _warn
from countersign.settings import Settings
from countersign.sources import Kind, Source
from web.settings import WebSettings

if TYPE_CHECKING:
    from pathlib import Path

    from countersign.configuration import Configuration

PEOPLE = """
[people.ana]
name = "Ana"
slack = "U01ANA"
telegram = 42
[people.ben]
name = "Ben"
slack = "T0OTHER/U01BEN"
[people.cy]
name = "Cy"
telegram = 44
"""


A_CHAT = "must be the id of a group or channel, such as -1001234567890, without quotes."


def read(tmp_path: Path, text: str, **environment: str) -> Configuration:
    file = tmp_path / "countersign.toml"
    file.write_text(PEOPLE + text, encoding="utf-8")
    return configuration(file, environment)


def refusal(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, **environment)
    return str(caught.value)


def test_a_slack_user_group_and_an_http_source(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [groups.legal]
        slack = "S0123ABCD"
        [groups.ops]
        url = "https://people.example.com/ops?active=1"
        token_env = "OPS_TOKEN"
        refresh = "30s"
        stale_after = "1m"
        """,
        OPS_TOKEN="canary",
    ).outside
    legal = Source(group="legal", kind=Kind.SLACK, address="S0123ABCD")
    assert found["legal"] == legal
    assert (found["legal"].refresh, found["legal"].stale_after) == (
        timedelta(minutes=5),
        timedelta(minutes=15),
    )
    ops = found["ops"]
    assert (ops.kind, ops.address, ops.token) == (
        Kind.HTTP,
        "https://people.example.com/ops?active=1",
        "canary",
    )
    assert (ops.refresh, ops.stale_after) == (timedelta(seconds=30), timedelta(minutes=1))
    assert "canary" not in repr(found)


def test_a_channel_in_slack_and_a_chat_in_telegram(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [groups.release]
        slack = "C0123ABCD"
        [groups.board]
        slack = "G0123ABCD"
        [groups.night]
        telegram = -1001234567890
        refresh = "1m"
        """,
    ).outside
    assert found["release"] == Source(group="release", kind=Kind.SLACK, address="C0123ABCD")
    assert (found["release"].is_user_group, found["board"].address) == (False, "G0123ABCD")
    assert found["night"] == Source(group="night", kind=Kind.TELEGRAM, address="-1001234567890")
    assert (found["night"].candidates, found["release"].candidates) == ((42, 44), ())
    assert found["night"].refresh == timedelta(minutes=1)


def test_three_refreshes_may_fail_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    found = read(tmp_path, '[groups.legal]\nslack = "S01"\nrefresh = "1h"').outside["legal"]
    assert found.stale_after == timedelta(hours=3)


def test_who_comes_from_outside_is_not_in_the_file_but_its_quorums_know_the_group(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [groups.legal]
        slack = "S01"
        people = ["ana"]
        [groups.all]
        groups = ["legal"]
        people = ["ben"]
        [groups.board]
        url = "http://localhost:9/board"
        [policies.one]
        reviewers = ["legal"]
        [policies.two]
        reviewers = ["all", "cy"]
        approvals = { all = 3, cy = 1 }
        escalation = { after = "1d", reviewers = ["board"] }
        [policies.plain]
        reviewers = ["ana", "ben"]
        """,
    ).policies
    assert (found["one"].reviewers, found["one"].outside) == (("ana",), ("legal",))
    assert found["one"].in_stages[0][0].outside == ("legal",)
    ((everybody, cy),) = found["two"].stages
    assert (everybody.people, everybody.outside, cy.outside) == (("ben", "ana"), ("legal",), ())
    assert found["two"].escalation is not None
    assert found["two"].escalation.outside == ("board",)
    assert found["plain"].outside == ()


def test_how_many_come_from_outside_is_no_mistake_of_the_file(tmp_path: Path) -> None:
    legal = '[groups.legal]\nslack = "S01"\n'
    many = legal + '[policies.x]\nreviewers = ["legal"]\napprovals = 5\nrejections = 3'
    assert read(tmp_path, many).policies["x"].reviewers == ()
    assert read(tmp_path, many).policies_of_nobody == ["default"]
    default = legal + '[policies.default]\nreviewers = ["legal"]'
    assert read(tmp_path, default).policies_of_nobody == []
    impossible = legal + '[policies.x]\nreviewers = ["legal", "cy"]\napprovals = { legal = 1, cy = 2 }'
    assert "2 can never be met: 'cy' is 1 person" in refusal(tmp_path, impossible)


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        ('slack = "legal"', "slack: must be an id such as S0123ABCD or C0123ABCD, not a name"),
        ('slack = "#legal"', "slack: must be an id such as S0123ABCD or C0123ABCD, not a name"),
        ('slack = "D0123ABCD"', "slack: must be an id such as S0123ABCD or C0123ABCD, not a name"),
        ('slack = "C01"\nurl = "https://x.example"', "url: `slack` names a list already"),
        ('slack = "C01"\ntelegram = -1001', "telegram: `slack` names a list already; make a group for each"),
        ('telegram = -1001\nurl = "https://x.example"', "url: `telegram` names a list already"),
        ('telegram = -1001\ntoken_env = "T"', "token_env: is for `url`; Telegram is asked with TELEGRAM_BOT"),
        ("telegram = 42", f"telegram: {A_CHAT}"),
        ("telegram = 0", f"telegram: {A_CHAT}"),
        ('telegram = "@reviews"', f"telegram: {A_CHAT}"),
        ('telegram = "-1001234567890/45"', f"telegram: {A_CHAT}"),
        ("telegram = true", f"telegram: {A_CHAT}"),
        ("telegram = -1e3", f"telegram: {A_CHAT}"),
        ("telegram = -4503599627370496", f"telegram: {A_CHAT}"),
        ("telegram = -1001\nrefresh = '29s'", "refresh: must be from 30s to 1d."),
        ('slack = "S01"\nurl = "https://x.example"', "url: `slack` names a list already"),
        ('slack = "S01"\ntoken_env = "T"', "token_env: is for `url`; Slack is asked with SLACK_BOT_TOKEN."),
        ('url = "http://people.example"', "url: must be an https:// address, or http:// on loopback."),
        ('url = "ftp://people.example"', "url: must be an https:// address"),
        ('url = "https://a b.example"', "url: must be an https:// address"),
        ('url = "https://[::1"', "url: is not a URL."),
        ('url = "https://a:b@people.example"', "url: must hold no password"),
        ('url = "https://x.example"\ntoken_env = "NONE"', "token_env: NONE is not set."),
        ('url = "https://x.example"\ntoken_env = "BAD"', "token_env: BAD holds what no header can carry."),
        (
            'people = ["ana"]\nrefresh = "1m"',
            "refresh: the group has no `slack`, `telegram` or `url` to be asked.",
        ),
        ('people = ["ana"]\ntoken_env = "T"', "token_env: the group has no `slack`, `telegram` or `url`"),
        ('slack = "S01"\nrefresh = "29s"', "refresh: must be from 30s to 1d."),
        ('slack = "S01"\nrefresh = "25h"', "refresh: must be from 30s to 1d."),
        ('slack = "S01"\nstale_after = "5m"', "stale_after: must be at least 30s longer than `refresh`."),
        ('slack = "S01"\nstale_after = "8d"', "stale_after: must be from 30s to 7d."),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, group: str, sentence: str) -> None:
    said = refusal(tmp_path, f"[groups.x]\n{group}", BAD="caf\u00e9", T="t")
    assert sentence in said
    assert "groups.x" in said
    assert "\n" not in said


def test_whom_the_names_of_an_http_source_mean(tmp_path: Path) -> None:
    found = read(tmp_path, '[groups.x]\nurl = "https://x.example"')
    meant = found.outside["x"].meant(["cy", "zoe", "ana", "cy", "Ana"], found.directory, found.people)
    assert meant == (("cy", "ana"), ("zoe", "Ana"))


def test_whom_slack_s_ids_mean_depends_on_the_workspace(tmp_path: Path) -> None:
    found = read(tmp_path, '[groups.x]\nslack = "S01"')
    asked = found.outside["x"]
    assert asked.meant(["T0OWN/U01ANA", "T0OWN/U01BEN"], found.directory, found.people) == (
        ("ana",),
        ("T0OWN/U01BEN",),
    )
    assert asked.meant(["T0OTHER/U01BEN"], found.directory, found.people)[0] == ("ben",)


def test_whom_telegrams_users_mean_is_in_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, "[groups.x]\ntelegram = -1001")
    assert found.outside["x"].meant(["44", "42", "9"], found.directory, found.people) == (
        ("cy", "ana"),
        ("9",),
    )


def test_a_group_of_a_chat_that_is_off_is_told_at_the_start(tmp_path: Path) -> None:
    text = (
        '[groups.a]\nslack = "C01"\n[groups.b]\ntelegram = -1001\n[groups.c]\nurl = "https://x.example"\n'
        '[policies.default]\nreviewers = ["a"]'
    )
    found = Settings(core=CoreSettings(), bot=BotSettings(), web=WebSettings())
    with capture_logs() as lines:
        _warn(found, read(tmp_path, text))
    told = [line for line in lines if line["event"] == "group_of_a_chat_that_is_off"]
    assert [(line["group"], line["channel"]) for line in told] == [("a", "slack"), ("b", "telegram")]
