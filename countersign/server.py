"""Where the web server of the house listens."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from aiohttp.web import AppRunner


class PortIsTaken(SettingsError):
    """Somebody else listens there."""


def free_at(host: str, port: int) -> int | None:
    """The port that could be bound on every address of `host`; None where something listens there.

    Raises `OSError` where the system refuses it otherwise.
    """
    with ExitStack() as stack:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            tried = stack.enter_context(socket.socket(family, kind))
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:  # as asyncio listens
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                tried.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return None
                raise
            port = tried.getsockname()[1]
    return port


async def listen(runner: AppRunner, host: str, port: int, setting: str) -> str:
    """The address, as `http://host:port`; port 0 is any that is free. `setting` is where it was chosen."""
    from web.door import Door

    await runner.setup()
    try:
        await Door(runner, host, port).start()
    except OSError as error:
        refusal = PortIsTaken if error.errno == errno.EADDRINUSE else SettingsError
        raise refusal(
            f"COUNTERSIGN_HOST, {setting}: cannot listen at {host}:{port}: {_why(error)}."
        ) from error
    bound = runner.addresses[0]
    return f"http://{bound[0]}:{bound[1]}"


def _why(error: OSError) -> str:
    """In the system's words; asyncio puts the address in between. A resolver's numbers are negative."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)
