"""What only one replica does at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta


class Held(Protocol):
    """Something that only one replica does at a time, and this one does it now."""

    @property
    def left(self) -> timedelta:
        """How long what this replica has begun may go on; never below zero."""
        ...

    @property
    def may_begin(self) -> bool:
        """Whether it may begin something new."""
        ...


class LeaseStore(Protocol):
    """Who does what only one does at a time; all durations by the database's clock."""

    async def take(self, name: str, holder: str, lasts: timedelta) -> int | timedelta:
        """A token, higher than any before; or how long another holder's lease lasts still.

        What the same holder has it takes anew. A call that was cut off may have taken it all the same.
        """
        ...

    async def renew(self, name: str, holder: str, token: int, lasts: timedelta) -> bool:
        """False where it has expired."""
        ...

    async def release(self, name: str, holder: str, token: int | None) -> None:
        """Another may take it at once, where this is the term that the holder has. Idempotent.

        Without a token, where the asking was cut off: whichever term the holder has now.
        """
        ...


class Turns(Protocol):
    """Lets one replica at a time do what must not be done twice at once."""

    @property
    def is_alone(self) -> bool:
        """Whether there can be no other replica."""
        ...

    def holding(
        self, name: str, work: Callable[[Held], AbstractAsyncContextManager[object]]
    ) -> AbstractAsyncContextManager[None]:
        """While inside, `work` is entered whenever it is this replica's turn, and left when that is over.

        Entering raises what `work` raises if it is this replica's turn at once.
        """
        ...
