"""What was stored is recorded behind the requests that have stored it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from giftless.catalogue import recorder
from giftless.catalogue.recorder import TOGETHER, Recorder
from giftless.errors import StorageUnavailable
from giftless.interfaces import (
    Arrival,
    Entry,
    EntryQuery,
    IObserver,
    ISharing,
    LockCreated,
    ObjectStored,
)
from giftless.lfs.locks import Lock
from giftless.lfs.objects import ObjectKey
from tests.catalogue.support import SQLiteTestCase
from tests.support.blocking import ManualBlocking
from tests.support.logs import observe
from tests.support.making import environment, key_of, repo_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

THEN = 1_700_000_000.0


def stored(name: str, repo: str = "org/repo", **more: Any) -> ObjectStored:
    """Return the event of an arrival."""
    arrival = more.pop("arrival", Arrival.STREAMED)
    return ObjectStored(key_of(name.encode(), repo), 10, "olga", arrival, "p#1", **more)


class SharingStore:
    """Notes what shall share its bytes, and waits until it is told to go on."""

    def __init__(self) -> None:
        directlyProvides(self, ISharing)
        self.asked: list[tuple[ObjectKey, Sequence[ObjectKey]]] = []
        self.waiting: list[Deferred[int]] = []

    def share(self, key: ObjectKey, others: Sequence[ObjectKey]) -> Deferred[int]:
        """See :meth:`giftless.interfaces.ISharing.share`."""
        self.asked.append((key, others))
        self.waiting.append(Deferred())
        return self.waiting[-1]


class RecorderTestCase(SQLiteTestCase, CoroutineTestCase):
    """A recorder over a real catalogue, and a clock."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.lines: list[str] = []
        observe(self, self.log)
        self.catalogue = self.build()
        self.recorder = self.make()

    def log(self, event: LogEvent) -> None:
        """Keep a line of the log."""
        self.lines.append(formatEvent(event))

    def make(self, store: Any = None, catalogue: Any = None) -> Recorder:
        """Return a recorder that is started."""
        made = Recorder(
            catalogue or self.catalogue,
            store or MemoryStore(),
            self.clock,
            lambda: THEN + self.clock.seconds(),
        )
        made.startService()
        return made

    def known(self) -> list[Entry]:
        """Return what is in the catalogue."""
        page = self.run_now(self.build().page(EntryQuery(order="stored")))
        return list(page.entries)

    def keys(self) -> set[ObjectKey]:
        """Return the keys of what is in the catalogue."""
        return {entry.key for entry in self.known()}


class RecordingTests(RecorderTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(IObserver, self.recorder)

    def test_an_arrival_is_recorded_a_moment_later(self) -> None:
        self.clock.advance(5)
        self.recorder.observe(stored("a", filename="art/a.psd"))
        self.clock.advance(TOGETHER / 2)
        self.assertEqual(self.known(), [])
        self.clock.advance(TOGETHER / 2)
        at = THEN + 5
        expected = Entry(key_of(b"a"), 10, at, at, "olga", "p#1", "art/a.psd")
        self.assertEqual(self.known(), [expected])

    def test_those_that_come_soon_after_are_recorded_together(self) -> None:
        self.recorder.observe(stored("a"))
        with mock.patch.object(self.catalogue, "record", wraps=self.catalogue.record) as record:
            for number in range(50):
                self.recorder.observe(stored(str(number)))
                self.clock.advance(TOGETHER / 100)
            self.assertEqual(record.call_count, 0)
            self.clock.advance(TOGETHER / 2)
            self.assertEqual(record.call_count, 1)
        self.assertEqual(len(self.known()), 51)

    def test_other_events_are_passed_over(self) -> None:
        self.recorder.observe(LockCreated(Lock("1", repo_of(), "a.psd", "olga", 0, "p#1")))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_are_recorded_in_several_transactions_without_a_pause(self) -> None:
        with mock.patch.object(recorder, "MAX_TOGETHER", 10):
            for number in range(35):
                self.recorder.observe(stored(str(number)))
            self.clock.advance(TOGETHER)
            self.clock.advance(0)
            self.clock.advance(0)
            self.assertEqual(len(self.known()), 30)
            self.clock.advance(TOGETHER)
        self.assertEqual(len(self.known()), 35)

    def test_what_arrives_while_others_are_recorded_comes_next(self) -> None:
        blocking = ManualBlocking()
        around = environment(str(self.directory), self.clock, blocking)
        from giftless.base.database.sqlite import SQLiteOptions
        from giftless.catalogue.sqlite import SQLiteFactory

        slow = SQLiteFactory().build(SQLiteOptions(path=str(self.path)), around)
        self.addCleanup(slow._pool.close)
        made = self.make(catalogue=slow)
        made.observe(stored("a"))
        self.clock.advance(TOGETHER)
        made.observe(stored("b"))
        self.clock.advance(TOGETHER)
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        self.assertEqual(self.keys(), {key_of(b"a")})
        self.clock.advance(TOGETHER)
        blocking.do_next()
        self.assertEqual(self.keys(), {key_of(b"a"), key_of(b"b")})

    def test_what_waits_at_the_end_is_recorded(self) -> None:
        self.recorder.observe(stored("a"))
        self.clock.advance(0)
        self.recorder.observe(stored("b"))
        self.run_now(self.recorder.stopService())
        self.assertEqual(self.keys(), {key_of(b"a"), key_of(b"b")})
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FailureTests(RecorderTestCase):
    """The database is away, or refuses."""

    def take_away(self) -> None:
        """Move the database elsewhere."""
        away = self.directory / "away"
        away.mkdir()
        for file in self.directory.glob("catalogue.sqlite*"):
            shutil.move(file, away)

    def bring_back(self) -> None:
        """Move it back."""
        for file in (self.directory / "away").iterdir():
            shutil.move(file, self.directory)

    def test_what_arrives_meanwhile_is_recorded_when_it_is_back(self) -> None:
        self.recorder.observe(stored("a"))
        self.clock.advance(TOGETHER)
        self.take_away()
        for name in "bcd":
            self.recorder.observe(stored(name))
            self.clock.advance(20)
        self.assertIn("the database of the catalogue fails", self.lines[0])
        self.bring_back()
        self.clock.advance(30)
        self.assertEqual(self.keys(), {key_of(name.encode()) for name in "abcd"})
        self.assertEqual(min(entry.stored_at for entry in self.known()), THEN)

    def test_it_is_tried_less_and_less_often(self) -> None:
        self.recorder.observe(stored("a"))
        self.clock.advance(TOGETHER)
        self.take_away()
        self.recorder.observe(stored("b"))
        self.clock.pump([1] * 600)
        self.assertLess(len(self.lines), 30)
        self.assertGreater(len(self.lines), 15)

    def test_memory_is_bounded_and_it_is_told_how_many_are_lost(self) -> None:
        with mock.patch.object(recorder, "MAX_WAITING", 5):
            self.recorder.observe(stored("a"))
            self.clock.advance(TOGETHER)
            self.take_away()
            for number in range(12):
                self.recorder.observe(stored(str(number)))
            self.clock.advance(1)
            self.bring_back()
            self.clock.advance(30)
        self.assertEqual(
            self.keys(), {key_of(b"a"), *(key_of(str(number).encode()) for number in range(7, 12))}
        )
        self.assertIn("7 objects that were stored while", self.lines[-1])

    def test_it_is_told_what_is_lost_at_the_end(self) -> None:
        self.recorder.observe(stored("a"))
        self.clock.advance(TOGETHER)
        self.take_away()
        self.recorder.observe(stored("b"))
        self.run_now(self.recorder.stopService())
        self.assertIn("1 objects that were stored while", self.lines[-1])

    def test_what_cannot_be_recorded_holds_up_nobody(self) -> None:
        wrong = ObjectStored(key_of(b"huge"), 2**70, "olga", Arrival.STREAMED)
        self.recorder.observe(wrong)
        self.clock.advance(TOGETHER)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.recorder.observe(stored("a"))
        self.clock.advance(TOGETHER)
        self.assertEqual(self.keys(), {key_of(b"a")})


class SharingTests(RecorderTestCase):
    """Equal objects share the bytes of the one that was just verified."""

    def test_those_that_were_verified_share_one_after_the_other(self) -> None:
        store = SharingStore()
        made = self.make(store)
        for name in "xyz":
            made.observe(stored(name, "a/b"))
        self.clock.advance(TOGETHER)
        self.assertEqual(store.asked, [])
        made.observe(stored("x"))
        made.observe(stored("y", arrival=Arrival.CONFIRMED))
        made.observe(stored("z", arrival=Arrival.COMMITTED))
        self.clock.advance(TOGETHER)
        asked = {key_of(b"x"): [key_of(b"x", "a/b")], key_of(b"z"): [key_of(b"z", "a/b")]}
        self.assertEqual(len(store.asked), 1)
        store.waiting[0].errback(StorageUnavailable("not now", 1))
        self.assertEqual(dict(store.asked), asked)
        self.assertIn("cannot share its bytes with equal objects: not now", self.lines[-1])
        ended: list[Any] = []
        self.start(made.stopService()).addBoth(ended.append)
        self.assertEqual(ended, [])
        store.waiting[1].callback(1)
        self.assertEqual(ended, [None])

    def test_recording_does_not_wait_for_it(self) -> None:
        made = self.make(SharingStore())
        made.observe(stored("x", "a/b"))
        made.observe(stored("x"))
        self.clock.advance(TOGETHER)
        made.observe(stored("y"))
        self.clock.advance(TOGETHER)
        self.assertEqual(len(self.known()), 3)
