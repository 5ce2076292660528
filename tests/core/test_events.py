"""Events as they are stored."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given

from core.codec import decode, encode
from core.events import EVENTS, Event, NodeRetried, ReviewRequested, kind
from core.jsontext import from_json, to_json
from tests.core.json_values import JSON
from tests.core.one_of_each import ONE_OF_EACH

STORED = {
    "task_submitted": ["submitter"],
    "attempt_started": ["attempt"],
    "task_resumed": ["attempt"],
    "node_retried": ["node", "retry", "error"],
    "node_finished": ["node", "action", "checkpoint"],
    "action_unmatched": ["node", "action", "choices"],
    "progress_reported": ["node", "fraction", "text"],
    "text_streamed": ["node", "text"],
    "task_rewound": ["checkpoint", "node", "attempt", "by", "by_name", "edited"],
    "task_forked": ["parent", "checkpoint", "by", "by_name", "edited"],
    "review_requested": ["review", "attempt", "draft", "node", "point", "policy", "policy_hash"],
    "decision_recorded": [
        "review",
        "reviewer",
        "reviewer_name",
        "verdict",
        "comment",
        "via",
        "content",
        "diff",
        "person",
        "person_name",
    ],
    "decision_withdrawn": ["review", "reviewer", "reviewer_name", "via", "by", "by_name"],
    "decisions_carried": ["review", "reviewers", "decisions"],
    "decisions_dropped": ["review", "people", "ids"],
    "reviewer_reminded": ["review", "attempt", "people", "ids"],
    "review_claimed": ["review", "attempt", "person", "person_name", "until", "via"],
    "claim_ended": ["review", "person", "person_name", "reason"],
    "reminder_snoozed": ["review", "person", "person_name", "until", "via"],
    "question_asked": [
        "review",
        "attempt",
        "question",
        "text",
        "person",
        "person_name",
        "submitter",
        "submitter_name",
        "via",
    ],
    "question_answered": [
        "review",
        "attempt",
        "question",
        "text",
        "person",
        "person_name",
        "asked_by",
        "asked_by_name",
        "via",
    ],
    "review_escalated": ["review", "attempt", "people", "reason", "ids"],
    "review_stuck": ["review", "attempt", "reason"],
    "review_expired": ["review", "attempt", "outcome"],
    "review_approved": ["review", "attempt"],
    "review_rejected": ["review", "attempt"],
    "review_edited": ["review", "attempt"],
    "task_completed": ["final_result", "outcome"],
    "task_failed": ["error"],
    "task_cancelled": ["by", "by_name"],
}


def test_stored_names_and_fields_never_change() -> None:
    assert {kind(cls): [field.name for field in fields(cls)] for cls in EVENTS} == STORED


@pytest.mark.parametrize("event", ONE_OF_EACH.values(), ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was_stored(event: Event) -> None:
    text = to_json(encode(event))
    assert decode(kind(event), json.loads(text)) == event
    assert kind(event) == kind(type(event))


@pytest.mark.parametrize("event", ONE_OF_EACH.values(), ids=lambda event: type(event).__name__)
def test_fields_of_a_later_release_are_passed_over(event: Event) -> None:
    assert decode(kind(event), {**encode(event), "mood": "good"}) == event


@given(JSON)
def test_any_draft_comes_back_as_it_was_stored(draft: object) -> None:
    event = ReviewRequested(review="r", attempt=1, draft=draft)  # type: ignore[arg-type]  # what a type would not let through
    assert decode(kind(event), from_json(to_json(encode(event)))) == event


def test_a_retry_as_the_first_release_stored_it_is_still_read() -> None:
    stored = {"node": "n", "retry": 1, "error": "e"}
    assert decode("step_retried", stored) == NodeRetried(**stored)  # type: ignore[arg-type]  # the values are of many types


def test_a_review_as_the_first_release_stored_it_is_still_read() -> None:
    stored = {"review": "r", "attempt": 1, "draft": "d"}
    found = decode("review_requested", stored)
    assert found == ReviewRequested(review="r", attempt=1, draft="d", node=None, point=None)


def test_a_name_that_is_no_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        decode("task_forgotten", {})
