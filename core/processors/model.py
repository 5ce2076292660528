"""`model`: an OpenAI-compatible chat endpoint. Each rejected draft, and its reason, is part of the talk.

Its text is shown as it comes (`stream_text`), where the endpoint streams.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import ClientError

from core.errors import FlowError, SettingsError
from core.model import text_of
from core.processors.calls import Endpoint, host_of
from core.processors.exchange import LARGEST, ProcessorError, TooLarge, parsed, storable, text
from core.running import run_key, stream_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta
    from pathlib import Path

    from aiohttp import ClientResponse

    from core.model import Json, ModelEndpoint

NO_REASON = "This draft was rejected, without a reason. Make another one."
LARGEST_STREAM = 64 * LARGEST
"""Bytes: around each word of a stream stands some 300 bytes of JSON."""
LARGEST_PROMPT = 100_000
LARGEST_ERROR = 64 * 2**10
LONGEST_REASON = 300
"""Characters that are kept of what an endpoint says went wrong."""
UNFINISHED = {
    "length": "stopped at its limit of tokens, so the draft is cut off",
    "content_filter": "stopped at its content filter",
    "tool_calls": "asked for a tool, and it has none",
    "function_call": "asked for a function, and it has none",
}
"""What `finish_reason` says where the draft is not whole."""


def instructions(prompt: str | None, beside: Path | None) -> str | None:
    """The system prompt: the setting's text, or that of `@file`; raises `SettingsError`."""
    if prompt is None:
        return None
    if prompt.startswith("@"):
        name = prompt[1:]
        try:
            path = name if beside is None else beside / name
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a name or a path
                prompt = file.read(LARGEST_PROMPT + 1)
        except (OSError, ValueError) as error:
            raise SettingsError(f"prompt: {name} cannot be read: {_plain(error)}.") from error
    if not prompt.strip():
        raise SettingsError("prompt: is empty.")
    if len(prompt) > LARGEST_PROMPT:
        raise SettingsError(f"prompt: has more than {LARGEST_PROMPT} characters.")
    return prompt.strip()


def _plain(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "it is not UTF-8 text"


class ModelProcessor:
    """One model at one endpoint."""

    def __init__(
        self,
        endpoint: ModelEndpoint | None,
        *,
        prompt: str | None,
        within: timedelta,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Raises `SettingsError`."""
        if endpoint is None:
            raise SettingsError("processor 'model' needs COUNTERSIGN_MODEL_URL and COUNTERSIGN_MODEL.")
        host = host_of(endpoint.url, "COUNTERSIGN_MODEL_URL")
        self._key = endpoint.api_key
        self._model = endpoint.model
        self._prompt = prompt
        url = f"{endpoint.url.rstrip('/')}/chat/completions"
        self._endpoint = Endpoint(url, who=f"The model at {host}", within=within, pause=pause)

    async def __call__(self, shared: Mapping[str, Json]) -> Json:
        talk = {"model": self._model, "messages": messages(shared, self._prompt), "stream": True}
        headers = {"Idempotency-Key": run_key(shared), "Accept": "text/event-stream, application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body = json.dumps(talk, ensure_ascii=False).encode("utf-8", "replace")
        return storable(await self._endpoint.post(body, headers, self._text), self._endpoint.who)

    async def _text(self, response: ClientResponse) -> str:
        if not 200 <= response.status < 300:
            raise self._endpoint.refusal(response, await self._reason(response))
        match response.content_type:
            case "text/event-stream":
                return await self._streamed(response)
            case "application/json":
                return self._said_at_once(await self._endpoint.whole(response))
            case _:
                raise ProcessorError(
                    f"{self._endpoint.who} answered neither application/json nor text/event-stream."
                )

    async def _streamed(self, response: ClientResponse) -> str:
        """The text of a stream, passed on as it comes. Once any was, the call is not simply repeated."""
        answer = Answer(self._endpoint.who, self._trouble)
        try:
            async for piece in self._endpoint.pieces(response, LARGEST_STREAM):
                if new := answer.add(piece):
                    stream_text(new)
                if answer.is_over:
                    break
        except (ClientError, OSError) as error:
            if answer.has_text:
                raise ProcessorError(
                    f"{self._endpoint.who} broke off in the middle of its answer."
                ) from error
            raise
        return answer.whole()

    def _said_at_once(self, body: bytes) -> str:
        answer = parsed(text(body, self._endpoint.who), self._endpoint.who)
        said, finish = choice(answer, "message", self._endpoint.who, self._trouble)
        _check_finished(finish, self._endpoint.who)
        return said

    async def _reason(self, response: ClientResponse) -> str | None:
        """A sentence, where the endpoint gives one."""
        if response.status in {401, 403}:
            return "it refuses the key; see COUNTERSIGN_MODEL_API_KEY."
        try:
            answer = parsed(
                text(await self._endpoint.whole(response, LARGEST_ERROR), self._endpoint.who),
                self._endpoint.who,
            )
        except ProcessorError:
            return None
        return self._trouble(answer)

    def _trouble(self, answer: Json) -> str | None:
        """What `{"error": {"message": …}}` says, as one line without the key; None for anything else."""
        match answer:
            case {"error": {"message": str(reason)}} | {"error": str(reason)}:
                reason = reason.replace(self._key, "…") if self._key else reason
                printable = "".join(c if c.isprintable() else " " for c in reason)
                return " ".join(printable.split())[:LONGEST_REASON] or None
            case {"error": {}}:
                return "an error without a message"
            case _:
                return None


def messages(shared: Mapping[str, Json], prompt: str | None) -> list[Json]:
    """The talk so far: the input, and for each rejection the draft and what the reviewer said of it."""
    talk: list[Json] = [] if prompt is None else [{"role": "system", "content": prompt}]
    talk.append({"role": "user", "content": text_of(shared["task_input"])})
    for turn in _rejections(shared):
        talk.append({"role": "assistant", "content": text_of(turn.get("draft"))})
        talk.append({"role": "user", "content": str(turn.get("comment") or NO_REASON)})
    return talk


def _rejections(shared: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Those that the node remembers, or else the last."""
    known = shared.get("rejections")
    if isinstance(known, list):
        return [turn for turn in known if isinstance(turn, dict)]
    if shared.get("feedback") != "rejected":
        return []
    return [{"draft": shared.get("processed_output"), "comment": shared.get("feedback_comment")}]


class Answer:
    """An answer that comes as server-sent events."""

    def __init__(self, who: str, trouble: Callable[[Json], str | None]) -> None:
        self._who = who
        self._trouble = trouble
        self._line: list[bytes] = []
        self._data: list[str] = []
        self._open = 0
        """Bytes of the event that has not ended yet."""
        self._parts: list[str] = []
        self._size = 0
        self._finish: str | None = None
        self.is_over = False
        """Whether `[DONE]` has come."""

    @property
    def has_text(self) -> bool:
        """Whether any text has come."""
        return bool(self._parts)

    def add(self, piece: bytes) -> str:
        """Take the next bytes; what text was in them."""
        first, *others = piece.split(b"\n")
        self._line.append(first)
        self._open += len(first)
        new: list[str] = []
        for other in others:
            new.append(self._read(text(b"".join(self._line), self._who)))
            self._line = [other]
            self._open += len(other)
        self._size += sum(len(said.encode("utf-8", "replace")) for said in new)
        if max(self._open, self._size) > LARGEST:
            raise TooLarge(self._who)
        return "".join(new)

    def whole(self) -> str:
        """All of the text; raises `ProcessorError` where its end did not come, or is not one."""
        if not self.is_over and self._finish is None:
            raise ProcessorError(f"{self._who} broke off in the middle of its answer.")
        _check_finished(self._finish, self._who)
        return "".join(self._parts)

    def _read(self, line: str) -> str:
        """Take a line; the text of the event that it ends, if it does."""
        line = line.removesuffix("\r")
        if not line:
            data, self._data, self._open = "\n".join(self._data), [], 0
            return self._event(data) if data and not self.is_over else ""
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif not self._data:
            self._open = 0
        return ""

    def _event(self, data: str) -> str:
        if data == "[DONE]":
            self.is_over = True
            return ""
        said, finish = choice(parsed(data, self._who), "delta", self._who, self._trouble)
        self._finish = finish or self._finish
        if said:
            self._parts.append(said)
        return said


def choice(answer: Json, key: str, who: str, trouble: Callable[[Json], str | None]) -> tuple[str, str | None]:
    """The text and the finish reason of an answer's first choice; raises `ProcessorError`."""
    if reason := trouble(answer):
        raise ProcessorError(f"{who} broke off: {reason}")
    match answer:
        case {"choices": [dict(first), *_]}:
            pass
        case {"choices": []} if key == "delta":  # the one that tells how much was used
            return "", None
        case _:
            raise ProcessorError(f"{who} answered with JSON that is no chat completion.")
    said, finish = first.get(key), first.get("finish_reason")
    if said is None and key == "delta":
        said = {}
    if not isinstance(said, dict) or not isinstance(finish, str | None):
        raise ProcessorError(f"{who} answered with JSON that is no chat completion.")
    if said.get("refusal"):
        raise ProcessorError(f"{who} refuses to answer.")
    content = said.get("content")
    if not isinstance(content, str | None):
        raise ProcessorError(f"{who} answered with something else than text.")
    return content or "", finish


def _check_finished(finish: str | None, who: str) -> None:
    if finish in UNFINISHED:
        kind = FlowError if finish == "length" else ProcessorError
        raise kind(f"{who} {UNFINISHED[finish]}.")
