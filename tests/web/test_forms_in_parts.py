"""web/multipart.py: a form that comes in parts, as `curl -F` and a page's `FormData` send it."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.web.test_gate import FOREIGN_PAGES, form_token
from tests.web.web_house import PAGE
from web.multipart import text_fields
from web.problems import HttpRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.web_house import House

KIND = "multipart/form-data; boundary=b"


def part(text: str | bytes, head: str = 'Content-Disposition: form-data; name="data"') -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--b--\r\n"


def in_parts(**fields: str) -> aiohttp.MultipartWriter:
    """As aiohttp's client sends a `FormData`."""
    writer = aiohttp.MultipartWriter("form-data")
    for name, text in fields.items():
        writer.append(text).set_content_disposition("form-data", name=name)
    return writer


async def test_a_form_in_parts_is_taken_wherever_a_form_is(house: House) -> None:
    ana, sam = await house.bearer("ana"), await house.bearer("sam")
    text = "Two lines,\r\n--b and ä, \U0001f600; \u202e \x7f"
    async with house.http.post("/submit", data=in_parts(data=text, title="News"), headers=sam) as answer:
        assert answer.status == 202
        task = await house.task((await answer.json())["task_id"])
    assert (task.input, task.title) == (text, "News")
    await house.open_review(task.id)
    refusal = in_parts(feedback="rejected", comment="shorter")
    async with house.http.post(f"/feedback/{task.id}", data=refusal, headers=ana) as answer:
        assert (answer.status, await answer.json()) == (200, {"message": "Attempt 1 is rejected."})
    review = await house.open_review(task.id, 2)
    verdict = in_parts(verdict="approve", review_id=review)
    async with house.http.post(f"/v1/tasks/{task.id}/decisions", data=verdict, headers=ana) as answer:
        assert answer.status == 200
    async with house.http.post("/sign-in", data=in_parts(token=await house.token("ana"))) as answer:
        assert answer.status == 204


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        (KIND, part("x") + END, "x"),
        (KIND, part("x") + b"--b--", "x"),
        (KIND, part("x") + END + b"what follows the end is no part of it", "x"),
        (KIND, b"nor is what comes before\r\n" + part("x") + END, "x"),
        (KIND, part("x") + part("y") + END, "y"),
        (KIND, part("") + END, ""),
        (KIND, part(" --b--") + END, " --b--"),
        (KIND, part("x\r\n\r\n--a\r\n") + END, "x\r\n\r\n--a\r\n"),
        (KIND, part("x", "CONTENT-DISPOSITION:form-data;NAME=data") + END, "x"),
        (KIND, part("x", 'content-disposition: form-data; other="; name=z"; name="data"') + END, "x"),
        (KIND, part("{}", 'Content-Disposition: form-data; name="data"\r\nContent-Type: a/json') + END, "{}"),
        (
            KIND,
            part("ä", 'Content-Type: text/plain;charset="UTF-8"\r\nContent-Disposition: form-data; name=data')
            + END,
            "ä",
        ),
        ('Multipart/Form-Data; charset=utf-8; BOUNDARY="b"', part("x") + END, "x"),
        (KIND + "b" * 69, (part("x") + END).replace(b"--b", b"--" + b"b" * 70), "x"),
    ],
)
def test_what_is_sound_is_read(kind: str, body: bytes, data: str) -> None:
    assert text_fields(body, kind)[-1] == ("data", data)


FILE = 'Content-Disposition: form-data; name="data"; filename="{}"\r\nContent-Type: text/plain'
BROKEN: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", part("x") + END),
    "empty boundary": ('multipart/form-data; boundary=""', part("x") + END),
    "long boundary": (f"multipart/form-data; boundary={'b' * 71}", part("x") + END),
    "odd boundary": ("multipart/form-data; boundary=\u00e4", part("x") + END),
    "surrogate in the boundary": ("multipart/form-data; boundary=\udcff", part("x") + END),
    "line end in the boundary": ('multipart/form-data; boundary="b\r\n"', part("x") + END),
    "another boundary": ("multipart/form-data; boundary=other", part("x") + END),
    "a boundary with more behind it": (KIND, part("x\r\n--bb") + END),
    "nothing but line ends": (KIND, b"\n" * 1000),
    "no end": (KIND, part("x")),
    "half an end": (KIND, part("x") + b"--b-"),
    "cut off in a head": (KIND, b"--b\r\nContent-Disposition: form-data"),
    "no head": (KIND, b"--b\r\n\r\nx\r\n" + END),
    "no name": (KIND, part("x", "Content-Disposition: form-data") + END),
    "no form's part": (KIND, part("x", 'Content-Disposition: attachment; name="data"') + END),
    "another head": (KIND, part("x", "Content-Type: text/plain") + END),
    "line ends of another system": (KIND, (part("x") + END).replace(b"\r\n", b"\n")),
    "not utf-8": (KIND, part(b"\xff\xfe") + END),
    "a surrogate": (KIND, part(b"\xed\xa0\x80") + END),
    "another charset": (
        KIND,
        part(b"x", 'Content-Disposition: form-data; name="data"\r\nContent-Type: text/plain; charset=utf-16')
        + END,
    ),
    "an odd charset": (
        KIND,
        part(
            b"x", 'Content-Disposition: form-data; name="data"\r\nContent-Type: text/plain; charset="\u00e4"'
        )
        + END,
    ),
    "encoded": (
        KIND,
        part("eA==", 'Content-Disposition: form-data; name="data"\r\nContent-Transfer-Encoding: base64')
        + END,
    ),
    "nested": (
        KIND,
        part(
            "--c\r\n\r\nx\r\n--c--",
            'Content-Disposition: form-data; name="data"\r\nContent-Type: multipart/mixed; boundary=c',
        )
        + END,
    ),
    "a huge head": (KIND, part("x", 'Content-Disposition: form-data; name="' + "d" * 100_000 + '"') + END),
    "many heads": (KIND, part("x", "\r\n".join(f"X-{number}: x" for number in range(10_000))) + END),
    "a file": (KIND, part("x", FILE.format("draft.txt")) + END),
    "no file chosen": (KIND, part("", FILE.format("")) + END),
    "a file by its long name": (KIND, part("x", FILE.format("n" * 250 + ".txt")) + END),
    "a file beside text": (KIND, part("x") + part("x", FILE.format("a").replace('"data"', '"b"')) + END),
    "a file by RFC 5987": (
        KIND,
        part("x", "Content-Disposition: form-data; name=\"data\"; filename*=UTF-8''%e2%82%ac") + END,
    ),
    "thousands of parts": (KIND, part("x") * 5000 + END),
    "a hundred and one": (KIND, part("x") * 101 + END),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_is_refused_with_a_sentence(name: str) -> None:
    kind, body = BROKEN[name]
    with pytest.raises(HttpRefusal) as refused:
        text_fields(body, kind)
    problem = refused.value.problem
    assert problem.status == (415 if "file" in name else 400)
    assert problem.detail.endswith(".")
    if "file" in name:
        assert problem.detail.startswith("Files are not taken")


def test_none_to_a_hundred_fields_are_taken() -> None:
    assert text_fields(END, KIND) == []
    assert text_fields(part("x") * 100 + END, KIND) == [("data", "x")] * 100


MEBIBYTE = 1024 * 1024
SLOW = {
    "line ends": b"\r\n" * (MEBIBYTE // 2),
    "line ends in a part": part("\r\n" * (MEBIBYTE // 2 - 100)) + END,
    "almost delimiters": part("\r\n--" * (MEBIBYTE // 4 - 100)) + END,
    "heads of semicolons": part("x", 'Content-Disposition: form-data; name="data"' + ";" * 900) * 100 + END,
    "heads of quotes": part("x", "Content-Disposition: form-data; name=" + ';"' * 450) * 100 + END,
    "heads of stars": part("x", "Content-Disposition: form-data" + ";a*0=b" * 150) * 100 + END,
}


@pytest.mark.parametrize("name", SLOW)
def test_whatever_a_mebibyte_holds_nobody_else_waits_long_for_it(name: str) -> None:
    """Whoever signs in sends forms before they are known."""
    began = perf_counter()
    with suppress(HttpRefusal):
        text_fields(SLOW[name], KIND)
    assert perf_counter() - began < 5


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    yield part("")[:-2]
    for _ in range(0, size, 64 * 1024):
        yield b"x" * 64 * 1024
    yield b"\r\n" + END


async def test_one_over_a_mebibyte_is_too_large(house: House) -> None:
    headers = {**await house.bearer("ana"), "Content-Type": KIND}
    for body in (BytesIO(part("x" * MEBIBYTE) + END), in_pieces(MEBIBYTE)):
        async with house.http.post("/submit", data=body, headers=headers) as answer:
            assert answer.status == 413
    assert not await house.tasks()


@pytest.mark.parametrize("headers", FOREIGN_PAGES, ids=str)
async def test_other_sites_pages_post_none(house: House, headers: dict[str, str]) -> None:
    """A browser sends it without asking first, as it does a plain form."""
    browser = await house.signed_in("ana")
    async with browser.post("/submit", data=in_parts(data="x"), headers=headers) as answer:
        assert answer.status == 403
    assert not await house.tasks()


async def test_the_form_token_is_found_in_parts_too(house: House) -> None:
    browser = await house.signed_in("ana")
    token, old = await form_token(browser), {"Origin": "null"}
    for given, status in ((token, 202), ("x", 403)):
        body = in_parts(data="x", form_token=given)
        async with browser.post("/submit", data=body, headers=old) as answer:
            assert answer.status == status
    async with browser.post("/submit", data=END, headers={**old, "Content-Type": KIND}) as answer:
        assert answer.status == 403


async def test_words_in_parts_are_given_back_by_a_refusal(house: House) -> None:
    browser = await house.signed_in("ana")
    body = in_parts(data="A long <task>", flow="none such")
    async with browser.post("/submit", data=body, headers=PAGE) as answer:
        assert answer.status == 422
        assert "A long &lt;task&gt;" in await answer.text()
