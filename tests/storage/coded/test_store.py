"""A store that keeps objects compressed in another one."""

from __future__ import annotations

import dataclasses
import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.bodies import VerifiedBody
from giftless.errors import ConfigError, LengthRequired, ObjectDamaged, ObjectSealed
from giftless.interfaces import (
    Glimpse,
    IEncodedObject,
    IFusedCapacity,
    IInspector,
    IPeeking,
    IStoredFile,
    IStreamingStore,
    ISurveying,
    Payload,
)
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import (
    CompressedFactory,
    CompressedOptions,
    build_coded,
    build_inner,
)
from giftless.storage.coded.frames import FRAME_SIZE
from giftless.storage.coded.head import HEAD_SIZE, MAGIC, Head
from giftless.storage.coded.store import CodedStore
from giftless.storage.encrypted.keyfile import new_line
from giftless.storage.encrypted.sealing import Sealing
from giftless.storage.local.store import LocalStore
from tests.contracts.compressing import CompressingContract
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, FusedCapacityContract, StreamingStoreContract
from tests.storage.encrypted.support import encrypted
from tests.storage.encrypted.test_sealing import Keys
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import environment, key_of, payload_of, put_object
from tests.support.memory import ExternalStore, InspectedMemoryStore, MemoryStore
from tests.support.rounds import rounds
from tests.support.run import CoroutineTestCase

#: Three frames that can be compressed, and as many that cannot.
TEXT = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(80_000))
NOISE = random.Random(20).randbytes(len(TEXT))


def compressed(case: Any, store: Any) -> CodedStore:
    """Return a store that keeps compressed objects in another one."""
    state_dir = os.path.join(case.mktemp(), "state")
    return build_coded(store, load_compression("zstd"), None, environment(state_dir))


def local_store(case: Any, part_size: int = 4) -> LocalStore:
    """Return a store in an empty directory."""
    os.makedirs(path := case.mktemp())
    return LocalStore(path, "", InlineBlocking(), part_size)


@implementer(IStreamingStore)
class SizedStore(InspectedMemoryStore):
    """A store that has to know how many bytes it gets."""

    async def put(self, key: ObjectKey, payload: Payload, body: Any, extras: Extras) -> None:
        if payload.length is None:
            raise LengthRequired("how many?")
        await super().put(key, payload, body, extras)
        assert len(self.get(key) or b"") == payload.length


class LocalContractTests(
    MarkingContract,
    StreamingStoreContract,
    FusedCapacityContract,
    CompressingContract,
    CoroutineTestCase,
):
    """Over a local store."""

    def make_store(self) -> CodedStore:
        return compressed(self, local_store(self))


class SizedContractTests(
    MarkingContract, StreamingStoreContract, CompressingContract, CoroutineTestCase
):
    """Over a store that must know lengths, and can only be asked by opening objects."""

    def make_store(self) -> CodedStore:
        return compressed(self, SizedStore())

    def test_a_body_of_unknown_length_is_stored(self) -> None:
        put = put_object(self.store, key_of(NOISE), None, ListBody([NOISE]), {})
        self.assert_fails(LengthRequired, put)
        self.run_now(put_object(self.store, key_of(DATA), None, ListBody([DATA]), {}))
        self.assertEqual(self.get(key_of(DATA)), DATA)


class AroundSealedContractTests(StreamingStoreContract, CompressingContract, CoroutineTestCase):
    """Around encryption, over a local store."""

    def make_store(self) -> CodedStore:
        return compressed(self, encrypted(self, local_store(self)))


class SealedContractTests(
    MarkingContract, StreamingStoreContract, FusedCapacityContract, CoroutineTestCase
):
    """Sealed and not compressed, over a local store."""

    def make_store(self) -> CodedStore:
        sealing = Sealing(Keys("one"))
        return build_coded(local_store(self), None, sealing, environment(self.mktemp()))


class SealedPackedContractTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """Sealed and compressed, over a store that must know lengths."""

    def make_store(self) -> CodedStore:
        sealing = Sealing(Keys("one"))
        lent = environment(self.mktemp())
        return build_coded(SizedStore(), load_compression("zstd"), sealing, lent)


class ListedTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """Lists, copies and deletions; every other object was stored before."""

    tells_time = False

    async def make_store(self) -> CodedStore:
        self.inner = MemoryStore()
        return compressed(self, self.inner)

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        store: Any = self.inner if int(key.oid, 16) % 2 else self.store
        await put_object(store, key, len(data), ListBody([data]), extras or {})

    async def add_foreign(self, path: str) -> None:
        self.inner.objects[path] = b"foreign"


class MixedTestCase(CoroutineTestCase):
    """Has a store over one in memory, that a test can look into."""

    def setUp(self) -> None:
        self.inner = InspectedMemoryStore()
        self.store = compressed(self, self.inner)

    def put(self, data: bytes) -> ObjectKey:
        """Store an object, as the server does."""
        key, payload = key_of(data), payload_of(data)
        body = VerifiedBody(ListBody([data]), key.oid, len(data), len(data), InlineBlocking())
        self.run_now(self.store.put(key, payload, body, {"n": 1}))
        return key

    def stored(self, key: ObjectKey) -> bytes:
        """Return what is stored of an object."""
        data = self.inner.get(key)
        assert data is not None
        return data

    def get(self, key: ObjectKey, start: int = 0, end: int | None = None) -> bytes:
        """Return an object's bytes, or some of them."""
        opened: Any = self.run_now(self.store.open(key))
        try:
            return self.run_now(read_all(opened.read(start, opened.size if end is None else end)))
        finally:
            opened.close()

    def size(self, key: ObjectKey) -> Any:
        """Ask for a size; an error is told by its class."""
        (size,) = self.run_now(self.store.sizes([key]))
        return size if size is None or isinstance(size, int) else type(size)


class PlainTests(CoroutineTestCase):
    def test_what_cannot_be_compressed_is_stored_without_a_detour(self) -> None:
        """In as many jobs of threads as without the wrapper, and without a copy of its bytes."""
        blocking = InlineBlocking()
        os.makedirs(path := self.mktemp())
        local = LocalStore(path, "", blocking)
        lent = environment(self.mktemp(), blocking=blocking)
        store = build_coded(local, load_compression("zstd"), None, lent)
        for size in (64 * 1024, 256 * 1024, 1024 * 1024, len(NOISE)):
            data = NOISE[:size]
            jobs = []
            for number, each in enumerate((local, store)):
                key = key_of(data, f"org/{number}")
                body = ListBody([data[: size // 2], data[size // 2 :]])
                before = len(blocking.jobs)
                self.run_now(each.put(key, payload_of(data), body, {}))
                jobs.append(len(blocking.jobs) - before)
            self.assertLessEqual(jobs[1], jobs[0])


class FormTests(MixedTestCase):
    def test_what_can_be_compressed_is(self) -> None:
        for data in (TEXT, TEXT[:FRAME_SIZE], TEXT[: FRAME_SIZE + 1], TEXT[:5000]):
            key = self.put(data)
            self.assertLess(len(self.stored(key)), len(data) / 2)
            self.assertEqual(self.get(key), data)
            self.assertEqual(self.size(key), len(data))

    def test_any_zstd_unpacks_what_is_stored(self) -> None:
        import io

        import zstandard

        stored = io.BytesIO(self.stored(self.put(TEXT)))
        reader = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
        self.assertEqual(reader.read(), TEXT)

    def test_what_cannot_be_compressed_stays_as_it_is(self) -> None:
        for data in (NOISE, NOISE[:5000], NOISE[:FRAME_SIZE], b"", b"x", TEXT[:4000]):
            key = self.put(data)
            self.assertEqual(self.stored(key), data)
            self.assertEqual(self.get(key), data)

    def test_an_object_that_begins_like_a_head_comes_back(self) -> None:
        stored = self.stored(self.put(TEXT))
        head = Head(False, False, 9).encode(key_of(b"").oid)
        for data in (
            stored, head, head + b"x" * 9, MAGIC, MAGIC + b"x", MAGIC[:-4] + b"abcd",
            MAGIC + NOISE, stored + NOISE, self.stored(self.put(MAGIC)),
        ):  # fmt: skip
            key = self.put(data)
            self.assertEqual(self.get(key), data)
            self.assertEqual(self.get(key, 1, len(data) - 1), data[1:-1])
            self.assertEqual(self.size(key), len(data))
            fresh = compressed(self, self.inner)
            self.assertEqual(list(self.run_now(fresh.sizes([key]))), [len(data)])

    def test_what_was_stored_before_is_served(self) -> None:
        for data in (TEXT, NOISE, b"", b"x", TEXT[:HEAD_SIZE], TEXT[: HEAD_SIZE - 1]):
            self.inner.add(key := key_of(data), data)
            self.assertEqual(self.get(key), data)
            self.assertEqual(self.size(key), len(data))

    def test_a_plain_file_is_still_a_file(self) -> None:
        store = compressed(self, local_store(self))
        self.run_now(store.put(key := key_of(NOISE), payload_of(NOISE), ListBody([NOISE]), {}))
        opened: Any = self.run_now(store.open(key))
        self.addCleanup(opened.close)
        verifyObject(IStoredFile, opened)

    def test_a_digest_is_told_of_plaintext_alone(self) -> None:
        verifyObject(IInspector, self.store)
        for data in (TEXT, NOISE, b"abc"):
            facts: Any = self.run_now(self.store.inspect(self.put(data)))
            self.assertEqual(facts.size, len(data))
            if data is TEXT:
                self.assertIsNone(facts.sha256)
        self.assertIsNone(self.run_now(self.store.inspect(key_of(b"absent"))))

    def test_sizes_are_looked_up_once(self) -> None:
        keys = [self.put(TEXT), self.put(NOISE)]
        fresh = compressed(self, self.inner)
        for _ in range(2):
            self.inner.opened.clear()
            self.assertEqual(list(self.run_now(fresh.sizes(keys))), [len(TEXT), len(NOISE)])
        self.assertEqual(self.inner.opened, [])

    def test_an_open_object_can_be_sent_as_it_is_stored(self) -> None:
        import zstandard

        store = compressed(self, local_store(self))
        self.run_now(store.put(key := key_of(TEXT), payload_of(TEXT), ListBody([TEXT]), {}))
        opened: Any = self.run_now(store.open(key))
        self.addCleanup(opened.close)
        verifyObject(IEncodedObject, opened)
        self.assertTrue(IStoredFile.providedBy(opened.encoded))
        body = opened.encoded.read(opened.encoded_start, opened.encoded_end)
        data = self.run_now(read_all(body))
        unpack = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        self.assertEqual(unpack.decompress(data), TEXT)

    def test_what_is_encrypted_is_refused_in_words(self) -> None:
        key = key_of(TEXT)
        head = Head(False, True, len(TEXT), "one", b"wrapped", b"m" * 16)
        self.inner.add(key, head.encode(key.oid) + NOISE)
        error = self.assert_fails(ObjectSealed, self.store.open(key))
        self.assertIn("encrypted", str(error))
        self.assertEqual(self.size(key), ObjectSealed)


class RangeTests(MixedTestCase):
    def check(self, data: st.DataObject) -> None:
        """Compare a range of one of some objects with its bytes."""
        if not hasattr(self, "keys"):
            size = 2 * FRAME_SIZE
            whole = (TEXT, TEXT[:size], TEXT[:5000], NOISE, MAGIC + NOISE, b"")
            self.keys = [(each, self.put(each)) for each in whole]
        plain, key = data.draw(st.sampled_from(self.keys))
        edges = st.sampled_from([n * FRAME_SIZE + d for n in range(3) for d in (-57, -1, 0, 1)])
        offsets = st.integers(0, len(plain)) | edges.map(lambda n: min(max(n, 0), len(plain)))
        start, end = sorted((data.draw(offsets), data.draw(offsets)))
        self.assertEqual(self.get(key, start, end), plain[start:end])

    @settings(max_examples=rounds(50, 1000), deadline=None)
    @given(st.data())
    def test_ranges_are_those_of_the_plaintext(self, data: st.DataObject) -> None:
        self.check(data)

    @settings(max_examples=rounds(50, 1000), deadline=None)
    @given(st.data())
    def test_ranges_are_those_of_the_plaintext_if_it_is_sealed(self, data: st.DataObject) -> None:
        lent = environment(self.mktemp()) if not hasattr(self, "keys") else None
        if lent is not None:
            sealing = Sealing(Keys("one"))
            self.store = build_coded(self.inner, load_compression("zstd"), sealing, lent)
        self.check(data)


class HostileTests(MixedTestCase):
    """What somebody has changed in the store is detected, and costs no memory."""

    def damaged(self, key: ObjectKey, stored: bytes) -> None:
        """Fail unless what is stored now is refused."""
        self.assertIsNone(self.read(key, stored))

    def read(self, key: ObjectKey, stored: bytes) -> bytes | None:
        """Return what is served if this is stored; ``None`` if it is refused."""
        self.inner.add(key, stored)
        try:
            return self.get(key)
        except (ObjectDamaged, ObjectSealed):
            return None

    def test_a_file_that_was_cut_off(self) -> None:
        key = self.put(TEXT)
        stored = self.stored(key)
        for length in (*range(16, 520, 7), *range(520, len(stored), 4001), len(stored) - 1):
            self.damaged(key, stored[:length])

    def test_a_changed_byte(self) -> None:
        data = TEXT[:6000]
        key = self.put(data)
        stored = self.stored(key)
        for place in range(len(stored)):
            changed = bytearray(stored)
            changed[place] ^= 1 << place % 8
            # Some bits of a frame's own head mean nothing.
            self.assertIn(self.read(key, bytes(changed)), (None, data))

    def test_something_behind_it(self) -> None:
        key = self.put(TEXT)
        self.damaged(key, self.stored(key) + b"x")

    def test_frames_of_another_order(self) -> None:
        key = self.put(data := TEXT[: 2 * FRAME_SIZE])
        stored = self.stored(key)
        opened: Any = self.run_now(self.store.open(key))
        table = opened._opened._content._table
        (a, b), (_, c) = table.span(0), table.span(1)
        self.assertEqual(a, 0)
        content = stored[HEAD_SIZE:]
        swapped = content[b:c] + content[:b] + content[c:]
        self.inner.add(key, stored[:HEAD_SIZE] + swapped)
        if b != c - b:
            self.damaged(key, stored[:HEAD_SIZE] + swapped)
        self.assertEqual(len(data), 2 * FRAME_SIZE)

    def test_a_frame_that_unpacks_to_more_than_it_may(self) -> None:
        import zstandard

        from giftless.storage.coded.frames import TableWriter

        bomb = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(64 * FRAME_SIZE))
        for said in (FRAME_SIZE, 64 * FRAME_SIZE):
            key = key_of(b"bomb")
            table = TableWriter()
            table.add(len(bomb), said)
            head = Head(True, False, said).encode(key.oid)
            self.damaged(key, head + bomb + table.encode())

    def test_a_size_that_needs_a_large_table(self) -> None:
        key = self.put(TEXT)
        for size in (2**40, 2**62, 2**63 - 1):
            head = Head(True, False, size).encode(key.oid)
            self.damaged(key, head + self.stored(key)[HEAD_SIZE:])


class FactoryTests(CoroutineTestCase):
    def build(self, store: dict[str, Any], **options: Any) -> CodedStore:
        made = CompressedOptions(store=store, **options)
        return CompressedFactory().build(made, environment(self.mktemp()))

    def test_it_builds_a_store(self) -> None:
        os.makedirs(path := self.mktemp())
        store = self.build({"type": "local", "path": path}, compression="zstd:7")
        for interface in (IStreamingStore, IFusedCapacity, ISurveying):
            verifyObject(interface, store)

    def test_a_level_is_checked(self) -> None:
        for text in ("gzip", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:3 ", "", "ZSTD"):
            error = self.assertRaises(ConfigError, load_compression, text)
            self.assertEqual(error.path, "compression")
        for text in ("zstd", "zstd:1", "zstd:19"):
            load_compression(text)

    def test_nothing_is_compressed_twice(self) -> None:
        inner = {"type": "local", "path": self.mktemp()}
        error = self.assertRaises(ConfigError, self.build, {"type": "compressed", "store": inner})
        self.assertEqual(error.path, "store.type")

    def test_signed_urls_would_go_past_it(self) -> None:
        made = environment(self.mktemp())
        parts: Any = type("Parts", (), {"build": lambda *_: ExternalStore()})()
        made = dataclasses.replace(made, parts=parts)
        error = self.assertRaises(ConfigError, build_inner, {}, made, "compression")
        self.assertEqual(error.path, "store")
        self.assertIn("mode: proxy", error.problem)


class NestedContractTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """Compressed, then encrypted, over a cache, over a directory: wrappers go to any depth."""

    def make_store(self) -> CodedStore:
        os.makedirs(path := self.mktemp())
        keys = self.mktemp()
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(new_line("one"))
        cache = {"type": "cache", "path": self.mktemp(), "limit": "10M"}
        inner = {
            "type": "encrypted",
            "keys": {"type": "file", "path": keys},
            "store": {**cache, "store": {"type": "local", "path": path}},
        }
        made = CompressedOptions(store=inner)
        return CompressedFactory().build(made, environment(self.mktemp()))


class PeekTests(CoroutineTestCase):
    def test_a_local_store_shows_how_objects_begin(self) -> None:
        store = local_store(self)
        verifyObject(IPeeking, store)
        for data in (b"x", DATA):
            self.run_now(put_object(store, key_of(data), len(data), ListBody([data]), {}))
        self.run_now(put_object(store, key_of(b"bad"), 3, ListBody([b"bad"]), {}))
        self.run_now(store.mark(key_of(b"bad"), "bad bytes"))
        keys = [key_of(DATA), key_of(b"absent"), key_of(b"x"), key_of(b"bad")]
        found = self.run_now(store.peek(keys, 100))
        self.assertEqual(list(found[:3]), [Glimpse(len(DATA), DATA[:100]), None, Glimpse(1, b"x")])
        self.assertIsInstance(found[3], ObjectDamaged)
