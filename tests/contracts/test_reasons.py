"""Why PostgreSQL cannot be reached is said to whoever runs it, and to nobody else."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs

from core.engines.procrastinate import _told
from core.errors import SettingsError, StoreUnavailable
from core.store import reasons
from core.store.database import database
from core.store.hints import Hints
from core.store.postgresql import conninfo
from core.store.schema import migrate, revision
from core.store.sql import SqlStore
from tests.world import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.world import StoppedClock

SECRET = "hush"
PUBLIC = "The PostgreSQL database cannot be reached."


def said_of(url: str) -> SettingsError | StoreUnavailable:
    """What the first connection of a process meets."""
    with pytest.raises((SettingsError, StoreUnavailable)) as raised:
        revision(database(url))
    found = raised.value
    assert isinstance(found, (SettingsError, StoreUnavailable))
    assert SECRET not in f"{found} {getattr(found, 'in_full', '')}"
    return found


def dead_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def answering(*packets: bytes) -> Iterator[int]:
    """A port where each who connects is answered with the next of these, and hung up on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            for packet in packets:
                with closing(server.accept()[0]) as client:
                    client.recv(1 << 16)
                    client.sendall(packet)
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1 << 16)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def error(state: str, words: str) -> bytes:
    """ErrorResponse (PostgreSQL, Message Formats)."""
    fields = b"".join(
        kind + text.encode() + b"\0"
        for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", state), (b"M", words))
    )
    return b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"


BY_SERVER = "the server refuses the user or the password"
BY_OTHERS = "whom the server asks about its users refuses this one, or does not answer"
REFUSALS = [
    ("28P01", 'password authentication failed for user "ana"', "the server refuses the user or the password"),
    ("28000", 'role "ana" does not exist', "the server does not let this user in"),
    (
        "28000",
        'no pg_hba.conf entry for host "10.0.0.5", user "ana", database "reviews", no encryption',
        "the server does not let this user in",
    ),
    ("28000", 'peer authentication failed for user "ana"', "the server refuses the user or the password"),
    *(
        ("28000", f'{method} authentication failed for user "ana"', BY_SERVER)
        for method in ("Ident", "certificate", "BSD")
    ),
    ("08P01", "SASL authentication failed", BY_SERVER),
    ("28000", 'role "ana" is not permitted to log in', "the server does not let this user in"),
    (
        "28000",
        'pg_hba.conf rejects connection for host "10.0.0.5", user "ana", database "reviews", no encryption',
        "the server does not let this user in",
    ),
    ("42501", 'permission denied for database "reviews"', "the server does not let this user into it"),
    ("3D000", 'database "reviews" does not exist', "the server has no database of this name"),
    ("3D000", 'database "too many clients" does not exist', "the server has no database of this name"),
    ("08P01", "no such database: reviews", "the server has no database of this name"),
    (
        "08P01",
        'server login failed: FATAL: password authentication failed for user "ana"',
        "the server refuses the user or the password",
    ),
]
UNSAID = "the server refuses the connection; its log says why"
FULL, STARTING = "the server has no connection left", "the server is starting or stopping"
PASSING = [
    *(
        ("28000", f'{method} authentication failed for user "ana"', BY_OTHERS)
        for method in ("LDAP", "PAM", "RADIUS", "GSSAPI", "SSPI", "OAuth bearer")
    ),
    ("08P01", "PAM authentication failed", BY_OTHERS),
    ("53300", "sorry, too many clients already", FULL),
    ("53300", 'too many connections for role "ana"', FULL),
    ("53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute", FULL),
    ("57P03", "the database system is starting up", STARTING),
    ("57P03", "the database system is shutting down", STARTING),
    ("57P03", "the database system is in recovery mode", STARTING),
    ("57P03", "the database system is not yet accepting connections", STARTING),
    ("XX000", "something hush-hush about a parameter", UNSAID),
    ("53300", 'too many connections for database "database "x" does not exist"', FULL),
    ("53300", 'too many connections for role "password authentication failed for user "u""', FULL),
    ("08P01", "server login has been failing, cached error: the database system is starting up", STARTING),
    ("55000", 'database "role "x" does not exist" is not currently accepting connections', UNSAID),
    ("F0000", "could not load pg_hba.conf", UNSAID),
    ("57P03", "le système de base de données est en cours de démarrage", UNSAID),
]


@pytest.mark.parametrize(("state", "words", "why"), REFUSALS)
def test_what_only_an_edit_helps_against_is_a_wrong_setting_at_the_start(
    state: str, words: str, why: str
) -> None:
    with answering(error(state, words)) as port:
        found = said_of(
            f"postgresql://ana:{SECRET}@127.0.0.1:{port}/reviews?sslmode=disable&gssencmode=disable"
        )
    assert isinstance(found, SettingsError)
    assert str(found).startswith(
        f"COUNTERSIGN_DATABASE_URL: the PostgreSQL database reviews at 127.0.0.1:{port} cannot be "
        f"reached: {why}"
    )


@pytest.mark.parametrize(("state", "words", "why"), PASSING)
def test_what_passes_by_itself_is_said_and_tried_again(state: str, words: str, why: str) -> None:
    with answering(error(state, words)) as port:
        found = said_of(
            f"postgresql://ana:{SECRET}@127.0.0.1:{port}/reviews?sslmode=disable&gssencmode=disable"
        )
    assert isinstance(found, StoreUnavailable)
    assert found.in_full == (f"The PostgreSQL database reviews at 127.0.0.1:{port} cannot be reached: {why}.")
    assert str(found) == PUBLIC, "callers are told nothing of machines"


PLAIN = "sslmode=disable&gssencmode=disable"
WRONG = ("28P01", 'password authentication failed for user "ana"')
WRONG_ROLE = (
    "28000",
    'no pg_hba.conf entry for host "10.0.0.5", user "ana", database "reviews", no encryption',
)
BEGINS = ("57P03", "the database system is starting up")
CROWDED = ("53300", "sorry, too many clients already")
REFUSED, NO_ENTRY = (why for state, words, why in REFUSALS if (state, words) in (WRONG, WRONG_ROLE))


def of_several(*ports: int, hosts: str = "") -> str:
    hosts = hosts or ",".join("127.0.0.1" for _ in ports)
    at = ",".join(map(str, ports))
    return f"postgresql://ana:{SECRET}@/reviews?host={hosts}&port={at}&{PLAIN}"


@pytest.mark.parametrize(
    ("first", "second", "whys"),
    [
        (BEGINS, WRONG, (STARTING, REFUSED)),
        (WRONG, BEGINS, (REFUSED, STARTING)),
        (CROWDED, WRONG_ROLE, (FULL, NO_ENTRY)),
        (WRONG_ROLE, CROWDED, (NO_ENTRY, FULL)),
        (("XX000", "something else"), WRONG, (UNSAID, REFUSED)),
    ],
)
def test_of_several_servers_one_whose_trouble_passes_is_waited_for(
    first: tuple[str, str], second: tuple[str, str], whys: tuple[str, str]
) -> None:
    with answering(error(*first)) as one, answering(error(*second)) as other:
        found = said_of(of_several(one, other))
    assert isinstance(found, StoreUnavailable)
    assert f"reviews at 127.0.0.1:{one} or 127.0.0.1:{other} cannot be reached: {whys[0]}" in found.in_full
    assert f"; {whys[1]}" in found.in_full


@pytest.mark.parametrize("is_first", [True, False])
def test_so_is_one_that_is_not_there(is_first: bool) -> None:
    dead = dead_port()
    with answering(error(*WRONG)) as port:
        found = said_of(of_several(dead, port) if is_first else of_several(port, dead))
    assert isinstance(found, StoreUnavailable)
    assert "nobody listens there" in found.in_full
    assert REFUSED in found.in_full


def test_so_is_one_whose_name_nobody_knows_now() -> None:
    with answering(error(*WRONG)) as port:
        found = said_of(of_several(port, port, hosts="db.invalid,127.0.0.1"))
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith(f"cannot be reached: {REFUSED}; no host of this name is known.")


def test_servers_that_have_addresses_need_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    with answering(error(*WRONG)) as one, answering(error(*WRONG)) as other:
        found = said_of(of_several(one, other).replace("?host=", "?hostaddr="))
    assert isinstance(found, SettingsError)
    assert str(found).endswith(f"cannot be reached: {REFUSED}.")


def test_several_servers_that_all_refuse_are_a_wrong_setting() -> None:
    with answering(error(*WRONG)) as one, answering(error(*WRONG)) as other:
        found = said_of(of_several(one, other))
    assert isinstance(found, SettingsError)
    assert str(found).endswith(f"cannot be reached: {REFUSED}.")


def test_a_folder_of_sockets_is_not_taken_for_what_its_name_says() -> None:
    found = said_of(f"postgresql://ana:{SECRET}@/reviews?host=/nowhere/pg_hba.conf&port=1")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith("cannot be reached: nobody listens there.")


def test_a_server_that_is_not_there_is_said_to_be_where() -> None:
    port = dead_port()
    found = said_of(f"postgresql://ana:{SECRET}@127.0.0.1:{port}/reviews?connect_timeout=9")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full == (
        f"The PostgreSQL database reviews at 127.0.0.1:{port} cannot be reached: nobody listens there."
    )


def test_a_socket_that_is_not_there_is_named_as_a_file() -> None:
    found = said_of(f"postgresql://ana:{SECRET}@/reviews?host=/nowhere&port=5433")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith(
        "reviews at /nowhere/.s.PGSQL.5433 cannot be reached: nobody listens there."
    )


def test_a_name_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPORT", raising=False)
    found = said_of(f"postgresql://ana:{SECRET}@db.invalid/reviews")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith(
        "reviews at db.invalid:5432 cannot be reached: no host of this name is known."
    )


def test_a_server_that_says_nothing_is_said_not_to_answer() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        found = said_of(f"postgresql://ana:{SECRET}@127.0.0.1:{port}/reviews?sslmode=disable")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith("cannot be reached: the server does not answer.")


@pytest.mark.parametrize(
    "rest",
    [
        "ana:open@hush@db/reviews",
        "an/a:hush@127.0.0.1:1/reviews",
        "ana:open@ss/hush@127.0.0.1:1/reviews",
        "ana:open@ss:hush/x@127.0.0.1:1/reviews",
        "ana:open@ss/wo?hush@127.0.0.1:1/reviews",
        "ana:open@ss/wo?hush=x@127.0.0.1:1/reviews",
        "127.0.0.1:1/?user=ana&password=hush@b/hush",
        "127.0.0.1:1?user=ana&password=hush@b/hush",
        "?user=ana&password=hush@b/hush",
    ],
)
def test_no_part_of_a_password_is_taken_for_another_part_of_the_url(rest: str) -> None:
    with pytest.raises(SettingsError, match="percent-encoded: %40") as raised:
        database(f"postgresql://{rest}")
    assert SECRET not in str(raised.value)
    assert "open" not in str(raised.value)


@pytest.mark.parametrize(
    "rest",
    ["ana:p%40ss%2Fw%3Fx@127.0.0.1/reviews", "ana:p?ss:w@127.0.0.1/reviews", "ana@/reviews?host=/run/x", ""],
)
def test_a_url_whose_parts_are_plain_is_taken(rest: str) -> None:
    database(f"postgresql://{rest}")


@pytest.mark.parametrize(
    ("rest", "hosts", "ports"),
    [
        ("one:5433,two:5434/reviews?sslmode=prefer", "one,two", "5433,5434"),
        ("one:5433,two/reviews?sslmode=prefer", "one,two", "5433,"),
        ("[::1]:5433,10.0.0.2:5434/reviews?sslmode=prefer", "::1,10.0.0.2", "5433,5434"),
        ("one,two/reviews?sslmode=prefer", "one,two", None),
    ],
)
def test_each_host_may_have_a_port_of_its_own(rest: str, hosts: str, ports: str | None) -> None:
    found = conninfo_to_dict(conninfo(database(f"postgresql://ana:h%40sh%25,%3A@{rest}")))
    assert (found["host"], found.get("port")) == (hosts, ports)
    assert (found["user"], found["password"], found["dbname"]) == ("ana", "h@sh%,:", "reviews")
    assert found["sslmode"] == "prefer"


@pytest.mark.parametrize("hosts", ["one:x,two:5434", "one:5433,two:5434:5435", "[::1:5433,two:5434"])
def test_hosts_that_nobody_can_read_are_no_url(hosts: str) -> None:
    with pytest.raises(SettingsError, match="is not a database URL"):
        database(f"postgresql://ana:{SECRET}@{hosts}/reviews")


def test_a_standby_is_named_where_a_primary_is_asked_for(postgres_server: str) -> None:
    reading = {"target_session_attrs": "read-write", "options": "-c default_transaction_read_only=on"}
    url = make_url(postgres_server).update_query_dict(reading)
    found = said_of(url.render_as_string(hide_password=False))
    assert isinstance(found, StoreUnavailable)
    assert "the server takes no changes: it is a standby, or read-only" in str(found.in_full)


def test_a_url_that_is_no_text_is_none() -> None:
    with pytest.raises(SettingsError, match="is not a database URL"):
        database(f"postgresql://ana:{SECRET}\udce4@127.0.0.1/reviews")


def test_a_file_may_have_an_at_sign_in_its_name() -> None:
    database("sqlite:////srv/ana@home/reviews.db")


def test_a_password_that_is_no_text_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "p\udce4ss")
    found = said_of(f"postgresql://ana@127.0.0.1:{dead_port()}/reviews")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full.endswith("cannot be reached: nobody listens there.")


def test_a_name_that_is_no_text_is_said_as_far_as_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "revi\udce4ews")
    found = said_of(f"postgresql://ana@127.0.0.1:{dead_port()}")
    assert isinstance(found, StoreUnavailable)
    assert "database revi\ufffdews at 127.0.0.1:" in found.in_full


def test_where_no_reason_can_be_found_the_outage_is_said_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(conninfo: str) -> str:
        raise LookupError(conninfo)

    monkeypatch.setattr(reasons, "where", fails)
    found = said_of(f"postgresql://ana:{SECRET}@127.0.0.1:{dead_port()}/reviews")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full == PUBLIC


def test_a_service_is_named_instead_of_what_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = tmp_path / "services.conf"
    services.write_text(f"[mine]\nhost=127.0.0.1\nport={dead_port()}\ndbname=x\npassword={SECRET}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    found = said_of("postgresql:///?service=mine")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full == (
        "The PostgreSQL database of the service mine cannot be reached: nobody listens there."
    )
    found = said_of("postgresql:///?service=nosuch")
    assert isinstance(found, SettingsError)
    assert str(found) == (
        "COUNTERSIGN_DATABASE_URL: the PostgreSQL database of the service nosuch cannot be reached: "
        "no service of this name is defined."
    )
    monkeypatch.setenv("PGSERVICE", "mine")
    assert "database of the service mine cannot" in str(getattr(said_of("postgresql://"), "in_full", ""))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "nowhere"))
    assert isinstance(said_of("postgresql:///?service=mine"), SettingsError)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslmode=bogus", "PostgreSQL's library does not take this sslmode"),
        ("sslmode=port", "PostgreSQL's library does not take this sslmode"),
        ("ssl_min_protocol_version=9", "PostgreSQL's library does not take this ssl_min_protocol_version"),
        ("keepalives=few", "PostgreSQL's library does not take this keepalives"),
        ("port=few", "PostgreSQL's library does not take this port"),
        ("port=99999", "PostgreSQL's library does not take this port"),
        ("target_session_attrs=any-old", "PostgreSQL's library does not take this target_session_attrs"),
        ("require_auth=none,none", "PostgreSQL's library does not take this require_auth"),
        ("sslmode=prefer&sslrootcert=system", "PostgreSQL's library does not take this sslmode"),
        ("host=a.invalid,b.invalid&port=1,2,3", "hosts and their ports are not equally many"),
    ],
)
def test_an_option_that_no_server_would_help_with_is_a_wrong_setting(query: str, why: str) -> None:
    at = "" if "port=" in query else f":{dead_port()}"
    found = said_of(f"postgresql://ana:{SECRET}@127.0.0.1{at}/reviews?{query}")
    assert isinstance(found, SettingsError)
    assert str(found).startswith("COUNTERSIGN_DATABASE_URL: the PostgreSQL database reviews")
    assert str(found).endswith(f"cannot be reached: {why}.")


def test_a_place_that_cannot_be_told_is_not_made_up() -> None:
    found = said_of(f"postgresql://ana:{SECRET}@/reviews?host=127.0.0.8:1&host=127.0.0.9:2")
    assert isinstance(found, StoreUnavailable)
    assert found.in_full == (
        "The PostgreSQL database reviews cannot be reached: no host of this name is known."
    )


def test_an_address_of_the_sixth_version_stands_in_brackets() -> None:
    found = said_of(f"postgresql://ana:{SECRET}@[::1]:{(port := dead_port())}/reviews")
    assert isinstance(found, StoreUnavailable)
    assert f"reviews at [::1]:{port} cannot be reached" in found.in_full


def test_of_a_real_server_a_wrong_name_is_a_wrong_setting(postgres_server: str) -> None:
    found = said_of(make_url(postgres_server).set(database="nowhere").render_as_string(hide_password=False))
    assert isinstance(found, SettingsError)
    assert "PostgreSQL database nowhere at " in str(found)
    assert str(found).endswith("cannot be reached: the server has no database of this name.")


async def test_while_it_runs_the_same_is_an_outage_whose_reason_the_log_has(
    postgres_server: str, empty_postgres: Callable[[], str], clock: StoppedClock
) -> None:
    url = empty_postgres()
    name = make_url(url).database
    migrate(database(url))
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        async with SqlStore(database(url), clock) as store:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            admin.execute(f"ALTER DATABASE {name} RENAME TO {name}_away".encode())
            with capture_logs() as logs:
                for count in (1, 3):
                    found = await asyncio.gather(
                        *(store.check() for _ in range(count)), return_exceptions=True
                    )
                    assert {(type(one), str(one)) for one in found} == {(StoreUnavailable, PUBLIC)}
                admin.execute(f"ALTER DATABASE {name}_away RENAME TO {name}".encode())
                await store.check()
    # The first finds its connection closed, and makes another at once, which is refused likewise.
    (failed,) = [line for line in logs if line["event"] == "group_failed"]
    said = str(failed["error"])
    assert said.endswith("cannot be reached: the server has no database of this name.")
    assert f"database {name} at " in said
    (back,) = [line for line in logs if line["event"] == "groups_done_again"]
    assert (back["lane"], back["refused"]) == (failed["lane"], 4)


async def test_so_does_the_log_of_hints_and_jobs() -> None:
    port = dead_port()
    away = conninfo(database(f"postgresql://ana:{SECRET}@127.0.0.1:{port}/reviews"))

    async def logged() -> bool:
        await asyncio.sleep(0)  # the loop turns
        return bool(logs)

    with capture_logs() as logs:
        async with Hints(away, "x", lambda _: None):
            await eventually(logged)
        with suppress(psycopg.OperationalError), _told("jobs"):
            await psycopg.AsyncConnection.connect(away)
    said = {(line["event"], line["reason"]) for line in logs}
    assert said == {("hints_cut_off", "nobody listens there"), ("jobs_interrupted", "nobody listens there")}
