"""Fixtures that give tests a PostgreSQL: a server of the suite's own, from Debian's packages, in a temporary folder.

`postgresql_server` is shared by the whole run; `postgresql_url` is an empty database of the test's own in it. The
server listens on a socket in its folder only, runs as an unprivileged user when the suite runs as root (it refuses
anything else), and keeps fsync off: what a test crashes is the server, not the machine.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

PORT = 5432  # names the socket file; nothing listens on a network
WAIT_S = "60"


@dataclass(frozen=True)
class PostgresServer:
    """A running server and the tools to disturb it."""

    folder: Path
    binaries: Path
    command: tuple[str, ...]

    def url(self, database: str) -> str:
        """For SQLAlchemy and psycopg alike."""
        return f"postgresql://milepost@/{database}?host={self.folder}&port={PORT}"

    def control(self, *arguments: str) -> None:
        """Run pg_ctl and wait until it has done what it was told."""
        # Not captured: the server keeps these open for as long as it lives.
        subprocess.run(
            [
                *self.command,
                str(self.binaries / "pg_ctl"),
                "-D",
                str(self.folder / "data"),
                "-w",
                "-t",
                WAIT_S,
                *arguments,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def start(self) -> None:
        """Start the server that was stopped."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c port={PORT} -c fsync=off"
        self.control("start", "-l", str(self.folder / "log"), "-o", options)

    def restart(self, mode: str = "immediate") -> None:
        """Restart; "immediate" is a crash: no checkpoint, open transactions die."""
        self.stop(mode)
        self.start()

    def stop(self, mode: str = "immediate") -> None:
        """Stop."""
        self.control("stop", "-m", mode)

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _newest_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    assert initdb is not None, "PostgreSQL is not installed; ops/debian.txt lists it"
    return Path(initdb).resolve().parent


def _unprivileged(folder: Path) -> tuple[str, ...]:
    """The command that runs another one as somebody who may own a PostgreSQL, and the folder given to them."""
    if os.geteuid() != 0:
        return ()
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A new server in a temporary folder of its own; gone, folder and all, at the end."""
    # A socket's path may have 107 characters, and TMPDIR may be deep.
    folder = Path(tempfile.mkdtemp(prefix="milepost-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = PostgresServer(folder, _newest_binaries(), _unprivileged(folder))
    try:
        initdb = [str(server.binaries / "initdb"), "-D", str(folder / "data"), "-U", "milepost", "-A", "trust"]
        made = subprocess.run(
            [*server.command, *initdb, "--no-sync", "-E", "UTF8", "--locale=C"], capture_output=True, text=True, cwd="/"
        )
        assert made.returncode == 0, made.stderr
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresServer]:
    """The run's PostgreSQL."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgresServer) -> str:
    """An empty database of this test's own."""
    return postgresql_server.create_database()
