"""What is left of a review's timers, and what they told."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from core.events import Event
    from core.store.sql import SqlStore

E = TypeVar("E", bound="Event")


async def left(store: SqlStore, review: str) -> list[tuple[str, int]]:
    return [(timer.kind.value, timer.number) for timer in await store.timers(review)]


async def told(store: SqlStore, review: str, kind: type[E]) -> list[E]:
    """What has happened of that kind to the task of the review."""
    task = (await store.review(review)).task.id
    return [stored.event for stored in await store.events(task, 0) if isinstance(stored.event, kind)]
