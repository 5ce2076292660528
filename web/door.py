"""Where the server listens; whoever knocked before it is closed still comes in."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Door(web.TCPSite):
    """Just closed, it would turn out, unheard, those whom the kernel has let in and the event loop has not:
    behind nginx each of them is a 502, as it sends no POST twice."""

    async def stop(self) -> None:
        listening = getattr(self._server, "sockets", ())
        # Copies: none of them is closed for the kernel until the last is.
        copies = [*_copies(listening)]
        server = self._runner.server
        await super().stop()
        came = [one for copy in copies for one in _everybody(copy)]
        if server is not None:
            for one in came:
                with suppress(OSError):  # gone again
                    await asyncio.get_running_loop().connect_accepted_socket(server, one)


def _copies(listening: Iterable[socket]) -> Iterator[socket]:
    """None where no descriptor is left for one: it is to stop all the same."""
    with suppress(OSError):
        for one in listening:
            yield socket(fileno=os.dup(one.fileno()))


def _everybody(listening: socket) -> Iterator[socket]:
    """Who waits; after the last nobody else can come."""
    with listening, suppress(OSError):
        listening.setblocking(False)
        while True:
            one, _ = listening.accept()
            one.setblocking(False)
            yield one
