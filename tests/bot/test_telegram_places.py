"""Telegram's places: topics of forums, groups that move, channels; and what is lost in a long silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from telegram import Chat as TelegramChat
from telegram import Message as TelegramMessage
from telegram import User

from bot.cards import NEWER
from bot.simulator.faults import Fault
from bot.telegram.hearing import EVERY, KEPT, Hearing
from bot.telegram.places import address_of, is_anonymous, is_somebody, topic_of
from core.errors import PlaceMoved, RateLimited
from core.model import ChannelName, DeliveryState, MessageRef, Verdict
from tests.bot.house import decided
from tests.bot.telegram_house import ANA_ID, BEN_ID, GROUP, TelegramHouse, simulated, telegram_house
from tests.world import ANA, BEN, eventually

if TYPE_CHECKING:
    from bot.simulator.telegram.chats import Message
    from core.model import Delivery, Task
    from core.ports import ChatInbox
    from core.store.database import Database
    from tests.world import StoppedClock

TELEGRAM = ChannelName("telegram")
BASIC = -5
NEWS = -1009


async def in_time(there: TelegramHouse, clock: StoppedClock, words: str, chat: int) -> Message:
    """The first message that says so, while time passes at which the platform's limits let it through."""

    async def ask() -> list[Message]:
        clock.advance(seconds=0.1)
        await there.house.store.counts()
        return there.saying(words, chat)

    return (await eventually(ask))[0]


async def deliveries(there: TelegramHouse, task: Task) -> list[Delivery]:
    return list(await there.house.service.deliveries(task.id))


# -- forums


async def test_everything_about_a_task_stays_in_the_topic(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        forum = telegram.add_chat(-1007, "supergroup", "Forum", [ANA_ID, BEN_ID], forum=True)
        forum.topics[45] = "Reviews"
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat="-1007/45"
        ) as there:
            task = await there.house.submit()
            card = await there.card(chat=-1007)
            assert card.thread == 45
            await telegram.press(card, "Reject…", user=ANA_ID)
            prompt = await there.card_with("why do you reject", chat=-1007)
            assert prompt.thread == 45
            await telegram.press(prompt, "No reason", user=ANA_ID)
            second = await in_time(there, clock, "attempt 2 ·", -1007)
            await in_time(there, clock, "superseded by attempt 2", -1007)
            assert (second.thread, second.reply_to) == (45, card.id)
            await telegram.press(second, "Approve", user=BEN_ID)
            await in_time(there, clock, "Approved by Ben Okri", -1007)
            for one in await deliveries(there, task):
                assert one.recipient.address == "-1007/45"


async def test_the_general_topic_is_the_chat_itself(sqlite_database: Database, clock: StoppedClock) -> None:
    async with simulated() as telegram:
        telegram.add_chat(-1007, "supergroup", "Forum", [ANA_ID], forum=True)
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=-1007
        ) as there:
            await there.house.submit()
            assert (await there.card(chat=-1007)).thread is None


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("Bad Request: message thread not found", "the topic does not exist"),
        ("Bad Request: TOPIC_CLOSED", "the topic is closed"),
    ],
)
async def test_a_topic_that_takes_nothing_is_named(
    sqlite_database: Database, clock: StoppedClock, description: str, hint: str
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(-1007, "supergroup", "Forum", [ANA_ID], forum=True)
        telegram.faults.add(
            Fault(method="sendMessage", status=400, body={"ok": False, "description": description})
        )
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat="-1007/45"
        ) as there:
            task = await there.house.submit()
            gone = await there.house.delivery(task, lambda one: one.state is DeliveryState.GIVEN_UP)
            assert hint in (gone.error or "")
            assert (await there.house.review(task)).is_open


async def test_topics_of_one_forum_share_its_pace(sqlite_database: Database, clock: StoppedClock) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False) as there:
        task = await there.house.submit()
        await there.card()
        sent = await there.house.delivery(task, lambda found: found.message is not None)
        review = await there.house.review(task)
        there.telegram.chat(GROUP).topics |= {2: "a", 3: "b", 4: "c"}
        for topic in (2, 3):
            place = replace(sent.recipient, address=f"{GROUP}/{topic}")
            await there.channel.post(replace(sent, recipient=place), review, thread=None)
        third = replace(sent, recipient=replace(sent.recipient, address=f"{GROUP}/4"))
        with pytest.raises(RateLimited) as refused:
            await there.channel.post(third, review, thread=None)
        assert refused.value.retry_after == timedelta(seconds=3)
        assert not refused.value.whole_channel


# -- groups that become supergroups


async def test_cards_follow_a_group_that_moves_and_so_they_do_after_a_restart(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(BASIC, "group", "Reviews", [ANA_ID, BEN_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=BASIC
        ) as there:
            opened, closed = await there.house.submit("the open one"), await there.house.submit("over")
            await there.card_with("the open one", chat=BASIC)
            over = await there.card_with("over", chat=BASIC)
            await telegram.press(over, "Approve", user=ANA_ID)
            await there.card_with("Approved by Ana Ruiz", chat=BASIC)
            new = telegram.migrate(BASIC)
            card = await there.card_with("the open one", chat=new)
            assert [one.recipient.address for one in await deliveries(there, closed)] == [str(BASIC)]
            await telegram.press(card, "Approve", user=ANA_ID)
            assert (await decided(there, opened)).reviewer == ANA.id
            await there.card_with("Approved by Ana Ruiz", chat=new)
        calls = len(telegram.calls)
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=BASIC
        ) as again:
            await again.house.submit("a later one")
            await again.card_with("a later one", chat=new)
        asked = [call.params.get("chat_id") for call in telegram.calls[calls:] if "chat_id" in call.params]
        assert asked == [new], "the old id is not even tried"


async def test_in_a_group_that_moved_a_next_attempts_card_replies_to_nothing_of_another_chat(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """Its first attempt's card stays behind, and its number there is that of another message here."""
    async with simulated() as telegram:
        telegram.add_chat(BASIC, "group", "Reviews", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=BASIC
        ) as there:
            task = await there.house.submit()
            first = await there.card(chat=BASIC)
            review = await there.house.review(task)
            await there.house.service.decide(review.id, BEN.id, Verdict.REJECT, via="web")
            second = await there.card_with("attempt 2 · submitted", chat=BASIC)
            assert second.reply_to == first.id
            await there.card_with("superseded by attempt 2", chat=BASIC)
            new = telegram.migrate(BASIC)
            while max((one.id for one in telegram.messages(new)), default=0) < first.id:
                await telegram.say(new, "something else", user=ANA_ID)
            clock.advance(seconds=3)
            card = await there.card_with("attempt 2 · submitted", chat=new)
            assert card.reply_to is None


async def test_a_move_that_telegram_tells_only_when_it_is_asked_is_followed_by_what_is_to_be_changed(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(BASIC, "group", "Reviews", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=BASIC
        ) as there:
            task = await there.house.submit()
            await there.card(chat=BASIC)
            telegram.updates.hold()
            new = telegram.migrate(BASIC)
            review = await there.house.review(task)
            await there.house.service.decide(review.id, BEN.id, Verdict.APPROVE, via="web")
            card = await there.card_with("Approved by Ben Okri", chat=new)
            assert not card.labels
            telegram.updates.release()


async def test_an_edit_in_a_group_that_moved_names_the_new_one(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False) as there:
        task = await there.house.submit()
        await there.card()
        sent = await there.house.delivery(task, lambda found: found.message is not None)
        assert sent.message is not None
        moved = {
            "ok": False,
            "error_code": 400,
            "description": "Bad Request: group chat was upgraded to a supergroup chat",
            "parameters": {"migrate_to_chat_id": -(2**51)},
        }
        there.telegram.faults.add(Fault(method="editMessageText", status=400, body=moved))
        with pytest.raises(PlaceMoved) as refused:
            await there.channel.update(sent, await there.house.review(task), message=sent.message)
        assert refused.value.address == str(-(2**51))


# -- channels


async def test_a_channel_is_announced_to_by_its_name_and_the_thread_holds(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(NEWS, "channel", "News", [ANA_ID], username="reviews_news")
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat="@reviews_news"
        ) as there:
            task = await there.house.submit()
            card = await there.card(chat=NEWS)
            clock.advance(minutes=1)  # it takes three messages in as many seconds
            await there.house.service.decide(
                (await there.house.review(task)).id, BEN.id, Verdict.REJECT, via="web"
            )
            second = await there.card_with("attempt 2 ·", chat=NEWS)
            assert second.reply_to == card.id
            clock.advance(minutes=1)
            await telegram.press(second, "Approve", user=ANA_ID)
            await there.card_with("Approved by Ana Ruiz", chat=NEWS)


async def test_a_channel_that_is_named_and_numbered_has_one_pace_also_after_a_restart(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """An edit tells which number a name has, as a post does."""
    async with simulated() as telegram:
        telegram.add_chat(NEWS, "channel", "News", [ANA_ID], username="reviews_news")
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat="@reviews_news"
        ) as there:
            task = await there.house.submit()
            await there.card(chat=NEWS)
            review = await there.house.review(task)
            sent = await there.house.delivery(task, lambda found: found.message is not None)
        clock.advance(minutes=5)
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat="@reviews_news"
        ) as there:
            assert sent.message is not None
            for _ in range(3):
                await there.channel.update(sent, review, message=sent.message)
            for address in ("@reviews_news", str(NEWS)):
                place = replace(sent.recipient, address=address)
                assert there.channel.spacing(place, edits=True) > 0


async def test_nothing_replies_to_the_message_that_has_the_number_of_another_chats(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    """The thread began in the group that this one was; here somebody else's message has its number."""
    async with telegram_house(sqlite_database, clock, webhook=False) as there:
        task = await there.house.submit()
        card = await there.card()
        sent = await there.house.delivery(task, lambda found: found.message is not None)
        review = await there.house.review(task)
        for chat, above in ((GROUP, card.id), (BASIC, None)):
            began = MessageRef(f"{chat}/{card.id}")
            posted = await there.channel.post(sent, review, thread=began)
            number = int(posted.partition("/")[2])
            assert there.telegram.message(GROUP, number).reply_to == above


async def test_a_reason_for_a_press_in_a_channel_is_asked_for_in_private(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with simulated() as telegram:
        telegram.add_chat(NEWS, "channel", "News", [ANA_ID])
        async with telegram_house(
            sqlite_database, clock, webhook=False, telegram=telegram, chat=NEWS
        ) as there:
            task = await there.house.submit(flow="reasoned")
            await telegram.press(await there.card(chat=NEWS), "Reject…", user=ANA_ID)
            prompt = await there.card_with("why do you reject", chat=ANA_ID)
            assert len(there.ours(NEWS)) == 1, "nobody else reads along"
            await telegram.say(ANA_ID, "too long", user=ANA_ID, reply_to=prompt)
            decision = await decided(there, task)
            assert (decision.reviewer, decision.verdict, decision.comment) == (
                ANA.id,
                Verdict.REJECT,
                "too long",
            )


# -- styles


async def test_buttons_have_styles_where_telegram_takes_them(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with telegram_house(sqlite_database, clock, webhook=False) as there:
        await there.house.submit()
        card = await there.card()
        assert [card.button(label).get("style") for label in ("Approve", "Reject…")] == ["success", "danger"]


async def test_a_server_that_refuses_styles_gets_none_from_then_on(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    said = "Bad Request: can't parse inline keyboard button: invalid button style specified"
    refusal = {"ok": False, "error_code": 400, "description": said}
    async with simulated() as telegram:
        telegram.faults.add(Fault(contains="style", status=400, body=refusal, times=None))
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            for number in (1, 2):
                await there.house.submit(f"number {number}")
                card = await there.card(number)
                assert card.button("Approve").get("style") is None
            assert [call.status for call in telegram.calls_of("sendMessage")] == [400, 200, 200]
            await telegram.press(card, "Approve", user=ANA_ID)
            await there.card_with("Approved by Ana Ruiz")
            clock.advance(minutes=1)
            await there.house.submit("long " * 1_000)
            await telegram.until(lambda: telegram.calls_of("sendDocument"))
            assert [call.status for call in telegram.calls_of("sendDocument")] == [200]


# -- a long silence


@pytest.mark.parametrize("webhook", [False, True], ids=["polling", "webhook"])
async def test_after_a_day_away_every_open_card_comes_anew_once(
    sqlite_database: Database, clock: StoppedClock, *, webhook: bool
) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as there:
            task = await there.house.submit("the open one")
            old = await there.card_with("the open one")
        clock.advance(KEPT + 2 * EVERY)
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as again:
            await telegram.start(ANA_ID)  # a poll that brings nothing takes its time
            new = await telegram.until(lambda: again.saying("the open one")[1])
            assert new.reply_to == old.id
            assert new.labels == old.labels
            await telegram.until(lambda: NEWER in telegram.message(GROUP, old.id).text)
            assert telegram.message(GROUP, old.id).labels == ()
            await again.house.noted()
        async with telegram_house(sqlite_database, clock, webhook=webhook, telegram=telegram) as third:
            await telegram.press(new, "Approve", user=ANA_ID)
            assert (await decided(third, task)).reviewer == ANA.id
            await telegram.until(lambda: len(third.saying("Approved by Ana Ruiz")) == 2)
            assert len(third.saying("the open one")) == 2


async def test_a_shorter_absence_changes_nothing(sqlite_database: Database, clock: StoppedClock) -> None:
    async with simulated() as telegram:
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as there:
            await there.house.submit("the open one")
            old = await there.card_with("the open one")
        clock.advance(KEPT - 2 * EVERY)
        async with telegram_house(sqlite_database, clock, webhook=False, telegram=telegram) as again:
            await again.house.submit("another")
            await again.card_with("another")
            await telegram.start(ANA_ID)
            await again.house.submit("a third")
            await again.card_with("a third")
            assert len(again.saying("the open one")) == 1
            assert telegram.message(GROUP, old.id).labels == old.labels


@pytest.mark.parametrize("waiting", [3, 0])
async def test_a_webhook_that_is_not_reached_is_a_silence_too(
    sqlite_database: Database, clock: StoppedClock, waiting: int
) -> None:
    """Telegram tells of its last trouble also where all has come through since."""
    stuck = {
        "url": "https://sign.example.com/telegram/webhook",
        "has_custom_certificate": False,
        "pending_update_count": waiting,
        "last_error_date": 1,
        "last_error_message": "Connection refused",
    }
    async with telegram_house(sqlite_database, clock, webhook=True) as there:
        await there.house.submit("the open one")
        await there.card_with("the open one")
        await there.telegram.until(lambda: there.telegram.calls_of("getWebhookInfo"))
        there.telegram.faults.add(
            Fault(method="getWebhookInfo", status=200, body={"ok": True, "result": stuck}, times=150)
        )
        for asked in range(2, 152):
            await eventually(lambda: asks_again(there, clock))
            clock.advance(EVERY)
            await asked_for(there, asked)
        assert len(there.saying("the open one")) == 1
        await eventually(lambda: asks_again(there, clock))
        clock.advance(EVERY)
        if waiting:
            await there.telegram.until(lambda: there.saying("the open one")[1])
        else:
            await asked_for(there, 152)
            await there.house.quiet()
            assert len(there.saying("the open one")) == 1


async def test_that_we_hear_is_stored_now_and_then_and_not_with_every_poll(clock: StoppedClock) -> None:
    inbox = Noting()
    hearing = Hearing(inbox=cast("ChatInbox", inbox), clock=clock)
    for _ in range(60):
        await hearing.note()
        clock.advance(EVERY / 30)
    assert inbox.noted == 2


class Noting:
    """Counts how often."""

    noted = 0

    async def heard(self, _channel: ChannelName, *, kept: timedelta) -> int:
        assert kept == KEPT
        self.noted += 1
        return 0


@pytest.mark.parametrize(("is_topic", "topic"), [(True, 5), (False, None), (None, None)])
def test_a_thread_of_replies_is_no_topic(*, is_topic: bool | None, topic: int | None) -> None:
    """In a group that is no forum Telegram numbers those, too, and lets nobody post by that number."""
    message = a_message(message_thread_id=5, is_topic_message=is_topic)
    assert topic_of(message) == topic
    assert address_of(message) == (f"{GROUP}/5" if topic else f"{GROUP}")


def test_who_speaks_in_the_name_of_a_chat_is_nobody_whoever_is_said_to_have_written() -> None:
    assert is_somebody(a_message())
    assert not is_somebody(a_message(sender_chat=TelegramChat(-1009, "channel")))
    assert is_anonymous(User(7, "Another bot", is_bot=True))


def a_message(**parts: Any) -> TelegramMessage:
    """Ana's."""
    group, ana = TelegramChat(GROUP, "supergroup"), User(ANA_ID, "Ana", is_bot=False)
    return TelegramMessage(1, datetime.now(UTC), group, from_user=ana, **parts)


async def asked_for(there: TelegramHouse, times: int) -> None:
    await there.telegram.until(lambda: len(there.telegram.calls_of("getWebhookInfo")) >= times)


async def asks_again(there: TelegramHouse, clock: StoppedClock) -> bool:
    await there.house.store.counts()  # so that the loop turns
    return clock.now() + EVERY in clock.alarms
