"""web/encodings.py: a body that comes compressed is taken whole, or not at all."""

from __future__ import annotations

import gzip
import zlib
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.web.asking import ask
from web.app import LARGEST_BODY
from web.encodings import MEMBERS, decoded
from web.problems import HttpRefusal

if TYPE_CHECKING:
    from tests.web.web_house import House

BODY = b'{"data": "Two hundred words, or so"}'
GZIP = gzip.compress(BODY, mtime=0)
ZLIB = zlib.compress(BODY)


def raw_deflate(body: bytes) -> bytes:
    """As some clients send it, against RFC 9110."""
    one = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return one.compress(body) + one.flush()


RAW = raw_deflate(BODY)
PARTS = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])

WHOLE = {
    "gzip": ("gzip", GZIP),
    "by its old name": ("X-GZip ", GZIP),
    "in two members": ("gzip", PARTS),
    "deflate": ("deflate", ZLIB),
    "deflate without a head": ("deflate", RAW),
    "not encoded": ("identity", BODY),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_whole_is_taken(house: House, name: str) -> None:
    encoding, body = WHOLE[name]
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    status, answer = await ask(house, "POST", "/submit", data=body, headers=headers)
    assert status == 202
    assert (await house.task(answer["task_id"])).input == "Two hundred words, or so"


async def test_a_form_may_be_compressed_too(house: House) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    status, _ = await ask(house, "POST", "/submit", data=gzip.compress(b"data=x"), headers=headers)
    assert status == 202


CUT = {
    **{f"gzip without its last {left}": ("gzip", GZIP[:-left]) for left in (1, 4, 8, 9, 20, len(GZIP) - 1)},
    "gzip whose second member is cut": ("gzip", PARTS[:-8]),
    **{f"deflate without its last {left}": ("deflate", ZLIB[:-left]) for left in (1, 4, 5, len(ZLIB) - 1)},
    **{f"raw deflate without its last {left}": ("deflate", RAW[:-left]) for left in (1, 9)},
}
SPOILT = {
    "gzip of another checksum": ("gzip", GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]),
    "gzip of another length": ("gzip", GZIP[:-4] + b"\1\0\0\0"),
    "gzip with more behind it": ("gzip", GZIP + b"more"),
    "deflate of another checksum": ("deflate", ZLIB[:-4] + b"\0\0\0\0"),
    "deflate with more behind it": ("deflate", ZLIB + b"more"),
    "no gzip": ("gzip", BODY),
    "no deflate": ("deflate", BODY),
    "gzip called deflate": ("deflate", GZIP),
    "deflate called gzip": ("gzip", ZLIB),
}


@pytest.mark.parametrize("name", [*CUT, *SPOILT])
async def test_what_is_cut_off_or_spoilt_is_refused(house: House, name: str) -> None:
    encoding, body = (CUT | SPOILT)[name]
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    status, problem = await ask(house, "POST", "/submit", data=body, headers=headers)
    assert status == 400
    if name in CUT:
        assert problem["detail"] == "The body is cut off: its encoding has no end."
    assert not await house.tasks()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "none such", "\u00e4"])
async def test_another_encoding_is_refused_with_those_there_are(house: House, encoding: str) -> None:
    headers = {
        **await house.bearer("ana"),
        "Content-Type": "application/json",
        "Content-Encoding": encoding,
    }
    async with house.http.post("/submit", data=GZIP, headers=headers) as answer:
        assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip, deflate")
        assert (await answer.json(content_type=None))["detail"].endswith("gzip or deflate.")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_too_large(encoding: str) -> None:
    whole = b"x" * LARGEST_BODY
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    assert decoded(compress(whole), encoding, LARGEST_BODY) == whole
    for size in (LARGEST_BODY + 1, 50 * LARGEST_BODY):
        with pytest.raises(web.HTTPRequestEntityTooLarge):
            decoded(compress(b"x" * size), encoding, LARGEST_BODY)


def test_so_are_members_that_together_have_too_much() -> None:
    body = gzip.compress(b"x" * (LARGEST_BODY // 2 + 1)) * 2
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        decoded(body, "gzip", LARGEST_BODY)


def test_of_countless_members_few_are_looked_at() -> None:
    """Whoever signs in sends a body before they are known."""
    one = gzip.compress(b"")
    assert decoded(one * MEMBERS, "gzip", LARGEST_BODY) == b""
    began = perf_counter()
    with pytest.raises(HttpRefusal, match="members"):
        decoded(one * (LARGEST_BODY // len(one)), "gzip", LARGEST_BODY)
    assert perf_counter() - began < 5


async def test_the_connection_goes_on(house: House) -> None:
    headers = {**await house.bearer("ana"), "Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with house.http.post("/submit", data=b"not gzip at all", headers=headers) as answer:
        assert (answer.status, answer.headers.get("Connection")) == (400, None)
