"""Telegram's updates: stored before they are confirmed, handled once, and marked after that."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from telegram import CallbackQuery, Chat, InaccessibleMessage, Message, Update, User
from telegram.ext import BaseUpdateProcessor

from bot.telegram.order import Line, PutOff
from bot.telegram.payloads import KEYBOARD, Unreadable, shape_of
from core.defects import defect
from core.errors import Unavailable
from core.model import ChannelName, ChatUpdate
from core.outages import Outage
from core.pauses import elapse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Collection, Mapping

    from telegram import Bot, MaybeInaccessibleMessage

    from bot.telegram.answers import Answers, Said
    from bot.telegram.payloads import PressedShape, QueryShape, UpdateShape
    from core.ports import Alarm, ChatInbox, Clock

log = structlog.get_logger()

TELEGRAM = ChannelName("telegram")
ALLOWED = (Update.MESSAGE, Update.CALLBACK_QUERY)
LOOK = timedelta(seconds=5)
"""Between two looks at what other replicas have not handled: handling takes far less. A reply that waits to
be known (`bot.telegram.above`) takes longer, and may wait in two of them: the later one finds it handled."""
SIDE_BY_SIDE = 64
"""Updates handled at once: a slow one must not hold up the others."""
PAGE = 200
"""Updates that one look reads at once: after an outage there may be very many."""


class Unmarked(NamedTuple):
    """In the queue, an update that is handled and could not be marked so."""

    update_id: int


class Intake:
    """Where updates come in, by whichever way, and wait for python-telegram-bot to hand them to us."""

    def __init__(
        self, *, inbox: ChatInbox, queue: asyncio.Queue[object], bot: Bot, clock: Clock, answers: Answers
    ) -> None:
        self._inbox = inbox
        self._queue = queue
        self._bot = bot
        self._clock = clock
        self._answers = answers
        self._postponed: dict[int, Alarm] = {}
        self.put_off = PutOff(clock)
        self.line = Line(queue, clock)
        self._in_hand: set[str] = set()
        """Ids of what this replica keeps or handles."""
        self._keeping: set[asyncio.Task[QueryShape | None]] = set()
        self._looking: set[asyncio.Task[None]] = set()
        """Whether what was postponed is still to be handled."""

    async def take(self, raw: Mapping[str, Any]) -> QueryShape | None:
        """Durable on return; one that came before is passed over. Raises `Unreadable`, `Unavailable`.

        The press that it is; nobody has handled it yet. Whoever brings it may leave: what is stored then is
        handled all the same, for it would pass for a repetition when it comes again.
        """
        shape = shape_of(raw)
        if not shape.concerns(self._bot.id):
            return None
        keeping = asyncio.create_task(self._keep(shape, raw))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return await asyncio.shield(keeping)

    async def _keep(self, shape: UpdateShape, raw: Mapping[str, Any]) -> QueryShape | None:
        kept = ChatUpdate(channel=TELEGRAM, id=str(shape.update_id), body=json.dumps(raw).encode())
        was_in_hand = kept.id in self._in_hand
        self._in_hand.add(kept.id)
        is_new = False
        try:
            is_new = await self._inbox.keep_update(kept)
        finally:
            if not (is_new or was_in_hand):
                self._in_hand.discard(kept.id)
        if is_new:
            self.line.put(self._update(shape))
            return shape.callback_query
        log.info("update_repeated", channel=TELEGRAM, update_id=shape.update_id)
        return None

    async def take_and_hear(self, raw: Mapping[str, Any]) -> Said | None:
        """Likewise, and then what is said to a press, where it is said soon."""
        press = await self.take(raw)
        return None if press is None else await self._answers.to(press.id)

    async def take_up(self, only: Collection[str] | None = None) -> frozenset[str]:
        """Handle what was stored, is not handled and is not in our hands; the ids of what is left so.

        It is what the last run left behind, or a replica that is gone; of those only the `only`.
        """
        others: set[str] = set()
        async for left in self._unhandled():
            if left.id in self._in_hand:
                continue
            if only is not None and left.id not in only:
                others.add(left.id)
                continue
            try:
                self.line.put(self._update(shape_of(json.loads(left.body))))
                self._in_hand.add(left.id)
            except (Unreadable, ValueError) as problem:
                facts = {"channel": TELEGRAM, "update_id": left.id, "error": type(problem).__name__}
                log.error("stored_update_unreadable", **facts)
                await self._inbox.update_handled(TELEGRAM, left.id)
        return frozenset(others)

    async def _unhandled(self) -> AsyncIterator[ChatUpdate]:
        """In the order of arrival."""
        last: ChatUpdate | None = None
        while True:
            page = await self._inbox.unhandled_updates(TELEGRAM, after=last, limit=PAGE)
            for update in page:
                yield update
            if len(page) < PAGE:
                return
            last = page[-1]

    async def look_after_others(self) -> None:
        """For ever: what another replica kept and has not handled from one look to the next is ours."""
        seen: frozenset[str] = frozenset()
        outage = Outage("others_not_looked_after", channel=TELEGRAM)
        while True:
            await elapse(self._clock, LOOK)
            try:
                seen = await self.take_up(seen)
                outage.over()
            except Unavailable as error:
                outage.failed(error)
            except Exception as error:  # noqa: BLE001 - a defect must not end it: nobody else looks after them
                log.error("others_not_looked_after", channel=TELEGRAM, **defect(error))

    def postpone(self, update: Update, error: Unavailable) -> None:
        """Hand it out again later: it is stored, was not handled, and is put off.

        Nothing is waited for between this and `handled`, which would take it for handled once its time came.
        """
        self._later(update.update_id, update, error)

    async def handled(self, update: Update) -> None:
        if update.callback_query is not None:
            self._answers.nothing_more(update.callback_query.id)
        if update.update_id not in self._postponed:
            self.put_off.discard(update.update_id)
            await self.mark(update.update_id)

    async def mark(self, update_id: int) -> None:
        """It is handled, and never handed out again; where that cannot be stored it is tried again."""
        try:
            await self._inbox.update_handled(TELEGRAM, str(update_id))
        except Unavailable as error:
            log.warning("update_not_marked", channel=TELEGRAM, update_id=update_id)
            self._later(update_id, Unmarked(update_id), error)
        else:
            self._in_hand.discard(str(update_id))

    def close(self) -> None:
        for alarm in self._postponed.values():
            alarm.cancel()
        for looking in self._looking:
            looking.cancel()
        self._postponed.clear()
        self.line.close()

    def _later(self, update_id: int, again: Update | Unmarked, error: Unavailable) -> None:
        at = self._clock.now() + error.retry_after
        self._postponed[update_id] = self._clock.call_at(at, partial(self._again, update_id, again))

    def _again(self, update_id: int, again: Update | Unmarked) -> None:
        del self._postponed[update_id]
        looking = asyncio.create_task(self._hand_out_again(update_id, again), name=f"update {update_id}")
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _hand_out_again(self, update_id: int, again: Update | Unmarked) -> None:
        """Unless another replica, which took it up as it waited here, has handled it: it would be answered
        twice."""
        try:
            is_handled = await self._inbox.is_handled(TELEGRAM, str(update_id))
        except Unavailable as error:
            self.put_off.renew(update_id)
            self._later(update_id, again, error)
            return
        except Exception as error:  # noqa: BLE001 - a defect must not lose what is in no other hands
            log.error("update_not_looked_up", channel=TELEGRAM, update_id=update_id, **defect(error))
            is_handled = False
        if is_handled:
            self.put_off.discard(update_id)
            self._in_hand.discard(str(update_id))
            log.info("update_handled_elsewhere", channel=TELEGRAM, update_id=update_id)
        else:
            self._hand_out(again)

    def _hand_out(self, again: Update | Unmarked) -> None:
        if isinstance(again, Update):
            self.line.put(again)
        else:
            self._queue.put_nowait(again)

    def _update(self, shape: UpdateShape) -> Update:
        if shape.callback_query is None:
            return Update.de_json(shape.model_dump(by_alias=True, exclude_none=True), self._bot)
        return Update(shape.update_id, callback_query=self._query(shape.callback_query))

    def _query(self, shape: QueryShape) -> CallbackQuery:
        who = User(
            shape.sender.id,
            shape.sender.first_name,
            shape.sender.is_bot,
            username=shape.sender.username,
        )
        shown = shape.message
        made = CallbackQuery(
            shape.id,
            who,
            shape.chat_instance,
            message=None if shown is None else self._message(shown),
            data=shape.data,
            api_kwargs={KEYBOARD: shown.reply_markup} if shown is not None and shown.date else None,
        )
        made.set_bot(self._bot)
        return made

    def _message(self, shape: PressedShape) -> MaybeInaccessibleMessage:
        """Of most messages it is enough where they are, and reading one whole takes three times as long."""
        if shape.is_topic_message or shape.reply_to_message:
            read = shape.model_dump(by_alias=True, exclude_none=True, exclude={"reply_markup"})
            return Message.de_json(read, self._bot)
        return InaccessibleMessage(Chat(shape.chat.id, shape.chat.type), shape.message_id)


class Processor(BaseUpdateProcessor):
    """python-telegram-bot's way to run several handlers at once; ours marks updates afterwards."""

    def __init__(self, intake: Intake) -> None:
        super().__init__(SIDE_BY_SIDE)
        self._intake = intake

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        try:
            await coroutine
        finally:
            if isinstance(update, Update):
                self._intake.line.tried(update)
        if isinstance(update, Unmarked):
            await self._intake.mark(update.update_id)
        elif isinstance(update, Update) and (update.callback_query or update.message):
            await self._intake.handled(update)

    async def initialize(self) -> None:
        """Nothing to be made."""

    async def shutdown(self) -> None:
        """Nothing to be freed."""
