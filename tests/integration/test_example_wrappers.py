"""The example wrappers keep what a store promises, over a disk and over S3."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.interfaces import (
    Arrival,
    Environment,
    IBody,
    ICopying,
    IDeleting,
    IExternalStore,
    IListing,
    IMarking,
    IMultipartStore,
    IObserver,
    IObserverFactory,
    IPartBuilder,
    ISharing,
    IStorageFactory,
    IStoredFile,
    IStreamingStore,
    ObjectServed,
    ObjectStored,
    Payload,
)
from giftless.lfs.objects import Extras, ObjectKey
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.storage.s3.support import S3TestCase
from tests.support.bodies import read_all
from tests.support.examples import load
from tests.support.making import environment, key_of
from tests.support.run import CoroutineTestCase

masked_storage = load("masked_storage")
lru_cache = load("lru_cache")
byte_counter = load("byte_counter")


def build(factory: Any, lent: Environment, **section: Any) -> Any:
    """Build what a section of the configuration describes."""
    return factory.build(convert(section, factory.Options, ""), lent)


class OverLocal(CoroutineTestCase):
    """Wrappers over a directory."""

    make_store: Any

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.mktemp()
        self.store = self.make_store()

    def inner(self) -> dict[str, Any]:
        """Return the section of the store inside."""
        return {"type": "local", "path": self.directory}

    def lent(self) -> Environment:
        """Return what a factory is given."""
        return environment()

    def kept(self) -> list[bytes]:
        """Return what the store inside has of every object."""
        found = Path(self.directory).rglob("?" * 64)
        return [path.read_bytes() for path in found if ".giftless" not in path.parts]


class OverS3(S3TestCase):
    """Wrappers over a bucket, with bytes that pass through the daemon."""

    make_store: Any

    def setUp(self) -> None:
        super().setUp()
        self.store = self.make_store()

    def inner(self) -> dict[str, Any]:
        """Return the section of the store inside."""
        return self.server.options(self.bucket, mode="proxy")

    def lent(self) -> Environment:
        """Return what a factory is given."""
        return self.environment()

    def kept(self) -> list[bytes]:
        """Return what the store inside has of every object."""
        return list(self.server.objects(self.bucket).values())


class MaskedContract(MarkingContract, StreamingStoreContract):
    """The wrapper that changes bytes."""

    def inner(self) -> dict[str, Any]:
        raise NotImplementedError

    def lent(self) -> Environment:
        raise NotImplementedError

    def kept(self) -> list[bytes]:
        raise NotImplementedError

    def make_store(self) -> Any:
        return build(masked_storage.masked, self.lent(), store=self.inner())

    def test_the_store_inside_has_other_bytes_of_another_length(self) -> None:
        self.put(key_of(DATA), DATA)
        (kept,) = self.kept()
        self.assertEqual(len(kept), len(DATA) + len(masked_storage.HEADER))
        self.assertNotIn(DATA[:64], kept)

    def test_it_provides_nothing_that_leads_past_the_mask(self) -> None:
        for interface in (IExternalStore, IMultipartStore):
            self.assertFalse(interface.providedBy(self.store))


class MaskedLocalTests(OverLocal, MaskedContract):
    """Over a directory."""

    def test_what_is_shorter_than_its_header_is_no_object(self) -> None:
        path = Path(self.directory, key_of(DATA).path)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"short")
        self.assertIsNone(self.run_now(self.store.open(key_of(DATA))))
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.get(key_of(DATA)), DATA)


class MaskedS3Tests(OverS3, MaskedContract):
    """Over S3, which is told no digest of the masked bytes."""

    def test_what_streams_to_the_store_comes_back(self) -> None:
        data = os.urandom(3_000_000)
        self.put(key_of(data), data[:1_000_000], data[1_000_000:])
        self.assertEqual(self.get(key_of(data)), data)

    def test_a_store_that_clients_talk_to_is_refused(self) -> None:
        direct = self.server.options(self.bucket, mode="direct")
        error = self.assertRaises(
            ConfigError, build, masked_storage.masked, self.lent(), store=direct
        )
        self.assertEqual(error.path, "store")


class CacheContract(MarkingContract, StreamingStoreContract):
    """The cache."""

    def inner(self) -> dict[str, Any]:
        raise NotImplementedError

    def lent(self) -> Environment:
        raise NotImplementedError

    def make_store(self, max_bytes: int = 10**9) -> Any:
        self.cache = Path(self.mktemp())
        options = {"path": str(self.cache), "max_bytes": max_bytes}
        return build(lru_cache.lru_cache, self.lent(), store=self.inner(), **options)

    def cached(self) -> set[str]:
        """Return the names of the files in the cache."""
        return set(os.listdir(self.cache))

    def test_the_first_whole_download_fills_the_cache(self) -> None:
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.cached(), set())
        self.assertEqual(self.get(key_of(DATA)), DATA)
        self.assertEqual(self.cached(), {key_of(DATA).oid})
        stored = self.run_now(self.store.open(key_of(DATA)))
        self.addCleanup(stored.close)
        verifyObject(IStoredFile, stored)
        self.assertEqual(self.run_now(read_all(stored.read(5, 500))), DATA[5:500])

    def test_a_range_leaves_the_cache_as_it_is(self) -> None:
        self.put(key_of(DATA), DATA)
        stored = self.run_now(self.store.open(key_of(DATA)))
        self.addCleanup(stored.close)
        self.run_now(read_all(stored.read(1, len(DATA))))
        self.assertEqual(self.cached(), set())

    def test_a_download_that_breaks_off_leaves_nothing(self) -> None:
        self.put(key_of(DATA), DATA)
        stored = self.run_now(self.store.open(key_of(DATA)))
        self.run_now(stored.read(0, stored.size).read())
        stored.close()
        self.assertEqual(self.cached(), set())

    def test_what_nobody_has_asked_for_longest_makes_room(self) -> None:
        self.store = self.make_store(max_bytes=250)
        names = {}
        for number, letter in enumerate((b"a", b"b", b"c"), 1):
            data = letter * 100
            self.put(key_of(data), data)
            self.get(key_of(data))
            names[letter] = key_of(data).oid
            if letter != b"c":
                # Clocks of file systems are coarse.
                os.utime(self.cache / names[letter], (number, number))
            if letter == b"b":
                self.get(key_of(b"a" * 100))
        self.assertEqual(self.cached(), {names[b"a"], names[b"c"]})

    def test_what_is_larger_than_the_cache_passes_by(self) -> None:
        self.store = self.make_store(max_bytes=10)
        self.put(key_of(DATA), DATA)
        self.assertEqual(self.get(key_of(DATA)), DATA)
        self.assertEqual(self.cached(), set())

    def test_a_damaged_file_in_the_cache_is_passed_over(self) -> None:
        self.put(key_of(DATA), DATA)
        self.get(key_of(DATA))
        (self.cache / key_of(DATA).oid).write_bytes(b"shorter")
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_a_cache_that_cannot_be_written_harms_no_download(self) -> None:
        self.put(key_of(DATA), DATA)
        os.rmdir(self.cache)
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_a_cache_on_a_disk_that_takes_no_writes_is_read(self) -> None:
        self.put(key_of(DATA), DATA)
        self.get(key_of(DATA))
        self.patch(os, "utime", Mock(side_effect=OSError(errno.EROFS, "read-only")))
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_files_of_others_in_the_directory_stay(self) -> None:
        self.store = self.make_store(max_bytes=100)
        (self.cache / "strange").write_bytes(bytes(200))
        (self.cache / "download.part").write_bytes(bytes(200))
        os.utime(self.cache / "strange", (1, 1))
        os.utime(self.cache / "download.part", (1, 1))
        data = b"a" * 100
        self.put(key_of(data), data)
        self.assertEqual(self.get(key_of(data)), data)
        self.assertEqual(self.cached(), {"strange", "download.part", key_of(data).oid})


class CacheLocalTests(OverLocal, CacheContract):
    """Over a directory."""


class CacheS3Tests(OverS3, CacheContract):
    """Over S3."""

    def test_a_damaged_object_is_replaced(self) -> None:
        """The store refuses what is not the object, so the damage comes from elsewhere."""
        key = key_of(DATA)
        path = self.server.buckets / self.bucket / key.path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"damaged")
        self.assertEqual(self.sizes(key), [7])
        self.put(key, DATA)
        self.assertEqual(self.get(key), DATA)


class WrappedTrashTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """Both wrappers, one around the other, let the store inside list, copy and delete."""

    async def make_store(self) -> Any:
        self.directory = self.mktemp()
        inner = {"type": "local", "path": self.directory}
        # Built by hand: the examples are no plugins here.
        store = build(lru_cache.lru_cache, environment(), path=self.mktemp(), store=inner)
        return masked_storage.MaskedStore(store, environment().blocking)

    async def add_foreign(self, path: str) -> None:
        place = Path(self.directory, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"foreign, and longer than a header")

    async def test_what_is_shorter_than_its_header_is_not_listed(self) -> None:
        await self.prepare()
        path = Path(self.directory, key_of(b"x").path)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"short")
        self.assertEqual(await self.listed(), [])

    async def test_equal_objects_share_their_bytes(self) -> None:
        await self.prepare()
        verifyObject(ISharing, self.store)
        one, two = key_of(DATA), key_of(DATA, "org/other")
        for key in (one, two):
            await self.add(key, DATA)
        self.assertEqual(await self.store.share(one, [two]), 1)
        self.assertEqual(await self.bytes_of(two), DATA)

    async def test_a_store_without_an_interface_lends_it_to_no_wrapper(self) -> None:
        plain = masked_storage.MaskedStore(PlainStore(), environment().blocking)
        cached = lru_cache.CachedStore(PlainStore(), lru_cache.Cache("", 1), environment().blocking)
        for store in (plain, cached):
            for interface in (IListing, IDeleting, ICopying, ISharing, IMarking):
                self.assertFalse(interface.providedBy(store), interface)


@implementer(IStreamingStore)
class PlainStore:
    """A store that can do nothing else."""

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        return [None] * len(keys)

    async def open(self, key: ObjectKey) -> None:
        return None

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        raise NotImplementedError


class MaskedCacheTests(OverLocal, MaskedContract):
    """A mask over a cache over a directory: wrappers go to any depth."""

    def lent(self) -> Environment:
        lent = super().lent()
        inner = lru_cache.lru_cache
        parts = lent.parts

        @implementer(IPartBuilder)
        class Parts:
            def build(self, interface: Any, section: Any, key: str) -> Any:
                if section["type"] != "lru-cache":
                    return parts.build(interface, section, key)
                rest = {name: value for name, value in section.items() if name != "type"}
                return build(inner, lent, **rest)

        return Environment(
            lent.reactor, lent.blocking, lent.http_client, lent.state_dir, Parts(), lent.services
        )

    def inner(self) -> dict[str, Any]:
        """Return the section of the store inside."""
        return {"type": "lru-cache", "path": self.mktemp(), "store": super().inner()}


class ByteCounterTests(CoroutineTestCase):
    """The observer."""

    def make(self) -> Any:
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.lent = environment(reactor=self.clock)
        path = str(self.directory)
        return build(byte_counter.byte_counter, self.lent, path=path, interval=10)

    def written(self) -> dict[str, dict[str, int]]:
        """Return what the files say."""
        import json

        (file,) = self.directory.iterdir()
        counts: dict[str, dict[str, int]] = json.loads(file.read_bytes())
        return counts

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IObserverFactory, byte_counter.byte_counter)
        verifyObject(IObserver, self.make())
        verifyObject(IStorageFactory, masked_storage.masked)
        verifyObject(IStorageFactory, lru_cache.lru_cache)

    def test_bytes_are_counted_by_repository(self) -> None:
        counter = self.make()
        self.lent.services.startService()
        one, other = key_of(b"abc", "org/one"), key_of(b"abc", "org/other")
        counter.observe(ObjectStored(one, 3, "will", Arrival.STREAMED))
        counter.observe(ObjectStored(one, 3, "will", Arrival.CONFIRMED))
        counter.observe(ObjectServed(one, 3, 2, False, "rita"))
        counter.observe(ObjectStored(other, 3, "will", Arrival.COMMITTED))
        self.clock.advance(10)
        expected = {"org/one": {"stored": 6, "served": 2}, "org/other": {"stored": 3, "served": 0}}
        self.assertEqual(self.written(), expected)
        counter.observe(ObjectServed(other, 3, 3, True, "rita"))
        stopped: Any = self.lent.services.stopService()
        self.assertIsInstance(stopped, Deferred)
        self.successResultOf(stopped)
        self.assertEqual(self.written()["org/other"], {"stored": 3, "served": 3})

    def test_a_disk_that_is_full_stops_no_counting(self) -> None:
        counter = self.make()
        os.rmdir(self.directory)
        self.run_now(counter.write())
        counter.observe(ObjectServed(key_of(b"abc"), 3, 3, True, "rita"))
        self.assertEqual(counter.counts["org/repo"].served, 3)
