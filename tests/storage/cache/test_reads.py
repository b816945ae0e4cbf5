"""Objects come to a cache while they are read, and are read from it."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import NotFound, ServiceUnavailable, StorageUnavailable, TooManyRequests
from giftless.interfaces import (
    IBody,
    ICaching,
    ICounted,
    IGrowingFile,
    IStoredFile,
    IStoredObject,
    IVerifiedObject,
)
from giftless.storage.cache import checks, growth
from giftless.storage.coded.head import HEAD_SIZE, MAGIC
from tests.storage.cache.support import DATA, KEY, CacheTestCase, Far, FarObject, chunks_of
from tests.support.blocking import ManualBlocking, jobs_of
from tests.support.bodies import altered, read_all
from tests.support.making import key_of


class ReadingTests(CacheTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(ICaching, self.reads)

    def test_the_second_reader_needs_no_store(self) -> None:
        far = Far()
        self.assertEqual(self.get(far), DATA)
        self.assertEqual(self.get(far), DATA)
        self.assertEqual((far.reads, far.opened[0].closed), ([(0, len(DATA))], True))
        self.assertEqual(len(far.opened), 1)
        self.assertEqual(self.tallies.lookups, ["miss", "hit"])
        self.assertEqual(self.tallies.fills, ["kept"])
        self.assertEqual(self.tallies.bytes["store"], len(DATA))

    def test_an_entry_is_a_file(self) -> None:
        self.fill(DATA)
        stored = self.open(Far())
        for interface in (IStoredObject, IStoredFile, ICounted):
            verifyObject(interface, stored)
        self.assertEqual(os.pread(stored.fileno(), len(DATA), 0), DATA)
        stored.sent(5)
        self.assertEqual(self.tallies.bytes["disk"], 5)

    def test_what_comes_is_a_growing_file(self) -> None:
        stored = self.open(Far(held=True))
        for interface in (IStoredObject, IGrowingFile, ICounted):
            verifyObject(interface, stored)
        self.assertFalse(IStoredFile.providedBy(stored))

    def test_an_object_without_bytes_is_not_kept(self) -> None:
        self.assertEqual(self.get(Far(b""), key_of(b"")), b"")
        self.assertEqual(self.files(), set())

    def test_an_object_of_one_byte_is_kept(self) -> None:
        self.fill(b"x")
        self.assertEqual(self.get(Far(b"", size=1), key_of(b"x")), b"x")

    def test_repositories_are_apart(self) -> None:
        other = key_of(DATA, "org/other")
        far = Far()
        self.fill(DATA)
        self.assertEqual(self.get(far, other), DATA)
        self.assertEqual(len(far.opened), 1)

    def test_files_are_for_their_owner_alone(self) -> None:
        self.fill(DATA)
        for directory, directories, files in os.walk(self.path):
            for name in directories:
                self.assertEqual(os.stat(os.path.join(directory, name)).st_mode & 0o777, 0o700)
            for name in files:
                self.assertEqual(os.stat(os.path.join(directory, name)).st_mode & 0o777, 0o600)

    def test_an_object_that_is_gone_behind_the_cache_is_not_found(self) -> None:
        far = Far()
        far.data = None
        self.assert_fails(NotFound, self.reads.open(KEY, len(DATA), {}, far))
        self.assertEqual(self.files(), set())

    def test_an_object_of_another_size_is_not_given_out(self) -> None:
        far = Far(DATA[:-1], size=len(DATA) - 1)
        self.assert_fails(StorageUnavailable, self.reads.open(KEY, len(DATA), {}, far))
        self.assertTrue(far.opened[0].closed)

    def test_what_opening_raises_is_raised_before_anything_is_read(self) -> None:
        far = Far()
        far.failure = ServiceUnavailable("away", 5)
        self.assert_fails(ServiceUnavailable, self.reads.open(KEY, len(DATA), {}, far))
        far.failure = None
        self.assertEqual(self.get(far), DATA)

    def test_whoever_opens_and_reads_nothing_leaves_nothing(self) -> None:
        far = Far()
        self.open(far).close()
        self.assertTrue(far.opened[0].closed)
        self.assertEqual((far.reads, self.files()), ([], set()))

    def test_dropped_objects_come_again(self) -> None:
        keys = self.fill(DATA, b"abc", b"def")
        self.assertEqual(self.run_now(self.reads.drop(KEY.repo, [KEY.oid])), 1)
        self.assertEqual(self.kept(*keys), [False, True, True])
        self.assertEqual(self.run_now(self.reads.drop(key_of(b"", "org/other").repo)), 0)
        self.assertEqual(self.run_now(self.reads.drop(None)), 2)
        self.assertEqual(self.files(), set())
        self.assertEqual(self.run_now(self.reads.holdings()).bytes, 0)

    def test_it_tells_what_it_holds(self) -> None:
        keys = self.fill(DATA, b"abc")
        holdings = self.run_now(self.reads.holdings())
        self.assertEqual(
            (holdings.bytes, holdings.entries, holdings.limit), (len(DATA) + 3, 2, self.limit)
        )
        self.assertEqual(self.run_now(self.reads.recount()), holdings)
        self.assertCountEqual(self.run_now(self.reads.keys_of(KEY.repo)), keys)
        self.assertIs(self.run_now(self.reads.has(KEY, len(DATA))), True)
        self.assertIs(self.run_now(self.reads.has(KEY, 1)), False)


class RefusedTests(CacheTestCase):
    def test_what_is_refused_is_not_asked_for_again(self) -> None:
        """By the cache; whoever reads asks for itself, because it may be somebody else."""
        far = Far()
        far.breaks = [TooManyRequests("later", 7), TooManyRequests("later", 7)]
        self.assert_fails(TooManyRequests, self.read(far))
        self.assertEqual((len(far.reads), self.tallies.fills), (2, ["failed"]))

    async def read(self, far: Far) -> bytes:
        """Read an object to its end."""
        return await read_all(self.open(far).read(0, far.size))


@implementer(IVerifiedObject)
class VerifiedFarObject(FarObject):
    """One whose bytes are compared with its oid where it is kept, or here."""

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        raise AssertionError("its bytes are hashed by the cache")

    def read_unverified(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.caching.IVerifiedObject.read_unverified`."""
        return super().read(start, end)


class VerifiedTests(CacheTestCase):
    def test_bytes_that_are_verified_anyway_are_hashed_once(self) -> None:
        far = Far(kind=VerifiedFarObject)
        self.assertEqual(self.get(far), DATA)
        verifyObject(IVerifiedObject, far.opened[0])
        self.assertEqual((far.reads, self.kept(KEY)), ([(0, len(DATA))], [True]))

    def test_they_are_the_object_however_they_begin(self) -> None:
        """Bytes that look like a coded object may have any digest, where objects are coded."""
        coded = MAGIC + DATA
        self.assertEqual(self.get(Far(coded)), coded)
        self.assertEqual(self.run_now(self.reads.drop(None)), 1)
        self.assert_fails(StorageUnavailable, self.read(Far(coded, kind=VerifiedFarObject)))
        self.assertEqual((self.kept(KEY), self.tallies.fills), ([False], ["kept", "wrong"]))

    async def read(self, far: Far) -> bytes:
        """Read an object to its end."""
        return await read_all(self.open(far).read(0, far.size))


class FollowingTests(CacheTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.far = Far(held=True)

    def begin(self, count: int = 1) -> list[Any]:
        """Let several read all of the object; return what they have so far."""
        results = []
        for _ in range(count):
            stored = self.open(self.far)
            results.append(self.start(read_all(stored.read(0, stored.size))))
        return results

    def test_many_readers_are_one_transfer(self) -> None:
        readers = self.begin(100)
        first, *rest = chunks_of(DATA, 4)
        self.far.body.provide(first)
        readers += self.begin(10)
        for chunk in rest:
            self.far.body.provide(chunk)
        for reader in readers:
            self.assertNoResult(reader)
        self.far.body.provide()
        for reader in readers:
            self.assertEqual(self.successResultOf(reader), DATA)
        self.assertEqual(self.far.reads, [(0, len(DATA))])
        self.assertEqual(self.tallies.lookups, ["miss"] + ["shared"] * 109)

    def test_a_reader_has_bytes_before_the_rest_has_come(self) -> None:
        """Also if no other bytes come behind them."""
        self.begin()
        body = self.open(self.far).read(0, len(DATA))
        self.far.body.provide(DATA[:100])
        self.assertEqual(b"".join(self.run_now(body.read())), DATA[:100])

    def test_readers_are_told_of_many_bytes_at_once(self) -> None:
        """Or of fewer after a while: not of each chunk as it comes."""
        self.patch(growth, "BATCH", 1000)
        stored = self.open(self.far)
        first = self.start(stored.grown(0))
        self.far.body.provide(DATA[:100])
        self.assertEqual(self.successResultOf(first), 100)
        second = self.start(stored.grown(100))
        self.far.body.provide(DATA[100:1099])
        self.assertNoResult(second)
        self.far.body.provide(DATA[1099:1100])
        self.assertEqual(self.successResultOf(second), 1100)
        third = self.start(stored.grown(1100))
        self.far.body.provide(DATA[1100:1200])
        # Somebody who asks only now waits as well.
        fourth = self.start(stored.grown(1100))
        self.assertNoResult(third)
        self.assertNoResult(fourth)
        self.clock.advance(growth.DELAY)
        self.assertEqual(self.successResultOf(third), 1200)
        self.assertEqual(self.successResultOf(fourth), 1200)

    def test_whoever_is_behind_waits_for_nothing(self) -> None:
        self.patch(growth, "BATCH", 1000)
        stored = self.open(self.far)
        self.start(stored.grown(0))
        self.far.body.provide(DATA[:2000])
        self.far.body.provide(DATA[2000:2100])
        self.assertEqual(self.run_now(stored.grown(1500)), 2100)

    def test_the_end_is_held_back_until_the_digest_is_known(self) -> None:
        bad = altered(DATA)
        (reader,) = self.begin()
        stored = self.open(self.far)
        self.far.body.provide(bad)
        self.assertNoResult(reader)
        self.far.body.provide()
        self.failureResultOf(reader, StorageUnavailable)
        self.assert_fails(StorageUnavailable, stored.grown(0))
        self.assertEqual(self.files(), set())
        self.assertEqual(self.tallies.fills, ["wrong"])

    def test_too_many_bytes_are_wrong(self) -> None:
        (reader,) = self.begin()
        self.far.body.provide(DATA + b"x")
        self.far.body.provide()
        self.failureResultOf(reader, StorageUnavailable)
        self.assertEqual(self.files(), set())

    def test_it_goes_on_where_the_store_has_broken_off(self) -> None:
        (reader,) = self.begin()
        self.far.body.provide(DATA[:100])
        self.far.body.fail(ServiceUnavailable("cut", 5))
        self.assertEqual(self.far.reads[-1], (100, len(DATA)))
        self.far.body.provide(DATA[100:])
        self.far.body.provide()
        self.assertEqual(self.successResultOf(reader), DATA)
        self.assertEqual(self.kept(KEY), [True])

    def test_the_last_byte_may_come_twice(self) -> None:
        (reader,) = self.begin()
        self.far.body.provide(DATA)
        self.far.body.fail(OSError(errno.EIO, "cut"))
        self.assertEqual(self.far.reads[-1], (len(DATA) - 1, len(DATA)))
        self.far.body.provide(DATA[-1:])
        self.far.body.provide()
        self.assertEqual(self.successResultOf(reader), DATA)

    def test_readers_go_on_by_themselves_when_the_store_fails_for_good(self) -> None:
        readers = self.begin(2)
        self.far.body.provide(DATA[:100])
        self.far.body.fail(ServiceUnavailable("cut", 5))
        self.far.body.fail(ServiceUnavailable("cut", 5))
        own = [opened.reads[-1] for opened in self.far.opened[-2:]]
        self.assertEqual([read[:2] for read in own], [(100, len(DATA))] * 2)
        for (_, _, body), reader in zip(own, readers, strict=True):
            body.provide(DATA[100:])
            self.assertEqual(self.successResultOf(reader), DATA)
        self.assertEqual(self.files(), set())
        self.assertEqual(self.tallies.fills, ["failed"])
        self.assertEqual(self.run_now(self.reads.holdings()).bytes, 0)

    def test_a_full_disk_is_nothing_to_the_client(self) -> None:
        (reader,) = self.begin()
        with patch.object(os, "pwrite", side_effect=OSError(errno.ENOSPC, "full")):
            self.far.body.provide(DATA[:100])
            self.far.body.provide(DATA[100:200])
        self.assertEqual(self.far.reads[-1], (0, len(DATA)))
        self.far.body.provide(DATA)
        self.assertEqual(self.successResultOf(reader), DATA)
        self.assertEqual((self.files(), self.tallies.fills), (set(), ["full"]))

    def test_what_nobody_reads_any_more_ends_after_a_while(self) -> None:
        stored = self.open(self.far)
        self.start(read_all(stored.read(0, stored.size))).addErrback(lambda _: None)
        self.far.body.provide(DATA[:100])
        stored.close()
        self.clock.advance(growth.LINGER - 1)
        again = self.open(self.far)
        self.clock.advance(growth.LINGER + 1)
        self.assertFalse(self.far.opened[0].closed)
        again.close()
        self.clock.advance(growth.LINGER)
        self.assertTrue(self.far.opened[0].closed)
        self.assertEqual((self.files(), self.tallies.fills), (set(), ["left"]))

    def test_the_daemon_ends_what_comes(self) -> None:
        (reader,) = self.begin()
        self.reads.startService()
        self.far.body.provide(DATA[:100])
        self.successResultOf(self.start(self.reads.stopService()))
        self.assertEqual(self.files(), set())
        self.assertEqual(self.far.reads[-1], (100, len(DATA)))
        self.far.body.provide(DATA[100:])
        self.assertEqual(self.successResultOf(reader), DATA)

    def test_one_of_many_who_open_asks_and_the_others_wait(self) -> None:
        held: Deferred[None] = Deferred()
        far = Far()

        async def slow() -> Any:
            await held
            return await far()

        opening = [self.start(self.reads.open(KEY, len(DATA), {}, slow)) for _ in range(50)]
        held.callback(None)
        for each in opening:
            self.addCleanup(self.successResultOf(each).close)
        self.assertEqual(len(far.opened), 1)

    def test_who_may_not_open_keeps_nobody_else_from_it(self) -> None:
        held: Deferred[None] = Deferred()

        async def expired() -> Any:
            await held
            raise ServiceUnavailable("your action has expired", 5)

        failing = self.start(self.reads.open(KEY, len(DATA), {}, expired))
        good = self.start(self.reads.open(KEY, len(DATA), {}, Far()))
        held.callback(None)
        self.failureResultOf(failing, ServiceUnavailable)
        self.addCleanup(self.successResultOf(good).close)

    def test_turns_are_waited_for_but_not_long(self) -> None:
        turns = self.reads._context.turns
        for _ in range(turns.tokens):
            self.successResultOf(turns.acquire())
        (reader,) = self.begin()
        self.assertEqual(self.far.reads, [])
        self.clock.advance(growth.TURN)
        self.far.body.provide(DATA)
        self.assertEqual(self.successResultOf(reader), DATA)
        self.assertEqual(self.tallies.fills, ["busy"])


class PartTests(CacheTestCase):
    """Parts of objects are asked for, by clients that go on or that fetch several at once."""

    def test_a_part_of_a_cold_object_is_read_where_it_is(self) -> None:
        far = Far()
        stored = self.open(far)
        self.assertEqual(self.run_now(read_all(stored.read(5, 10))), DATA[5:10])
        self.assertEqual((far.reads, self.files()), ([(5, 10)], set()))
        stored.sent(5)
        self.assertEqual(self.tallies.bytes, {"disk": 0, "store": 5})

    def test_an_object_comes_when_all_of_it_was_asked_for_in_parts(self) -> None:
        far, half = Far(), len(DATA) // 2
        for start, end in ((0, half), (half, len(DATA))):
            self.assertEqual(self.kept(KEY), [False])
            stored = self.open(far)
            self.assertEqual(self.run_now(read_all(stored.read(start, end))), DATA[start:end])
            stored.close()
        self.assertEqual(self.kept(KEY), [True])
        stored = self.open(far)
        self.assertEqual(self.run_now(read_all(stored.read(3, 7))), DATA[3:7])

    def test_a_part_that_has_come_is_not_fetched_again(self) -> None:
        far = Far(held=True)
        reader = self.open(far)
        self.start(read_all(reader.read(0, reader.size)))
        far.body.provide(DATA[:100])
        fill = far.body
        fill.provide(DATA[100:200])
        stored = self.open(far)
        self.assertEqual(b"".join(self.run_now(stored.read(10, 50).read())), DATA[10:50])
        late = self.start(stored.read(300, 400).read())
        self.assertEqual(far.reads[-1], (300, 400))
        self.assertIsNot(far.body, fill)
        far.body.provide(DATA[300:400])
        self.assertEqual(self.successResultOf(late), [DATA[300:400]])


class CheckingTests(CacheTestCase):
    def test_a_flipped_byte_is_found_after_a_start(self) -> None:
        self.fill(DATA)
        self.entry().write_bytes(altered(DATA, 17))
        far = Far()
        self.assertEqual(self.get(far, reads=self.make()), DATA)
        self.assertEqual(len(far.reads), 1)
        self.assertEqual(self.entry().read_bytes(), DATA)
        self.assertEqual(self.tallies.removed, {"damaged": 1})

    def test_a_flipped_byte_is_found_while_the_daemon_runs(self) -> None:
        """As far as the file's times show that it has changed."""
        self.fill(DATA)
        self.entry().write_bytes(altered(DATA, 17))
        os.utime(self.entry(), ns=(1, 1))
        self.assertEqual(self.get(Far()), DATA)

    def test_a_shorter_or_longer_entry_is_of_no_use(self) -> None:
        for data in (DATA[:-1], DATA + b"x", b""):
            self.fill(DATA)
            self.entry().write_bytes(data)
            self.assertEqual(self.get(Far()), DATA)
            self.assertEqual(self.entry().read_bytes(), DATA)

    def test_what_is_no_file_is_of_no_use(self) -> None:
        self.fill(DATA)
        elsewhere = Path(self.mktemp())
        elsewhere.write_bytes(DATA)
        self.entry().unlink()
        self.entry().symlink_to(elsewhere.absolute())
        far = Far()
        self.assertEqual(self.get(far), DATA)
        self.assertEqual((len(far.reads), elsewhere.read_bytes()), (1, DATA))
        self.assertFalse(self.entry().is_symlink())
        self.entry().unlink()
        os.mkfifo(self.entry())
        self.assertEqual(self.get(far), DATA)

    def test_a_directory_that_is_a_link_is_not_entered(self) -> None:
        elsewhere = Path(self.mktemp())
        elsewhere.mkdir()
        self.entry().parent.symlink_to(elsewhere.absolute())
        self.assertEqual(self.get(Far()), DATA)
        self.assertEqual(list(elsewhere.iterdir()), [])
        self.assertEqual(self.tallies.fills, ["disk"])

    def test_entries_that_are_opened_at_once_share_a_turn_of_a_thread(self) -> None:
        self.fill(DATA)
        blocking = ManualBlocking()
        other = self.make(blocking=blocking)
        opened = [self.start(other.open(KEY, len(DATA), {}, Far())) for _ in range(5)]
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        self.assertEqual(blocking.waiting, 0)
        for each in opened:
            stored = self.successResultOf(each)
            self.assertTrue(IStoredFile.providedBy(stored))
            stored.close()

    def test_whoever_reads_what_comes_already_needs_no_thread(self) -> None:
        first = self.open(far := Far(held=True))
        reading = self.start(read_all(first.read(0, first.size)))
        jobs = jobs_of(self, self.reads._blocking)
        late = self.open(Far(held=True))
        self.assertEqual(jobs, [])
        following = self.start(read_all(late.read(0, late.size)))
        far.body.provide(DATA)
        far.body.provide()
        for each in (reading, following):
            self.assertEqual(self.successResultOf(each), DATA)
        self.assertEqual(self.tallies.lookups, ["miss", "shared"])

    def test_a_large_entry_is_read_by_and_by(self) -> None:
        self.fill(DATA)
        blocking = ManualBlocking()
        other = self.make(blocking=blocking)
        with patch.object(checks, "_SLICE", 1000):
            opened = [self.start(other.open(KEY, len(DATA), {}, Far())) for _ in range(3)]
            while blocking.waiting:
                blocking.do_next()
        for each in opened:
            self.assertTrue(IStoredFile.providedBy(self.successResultOf(each)))

    def test_nobody_waits_long_for_a_large_entry(self) -> None:
        self.fill(DATA)
        blocking = ManualBlocking()
        other = self.make(blocking=blocking)
        far = Far()
        with patch.object(checks, "_SLICE", 1000):
            opening = self.start(other.open(KEY, len(DATA), {}, far))
            blocking.do_next()
            self.assertNoResult(opening)
            self.clock.advance(checks.PATIENCE)
        stored = self.successResultOf(opening)
        reading = self.start(read_all(stored.read(0, len(DATA))))
        self.assertEqual(self.successResultOf(reading), DATA)
        self.assertEqual(len(far.reads), 1)
        while blocking.waiting:
            blocking.do_next()

    def test_a_large_entry_that_is_wrong_is_removed(self) -> None:
        self.fill(DATA)
        self.entry().write_bytes(altered(DATA, 17))
        far = Far()
        with patch.object(checks, "_SLICE", 1000):
            self.assertEqual(self.get(far, reads=self.make()), DATA)
        self.assertEqual((len(far.reads), self.tallies.removed), (1, {"damaged": 1}))


class CodedTests(CacheTestCase):
    """What is sealed or compressed has another digest than its oid."""

    def setUp(self) -> None:
        super().setUp()
        self.coded = MAGIC + os.urandom(HEAD_SIZE - len(MAGIC)) + os.urandom(5000)

    def test_it_is_kept_with_its_own_digest(self) -> None:
        far = Far(self.coded)
        self.assertEqual(self.get(far), self.coded)
        self.assertEqual(self.files(), {KEY.oid, f"{KEY.oid}.sha256"})
        for reads in (self.reads, self.make()):
            self.assertEqual(self.get(far, reads=reads), self.coded)
        whole = [read for read in far.reads if read == (0, len(self.coded))]
        self.assertEqual(len(whole), 1)

    def test_a_flipped_byte_is_found(self) -> None:
        far = Far(self.coded)
        self.get(far)
        for name in (self.entry(), self.entry().with_name(f"{KEY.oid}.sha256")):
            name.write_bytes(altered(name.read_bytes()))
            self.assertEqual(self.get(far, reads=self.make()), self.coded)

    def test_another_head_in_the_store_makes_it_useless(self) -> None:
        """As after the rotation of keys."""
        self.get(Far(self.coded))
        rotated = MAGIC + os.urandom(HEAD_SIZE - len(MAGIC)) + self.coded[HEAD_SIZE:]
        self.assertEqual(self.get(Far(rotated)), rotated)
        self.assertEqual(self.get(Far(rotated)), rotated)

    def test_what_only_nearly_begins_so_is_wrong(self) -> None:
        almost = struct.pack("<I", 0x184D2A5D) + self.coded[4:]
        stored = self.open(Far(almost))
        self.assert_fails(StorageUnavailable, read_all(stored.read(0, stored.size)))
