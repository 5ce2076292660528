"""Headers that no honest client sends: whatever they hold, the answer is one of ours, and never a fault."""

from __future__ import annotations

import asyncio
import logging
from itertools import cycle, product
from typing import TYPE_CHECKING

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from tests.web.test_web_metrics import Told
from web.app import create_probes
from web.settings import WebSettings

if TYPE_CHECKING:
    from tests.web.web_house import House, Houses

UNKNOWN = "a" * 32
ROUTES = [
    "GET /",
    "GET /inbox",
    "GET /healthz",
    "GET /nothing/here",
    "GET /static/none",
    f"GET /stream/{UNKNOWN}",
    "GET /v1/tasks",
    "GET /v1/backup",
    "DELETE /submit",
    "OPTIONS *",
    "GET http://localhost",
    "CONNECT localhost:443",
    "POST /submit",
    "POST /sign-in",
    "POST /hooks/ci",
    f"POST /feedback/{UNKNOWN}",
]
ODD = [
    b"\xff",
    b"\xed\xa0\x80",
    b"a=\xff; b",
    b'countersign-0="\\377\\400"',
    b"text/html;q=\xff",
    b"Bearer \xff",
    b"multipart/form-data; boundary=\xff",
    b"application/json; charset=\xff",
    b"http://[",
    b"9" * 5000,
]
NAMES = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Expect",
    "Host",
    "HX-Request",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Origin",
    "Prefer",
    "Sec-Fetch-Site",
    "traceparent",
    "X-\xff",
]


class Answer:
    """The first of a connection, read to its end: the server closes it."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.headers = head.decode("latin-1").lower()


async def asked(port: int | None, line: str, **headers: bytes) -> Answer:
    """Headers by name, with `_` for `-`."""
    body = b'{"data": "x"}' if line.startswith("POST") else b""
    sent = {
        "Host": b"localhost",
        "Content-Type": b"application/json",
        "Connection": b"close",
        "Content-Length": str(len(body)).encode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    raw = b"".join(name.encode("latin-1") + b": " + value + b"\r\n" for name, value in sent.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line} HTTP/1.1\r\n".encode() + raw + b"\r\n" + body)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return Answer(answer)


@pytest.mark.parametrize("route", ROUTES)
async def test_no_header_is_a_fault_of_ours(
    houses: Houses, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    house = await houses(WebSettings(port=0))
    token = (await house.token("ana")).encode()
    with capture_logs() as logs:
        for (name, value), accept in zip(product(NAMES, ODD), cycle([b"*/*", b"text/html", b"*/*"])):
            headers = {"Authorization": b"Bearer " + token, "Accept": accept, name: value}
            answer = await asked(house.server.port, route, **headers)
            assert answer.status < 500, (name, value)
    assert not [entry for entry in logs if entry["log_level"] not in {"info", "debug"}]
    faults = [
        record for record in caplog.records if record.name == "aiohttp.server" and not is_no_http(record)
    ]
    assert faults == []


def is_no_http(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("value", [b"\xff", b"200-ok", b"100-continue, 100-continue", b"100-continue; a=b"])
async def test_what_is_expected_and_cannot_be_is_refused(house: House, route: str, value: bytes) -> None:
    answer = await asked(house.server.port, route, Expect=value, Connection=b"close")
    assert answer.status == 417
    assert b'"status": 417' in answer.body
    assert b"100-continue" in answer.body
    assert "application/problem+json" in answer.headers
    assert "x-content-type-options: nosniff" in answer.headers


MISDIRECTED = [
    ("http://evil.example/submit", b"localhost"),
    ("https://evil.example/submit", b"localhost"),
    ("HTTP://evil.example:80/submit", b"127.0.0.1"),
    ("http://localhost@evil.example/submit", b"localhost"),
    ("http://localhost.evil.example/submit", b"localhost"),
    ("http://localhost/submit", b"evil.example"),
    ("http://[::1]/submit", b"localhost"),
]


@pytest.mark.parametrize(("address", "host"), MISDIRECTED)
async def test_a_whole_address_names_us_as_the_host_does(house: House, address: str, host: bytes) -> None:
    """Of the two it is the address that counts (RFC 9112, 3.2.2)."""
    token = (await house.token("ana")).encode()
    answer = await asked(house.server.port, f"POST {address}", Host=host, Authorization=b"Bearer " + token)
    assert answer.status == 421
    assert not await house.tasks()


@pytest.mark.parametrize(
    ("address", "host", "origin", "status"),
    [
        ("http://localhost/submit", b"localhost", b"http://localhost", 202),
        ("http://LOCALHOST:81/submit", b"localhost:81", b"http://localhost:81", 202),
        ("http://127.0.0.1:81/submit", b"localhost:82", b"http://127.0.0.1:81", 202),
        ("http://127.0.0.1:81/submit", b"localhost:82", b"http://localhost:82", 403),
        ("http://localhost:81/submit", b"localhost:82", b"http://localhost:82", 403),
    ],
)
async def test_it_is_whose_pages_may_post(
    house: House, address: str, host: bytes, origin: bytes, status: int
) -> None:
    token = (await house.token("ana")).encode()
    answer = await asked(
        house.server.port, f"POST {address}", Host=host, Origin=origin, Authorization=b"Bearer " + token
    )
    assert answer.status == status


async def test_another_name_is_misdirected_whatever_it_expects(house: House) -> None:
    answer = await asked(house.server.port, "GET /nothing", Expect=b"\xff", Host=b"evil.example")
    assert answer.status == 421


async def test_probes_alone_refuse_it_too(house: House) -> None:
    app = create_probes(
        service=house.service,  # type: ignore[arg-type]  # it delegates all methods
        credentials=house.store,
        secrets=house.store,
        health=house.store,
        clock=house.world.clock,
        settings=WebSettings(port=0),
        exposition=Told(),
    )
    async with TestServer(app) as server:
        for line in ("GET /healthz", "GET /nothing"):
            assert (await asked(server.port, line, Expect=b"\xff")).status == 417
            assert (await asked(server.port, line)).status in {200, 404}


@pytest.mark.parametrize("expected", [b"100-continue", b"100-Continue"])
async def test_who_waits_for_a_word_before_the_body_has_it(house: House, expected: bytes) -> None:
    """As curl does with bodies over a megabyte."""
    token = await house.token("ana")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    head = f"POST /submit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    kind = b"Content-Type: application/json\r\nContent-Length: 13\r\n"
    writer.write(head.encode() + kind + b"Expect: " + expected + b"\r\n\r\n")
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"data": "x"}')
        assert (await reader.readline()).split()[1] == b"202"
    writer.close()
    await writer.wait_closed()


async def test_a_fault_after_that_word_is_still_answered(house: House) -> None:
    house.service.fault = RuntimeError("the secret inside")
    token = (await house.token("ana")).encode()
    answer = await asked(
        house.server.port, "POST /submit", Expect=b"100-continue", Authorization=b"Bearer " + token
    )
    assert answer.status == 100
    assert answer.body.split()[1] == b"500"


async def test_of_http_1_0_nothing_is_expected(house: House) -> None:
    """RFC 9110, 10.1.1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(20):
        assert (await reader.readline()).split()[1] == b"200"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("DELETE", "/submit", 405), ("GET", "/nothing", 404), ("GET", "/v1", 404)]
)
async def test_what_is_not_there_is_so_as_before(house: House, method: str, path: str, status: int) -> None:
    answer = await asked(house.server.port, f"{method} {path}", Expect=b"100-continue")
    assert answer.status == 100
    assert int(answer.body.split()[1]) == status
    assert (b"Allow:" in answer.body) == (status == 405)
