"""Stylesheet, scripts and icon: read once, served from memory under names that change with them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

STATIC: Final = Path(__file__).parent / "static"
FILES: Final = (
    "app.css",
    "app.js",
    "icon.svg",
    "press.js",
    "words.js",
    "vendor/htmx.min.js",
    "vendor/pico.classless.min.css",
)
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file; `url` holds the start of its hash."""

    url: str
    content_type: str
    body: bytes
    zipped: bytes


class Assets:
    """Only what is listed is ever served, so no path can leave the folder."""

    def __init__(self) -> None:
        self._by_file = {file: _load(file) for file in FILES}
        self._by_url = {asset.url: asset for asset in self._by_file.values()}

    def url(self, file: str) -> str:
        """For templates."""
        return self._by_file[file].url

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/static/{name}", self.serve)]

    async def serve(self, request: web.Request) -> web.Response:
        asset = self._by_url.get(f"/static/{request.match_info['name']}")
        if asset is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.body, content_type=asset.content_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=asset.zipped, content_type=asset.content_type, headers=headers)


def _load(file: str) -> Asset:
    path = STATIC / file
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(
        url=f"/static/{path.stem}.{digest}{path.suffix}",
        content_type=TYPES[path.suffix],
        body=body,
        zipped=gzip.compress(body, mtime=0),
    )
