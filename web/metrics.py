"""`GET /metrics`: what runs here, in numbers, for Prometheus. It names nobody, and no task."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


METRICS = "/metrics"


class Exposition(Protocol):
    """Writes everything out; what only the web server knows is told it."""

    async def text(
        self, accept: str, *, readers: int, refused: Mapping[tuple[int, str], int]
    ) -> tuple[bytes, str]:
        """The text and its content type, in the format that `accept` asks for.

        `readers` are the open streams, `refused` the answers by HTTP status and problem.
        """
        ...


class Metrics:
    """The route; there is none where nothing is exposed."""

    def __init__(
        self, *, exposition: Exposition, readers: Callable[[], int], refused: Mapping[tuple[int, str], int]
    ) -> None:
        self._exposition = exposition
        self._readers = readers
        self._refused = refused

    def routes(self) -> list[web.RouteDef]:
        return [web.get(METRICS, self.show)]

    async def show(self, request: web.Request) -> web.Response:
        body, content_type = await self._exposition.text(
            _sound(request.headers.get("Accept", "")), readers=self._readers(), refused=self._refused
        )
        return web.Response(body=body, headers={"Content-Type": content_type})


_VERSION = re.compile(r"version=([^;,]*)", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")


def _sound(accept: str) -> str:
    """The header, or nothing where a version in it is no version: it would come back in the answer's."""
    return accept if all(_NUMBERS.fullmatch(one.rstrip()) for one in _VERSION.findall(accept)) else ""
