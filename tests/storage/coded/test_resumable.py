"""Objects that come bit by bit, compressed when all has come."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.interfaces import IClaimedUpload, IResumableStore
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import build_coded
from giftless.storage.coded.head import MAGIC
from giftless.storage.local.factory import LocalFactory, LocalOptions
from tests.contracts.resumable import ResumableContract
from tests.support.making import environment, key_of, payload_of
from tests.support.memory import MemoryStore
from tests.support.reactor import reactor
from tests.support.threads import running_threads

#: What can be compressed, and what cannot.
TEXT = b"".join(b"%d bottles of beer\n" % number for number in range(5000))
NOISE = os.urandom(9000)


class CompressedResumableTests(ResumableContract, TestCase):
    """The store inside takes the bytes as they are."""

    def setUp(self) -> None:
        self.threads = running_threads(self)
        self.path = self.mktemp()

    async def make_store(self) -> Any:
        return await self.make_other()

    async def make_other(self) -> Any:
        around = environment(self.mktemp(), reactor, self.threads)
        self.inner = LocalFactory().build(LocalOptions(path=self.path), around)
        return build_coded(self.inner, load_compression("zstd"), None, around)

    async def make(self, data: bytes) -> ObjectKey:
        """Upload an object."""
        self.data, self.key = data, key_of(data)
        upload = await self.begin()
        await self.append(upload, 0, len(data))
        await self.commit(upload)
        await self.assert_stored()
        return self.key

    async def stored_size(self) -> int:
        """Return how many bytes the store inside has of the object."""
        (size,) = await self.inner.sizes([self.key])
        assert isinstance(size, int)
        return size

    async def test_what_is_worth_it_is_compressed(self) -> None:
        await self.prepare()
        for data in (TEXT, NOISE, MAGIC + NOISE, MAGIC, b"", b"x"):
            await self.make(data)
            size = await self.stored_size()
            if data is TEXT:
                self.assertLess(size, len(data) / 2)
            else:
                self.assertLessEqual(size, len(data) + 512)

    async def test_an_object_that_is_there_compressed_stays_so(self) -> None:
        await self.prepare()
        await self.make(TEXT)
        before = await self.stored_size()
        upload = await self.begin()
        verifyObject(IClaimedUpload, upload)
        await self.append(upload, 0, len(TEXT))
        await upload.commit(payload_of(TEXT), {}, True)
        self.assertIsNone(upload.offset)
        await upload.release()
        self.assertEqual(await self.stored_size(), before)
        await self.assert_stored()

    async def test_a_store_that_takes_nothing_bit_by_bit_is_none_that_does(self) -> None:
        await self.prepare()
        around = environment(self.mktemp(), reactor, self.threads)
        store = build_coded(MemoryStore(), load_compression("zstd"), None, around)
        self.assertFalse(IResumableStore.providedBy(store))
