"""The simulated Web API over HTTP: parses a call, checks its token, keeps its pace, acts, produces faults."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.simulator.faults import Call, Fault, Faults
from bot.simulator.slack import (
    chat_methods,
    directory_methods,
    file_methods,
    usergroup_methods,
    view_methods,
)
from bot.simulator.slack.method import Args, Method
from bot.simulator.slack.pace import TIER_1, Pace
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from bot.simulator.slack.model import Body

METHODS: Mapping[str, Method] = {
    **chat_methods.METHODS,
    **view_methods.METHODS,
    **directory_methods.METHODS,
    **file_methods.METHODS,
    **usergroup_methods.METHODS,
}
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
FAILURES = {429: "ratelimited", 503: "service_unavailable"}


class WebApi:
    """Answers `/api/{method}`; every call ends up in `calls`, in the order of the answers."""

    def __init__(self, workspace: Workspace, *, tokens: Mapping[str, frozenset[str]], app_token: str) -> None:
        self.calls: list[Call] = []
        self.faults = Faults()
        self.enforce_rate_limits = False
        self.methods = dict(METHODS)
        self._workspace = workspace
        self._tokens = tokens
        self._app_token = app_token
        self._pace = Pace(workspace.now)

    def add_connections_open(self, call: Any) -> None:
        """Serve apps.connections.open, which belongs to Socket Mode."""
        self.methods["apps.connections.open"] = Method(
            call=call, scopes=("connections:write",), rate=TIER_1, app_token=True
        )

    async def handle(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        try:
            params, token = await _parse(request)
        except SlackError as error:
            return self._record(name, {}, 200, error.answer)
        fault = self.faults.take(name, params)
        if fault is None:
            return self._acted(name, params, token)
        return await self._faulty(request, fault, name, params, token)

    async def _faulty(
        self, request: web.Request, fault: Fault, name: str, params: Body, token: str
    ) -> web.Response:
        acted = self._answer(name, params, token) if fault.after_acting else None
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.cut:
            return self._cut(request, name, params)
        if fault.status is None and fault.body is None:
            status, body, headers = acted or self._answer(name, params, token)
            return self._record(name, params, status, body, headers | dict(fault.headers))
        status = fault.status or 200
        body = dict(fault.body or {"ok": False, "error": FAILURES.get(status, "internal_error")})
        headers = {"Retry-After": "1"} if status == 429 else {}
        return self._record(name, params, status, body, headers | dict(fault.headers))

    def _cut(self, request: web.Request, name: str, params: Body) -> web.Response:
        """Drop the line; what aiohttp then tries to write goes nowhere."""
        if request.transport is not None:
            request.transport.abort()
        return self._record(name, params, 0, {})

    def _acted(self, name: str, params: Body, token: str) -> web.Response:
        status, body, headers = self._answer(name, params, token)
        return self._record(name, params, status, body, headers)

    def _answer(self, name: str, params: Body, token: str) -> tuple[int, Body, dict[str, str]]:
        """Do what the call asks for, as far as it may: status, body and headers of the answer."""
        headers: dict[str, str] = {}
        try:
            method = self._method(name)
            scopes = self._check_token(method, token, params)
            headers = {
                "x-oauth-scopes": ",".join(sorted(scopes)),
                "x-accepted-oauth-scopes": ",".join(method.scopes),
            }
            wait = self._wait(name, method, params)
            if wait:
                headers["Retry-After"] = str(math.ceil(wait))
                return 429, {"ok": False, "error": "ratelimited"}, headers
            return 200, {"ok": True, **method.call(self._workspace, Args(params))}, headers
        except SlackError as error:
            return 200, error.answer, headers

    def _method(self, name: str) -> Method:
        if name not in self.methods:
            raise SlackError("unknown_method", req_method=name)
        return self.methods[name]

    def _check_token(self, method: Method, token: str, params: Body) -> frozenset[str]:
        """The token's scopes, where they suffice."""
        if not token:
            raise SlackError("not_authed")
        if token not in self._tokens:
            raise SlackError("invalid_auth")
        if method.app_token is not (token == self._app_token):
            raise SlackError("not_allowed_token_type")
        provided = self._tokens[token]
        scopes = self._scopes(method, params)
        if scopes and not provided.intersection(scopes):
            needed, has = ",".join(scopes), ",".join(sorted(provided))
            raise SlackError("missing_scope", needed=needed, provided=has)
        return provided

    def _scopes(self, method: Method, params: Body) -> tuple[str, ...]:
        """Any of which will do; of a place that there is not, whichever."""
        place = self._workspace.channels.get(str(params.get("channel")))
        if method.scope_in is None or place is None:
            return method.scopes
        return (method.scope_in(place),)

    def _wait(self, name: str, method: Method, params: Body) -> float:
        if not self.enforce_rate_limits:
            return 0.0
        place = f" {params.get('channel')}" if name == "chat.postMessage" else ""
        return self._pace.wait(name + place, method.rate)

    def _record(
        self, name: str, params: Body, status: int, answer: Body, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        self.calls.append(Call(method=name, params=params, status=status, answer=answer))
        self._workspace.tell("called")
        return web.json_response(answer, status=status or 200, headers=headers)


async def _parse(request: web.Request) -> tuple[Body, str]:
    """The call's arguments from query and body, and its token, which a JSON body may not carry."""
    params = _plain(request.query)
    if request.method == "POST" and request.content_type in FORMS:
        params |= await _form(request)
    token = str(params.pop("token", ""))
    if request.method == "POST" and request.content_type == "application/json":
        params |= await _json(request)
    elif request.method == "POST" and request.content_type not in FORMS and await request.read():
        raise SlackError("invalid_post_type")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return params, credentials.strip() if scheme.lower() == "bearer" else token


async def _form(request: web.Request) -> Body:
    try:
        return _plain(await request.post())
    except LookupError as error:
        raise SlackError("invalid_charset") from error
    except ValueError as error:
        raise SlackError("invalid_form_data") from error


async def _json(request: web.Request) -> Body:
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise SlackError("invalid_json") from error
    if not isinstance(body, dict):
        raise SlackError("json_not_object")
    return body


def _plain(values: MultiMapping[Any]) -> Body:
    """The last of repeated fields counts; an uploaded file is named by its type only."""
    return {name: value if isinstance(value, str) else repr(type(value)) for name, value in values.items()}
