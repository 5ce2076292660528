"""Dialogs given up in Slack: heard and answered, and then as if nobody had opened them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from bot.blocks import MENU_ACTION
from bot.slack import desk
from bot.views import EDIT_BLOCK, QUESTION_BLOCK
from tests.bot import slack_fixtures
from tests.bot.slack_house import SlackHouse

if TYPE_CHECKING:
    from bot.simulator.slack.model import View
    from core.model import StoredEvent, Task

SECRET = "what nobody else shall read"
ANA, SAM = "U01ANA", "U01SAM"

Opening: TypeAlias = Callable[[SlackHouse], Awaitable[str]]
"""Opens a dialog; who has it before them."""


clock, there = slack_fixtures.clock, slack_fixtures.there


def the_view(there: SlackHouse, user: str) -> View:
    (view,) = there.slack.open_views(user)
    return view


async def why(there: SlackHouse) -> str:
    await there.slack.press(await there.card(), "Reject…", user=ANA)
    return ANA


async def edit(there: SlackHouse) -> str:
    await there.slack.press(await there.card(), "Edit…", user=ANA)
    return ANA


async def confirm(there: SlackHouse) -> str:
    await edit(there)
    assert (await there.slack.submit(the_view(there, ANA), {EDIT_BLOCK: SECRET}, user=ANA)).ok
    assert the_view(there, ANA).body["submit"]["text"] == "Confirm"
    return ANA


async def ask(there: SlackHouse) -> str:
    await there.slack.press(await there.card(), MENU_ACTION, option="Ask…", user=ANA)
    return ANA


async def answer(there: SlackHouse) -> str:
    await ask(there)
    await there.slack.submit(the_view(there, ANA), {QUESTION_BLOCK: "Why?"}, user=ANA)
    await there.slack.press(await there.card_with(" asks "), "Answer…", user=SAM)
    return SAM


DIALOGS = (
    ("countersign_reason", why),
    ("countersign_edit", edit),
    ("countersign_edit", confirm),
    ("countersign_question", ask),
    ("countersign_answer", answer),
)


async def history(there: SlackHouse, task: Task) -> list[StoredEvent]:
    return list(await there.house.store.events(task.id, 0))


@pytest.mark.parametrize("whole_stack", [False, True], ids=["Cancel", "x"])
@pytest.mark.parametrize(("name", "opening"), DIALOGS, ids=["why", "edit", "confirm", "ask", "answer"])
async def test_a_dialog_given_up_changes_nothing_and_its_button_opens_it_again(
    there: SlackHouse, name: str, opening: Opening, *, whole_stack: bool
) -> None:
    task = await there.house.submit()
    user = await opening(there)
    before = await history(there, task)
    with capture_logs() as logs:
        closed = await there.slack.close_view(the_view(there, user), user=user, whole_stack=whole_stack)
    assert closed is not None, "the app asks to hear of it"
    assert (closed.ok, closed.body or None) == (True, None)
    heard = [entry for entry in logs if entry["event"] == "dialog_closed"]
    assert [entry["view"] for entry in heard] == [name]
    assert SECRET not in str(logs)
    assert await history(there, task) == before
    assert (await there.house.review(task)).decisions == ()
    assert there.slack.ephemerals(user) == ()
    if opening is not answer:  # which asks first, and then answers
        await opening(there)
        assert the_view(there, user).body["callback_id"] == name


@pytest.mark.parametrize("opening", [why, edit, confirm, ask])
async def test_an_edit_given_up_is_forgotten(there: SlackHouse, opening: Opening) -> None:
    """The next dialog begins with the draft, and the card can be decided by anybody."""
    task = await there.house.submit()
    draft = (await there.house.review(task)).draft
    user = await opening(there)
    await there.slack.close_view(the_view(there, user), user=user)
    await edit(there)
    assert SECRET not in str(the_view(there, ANA).body)
    assert str(draft) in str(the_view(there, ANA).body)
    await there.slack.close_view(the_view(there, ANA), user=ANA)
    await there.slack.press(await there.card(), "Approve", user=ANA)
    (made,) = (await there.house.review(task)).decisions
    assert made.content is None


async def test_what_was_sent_and_then_closed_stands(there: SlackHouse) -> None:
    """Slack may tell the two in any order: closing takes nothing back."""
    await there.house.submit()
    await ask(there)
    view = the_view(there, ANA)
    await there.slack.submit(view, {QUESTION_BLOCK: "Why?"}, user=ANA)
    late = await there.slack.close_view(view, user=ANA)
    assert late is not None
    assert late.ok
    await there.card_with(" asks ")


@pytest.mark.parametrize("view", [{}, {"callback_id": 7}, None])
async def test_a_closing_that_cannot_be_read_breaks_nothing(there: SlackHouse, view: Any) -> None:
    task = await there.house.submit()
    await there.slack.press(await there.card(), "Edit…", user=ANA)
    open_view = the_view(there, ANA)
    payload = {
        "type": "view_closed",
        "user": {"id": ANA, "team_id": there.slack.team_id},
        "team": {"id": there.slack.team_id},
        "view": view,
        "api_app_id": "A0",
        "token": "t",
        "is_cleared": False,
    }
    with capture_logs() as logs:
        await there.slack.deliver(payload)
    assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
    assert there.slack.open_views(ANA) == (open_view,)
    assert (await there.house.review(task)).is_open


@pytest.mark.parametrize(
    ("label", "view"), [("Reject…", "countersign_reason"), ("Edit…", "countersign_edit")]
)
async def test_a_dialog_opens_after_one_read_and_waits_for_nothing_else(
    there: SlackHouse, label: str, view: str
) -> None:
    """Its trigger lives for three seconds."""
    await there.house.submit()
    there.house.service.slow_copies = asyncio.Event()
    assert (await there.slack.press(await there.card(), label, user=ANA)).ok
    assert the_view(there, ANA).body["callback_id"] == view
    there.house.service.slow_copies.set()


async def test_a_slow_database_does_not_hold_the_question_back(there: SlackHouse) -> None:
    await there.house.submit()
    card = await there.card()
    there.house.service.slow_checks = asyncio.Event()
    with patch.object(desk, "CHECK_SECONDS", 0.1):
        assert (await there.slack.press(card, "Reject…", user=ANA)).ok
    assert the_view(there, ANA).body["callback_id"] == "countersign_reason"
    there.house.service.slow_checks.set()
