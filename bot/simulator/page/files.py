"""The page itself and what it loads, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE: Final = Path(__file__).parent
TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the page shares with the other pages of its server: addresses of files, names and paths."""

    icon: str
    stylesheets: Sequence[str]
    scripts: Sequence[str]
    links: Mapping[str, str]
    """The navigation: name to path."""
    banner: str


class Files:
    """The page and its own stylesheets and modules; nothing else in the folder is ever served."""

    def __init__(self, frame: Frame) -> None:
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        own = [path for path in (HERE / "static").iterdir() if path.suffix in TYPES]
        self._files = {path.name: (TYPES[path.suffix], path.read_bytes()) for path in own}
        self._template = env.get_template("page.html")
        self._frame = frame

    def routes(self, path: str) -> list[web.RouteDef]:
        return [web.get(path, self.page), web.get(f"{path}/static/{{name}}", self.file)]

    async def page(self, request: web.Request) -> web.Response:
        html = self._template.render(frame=self._frame, path=request.path)
        return web.Response(text=html, content_type="text/html")

    async def file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        content_type, body = found
        return web.Response(body=body, content_type=content_type, charset="utf-8")
