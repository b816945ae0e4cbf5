"""``giftless fsck`` beside a daemon, on damage of every kind, killed and gone on with."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.support import REPO, IntegrationTestCase, oid_of
from tests.integration.test_s3 import S3TestCase
from tests.support.commands import run_command
from tests.support.failing_file import FailingFile
from tests.support.faulty import SLOW_DOWN
from tests.support.rounds import rounds

#: A store on a disk that notes each object that is opened, and can die of it.
COUNTED = """
import itertools
import os

from twisted.plugin import IPlugin
from zope.interface import implementer

from giftless.interfaces import IStorageFactory
from giftless.storage.local.factory import LocalFactory


@implementer(IPlugin, IStorageFactory)
class CountedFactory(LocalFactory):
    name = "counted"

    def build(self, options, environment):
        store = super().build(options, environment)
        really_open = store.open
        log = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        last = int(os.environ.get("DIES_AT", "-1"))
        count = itertools.count(1)

        async def noted(key):
            os.write(log, f"{key.oid}\\n".encode())
            if next(count) == last:
                os.kill(os.getpid(), int(os.environ.get("DIES_OF", "9")))
            return await really_open(key)

        store.open = noted
        return store


counted = CountedFactory()
"""


class FsckTestCase(IntegrationTestCase):
    """Runs the command on the store of a daemon that need not run."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.make_daemon(config={})
        self.daemon.write_config()

    def fsck(
        self, *arguments: str, status: int = 0, environ: dict[str, str] | None = None
    ) -> list[Any]:
        """Run it, and return what it writes; the summary comes last."""
        done = self.run_fsck("--json", *arguments, environ=environ)
        self.assertEqual(done.returncode, status, done.stderr)
        return list(map(json.loads, done.stdout.splitlines()))

    def run_fsck(
        self, *arguments: str, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        config = str(self.daemon.directory / "giftless.yaml")
        return run_command(
            "giftless",
            "fsck",
            "--config",
            config,
            *arguments,
            directory=self.daemon.directory,
            environ=environ,
        )

    def wrong_sums(self) -> set[str]:
        """Return the oids of what ``sha256sum --check`` finds wrong, or cannot read."""
        paths = [path for path in self.daemon.store.rglob("?" * 64) if path.is_file()]
        lines = "".join(f"{path.name}  {path}\n" for path in paths)
        command = ["sha256sum", "--check", "--quiet"]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        return {line.rpartition(": FAILED")[0][-64:] for line in done.stdout.splitlines()}


class DaemonTests(FsckTestCase):
    """Beside a daemon that serves git."""

    def test_a_damaged_object_is_found_refused_and_pushed_again(self) -> None:
        self.daemon.start()
        files = {"one.bin": os.urandom(3000), "two.bin": os.urandom(70_000)}
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/{REPO}")
        repo.commit(files)
        repo.push()
        self.assertEqual(self.fsck("--read-data")[-1]["summary"]["read"], 2)
        oid = oid_of(files["two.bin"])
        with (self.daemon.store / REPO / oid).open("r+b") as file:
            file.seek(50_000)
            file.write(bytes([files["two.bin"][50_000] ^ 1]))
        found, last = self.fsck("--read-data", "--quarantine", status=2)
        self.assertEqual((found["oid"], found["quarantined"]), (oid, True))
        self.assertEqual(last["summary"]["wrong"], 1)
        self.assertEqual(self.daemon.get(oid).status, 410)
        # As it says.
        self.assertIn(f"git lfs push --object-id REMOTE {oid}", found["bring_back"][0])
        repo.git("lfs", "push", "--object-id", "origin", oid)
        self.assertEqual(self.daemon.get(oid).body, files["two.bin"])
        self.assertEqual(len(self.fsck("--read-data")), 1)
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("two.bin"), files["two.bin"])

    def test_a_disk_that_gives_an_error_is_no_wrong_object(self) -> None:
        directory = self.daemon.store / REPO
        directory.mkdir(parents=True)
        data = [os.urandom(400_000) for _ in range(3)]
        for each in data:
            (directory / oid_of(each)).write_bytes(each)
        bad = oid_of(data[1])
        with FailingFile(directory / bad, 300_000) as failing:
            found, last = self.fsck("--read-data", "--quarantine", status=3)
            self.assertGreater(failing.refused, 0)
            self.assertEqual(self.wrong_sums(), {bad})
        self.assertEqual((found["outcome"], found["oid"]), ("unreadable", bad))
        self.assertIn("Input/output error", found["problem"])
        # A file in the place of which something is mounted cannot be moved.
        self.assertTrue(found["not_quarantined"])
        self.assertEqual((last["summary"]["read"], last["summary"]["unreadable"]), (3, 1))


class BucketTests(S3TestCase):
    """On a bucket, which may be away."""

    def test_a_bucket_that_is_away_is_told_apart_from_one_that_has_wrong_objects(self) -> None:
        proxy = self.proxy(self.server.port)
        storage = self.server.options(self.bucket, endpoint_url=proxy.url)
        self.daemon = self.make_daemon()
        data = [os.urandom(500) for _ in range(5)]
        for each in data[:4]:
            self.server.upload(self.bucket, f"{REPO}/{oid_of(each)}", each)
        for wrong, fault, status in ((False, None, 0), (True, None, 2), (True, SLOW_DOWN, 4)):
            if wrong:
                self.server.upload(self.bucket, f"{REPO}/{oid_of(data[4])}", b"wrong")
            proxy.always(fault)
            # What fails is waited for in vain.
            storage["timeout"] = 1 if fault else 60
            self.daemon.config = {"storage": storage, "catalogue": {"type": "none"}}
            done = run_command(
                "giftless",
                "fsck",
                "--config",
                str(self.daemon.write_config()),
                "--read-data",
                "--json",
                directory=self.daemon.directory,
            )
            self.assertEqual(done.returncode, status, done.stderr)
            *found, last = map(json.loads, done.stdout.splitlines())
            self.assertEqual(last["summary"]["complete"], status != 4)
            outcomes = {0: set(), 2: {"wrong"}, 4: {"unknown"}}
            self.assertEqual({each["outcome"] for each in found}, outcomes[status])


class KilledTests(FsckTestCase):
    """Killed again and again, it reads nothing twice, and finds what ``sha256sum`` finds."""

    def setUp(self) -> None:
        super().setUp()
        plugins = self.directory / "plugins"
        plugins.mkdir()
        (plugins / "counted.py").write_text(COUNTED)
        self.opened = self.directory / "opened"
        path = str(self.daemon.store)
        self.daemon.config = {
            "storage": {"type": "counted", "path": path},
            "plugin_path": [str(plugins)],
            "catalogue": {"type": "none"},
        }
        self.daemon.write_config()
        self.random = random.Random(18)

    def fill(self, count: int) -> list[Path]:
        """Store objects, of several repositories, and return where."""
        paths = []
        for number in range(count):
            data = self.random.randbytes(self.random.choice((20, 300, 4000)))
            path = self.daemon.store / f"acme/r{number % 7}" / oid_of(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            paths.append(path)
        return paths

    def damage(self, paths: list[Path]) -> None:
        """Flip a bit of every other file, and cut the others off."""
        for number, path in enumerate(paths):
            data = bytearray(path.read_bytes())
            data[-1] ^= 1 << number % 8
            path.write_bytes(data if number % 2 else data[:-1])

    def test_an_interrupted_run_says_how_to_go_on(self) -> None:
        self.fill(60)
        environ = {"OPENED": str(self.opened)}
        dying = {**environ, "DIES_AT": "20", "DIES_OF": str(int(signal.SIGTERM))}
        done = self.run_fsck("--read-data", environ=dying)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "giftless: interrupted; the same command goes on from here\n")
        (last,) = self.fsck("--read-data", environ=environ)
        self.assertEqual(last["summary"]["read"], 60)
        self.assertGreater(last["summary"]["resumed"], 0)

    def test_what_was_read_is_not_read_again(self) -> None:
        count, kills = rounds((400, 3), (100_000, 8))
        paths = self.fill(count)
        wrong = self.random.sample(paths, count // 50)
        self.damage(wrong)
        environ = {"OPENED": str(self.opened)}
        for _ in range(kills):
            dies_at = str(self.random.randint(1, count // kills))
            killed = {**environ, "DIES_AT": dies_at}
            self.fsck("--read-data", status=-signal.SIGKILL, environ=killed)
        *found, last = self.fsck("--read-data", status=2, environ=environ)
        summary = last["summary"]
        self.assertEqual((summary["read"], summary["complete"]), (count, True))
        self.assertGreater(summary["resumed"], 0)
        self.assertEqual({each["oid"] for each in found}, self.wrong_sums())
        self.assertEqual(len(found), len(wrong))
        # What is wrong is looked at twice before it is told; and one object at most was
        # being read when the process was killed.
        opened = Counter(self.opened.read_text().split())
        names = {path.name for path in wrong}
        self.assertEqual(len(opened), count)
        again = [oid for oid, times in opened.items() if times > 1 and oid not in names]
        self.assertLessEqual(len(again), kills)
