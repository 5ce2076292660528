"""Listens to Telegram: python-telegram-bot's Application, and its polling or our webhook."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import structlog
from telegram import Update
from telegram.error import BadRequest, InvalidToken, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    ExtBot,
    MessageHandler,
    filters,
)

from bot.answers import BEHIND, BROKEN, KEPT
from bot.connecting import connect_or_go_on
from bot.markup import Markup
from bot.menu import Menu
from bot.reception import Reception
from bot.telegram.above import Above, NotKnownYet
from bot.telegram.answers import Answers
from bot.telegram.approvals import Approvals
from bot.telegram.commands import Commands, offer_commands
from bot.telegram.desk import Desk
from bot.telegram.edits import Edits
from bot.telegram.failures import failure
from bot.telegram.hearing import Hearing
from bot.telegram.inquiries import Inquiries
from bot.telegram.links import message_link
from bot.telegram.order import OutOfTurn
from bot.telegram.payloads import COMMAND
from bot.telegram.presses import Presses
from bot.telegram.prompt_sweep import PromptSweep
from bot.telegram.reasons import Reasons
from bot.telegram.requests import KeepingRequest, QuietRequest
from bot.telegram.updates import ALLOWED, TELEGRAM, Intake, Processor
from core.addresses import is_loopback_url
from core.defects import defect
from core.errors import SettingsError, Unavailable, Unreachable
from core.outages import Outage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from types import TracebackType

    from telegram.ext import CallbackContext, Updater

    from bot.buttons import Buttons
    from bot.errands import Errands
    from bot.people import Directory
    from bot.settings import BotSettings
    from bot.telegram.places import Place
    from core.ports import ChatInbox, Clock, Dialogs, Held, Turns
    from core.service import Service

log = structlog.get_logger()

App: TypeAlias = "Application[Any, Any, Any, Any, Any, Any]"
Handler: TypeAlias = "Callable[[Update, object], Coroutine[Any, Any, None]]"

START_SECONDS = 5.0
"""How long the start waits for Telegram before it goes on without."""
STOP_SECONDS = 0.5
"""How long each step of a stop may take."""
TURN = "telegram hearing"
"""What one replica at a time does."""
POLL_SECONDS = 20
"""How long Telegram holds a poll that brings nothing."""

# The token is a part of every URL, and python-telegram-bot logs whole bodies where it cannot read them.
for _name, _level in (
    ("httpx", logging.WARNING),
    ("httpcore", logging.WARNING),
    ("telegram", logging.CRITICAL),
):
    logging.getLogger(_name).setLevel(_level)


class Listener:
    """`async with` it: listening on entry, or trying to where Telegram cannot be reached."""

    def __init__(
        self,
        settings: BotSettings,
        *,
        service: Service,
        people: Directory,
        buttons: Buttons,
        inbox: ChatInbox,
        dialogs: Dialogs,
        clock: Clock,
        public_url: str,
        webhook_url: str,
        errands: Errands,
        turns: Turns,
        take_turn: Callable[[Place], object],
        is_web: bool,
    ) -> None:
        self._settings = settings
        self._is_web = is_web
        self._turns = turns
        self._turn = AsyncExitStack()
        self._is_in_turns = False
        """Whether this replica takes its turns in hearing Telegram."""
        self._webhook_url = webhook_url
        self._errands = errands
        queue: asyncio.Queue[object] = asyncio.Queue()
        self._hearing = Hearing(inbox=inbox, clock=clock)
        self._polling = Outage("poll_failed", channel=TELEGRAM)
        self.bot = self._new_bot()
        self._answers = Answers()
        self._intake = Intake(inbox=inbox, queue=queue, bot=self.bot, clock=clock, answers=self._answers)
        self._desk = desk = Desk(
            service=service, dialogs=dialogs, bot=self.bot, clock=clock, public_url=public_url
        )
        reasons = Reasons(service=service, buttons=buttons, desk=desk)
        menu = Menu(service=service, clock=clock, public_url=public_url)
        above = Above(service=service, buttons=buttons, clock=clock)
        presses = Presses(
            service=service,
            people=people,
            buttons=buttons,
            desk=desk,
            reasons=reasons,
            approvals=Approvals(service=service, buttons=buttons, desk=desk),
            edits=Edits(service=service, buttons=buttons, desk=desk, reasons=reasons, clock=clock),
            inquiries=Inquiries(service=service, desk=desk),
            menu=menu,
            answers=self._answers,
            above=above,
            clock=clock,
        )
        self._prompts = PromptSweep(
            service=service, dialogs=dialogs, bot=self.bot, clock=clock, take_turn=take_turn
        )
        reception = Reception(service=service, public_url=public_url, channel=TELEGRAM, link=message_link)
        commands = Commands(
            service=service,
            people=people,
            menu=menu,
            reception=reception,
            above=above,
            put_off=self._intake.put_off,
        )
        self._app = self._application(queue, presses, commands)

    async def __aenter__(self) -> Self:
        try:
            await connect_or_go_on(self._connect, self._errands, TELEGRAM)
        except SettingsError:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    @property
    def intake(self) -> Intake | None:
        """Where the webhook hands updates in; None while nobody would handle them."""
        return self._intake if self._app.running else None

    def _new_bot(self) -> ExtBot[None]:
        settings = self._settings
        # A proxy that the environment names cannot reach this machine.
        trust_env = not is_loopback_url(settings.telegram_api_url)
        return ExtBot(
            settings.telegram_bot_token.get_secret_value() if settings.telegram_bot_token else "",
            base_url=settings.telegram_api_url,
            base_file_url=settings.telegram_file_url,
            request=QuietRequest(trust_env=trust_env),
            get_updates_request=KeepingRequest(self._keep, self._heard, connections=1, trust_env=trust_env),
        )

    async def _heard(self) -> None:
        self._polling.over()
        await self._hearing.note()

    async def _keep(self, raw: Mapping[str, Any]) -> None:
        await self._intake.take(raw)

    def _application(self, queue: asyncio.Queue[object], presses: Presses, commands: Commands) -> App:
        builder = ApplicationBuilder().bot(self.bot).update_queue(queue).job_queue(None)
        if self._settings.telegram_webhook_secret is not None:
            builder = builder.updater(None)
        app: App = builder.concurrent_updates(Processor(self._intake)).build()
        typed = partial(_typed, presses, commands)
        app.add_handler(CallbackQueryHandler(partial(self._in_turn, presses.pressed)))
        app.add_handler(MessageHandler(filters.Regex(COMMAND), partial(self._in_turn, typed)))
        app.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE, self._hearing.moved))
        app.add_handler(MessageHandler(filters.REPLY, partial(self._in_turn, presses.replied)))
        app.add_handler(MessageHandler(filters.ChatType.PRIVATE, partial(self._in_turn, presses.written)))
        app.add_error_handler(self._failed)
        return app

    async def _connect(self) -> None:
        """Raises `SettingsError` for what Telegram refuses of our settings, else a `DeliveryError`."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._begin()
        except InvalidToken as error:
            raise SettingsError("TELEGRAM_BOT_TOKEN is refused by Telegram.") from error
        except TelegramError as error:
            raise failure(error) from error
        except Unavailable as error:
            raise Unreachable("The database does not answer.") from error
        except TimeoutError as error:
            raise Unreachable("Telegram did not answer in time.") from error
        has_webhook = self._settings.telegram_webhook_secret is not None
        log.info(
            "chat_listening", channel=TELEGRAM, bot=self.bot.id, webhook=has_webhook, hears=self._may_hear
        )

    async def _begin(self) -> None:
        """Safe to be called again after it failed anywhere."""
        await self._app.initialize()
        if not self._app.running:
            await self._app.start()
        if not self._is_in_turns and self._may_hear:
            await self._turn.enter_async_context(self._turns.holding(TURN, self._hear))
            self._is_in_turns = True
        await offer_commands(self.bot)

    @property
    def _may_hear(self) -> bool:
        """Where Telegram is to call a webhook, only who serves it sees to that."""
        return self._is_web or self._app.updater is not None

    @asynccontextmanager
    async def _hear(self, _: Held) -> AsyncIterator[None]:
        """What one replica does: it polls, or sees to it that Telegram calls our webhook."""
        if not self._is_web:
            await self._check_nobody_is_called()
        async with AsyncExitStack() as stack:
            if self._turns.is_alone or self._app.updater is not None:
                # What whoever heard Telegram before us left behind comes first.
                await self._intake.take_up()
            if not self._turns.is_alone:
                stack.push_async_callback(cancelled, self._start(self._intake.look_after_others(), "others"))
            stack.push_async_callback(cancelled, self._start(self._prompts.run(), "prompts"))
            if self._app.updater is None:
                await self._set_webhook()
                stack.push_async_callback(cancelled, self._start(self._hearing.watch(self.bot), "hearing"))
            else:
                await self._poll(self._app.updater, stack)
            yield

    async def _check_nobody_is_called(self) -> None:
        """Raise `Unreachable` where Telegram calls a webhook: polling takes it from those that serve it."""
        if (await self.bot.get_webhook_info()).url:
            raise Unreachable("Telegram calls a webhook, so this worker does not poll.")

    def _start(self, job: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._errands.start(job, f"{TELEGRAM} {name}")

    async def _poll(self, updater: Updater, stack: AsyncExitStack) -> None:
        async def stop() -> None:
            if updater.running:
                await _within(STOP_SECONDS, updater.stop(), "polling")

        # Before it begins: cut off in the middle of that it counts as running, and would never begin again.
        stack.push_async_callback(stop)
        await updater.start_polling(
            timeout=POLL_SECONDS, allowed_updates=ALLOWED, error_callback=self._poll_failed
        )

    def _poll_failed(self, error: TelegramError) -> None:
        self._polling.failed(failure(error))

    async def _set_webhook(self) -> None:
        secret = self._settings.telegram_webhook_secret
        try:
            await self.bot.set_webhook(
                self._webhook_url,
                allowed_updates=ALLOWED,
                secret_token=secret.get_secret_value() if secret else None,
            )
        except BadRequest as error:
            sentence = f"COUNTERSIGN_PUBLIC_URL: Telegram refuses it as a webhook ({error.message})."
            raise SettingsError(sentence) from error

    async def _in_turn(self, handle: Handler, update: Update, context: object) -> None:
        self._intake.put_off.check_turn(update)
        await handle(update, context)

    async def _failed(self, update: object, context: CallbackContext[Any, Any, Any, Any]) -> None:
        error = context.error
        update_id = update.update_id if isinstance(update, Update) else None
        if isinstance(update, Update) and isinstance(error, Unavailable):
            is_new = update not in self._intake.put_off
            # Before it is told, which takes a call: what the same person says meanwhile is to wait.
            self._intake.put_off.add(update, holds_up=not isinstance(error, NotKnownYet))
            if is_new:
                await self._tell_of_delay(update, BEHIND if isinstance(error, OutOfTurn) else KEPT)
            # Last: it may be handed out again from then on.
            self._intake.postpone(update, error)
        elif error is not None:
            log.error("update_failed", channel=TELEGRAM, update_id=update_id, **defect(error))
            if isinstance(update, Update):
                await self._tell_of_defect(update)

    async def _tell_of_defect(self, update: Update) -> None:
        """To who pressed, or typed a command; a reply may be words between people."""
        if update.callback_query is not None:
            await self._answers.give(update.callback_query, BROKEN, alert=True)
        elif update.message is not None and COMMAND.match(update.message.text or ""):
            await self._desk.tell_in_reply(update.message, Markup(text=BROKEN, entities=()))

    async def _tell_of_delay(self, update: Update, words: str) -> None:
        """With the `words` for what it waits for. Once: Telegram takes one answer to a press."""
        log.warning("update_postponed", channel=TELEGRAM, update_id=update.update_id)
        if update.callback_query is not None:
            await self._answers.give(update.callback_query, words, alert=True)

    async def _stop(self) -> None:
        """New updates stop first, then what is being handled ends, then the connections."""
        await self._turn.aclose()
        await self._errands.quiet(STOP_SECONDS)
        self._intake.close()
        if self._app.running:
            await _within(STOP_SECONDS, self._app.stop(), "handling")
        await _within(STOP_SECONDS, self._app.shutdown(), "connections")
        await self.bot.shutdown()


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _typed(presses: Presses, commands: Commands, update: Update, context: object) -> None:
    """A draft that begins like a command is no command, whoever sends it back to us."""
    if not await presses.brings_text(update):
        await commands.typed(update, context)


async def _within(seconds: float, step: Coroutine[Any, Any, None], name: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await step
    except TimeoutError:
        log.warning("stop_cut_short", channel=TELEGRAM, step=name)
