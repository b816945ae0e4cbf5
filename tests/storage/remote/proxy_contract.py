"""What tests of every store behind HTTP share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from giftless.interfaces import ICheckable, IExternalStore, IInspector, IStreamingStore
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.support.making import key_of
from tests.support.spinning import SpinningTestCase

if TYPE_CHECKING:
    _Mixin = SpinningTestCase
else:
    _Mixin = object


class ProxyStoreContract(StreamingStoreContract):
    """Tests of ``mode: proxy`` over a real server.

    Beside ``make_store``, a test says where the server keeps objects.
    """

    def path_of(self, name: str) -> Path:
        """Return the file that holds the object with this name in the store."""
        raise NotImplementedError

    def test_it_streams_and_does_not_sign(self) -> None:
        for interface in (IStreamingStore, IInspector, ICheckable):
            verifyObject(interface, self.store)
        self.assertFalse(IExternalStore.providedBy(self.store))

    def test_a_damaged_object_is_replaced(self) -> None:
        """What got there without the daemon; it only ever sends what it has verified."""
        key = key_of(DATA)
        path = self.path_of(key.path)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"damaged")
        self.assertEqual(self.sizes(key), [7])
        self.put(key, DATA)
        self.assertEqual(self.get(key), DATA)


def sizes_of(found: Sequence[object]) -> list[object]:
    """Return sizes, with the class of errors for errors."""
    return [type(entry) if isinstance(entry, Exception) else entry for entry in found]
