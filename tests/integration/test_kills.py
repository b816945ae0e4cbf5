"""``kill -9`` at random, in the middle of uploads, commits and downloads, over wrappers.

Nothing that was acknowledged is lost, and nothing wrong is served.  ``compressed``, ``cache``
and a plain directory have such rounds in their own modules.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.integration.support import LFS_JSON, Daemon, IntegrationTestCase, Response, oid_of
from tests.integration.test_s3 import S3TestCase
from tests.support.commands import run_command
from tests.support.rounds import rounds
from tests.support.tokens import basic

MIB = 1024 * 1024

#: How often the daemon is killed.
KILLS: Final = int(os.environ.get("TESTS_ROUNDS") or rounds(1, 500))

#: From how many kills on something must have been acknowledged.
MANY: Final = 10

#: The size of parts, in bytes: the least that S3 takes.
PART: Final = 5 * MIB

#: How large objects are, in bytes, that are sent at once, and that are sent in parts.
SMALL: Final = (1, 5000, 300_000, MIB)
LARGE: Final = (PART + 1000,)

#: How long a round lasts at most until the kill, in seconds.
LONGEST: Final = 1.5

#: Who asks; a server without passwords does not look.
USER: Final = {"Authorization": basic("ray", "secret word")}

#: What happens to a request whose server is killed.
CUT: Final = (OSError, http.client.HTTPException)


class KillsTestCase(IntegrationTestCase):
    """A daemon that is killed while clients use it.

    :cvar repo: the repository.
    """

    repo = "acme/rocket"

    def storage(self) -> dict[str, Any]:
        """Return the section of the storage."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"storage": self.storage(), "transfers": ["multipart-basic", "basic"]}

    def encrypted(self, store: dict[str, Any]) -> dict[str, Any]:
        """Return the section of a storage around another one that encrypts."""
        keys = self.directory / "keys"
        made = run_command("giftless", "keys", "generate", str(keys), directory=self.directory)
        self.assertEqual(made.returncode, 0, made.stderr)
        return {
            "type": "encrypted",
            "keys": {"type": "file", "path": str(keys)},
            "compression": "zstd",
            "store": store,
        }

    def assert_nothing_is_lost(self) -> None:
        """Kill the daemon again and again."""
        daemon = self.make_daemon(config=self.config()).start()
        known: dict[str, int] = {}
        stored = committed = 0
        for _ in range(KILLS):
            clients = [Client(daemon, self.repo, known, sizes) for sizes in (SMALL, SMALL, LARGE)]
            with ThreadPoolExecutor(len(clients) + 1) as pool:
                work: list[Callable[[], None]] = [each.push for each in clients]
                work.append(clients[0].read)
                running = [pool.submit(each) for each in work]
                time.sleep(random.uniform(0, LONGEST))
                daemon.kill()
                for ended in running:
                    ended.result()
            daemon.start()
            for each in clients:
                for oid, size in each.stored.items():
                    self.assertTrue(each.has(oid, size), f"{oid} was acknowledged, and is lost")
                for oid, size in each.tried.items():
                    each.has(oid, size)
            stored += sum(len(each.stored) for each in clients)
            committed += sum(each.committed for each in clients)
            known = {oid: size for each in clients for oid, size in each.stored.items()}
        print(f"{KILLS} kills, {stored} objects acknowledged, {committed} of them in parts")
        # Otherwise there was nothing to lose.
        self.assertTrue(stored or KILLS < MANY)


class Client:
    """Pushes and fetches until its server is killed.

    :param known: objects that are there, by their oids, and their sizes; it adds its own.
    :param sizes: how large the objects are that it pushes, in bytes.
    :ivar tried: the objects that it has begun to push, by their oids, and their sizes.
    :ivar stored: those of them that were acknowledged.
    :ivar committed: how many of these went in parts.
    """

    def __init__(
        self, daemon: Daemon, repo: str, known: dict[str, int], sizes: Sequence[int]
    ) -> None:
        self._daemon = daemon
        self._sizes = sizes
        self._known = known
        self._repo = repo
        self.tried: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.committed = 0

    def push(self) -> None:
        """Push objects, one after the other, until nobody answers."""
        try:
            while True:
                half = random.choice(self._sizes) // 2
                data = os.urandom(half + 1) + b"a" * half
                self.tried[oid_of(data)] = len(data)
                self._push(data)
                self.stored[oid_of(data)] = self._known[oid_of(data)] = len(data)
        except CUT:
            pass

    def read(self) -> None:
        """Fetch objects that are there, until nobody answers; what comes must be good."""
        try:
            while known := list(self._known.items()):
                oid, size = random.choice(known)
                assert self.has(oid, size), f"{oid} is not there any more"
        except CUT:
            pass

    def has(self, oid: str, size: int) -> bool:
        """Fetch an object; what comes must be good.

        :returns: whether it is there.
        """
        actions = self._batch("download", oid, size)
        if not actions:
            return False
        reply = self._act("GET", actions["download"])
        assert reply.status == 200, reply.body
        assert oid_of(reply.body) == oid, f"{oid} is served wrong"
        return True

    def _push(self, data: bytes) -> None:
        actions = self._batch("upload", oid_of(data), len(data))
        for part in actions.get("parts", ()):
            start = part.get("pos", 0)
            piece = data[start : start + part["size"]]
            self._done(self._act("PUT", part, piece))
        if "commit" in actions:
            commit = actions["commit"]
            self._done(self._act(commit.get("method", "POST"), commit, b""))
            self.committed += 1
        if "upload" in actions:
            self._done(self._act("PUT", actions["upload"], data))

    def _batch(self, operation: str, oid: str, size: int) -> dict[str, Any]:
        """Return the actions for an object; none if it is not there."""
        content = {
            "operation": operation,
            "transfers": ["multipart-basic", "basic"],
            "objects": [{"oid": oid, "size": size}],
        }
        headers = {"Content-Type": LFS_JSON, "Accept": LFS_JSON, **USER}
        path = f"/{self._repo}.git/info/lfs/objects/batch"
        reply = self._daemon.request("POST", path, json.dumps(content).encode(), headers)
        assert reply.status == 200, reply.body
        (found,) = reply.json["objects"]
        assert found.get("error", {}).get("code", 404) == 404, found
        actions: dict[str, Any] = found.get("actions", {})
        return actions

    def _act(self, method: str, action: dict[str, Any], data: bytes | None = None) -> Response:
        return self._daemon.request(method, action["href"], data, action.get("header", {}))

    def _done(self, reply: Response) -> None:
        assert reply.status in (200, 201), (reply.status, reply.body)


class EncryptedTests(KillsTestCase):
    def storage(self) -> dict[str, Any]:
        objects = str(self.directory / "objects")
        return self.encrypted({"type": "local", "path": objects, "part_size": PART})

    def test_a_killed_daemon_loses_nothing_acknowledged(self) -> None:
        self.assert_nothing_is_lost()


class EncryptedS3Tests(KillsTestCase, S3TestCase):
    def storage(self) -> dict[str, Any]:
        return self.encrypted(self.server.options(self.bucket, mode="proxy", part_size=PART))

    def test_a_killed_daemon_loses_nothing_acknowledged(self) -> None:
        self.assert_nothing_is_lost()


class MirrorTests(KillsTestCase):
    """The mirror is killed, and the server behind it goes on."""

    repo = "up/acme/rocket"

    def config(self) -> dict[str, Any]:
        return {
            "storage": {
                "type": "mirror",
                "path": str(self.directory / "kept"),
                "limit": "1G",
                "upstreams": [{"prefix": "up", "url": self.start_daemon("upstream").url}],
            },
            "auth": [{"type": "mirror"}],
        }

    def test_a_killed_daemon_loses_nothing_acknowledged(self) -> None:
        self.assert_nothing_is_lost()
