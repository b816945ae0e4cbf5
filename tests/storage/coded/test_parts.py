"""Objects in parts, compressed or sealed when they are committed."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.base.bodies import PartBody
from giftless.errors import Conflict
from giftless.interfaces import IStreamingMultipartStore, PartUpload, Payload
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import build_coded
from giftless.storage.coded.head import MAGIC
from giftless.storage.coded.store import CodedStore
from giftless.storage.encrypted.sealing import Sealing
from giftless.storage.local.store import LocalStore
from giftless.storage.staging import staged
from tests.contracts.multipart import CheckedMultipartContract, MultipartContract
from tests.storage.encrypted.test_sealing import Keys
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import environment, key_of

NOISE = os.urandom(9000)


class CompressedPartsTests(CheckedMultipartContract, MultipartContract, TestCase):
    """The object that is made is compressed afterwards."""

    part_size = 4000
    sealing: Sealing | None = None

    async def make_store(self) -> CodedStore:
        os.makedirs(path := self.mktemp())
        self.inner = LocalStore(path, "a/b", InlineBlocking(), self.part_size)
        lent = environment(self.mktemp())
        return build_coded(self.inner, load_compression("zstd"), self.sealing, lent)

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, data: bytes) -> None:
        body = PartBody(ListBody([data[:5], data[5:]]), part.size, None, InlineBlocking())
        await self.store.put_part(key, upload, part, body)

    async def get(self, key: ObjectKey) -> bytes | None:
        return await self.read(self.store, key)

    async def read(self, store: Any, key: ObjectKey) -> bytes | None:
        """Return what a store has of an object."""
        stored = await store.open(key)
        if stored is None:
            return None
        try:
            return await read_all(stored.read(0, stored.size))
        finally:
            stored.close()

    async def make(self, data: bytes) -> ObjectKey:
        """Upload an object in parts."""
        self.data, self.key = data, key_of(data)
        self.plan = self.store.plan(len(data))
        upload, missing = await self.begin({"filename": "x"})
        await self.send(upload, missing)
        await self.commit(upload, {"filename": "x"})
        return self.key

    async def test_any_object_comes_back(self) -> None:
        await self.prepare()
        verifyObject(IStreamingMultipartStore, self.store)
        compressed = await self.read(self.inner, await self.make(self.data))
        assert compressed is not None
        self.assertLess(len(compressed), len(self.data) / 2)
        for data in (NOISE, b"", b"x", MAGIC + NOISE, compressed, self.data[:4000]):
            key = await self.make(data)
            self.assertEqual(await self.get(key), data)
            self.assertEqual(list(await self.store.sizes([key])), [len(data)])
            stored = await self.store.open(key)
            self.assertEqual(stored.extras, {"filename": "x"})
            stored.close()
        self.assertEqual(len((await self.store.list(None)).objects), 7)
        self.assertEqual(await self.inner.leftovers(2**40), [])


class SealedPartsTests(CompressedPartsTests):
    """What lies in the store meanwhile is sealed."""

    sealing = Sealing(Keys("one"))

    def secrets_on_disk(self) -> list[str]:
        """Return the files in the store that have bytes of the object."""
        found = []
        for top, _, names in os.walk(self.inner._disks.main.path):
            for name in names:
                with open(os.path.join(top, name), "rb") as file:
                    if NOISE[100:160] in file.read():
                        found.append(os.fsdecode(name))
        return found

    async def test_no_plaintext_is_stored_at_any_time(self) -> None:
        await self.prepare()
        self.data, self.key = NOISE, key_of(NOISE)
        self.plan = self.store.plan(len(NOISE))
        upload, missing = await self.begin()
        await self.send(upload, missing)
        self.assertEqual(self.secrets_on_disk(), [])
        self.assertEqual((await self.store.list(None)).objects, [])
        await self.commit(upload)
        self.assertEqual(self.secrets_on_disk(), [])
        self.assertEqual(await self.get(self.key), NOISE)

    async def test_a_commit_that_was_broken_off_is_gone_on_with(self) -> None:
        """As if the process had been killed when the parts were joined."""
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        parts: Any = self.store.commit.__self__
        await self.inner.commit(staged(self.key), parts._upload(upload), Payload(), {})
        self.assertIsNone(await self.get(self.key))
        self.assertEqual((await self.store.list(None)).objects, [])
        self.assertEqual(await self.store.leftovers(0), [])
        (odd,) = await self.store.leftovers(2**40)
        self.assertEqual(odd.key, self.key)
        self.assertIn("whose commit was broken off", odd.problem)
        again, missing = await self.begin()
        self.assertEqual(missing, [])
        await self.commit(again)
        self.assertEqual(await self.get(self.key), self.data)
        self.assertIsNone(await self.inner.open(staged(self.key)))

    async def test_parts_cannot_change_places(self) -> None:
        """Whoever has the store swaps two of them."""
        await self.prepare()
        upload, missing = await self.begin()
        await self.send(upload, missing)
        parts: Any = self.store.commit.__self__
        plan: PartPlan = parts._sealed(self.plan)
        files = [self.inner.parts.path(staged(self.key), plan, number) for number in (1, 2)]
        root = self.inner._disks.main.path
        one, two = (os.path.join(root, file) for file in files)
        os.rename(one, one + b"x")
        os.rename(two, one)
        os.rename(one + b"x", two)
        error = await self.refused(upload)
        self.assertIsInstance(error, Conflict)
        self.assertIsNone(await self.get(self.key))
