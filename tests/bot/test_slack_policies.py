"""What a policy asks of people in Slack: turns, reasons, the page; reminders, and who decides for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bot.cards import NEWER
from bot.simulator.faults import Fault
from bot.simulator.slack.forms import NotOffered
from core.model import Outcome, PersonId, Status, Verdict
from core.store.deliveries import LEISURE
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL, decisions, house_policies
from tests.bot.slack_house import GENERAL, SlackHouse, slack_house, text_of
from tests.world import ANA, BEN, PEOPLE, SAM, eventually

if TYPE_CHECKING:
    from bot.simulator.slack import Message
    from core.model import Task
    from core.store.database import Database
    from tests.world import StoppedClock


IN_PRIVATE = "DU01ANA"
"""What is said to ANA alone stands here."""
clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def failed_once(there: SlackHouse, task: Task) -> bool:
    return any(delivery.tries == 1 for delivery in await there.house.service.deliveries(task.id))


def called(message: Message) -> list[str]:
    """The users whom a message calls, in their order."""
    drawn = [block for block in message.blocks if block["type"] == "rich_text"]
    lines = [line for block in drawn for line in block["elements"]]
    return [one["user_id"] for line in lines for one in line["elements"] if one["type"] == "user"]


async def test_a_card_calls_whom_it_waits_for_as_it_is_posted_and_only_names_them_as_it_changes(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    await there.house.submit("<@U01SAM> <!channel>", flow="two")
    card = await there.card()
    assert called(card) == ["U01ANA", "U01BEN"]
    await there.slack.press(card, "Approve", user="U01ANA")
    changed = await there.card_with("1 of 2 approvals")
    assert (changed.ts, called(changed)) == (card.ts, [])
    assert "\nFor Ben Okri\n" in text_of(changed), "and whom it waits for now"
    await there.slack.press(changed, "Approve", user="U01BEN")
    closed = await there.card_with("Approved by Ben Okri")
    assert (closed.ts, "\nFor " in text_of(closed)) == (card.ts, False)


async def test_a_card_that_another_stands_in_for_calls_nobody(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="two")
    await there.card()
    (posted,) = await there.house.service.deliveries(task.id)
    retired = replace(posted, is_retired=True, message=None)
    await there.channel.post(retired, await there.house.review(task), thread=None)
    shown = await there.card_with(NEWER)
    assert (called(shown), shown.labels) == ([], ()), "and nobody presses anything on it"


async def test_a_card_that_changes_names_who_is_waited_for_whoever_is_away(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit(flow="two")
    card = await there.card()
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(BEN.id, None, until, by=BEN.id)
    await there.slack.press(card, "Approve", user="U01ANA")
    assert "\nFor Ben Okri\n" in text_of(await there.card_with("1 of 2 approvals"))


async def test_a_card_calls_the_delegate_of_who_is_away(over_socket: SlackHouse) -> None:
    there = over_socket
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    await there.house.submit(flow="timed")
    card = await there.card()
    assert called(card) == ["U01BEN"]


async def test_in_private_nobody_is_called_by_name(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    (posted,) = await there.house.service.deliveries(task.id)
    review = await there.house.review(task)
    for address in ("U01ANA", IN_PRIVATE):
        private = replace(posted, message=None, recipient=replace(posted.recipient, address=address))
        await there.channel.post(private, review, thread=None)
    assert [called(card) for card in there.slack.messages(IN_PRIVATE)] == [[], []]


async def test_the_next_attempt_calls_again_and_a_stage_only_its_own(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="staged")
    card = await there.card()
    assert called(card) == ["U01ANA"], "ops have their turn later"
    await there.slack.press(card, "Approve", user="U01ANA")
    await there.house.service.decide(
        (await there.house.review(task)).id, BEN.id, Verdict.REJECT, comment="no", via="web"
    )
    assert called(await there.card_with("attempt 2 · submitted")) == ["U01ANA"]


async def test_a_reminder_calls_who_has_not_decided_in_the_thread(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit("<!channel> please", flow="timed")
    card = await there.card()
    there.house.clock.advance(hours=1)
    told = await there.card(2)
    assert told.thread_ts == card.ts
    (section,) = told.blocks[0]["elements"]
    assert [part["user_id"] for part in section["elements"] if part["type"] == "user"] == ["U01ANA"]
    assert "please decide on attempt 1 of <!channel> please. Until " in "".join(
        part.get("text", "") for part in section["elements"]
    )
    assert told.text.startswith(
        "Reminder for Ana Ruiz: please decide on attempt 1 of &lt;!channel&gt; please."
    )
    assert told.labels == ()


async def test_a_reminder_that_slack_did_not_take_is_said_again_once(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="timed")
    await there.card()
    there.slack.faults.add(Fault(method="chat.postMessage", status=500))
    there.house.clock.advance(hours=1)
    await eventually(lambda: failed_once(there, task))
    there.house.clock.advance(seconds=30)
    await there.card(2)
    assert len(there.slack.messages(GENERAL)) == 2


async def test_a_card_says_when_people_are_called_next_and_after_that_when_again(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    task = await there.house.submit(flow="timed")
    card = await there.card()
    opened = (await there.house.review(task)).opened_at
    assert f" · next reminder {opened + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in text_of(card)
    there.house.clock.advance(hours=1)
    await there.card_with("Reminder for ")
    there.house.clock.advance(LEISURE)
    card = await there.card_with(f" · escalation {opened + timedelta(hours=2):%Y-%m-%d %H:%M} UTC")
    assert called(card) == [], "whoever is called is called by the reminder"
    there.house.clock.advance(hours=1)
    card = await there.card_with("escalated · until ")
    assert all(words not in text_of(card) for words in ("next reminder", " · escalation "))


async def test_a_reminder_that_somebody_puts_off_is_on_the_card_with_its_time(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    task = await there.house.submit()
    card = await there.card()
    assert "next reminder" not in text_of(card)
    at = there.house.clock.now() + timedelta(hours=2)
    await there.house.service.looking.snooze((await there.house.review(task)).id, ANA.id, at, via="web")
    await there.card_with("wants to be reminded later")
    there.house.clock.advance(LEISURE)
    assert (await there.card_with(f"next reminder {at:%Y-%m-%d %H:%M} UTC")).ts == card.ts
    there.house.clock.advance(hours=2)
    await there.card_with("Reminder for ")
    there.house.clock.advance(LEISURE)
    await there.house.quiet()
    assert "next reminder" not in text_of(await there.card())


async def test_an_escalation_is_told_and_the_card_says_so(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="timed")
    await there.card()
    there.house.clock.advance(hours=2)
    told = await there.card_with("Nobody has decided yet.")
    assert "Ben Okri and Cy Young may decide now, too. Until " in told.text
    assert "escalated · until " in text_of(await there.card_with("escalated · "))
    await there.slack.press(await there.card(), "Approve", user="U01BEN")
    assert [made.reviewer for made in await decisions(there, task)] == [BEN.id]


async def test_an_expired_card_says_so_and_is_not_pressed(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit(flow="timed")
    card = await there.card()
    there.house.clock.advance(hours=4)
    expired = await there.card_with("Expired undecided")
    assert expired.labels == ()
    await there.slack.press(card, "Approve", user="U01ANA")
    assert (await there.told("U01ANA")).startswith("This review expired undecided at ")


async def test_a_task_that_its_deadline_fails_is_told_once_by_its_card(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit(flow="fatal")
    await there.card()
    there.house.clock.advance(minutes=2)
    card = await there.card_with("The task failed.")
    assert "Nobody decided in time." in text_of(card)
    there.house.clock.advance(minutes=1)
    await there.house.quiet()
    assert len(there.slack.messages(GENERAL)) == 1, "the card says it"


async def test_a_cancelled_card_names_who_called_it_off(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    await there.card()
    await there.house.service.cancel(task.id, SAM.id)
    assert (await there.card_with("Cancelled by Sam Lee, ")).labels == ()


async def test_out_of_turn_a_press_is_told_whom_the_review_waits_for(there: SlackHouse) -> None:
    task = await there.house.submit(flow="staged")
    card = await there.card()
    assert "0 of 2 approvals · waits for legal" in text_of(card)
    await there.slack.press(card, "Approve", user="U01BEN")
    told = await there.told("U01BEN")
    assert told == "It is not your turn yet: stage 1 of 2 waits for legal. Ana Ruiz can decide."
    assert await decisions(there, task) == ()
    await there.slack.press(card, "Approve", user="U01ANA")
    await there.card_with("1 of 2 approvals · waits for ops")


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_where_the_page_decides_a_press_leads_there(there: SlackHouse, label: str) -> None:
    task = await there.house.submit(flow="page")
    await there.card_with("decided on its page")
    await there.slack.press(await there.card(), label, user="U01ANA")
    assert await there.told("U01ANA") == (
        "This review is decided on its page: its reviewers sign in there. "
        f"<{PUBLIC_URL}/tasks/{task.id}|Open the task>"
    )
    assert there.slack.open_views("U01ANA") == ()
    assert await decisions(there, task) == ()


async def test_where_a_no_needs_a_reason_the_dialog_insists(there: SlackHouse) -> None:
    task = await there.house.submit(flow="reasoned")
    card = await there.card()
    await there.slack.press(card, "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    with pytest.raises(NotOffered, match="required"):
        await there.slack.submit(view, user="U01ANA")
    await there.slack.submit(view, {"Reason": "   "}, user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    assert list(view.errors.values()) == ["This policy asks for a reason: say why."]
    await there.slack.submit(view, {"Reason": "too long"}, user="U01ANA")
    assert [made.comment for made in await decisions(there, task)] == ["too long"]


async def test_a_yes_needs_no_reason_where_only_a_no_does(there: SlackHouse) -> None:
    task = await there.house.submit(flow="reasoned")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    assert [made.verdict for made in await decisions(there, task)] == [Verdict.APPROVE]


async def test_where_a_yes_needs_a_reason_approve_asks_for_it(there: SlackHouse) -> None:
    task = await there.house.submit(flow="always")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    assert await decisions(there, task) == ()
    (view,) = there.slack.open_views("U01ANA")
    await there.slack.submit(view, user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    assert list(view.errors.values()) == ["This policy asks for a reason: say why."]
    await there.slack.submit(view, {"Reason": "Not now", "In your own words": "but fine"}, user="U01ANA")
    (made,) = await decisions(there, task)
    assert (made.verdict, made.comment, made.via) == (Verdict.APPROVE, "Not now\nbut fine", "slack")


async def test_a_ready_reason_is_one_tap(there: SlackHouse) -> None:
    task = await there.house.submit(flow="always")
    await there.slack.press(await there.card(), "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    await there.slack.submit(view, {"Reason": "Too expensive"}, user="U01ANA")
    (made,) = await decisions(there, task)
    assert (made.verdict, made.comment) == (Verdict.REJECT, "Too expensive")


async def test_a_changed_mind_counts_while_the_review_is_open(there: SlackHouse) -> None:
    task = await there.house.submit(flow="lenient")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    approved = await there.card_with("Approved by Ana Ruiz")
    await there.slack.press(approved, "Reject…", user="U01ANA")
    (view,) = there.slack.open_views("U01ANA")
    await there.slack.submit(view, {"Reason": "I misread"}, user="U01ANA")
    assert there.slack.open_views("U01ANA") == ()
    changed = await there.card_with("Rejected by Ana Ruiz")
    assert "Approved by" not in text_of(changed)
    assert [made.verdict for made in await decisions(there, task)] == [Verdict.REJECT]


async def test_an_answer_taken_back_leaves_the_card(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit(flow="lenient")
    await there.slack.press(await there.card(), "Approve", user="U01ANA")
    await there.card_with("Approved by Ana Ruiz")
    await there.house.service.withdraw((await there.house.review(task)).id, ANA.id, via="web")
    card = there.slack.messages(GENERAL)[0].ts
    await there.slack.until(lambda: "0 of 2 approvals" in text_of(there.slack.message(GENERAL, card)))
    shown = text_of(there.slack.message(GENERAL, card))
    assert "Approved by" not in shown
    assert "\nFor Ana Ruiz and Ben Okri\n" in shown, "it waits for her again"


@pytest.mark.parametrize("label", ["Approve", "Reject…"])
async def test_a_delegate_decides_and_the_card_names_both(there: SlackHouse, label: str) -> None:
    task = await there.house.submit(flow="timed")
    card = await there.card()
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    await there.slack.press(card, label, user="U01BEN")
    for view in there.slack.open_views("U01BEN"):
        await there.slack.submit(view, {"Reason": "no"}, user="U01BEN")
    did = "Approved" if label == "Approve" else "Rejected"
    await there.card_with(f"{did} by Ben Okri for Ana Ruiz, ")
    assert (await there.house.service.reviews(task.id))[0].outcome is Outcome(did.lower())


async def test_a_delegate_of_the_submitter_is_told_why_not(there: SlackHouse) -> None:
    task = await there.house.submit(flow="own")
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(SAM.id, BEN.id, until, by=SAM.id)
    await there.slack.press(await there.card(), "Reject…", user="U01BEN")
    assert await there.told("U01BEN") == (
        "The person for whom you decide submitted this task, so somebody else has to decide. "
        "Ana Ruiz can decide."
    )
    assert (await there.house.task(task)).status is Status.WAITING_FOR_REVIEW


async def typed(there: SlackHouse, text: str, user: str = "U01ANA") -> str:
    """What only they read in answer."""
    before = len(there.slack.ephemerals(user))
    answer = await there.slack.command("/countersign", text, user=user, channel=GENERAL)
    assert answer.status == 200
    (seen,) = there.slack.ephemerals(user)[before:]
    return seen.text


async def test_an_open_card_says_what_comes_next_once_somebody_is_away_and_back(there: SlackHouse) -> None:
    task = await there.house.submit(flow="timed")
    opened = (await there.house.review(task)).opened_at
    card = await there.card_with(" · next reminder ")
    tomorrow = f"{there.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    await typed(there, f"away nobody until {tomorrow}")
    await there.house.quiet()
    there.house.clock.advance(LEISURE)
    changed = await there.card_with(f" · escalation {opened + timedelta(hours=2):%Y-%m-%d %H:%M} UTC")
    assert changed.ts == card.ts
    await typed(there, "back")
    await there.house.quiet()
    there.house.clock.advance(LEISURE)
    await there.card_with(f" · next reminder {opened + timedelta(hours=1):%Y-%m-%d %H:%M} UTC")


async def test_away_hands_over_to_whom_one_mentions_and_back_takes_it_back(there: SlackHouse) -> None:
    tomorrow = f"{there.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    said = await typed(there, f"away <@U01BEN|ben> until {tomorrow}")
    assert said.endswith(" UTC; Ben Okri decides for you.")
    (made,) = await there.house.service.delegations.standing()
    assert (made.person, made.delegate) == (ANA.id, BEN.id)
    task = await there.house.submit(flow="timed")
    await there.slack.press(await there.card(), "Approve", user="U01BEN")
    assert [one.seat for one in await decisions(there, task)] == [ANA.id]
    assert await typed(there, "back") == "Welcome back: you are reminded again, and nobody decides for you."
    assert await typed(there, "back") == "You were not away."


@pytest.mark.parametrize("typed_key", ["r&amp;d", "<http://r.d|r.d>"])
async def test_away_finds_who_is_typed_where_slack_makes_markup_of_it(
    over_socket: SlackHouse, monkeypatch: pytest.MonkeyPatch, typed_key: str
) -> None:
    """Three characters come escaped, and what looks like a host as a link."""
    key = PersonId("r&d" if "&" in typed_key else "r.d")
    monkeypatch.setitem(PEOPLE, key, replace(BEN, id=key, name="Research"))
    tomorrow = f"{over_socket.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    said = await typed(over_socket, f"away {typed_key} until {tomorrow}")
    assert said.endswith(" UTC; Research decides for you.")


async def test_days_count_of_which_slack_makes_a_telephone_number(over_socket: SlackHouse) -> None:
    """As it does of digits with dashes between them."""
    day = f"{over_socket.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    number = f"<tel:{day}|{day}>"
    said = await typed(over_socket, f"away <@U01BEN|ben> until {number}")
    assert said.endswith(" UTC; Ben Okri decides for you.")
    await typed(over_socket, "back")
    await over_socket.house.submit()
    await over_socket.card()
    assert "not before" in await typed(over_socket, f"later {number}")


async def test_wrong_words_and_strangers_are_answered_in_private(there: SlackHouse) -> None:
    tomorrow = f"{there.house.clock.now() + timedelta(days=1):%Y-%m-%d}"
    for words in ("", "help", "away", f"away <@U01BEN|ben> {tomorrow}"):
        assert "“/countersign away Ben Okafor until 2026-11-30”" in await typed(there, words)
    assert "Nobody of that name" in await typed(there, f"away <!channel> until {tomorrow}")
    assert "nobody is listed under that person's" in await typed(there, f"away <@U01EVE> until {tomorrow}")
    assert "nobody is listed under yours" in await typed(there, "back", "U01EVE")
    assert list(await there.house.service.delegations.standing()) == []


async def test_what_cannot_be_undone_is_approved_in_slacks_own_dialog(there: SlackHouse) -> None:
    task = await there.house.submit("<!channel> 😀 & " * 100, flow="destructive")
    card = await there.card()
    (approve,) = [one for one in elements(card) if one["action_id"] == "countersign_ask_approve"]
    sure = approve["confirm"]
    assert (sure["title"]["text"], sure["confirm"]["text"], sure["deny"]["text"], sure["style"]) == (
        "Approve?",
        "Approve",
        "Cancel",
        "danger",
    )
    assert sure["text"]["type"] == "plain_text"
    assert sure["text"]["text"].endswith("…\nWhat follows cannot be undone.")
    assert [one for one in elements(card) if "confirm" in one] == [approve]
    await there.slack.press(card, "Approve…", user="U01ANA")
    (made,) = await decisions(there, task)
    assert (made.reviewer, made.verdict) == (ANA.id, Verdict.APPROVE)


def elements(card: Message) -> list[dict[str, Any]]:
    """The buttons under a card."""
    return [one for block in card.blocks if block["type"] == "actions" for one in block["elements"]]


async def test_a_card_names_no_more_who_was_struck_and_says_when_nobody_is_left(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    policy = next(one for one in house_policies() if one.name == "lenient")
    in_force = {"lenient": policy}
    async with slack_house(sqlite_database, clock, http=False, in_force=in_force) as there:
        looking = there.house.service.reconsidering
        await looking.look_over()
        await there.house.submit(flow="lenient")
        assert called(await there.card()) == ["U01ANA", "U01BEN"]
        in_force["lenient"] = replace(policy, reviewers=(ANA.id,), approvals=1)
        await looking.look_over()
        there.house.clock.advance(seconds=10)
        assert "\nFor Ana Ruiz\n" in text_of(await there.card_with("\nFor Ana Ruiz\n"))
        in_force["lenient"] = replace(policy, reviewers=())
        await looking.look_over()
        there.house.clock.advance(seconds=10)
        stuck = text_of(await there.card_with("nobody can decide on it now: bring back who was struck, "))
        assert "\nFor " not in stuck
