"""The header `Expect`: aiohttp hears it before the gate, with a handler for each route.

Its own writes what it does not know into an answer of its own, and breaks on bytes that are no text. So here
only the one word there is is answered (RFC 9110, 10.1.1), and the gate refuses all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from web.problems import HttpRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTINUE: Final = "100-continue"


def adding(app: web.Application) -> Callable[[Iterable[web.RouteDef]], None]:
    """What adds routes to `app`; where none matches, an expectation does not get past the gate either."""
    app.router.register_resource(_Nowhere())

    def add(routes: Iterable[web.RouteDef]) -> None:
        app.add_routes(
            web.route(one.method, one.path, one.handler, expect_handler=_heard, **one.kwargs)
            for one in routes
        )

    return add


def check(request: web.Request) -> None:
    """Refuse what else is expected (417)."""
    expected = _expected(request)
    if expected and expected != CONTINUE:
        raise HttpRefusal(
            417, "Expectation failed", f"All that can be expected of this server is {CONTINUE}."
        )


def _expected(request: web.Request) -> str:
    """In lower case; nothing in HTTP/1.0, which does not know the header."""
    return request.headers.get("Expect", "").lower() if request.version >= HttpVersion11 else ""


async def _heard(request: web.Request) -> None:
    if _expected(request) == CONTINUE:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


async def _nothing(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


class _Nowhere(web.DynamicResource):
    """Stands in for no route at all: aiohttp's own stand-in has its own handler of expectations."""

    def __init__(self) -> None:
        super().__init__("/{path}")
        self._any = web.ResourceRoute("*", _nothing, self, expect_handler=_heard)

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        if _expected(request) in {"", CONTINUE}:
            return None, set()
        return web.UrlMappingMatchInfo({}, self._any), set()
