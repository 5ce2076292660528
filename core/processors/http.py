"""`http(s)://…`: the task is POSTed to somebody's endpoint, whose answer is the draft.

It is asked with the node's run key as `Idempotency-Key`: equal for every repetition of one run, by us or
after a crash, so that the endpoint may act once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.processors.calls import Endpoint, host_of
from core.processors.exchange import ProcessorError, draft_in, parsed, question, storable, text
from core.running import run_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta

    from aiohttp import ClientResponse

    from core.model import Json


class HttpProcessor:
    """One endpoint."""

    def __init__(
        self,
        url: str,
        *,
        within: timedelta,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Raises `SettingsError`."""
        host = host_of(url, "processor http(s)://…")
        self._endpoint = Endpoint(url, who=f"The processor at {host}", within=within, pause=pause)

    async def __call__(self, shared: Mapping[str, Json]) -> Json:
        headers = {"Idempotency-Key": run_key(shared), "Accept": "application/json, text/plain"}
        return await self._endpoint.post(question(shared), headers, self._draft)

    async def _draft(self, response: ClientResponse) -> Json:
        who = self._endpoint.who
        if not 200 <= response.status < 300:
            raise self._endpoint.refusal(response)
        kind = response.content_type
        if kind not in {"application/json", "text/plain"}:
            raise ProcessorError(f"{who} answered neither application/json nor text/plain.")
        answer = text(await self._endpoint.whole(response), who)
        return draft_in(parsed(answer, who), who) if kind == "application/json" else storable(answer, who)
