"""`[groups]` and `[policies]`: what they mean, and what is refused with its line."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from core.errors import SettingsError
from core.model import (
    Assurance,
    Escalation,
    OnExpiry,
    Party,
    Policy,
    Quorum,
    ReasonRule,
    Recipient,
    WorkingHours,
)
from countersign.configuration import configuration
from countersign.lines import line_of

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE = "".join(f'[people.{name}]\nname = "{name.title()}"\n' for name in ("ana", "ben", "cy", "dee", "eve"))
GROUPS = """
[groups.legal]
people = ["ana", "ben"]
hours = "* 9-16 * * mon-fri"
zone = "Europe/Madrid"
holidays = [2026-12-25]

[groups.ops]
people = ["ben", "cy", "dee"]

[groups.all]
groups = ["legal", "ops"]
people = ["eve"]
"""


def read(tmp_path: Path, text: str) -> dict[str, Policy]:
    file = tmp_path / "countersign.toml"
    file.write_text(PEOPLE + GROUPS + text, encoding="utf-8")
    return dict(configuration(file, {}).policies)


def test_everything_that_a_policy_can_say(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [policies.strict]
        reviewers = ["legal", "ops"]
        approvals = { legal = 1, ops = 2 }
        rejections = 2
        distinct_from = ["submitter", "editor"]
        reason = "on_reject"
        quick_reasons = ["too long", "wrong tone"]
        assurance = "confirm"
        destructive = true
        deadline = "3d"
        reminders = ["1d", "4h"]
        escalation = { after = "2d", reviewers = ["eve"], recipients = { slack = ["C02OPS"] } }
        on_expiry = "escalate"
        carry_decisions = true
        removed = "drop"
        claim = "1h"
        recipients = { telegram = [-100] }
        """,
    )["strict"]
    assert found == Policy(
        name="strict",
        reviewers=("ana", "ben", "cy", "dee"),  # type: ignore[arg-type]  # as people's ids are
        approvals=3,
        stages=(
            (
                Quorum(name="legal", people=("ana", "ben"), approvals=1),  # type: ignore[arg-type]  # as people's ids are
                Quorum(name="ops", people=("ben", "cy", "dee"), approvals=2),  # type: ignore[arg-type]  # as people's ids are
            ),
        ),
        rejections=2,
        distinct_from=(Party.SUBMITTER, Party.EDITOR),
        reason=ReasonRule.ON_REJECT,
        quick_reasons=("too long", "wrong tone"),
        assurance=Assurance.CONFIRM,
        destructive=True,
        deadline=timedelta(days=3),
        reminders=(timedelta(hours=4), timedelta(days=1)),
        escalation=Escalation(
            after=timedelta(days=2),
            people=("eve",),  # type: ignore[arg-type]  # as people's ids are
            recipients=(Recipient(channel="slack", address="C02OPS"),),  # type: ignore[arg-type]  # as people's ids are
        ),
        on_expiry=OnExpiry.ESCALATE,
        hours=(
            WorkingHours(cron="* 9-16 * * mon-fri", zone="Europe/Madrid", holidays=(date(2026, 12, 25),)),
        ),
        carries=True,
        keeps_removed=False,
        claim=timedelta(hours=1),
        recipients=(Recipient(channel="telegram", address="-100"),),  # type: ignore[arg-type]  # as people's ids are
    )


def test_groups_from_outside_stand_wherever_they_are_named(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [groups.board]
        url = "https://people.example.com/board"
        [policies.x]
        reviewers = ["ana", "board"]
        escalation = { after = "2d", reviewers = ["eve", "board"] }
        """,
    )["x"]
    assert found.escalation
    assert (found.outside, found.escalation.outside) == (("board",), ("board",))
    assert [quorum.outside for stage in found.in_stages for quorum in stage] == [("board",)]


def test_stages_are_in_sequence_and_groups_hold_groups(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [policies.two]
        stages = [{ reviewers = ["legal"] }, { reviewers = ["ops", "eve"], approvals = 2 }]
        [policies.everybody]
        reviewers = ["all"]
        approvals = 5
        """,
    )
    assert [[(q.name, q.approvals) for q in stage] for stage in found["two"].stages] == [
        [("legal", 1)],
        [("ops or eve", 2)],
    ]
    assert found["two"].approvals == 3
    assert found["everybody"].reviewers == ("eve", "ana", "ben", "cy", "dee")
    assert found["everybody"].in_stages == (
        (Quorum(name="reviewers", people=found["everybody"].reviewers, approvals=5),),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[policies.x]\nreviewers = ["zoe"]', "line 25: policies.x.reviewers: 'zoe' is neither in [people]"),
        (
            '[policies.x]\nreviewers = ["ana"]\napprovals = 2',
            "line 26: policies.x.approvals: 2 can never",
        ),
        ('[policies.x]\nreviewers = ["legal"]\nrejections = 3', "policies.x.rejections: 3 can never be met"),
        (
            f'[policies.x]\nreviewers = ["legal"]\nquick_reasons = {["no"] * 21}',
            "line 26: policies.x.quick_reasons: 21 are more than a chat shows, which is 20.",
        ),
        (
            '[policies.x]\nreviewers = ["legal", "ops"]\napprovals = { legal = 2, ops = 3 }',
            "line 26: policies.x.approvals: 2 of legal and 3 of ops can never be met by 4 people",
        ),
        (
            '[policies.x]\nreviewers = ["legal", "ops"]\napprovals = { legal = 1, ops = 4 }',
            "line 26: policies.x.approvals.ops: 4 can never be met: 'ops' is 3 people.",
        ),
        (
            '[policies.x]\nreviewers = ["ana", "ops"]\napprovals = { ana = 2, ops = 1 }',
            "line 26: policies.x.approvals.ana: 2 can never be met: 'ana' is 1 person.",
        ),
        (
            '[policies.x]\nreviewers = ["legal"]\napprovals = { legal = 0 }',
            "line 26: policies.x.approvals: must be a whole number from 1 to 100 for 'legal'.",
        ),
        ('[policies.x]\napprovals = "two"', "from 1 to 100, or one for each group."),
        ("[policies.x]\napprovals = true", "from 1 to 100, or one for each group."),
        (
            (
                '[policies.x]\n# two stages\nstages = [\n{ reviewers = ["ana"] },\n'
                '{ reviewers = ["ops"], approvals = 9 }]'
            ),
            "line 26: policies.x.stages[2].approvals: 9 can never be met by 3 reviewers; each counts once.",
        ),
        (
            (
                '[[policies.x.stages]]\nreviewers = ["ana"]\n'
                "[[policies.x.stages]]\nreviewers = []\napprovals = 3"
            ),
            "line 27: policies.x.stages[2].reviewers: names nobody, so this stage can never be met.",
        ),
        (
            '[policies.x]\nstages = [{ reviewers = ["ana"] }, { reviewers = ["ana"] }]',
            "line 25: policies.x.stages: 1 of ana and 1 of ana can never be met by 1 person; each counts",
        ),
        ('[policies.x]\nreminders = "4h"', 'line 25: policies.x.reminders: must be a list, such as ["…"].'),
        ('[policies.x]\nescalation = "eve"', "policies.x.escalation: must be a table, such as { … }."),
        ('[policies.x]\ndeadline = "0s"', "policies.x.deadline: must be longer than nothing."),
        (
            '[policies.x]\nreason = "sometimes"',
            "policies.x.reason: must be 'never', 'on_reject' or 'always'.",
        ),
        ('[policies.x]\nself_review = "maybe"', "policies.x.self_review: must be true or false."),
        (
            '[policy.release]\nreviewers = ["ana"]',
            "line 24: policy: is not a known key; perhaps 'policies' is meant.",
        ),
        (
            '[policies.x]\nescalation = { afetr = "1h" }',
            "policies.x.escalation.afetr: is not a known key; perhaps 'after' is meant.",
        ),
        (
            "[groups.a]\nxyz = 1",
            "is not a known key; known are: people, groups, slack, telegram, url, token_env, refresh,",
        ),
        (
            '[policies.x]\nreviewers = ["legal"]\napprovals = { ops = 1 }',
            "policies.x.approvals.ops: 'ops' is not among",
        ),
        (
            '[policies.x]\nreviewers = ["legal", "ops"]\napprovals = { ops = 1 }',
            "does not say how many of 'legal'",
        ),
        (
            '[policies.x]\nreviewers = ["ana"]\nstages = [{ reviewers = ["ben"] }]',
            "policies.x.stages: each",
        ),
        ('[policies.x]\non_expiry = "approve"', "policies.x.on_expiry: there is no `deadline`"),
        ('[policies.x]\ndeadline = "1d"\non_expiry = "escalate"', "there is no `escalation`"),
        ('[policies.x]\ndeadline = "1h"\nreminders = ["2h"]', "x.reminders: has to come before the deadline"),
        ('[policies.x]\ndeadline = "-1h"', "policies.x.deadline"),
        ('[policies.x]\nclaim = "59s"', "policies.x.claim: must be from 1m to 1d."),
        ('[policies.x]\nclaim = "25h"', "policies.x.claim"),
        ('[policies.x]\nescalation = { after = "1h" }', "names neither `reviewers` nor `recipients`"),
        ('[policies.x]\nescalation = { reviewers = ["ana"] }', "policies.x.escalation.after: is needed"),
        ("[policies.x]\nself_review = true\ndistinct_from = []", "policies.x.distinct_from"),
        ('[groups.a]\ngroups = ["b"]\n[groups.b]\ngroups = ["a"]', "a > b > a contain each other"),
        ('[groups.a]\npeople = ["zoe"]', "groups.a.people: 'zoe' is not in [people]"),
        ('[groups.a]\ngroups = ["zoe"]', "groups.a.groups: 'zoe' is not in [groups]"),
        ("[groups.ana]", "groups.ana: there is a person of this name, too"),
        ('[groups.a]\nhours = "9-17"', "groups.a.hours: must be five cron fields"),
        ('[groups.a]\nzone = "Madrid"', "groups.a.zone: must be a time zone"),
        ('[policies.x]\nreviwers = ["ana"]', "line 25: policies.x.reviwers: is not a known key"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_line_and_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(tmp_path, text)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("countersign.toml, line ")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("policies.x.approvals", 3),
        ("policies.x", 2),
        ("policies.x.recipients.slack.0", 4),
        ("policies.x.nothing", 2),
        ("people.ana.name", 6),
        ("flows", None),
        ("policies", 2),
    ],
)
def test_where_a_key_stands(key: str, line: int | None) -> None:
    text = (
        '# a comment\n[policies.x]\napprovals = 1\nrecipients.slack = []\n["people"."ana"] # her\nname = "A"'
    )
    assert line_of(text, key) == line
