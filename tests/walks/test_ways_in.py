"""The same answer on every surface: each through its real adapter, over one core, platforms simulated.

`tests/core/test_surfaces.py` asks the service the same; this asks whoever stands before it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from core.model import Delegation, Verdict
from tests.bot import slack_fixtures
from tests.walks.square import STRANGER, square
from tests.world import ANA, BEN, CY, EVE, SAM, StoppedClock, eventually, policies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import Person, ReviewRequest
    from core.store.database import Database
    from tests.walks.square import Asked, Square


clock = slack_fixtures.clock


@pytest.fixture(params=["socket-polling", "http-webhook"])
async def there(
    request: pytest.FixtureRequest, sqlite_database: Database, clock: StoppedClock
) -> AsyncIterator[Square]:
    async with square(sqlite_database, clock, http=request.param == "http-webhook") as started:
        yield started


@pytest.fixture
async def by_socket(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[Square]:
    async with square(sqlite_database, clock) as started:
        yield started


async def nothing(there: Square, asked: Asked) -> None:
    """It stays as it was put up."""


async def decided(there: Square, asked: Asked, person: Person, verdict: Verdict = Verdict.APPROVE) -> None:
    await there.house.service.decide(asked.review.id, person.id, verdict, via="api")


async def ended(there: Square, asked: Asked) -> None:
    """The flow has gone on to its end, so that the history grows no more."""

    async def is_over() -> bool:
        return (await there.house.service.task(asked.task)).status.is_final

    await eventually(is_over)


async def approved(there: Square, asked: Asked) -> None:
    await decided(there, asked, BEN)
    await ended(there, asked)


async def approved_once(there: Square, asked: Asked) -> None:
    await decided(there, asked, ANA)


async def superseded(there: Square, asked: Asked) -> None:
    await decided(there, asked, ANA, Verdict.REJECT)
    await there.house.review(asked.review.task, attempt=2)


async def expired(there: Square, asked: Asked) -> None:
    there.house.clock.advance(minutes=2)
    await ended(there, asked)


async def cancelled(there: Square, asked: Asked) -> None:
    await there.house.service.cancel(asked.task, SAM.id)


async def without_cy(there: Square, asked: Asked) -> None:
    """As a reload strikes somebody."""
    there.in_force["two"] = replace(policies()["two"], reviewers=(ANA.id, BEN.id))


def away(person: Person, delegate: Person) -> Happening:
    async def happen(there: Square, asked: Asked) -> None:
        now = there.house.clock.now()
        await there.house.store.delegate(
            Delegation(
                id="d" * 32,
                person=person.id,
                delegate=delegate.id,
                until=now + timedelta(days=1),
                made_by=person.id,
                made_at=now,
            )
        )

    return happen


Happening = Callable[["Square", "Asked"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What happens to a review that was put up, who answers it then, and what they are told."""

    flow: str
    person: Person
    happens: Happening = nothing
    says: str
    """`{closed}` is when the review closed."""
    status: int
    verdicts: tuple[str, ...] = ("approve", "reject")
    but_not: tuple[str, ...] = ()
    """Surfaces where it would be another question."""

    def sentence(self, review: ReviewRequest) -> str:
        closed = "" if review.closed_at is None else f"{review.closed_at:%Y-%m-%d %H:%M:%S} UTC"
        return self.says.format(closed=closed)


TABLE = {
    "submitter": Line(
        flow="own",
        person=SAM,
        says="You submitted this task, so somebody else has to decide. Ana Ruiz can decide.",
        status=403,
    ),
    "outsider": Line(
        flow="own",
        person=EVE,
        says="You are not among the reviewers of this task. Ana Ruiz can decide.",
        status=403,
    ),
    "delegate of the submitter": Line(
        flow="own",
        happens=away(SAM, EVE),
        person=EVE,
        says="The person for whom you decide submitted this task, so somebody else has to decide. "
        "Ana Ruiz can decide.",
        status=403,
    ),
    "the submitter as a delegate": Line(
        flow="two",
        happens=away(ANA, SAM),
        person=SAM,
        says="You submitted this task, so somebody else has to decide. "
        "Ana Ruiz, Ben Okri and Cy Young can decide.",
        status=403,
    ),
    "removed member": Line(
        flow="two",
        happens=without_cy,
        person=CY,
        says="You are not among the reviewers of this task any more. Ana Ruiz and Ben Okri can decide.",
        status=403,
    ),
    "out of turn": Line(
        flow="staged",
        person=BEN,
        says="It is not your turn yet: stage 1 of 2 waits for legal. Ana Ruiz can decide.",
        status=409,
    ),
    "expired": Line(
        flow="brief",
        happens=expired,
        person=ANA,
        says="This review expired undecided at {closed}.",
        status=409,
    ),
    "superseded": Line(
        flow="draft",
        happens=superseded,
        person=BEN,
        says="This was attempt 1; attempt 2 has replaced it.",
        status=412,
        but_not=("seed, naming nothing",),  # that is an answer to attempt 2
    ),
    "decided by another": Line(
        flow="draft",
        happens=approved,
        person=ANA,
        says="Already approved by Ben Okri at {closed}.",
        status=409,
    ),
    "an outsider, once it is decided": Line(
        flow="draft",
        happens=approved,
        person=EVE,
        says="You are not among the reviewers of this task.",
        status=403,
    ),
    "an outsider, once it is superseded": Line(
        flow="draft",
        happens=superseded,
        person=EVE,
        says="You are not among the reviewers of this task.",
        status=403,
        but_not=("seed, naming nothing",),  # who can decide on attempt 2 is named there
    ),
    "cancelled": Line(
        flow="draft",
        happens=cancelled,
        person=ANA,
        says="This review is closed: the task was cancelled by Sam Lee at {closed}.",
        status=409,
    ),
    "already decided": Line(
        flow="two",
        happens=approved_once,
        person=ANA,
        says="You have already decided; the review waits for others.",
        status=409,
        verdicts=("approve",),
        but_not=("page for edits",),  # whoever said yes may still say it in other words
    ),
}
ONLY_WORDS = {"slack": None, "telegram": None}
"""Chats have no statuses."""


@pytest.mark.parametrize("name", TABLE)
async def test_every_surface_gives_the_same_answer(there: Square, name: str) -> None:
    line = TABLE[name]
    asked = await there.ask(line.flow)
    await line.happens(there, asked)
    before = await there.record(asked)
    sentence = line.sentence(before[0][0])
    told, wanted = {}, {}
    for verdict in line.verdicts:
        for surface, answer in there.ways.items():
            if surface in line.but_not:
                continue
            found = await answer(asked, line.person.id, verdict)
            told[surface, verdict] = (found.words, found.status)
            wanted[surface, verdict] = (sentence, ONLY_WORDS.get(surface, line.status))
            assert await there.record(asked) == before, surface
    assert told == wanted


@pytest.mark.parametrize("name", [name for name in TABLE if name != "already decided"])
async def test_nobody_is_offered_what_they_would_be_refused(by_socket: Square, name: str) -> None:
    """The page and `explain` say beforehand what a press would be told; no inbox lists it."""
    there, line = by_socket, TABLE[name]
    asked = await there.ask(line.flow)
    await line.happens(there, asked)
    browser = await there.browser(line.person.id)
    assert asked.review.id not in await browser.page("/inbox")
    page = html.unescape(await browser.page(f"/tasks/{asked.task}"))
    forms = re.sub('<form class="ask".*?</form>', "", page, flags=re.DOTALL)  # a question decides nothing
    assert f'name="review_id" value="{asked.review.id}"' not in forms
    review = (await there.record(asked))[0][0]
    if review.is_open:
        assert line.sentence(review) in page
        explained = (await browser.get(f"/v1/tasks/{asked.task}/explain")).json
        assert explained["refusal"] == line.sentence(review)


async def test_somebody_unknown_is_told_so_and_nothing_else(there: Square) -> None:
    asked = await there.ask("draft")
    before = await there.record(asked)
    stranger = (await there.browser("ana")).http
    for verdict in ("approve", "reject"):
        for way in (there.in_slack, there.in_telegram):
            told = await way(asked, STRANGER, verdict)
            assert told.words.startswith(
                "Nothing was changed: people are known here by their id, and nobody "
            )
        for path, body in (
            (f"/feedback/{asked.task}", {"feedback": "approved", "review_id": asked.review.id}),
            (f"/v1/tasks/{asked.task}/decisions", {"verdict": verdict, "review_id": asked.review.id}),
        ):
            headers = {"Authorization": "Bearer cs_nobody"}
            async with stranger.post(there.url + path, json=body, headers=headers) as answer:
                assert answer.status == 401
    assert await there.record(asked) == before


async def test_a_reviewer_is_heard_on_every_surface(there: Square) -> None:
    """The same person, one surface after the other; each takes back what the one before was told."""
    asked = await there.ask("two")
    service, ana = there.house.service, await there.browser("ana")
    token = {"review_id": asked.review.id}

    async def page() -> None:
        reply = await ana.post_form(f"/feedback/{asked.task}", feedback="approved", **token)
        assert (reply.status, reply.headers["Location"]) == (303, f"/tasks/{asked.task}")

    async def seed() -> None:
        reply = await ana.post(f"/feedback/{asked.task}", {"feedback": "approved"})
        assert reply.status == 200, reply.text

    async def api() -> None:
        reply = await ana.post(f"/v1/tasks/{asked.task}/decisions", {"verdict": "approve", **token})
        assert reply.status == 200, reply.text

    async def slack() -> None:
        await there.slack.approve(asked.slack, "ana")

    async def telegram() -> None:
        await there.telegram.approve(asked.telegram, "ana")

    for surface, via in (
        (page, "web"),
        (seed, "api"),
        (api, "api"),
        (slack, "slack"),
        (telegram, "telegram"),
    ):
        await surface()
        (made,) = (await service.review(asked.review.id)).decisions
        assert (made.reviewer, made.verdict, made.via) == (ANA.id, Verdict.APPROVE, via)
        await service.withdraw(asked.review.id, ANA.id, via="api")


@pytest.mark.parametrize(
    "name", ["removed member", "expired", "superseded", "decided by another", "cancelled"]
)
async def test_who_was_asked_why_before_is_told_the_same_after(there: Square, name: str) -> None:
    """The question was open when it happened: the answer comes too late."""
    line = TABLE[name]
    asked = await there.ask(line.flow)
    person = line.person.id
    dialog = await there.dialog(asked, person)
    question = await there.telegram.ask_why(asked.telegram, person)
    await line.happens(there, asked)
    before = await there.record(asked)
    sentence = line.sentence(before[0][0])
    assert (await there.dialog_sent(dialog, person)).words == sentence
    assert (await there.question_answered(question, person)).words == sentence
    assert await there.record(asked) == before


async def test_a_timer_that_comes_after_the_decision_does_nothing(by_socket: Square) -> None:
    there = by_socket
    asked = await there.ask("timed")
    timers = await there.house.store.timers(asked.review.id)
    assert [timer.kind.value for timer in timers] == ["reminder", "escalation", "expiry"]
    await decided(there, asked, ANA)
    await ended(there, asked)
    before = await there.record(asked)
    there.house.clock.advance(days=1)
    fired = [await there.house.store.fire(timer, policies={}, people={}) for timer in timers]
    assert fired == [False, False, False]
    assert await there.record(asked) == before
    told = [message.text for message in there.telegram.cards() if message.id != asked.telegram.id]
    assert told == []
