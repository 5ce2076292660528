"""Which addresses lead nowhere but to this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


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
