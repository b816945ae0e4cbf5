"""Single objects are compared with their oids."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.base.whole_object import READ_ATTEMPTS, READ_DELAY
from giftless.errors import ConfigError, StorageUnavailable
from giftless.interfaces import ListedObject
from giftless.lfs.objects import EMPTY_OID, ObjectKey, in_trash
from giftless.storage.coded.head import Head
from giftless.storage.local.store import LocalStore
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object, repo_of
from tests.support.memory import ExternalStore, InspectedMemoryStore, MemoryStore
from tests.support.run import CoroutineTestCase

DATA = bytes(range(256)) * 1024
KEY = key_of(DATA)
WRONG = DATA[:1000] + b"?" + DATA[1001:]


def listed(key: ObjectKey = KEY, size: int = len(DATA)) -> ListedObject:
    """Return an object as a list has it."""
    return ListedObject(key, size, 0.0)


class ExaminerTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = InspectedMemoryStore()
        self.store.add(KEY, DATA)
        self.passed = 0

    def examiner(self, store: Any = None, rate: float | None = None, **options: Any) -> Examiner:
        """Make an examiner of a store that notes what has passed."""

        def passed(count: int) -> None:
            self.passed += count

        pace = Pace(rate, self.clock)
        where = self.store if store is None else store
        return Examiner(where, InlineBlocking(), pace, self.clock, passed=passed, **options)

    def examine(self, read: bool = True, **options: Any) -> Finding | None:
        """Examine the object, with an examiner of its own."""
        return self.run_now(self.examiner(**options).examine(listed(), read))

    def assert_found(self, outcome: Outcome, problem: str, found: Finding | None) -> None:
        """Compare a finding about the object."""
        assert found is not None
        self.assertEqual((found.outcome, found.key), (outcome, KEY))
        self.assertIn(problem, found.problem)

    def test_a_good_object_is_no_finding(self) -> None:
        examiner = self.examiner()
        self.assertIsNone(self.run_now(examiner.examine(listed(), True)))
        self.assertEqual((examiner.counts.read, examiner.counts.bytes), (1, len(DATA)))
        self.assertEqual(self.passed, len(DATA))
        self.assertTrue(all(each.closed for each in self.store.opened))

    def test_nothing_is_read_unless_it_is_wanted(self) -> None:
        self.store.add(KEY, WRONG)
        self.assertIsNone(self.examine(read=False))
        self.assertEqual(self.store.opened, [])

    def test_a_flipped_bit_is_found(self) -> None:
        self.store.add(KEY, WRONG)
        self.assert_found(Outcome.WRONG, key_of(WRONG).oid, self.examine())

    def test_an_object_that_is_cut_off_is_found(self) -> None:
        self.store.add(KEY, DATA[:-1])
        self.assert_found(Outcome.WRONG, f"its {len(DATA) - 1} bytes", self.examine())

    def test_an_empty_object_is_found_without_reading_others(self) -> None:
        self.store.add(KEY, b"")
        examiner = self.examiner()
        found = self.run_now(examiner.examine(listed(size=0), False))
        self.assert_found(Outcome.WRONG, "it is empty", found)

    def test_the_empty_object_is_good(self) -> None:
        key = ObjectKey(repo_of(), EMPTY_OID)
        self.store.add(key, b"")
        for read in (False, True):
            self.assertIsNone(self.run_now(self.examiner().examine(listed(key, 0), read)))

    def test_an_object_in_the_trash_is_examined_where_it_is(self) -> None:
        key = in_trash(KEY)
        self.store.add(key, WRONG)
        found = self.run_now(self.examiner().examine(listed(key), True))
        assert found is not None
        self.assertEqual(found.key, key)

    def test_what_a_missing_wrapper_has_coded_is_not_wrong(self) -> None:
        """Who has forgotten the wrapper would mark everything as damaged otherwise."""
        heads = Head(True, False, 1), Head(False, True, 1, "one", b"wrapped", bytes(16))
        for head in heads:
            self.store.add(KEY, head.encode(KEY.oid) + DATA)
            self.assert_found(Outcome.UNKNOWN, "compressed or encrypted", self.examine())
            # Unless it is cut off before one could know.
            self.store.add(KEY, head.encode(KEY.oid)[:8])
            self.assert_found(Outcome.WRONG, "its 8 bytes", self.examine())

    def test_a_marked_object_is_found(self) -> None:
        self.run_now(self.store.mark(KEY, "somebody looked"))
        for trusting in (True, False):
            found = self.examine(trusting=trusting)
            self.assert_found(Outcome.WRONG, "somebody looked", found)

    def test_the_checksum_of_the_store_saves_reading(self) -> None:
        self.store.digests[KEY] = KEY.oid
        examiner = self.examiner()
        self.assertIsNone(self.run_now(examiner.examine(listed(), True)))
        self.assertEqual((examiner.counts.compared, examiner.counts.read), (1, 0))
        self.assertEqual((self.passed, self.store.opened), (len(DATA), []))

    def test_a_checksum_that_differs_is_believed_after_reading(self) -> None:
        self.store.digests[KEY] = key_of(WRONG).oid
        self.assertIsNone(self.examine())
        self.store.add(KEY, WRONG)
        self.assert_found(Outcome.WRONG, key_of(WRONG).oid, self.examine())

    def test_who_does_not_trust_the_store_reads(self) -> None:
        self.store.add(KEY, WRONG)
        self.store.digests[KEY] = KEY.oid
        self.assertIsNone(self.examine())
        found = self.examine(trusting=False)
        self.assert_found(Outcome.WRONG, key_of(WRONG).oid, found)

    def test_an_object_that_was_deleted_meanwhile_is_no_finding(self) -> None:
        self.store.objects.clear()
        self.assertIsNone(self.examine())
        self.assertIsNone(self.examine(trusting=False))

    def test_an_object_that_was_replaced_meanwhile_is_no_finding(self) -> None:
        self.store.add(KEY, WRONG)
        opened = self.store.open

        async def replaced(key: ObjectKey) -> Any:
            found = await opened(key)
            self.store.add(KEY, DATA)
            return found

        self.patch(self.store, "open", replaced)
        self.assertIsNone(self.examine())
        self.assertEqual(len(self.store.opened), 2)

    def test_a_store_that_fails_for_a_moment_is_asked_again(self) -> None:
        store = MemoryStore()
        store.add(KEY, DATA)
        store.failure = StorageUnavailable("not now", 1)
        examining = self.start(self.examiner(store).examine(listed(), True))
        self.clock.advance(READ_DELAY)
        store.failure = None
        self.clock.advance(READ_DELAY)
        self.assertIsNone(self.successResultOf(examining))
        store.failure = StorageUnavailable("not now", 1)
        examining = self.start(self.examiner(store).examine(listed(), True))
        self.clock.pump([READ_DELAY] * READ_ATTEMPTS)
        self.assert_found(Outcome.UNKNOWN, "not now", self.successResultOf(examining))

    def test_the_rate_is_kept(self) -> None:
        examining = self.start(self.examiner(rate=len(DATA) / 4).examine(listed(), True))
        self.clock.pump([0.1] * 25)
        self.assertNoResult(examining)
        self.clock.pump([0.1] * 10)
        self.assertIsNone(self.successResultOf(examining))

    def test_a_store_that_nobody_can_read_is_a_problem_of_the_configuration(self) -> None:
        with self.assertRaises(ConfigError):
            self.examiner(ExternalStore())


class LocalTests(CoroutineTestCase):
    """What a disk refuses is told apart from a disk that is not there."""

    def setUp(self) -> None:
        os.makedirs(path := self.mktemp())
        self.path = os.path.join(path, KEY.path)
        self.store = LocalStore(path, "", InlineBlocking())
        self.run_now(put_object(self.store, KEY, len(DATA), ListBody([DATA]), {}))

    def examine(self) -> Finding | None:
        """Examine the object."""
        clock = Clock()
        examiner = Examiner(self.store, InlineBlocking(), Pace(None, clock), clock)
        return self.run_now(examiner.examine(listed(), True))

    def test_a_good_object_is_no_finding(self) -> None:
        self.assertIsNone(self.examine())

    def test_a_flipped_bit_is_found(self) -> None:
        with open(self.path, "r+b") as file:
            file.seek(1000)
            file.write(b"?")
        found = self.examine()
        assert found is not None
        self.assertEqual(found.outcome, Outcome.WRONG)

    def test_sectors_that_cannot_be_read_are_found(self) -> None:
        def broken(*_: Any) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(os, "pread", broken)
        found = self.examine()
        assert found is not None
        self.assertEqual(found.outcome, Outcome.UNREADABLE)
        self.assertIn("Input/output error", found.problem)

    def test_a_file_that_may_not_be_opened_is_found(self) -> None:
        real = os.open

        def refused(path: Any, *rest: Any, **named: Any) -> int:
            if os.fsencode(path).endswith(KEY.oid.encode()):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return real(path, *rest, **named)

        self.patch(os, "posix_fadvise", lambda *_: None)
        self.patch(os, "open", refused)
        self.patch(self.store._lookups, "_at_once", self.store._lookups._waiting)
        found = self.examine()
        assert found is not None
        self.assertEqual(found.outcome, Outcome.UNREADABLE)
        self.assertIn("Permission denied", found.problem)

    def test_a_disk_that_is_gone_is_no_fault_of_the_object(self) -> None:
        os.rename(os.path.dirname(os.path.dirname(os.path.dirname(self.path))), self.mktemp())
        clock = Clock()
        examiner = Examiner(self.store, InlineBlocking(), Pace(None, clock), clock)
        examining = self.start(examiner.examine(listed(), True))
        clock.pump([READ_DELAY] * READ_ATTEMPTS)
        found = self.successResultOf(examining)
        assert found is not None
        self.assertEqual(found.outcome, Outcome.UNKNOWN)
