"""web/pages/changes.py: an edit, and going on from a checkpoint, by plain forms."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from pocketflow import AsyncFlow

from core.errors import Invalid
from core.events import ReviewRequested, TaskCompleted
from core.model import Verdict
from core.nodes import ReviewNode, review
from core.states import content_of
from tests.core.graphs import Does, Shared, definition, in_a_row
from tests.web.reading import HOSTILE, Seen, posted, seen
from tests.web.web_house import PAGE, House
from tests.world import ANA, BEN, draft_flows, flow_settings, whole_core
from web.pages.forms import edits_of
from web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock

REFUND = {"amount": 120, "to": "Ana", "lines": ["a", "b"]}


async def priced(shared: Shared) -> None:
    shared["processed_output"] = REFUND


async def paid(shared: Shared) -> None:
    shared["final_result"] = shared["processed_output"]


async def asking(shared: Shared) -> None:
    await review({"question": "Is the score right?"})


@pytest.fixture
async def house(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[House]:
    """One with a flow whose draft is JSON, and where Ana is an administrator."""
    refund = in_a_row(Does("price", priced), ReviewNode("legal"), Does("pay", paid))
    price, assess = Does("price", priced), AsyncFlow(start=Does("score", asking))
    assess.name = "assess"
    price >> assess
    interrupted = definition(price, flow_settings("nested", interrupt_after=("price",)))
    flows = {**draft_flows(), "refund": refund, "nested": interrupted}
    async with (
        whole_core(sqlite_database, clock, flows=flows, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        made = House(world, stack)
        await made.start(WebSettings(port=0))
        yield made


async def refused(browser: aiohttp.ClientSession, path: str, status: int, **form: str) -> Seen:
    """The page that says why, and keeps what was typed."""
    async with browser.post(path, data=form, headers=PAGE) as answer:
        assert answer.status == status
        page = Seen(await answer.text())
    assert page.faults == []
    return page


def field(page: Seen, tag: str, name: str) -> dict[str, str | None]:
    (found,) = [attributes for attributes in page.all(tag) if attributes.get("name") == name]
    return found


async def edited(house: House, task_id: str, content: str, **more: str) -> dict[str, str]:
    """The form of an edit of the open review."""
    return {"content": content, "review_id": str((await house.task(task_id)).review), **more}


@pytest.mark.parametrize("back", ["", "inbox"])
async def test_a_text_is_edited(house: House, back: str) -> None:
    task_id = await house.submitted("first\nsecond")
    ana = await house.signed_in("ana")
    draft = (await house.task(task_id)).draft
    assert isinstance(draft, str)
    for path in (f"/tasks/{task_id}", "/inbox"):
        page = await seen(ana, path)
        assert ("edit", f"/tasks/{task_id}/edit") in [
            (form.get("class"), form["action"]) for form in page.all("form")
        ]
        assert draft in page.typed
        assert "Approve with my changes" in page.text
    # As browsers send it.
    form = await edited(house, task_id, "mine\r\n <b>now</b>", comment=" Better. ", back=back)
    assert await posted(ana, f"/tasks/{task_id}/edit", **form) == ("/inbox" if back else f"/tasks/{task_id}")
    done = await house.world.end(task_id)
    assert (done.outcome, done.final_result) == ("approved", "mine\n <b>now</b>")
    page = await seen(await house.signed_in("sam"), f"/tasks/{task_id}")
    told = " ".join(page.text.split())
    assert "Edited by Ana Ruiz" in told
    assert "Better." in told
    assert "+ <b>now</b>" in page.text
    assert f"-{draft.splitlines()[0]}" in page.text
    assert page.all("ins")


async def test_json_is_edited_as_json(house: House) -> None:
    task_id = await house.submitted("x", flow="refund")
    ana = await house.signed_in("ana")
    page = await seen(ana, f"/tasks/{task_id}")
    assert json.dumps(REFUND, indent=2) in page.typed
    form = await edited(house, task_id, json.dumps({**REFUND, "amount": 90}, indent=4).replace("\n", "\r\n"))
    await posted(ana, f"/tasks/{task_id}/edit", **form)
    assert (await house.world.end(task_id)).final_result == {**REFUND, "amount": 90}
    page = await seen(ana, f"/tasks/{task_id}")
    assert '-  "amount": 120,' in page.text
    assert '+  "amount": 90,' in page.text


async def test_where_several_must_agree_the_button_says_propose(house: House) -> None:
    task_id = await house.submitted("x", flow="two")
    ana = await house.signed_in("ana")
    page = await seen(ana, f"/tasks/{task_id}")
    assert "Propose my changes" in page.text
    assert "Approve with my changes" not in page.text
    await posted(ana, f"/tasks/{task_id}/edit", **await edited(house, task_id, "mine"))
    await house.open_review(task_id, 2)
    page = await seen(await house.signed_in("ben"), f"/tasks/{task_id}")
    assert "mine" in page.typed
    assert "edited" in page.text


WRONG_JSON = [
    ("{nonsense", "is not: key must be a string at line 1 column 2."),
    ("", "The edit leaves nothing of the draft; reject it instead."),
    (" \n", "The edit leaves nothing of the draft; reject it instead."),
    ("[" * 5000, "is not: recursion limit exceeded"),
    ("[" * 100 + "]" * 100, "levels deep"),
    ('{"amount": NaN, "to": "Ana", "lines": []}', "is not: "),
    ('{"amount": ' + "9" * 5000 + ', "to": "Ana", "lines": []}', "."),
    ('{"amount": "120", "to": "Ana", "lines": []}', "has to be a number"),
    ('{"amount": 1, "lines": []}', "has lost"),
    ('{"amount": 1, "to": "\\ud800", "lines": []}', "is not: "),
    ('{"amount": 1, "to": "a\\u0000b", "lines": []}', "NUL"),
    ("null", "The edit leaves nothing of the draft; reject it instead."),
    (" null\n", "The edit leaves nothing of the draft; reject it instead."),
    ('"text"', "has to be an object"),
    (json.dumps(REFUND), "This is the draft as it is"),
    ("</textarea><script>alert(1)</script>\u202e\0", "is not: "),
]


@pytest.mark.parametrize(("typed", "said"), WRONG_JSON, ids=lambda value: str(value)[:40])
async def test_what_is_no_such_json_is_told_and_kept(house: House, typed: str, said: str) -> None:
    task_id = await house.submitted("x", flow="refund")
    form = await edited(house, task_id, typed, comment="why <i>not</i>")
    page = await refused(await house.signed_in("ana"), f"/tasks/{task_id}/edit", 422, **form)
    assert said in page.text
    assert typed.replace("\0", "\ufffd") in page.typed
    assert "why <i>not</i>" in page.typed
    assert "Approve with my changes" in page.text
    assert (await house.task(task_id)).status == "waiting_for_review"


@pytest.mark.parametrize("typed", ["null", " null ", ""])
def test_a_draft_that_is_null_stands_as_it_is(typed: str) -> None:
    with pytest.raises(Invalid, match="This is the draft as it is"):
        content_of(typed, None)


async def test_an_edit_that_comes_too_late_is_told_and_kept(house: House) -> None:
    task_id = await house.submitted("x")
    form = await edited(house, task_id, "What I <b>wrote</b>")
    await house.world.reject(await house.open_review(task_id), person=BEN)
    await house.open_review(task_id, 2)
    page = await refused(await house.signed_in("ana"), f"/tasks/{task_id}/edit", 412, **form)
    assert "This was attempt 1; attempt 2 has replaced it." in page.text
    assert "What I <b>wrote</b>" in page.typed
    assert "with my changes" not in page.text
    assert {"href": f"/tasks/{task_id}"} in page.all("a")


async def test_who_may_not_decide_may_not_edit(house: House) -> None:
    task_id = await house.submitted("x")
    for person in ("sam", "eve"):
        browser = await house.signed_in(person)
        assert "Edit…" not in (await seen(browser, f"/tasks/{task_id}")).text
        form = await edited(house, task_id, "mine")
        page = await refused(browser, f"/tasks/{task_id}/edit", 403, **form)
        assert "mine" in page.typed
    assert (await house.task(task_id)).status == "waiting_for_review"


async def test_a_review_of_another_task_is_not_edited_through_this_one(house: House) -> None:
    mine, other = await house.submitted("x"), await house.submitted("y")
    page = await refused(
        await house.signed_in("ana"), f"/tasks/{mine}/edit", 404, **await edited(house, other, "z")
    )
    assert "no such review" in page.text


@pytest.mark.parametrize("draft", ["one\r\ntwo", "one\ntwo", "\n\nleading", "one\rtwo"])
async def test_line_ends_alone_are_no_change(house: House, draft: str) -> None:
    async def drafted(shared: Shared) -> None:
        shared["processed_output"] = draft

    house.world.flows["refund"].graph.places["price"].node.work = drafted
    task_id = await house.submitted("x", flow="refund")
    ana = await house.signed_in("ana")
    sent = draft.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    page = await refused(ana, f"/tasks/{task_id}/edit", 422, **await edited(house, task_id, sent))
    assert "This is the draft as it is" in page.text
    await posted(ana, f"/tasks/{task_id}/edit", **await edited(house, task_id, sent + "\r\nthree"))
    ending = "\r\n" if "\r\n" in draft else "\n"
    (review,) = await house.world.service.reviews(task_id)
    assert review.decisions[0].content == sent.replace("\r\n", ending) + ending + "three"


async def test_a_draft_too_long_for_a_form_has_none(house: House) -> None:
    task_id = await house.submitted("\u00e4" * 200_000)
    page = await seen(await house.signed_in("ana"), f"/tasks/{task_id}")
    assert "too long to be edited here" in page.text
    assert page.typed.strip() == ""


async def test_a_decision_s_edit_is_shown_where_it_was_too_long_to_compare(house: House) -> None:
    task_id = await house.submitted("x")
    await house.world.service.decide(
        await house.open_review(task_id), ANA.id, Verdict.EDIT, content="line\n" * 6000, via="api"
    )
    await house.world.end(task_id)
    page = await seen(await house.signed_in("ana"), f"/tasks/{task_id}")
    assert "Edited text" in page.text


# Checkpoints


async def done(house: House) -> str:
    task_id = await house.submitted("x", flow="refund")
    await house.world.approve(await house.open_review(task_id))
    await house.world.end(task_id)
    return task_id


async def test_the_task_s_page_lists_its_checkpoints(house: House) -> None:
    task_id = await done(house)
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    told = " ".join(page.text.split())
    for line in ("0 · as submitted", "1 · price", "2 · legal → approved", "3 · pay", "Approved by Ana Ruiz."):
        assert line in told
    assert '"amount": 120' in page.text
    assert "resume" not in page.text
    assert {"href": f"/tasks/{task_id}/checkpoints/2"} in page.all("a")
    assert "resumed" in (await seen(await house.signed_in("ana"), f"/tasks/{task_id}")).text


async def test_a_checkpoint_has_a_page_that_anybody_may_read(house: House) -> None:
    task_id = await done(house)
    eve, ana = await house.signed_in("eve"), await house.signed_in("ana")
    for number in range(4):
        page = await seen(eve, f"/tasks/{task_id}/checkpoints/{number}")
        assert task_id in page.text
        assert page.buttons() == set()
        page = await seen(ana, f"/tasks/{task_id}/checkpoints/{number}")
        assert page.buttons() == {"here", "fork"}
        assert {one["value"] for one in page.all("option")} == {"", "price", "legal", "pay"}
        assert ("required" in field(page, "select", "node")) == (number == 3)
    await seen(eve, f"/tasks/{task_id}/checkpoints/4", 404)
    await seen(eve, f"/tasks/{task_id}/checkpoints/x", 404)


async def test_an_administrator_resumes_with_an_edited_state(house: House) -> None:
    task_id = await done(house)
    ana = await house.signed_in("ana")
    state: dict[str, Any] = dict((await house.world.service.checkpoints.one(task_id, 1)).state)
    state["processed_output"] = {**REFUND, "amount": 80}
    form = {"checkpoint": "1", "state": json.dumps(state, indent=2), "node": "pay", "how": "here"}
    assert await posted(ana, f"/tasks/{task_id}/resume", **form) == f"/tasks/{task_id}"
    assert (await house.world.service.checkpoints.of_task(task_id))[-1].number >= 4
    page = await seen(ana, f"/tasks/{task_id}")
    told = " ".join(page.text.split())
    assert "Resumed from checkpoint 1" in told
    assert "changed processed_output" in told
    assert "superseded" in told


def test_true_is_not_one_and_what_stays_is_no_edit() -> None:
    """Python takes them for equal, a flow need not."""
    typed = '{"is": 1, "was": true, "same": [1, {"a": 2}], "new": null}'
    wanted: dict[str, Json] = {"is": 1, "was": True, "new": None}
    found = edits_of(typed, {"is": True, "was": 1, "same": [1, {"a": 2}]})
    assert json.dumps(found) == json.dumps(wanted)


async def test_a_fork_is_a_new_task_whose_page_links_to_its_parent(house: House) -> None:
    task_id = await done(house)
    ana = await house.signed_in("ana")
    form = {"checkpoint": "1", "state": "", "node": "", "how": "fork"}
    path = await posted(ana, f"/tasks/{task_id}/resume", **form)
    fork = path.removeprefix("/tasks/")
    assert fork != task_id
    await house.open_review(fork)
    page = await seen(ana, path)
    assert {"href": f"/tasks/{task_id}"} in page.all("a")
    assert {"href": f"/tasks/{task_id}/checkpoints/1"} in page.all("a")
    assert "Forked from checkpoint 1" in " ".join(page.text.split())


WRONG_FORMS: list[tuple[dict[str, str], int, str]] = [
    ({"state": "{nonsense"}, 422, "is not: key must be"),
    ({"state": "[]"}, 422, "has to be a JSON object"),
    ({"state": "{}"}, 422, "but it can be null; missing: 'task_id', 'task_input', 'processed_output'"),
    ({"state": "[" * 5000}, 422, "recursion limit"),
    ({"node": "nowhere<b>"}, 422, "has no node 'nowhere<b>'"),
    ({"node": "x" * 2000}, 422, "node"),
    ({"checkpoint": "3"}, 422, "name the `node`"),
    ({"checkpoint": "9"}, 404, "no checkpoint 9"),
    ({"checkpoint": "-1"}, 422, "checkpoint"),
    ({"how": "maybe"}, 422, "'here' or 'fork'"),
]


@pytest.mark.parametrize(("wrong", "status", "said"), WRONG_FORMS, ids=lambda value: str(value)[:40])
async def test_what_cannot_be_resumed_is_told_and_kept(
    house: House, wrong: dict[str, str], status: int, said: str
) -> None:
    task_id = await done(house)
    before = await house.world.history(task_id)
    form = {"checkpoint": "1", "state": "", "node": "", "how": "here", **wrong}
    page = await refused(await house.signed_in("ana"), f"/tasks/{task_id}/resume", status, **form)
    assert said in page.text
    if "state" in wrong:
        assert wrong["state"] in page.typed
    assert await house.world.history(task_id) == before


async def test_only_administrators_resume(house: House) -> None:
    task_id = await done(house)
    page = await refused(await house.signed_in("ben"), f"/tasks/{task_id}/resume", 403, checkpoint="1")
    assert "[admins]" in page.text


async def test_a_script_is_refused_with_a_problem(house: House) -> None:
    task_id = await done(house)
    async with house.http.post(
        f"/tasks/{task_id}/resume", data={"checkpoint": "1"}, headers=await house.bearer("ben")
    ) as answer:
        assert answer.status == 403
        assert answer.content_type == "application/problem+json"


async def test_many_checkpoints_are_listed_in_part(house: House) -> None:
    task_id = await done(house)
    for number in range(2, 20):
        await house.world.service.checkpoints.resume(task_id, ANA.id, checkpoint=2)
        await house.world.event(task_id, TaskCompleted, number)
    page = await seen(await house.signed_in("ana"), f"/tasks/{task_id}")
    assert "0 · as submitted" in " ".join(page.text.split())
    assert page.text.count("Look closer") == 30


# The picture


async def test_the_page_draws_the_flow_and_says_it_in_words(house: House) -> None:
    task_id = await house.submitted("x", flow="refund")
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    (picture,) = page.all("svg")
    assert picture["role"] == "img"
    assert "Path taken: price. Now at: legal." in page.text
    lit = [one for _, one in page.elements if "is-current" in (one.get("class") or "")]
    taken = [one for _, one in page.elements if "is-taken" in (one.get("class") or "")]
    assert (len(lit), len(taken)) == (1, 1)
    await house.world.approve(await house.open_review(task_id))
    await house.world.end(task_id)
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    assert "Path taken: price → legal → pay." in page.text
    assert not [one for _, one in page.elements if "is-current" in (one.get("class") or "")]


async def test_a_review_after_a_node_is_no_second_visit_and_one_inside_a_flow_is_lit_there(
    house: House,
) -> None:
    task_id = await house.submitted("x", flow="nested")
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    assert "Path taken: price. Now at: price." in page.text
    await house.world.approve(await house.open_review(task_id))
    await house.world.event(task_id, ReviewRequested, 2)
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    assert "Path taken: price. Now at: assess/score." in page.text


async def test_pages_say_why_a_review_is_asked(house: House) -> None:
    task_id = await house.submitted("x", flow="nested")
    ana = await house.signed_in("ana")
    for path in (f"/tasks/{task_id}", "/inbox"):
        assert "after price" in (await seen(ana, path)).text
    await house.world.approve(await house.open_review(task_id))
    await house.world.event(task_id, ReviewRequested, 2)
    for path in (f"/tasks/{task_id}", "/inbox"):
        assert "asked by assess/score" in (await seen(ana, path)).text


async def test_pages_name_the_flow_where_it_is_not_the_usual_one(house: House) -> None:
    task_id = await house.submitted("x", flow="refund")
    await house.submitted("y")
    ana = await house.signed_in("ana")
    assert "Flow refund" in " ".join((await seen(ana, f"/tasks/{task_id}")).text.split())
    inbox = (await seen(ana, "/inbox")).text
    assert inbox.count("flow refund") == 1
    assert "flow draft" not in inbox


async def test_a_branch_that_is_taken_up_again_keeps_its_path(house: House) -> None:
    task_id = await done(house)
    await house.world.service.checkpoints.resume(task_id, ANA.id, checkpoint=1)
    await house.world.event(task_id, ReviewRequested, 2)
    await house.world.service.checkpoints.resume(task_id, ANA.id, checkpoint=2)
    await house.world.event(task_id, TaskCompleted, 2)
    page = await seen(await house.signed_in("eve"), f"/tasks/{task_id}")
    assert "Path taken: price → legal → pay." in page.text


@pytest.mark.parametrize("text", [text[:60] for text in HOSTILE if text.isprintable() and "/" not in text])
async def test_names_and_states_are_shown_as_text(
    sqlite_database: Database, clock: StoppedClock, text: str
) -> None:
    async def work(shared: Shared) -> str:
        shared[text] = text
        shared["processed_output"] = {text: [text]}
        return text

    odd = Does(text, work)
    review = ReviewNode("review")
    odd.next(review, text)
    flows = {"odd": in_a_row(odd)}
    async with (
        whole_core(sqlite_database, clock, flows=flows, admins={ANA.id}) as world,
        AsyncExitStack() as stack,
    ):
        house = House(world, stack)
        await house.start(WebSettings(port=0))
        task_id = await house.submitted(text, flow="odd")
        ana = await house.signed_in("ana")
        form = await edited(house, task_id, json.dumps({text: [text, text]}))
        await posted(ana, f"/tasks/{task_id}/edit", **form)
        await house.world.end(task_id)
        for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/checkpoints/1"):
            page = await seen(ana, path)
            assert {"b", "script"}.isdisjoint({tag for tag, one in page.elements if "src" not in one})
            assert text in page.text
