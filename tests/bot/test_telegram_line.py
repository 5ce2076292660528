"""The line of what people said, against the rule said plainly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import CallbackQuery, Message, Update, User
from telegram import Chat as TelegramChat

from bot.telegram.order import HELD_UP, Line
from tests.world import StoppedClock

if TYPE_CHECKING:
    from datetime import timedelta

WHO = User(7, "Ana", is_bot=False)


def of_review(number: int, review: str | None) -> Update:
    """A press on a button of that review; words where it is None."""
    if review is None:
        chat = TelegramChat(7, TelegramChat.PRIVATE)
        return Update(number, message=Message(number, None, chat, from_user=WHO))  # type: ignore[arg-type]  # no date: nobody asks
    return Update(number, callback_query=CallbackQuery(str(number), WHO, "", data=f"{review}.a"))


class Plainly:
    """One rule: an update may be tried once all that was said before it, of the same review or of any, was
    tried, or has been tried for ten minutes."""

    def __init__(self) -> None:
        self.said: dict[int, str | None] = {}
        self.since: dict[int, timedelta] = {}

    def free(self, now: timedelta) -> set[int]:
        found = set()
        for number in sorted(self.said):
            if number not in self.since and not self._is_held_up(number, now):
                self.since[number] = now
                found.add(number)
        return found

    def _is_held_up(self, number: int, now: timedelta) -> bool:
        mine = self.said[number]
        return any(
            before < number
            and (about is None or mine is None or about == mine)
            and not (before in self.since and now - self.since[before] >= HELD_UP)
            for before, about in self.said.items()
        )


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from([2, 2, 2, -1]), st.sampled_from(["a", "b", "c", None])),
            st.tuples(st.just("tried"), st.integers(0, 5), st.none()),
            st.tuples(st.just("pass"), st.just(0), st.none()),
        ),
        min_size=30,
        max_size=60,
    )
)
def test_whoever_is_free_is_handed_out_and_nobody_else(
    steps: list[tuple[str, int, str | None]],
) -> None:
    clock, out = StoppedClock(), asyncio.Queue[object]()
    line, plainly = Line(out, clock), Plainly()
    updates: dict[int, Update] = {}
    trying: list[int] = []
    newest = 10
    for step, number, review in steps:
        if step == "pass":
            clock.advance(HELD_UP)
        elif step == "put" and (new := newest + number) not in updates:
            newest = max(newest, new)
            updates[new] = of_review(new, review)
            plainly.said[new] = review
            line.put(updates[new])
        elif step == "tried" and trying:
            done = trying.pop(number % len(trying))
            del plainly.said[done], plainly.since[done]
            line.tried(updates[done])
        else:
            continue
        handed = {update.update_id for update in taken(out)}
        assert handed == plainly.free(clock.steady())
        trying += sorted(handed)


def taken(out: asyncio.Queue[object]) -> list[Update]:
    found = [out.get_nowait() for _ in range(out.qsize())]
    return [each for each in found if isinstance(each, Update)]
