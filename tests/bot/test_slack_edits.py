"""Edit in Slack: the draft in a dialog, the difference, and only then a decision."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.edits import consequence
from bot.simulator.faults import Fault
from bot.simulator.slack import limits
from bot.slack import desk
from bot.slack.desk import SLOW
from bot.views import EDIT_BLOCK, TEXT, WHY_BLOCK, answer_view, edit_view, fits, question_view
from core.model import Outcome, Party, Policy, Status, Submission, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions
from tests.bot.slack_house import SlackHouse, simulated, slack_house, text_of, the_view
from tests.bot.slack_texts import ANY_TEXT
from tests.world import ANA, SAM, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.simulator.slack.model import View
    from core.model import ReviewRequest, Task
    from core.store.database import Database

HOSTILE = "<!channel> <@U01EVE> *bold* <https://evil.example|here> \u202edlrow\u200b & 😀"


clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def the_draft(there: SlackHouse, task: Task) -> str:
    return str((await there.house.review(task)).draft)


def said_in(view: View) -> str:
    return json.dumps(view.body, ensure_ascii=False)


def typed_in(view: View, block: str = EDIT_BLOCK) -> str | None:
    (found,) = (one["element"] for one in view.blocks if one.get("block_id") == block)
    return str(found["initial_value"]) if "initial_value" in found else None


async def editing(there: SlackHouse, flow: str = "draft", text: str = "hello world") -> Task:
    """A task whose draft Ana has before her in a dialog."""
    task = await there.house.submit(text, flow=flow)
    await there.slack.press(await there.card(), "Edit…", user="U01ANA")
    return task


async def test_the_draft_is_changed_the_difference_shown_and_then_confirmed(there: SlackHouse) -> None:
    task = await editing(there)
    draft = await the_draft(there, task)
    assert typed_in(the_view(there)) == draft
    answer = await there.slack.submit(the_view(there), {EDIT_BLOCK: f"{draft}\nAnd more."}, user="U01ANA")
    assert answer.ok
    shown = the_view(there)
    assert "+And more." in said_in(shown)
    assert "@@" not in said_in(shown)
    assert shown.body["submit"]["text"] == "Confirm"
    assert "Nothing is decided until you confirm." in said_in(shown)
    assert await decisions(there, task) == (), "seeing is not deciding"
    await there.slack.submit(shown, {WHY_BLOCK: "It was short."}, user="U01ANA")
    assert there.slack.open_views("U01ANA") == ()
    (made,) = await decisions(there, task)
    assert (made.reviewer, made.verdict, made.content, made.comment, made.via) == (
        ANA.id,
        Verdict.EDIT,
        f"{draft}\nAnd more.",
        "It was short.",
        "slack",
    )
    card = await there.card_with("Edited and approved by Ana Ruiz")
    assert "And more." in text_of(card)
    assert not [block for block in card.blocks if block["type"] == "actions"]


async def test_whoever_changes_it_again_sees_the_difference_again(there: SlackHouse) -> None:
    task = await editing(there)
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "one"}, user="U01ANA")
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "two"}, user="U01ANA")
    assert "+two" in said_in(the_view(there))
    assert await decisions(there, task) == ()
    await there.slack.submit(the_view(there), {WHY_BLOCK: " "}, user="U01ANA")
    (made,) = await decisions(there, task)
    assert (made.content, made.comment) == ("two", None), "a blank is no reason"


@pytest.mark.parametrize("words", ["ok", "approved", "yes", "Confirm"])
async def test_words_are_never_consent(over_socket: SlackHouse, words: str) -> None:
    """Typed as the text they are a text; typed into the thread they are nothing."""
    there = over_socket
    task = await editing(there)
    await there.slack.submit(the_view(there), {EDIT_BLOCK: words, WHY_BLOCK: words}, user="U01ANA")
    await there.slack.say("C01GEN", words, user="U01ANA", thread_ts=(await there.card()).ts)
    assert await decisions(there, task) == ()


async def test_a_draft_as_it_is_is_no_edit(there: SlackHouse) -> None:
    task = await editing(there)
    await there.slack.submit(the_view(there), user="U01ANA")
    assert "This is the draft as it is" in the_view(there).errors[EDIT_BLOCK]
    assert await decisions(there, task) == ()


async def test_below_a_quorum_an_edit_becomes_the_next_attempt(there: SlackHouse) -> None:
    task = await editing(there, flow="lenient")
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    assert "2 people have to approve, so your text becomes the next attempt." in said_in(the_view(there))
    await there.slack.submit(the_view(there), user="U01ANA")
    review = await there.house.review(task, 2)
    assert review.draft == "better"
    assert "superseded by attempt 2" in text_of(await there.card_with("superseded"))


async def test_a_policy_that_wants_reasons_wants_one_with_an_edit(there: SlackHouse) -> None:
    task = await editing(there, flow="always")
    view = the_view(there)
    (why,) = (block for block in view.blocks if block.get("block_id") == WHY_BLOCK)
    assert why["optional"] is False
    await there.slack.submit(view, {EDIT_BLOCK: "better", WHY_BLOCK: " "}, user="U01ANA")
    assert "say why" in the_view(there).errors[WHY_BLOCK]
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better", WHY_BLOCK: "because"}, user="U01ANA")
    assert typed_in(the_view(there), WHY_BLOCK) == "because"
    await there.slack.submit(the_view(there), user="U01ANA")
    (made,) = await decisions(there, task)
    assert made.comment == "because"


# Structured drafts


async def structured(there: SlackHouse) -> Task:
    task, _ = await there.house.service.submit(
        Submission(input={"amount": 30, "note": "ü"}, submitter=SAM.id, flow="approval")
    )
    await there.slack.press(await there.card(), "Edit…", user="U01ANA")
    return task


async def test_structured_data_is_edited_as_json_and_keeps_its_shape(there: SlackHouse) -> None:
    task = await structured(there)
    assert typed_in(the_view(there)) == '{\n  "amount": 30,\n  "note": "ü"\n}'
    for typed, words in (
        ("{", "The draft is JSON, and what you wrote is not"),
        ("[]", "has to be an object, as it was"),
        ('{"amount": 30}', "has lost 'note'"),
        ('{"amount": "30", "note": "ü"}', "'amount' has to be a number, as it was, not text."),
        ('{"note": "ü", "amount": 30}', "This is the draft as it is"),
        ('{"amount": 30, "note": "\\u0000"}', "NUL"),
    ):
        await there.slack.submit(the_view(there), {EDIT_BLOCK: typed}, user="U01ANA")
        assert words in the_view(there).errors[EDIT_BLOCK]
    await there.slack.submit(the_view(there), {EDIT_BLOCK: '{"amount":25,"note":"ü"}'}, user="U01ANA")
    (shown,) = (block for block in the_view(there).blocks if block["type"] == "rich_text")
    assert '-  "amount": 30,\n+  "amount": 25,' in shown["elements"][0]["elements"][0]["text"]
    await there.slack.submit(the_view(there), user="U01ANA")
    (made,) = await decisions(there, task)
    assert made.content == {"amount": 25, "note": "ü"}


# Refusals


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("U01SAM", "You submitted this task, so somebody else has to decide. Ana Ruiz can decide."),
        (
            "U01EVE",
            "yours, T0SIMULATED/U01EVE. Say “/countersign whoami” for the lines that make you known.",
        ),
        ("U01BEN", "You are not among the reviewers"),
    ],
)
async def test_who_may_not_decide_gets_no_dialog_but_the_words_of_a_decision(
    there: SlackHouse, user: str, words: str
) -> None:
    task = await there.house.submit(flow="own")
    card = await there.card()
    for _ in range(2):
        await there.slack.press(card, "Edit…", user=user)
    await there.slack.until(lambda: len(there.slack.ephemerals(user)) == 2)
    assert all(words in seen.text for seen in there.slack.ephemerals(user))
    assert there.slack.open_views(user) == ()
    assert await decisions(there, task) == ()


async def test_a_closed_review_and_an_old_attempt_say_so(there: SlackHouse) -> None:
    await there.house.submit()
    card = await there.card()
    await there.slack.press(card, "Reject…", user="U01ANA")
    await there.slack.submit(the_view(there), user="U01ANA")
    await there.card_with("superseded by attempt 2")
    await there.slack.press(card, "Edit…", user="U01ANA")
    assert await there.told("U01ANA") == "This was attempt 1; attempt 2 has replaced it."


@pytest.mark.parametrize("is_shown", [False, True])
async def test_whoever_was_overtaken_reads_it_in_the_dialog_which_stays(
    there: SlackHouse, *, is_shown: bool
) -> None:
    task = await editing(there)
    if is_shown:
        await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    await there.slack.press(await there.card(), "Approve", user="U01BEN")
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    assert the_view(there).errors[EDIT_BLOCK].startswith("Already approved by Ben Okri at ")
    assert [made.verdict for made in await decisions(there, task)] == [Verdict.APPROVE]


async def test_whoever_was_struck_meanwhile_is_refused_at_every_step(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    in_force: dict[str, Policy] = {}
    async with slack_house(sqlite_database, clock, http=False, in_force=in_force) as there:
        task = await editing(there, flow="own")
        in_force["own"] = Policy(name="own", reviewers=(SAM.id,))
        await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
        assert "not among" in the_view(there).errors[EDIT_BLOCK]
        assert await decisions(there, task) == ()


async def test_where_the_page_decides_editing_leads_there(there: SlackHouse) -> None:
    task = await there.house.submit(flow="page")
    await there.slack.press(await there.card(), "Edit…", user="U01ANA")
    assert f"<{PUBLIC_URL}/tasks/{task.id}|Open the task>" in await there.told("U01ANA")
    assert there.slack.open_views("U01ANA") == ()


async def test_a_forged_token_opens_and_decides_nothing(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await editing(there)
    card = await there.card()
    payload = there.slack.action_payload(card, "Edit…", user="U01ANA")
    other = there.slack.action_payload(card, "Approve", user="U01ANA")["actions"][0]["value"]
    for forged in (other, "junk", None):
        payload["actions"][0]["value"] = forged
        await there.slack.deliver(payload)
    await there.slack.until(lambda: len(there.slack.ephemerals("U01ANA")) == 3)
    assert all("cannot be read" in seen.text for seen in there.slack.ephemerals("U01ANA"))
    assert await decisions(there, task) == ()


# Limits


@pytest.mark.parametrize(
    ("text", "opens"), [("x" * 2900, True), ("x" * 3100, False), ("\U0001f600" * 1550, False)]
)
async def test_a_draft_longer_than_a_dialog_is_edited_on_its_page(
    there: SlackHouse, text: str, *, opens: bool
) -> None:
    task = await there.house.submit(text)
    await there.slack.press(await there.card(), "Edit…", user="U01ANA")
    if opens:
        assert typed_in(the_view(there)) == await the_draft(there, task)
        return
    told = await there.told("U01ANA")
    assert "A dialog takes a draft of 3,000 characters, and as Slack counts this one has 3,1" in told
    assert f"{PUBLIC_URL}/tasks/{task.id}" in told
    assert there.slack.open_views("U01ANA") == ()


async def test_hostile_text_is_edited_as_it_is_and_shown_harmless(there: SlackHouse) -> None:
    task = await editing(there, text=HOSTILE)
    draft = await the_draft(there, task)
    assert typed_in(the_view(there)) == draft, "else the edit would change what nobody touched"
    await there.slack.submit(the_view(there), {EDIT_BLOCK: f"{draft}\n{HOSTILE}\n\u202ex"}, user="U01ANA")
    (shown,) = (block for block in the_view(there).blocks if block["type"] == "rich_text")
    (text,) = shown["elements"][0]["elements"]
    assert text["type"] == "text"
    assert "\u202e" not in text["text"]
    assert "+⟨U+202E⟩x" in text["text"]
    assert "mrkdwn" not in said_in(the_view(there))
    await there.slack.submit(the_view(there), user="U01ANA")
    (made,) = await decisions(there, task)
    assert made.content == f"{draft}\n{HOSTILE}\n\u202ex"


# Twice, late and after a restart


async def test_a_confirmation_sent_twice_decides_once(there: SlackHouse) -> None:
    task = await editing(there)
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    view = the_view(there)
    await there.slack.submit(view, user="U01ANA")
    again = await there.slack.submit(view, user="U01ANA")
    assert again.status == 200
    assert "Already" in json.dumps(again.body)
    assert len(await decisions(there, task)) == 1
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


@pytest.mark.parametrize("http", [False, True])
async def test_an_edit_outlives_a_restart_at_every_step(
    sqlite_database: Database, clock: StoppedClock, *, http: bool
) -> None:
    async with simulated() as slack:
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            task = await editing(there)
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
            assert "+better" in said_in(the_view(there))
        async with slack_house(sqlite_database, clock, http=http, running=slack) as there:
            await there.slack.submit(the_view(there), user="U01ANA")
            (made,) = await decisions(there, task)
            assert made.content == "better"

            async def done() -> bool:
                return (await there.house.task(task)).status is Status.COMPLETED

            await eventually(done)
            assert (await there.house.task(task)).final_result == "better"


async def test_a_database_that_is_down_keeps_what_was_written(there: SlackHouse) -> None:
    task = await editing(there)
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    there.house.service.is_down = True
    await there.slack.submit(the_view(there), user="U01ANA")
    assert the_view(there).errors[EDIT_BLOCK].startswith("This could not be recorded")
    there.house.service.is_down = False
    await there.slack.submit(the_view(there), user="U01ANA")
    assert len(await decisions(there, task)) == 1


async def test_a_confirmation_that_takes_too_long_says_so_in_its_dialog_and_goes_on(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    task = await editing(there)
    await there.slack.submit(the_view(there), {EDIT_BLOCK: "better"}, user="U01ANA")
    there.house.service.slow = asyncio.Event()
    await there.slack.submit(the_view(there), user="U01ANA")
    assert "may not have been recorded" in the_view(there).errors[EDIT_BLOCK]
    there.house.service.slow.set()
    await there.card_with("Edited and approved by Ana Ruiz")
    await there.slack.submit(the_view(there), user="U01ANA")
    assert the_view(there).errors[EDIT_BLOCK].startswith("Already approved by Ana Ruiz at ")
    assert len(await decisions(there, task)) == 1


async def test_a_dialog_that_does_not_open_is_told(there: SlackHouse) -> None:
    task = await there.house.submit()
    there.slack.faults.add(Fault(method="views.open", body={"ok": False, "error": "expired_trigger_id"}))
    assert (await there.slack.press(await there.card(), "Edit…", user="U01ANA")).status == 200
    assert "Slack did not open the dialog. Nothing was changed" in await there.told("U01ANA")
    assert await decisions(there, task) == ()


async def test_a_database_that_is_slow_opens_no_dialog_without_the_draft(over_socket: SlackHouse) -> None:
    """Slack's trigger lives for 3 s, and a dialog without the draft would be of no use."""
    there = over_socket
    await there.house.submit()
    card = await there.card()
    there.house.service.slow_checks = asyncio.Event()
    with patch.object(desk, "CHECK_SECONDS", 0.1):
        assert (await there.slack.press(card, "Edit…", user="U01ANA")).ok
        assert await there.told("U01ANA") == SLOW
    assert there.slack.open_views("U01ANA") == ()


# Any text


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.booleans())
def test_any_text_yields_modals_within_every_limit(
    title: str, text: str, comment: str, difference: str, is_json: bool
) -> None:
    for difference_shown in (None, difference):
        view = edit_view(
            what=title,
            text=text[: TEXT // 2],
            is_json=is_json,
            comment=comment[: TEXT // 2],
            is_reason_needed=is_json,
            private_metadata="x" * 500,
            difference=difference_shown,
            consequence="Nothing is decided until you confirm.",
        )
        assert list(limits.view_problems(view)) == []
        assert not limits.is_view_too_large(view)
    assert list(limits.view_problems(question_view(what=title, private_metadata=""))) == []
    assert list(limits.view_problems(answer_view(who=title, question=text, private_metadata=""))) == []


def test_what_a_dialog_takes_is_counted_as_slack_may_count_it() -> None:
    assert fits("🙂" * (TEXT // 2))
    assert not fits("🙂" * (TEXT // 2 + 1))


def test_what_comes_of_an_edit_is_said_by_the_policy(a_review: Callable[..., ReviewRequest]) -> None:
    cases: tuple[tuple[int, tuple[Party, ...], str], ...] = (
        (1, (), "approved in place of the draft"),
        (2, (), "2 people have to approve"),
        (1, (Party.EDITOR,), "Somebody else has to approve it"),
    )
    for approvals, distinct_from, words in cases:
        policy = Policy(name="p", reviewers=(ANA.id,), approvals=approvals, distinct_from=distinct_from)
        assert words in consequence(a_review(policy=policy))
