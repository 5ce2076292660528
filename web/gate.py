"""The one middleware every request passes: Host, origin, identity; and errors on the way out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from multidict import istr

from core.defects import defect
from core.errors import CountersignError, Unidentified
from web import expectations
from web.auth import CALLER
from web.bodies import check_length, form
from web.metrics import METRICS
from web.parameters import own_path
from web.problems import HttpRefusal, Problem, problem_of, problem_of_http, problem_response, unexpected

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection

    from aiohttp.typedefs import Handler, Middleware

    from web.auth import Callers
    from web.pages import Pages
    from web.settings import WebSettings

log = structlog.get_logger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SIGN_IN = "/sign-in"
ANYBODY = frozenset({SIGN_IN, "/sign-out", "/static/{name}"})
"""Paths that need no sign-in, but come from our own pages."""

TYPED: Final = ("data", "content", "state", "text", "comment")
"""Fields of our forms that hold people's own words."""

OURS: Final = web.RequestKey("is_ours", bool)
"""In a request that came from our own pages, or from no page."""
WORDS_SECONDS = 2
"""How long what somebody typed may take to arrive once it is refused."""

CROSS_SITE = "Requests from other sites' pages are refused."

HEADERS: Final = (
    (istr("X-Content-Type-Options"), "nosniff"),
    (istr("Referrer-Policy"), "no-referrer"),
    (istr("Cross-Origin-Resource-Policy"), "same-origin"),
    (istr("Cache-Control"), "no-store"),
)
"""On every answer that does not set its own; ready-made names cost less, on streams in memory too."""

PAGE_HEADERS: Final = (
    (
        istr("Content-Security-Policy"),
        (
            "default-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; "
            "frame-ancestors 'none'; form-action 'self'"
        ),
    ),
    (istr("Cross-Origin-Opener-Policy"), "same-origin"),
)
"""On every page besides. `data:` images are the stylesheet's own icons."""

SERVER: Final = istr("Server")


async def add_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """A signal, since a stream's headers leave before its handler returns."""
    headers = response.headers
    for name, value in HEADERS:
        if name not in headers:
            headers[name] = value
    if headers.get("Content-Type", "").startswith("text/html"):
        for name, value in PAGE_HEADERS:
            if name not in headers:
                headers[name] = value
    headers[SERVER] = "countersign"


class Admission:
    """Who may come in: by the right name, from our own pages, and known to us."""

    def __init__(self, *, settings: WebSettings, callers: Callers, machines: Collection[str]) -> None:
        """`machines` prove themselves otherwise (callbacks, hooks, probes): paths as the router has them."""
        self._hosts = Hosts(settings)
        self._callers = callers
        self._machines = machines

    async def admit(self, request: web.Request) -> None:
        """Put the caller into the request, or raise."""
        self._hosts.check(request)
        self._callers.refuse_forwarded(request)
        expectations.check(request)
        path = _route(request)
        if path is None or path in self._machines:
            return
        says_origin = True
        if request.method not in SAFE_METHODS:
            says_origin = self._hosts.refuse_cross_site(request)
        if path in ANYBODY:
            return
        request[OURS] = True
        asked = self._callers.onlooker if path == METRICS else self._callers.caller
        request[CALLER] = await asked(request)
        if not says_origin:
            await self._callers.check_form_token(request)


def make_gate(admission: Admission, pages: Pages | None, refused: Counter[tuple[int, str]]) -> Middleware:
    """Admit, handle, and turn whatever is raised into an answer; without `pages` a browser has JSON, too.

    `refused` counts them by HTTP status and problem.
    """
    refusal_of = partial(answer, pages=pages, refused=refused)

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await admission.admit(request)
            await check_length(request)
            return await handler(request)
        except CountersignError as error:
            return await refusal_of(request, problem_of(error), sign_in=isinstance(error, Unidentified))
        except HttpRefusal as refusal:
            return await refusal_of(request, refusal.problem)
        except web.HTTPException as error:
            return await refusal_of(request, problem_of_http(error))
        except Exception as error:  # a defect is answered, too; aiohttp would log its message
            log.error("request_failed", method=request.method, route=_route(request), **defect(error))
            if request.writer.output_size:
                raise ConnectionResetError("the answer had begun") from error
            return await refusal_of(request, unexpected())

    return gate


async def answer(
    request: web.Request,
    problem: Problem,
    pages: Pages | None,
    refused: Counter[tuple[int, str]],
    *,
    sign_in: bool = False,
) -> web.StreamResponse:
    """The problem as a page for a browser, as JSON for everybody else; counted."""
    refused[problem.status, problem.slug] += 1
    log.info(
        "request_refused",
        method=request.method,
        route=_route(request),
        status=problem.status,
        problem=problem.slug,
    )
    if pages is None or not wants_page(request):
        return problem_response(problem)
    is_form = request.path == SIGN_IN and problem.status in {401, 422}
    if is_form or (sign_in and request.method in SAFE_METHODS):
        return pages.sign_in(request, problem, then=await _then(request))
    return pages.problem(request, problem, words=await _words(request))


async def _words(request: web.Request) -> list[str]:
    """What a person typed into the form of ours that is refused. A script of ours keeps that in the page."""
    if OURS not in request or request.method in SAFE_METHODS or "HX-Request" in request.headers:
        return []
    fields = await _fields(request)
    return [fields[name] for name in TYPED if fields.get(name, "").strip()]


async def _then(request: web.Request) -> str:
    """Where somebody who has to sign in was going."""
    if request.method in SAFE_METHODS:
        return own_path(request.path_qs)
    return own_path((await _fields(request)).get("next", ""))


async def _fields(request: web.Request) -> dict[str, str]:
    """Those of a form that is refused; none where they do not come soon."""
    try:
        async with asyncio.timeout(WORDS_SECONDS):
            return await form(request)
    except (CountersignError, HttpRefusal, web.HTTPException, TimeoutError):
        return {}


def wants_page(request: web.Request) -> bool:
    """Browsers name text/html when they navigate; scripts and `fetch` do not."""
    return "text/html" in request.headers.get("Accept", "")


def see_other(path: str) -> web.Response:
    """After a form's POST: the page to show, so that a reload posts nothing."""
    return web.Response(status=303, headers={"Location": path})


class Hosts:
    """The names this server goes by. Anything else is somebody else's name made to point here."""

    def __init__(self, settings: WebSettings) -> None:
        public = urlsplit(settings.base_url)
        self._origin = f"{public.scheme}://{public.netloc}".lower()
        self._names = {settings.host.lower(), "localhost", (public.hostname or "").lower()} - {""}
        self._behind_tls = (public.hostname or "").lower() if public.scheme == "https" else None

    def check(self, request: web.Request) -> None:
        """Refuse a foreign name with 421, in `Host` as in the request line.

        Ports are not compared, so that forwarded ports work.
        """
        address = _address(request)
        said = {host_name(request.headers.get("Host", "")), host_name(_authority(request))}
        if all(name in self._names or name == address for name in said):
            return
        raise HttpRefusal(421, "Misdirected request", "This server does not go by that name.")

    def refuse_cross_site(self, request: web.Request) -> bool:
        """Refuse what another site's page sends; False where a browser does not say whose page it was.

        That is `Origin: null`, which follows from our own Referrer-Policy, without `Sec-Fetch-Site`, which
        browsers keep back on plain http. Programs send neither header.
        """
        site = request.headers.get("Sec-Fetch-Site")
        origin = request.headers.get("Origin")
        if site is not None:
            is_ours = site in {"same-origin", "none"}
        else:
            is_ours = origin in {None, "null"} or self._is_own(str(origin), request)
        if not is_ours:
            raise HttpRefusal(403, "Cross-site request", CROSS_SITE)
        return site is not None or origin != "null"

    def _is_own(self, origin: str, request: web.Request) -> bool:
        host = _authority(request)
        if host_name(host) == self._behind_tls:
            # Without TLS whoever sits on the line can serve pages under our name.
            return origin.lower() == self._origin
        return origin.lower() in {self._origin, f"http://{host}".lower()}


def _authority(request: web.Request) -> str:
    """The Host header, unless the request line has a whole address: that counts (RFC 9112, 3.2.2)."""
    said = request.raw_path
    try:
        whole = "" if said.startswith("/") else urlsplit(said).netloc
    except ValueError:
        return ""
    return whole or request.headers.get("Host", "")


def host_name(header: str) -> str:
    """The name in a Host header, in lower case and without port or brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _address(request: web.Request) -> str | None:
    """The address this connection came in on: the listening one, also where that is 0.0.0.0."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport else None
    return name[0] if isinstance(name, tuple) else None


def _route(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return resource.canonical if resource else None
