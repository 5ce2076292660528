"""`countersign doctor` on the port: whether `serve` could listen there, or a server of ours does already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from bot.findings import Finding
from countersign.server import free_at

if TYPE_CHECKING:
    from web.settings import WebSettings

PATIENCE = 1.0
"""Seconds for an answer from this very machine."""
OURS = "countersign"
"""As every answer of ours has it in its `Server`."""
_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


async def port_finding(settings: WebSettings, *, patience: float = PATIENCE) -> Finding | None:
    """None where nobody listens there, or that cannot be told. Of who listens, headers alone are read."""
    try:
        if free_at(settings.host, settings.port) is not None:
            return None
    except OSError:  # not this user's to listen at, perhaps, but the service's
        return None
    at = f"{settings.host}:{settings.port}"
    try:
        who = await _server(settings, patience)
    except (TimeoutError, httpx.TimeoutException):
        return _taken(f"something listens at {at} and does not answer, so serve cannot")
    if who != OURS:
        return _taken(f"something else than Countersign listens at {at}, so serve cannot")
    return Finding(check="port", is_well=True, text=f"a server of Countersign's listens at {at}")


def _taken(text: str) -> Finding:
    """No failure: `doctor` is also asked before the old service is stopped."""
    mend = "stop what listens there, or set COUNTERSIGN_PORT"
    return Finding(check="port", is_well=True, is_warning=True, text=text, mend=mend)


async def _server(settings: WebSettings, patience: float) -> str:
    """What it says it is; empty where it speaks no HTTP. Raises where it says nothing in time."""
    host = _MACHINE.get(settings.host, settings.host)
    url = httpx.URL(scheme="http", host=host, port=settings.port, path="/healthz")
    try:
        async with (
            asyncio.timeout(patience),
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            return str(answer.headers.get("Server", ""))
    except httpx.TimeoutException:
        raise
    except httpx.HTTPError:
        return ""
