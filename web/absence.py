"""Who is away, until when, and who decides for them: by API and on a page."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from core.errors import CountersignError, Invalid, NotFound
from core.model import LOCAL, Person, PersonId
from web.auth import CALLER
from web.bodies import parsed
from web.gate import see_other, wants_page
from web.problems import problem_of
from web.schemas import Absence, AbsenceForm, delegation_json, json_response

if TYPE_CHECKING:
    from core.ports import Clock
    from core.service import Service
    from web.pages import Pages

log = structlog.get_logger(__name__)


class Absences:
    """Everybody signed in may see who is away; who may change it is core's to say."""

    def __init__(self, *, service: Service, pages: Pages, clock: Clock) -> None:
        self._service = service
        self._pages = pages
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/delegations", self.all),
            web.put("/v1/delegations/{person}", self.put),
            web.delete("/v1/delegations/{person}", self.end),
            web.get("/away", self.page),
            web.post("/away", self.leave),
            web.post("/away/end", self.come_back),
        ]

    async def all(self, _request: web.Request) -> web.Response:
        found = await self._service.delegations.standing()
        return json_response({"delegations": [delegation_json(one, self._service.somebody) for one in found]})

    async def put(self, request: web.Request) -> web.Response:
        """In place of what the person had said before."""
        person = self._named(request)
        body = await parsed(request, Absence)
        delegate = None if body.delegate is None else PersonId(body.delegate)
        made = await self._service.delegations.add(
            person.id, delegate, _end(person, body.until), by=request[CALLER].person
        )
        return json_response(delegation_json(made, self._service.somebody))

    async def end(self, request: web.Request) -> web.Response:
        """Again and again gives the same."""
        await self._service.delegations.end(self._named(request).id, by=request[CALLER].person)
        return web.Response(status=204)

    async def page(self, request: web.Request) -> web.Response:
        return await self._shown(request)

    async def leave(self, request: web.Request) -> web.Response:
        body = await parsed(request, AbsenceForm)
        person = request[CALLER].person
        try:
            delegate = PersonId(body.delegate) if body.delegate else None
            await self._service.delegations.add(
                person, delegate, _end_of(self._me(request), body.until), by=person
            )
        except CountersignError as error:
            if not wants_page(request):
                raise
            return await self._shown(request, error, typed=body)
        return see_other("/away")

    async def come_back(self, request: web.Request) -> web.Response:
        person = request[CALLER].person
        await self._service.delegations.end(person, by=person)
        return see_other("/away")

    async def _shown(
        self, request: web.Request, error: CountersignError | None = None, typed: AbsenceForm | None = None
    ) -> web.Response:
        """The page; with what was refused above it, and what was typed kept."""
        me = self._me(request)
        standing = await self._service.delegations.standing()
        mine = next((one for one in standing if one.person == me.id), None)
        problem = None if error is None else problem_of(error)
        if problem is not None:
            log.info("request_refused", method=request.method, status=problem.status, problem=problem.slug)
        page = self._pages.page(
            request,
            "away.html",
            status=200 if problem is None else problem.status,
            problem=problem,
            typed=typed,
            mine=mine,
            last_day="" if mine is None else _last_day(me, mine.until),
            standing=standing,
            people=[person for person in self._service.people() if person.id != me.id],
            somebody=self._service.somebody,
            today=me.local(self._clock.now()).date().isoformat(),
            is_alone=me.id == LOCAL,
        )
        page.headers.update({} if problem is None else problem.headers)
        return page

    def _me(self, request: web.Request) -> Person:
        """The caller, as the file names them now."""
        return self._service.somebody(request[CALLER].person)

    def _named(self, request: web.Request) -> Person:
        """The person in the path; raises `NotFound`."""
        person = self._service.person(request.match_info["person"])
        if person is None:
            raise NotFound("There is no such person in countersign.toml.")
        return person


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _end(person: Person, until: str) -> datetime:
    """A time with its zone, or the end of a day where the person is; raises `Invalid`."""
    try:
        if _DAY.fullmatch(until):
            return person.end_of(date.fromisoformat(until))
        moment = datetime.fromisoformat(until)
        if moment.tzinfo is None:
            raise Invalid("`until`: a time needs its timezone: 2026-12-24T18:00:00+01:00.")
        return person.utc(moment)
    except ValueError:
        raise Invalid("`until`: must be a time (2026-12-24T18:00:00+01:00) or a day (2026-12-24).") from None
    except OverflowError:
        raise Invalid("`until`: there is no such time.") from None


def _end_of(person: Person, day: str) -> datetime:
    """The first moment after that day where the person is; raises `Invalid`."""
    try:
        return person.end_of(date.fromisoformat(day))
    except (ValueError, OverflowError):
        raise Invalid("Say the last day of your absence as year, month and day: 2026-12-24.") from None


def _last_day(person: Person, until: datetime) -> str:
    """Of an absence that ends then, where the person is."""
    return person.local(until - timedelta(microseconds=1)).date().isoformat()
