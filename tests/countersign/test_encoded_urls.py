"""Database URLs on PostgreSQL whose user, password and name have spaces and signs in them."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, make_url

from core.errors import SettingsError
from core.store.database import database
from core.store.postgresql import PROGRAM, conninfo
from core.store.schema import HEAD
from tests.bench.server import environment, free_port
from tests.countersign.commands import CONFIG, countersign, until
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = 'my team\'s 100% + a:b=c;d,e &f#g [h] "i" \\j ü?/@'
ENCODED = quote(ODD, safe="")
CHECKED = "SELECT current_user, current_database()"


@pytest.mark.parametrize(
    "text", [ODD, "a b", "a%20b", "%2", "+", "  ", "\t\n", "?sslmode=disable", "..", "=%3D"]
)
def test_what_is_percent_encoded_is_what_the_library_is_told(text: str) -> None:
    encoded = quote(text, safe="")
    told = conninfo_to_dict(conninfo(database(f"postgresql://{encoded}:{encoded}@db:5433/{encoded}")))
    assert (told["user"], told["password"], told["dbname"]) == (text, text, text)
    assert (told["host"], told["port"]) == ("db", "5433")


def test_a_space_that_is_not_encoded_is_taken_for_one() -> None:
    told = conninfo_to_dict(conninfo(database("postgresql://ana:hush hush@db/my reviews")))
    assert (told["password"], told["dbname"]) == ("hush hush", "my reviews")


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/reviews",
        "ana@/reviews",
        ":5433/reviews",
        "one,two:5434",
        "one:5433,/reviews",
        ":5433,:5434/reviews",
        "[::1]:5433/reviews",
        "[fe80::1%25eth0]:5433,10.0.0.2:5434/reviews",
        "%2Frun%2Fone,%2Frun%2Ftwo:5433/reviews",
        "ana:a,b:c%2C%40%25@one:5433,two:5434/reviews?sslmode=require",
        "ana@/reviews?host=one,two&port=5433,5434",
        "ana@/reviews?host=/run/one",
        "ana@one:1,two:2/reviews?host=three&port=3",
        "one:1,two:2/a/b?options=-c%20work_mem%3D1MB%2B",
        "/reviews?hostaddr=10.0.0.1,10.0.0.2&port=1,2",
        "?service=reviews",
        "/?service=reviews&passfile=%2Fhome%2Fana%2F.pgpass",
    ],
)
def test_a_url_means_here_what_it_means_to_the_library(rest: str) -> None:
    """SQLAlchemy reads it first, which knows one host, and one port."""
    url = f"postgresql://{rest}"
    told = conninfo_to_dict(conninfo(database(url)))
    assert told.pop("fallback_application_name") == PROGRAM
    assert told == conninfo_to_dict(url)


@pytest.fixture(scope="module")
def odd_url(postgres_server: str) -> Iterator[str]:
    """Of a database of that name, owned by a user of that name, who needs that password."""
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        name = sql.Identifier(ODD)
        admin.execute("CREATE ROLE asked_for_passwords")
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE asked_for_passwords").format(
                name, sql.Literal(ODD)
            )
        )
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
        server = make_url(postgres_server)
        place = URL.create("postgresql", host=server.host, port=server.port, query=server.query)
        host, _, query = place.render_as_string().removeprefix("postgresql://").partition("?")
        made = f"postgresql://{ENCODED}:{ENCODED}@{host}/{ENCODED}?{query}"
        with passwords_asked_for(admin, made):
            yield made
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        admin.execute(sql.SQL("DROP ROLE {}, asked_for_passwords").format(name))


@contextmanager
def passwords_asked_for(admin: psycopg.Connection[Any], url: str) -> Iterator[None]:
    """Of that role's members, whatever the server asks of others."""
    rules = "local all +asked_for_passwords scram-sha-256\nhost all +asked_for_passwords all scram-sha-256\n"
    (file,) = admin.execute("SHOW hba_file").fetchone() or ("",)
    (before,) = admin.execute("SELECT pg_read_file(%s)", [file]).fetchone() or ("",)
    write(admin, file, rules + before)
    try:
        refuses_soon(url.replace(f":{ENCODED}@", ":wrong@"))
        yield
    finally:
        write(admin, file, before)


def write(admin: psycopg.Connection[Any], file: str, text: str) -> None:
    """By the server itself: it may be on another machine."""
    admin.execute("SELECT lo_from_bytea(4711, %s)", [text.encode()])
    admin.execute("SELECT lo_export(4711, %s)", [file])
    admin.execute("SELECT lo_unlink(4711)")
    admin.execute("SELECT pg_reload_conf()")


def refuses_soon(url: str) -> None:
    """The server reads its rules in its own time."""
    deadline = time.monotonic() + PATIENCE
    while lets_in(url):
        assert time.monotonic() < deadline, "the server still takes a wrong password; has it read its rules?"
        time.sleep(0.05)


def lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_real_server_lets_such_a_user_into_such_a_database(odd_url: str) -> None:
    connection: Any = database(odd_url).connect()
    with closing(connection):
        assert connection.execute(CHECKED).fetchone() == (ODD, ODD)
    with pytest.raises(SettingsError, match="the server refuses the user or the password"):
        database(odd_url.replace(f":{ENCODED}@", ":wrong@")).connect()


def test_every_command_takes_such_a_url(odd_url: str, tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text(CONFIG)
    own = f"sqlite:///{tmp_path / 'countersign.db'}"
    assert countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=own).returncode == 0
    made = countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=odd_url)
    assert made.stdout == f"a new database: its tables are made, at revision {HEAD}\n", made.stderr
    copied = countersign(tmp_path, "copy", "--from", own, "--to", odd_url)
    assert copied.returncode == 0, copied.stderr
    examined = countersign(tmp_path, "doctor", COUNTERSIGN_DATABASE_URL=odd_url)
    assert f"ok    database: at revision {HEAD}\n" in examined.stdout
    for command in ("serve", "worker"):
        log = tmp_path / f"{command}.log"
        env = environment(free_port(), COUNTERSIGN_DATABASE_URL=odd_url)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "countersign", command], cwd=tmp_path, env=env, stdout=out, stderr=out
            )
        try:
            until(lambda log=log: "Countersign " in log.read_text(), process)
        finally:
            process.terminate()
            assert process.wait(15) == 0, log.read_text()
        assert "cannot be reached" not in log.read_text()
