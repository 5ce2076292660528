"""What chat adapters ask of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from core.model import ChannelName, ChatUpdate, Dialog, MessageRef, PersonId, Recipient


class ChatInbox(Protocol):
    """Updates of a chat platform, stored before the platform is told that we have them."""

    async def keep_update(self, update: ChatUpdate, *, handled: bool = False) -> bool:
        """Store it; False where this id of this channel is stored already. Durable on return.

        One that is `handled` with that is never handed out: its id is remembered for a month.
        """
        ...

    async def unhandled_updates(
        self, channel: ChannelName, *, after: ChatUpdate | None = None, limit: int = 100
    ) -> Sequence[ChatUpdate]:
        """What was kept and not yet handled, in the order of arrival; the next ones `after` that."""
        ...

    async def update_handled(self, channel: ChannelName, update_id: str) -> None:
        """Never hand it out again, and forget its body; its id is remembered for a month."""
        ...

    async def is_handled(self, channel: ChannelName, update_id: str) -> bool:
        """Whether that was said of it, by whichever replica."""
        ...

    async def place_moved(self, place: Recipient, address: str) -> None:
        """What is still to be shown at this place is shown at that address, now and later. Idempotent."""
        ...

    async def heard(self, channel: ChannelName, *, kept: timedelta) -> int:
        """Note that the platform's presses reach us now.

        The platform keeps them for so long: after a longer silence some may be lost, and every open review
        gets new cards there, once. How many.
        """
        ...


class Dialogs(Protocol):
    """Questions put to people in chat, kept over restarts."""

    async def open_dialog(self, dialog: Dialog) -> None: ...

    async def note_ended(self, dialog: Dialog) -> bool:
        """Keep one that expired; False where one with this prompt is kept already, open or not."""
        ...

    async def dialog(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        """The dialog whose prompt is `message`; None where there is none, or it is closed or expired."""
        ...

    async def edits_to_confirm(self, channel: ChannelName, person: PersonId) -> Sequence[Dialog]:
        """Those that were shown to this person, and wait for their press; the oldest first."""
        ...

    async def asked_in_vain(self, channel: ChannelName, message: MessageRef) -> Dialog | None:
        """What that prompt asked, where it asks no more and still stands there."""
        ...

    async def ended_dialogs(
        self, channel: ChannelName, *, after: Dialog | None = None, limit: int
    ) -> Sequence[Dialog]:
        """Dialogs that expired, or whose review is closed, and whose prompt still asks; and those whose
        prompt has offered no answer for an hour. The oldest first, from the one that follows `after`, which
        need not be there any more."""
        ...

    async def prompt_ended(self, channel: ChannelName, message: MessageRef) -> None:
        """The prompt offers no answer any more. Idempotent."""
        ...

    async def close_dialog(self, channel: ChannelName, message: MessageRef) -> None:
        """Idempotent."""
        ...
