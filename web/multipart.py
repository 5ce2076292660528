"""Forms that come in parts (multipart/form-data, RFC 7578): their text, and no files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from web.problems import HttpRefusal, malformed

if TYPE_CHECKING:
    from multipart import MultipartSegment

FIELDS = 100
"""In a form of either kind, at most."""
LONGEST_HEADER = 1024
"""Bytes of a line before a part's text; browsers and curl send fewer than a hundred."""
LONGEST_BOUNDARY = 70
"""RFC 2046, 5.1.1."""

NO_FILES = "Files are not taken: send their text as a field of the form."

_FILENAME = re.compile(r";\s*filename\*?\s*=", re.IGNORECASE)
"""With the star it is RFC 5987's, which no form is to have, and which the parser passes over."""


def text_fields(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Each with its name, in their order; raises `HttpRefusal` (400; 415 for a file)."""
    from multipart import MultipartError, ParserLimitReached, PushMultipartParser  # noqa: PLC0415 - for few

    fields: list[tuple[str, str]] = []
    name = ""
    pieces: list[bytes] = []
    try:
        with PushMultipartParser(
            _boundary(content_type),
            max_header_size=LONGEST_HEADER,
            max_segment_count=FIELDS,
            strict=True,
        ) as parser:
            for event in parser.parse(body):
                if event is None:
                    fields.append((name, b"".join(pieces).decode()))
                elif isinstance(event, bytes):
                    pieces.append(event)
                else:
                    name, pieces = _named(event), []
    except ParserLimitReached as error:
        raise malformed("The form has too many fields, or too long a head before one.") from error
    except MultipartError as error:
        raise malformed("The form's parts cannot be read.") from error
    except UnicodeDecodeError as error:
        raise malformed("The form is not in UTF-8.") from error
    return fields


def _boundary(content_type: str) -> str:
    from multipart import parse_options_header  # noqa: PLC0415 - as above

    _, said = parse_options_header(content_type)  # type: ignore[no-untyped-call]  # theirs
    boundary: str = said.get("boundary", "")
    if not (0 < len(boundary) <= LONGEST_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise malformed("The form's Content-Type names no boundary that can be.")
    return boundary


def _named(part: MultipartSegment) -> str:
    """The name of a part that is text."""
    headers = dict(part.headerlist)
    if _FILENAME.search(headers["Content-Disposition"]):
        raise HttpRefusal(415, "Unsupported media type", NO_FILES)
    if (part.content_type or "").startswith("multipart/"):
        raise malformed("A part of the form has parts itself; send plain fields.")
    if (part.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise malformed("The form is not in UTF-8.")
    if headers.get("Content-Transfer-Encoding", "8bit").strip().lower() not in {"7bit", "8bit", "binary"}:
        raise malformed("A part of the form is encoded; send its text as it is.")
    return part.name or ""
