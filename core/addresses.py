"""What an address says before anybody goes there: where it leads, and whether it is no more than a base."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult


def is_loopback(host: str | None) -> bool:
    """True for `localhost` and loopback addresses; other names are not resolved."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Likewise, of an address's host."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:  # a bracket too few, say
        return False


def bare(url: str) -> SplitResult | None:
    """The parts of an `http(s)://host[:port][/path]`; None for what is none, or has more to it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a wrong port
    except ValueError:
        return None
    if not url.isprintable() or any(map(str.isspace, url)):
        return None
    has_more = parts.query or parts.fragment or parts.username or parts.password
    return parts if parts.scheme in {"http", "https"} and parts.hostname and not has_more else None


def place_in_log(address: str) -> str:
    """A recipient's address for the log: of a URL no more than host and port, as the rest may be a secret."""
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        return "(no address)"
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
