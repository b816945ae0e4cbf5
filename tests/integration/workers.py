"""What the tests of worker processes share: a load of requests, and a plugin that hangs."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from functools import partial
from typing import Any

import yaml

from tests.integration.support import (
    Daemon,
    IntegrationTestCase,
    object_path,
    oid_of,
)
from tests.support.crowd import Crowd
from tests.support.processes import wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: What every request of a load downloads.
DATA = b"loaded" * 1000

#: How long each client of a load rests between two requests, in seconds.
PAUSE = rounds(0.1, 0.01)


#: How many workers of a daemon replace others until Python has to start for each.
SPARE = 6


class Load(Crowd):
    """Clients that ask all the time, and note what they do not like.

    Each asks so often that many requests come while workers are replaced; more
    would only keep these from starting.

    :param new: how many make a connection for each request.
    :param kept: how many keep theirs as long as the server lets them.
    """

    def __init__(self, daemon: Daemon, new: int = 2, kept: int = 2) -> None:
        super().__init__(partial(self._run, keep) for keep in [False] * new + [True] * kept)
        self._daemon = daemon
        self._lock = threading.Lock()
        self.errors: list[str] = []
        self.answers = 0

    def more(self, answers: int = rounds(20, 200)) -> None:
        """Wait for some more answers."""
        wanted = self.answers + answers
        wait_until(lambda: self.answers >= wanted or self.errors, "answers")

    def _run(self, keep: bool) -> None:
        client: http.client.HTTPConnection | None = None
        while not self.over.wait(PAUSE):
            try:
                if client is None:
                    client = http.client.HTTPConnection("127.0.0.1", self._daemon.port)
                    client.sock = self._daemon.connect()
                client.request("GET", object_path(oid_of(DATA)))
                reply = client.getresponse()
                body = reply.read()
                if (reply.status, body) != (200, DATA):
                    self.errors.append(f"{reply.status} {body[:100]!r}")
                with self._lock:
                    self.answers += 1
                if not keep or reply.will_close:
                    client.close()
                    client = None
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{'kept' if keep else 'new'}: {error!r}")
                client = None
        if client is not None:
            client.close()


#: A plugin that blocks the reactor, as none should.
HANGING = """
import time
from giftless.interfaces import IStorageFactory
from giftless.app.plugins import LazyPlugin
from giftless.storage.local.factory import LocalFactory

def hang_here(*_):
    time.sleep(1000)

class Hanging(LocalFactory):
    def build(self, options, environment):
        store = super().build(options, environment)
        store.open = hang_here
        return store

hanging = LazyPlugin(IStorageFactory, "hanging", f"{__name__}.Hanging")
"""


class WorkersTestCase(IntegrationTestCase):
    """Tests of daemons with workers."""

    def make_daemon(self, name: str = "daemon", **fields: Any) -> Daemon:
        """Prepare a daemon most of whose workers are forked, those that replace others too."""
        return super().make_daemon(name, **{"spare": SPARE, **fields})

    def hup(self, daemon: Daemon) -> None:
        """Reload, and wait until all workers are others."""
        before = set(daemon.workers)
        logged = daemon.stdout.count(" listens on ")
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.stdout.count(" listens on ") > logged, "the reload")
        self.assertTrue(self.serving(daemon) - before)

    def serving(self, daemon: Daemon) -> set[int]:
        """Return the workers that accept connections, by the log."""
        ready: set[int] = set()
        gone: set[int] = set()
        for line in daemon.stdout.splitlines():
            # Most lines are of requests.
            event = json.loads(line) if '"giftless.workers"' in line else {}
            if "pid" in event:
                (ready if "is ready" in event["message"] else gone).add(event["pid"])
        return ready - gone

    def change(self, daemon: Daemon, **settings: Any) -> None:
        """Change keys of the configuration file."""
        path = daemon.directory / "giftless.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))

    def start(self, workers: int | str = 2, **settings: Any) -> Daemon:
        """Start a daemon with workers and an object."""
        config = {"workers": workers, "log_format": "json", **settings}
        daemon = self.start_daemon(config=config)
        self.assertEqual(daemon.put(DATA), 200)
        return daemon

    def assert_no_traceback(self, daemon: Daemon) -> None:
        self.assertEqual(daemon.stderr, "")
        self.assertNotIn("Traceback", daemon.stdout)
