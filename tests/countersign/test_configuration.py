"""`countersign.toml`: what it means, and the sentence for every mistake."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.errors import SettingsError
from core.model import ChannelName, Person, PersonId, Recipient
from countersign.composition import flows
from countersign.configuration import Configuration, configuration, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_ZONE = "must be a time zone of the IANA database, such as Europe/Madrid."
PEOPLE = '[people.ana]\nname = "Ana"\nslack = "U01ANA"\ntelegram = 42\n[people.ben]\nname = "Ben"\n'


def read(text: str, **environment: str) -> Configuration:
    return parsed(tomllib.loads(text), Path("countersign.toml"), environment)


def test_the_example_file_is_valid() -> None:
    example = configuration(Path("countersign.example.toml"), {})
    assert set(example.people) == {"ana", "ben"}
    assert example.policies["default"].reviewers == ("ana", "ben")
    assert flows(example)["draft"].settings.max_attempts == 5


def test_recipients_hold_for_policies_that_name_none_of_their_own() -> None:
    found = read(
        PEOPLE
        + '[recipients]\nslack = ["C01GEN"]\ntelegram = [-100]\n[policies.default]\nreviewers = ["ana"]\n'
        '[policies.ops]\nreviewers = ["ana"]\nrecipients = { slack = ["C02OPS"] }\n'
    )
    slack, telegram = ChannelName("slack"), ChannelName("telegram")
    assert found.policies["default"].recipients == (
        Recipient(channel=slack, address="C01GEN"),
        Recipient(channel=telegram, address="-100"),
    )
    assert found.policies["ops"].recipients == (Recipient(channel=slack, address="C02OPS"),)


def test_a_fallback_holds_for_policies_that_name_none_of_their_own() -> None:
    found = read(
        PEOPLE
        + '[recipients]\nslack = ["C01GEN"]\nfallback = { telegram = ["-1001234567890/45", "@reviews"] }\n'
        '[policies.default]\nreviewers = ["ana"]\n'
        '[policies.ops]\nreviewers = ["ana"]\n'
        'recipients = { slack = ["C02"], fallback = { slack = ["C03"] } }\n'
        '[policies.alone]\nreviewers = ["ana"]\nrecipients = { slack = ["C02OPS"], fallback = {} }\n'
    )
    slack, telegram = ChannelName("slack"), ChannelName("telegram")
    assert found.policies["default"].fallback == (
        Recipient(channel=telegram, address="-1001234567890/45"),
        Recipient(channel=telegram, address="@reviews"),
    )
    assert found.policies["ops"].fallback == (Recipient(channel=slack, address="C03"),)
    assert found.policies["alone"].fallback == ()


def test_no_file_means_the_flows_that_ship_and_nobody() -> None:
    empty = parsed({}, None, {})
    assert empty.policies["default"].reviewers == ()
    assert set(empty.flows) == {"draft", "approval"}
    assert empty.admins == frozenset()


def test_the_mark_that_some_editors_begin_a_file_with_is_no_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text('[people.ana]\nname = "Ana"\n', encoding="utf-8-sig")
    assert PersonId("ana") in configuration(file).people


def test_durations_have_units() -> None:
    draft = read('[flows.draft]\ntimeout = "90s"\nbackoff = "250ms"\nbackoff_limit = "1.5m"\n').flows["draft"]
    assert draft.timeout == timedelta(seconds=90)
    assert draft.backoff == timedelta(milliseconds=250)
    assert draft.backoff_limit == timedelta(seconds=90)


def test_what_a_flow_says_of_its_nodes_is_heard() -> None:
    draft = read("[flows.draft]\nstrict_actions = true\nretries = 7\nmax_attempts = 3\n").flows["draft"]
    assert (draft.strict_actions, draft.retries, draft.max_attempts) == (True, 7, 3)


def test_people_are_found_by_their_chat_ids() -> None:
    directory = read(PEOPLE).directory
    assert directory.telegram_person(42) == PersonId("ana")
    assert directory.slack_person(user="U01ANA", team="T1", own_team="T1") == PersonId("ana")
    assert directory.slack_person(user="U01ANA", team="T2", own_team="T1") is None


def test_people_have_a_zone_and_may_have_a_subject_and_a_language() -> None:
    found = read(
        PEOPLE
        + '[people.eve]\nname = "Eve"\nsubject = "auth0|5f7c"\nzone = "Asia/Kathmandu"\nlanguage = "pt-BR"\n'
    ).people
    eve = PersonId("eve")
    assert found[eve] == Person(
        id=eve, name="Eve", subject="auth0|5f7c", zone="Asia/Kathmandu", language="pt-BR"
    )
    assert found[PersonId("ana")] == Person(id=PersonId("ana"), name="Ana", zone="UTC")


@pytest.mark.parametrize(
    "tag",
    [
        "es",
        "pt-BR",
        "zh-Hant-TW",
        "gsw",
        "es-419",
        "sl-rozaj-biske",
        "de-CH-1996",
        "en-u-hc-h12-x-me",
        "DE-at",
    ],
)
def test_a_language_is_a_bcp_47_tag(tag: str) -> None:
    ana = read(f'[people.ana]\nname = "A"\nlanguage = "{tag}"\n').people[PersonId("ana")]
    assert ana.language == tag


def chain(order: Iterable[int]) -> str:
    """Groups of which each is in the one before."""
    numbers = list(order)
    last = max(numbers)
    return "".join(
        f"[groups.g{n}]\n" + ('people = ["ana"]\n' if n == last else f'groups = ["g{n + 1}"]\n')
        for n in numbers
    )


def test_groups_that_are_in_several_are_read_once() -> None:
    """Each of thirty is in two of the next."""
    text = (
        PEOPLE
        + '[groups.a0]\nslack = "S01"\n[groups.b0]\npeople = ["ana"]\n'
        + "".join(
            f'[groups.{side}{n}]\ngroups = ["a{n - 1}", "b{n - 1}"]\n' for n in range(1, 31) for side in "ab"
        )
    )
    found = read(text + '[policies.p]\nreviewers = ["a30"]\n').policies["p"]
    assert (found.reviewers, found.outside) == (("ana",), ("a0",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[peple.ana]\nname='A'", "peple: is not a known key"),
        ("[people.ana]\nname='A'\nslak='U1'", "people.ana.slak: is not a known key"),
        (
            "[people.ana]\nname='A'\nslack='@ana'",
            "people.ana.slack: must be an id such as U01ALICE, not a name.",
        ),
        ("[people.ana]\nname='A'\ntelegram='ana'", "people.ana.telegram"),
        ("[people.ana]\nname='A'\ntelegram=true", "people.ana.telegram: must be a whole number."),
        ("[people.ana]\nname='A'\ntelegram='42'", "people.ana.telegram: must be a whole number."),
        ("[people.local]\nname='A'", "people.local"),
        ("[people.'a b']\nname='A'", "people.a b"),
        (PEOPLE + "[people.eve]\nname='E'\ntelegram=42", "eve and ana have the same telegram id"),
        (PEOPLE + "[people.eve]\nname='E'\nslack='U01ANA'", "eve and ana have the same slack id"),
        (
            "[people.ana]\nname='A'\nsubject='s'\n[people.eve]\nname='E'\nsubject='s'",
            "people.eve.subject: eve and ana have the same subject.",
        ),
        ("[people.ana]\nname='A'\nsubject=''", "people.ana.subject"),
        *(
            (f"[people.ana]\nname='A'\nzone='{zone}'", f"people.ana.zone: {NO_ZONE}")
            for zone in ("", "Madrid", "CEST+1", "../etc/passwd", "Europe", "tzdata.zi")
        ),
        *(
            (
                f"[people.ana]\nname='A'\nlanguage='{tag}'",
                "people.ana.language: must be a language tag (BCP 47), such as es or pt-BR.",
            )
            for tag in (
                "",
                "english",
                "pt_BR",
                "e",
                "es-",
                "-es",
                "es--ES",
                "es-ES-",
                "es ES",
                "es-u",
                "x-klingon",
            )
        ),
        ("[groups.ops]\nzone='Madrid'", f"groups.ops.zone: {NO_ZONE}"),
        ("[recipients]\nslack=['#general']", "recipients.slack.0: must be an id such as C01GEN, not a name."),
        ("[recipients]\ntelegram=['reviews']", "recipients.telegram.0: must be an id such as -100"),
        ("[recipients]\ntelegram=[true]", "recipients.telegram.0: must be an id such as -100"),
        ("[recipients]\ntelegram=['42/7']", "recipients.telegram.0: must be an id such as -100"),
        ("[recipients]\ntelegram=['-100/0']", "recipients.telegram.0: must be an id such as -100"),
        ("[recipients]\ntelegram=['-100/1']", "recipients.telegram.0: names the general topic"),
        (
            "[recipients]\nfallback={ slack=['#general'] }",
            "recipients.fallback.slack.0: must be an id such as",
        ),
        (
            "[policies.default]\nreviewers=['zoe']",
            "policies.default.reviewers: 'zoe' is neither in [people] nor in [groups]",
        ),
        (PEOPLE + "[policies.default]\nreviewers=['ana','ana']\napprovals=2", "can never be met"),
        ("[policies.default]\napprovals=0", "policies.default.approvals"),
        ("[flows.draft]\ntimeout=60", "flows.draft.timeout: must be a duration"),
        ("[flows.draft]\ntimeout='0s'", "flows.draft.timeout"),
        ("[flows.draft]\ntimeout='400d'", "flows.draft.timeout"),
        ("[flows.draft]\ntimeout='999999999999999999d'", "flows.draft.timeout: must be at most 366d"),
        ("[flows.draft]\npolicy='nope'", "flows.draft.policy: there is no policy 'nope'"),
        ("[flows.draft]\nmax_attempts=0", "flows.draft.max_attempts"),
        ("[flows.draft]\nmax_attempts='5'", "flows.draft.max_attempts: must be a whole number."),
        ("[flows.draft]\nretries=true", "flows.draft.retries: must be a whole number."),
        ("[flows.draft]\nstrict_actions='no'", "flows.draft.strict_actions: must be true or false."),
        ("[policies.p]\nrejections=1.0", "policies.p.rejections: must be a whole number."),
        *(
            (f"[policies.p]\n{key}={value}", f"policies.p.{key}: must be true or false.")
            for key in ("self_review", "destructive", "carry_decisions")
            for value in ("'yes'", "1", "'off'")
        ),
        (
            "[flows.approval]\nprocessor='model'",
            "flows.approval.processor: this flow shows what is submitted",
        ),
        ("[flows.approval]\nprompt='Be brief.'", "flows.approval.prompt: this flow shows what is submitted"),
        ("[flows.refund]\ngraph='a:b'\nprompt='x'", "flows.refund.prompt: a `graph` has nodes of its own"),
        ("[hooks.ci]\nscheme='standard'\nsecret_env='NOPE'", "hooks.ci.secret_env: NOPE is not set"),
        ("[hooks.ci]\nscheme='basic'\nsecret_env='S'", "hooks.ci.scheme"),
        ("[hooks.ci]\nscheme='bearer'\nsecret_env='S'\nflow='x'", "hooks.ci.flow: there is no flow 'x'"),
        (r'"a\nb" = 1', r"a\nb: is not a known key"),
        (PEOPLE + '[policies.p]\n"\\u001b[31mred\\nfoo" = 1', r"policies.p.\x1b[31mred\nfoo: is not a"),
        (
            PEOPLE + '[policies.p]\nreviewers = ["ana"]\napprovals = { "x\\ny" = 1 }',
            r"policies.p.approvals.x\ny",
        ),
        *(
            (f"[people.ana]\nname = {name}", "people.ana.name: must be one line of text, without control")
            for name in (r'"A\u0000na"', r'"A\nna"', r'"A\u202ena"', r'"\u2028"', r'"A\u0085"')
        ),
        (
            PEOPLE + '[policies.p]\nreviewers = ["ana"]\nquick_reasons = ["a\\u0000b"]',
            "policies.p.quick_reasons.0: must be one line of text, without control characters.",
        ),
        ('[groups.ops]\nhours = "* * * * * *"', "groups.ops.hours: must be five cron fields"),
        (PEOPLE + chain(range(60)), "groups.g50.groups: more than 50 groups are in each other."),
        (PEOPLE + chain(range(59, -1, -1)), "groups.g9.groups: more than 50 groups are in each other."),
        (PEOPLE + chain(range(1500)), "more than 50 groups are in each other."),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(text, S="a" * 40)
    assert str(refused.value).startswith("countersign.toml: ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_processor_that_cannot_be_imported_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"flows\.draft: .*python:no_such_module:draft"):
        flows(read('[flows.draft]\nprocessor = "python:no_such_module:draft"\n'))


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "countersign.toml"
    broken.write_text("[people")
    with pytest.raises(SettingsError, match="COUNTERSIGN_CONFIG"):
        configuration(broken, {})
    with pytest.raises(SettingsError, match="COUNTERSIGN_CONFIG"):
        configuration(tmp_path / "missing.toml", {})


@pytest.mark.parametrize(
    "text",
    ["[policies.default]\napprovals = " + "1" * 5_000, "x = " + "[" * 5_000, "x = " + "{ a = " * 3_000],
)
def test_what_python_itself_gives_up_on_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "countersign.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"^COUNTERSIGN_CONFIG: countersign.toml cannot be read: a .*\.$"):
        configuration(file, {})


@pytest.mark.timeout(30)
def test_a_mistake_is_found_in_a_long_line_at_once(tmp_path: Path) -> None:
    """Not only at the start: a reload reads the file while the server serves."""
    file = tmp_path / "countersign.toml"
    long = "[" + " " * 30_000 + "x\n" + "[" + "a." * 20_000 + "\n" + "a" * 30_000 + "\n"
    file.write_text(PEOPLE + f'[policies.p]\nreviewers = ["zoe"]\nquick_reasons = ["""\n{long}"""]\n')
    with pytest.raises(SettingsError):
        configuration(file, {})


def test_a_hooks_secret_is_not_in_its_repr() -> None:
    hooks = read("[hooks.ci]\nscheme='bearer'\nsecret_env='S'\n", S="verysecretvalue" * 3).hooks
    assert "verysecret" not in repr(hooks["ci"])
