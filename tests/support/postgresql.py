"""A real PostgreSQL server on a Unix socket and the loopback interface.

``.ci/stores pg_ctlcluster`` installs Debian's package.  Where it is missing,
:func:`postgresql` raises ``SkipTest`` and says so by name.
"""

from __future__ import annotations

import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.servers import shared

#: The user that a server runs as if root runs the tests: it refuses to be root's.
USERS = ("postgres", "nobody")


@functools.cache
def find_binaries() -> Path:
    """Return the directory of the server's commands.

    :raises SkipTest: if it is not installed.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = [Path(os.path.realpath(found)).parent for found in _which("postgres")]
    for directory in (*reversed(debian), *on_path):
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
            return directory
    raise SkipTest("postgresql is not installed; 'make stores' installs it where it can")


def _which(name: str) -> Sequence[str]:
    found = shutil.which(name)
    return (found,) if found else ()


@dataclass
class PostgreSQLServer:
    """A server, and a database for each test.

    :ivar port: where it listens.
    :ivar process: its first process.
    """

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _free: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Where it keeps everything."""
        return self.directory / "data"

    def conninfo(self, database: str = "postgres") -> str:
        """Return the connection string of a database."""
        return f"host=127.0.0.1 port={self.port} user=giftless dbname={database}"

    def connect(self, database: str = "postgres") -> Any:
        """Open a connection with the driver alone."""
        import psycopg

        return psycopg.connect(self.conninfo(database), autocommit=True, connect_timeout=60)

    def make_database(self, encoding: str = "UTF8") -> str:
        """Make an empty database.

        :returns: its name.
        """
        name = self._new_name()
        with self.connect() as connection:
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
            )
        return name

    def lend_database(self, case: SynchronousTestCase) -> str:
        """Return the name of an empty database that is a test's until it ends.

        To empty one takes a part of the time that it takes to make one.  It gets another
        name: of a database of the same name daemons remember that it was not empty.
        """
        if self._free:
            name = self._new_name()
            with self.connect() as connection:
                connection.execute(f"ALTER DATABASE {self._free.pop()} RENAME TO {name}")
        else:
            name = self.make_database()
        case.addCleanup(self._take_back, name)
        return name

    def _new_name(self) -> str:
        return f"test{next(self._numbers)}_{os.getpid()}"

    def _take_back(self, name: str) -> None:
        with self.connect(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            # As in a new one.
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        self._free.append(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *_as_somebody(),
                    str(find_binaries() / "postgres"),
                    *("-D", str(self.data), "-k", str(self.directory)),
                    *("-h", "127.0.0.1", "-p", str(self.port)),
                    *("-c", "max_connections=200"),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "postgres.log").read_text()
                raise AssertionError(f"postgres does not answer: {log_text[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once, as a machine that goes down does: with SIGQUIT."""
        if self.process is not None:
            for stop in (signal.SIGCONT, signal.SIGQUIT):
                self.process.send_signal(stop)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stop it for a while, with all that it has in its databases."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _answers(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.Error:
            return False
        return True


@contextmanager
def postgresql(directory: Path) -> Iterator[PostgreSQLServer]:
    """Run a server with a user ``giftless``, who may do everything.

    :param directory: where its data goes; whoever it runs as gets it.
    :raises SkipTest: if it is not installed.
    """
    initdb = find_binaries() / "initdb"
    somebody = _as_somebody()
    if somebody:
        # It lies below what only root may enter.
        for parent in (directory, *directory.parents):
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
        user = pwd.getpwnam(_somebody())
        os.chown(directory, user.pw_uid, user.pw_gid)
    made = subprocess.run(
        [
            *somebody,
            str(initdb),
            *("-D", str(directory / "data"), "-U", "giftless", "-A", "trust"),
            *("-E", "UTF8", "--no-locale", "--no-sync"),
        ],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode:
        # One that may not write to /dev/null makes no database, for instance.
        raise AssertionError(f"initdb failed: {made.stdout[-2000:]}")
    server = PostgreSQLServer(directory, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


class PostgreSQLTestCase(SynchronousTestCase):
    """A test with a database of its own in a server that all share."""

    def setUp(self) -> None:
        self.server: PostgreSQLServer = shared(postgresql)
        self.name = self.server.lend_database(self)
        super().setUp()

    @property
    def conninfo(self) -> str:
        """How to reach the database."""
        return self.server.conninfo(self.name)


def _somebody() -> str:
    known = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in USERS if name in known)


def _as_somebody() -> list[str]:
    """Return what stands in front of a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(_somebody())
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
