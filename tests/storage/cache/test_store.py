"""A store in front of which a cache stands keeps what stores promise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.errors import ConfigError, NotFound, ObjectDamaged
from giftless.interfaces import (
    IBlocking,
    ICapacity,
    ICopied,
    ICopying,
    IDeleting,
    IExternalStore,
    IFusedCapacity,
    IInspector,
    IListing,
    IMarking,
    IMultipartStore,
    IProbing,
    ISharing,
    IStorageFactory,
    IStoredFile,
    IStreamingMultipartStore,
    ISurveying,
    IWarming,
)
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.cache.reads import CachedReads
from giftless.storage.cache.store import CachedStore
from giftless.storage.encrypted.keyfile import new_line
from giftless.storage.local.store import LocalStore
from giftless.storage.wrapping import without_copies
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, FusedCapacityContract, StreamingStoreContract
from tests.storage.local import test_parts
from tests.storage.s3.support import S3TestCase
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, altered, read_all
from tests.support.making import key_of, part_builder, put_object
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

KEY = key_of(DATA)


def cached(case: Any, store: Any, blocking: IBlocking | None = None) -> CachedStore:
    """Put a cache in an empty directory in front of a store."""
    builder = part_builder(blocking=blocking)
    reads = CachedReads(
        case.mktemp(), 10**8, blocking or InlineBlocking(), builder.environment.reactor
    )
    reads.entries.make()
    return CachedStore(store, reads)


def local_store(case: Any) -> LocalStore:
    """Return a store in an empty directory, which takes parts of four bytes."""
    os.makedirs(path := case.mktemp())
    return LocalStore(path, "", InlineBlocking(), 4)


class CachedContract(MarkingContract, StreamingStoreContract):
    """Tests over any store."""

    def test_the_second_download_is_a_file(self) -> None:
        self.put(KEY, DATA)
        self.assertEqual(self.get(KEY), DATA)
        stored = self.run_now(self.store.open(KEY))
        self.addCleanup(stored.close)
        verifyObject(IStoredFile, stored)
        self.assertEqual(self.get(KEY), DATA)

    def test_what_is_deleted_is_gone_at_once(self) -> None:
        self.put(KEY, DATA)
        self.get(KEY)
        self.run_now(self.store.delete(KEY))
        self.assertIsNone(self.get(KEY))
        self.put(KEY, DATA)
        self.assertEqual(self.get(KEY), DATA)

    def test_what_is_kept_can_be_examined(self) -> None:
        verifyObject(ICopied, self.store)
        self.put(KEY, DATA)
        self.get(KEY)
        kept: Any = without_copies(self.store)
        self.assertFalse(ICopied.providedBy(kept))
        stored = self.run_now(kept.open(KEY))
        self.addCleanup(stored.close)
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)

    def test_an_object_is_copied_before_somebody_asks(self) -> None:
        verifyObject(IWarming, self.store)
        self.put(KEY, DATA)
        for copied in (len(DATA), 0):
            self.assertEqual(self.run_now(self.store.warm(KEY)), copied)
        self.assertIsNone(self.run_now(self.store.warm(key_of(b"absent"))))
        stored = self.run_now(self.store.open(KEY))
        self.addCleanup(stored.close)
        self.assertTrue(IStoredFile.providedBy(stored))
        self.assertEqual(self.run_now(self.store.holdings()).entries, 1)
        self.assertEqual(self.run_now(self.store.drop(KEY.repo, [KEY.oid])), 1)
        self.assertEqual(self.run_now(self.store.recount()).entries, 0)


class CachedLocalTests(CachedContract, FusedCapacityContract, CoroutineTestCase):
    """Over a directory."""

    def make_store(self) -> CachedStore:
        return cached(self, local_store(self))

    def test_all_is_passed_on_that_leads_to_the_same_objects(self) -> None:
        for interface in (
            *(ICapacity, ICopying, IDeleting, IFusedCapacity, IListing, IMarking, IProbing),
            *(ISharing, IStreamingMultipartStore, ISurveying),
        ):
            verifyObject(interface, self.store)
        self.assertFalse(IExternalStore.providedBy(self.store))


class CachedMemoryTests(CachedContract, CoroutineTestCase):
    """Over memory."""

    def make_store(self) -> CachedStore:
        self.inner = MemoryStore()
        return cached(self, self.inner)

    def test_nothing_is_passed_on_that_the_store_cannot_do(self) -> None:
        for interface in (ICapacity, IInspector, IProbing, IMultipartStore, ISharing):
            self.assertFalse(interface.providedBy(self.store))

    def test_everything_that_was_opened_is_closed(self) -> None:
        self.put(KEY, DATA)
        for _ in range(3):
            self.get(KEY)
        stored = self.run_now(self.store.open(KEY))
        stored.close()
        self.assertTrue(all(each.closed for each in self.inner.opened))
        self.assertEqual(len(self.inner.opened), 4)

    def test_a_marked_object_is_refused_whatever_is_cached(self) -> None:
        self.put(KEY, DATA)
        self.get(KEY)
        self.mark()
        self.assert_fails(ObjectDamaged, self.store.open(KEY))
        self.assert_fails(ObjectDamaged, self.store.warm(KEY))

    def test_what_disappears_between_two_looks_is_absent(self) -> None:
        self.put(KEY, DATA)
        real = self.store._reads.open

        async def late(*arguments: Any) -> Any:
            source = arguments[-1]
            source.close()
            self.inner.objects.clear()
            return await real(*arguments)

        self.patch(self.store._reads, "open", late)
        self.assertIsNone(self.get(KEY))

    def test_a_damaged_object_of_the_store_is_told_to_who_examines_it(self) -> None:
        self.put(KEY, DATA)
        self.get(KEY)
        self.inner.add(KEY, altered(DATA))
        self.assertEqual(self.get(KEY), DATA)
        kept: Any = without_copies(self.store)
        stored = self.run_now(kept.open(KEY))
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), altered(DATA))


class CachedS3Tests(S3TestCase, CachedContract):
    """Over S3."""

    def setUp(self) -> None:
        super().setUp()
        self.store = cached(self, self.build(mode="proxy"), self.environment().blocking)
        # What comes without a reader uses a connection.
        self.addCleanup(lambda: self.run_now(self.store._reads.stopService()))

    def test_a_damaged_object_is_replaced(self) -> None:
        """The store refuses what is not the object, so the damage comes from elsewhere."""
        path = self.server.buckets / self.bucket / KEY.path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"damaged")
        self.assertEqual(self.sizes(KEY), [7])
        self.put(KEY, DATA)
        self.assertEqual(self.get(KEY), DATA)


def built(case: Any, section: dict[str, Any]) -> Any:
    """Build a store that a section describes."""
    return part_builder(case.mktemp()).build(IStorageFactory, section, "storage")


class CompressedOverCacheTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """What is compressed is kept in the cache as it is."""

    def make_store(self) -> Any:
        self.directory, self.path = self.mktemp(), self.mktemp()
        inner = {"type": "local", "path": self.directory}
        cache = {"type": "cache", "path": self.path, "limit": "1G", "store": inner}
        return built(self, {"type": "compressed", "store": cache})

    def test_the_cache_is_used(self) -> None:
        self.put(KEY, DATA)
        for _ in range(2):
            self.assertEqual(self.get(KEY), DATA)
        files = [path.name for path in Path(self.path).rglob("*") if path.is_file()]
        self.assertIn(KEY.oid, files)

    def test_whoever_examines_reads_the_store_itself(self) -> None:
        verifyObject(ICopied, self.store)
        self.put(KEY, DATA)
        self.get(KEY)
        stored = Path(self.directory, KEY.path)
        stored.write_bytes(altered(stored.read_bytes(), 600))
        self.assertEqual(self.get(KEY), DATA)

        async def examine() -> bytes:
            kept: Any = without_copies(self.store)
            opened = await kept.open(KEY)
            return await read_all(opened.read(0, opened.size))

        self.assert_fails(ObjectDamaged, examine())


class CacheOverCompressedTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """What the cache keeps can be sent as it is."""

    def make_store(self) -> Any:
        inner = {"type": "compressed", "store": {"type": "local", "path": self.mktemp()}}
        self.path = self.mktemp()
        return built(self, {"type": "cache", "path": self.path, "limit": "1G", "store": inner})

    def test_the_cache_keeps_plaintext(self) -> None:
        self.put(KEY, DATA)
        self.get(KEY)
        (kept,) = Path(self.path, "entries").glob("*/*")
        self.assertEqual(kept.read_bytes(), DATA)


class EncryptedOverCacheTests(CoroutineTestCase):
    def test_keys_are_rotated_under_a_cache(self) -> None:
        """What it has kept under the old key is of no use then, and does no harm."""
        place = Path(self.mktemp())
        place.mkdir()
        inner = {"type": "local", "path": self.mktemp()}
        cache = {"type": "cache", "path": self.mktemp(), "limit": "1G", "store": inner}

        lines = {name: new_line(name) for name in ("old", "new")}

        def store(*ids: str) -> Any:
            """Build the store, with keys of these ids."""
            (place / "keys").write_bytes(b"".join(lines[name] for name in ids))
            (place / "keys").chmod(0o600)
            keys = {"type": "file", "path": str(place / "keys")}
            return built(self, {"type": "encrypted", "store": cache, "keys": keys})

        def get(store: Any) -> bytes:
            opened = self.run_now(store.open(KEY))
            self.addCleanup(opened.close)
            return self.run_now(read_all(opened.read(0, opened.size)))

        first = store("old")
        self.run_now(put_object(first, KEY, len(DATA), ListBody([DATA]), {}))
        for _ in range(2):
            self.assertEqual(get(first), DATA)
        both = store("old", "new")
        self.assertEqual(get(both), DATA)
        self.assertIs(self.run_now(both.rewrap(KEY)), True)
        self.assertEqual(get(both), DATA)
        last = store("new")
        for _ in range(2):
            self.assertEqual(get(last), DATA)


class CachedPartsTests(test_parts.LocalMultipartContractTests):
    """Objects are made of parts."""

    async def make_store(self) -> Any:
        os.makedirs(path := self.mktemp())
        return cached(self, LocalStore(path, "", InlineBlocking(), self.part_size))


class CachedListTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """Lists, copies and the trash."""

    async def make_store(self) -> CachedStore:
        self.directory = self.mktemp()
        os.makedirs(self.directory)
        return cached(self, LocalStore(self.directory, "", InlineBlocking(), 4))

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        await put_object(self.store, key, len(data), ListBody([data]), extras or {})

    async def add_foreign(self, path: str) -> None:
        place = Path(self.directory, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"foreign")


class FactoryTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def build(self, **section: Any) -> Any:
        """Build what a section describes."""
        options = {"type": "cache", "path": self.path, "limit": "1G", "store": self.local()}
        builder = part_builder(self.mktemp())
        self.services = builder.environment.services
        return builder.build(IStorageFactory, {**options, **section}, "storage")

    def local(self) -> dict[str, str]:
        """Return the section of a store on a disk."""
        return {"type": "local", "path": self.mktemp()}

    def problem(self, **section: Any) -> str:
        """Return why a section cannot be built."""
        return str(self.assertRaises(ConfigError, self.build, **section))

    def test_the_directory_is_made_for_its_owner_alone(self) -> None:
        store = self.build()
        verifyObject(IWarming, store)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o700)
        self.assertEqual(self.run_now(store.holdings()).limit, 10**9)

    def test_it_is_started_and_stopped_with_the_daemon(self) -> None:
        self.build()
        self.services.startService()
        self.successResultOf(self.services.stopService())

    def test_signed_urls_would_lead_past_it(self) -> None:
        keys = {"access_key_id": "id", "secret_access_key": "secret"}
        s3 = {"type": "s3", "bucket": "one", "region": "us-east-1", **keys}
        self.assertIn("storage.store: clients would go past the cache", self.problem(store=s3))
        self.assertIn("mode: proxy", self.problem(store=s3))
        self.build(store={**s3, "mode": "proxy"})

    def test_its_directory_is_not_in_a_store(self) -> None:
        """Its copies would be objects of repositories there, as plaintext even if it is sealed."""
        store = self.local()
        os.symlink(os.path.abspath(store["path"]), link := self.mktemp())
        for path in (store["path"], os.path.join(store["path"], "acme", "cache"), link):
            self.assertIn("storage.path: lies in a storage", self.problem(store=store, path=path))
        self.assertEqual(os.listdir(store["path"]), [".giftless"])

    def test_a_cache_of_a_cache_gains_nothing(self) -> None:
        inner = {"type": "cache", "path": self.mktemp(), "limit": 1, "store": self.local()}
        self.assertIn("storage.store.type: has a cache already", self.problem(store=inner))
        moving = {"type": "moving", "to": inner, "from": self.local()}
        self.assertIn("has a cache already", self.problem(store=moving))

    def test_a_limit_is_needed_and_more_than_nothing(self) -> None:
        self.assertIn("storage.limit: is 0", self.problem(limit=0))
        self.assertIn("a size such as", self.problem(limit="lots"))
        self.assertIn("a size such as", self.problem(limit=-1))

    def test_what_is_no_directory_is_refused(self) -> None:
        Path(self.path).write_bytes(b"")
        self.assertIn("storage.path", self.problem())
        os.unlink(self.path)
        os.makedirs(self.path)
        os.symlink("/tmp", os.path.join(self.path, "entries"))
        self.assertIn("Not a directory", self.problem())

    def test_a_link_to_a_directory_is_as_good(self) -> None:
        os.makedirs(elsewhere := self.mktemp())
        os.symlink(os.path.abspath(elsewhere), self.path)
        self.build()
        self.assertEqual(os.listdir(elsewhere), ["entries"])


class NothingTests(CoroutineTestCase):
    def test_an_object_that_disappears_behind_the_cache_is_not_found(self) -> None:
        reads = cached(self, MemoryStore())._reads

        async def nothing() -> None:
            return None

        self.assert_fails(NotFound, reads.open(key_of(b""), 0, {}, nothing))
