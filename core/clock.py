"""The real time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.ports import Alarm


class SystemClock:
    """Reads the machine's clock; calls back on the running event loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def call_at(self, at: datetime, callback: Callable[[], object]) -> Alarm:
        seconds = max((at - self.now()).total_seconds(), 0.0)
        return asyncio.get_running_loop().call_later(seconds, callback)
