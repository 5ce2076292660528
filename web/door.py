"""Where the server listens; whoever knocked before it is closed still comes in."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from contextlib import ExitStack, suppress
from datetime import timedelta
from socket import SOL_SOCKET, socket
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARRIVES = timedelta(milliseconds=5)
"""How long whoever has begun to knock may take: a round trip inside one network, with room."""

SO_ATTACH_FILTER = 26
"""linux/include/uapi/asm-generic/socket.h; the standard library has no name for it."""
NO_NEWCOMERS = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # the byte of a segment's flags
        (0x45, 0, 1, 0x02),  # with SYN it is the next line, without it the one after
        (0x06, 0, 0, 0),  # none of it is kept
        (0x06, 0, 0, 0xFFFFFFFF),  # all of it is
    )
)
"""Four of linux/filter.h's `struct sock_filter`: with them a listener hears nobody new."""


class Door(web.TCPSite):
    """Just closed, it would turn out, unheard, those whom the kernel has let in and the event loop has not:
    behind nginx each of them is a 502, as it sends no POST twice."""

    async def stop(self) -> None:
        server = self._runner.server
        with ExitStack() as copies:
            # None of them is closed for the kernel until the last is.
            listening = [copies.enter_context(one) for one in _copies(getattr(self._server, "sockets", ()))]
            await super().stop()
            for one in listening:
                _hear_nobody_new(one)
            await _let_in(server, listening)
            await asyncio.sleep(ARRIVES.total_seconds())
            await _let_in(server, listening)


async def _let_in(server: web.Server | None, listening: Iterable[socket]) -> None:
    for one in [one for each in listening for one in _everybody(each)]:
        if server is not None:
            with suppress(OSError):  # gone again
                await asyncio.get_running_loop().connect_accepted_socket(server, one)


def _copies(listening: Iterable[socket]) -> Iterator[socket]:
    """None where no descriptor is left for one: it is to stop all the same."""
    with suppress(OSError):
        for one in listening:
            yield socket(fileno=os.dup(one.fileno()))


def _hear_nobody_new(listening: socket) -> None:
    """Whoever came between the last who is let in and the end would be turned out unheard, too.

    The kernel of somebody new asks again after a second, and is refused then: a proxy takes another replica.
    On Linux alone; without it, one stop in fifty turned somebody out, with four callers who never paused.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(NO_NEWCOMERS, len(NO_NEWCOMERS))
    program = struct.pack("@HP", len(NO_NEWCOMERS) // 8, ctypes.addressof(code))
    with suppress(OSError):  # a sandbox may forbid it
        listening.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, program)


def _everybody(listening: socket) -> Iterator[socket]:
    """Who waits."""
    with suppress(OSError):
        listening.setblocking(False)
        while True:
            one, _ = listening.accept()
            one.setblocking(False)
            yield one
