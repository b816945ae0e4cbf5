"""Objects move from store to store, while others store and delete them."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.pace import Pace
from giftless.errors import ConfigError, InsufficientStorage, StorageUnavailable
from giftless.interfaces import IAdopting, State
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local.store import LocalStore
from giftless.storage.moving.store import StreamingMovingStore
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.locks import By
from giftless.usecases.migration import migrator as module
from giftless.usecases.migration.copier import MAX_REFUSALS, Copier, Outcome
from giftless.usecases.migration.journal import Journal
from giftless.usecases.migration.migrator import Migrator, check_stores
from giftless.usecases.migration.resurfaced import Resurfaced
from giftless.usecases.migration.runs import Left, Report, RunOptions, Sums
from giftless.usecases.migration.verifying import Verifier
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, altered
from tests.support.making import key_of, put_object, writer
from tests.support.memory import (
    BoundedMemoryStore,
    ExternalStore,
    InspectedMemoryStore,
    MemoryStore,
)
from tests.usecases.moving import DATA, KEY, OPERATOR, MovingTestCase

OTHER = key_of(b"other", "org/other")


class Hooked:
    """A store that does something more before or behind each object that it is given.

    :ivar before: what is done before an object is stored.
    :ivar behind: what is done when it has been stored.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.before: Callable[[ObjectKey], Coroutine[Any, Any, None]] | None = None
        self.behind: Callable[[ObjectKey], Coroutine[Any, Any, None]] | None = None
        self.puts: list[ObjectKey] = []
        self.__provides__ = store.__provides__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: ObjectKey, *arguments: Any) -> None:
        """Store an object."""
        self.puts.append(key)
        if self.before is not None:
            await self.before(key)
        await self._store.put(key, *arguments)
        if self.behind is not None:
            await self.behind(key)


class MigrationTestCase(MovingTestCase):
    """Has an old store (``store``), a new one, and both as one that a daemon serves."""

    def setUp(self) -> None:
        super().setUp()
        os.makedirs(path := self.mktemp())
        self.new: Any = Hooked(LocalStore(path, "", InlineBlocking()))
        self.both = StreamingMovingStore(self.new, self.store)
        self.store, self.old = self.both, self.store  # type: ignore[assignment]
        self.server = self.place()
        self.path = os.path.join(path, ".giftless", "journal.sqlite")
        self.left: list[Left] = []
        self.begun: list[tuple[int, Sums]] = []
        self.bytes = 0

    def add(self, store: Any, data: bytes = DATA, key: ObjectKey | None = None) -> ObjectKey:
        """Store an object in one of the stores."""
        key = key or key_of(data)
        self.run_now(put_object(store, key, len(data), ListBody([data]), {"n": 1}))
        return key

    def get(self, key: ObjectKey = KEY, store: Any = None) -> bytes | None:
        """Return what a store, by default the new one, has of an object."""
        stored = self.run_now((store or self.new).open(key))
        if stored is None:
            return None
        try:
            return os.pread(stored.fileno(), 1_000_000, 0)
        finally:
            stored.close()

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, and let time pass while it waits."""
        results: list[Any] = []
        self.start(coroutine).addBoth(results.append)
        for _ in range(10_000):
            if results:
                if isinstance(results[0], Failure):
                    results[0].raiseException()
                return results[0]
            self.clock.advance(1.0)
        return self.fail("it never ends")

    def passed(self, count: int) -> None:
        """Count bytes."""
        self.bytes += count

    def migrator(self, served: bool = True, source: Any = None, **how: Any) -> Migrator:
        """Return what moves objects, with the journal of the test."""
        blocking, clock = InlineBlocking(), self.clock
        source = self.old if source is None else source
        target = how.pop("target", self.new)
        pace = Pace(None, clock)
        journal = Journal(self.path)
        self.addCleanup(journal.close)
        resurfaced = Resurfaced(self.server.trash, By("giftless migrate"), clock)
        return Migrator(
            source,
            target,
            Copier(source, target, blocking, clock, pace, self.passed),
            Examiner(target, blocking, pace, clock, passed=self.passed),
            journal,
            resurfaced if served else None,
            blocking,
            clock,
            self.options(how.pop("jobs", 3), how.pop("trash", True)),
        )

    def options(self, jobs: int, trash: bool) -> RunOptions:
        """Return how stores are gone through; the test keeps what is told."""
        return RunOptions(
            jobs=jobs,
            trash=trash,
            begins=lambda number, sums: self.begun.append((number, sums)),
            passed=self.passed,
            left=self.left.append,
        )

    def migrate(self, **how: Any) -> Report:
        """Move objects."""
        report: Report = self.finish(self.migrator(**how).run())
        return report


class PassesTests(MigrationTestCase):
    def test_everything_moves_with_its_extras_and_the_trash(self) -> None:
        data = [os.urandom(1000 + number) for number in range(20)]
        keys = [self.add(self.old, each, key_of(each, f"org/{len(each) % 3}")) for each in data]
        trashed = self.add(self.old, b"", in_trash(key_of(b"")))
        report = self.migrate()
        for key, each in zip(keys, data, strict=True):
            self.assertEqual(self.get(key), each)
            self.assertEqual(self.get(key, self.old), each)
        self.assertEqual(self.get(trashed), b"")
        stored = self.run_now(self.new.open(keys[0]))
        self.assertEqual(stored.extras, {"n": 1})
        stored.close()
        total = Sums(21, sum(map(len, data)))
        self.assertEqual((report.source, report.equal, report.target), (total, total, total))
        self.assertEqual((report.copied, report.compared), (total, Sums()))
        self.assertTrue(report.complete)
        self.assertEqual(self.begun, [(1, total), (2, total)])
        self.assertEqual(self.bytes, 2 * total.bytes)

    def test_the_trash_may_stay(self) -> None:
        self.add(self.old)
        self.add(self.old, DATA, in_trash(KEY))
        report = self.migrate(trash=False)
        self.assertEqual(report.source, Sums(1, len(DATA)))
        self.assertIsNone(self.get(in_trash(KEY)))

    def test_what_an_earlier_run_has_verified_is_not_read_again(self) -> None:
        self.add(self.old)
        self.migrate()
        self.new.puts.clear()
        opened: list[ObjectKey] = []

        async def refuse(key: ObjectKey) -> None:
            opened.append(key)

        for store in (self.old, self.new._store):
            self.patch(store, "open", refuse)
        report = self.migrate()
        self.assertEqual((opened, self.new.puts), ([], []))
        self.assertTrue(report.complete)
        self.assertEqual((report.copied, report.compared), (Sums(), Sums()))

    def test_what_was_there_before_is_verified(self) -> None:
        self.add(self.old)
        self.add(self.new)
        self.new.puts.clear()
        report = self.migrate()
        self.assertEqual((report.copied, report.compared), (Sums(), Sums(1, len(DATA))))
        self.assertEqual(self.new.puts, [])

    def test_what_was_there_before_and_is_wrong_is_replaced(self) -> None:
        for wrong in (altered(DATA), DATA[:-1]):
            self.add(self.old)
            self.add(self.new, wrong, KEY)
            os.unlink(self.path) if os.path.exists(self.path) else None
            report = self.migrate()
            self.assertEqual(self.get(), DATA)
            self.assertEqual(report.copied, Sums(1, len(DATA)))
            self.assertTrue(report.complete)

    def test_what_is_lost_in_the_new_store_is_copied_again(self) -> None:
        self.add(self.old)
        self.migrate()
        self.run_now(self.new.delete(KEY))
        self.assertEqual(self.migrate().copied.objects, 1)
        self.assertEqual(self.get(), DATA)

    def test_what_comes_behind_the_first_list_is_taken_by_the_next(self) -> None:
        self.add(self.old)

        async def more(key: ObjectKey) -> None:
            self.new.behind = None
            await put_object(self.old, OTHER, 5, ListBody([b"other"]), {})

        self.new.behind = more
        report = self.migrate()
        self.assertEqual(self.get(OTHER), b"other")
        self.assertEqual((report.passes, report.copied.objects), (3, 2))
        self.assertTrue(report.complete)

    def test_stores_that_cannot_be_used_are_refused(self) -> None:
        store = MemoryStore()
        for pair, words in (
            ((ExternalStore(), store), "FROM: this command cannot list"),
            ((store, ExternalStore()), "TO: this command cannot list"),
        ):
            error = self.assertRaises(ConfigError, check_stores, *pair)
            self.assertIn(words, str(error))


class LeftTests(MigrationTestCase):
    """Objects that cannot be copied."""

    def test_wrong_bytes_stay_and_are_told_once(self) -> None:
        self.add(self.old, altered(DATA), KEY)
        self.add(self.old, b"other", OTHER)
        report = self.migrate()
        self.assertIsNone(self.get())
        self.assertEqual(self.get(OTHER), b"other")
        self.assertEqual(report.left, {"wrong": 1})
        self.assertEqual([(left.key, left.outcome) for left in self.left], [(KEY, Outcome.WRONG)])
        self.assertIn(KEY.oid, self.left[0].problem)
        self.assertFalse(report.complete)

    def test_marked_objects_stay(self) -> None:
        old, new = MemoryStore(), MemoryStore()
        old.add(KEY, DATA)
        self.run_now(old.mark(KEY, "bad bytes"))
        report = self.migrate(source=old, target=new)
        self.assertEqual(report.left, {"damaged": 1})
        self.assertIn("bad bytes", self.left[0].problem)
        self.assertEqual(new.objects, {})

    def test_a_store_that_fails_for_a_moment_is_asked_again(self) -> None:
        self.add(self.old)
        problems = [StorageUnavailable("no answer", 5)] * 3

        async def fail(key: ObjectKey) -> None:
            if problems:
                raise problems.pop()

        self.new.before = fail
        self.assertTrue(self.migrate().complete)
        self.assertEqual((self.get(), self.left), (DATA, []))
        self.assertEqual(self.bytes, 2 * len(DATA))

    def test_an_object_that_fails_again_and_again_is_told(self) -> None:
        self.add(self.old)
        self.add(self.old, b"other", OTHER)

        async def fail(key: ObjectKey) -> None:
            if key == KEY:
                raise StorageUnavailable("no answer", 5)

        self.new.before = fail
        report = self.migrate()
        self.assertEqual(report.left, {"failed": 1})
        self.assertEqual(report.passes, module.MAX_PASSES)
        self.assertEqual(len(self.left), 1)
        self.new.before = None
        self.assertTrue(self.migrate().complete)

    def test_a_store_that_takes_nothing_ends_the_run(self) -> None:
        for number in range(module.MAX_FAILURES + 5):
            self.add(self.old, b"%d" % number)

        async def fail(key: ObjectKey) -> None:
            raise StorageUnavailable("no answer", 5)

        self.new.before = fail
        with self.assertRaises(StorageUnavailable) as caught:
            self.migrate()
        self.assertIn("in a row could not be copied", caught.exception.message)

    def test_a_store_that_cannot_be_listed_ends_the_run(self) -> None:
        store = MemoryStore()
        store.failure = StorageUnavailable("no answer", 5)
        self.assertRaises(StorageUnavailable, self.migrate, source=store)

    def test_a_full_store_ends_the_run_and_the_next_one_goes_on(self) -> None:
        for number in range(10):
            self.add(self.old, b"%d" % number * 100)
        new = BoundedMemoryStore(350)
        self.assertRaises(InsufficientStorage, self.migrate, target=new)
        self.assertEqual(len(new.objects), 3)
        new.capacity = 10_000
        report = self.migrate(target=new)
        self.assertTrue(report.complete)
        self.assertEqual(report.copied.objects, 7)


class DeletedTests(MigrationTestCase):
    """What is deleted while it is copied stays deleted, and nothing else does."""

    def remove(self, key: ObjectKey = KEY) -> Coroutine[Any, Any, Any]:
        """Move an object into the trash, as an operator does."""
        return self.server.trash.discard([key], "a secret", OPERATOR)

    def test_what_is_deleted_before_its_copy_appears_never_appears(self) -> None:
        self.add(self.old)

        async def remove(key: ObjectKey) -> None:
            if key == KEY:
                await self.remove()

        self.new.before = remove
        report = self.migrate()
        self.assertIsNone(self.get())
        self.assertEqual(self.get(in_trash(KEY)), DATA)
        self.assertEqual((report.copied.objects, report.removed), (1, 0))
        self.assertTrue(report.complete)

    def test_what_is_deleted_just_when_its_copy_appears_goes_into_the_trash(self) -> None:
        self.add(self.old)
        self.know(State.STORED)
        self.resurface(KEY)
        report = self.migrate()
        self.assertEqual(report.removed, 1)
        self.assertIsNone(self.get())
        self.assertEqual(self.get(in_trash(KEY)), DATA)
        entry = self.entry()
        assert entry is not None
        self.assertEqual((entry.state, entry.reason), (State.TRASHED, "a secret"))
        self.assertEqual(entry.moved_by, OPERATOR.name)
        self.assertTrue(report.complete)

    def resurface(self, doomed: ObjectKey) -> None:
        """Delete an object when its copy has been decided on, and before that appears."""
        put = self.new._store.put

        async def late(key: ObjectKey, payload: Any, body: Any, extras: Any) -> None:
            if key != doomed:
                await put(key, payload, body, extras)
                return
            chunks: list[bytes] = []
            while some := await body.read():
                chunks += some
            await self.remove(key)
            await put(key, payload, ListBody(chunks), extras)

        self.patch(self.new._store, "put", late)

    def test_what_is_stored_again_meanwhile_stays(self) -> None:
        self.add(self.old)
        self.know(State.STORED)
        self.resurface(KEY)
        running = self.start(self.migrator().run())
        self.assertFalse(running.called)
        # It waits until the catalogue knows this one.
        self.add(self.both)
        self.know(State.STORED)
        while not running.called:
            self.clock.advance(1.0)
        self.assertTrue(self.successResultOf(running).complete)
        self.assertEqual(self.get(), DATA)

    def test_what_nobody_knows_and_was_deleted_can_be_brought_back(self) -> None:
        """As the object of a repository that was renamed."""
        self.add(self.old)

        async def vanish(key: ObjectKey) -> None:
            if key == KEY:
                await self.old.delete(KEY)

        self.new.behind = vanish
        report = self.migrate()
        self.assertEqual(report.removed, 1)
        self.assertIsNone(self.get())
        self.assertEqual(self.get(in_trash(KEY)), DATA)
        reply = self.run_now(self.server.batch(writer(), "download"))
        self.assertIsNone(reply.objects[0].error)

    def test_what_is_purged_just_when_its_copy_appears_is_gone(self) -> None:
        self.add(self.old, DATA, in_trash(KEY))
        self.know(State.TRASHED, moved_at=1.0)

        async def purge(key: ObjectKey) -> None:
            self.assertEqual(await self.server.trash.purge([KEY], OPERATOR), 1)
            # That was too early for this copy.
            await put_object(self.new._store, key, len(DATA), ListBody([DATA]), {})

        self.new.behind = purge
        report = self.migrate()
        self.assertEqual(report.removed, 1)
        self.assertIsNone(self.get(in_trash(KEY)))
        self.assertIsNone(self.entry())

    def test_what_is_trashed_again_meanwhile_stays_in_the_trash(self) -> None:
        self.add(self.old, DATA, in_trash(KEY))
        self.know(State.TRASHED, moved_at=1.0)

        async def purge(key: ObjectKey) -> None:
            self.new.behind = None
            await self.server.trash.purge([KEY], OPERATOR)
            await put_object(self.new, KEY, len(DATA), ListBody([DATA]), {})
            await self.remove()

        self.new.behind = purge
        self.migrate()
        self.assertEqual(self.get(in_trash(KEY)), DATA)

    def test_a_killed_run_is_finished(self) -> None:
        """It was killed when a copy had appeared, whose source is gone."""
        self.know(State.TRASHED, moved_at=1.0, reason="a secret", moved_by="olga")
        self.add(self.new)
        self.add(self.new, DATA, in_trash(KEY))
        journal = Journal(self.path)
        journal.begin([KEY, OTHER, in_trash(OTHER)])
        journal.close()
        report = self.migrate()
        self.assertEqual(report.removed, 1)
        self.assertIsNone(self.get())
        self.assertEqual(self.get(in_trash(KEY)), DATA)
        self.assertEqual(Journal(self.path).begun(), [])

    def test_nothing_is_deleted_where_nobody_serves_both_stores(self) -> None:
        self.add(self.old)

        async def vanish(key: ObjectKey) -> None:
            await self.old.delete(KEY)

        self.new.behind = vanish
        report = self.migrate(served=False)
        self.assertEqual((self.get(), report.removed), (DATA, 0))
        self.assertEqual((report.source.objects, report.target.objects), (0, 1))


@implementer(IAdopting)
class AdoptingStore(InspectedMemoryStore):
    """A store in memory that copies from another one itself.

    :ivar adopted: what it was asked to copy.
    :ivar problem: what it raises instead, if set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[ObjectKey] = []
        self.problem: Exception | None = None

    def adopts(self, store: object) -> bool:
        """See :meth:`giftless.interfaces.IAdopting.adopts`."""
        return isinstance(store, InspectedMemoryStore)

    async def adopt(self, store: Any, key: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.IAdopting.adopt`."""
        self.adopted.append(key)
        if self.problem is not None:
            raise self.problem
        data = store.get(key)
        if data is not None:
            self.add(key, data)
        return data is not None


class AdoptedTests(MigrationTestCase):
    """The new store copies objects of the old one itself."""

    def setUp(self) -> None:
        super().setUp()
        self.from_, self.to = InspectedMemoryStore(), AdoptingStore()
        verifyObject(IAdopting, self.to)

    def move(self) -> Report:
        """Move objects."""
        return self.migrate(source=self.from_, target=self.to)

    def test_objects_are_read_once_and_copied_by_the_store(self) -> None:
        self.from_.add(KEY, DATA)
        self.from_.add(OTHER, b"other")
        self.from_.digests[OTHER] = OTHER.oid
        report = self.move()
        self.assertEqual((set(self.to.adopted), self.to.get(KEY)), ({KEY, OTHER}, DATA))
        self.assertTrue(report.complete)
        # The store vouches for one of them.
        self.assertEqual(len(self.from_.opened), 1)
        self.assertEqual(self.bytes, 2 * (len(DATA) + 5))

    def test_wrong_bytes_are_not_copied(self) -> None:
        self.from_.add(KEY, altered(DATA))
        self.from_.add(OTHER, b"wrong")
        self.from_.digests[OTHER] = KEY.oid
        self.assertEqual(self.move().left, {"wrong": 2})
        self.assertEqual(self.to.adopted, [])

    def test_a_store_that_refuses_gets_the_bytes(self) -> None:
        self.to.problem = StorageUnavailable("no", 5)
        for number in range(10):
            self.from_.add(key_of(b"%d" % number), b"%d" % number)
        self.assertTrue(self.migrate(source=self.from_, target=self.to, jobs=1).complete)
        self.assertEqual((len(self.to.adopted), len(self.to.objects)), (MAX_REFUSALS, 10))

    def test_wrong_bytes_in_the_new_store_are_replaced(self) -> None:
        self.from_.add(KEY, DATA)
        self.to.add(KEY, altered(DATA))
        self.assertTrue(self.move().complete)
        self.assertEqual((self.to.get(KEY), self.to.adopted), (DATA, []))

    def test_what_is_deleted_meanwhile_is_not_copied(self) -> None:
        self.from_.add(KEY, DATA)
        inspect = self.from_.inspect

        async def vanish(key: ObjectKey) -> Any:
            facts = await inspect(key)
            await self.from_.delete(key)
            return facts

        self.patch(self.from_, "inspect", vanish)
        report = self.move()
        self.assertEqual((self.to.objects, report.left), ({}, {}))


class VerifierTests(MigrationTestCase):
    def verify(self, **how: Any) -> Report:
        """Compare the stores."""
        pace = Pace(None, self.clock)
        examiner = Examiner(self.new, InlineBlocking(), pace, self.clock, passed=self.passed)
        options = self.options(2, how.get("trash", True))
        verifier = Verifier(self.old, self.new, examiner, options)
        report: Report = self.finish(verifier.run())
        return report

    def test_equal_stores_are_equal(self) -> None:
        for store in (self.old, self.new):
            self.add(store)
            self.add(store, DATA, in_trash(KEY))
        self.add(self.new, b"more")
        self.new.puts.clear()
        report = self.verify()
        self.assertTrue(report.complete)
        self.assertEqual((report.source.objects, report.target.objects), (2, 3))
        self.assertEqual(self.bytes, 2 * len(DATA))
        self.assertEqual((self.new.puts, self.left), ([], []))

    def test_each_difference_is_told(self) -> None:
        datas = [b"missing", b"cut off", b"altered", b"good"]
        missing, cut, changed, _ = [self.add(self.old, data) for data in datas]
        self.add(self.new, b"cut", cut)
        self.add(self.new, altered(b"altered"), changed)
        self.add(self.new, b"good")
        report = self.verify()
        self.assertEqual(report.left, {"missing": 1, "wrong": 2})
        self.assertEqual({left.key for left in self.left}, {missing, cut, changed})
        self.assertEqual(report.equal, Sums(1, 4))
        self.assertFalse(report.complete)

    def test_the_trash_need_not_be_compared(self) -> None:
        self.add(self.old, DATA, in_trash(KEY))
        self.assertTrue(self.verify(trash=False).complete)
        self.assertFalse(self.verify().complete)


class JournalTests(MigrationTestCase):
    def test_a_journal_outlasts_whoever_is_killed(self) -> None:
        journal = Journal(self.path)
        keys = [KEY, in_trash(KEY), OTHER, in_trash(key_of(b"x", "org"))]
        journal.begin(keys)
        self.assertEqual(set(journal.begun()), set(keys))
        journal.end(keys[:2], keys[:1])
        # Whoever is killed closes nothing.
        again = Journal(self.path)
        self.addCleanup(again.close)
        self.addCleanup(journal.close)
        self.assertEqual(set(again.begun()), set(keys[2:]))
        self.assertEqual(again.verified(keys), {KEY})
