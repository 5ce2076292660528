"""A call of the API, by somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.web.web_house import House


async def ask(house: House, method: str, path: str, person: str = "ana", **how: Any) -> tuple[int, Any]:
    headers = {**await house.bearer(person), **how.pop("headers", {})}
    async with house.http.request(method, path, headers=headers, **how) as answer:
        return answer.status, await answer.json(content_type=None) if answer.status != 204 else None
