"""``giftless compress``, as operators and clients have it."""

from __future__ import annotations

import io
import itertools
import os
import random
import threading
from typing import Any, Final

import zstandard
from twisted.trial.unittest import SkipTest

from tests.integration.support import REPO, object_path, oid_of
from tests.integration.test_compressed import text_of
from tests.integration.test_encryption import RoundsTestCase
from tests.support.rounds import rounds
from tests.support.servers import shared, versitygw

#: How often the command is killed, over each storage; 0 for those that ``make soak`` tries alone.
ROUNDS: Final = int(os.environ.get("TESTS_ROUNDS") or rounds(1, 100))
WRAPPED_ROUNDS: Final = int(os.environ.get("TESTS_ROUNDS") or rounds(0, 100))


class CompressingTestCase(RoundsTestCase):
    """Has a daemon that may be started with or without compression."""

    def configure(self, encrypts: bool, **options: Any) -> None:
        """Say whether the daemon compresses, from its next start on."""
        self.settings["storage"] = self.compressing() if encrypts else self.inner()
        self.daemon.write_config()

    def compressing(self) -> dict[str, Any]:
        """Return the storage that compresses."""
        return {"type": "compressed", "store": self.inner()}

    def sealed(self, **options: Any) -> dict[str, Any]:
        """Return the storage as it is encrypted."""
        keys = {"type": "file", "path": str(self.keys)}
        return {"type": "encrypted", "keys": keys, "store": super().inner(), **options}

    def use(self, chance: random.Random, over: threading.Event) -> None:
        """Pull until it is over, in either form."""
        while not over.is_set():
            oid, data = chance.choice(list(self.stored.items()))
            accepted = {"Accept-Encoding": "zstd"} if chance.random() < 0.5 else {}
            reply = self.daemon.request("GET", object_path(oid), headers=accepted)
            body = reply.body
            if reply.headers.get("content-encoding") == "zstd":
                unpacker = zstandard.ZstdDecompressor()
                body = unpacker.stream_reader(io.BytesIO(body), read_across_frames=True).read()
            if body != data:
                self.failures.append(f"GET {oid}: {reply.status} {body[:200]!r}")
                return
            over.wait(0.005)

    def check_rounds(self, count: int) -> None:
        """Kill the command, and let it end, again and again."""
        for number in range(count):
            self.restart(False)
            new = [
                text_of(self.chance.randrange(5000, 500_000), number * 99 + n) for n in range(20)
            ]
            for data in (*new, self.chance.randbytes(300_000), b"%d" % number):
                self.push(data)
            self.restart(True)
            with self.clients():
                moment = 0.1 + self.chance.random() * 1.5
                self.command("compress", "--rate", "3M", kill_after=moment)
                report = self.summary("compress")
                self.assertTrue(report["complete"], report)
                self.assertLessEqual(report["done"]["objects"], len(new))
            again = self.summary("compress")
            counts = [again[name]["objects"] for name in ("done", "before", "other")]
            useless = 2 * (number + 1)
            self.assertEqual(counts, [0, len(self.stored) - useless, useless])
        self.assert_nothing_is_lost()


class LocalTests(CompressingTestCase):
    def test_what_was_stored_before_is_compressed_while_it_is_served(self) -> None:
        self.restart(False)
        self.command("compress", status=1)
        text, noise = text_of(3_000_000), os.urandom(50_000)
        for data in (text, noise):
            self.push(data)
        self.restart(True)
        self.push(text_of(10_000))
        printed = self.command("compress", "--dry-run")
        self.assertEqual(
            printed,
            "To be compressed: 1 object (3 MB).\nCompressed before: 1 object (10 kB).\n"
            "Not worth it: 1 object (50 kB).\n",
        )
        printed = self.command("compress", f"{REPO.partition('/')[0]}/*")
        self.assertIn("Compressed now: 1 object (3 MB).\n", printed)
        stored = self.files()[f"{REPO}/{oid_of(text)}"]
        self.assertLess(len(stored), len(text) / 3)
        self.assertEqual(self.files()[f"{REPO}/{oid_of(noise)}"], noise)
        self.assert_nothing_is_lost()

    def test_nothing_is_lost_or_wrong(self) -> None:
        self.check_rounds(ROUNDS)


class SealedTests(CompressingTestCase):
    """Inside of encryption: what is sealed already is compressed and sealed again."""

    def inner(self) -> dict[str, Any]:
        return self.sealed()

    def compressing(self) -> dict[str, Any]:
        return self.sealed(compression="zstd")

    def test_nothing_is_lost_or_wrong(self) -> None:
        if not WRAPPED_ROUNDS:
            raise SkipTest("runs in 'make soak'")
        self.check_rounds(WRAPPED_ROUNDS)


class AroundSealedTests(SealedTests):
    """Around encryption."""

    def compressing(self) -> dict[str, Any]:
        return {"type": "compressed", "store": self.inner()}


class S3Tests(CompressingTestCase):
    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"compressing-{next(self._numbers)}"
        super().setUp()

    def inner(self) -> dict[str, Any]:
        return self.server.options(self.bucket, mode="proxy")

    def test_nothing_is_lost_or_wrong(self) -> None:
        self.check_rounds(ROUNDS)
