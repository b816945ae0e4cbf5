"""Clients that race for the last bytes of a quota, real daemons, real stores, and git-lfs."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.integration.support import (
    LFS_JSON,
    Daemon,
    IntegrationTestCase,
    file_digest,
    oid_of,
    stored_objects,
)
from tests.integration.workers import SPARE
from tests.support.postgresql import PostgreSQLServer, postgresql
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds
from tests.support.servers import shared, versitygw

#: How much a repository may have, and how large the objects are that clients race with.
LIMIT: Final = rounds(1_000_000, 100_000_000)
LARGEST: Final = LIMIT // 5

#: How often they race, how many of them, and against how many workers.
ROUNDS: Final = rounds(2, 100)
CLIENTS: Final = 8
WORKERS: Final = rounds(3, 8)

#: What all objects have but their first bytes.
BLOCK: Final = os.urandom(LARGEST)

_numbers: Final = itertools.count()

#: What a client gets whose worker is killed.
BROKEN: Final = (OSError, http.client.HTTPException)


def make_object(size: int, name: str) -> bytes:
    """Return an object of a size; the same for the same name."""
    return (hashlib.sha256(name.encode()).digest() + BLOCK)[:size]


class Client(threading.Thread):
    """Uploads as much as it can, in every way that there is.

    :param daemon: what it asks.
    :param repo: where it uploads to.
    :param seed: decides what it does.
    :ivar refused: the sizes of the objects for which there was no room.
    :ivar wrong: what should not have happened.
    """

    def __init__(self, daemon: Daemon, repo: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self._repo = repo
        self._random = random.Random(seed)
        self._seed = seed
        self.refused: list[int] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        """Ask for some batches, one after the other."""
        for turn in range(3):
            objects = {}
            for number in range(3):
                # Some objects are everybody's.
                owner = "all" if number == 0 else str(self._seed)
                size = random.Random(f"{owner} {turn} {number}").randint(LARGEST // 10, LARGEST)
                data = make_object(size, f"{self._repo} {owner} {turn} {number}")
                objects[oid_of(data)] = data
            try:
                self._push(objects)
            except BROKEN:
                time.sleep(0.05)
            except Exception as error:
                self.wrong.append(repr(error))

    def _push(self, objects: Mapping[str, bytes]) -> None:
        wanted = [(oid, len(data)) for oid, data in objects.items()]
        reply = self._daemon.batch("upload", *wanted, repo=self._repo)
        if reply.status != 200:
            self.wrong.append(f"batch: {reply.status} {reply.body!r}")
            return
        for entry in reply.json["objects"]:
            data = objects[entry["oid"]]
            if "error" in entry:
                self._note(entry["error"]["code"], len(data), entry["error"]["message"])
            elif "actions" in entry:
                way = self._random.choice(("action", "action", "action", "twice", "never"))
                for _ in range({"never": 0, "twice": 2}.get(way, 1)):
                    self._act(entry["actions"], data)
        if self._random.random() < 0.3 and not self._is_direct:
            self._put_alone()

    @property
    def _is_direct(self) -> bool:
        return (self._daemon.config or {}).get("storage", {}).get("type") == "s3"

    def _put_alone(self) -> None:
        """Upload an object without asking for a batch."""
        size = self._random.randint(1, LARGEST)
        data = make_object(size, f"{self._repo} {self._seed} {self._random.random()}")
        status = self._daemon.put(data, self._repo)
        if status != 200:
            self._note(status, size, "")

    def _act(self, actions: Mapping[str, Any], data: bytes) -> None:
        upload = actions["upload"]
        status, words = _send("PUT", upload["href"], data, upload.get("header", {}))
        if status in (409, 412):
            return  # the bucket overwrites nothing
        if status != 200:
            self._note(status, len(data), words)
            return
        if (verify := actions.get("verify")) is not None:
            body = json.dumps({"oid": oid_of(data), "size": len(data)}).encode()
            headers = {"Content-Type": LFS_JSON, **verify.get("header", {})}
            status, words = _send("POST", verify["href"], body, headers)
            if status != 200:
                self.wrong.append(f"verify: {status} {words}")

    def _note(self, status: int, size: int, words: str) -> None:
        if status == 507:
            self.refused.append(size)
        else:
            self.wrong.append(f"{status} {words}")


def _send(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    """Send a request that a batch has described."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body, dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
    finally:
        connection.close()


class Race(IntegrationTestCase):
    """A race of many clients, in which nobody may pass a limit at any moment."""

    def directory_of(self, repo: str) -> Path:
        """Return where the store keeps the objects of a repository."""
        raise NotImplementedError

    def stored(self, repo: str) -> int:
        """Return how many bytes the store has of a repository."""
        total = 0
        for path in stored_objects(self.directory_of(repo)):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def levels(self, repo: str) -> tuple[int, int]:
        """Return what the catalogue counts as used, and as promised."""
        raise NotImplementedError

    def quotas(self) -> dict[str, Any]:
        """Return the section of the configuration."""
        return {"repositories": [{"match": "**", "limit": LIMIT}]}

    def race(
        self, daemons: Sequence[Daemon], meanwhile: Callable[[int], None] | None = None
    ) -> None:
        """Let clients race once, in a repository of their own, and watch the store."""
        repo = f"acme/race{next(_numbers)}"
        clients = [
            Client(daemons[number % len(daemons)], repo, number) for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        most = 0
        while any(client.is_alive() for client in clients):
            stored = self.stored(repo)
            most = max(most, stored, sum(self.levels(repo)))
            if meanwhile is not None:
                meanwhile(stored)
            time.sleep(0.01)
        self.assertEqual([client.wrong for client in clients], [[]] * CLIENTS)
        most = max(most, self.stored(repo), sum(self.levels(repo)))
        self.assertLessEqual(most, LIMIT)
        # Everything that is there is counted, if only as promised.
        used, promised = self.levels(repo)
        self.assertLessEqual(self.stored(repo), used + promised)
        refused = [size for client in clients for size in client.refused]
        self.assertTrue(refused, "nobody was refused")
        self.assertGreater(used + promised + min(refused), LIMIT, "somebody was refused too early")
        if meanwhile is None:
            wait_until(lambda: self.levels(repo)[0] == self.stored(repo), "all to be recorded")
        for path in stored_objects(self.directory_of(repo)):
            self.assertEqual(file_digest(path), path.name)
        # A hundred rounds would fill the disk.
        shutil.rmtree(self.directory_of(repo))


class LocalTests(Race):
    """Bytes pass through the daemon; the catalogue is a file."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.start_daemon(
            config={"workers": WORKERS, "quotas": self.quotas()}, spare=SPARE
        )

    def directory_of(self, repo: str) -> Path:
        """See :meth:`Race.directory_of`."""
        return self.daemon.store / repo

    def levels(self, repo: str) -> tuple[int, int]:
        """See :meth:`Race.levels`."""
        file = self.daemon.directory / "giftless-state" / "catalogue.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            row = database.execute(
                "SELECT size, reserved FROM giftless_catalogue_repos WHERE path = ?", (repo,)
            ).fetchone()
        return row or (0, 0)

    def test_nobody_passes_the_limit(self) -> None:
        for _ in range(ROUNDS):
            self.race([self.daemon])

    def test_nobody_passes_the_limit_while_workers_are_killed(self) -> None:
        """What is stored and was not recorded is still promised its room."""
        dice = random.Random(7)
        for _ in range(ROUNDS):
            # Workers that are only starting are left alone, or none would ever serve.
            moments = sorted(dice.randint(1, LIMIT // 2) for _ in range(2))

            def kill(stored: int, moments: list[int] = moments) -> None:
                if moments and stored >= moments[0] and (workers := self.daemon.workers):
                    del moments[0]
                    os.kill(dice.choice(workers), signal.SIGKILL)

            self.race([self.daemon], kill)
            wait_until(self.serves, "a worker to serve")

    def serves(self) -> bool:
        """Whether the daemon answers."""
        with contextlib.suppress(*BROKEN):
            return self.daemon.batch("download", ("0" * 64, 1)).status == 200
        return False


class S3Tests(Race):
    """Clients send their objects to a bucket directly."""

    _buckets = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"quotas-{next(self._buckets)}"
        super().setUp()
        self.daemon = self.start_daemon(
            config={
                "workers": WORKERS,
                "quotas": self.quotas(),
                "storage": self.server.options(self.bucket),
            }
        )

    def directory_of(self, repo: str) -> Path:
        """See :meth:`Race.directory_of`."""
        return self.server.buckets / self.bucket / repo

    levels = LocalTests.levels

    def test_nobody_passes_the_limit(self) -> None:
        for _ in range(ROUNDS):
            self.race([self.daemon])


class PostgreSQLTests(Race):
    """Two daemons share a store and a catalogue."""

    def setUp(self) -> None:
        self.server: PostgreSQLServer = shared(postgresql)
        self.database = self.server.make_database()
        super().setUp()
        store = {"type": "local", "path": str(self.directory / "objects")}
        config = {
            "workers": max(1, WORKERS // 2),
            "quotas": self.quotas(),
            "storage": store,
            "catalogue": {
                "type": "postgresql",
                "conninfo": self.server.conninfo(self.database),
                "connections": 1,
            },
        }
        self.daemons = [self.start_daemon(name, config=config) for name in ("one", "two")]

    def directory_of(self, repo: str) -> Path:
        """See :meth:`Race.directory_of`."""
        return self.directory / "objects" / repo

    def levels(self, repo: str) -> tuple[int, int]:
        """See :meth:`Race.levels`."""
        import psycopg

        with psycopg.connect(self.server.conninfo(self.database)) as database:
            row = database.execute(
                "SELECT size, reserved FROM giftless_catalogue_repos WHERE path = %s", (repo,)
            ).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def test_nobody_passes_the_limit(self) -> None:
        for _ in range(ROUNDS):
            self.race(self.daemons)


class GitTests(IntegrationTestCase):
    """What users of git see."""

    def test_a_push_is_refused_in_words_and_what_is_there_can_be_cloned(self) -> None:
        daemon = self.start_daemon(
            config={
                "quotas": {
                    "contact": "storage@acme.example",
                    "orgs": [{"match": "acme", "limit": "100k", "object_size": "50k"}],
                }
            }
        )
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/acme/rocket")
        first = {f"{name}.bin": os.urandom(30_000) for name in "abc"}
        repo.commit(first)
        repo.push()
        repo.commit({"d.bin": os.urandom(30_000)})
        pushed = repo.try_push()
        self.assertNotEqual(pushed.returncode, 0)
        self.assertIn("the organisation acme has no room for this object of 30 kB: ", pushed.stderr)
        self.assertIn("or ask storage@acme.example", pushed.stderr)
        repo.git("reset", "--quiet", "--hard", "HEAD^")
        repo.commit({"e.bin": os.urandom(60_000)})
        pushed = repo.try_push()
        self.assertNotEqual(pushed.returncode, 0)
        self.assertIn("those of the organisation acme may have up to 50 kB", pushed.stderr)
        repo.git("reset", "--quiet", "--hard", "HEAD^")
        clone = repo.clone(self.directory / "clone")
        for name, data in first.items():
            self.assertEqual(clone.read(name), data)
        # The same again, from a clone that knows nothing of what is there.
        clone.git("push", "--quiet", "origin", "main:again")
        repo.commit({"f.bin": os.urandom(5_000)})
        repo.push()

    def test_git_lfs_waits_for_its_turn(self) -> None:
        daemon = self.start_daemon(
            config={"rates": {"anonymous_per_minute": 60, "anonymous_burst": 2}}
        )
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/acme/rocket")
        repo.git("config", "lfs.transfer.batchSize", "1")
        repo.git("config", f"lfs.{daemon.url}/acme/rocket.locksverify", "false")
        repo.commit({f"{name}.bin": name.encode() for name in "abcd"})
        began = time.monotonic()
        for _ in range(4):
            # Each command is a batch or two.
            repo.git("lfs", "push", "origin", "main")
        self.assertGreater(time.monotonic() - began, 1.0)
        self.assertEqual(len(list(stored_objects(daemon.store))), 4)

    def test_downloads_have_a_budget(self) -> None:
        daemon = self.start_daemon(
            config={
                "workers": 2,
                "quotas": {"repositories": [{"match": "acme/*", "downloads": "100k"}]},
            }
        )
        data = os.urandom(60_000)
        self.assertEqual(daemon.put(data), 200)
        oid = oid_of(data)
        for _ in range(2):
            self.assertEqual(daemon.get(oid).status, 200)
        wait_until(lambda: daemon.get(oid).status == 429, "the budget to be used up")
        wait_until(
            lambda: all(daemon.batch("download", (oid, 60_000)).status == 429 for _ in range(5)),
            "all workers to know",
        )
        reply = daemon.batch("download", (oid, 60_000))
        self.assertIn(int(reply.headers["retry-after"]), range(1, 301))
        self.assertIn("may download 100 kB in 1 d", reply.json["message"])
        self.assertEqual(daemon.batch("upload", (oid, 60_000)).status, 200)
        self.assertEqual(daemon.put(os.urandom(100)), 200)
