"""Whatever a body holds, the answer is a 4xx problem with a sentence, and nothing is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from tests.web.web_house import House

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

BODIES: dict[str, tuple[str, bytes]] = {
    "empty": (JSON, b""),
    "blank": (JSON, b"   \n"),
    "null": (JSON, b"null"),
    "list": (JSON, b"[]"),
    "text": (JSON, b'"data"'),
    "number": (JSON, b"1"),
    "empty object": (JSON, b"{}"),
    "missing": (JSON, b'{"other": 1}'),
    "half": (JSON, b'{"data": "x"'),
    "trailing": (JSON, b'{"data": "x"} x'),
    "single quotes": (JSON, b"{'data': 'x'}"),
    "null data": (JSON, b'{"data": null, "input": null, "token": null}'),
    "empty data": (JSON, b'{"data": "", "input": "", "token": ""}'),
    "blank data": (JSON, b'{"data": " \\n\\t ", "input": "  "}'),
    "ideographic space": (JSON, '{"data": "\u3000", "input": "\u3000"}'.encode()),
    "number data": (JSON, b'{"data": 1, "feedback": 1, "verdict": 1, "token": 1}'),
    "list data": (JSON, b'{"data": ["x"], "feedback": [], "verdict": {}}'),
    "object data": (JSON, b'{"data": {"data": "x"}}'),
    "bool data": (JSON, b'{"data": true, "feedback": true}'),
    "not utf-8": (JSON, b'{"data": "\xff\xfe", "input": "\xff"}'),
    "utf-16": (JSON, '{"data": "x"}'.encode("utf-16")),
    "bom": (JSON, b'\xef\xbb\xbf{"data": "x"}'),
    "latin-1": (JSON + "; charset=latin-1", b'{"data": "\xe4", "input": "\xe4"}'),
    "raw nul": (JSON, b'{"data": "a\x00b", "input": "a\x00b"}'),
    "escaped nul": (JSON, b'{"data": "a\\u0000b", "input": "a\\u0000b", "feedback": "\\u0000"}'),
    "nul in a list": (JSON, b'{"input": ["a", {"b": "\\u0000"}]}'),
    "nul in a key": (JSON, b'{"input": {"\\u0000": 1}}'),
    "lone high surrogate": (JSON, b'{"data": "\\ud800", "input": "\\ud800"}'),
    "lone low surrogate": (JSON, b'{"data": "\\udfff", "input": {"\\udfff": 1}}'),
    "surrogates swapped": (JSON, b'{"data": "\\udc00\\ud800", "input": "\\udc00\\ud800"}'),
    "encoded surrogate": (JSON, b'{"data": "\xed\xa0\x80", "input": "\xed\xa0\x80"}'),
    "deep lists": (JSON, b'{"input": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "deep open lists": (JSON, b"[" * 100_000),
    "deep objects": (JSON, b'{"input": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}"),
    "a hundred levels": (JSON, b'{"input": ' + b"[" * 100 + b"]" * 100 + b"}"),
    "nan": (JSON, b'{"input": NaN}'),
    "infinity": (JSON, b'{"input": [1, -Infinity]}'),
    "too large a number": (JSON, b'{"input": {"a": 1e999}}'),
    "endless digits": (JSON, b'{"input": ' + b"9" * 100_000 + b"}"),
    "wrong escape": (JSON, b'{"data": "\\x41", "input": "\\x41"}'),
    "control character": (JSON, b'{"data": "a\nb", "input": "a\nb"}'),
    "form missing": (FORM, b"other=1"),
    "form empty": (FORM, b""),
    "form blank": (FORM, b"data=+%0a&feedback=&token="),
    "form not utf-8": (FORM, b"data=%ff%fe&feedback=%ff&token=%ff"),
    "form raw bytes": (FORM, b"data=\xff"),
    "form nul": (FORM, b"data=a%00b&feedback=%00"),
    "form surrogate": (FORM, b"data=%ed%a0%80&token=%ed%a0%80"),
    "form of many fields": (FORM, b"&".join(b"f%d=1" % number for number in range(5000))),
    "json called a form": (FORM, b'{"data": "x"}'),
    "form called json": (JSON, b"data=x"),
    "plain text": ("text/plain", b'{"data": "x", "input": "x", "token": "x"}'),
    "xml": ("application/xml", b"<data>x</data>"),
    "multipart without an end": (
        "multipart/form-data; boundary=b",
        b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\nx\r\n',
    ),
    "multipart nul": (
        "multipart/form-data; boundary=b",
        b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\na\x00b\r\n--b--',
    ),
    "multipart empty": (
        "multipart/form-data; boundary=b",
        b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\n\r\n--b--',
    ),
    "multipart mixed": (
        "multipart/mixed; boundary=b",
        b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\nx\r\n--b--',
    ),
    "multipart without boundary": ("multipart/form-data", b"x"),
    "nonsense type": ("\u00e4;;;=", b'{"data": "x"}'),
}
PATHS = [
    "/submit",
    "/feedback/{id}",
    "/v1/tasks",
    "/v1/tasks/{id}/decisions",
    "/v1/tasks/{id}/resume",
    "/tasks/{id}/edit",
    "/tasks/{id}/resume",
    "/sign-in",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_a_problem(house: House, name: str, path: str) -> None:
    kind, body = BODIES[name]
    task_id = await house.submitted()
    headers = {**await house.bearer("ana"), "Content-Type": kind}
    before = await house.tasks()
    with capture_logs() as logs:
        async with house.http.post(path.format(id=task_id), data=body, headers=headers) as answer:
            problem = await answer.json(content_type="application/problem+json")
    assert 400 <= answer.status < 500
    assert problem["detail"].endswith((".", ")"))
    assert await house.tasks() == before
    assert [entry["event"] for entry in logs] == ["request_refused"]


@pytest.mark.parametrize(
    "text", ["\U0001f600", "a\u202eb", "\u200b x", "<script>alert(1)</script>", "\ufffe x", "x" * 200_000]
)
async def test_odd_but_honest_text_is_kept_as_it_is(house: House, text: str) -> None:
    async with house.http.post("/submit", json={"data": text}, headers=await house.bearer("ana")) as answer:
        assert answer.status == 202
        task_id = (await answer.json())["task_id"]
    assert (await house.task(task_id)).input == text


HOST = b"Host: localhost\r\n"
RAW_REQUESTS = {
    "no http": b"nonsense\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "length and chunks": b"POST /submit HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /submit HTTP/1.1\r\n" + HOST + b"Content-Length: -3\r\n\r\n",
    "large header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    "bad chunk": b"POST /hooks/ci HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "absolute form": b"GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW_REQUESTS)
async def test_broken_requests_are_refused(house: House, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(RAW_REQUESTS[name])
    line = await reader.readline()
    assert line.split()[1].startswith(b"4"), line
    writer.close()
    await writer.wait_closed()
