"""One door: everybody at once, and the same answer on every surface, through the real service and store."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from core.errors import (
    AlreadyDecided,
    CountersignError,
    NotAReviewer,
    NotWaiting,
    ReviewIsClosed,
    SelfReview,
    StaleReview,
)
from core.events import DecisionRecorded, ReviewApproved
from core.feed import Feed
from core.model import NewDecision, OpenReview, Outcome, Person, PersonId, Policy, Verdict
from core.service import Service
from core.store.sql import SqlStore
from tests.contracts.steps import delegated, fired, parked, waiting
from tests.world import ANA, BEN, CY, EVE, PEOPLE, SAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from core.store.database import Database
    from tests.world import StoppedClock

CROWD = [Person(id=PersonId(f"p{number}"), name=f"P{number}") for number in range(20)]
KNOWN = {**PEOPLE, **{person.id: person for person in CROWD}}
THREE_OF_FIVE = Policy(name="five", reviewers=tuple(person.id for person in CROWD[:5]), approvals=3)
SURFACES = ("slack", "telegram", "web", "api")
TWO = Policy(name="two", reviewers=(ANA.id, BEN.id, CY.id, SAM.id), approvals=2, deadline=timedelta(hours=1))


@asynccontextmanager
async def doors(
    database: Database, clock: StoppedClock, number: int, today: Mapping[str, Policy] | None = None
) -> AsyncIterator[list[tuple[Service, SqlStore]]]:
    """So many servers on one database."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(number):
            store = await stack.enter_async_context(SqlStore(database, clock))
            service = Service(store, Feed(store), KNOWN, {}, policies=today or {}, clock=clock)
            found.append((service, store))
        yield found


async def pressed(service: Service, review: str, person: Person, via: str) -> str:
    """What became of an approval, in a word."""
    try:
        await service.decide(review, person.id, Verdict.APPROVE, via=via)
    except CountersignError as error:
        return type(error).__name__
    return "recorded"


async def test_of_two_hundred_presses_on_three_of_five_three_are_counted(
    any_database: Database, clock: StoppedClock
) -> None:
    async with doors(any_database, clock, 2) as found:
        store = found[0][1]
        for seed in range(3):
            chance = Random(seed)  # noqa: S311 - to be repeatable
            review = await waiting(store, THREE_OF_FIVE)
            presses = [(person, via) for person in CROWD for via in SURFACES for _ in range(3)][:240]
            chance.shuffle(presses)
            answers = await asyncio.gather(
                *(pressed(chance.choice(found)[0], review, *press) for press in presses[:200])
            )
            closed = await store.review(review)
            events = [stored.event for stored in await store.events(closed.task.id, 0)]
            assert Counter(answers)["recorded"] == 3
            assert set(answers) <= {"recorded", "NotAReviewer", "AlreadyDecided", "ReviewIsClosed"}
            assert len({made.reviewer for made in closed.decisions}) == len(closed.decisions) == 3
            assert closed.outcome is Outcome.APPROVED
            assert sum(isinstance(event, DecisionRecorded) for event in events) == 3
            assert sum(isinstance(event, ReviewApproved) for event in events) == 1


async def test_one_person_in_two_chats_at_once_is_one_vote(
    any_database: Database, clock: StoppedClock
) -> None:
    async with doors(any_database, clock, 2) as [(slack, store), (telegram, _)]:
        for _ in range(20):
            review = await waiting(store, replace(TWO, deadline=None))
            answers = await asyncio.gather(
                pressed(slack, review, ANA, "slack"), pressed(telegram, review, ANA, "telegram")
            )
            assert sorted(answers) == ["AlreadyDecided", "recorded"]
            assert len((await store.review(review)).decisions) == 1


async def test_a_delegate_and_who_is_away_at_once_are_one_vote(
    any_database: Database, clock: StoppedClock
) -> None:
    async with doors(any_database, clock, 2) as [(one, store), (other, _)]:
        await delegated(store, ANA, EVE, clock)
        for _ in range(20):
            review = await waiting(store, replace(TWO, deadline=None))
            answers = await asyncio.gather(
                pressed(one, review, ANA, "web"), pressed(other, review, EVE, "slack")
            )
            assert sorted(answers) == ["AlreadyDecided", "recorded"]
            assert [made.seat for made in (await store.review(review)).decisions] == [ANA.id]


async def expired(store: SqlStore, clock: StoppedClock) -> str:
    review = await waiting(store, TWO)
    clock.advance(hours=1)
    await fired(store)
    return review


async def superseded(store: SqlStore) -> str:
    first = await waiting(store, replace(TWO, deadline=None))
    await store.decide(first, NewDecision(reviewer=ANA, verdict=Verdict.REJECT, via="web"))
    await parked(store, (await store.review(first)).task.id, replace(TWO, deadline=None), attempt=2)
    return first


async def decided(store: SqlStore, *people: Person) -> str:
    review = await waiting(store, replace(TWO, deadline=None))
    for person in people:
        await store.decide(review, NewDecision(reviewer=person, verdict=Verdict.APPROVE, via="web"))
    return review


async def situation(  # noqa: C901, PLR0911 - one for each line of the table
    name: str, store: SqlStore, clock: StoppedClock
) -> tuple[str, Person]:
    """A review, and who presses."""
    match name:
        case "submitter":
            return await waiting(store, TWO), SAM
        case "outsider":
            return await waiting(store, TWO), EVE
        case "nobody we know":
            return await waiting(store, TWO), Person(id=PersonId("mallory"), name="Mallory")
        case "delegate of the submitter":
            await delegated(store, SAM, EVE, clock)
            return await waiting(store, TWO), EVE
        case "the submitter as a delegate":
            await delegated(store, ANA, SAM, clock)
            return await waiting(store, replace(TWO, reviewers=(ANA.id, BEN.id, CY.id))), SAM
        case "removed member":
            return await waiting(store, TWO), CY
        case "expired":
            return await expired(store, clock), BEN
        case "over, and not closed yet":
            review = await waiting(store, TWO)
            clock.advance(hours=1)
            return review, BEN
        case "superseded":
            return await superseded(store), BEN
        case "decided by others":
            return await decided(store, ANA, BEN), ANA
        case _:
            return await decided(store, ANA), ANA


TABLE: dict[str, tuple[type[CountersignError], str]] = {
    "submitter": (SelfReview, "You submitted this task, so somebody else has to decide."),
    "outsider": (NotAReviewer, "You are not among the reviewers of this task."),
    "nobody we know": (NotAReviewer, "You are not among the people whom countersign.toml names."),
    "delegate of the submitter": (
        SelfReview,
        "The person for whom you decide submitted this task, so somebody else has to decide.",
    ),
    "the submitter as a delegate": (SelfReview, "You submitted this task, so somebody else has to decide."),
    "removed member": (NotAReviewer, "You are not among the reviewers of this task any more."),
    "expired": (ReviewIsClosed, "This review expired undecided at 2026-11-21 09:00:00 UTC."),
    "over, and not closed yet": (ReviewIsClosed, "This review expired undecided at 2026-11-21 09:00:00 UTC."),
    "superseded": (ReviewIsClosed, "This was attempt 1; attempt 2 has replaced it."),
    "decided by others": (ReviewIsClosed, "Already approved by Ben Okri at 2026-11-21 08:00:00 UTC."),
    "already decided": (AlreadyDecided, "You have already decided; the review waits for others."),
}


@pytest.mark.parametrize("name", TABLE)
async def test_every_surface_gives_the_same_answer(
    name: str, any_database: Database, clock: StoppedClock
) -> None:
    today = {"two": replace(TWO, reviewers=(ANA.id, BEN.id, SAM.id))}
    async with doors(any_database, clock, 1, today) as [(service, store)]:
        review, person = await situation(name, store, clock)
        before = await store.review(review)
        history = await store.events(before.task.id, 0)
        answers, kinds = set(), set()
        for via in SURFACES:
            asked = [
                partial(service.decide, which, person.id, Verdict.APPROVE, via=via)
                for which in (
                    review,
                    OpenReview(task=before.task.id, review=review),
                    OpenReview(task=before.task.id, attempt=1),
                )
            ]
            if name != "already decided":  # they may still change it
                asked.append(partial(service.check_may_decide, review, person.id, via=via))
            for ask in asked:
                with pytest.raises(CountersignError) as refusal:
                    await ask()
                answers.add(str(refusal.value))
                kinds.add(type(refusal.value))
        [sentence] = answers
        assert sentence.startswith(TABLE[name][1]), "and then perhaps who can instead"
        # Whoever names the task, and a review that is closed, is told besides that it is not the open one.
        assert TABLE[name][0] in kinds
        assert kinds <= {TABLE[name][0], *({NotWaiting, StaleReview} if not before.is_open else ())}
        assert (await store.review(review), await store.events(before.task.id, 0)) == (before, history)


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_review_that_lost_what_a_struck_person_said_is_looked_at_again(
    any_database: Database, clock: StoppedClock, keeps: bool
) -> None:
    policy = replace(TWO, reviewers=(ANA.id, BEN.id), deadline=None, keeps_removed=keeps)
    today = {"two": replace(policy, reviewers=(BEN.id,))}
    async with doors(any_database, clock, 1, today) as [(service, store)]:
        review = await waiting(store, policy)
        await store.decide(review, NewDecision(reviewer=ANA, verdict=Verdict.APPROVE, via="web"))
        # Ben is enough where Ana's word is kept, and not where it is dropped.
        assert await service.reconsidering.under(["two"]) == (0 if keeps else 1)
