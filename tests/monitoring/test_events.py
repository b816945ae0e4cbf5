"""What is counted of events."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.interfaces import (
    Arrival,
    BatchAnswered,
    IObserver,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    Refused,
)
from giftless.lfs.locks import Lock
from giftless.lfs.objects import Operation
from giftless.monitoring.events import EventCounter
from tests.support.counting import Counted
from tests.support.making import key_of, repo_of

KEY = key_of(b"x")
LOCK = Lock("1", repo_of(), "a.bin", "will", 0)


class EventCounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counted = Counted()
        self.counter = EventCounter(self.counted.metrics)

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IObserver, self.counter)

    def test_bytes_are_counted_by_the_way_they_came(self) -> None:
        for arrival in Arrival:
            self.counter.observe(ObjectStored(KEY, 2000, "will", arrival))
        self.counter.observe(ObjectStored(KEY, 5, "will", Arrival.STREAMED))
        self.assertEqual(
            self.counted.totals("giftless_transfer_bytes_total"),
            {
                ("upload", "basic"): 2005,
                ("upload", "multipart"): 2000,
                ("upload", "direct"): 2000,
            },
        )
        sizes = self.counted.of("giftless_object_size_bytes")
        self.assertEqual(sizes[("basic",)][:2] + sizes[("basic",)][-1:], [1, 1, 2005])

    def test_what_was_sent_counts_and_not_what_was_asked_for(self) -> None:
        self.counter.observe(ObjectServed(KEY, 100, 40, False, "rita"))
        self.counter.observe(ObjectServed(KEY, 100, 100, True, "rita"))
        self.assertEqual(
            self.counted.totals("giftless_transfer_bytes_total"), {("download", "basic"): 140}
        )
        self.assertEqual(self.counted.totals("giftless_downloads_incomplete_total"), {(): 1})

    def test_objects_of_batches_are_counted_by_result(self) -> None:
        refused = {"no-room": 2, "too-large": 1}
        self.counter.observe(
            BatchAnswered(repo_of(), "will", Operation.UPLOAD, "basic", 5, 7, refused)
        )
        self.counter.observe(BatchAnswered(repo_of(), "will", Operation.DOWNLOAD, "basic", 1, 0))
        self.assertEqual(
            self.counted.totals("giftless_batch_objects_total"),
            {
                ("upload", "transfer"): 5,
                ("upload", "present"): 7,
                ("upload", "refused"): 3,
                ("download", "transfer"): 1,
            },
        )
        self.assertEqual(
            self.counted.totals("giftless_batches_total"),
            {("upload", "basic"): 1, ("download", "basic"): 1},
        )

    def test_refusals_are_counted_by_cause(self) -> None:
        for cause in ("no-room", "not-found", "no-room"):
            self.counter.observe(Refused(cause, 500, "No."))
        self.assertEqual(
            self.counted.totals("giftless_refusals_total"), {("no-room",): 2, ("not-found",): 1}
        )

    def test_locks_and_what_becomes_of_objects_are_counted(self) -> None:
        for event in (
            LockCreated(LOCK),
            LockReleased(LOCK),
            LockForced(LOCK, "ada"),
            ObjectDeleted(KEY, "ada", "old"),
            ObjectTrashed(KEY, 5, "ada", "no branch needs it"),
            ObjectRestored(KEY, 5, "ada"),
            ObjectMarked(KEY, "ada", "bad"),
        ):
            self.counter.observe(event)
        self.assertEqual(
            self.counted.totals("giftless_lock_changes_total"),
            {("created",): 1, ("released",): 1, ("forced",): 1},
        )
        self.assertEqual(self.counted.totals("giftless_objects_deleted_total"), {(): 1})
        self.assertEqual(self.counted.totals("giftless_objects_damaged_total"), {(): 1})
        self.assertEqual(self.counted.totals("giftless_objects_trashed_total"), {(): 1})
        self.assertEqual(self.counted.totals("giftless_objects_restored_total"), {(): 1})

    def test_an_event_that_it_does_not_know_is_passed_over(self) -> None:
        unknown: object = object()
        self.counter.observe(unknown)  # type: ignore[arg-type]  # a later version's
        self.assertEqual(self.counted.totals("giftless_refusals_total"), {})
