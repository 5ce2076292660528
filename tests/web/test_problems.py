"""web/problems.py: every error that core may raise has its status."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from core import errors
from web.problems import HTTP_SENTENCES, STATUS, TYPE_PREFIX, problem_of, problem_response, unexpected

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.CountersignError)
]
TIMED = (errors.Unavailable, errors.RateLimited)


def made(cls: type[errors.CountersignError]) -> errors.CountersignError:
    if issubclass(cls, TIMED):
        return cls("A sentence.", retry_after=timedelta(seconds=2.5))
    if issubclass(cls, errors.PlaceMoved):
        return cls("A sentence.", address="-100")
    return cls("A sentence.")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_problem_of_its_family(cls: type[errors.CountersignError]) -> None:
    problem = problem_of(made(cls))
    assert any(base in STATUS and STATUS[base][0] == problem.status for base in cls.__mro__)
    assert 400 <= problem.status < 600
    assert problem.detail == "A sentence."
    document = json.loads(problem.document())
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["type"].startswith(TYPE_PREFIX)


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.NotFound, 404),
        (errors.Unidentified, 401),
        (errors.NotAReviewer, 403),
        (errors.SelfReview, 403),
        (errors.NotAnAdmin, 403),
        (errors.NotWaiting, 409),
        (errors.ReviewIsClosed, 409),
        (errors.AlreadyDecided, 409),
        (errors.NotYourTurn, 409),
        (errors.ConfirmOnPage, 409),
        (errors.TaskIsClosed, 409),
        (errors.TaskIsRunning, 409),
        (errors.StaleReview, 412),
        (errors.Invalid, 422),
        (errors.UnknownFlow, 422),
        (errors.ReasonMissing, 422),
        (errors.KeyReused, 422),
        (errors.StoreUnavailable, 503),
        (errors.Overloaded, 503),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_contract_s_statuses(cls: type[errors.CountersignError], status: int) -> None:
    assert problem_of(made(cls)).status == status


def test_types_are_stable_and_tell_classes_apart() -> None:
    slugs = {cls.__name__: problem_of(made(cls)).slug for cls in CLASSES}
    assert slugs["NotAReviewer"] == "not-a-reviewer"
    assert slugs["KeyReused"] == "key-reused"
    assert slugs["NotAnAdmin"] == "not-an-admin"
    assert slugs["NotYourTurn"] == "not-your-turn"
    assert slugs["ReasonMissing"] == "reason-missing"
    assert slugs["ConfirmOnPage"] == "confirm-on-page"
    assert slugs["TaskIsRunning"] == "task-is-running"
    listed = [slugs[cls.__name__] for cls in STATUS]
    assert len(set(listed)) == len(listed)


def test_a_class_that_the_table_does_not_know_is_its_nearest_ancestor() -> None:
    class NewRefusal(errors.Refused):
        pass

    assert problem_of(NewRefusal("No.")).status == 409


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    late = errors.StoreUnavailable("Later.", retry_after=timedelta(milliseconds=10))
    assert problem_of(late).headers["Retry-After"] == "1"
    assert problem_of(made(errors.Overloaded)).headers["Retry-After"] == "3"


def test_a_fault_of_ours_tells_nothing() -> None:
    answer = problem_response(unexpected())
    assert answer.status == 500
    assert answer.content_type == "application/problem+json"


def test_the_common_http_refusals_have_sentences() -> None:
    assert {404, 405, 413} <= set(HTTP_SENTENCES)
