"""From a request's raw bytes to one of our models, or a refusal with a sentence."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from core.errors import Invalid
from web.encodings import decoded
from web.multipart import FIELDS, text_fields
from web.problems import HttpRefusal, malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

FORM = "application/x-www-form-urlencoded"
IN_PARTS = "multipart/form-data"
BODY_SECONDS = 30
"""How long a body may take to arrive."""


async def parsed(request: web.Request, model: type[Model]) -> Model:
    """The body as `model`; raises `Invalid` (422) or an `HttpRefusal` (400, 408, 415)."""
    body = await raw(request)
    kind = _kind(request)
    try:
        if not body:  # it lacks what is asked for, whatever it is called, and is no broken JSON
            return model.model_validate({})
        if kind in {"", "application/json"} or kind.endswith("+json"):
            found = model.model_validate_json(body, strict=True)
            if _may_say_twice(body, model):
                _check_once(_members(body, number=_Number), model)
            return found
        if kind in _FORMS:
            pairs = _FORMS[kind](body, request)
            _check_once(pairs, model)
            return model.model_validate(dict(pairs))
    except ValidationError as error:
        raise _refusal(error) from None  # what was sent stays out of the log's tracebacks
    raise HttpRefusal(
        415,
        "Unsupported media type",
        f"Send application/json or a form ({FORM}, {IN_PARTS}).",
        headers=_ACCEPTED,
    )


async def raw(request: web.Request) -> bytes:
    """The body's bytes, as signatures need them; at most 1 MiB, within `BODY_SECONDS`."""
    body = await _sent(request)
    encoding = request.headers.get("Content-Encoding")
    return body if encoding is None else decoded(body, encoding, request.client_max_size)


async def _sent(request: web.Request) -> bytes:
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise HttpRefusal(408, "Request timeout", "The body did not arrive in time.") from error
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError) as error:
        raise malformed("The body is not sent as its headers say.", headers=_LAST) from error


async def check_length(request: web.Request) -> None:
    """Refuse what is too long (413) also where no handler reads it; what says its length is left unread."""
    length, most = request.content_length, request.client_max_size
    if length is None:
        if request.can_read_body:
            await raw(request)
    elif length > most:
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=length)


async def form(request: web.Request) -> dict[str, str]:
    """The fields of a form; none for any other body."""
    read = _FORMS.get(_kind(request))
    body = await raw(request)
    return dict(read(body, request)) if read and body else {}


def _kind(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _fields(body: bytes, _request: web.Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode(), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=FIELDS
        )
    except UnicodeDecodeError as error:
        raise malformed("The form is not in UTF-8.") from error
    except ValueError as error:
        raise malformed("The form has too many fields.") from error


def _parts(body: bytes, request: web.Request) -> list[tuple[str, str]]:
    return text_fields(body, request.headers["Content-Type"])


_FORMS = {FORM: _fields, IN_PARTS: _parts}


class _Number(str):
    """As it is written, for Python neither tells 1 from 1.0 nor reads as many digits as there may be."""

    __slots__ = ()
    __repr__ = str.__str__


def _members(body: bytes, *, number: type[str]) -> Sequence[tuple[str, object]]:
    """Those of the JSON object that `body` is, each as often as it is there."""
    pairs: Sequence[tuple[str, object]] = json.loads(
        body, object_pairs_hook=tuple, parse_int=number, parse_float=number
    )
    return pairs


def _may_say_twice(body: bytes, model: type[BaseModel]) -> bool:
    """By the names alone: to tell numbers apart takes ten times as long, and everybody waits for it."""
    known = _known(model)
    names = [name for name, _ in _members(body, number=str) if name in known]
    return len(names) > len(set(names))


@cache
def _known(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _check_once(pairs: Iterable[tuple[str, object]], model: type[BaseModel]) -> None:
    """Raise `Invalid` for a field of `model` that says two things: who checked the first may not be the one
    who reads the last."""
    known = _known(model)
    said: dict[str, object] = {}
    for name, value in pairs:
        if name not in known:
            continue
        first = said.setdefault(name, value)
        if first is not value and repr(first) != repr(value):
            raise Invalid(f"`{name}` is said twice, and not the same: say it once.")


def _refusal(error: ValidationError) -> Exception:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return malformed(f"{first['msg']}.")
    return Invalid(_sentence(first))


def _sentence(error: ErrorDetails) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"`{field}` is missing."
    if error["type"] == "value_error":
        return f"{error['msg'].removeprefix('Value error, ')}"
    return f"`{field}`: {error['msg']}." if field else "The body should be a JSON object."


_ACCEPTED = {"Accept": f"application/json, {FORM}, {IN_PARTS}"}
_LAST = {"Connection": "close"}
"""aiohttp cannot tell where such a body ends, and closes the connection without saying so."""
