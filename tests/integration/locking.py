"""What the tests of file locking share: people with tokens, and what they do."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jwt

from tests.integration.support import LFS_JSON, REPO, Daemon, Response
from tests.support.commands import run_command
from tests.support.processes import PATIENCE

#: What the tokens of the tests are signed with.
KEY = "a key of the tests that is long enough"

#: The ``auth`` section by which everybody has a name.
AUTH: list[dict[str, Any]] = [{"type": "jwt", "algorithms": ["HS256"], "key": KEY}]

#: Where a repository's locks are.
LOCKS = f"/{REPO}.git/info/lfs/locks"

T = TypeVar("T")


def header(name: str, scopes: str = "obj:*:read,write") -> dict[str, str]:
    """Return the headers of somebody's requests."""
    claims = {"sub": name, "scopes": scopes.split(), "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY, 'HS256')}", "Content-Type": LFS_JSON}


class Person:
    """Somebody with one connection to a daemon that is kept.

    :param repo: the only repository that this is about.
    """

    def __init__(self, daemon: Daemon, name: str, locks: str = LOCKS) -> None:
        self.name = name
        self._headers = header(name)
        self._locks = locks
        self._connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, method: str, path: str = "", body: Any = None) -> Response:
        """Send a request and return its response."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, self._locks + path, text, self._headers)
        reply = self._connection.getresponse()
        named = {key.lower(): value for key, value in reply.getheaders()}
        return Response(reply.status, named, reply.read())

    def lock(self, path: str) -> Response:
        """Ask for a lock."""
        return self.ask("POST", "", {"path": path})

    def unlock(self, lock_id: str, force: bool = False) -> Response:
        """Ask for a lock to go."""
        return self.ask("POST", f"/{lock_id}/unlock", {"force": force})

    def all_locks(self, limit: int = 1000) -> list[dict[str, Any]]:
        """Return all locks, page by page."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            reply = self.ask("GET", f"?limit={limit}&cursor={cursor}").json
            found += reply["locks"]
            cursor = reply.get("next_cursor", "")
            if not cursor:
                return found


def at_once(jobs: Iterable[Callable[[], T]]) -> list[T]:
    """Do things in threads that begin at the same time.

    :returns: what each has returned, in order; raises what the first one raises.
    """
    work = list(jobs)
    barrier = threading.Barrier(len(work))
    outcomes: list[Any] = [None] * len(work)
    problems: list[BaseException] = []

    def run(index: int) -> None:
        try:
            barrier.wait()
            outcomes[index] = work[index]()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return outcomes


def giftless(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the ``giftless`` command beside a daemon."""
    return run_command("giftless", *arguments, directory=daemon.directory, environ=daemon.environ)


def check(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run ``twistd giftless --check`` with a daemon's configuration."""
    return run_command(
        *("twistd", "--pidfile=", "giftless", "--config", str(daemon.write_config()), "--check"),
        directory=daemon.directory,
        environ=daemon.environ,
    )
