"""What every store that compresses must do."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.base.pace import Pace
from giftless.interfaces import ICompressingStore
from giftless.lfs.objects import ObjectKey
from giftless.usecases.migration.copier import Copier
from giftless.usecases.recoding.anew import Anew
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, put_object

#: An object that is worth it, and one that is not.
PACKABLE = b"".join(b"%d bottles of beer on the wall\n" % n for n in range(10_000))
UNPACKABLE = random.Random(20).randbytes(len(PACKABLE))


class CompressingContract:
    """Derive from this beside :class:`tests.contracts.stores.StreamingStoreContract`.

    Override :meth:`put_as_it_was` where the store does more than compress.
    """

    store: Any
    run_now: Any
    put: Any
    get: Any
    assertEqual: Any
    assertTrue: Any

    def put_as_it_was(self, data: bytes) -> Any:
        """Store an object as the store did before it compressed; return its key."""
        key = key_of(data)
        self.run_now(put_object(self.store.inner, key, len(data), ListBody([data]), {}))
        return key

    def compressions(self, *objects: bytes) -> list[Any]:
        """Return what has compressed objects."""
        return list(self.run_now(self.store.compressions([key_of(data) for data in objects])))

    def test_it_tells_what_is_compressed(self) -> None:
        verifyObject(ICompressingStore, self.store)
        for data in (PACKABLE, UNPACKABLE, b"", b"x"):
            self.put(key_of(data), data)
        found = self.compressions(PACKABLE, UNPACKABLE, b"", b"x", b"absent")
        self.assertEqual(found, ["zstd", "", "", "", None])

    def test_it_tells_what_would_be_compressed(self) -> None:
        for data, pays in ((PACKABLE, True), (UNPACKABLE, False), (b"", False), (b"x", False)):
            key = self.put_as_it_was(data)
            self.assertEqual(self.compressions(data), [""])
            self.assertEqual(self.run_now(self.store.compression_pays(key)), pays)
        self.assertEqual(self.run_now(self.store.compression_pays(key_of(b"absent"))), False)

    def test_what_it_tells_is_what_it_does(self) -> None:
        """Otherwise objects would be stored anew by each run."""
        chance = random.Random(7)
        for size in (4095, 4096, 4097, 16_384, 262_143, 262_144, 262_145, 400_000):
            for share in (0.02, 0.04, 0.05, 0.06, 0.08, 0.5):
                noise = chance.randbytes(round(size * (1 - share)))
                data = noise + bytes(size - len(noise))
                key = self.put_as_it_was(data)
                pays = self.run_now(self.store.compression_pays(key))
                self.put(key, data)
                self.assertEqual(self.compressions(data), ["zstd" if pays else ""])

    def store_anew(self, key: ObjectKey) -> None:
        """Store an object in the form that it would have now."""
        clock = Clock()
        around = (InlineBlocking(), clock, Pace(None, clock), lambda _: None)
        anew = Anew(self.store, Copier(self.store, self.store, *around))
        self.assertTrue(self.run_now(anew.store(key)))

    def test_whoever_reads_an_object_meanwhile_goes_on(self) -> None:
        key = self.put_as_it_was(PACKABLE)
        opened: Any = self.run_now(self.store.open(key))
        begun = opened.read(0, len(PACKABLE))
        data = b"".join(self.run_now(begun.read()))
        self.store_anew(key)
        self.assertEqual(self.compressions(PACKABLE), ["zstd"])
        for start, end in ((0, 10), (40_000, 40_100), (0, len(PACKABLE))):
            part = self.run_now(read_all(opened.read(start, end)))
            self.assertEqual(part, PACKABLE[start:end])
        self.assertEqual(data + self.run_now(read_all(begun)), PACKABLE)
        opened.close()

    def test_an_object_is_stored_anew_compressed(self) -> None:
        key = self.put_as_it_was(PACKABLE)
        self.store_anew(key)
        self.assertEqual(self.compressions(PACKABLE), ["zstd"])
        self.assertEqual(self.get(key), PACKABLE)
        self.assertEqual(self.run_now(self.store.sizes([key])), [len(PACKABLE)])
