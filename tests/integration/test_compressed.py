"""Compressed objects in a running daemon: real clients, a bucket, crashes, memory."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from giftless.interfaces import IPeeking
from giftless.storage.coded.factory import CompressedFactory
from giftless.storage.coded.head import HEAD_SIZE
from tests.contracts.compressing import CompressingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.integration.support import (
    REPO,
    Daemon,
    IntegrationTestCase,
    object_path,
    oid_of,
    stored_objects,
    temporaries,
)
from tests.integration.test_example_wrappers import OverS3, build
from tests.support.bodies import read_all
from tests.support.commands import run_command
from tests.support.making import key_of
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: How often the daemon is killed.
KILLS = rounds(3, 500)

#: How large an object is that must not take more memory than others, in bytes.
LARGE = rounds(96, 4096) * MIB


def text_of(size: int, seed: int = 0) -> bytes:
    """Return bytes that can be compressed."""
    lines = (b"%d bottles of beer on the wall\n" % (seed + n) for n in range(size // 20 + 1))
    return b"".join(lines)[:size]


class CompressedS3Tests(OverS3, MarkingContract, StreamingStoreContract, CompressingContract):
    """Over a bucket, which must know how many bytes it gets."""

    def make_store(self) -> Any:
        lent = replace(self.lent(), state_dir=self.mktemp())
        return build(CompressedFactory(), lent, store=self.inner())

    def test_a_damaged_object_is_replaced(self) -> None:
        """The store refuses what is not the object, so the damage comes from elsewhere."""
        path = self.server.buckets / self.bucket / key_of(DATA).path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"damaged")
        self.assertEqual(self.sizes(key_of(DATA)), [7])
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_large_objects_wait_on_disk_until_their_length_is_known(self) -> None:
        data = text_of(5_000_000)
        self.put(key_of(data), data[:1_000_000], data[1_000_000:])
        self.assertEqual(self.get(key_of(data)), data)
        (kept,) = self.kept()
        self.assertLess(len(kept), len(data) / 3)

    def test_a_fresh_daemon_knows_sizes(self) -> None:
        objects = [text_of(100_000), os.urandom(100_000), b"x", b"", text_of(3_000_000)]
        for data in objects:
            self.put(key_of(data), data)
        self.store = self.make_store()
        self.assertTrue(IPeeking.providedBy(self.store.inner))
        keys = [*map(key_of, objects), key_of(b"absent")]
        self.assertEqual(self.sizes(*keys), [*map(len, objects), None])
        self.store = self.make_store()
        page = self.run_now(self.store.list(None))
        self.assertEqual(
            {item.key: item.size for item in page.objects},
            dict(zip(keys, map(len, objects), strict=False)),
        )

    def test_parts_of_large_objects_are_read(self) -> None:
        data = text_of(3_000_000)
        self.put(key_of(data), data)
        stored = self.run_now(self.store.open(key_of(data)))
        self.addCleanup(stored.close)
        for start, end in ((0, 1), (MIB - 1, MIB + 1), (2_999_999, 3_000_000), (5, 2_000_005)):
            self.assertEqual(self.run_now(read_all(stored.read(start, end))), data[start:end])


class CompressedDaemonTests(IntegrationTestCase):
    """A daemon over a disk."""

    def start_compressed(self, **fields: Any) -> Daemon:
        """Start a daemon that compresses."""
        return self.start_daemon(config=self.config(), **fields)

    def config(self) -> dict[str, Any]:
        """Return its configuration."""
        self.objects = self.directory / "objects"
        inner = {"type": "local", "path": str(self.objects)}
        return {"storage": {"type": "compressed", "store": inner}}

    def stored(self, data: bytes) -> Path:
        """Return the file of an object."""
        return self.objects / REPO / oid_of(data)

    def test_git_pushes_and_clones(self) -> None:
        daemon = self.start_compressed()
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}")
        files = {
            "text.bin": text_of(3_000_000),
            "noise.bin": os.urandom(1_500_000),
            "small.bin": b"x" * 10_000,
        }
        self.assert_round_trip(repo, files)
        self.assertLess(self.stored(files["text.bin"]).stat().st_size, 1_000_000)
        self.assertEqual(self.stored(files["noise.bin"]).read_bytes(), files["noise.bin"])

    def test_curl_and_zstd_unpack_what_is_stored(self) -> None:
        daemon = self.start_compressed()
        data = text_of(3_000_000)
        self.assertEqual(daemon.put(data), 200)
        url = f"{daemon.url}{object_path(oid_of(data))}"
        features = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
        if "zstd" in features:
            command = ["curl", "-sS", "--compressed", "-D-", "-o", str(self.directory / "it"), url]
            headers = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            self.assertIn("content-encoding: zstd", headers.lower())
            self.assertEqual((self.directory / "it").read_bytes(), data)
        if shutil.which("zstd"):
            with self.stored(data).open("rb") as file:
                unpacked = subprocess.run(["zstd", "-dc"], stdin=file, capture_output=True)
            self.assertEqual(unpacked.stdout, data)
        if "zstd" not in features and not shutil.which("zstd"):
            raise SkipTest("neither curl nor zstd can unpack it")

    def test_a_client_uploads_what_another_one_is_stored_as(self) -> None:
        daemon = self.start_compressed()
        data = text_of(100_000)
        for _ in range(3):
            self.assertEqual(daemon.put(data), 200)
            self.assertEqual(daemon.get(oid_of(data)).body, data)
            (item,) = daemon.batch("download", (oid_of(data), len(data))).json["objects"]
            self.assertIn("download", item["actions"])
            data = self.stored(data).read_bytes()

    def test_fsck_finds_damage_through_it(self) -> None:
        daemon = self.start_compressed()
        good, bad, cut = (text_of(100_000, seed) for seed in (1, 10**6, 10**7))
        for data in (good, bad, cut):
            self.assertEqual(daemon.put(data), 200)
        changed = bytearray(self.stored(bad).read_bytes())
        changed[HEAD_SIZE + 100] ^= 4
        self.stored(bad).write_bytes(changed)
        os.truncate(self.stored(cut), self.stored(cut).stat().st_size - 1)
        config = str(daemon.directory / "giftless.yaml")
        result = run_command(
            *("giftless", "fsck", "--config", config, "--read-data"), directory=daemon.directory
        )
        told = result.stdout + result.stderr
        self.assertNotEqual(result.returncode, 0, told)
        for data in (bad, cut):
            self.assertIn(oid_of(data), told)
        self.assertNotIn(oid_of(good), told)

    def test_a_large_object_takes_no_more_memory_than_others(self) -> None:
        daemon = self.start_compressed(forked=False)
        self.assertEqual(daemon.put(text_of(8 * MIB)), 200)
        daemon.get(oid_of(text_of(8 * MIB)))
        before = daemon.memory("VmHWM")
        block = text_of(MIB)
        count = LARGE // MIB
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(block)
        oid = digest.hexdigest()

        def blocks() -> Iterator[bytes]:
            for _ in range(count):
                yield block

        headers = {"Content-Length": str(LARGE)}
        self.assertEqual(daemon.request("PUT", object_path(oid), blocks(), headers).status, 200)
        self.assertLess((self.objects / REPO / oid).stat().st_size, LARGE / 2)
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", object_path(oid))
        response = connection.getresponse()
        digest = hashlib.sha256()
        while data := response.read(MIB):
            digest.update(data)
        self.assertEqual(digest.hexdigest(), oid)
        self.assertLess(daemon.memory("VmHWM") - before, 24 * MIB)

    def test_a_killed_daemon_loses_nothing_acknowledged(self) -> None:
        """Nothing wrong is ever served, nothing acknowledged is lost, leftovers are swept."""
        daemon = self.make_daemon(config=self.config())
        acknowledged: list[str] = []
        for number in range(KILLS):
            daemon.start()
            self.assertEqual(temporaries(self.objects), [])
            with ThreadPoolExecutor(4) as pool:
                uploads = [
                    pool.submit(upload_until_killed, daemon, number * 10**6 + n * 10**5)
                    for n in range(4)
                ]
                wait_until(lambda: temporaries(self.objects), "uploads under way")
                time.sleep(random.uniform(0, 0.3))
                daemon.kill()
                acknowledged += [oid for upload in uploads for oid in upload.result()]
            daemon.start()
            found = {path.name for path in stored_objects(self.objects)}
            self.assertEqual(set(acknowledged) - found, set())
            for oid in found:
                response = daemon.get(oid)
                self.assertEqual((response.status, oid_of(response.body)), (200, oid))
            daemon.kill()
            for path in stored_objects(self.objects):
                path.unlink()
            acknowledged.clear()


def upload_until_killed(daemon: Daemon, seed: int) -> list[str]:
    """Upload objects one after the other, until nobody answers.

    :returns: the oids of those that were acknowledged.
    """
    done: list[str] = []
    while True:
        seed += 1
        size = random.choice([1, 5000, MIB, 4 * MIB])
        data = text_of(size, seed) if seed % 3 else os.urandom(size)
        try:
            if daemon.put(data) != 200:
                return done
        except (OSError, http.client.HTTPException):
            return done
        done.append(oid_of(data))
