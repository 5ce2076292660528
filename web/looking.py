"""I am looking; remind me later: by API and by the pages' forms."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from core.errors import Invalid
from core.model import OpenReview, Person
from core.timetable import next_morning
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other
from web.parameters import in_utc, known_id, named_review
from web.schemas import ClaimForm, NewClaim, NewSnooze, SnoozeForm, json_response, looking_json

if TYPE_CHECKING:
    from core.model import ReviewId, ReviewRequest
    from core.ports import Clock
    from core.service import Service

WAITS = {"1h": timedelta(hours=1), "4h": timedelta(hours=4)}
"""What the pages' form offers, besides tomorrow and a time."""


class Looking:
    """Whoever could decide on a review may; each for themselves."""

    def __init__(self, *, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/tasks/{task_id}/claims", self.claim),
            web.delete("/v1/tasks/{task_id}/claims", self.release),
            web.post("/v1/tasks/{task_id}/snoozes", self.snooze),
            web.delete("/v1/tasks/{task_id}/snoozes", self.wake),
            web.post("/tasks/{task_id}/claim", self.claim_by_form),
            web.post("/tasks/{task_id}/release", self.release_by_form),
            web.post("/tasks/{task_id}/snooze", self.snooze_by_form),
            web.post("/tasks/{task_id}/wake", self.wake_by_form),
        ]

    async def claim(self, request: web.Request) -> web.Response:
        """The body may be left out."""
        body = await parsed(request, NewClaim)
        return self._answer(request, await self._claimed(request, body.review_id))

    async def release(self, request: web.Request) -> web.Response:
        """Again and again gives the same, also where nothing waits any more."""
        review = await self._open_or_none(request, named_review(request))
        caller = request[CALLER]
        if review is None:
            return self._answer(request, await self._as_it_is(request))
        return self._answer(
            request, await self._service.looking.release(review, caller.person, via=caller.via)
        )

    async def snooze(self, request: web.Request) -> web.Response:
        body = await parsed(request, NewSnooze)
        caller = request[CALLER]
        until = in_utc(body.until) if body.until is not None else body.wait or timedelta()
        which = OpenReview(task=known_id(request), review=body.review_id)
        review = await self._service.looking.snooze(which, caller.person, until, via=caller.via)
        return self._answer(request, review)

    async def wake(self, request: web.Request) -> web.Response:
        """As `release`."""
        review = await self._open_or_none(request, named_review(request))
        caller = request[CALLER]
        if review is None:
            return self._answer(request, await self._as_it_is(request))
        return self._answer(request, await self._service.looking.wake(review, caller.person, via=caller.via))

    async def claim_by_form(self, request: web.Request) -> web.Response:
        body = await parsed(request, ClaimForm)
        await self._claimed(request, body.review_id)
        return _back(request, body)

    async def release_by_form(self, request: web.Request) -> web.Response:
        body, caller = await parsed(request, ClaimForm), request[CALLER]
        review = await self._open_or_none(request, body.review_id)
        if review is not None:
            await self._service.looking.release(review, caller.person, via=caller.via)
        return _back(request, body)

    async def snooze_by_form(self, request: web.Request) -> web.Response:
        body, caller = await parsed(request, SnoozeForm), request[CALLER]
        who = self._service.somebody(caller.person)
        until = self._until(body, who)
        which = OpenReview(task=known_id(request), review=body.review_id)
        await self._service.looking.snooze(which, caller.person, until, via=caller.via)
        return _back(request, body)

    async def wake_by_form(self, request: web.Request) -> web.Response:
        body, caller = await parsed(request, ClaimForm), request[CALLER]
        review = await self._open_or_none(request, body.review_id)
        if review is not None:
            await self._service.looking.wake(review, caller.person, via=caller.via)
        return _back(request, body)

    def _until(self, body: SnoozeForm, person: Person) -> datetime | timedelta:
        if body.wait == "tomorrow":
            return next_morning(self._clock.now(), person)
        return WAITS[body.wait] if body.wait else _time_of(body.until, person)

    async def _claimed(self, request: web.Request, review_id: str | None) -> ReviewRequest:
        caller = request[CALLER]
        which = OpenReview(task=known_id(request), review=review_id)
        return await self._service.looking.claim(which, caller.person, via=caller.via)

    async def _open_or_none(self, request: web.Request, review_id: str | None) -> ReviewId | None:
        """The open review, for what is to end: of one that is closed, nothing is left to end."""
        task = await self._service.task(known_id(request))
        return task.review if review_id in {None, task.review} else None

    async def _as_it_is(self, request: web.Request) -> ReviewRequest | None:
        """The open review, where another one was named."""
        task = await self._service.task(known_id(request))
        review = None if task.review is None else await self._service.review(task.review)
        return review if review is not None and review.is_open else None

    def _answer(self, request: web.Request, review: ReviewRequest | None) -> web.Response:
        return json_response(looking_json(known_id(request), review, self._service.somebody))


def _back(request: web.Request, body: ClaimForm) -> web.Response:
    return see_other("/inbox" if body.back == "inbox" else f"/tasks/{known_id(request)}")


def _time_of(text: str, person: Person) -> datetime:
    """What a browser's field sends has no zone: it is the person's. Raises `Invalid`."""
    try:
        return person.utc(datetime.fromisoformat(text))
    except ValueError:
        raise Invalid("Say when to remind you, as date and time: 2026-12-24 09:00.") from None
    except OverflowError:
        raise Invalid("`until`: there is no such time.") from None
