"""Uploads in parts to a local disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from giftless.base.bodies import PartBody
from giftless.errors import BadRequest, Conflict, Disconnected, InsufficientStorage
from giftless.interfaces import IStreamingMultipartStore, PartUpload
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import ObjectKey
from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.local.parts import PartFiles, PartsBody
from giftless.storage.local.root import Root
from giftless.storage.local.store import LocalStore
from giftless.storage.local.sweeper import Sweeper
from tests.contracts.multipart import CheckedMultipartContract, MultipartContract
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import environment, key_of, payload_of
from tests.support.rounds import rounds
from tests.support.run import CoroutineTestCase


class LocalMultipartContractTests(CheckedMultipartContract, MultipartContract, TestCase):
    async def make_store(self) -> LocalStore:
        os.makedirs(path := self.mktemp())
        return LocalStore(path, "a/b", InlineBlocking(), self.part_size)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        body = PartBody(ListBody([data[:5], data[5:]]), part.size, None, InlineBlocking())
        await self.store.put_part(key, upload, part, body)

    async def get(self, key: ObjectKey) -> bytes | None:
        stored = await self.store.open(key)
        if stored is None:
            return None
        data = await read_all(stored.read(0, stored.size))
        stored.close()
        return data

    async def test_parts_pass_through_the_daemon(self) -> None:
        await self.prepare()
        self.assertTrue(IStreamingMultipartStore.providedBy(self.store))

    async def test_extras_are_kept(self) -> None:
        await self.prepare()
        upload, missing = await self.begin({"filename": "x.bin"})
        await self.send(upload, missing)
        await self.commit(upload, {"filename": "x.bin"})
        stored = await self.store.open(self.key)
        self.assertEqual(stored.extras, {"filename": "x.bin"})
        stored.close()


class PartsTestCase(CoroutineTestCase):
    """A test case with a store in an empty directory, and an object of three parts."""

    DATA = b"aaaabbbbcc"

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.store = LocalStore(str(self.top), "", InlineBlocking(), 4)
        self.key = key_of(self.DATA)
        self.plan = self.store.plan(len(self.DATA))
        self.upload = PartUpload("", self.plan)

    def put(self, number: int, store: LocalStore | None = None) -> None:
        """Send a part."""
        part = self.part(number)
        body = ListBody([self.DATA[part.pos : part.pos + part.size]])
        self.run_now((store or self.store).put_part(self.key, self.upload, part, body))

    def part(self, number: int) -> Part:
        """Return a part."""
        part = self.plan.part(number)
        assert part is not None
        return part

    def commit(self) -> None:
        """Commit."""
        self.run_now(self.committing())

    async def committing(self, store: LocalStore | None = None) -> None:
        """Commit, in a store that need not be the test's own."""
        payload = payload_of(self.DATA)
        await (store or self.store).commit(self.key, self.upload, payload, {})

    def files(self, below: str = ".giftless/parts") -> list[str]:
        """List files, but not the one that this process has locked as a writer."""
        directory = self.top / below
        return sorted(
            str(path.relative_to(directory))
            for path in directory.rglob("*")
            if path.is_file() and path.parent.name != "writers"
        )


class PartFileTests(PartsTestCase):
    def test_where_a_part_lies(self) -> None:
        self.put(2)
        self.assertEqual(self.files(), [f"{self.key.path}/4/2"])
        path = self.top / ".giftless" / "parts" / self.key.path / "4" / "2"
        self.assertEqual(path.read_bytes(), b"bbbb")

    def test_nothing_is_left_after_a_commit(self) -> None:
        for number in (1, 2, 3):
            self.put(number)
        self.commit()
        self.assertEqual(self.files("."), [self.key.path])
        self.assertEqual(list((self.top / ".giftless" / "parts").iterdir()), [])
        self.assertEqual(self.files(".giftless/tmp"), [])

    def test_nothing_is_left_after_an_abort(self) -> None:
        self.put(1)
        self.run_now(self.store.abort(self.key, self.upload))
        self.assertEqual(self.files("."), [])
        self.assertEqual(list((self.top / ".giftless" / "parts").iterdir()), [])

    def test_an_upload_of_another_object_stays(self) -> None:
        """Even of one in a repository below."""
        other = key_of(b"other", "org/repo/sub")
        body = ListBody([b"othe"])
        upload = PartUpload("", PartPlan(5, 4))
        self.run_now(self.store.put_part(other, upload, Part(1, 0, 4), body))
        self.put(1)
        self.run_now(self.store.abort(self.key, self.upload))
        self.assertEqual(self.files(), [f"{other.path}/4/1"])

    def test_a_part_that_does_not_end_well_is_not_there(self) -> None:
        for failure in (Disconnected("gone"), BadRequest("wrong")):
            body = ListBody([b"aa"], failure)
            put = self.store.put_part(self.key, self.upload, self.part(1), body)
            self.assert_fails(type(failure), put)
            self.assertEqual(self.files("."), [])

    def test_a_part_that_is_replaced_is_there_all_the_time(self) -> None:
        """Another client may commit while it is sent again."""
        self.put(1)
        body = HeldBody()
        running = self.start(self.store.put_part(self.key, self.upload, self.part(1), body))
        body.provide(b"aa")
        self.put(2)
        self.put(3)
        self.commit()
        body.provide(b"aa")
        body.provide()
        self.successResultOf(running)
        self.commit()
        self.assertEqual(self.files("."), [self.key.path])

    def test_a_part_whose_size_is_wrong_is_missing(self) -> None:
        """As a crash of the machine may leave it."""
        for number in (1, 2, 3):
            self.put(number)
        os.truncate(self.top / ".giftless" / "parts" / self.key.path / "4" / "2", 3)
        _, missing = self.run_now(self.store.begin(self.key, self.plan, {}))
        self.assertEqual(missing, [self.part(2)])
        error = self.assert_fails(Conflict, self.committing())
        self.assertIn("part 2 is missing", error.message)

    def test_other_files_among_the_parts_are_no_parts(self) -> None:
        self.put(1)
        directory = self.top / ".giftless" / "parts" / self.key.path / "4"
        (directory / "2").symlink_to("1")
        (directory / "x").write_bytes(b"")
        (directory / "3").mkdir()
        _, missing = self.run_now(self.store.begin(self.key, self.plan, {}))
        self.assertEqual([part.number for part in missing], [2, 3])

    def test_a_full_disk_is_507(self) -> None:
        free = os.statvfs(self.top)

        class Full:
            f_bavail = 0
            f_frsize = free.f_frsize

        self.patch(os, "statvfs", lambda path: Full)
        put = self.store.put_part(self.key, self.upload, self.part(1), ListBody([b"aaaa"]))
        self.assert_fails(InsufficientStorage, put)

    def test_parts_survive_the_store(self) -> None:
        self.put(1)
        store = LocalStore(str(self.top), "", InlineBlocking(), 4)
        store.sweep()
        _, missing = self.run_now(store.begin(self.key, self.plan, {}))
        self.assertEqual([part.number for part in missing], [2, 3])

    def test_stores_with_other_prefixes_share_no_parts(self) -> None:
        self.put(1)
        other = LocalStore(str(self.top), "team", InlineBlocking(), 4)
        _, missing = self.run_now(other.begin(self.key, self.plan, {}))
        self.assertEqual(len(missing), 3)


class RaceTests(PartsTestCase):
    """Somebody else commits or aborts in between."""

    def assembling(self, when: int) -> tuple[Any, ManualBlocking]:
        """Begin a commit, and stop it after so many steps that block."""
        for number in (1, 2, 3):
            self.put(number)
        blocking = ManualBlocking()
        store = LocalStore(str(self.top), "", blocking, 4)
        running = self.start(self.committing(store))
        for _ in range(when):
            blocking.do_next()
        return running, blocking

    def finish(self, blocking: ManualBlocking) -> None:
        """Let everything happen."""
        while blocking.waiting:
            blocking.do_next()

    def steps(self) -> int:
        """Return how many steps a commit has."""
        running, blocking = self.assembling(0)
        count = 0
        while blocking.waiting:
            blocking.do_next()
            count += 1
        self.successResultOf(running)
        (self.top / self.key.path).unlink()
        return count

    def test_two_commits_at_once_both_end_well(self) -> None:
        for step in range(self.steps()):
            running, blocking = self.assembling(step)
            self.commit()
            self.finish(blocking)
            self.successResultOf(running)
            self.assertEqual((self.top / self.key.path).read_bytes(), self.DATA)
            self.assertEqual(self.files("."), [self.key.path])
            (self.top / self.key.path).unlink()

    def test_an_abort_during_a_commit_is_409_or_too_late(self) -> None:
        outcomes = set()
        for step in range(self.steps()):
            running, blocking = self.assembling(step)
            self.run_now(self.store.abort(self.key, self.upload))
            self.finish(blocking)
            outcome: list[Any] = []
            running.addBoth(outcome.append)
            committed = (self.top / self.key.path).exists()
            if committed:
                self.assertEqual(outcome, [None])
                (self.top / self.key.path).unlink()
            else:
                self.assertTrue(outcome[0].check(Conflict))
            self.assertEqual(self.files(".giftless/tmp"), [])
            outcomes.add(committed)
        self.assertEqual(outcomes, {True, False})

    def test_a_directory_that_vanishes_is_made_again(self) -> None:
        """A commit removes it while another client sends a part of the same object."""
        real, calls = os.rename, []

        def rename(source: bytes, target: bytes, **options: int) -> None:
            calls.append(target)
            if len(calls) == 1:
                self.run_now(self.store.abort(self.key, self.upload))
            real(source, target, **options)

        self.put(1)
        self.patch(os, "rename", rename)
        self.put(2)
        self.assertEqual(self.files(), [f"{self.key.path}/4/2"])

    def test_an_upload_that_is_aborted_all_the_time_is_409(self) -> None:
        real = os.rename

        def rename(source: bytes, target: bytes, **options: int) -> None:
            self.run_now(self.store.abort(self.key, self.upload))
            real(source, target, **options)

        self.put(1)
        self.patch(os, "rename", rename)
        body = ListBody([b"bbbb"])
        put = self.store.put_part(self.key, self.upload, self.part(2), body)
        self.assert_fails(Conflict, put)
        self.assertEqual(self.files(".giftless/tmp"), [])

    def test_parts_that_come_during_aborts_are_stored_or_gone_and_no_failure(self) -> None:
        """With real threads: a third of them used to fail."""
        stop = threading.Event()

        def abort() -> None:
            while not stop.is_set():
                self.store.parts.discard(self.key, self.plan)

        aborting = threading.Thread(target=abort)
        aborting.start()
        try:
            for number in range(rounds(40, 1000)):
                try:
                    self.put(number % 3 + 1)
                except Conflict:
                    continue
        finally:
            stop.set()
            aborting.join()
        self.assertEqual(self.files(".giftless/tmp"), [])


class PartsBodyTests(CoroutineTestCase):
    def test_files_one_after_the_other(self) -> None:
        top = Path(self.mktemp())
        top.mkdir()
        pieces = [b"abc", b"", b"d", b"e" * 3_000_000]
        paths = []
        for number, piece in enumerate(pieces):
            path = top / str(number)
            path.write_bytes(piece)
            paths.append(os.fsencode(path.name))
        body = PartsBody(Root(os.fsencode(top)), paths, InlineBlocking())
        self.assertEqual(self.run_now(read_all(body)), b"".join(pieces))
        self.assertEqual(list(self.run_now(body.read())), [])
        body.close()

    def test_a_missing_file(self) -> None:
        body = PartsBody(Root(b"/"), [b"nonexistent/x"], InlineBlocking())
        self.assert_fails(FileNotFoundError, body.read())
        body.close()


class SweepTests(PartsTestCase):
    def age(self, seconds: float) -> None:
        """Make the upload look as old as that, at the time 1,000,000."""
        directory = self.top / ".giftless" / "parts" / self.key.path / "4"
        then = 1_000_000 - seconds
        os.utime(directory, (then, then))

    def sweeper(self, expiry: int = 100) -> tuple[Sweeper, Clock]:
        clock = Clock()
        clock.advance(1_000_000)

        async def sweep(before: float) -> int:
            return self.store.parts.sweep(before)

        return Sweeper(sweep, "parts", expiry, clock, clock.seconds), clock

    def test_what_nobody_goes_on_with_goes(self) -> None:
        self.put(1)
        self.put(2)
        self.age(101)
        sweeper, _ = self.sweeper()
        sweeper.startService()
        self.assertEqual(list((self.top / ".giftless" / "parts").iterdir()), [])
        self.successResultOf(sweeper.stopService())

    def test_what_is_young_stays_until_its_time(self) -> None:
        self.put(1)
        self.age(50)
        sweeper, clock = self.sweeper()
        sweeper.startService()
        self.assertEqual(len(self.files()), 1)
        clock.advance(25)
        self.assertEqual(len(self.files()), 1)
        clock.advance(26)
        clock.advance(25)
        self.assertEqual(self.files(), [])
        self.successResultOf(sweeper.stopService())

    def test_a_new_part_keeps_an_upload(self) -> None:
        self.put(1)
        self.age(101)
        self.put(2)
        sweeper, _ = self.sweeper()
        sweeper.startService()
        self.assertEqual(len(self.files()), 2)
        self.successResultOf(sweeper.stopService())

    def test_sweeping_goes_on_after_a_failure(self) -> None:
        self.put(1)
        self.age(101)
        sweeper, clock = self.sweeper()

        def fail(before: float) -> int:
            raise PermissionError(13, "denied")

        with_failure = self.patch(PartFiles, "sweep", lambda files, before: fail(before))
        sweeper.startService()
        with_failure.restore()
        clock.advance(25)
        self.assertEqual(self.files(), [])
        self.successResultOf(sweeper.stopService())

    def test_an_empty_store_can_be_swept(self) -> None:
        self.assertEqual(self.store.parts.sweep(1e12), 0)

    def test_the_factory_sees_to_it(self) -> None:
        """The service starts and stops with the daemon."""
        clock = Clock()
        clock.advance(1_000_000)
        self.put(1)
        self.age(3 * 3600)
        around = environment(reactor=clock, blocking=InlineBlocking())
        LocalFactory().build(LocalOptions(path=str(self.top), multipart_expiry=7200), around)
        self.assertEqual(len(self.files()), 1)
        around.services.startService()
        self.assertEqual(self.files(), [])
        self.successResultOf(around.services.stopService())
        self.assertEqual(clock.getDelayedCalls(), [])
