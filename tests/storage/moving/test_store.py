"""Two stores that clients see as one, while objects move from one to the other."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import (
    ConfigError,
    Conflict,
    LFSError,
    ObjectDamaged,
    ServiceUnavailable,
    StorageUnavailable,
)
from giftless.interfaces import (
    ICapacity,
    ICopying,
    IDeleting,
    IExternalStore,
    IFusedCapacity,
    IInspector,
    IListing,
    IMarking,
    IProbing,
    IReadableStore,
    ISharing,
    IStorageFactory,
    IStreamingMultipartStore,
    IStreamingStore,
    IWritableStore,
    ListedObject,
)
from giftless.lfs.objects import Extras, ObjectKey, in_trash
from giftless.storage.local.store import LocalStore
from giftless.storage.moving.direct import DirectMovingStore
from giftless.storage.moving.store import MovingStore, StreamingMovingStore
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import CapacityContract, StreamingStoreContract
from tests.storage.local import test_parts
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, part_builder, payload_of, put_object
from tests.support.memory import ExternalStore, InspectedMemoryStore, MemoryStore
from tests.support.run import CoroutineTestCase

KEY = key_of(b"abc")
OTHER = key_of(b"abc", "other/place")


def local_store(case: Any) -> LocalStore:
    """Return a store in an empty directory, which takes parts of four bytes."""
    os.makedirs(path := case.mktemp())
    return LocalStore(path, "", InlineBlocking(), 4)


class NewObjectsTests(MarkingContract, StreamingStoreContract, CapacityContract, CoroutineTestCase):
    """Everything is in the new store."""

    def make_store(self) -> StreamingMovingStore:
        return StreamingMovingStore(local_store(self), local_store(self))


class OldObjectsTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """Everything has been in the old store before."""

    def make_store(self) -> StreamingMovingStore:
        old = InspectedMemoryStore()
        store = StreamingMovingStore(InspectedMemoryStore(), old)
        store.put = old.put
        return store


class NewPartsTests(test_parts.LocalMultipartContractTests):
    """Parts go to the new store."""

    async def make_store(self) -> Any:
        os.makedirs(path := self.mktemp())
        new = LocalStore(path, "", InlineBlocking(), self.part_size)
        return StreamingMovingStore(new, local_store(self))


class ScatteredTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """Some objects are in the old store, some in the new one, and some in both."""

    tells_time = False

    async def make_store(self) -> StreamingMovingStore:
        self.new, self.old = MemoryStore(), MemoryStore()
        return StreamingMovingStore(self.new, self.old)

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        where = int(key.oid, 16) % 3
        for store in (self.new, self.old) if where == 2 else (self.new,) if where else (self.old,):
            await put_object(store, key, len(data), ListBody([data]), extras or {})

    async def add_foreign(self, path: str) -> None:
        self.old.objects[path] = b"foreign"
        self.new.objects[path] = b"foreign"

    async def test_a_thousand_objects_are_asked_for_by_default(self) -> None:
        """A page has those of one store, so the first one may have few."""
        await self.prepare()
        keys = await self.fill(3)
        first = await self.store.list(None)
        self.assertIsNotNone(first.next_cursor)
        second = await self.store.list(None, first.next_cursor)
        self.assertIsNone(second.next_cursor)
        self.assert_listed([*first.objects, *second.objects], keys)

    async def test_what_moves_meanwhile_is_on_one_page(self) -> None:
        await self.prepare()
        keys = await self.fill(20)
        found: list[ListedObject] = []
        cursor = None
        while True:
            page = await self.store.list(None, cursor, 2)
            found += page.objects
            cursor = page.next_cursor
            for key in keys:
                data = self.old.get(key)
                if data is not None and int(key.oid[:8], 16) % 3 == len(found) % 3:
                    self.new.add(key, data)
            if cursor is None:
                break
        self.assert_listed(found, keys)


class TwoStoresTestCase(CoroutineTestCase):
    """Has a store over two stores in memory, that a test can look into."""

    def setUp(self) -> None:
        self.new, self.old = InspectedMemoryStore(), InspectedMemoryStore()
        self.store = StreamingMovingStore(self.new, self.old)

    def sizes(self, *keys: ObjectKey) -> list[Any]:
        """Ask for sizes; what is an error is told by its class."""
        found = self.run_now(self.store.sizes(keys))
        return [type(size) if isinstance(size, LFSError) else size for size in found]

    def get(self, key: ObjectKey = KEY) -> bytes | None:
        """Read an object."""
        stored: Any = self.run_now(self.store.open(key))
        return None if stored is None else bytes(stored._data)


class ReadingTests(TwoStoresTestCase):
    def test_the_old_store_is_asked_for_the_rest_alone(self) -> None:
        self.new.add(KEY, b"abc")
        self.old.add(OTHER, b"abc")
        absent = key_of(b"absent")
        self.assertEqual(self.sizes(KEY, OTHER, absent), [3, 3, None])
        self.assertEqual(self.old.questions, [[OTHER, absent]])
        self.assertEqual(self.sizes(KEY), [3])
        self.assertEqual(len(self.old.questions), 1)

    def test_the_new_copy_is_read_first(self) -> None:
        self.old.add(KEY, b"old")
        self.assertEqual(self.get(), b"old")
        self.new.add(KEY, b"new")
        self.assertEqual(self.get(), b"new")

    def test_a_damaged_copy_gives_way_to_the_other(self) -> None:
        for damaged, good in ((self.new, self.old), (self.old, self.new)):
            damaged.add(KEY, b"bad")
            self.run_now(damaged.mark(KEY, "bad bytes"))
            good.add(KEY, b"good")
            self.assertEqual(self.sizes(KEY), [4])
            self.assertEqual(self.get(), b"good")
            facts = self.run_now(self.store.inspect(KEY))
            assert facts is not None
            self.assertEqual(facts.size, 4)
            self.run_now(self.store.delete(KEY))

    def test_what_is_damaged_everywhere_is_told_so(self) -> None:
        for stores in ([self.new], [self.old], [self.new, self.old]):
            for store in stores:
                store.add(KEY, b"bad")
                self.run_now(store.mark(KEY, "bad bytes"))
            self.assertEqual(self.sizes(KEY), [ObjectDamaged])
            self.assert_fails(ObjectDamaged, self.store.open(KEY))
            self.assert_fails(ObjectDamaged, self.store.inspect(KEY))
            self.run_now(self.store.delete(KEY))

    def test_objects_are_read_while_the_new_store_is_away(self) -> None:
        self.old.add(KEY, b"abc")
        self.new.failure = StorageUnavailable("no answer", 5)
        self.assertEqual(self.sizes(KEY, OTHER), [3, StorageUnavailable])
        self.assertEqual(self.get(), b"abc")
        self.assert_fails(ServiceUnavailable, self.store.open(OTHER))
        self.assert_fails(ServiceUnavailable, self.store.sizes([OTHER]))
        self.assert_fails(ServiceUnavailable, self.store.inspect(OTHER))

    def test_nothing_is_absent_while_the_old_store_is_away(self) -> None:
        self.new.add(KEY, b"abc")
        self.old.failure = StorageUnavailable("no answer", 5)
        self.assertEqual(self.sizes(KEY, OTHER), [3, StorageUnavailable])
        self.assertEqual(self.get(), b"abc")
        for ask in (self.store.open, self.store.inspect):
            self.assert_fails(ServiceUnavailable, ask(OTHER))
        self.assert_fails(ServiceUnavailable, self.store.sizes([OTHER]))
        self.assert_fails(ServiceUnavailable, self.store.list(None))
        self.assert_fails(ServiceUnavailable, self.store.list(None, "to:"))


class ChangingTests(TwoStoresTestCase):
    def test_what_is_new_goes_to_the_new_store(self) -> None:
        self.run_now(put_object(self.store, KEY, 3, ListBody([b"abc"]), {"n": 1}))
        self.assertEqual((self.new.get(KEY), self.old.get(KEY)), (b"abc", None))

    def test_a_deletion_begins_in_the_old_store(self) -> None:
        """So whoever copies finds out that its source is gone."""
        self.old.add(KEY, b"abc")
        self.new.add(KEY, b"abc")
        self.new.failure = StorageUnavailable("no answer", 5)
        self.assert_fails(StorageUnavailable, self.store.delete(KEY))
        self.assertIsNone(self.old.get(KEY))
        self.new.failure = None
        self.assertEqual(self.sizes(KEY), [3])
        self.run_now(self.store.delete(KEY))
        self.assertEqual(self.sizes(KEY), [None])

    def test_nothing_is_deleted_while_the_old_store_is_away(self) -> None:
        self.new.add(KEY, b"abc")
        self.old.failure = StorageUnavailable("no answer", 5)
        self.assert_fails(StorageUnavailable, self.store.delete(KEY))
        self.assertEqual(self.new.get(KEY), b"abc")

    def test_a_copy_is_made_where_the_object_is(self) -> None:
        for here, there in ((self.new, self.old), (self.old, self.new)):
            here.add(KEY, b"abc")
            self.assertIs(self.run_now(self.store.copy(KEY, OTHER)), True)
            self.assertEqual((here.get(OTHER), there.get(OTHER)), (b"abc", None))
            for key in (KEY, OTHER):
                self.run_now(self.store.delete(key))

    def test_nothing_is_copied_in_the_old_store_that_the_new_one_has(self) -> None:
        self.old.add(KEY, b"abc")
        self.new.add(OTHER, b"abc")
        self.assertIs(self.run_now(self.store.copy(KEY, OTHER)), True)
        self.assertIsNone(self.old.get(OTHER))

    def test_a_wrong_copy_in_the_new_store_gives_way(self) -> None:
        self.old.add(KEY, b"abc")
        self.new.add(OTHER, b"cut o")
        self.assertIs(self.run_now(self.store.copy(KEY, OTHER)), True)
        self.assertEqual(self.get(OTHER), b"abc")
        self.assertEqual(self.sizes(OTHER), [3])

    def test_what_is_damaged_in_the_new_store_is_copied_in_the_old_one(self) -> None:
        for store in (self.new, self.old):
            store.add(KEY, b"abc")
        self.run_now(self.new.mark(KEY, "bad bytes"))
        self.assertIs(self.run_now(self.store.copy(KEY, in_trash(KEY))), True)
        self.assertEqual(self.old.get(in_trash(KEY)), b"abc")

    def test_the_copy_is_marked_that_was_read(self) -> None:
        for store in (self.new, self.old):
            store.add(KEY, b"abc")
        for left in ([3], [ObjectDamaged]):
            self.run_now(self.store.mark(KEY, "bad bytes"))
            self.assertEqual(self.sizes(KEY), left)
        self.run_now(put_object(self.store, KEY, 3, ListBody([b"abc"]), {}))
        self.assertEqual(self.sizes(KEY), [3])

    def test_nothing_is_marked_while_the_new_store_is_away(self) -> None:
        self.old.add(KEY, b"abc")
        self.new.unknown[KEY] = StorageUnavailable("no answer", 5)
        self.assert_fails(StorageUnavailable, self.store.mark(KEY, "bad bytes"))
        self.assertEqual(self.run_now(self.old.sizes([KEY])), [3])


class LocalStoresTests(CoroutineTestCase):
    """What stores on disks can do, and those in memory cannot."""

    def setUp(self) -> None:
        self.new, self.old = local_store(self), local_store(self)
        self.store = StreamingMovingStore(self.new, self.old)

    def put(self, store: Any, key: ObjectKey) -> None:
        """Store an object in one of them."""
        self.run_now(put_object(store, key, 3, ListBody([b"abc"]), {}))

    def test_equal_objects_share_in_the_store_that_has_them(self) -> None:
        for store in (self.old, self.new):
            for key in (KEY, OTHER):
                self.put(store, key)
            self.assertEqual(self.run_now(self.store.share(KEY, [OTHER])), 1)
            self.assertEqual(self.run_now(self.store.share(KEY, [OTHER])), 0)

    def test_equal_objects_in_an_old_store_that_cannot_share_stay(self) -> None:
        old = MemoryStore()
        store = StreamingMovingStore(self.new, old)
        verifyObject(ISharing, store)
        old.add(KEY, b"abc")
        self.assertEqual(self.run_now(store.share(KEY, [OTHER])), 0)

    def test_an_upload_that_began_in_the_old_store_is_committed(self) -> None:
        data = b"0123456789"
        key = key_of(data)
        upload, parts = self.run_now(self.old.begin(key, self.old.plan(10), {}))
        for part in parts:
            body = ListBody([data[part.pos : part.pos + part.size]])
            self.run_now(self.old.put_part(key, upload, part, body))
        self.run_now(self.store.commit(key, upload, payload_of(data), {}))
        self.assertEqual(self.run_now(self.store.sizes([key])), [10])
        self.assertEqual(self.run_now(self.old.sizes([key])), [10])

    def test_an_upload_that_is_nowhere_complete_is_a_conflict(self) -> None:
        data = b"0123456789"
        key = key_of(data)
        new: Any = self.store
        upload, _ = self.run_now(new.begin(key, new.plan(10), {}))
        commit = self.store.commit(key, upload, payload_of(data), {})
        self.assertIn("missing", str(self.assert_fails(Conflict, commit)))
        store = StreamingMovingStore(self.new, MemoryStore())
        commit = store.commit(key, upload, payload_of(data), {})
        self.assertIn("missing", str(self.assert_fails(Conflict, commit)))

    def test_both_are_tried_and_the_old_one_is_only_read(self) -> None:
        old = MemoryStore()
        store = StreamingMovingStore(self.new, old)
        verifyObject(IProbing, store)
        self.run_now(store.probe())
        self.assertEqual((len(old.questions), old.objects), (1, {}))
        old.failure = StorageUnavailable("no answer", 5)
        self.assert_fails(StorageUnavailable, store.probe())
        new = MemoryStore()
        self.run_now(StreamingMovingStore(new, self.old).probe())
        self.assertEqual(len(new.questions), 1)


@implementer(IReadableStore)
class ReadOnlyStore:
    """A store that can be read and nothing else."""

    async def sizes(self, keys: Any) -> Any:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        return [None for _ in keys]

    async def open(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""


@implementer(IWritableStore)
class SigningStore(ExternalStore):
    """A store that clients talk to, and that the daemon itself can use."""

    async def open(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""

    async def put(self, *arguments: Any) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`."""


class AbilityTests(CoroutineTestCase):
    def test_it_can_do_what_both_can(self) -> None:
        both = (IInspector, IListing, IDeleting, IMarking, ICopying)
        store = StreamingMovingStore(InspectedMemoryStore(), InspectedMemoryStore())
        for interface in (*both, IStreamingStore, IWritableStore, IProbing):
            verifyObject(interface, store)
        for pair in ((MemoryStore(), ReadOnlyStore()),):
            lesser = StreamingMovingStore(*pair)
            verifyObject(IStreamingStore, lesser)
            for interface in both:
                self.assertFalse(interface.providedBy(lesser), interface)

    def test_it_can_do_what_belongs_to_the_new_one_alone(self) -> None:
        local = local_store(self)
        new = StreamingMovingStore(local, MemoryStore())
        for interface in (ICapacity, ISharing, IStreamingMultipartStore):
            verifyObject(interface, new)
        self.assertFalse(IFusedCapacity.providedBy(new))
        old = StreamingMovingStore(MemoryStore(), local)
        for interface in (ICapacity, ISharing, IStreamingMultipartStore):
            self.assertFalse(interface.providedBy(old))

    def test_downloads_are_signed_by_the_store_that_has_the_object(self) -> None:
        new, old = SigningStore(), SigningStore()
        store = DirectMovingStore(new, old)
        verifyObject(IExternalStore, store)
        verifyObject(IWritableStore, store)
        self.assertFalse(IStreamingStore.providedBy(store))
        old.present[KEY] = 3
        self.run_now(store.download_action(KEY, 3, 60, {}))
        self.run_now(store.upload_action(OTHER, 3, 60, {}, True))
        self.assertEqual([entry[:2] for entry in old.signed], [("download", KEY)])
        self.assertEqual([entry[:2] for entry in new.signed], [("upload", OTHER)])
        new.present[KEY] = 3
        self.run_now(store.download_action(KEY, 3, 60, {}))
        self.assertEqual(new.signed[-1][:2], ("download", KEY))
        new.damaged[KEY] = ObjectDamaged.because("bad bytes")
        self.run_now(store.download_action(KEY, 3, 60, {}))
        self.assertEqual(len(old.signed), 2)


class FactoryTests(CoroutineTestCase):
    def build(self, **section: Any) -> MovingStore:
        """Build what a section describes."""
        parts = part_builder(self.mktemp())
        store: MovingStore = parts.build(IStorageFactory, {"type": "moving", **section}, "storage")
        self.built = parts.built
        return store

    def local(self) -> dict[str, str]:
        """Return the section of a store on a disk."""
        return {"type": "local", "path": self.mktemp()}

    def test_both_stores_are_built(self) -> None:
        store = self.build(**{"to": self.local(), "from": self.local()})
        self.assertIsInstance(store, StreamingMovingStore)
        self.assertEqual(set(self.built), {"storage", "storage.to", "storage.from"})

    def test_both_stores_that_sign_are_used_directly(self) -> None:
        def s3(bucket: str, mode: str) -> dict[str, str]:
            keys = {"access_key_id": "id", "secret_access_key": "secret"}
            return {"type": "s3", "bucket": bucket, "region": "us-east-1", "mode": mode, **keys}

        self.assertIsInstance(
            self.build(**{"to": s3("one", "direct"), "from": s3("two", "direct")}),
            DirectMovingStore,
        )
        for modes in (("proxy", "direct"), ("direct", "proxy"), ("proxy", "proxy")):
            store = self.build(**{"to": s3("one", modes[0]), "from": s3("two", modes[1])})
            self.assertIsInstance(store, StreamingMovingStore)

    def test_what_cannot_work_is_refused(self) -> None:
        same = self.local()
        error = self.assertRaises(ConfigError, self.build, **{"to": same, "from": dict(same)})
        self.assertIn("storage.to: is the same as 'from'", str(error))
        around = {"type": "cache", "path": "c", "limit": "1G", "store": {**same, "mode": "proxy"}}
        error = self.assertRaises(ConfigError, self.build, **{"to": around, "from": same})
        self.assertIn("storage.to: keeps objects in the same place as 'from'", str(error))
        error = self.assertRaises(ConfigError, self.build, to=same)
        self.assertIn("storage.from: is missing", str(error))
        bad = {"type": "local", "path": same["path"], "prefix": "../x"}
        error = self.assertRaises(ConfigError, self.build, **{"to": same, "from": bad})
        self.assertIn("storage.from.prefix", str(error))
