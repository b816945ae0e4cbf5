"""A cache in front of a bucket that is far away, in running daemons."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.support import REPO, Daemon, object_path, oid_of
from tests.integration.test_s3 import S3TestCase
from tests.support.bodies import altered
from tests.support.disks import small_disk
from tests.support.processes import wait_until
from tests.support.rounds import rounds
from tests.support.throttled import Throttled, throttled

MIB = 1024 * 1024

#: How often a process is killed that fills the cache, and how often it is only a worker: the
#: daemon waits longer each time before it starts another one.
KILLS = rounds(4, 500)
WORKERS = rounds(2, 4)

#: How many small objects several clients ask for at about the same time, one after the other.
SMALL = rounds(3, 500)

#: A request for the bytes of an object, as the proxy names it.
OF_AN_OBJECT = re.compile("GET [0-9a-f]{64}")

#: How many objects one client asks for at once.
MANY = rounds(100, 1000)


class CacheTestCase(S3TestCase):
    """Daemons over one bucket, with caches.

    :ivar far: what is between them and the bucket.
    :ivar path: the directory of the cache.
    """

    #: How many bytes a second come from the bucket.
    RATE = 20e6

    def setUp(self) -> None:
        super().setUp()
        proxy = throttled(self.server.port, rate=self.RATE)
        self.far: Throttled = proxy.__enter__()
        self.addCleanup(proxy.__exit__, None, None, None)
        self.path = self.directory / "cache"

    def storage(self, **options: Any) -> dict[str, Any]:
        """Return the section of a cache over the bucket."""
        section = self.server.options(self.bucket, mode="proxy")
        section["endpoint_url"] = f"http://127.0.0.1:{self.far.port}"
        return {
            "type": "cache",
            "path": str(self.path),
            "limit": "1G",
            "store": section,
            **options,
        }

    def serve_from(self, name: str = "daemon", workers: int = 1, **options: Any) -> Daemon:
        """Start a daemon."""
        config = {"storage": self.storage(**options), "workers": workers}
        return self.start_daemon(name, config=config)

    def add(self, data: bytes) -> str:
        """Put an object into the bucket; return its oid."""
        path = self.server.buckets / self.bucket / REPO / oid_of(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path.name

    def gets(self) -> int:
        """How often the bucket was asked for bytes of objects; it is listed as well."""
        counts = self.far.counts()
        return sum(counts[name] for name in counts if OF_AN_OBJECT.fullmatch(name))

    def entries(self) -> Iterator[Path]:
        """Return the files of the copies."""
        return (path for path in self.path.glob("entries/*/*") if len(path.name) == 64)

    def assert_all_good(self) -> None:
        """Fail if a copy is not what its name says."""
        for path in self.entries():
            self.assertEqual(oid_of(path.read_bytes()), path.name)


class FollowingTests(CacheTestCase):
    def test_many_clients_of_two_daemons_are_one_transfer(self) -> None:
        """Of two workers each; and who comes late has its first byte at once."""
        data = os.urandom(16 * MIB)
        oid = self.add(data)
        daemons = [self.serve_from("one", workers=2), self.serve_from("two", workers=2)]
        before = self.gets()
        with ThreadPoolExecutor(24) as pool:
            reading = [pool.submit(daemons[number % 2].get, oid) for number in range(24)]
            wait_until(lambda: self.gets() > before, "the transfer to begin")
            wait_until(lambda: any(self.path.rglob("*.part")), "the transfer to begin")
            # It takes 0.8 s altogether.
            late = min(first_byte(daemons[number % 2], oid) for number in range(4))
            for each in reading:
                self.assertEqual(each.result().body, data)
        self.assertLess(late, rounds(0.5, 0.1))
        self.assertEqual(self.gets() - before, 1)
        self.assertEqual([path.name for path in self.entries()], [oid])
        for _ in range(SMALL):
            self.assert_one_transfer(daemons)

    def assert_one_transfer(self, daemons: Sequence[Daemon]) -> None:
        """Let clients come before, while and after a small object comes."""
        data = os.urandom(random.choice((100, 5_000, 100_000)))
        oid, before = self.add(data), self.gets()

        def get(number: int) -> bytes:
            time.sleep(random.uniform(0, 0.06))
            return daemons[number % len(daemons)].get(oid).body

        with ThreadPoolExecutor(16) as pool:
            self.assertEqual(set(pool.map(get, range(16))), {data})
        self.assertEqual(self.gets() - before, 1)

    def test_a_part_of_a_cold_object_comes_at_once(self) -> None:
        data = os.urandom(4 * MIB)
        oid = self.add(data)
        daemon = self.serve_from()
        headers = {"Range": "bytes=1000-1999"}
        reply = daemon.request("GET", object_path(oid), headers=headers)
        self.assertEqual((reply.status, reply.body), (206, data[1000:2000]))
        self.assertEqual(list(self.entries()), [])

    def test_a_client_that_leaves_takes_nothing_from_others(self) -> None:
        data = os.urandom(8 * MIB)
        oid = self.add(data)
        daemon = self.serve_from()
        with daemon.connect() as connection, ThreadPoolExecutor(1) as pool:
            connection.sendall(request_of(oid))
            connection.recv(1)
            other = pool.submit(daemon.get, oid)
            wait_until(lambda: any(self.path.rglob("*.part")), "the transfer to begin")
            connection.close()
            self.assertEqual(other.result().body, data)

    def test_many_cold_objects_at_once_all_come(self) -> None:
        objects = [os.urandom(10_000) + bytes([number % 256]) for number in range(MANY)]
        oids = [self.add(data) for data in objects]
        daemon = self.serve_from()
        with ThreadPoolExecutor(MANY) as pool:
            replies = list(pool.map(daemon.get, oids))
        self.assertEqual([reply.body for reply in replies], objects)
        self.assert_all_good()

    def test_git_is_served(self) -> None:
        daemon = self.serve_from()
        git = self.make_git()
        repo = git.create(self.directory / "repo", f"{daemon.url}/{REPO}.git/info/lfs")
        files = {"one.bin": b"x", "large.bin": os.urandom(2 * MIB)}
        repo.commit(files)
        repo.push()
        self.assertEqual(list(self.entries()), [])
        for name in ("first", "second"):
            before = self.gets()
            clone = repo.clone(self.directory / name)
            for file, data in files.items():
                self.assertEqual(clone.read(file), data)
        self.assertEqual(self.gets(), before)


class TroubleTests(CacheTestCase):
    def test_a_killed_process_harms_nobody(self) -> None:
        """While it fills the cache, for its own clients and for those of another daemon."""
        first, second = self.serve_from("one"), self.serve_from("two")
        for number in range(KILLS):
            data = os.urandom(random.randrange(1, 3 * MIB))
            oid = self.add(data)
            victim, other = (first, second) if number % 2 else (second, first)
            with ThreadPoolExecutor(4) as pool:
                cut: list[Future[bytes | None]] = [
                    pool.submit(whole_or_nothing, victim, oid) for _ in range(2)
                ]
                time.sleep(random.uniform(0, 0.1))
                whole = [pool.submit(other.get, oid) for _ in range(2)]
                time.sleep(random.uniform(0, 0.15))
                if number < WORKERS:
                    for worker in victim.workers:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(worker, signal.SIGKILL)
                else:
                    victim.kill()
                for reader in whole:
                    self.assertEqual(reader.result().body, data)
                for each in cut:
                    self.assertIn(each.result(), (None, data))
            if number >= WORKERS:
                victim.start()
            wait_until(partial(whole_or_nothing, victim, oid), "a worker")
            self.assertEqual(victim.get(oid).body, data)
            self.assert_all_good()
            for path in self.entries():
                path.unlink()

    def test_a_full_disk_is_nothing_to_clients(self) -> None:
        self.path.mkdir()
        with small_disk(self.path, 8 * MIB):
            daemon = self.serve_from()
            objects = [os.urandom(size * MIB) for size in (3, 3, 3, 12, 2)]
            for data in objects:
                self.assertEqual(daemon.get(self.add(data)).body, data)
            sizes = sum(path.stat().st_size for path in self.entries())
            self.assertGreaterEqual(sizes, 3 * MIB)
            # Somebody else takes the rest.
            with contextlib.suppress(OSError), (self.path / "foreign").open("wb") as file:
                while file.write(bytes(65536)):
                    file.flush()
            data = os.urandom(5 * MIB)
            self.assertEqual(daemon.get(self.add(data)).body, data)
            self.assert_all_good()
            daemon.stop()

    def test_a_flipped_byte_between_starts_is_found(self) -> None:
        data = os.urandom(rounds(1, 20) * MIB)
        oid = self.add(data)
        daemon = self.serve_from()
        daemon.get(oid)
        daemon.stop()
        (entry,) = self.entries()
        entry.write_bytes(altered(data, len(data) // 2))
        daemon.start()
        for _ in range(2):
            self.assertEqual(daemon.get(oid).body, data)
        self.assert_all_good()
        self.assertIn("was damaged", daemon.stdout)

    def test_a_lower_limit_holds_from_the_next_start_on(self) -> None:
        daemon = self.serve_from(limit="3M")
        objects = [os.urandom(1_000_000) for _ in range(4)]
        for data in objects:
            self.assertEqual(daemon.get(self.add(data)).body, data)
        names = {path.name for path in self.entries()}
        self.assertEqual(names, {oid_of(data) for data in objects[1:]})
        daemon.stop()
        daemon = self.serve_from("lower", limit="1500k")
        wait_until(lambda: len(list(self.entries())) == 1, "room to be made")
        self.assertEqual([path.name for path in self.entries()], [oid_of(objects[-1])])

    def test_a_disk_that_cannot_be_written_is_told_at_the_start(self) -> None:
        self.path.write_bytes(b"")
        daemon = self.make_daemon(config={"storage": self.storage()})
        self.assertRaises(AssertionError, daemon.start)
        self.assertIn("storage.path", daemon.stderr + daemon.stdout)


def request_of(oid: str) -> bytes:
    """Return a request for an object."""
    return f"GET {object_path(oid)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def first_byte(daemon: Daemon, oid: str) -> float:
    """Return after how many seconds the first byte of an object comes."""
    with daemon.connect() as connection:
        began = time.monotonic()
        connection.sendall(request_of(oid))
        read = b""
        while b"\r\n\r\n" not in read or read.endswith(b"\r\n\r\n"):
            read += connection.recv(65536)
        return time.monotonic() - began


def whole_or_nothing(daemon: Daemon, oid: str) -> bytes | None:
    """Read an object from a daemon whose worker may be killed; ``None`` if it is cut."""
    try:
        reply = daemon.get(oid)
    except (TimeoutError, OSError, http.client.HTTPException):
        return None
    return reply.body if reply.status == 200 else None
