"""The one door for every front end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from core.definitions import definition
from core.errors import (
    AlreadyDecided,
    CountersignError,
    Forbidden,
    Invalid,
    KeyReused,
    NotAReviewer,
    NotFound,
    ReasonMissing,
    ReviewIsClosed,
    TaskIsClosed,
    UnknownFlow,
)
from core.events import DecisionRecorded, ReviewApproved, ReviewRejected
from core.ids import new_id
from core.model import (
    LOCAL,
    DeliveryState,
    MessageRef,
    OpenReview,
    Outcome,
    Person,
    PersonId,
    Policy,
    ReasonRule,
    Status,
    Submission,
    TaskFilter,
    TaskId,
    Verdict,
)
from tests.core.graphs import drafting
from tests.world import ANA, BEN, CY, DESK, EVE, PAPER, SAM, World, draft_flows, flow_settings, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database
    from tests.world import StoppedClock

HOSTILE = [
    "",
    "x",
    "../../etc",
    "\x00",
    "a" * 31 + "\x00",
    "\ud800" * 32,
    "0" * 32,
    "' OR 1=1 --",
    "%" * 32,
    "a" * 10_000,
]


@pytest.fixture
async def any_world(any_database: Database, clock: StoppedClock) -> AsyncIterator[World]:
    async with whole_core(any_database, clock) as started:
        yield started


@pytest.mark.parametrize("text", HOSTILE)
async def test_an_id_that_is_none_is_not_found(any_world: World, text: str) -> None:
    service = any_world.service
    for asked in (
        service.task(text),
        service.review(text),
        service.cancel(text, SAM.id),
        service.check_may_decide(text, ANA.id),
        service.decide(text, ANA.id, Verdict.APPROVE, via="web"),
        service.looking.claim(text, ANA.id, via="web"),
        service.looking.release(text, ANA.id, via="web"),
        service.looking.snooze(text, ANA.id, timedelta(hours=1), via="web"),
        service.looking.wake(text, ANA.id, via="web"),
        service.check_edit(text, ANA.id, "better", via="web"),
        service.questions.check_may_ask(text, ANA.id),
        service.questions.check_may_answer(text, ANA.id),
        service.decide(OpenReview(task=TaskId(text)), ANA.id, Verdict.APPROVE, via="api"),
        service.withdraw(OpenReview(task=TaskId(text)), ANA.id, via="api"),
        service.questions.ask(OpenReview(task=TaskId(text)), ANA.id, "Why?", via="api"),
    ):
        with pytest.raises(NotFound):
            await asked
    assert list(await service.reviews(text)) == []
    assert list(await service.deliveries(text)) == []
    with pytest.raises(NotFound):
        async for _ in service.follow(text):  # type: ignore[arg-type]  # no id at all
            pass


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "1",
        "-",
        "1-",
        "-" + "a" * 32,
        "9" * 19 + "-" + "a" * 32,
        "1-\x00",
        "٣-" + "a" * 32,
        "1-" + "a" * 33,
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(any_world: World, cursor: str) -> None:
    with pytest.raises(Invalid):
        await any_world.service.tasks(TaskFilter(), cursor=cursor)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 201])
async def test_a_filter_that_no_database_takes_is_refused(any_world: World, text: str) -> None:
    for wanted in (TaskFilter(flow=text), TaskFilter(submitter=PersonId(text))):
        with pytest.raises(Invalid):
            await any_world.service.tasks(wanted)


@pytest.mark.parametrize("limit", [-1, 0, 1, 10**9])
async def test_a_page_has_at_least_one_and_never_endless_tasks(world: World, limit: int) -> None:
    for _ in range(3):
        await world.submit()
    page = await world.service.tasks(TaskFilter(), limit=limit)
    assert len(page.tasks) == (3 if limit > 2 else 1)


async def test_pages_follow_one_another(world: World, clock: StoppedClock) -> None:
    made = []
    for number in range(5):
        made.append((await world.submit(f"{number}")).id)
        clock.advance(seconds=1)
    first = await world.service.tasks(TaskFilter(), limit=3)
    second = await world.service.tasks(TaskFilter(), cursor=first.cursor, limit=3)
    assert [task.id for task in (*first.tasks, *second.tasks)] == made[::-1]
    assert second.cursor is None


async def test_an_unknown_flow_is_refused_with_those_there_are(world: World) -> None:
    with pytest.raises(UnknownFlow, match="draft"):
        await world.submit(flow="nope")


async def test_tasks_of_an_unknown_flow_are_refused_as_a_slip(world: World) -> None:
    await world.submit()
    assert (await world.service.tasks(TaskFilter(flow="draft", status=Status.FAILED))).tasks == ()
    with pytest.raises(UnknownFlow, match=r"draught.*draft"):
        await world.service.tasks(TaskFilter(flow="draught"))


async def test_tasks_of_a_flow_that_was_taken_out_are_found(world: World) -> None:
    await world.store.create(
        TaskId(new_id()),
        Submission(input="x", submitter=PersonId("sam"), flow="former"),
        title="x",
        name="Sam",
    )
    assert len((await world.service.tasks(TaskFilter(flow="former"))).tasks) == 1
    of_former = TaskFilter(flow="former", status=Status.FAILED)
    assert (await world.service.tasks(of_former)).tasks == ()


async def test_an_empty_flow_is_no_flow_of_ours(world: World) -> None:
    """Whoever's variable is unset would start another flow than they meant."""
    with pytest.raises(UnknownFlow) as refused:
        await world.submit(flow="")
    assert str(refused.value).startswith("There is no flow ''; there are: draft, ")
    assert str(refused.value).endswith(". Left out, it is draft.")


async def test_a_submitter_nobody_knows_is_named_by_its_id(world: World) -> None:
    task, _ = await world.service.submit(Submission(input="x", submitter=PersonId("hook:ci")))
    assert (task.submitter, task.submitter_name) == ("hook:ci", "hook:ci")


async def test_a_repeated_submission_is_one_task(world: World) -> None:
    first = await world.submit("x", key="k")
    assert (await world.submit("x", key="k")).id == first.id
    with pytest.raises(KeyReused):
        await world.submit("y", key="k")


async def test_a_person_who_is_not_configured_may_not_decide(world: World) -> None:
    task = await world.submit()
    review = await world.open_review(task.id)
    for ask in (world.service.decide(review, PersonId("mallory"), Verdict.APPROVE, via="web"),
                world.service.check_may_decide(review, PersonId("mallory"))):  # fmt: skip
        with pytest.raises(NotAReviewer):
            await ask


async def test_asking_first_tells_what_deciding_would(world: World) -> None:
    review = await world.open_review((await world.submit()).id)
    assert (await world.service.check_may_decide(review, ANA.id)).id == review
    for person, refusal in ((EVE, NotAReviewer), (SAM, NotAReviewer)):
        with pytest.raises(refusal):
            await world.service.check_may_decide(review, person.id)
    await world.approve(review)
    with pytest.raises(ReviewIsClosed):
        await world.service.check_may_decide(review, BEN.id)


async def test_asking_first_knows_delegates(world: World) -> None:
    review = await world.open_review((await world.submit()).id)
    until = world.clock.now() + timedelta(days=1)
    await world.service.delegations.add(ANA.id, EVE.id, until, by=ANA.id)
    assert (await world.service.check_may_decide(review, EVE.id)).id == review
    with pytest.raises(NotAReviewer):
        await world.service.check_may_decide(review, SAM.id)


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_who_asks_first_on_a_card_that_was_given_up_has_it_tried_again(
    sqlite_database: Database, clock: StoppedClock, is_given_up: bool
) -> None:
    """Whoever presses it shows that its place is open to us; a card that is known otherwise is left alone."""
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK)) as world:
        review = await world.open_review((await world.submit()).id)
        (card,) = await world.store.due_deliveries(PAPER)
        await world.store.delivery_shown(card, MessageRef("known"))
        (shown,) = await world.store.deliveries(card.task)
        if is_given_up:
            await world.store.delivery_given_up(shown, "kicked out")
        await world.service.check_may_decide(review, ANA.id, copy=(DESK, MessageRef("known")))
        (now,) = await world.store.deliveries(card.task)
        assert now.state is DeliveryState.SENT
        assert (now.due_at is not None) is is_given_up


async def test_a_task_names_its_submitter_as_people_do(world: World) -> None:
    assert (await world.submit()).submitter_name == SAM.name
    stranger, _ = await world.service.submit(Submission(input="x", submitter=PersonId("gone")))
    assert stranger.submitter_name == "gone"


async def test_who_asks_first_on_a_card_of_a_closed_review_has_it_changed_like_every_other(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Its post's answer was lost, so that nobody knew of it: it would offer its buttons for ever."""
    async with whole_core(sqlite_database, clock, flows=draft_flows(DESK)) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
        await world.approve(review)
        lost = MessageRef("lost")
        with pytest.raises(ReviewIsClosed):
            await world.service.check_may_decide(review, ANA.id, copy=(DESK, lost))
        found = [one for one in await world.service.deliveries(task.id) if one.message == lost]
        assert [one.due_at is not None for one in found] == [True]


async def test_whom_the_configuration_names_no_more_answers_no_question_of_theirs(world: World) -> None:
    gone = PersonId("gone")
    task, _ = await world.service.submit(Submission(input="x", submitter=gone))
    review, questions = await world.open_review(task.id), world.service.questions
    question = await questions.ask(review, ANA.id, "Which customer?", via="web")
    for refused in (
        questions.check_may_answer(question.id, gone),
        questions.answer(question.id, gone, "Acme.", via="web"),
    ):
        with pytest.raises(NotAReviewer):
            await refused


async def test_names_of_reviewers_are_told_to_those_who_are_known(world: World) -> None:
    review = await world.open_review((await world.submit()).id)
    with pytest.raises(NotAReviewer, match=r"Ana Ruiz, Ben Okri and Cy Young can decide\.$"):
        await world.approve(review, EVE)
    with pytest.raises(NotAReviewer) as told:
        await world.approve(review, Person(id=PersonId("mallory"), name="Mallory"))
    assert "Ana" not in str(told.value)


@pytest.mark.parametrize("comment", ["\x00", "\ud800", "x" * 10_001])
async def test_a_comment_that_cannot_be_kept_is_refused_and_decides_nothing(
    any_world: World, comment: str
) -> None:
    review = await any_world.open_review((await any_world.submit()).id)
    with pytest.raises(Invalid):
        await any_world.approve(review, comment=comment)
    assert (await any_world.service.review(review)).is_open


@pytest.mark.parametrize("comment", ["", "x" * 10_000, "\u202e\U0010ffff<b>&amp;", "'; DROP TABLE task; --"])
async def test_a_comment_is_kept_as_it_is(any_world: World, comment: str) -> None:
    review = await any_world.open_review((await any_world.submit()).id)
    decided = await any_world.reject(review, comment=comment)
    assert decided.decisions[0].comment == (comment or None)
    stored = await any_world.service.review(review)
    assert stored.decisions == decided.decisions


async def test_an_inbox_is_ones_own(world: World) -> None:
    review = await world.open_review((await world.submit()).id)
    quorum = await world.open_review((await world.submit(flow="two")).id)
    found = {r.id for r in await world.service.waiting_for(ANA.id)}
    assert found == {review, quorum}
    assert {r.id for r in await world.service.waiting_for(LOCAL)} == {review}
    assert list(await world.service.waiting_for(SAM.id)) == []
    assert list(await world.service.waiting_for(PersonId('%"\\'))) == []


async def test_a_task_is_called_off_by_its_submitter_only_and_once(world: World) -> None:
    task = await world.submit()
    review = await world.open_review(task.id)
    with pytest.raises(Forbidden):
        await world.service.cancel(task.id, ANA.id)
    assert (await world.service.cancel(task.id, SAM.id)).status is Status.CANCELLED
    with pytest.raises(TaskIsClosed):
        await world.service.cancel(task.id, SAM.id)
    with pytest.raises(ReviewIsClosed):
        await world.approve(review)
    assert (await world.service.task(task.id)).outcome is None


async def test_a_task_cancelled_while_it_runs_stays_cancelled(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    entered, cut = asyncio.Event(), asyncio.Event()

    async def slow(shared: Any) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    async with whole_core(sqlite_database, clock, flows={"draft": drafting(slow)}) as world:
        task = await world.submit()
        await entered.wait()
        await world.service.cancel(task.id, SAM.id)
        await cut.wait()
        assert (await world.end(task.id)).status is Status.CANCELLED
    async with whole_core(sqlite_database, clock) as world:
        assert (await world.service.task(task.id)).status is Status.CANCELLED


async def test_ten_thousand_presses_at_once_make_one_decision(world: World) -> None:
    task = await world.submit("x")
    stale = await world.open_review(task.id)
    await world.reject(stale)
    review = await world.open_review(task.id, 2)
    chance = Random(2)  # noqa: S311 - the same mixture each time
    people = [ANA, BEN, EVE, SAM]
    verdicts = [chance.choice(list(Verdict)) for _ in range(10_000)]
    presses = [
        world.service.decide(
            chance.choice([review, review, review, stale, "0" * 32]),
            chance.choice([*(p.id for p in people), PersonId("mallory")]),
            verdict,
            content=f"edit {number}" if verdict is Verdict.EDIT else None,
            via="web",
        )
        for number, verdict in enumerate(verdicts)
    ]
    answers = await asyncio.gather(*presses, return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    kinds = {type(answer) for answer in answers if isinstance(answer, BaseException)}
    assert kinds == {NotFound, NotAReviewer, ReviewIsClosed}
    assert all(issubclass(kind, CountersignError) for kind in kinds)
    decided = await world.service.review(review)
    assert won[0].decisions == decided.decisions
    assert len(decided.decisions) == 1
    events = [event for event in await world.history(task.id) if isinstance(event, DecisionRecorded)]
    assert [event.review for event in events] == [stale, review]
    assert len((await world.service.review(stale)).decisions) == 1


async def test_a_thousand_presses_at_a_quorum_count_each_person_once(world: World) -> None:
    review = await world.open_review((await world.submit(flow="three")).id)
    presses = [
        world.service.decide(review, (ANA, BEN, CY, EVE)[n % 4].id, Verdict.APPROVE, via="web")
        for n in range(1_000)
    ]
    answers = await asyncio.gather(*presses, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 3
    assert {type(answer) for answer in answers} >= {NotAReviewer, ReviewIsClosed}
    assert {type(answer) for answer in answers} <= {
        type(answers[0]),
        NotAReviewer,
        ReviewIsClosed,
        AlreadyDecided,
    }
    decided = await world.service.review(review)
    assert (decided.outcome, len(decided.decisions)) == (Outcome.APPROVED, 3)
    history = await world.history(decided.task.id)
    assert sum(isinstance(event, ReviewApproved | ReviewRejected) for event in history) == 1


async def test_whom_the_configuration_struck_from_a_policy_decides_none_of_its_open_reviews(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with whole_core(sqlite_database, clock) as world:
        task = await world.submit()
        review = await world.open_review(task.id)
    without_ana = {"default": Policy(name="default", reviewers=(BEN.id, EVE.id))}
    async with whole_core(sqlite_database, clock, in_force=without_ana) as world:
        service = world.service
        for asked in (
            service.check_may_decide(review, ANA.id),
            service.decide(review, ANA.id, Verdict.APPROVE, via="slack"),
            service.decide(OpenReview(task=task.id), ANA.id, Verdict.APPROVE, via="api"),
            service.decide(review, EVE.id, Verdict.APPROVE, via="slack"),
            service.check_edit(review, ANA.id, "better", via="slack"),
            service.questions.check_may_ask(review, ANA.id),
        ):
            with pytest.raises(NotAReviewer):
                await asked
        assert await service.waiting_for(ANA.id) == []
        assert [found.id for found in await service.waiting_for(BEN.id)] == [review]
        assert (await world.approve(review, BEN)).outcome is Outcome.APPROVED


async def test_an_edit_whose_reason_is_asked_for_with_it_is_refused_without_in_the_words_of_a_decision(
    any_database: Database, clock: StoppedClock
) -> None:
    always = Policy(name="always", reviewers=(ANA.id,), reason=ReasonRule.ALWAYS)
    asked = definition(flow_settings("draft", policy="always"), {"always": always}, None)
    async with whole_core(any_database, clock, flows={"draft": asked}) as world:
        service, review = world.service, await world.open_review((await world.submit("one")).id)
        await service.check_edit(review, ANA.id, "better", via="slack")  # it is asked for later
        await service.check_edit(review, ANA.id, "better", via="slack", comment="shorter")
        with pytest.raises(ReasonMissing) as refused:
            await service.check_edit(review, ANA.id, "better", via="slack", comment=" ")
        with pytest.raises(ReasonMissing, match=str(refused.value)):
            await service.decide(review, ANA.id, Verdict.EDIT, content="better", via="slack")


async def test_an_edit_is_checked_as_a_decision_would_and_changes_nothing(any_world: World) -> None:
    task = await any_world.submit("one\r\ntwo ")
    review = await any_world.open_review(task.id)
    service = any_world.service
    draft = str((await service.review(review)).draft)
    found, content = await service.check_edit(review, ANA.id, f"{draft}\nthree", via="slack")
    assert (found.id, content) == (review, f"{draft}\nthree")
    for typed, words in ((draft, "This is the draft as it is"), ("a\x00", "NUL"), ("\ud800", "surrogate")):
        with pytest.raises(Invalid, match=words):
            await service.check_edit(review, ANA.id, typed, via="slack")
    with pytest.raises(Forbidden):
        await service.check_edit(review, SAM.id, "better", via="slack")
    assert (await service.review(review)).decisions == ()
    await any_world.approve(review)
    with pytest.raises(ReviewIsClosed):
        await service.check_edit(review, ANA.id, "better", via="slack")


async def test_a_submitter_chooses_among_the_policies_that_the_flow_offers(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    known = draft_flows()
    draft = known["draft"]
    offering = replace(draft, settings=replace(draft.settings, policies=("two",)))
    async with whole_core(sqlite_database, clock, flows={"draft": offering}) as world:
        task, _ = await world.service.submit(Submission(input="x", submitter=SAM.id, policy="two"))
        review = await world.service.review(await world.open_review(task.id))
        assert (task.policy, review.policy.name, review.policy.approvals) == ("two", "two", 2)
        own, _ = await world.service.submit(Submission(input="x", submitter=SAM.id, policy="default"))
        review = await world.service.review(await world.open_review(own.id))
        assert review.policy.name == "default", "the flow's own can be named, too"
        for refused in ("self", "nothing"):
            with pytest.raises(Invalid, match="offers: two"):
                await world.service.submit(Submission(input="x", submitter=SAM.id, policy=refused))
