"""Whether the store is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.model import Status


class Health(Protocol):
    """For readiness probes."""

    async def check(self) -> None:
        """Raise `Unavailable` where the store cannot write now; changes nothing."""
        ...

    async def warnings(self, *, named: bool) -> Sequence[str]:
        """What somebody should look at, although work can be taken; names machines if they may be `named`."""
        ...

    async def counts(self) -> Mapping[Status, int]:
        """How many tasks stand where."""
        ...
