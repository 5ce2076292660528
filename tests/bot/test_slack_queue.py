"""What somebody asks Slack for besides a card: their queue, who they are, handing in; App Home, mentions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from structlog.testing import capture_logs

from bot.answers import NOT_RECORDED, SLOW
from bot.menu import LISTED
from bot.reception import WORDS_DECIDE_NOTHING
from bot.simulator.faults import Fault
from bot.simulator.slack.delivery import Kind
from bot.slack.home import AGAIN, COALESCED, KEPT, LIVE_FOR, OPENED
from bot.slack.strangers import UNTOLD
from core.model import MessageRef, Status, TaskFilter, Verdict
from tests.bot import slack_fixtures
from tests.bot.house import PUBLIC_URL
from tests.bot.slack_house import GENERAL, SlackHouse, simulated, slack_house, text_of, typed
from tests.world import ANA, BEN, CY, SAM, StoppedClock, eventually, locked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.simulator.slack import Message
    from core.model import Task
    from core.store.database import Database

HOSTILE = "<!channel> <@U01ANA> *bold* <https://evil.example|click> &amp; \u202e :boom:"


clock, there, over_socket = slack_fixtures.clock, slack_fixtures.there, slack_fixtures.over_socket


async def mentioned(there: SlackHouse, text: str, user: str = "U01ANA", *, under: Message | None) -> Message:
    """What only they read in answer to a mention."""
    before = len(there.slack.ephemerals(user))
    words = f"<@{there.slack.bot_user.id}> {text}"
    await there.slack.say(GENERAL, words, user=user, thread_ts=None if under is None else under.ts)
    await there.slack.until(lambda: len(there.slack.ephemerals(user)) > before)
    (seen,) = there.slack.ephemerals(user)[before:]
    return seen


async def tasks(there: SlackHouse) -> Sequence[Task]:
    return (await there.house.service.tasks(TaskFilter())).tasks


def links(value: object) -> list[str]:
    """Every address that the blocks lead to."""
    if isinstance(value, dict):
        inner = [url for each in value.values() for url in links(each)]
        return [value["url"], *inner] if isinstance(value.get("url"), str) else inner
    return [url for each in value for url in links(each)] if isinstance(value, (list, tuple)) else []


def dates(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value] if value.get("type") == "date" else [one for v in value.values() for one in dates(v)]
    return [one for v in value for one in dates(v)] if isinstance(value, (list, tuple)) else []


async def posted(there: SlackHouse, task: Task) -> Message:
    """The task's card, once we know that it is posted."""
    delivery = await there.house.delivery(task, lambda one: one.message)
    return there.slack.message(GENERAL, str(delivery.message).partition("/")[2])


def card_link(card: Message) -> str:
    return f"https://simulated.slack.example/archives/{GENERAL}/p{card.ts.replace('.', '')}"


# What waits for me


async def test_what_waits_is_listed_with_links_to_cards_and_pages(there: SlackHouse) -> None:
    assert (await typed(there, "pending")).text == "Nothing waits for you."
    task = await there.house.submit("<b> & more", flow="timed")
    card = await posted(there, task)
    seen = await typed(there, "pending")
    assert seen.only_for == "U01ANA"
    assert seen.text == "One review waits for you:"
    page = f"{PUBLIC_URL}/tasks/{task.id}"
    assert links(seen.blocks) == [card_link(card), card_link(card), page, f"{PUBLIC_URL}/inbox"]
    said = text_of(seen)
    assert "<b> & more" in said
    assert "attempt 1 · submitted by Sam Lee · until " in said
    (until,) = dates(seen.blocks)
    review = await there.house.review(task)
    assert review.expires_at is not None
    assert until["timestamp"] == int(review.expires_at.timestamp()) // 60 * 60
    assert until["fallback"] == f"{review.expires_at:%Y-%m-%d %H:%M} UTC"
    assert (await typed(there, "pending", "U01SAM")).text == "Nothing waits for you."


async def permalink(there: SlackHouse, card: Message) -> str:
    """What Slack itself calls it by."""
    client = AsyncWebClient(token=there.slack.bot_token, base_url=there.slack.api_url)
    answer = await client.chat_getPermalink(channel=GENERAL, message_ts=card.ts)
    return str(answer["permalink"])


async def test_our_link_to_a_card_is_slacks_own(over_socket: SlackHouse) -> None:
    await over_socket.house.submit()
    card = await over_socket.card()
    assert await permalink(over_socket, card) == card_link(card)


async def test_the_next_attempts_card_is_linked_to_in_its_thread(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    first = await there.card()
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, via="web")
    await there.house.review(task, attempt=2)
    there.house.clock.advance(seconds=10)
    card = await there.card_with("attempt 2 ·")
    slacks_own = await permalink(there, card)
    assert slacks_own == f"{card_link(card)}?thread_ts={first.ts}&cid={GENERAL}"
    assert links((await typed(there, "pending")).blocks)[:2] == [slacks_own, slacks_own]


async def test_nothing_leads_into_a_conversation_of_one_person(over_socket: SlackHouse) -> None:
    assert over_socket.channel.link(MessageRef("C01GEN/1.2"), None) is not None
    assert over_socket.channel.link(MessageRef("D01BEN/1.2"), None) is None


async def test_at_most_ten_are_listed_and_the_inbox_has_them_all(over_socket: SlackHouse) -> None:
    for number in range(LISTED + 2):
        await over_socket.house.review(await over_socket.house.submit(f"task {number} " + "x" * 500))
    seen = await typed(over_socket, "pending")
    assert seen.text == f"{LISTED + 2} reviews wait for you, the oldest first:"
    said = text_of(seen)
    assert [f"task {number} " in said for number in range(LISTED + 2)] == [True] * LISTED + [False] * 2
    assert said.endswith("And 2 more: Your inbox")
    await over_socket.slack.open_home("U01ANA")
    assert "And 2 more:" in await home_saying(over_socket, f"{LISTED + 2} reviews wait for you")


async def test_a_delegate_reads_for_whom(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.house.submit(flow="brief")
    await there.card()
    until = there.house.clock.now() + timedelta(days=1)
    await there.house.service.delegations.add(ANA.id, BEN.id, until, by=ANA.id)
    seen = await mentioned(there, "pending", "U01BEN", under=None)
    assert "you decide for Ana Ruiz" in text_of(seen)
    assert "you decide for" not in text_of(await typed(there, "pending"))


# Who am I


async def test_whoami_says_what_to_write_and_whether_it_is_known(there: SlackHouse) -> None:
    known = await typed(there, "whoami")
    assert known.only_for == "U01ANA"
    assert known.text.startswith("You are Ana Ruiz: countersign.toml knows this id of yours.")
    assert '[people.ana]\nslack = "U01ANA"' in text_of(known)
    stranger = await typed(there, "whoami", "U01EVE")
    assert "lists nobody under your id" in stranger.text
    assert 'name = "Your Name"\nslack = "U01EVE"' in text_of(stranger)
    elsewhere = await mentioned(there, "WhoAmI", "U01BEN", under=None)
    assert 'slack = "T0PARTNER/U01BEN"' in text_of(elsewhere)


async def test_strangers_are_told_how_they_become_known(there: SlackHouse) -> None:
    for text in ("pending", "submit pay me", "looking"):
        said = (await typed(there, text, "U01EVE")).text
        assert "nobody is listed under yours, T0SIMULATED/U01EVE" in said
        assert ("Nothing was changed" in said) is (text != "pending"), "a question changes nothing anyway"
        assert "Say “/countersign whoami”" in said
    assert await tasks(there) == ()


# Handing in


async def test_a_task_is_handed_in_and_its_author_hears_the_outcome(there: SlackHouse) -> None:
    seen = await typed(there, "submit Refund EUR 40\nto Mira", "U01SAM")
    (task,) = await tasks(there)
    assert (task.input, task.submitter) == ("Refund EUR 40\nto Mira", SAM.id)
    assert seen.text.startswith("Handed in: Refund EUR 40")
    assert "How it ends you hear in a direct message from me." in seen.text
    assert links(seen.blocks) == [f"{PUBLIC_URL}/tasks/{task.id}"]
    card = await there.card()
    await there.slack.press(card, "Approve", user="U01ANA")
    im = there.slack.open_im("U01SAM").id
    await there.slack.until(lambda: there.slack.messages(im))
    (told,) = there.slack.messages(im)
    assert "your task" in text_of(told)
    assert "was approved" in text_of(told)
    assert "Ana Ruiz" in text_of(told)
    assert links(told.blocks) == [f"{PUBLIC_URL}/tasks/{task.id}"]


async def test_a_rejection_that_ends_it_and_a_cancellation_are_told_too(over_socket: SlackHouse) -> None:
    there = over_socket
    im = there.slack.open_im("U01SAM").id
    await typed(there, "submit one", "U01SAM")
    (task,) = await tasks(there)
    await there.card()
    await there.house.service.cancel(task.id, SAM.id)
    await there.slack.until(lambda: there.slack.messages(im))
    assert "was cancelled" in text_of(there.slack.messages(im)[0])


async def test_the_same_command_twice_is_one_task(there: SlackHouse) -> None:
    there.slack.deliveries.duplicate = 1
    answer = await there.slack.command("/countersign", "submit once", user="U01SAM", channel=GENERAL)
    assert answer.ok
    assert len(await tasks(there)) == 1
    await typed(there, "submit once", "U01SAM")
    assert len(await tasks(there)) == 2, "typed again it is another"


async def test_the_outcome_is_told_after_a_restart_and_when_slack_was_away(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as slack:
        async with slack_house(sqlite_database, clock, http=False, running=slack) as first:
            await typed(first, "submit slowly", "U01SAM")
            (task,) = await tasks(first)
            await first.card()
            review = await first.house.review(task)
            slack.faults.add(Fault(method="chat.postMessage", status=503))
            await first.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
            await slack.until(lambda: any(call.status == 503 for call in slack.calls))
        async with slack_house(sqlite_database, clock, http=False, running=slack):
            im = slack.open_im("U01SAM").id
            await slack.until(lambda: slack.messages(im))
            assert len(slack.messages(im)) == 1


async def test_nothing_to_hand_in_an_unknown_flow_and_hostile_words(there: SlackHouse) -> None:
    assert "“/countersign submit Refund" in (await typed(there, "submit", "U01SAM")).text
    assert "There is no flow 'nope'" in (await typed(there, "submit flow:nope x", "U01SAM")).text
    assert await tasks(there) == ()
    seen = await typed(there, f"submit {HOSTILE}", "U01SAM")
    (task,) = await tasks(there)
    assert task.input == "@channel @U01ANA *bold* https://evil.example & \u202e :boom:"
    assert "<!channel>" not in seen.text
    assert "https://evil.example" not in links(seen.blocks)
    await typed(there, "submit flow:brief quickly", "U01SAM")
    assert {one.flow for one in await tasks(there)} == {"draft", "brief"}


async def test_a_database_that_is_away_says_so(over_socket: SlackHouse, sqlite_database: Database) -> None:
    with locked(sqlite_database.url.database):
        assert "could not be recorded" in (await typed(over_socket, "submit x", "U01SAM")).text
    assert await tasks(over_socket) == ()


# Mentions


async def test_a_mention_in_a_cards_thread_is_about_its_newest_open_review(there: SlackHouse) -> None:
    for number in range(2):
        await there.house.submit(f"task {number}", flow="lenient")
        await there.card(number + 1)
    first, second = there.slack.messages(GENERAL)[:2]
    for card in (first, second):
        title = text_of(card).partition("Review: ")[2].partition("\n")[0]
        seen = await mentioned(there, "looking", under=card)
        assert seen.only_for == "U01ANA"
        assert seen.thread_ts == card.ts
        assert seen.text == f"The cards say that you are looking at attempt 1 of {title}."
    assert "not before" in (await mentioned(there, "later 2h", under=first)).text
    assert "You have not decided" in (await mentioned(there, "withdraw", under=first)).text


async def test_in_the_thread_of_an_older_attempt_it_is_about_the_newer(over_socket: SlackHouse) -> None:
    there = over_socket
    task = await there.house.submit()
    card = await there.card()
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.REJECT, via="web")
    await there.house.review(task, attempt=2)
    assert "attempt 2" in (await mentioned(there, "looking", under=card)).text


async def test_mentions_list_hand_in_and_introduce_in_private(there: SlackHouse) -> None:
    assert (await mentioned(there, "pending", under=None)).text == "Nothing waits for you."
    assert "slack = " in text_of(await mentioned(there, "whoami", "U01EVE", under=None))
    await mentioned(there, "submit do it", "U01SAM", under=None)
    (task,) = await tasks(there)
    assert task.input == "do it"
    card = await there.card()
    assert (await mentioned(there, "back", under=card)).text == "You were not away."
    assert "@Countersign pending" in (await mentioned(there, "what?", under=card)).text
    assert "Say “@Countersign whoami”" in (await mentioned(there, "pending", "U01EVE", under=card)).text


@pytest.mark.parametrize("words", ["approve", "OK!", "lgtm", ":+1:", "yes, please", "reject this", "no"])
async def test_words_that_look_like_a_decision_decide_nothing(over_socket: SlackHouse, words: str) -> None:
    there = over_socket
    task = await there.house.submit()
    card = await there.card()
    assert (await mentioned(there, words, under=card)).text == WORDS_DECIDE_NOTHING
    assert (await typed(there, words)).text == WORDS_DECIDE_NOTHING
    assert (await there.house.service.reviews(task.id))[0].decisions == ()


async def test_a_mention_that_slack_tells_of_again_is_answered_once(over_socket: SlackHouse) -> None:
    there = over_socket
    there.slack.deliveries.duplicate = 1
    await mentioned(there, "submit once", "U01SAM", under=None)
    assert len(await tasks(there)) == 1
    await mentioned(there, "pending", "U01SAM", under=None)
    assert len(there.slack.ephemerals("U01SAM")) == 2


async def test_a_mention_is_answered_also_where_it_cannot_be_noted(over_socket: SlackHouse) -> None:
    there = over_socket
    there.house.inbox.is_down = True
    assert (await mentioned(there, "pending", under=None)).text == "Nothing waits for you."
    assert (await mentioned(there, "back", under=None)).text == NOT_RECORDED


async def test_words_that_are_remembered_wait_for_nobody(there: SlackHouse) -> None:
    """Whenever the process is killed: of Slack's, nobody looks what is left to be handled."""
    there.house.inbox.is_full = True
    assert (await typed(there, "back")).text == "You were not away."
    assert (await mentioned(there, "back", under=None)).text == "You were not away."
    assert not await there.house.store.unhandled_updates(there.channel.name)


@pytest.mark.parametrize("http", [False, True])
async def test_a_mention_that_breaks_us_is_heard_again_and_logged_without_what_people_wrote(
    sqlite_database: Database, clock: StoppedClock, caplog: pytest.LogCaptureFixture, *, http: bool
) -> None:
    async with slack_house(sqlite_database, clock, http=http, event_retries=(0.01,)) as there:
        there.house.service.defect = ValueError("pay Mira Holm nothing")
        with capture_logs() as logs:
            assert (await mentioned(there, "pending", under=None)).text == "Nothing waits for you."
        (told,) = [line for line in logs if line["event"] == "request_failed"]
        assert told["error"] == "ValueError"
        assert "mentions.py" in told["at"]
        assert "Mira" not in f"{logs} {caplog.text}"


async def test_a_press_that_breaks_us_is_logged_without_what_people_wrote(
    there: SlackHouse, caplog: pytest.LogCaptureFixture
) -> None:
    task = await there.house.submit()
    card = await there.card()
    there.house.service.defect = ValueError("pay Mira Holm nothing")
    with capture_logs() as logs:
        assert not (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert [line["error"] for line in logs if line["event"] == "request_failed"] == ["ValueError"]
    assert "Mira" not in f"{logs} {caplog.text}"
    assert (await there.slack.press(card, "Approve", user="U01ANA")).ok
    assert len((await there.house.service.reviews(task.id))[0].decisions) == 1


async def test_edited_and_foreign_mentions_are_passed_over(over_socket: SlackHouse) -> None:
    there = over_socket
    event = {
        "type": "app_mention",
        "user": "U01SAM",
        "channel": GENERAL,
        "ts": "1.000001",
        "team": there.slack.team_id,
        "text": f"<@{there.slack.bot_user.id}> submit sneaky",
    }
    frame = {"type": "event_callback", "team_id": there.slack.team_id, "event_id": "Ev1"}
    for odd in ({"edited": {"ts": "2"}}, {"bot_id": "B0OTHER"}, {"team": "T0OTHER"}, {"ts": 5}):
        frame = frame | {"event_id": f"Ev{len(str(odd))}{min(odd)}"}
        await there.slack.deliver(frame | {"event": event | odd}, kind=Kind.EVENT)
    assert await tasks(there) == ()


async def test_a_command_that_takes_too_long_is_answered_in_time(there: SlackHouse) -> None:
    """Slack tells whoever typed it after 3 s that the app has failed, and shows no later answer."""
    there.house.service.slow_lists = asyncio.Event()
    assert (await typed(there, "pending")).text == SLOW


async def test_of_an_untold_workspace_somebody_is_ours_only_where_nobody_elses_can_write(
    over_socket: SlackHouse,
) -> None:
    """In a channel shared with another organisation somebody of theirs may have any id, ours too."""
    there = over_socket
    event = {
        "type": "app_mention",
        "user": "U01SAM",
        "channel": GENERAL,
        "text": f"<@{there.slack.bot_user.id}> submit it",
    }
    frame = {"type": "event_callback", "team_id": there.slack.team_id}
    for number, shared in enumerate(({"is_ext_shared_channel": True}, {}, {"is_ext_shared_channel": False})):
        assert await tasks(there) == ()
        body = frame | shared | {"event_id": f"Ev{number}", "event": event | {"ts": f"{number}.000001"}}
        await there.slack.deliver(body, kind=Kind.EVENT)
    (task,) = await tasks(there)
    assert task.submitter == SAM.id
    refused = [seen.text for seen in there.slack.ephemerals("U01SAM")][:2]
    assert refused == [f"Nothing was changed: {UNTOLD.format('U01SAM')}"] * 2


async def test_whoami_of_an_untold_workspace_offers_no_line_that_would_name_another(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    event = {
        "type": "app_mention",
        "user": "U01SAM",
        "channel": GENERAL,
        "text": f"<@{there.slack.bot_user.id}> whoami",
        "ts": "1.000001",
    }
    frame = {"type": "event_callback", "team_id": there.slack.team_id, "event_id": "Ev1"}
    await there.slack.deliver(frame | {"event": event}, kind=Kind.EVENT)
    assert await there.told("U01SAM") == UNTOLD.format("U01SAM")


# App Home


async def home_saying(there: SlackHouse, words: str, user: str = "U01ANA") -> str:
    def said() -> str:
        view = there.slack.home(user)
        return "" if view is None else "\n".join(_strings(list(view.blocks)))

    await there.slack.until(lambda: words in said())
    return said()


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in _strings(each)]
    return [value] if isinstance(value, str) else []


async def test_the_home_shows_what_waits_and_changes_by_itself(there: SlackHouse) -> None:
    await there.slack.open_home("U01ANA")
    await home_saying(there, "Nothing waits for you.")
    task = await there.house.submit("<b> & more", flow="brief")
    card = await posted(there, task)
    there.house.clock.advance(seconds=1)
    shown = await home_saying(there, "One review waits for you:")
    assert "<b> & more" in shown
    assert card_link(card) in shown
    review = await there.house.review(task)
    await there.house.service.decide(review.id, ANA.id, Verdict.APPROVE, via="web")
    there.house.clock.advance(seconds=1)
    await home_saying(there, "Nothing waits for you.")
    assert '"button"' not in shown


async def test_a_stranger_reads_in_the_home_who_they_are(there: SlackHouse) -> None:
    await there.slack.open_home("U01EVE")
    assert 'slack = "U01EVE"' in await home_saying(there, "lists nobody under your id", "U01EVE")


async def test_our_other_tabs_publish_nothing(over_socket: SlackHouse) -> None:
    there = over_socket
    event = {"type": "app_home_opened", "user": "U01ANA", "channel": "D01ANA", "tab": "messages"}
    frame = {"type": "event_callback", "team_id": there.slack.team_id, "event_id": "Ev1", "event": event}
    await there.slack.deliver(frame, kind=Kind.EVENT)
    await there.slack.open_home("U01SAM")
    await home_saying(there, "Nothing waits for you.", "U01SAM")
    assert there.slack.home("U01ANA") is None
    assert there.transcript.count("views.publish") == 1


async def test_many_changes_are_one_publication_and_none_where_nothing_changed(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    for user in ("U01ANA", "U01SAM"):
        await there.slack.open_home(user)
        await home_saying(there, "Nothing waits for you.", user)
    for number in range(5):
        await there.house.review(await there.house.submit(f"task {number}"))
    there.house.clock.advance(seconds=COALESCED.total_seconds())
    await home_saying(there, "5 reviews wait for you")
    assert there.transcript.count("views.publish") == 3, "Sam's list did not change"


async def test_a_home_is_kept_up_to_date_for_an_hour(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.slack.open_home("U01ANA")
    await home_saying(there, "Nothing waits for you.")
    there.house.clock.advance(seconds=LIVE_FOR.total_seconds() + 1)
    await there.house.review(await there.house.submit())
    there.house.clock.advance(seconds=5)
    homes = there.channel._homes
    assert homes is not None
    assert not homes._homes, "and not published once more a moment later"
    assert there.transcript.count("views.publish") == 1
    await there.slack.open_home("U01ANA")
    await home_saying(there, "One review waits for you:")


async def test_a_pause_that_slack_asks_for_is_kept_and_the_home_follows(over_socket: SlackHouse) -> None:
    there = over_socket
    pause = Fault(method="views.publish", status=429, headers={"Retry-After": "30"}, times=1)
    there.slack.faults.add(pause)
    await there.slack.open_home("U01ANA")
    homes = there.channel._homes
    assert homes is not None

    async def waits() -> object:
        await tasks(there)
        return homes._alarm

    await eventually(waits)
    there.house.clock.advance(seconds=29)
    assert there.slack.home("U01ANA") is None
    there.house.clock.advance(seconds=2)
    await home_saying(there, "Nothing waits for you.")


async def test_a_slack_that_is_away_is_tried_again_and_a_home_that_it_refuses_is_not(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    there.slack.faults.add(Fault(method="views.publish", status=503, body={}))
    await there.slack.open_home("U01ANA")
    await there.slack.until(lambda: "views.publish" in there.transcript)
    await there.house.service.tasks(TaskFilter())
    there.house.clock.advance(seconds=AGAIN.total_seconds())
    await home_saying(there, "Nothing waits for you.")
    there.slack.faults.add(Fault(method="views.publish", body={"ok": False, "error": "not_enabled"}))
    await there.slack.open_home("U01SAM")
    await there.slack.until(lambda: there.transcript.count("views.publish") == 3)
    await there.house.review(await there.house.submit())
    there.house.clock.advance(seconds=60)
    await home_saying(there, "One review waits for you:")
    assert there.slack.home("U01SAM") is None


async def test_nothing_is_published_during_a_pause_whoever_opens_or_decides(
    over_socket: SlackHouse,
) -> None:
    there = over_socket
    there.slack.faults.add(Fault(method="views.publish", status=429, headers={"Retry-After": "30"}))
    await there.slack.open_home("U01ANA")
    await there.slack.until(lambda: "views.publish" in there.transcript)
    await there.house.review(await there.house.submit())
    await there.slack.open_home("U01SAM")
    for _ in range(10):
        there.house.clock.advance(seconds=1)
        await there.house.service.tasks(TaskFilter())
    assert there.transcript.count("views.publish") == 1
    there.house.clock.advance(seconds=31)
    await home_saying(there, "One review waits for you:")
    await home_saying(there, "Nothing waits for you.", "U01SAM")


async def test_a_pause_of_homes_is_no_longer_where_the_clock_is_set_back(over_socket: SlackHouse) -> None:
    there = over_socket
    there.slack.faults.add(Fault(method="views.publish", status=429, headers={"Retry-After": "30"}))
    await there.slack.open_home("U01ANA")
    await there.slack.until(lambda: "views.publish" in there.transcript)
    await tasks(there)
    there.house.clock.advance(hours=-6)
    there.house.clock.advance(seconds=31)
    await home_saying(there, "Nothing waits for you.")


async def test_slacks_own_limit_is_kept_and_whoever_opens_goes_first(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with (
        simulated(enforce_rate_limits=True, now=lambda: clock.now().timestamp()) as slack,
        slack_house(sqlite_database, clock, http=False, running=slack) as there,
    ):
        users = [f"U9{number:04}" for number in range(OPENED[0].calls + 5)]
        for user in users:
            slack.add_user(user, user)
            await slack.open_home(user)
        await slack.until(lambda: there.transcript.count("views.publish") == OPENED[0].calls)
        clock.advance(seconds=61)
        await home_saying(there, "lists nobody", users[-1])
        assert all(call.status == 200 for call in slack.calls if call.method == "views.publish")


async def test_whoever_opens_theirs_does_not_wait_for_the_homes_of_others(over_socket: SlackHouse) -> None:
    there = over_socket
    await there.slack.open_home("U01ANA")
    await home_saying(there, "Nothing waits for you.")
    # what changes by itself for Ana hangs
    there.slack.faults.add(Fault(method="views.publish", contains="U01ANA", delay=3600.0))
    await there.house.review(await there.house.submit())
    there.house.clock.advance(seconds=1)
    await there.slack.open_home("U01SAM")
    await home_saying(there, "Nothing waits for you.", "U01SAM")


async def test_only_so_many_homes_are_kept(over_socket: SlackHouse) -> None:
    there = over_socket
    users = [f"U9{number:04}" for number in range(KEPT + 3)]
    for user in users:
        there.slack.add_user(user, user)
        await there.slack.open_home(user)
    homes = there.channel._homes
    assert homes is not None
    assert list(homes._homes) == users[3:], "those who opened theirs last"


async def test_after_a_restart_a_home_is_fresh_once_it_is_opened(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as slack:
        async with slack_house(sqlite_database, clock, http=False, running=slack) as first:
            await slack.open_home("U01ANA")
            await home_saying(first, "Nothing waits for you.")
        async with slack_house(sqlite_database, clock, http=False, running=slack) as second:
            await second.house.review(await second.house.submit())
            await slack.open_home("U01ANA")
            await home_saying(second, "One review waits for you:")


# Times


async def test_times_on_cards_are_where_the_reader_is(over_socket: SlackHouse) -> None:
    there = over_socket
    written = "2026-01-01 00:00 UTC"
    task = await there.house.submit(f"by {written}", flow="timed")
    card = await there.card()
    review = await there.house.review(task)
    assert review.expires_at is not None
    assert [one["fallback"] for one in dates(card.blocks)] == [
        f"{at:%Y-%m-%d %H:%M} UTC" for at in (review.expires_at, review.opened_at + timedelta(hours=1))
    ], "until when, and the next reminder"
    assert written in text_of(card)
    await there.slack.press(card, "Approve", user="U01ANA")
    closed = await there.card_with("Approved by Ana Ruiz")
    assert [one["format"] for one in dates(closed.blocks)] == ["{date_short_pretty} {time}"]
    assert (await there.house.service.task(task.id)).status in {Status.RUNNING, Status.COMPLETED}
    assert CY.id not in {one.reviewer for one in (await there.house.service.reviews(task.id))[0].decisions}
