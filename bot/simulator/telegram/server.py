"""The HTTP side: addresses, tokens, the record of calls, and faults on demand."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from bot.simulator.faults import Call, Fault, Faults
from bot.simulator.telegram.errors import ApiError, not_found, too_many_requests, unauthorized
from bot.simulator.telegram.limits import UPLOAD_BYTES
from bot.simulator.telegram.requests import read_params
from core.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bot.simulator.telegram.chats import StoredFile

Handler: TypeAlias = "Callable[[Mapping[str, Any]], Any | Awaitable[Any]]"
"""Takes a call's parameters, returns its `result` (or a coroutine of it), raises ApiError."""

TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]{3,}")
"""What a token looks like; anything else is not even unauthorized."""
SERVER = "Countersign simulator (not Telegram)"


class ApiServer:
    """Answers `/bot<token>/<method>` and `/file/bot<token>/<path>` on a loopback port."""

    def __init__(
        self,
        *,
        token: str,
        handlers: Mapping[str, Handler],
        file: Callable[[str], StoredFile | None],
        on_call: Callable[[], None],
    ) -> None:
        self.calls: list[Call] = []
        self.faults = Faults()
        self._token = token
        self._handlers = {name.lower(): (name, handler) for name, handler in handlers.items()}
        self._file = file
        self._on_call = on_call
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int) -> str:
        """Start; the root address. ValueError for an address that others could reach."""
        if not is_loopback(host):
            raise ValueError(f"the simulator listens on loopback only, not on {host}")
        app = web.Application(client_max_size=UPLOAD_BYTES + 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._method)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        app.router.add_route("*", "/{path:.*}", self._elsewhere)
        app.on_response_prepare.append(_mark)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = self._runner.addresses[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{address[1]}"

    async def close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _method(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
            name, handler = self._handler(request.match_info["method"])
            params = await read_params(request)
        except ApiError as refusal:
            self._record(request.match_info["method"], {}, refusal.status, refusal.as_api())
            return _answer(refusal.status, refusal.as_api())
        status, answer, fault = await self._called(name, handler, params)
        if status == 0:
            return _cut(request)
        return _answer(status, answer, fault.headers if fault else {})

    async def perform(self, said: Mapping[str, Any]) -> None:
        """A call that came in the answer to a webhook, where nobody is told what becomes of it
        [api: Making requests when getting updates]."""
        method = str(said.get("method"))
        params = {name: value for name, value in said.items() if name != "method"}
        try:
            name, handler = self._handler(method)
        except ApiError as refusal:
            self._record(method, params, refusal.status, refusal.as_api())
        else:
            await self._called(name, handler, params)

    async def _called(
        self, name: str, handler: Handler, params: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any], Fault | None]:
        fault = self.faults.take(name, params)
        if fault is None:
            status, answer = await self._act(handler, params)
        else:
            status, answer = await self._act_with(fault, handler, params)
        self._record(name, params, status, answer)
        return status, answer, fault

    async def _act(self, handler: Handler, params: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            result = handler(params)
            if inspect.isawaitable(result):
                result = await result
        except ApiError as refusal:
            return refusal.status, refusal.as_api()
        return 200, {"ok": True, "result": result}

    async def _act_with(
        self, fault: Fault, handler: Handler, params: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """The call under a fault; status 0 is a cut line."""
        is_only_late = not fault.cut and fault.status is None and fault.body is None
        acted = await self._act(handler, params) if fault.after_acting else None
        await self._pause(fault.delay)
        if fault.cut:
            return 0, {}
        if is_only_late:
            return acted or await self._act(handler, params)
        status = fault.status or 200
        return status, dict(_fault_body(status, fault) if fault.body is None else fault.body)

    async def _pause(self, seconds: float) -> None:
        """A delay that does not hold up the end."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _record(self, name: str, params: Mapping[str, Any], status: int, answer: Mapping[str, Any]) -> None:
        is_idle_poll = name == "getUpdates" and status == 200 and not answer.get("result")
        if not is_idle_poll:
            self.calls.append(Call(method=name, params=params, status=status, answer=answer))
        self._on_call()

    def _check_token(self, request: web.Request) -> None:
        token = request.match_info["token"]
        if TOKEN.fullmatch(token) is None:
            raise not_found()
        if not hmac.compare_digest(token, self._token):
            raise unauthorized()

    def _handler(self, method: str) -> tuple[str, Handler]:
        if method.lower() not in self._handlers:
            raise not_found("method not found")
        return self._handlers[method.lower()]

    async def _download(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_token(request)
        except ApiError as refusal:
            return _answer(refusal.status, refusal.as_api())
        stored = self._file(request.match_info["path"])
        if stored is None:
            return _answer(404, not_found().as_api())
        return web.Response(body=stored.content, content_type="application/octet-stream")

    async def _elsewhere(self, _: web.Request) -> web.StreamResponse:
        return _answer(404, not_found().as_api())


async def _mark(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def _answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(dict(body), status=status, headers=dict(headers or {}))


def _cut(request: web.Request) -> web.Response:
    """Close the line without a word; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _fault_body(status: int, fault: Fault) -> dict[str, Any]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return too_many_requests(float(fault.headers.get("Retry-After", 1))).as_api()
    return ApiError(status, HTTPStatus(status).phrase).as_api()
