"""A daemon on a machine whose clock is set back by an hour while it runs."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from typing import Any

import jwt

from tests.integration.support import LFS_JSON, REPO, Daemon, IntegrationTestCase, read_reply
from tests.integration.workers import HANGING
from tests.support.processes import ENDED, PATIENCE, wait_until

#: Python reads this when it starts; the file that it names sets the wall clock back.
SETTABLE = """
import os, time
unset = time.time
time.time = lambda: unset() - 3600 * os.path.exists({path!r})
"""

HOUR = 3600

KEY = "a key that is shared with nobody"


def token(expiry: float) -> str:
    """Return a token that permits everything.

    :param expiry: when it expires, in seconds since the epoch.
    """
    claims = {"sub": "ada", "exp": int(expiry), "scopes": [f"obj:{REPO}/*:*"]}
    return jwt.encode(claims, KEY, "HS256")


class SetBackTests(IntegrationTestCase):
    """What is timed does not notice; what is dated does."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.listener.close)
        self.listener.bind(str(self.directory / "notify"))
        self.listener.settimeout(PATIENCE)
        self.set_back = self.directory / "set-back"
        modules = self.directory / "modules"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(SETTABLE.format(path=str(self.set_back)))
        (modules / "hanging.py").write_text(HANGING)
        self.daemon: Daemon = self.make_daemon(
            config={
                "storage": {"type": "hanging", "path": str(self.directory / "objects")},
                "auth": [{"type": "jwt", "key": KEY}],
                "limits": {"header_timeout": 1},
                "plugin_path": [str(modules)],
            },
            environ={
                "NOTIFY_SOCKET": str(self.directory / "notify"),
                "WATCHDOG_USEC": "2000000",
            },
        )
        inherited = self.daemon.installation.environ.get("PYTHONPATH", "")
        path = f"{modules}:{inherited}".rstrip(":")
        self.daemon.environ = {**self.daemon.environ, "PYTHONPATH": path}
        self.daemon.start()

    def hear_watchdog(self, times: int) -> None:
        """Wait until systemd has heard from the daemon some more times."""
        while times:
            times -= b"WATCHDOG=1" in self.listener.recv(65536)

    def drain(self) -> None:
        """Forget what systemd has heard."""
        self.listener.setblocking(False)
        try:
            while self.listener.recv(65536):
                pass
        except BlockingIOError:
            self.listener.settimeout(PATIENCE)

    def lock(self, path: str, credential: str) -> tuple[int, Any]:
        """Lock a path."""
        reply = self.daemon.request(
            "POST",
            f"/{REPO}.git/info/lfs/locks",
            b'{"path": "%s"}' % path.encode(),
            {"Authorization": f"Bearer {credential}", "Content-Type": LFS_JSON},
        )
        return reply.status, reply.json

    def test_timers_go_on_and_dates_follow_the_wall_clock(self) -> None:
        self.hear_watchdog(1)
        now = time.time()
        expired = token(now - HOUR / 2)
        self.assertEqual(self.lock("early", expired)[0], 401)
        self.set_back.touch()

        # systemd still hears from it, also after what was on its way has come.
        self.drain()
        self.hear_watchdog(3)

        # Deadlines end connections.
        with self.daemon.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            self.assertEqual(read_reply(connection)[0], 408)

        # Tokens are compared with the wall clock, and locks are dated by it.
        status, body = self.lock("late", expired)
        self.assertEqual(status, 201, body)
        locked = datetime.fromisoformat(body["lock"]["locked_at"])
        wrong = (locked - datetime.fromtimestamp(now, UTC)).total_seconds()
        self.assertTrue(-HOUR - 2 <= wrong < -HOUR / 2, wrong)

        # A worker that hangs is replaced.
        (hung,) = self.daemon.workers
        with self.daemon.connect() as connection:
            head = (
                f"GET /{REPO}.git/info/lfs/objects/storage/{64 * 'a'} HTTP/1.1",
                "Host: lfs",
                f"Authorization: Bearer {expired}",
            )
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            wait_until(lambda: hung not in self.daemon.workers, "the worker to be replaced")
        self.drain()
        self.hear_watchdog(1)
        self.assertEqual(self.daemon.stop(), ENDED)
