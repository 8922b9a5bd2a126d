"""A real PostgreSQL for tests: a server of their own, and an empty database for each that asks.

Debian keeps the server's programs beside the path, and PostgreSQL refuses to run as root; both are seen to here.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REQUIRED = "WAZIR_REQUIRE_ALL"
"""Where this is set, a component that is missing is a failure and not a reason to skip."""


def program(name: str) -> str | None:
    """Where a program of the server is: the newest of Debian's, or the one on the path."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[4]))
    return str(places[-1]) if places else shutil.which(name)


def missing(what: str) -> None:
    """Skips the test, or fails it where everything has to be there."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{what} is missing, and {REQUIRED} is set")
    pytest.skip(f"needs {what}")


class Postgres:
    """A running server on the loopback."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.port = _free_port()
        self._folder = folder
        self._durable = durable
        self._numbers = itertools.count(1)
        self._template: str | None = None
        # PostgreSQL does not run as root. Python's own `user=` would fork, and gRPC's threads do not survive that.
        self._as: list[str] = []
        if not os.geteuid():
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = folder / "data"
        self._run(
            "initdb", "-D", str(data), "-U", "wazir", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )

    def start(self) -> None:
        durable = [] if self._durable else ["-c fsync=off", "-c synchronous_commit=off", "-c full_page_writes=off"]
        options = [f"-p {self.port}", "-c listen_addresses=127.0.0.1", f"-k {self._folder}", *durable]
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-o", " ".join(options), "-w", "start")

    def stop(self, how: str = "fast") -> None:
        """`immediate` is as if its processes were killed."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", how, "-w", "stop")

    def log(self) -> str:
        """What the server has written so far."""
        return (self._folder / "log").read_text(errors="replace")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://wazir@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def ready(self) -> str:
        """The URL of a new database with Wazir's tables, copied from one that was made once."""
        from wazir.storage.postgres import open_postgres

        if self._template is None:
            self._template = self.fresh()
            open_postgres(self._template).close()
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {self._template.rpartition('/')[2]}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes the database, whoever is connected to it."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, name: str, *arguments: str) -> None:
        path = program(name)
        assert path is not None
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [*self._as, path, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            )
            output.seek(0)
            assert result.returncode == 0, (
                f"{name} exited {result.returncode}: {output.read().decode(errors='replace')}"
            )


@contextmanager
def running(*, durable: bool = False) -> Iterator[Postgres]:
    """A server for the time of the block; without `durable` it is quick and forgets at a crash of the machine."""
    if program("initdb") is None:
        missing("PostgreSQL (Debian, Ubuntu: apt install postgresql)")
    pytest.importorskip("psycopg")
    # Not pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="wazir-pg-") as folder:
        server = Postgres(Path(folder), durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
