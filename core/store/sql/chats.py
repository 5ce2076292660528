"""What chat platforms sent, and the dialogs there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.store import chats, credentials
from core.store.sql.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import ChannelName, ChatUpdate, Dialog, MessageRef, PersonId


class ChatRows(Lanes):
    """Implements `core.ports.ChatInbox` but for places, and `core.ports.Dialogs`."""

    async def keep_update(self, update: ChatUpdate, *, handled: bool = False) -> bool:
        return await self._write.run(partial(chats.keep_update, received=update, handled=handled))

    async def unhandled_updates(
        self, channel: ChannelName, *, after: ChatUpdate | None = None, limit: int = 100
    ) -> Sequence[ChatUpdate]:
        return await self._read.run(
            partial(chats.unhandled_updates, channel=channel, after=after, limit=limit)
        )

    async def update_handled(self, channel: ChannelName, update_id: str) -> None:
        await self._write.run(partial(chats.update_handled, channel=channel, update_id=update_id))

    async def is_handled(self, channel: ChannelName, update_id: str) -> bool:
        return await self._read.run(partial(chats.is_handled, channel=channel, update_id=update_id))

    async def open_dialog(self, dialog: Dialog) -> None:
        await self._write.run(partial(chats.open_dialog, opened=dialog))

    async def note_ended(self, dialog: Dialog) -> bool:
        return await self._write.run(partial(chats.note_ended, ended=dialog))

    async def dialog(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        return await self._read.run(partial(chats.find_dialog, channel=channel, message=message))

    async def edits_to_confirm(self, channel: ChannelName, person: PersonId) -> Sequence[Dialog]:
        return await self._read.run(partial(chats.edits_to_confirm, channel=channel, person=person))

    async def asked_in_vain(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        return await self._read.run(partial(chats.asked_in_vain, channel=channel, message=message))

    async def ended_dialogs(
        self, channel: ChannelName, *, after: Dialog | None = None, limit: int
    ) -> Sequence[Dialog]:
        return await self._read.run(partial(chats.ended_dialogs, channel=channel, after=after, limit=limit))

    async def prompt_ended(self, channel: ChannelName, message: MessageRef) -> None:
        await self._write.run(partial(chats.prompt_ended, channel=channel, message=message))

    async def close_dialog(self, channel: ChannelName, message: MessageRef) -> None:
        await self._write.run(partial(chats.close_dialog, channel=channel, message=message))

    async def forget_old(self) -> None:
        """Drop what is kept for a while only: expired dialogs, ids of old chat updates, ended sessions."""
        await self._write.run(chats.forget_old)
        await self._write.run(credentials.forget_sessions)
