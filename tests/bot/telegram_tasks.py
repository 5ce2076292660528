"""The tasks of a house."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.model import TaskFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.model import Task
    from tests.bot.telegram_house import (
        TelegramHouse,
    )


async def tasks(there: TelegramHouse) -> Sequence[Task]:
    return (await there.house.service.tasks(TaskFilter())).tasks
