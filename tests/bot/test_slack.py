"""Real slack-bolt against the simulated Slack, over Socket Mode and over signed HTTP, on a real core."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bot.simulator.faults import Fault
from bot.slack.strangers import UNTOLD
from core.errors import RateLimited, SettingsError
from core.model import DeliveryState, Outcome, Status, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL
from tests.bot.slack_house import GENERAL, PARTNER, SlackHouse, slack_house, text_of
from tests.world import ANA, BEN, StoppedClock, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.store.database import Database


clock, there, over_http, over_socket = (
    slack_fixtures.clock,
    slack_fixtures.there,
    slack_fixtures.over_http,
    slack_fixtures.over_socket,
)


async def test_a_card_is_posted_with_both_buttons(there: SlackHouse) -> None:
    task = await there.house.submit("please refund")
    card = await there.card()
    assert card.labels == ("Approve", "Reject…", "Edit…")
    assert f"{PUBLIC_URL}/tasks/{task.id}" in text_of(card)
    assert "attempt 1 · submitted by Sam Lee" in text_of(card)


async def test_approve_decides_before_it_is_answered(there: SlackHouse) -> None:
    task = await there.house.submit()
    answer = await there.slack.press(await there.card(), "Approve", user="U01ANA")
    assert answer.status == 200
    review = (await there.house.service.reviews(task.id))[0]
    assert review.outcome is Outcome.APPROVED
    assert [(decision.reviewer, decision.via) for decision in review.decisions] == [(ANA.id, "slack")]
    closed = await there.card_with("Approved by Ana Ruiz")
    assert closed.labels == ()


async def test_the_first_press_asks_slack_nothing(there: SlackHouse) -> None:
    await there.house.submit()
    card = await there.card()
    before = there.transcript.count("auth.test")
    await there.slack.press(card, "Approve", user="U01ANA")
    assert there.transcript.count("auth.test") == before == 1


async def test_reject_asks_why_and_the_reason_reaches_the_next_attempt(there: SlackHouse) -> None:
    task = await there.house.submit()
    first = await there.card()
    assert (await there.slack.press(first, "Reject…", user="U01ANA")).status == 200
    (view,) = there.slack.open_views("U01ANA")
    answer = await there.slack.submit(view, {"Reason": "too long"}, user="U01ANA")
    assert answer.status == 200
    assert there.slack.open_views("U01ANA") == ()
    (decision,) = (await there.house.service.reviews(task.id))[0].decisions
    assert (decision.verdict, decision.comment) == (Verdict.REJECT, "too long")
    second = await there.card(2)
    assert second.thread_ts == first.ts
    assert "Before this, rejected by Ana Ruiz" in text_of(second)
    assert "too long" in text_of(second)
    assert "attempt 2" in text_of(second)
    assert (await there.card_with("superseded by attempt 2")).ts == first.ts


async def test_a_reason_is_never_forced(there: SlackHouse) -> None:
    task = await there.house.submit()
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    await there.slack.submit(view, user="U01ANA")
    (decision,) = (await there.house.service.reviews(task.id))[0].decisions
    assert (decision.verdict, decision.comment) == (Verdict.REJECT, None)


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_a_stranger_is_told_in_private_and_changes_nothing(there: SlackHouse, label: str) -> None:
    task = await there.house.submit()
    answer = await there.slack.press(await there.card(), label, user="U01EVE")
    assert answer.status == 200
    told = await there.told("U01EVE")
    assert "nobody is listed under yours, T0SIMULATED/U01EVE" in told
    assert "Say “/countersign whoami” for the lines that make you known." in told
    assert there.slack.open_views("U01EVE") == ()
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_submitters_do_not_decide_their_own(there: SlackHouse, label: str) -> None:
    task = await there.house.submit(flow="own")
    await there.slack.press(await there.card(), label, user="U01SAM")
    told = await there.told("U01SAM")
    assert told.startswith("You submitted this task, so somebody else has to decide. ")
    assert told.endswith(" can decide."), "and who that is"
    assert there.slack.open_views("U01SAM") == ()
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_a_person_of_another_workspace_counts_only_as_configured(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    impostor = there.slack.action_payload(card, "Approve", user="U01ANA")
    impostor["user"]["team_id"] = PARTNER
    await there.slack.deliver(impostor)
    assert "T0PARTNER/U01ANA" in await there.told("U01ANA")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW
    await there.slack.press(card, "Approve", user="U01BEN")
    assert (await there.house.service.reviews(task.id))[0].decisions[0].reviewer == BEN.id


async def test_whose_workspace_slack_does_not_tell_is_told_so_and_not_half_an_id(there: SlackHouse) -> None:
    task = await there.house.submit()
    press = there.slack.action_payload(await there.card(), "Approve", user="U01SAM")
    press["user"]["team_id"] = press["team"] = None
    await there.slack.deliver(press)
    assert (await there.told("U01SAM")).startswith(f"Nothing was changed: {UNTOLD.format('U01SAM')}")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_a_late_press_learns_who_was_first_and_when(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")
    await there.slack.press(card, "Approve", user="U01ANA")
    assert (await there.told("U01ANA")).startswith("Already approved by Ben Okri at ")


async def test_a_refusal_names_the_task_that_it_is_about(there: SlackHouse) -> None:
    """It stands at the end of the channel, where nothing else says which card was pressed."""
    task = await there.house.submit("*bold* <https://evil.example|x> <!here> \u202eeman")
    card = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")
    await there.slack.press(card, "Approve", user="U01ANA")
    words = await there.told("U01ANA")
    (seen,) = there.slack.ephemerals("U01ANA")
    ((section,),) = (block["elements"] for block in seen.blocks)
    *said, link = section["elements"]
    assert words.startswith("Already approved by Ben Okri at ")
    assert link == {
        "type": "link",
        "url": f"{PUBLIC_URL}/tasks/{task.id}",
        "text": "*bold* <https://evil.example|x> <!here> ⟨U+202E⟩eman",
    }
    assert '"date"' in json.dumps(said), "on the reader's clock"


async def test_a_refusal_does_not_wait_for_the_tasks_name(there: SlackHouse) -> None:
    await there.house.submit()
    card = await there.card()
    there.house.service.is_down = True
    await there.slack.press(card, "Approve", user="U01ANA")
    assert "could not be recorded" in await there.told("U01ANA")
    (seen,) = there.slack.ephemerals("U01ANA")
    assert not seen.blocks


async def test_an_old_attempts_button_decides_nothing(there: SlackHouse) -> None:
    task = await there.house.submit()
    old = await there.card()
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web")
    await there.house.review(task, 2)
    await there.slack.press(old, "Approve", user="U01ANA")
    assert await there.told("U01ANA") == "This was attempt 1; attempt 2 has replaced it."
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_a_dialog_overtaken_by_somebody_else_says_so_and_stays_open(there: SlackHouse) -> None:
    task = await there.house.submit()
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    await there.house.service.decide((await there.house.review(task)).id, BEN.id, Verdict.APPROVE, via="web")
    (view,) = there.slack.open_views("U01ANA")
    await there.slack.submit(view, {"Reason": "no"}, user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    assert [words[:28] for words in view.errors.values()] == ["Already approved by Ben Okri"]


async def test_below_the_quorum_the_card_counts_and_keeps_its_buttons(there: SlackHouse) -> None:
    task = await there.house.submit(flow="two")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    counted = await there.card_with("1 of 2 approvals")
    assert counted.labels == ("Approve", "Reject…", "Edit…")
    await there.slack.press(counted, "Approve", user="U01ANA")
    assert "already decided" in await there.told("U01ANA")
    await there.slack.press(counted, "Approve", user="U01BEN")
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


async def test_a_forged_button_is_refused(there: SlackHouse) -> None:
    task = await there.house.submit()
    payload = there.slack.action_payload(await there.card(), "Approve", user="U01ANA")
    payload["actions"][0]["value"] = payload["actions"][0]["value"][:-1] + "!"
    await there.slack.deliver(payload)
    assert "cannot be read" in await there.told("U01ANA")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def test_a_reject_token_does_not_approve(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    payload = there.slack.action_payload(card, "Approve", user="U01ANA")
    payload["actions"][0]["value"] = there.slack.action_payload(card, "Reject…", user="U01ANA")["actions"][0][
        "value"
    ]
    await there.slack.deliver(payload)
    assert "cannot be read" in await there.told("U01ANA")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_a_card_whose_answer_was_lost_is_adopted_when_it_is_pressed(
    there: SlackHouse, label: str
) -> None:
    """Where we are not granted to look for it. Also where somebody else decides while a dialog is open."""
    refusal = {"ok": False, "error": "missing_scope"}
    there.slack.faults.add(Fault(method="conversations.history", body=refusal, times=None))
    there.slack.faults.add(Fault(method="chat.postMessage", cut=True, after_acting=True))
    task = await there.house.submit()
    unknown = await there.card()
    await there.house.delivery(task, lambda found: found.tries == 1)
    there.house.clock.advance(seconds=60)
    await there.card(2)
    await there.slack.press(unknown, label, user="U01ANA")
    if label == "Reject…":

        async def is_known() -> bool:
            found = await there.house.service.deliveries(task.id)
            return f"{GENERAL}/{unknown.ts}" in [one.message for one in found]

        await eventually(is_known)
        review = await there.house.review(task)
        await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
    await there.slack.until(lambda: all(card.labels == () for card in there.slack.messages(GENERAL)))


async def test_a_chat_that_fails_after_a_decision_does_not_undo_it(there: SlackHouse) -> None:
    task = await there.house.submit()
    there.slack.faults.add(Fault(method="chat.update", status=500, times=None))
    there.slack.faults.add(Fault(method="chat.postEphemeral", status=500, times=None))
    card = await there.card()
    assert (await there.slack.press(card, "Approve", user="U01ANA")).status == 200
    assert (await there.slack.press(card, "Approve", user="U01ANA")).status == 200
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


async def test_a_dialog_that_does_not_open_is_told(there: SlackHouse) -> None:
    await there.house.submit()
    there.slack.faults.add(Fault(method="views.open", body={"ok": False, "error": "expired_trigger_id"}))
    assert (await there.slack.press(await there.card(), "Reject…", user="U01ANA")).status == 200
    assert "did not open the dialog" in await there.told("U01ANA")


async def test_presses_at_once_make_one_decision(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.slack.deliveries.duplicate = 20
    await asyncio.gather(*(there.slack.press(card, "Approve", user="U01ANA") for _ in range(20)))
    assert len((await there.house.service.reviews(task.id))[0].decisions) == 1


async def test_a_press_while_the_database_is_down_does_not_count_and_says_so(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.service.is_down = True
    assert not (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert "could not be recorded" in await there.told("U01ANA")
    there.house.service.is_down = False
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


async def test_a_decision_that_takes_too_long_is_answered_in_time_and_goes_on(there: SlackHouse) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.service.slow = asyncio.Event()
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert "may not have been recorded. Please look at the card" in await there.told("U01ANA")
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW
    there.house.service.slow.set()
    await there.card_with("Approved by Ana Ruiz")


async def test_a_reason_that_takes_too_long_says_so_in_its_dialog(there: SlackHouse) -> None:
    await there.house.submit()
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    there.house.service.slow = asyncio.Event()
    await there.slack.submit(view, {"Reason": "too long"}, user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    assert "may not have been recorded" in next(iter(view.errors.values()))
    there.house.service.slow.set()
    await there.card_with("Before this, rejected by Ana Ruiz")


async def test_a_reason_sent_while_the_database_is_down_stays_in_its_dialog(there: SlackHouse) -> None:
    task = await there.house.submit()
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    there.house.service.is_down = True
    await there.slack.submit(view, {"Reason": "too long"}, user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    assert "could not be recorded" in next(iter(view.errors.values()))
    there.house.service.is_down = False
    await there.slack.submit(view, {"Reason": "too long"}, user="U01ANA")
    assert (await there.house.service.reviews(task.id))[0].decisions[0].comment == "too long"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("not_in_channel", "invite the app to the channel"),
        ("channel_not_found", "the channel does not exist"),
        ("is_archived", "the channel is archived"),
        ("restricted_action", "the workspace does not let apps post there"),
        ("restricted_action_read_only_channel", "the workspace does not let apps post there"),
        ("restricted_action_thread_only_channel", "the workspace does not let apps post there"),
        ("msg_too_long", "msg_too_long"),
    ],
)
async def test_a_channel_that_is_closed_to_us_is_given_up(
    over_socket: SlackHouse, error: str, words: str
) -> None:
    over_socket.slack.faults.add(Fault(method="chat.postMessage", body={"ok": False, "error": error}))
    task = await over_socket.house.submit()
    given_up = await over_socket.house.delivery(task, lambda found: found.state is DeliveryState.GIVEN_UP)
    assert words in (given_up.error or "")
    assert over_socket.channel._lost.remembered == 0, "nobody has to look for what Slack refused"
    assert (await over_socket.house.task(task)).status is Status.WAITING_FOR_REVIEW


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7), ("0", 1), ("9" * 12, 60), ("soon", 60)])
async def test_a_pause_that_slack_asks_for_is_kept(over_socket: SlackHouse, asked: str, seconds: int) -> None:
    """A minute where nobody can mean what it says, and never none: it would be asked again at once."""
    over_socket.slack.faults.add(
        Fault(
            method="chat.postMessage",
            status=429,
            headers={"Retry-After": asked},
            body={"ok": False, "error": "ratelimited"},
        )
    )
    task = await over_socket.house.submit()
    due = over_socket.house.clock.now() + timedelta(seconds=seconds)
    await over_socket.house.delivery(task, lambda found: found.due_at == due)
    over_socket.house.clock.advance(seconds=seconds)
    await over_socket.card()


async def test_a_pause_of_edits_holds_for_every_edit_and_for_no_post(over_socket: SlackHouse) -> None:
    task = await over_socket.house.submit()
    await over_socket.card()
    sent = await over_socket.house.delivery(task, lambda found: found.message is not None)
    assert sent.message is not None
    review, edit = await over_socket.house.review(task), over_socket.channel.update
    body = {"ok": False, "error": "ratelimited"}
    over_socket.slack.faults.add(
        Fault(method="chat.update", status=429, headers={"Retry-After": "7"}, body=body)
    )
    for seconds in (7, 5):
        with pytest.raises(RateLimited) as refused:
            await edit(sent, review, message=sent.message)
        assert refused.value.retry_after == timedelta(seconds=seconds)
        assert (refused.value.whole_channel, refused.value.lane_only) == (False, True)
        assert over_socket.transcript.count("chat.update") == 1
        over_socket.house.clock.advance(seconds=2)
    await over_socket.channel.post(sent, review, thread=None)
    over_socket.house.clock.advance(seconds=3)
    await edit(sent, review, message=sent.message)
    assert over_socket.transcript.count("chat.update") == 2


async def test_a_pause_of_edits_is_no_longer_where_the_clock_is_set_back(over_socket: SlackHouse) -> None:
    task = await over_socket.house.submit()
    await over_socket.card()
    sent = await over_socket.house.delivery(task, lambda found: found.message is not None)
    assert sent.message is not None
    review, edit = await over_socket.house.review(task), over_socket.channel.update
    over_socket.slack.faults.add(Fault(method="chat.update", status=429, headers={"Retry-After": "7"}))
    for _ in range(2):
        with pytest.raises(RateLimited) as refused:
            await edit(sent, review, message=sent.message)
        assert refused.value.retry_after == timedelta(seconds=7)
        over_socket.house.clock.advance(hours=-6)
    over_socket.house.clock.advance(seconds=7)
    await edit(sent, review, message=sent.message)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut=True),
        Fault(status=502, body={}),
        Fault(status=500, body={"ok": False, "error": "of_a_kind_that_we_have_never_heard"}),
        Fault(body={"ok": False, "error": "internal_error"}),
    ],
)
async def test_a_slack_that_is_away_is_tried_again(over_socket: SlackHouse, fault: Fault) -> None:
    over_socket.slack.faults.add(replace(fault, method="chat.postMessage"))
    task = await over_socket.house.submit()
    await over_socket.house.delivery(task, lambda found: found.tries == 1)
    over_socket.house.clock.advance(seconds=5)
    await over_socket.card()


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_deleted_card_is_given_up_and_the_decision_stands(
    over_socket: SlackHouse, error: str
) -> None:
    over_socket.slack.faults.add(Fault(method="chat.update", body={"ok": False, "error": error}))
    task = await over_socket.house.submit()
    await over_socket.slack.press(await over_socket.card(), "Approve", user="U01ANA")
    gone = await over_socket.house.delivery(task, lambda found: found.state is DeliveryState.GIVEN_UP)
    assert "cannot be changed any more" in (gone.error or "")
    assert (await over_socket.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("method", "setting"), [("auth.test", "SLACK_BOT_TOKEN"), ("apps.connections.open", "SLACK_APP_TOKEN")]
)
async def test_a_wrong_token_stops_the_start(
    sqlite_database: Database, clock: StoppedClock, method: str, setting: str
) -> None:
    async with slack_house(sqlite_database, clock, http=False, listening=False) as there:
        there.slack.faults.add(Fault(method=method, body={"ok": False, "error": "invalid_auth"}))
        with pytest.raises(SettingsError, match=rf"^{setting} is refused by Slack \(invalid_auth\)\.$"):
            async with there.channel.listening():
                pass


@pytest.mark.parametrize("method", ["auth.test", "apps.connections.open"])
async def test_a_slack_that_is_away_at_the_start_is_listened_to_later(
    sqlite_database: Database, clock: StoppedClock, method: str
) -> None:
    async with slack_house(sqlite_database, clock, http=False, listening=False) as there:
        there.slack.faults.add(Fault(method=method, status=502, body={}))
        async with there.channel.listening():
            await there.slack.connected()


async def test_before_slack_told_who_we_are_presses_are_asked_to_come_again(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with slack_house(sqlite_database, clock, http=True, listening=False) as there:
        body = b"a=b"
        assert (await posted(there, body, there.slack.signing_headers(body) | FORM))[0] == 503


async def test_listening_ends_at_once(sqlite_database: Database, clock: StoppedClock) -> None:
    async with slack_house(sqlite_database, clock, http=False, listening=False) as there:
        async with there.channel.listening():
            await there.slack.connected()
            started = time.monotonic()
        assert time.monotonic() - started < 2
        await there.slack.until(lambda: there.slack.connections == 0)


async def test_a_renewed_connection_still_hears_presses(over_socket: SlackHouse) -> None:
    task = await over_socket.house.submit()
    card = await over_socket.card()
    await over_socket.slack.disconnect("refresh_requested")
    await over_socket.slack.connected()
    await over_socket.slack.press(card, "Approve", user="U01ANA")
    assert (await over_socket.house.service.reviews(task.id))[0].outcome is Outcome.APPROVED


# -- what is not from Slack, or not from now


async def posted(there: SlackHouse, body: Any, headers: dict[str, str]) -> tuple[int, str]:
    """What the events URL answers to these very bytes."""
    assert there.events_url is not None
    async with (
        aiohttp.ClientSession() as session,
        session.post(there.events_url, data=body, headers=headers) as response,
    ):
        return response.status, await response.text()


async def in_chunks(body: io.BytesIO) -> AsyncIterator[bytes]:
    while chunk := body.read(65536):
        yield chunk


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
STAMP = "X-Slack-Request-Timestamp"
SIGNATURE = "X-Slack-Signature"
NOT_SIGNED = [
    {},
    {STAMP: "abc", SIGNATURE: "v0=00"},
    {STAMP: "", SIGNATURE: ""},
    {STAMP: "-1", SIGNATURE: "v0=00"},
    {STAMP: "1e9", SIGNATURE: "v0=00"},
    {STAMP: "9" * 400, SIGNATURE: "v0=00"},
    {STAMP: "99999999999", SIGNATURE: "v0=00"},
    {STAMP: "0", SIGNATURE: "v0=00"},
    {STAMP: "now", SIGNATURE: "v0=ü"},
    {STAMP: "now", SIGNATURE: "v0="},
    {STAMP: "now", SIGNATURE: "v0=" + "0" * 64},
    {STAMP: "now", SIGNATURE: "v1=" + "0" * 64},
    {STAMP: "now", SIGNATURE: "0" * 5000},
]
BODIES = [
    b"",
    b"\xff\xfe",
    b"\x00" * 100,
    b"payload=",
    b"payload=%7B",
    b"payload=[]",
    b"payload=%22x%22",
    b"payload=%7B%7D",
    b"payload=%7B%22user%22%3A5%7D",
    b"payload=%7B%22user%22%3A%7B%22id%22%3A5%7D%7D",
    b"payload=" + b"%5B" * 50_000,
    b"ssl_check=1",
    b"&".join(b"a=b" for _ in range(1000)),
]


def now_in(headers: dict[str, str], clock: StoppedClock) -> dict[str, str]:
    return {
        name: f"{clock.now().timestamp():.0f}" if value == "now" else value for name, value in headers.items()
    }


@pytest.mark.parametrize("headers", NOT_SIGNED, ids=str)
async def test_what_slack_did_not_sign_is_turned_away(
    over_http: SlackHouse, headers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in (FORM, JSON):
        for body in (*BODIES, b"[" * 100_000, b'{"type": "url_verification", "challenge": "canary-7151"}'):
            status, answer = await posted(over_http, body, kind | now_in(headers, over_http.house.clock))
            assert (status, answer) == (401, "")
    assert "canary-7151" not in capsys.readouterr().out


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
async def test_signed_junk_is_a_bad_request(over_http: SlackHouse, body: bytes) -> None:
    headers = over_http.slack.signing_headers(body)
    status, _ = await posted(over_http, body, headers | FORM)
    assert status == 400 or (status < 500 and body == b"ssl_check=1")
    assert (await posted(over_http, b"[" * 100_000, over_http.slack.signing_headers(b"[" * 100_000) | JSON))[
        0
    ] == 400


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_without_end_is_cut_short(over_http: SlackHouse, *, is_announced: bool) -> None:
    body = io.BytesIO(b"x" * (1024 * 1024 + 1))
    assert (await posted(over_http, body if is_announced else in_chunks(body), FORM))[0] == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_a_bad_request(
    over_http: SlackHouse, encoding: str
) -> None:
    assert (await posted(over_http, b"canary", FORM | {"Content-Encoding": encoding}))[0] == 400


async def test_slack_may_check_the_address(over_http: SlackHouse) -> None:
    assert await over_http.slack.verify_request_url()


async def test_a_signature_older_than_five_minutes_is_refused(over_http: SlackHouse) -> None:
    body = b"ssl_check=1"
    headers = over_http.slack.signing_headers(body) | FORM
    over_http.house.clock.advance(seconds=299)
    assert (await posted(over_http, body, headers))[0] != 401
    over_http.house.clock.advance(seconds=3)
    assert (await posted(over_http, body, headers))[0] == 401


async def test_a_replayed_press_runs_nothing_again(over_http: SlackHouse) -> None:
    task = await over_http.house.submit(flow="two")
    payload = over_http.slack.action_payload(await over_http.card(), "Approve", user="U01ANA")
    for _ in range(5):
        assert (await over_http.slack.deliver(payload)).status == 200
    assert len((await over_http.house.service.reviews(task.id))[0].decisions) == 1
    assert over_http.slack.ephemerals("U01ANA") == ()
