"""The queue of updates for the bot, with knobs to disturb it: doubled, held back, reordered, repeated."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bot.simulator.telegram.limits import UPDATE_LIFE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Update types that must be asked for by name [api: getUpdates, allowed_updates]."""
REMEMBERED = 1000
"""Confirmed updates that can still be repeated on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update; those of one lane (chat or person) are posted to a webhook one after another.

    `serial` counts deliveries, so that a doubled update is two of them with one id.
    """

    serial: int
    id: int
    kind: str
    body: Mapping[str, Any]
    lane: str
    at: float

    def as_api(self) -> dict[str, Any]:
        return {"update_id": self.id, self.kind: dict(self.body)}


@dataclass(slots=True, kw_only=True)
class UpdateQueue:
    """What the bot has not confirmed yet, oldest first. Nothing is kept longer than a day."""

    now: Callable[[], float]
    on_arrival: Callable[[Update], None]
    next_id: int = 700_000_001
    """Of the next update. Telegram starts again at a random number after a week without any."""
    duplicate: int = 0
    """So many of the next updates are delivered twice, by webhook at the same time."""
    allowed: frozenset[str] | None = None
    """The types that the bot asked for; None is the default."""
    waiting: dict[int, Update] = field(default_factory=dict)
    """By serial."""
    _serial: int = 0
    _held: list[tuple[str, Mapping[str, Any], str]] | None = None
    _known: deque[Update] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _again: list[Update] = field(default_factory=list)

    @property
    def pending(self) -> list[Update]:
        return list(self.waiting.values())

    def put(self, kind: str, body: Mapping[str, Any], *, lane: str) -> None:
        """Something happened. Types that the bot did not ask for are dropped here and now."""
        if self._held is not None:
            self._held.append((kind, body, lane))
        elif self._is_wanted(kind):
            update = Update(serial=0, id=self.next_id, kind=kind, body=body, lane=lane, at=self.now())
            self.next_id += 1
            self._known.append(update)
            self._arrive(update)
            if self.duplicate > 0:
                self.duplicate -= 1
                self._arrive(replace(update, lane=f"{lane} again"))

    def hold(self) -> None:
        """Keep all that happens from now on from the bot, until `release`."""
        self._held = self._held or []

    def release(self, *, reverse: bool = False) -> None:
        """Let out what was held; `reverse`: the last first."""
        held, self._held = self._held or [], None
        for kind, body, lane in reversed(held) if reverse else held:
            self.put(kind, body, lane=lane)

    def repeat(self, update_id: int | None = None) -> None:
        """Deliver an update once more although it was confirmed; by default the last one."""
        known = [update for update in self._known if update_id in {None, update.id}]
        if not known:
            raise LookupError(f"no update {update_id} is remembered")
        self._again.append(known[-1])
        self._arrive(replace(known[-1], at=self.now()))

    def ready(self, limit: int) -> list[Update]:
        """The next updates for a poll; what is repeated on purpose comes whatever the offset was."""
        self.forget_old()
        again, self._again = self._again, []
        first = [update for update in again if update.id not in {one.id for one in self.waiting.values()}]
        return [*first, *self.waiting.values()][:limit]

    def has_news(self) -> bool:
        self.forget_old()
        return bool(self.waiting or self._again)

    def confirm(self, offset: int) -> None:
        """All before `offset` has arrived; a negative one forgets all but the last so many."""
        kept = self.pending[offset:] if offset < 0 else [one for one in self.pending if one.id >= offset]
        self.waiting = {update.serial: update for update in kept}

    def taken(self, update: Update) -> None:
        self.waiting.pop(update.serial, None)

    def forget_old(self) -> None:
        oldest = self.now() - UPDATE_LIFE
        while self.waiting and (first := next(iter(self.waiting.values()))).at < oldest:
            self.taken(first)

    def remember_allowed(self, kinds: object) -> None:
        """allowed_updates as given. Left out: as before. Empty: the default."""
        if isinstance(kinds, list):
            self.allowed = frozenset(str(kind) for kind in kinds) or None

    def _is_wanted(self, kind: str) -> bool:
        return kind in self.allowed if self.allowed is not None else kind not in NOT_BY_DEFAULT

    def _arrive(self, update: Update) -> None:
        self._serial += 1
        arrived = replace(update, serial=self._serial)
        self.waiting[arrived.serial] = arrived
        self.on_arrival(arrived)
