"""The header `Expect`: aiohttp hears it before the gate, with a handler of each route's.

Its own answers what it does not know with an answer of its own, and breaks on bytes that are no text. So only
the one word there is (RFC 9110, 10.1.1) gets there; where anything else is expected, the gate refuses.
"""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.web_urldispatcher import Domain, MatchedSubAppResource

from web.problems import HttpRefusal

CONTINUE: Final = "100-continue"


def hear(app: web.Application) -> None:
    """Keep what cannot be met from the routes of `app`: whatever is asked for, and where nothing is."""
    app.router.register_resource(_Unmet())


def check(request: web.Request) -> None:
    """Refuse what else is expected (417)."""
    if _is_unmet(request):
        raise HttpRefusal(
            417, "Expectation failed", f"All that can be expected of this server is {CONTINUE}."
        )


def _is_unmet(request: web.Request) -> bool:
    """Never in HTTP/1.0, which does not know the header."""
    expected = request.headers.get("Expect")
    return bool(expected) and request.version >= HttpVersion11 and str(expected).lower() != CONTINUE


async def _unheard(_request: web.Request) -> None:
    """The gate comes next."""


async def _nothing(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


class _Unmet(MatchedSubAppResource):
    """Of this kind since aiohttp asks those first, and of addresses without a path (`CONNECT a:1`) alone."""

    def __init__(self) -> None:
        super().__init__(Domain("unmet.invalid"), web.Application())  # neither is looked at
        self._any = web.ResourceRoute("*", _nothing, self, expect_handler=_unheard)

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        return (web.UrlMappingMatchInfo({}, self._any) if _is_unmet(request) else None), set()
