"""web/pages: what people see, and that it works without scripts."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.errors import StoreUnavailable, Undeliverable, Unreachable
from core.model import LOCAL, PersonId, Submission, Verdict
from tests.web.reading import HOSTILE, Seen, posted, seen
from tests.web.web_house import PAGE, House
from tests.world import ANA, DESK, HALL, PaperChannel, draft_flows, eventually, policies, whole_core
from web.auth import sign_in_link
from web.pages.views import LONGEST_INBOX, MANY
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.flow import FlowDefinition
    from core.model import Delivery, Policy, ReviewId
    from core.store.database import Database
    from tests.web.policy_house import PolicyHouse
    from tests.web.web_house import Houses
    from tests.world import StoppedClock


async def test_everything_works_without_scripts(house: House) -> None:
    sam, ana = await house.signed_in("sam"), await house.signed_in("ana")
    form = await seen(sam, "/")
    assert {"method": "post", "action": "/submit", "class": "card submit"} in form.all("form")
    path = await posted(sam, "/submit", data="Announce the new opening hours")
    task_id = path.removeprefix("/tasks/")
    await house.open_review(task_id)

    page = await seen(sam, path)
    assert page.buttons() == set()
    assert "You are not among" in page.text or "own" in page.text
    inbox = await seen(ana, "/inbox")
    assert "Announce the new opening hours" in inbox.text
    assert inbox.buttons() == {"approved", "rejected"}

    review = await house.open_review(task_id)
    rejected = {
        "feedback": "rejected",
        "comment": "Mention the holiday.",
        "back": "inbox",
        "review_id": review,
    }
    assert await posted(ana, f"/feedback/{task_id}", **rejected) == "/inbox"
    await house.open_review(task_id, 2)
    page = await seen(ana, path)
    assert "superseded by attempt 2" in page.text
    assert "Rejected by Ana Ruiz" in " ".join(page.text.split())
    assert "Mention the holiday." in page.text
    assert await posted(ana, f"/feedback/{task_id}", feedback="approved", comment="") == path
    await house.world.end(task_id)
    page = await seen(sam, path)
    assert "Final result" in page.text
    assert "Approved by Ana Ruiz" in " ".join(page.text.split())
    assert page.buttons() == set()
    assert "Nothing waits for you." in (await seen(ana, "/inbox")).text
    assert "completed" in (await seen(sam, "/")).text


async def test_an_empty_inbox_says_what_waits_for_somebody_else(house: House) -> None:
    sam, ana = await house.signed_in("sam"), await house.signed_in("ana")
    assert "somebody else" not in (await seen(sam, "/inbox")).text
    for number, sentence in [
        (1, "1 task of yours waits for somebody else."),
        (2, "2 tasks of yours wait for somebody else."),
    ]:
        task_id = await house.submitted(f"Number {number}")
        assert sentence in (await seen(sam, "/inbox")).text
        assert "somebody else" not in (await seen(ana, "/inbox")).text
    await house.world.approve(await house.open_review(task_id))
    await house.world.end(task_id)
    assert "1 task of yours waits" in (await seen(sam, "/inbox")).text
    for number in range(3, 3 + MANY):
        await house.submitted(f"Number {number}")
    assert f"More than {MANY} tasks of yours wait for somebody else." in (await seen(sam, "/inbox")).text


async def test_a_stale_form_is_refused_on_a_page_that_says_why(house: House) -> None:
    task_id = await house.submitted()
    review = await house.open_review(task_id)
    await house.world.reject(review)
    await house.open_review(task_id, 2)
    ana = await house.signed_in("ana")
    form = {"feedback": "approved", "review_id": review}
    async with ana.post(f"/feedback/{task_id}", data=form, headers=PAGE) as answer:
        assert answer.status == 412
        page = Seen(await answer.text())
    assert page.faults == []
    assert "This was attempt 1; attempt 2 has replaced it." in page.text
    assert (await house.task(task_id)).attempt == 2


async def test_only_those_who_may_see_the_buttons(house: House) -> None:
    task_id = await house.submitted(flow="two")
    for person, may in [("ana", True), ("ben", True), ("sam", False), ("eve", False)]:
        page = await seen(await house.signed_in(person), f"/tasks/{task_id}")
        assert page.buttons() == ({"approved", "rejected"} if may else set())
    await house.world.approve(await house.open_review(task_id))
    page = await seen(await house.signed_in("ana"), f"/tasks/{task_id}")
    assert page.buttons() == {"rejected", "approved"}, "what she has said can be changed, or its reason"
    assert "Approved by Ana Ruiz" in " ".join(page.text.split())


async def test_the_submitter_can_cancel(house: House) -> None:
    task_id = await house.submitted()
    sam, ana = await house.signed_in("sam"), await house.signed_in("ana")
    assert "Cancel this task" not in (await seen(ana, f"/tasks/{task_id}")).text
    assert "Cancel this task" in (await seen(sam, f"/tasks/{task_id}")).text
    assert await posted(sam, f"/v1/tasks/{task_id}/cancel") == f"/tasks/{task_id}"
    for browser in (sam, ana):
        page = await seen(browser, f"/tasks/{task_id}")
        assert "This task was called off by Sam Lee · " in " ".join(page.text.split())


async def test_an_administrator_can_cancel_what_nobody_here_submitted(house: House) -> None:
    task_id = await house.submitted()
    ana, eve = await house.signed_in("ana"), await house.signed_in("eve")
    async with ana.post(f"/v1/tasks/{task_id}/cancel") as answer:
        assert answer.status == 403
    house.service.appoint({ANA.id})
    assert "Cancel this task" not in (await seen(eve, f"/tasks/{task_id}")).text
    assert "Cancel this task" in (await seen(ana, f"/tasks/{task_id}")).text
    assert await posted(ana, f"/v1/tasks/{task_id}/cancel") == f"/tasks/{task_id}"
    page = await seen(eve, f"/tasks/{task_id}")
    assert "This task was called off by Ana Ruiz · " in " ".join(page.text.split())


async def test_a_task_that_is_called_off_at_the_machine_says_so(idle_house: House) -> None:
    task = await idle_house.world.submit()
    await idle_house.service.cancel(task.id, LOCAL)
    page = await seen(await idle_house.signed_in("sam"), f"/tasks/{task.id}")
    assert "This task was called off by local (open) · " in " ".join(page.text.split())


async def test_a_fork_is_shown_on_its_parents_page(house: House) -> None:
    parent = await house.submitted()
    browser = await house.signed_in("sam")
    assert "Forks" not in (await seen(browser, f"/tasks/{parent}")).text
    fork = await house.service.checkpoints.resume(parent, LOCAL, checkpoint=1, fork=True)
    await house.open_review(fork.id)
    page = await seen(browser, f"/tasks/{parent}")
    assert "From checkpoint 1, by local (open)" in " ".join(page.text.split())
    assert f"/tasks/{fork.id}" in [link.get("href") for link in page.all("a")]
    assert "Forks" not in (await seen(browser, f"/tasks/{fork.id}")).text


async def test_a_pending_task_is_shown_at_work(idle_house: House) -> None:
    task = await idle_house.world.submit()
    page = await seen(await idle_house.signed_in("sam"), f"/tasks/{task.id}")
    assert "A draft is being made" in page.text


async def test_a_failed_task_says_why(sqlite_database: Database, clock: StoppedClock) -> None:
    flows = draft_flows(max_attempts=1)
    async with whole_core(sqlite_database, clock, flows=flows) as world, AsyncExitStack() as stack:
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task_id = await house.submitted()
        await world.reject(await house.open_review(task_id), comment="no")
        failed = await world.end(task_id)
        page = await seen(await house.signed_in("sam"), f"/tasks/{task_id}")
    assert failed.error
    assert failed.error in page.text


async def test_what_could_not_be_delivered_is_said(sqlite_database: Database, clock: StoppedClock) -> None:
    paper = PaperChannel()
    paper.faults = [Undeliverable("The channel is archived."), Undeliverable("Nobody <b>lives</b> there.")]
    flows = draft_flows(DESK, HALL)
    async with (
        whole_core(sqlite_database, clock, flows=flows, channels=[paper]) as world,
        AsyncExitStack() as stack,
    ):
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task_id = await house.submitted()
        await paper.called(2)
        while len([one for one in await world.service.deliveries(task_id) if one.error]) < 2:
            pass
        page = await seen(await house.signed_in("sam"), f"/tasks/{task_id}")
    for words in ("Not delivered to paper desk: ", "Not delivered to paper hall: "):
        assert words in page.text
    for words in ("The channel is archived.", "Nobody <b>lives</b> there."):  # whichever was tried first
        assert words in page.text


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_people_write_is_shown_as_text(house: House, text: str) -> None:
    task, _ = await house.world.service.submit(
        Submission(input=text, submitter=PersonId("sam"), title=text, on_behalf_of=text)
    )
    review = await house.open_review(task.id)
    await house.world.service.decide(review, PersonId("ana"), Verdict.REJECT, comment=text, via="web")
    await house.open_review(task.id, 2)
    plain = text.replace("\r\n", "\n")
    for person, path in [("ana", "/inbox"), ("ana", f"/tasks/{task.id}"), ("sam", "/")]:
        page = await seen(await house.signed_in(person), path)
        assert {tag for tag, _ in page.elements}.isdisjoint({"b"})
        assert all(picture["class"] == "flow-picture" for picture in page.all("svg"))
        assert all(image["src"] and image["src"].startswith("/static/") for image in page.all("img"))
        if path != "/":
            assert plain in page.text


async def test_hidden_characters_are_seen(house: House) -> None:
    task_id = await house.submitted("pay 100\u202e00\u202c EUR\u200b \u2066x\u2069 \x07")
    ana = await house.signed_in("ana")
    for path in (f"/tasks/{task_id}", "/inbox"):
        page = await seen(ana, path)
        for code in ("U+202E", "U+202C", "U+200B", "U+2066", "U+0007"):
            assert code in page.text
        assert not {"\u202e", "\u200b", "\u2066", "\x07"} & set(page.text)


async def test_problems_are_pages_for_browsers(house: House) -> None:
    ana = await house.signed_in("ana")
    page = await seen(ana, "/nothing", 404)
    assert "There is nothing at this address." in page.text
    await seen(ana, f"/tasks/{'0' * 32}", 404)
    house.service.fault = StoreUnavailable("The disk is full.")
    page = await seen(ana, f"/tasks/{'0' * 32}", 503)
    assert "The disk is full." in page.text


async def test_a_banner_and_links_stand_on_every_page(houses: Houses) -> None:
    house = await houses(WebSettings(port=0, auth="open"), banner="A <demo>.", links={"Chats": "/demo"})
    page = await seen(house.http, "/")
    assert "A <demo>." in page.text
    assert {"href": "/demo"} in page.all("a")
    assert "local (open)" in page.text
    assert "Sign out" not in page.text


async def test_a_tasks_page_links_to_its_card_where_there_is_one(houses: Houses) -> None:
    asked: list[tuple[str, list[str]]] = []

    def card_links(review: ReviewId, deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
        asked.append((review, [one.recipient.address for one in deliveries]))
        return [("Slack", "https://example.com/?a=1&b=<2>")]

    house = await houses(WebSettings(port=0), card_links=card_links)
    task, _ = await house.world.service.submit(Submission(input="x", submitter=PersonId("sam")))
    review = await house.open_review(task.id)
    page = await seen(await house.signed_in("sam"), f"/tasks/{task.id}")
    assert {"href": "https://example.com/?a=1&b=<2>", "rel": "noreferrer"} in page.all("a")
    assert asked == [(review, [])]


async def test_a_page_says_while_a_card_is_on_its_way(sqlite_database: Database, clock: StoppedClock) -> None:
    paper = PaperChannel()
    paper.faults = [Unreachable("The line is cut.")]
    async with (
        whole_core(sqlite_database, clock, flows=draft_flows(DESK), channels=[paper]) as world,
        AsyncExitStack() as stack,
    ):
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task_id = await house.submitted()
        sam = await house.signed_in("sam")

        async def is_on_its_way() -> bool:
            page = await seen(sam, f"/tasks/{task_id}")
            return any("data-on-its-way" in one for one in page.all("div"))

        async def is_tried() -> bool:
            return any(one.error for one in await world.service.deliveries(task_id))

        async def is_posted() -> bool:
            return any(one.message for one in await world.service.deliveries(task_id))

        await eventually(is_tried)
        assert await is_on_its_way()
        assert "The line is cut." in (await seen(sam, f"/tasks/{task_id}")).text
        clock.advance(minutes=1)
        await eventually(is_posted)
        assert not await is_on_its_way()


async def test_a_form_that_is_not_filled_in_is_refused(house: House) -> None:
    sam = await house.signed_in("sam")
    async with sam.post("/submit", data={"data": " "}, headers=PAGE) as answer:
        assert answer.status == 422
        assert "white space" in await answer.text()


async def test_the_form_offers_the_flows_of_the_file_and_the_policies_that_they_offer(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    def named(*names: str, offers: tuple[str, ...] = ()) -> dict[str, FlowDefinition]:
        return {
            name: replace(flow, settings=replace(flow.settings, is_named=name in names, policies=offers))
            for name, flow in draft_flows().items()
        }

    async def form(flows: dict[str, FlowDefinition], in_force: dict[str, Policy]) -> Seen:
        async with (
            whole_core(sqlite_database, clock, flows=flows, in_force=in_force) as world,
            AsyncExitStack() as stack,
        ):
            house = House(world, stack)
            await house.start(WebSettings(port=0))
            return await seen(await house.signed_in("sam"), "/")

    page = await form(named("draft"), {})
    assert not page.all("select"), "there is nothing to choose"
    page = await form(named("two", offers=("three",)), {})
    assert [one["name"] for one in page.all("select")] == ["flow", "policy"]
    assert [one["value"] for one in page.all("option")] == ["draft", "two", "", "three", "three"]
    nobody = replace(policies()["default"], reviewers=())
    page = await form(named("two"), {"default": nobody})
    assert [one["value"] for one in page.all("option")] == ["two"], "a draft of nobody's would wait for ever"
    page = await form(named("two"), {"default": replace(nobody, outside=("legal",))})
    assert [one["value"] for one in page.all("option")] == ["draft", "two"], "who is in that group may decide"


async def test_recent_tasks_say_how_they_ended(office: PolicyHouse) -> None:
    late = await office.submitted(flow="staged")
    await office.later(8)
    await office.world.end(late)
    page = await seen(await office.signed_in("sam"), "/")
    assert "expired" in page.text
    assert "completed" not in page.text


async def test_recent_tasks_are_ones_own(house: House) -> None:
    await house.submitted("Sam's own")
    for person, is_theirs in (("sam", True), ("ana", False)):
        page = await seen(await house.signed_in(person), "/")
        assert ("Sam's own" in page.text) == is_theirs


async def test_a_form_that_arrives_twice_makes_one_task(house: House) -> None:
    """By a second press while the first answer is on its way. Other words or choices are another task."""
    sam = await house.signed_in("sam")
    async with sam.get("/", headers=PAGE) as page:
        once = re.search(r'name="once" value="(\w+)"', await page.text())
    async with sam.get("/", headers=PAGE) as page:
        again = re.search(r'name="once" value="(\w+)"', await page.text())
    assert once
    assert again
    paths = [
        await posted(sam, "/submit", data=data, once=mark)
        for data, mark in [("One", once[1]), ("One", once[1]), ("Two", once[1]), ("One", again[1])]
    ]
    paths += [
        await posted(sam, "/submit", data="One", once=once[1], flow="two", **choice)
        for choice in ({}, {"policy": "two"})
    ]
    assert paths[0] == paths[1]
    assert len(set(paths)) == 5


async def test_a_refused_form_s_page_keeps_what_was_typed_and_leads_back(house: House) -> None:
    task_id = await house.submitted()
    await house.world.approve(await house.open_review(task_id))
    ana = await house.signed_in("ana")
    late = {"feedback": "rejected", "comment": "Too <late>", "review_id": "0" * 32}
    async with ana.post(f"/feedback/{task_id}", data=late, headers=PAGE) as answer:
        text = await answer.text()
    assert answer.status in {409, 412}
    assert "\nToo &lt;late&gt;</textarea>" in text
    assert f'href="/tasks/{task_id}">Back to the task' in text
    ours = {**PAGE, "HX-Request": "true"}
    async with ana.post(f"/feedback/{task_id}", data=late, headers=ours) as answer:
        assert "<textarea" not in await answer.text()
    async with house.http.post("/submit", data={"data": "A long task"}, headers=PAGE) as answer:
        text = await answer.text()
    assert answer.status == 401
    assert "\nA long task</textarea>" in text


@pytest.mark.parametrize("foreign", [{"Sec-Fetch-Site": "cross-site"}, {"Host": "elsewhere.example"}])
async def test_what_another_site_s_page_sends_stands_on_none_of_ours(
    house: House, foreign: dict[str, str]
) -> None:
    ana = await house.signed_in("ana")
    async with ana.post("/submit", data={"data": "Call this number"}, headers=PAGE | foreign) as answer:
        text = await answer.text()
    assert answer.status in {403, 421}
    assert "<h1" in text
    assert "Call this number" not in text


async def test_whoever_pastes_the_whole_link_is_signed_in(house: House) -> None:
    link = sign_in_link(house.url, await house.token("ana"))
    data = {"token": f" {link}\n"}
    async with house.http.post("/sign-in", data=data, headers=PAGE, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_wrong_token_is_refused_by_the_form_that_it_was_pasted_into(house: House) -> None:
    async with house.http.post("/sign-in", data={"token": "cs_wrong"}, headers=PAGE) as answer:
        text = await answer.text()
    assert answer.status == 401
    assert "not valid, or was revoked" in text
    assert 'action="/sign-in"' in text
    assert "cs_wrong" not in text


async def test_an_inbox_that_holds_more_than_it_shows_says_so(house: House) -> None:
    for number in range(LONGEST_INBOX):
        await house.submitted(f"Task {number}")
    ana = await house.signed_in("ana")
    page = await seen(ana, "/inbox")
    assert f"Inbox {LONGEST_INBOX}" in page.text
    assert "oldest are shown" not in page.text
    await house.submitted("One more")
    page = await seen(ana, "/inbox")
    assert f"Inbox {LONGEST_INBOX}+" in page.text
    assert f"The {LONGEST_INBOX} oldest are shown; the others come as you decide." in page.text
    assert "One more" not in page.text


@pytest.mark.parametrize("deed", ["edit", "withdraw", "claim", "snooze", "ask", "answer", "resume"])
async def test_the_address_of_a_form_s_answer_leads_back_to_the_task(house: House, deed: str) -> None:
    """Enter in the address line, or a session restored, asks for it again without the form."""
    task_id = await house.submitted()
    ana = await house.signed_in("ana")
    async with ana.get(f"/tasks/{task_id}/{deed}", headers=PAGE) as answer:
        text = await answer.text()
    assert answer.status == 405
    assert f'href="/tasks/{task_id}">Back to the task' in text
