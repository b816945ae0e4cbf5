"""Observers in a daemon: they see what git does, in every worker and by every way."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from tests.docs.pages import DOCS, code
from tests.integration.locking import check, giftless
from tests.integration.support import REPO, Daemon, IntegrationTestCase, oid_of
from tests.integration.test_s3 import S3TestCase
from tests.support.processes import ENDED

MIB = 1024 * 1024

LOCKS = f"/{REPO}/locks"

#: A plugin file: counts bytes by repository, and appends the sums of its process to
#: a file of its own when the process ends.
COUNTER = """
import json
import os
from collections import Counter
from pathlib import Path

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from giftless.errors import ConfigError
from giftless.interfaces import (
    ICheckable,
    IObserver,
    IObserverFactory,
    LockForced,
    ObjectServed,
    ObjectStored,
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    directory: str


@implementer(IObserver, ICheckable)
class Bytes(Service):
    def __init__(self, directory):
        self.directory = Path(directory)
        self.counts = Counter()

    async def check(self):
        if not self.directory.is_dir():
            raise ConfigError("directory", f"{self.directory} is no directory")

    def observe(self, event):
        if isinstance(event, ObjectStored):
            self.counts[f"{event.arrival.value} {event.key.repo}"] += event.size
        elif isinstance(event, ObjectServed):
            self.counts[f"served {event.key.repo}"] += event.sent
        elif isinstance(event, LockForced):
            self.counts[f"{event.who} forced {event.lock.path}"] += 1
        else:
            raise ValueError("this observer does not know what to do with it")

    def stopService(self):
        super().stopService()
        (self.directory / f"{os.getpid()}.json").write_text(json.dumps(self.counts))


@implementer(IObserverFactory)
class Factory:
    name = "bytes"
    Options = Options

    def build(self, options, environment):
        counter = Bytes(options.directory)
        counter.setServiceParent(environment.services)
        return counter


plugin = Factory()
"""

#: Files of several sizes; the small ones are stored together.
FILES = {"one.bin": b"x", "small.bin": os.urandom(1000), "large.bin": os.urandom(3 * MIB)}

#: How many bytes they have.
SIZE = sum(map(len, FILES.values()))


class ObserverTestCase(IntegrationTestCase):
    """Has the counter, and the directory that it writes to."""

    def setUp(self) -> None:
        super().setUp()
        self.plugins = self.directory / "plugins"
        self.sums = self.directory / "sums"
        for directory in (self.plugins, self.sums):
            directory.mkdir()
        (self.plugins / "count_bytes.py").write_text(COUNTER)

    def observed(self, **settings: Any) -> dict[str, Any]:
        """Return a configuration with the counter."""
        return {
            "plugin_path": [str(self.plugins)],
            "observers": [{"type": "bytes", "directory": str(self.sums)}],
            **settings,
        }

    def counts(self) -> list[Counter[str]]:
        """Return what each process has counted that has ended."""
        return [Counter(json.loads(file.read_text())) for file in self.sums.iterdir()]

    def total(self) -> Counter[str]:
        """Return what all of them have counted."""
        return sum(self.counts(), Counter())

    def push_and_clone(self, url: str) -> None:
        """Let git push the files, and clone them."""
        repo = self.make_git().create(self.directory / "work", f"{url}/{REPO}.git/info/lfs")
        self.assert_round_trip(repo, FILES)


class LocalObserverTests(ObserverTestCase):
    """Over local storage."""

    def test_a_push_and_a_clone_are_counted(self) -> None:
        """The observer fails at each event that it does not know, and git does not notice."""
        daemon = self.start_daemon(config=self.observed())
        self.push_and_clone(daemon.url)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual(self.total(), {f"streamed {REPO}": SIZE, f"served {REPO}": SIZE})
        self.assertIn("observers.0: the observer failed", daemon.stdout)
        self.assertIn("this observer does not know what to do with it", daemon.stdout)

    def test_each_worker_has_an_observer_of_its_own(self) -> None:
        daemon = self.start_daemon(config=self.observed(workers=2))
        objects = [os.urandom(10) for _ in range(40)]
        for data in objects:
            self.assertEqual(daemon.put(data), 200)
            self.assertEqual(daemon.get(oid_of(data)).body, data)
        self.assertEqual(daemon.stop(), ENDED)
        # The parent has built one too, which is told nothing.
        self.assertEqual(len(self.counts()), 2)
        received = [count for sums in self.counts() for name, count in sums.items()]
        self.assertEqual(len(received), 4, "both workers have received and served")
        self.assertEqual(sum(received), 2 * 400)

    def test_the_command_tells_who_released_a_lock(self) -> None:
        config = self.observed(locks={"type": "sqlite", "anonymous": True})
        daemon = self.start_daemon(config=config)
        reply = daemon.request("POST", LOCKS, b'{"path": "a.psd"}')
        file = str(daemon.directory / "giftless.yaml")
        released = giftless(daemon, "locks", "release", "--config", file, reply.json["lock"]["id"])
        self.assertEqual((released.returncode, released.stderr), (0, ""))
        (counts,) = self.counts()
        ((name, number),) = counts.items()
        self.assertRegex(name, r"\Agiftless locks \(.+\) forced a\.psd\Z")
        self.assertEqual(number, 1)

    def test_the_check_reaches_observers(self) -> None:
        self.sums.rmdir()
        daemon = self.make_daemon(config=self.observed())
        checked = check(daemon)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("observers.0.directory: ", checked.stderr)
        self.assertIn("is no directory", checked.stderr)

    def test_an_unknown_observer_ends_the_start_with_its_place(self) -> None:
        config = self.observed(observers=[{"type": "nonsense"}])
        daemon = self.make_daemon(config=config)
        error = self.assertRaises(AssertionError, daemon.start)
        self.assertIn("observers.0.type: found text, available: audit, bytes", str(error))


class S3ObserverTests(ObserverTestCase, S3TestCase):
    """Over a bucket, directly and through the daemon."""

    def serve_observed(self, **options: Any) -> Daemon:
        """Start a daemon over the bucket."""
        storage = self.server.options(self.bucket, **options)
        return self.start_daemon(config=self.observed(storage=storage))

    def test_direct_uploads_are_counted_when_git_verifies_them(self) -> None:
        daemon = self.serve_observed()
        self.push_and_clone(daemon.url)
        self.assertEqual(daemon.stop(), ENDED)
        # What git has fetched from the bucket, the daemon has not seen.
        self.assertEqual(self.total(), {f"confirmed {REPO}": SIZE})

    def test_a_bucket_behind_the_daemon_is_counted_like_a_disk(self) -> None:
        daemon = self.serve_observed(mode="proxy")
        self.push_and_clone(daemon.url)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual(self.total(), {f"streamed {REPO}": SIZE, f"served {REPO}": SIZE})


class DocumentedObserverTests(ObserverTestCase):
    """The observer of the documentation."""

    def test_the_observer_of_the_page_writes_to_the_log(self) -> None:
        blocks = [
            block.content
            for block in code(DOCS / "plugins.rst", "python")
            if "observer" in block.classes
        ]
        self.assertEqual(len(blocks), 3)
        (self.plugins / "refusals.py").write_text("\n\n".join(blocks))
        daemon = self.start_daemon(
            config=self.observed(
                observers=[{"type": "refusals", "causes": ["unauthenticated"]}],
                auth=[
                    {"type": "jwt", "key": "k" * 32},
                    {"type": "anonymous", "access": "read"},
                ],
            )
        )
        self.assertEqual(daemon.put(b"refused"), 401)
        self.assertEqual(daemon.get(oid_of(b"absent")).status, 404)
        self.assertEqual(daemon.stop(), ENDED)
        lines = [line for line in daemon.stdout.splitlines() if "[refusals#info]" in line]
        self.assertEqual(len(lines), 1, daemon.stdout)
        self.assertTrue(lines[0].endswith(f"] unauthenticated: 127.0.0.1 anonymous {REPO}"), lines)
        self.assertNotIn("Traceback", daemon.stdout)
