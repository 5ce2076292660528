"""Where callbacks may go: the open internet over https, and what the operator listed."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from core.errors import Invalid, SettingsError, Undeliverable

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address

NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_FOR_CALLBACKS = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them: it embeds an IPv4 address
    IPv6Network("2002::/16"),  # 6to4: embeds one too
    IPv6Network("3fff::/20"),  # documentation
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
)
"""Inside what IANA's registries of special-purpose addresses leave out or Python 3.11 calls global."""

LONGEST_NAME, LONGEST_LABEL = 253, 63
"""Characters (RFC 1035, 2.3.4, without the dot at the end)."""


class CallbackGuard:
    """Judges a callback's URL, and later every address that its name resolves to."""

    def __init__(self, allowed: Iterable[str] = (), *, signed: bool = True) -> None:
        self._names: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        self._signed = signed
        for entry in allowed:
            self._allow(entry.strip().lower())

    def check_url(self, url: str) -> None:
        """Raises `Invalid` with a sentence for a URL that no callback may have; resolves nothing."""
        if not self._signed:
            raise Invalid("`callback_url` needs COUNTERSIGN_WEBHOOK_SECRET, which signs callbacks.")
        parts, host = _split(url)
        literal = _literal(host)
        if literal is not None and not self.allows(host, literal):
            raise Invalid(
                "`callback_url` leads to an internal address, which COUNTERSIGN_WEBHOOK_ALLOW does not list."
            )
        if parts.scheme == "http" and not self._is_listed_loopback(host, literal):
            raise Invalid(
                "`callback_url` must be https; plain http is for loopback addresses on the allow list."
            )

    def allows(self, host: str, address: Address) -> bool:
        """Whether a connection to `address`, found under the name `host`, may be made."""
        plain = unwrapped(address)
        if _is_localhost(host) and not plain.is_loopback:
            return False
        listed = host.lower() in self._names or any(
            plain in network for network in self._networks if network.version == plain.version
        )
        return listed or is_public(plain)

    def _is_listed_loopback(self, host: str, literal: Address | None) -> bool:
        if literal is not None:
            return unwrapped(literal).is_loopback and self.allows(host, literal)
        return _is_localhost(host) and (host in self._names or self.allows(host, IPv4Address("127.0.0.1")))

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry.strip("[]"), strict=False))
        except ValueError as error:
            if not entry or any(sign in entry for sign in "/:@ *"):
                raise SettingsError(
                    "COUNTERSIGN_WEBHOOK_ALLOW: each entry is a host name, an address or a network."
                ) from error
            self._names.add(entry)


class GuardedResolver(AbstractResolver):
    """Resolves like the system does, and keeps back addresses that a callback may not reach.

    The connector connects to what comes from here, so a name that changes its mind gains nothing. Literal
    addresses never come by (aiohttp connects to them directly): `CallbackGuard.check_url` sees those.
    """

    def __init__(self, guard: CallbackGuard, resolver: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            if not self._guard.allows(host, ip_address(result["host"].partition("%")[0])):
                raise Undeliverable("The callback's host has an internal address.")
        return found

    async def close(self) -> None:
        await self._resolver.close()


def is_public(address: Address) -> bool:
    """True for addresses of the open internet; what only looks like one, by embedding another, is not."""
    if any(address in network for network in NOT_FOR_CALLBACKS if network.version == address.version):
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped or NAT64 one; else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _split(url: str) -> tuple[SplitResult, str]:
    """The parts and the host in lower case; raises `Invalid`."""
    # A space, a control character or a backslash is read differently by different URL parsers.
    if not url.isascii() or any(sign <= " " or sign in "\\\x7f" for sign in url):
        raise Invalid("`callback_url` holds characters that no URL has.")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a wrong port
    except ValueError as error:
        raise Invalid("`callback_url` is not a URL.") from error
    host = (parts.hostname or "").lower()
    if parts.scheme not in {"http", "https"} or not host:
        raise Invalid("`callback_url` must begin with https:// and a host.")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise Invalid("`callback_url` may not hold a user name, a password or an escaped host.")
    return parts, host


def _literal(host: str) -> Address | None:
    """The address that `host` spells, or None for a name; raises `Invalid` for any other notation."""
    if ":" in host:
        try:
            return ip_address(host)
        except ValueError as error:
            raise Invalid("`callback_url` has no valid host.") from error
    try:
        # inet_aton reads 127.1, 0x7f.0.0.1, 0177.0.0.1 and 2130706433 as getaddrinfo does.
        address = IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        if _is_no_name(host):
            raise Invalid("`callback_url` has no valid host.") from None
        return None
    if str(address) != host:
        raise Invalid("`callback_url` must spell an address as four decimal numbers.")
    return address


def _is_no_name(host: str) -> bool:
    """Whether no resolver is even asked for it: a callback there would fail for three days."""
    name = host.removesuffix(".")
    labels = name.split(".")
    return len(name) > LONGEST_NAME or not all(0 < len(label) <= LONGEST_LABEL for label in labels)


def _is_localhost(host: str) -> bool:
    return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
