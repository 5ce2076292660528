"""Why PostgreSQL cannot be reached, in words for whoever runs it: none of the server's own, which may quote
the URL.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

from psycopg import OperationalError, pq
from psycopg.conninfo import conninfo_to_dict

from core.errors import StoreUnavailable

REFUSALS = {
    "28P01": "the server refuses the user or the password",
    "28000": "the server does not let this user in: there is no such user, or its pg_hba.conf says so",
    "3D000": "the server has no database of this name",
    "42501": "the server does not let this user into it",
}
"""By SQLSTATE (PostgreSQL, Error Codes): what only somebody's edit helps against."""
BY_OTHERS = "28P01, by others"
"""The same from a directory or the like: the server's words do not tell its refusal from its being away."""
PASSING = {
    BY_OTHERS: "whom the server asks about its users refuses this one, or does not answer",
    "53300": "the server has no connection left",
    "57P01": "the server ended the connection",
    "57P02": "the server ended the connection",
    "57P03": "the server is starting or stopping",
    "57P05": "the server ended the connection",
}
# libpq hands on no SQLSTATE of a server that lets nobody in. These are its words in English: its first
# line, without what it quotes. In another language (`lc_messages`) there is only the log of the server.
STATES = (
    (re.compile(r"(?i)(password|peer|ident|certificate|bsd|sasl) authentication failed.*"), "28P01"),
    (re.compile(r"(?i)(ldap|pam|radius|gssapi|sspi|oauth bearer) authentication failed.*"), BY_OTHERS),
    (re.compile(r'role "" (does not exist|is not permitted to log in)'), "28000"),
    (re.compile(r"(no pg_hba\.conf entry for|pg_hba\.conf rejects) .*"), "28000"),
    (re.compile(r'database "" does not exist|no such database: .*'), "3D000"),
    (re.compile(r"permission denied for database .*"), "42501"),
    (
        re.compile(
            r"(sorry, )?too many (clients|connections) .*|remaining connection slots .*|no more connections.*"
        ),
        "53300",
    ),
    (
        re.compile(
            r"the database system is (starting|shutting|in recovery|not yet accepting|not accepting).*"
        ),
        "57P03",
    ),
)
# The client's own words, which are always English: nothing here sets LC_MESSAGES.
UNANSWERED = (
    (re.compile(r"resolve host|translate host name"), "no host of this name is known"),
    (re.compile(r"refused|No such file or directory"), "nobody listens there"),
    (re.compile(r"(?i)time(d )?out|did not answer"), "the server does not answer"),
    # Where the URL asks for a primary (target_session_attrs).
    (
        re.compile(r"session is read-only|server is in hot standby mode"),
        "the server takes no changes: it is a standby, or read-only",
    ),
    (re.compile(r"unreachable|No route to host"), "there is no way to this host"),
    (re.compile(r"SSL|TLS|certificate|GSSAPI"), "no encrypted connection comes about (sslmode)"),
    (
        re.compile(r"closed the connection|connection is closed|connection is lost"),
        "the server ended the connection",
    ),
)
NO_NAME = UNANSWERED[0][1]
# What libpq says of its options before it asks any server (fe-connect.c). Never a value: it may be a secret.
NOT_TAKEN = r"PostgreSQL's library does not take this \1"
OPTIONS = (
    (re.compile(r'invalid "?(\w+)"? value: '), NOT_TAKEN),
    (re.compile(r"invalid (port) number: "), NOT_TAKEN),
    (re.compile(r'invalid integer value ".*" for connection option "(\w+)"'), NOT_TAKEN),
    (re.compile(r"(?:negative )?(require_auth) method "), NOT_TAKEN),
    (re.compile(r'weak (sslmode) "'), NOT_TAKEN),
    (re.compile(r'(\w+) value ".*" invalid when '), NOT_TAKEN),
    (re.compile(r"invalid (SCRAM (?:client|server) key|SSL protocol version range)"), NOT_TAKEN),
    (
        re.compile(r"could not match \d+ (?:host names|port numbers) to "),
        "hosts and their ports are not equally many",
    ),
    (
        re.compile(
            r'definition of service "|service file "|syntax error in service|nested service|line \d+ too'
        ),
        "no service of this name is defined",
    ),
    (re.compile(r"fe_sendauth: no password supplied"), REFUSALS["28P01"]),
)

SEVERAL = "Multiple connection attempts failed. All failures were:\n"
"""After which psycopg lists each try, the last of which it has quoted already."""
TRY = re.compile(
    r"""(?mx) ^ (?= -\ host:\  | connection\ (?:failed|is\ bad):\  | connection\ to\ server\  )
    (?: -\ host:\ (?P<host>'[^']*'|None),.*?\ hostaddr:\ (?:'[^']*'|None):\  )?
    (?: connection\ (?:failed|is\ bad):\  )?
    (?: connection\ to\ server\ (?:at|on\ socket)\ ".*?".*?\ failed:\  )?"""
)
"""What stands before the words of each; libpq may have tried one host several times, with SSL and without."""
SERVERS = re.compile(r"(?P<later>[a-z ]+ failed: )?\S+:  (?P<words>.*)")
"""A line of the server's: its severity, which has a name in each language, stands before it."""
POOLERS = re.compile(
    r"server login (failed|has been failing, cached error): (FATAL: +)?| \(server_login_retry\)$"
)
"""What PgBouncer adds to the words of the server."""


class Trouble(NamedTuple):
    """What one try to connect met."""

    words: str
    is_refusal: bool
    """Trying again is of no use until somebody edits something."""


def reason(error: BaseException, conninfo: str = "") -> str:
    """Half a sentence; of an error of psycopg's."""
    return "; ".join(dict.fromkeys(met.words for met in troubles(error, conninfo)))


def why(error: BaseException) -> str | None:
    """For the log, of whatever was met on the way to the server; None where it is nothing of the way."""
    if isinstance(error, StoreUnavailable):
        return error.in_full
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    found = error if isinstance(error, OperationalError) else error.__cause__
    return reason(found) if isinstance(found, OperationalError) else None


def is_refusal(error: BaseException, conninfo: str = "") -> bool:
    """Whether trying again is of no use until somebody edits something, whichever host is asked."""
    return all(met.is_refusal for met in troubles(error, conninfo))


def troubles(error: BaseException, conninfo: str = "") -> list[Trouble]:
    """What each try met, and each host of `conninfo` that could not be asked."""
    state = getattr(error, "sqlstate", None)
    if state in REFUSALS or state in PASSING:
        return [_known(state)]
    if not isinstance(error, OperationalError):
        return [Trouble("the connection is of no use any more", False)]
    words = str(error)
    if state is not None:
        return [_of_client(words)]
    listed = words.partition(SEVERAL)[2] or words
    starts = list(TRY.finditer(listed))
    if not starts:
        return [_of_libpq(listed)]
    ends = [start.start() for start in starts[1:]] + [len(listed)]
    found = [_of_libpq(listed[start.end() : end]) for start, end in zip(starts, ends, strict=True)]
    # psycopg keeps silent on a host without an address where another has one.
    asked = {start["host"] for start in starts if start["host"]}
    if len(_names(conninfo)) > max(1, len(asked)):
        found.append(Trouble(NO_NAME, False))
    return found


def _names(conninfo: str) -> set[str]:
    """Of hosts, which psycopg looks up."""
    said = conninfo_to_dict(conninfo)
    return set() if said.get("hostaddr") else set(str(said.get("host") or "").split(","))


def _known(state: str) -> Trouble:
    return Trouble((REFUSALS | PASSING)[state], state in REFUSALS)


def _of_libpq(text: str) -> Trouble:
    line = text.partition("\n")[0]
    if servers := SERVERS.match(line):
        words = re.sub(r'".*"', '""', POOLERS.sub("", servers["words"]))
        if state := next((state for pattern, state in STATES if pattern.fullmatch(words)), None):
            return _known(state)
        if not servers["later"]:
            return Trouble("the server refuses the connection; its log says why", False)
    for pattern, why in OPTIONS:
        if wrong := pattern.match(line):
            return Trouble(wrong.expand(why), True)
    return _of_client(text)


def _of_client(text: str) -> Trouble:
    words = re.sub(r"\".*?\"|'.*?'", '""', text)
    why = next((why for pattern, why in UNANSWERED if pattern.search(words)), "the connection failed")
    return Trouble(why, False)


def where(conninfo: str) -> str:
    """`NAME at HOST:PORT`, as libpq understands it; nothing else that the URL says, and less of what cannot
    be told."""
    given = _given(conninfo)
    if service := given.get("service"):
        return f"of the service {service}"
    name = given.get("dbname") or given.get("user", "")
    hosts = (given.get("host") or given.get("hostaddr") or "localhost").split(",")
    ports = (given.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = [_place(host or "localhost", port or "5432") for host, port in zip(hosts, ports, strict=False)]
    if len(ports) != len(hosts) or None in places:
        return name
    return f"{name} at {' or '.join(filter(None, places))}"


def _place(host: str, port: str) -> str | None:
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{port}"
    if ":" not in host:
        return f"{host}:{port}"
    try:
        return f"[{ip_address(host)}]:{port}"
    except ValueError:
        return None


PLACE = ("host", "hostaddr", "port", "dbname", "user")


def _given(conninfo: str) -> dict[str, str]:
    """What the URL says of the place, else the environment, such as PGHOST; or the service that knows it."""
    said = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value}
    usual = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    # A service of the environment's says less than the URL, as far as that goes.
    wanted = PLACE if said.get("host") or said.get("hostaddr") else ("service", *PLACE)
    found = {name: value.decode(errors="replace") for name in wanted if (value := usual.get(name))}
    return found | {name: said[name] for name in ("service", *PLACE) if name in said}
