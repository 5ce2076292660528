"""Where the web server of the house listens."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from aiohttp.web import AppRunner


class PortIsTaken(SettingsError):
    """Somebody else listens there."""


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
