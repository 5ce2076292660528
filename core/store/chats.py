"""What chat platforms sent us, and the dialogs with people there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, insert, literal_column, not_, or_, select, update

from core.jsontext import to_json
from core.store.rows import chat_update_of, dialog_of, micros
from core.store.statements import Statement, p
from core.store.tables import chat_update, dialog, review

if TYPE_CHECKING:
    from core.model import ChatUpdate, Dialog
    from core.store.transaction import Transaction

REMEMBERED = timedelta(days=31)
"""How long an update's id is remembered: Telegram's become random after a week without updates. And a dialog
whose prompt nobody could take away: in a chat that is out of reach for longer it is left standing."""

SHOWN = timedelta(hours=1)
"""How long a prompt that offers no answer stays: who is still writing one is to be told."""

INSERT_UPDATE = Statement(insert(chat_update), ("channel", "id", "body", "kept_at", "handled_at"))
KNOWN_UPDATE = Statement(
    select(chat_update.c.handled_at).where(chat_update.c.channel == p("channel"), chat_update.c.id == p("id"))
)
UNHANDLED = Statement(
    select(chat_update.c.channel, chat_update.c.id, chat_update.c.body, chat_update.c.kept_at)
    .where(
        chat_update.c.channel == p("channel"),
        chat_update.c.handled_at.is_(None),
        chat_update.c.kept_at >= p("at"),
        or_(chat_update.c.kept_at > p("at"), chat_update.c.id > p("after")),
    )
    .order_by(chat_update.c.kept_at, chat_update.c.id)
    .limit(p("limit"))
)
HANDLED = Statement(
    update(chat_update)
    .where(chat_update.c.channel == p("channel"), chat_update.c.id == p("id"))
    .values(handled_at=p("now"), body=p("body"))
)
FORGET = Statement(
    delete(chat_update).where(chat_update.c.handled_at.is_not(None), chat_update.c.handled_at < p("before"))
)

_dialog = (
    dialog.c.channel,
    dialog.c.message,
    dialog.c.review_id,
    dialog.c.person,
    dialog.c.verdict,
    dialog.c.expires_at,
    dialog.c.asks,
    dialog.c.content,
    dialog.c.ended_at,
)
_one_dialog = and_(dialog.c.channel == p("channel"), dialog.c.message == p("message"))
INSERT_DIALOG = Statement(insert(dialog), tuple(column.name for column in _dialog))
# One that has ended is open by no clock, however far that is set back: its prompt offers no answer.
_is_open = and_(dialog.c.expires_at > p("now"), dialog.c.ended_at.is_(None))
DIALOG = Statement(select(*_dialog).where(_one_dialog, _is_open))
TO_CONFIRM = Statement(
    select(*_dialog)
    .where(
        dialog.c.channel == p("channel"),
        _is_open,
        dialog.c.person == p("person"),
        dialog.c.asks == literal_column("'consent'"),
        dialog.c.verdict == literal_column("'edit'"),
    )
    .order_by(dialog.c.expires_at, dialog.c.message)
)
CLOSE_DIALOG = Statement(delete(dialog).where(_one_dialog))
ASKED_IN_VAIN = Statement(select(*_dialog).where(_one_dialog, not_(_is_open)))
_is_over = and_(
    dialog.c.ended_at.is_(None), or_(dialog.c.expires_at <= p("now"), review.c.closed_at.is_not(None))
)
_may_go = dialog.c.ended_at <= p("shown_since")
ENDED_DIALOGS = Statement(
    select(*_dialog)
    .join(review, review.c.id == dialog.c.review_id)
    .where(
        dialog.c.channel == p("channel"),
        or_(_is_over, _may_go),
        dialog.c.expires_at >= p("at"),
        or_(dialog.c.expires_at > p("at"), dialog.c.message > p("after")),
    )
    .order_by(dialog.c.expires_at, dialog.c.message)
    .limit(p("limit"))
)
PROMPT_ENDED = Statement(update(dialog).where(_one_dialog).values(ended_at=p("now")))
# What has ended stays until its prompt was taken away, for which the chat may be out of reach for days.
EXPIRED_DIALOGS = Statement(delete(dialog).where(dialog.c.expires_at <= p("before")))


def keep_update(tx: Transaction, received: ChatUpdate, *, handled: bool) -> bool:
    if tx.one(KNOWN_UPDATE, channel=received.channel, id=received.id) is not None:
        return False
    tx.insert(
        INSERT_UPDATE,
        channel=received.channel,
        id=received.id,
        body=received.body,
        kept_at=micros(tx.now),
        handled_at=micros(tx.now) if handled else None,
    )
    return True


def unhandled_updates(
    tx: Transaction, channel: str, after: ChatUpdate | None, limit: int
) -> list[ChatUpdate]:
    at = 0 if after is None or after.kept_at is None else micros(after.kept_at)
    rows = tx.all(UNHANDLED, channel=channel, at=at, after="" if after is None else after.id, limit=limit)
    return [chat_update_of(row) for row in rows]


def update_handled(tx: Transaction, channel: str, update_id: str) -> None:
    tx.send(HANDLED, channel=channel, id=update_id, now=micros(tx.now), body=b"")


def is_handled(tx: Transaction, channel: str, update_id: str) -> bool:
    row = tx.one(KNOWN_UPDATE, channel=channel, id=update_id)
    return row is not None and row[0] is not None


def open_dialog(tx: Transaction, opened: Dialog) -> None:
    """A prompt of the same message replaces the one before."""
    tx.send(CLOSE_DIALOG, channel=opened.channel, message=opened.message)
    _keep(tx, opened)


def note_ended(tx: Transaction, ended: Dialog) -> bool:
    if find_dialog(tx, ended.channel, ended.message) or asked_in_vain(tx, ended.channel, ended.message):
        return False
    _keep(tx, ended)
    return True


def _keep(tx: Transaction, opened: Dialog) -> None:
    tx.insert(
        INSERT_DIALOG,
        channel=opened.channel,
        message=opened.message,
        review_id=opened.review,
        person=opened.person,
        verdict=opened.verdict.value,
        expires_at=micros(opened.expires_at),
        asks=opened.asks.value,
        content=None if opened.content is None else to_json(opened.content),
        ended_at=None if opened.ended_at is None else micros(opened.ended_at),
    )


def find_dialog(tx: Transaction, channel: str, message: str) -> Dialog | None:
    row = tx.one(DIALOG, channel=channel, message=message, now=micros(tx.now))
    return None if row is None else dialog_of(row)


def asked_in_vain(tx: Transaction, channel: str, message: str) -> Dialog | None:
    row = tx.one(ASKED_IN_VAIN, channel=channel, message=message, now=micros(tx.now))
    return None if row is None else dialog_of(row)


def edits_to_confirm(tx: Transaction, channel: str, person: str) -> list[Dialog]:
    rows = tx.all(TO_CONFIRM, channel=channel, person=person, now=micros(tx.now))
    return [dialog_of(row) for row in rows]


def close_dialog(tx: Transaction, channel: str, message: str) -> None:
    tx.send(CLOSE_DIALOG, channel=channel, message=message)


def ended_dialogs(tx: Transaction, channel: str, after: Dialog | None, limit: int) -> list[Dialog]:
    at, message = (micros(after.expires_at), after.message) if after else (0, "")
    return [
        dialog_of(row)
        for row in tx.all(
            ENDED_DIALOGS,
            channel=channel,
            now=micros(tx.now),
            shown_since=micros(tx.now - SHOWN),
            at=at,
            after=message,
            limit=limit,
        )
    ]


def prompt_ended(tx: Transaction, channel: str, message: str) -> None:
    tx.send(PROMPT_ENDED, channel=channel, message=message, now=micros(tx.now))


def forget_old(tx: Transaction) -> None:
    """Drop dialogs that expired long ago and the ids of updates handled long ago."""
    tx.run(EXPIRED_DIALOGS, before=micros(tx.now - REMEMBERED))
    tx.run(FORGET, before=micros(tx.now - REMEMBERED))
