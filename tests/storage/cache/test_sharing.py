"""Several processes, of one daemon or of two, use one directory."""

from __future__ import annotations

import fcntl
import os
from typing import Any

from giftless.errors import ServiceUnavailable
from giftless.storage.cache import growth
from giftless.storage.cache.parts import Part
from tests.storage.cache.support import DATA, KEY, CacheTestCase, Far
from tests.support.bodies import altered, read_all


class TwoProcessesTests(CacheTestCase):
    """Locks belong to open files, so two caches in one process are as good as two processes."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make()
        self.far, self.far_too = Far(held=True), Far(held=True)
        stored = self.open(self.far)
        self.first = self.start(read_all(stored.read(0, stored.size)))
        self.late: Any = self.open(self.far_too, reads=self.other)
        self.second = self.start(read_all(self.late.read(0, self.late.size)))

    def test_one_of_them_fills_and_the_other_follows(self) -> None:
        self.far.body.provide(DATA[:100])
        self.far.body.provide(DATA[100:])
        self.clock.advance(growth.POLL)
        self.assertEqual(self.late._growth.reached, len(DATA) - 1)
        self.assertNoResult(self.second)
        self.far.body.provide()
        self.clock.advance(growth.POLL)
        self.assertEqual(self.successResultOf(self.first), DATA)
        self.assertEqual(self.successResultOf(self.second), DATA)
        self.assertEqual(self.far_too.reads, [])
        self.assertEqual(self.tallies.fills, ["kept"])

    def test_what_has_come_is_good_for_both(self) -> None:
        self.test_one_of_them_fills_and_the_other_follows()
        for reads in (self.reads, self.other):
            self.assertEqual(self.get(Far(held=True), reads=reads), DATA)

    def test_a_wrong_object_reaches_nobody(self) -> None:
        self.far.body.provide(altered(DATA))
        self.clock.advance(growth.POLL)
        self.far.body.provide()
        self.clock.advance(growth.POLL)
        for reader in (self.first, self.second):
            self.failureResultOf(reader, ServiceUnavailable)
        self.assertEqual(self.files(), set())

    def test_whoever_follows_goes_on_alone_when_the_other_gives_up(self) -> None:
        self.far.body.provide(DATA[:100])
        self.far.body.fail(ServiceUnavailable("cut", 5))
        self.far.body.fail(ServiceUnavailable("cut", 5))
        self.clock.advance(growth.POLL)
        self.assertEqual(self.far_too.reads, [(100, len(DATA))])
        self.far_too.body.provide(DATA[100:])
        self.assertEqual(self.successResultOf(self.second), DATA)

    def test_whoever_follows_fills_on_when_the_other_is_killed(self) -> None:
        self.far.body.provide(DATA[:100])
        self.far.body.provide(DATA[100:200])
        self.clock.advance(growth.POLL)
        (filling,) = self.reads._growing.values()
        # As the kernel does when a process ends.
        fcntl.flock(filling.fd, fcntl.LOCK_UN)
        self.clock.advance(growth.POLL)
        self.assertEqual(self.far_too.reads, [(200, len(DATA))])
        self.far_too.body.provide(DATA[200:])
        self.far_too.body.provide()
        self.assertEqual(self.successResultOf(self.second), DATA)
        self.assertEqual(self.kept(KEY), [True])
        # What was killed here lives.
        filling._part._owned = False

    def test_what_was_left_by_a_process_that_nobody_saw_is_made_anew(self) -> None:
        part = Part(self.reads.entries, KEY, 50)
        self.assertIs(part.open(), True)
        part.write([b"x" * 20])
        os.close(part.fd)
        far = Far(DATA[:50], held=True)
        stored = self.open(far, reads=self.other)
        self.start(stored.read(0, 50).read())
        self.assertEqual(far.reads, [(0, 50)])


class LateTests(CacheTestCase):
    def test_what_another_process_has_just_made_is_taken(self) -> None:
        """It was not there when this one looked."""
        stored = self.open(far := Far(held=True))
        self.assertEqual(self.get(Far(), reads=self.make()), DATA)
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)
        self.assertEqual(far.reads, [])
        self.assertEqual(self.files(), {KEY.oid})

    def test_an_entry_is_found_by_who_watches_another_that_finds_it(self) -> None:
        """Both were late; the first has made a new file, and removes it."""
        self.assertEqual(self.get(Far()), DATA)
        name = f"{KEY.oid}.{len(DATA)}.part"
        with self.reads.entries.enter(KEY.repo) as directory:
            empty = os.open(name, os.O_RDWR | os.O_CREAT, dir_fd=directory)
            fcntl.flock(empty, fcntl.LOCK_EX)
            watching = Part(self.reads.entries, KEY, len(DATA))
            self.addCleanup(watching.close)
            self.assertIs(watching.open(), False)
            os.unlink(name, dir_fd=directory)
            os.close(empty)
        self.assertIs(watching.look(), False)
        self.assertFalse(watching.orphaned)
        self.assertEqual(watching.reached, len(DATA))
        self.assertEqual(os.pread(watching.fd, len(DATA), 0), DATA)

    def test_what_is_left_is_swept_at_the_start(self) -> None:
        part = Part(self.reads.entries, KEY, 50)
        part.open()
        part.write([b"x" * 20])
        self.run_now(self.reads.recount())
        self.assertEqual(len(self.files()), 1)
        os.close(part.fd)
        other = self.make()
        other.startService()
        self.assertEqual(self.files(), set())
        self.successResultOf(self.start(other.stopService()))
