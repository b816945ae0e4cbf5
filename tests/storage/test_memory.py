"""The tests' own store keeps the promises of a storage backend too."""

from __future__ import annotations

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.errors import InsufficientStorage
from giftless.interfaces import IExternalStore, IInspector, ObjectFacts
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import CapacityContract, StreamingStoreContract
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object
from tests.support.memory import (
    BoundedMemoryStore,
    ExternalStore,
    InspectedMemoryStore,
    MemoryStore,
)
from tests.support.run import CoroutineTestCase


class MemoryListingTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    prefix = ""
    tells_time = False

    async def make_store(self) -> MemoryStore:
        return MemoryStore(self.prefix)

    async def add_foreign(self, path: str) -> None:
        self.store.objects[f"{self.prefix}/{path}" if self.prefix else path] = b"foreign"


class MemoryListingWithPrefixTests(MemoryListingTests):
    prefix = "team/a"

    async def test_what_is_not_below_the_prefix_is_left_out(self) -> None:
        await self.prepare()
        self.store.objects[key_of(b"abc", "team/b").path] = b"abc"
        self.assertEqual(await self.listed(), [])


class MemoryStoreTests(MarkingContract, StreamingStoreContract, CoroutineTestCase):
    def make_store(self) -> MemoryStore:
        return MemoryStore()


class MemoryStoreWithPrefixTests(StreamingStoreContract, CoroutineTestCase):
    def make_store(self) -> MemoryStore:
        return MemoryStore("team/a")

    def test_the_prefix_is_in_front_of_every_object(self) -> None:
        self.put(key_of(b"abc"), b"abc")
        self.assertEqual(list(self.store.objects), [f"team/a/{key_of(b'abc').path}"])


class BoundedMemoryStoreTests(StreamingStoreContract, CapacityContract, CoroutineTestCase):
    def make_store(self) -> BoundedMemoryStore:
        return BoundedMemoryStore(10**9)

    def test_what_does_not_fit_is_not_stored(self) -> None:
        store = BoundedMemoryStore(4)
        put = put_object(store, key_of(b"abcde"), 5, ListBody([b"abc", b"de"]), {})
        self.assert_fails(InsufficientStorage, put)
        self.assertEqual(store.objects, {})
        self.assertEqual(store.left, 4)


class InspectedMemoryStoreTests(StreamingStoreContract, CoroutineTestCase):
    def make_store(self) -> InspectedMemoryStore:
        return InspectedMemoryStore()

    def test_it_can_look_closer(self) -> None:
        verifyObject(IInspector, self.store)
        self.assertIsNone(self.run_now(self.store.inspect(key_of(b"abc"))))
        self.put(key_of(b"abc"), b"abc")
        self.assertEqual(self.run_now(self.store.inspect(key_of(b"abc"))), ObjectFacts(3))


class ExternalStoreTests(CoroutineTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(IExternalStore, ExternalStore())
