"""The policy's text, as kept with each review: every field, and what the first release wrote."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.jsontext import from_json
from core.model import (
    Assurance,
    ChannelName,
    Escalation,
    OnExpiry,
    Party,
    PersonId,
    Policy,
    Quorum,
    ReasonRule,
    Recipient,
    WorkingHours,
)
from core.store.policies import policy_hash, policy_of, policy_text
from tests.contracts.steps import waiting
from tests.world import ANA, BEN, CY, DESK, HALL

if TYPE_CHECKING:
    from core.store.sql import SqlStore

PLAIN = Policy(name="plain", reviewers=(ANA.id,))
FULL = Policy(
    name="full",
    reviewers=(ANA.id, BEN.id, CY.id),
    approvals=3,
    stages=(
        (Quorum(name="legal", people=(ANA.id,), approvals=1),),
        (Quorum(name="ops", people=(BEN.id, CY.id), approvals=2, outside=("on-call",)),),
    ),
    rejections=2,
    distinct_from=(Party.SUBMITTER, Party.EDITOR),
    reason=ReasonRule.ON_REJECT,
    quick_reasons=("too dear", "ünclear"),
    assurance=Assurance.CONFIRM,
    destructive=True,
    deadline=timedelta(days=2, microseconds=1),
    reminders=(timedelta(hours=4), timedelta(hours=8.5)),
    escalation=Escalation(after=timedelta(hours=6), people=(CY.id,), recipients=(HALL,), outside=("board",)),
    on_expiry=OnExpiry.ESCALATE,
    hours=(WorkingHours(cron="* 9-16 * * mon-fri", zone="Europe/Madrid", holidays=(date(2026, 12, 25),)),),
    carries=True,
    keeps_removed=False,
    claim=timedelta(hours=1),
    recipients=(DESK, HALL),
    fallback=(HALL,),
    outside=("on-call",),
)


def test_the_example_says_something_of_every_field() -> None:
    for field in fields(Policy):
        assert getattr(FULL, field.name) != getattr(PLAIN, field.name), field.name


@pytest.mark.parametrize("field", [field.name for field in fields(Policy)])
def test_each_field_comes_back(field: str) -> None:
    policy = replace(PLAIN, **{field: getattr(FULL, field)})
    policy_of.cache_clear()
    assert policy_of(policy_text(policy)) == policy
    if field not in {"name", "reviewers"}:
        assert policy_hash(policy) != policy_hash(PLAIN)


def test_what_is_as_by_default_is_left_out() -> None:
    assert from_json(policy_text(PLAIN)) == {"name": "plain", "reviewers": ["ana"]}
    assert policy_of(policy_text(FULL)) == FULL
    plain = Quorum(name="legal", people=(ANA.id,), approvals=1)
    inside = replace(PLAIN, stages=((plain,),), escalation=Escalation(after=None, people=(CY.id,)))
    assert "outside" not in policy_text(inside)


def test_an_escalation_at_the_deadline_only_comes_back() -> None:
    policy = replace(PLAIN, escalation=Escalation(after=None, people=(CY.id,)))
    assert policy_of(policy_text(policy)) == policy


@pytest.mark.parametrize(
    ("self_review", "distinct_from"), [("false", (Party.SUBMITTER,)), ("true", ())], ids=["no", "yes"]
)
def test_what_the_first_release_wrote_is_read(self_review: str, distinct_from: tuple[Party, ...]) -> None:
    text = (
        '{"name":"two","reviewers":["ana","ben"],"approvals":2,"self_review":'
        f'{self_review},"recipients":[["slack","C01GEN"],["telegram","-100"]]}}'
    )
    assert policy_of(text) == Policy(
        name="two",
        reviewers=(ANA.id, BEN.id),
        approvals=2,
        distinct_from=distinct_from,
        recipients=(
            Recipient(channel=ChannelName("slack"), address="C01GEN"),
            Recipient(channel=ChannelName("telegram"), address="-100"),
        ),
    )


def test_what_a_later_release_adds_is_passed_over() -> None:
    assert policy_of('{"name":"plain","reviewers":["ana"],"moon":"full"}') == PLAIN


IDS = st.text(min_size=1, max_size=5).map(PersonId)
DURATIONS = st.timedeltas(timedelta(0), timedelta(days=900))


def some(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=3).map(tuple)


PLACES = some(st.builds(Recipient, channel=st.just(ChannelName("slack")), address=st.text(max_size=4)))
GROUPS = some(st.text(max_size=4))
QUORUMS = st.builds(
    Quorum, name=st.text(max_size=5), people=some(IDS), approvals=st.integers(1, 9), outside=GROUPS
)
ESCALATIONS = st.builds(
    Escalation, after=st.none() | DURATIONS, people=some(IDS), recipients=PLACES, outside=GROUPS
)
POLICIES = st.builds(
    Policy,
    name=st.text(max_size=5),
    reviewers=some(IDS),
    approvals=st.integers(1, 9),
    stages=some(some(QUORUMS)),
    rejections=st.integers(1, 3),
    distinct_from=some(st.sampled_from(Party)),
    reason=st.sampled_from(ReasonRule),
    quick_reasons=some(st.text(max_size=5)),
    assurance=st.sampled_from(Assurance),
    destructive=st.booleans(),
    deadline=st.none() | DURATIONS,
    reminders=some(DURATIONS),
    escalation=st.none() | ESCALATIONS,
    on_expiry=st.sampled_from(OnExpiry),
    hours=some(
        st.builds(WorkingHours, cron=st.just("* * * * *"), zone=st.just("UTC"), holidays=some(st.dates()))
    ),
    carries=st.booleans(),
    keeps_removed=st.booleans(),
    recipients=PLACES,
    fallback=PLACES,
    outside=GROUPS,
)


@given(POLICIES)
def test_any_policy_comes_back_as_it_was(policy: Policy) -> None:
    assert policy_of(policy_text(policy)) == policy


async def test_a_review_keeps_its_policy(store: SqlStore) -> None:
    policy = replace(FULL, hours=())
    assert (await store.review(await waiting(store, policy))).policy == policy
