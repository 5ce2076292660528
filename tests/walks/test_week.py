"""One simulated week: a review that nobody decides on Friday is decided on Thursday, by a delegate."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.cards import Named, Theirs, state
from bot.notices import words
from core.events import (
    DecisionRecorded,
    ReviewApproved,
    ReviewerReminded,
    ReviewEscalated,
    ReviewRequested,
    TaskCompleted,
    kind,
)
from core.explaining import standing
from core.model import ChannelName, Notice, PersonId, Status, Submission, Verdict
from countersign.composition import flows
from countersign.configuration import parsed
from tests.world import PaperChannel, StoppedClock, whole_core

if TYPE_CHECKING:
    from core.model import StoredEvent, Task
    from core.store.database import Database
    from tests.world import Call, World

FILE = """
[people.ana]
name = "Ana Ruiz"
[people.ben]
name = "Ben Okri"
[people.cy]
name = "Cy Young"
[people.sam]
name = "Sam Lee"

[recipients]
slack = ["C01DESK"]

[groups.finance]
people = ["ana"]
hours = "* 9-16 * * mon-fri"
zone = "Europe/Madrid"

[policies.default]
reviewers = ["finance"]
deadline = "7d"
reminders = ["2h", "140h"]
escalation = { after = "4d", reviewers = ["cy"], recipients = { slack = ["C02HALL"] } }
"""
ANA, BEN, CY, SAM = (PersonId(name) for name in ("ana", "ben", "cy", "sam"))
MADRID = ZoneInfo("Europe/Madrid")
FRIDAY_EVENING = datetime(2026, 11, 20, 18, 30, tzinfo=MADRID).astimezone(UTC)
STORY = (ReviewRequested, ReviewerReminded, ReviewEscalated, DecisionRecorded, ReviewApproved, TaskCompleted)


async def test_a_week_of_a_review(sqlite_database: Database) -> None:
    clock = StoppedClock(FRIDAY_EVENING)
    paper = PaperChannel(ChannelName("slack"))
    told = parsed(tomllib.loads(FILE), None, environment={})
    async with whole_core(
        sqlite_database,
        clock,
        flows=flows(told),
        people=told.people,
        in_force=told.policies,
        channels=[paper],
    ) as world:
        task = await submitted(world)
        await paper.called(1)
        weekend(clock, until=madrid(23, 8, 59))
        assert await story(world, task) == ["Fri 18:30 review_requested"]

        clock.advance(madrid(23, 9) - clock.now())
        await world.event(task.id, ReviewerReminded)
        await posted(paper, "Reminder for Ana Ruiz")

        clock.advance(madrid(24, 18, 30) - clock.now())
        clock.advance(madrid(25, 9) - clock.now())
        await world.event(task.id, ReviewEscalated)
        await posted(paper, "Escalated")

        clock.advance(hours=1)
        await world.service.delegations.add(ANA, BEN, clock.now() + timedelta(days=7), by=ANA)
        clock.advance(madrid(26, 14, 30) - clock.now())
        await world.event(task.id, ReviewerReminded, 2)
        await posted(paper, "Reminder for Ben Okri and Cy Young")

        clock.advance(minutes=30)
        review = await world.open_review(task.id)
        await world.service.decide(review, BEN, Verdict.APPROVE, comment="Checked with Ana.", via="slack")
        assert (await world.end(task.id)).status is Status.COMPLETED
        shown = await paper.until(lambda: [call for call in paper.calls if says(call) == "Approved"])
        clock.advance(days=14)

        assert await story(world, task) == [
            "Fri 18:30 review_requested",
            "Mon 09:00 reviewer_reminded: Ana Ruiz",
            "Wed 09:00 review_escalated: Cy Young",
            "Thu 14:30 reviewer_reminded: Ben Okri, Cy Young",
            "Thu 15:00 decision_recorded: Ben Okri for Ana Ruiz",
            "Thu 15:00 review_approved",
            "Thu 15:00 task_completed",
        ]
        assert shown
        ends = "Until 2026-11-27 17:30 UTC, then rejected."
        please = f"please decide on attempt 1 of Buy a printer. {ends}"
        escalated = f"Nobody has decided yet. Cy Young may decide now, too. {ends}"
        card = "Review · until 2026-11-27 17:30 UTC, then rejected"
        assert [(call.delivery.recipient.address, says(call)) for call in posts(paper)] == [
            ("C01DESK", card),
            ("C02HALL", card),
            ("C01DESK", f"Reminder for Ana Ruiz: {please}"),
            ("C01DESK", f"Escalated, attempt 1 of Buy a printer: {escalated}"),
            ("C02HALL", f"Escalated, attempt 1 of Buy a printer: {escalated}"),
            ("C01DESK", f"Reminder for Ben Okri and Cy Young: {please}"),
            ("C02HALL", f"Reminder for Ben Okri and Cy Young: {please}"),
        ]
        cards = {call.delivery.recipient.address: call for call in posts(paper) if not is_notice(call)}
        for call in posts(paper):
            if is_notice(call):
                first = paper.calls.index(cards[call.delivery.recipient.address]) + 1
                assert call.thread == f"{call.delivery.recipient.address}/{first}"


async def submitted(world: World) -> Task:
    task, _ = await world.service.submit(Submission(input="Buy a printer", submitter=SAM))
    await world.event(task.id, ReviewRequested)
    return task


def madrid(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=MADRID).astimezone(UTC)


def weekend(clock: StoppedClock, *, until: datetime) -> None:
    """In steps, as a machine that runs all the time."""
    while clock.now() < until:
        clock.advance(min(timedelta(hours=1), until - clock.now()))


async def story(world: World, task: Task) -> list[str]:
    """What happened to the review, as somebody in Madrid would tell it."""
    stored = await world.store.events(task.id, 0)
    return [line(one) for one in stored if isinstance(one.event, STORY)]


def line(stored: StoredEvent) -> str:
    at = f"{stored.at.astimezone(MADRID):%a %H:%M} {kind(stored.event)}"
    match stored.event:
        case ReviewerReminded(people=people) | ReviewEscalated(people=people):
            return f"{at}: {', '.join(map(str, people))}"
        case DecisionRecorded(reviewer_name=name, person_name=whose):
            return f"{at}: {name} for {whose}"
        case _:
            return at


def posts(paper: PaperChannel) -> list[Call]:
    """By the event that they tell, or that opened their review; then by place."""
    made = [call for call in paper.calls if call.kind == "post"]
    return sorted(made, key=lambda call: (call.delivery.event_seq, call.delivery.recipient.address))


def is_notice(call: Call) -> bool:
    return isinstance(call.content, Notice)


def says(call: Call) -> str:
    if isinstance(call.content, Notice):
        told = words(call.content, public_url="https://sign.example.com")
        return "".join(plain(part) for part in told.parts)
    return " · ".join(part for part in (str(state(call.content)), standing(call.content)) if part)


def plain(part: str | Theirs | Named) -> str:
    match part:
        case Theirs(text=text):
            return text
        case Named(name=name):
            return name
        case _:
            return part


async def posted(paper: PaperChannel, begin: str) -> None:
    """In every place that the review has been put before."""
    places = {call.delivery.recipient for call in paper.calls}

    def everywhere() -> bool:
        told = {call.delivery.recipient for call in posts(paper) if says(call).startswith(begin)}
        return told >= places

    await paper.until(everywhere)
