"""Every behaviour that both chats have, walked in each, over each transport: nobody ever leaves the chat.

Slack's app has here what `docs/slack-manifest.yaml` asks for, and no more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from core.model import TaskId
from tests.bot.manifest import EVENTS, SCOPES
from tests.walks.desks import SlackDesk, TelegramDesk
from tests.walks.runs import eventually
from tests.walks.town import CONFIGURATION, SLACK, TELEGRAM, platforms, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import ReviewRequest
    from core.store.database import Database
    from tests.walks.browsers import Browser
    from tests.walks.desks import Desk
    from tests.walks.rooms import Room
    from tests.walks.town import Town

TEXT = "Announce the new opening hours"
LONG = "\n".join(f"{number}. Line <!channel> @everyone 👩🏽\u200d💻" for number in range(1, 200))
QUICK = """
[policies.quick]
reviewers = ["ana", "ben"]
quick_reasons = ["Too expensive", "Not now"]
[flows.quick]
policy = "quick"
"""
TRANSPORTS = {
    "slack socket": ("slack", False),
    "slack http": ("slack", True),
    "telegram polling": ("telegram", False),
    "telegram webhook": ("telegram", True),
}


@dataclass
class Walk:
    """One chat over one transport, in a whole town."""

    town: Town
    desk: Desk
    sam: Browser

    @property
    def room(self) -> Room:
        return self.desk.room

    @property
    def other(self) -> Room:
        """The other chat."""
        (found,) = [room for room in self.town.rooms if room is not self.room]
        return found

    async def reviews(self, task: str) -> list[ReviewRequest]:
        return list(await self.town.house.service.reviews(TaskId(task)))

    async def submit(self, text: str = TEXT, flow: str = "draft") -> str:
        reply = await self.sam.post("/v1/tasks", {"input": text, "flow": flow})
        return str(reply.json["task_id"])


@pytest.fixture(params=TRANSPORTS)
async def walk(request: pytest.FixtureRequest, sqlite_database: Database) -> AsyncIterator[Walk]:
    name, over_http = TRANSPORTS[request.param]
    async with (
        platforms(bot_scopes=SCOPES, events=EVENTS) as chats,
        town(
            chats,
            sqlite_database,
            slack_http=over_http,
            telegram_webhook=over_http,
            configuration=CONFIGURATION + QUICK,
        ) as there,
    ):
        desk = SlackDesk(there.slack) if name == "slack" else TelegramDesk(there.telegram)
        yield Walk(there, desk, await there.browser("sam"))


# 1. Verdicts


async def test_1_approve_is_one_tap(walk: Walk) -> None:
    task = await walk.submit()
    card = await walk.room.card(TEXT)
    await walk.room.approve(card, "ana")
    assert (await walk.sam.ended(task)).data["outcome"] == "approved"
    (review,) = await walk.reviews(task)
    assert [(made.reviewer, made.via, made.comment) for made in review.decisions] == [
        ("ana", walk.room.name, None)
    ]
    await walk.room.until_it_says(card, "Approved by Ana Ruiz")


async def test_1_reject_with_a_ready_reason(walk: Walk) -> None:
    task = await walk.submit(flow="quick")
    await walk.desk.reject_by(await walk.room.card(TEXT), "ana", "Not now")
    draft = (await walk.sam.waits(task, attempt=2)).data["output_to_review"]
    assert draft.endswith("“Not now”")
    assert (await walk.reviews(task))[0].decisions[0].comment == "Not now"


async def test_1_reject_with_a_reason_of_one_s_own(walk: Walk) -> None:
    task = await walk.submit()
    await walk.room.reject(await walk.room.card(TEXT), "ana", "Name the *holiday* <too>")
    draft = (await walk.sam.waits(task, attempt=2)).data["output_to_review"]
    assert draft.endswith("“Name the *holiday* <too>”")


async def test_1_edit_shows_the_difference_and_counts_once_it_is_confirmed(walk: Walk) -> None:
    task = await walk.submit("one\ntwo")
    card = await walk.room.card("one")
    shown = await walk.desk.edit(card, "ana", "one\nthree")
    for words in ("-two", "+three", "Nothing is decided until you confirm"):
        assert words in shown
    assert (await walk.reviews(task))[0].decisions == (), "seeing is not deciding"
    await walk.desk.confirm("ana")
    assert (await walk.sam.ended(task)).data["final_result"] == "one\nthree"
    await walk.room.until_it_says(card, "Edited and approved by Ana Ruiz", "three")


async def test_1_what_a_person_says_is_never_a_verdict(walk: Walk) -> None:
    task = await walk.submit()
    card = await walk.room.card(TEXT)
    await walk.desk.edit(card, "ana", "approve")
    question = await walk.desk.ask(card, "ben", "approved, yes, ok")
    await walk.desk.answer(question, "sam", "approve")
    (review,) = await walk.reviews(task)
    assert review.is_open
    assert review.decisions == ()


async def test_1_a_question_is_asked_and_answered_and_the_review_stays_open(walk: Walk) -> None:
    task = await walk.submit()
    card = await walk.room.card(TEXT)
    question = await walk.desk.ask(card, "ana", "Which customer?")
    assert walk.room.is_in_thread_of(question, card)
    assert walk.desk.invites(question)
    assert "Which customer?" in await walk.sam.page(f"/tasks/{task}")
    answer = await walk.desk.answer(question, "sam", "Acme, all of it.")
    assert walk.room.is_in_thread_of(answer, card)
    assert "Acme, all of it." in await walk.sam.page(f"/tasks/{task}")
    await walk.other.card(" answers ", "Acme, all of it.")
    (review,) = await walk.reviews(task)
    assert review.is_open
    await walk.room.until_it_says(question, "Which customer?")
    assert not walk.desk.invites(question)
    await walk.room.approve(card, "ana")
    await walk.sam.ended(task)


async def test_1_a_question_by_the_interface_is_asked_in_the_thread(walk: Walk) -> None:
    task = await walk.submit()
    card = await walk.room.card(TEXT)
    ana = await walk.town.browser("ana")
    asked = await ana.post(f"/v1/tasks/{task}/questions", {"text": "Which product?"})
    assert asked.status == 201, asked.text
    question = await walk.room.card(" asks ", "Which product?")
    assert walk.room.is_in_thread_of(question, card)
    told = await walk.sam.post(
        f"/v1/tasks/{task}/answers", {"question_id": asked.json["question_id"], "text": "All."}
    )
    assert told.status < 300, told.text
    assert walk.room.is_in_thread_of(await walk.room.card(" answers ", "All."), card)


# 2. Revision thread


async def test_2_the_next_attempt_replies_with_why_what_and_then_all(walk: Walk) -> None:
    task = await walk.submit("one\ntwo")
    first = await walk.room.card("one")
    await walk.room.reject(first, "ana", "too short")
    second = await walk.room.card("attempt 2 ·")
    assert walk.room.is_in_thread_of(second, first)
    said = walk.desk.says(second)
    parts = ("too short", "Changed since attempt 1:", "+— Attempt 2, revised", "\none\n")
    order = [said.index(words) for words in parts]
    assert order == sorted(order)
    await walk.room.until_it_says(first, "superseded by attempt 2", "Rejected by Ana Ruiz")
    assert "attempt 2 has replaced it" in await walk.room.refusal(first, "Approve", "ben")
    await walk.sam.waits(task, attempt=2)


# 3. Every draft fits


async def test_3_a_long_draft_is_an_excerpt_and_a_file_with_its_digest(walk: Walk) -> None:
    await walk.submit(LONG)
    card = await walk.room.card("1. Line")
    said = walk.desk.says(card)
    digest = hashlib.sha256(LONG.encode()).hexdigest()
    for words in ("characters are missing", "the file below and its page have them all", digest):
        assert words in said
    shared = await walk.desk.file()
    assert walk.room.is_in_thread_of(shared.message, card)
    assert (shared.name, shared.content) == ("attempt-1.txt", LONG)
    assert digest in shared.words
    await walk.room.approve(card, "ana")
    await walk.room.until_it_says(card, "Approved by Ana Ruiz", digest)


async def test_3_what_cannot_be_seen_is_and_nothing_comes_alive(walk: Walk) -> None:
    text = "pay\u202eme <!channel> @everyone https://evil.example"
    await walk.submit(text)
    said = walk.desk.says(await walk.room.card("pay⟨U+202E⟩me"))
    assert "pay⟨U+202E⟩me <!channel> @everyone https://evil.example" in said
    assert hashlib.sha256(text.encode()).hexdigest() in said


# 4. All copies in step


async def test_4_a_decision_here_changes_every_copy(walk: Walk) -> None:
    task = await walk.submit()
    here, there = await walk.room.card(TEXT), await walk.other.card(TEXT)
    await walk.room.approve(here, "ana")
    for room, card in ((walk.room, here), (walk.other, there)):
        await room.until_it_says(card, "Approved by Ana Ruiz")
    assert "Already approved by Ana Ruiz" in await walk.other.refusal(there, "Reject…", "ben")
    assert len((await walk.reviews(task))[0].decisions) == 1


# 5. The queue


async def test_5_what_waits_is_listed_with_links_to_card_and_page(walk: Walk) -> None:
    assert "Nothing waits for you." in await walk.desk.say("ana", "pending")
    task = await walk.submit()
    card = await walk.room.card(TEXT)
    await eventually(lambda: noted(walk, task))
    listed = await walk.desk.say("ana", "pending")
    for words in ("One review waits for you:", TEXT, walk.desk.link_to(card), f"/tasks/{task}", "/inbox"):
        assert words in listed
    await walk.room.approve(card, "ana")
    assert "Nothing waits for you." in await walk.desk.say("ana", "pending")


async def test_5_a_task_is_handed_in_here_and_its_author_hears_how_it_ended(walk: Walk) -> None:
    said = await walk.desk.say("sam", f"submit {TEXT}")
    assert "Handed in: " in said
    card = await walk.room.card(TEXT, "submitted by ")
    await walk.room.approve(card, "ana")
    told = await walk.desk.hears("sam", "was approved")
    for words in (TEXT, "by Ana Ruiz"):
        assert words in told


async def noted(walk: Walk, task: str) -> bool:
    """Whether we know by now where all of its cards stand."""
    return all(one.message for one in await walk.town.house.service.deliveries(TaskId(task)))


# 6. Who am I


async def test_6_whoami_tells_the_id_and_whether_it_is_known(walk: Walk) -> None:
    in_slack = walk.room.name == "slack"
    ids = {who: f'"{SLACK[who]}"' if in_slack else str(TELEGRAM[who]) for who in ("ana", "eve")}
    known = await walk.desk.say("ana", "whoami")
    assert "You are Ana Ruiz: countersign.toml knows this id of yours." in known
    assert f"[people.ana]\n{walk.room.name} = {ids['ana']}" in known
    stranger = await walk.desk.say("eve", "whoami")
    assert "lists nobody under your id" in stranger
    assert f'name = "Your Name"\n{walk.room.name} = {ids["eve"]}' in stranger
    assert "nobody is listed under yours" in await walk.desk.say("eve", "pending")
