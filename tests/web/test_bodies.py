"""web/bodies.py: how long a body may take, and how much may be in a form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.web_house import House


@pytest.mark.parametrize("path", ["/submit", "/v1/tasks", "/hooks/none", "/sign-in"])
async def test_a_body_that_does_not_come_is_not_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Each would hold a connection and what it has sent so far, for as long as somebody likes."""
    monkeypatch.setattr("web.bodies.BODY_SECONDS", 0.05)
    token = await house.token("ana")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    headers = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        "Content-Length: 9",
    )
    writer.write("\r\n".join((*headers, "", '{"d')).encode())
    async with asyncio.timeout(10):
        status = (await reader.readline()).split()[1]
    writer.close()
    await writer.wait_closed()
    assert status == (b"404" if path == "/hooks/none" else b"408")
    assert not await house.tasks()


@pytest.mark.parametrize(("fields", "status"), [(100, 202), (101, 400), (100_000, 400)])
async def test_a_form_has_a_hundred_fields_at_most(house: House, fields: int, status: int) -> None:
    body = "data=x" + "&a" * (fields - 1)
    headers = {"Content-Type": "application/x-www-form-urlencoded", **await house.bearer("ana")}
    async with house.http.post("/submit", data=body, headers=headers) as answer:
        assert answer.status == status
    assert len(await house.tasks()) == (status == 202)
