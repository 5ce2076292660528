"""The demo on this machine: where it listens, and what of the environment it must not hear."""

from __future__ import annotations

import os
import re

from core.addresses import is_loopback
from core.errors import SettingsError
from countersign.server import free_at

TRIES = 100
"""How many ports after a busy one are tried."""

_FOREIGN = re.compile(r"(COUNTERSIGN|SLACK|TELEGRAM|SSL_CERT)_.*|.*_PROXY", re.IGNORECASE)


def forget_environment() -> None:
    """Take our settings, tokens, proxies and certificates out of this process's environment.

    Some libraries read them by themselves, and the demo's chats are on loopback, which no proxy reaches.
    """
    for name in [name for name in os.environ if _FOREIGN.fullmatch(name)]:
        del os.environ[name]


def check_host(host: str) -> None:
    """Raises `SettingsError`: everybody who reaches the demo can be anybody in it."""
    if not is_loopback(host):
        raise SettingsError("COUNTERSIGN_HOST: the demo listens on loopback only, such as 127.0.0.1.")


def free_port(host: str, port: int, *, or_next: bool) -> int:
    """This port (0: any free one) or, with `or_next`, the next that is free; raises `SettingsError`."""
    last = min(port + TRIES, 65535) if or_next and port else port
    for candidate in range(port, last + 1):
        found = _bound(host, candidate)
        if found is not None:
            return found
    raise SettingsError(f"COUNTERSIGN_PORT: {port} is taken at {host}; name another with --port.")


def _bound(host: str, port: int) -> int | None:
    try:
        return free_at(host, port)
    except OSError as error:
        raise SettingsError(f"COUNTERSIGN_PORT: cannot listen at {host}:{port}: {error.strerror}.") from error
