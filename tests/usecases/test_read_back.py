"""Objects are read back after a commit, if their store compares no digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.base.whole_object import READ_ATTEMPTS, READ_DELAY
from giftless.errors import (
    ConfigError,
    Conflict,
    ObjectDamaged,
    PayloadTooLarge,
    ServiceUnavailable,
)
from giftless.interfaces import (
    Arrival,
    IBody,
    IDeleting,
    Identity,
    IMultipartStore,
    IReadableStore,
    ObjectDeleted,
    ObjectMarked,
    ObjectStored,
    PartUpload,
    Payload,
    Ticket,
)
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Extras, ObjectKey
from giftless.usecases.authorization import Gate
from giftless.usecases.multipart import MultipartServer
from giftless.usecases.read_back import ReadBack
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, payload_of, writer
from tests.support.memory import ExternalStore, MemoryObject, MemoryStore
from tests.support.run import CoroutineTestCase

#: Several of the chunks that an object of a :class:`MemoryStore` is read in.
DATA = bytes(range(256)) * 1024

KEY = key_of(DATA)

AWAY = ServiceUnavailable("the storage does not answer", 30)


class FlakyStore(MemoryStore):
    """A store whose downloads break off.

    :ivar failures: for each download, how many chunks come before it breaks off;
        ``None`` if it does not.
    :ivar read: where each download began, in bytes.
    :ivar deletions: what ``delete`` raises, if set.
    :ivar marks: what ``mark`` raises, if set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[int | None] = []
        self.read: list[int] = []
        self.deletions: Exception | None = None
        self.marks: Exception | None = None

    async def open(self, key: ObjectKey) -> MemoryObject | None:
        found = await super().open(key)
        if found is not None:
            whole = found.read

            def read(start: int, end: int) -> IBody:
                self.read.append(start)
                chunks = self.failures.pop(0) if self.failures else None
                if chunks is None:
                    return whole(start, end)
                step = found.chunk_size
                sent = [DATA[start + n * step : start + (n + 1) * step] for n in range(chunks)]
                return ListBody(sent, AWAY)

            found.read = read  # type: ignore[method-assign]
        return found

    async def delete(self, key: ObjectKey) -> None:
        if self.deletions is not None:
            raise self.deletions
        await super().delete(key)

    async def mark(self, key: ObjectKey, reason: str) -> None:
        if self.marks is not None:
            raise self.marks
        await super().mark(key, reason)


class ReadBackTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = FlakyStore()
        self.recorder = Recorder()
        self.read_back = ReadBack(
            self.store, InlineBlocking(), self.clock, events_to(self.recorder)
        )

    def verify(self, payload: Payload | None = None) -> Any:
        """Begin to read the object back."""
        return self.start(self.read_back.verify(KEY, payload or payload_of(DATA), writer()))

    def assert_closed(self) -> None:
        """Fail if an opened object has not been closed."""
        self.assertTrue(self.store.opened)
        self.assertTrue(all(stored.closed for stored in self.store.opened))

    def test_the_right_object_stays(self) -> None:
        self.store.add(KEY, DATA)
        self.assertIsNone(self.successResultOf(self.verify()))
        self.assertEqual(self.store.get(KEY), DATA)
        self.assertEqual(self.recorder.seen, [])
        self.assert_closed()

    def test_a_wrong_object_is_marked(self) -> None:
        """So it is refused to everybody, and taken again from whoever uploads it."""
        self.store.add(KEY, DATA[:-1] + b"x")
        error = self.failureResultOf(self.verify(), Conflict).value
        reason = error.message.removesuffix("; send all again")
        self.assertEqual(self.recorder.take(), [ObjectMarked(KEY, "will", reason, "#will")])
        self.assertIn(reason, str(self.assert_fails(ObjectDamaged, self.store.open(KEY))))
        self.assert_closed()

    def test_a_wrong_object_that_cannot_be_marked_now_is_503(self) -> None:
        self.store.add(KEY, b"wrong")
        self.store.marks = AWAY
        self.assertIs(self.failureResultOf(self.verify(), ServiceUnavailable).value, AWAY)
        self.assertEqual(self.recorder.seen, [])

    def test_a_wrong_object_that_is_too_large_to_be_marked_is_deleted(self) -> None:
        self.store.marks = PayloadTooLarge("too large to be marked")
        for wrong, word in (
            (DATA[:-1] + b"x", "SHA-256"),
            (DATA[:-1], "bytes"),
            (DATA + b"x", "more than"),
            (b"", "bytes"),
        ):
            self.store.add(KEY, wrong)
            error = self.failureResultOf(self.verify(), Conflict).value
            self.assertIn("the parts are not the object", error.message)
            self.assertIn(word, error.message)
            self.assertIn("send all again", error.message)
            self.assertIsNone(self.store.get(KEY))
            reason = error.message.removesuffix("; send all again")
            self.assertEqual(self.recorder.take(), [ObjectDeleted(KEY, "will", reason, "#will")])
            self.assert_closed()

    def test_what_is_not_known_is_not_compared(self) -> None:
        self.store.add(KEY, b"something else")
        self.successResultOf(self.verify(Payload()))
        self.successResultOf(self.verify(Payload(len(b"something else"))))
        self.failureResultOf(self.verify(Payload(3)), Conflict)

    def test_an_object_that_is_gone_is_409(self) -> None:
        error = self.failureResultOf(self.verify(), Conflict).value
        self.assertIn("deleted meanwhile", error.message)

    def test_reading_goes_on_where_it_broke_off(self) -> None:
        self.store.add(KEY, DATA)
        self.store.failures = [1, 2, None]
        verified = self.verify()
        for _ in range(2):
            self.assertNoResult(verified)
            self.clock.advance(READ_DELAY)
        self.successResultOf(verified)
        step = MemoryObject.chunk_size
        self.assertEqual(self.store.read, [0, step, 3 * step])
        self.assert_closed()

    def test_a_store_that_sends_nothing_is_given_up(self) -> None:
        """Nobody knows whether the object is wrong, so it stays."""
        self.store.add(KEY, DATA)
        self.store.failures = [0] * READ_ATTEMPTS
        verified = self.verify()
        for _ in range(READ_ATTEMPTS - 1):
            self.assertNoResult(verified)
            self.clock.advance(READ_DELAY)
        self.assertIs(self.failureResultOf(verified, ServiceUnavailable).value, AWAY)
        self.assertEqual(self.store.get(KEY), DATA)
        self.assert_closed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failures_count_only_in_a_row(self) -> None:
        self.store.add(KEY, DATA)
        self.store.failures = [0, 0, 0, 1, 0, 0, 0]
        verified = self.verify()
        for _ in range(7):
            self.clock.advance(READ_DELAY)
        self.successResultOf(verified)

    def test_an_object_that_shrinks_meanwhile_is_wrong(self) -> None:
        self.store.add(KEY, DATA)
        self.store.failures = [1]
        verified = self.verify()
        self.store.add(KEY, b"short")
        self.clock.advance(READ_DELAY)
        self.failureResultOf(verified, Conflict)

    def test_a_store_that_cannot_be_opened_now_is_asked_again(self) -> None:
        self.store.add(KEY, DATA)
        self.store.failure = AWAY
        verified = self.verify()
        self.assertNoResult(verified)
        self.store.failure = None
        self.clock.advance(READ_DELAY)
        self.successResultOf(verified)

    def test_a_wrong_object_that_cannot_be_deleted_is_503(self) -> None:
        self.store.marks = PayloadTooLarge("too large to be marked")
        self.store.add(KEY, b"wrong")
        self.store.deletions = AWAY
        self.assertIs(self.failureResultOf(self.verify(), ServiceUnavailable).value, AWAY)
        self.assertEqual(self.recorder.seen, [])


@implementer(IMultipartStore)
class _Parts:  # type: ignore[misc]  # the stores that it is mixed into know sizes
    """Takes parts, and makes of them whatever it is told to.

    :ivar made: the bytes of the object that a commit makes.
    """

    want_digest = ""
    made = DATA

    def __init__(self, reads_back: bool) -> None:
        super().__init__()
        self.reads_back = reads_back

    def plan(self, size: int) -> PartPlan:
        return PartPlan(size, size)

    async def begin(
        self, key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> tuple[PartUpload, Sequence[Part]]:
        return PartUpload("", plan), []

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        self.told = payload
        self.make(key)

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.abort`."""

    def make(self, key: ObjectKey) -> None:
        """Keep the object."""


class PartsStore(_Parts, MemoryStore):
    """One that can be read, and marks and deletes."""

    def make(self, key: ObjectKey) -> None:
        self.add(key, self.made)


class UnreadableStore(_Parts, ExternalStore):
    """One that clients alone can read."""


@implementer(IReadableStore)
class LastingStore(_Parts, ExternalStore):
    """One that can be read, and neither marks nor deletes."""

    async def open(self, key: ObjectKey) -> None:
        return None


class CommitTests(CoroutineTestCase):
    def commit(self, store: _Parts) -> None:
        """Commit an upload of the object."""
        self.recorder = Recorder()
        events = events_to(self.recorder)
        server = MultipartServer(store, None, InlineBlocking(), Gate(), Clock(), events)
        upload = PartUpload("", PartPlan(len(DATA), len(DATA)))
        ticket = Ticket("commit", len(DATA), {}, upload)
        identity = Identity("will", RepoGrants(READ_WRITE), ticket=ticket)
        self.run_now(server.commit(identity, KEY))

    def test_the_store_is_told_what_is_stored(self) -> None:
        store = PartsStore(False)
        verifyObject(IMultipartStore, store)
        self.commit(store)
        self.assertEqual(store.told, Payload(len(DATA), KEY.oid))
        self.assertEqual(store.opened, [])

    def test_an_object_is_read_back_if_the_store_asks_for_it(self) -> None:
        store = PartsStore(True)
        self.commit(store)
        self.assertEqual(len(store.opened), 1)
        self.assertEqual(store.get(KEY), DATA)
        store.made = b"wrong"
        self.assertRaises(Conflict, self.commit, store)
        self.assert_fails(ObjectDamaged, store.open(KEY))

    def test_a_commit_is_an_arrival_once_the_object_is_known_to_be_right(self) -> None:
        arrived = ObjectStored(KEY, len(DATA), "will", Arrival.COMMITTED, "#will")
        for reads_back in (False, True):
            self.commit(PartsStore(reads_back))
            self.assertEqual(self.recorder.seen, [arrived])
        store = PartsStore(True)
        store.made = b"wrong"
        self.assertRaises(Conflict, self.commit, store)
        (marked,) = self.recorder.seen
        self.assertIsInstance(marked, ObjectMarked)

    def test_a_store_that_cannot_be_read_back_is_refused_at_start(self) -> None:
        for store, word in (
            (UnreadableStore(True), "lets the daemon read no objects"),
            (LastingStore(True), "can neither mark nor delete objects"),
        ):
            with self.assertRaises(ConfigError) as caught:
                MultipartServer(store, None, InlineBlocking(), Gate(), Clock())
            self.assertEqual(caught.exception.path, "storage")
            self.assertIn(word, caught.exception.problem)

    def test_a_store_that_needs_no_reading_back_may_lack_both(self) -> None:
        store = UnreadableStore(False)
        self.assertFalse(IDeleting.providedBy(store))
        MultipartServer(store, None, InlineBlocking(), Gate(), Clock())
