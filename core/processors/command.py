"""`exec: ./script argument`: a command that reads the task on its input and prints the draft.

No shell. It sees little of the environment and none of our secrets, runs in a session of its own, and
whatever is left of that when it ends, or is stopped, is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, cast

from core.errors import FlowError, SettingsError
from core.processors.exchange import LARGEST, ProcessorError, TooLarge, draft_in, question, storable, text
from core.running import progress, run_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""Of our environment; `exec: env NAME=value ./script` adds to it."""
PROGRESS = re.compile(r"progress\s+(\d*\.?\d+)(?:\s+(.*))?", re.ASCII)
LONGEST_LINE = 4_000
LONGEST_REASON = 300
"""Bytes of a line on standard error that are read, and characters that an error quotes."""
CLOSING = 1.0
"""Seconds after its end in which its output may still come, as from a child that left its session."""


class CommandProcessor:
    """One command."""

    def __init__(self, line: str, *, beside: Path | None) -> None:
        """Its program is looked up in the folder `beside` first, then on PATH. Raises `SettingsError`."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise SettingsError(f"processor 'exec:{line}' cannot be read: {error}.") from error
        if not words or "\x00" in line:
            raise SettingsError("processor 'exec:' must name a command.")
        self._folder = beside
        self._words = [_program(words[0], beside), *words[1:]]
        self._name = f"The command {Path(words[0]).name!r}"

    async def __call__(self, shared: Mapping[str, Json]) -> Json:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment["COUNTERSIGN_RUN_KEY"] = run_key(shared)
        environment["COUNTERSIGN_TASK_ID"] = str(shared["task_id"])
        return self._draft(await self._output(question(shared), environment))

    async def _output(self, asked: bytes, environment: Mapping[str, str]) -> bytes:
        """What it prints; it has ended, and its session with it."""
        loop = asyncio.get_running_loop()
        try:
            transport, talk = await loop.subprocess_exec(
                lambda: Talk(self._name),
                *self._words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or "its words cannot be passed on"
            raise FlowError(f"{self._name} cannot be started: {reason}.") from error
        try:
            with suppress(RuntimeError):  # uvloop: it has closed its input already
                stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
                stdin.write(asked)
                stdin.write_eof()
            return await talk.over
        finally:
            try:
                await talk.kill()
            finally:
                transport.close()

    def _draft(self, output: bytes) -> Json:
        answer = text(output, self._name)
        with suppress(ValueError, RecursionError):
            value = json.loads(answer)
            if isinstance(value, dict) and "draft" in value:
                return draft_in(value, self._name)
        return storable(answer.rstrip("\r\n"), self._name)


def _program(word: str, beside: Path | None) -> str:
    """The file to run; raises `SettingsError` with what is wrong with it."""
    own = (Path() if beside is None else beside) / word
    try:
        if own.is_file() and os.access(own, os.X_OK):
            return str(own.absolute())
        found = None if "/" in word else shutil.which(word)
        is_there = own.exists()
    except OSError as error:  # as of a name that is too long
        raise SettingsError(f"processor 'exec:': {word} cannot be run: {error.strerror}.") from error
    if found is None and is_there:
        raise SettingsError(f"processor 'exec:': {word} cannot be executed; see chmod +x.")
    if found is None:
        where = "at that place" if "/" in word else "beside the configuration file or on PATH"
        raise SettingsError(f"processor 'exec:': there is no {word} {where}.")
    return found


class Talk(asyncio.SubprocessProtocol):
    """What the command prints, and its end; `over` gives its output, or what went wrong."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which its progress is known: pipes are read in whatever context."""
        self._output: list[bytes] = []
        self._size = 0
        self._line = b""
        self._last = ""
        self._open = {1, 2}
        self._exited = asyncio.Event()
        self._status: int | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._pid = 0
        self.over: asyncio.Future[bytes] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._hear(data)
            return
        self._size += len(data)
        if self._size <= LARGEST:
            self._output.append(data)
        elif not self.over.done():
            self._output.clear()
            self._fail(TooLarge(self._name))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc  # one that does not read its input may close it
        self._open.discard(fd)
        self._end_if_over()

    def process_exited(self) -> None:
        if self._transport is not None:
            self._status = self._transport.get_returncode()
            _kill_session(self._pid)
        self._exited.set()
        self._loop.call_later(CLOSING, self._end)
        self._end_if_over()

    async def kill(self) -> None:
        """End it and its children, and see it gone, so that no zombie stays."""
        self.over.cancel()
        if not self._exited.is_set():
            _kill_session(self._pid)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._exited.wait()

    def _end_if_over(self) -> None:
        if self._exited.is_set() and not self._open:
            self._end()

    def _end(self) -> None:
        if self.over.done():
            return
        self._hear(b"\n")
        if self._status == 0:
            self.over.set_result(b"".join(self._output))
        else:
            self._fail(ProcessorError(f"{self._name} {_ending(self._status)}{self._reason}"))

    def _fail(self, error: ProcessorError) -> None:
        self.over.set_exception(error)
        self.over.exception()  # seen, even where nobody waits any more

    @property
    def _reason(self) -> str:
        return f": {self._last}" if self._last else "."

    def _hear(self, data: bytes) -> None:
        """Standard error: progress, and the line that may be the last."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._said((self._line + line)[:LONGEST_LINE].decode("utf-8", "replace").strip())
            self._line = b""
        self._line = (self._line + rest)[:LONGEST_LINE]

    def _said(self, line: str) -> None:
        found = PROGRESS.fullmatch(line)
        if found is not None and float(found[1]) <= 1:
            self._context.run(progress, float(found[1]), found[2])
        elif line:
            self._last = "".join(c if c.isprintable() else " " for c in line)[:LONGEST_REASON]


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _kill_session(leader: int) -> None:
    """Its process group, which has the leader's number for as long as anybody is in it."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        os.killpg(leader, signal.SIGKILL)
