"""web/hooks/addresses.py: no spelling of an internal address gets through."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, SettingsError, Undeliverable
from tests.web.web_names import Answers
from web.hooks.addresses import CallbackGuard, GuardedResolver, is_public, unwrapped

if TYPE_CHECKING:
    from aiohttp.test_utils import TestServer


def words(text: str) -> list[str]:
    return text.split()


INTERNAL = words(
    r"""
0.0.0.0 0.0.0.1 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.0.0.53 127.1.2.3
127.255.255.255 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8
192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7
203.0.113.9 224.0.0.1 224.0.0.251 239.255.255.250 240.0.0.1 255.255.255.254 255.255.255.255 :: ::1 ::2
::7f00:1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
::ffff:0.0.0.0 ::ffff:192.168.1.1 ::ffff:100.64.0.1 0:0:0:0:0:ffff:7f00:1
0000:0000:0000:0000:0000:ffff:7f00:0001 ::ffff:0:7f00:1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b::0.0.0.0 64:ff9b:1::1 64:ff9b:1::8.8.8.8 100::1 100:0:0:1::1 2001::1
2001:0:7f00:1:: 2001:2::1 2001:3::1 2001:10::1 2001:20::1 2001:db8::1 2001:db8:ffff::1 2002::1 2002:7f00:1::
2002:a00:1:: 2002:a9fe:a9fe:: 2002:c0a8:101:: 3fff::1 3fff:fff::1 5f00::1 fc00::1 fd00::1 fd12:3456:789a::1
fdff::1 fe80::1 fe80::a9fe:a9fe fec0::1 feff::1 ff02::1 ff01::1 ff05::1:3 ff0e::1 0100::1 0200::1 4000::1
8000::1 e000::1 1::1 1fff::1
"""
)

PUBLIC = words(
    r"""
1.1.1.1 8.8.8.8 9.9.9.9 93.184.216.34 100.63.255.255 100.128.0.1 128.0.0.1 172.15.255.255 172.32.0.1
192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255 2606:4700:4700::1111
2a00:1450:4001:81b::200e 2620:fe::fe 2400:cb00::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::101:101
"""
)

SPELLINGS = words(
    r"""
127.1 127.0.1 127.0.0.1. 0127.0.0.1 0177.0.0.1 0177.1 0177.0.0.01 00000177.0.0.1 0x7f.1 0x7f.0.0.1
0x7F.0x0.0x0.0x1 0x7f000001 0X7F000001 2130706433 017700000001 2130706434 0 0. 00 0x0 0x00000000 0.0 0.0.0 1
10.1 10.0.1 0xa.1 012.1 167772161 0x0a000001 172.1048577 0xac100001 192.168.1 192.168.257 0xc0a80001
0xc0.0xa8.1 3232235521 0300.0250.0.1 169.254.43518 0xa9fea9fe 2852039166 0251.0376.0251.0376
0xa9.0xfe.0xa9.0xfe 169.16689662 100.4194305 1681915905 0xe0000001 4294967295 0xffffffff 037777777777
255.255.255.255. 10.0.0.1. [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::FFFF:7F00:1]
[0:0:0:0:0:ffff:127.0.0.1] [64:ff9b::127.0.0.1] [fe80::1] [FD00::1] [::127.0.0.1] [2002:7f00:1::]
"""
)

PLAIN_STRANGE = words(
    r"""
https://user@8.8.8.8/ https://user:pw@hooks.example/ https://@hooks.example/ https://hooks.example@10.0.0.1/
https://10.0.0.1%2f@hooks.example/ https://%31%30.0.0.1/ https://127.0.0.1%00.example/
https://hooks%2eexample/ https:// https:/// https://:443/ https:hooks.example //hooks.example/ hooks.example
javascript:alert(1) file:///etc/passwd gopher://hooks.example/ ftp://hooks.example/ ws://hooks.example/
data:text/plain,x https://hooks.example:99999/ https://hooks.example:port/ https://[::1 https://[nonsense]/
https://[::1%25eth0]/ https://[fe80::1%25eth0]/ https://hooks.example\@10.0.0.1/ https:\\10.0.0.1/
https://10.0.0.1\.example/ http://8.8.8.8/ http://hooks.example/ http://localhost/ http://127.0.0.1/
http://10.0.0.1/ HTTP://hooks.example/
"""
)
STRANGE = [
    *PLAIN_STRANGE,
    "",
    " https://hooks.example/",
    "https://hooks.example/ x",
    "https://hooks.example/\n",
    "https://hooks\t.example/",
    "https://hooks.example/\x7f",
    "https://h\xf6oks.example/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://127\u30020\u30020\u30021/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://hooks..example/",
    f"https://{'a' * 64}.example/",
    f"https://{'a.' * 124}example/",
]


def test_there_are_about_two_hundred_of_them() -> None:
    assert len(INTERNAL) + len(SPELLINGS) + len(STRANGE) >= 200


def url_of(host: str) -> str:
    return f"https://[{host}]:8443/x" if ":" in host and not host.startswith("[") else f"https://{host}/x"


@pytest.mark.parametrize("host", [*INTERNAL, *SPELLINGS])
def test_an_internal_address_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(Invalid, match=r"internal|four decimal"):
        CallbackGuard().check_url(url_of(host))


@pytest.mark.parametrize("url", STRANGE)
def test_what_parsers_read_differently_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="callback_url"):
        CallbackGuard().check_url(url)


@pytest.mark.parametrize(
    "host", [*PUBLIC, "hooks.example", "HOOKS.EXAMPLE", "a-b.c.example.", "127.0.0.1.nip.io"]
)
def test_the_open_internet_is_allowed(host: str) -> None:
    CallbackGuard().check_url(url_of(host))


@pytest.mark.parametrize("address", INTERNAL)
def test_no_resolved_internal_address_is_public(address: str) -> None:
    assert not is_public(unwrapped(ip_address(address)))


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_like_itself(address: object) -> None:
    guard = CallbackGuard()
    plain = guard.allows("hooks.example", ip_address(str(address)))
    for prefix in ("::ffff:", "64:ff9b::"):
        assert guard.allows("hooks.example", ip_address(f"{prefix}{address}")) == plain


@pytest.mark.parametrize("address", [*INTERNAL, "fe80::1%eth0"])
async def test_a_name_with_an_internal_address_is_not_resolved(address: str) -> None:
    resolver = GuardedResolver(CallbackGuard(), Answers([address], ["8.8.8.8", address]))
    for _ in range(2):
        with pytest.raises(Undeliverable, match="internal"):
            await resolver.resolve("hooks.example", 443)


async def test_a_public_name_is_resolved() -> None:
    resolver = GuardedResolver(CallbackGuard(), Answers(["8.8.8.8", "2606:4700:4700::1111"]))
    assert len(await resolver.resolve("hooks.example", 443)) == 2


async def test_a_name_that_changes_its_mind_reaches_nothing(unused_server: TestServer) -> None:
    """DNS rebinding: the check is on the very answer that is connected to."""
    resolver = GuardedResolver(CallbackGuard(), Answers(["127.0.0.1"]))
    async with ClientSession(connector=TCPConnector(resolver=resolver)) as session:
        with pytest.raises((Undeliverable, ClientError)):
            await session.get(f"http://rebound.example:{unused_server.port}/")


async def test_localhost_is_localhost_only() -> None:
    guard = CallbackGuard(["localhost"])
    assert guard.allows("localhost", ip_address("127.0.0.1"))
    assert not guard.allows("localhost", ip_address("10.0.0.1"))
    assert not guard.allows("localhost", ip_address("8.8.8.8"))


ALLOWED = [
    (["10.0.0.0/8"], "https://10.1.2.3/"),
    (["10.1.2.3"], "https://10.1.2.3/"),
    (["10.0.0.0/8"], "https://[::ffff:10.1.2.3]/"),
    (["fd00::/8"], "https://[fd00::1]/"),
    (["[fd00::1]"], "https://[fd00::1]/"),
    (["localhost"], "http://localhost:9/"),
    (["127.0.0.1"], "http://localhost:9/"),
    (["127.0.0.0/8"], "http://127.0.0.1:9/"),
    (["127.0.0.1"], "http://127.0.0.1:9/"),
    (["::1"], "http://[::1]:9/"),
    (["127.0.0.1"], "https://127.0.0.1/"),
]


@pytest.mark.parametrize(("allow", "url"), ALLOWED)
def test_what_the_operator_listed_is_allowed(allow: list[str], url: str) -> None:
    CallbackGuard(allow).check_url(url)


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        (["10.0.0.0/8"], "http://10.1.2.3/"),
        (["hooks.internal"], "http://hooks.internal/"),
        (["10.0.0.0/8"], "https://11.0.0.1.example:1@10.0.0.1/"),
        (["10.0.0.0/8"], "https://192.168.0.1/"),
        (["127.0.0.1"], "https://127.0.0.2/"),
        (["localhost"], "http://127.0.0.1/"),
        (["8.8.8.8"], "http://8.8.8.8/"),
    ],
)
def test_the_list_opens_no_more_than_it_says(allow: list[str], url: str) -> None:
    with pytest.raises(Invalid):
        CallbackGuard(allow).check_url(url)


def test_a_listed_name_may_be_internal() -> None:
    guard = CallbackGuard(["hooks.internal"])
    assert guard.allows("hooks.internal", ip_address("10.0.0.1"))
    assert guard.allows("HOOKS.internal", ip_address("10.0.0.1"))
    assert not guard.allows("other.internal", ip_address("10.0.0.1"))


@pytest.mark.parametrize("entry", ["", "https://a", "10.0.0.0/99", "a b", "user@host", "*.internal", "a:80"])
def test_a_wrong_entry_stops_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match="COUNTERSIGN_WEBHOOK_ALLOW"):
        CallbackGuard([entry])
