"""How the commands begin on PostgreSQL: what they say where they cannot, and what the server calls them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from core.errors import SettingsError
from core.store.database import database
from core.store.postgresql import conninfo
from core.store.schema import HEAD, migrate
from tests.bench.server import environment, free_port
from tests.countersign.commands import CONFIG, countersign, until
from tests.deploy.files import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "SELECT current_setting('application_name')"


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_database_that_is_not_there_is_a_wrong_setting(
    tmp_path: Path, postgres_server: str, command: str
) -> None:
    url = make_url(postgres_server).set(database="nowhere").render_as_string(hide_password=False)
    refused = countersign(tmp_path, command, COUNTERSIGN_DATABASE_URL=url)
    assert refused.returncode == 2, "systemd is not to try it for ever"
    line = refused.stderr.splitlines()[-1]
    assert line.startswith("countersign: COUNTERSIGN_DATABASE_URL: the PostgreSQL database nowhere at ")
    assert line.endswith(" cannot be reached: the server has no database of this name.")


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    url = f"postgresql://ana:hush@127.0.0.1:{port}/reviews"
    failed = countersign(tmp_path, "serve", COUNTERSIGN_DATABASE_URL=url)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == (
        f"countersign: The PostgreSQL database reviews at 127.0.0.1:{port} cannot be reached: "
        "nobody listens there."
    )
    examined = countersign(tmp_path, "doctor", COUNTERSIGN_DATABASE_URL=url)
    assert f"FAIL  database: The PostgreSQL database reviews at 127.0.0.1:{port} cannot" in examined.stdout
    assert "hush" not in examined.stdout


def test_a_new_database_is_said_to_be_one(tmp_path: Path, empty_postgres: Callable[[], str]) -> None:
    url = empty_postgres()
    examined = countersign(tmp_path, "doctor", COUNTERSIGN_DATABASE_URL=url)
    assert (
        f"FAIL  database: has no tables of Countersign's yet, this release needs revision {HEAD} - "
        "run: countersign migrate\n"
    ) in examined.stdout
    made = countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=url)
    assert made.stdout == f"a new database: its tables are made, at revision {HEAD}\n"
    again = countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=url)
    assert again.stdout == f"database at revision {HEAD}\n"


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("CONNECT ON DATABASE {name}", "cannot be reached: the server does not let this user into it."),
        (
            "CREATE ON SCHEMA public",
            "make no tables in the database {name}; let them own it: ALTER DATABASE {name} OWNER TO USER.",
        ),
    ],
)
def test_a_right_that_the_user_lacks_is_a_wrong_setting(
    tmp_path: Path, postgres_server: str, empty_postgres: Callable[[], str], right: str, said: str
) -> None:
    url = make_url(empty_postgres())
    user, name = f"{url.database}_ana", url.database
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'hush'".encode())
        admin.execute(f"REVOKE {right.format(name=name)} FROM PUBLIC".encode())
    theirs = url.set(username=user, password="hush").render_as_string(hide_password=False)
    refused = countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=theirs)
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"DROP ROLE {user}".encode())
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("countersign: COUNTERSIGN_DATABASE_URL: the ")
    assert line.endswith(said.format(name=name))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_a_wrong_setting(
    tmp_path: Path, postgres_server: str, encoding: str
) -> None:
    """As a server makes them that was set up without a locale."""
    name = f"plain_{encoding.lower()}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            .encode()
        )  # fmt: skip
        url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
        refused = countersign(tmp_path, "migrate", COUNTERSIGN_DATABASE_URL=url)
        with psycopg.connect(url) as made:
            tables = made.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        admin.execute(f"DROP DATABASE {name}".encode())
    assert refused.stderr == (
        f"countersign: COUNTERSIGN_DATABASE_URL: the database {name} is in {encoding} and cannot hold every "
        "text; make one in UTF-8: CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0.\n"
    )
    assert refused.returncode == 2
    assert tables == (0,)


@pytest.mark.parametrize("words", ["serve", "worker", "link ana", "migrate", "doctor"])
def test_tables_of_somebody_else_are_a_wrong_setting(
    tmp_path: Path, postgres_server: str, empty_postgres: Callable[[], str], words: str
) -> None:
    """As after a restore by an administrator, to whom all tables belong then."""
    url = make_url(empty_postgres())
    user = f"{url.database}_ben"
    owner = url.render_as_string(hide_password=False)
    migrate(database(owner))
    (tmp_path / "countersign.toml").write_text(CONFIG)
    with psycopg.connect(owner, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'hush'".encode())
    theirs = url.set(username=user, password="hush").render_as_string(hide_password=False)
    refused = countersign(tmp_path, *words.split(), COUNTERSIGN_DATABASE_URL=theirs)
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"DROP ROLE {user}".encode())
    said = (
        f"COUNTERSIGN_DATABASE_URL: the URL's user may not use the tables in the database {url.database}",
        "let them own each, or restore the backup as that user",
    )
    if words == "doctor":
        assert f"FAIL  database: {' - '.join(said)}\n" in refused.stdout
    else:
        assert refused.stderr.splitlines() == [f"countersign: {'; '.join(said)}."]
        assert refused.returncode == 2


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ("", "countersign serve web-1:7"),
        ("application_name=reviews", "reviews"),
        ("fallback_application_name=mine", "mine"),
    ],
)
def test_connections_have_a_name_unless_the_url_gives_them_one(
    postgres_server: str, words: str, called: str
) -> None:
    url = postgres_server + ("&" if "?" in postgres_server else "?") + words
    target = database(url, "countersign serve web-1:7")
    connection: Any = target.connect()
    with closing(connection):
        assert connection.execute(NAME).fetchone() == (called,)
    with psycopg.connect(conninfo(target)) as other:
        assert other.execute(NAME).fetchone() == (called,)


def test_a_long_name_is_cut_here_and_not_complained_of_there(postgres_server: str) -> None:
    connection: Any = database(postgres_server, "x" * 100).connect()
    with closing(connection):
        assert connection.execute(NAME).fetchone() == ("x" * 63,)


def test_spaces_in_a_parameter_of_the_url_reach_the_server(postgres_server: str) -> None:
    url = make_url(postgres_server).update_query_dict({"options": "-c work_mem=1234kB"})
    connection: Any = database(url.render_as_string(hide_password=False)).connect()
    with closing(connection):
        assert connection.execute("SHOW work_mem").fetchone() == ("1234kB",)


def test_who_starts_it_reads_where_it_listens_and_the_log_of_a_worker_has_no_address(
    tmp_path: Path, empty_postgres: Callable[[], str]
) -> None:
    port, url = free_port(), empty_postgres()
    migrate(database(url))
    for command, said in (
        ("serve", f"Countersign serves at https://review.example, and listens at http://127.0.0.1:{port}"),
        ("worker", "Countersign works; nothing listens"),
    ):
        log = tmp_path / f"{command}.log"
        env = environment(
            port,
            COUNTERSIGN_DATABASE_URL=url,
            COUNTERSIGN_PUBLIC_URL="https://review.example",
        )
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "countersign", command], cwd=tmp_path, env=env, stdout=out, stderr=out
            )
        try:
            until(lambda log=log: "Countersign " in log.read_text(), process)
            with psycopg.connect(url) as connection:
                names = connection.execute(
                    "SELECT DISTINCT application_name FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).fetchall()
            ((name,),) = names  # also that of Procrastinate's and of hints
            assert name.startswith(f"countersign {command} ")
            assert name.endswith(f":{process.pid}")
        finally:
            process.terminate()
            process.wait(60)
        lines = log.read_text().splitlines()
        assert said in lines
        events = [json.loads(line) for line in lines if line.startswith("{")]
        (begun,) = [event for event in events if event["event"] in {"serving", "working"}]
        assert ("address" in begun) == (command == "serve")


def test_a_missing_extra_is_not_fetched_by_a_name_that_is_somebody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError) as raised:
        database("postgresql://ana@db/reviews")
    assert str(raised.value) == (
        "COUNTERSIGN_DATABASE_URL names PostgreSQL, which needs the extra postgres: "
        "pip install -c constraints.txt '.[postgres]' in a clone of the repository."
    )
    fetched = re.compile(r"pip install [^\n]*['\"\s]countersign\b")
    files = [
        file
        for folder in ("bot", "core", "countersign", "web", "docs")
        for file in (ROOT / folder).rglob("*.*")
    ]
    said = [
        file for file in files if file.suffix in {".py", ".md"} and fetched.search(file.read_text("utf-8"))
    ]
    assert said == []
