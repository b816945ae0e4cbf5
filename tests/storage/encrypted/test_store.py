"""A store that keeps objects sealed in another one."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.bodies import VerifiedBody
from giftless.errors import (
    LengthRequired,
    LFSError,
    ObjectDamaged,
    ObjectSealed,
    ServiceUnavailable,
)
from giftless.interfaces import IEncryptedStore, IStreamingStore, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded import opening, views
from giftless.storage.coded.head import HEAD_SIZE
from giftless.storage.encrypted.segments import SEGMENT_SIZE
from giftless.storage.encrypted.store import EncryptedStore
from giftless.storage.local.store import LocalStore
from tests.contracts.compressing import CompressingContract
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, FusedCapacityContract, StreamingStoreContract
from tests.storage.encrypted.support import encrypted, key_file, keys_in
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import environment, key_of, payload_of, put_object, repo_of
from tests.support.memory import InspectedMemoryStore, MemoryStore
from tests.support.rounds import rounds
from tests.support.run import CoroutineTestCase

#: A few segments that cannot be compressed, and as many bytes that can.
NOISE = random.Random(20).randbytes(3 * SEGMENT_SIZE + 17)
TEXT = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(100_000))


def local_store(case: Any) -> LocalStore:
    """Return a store in an empty directory."""
    os.makedirs(path := case.mktemp())
    return LocalStore(path, "", InlineBlocking(), 4)


@implementer(IStreamingStore)
class SizedStore(InspectedMemoryStore):
    """A store that has to know how many bytes it gets."""

    async def put(self, key: ObjectKey, payload: Payload, body: Any, extras: Extras) -> None:
        if payload.length is None:
            raise LengthRequired("how many?")
        await super().put(key, payload, body, extras)
        assert len(self.get(key) or b"") == payload.length


class LocalContractTests(
    MarkingContract, StreamingStoreContract, FusedCapacityContract, CoroutineTestCase
):
    """Over a local store."""

    def make_store(self) -> EncryptedStore:
        return encrypted(self, local_store(self))

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IEncryptedStore, self.store)
        self.assertTrue(self.store.rewraps_in_place)


class CompressedContractTests(
    MarkingContract,
    StreamingStoreContract,
    FusedCapacityContract,
    CompressingContract,
    CoroutineTestCase,
):
    """Over a local store, compressed before."""

    def make_store(self) -> EncryptedStore:
        inner, keys = local_store(self), keys_in(key_file(Path(self.mktemp()), "k"), environment())
        self.only_sealed = encrypted(self, inner, keys)
        return encrypted(self, inner, keys, compression="zstd")

    def put_as_it_was(self, data: bytes) -> ObjectKey:
        key = key_of(data)
        self.run_now(put_object(self.only_sealed, key, len(data), ListBody([data]), {}))
        return key


class SizedContractTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    """Over a store that must know lengths, and can only be asked by opening objects."""

    def make_store(self) -> EncryptedStore:
        return encrypted(self, SizedStore())

    def test_a_body_of_unknown_length_is_stored(self) -> None:
        self.run_now(put_object(self.store, key_of(DATA), None, ListBody([DATA]), {}))
        self.assertEqual(self.get(key_of(DATA)), DATA)


class ListedTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """Lists, copies and deletions; every other object was stored before."""

    tells_time = False

    async def make_store(self) -> EncryptedStore:
        self.inner = MemoryStore()
        return encrypted(self, self.inner)

    async def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        store: Any = self.inner if int(key.oid, 16) % 2 else self.store
        await put_object(store, key, len(data), ListBody([data]), extras or {})

    async def add_foreign(self, path: str) -> None:
        self.inner.objects[path] = b"foreign"


class SealedTestCase(CoroutineTestCase):
    """Has a store over one in memory, that a test can look into."""

    compression: str | None = None

    def setUp(self) -> None:
        self.inner: Any = self.make_inner()
        self.around = environment(reactor=Clock())
        self.path = key_file(Path(self.mktemp()), "old", "primary")
        self.keys = keys_in(self.path, self.around)
        self.store = encrypted(self, self.inner, self.keys, self.compression)

    def make_inner(self) -> Any:
        """Return the store inside."""
        return InspectedMemoryStore()

    def use_keys(self, *numbers: int) -> None:
        """Leave some keys in the file, by their places; let the processes see it."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        if not hasattr(self, "lines"):
            self.lines = lines
        self.path.write_bytes(b"".join(self.lines[number] for number in numbers))
        self.around.reactor.advance(1)  # type: ignore[attr-defined]

    def put(self, data: bytes, path: str = "org/repo") -> ObjectKey:
        """Store an object, as the server does."""
        key, payload = key_of(data, path), payload_of(data)
        body = VerifiedBody(ListBody([data]), key.oid, len(data), len(data), InlineBlocking())
        self.run_now(self.store.put(key, payload, body, {"n": 1}))
        return key

    def stored(self, key: ObjectKey) -> bytes:
        """Return what is stored of an object."""
        data: bytes | None = self.inner.get(key)
        assert data is not None
        return data

    def get(
        self, key: ObjectKey, start: int = 0, end: int | None = None, store: Any = None
    ) -> bytes:
        """Return an object's bytes, or some of them."""
        opened: Any = self.run_now((store or self.store).open(key))
        try:
            return self.run_now(read_all(opened.read(start, opened.size if end is None else end)))
        finally:
            opened.close()

    def key_id(self, key: ObjectKey) -> str:
        """Return the id of the key that has wrapped an object's."""
        (seal,) = self.run_now(self.store.seals([key]))
        assert isinstance(seal, str)
        return seal


class FormTests(SealedTestCase):
    def test_no_byte_of_an_object_is_stored(self) -> None:
        for data in (NOISE, TEXT, b"secret", b"x" * 600):
            stored = self.stored(self.put(data))
            for place in range(0, len(data) - 6, max(1, len(data) // 50)):
                self.assertNotIn(data[place : place + 6], stored[HEAD_SIZE:])

    def test_even_nothing_is_sealed(self) -> None:
        key = self.put(b"")
        self.assertEqual(self.key_id(key), "primary")
        self.assertEqual(self.get(key), b"")

    def test_what_was_stored_before_is_served(self) -> None:
        for data in (TEXT, NOISE, b"", b"x", TEXT[:HEAD_SIZE], TEXT[: HEAD_SIZE - 1]):
            self.inner.add(key := key_of(data), data)
            self.assertEqual(self.get(key), data)
            self.assertEqual(list(self.run_now(self.store.sizes([key]))), [len(data)])
            self.assertEqual(self.key_id(key), "")

    def test_what_is_not_encrypted_can_be_refused(self) -> None:
        store = encrypted(self, self.inner, self.keys, refuses=True)
        self.inner.add(key := key_of(TEXT), TEXT)
        error = self.assert_fails(ObjectSealed, store.open(key))
        self.assertIn("giftless encrypt", error.message)
        self.assertEqual(self.get(key, store=store.anyhow), TEXT)
        self.assertEqual(self.get(self.put(NOISE), store=store), NOISE)

    def test_a_compressed_object_is_not_an_encrypted_one(self) -> None:
        packed = encrypted(self, self.inner, self.keys, "zstd")
        self.assertEqual(packed.anyhow.inner, self.inner)
        from tests.storage.coded.test_store import compressed

        plain = compressed(self, self.inner)
        self.run_now(plain.put(key := key_of(TEXT), payload_of(TEXT), ListBody([TEXT]), {}))
        self.assertEqual(self.key_id(key), "")
        store = encrypted(self, self.inner, self.keys, refuses=True)
        self.assert_fails(ObjectSealed, store.open(key))
        self.assertEqual(self.get(key), TEXT)

    def test_a_lost_key_is_told_in_words(self) -> None:
        key = self.put(NOISE)
        self.use_keys(0)
        error = self.assert_fails(ObjectSealed, self.store.open(key))
        self.assertIn("'primary'", error.message)
        self.assertEqual(list(self.run_now(self.store.sizes([key]))), [len(NOISE)])

    def test_nothing_secret_is_in_a_repr(self) -> None:
        for thing in (self.store, self.keys, self.store.keys):
            text = repr(thing)
            for line in self.path.read_text().split():
                self.assertNotIn(line, text)


class RangeTests(SealedTestCase):
    """Over a file, so that heads are read by the kernel's rules as well."""

    compressions = (None, "zstd")

    @settings(max_examples=rounds(30, 1000), deadline=None)
    @given(st.data())
    def test_ranges_are_those_of_the_plaintext(self, data: st.DataObject) -> None:
        if not hasattr(self, "made"):
            inner = local_store(self)
            stores = [encrypted(self, inner, self.keys, each) for each in self.compressions]
            sizes = (0, 1, SEGMENT_SIZE - 56, SEGMENT_SIZE - 55, len(TEXT))
            self.made = []
            for plain in (NOISE, *(TEXT[:size] for size in sizes)):
                for number, store in enumerate(stores):
                    key = key_of(plain, f"org/repo{number}")
                    self.run_now(store.put(key, payload_of(plain), ListBody([plain]), {}))
                    self.made.append((plain, store, key))
        plain, store, key = data.draw(st.sampled_from(self.made))
        edges = st.sampled_from(
            [n * SEGMENT_SIZE - 56 + d for n in range(4) for d in range(-32, 33, 8)]
        )
        offsets = st.integers(0, len(plain)) | edges.map(lambda n: min(max(n, 0), len(plain)))
        start, end = sorted((data.draw(offsets), data.draw(offsets)))
        self.assertEqual(self.get(key, start, end, store), plain[start:end])


class AttackTests(SealedTestCase):
    """Whoever can write to the store inside cannot make the server give away a wrong byte."""

    def refused(self, key: ObjectKey, stored: bytes) -> None:
        """Check that nothing is served if this is stored."""
        self.inner.add(key, stored)
        try:
            opened: Any = self.run_now(self.store.open(key))
        except LFSError:
            return
        body = opened.read(0, opened.size)
        with self.assertRaises(LFSError):
            self.run_now(read_all(body))
        opened.close()

    def test_every_flipped_bit_is_seen(self) -> None:
        key = self.put(b"a small object")
        stored = self.stored(key)
        for bit in range(8 * len(stored)):
            changed = bytearray(stored)
            changed[bit // 8] ^= 1 << bit % 8
            self.refused(key, bytes(changed))
        self.inner.add(key, stored)
        self.assertEqual(self.get(key), b"a small object")

    def test_every_flipped_bit_of_a_compressed_object_is_seen(self) -> None:
        self.store = encrypted(self, self.inner, self.keys, "zstd")
        key = self.put(b"a" * 5000)
        stored = self.stored(key)
        self.assertLess(len(stored), 1000)
        for bit in range(8 * len(stored)):
            changed = bytearray(stored)
            changed[bit // 8] ^= 1 << bit % 8
            self.refused(key, bytes(changed))

    def test_segments_cannot_be_moved_repeated_or_left_out(self) -> None:
        key = self.put(NOISE)
        stored = self.stored(key)
        head, content = stored[:HEAD_SIZE], stored[HEAD_SIZE:]
        parts = [content[at : at + SEGMENT_SIZE] for at in range(0, len(content), SEGMENT_SIZE)]
        one, two, three, rest = parts
        for wrong in (
            [one, three, two, rest],
            [one, two, two, rest],
            [one, two, rest],
            [one, two, three],
            [one, two, three, rest, rest],
            [one, two, three, three, rest],
            [two, one, three, rest],
            [],
        ):
            self.refused(key, head + b"".join(wrong))

    def test_an_end_cannot_be_cut_off(self) -> None:
        key = self.put(b"a small object")
        stored = self.stored(key)
        # Less than the magic is bytes of an object, as far as anybody can tell.
        for length in range(16, len(stored)):
            self.refused(key, stored[:length])
        self.refused(key, stored + b"x")

    def test_heads_and_contents_of_others_are_refused(self) -> None:
        mine, other = self.put(b"my own object"), self.put(b"another object"[:13])
        one, two = self.stored(mine), self.stored(other)
        self.assertEqual(len(one), len(two))
        self.refused(mine, two)
        self.refused(mine, two[:HEAD_SIZE] + one[HEAD_SIZE:])
        self.refused(mine, one[:HEAD_SIZE] + two[HEAD_SIZE:])

    def test_parts_of_an_older_form_of_the_same_object_are_refused(self) -> None:
        key = self.put(NOISE)
        before = self.stored(key)
        self.put(NOISE)
        after = self.stored(key)
        self.refused(key, before[:HEAD_SIZE] + after[HEAD_SIZE:])
        end = HEAD_SIZE + SEGMENT_SIZE
        self.refused(key, after[:end] + before[end:])

    def test_an_old_head_is_worth_nothing_without_its_key(self) -> None:
        self.use_keys(0)
        key = self.put(b"rotated")
        old = self.stored(key)
        self.use_keys(0, 1)
        self.assertTrue(self.run_now(self.store.rewrap(key)))
        self.use_keys(1)
        self.assertEqual(self.get(key), b"rotated")
        self.refused(key, old)

    def test_no_byte_of_a_wrong_segment_leaves(self) -> None:
        key = self.put(NOISE)
        stored = bytearray(self.stored(key))
        stored[HEAD_SIZE + SEGMENT_SIZE + 5] ^= 1
        self.inner.add(key, bytes(stored))
        opened: Any = self.run_now(self.store.open(key))
        body = opened.read(0, opened.size)
        got = b"".join(self.run_now(body.read()))
        self.assertEqual(got, NOISE[: len(got)])
        self.assertEqual(len(got), SEGMENT_SIZE - 56)
        self.assert_fails(ObjectDamaged, body.read())


class RewrapTests(SealedTestCase):
    """In a store whose objects are copied behind new heads."""

    def old(self, data: bytes) -> ObjectKey:
        """Store an object with the old key."""
        self.use_keys(0)
        key = self.put(data)
        self.use_keys(0, 1)
        return key

    def rewrap(self, key: ObjectKey) -> bool:
        """Wrap an object's key anew."""
        return self.run_now(self.store.rewrap(key))

    def test_the_content_stays_as_it_is(self) -> None:
        key = self.old(NOISE)
        before = self.stored(key)
        self.assertTrue(self.rewrap(key))
        after = self.stored(key)
        self.assertEqual(after[HEAD_SIZE:], before[HEAD_SIZE:])
        self.assertEqual(self.key_id(key), "primary")
        self.use_keys(1)
        self.assertEqual(self.get(key), NOISE)
        opened: Any = self.run_now(self.store.open(key))
        self.assertEqual(opened.extras, {"n": 1})
        opened.close()
        self.assertFalse(self.rewrap(key))

    def test_what_has_no_data_key_is_left_alone(self) -> None:
        for data in (b"", b"x", NOISE):
            key = ObjectKey(repo_of("plain/repo"), key_of(data).oid)
            self.run_now(self.inner.put(key, payload_of(data), ListBody([data]), {}))
            self.assertFalse(self.rewrap(key))
            self.assertEqual(self.stored(key), data)
        self.assertFalse(self.rewrap(key_of(b"absent")))

    def test_a_head_that_is_not_authentic_is_told(self) -> None:
        key = self.old(b"data")
        stored = bytearray(self.stored(key))
        stored[500] ^= 1
        self.run_now(self.inner.put(key, Payload(len(stored)), ListBody([bytes(stored)]), {}))
        self.assert_fails(ObjectDamaged, self.store.rewrap(key))

    def test_a_key_that_is_missing_is_told(self) -> None:
        key = self.old(b"data")
        self.use_keys(1)
        self.assert_fails(ServiceUnavailable, self.store.rewrap(key))
        self.use_keys(0, 1)
        self.assertTrue(self.rewrap(key))

    def test_what_is_deleted_meanwhile_does_not_come_back(self) -> None:
        key = self.old(NOISE)

        self.calls = 0
        real = self.inner.sizes

        async def sizes_then_gone(keys: Any) -> Any:
            self.calls += 1
            if self.calls > 1 and not self.store.rewraps_in_place:
                await self.inner.delete(key)
            return await real(keys)

        self.patch(self.inner, "sizes", sizes_then_gone)
        done = self.rewrap(key)
        self.assertEqual(done, self.store.rewraps_in_place)
        if not done:
            self.assertIsNone(self.inner.get(key))

    def test_what_is_stored_anew_meanwhile_stays(self) -> None:
        key = self.old(b"data")
        real = self.store._rewrapping._replace

        async def replaced(*args: Any) -> bool:
            self.patch(self.store._rewrapping, "_replace", real)
            body = ListBody([b"data"])
            await self.store.put(key, payload_of(b"data"), body, {})
            return await real(*args)

        self.patch(self.store._rewrapping, "_replace", replaced)
        self.assertFalse(self.rewrap(key))
        self.assertEqual(self.key_id(key), "primary")
        self.assertEqual(self.get(key), b"data")


class RewrapInPlaceTests(RewrapTests):
    """In a store that replaces heads."""

    def make_inner(self) -> LocalStore:
        self.top = self.mktemp()
        os.makedirs(self.top)
        store = LocalStore(self.top, "", InlineBlocking())
        return store

    def stored(self, key: ObjectKey) -> bytes:
        return Path(self.top, key.path).read_bytes()

    def test_a_copy_is_rewrapped_with_its_source(self) -> None:
        key = self.old(NOISE)
        copy = ObjectKey(repo_of("other/repo"), key.oid)
        self.assertTrue(self.run_now(self.inner.copy(key, copy)))
        self.assertTrue(self.rewrap(copy))
        self.assertFalse(self.rewrap(key))
        self.use_keys(1)
        self.assertEqual(self.get(key), NOISE)
        self.assertEqual(self.get(copy), NOISE)

    def test_a_head_that_is_read_half_changed_is_read_again(self) -> None:
        """Readers take no lock, so they may see some bytes of two heads."""
        key = self.old(b"data")
        path = Path(self.top, key.path)
        before = path.read_bytes()
        self.assertTrue(self.rewrap(key))
        after = path.read_bytes()
        exactly = views.read_exactly

        async def read_exactly(stored: Any, start: int, end: int) -> bytes:
            data = await exactly(stored, start, end)
            path.write_bytes(after)
            return data

        self.patch(opening, "read_exactly", read_exactly)
        for cut in (26, 27, 30, 60, 91, 92, 100, 130, 200, 496, 500):
            path.write_bytes(before[:cut] + after[cut:])
            self.assertEqual(self.get(key), b"data", cut)

    def test_the_key_may_be_gone_that_a_reader_has_just_seen(self) -> None:
        key = self.old(b"data")
        path = Path(self.top, key.path)
        before = path.read_bytes()
        self.assertTrue(self.rewrap(key))
        after = path.read_bytes()
        self.use_keys(1)
        path.write_bytes(before)
        exactly = views.read_exactly

        async def read_exactly(stored: Any, start: int, end: int) -> bytes:
            data = await exactly(stored, start, end)
            path.write_bytes(after)
            return data

        self.patch(opening, "read_exactly", read_exactly)
        self.assertEqual(self.get(key), b"data")
