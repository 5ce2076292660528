"""The pages: form, task, inbox, sign-in and problems, rendered by Jinja2 with escaping always on."""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import blake2b, sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ETag, web

from core.explaining import hash_of
from core.model import text_of
from web.auth import CALLER
from web.pages.assets import FILES, Assets
from web.pages.forms import editable
from web.pages.since import quoted, unquoted
from web.pages.text import marked, shown_time, spelled, told_apart, typed, visible
from web.pages.trail import asked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import jinja2

    from web.auth import Callers
    from web.problems import Problem

OF_A_TASK = re.compile(r"(?:/v1)?/(?:tasks|feedback)/([0-9A-Za-z]{1,64})/?")
"""Addresses of a task, also those that take a form alone: asked for, they match no route."""
TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders templates; `links` are more entries of the navigation, `banner` a line above all pages."""

    def __init__(
        self, callers: Callers, *, banner: str | None = None, links: Mapping[str, str] | None = None
    ) -> None:
        self._callers = callers
        self.assets = Assets()
        self._banner = banner
        self._links = dict(links or {})

    @cached_property
    def _env(self) -> jinja2.Environment:
        """Made for the first page, and Jinja2 imported for it: the API starts without."""
        import jinja2  # noqa: PLC0415 - see above

        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        env.filters.update(
            asked=asked,
            editable=editable,
            marked=marked,
            policy_hash=hash_of,
            quoted=quoted,
            told_apart=told_apart,
            typed=typed,
            unquoted=unquoted,
            visible=visible,
            spelled=spelled,
            text=lambda value: visible(text_of(value)),
            time=jinja2.pass_context(lambda page, at: shown_time(at, page["zone"])),
            words=words,
        )
        env.globals.update(asset=self.assets.url, banner=self._banner, links=self._links)
        return env

    def page(
        self, request: web.Request, template: str, *, status: int = HTTPStatus.OK, **context: Any
    ) -> web.Response:
        caller = request.get(CALLER)
        html = self._env.get_template(template).render(
            caller=caller,
            zone="UTC" if caller is None else caller.zone,
            path=request.path,
            form_token=self._callers.form_token(request),
            **context,
        )
        return web.Response(text=html, status=status, content_type="text/html")

    async def unless_seen(
        self,
        request: web.Request,
        template: str,
        *,
        shown: Mapping[str, Any],
        names: object,
        rest: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> web.Response:
        """The page, or 304 for whoever holds it as it is: it is made of `shown`, and of `names`, which the
        configuration says. The `rest` follows from both.

        What makes it is not run to find that out: it takes many times longer than to read what it is made of.
        """
        made_of = repr((template, request.get(CALLER), self._callers.form_token(request), shown, names))
        tag = ETag(self._tag(made_of), is_weak=True)
        if any(one.value in (tag.value, "*") for one in request.if_none_match or ()):
            page = web.Response(status=HTTPStatus.NOT_MODIFIED)
        else:
            page = self.page(request, template, **shown, **await rest(), tag=f'W/"{tag.value}"')
        page.etag = tag
        return page

    def _tag(self, made_of: str) -> str:
        text = made_of.encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._release, digest_size=16).hexdigest()

    @cached_property
    def _release(self) -> bytes:
        """Of what makes pages here: the same on every replica, and another with every change of it."""
        found = sha256(repr((self._banner, self._links)).encode())
        for path in sorted(TEMPLATES.parent.rglob("*")):
            if path.suffix in {".html", ".py"}:
                found.update(path.read_bytes())
        for asset in FILES:
            found.update(self.assets.url(asset).encode())
        return found.digest()

    def sign_in(self, request: web.Request, problem: Problem, *, then: str) -> web.Response:
        """In place of the page asked for, which the browser asks for again: `then`, a path of ours."""
        is_refused = request.method == "POST"  # of the form itself
        page = self.page(
            request,
            "sign_in.html",
            status=problem.status,
            problem=problem if is_refused else None,
            next=then,
        )
        page.headers.update(problem.headers)
        return page

    def problem(self, request: web.Request, problem: Problem, *, words: Sequence[str] = ()) -> web.Response:
        """`words` are what somebody typed and would lose."""
        found = None if problem.status == HTTPStatus.NOT_FOUND else OF_A_TASK.match(request.path)
        page = self.page(
            request,
            "problem.html",
            status=problem.status,
            problem=problem,
            words=words,
            task_id=found and found[1],
        )
        page.headers.update(problem.headers)
        return page


def words(name: str) -> str:
    """`waiting_for_review` as people read it."""
    return name.replace("_", " ")
