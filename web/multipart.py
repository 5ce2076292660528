"""Forms that come in parts (multipart/form-data, RFC 7578): their text, and no files.

aiohttp's reader is made for bodies that are read as they come. Of a whole one it awaits each line before the
first part (a million, in a mebibyte), and prints what it does not like of a head, as the sender wrote it.
"""

from __future__ import annotations

import re

from web.problems import HttpRefusal, malformed

FIELDS = 100
"""In a form of either kind, at most."""
LONGEST_HEAD = 1024
"""Bytes of the lines before a part's text; browsers and curl send fewer than a hundred."""
LONGEST_BOUNDARY = 70
"""RFC 2046, 5.1.1."""

NO_FILES = "Files are not taken: send their text as a field of the form."

_PARAMETER = re.compile(r';\s*([^\s";=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))\s*')


def text_fields(body: bytes, content_type: str) -> dict[str, str]:
    """By name, the last of each; raises `HttpRefusal` (400; 415 for a file)."""
    delimiter = b"\r\n--" + _boundary(content_type)
    before, *parts = (b"\r\n" + body).split(delimiter, FIELDS + 1)
    if before:
        raise malformed("The form does not begin with the boundary that its Content-Type names.")
    fields: dict[str, str] = {}
    for number, part in enumerate(parts):
        if part.startswith(b"--"):
            return fields
        if number == FIELDS:
            raise malformed("The form has too many fields.")
        name, text = _field(part)
        fields[name] = text
    raise malformed("The form is cut off: its last boundary is missing.")


def _boundary(content_type: str) -> bytes:
    boundary = _worded(content_type)[1].get("boundary", "")
    if not (0 < len(boundary) <= LONGEST_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise malformed("The form's Content-Type names no boundary that can be.")
    return boundary.encode()


def _field(part: bytes) -> tuple[str, str]:
    head, has_head, content = part.partition(b"\r\n\r\n")
    if not (has_head and head.startswith(b"\r\n") and len(head) <= LONGEST_HEAD):
        raise malformed("A part of the form does not say what it is, or takes too long to.")
    headers = _headers(head.removeprefix(b"\r\n").decode(errors="replace"))
    disposition, said = _worded(headers.get("content-disposition", ""))
    if "filename" in said or "filename*" in said:
        raise HttpRefusal(415, "Unsupported media type", NO_FILES)
    if disposition != "form-data" or "name" not in said:
        raise malformed("A part of the form has no name.")
    _check_is_text(headers)
    try:
        return said["name"], content.decode()
    except UnicodeDecodeError as error:
        raise malformed("The form is not in UTF-8.") from error


def _headers(head: str) -> dict[str, str]:
    """By name in lower case."""
    pairs = (line.partition(":") for line in head.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _check_is_text(headers: dict[str, str]) -> None:
    kind, said = _worded(headers.get("content-type", "text/plain"))
    if kind.startswith("multipart/"):
        raise malformed("A part of the form has parts itself; send plain fields.")
    if said.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise malformed("The form is not in UTF-8.")
    if headers.get("content-transfer-encoding", "8bit").lower() not in {"7bit", "8bit", "binary"}:
        raise malformed("A part of the form is encoded; send its text as it is.")


def _worded(value: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="data"`: the word in lower case, and what it says besides, by name."""
    word = value.partition(";")[0]
    said: dict[str, str] = {}
    at, end = len(word), len(value.rstrip("; \t"))
    while at < end:
        found = _PARAMETER.match(value, at)
        if found is None:
            raise malformed("The form's headers cannot be read.")
        name, quoted, plain = found.groups()
        said[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end()
    return word.strip().lower(), said
