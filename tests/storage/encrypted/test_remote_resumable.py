"""Objects that come bit by bit, sealed before a store behind HTTP has them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from giftless.interfaces import IResumableStore
from giftless.storage.encrypted.store import EncryptedStore
from giftless.storage.remote.resumable.sweeping import Sweeper
from giftless.storage.wrapping import lend
from tests.contracts.multipart import bytes_of
from tests.contracts.resumable import ResumableContract
from tests.storage.azure.test_resumable import AzureResumableTestCase
from tests.storage.encrypted.support import key_file, keys_in
from tests.storage.gcs.test_parts import SMALL_PARTS, GCSPartsTestCase
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.storage.s3.test_parts import S3PartsTestCase
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, oid_of, payload_of

if TYPE_CHECKING:
    _Mixin = RemoteTestCase
else:
    _Mixin = object


class Sealed(_Mixin):
    """A test's ``build`` makes the store inside.

    :cvar part_size: the size of its parts in bytes: the smallest that the store takes.
    """

    part_size = 5 * 1024**2

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    def sealed(self) -> Any:
        """Return what a process has of the store."""
        around = self.environment()
        self.inner = self.build(mode="proxy")
        self.inner._context = replace(self.inner._context, part_size=self.part_size)
        keys = keys_in(self.keys, around)
        store = EncryptedStore(self.inner, keys, None, self.threads, around.state_dir)
        lend(store, store.resumable(around.wall_clock), IResumableStore)
        return store

    async def test_an_object_comes_bit_by_bit(self) -> None:
        """What waits for the rest of a block is replaced by more, and by parts in the end."""
        self.keys, self.state_dir = key_file(Path(self.mktemp()), "one"), self.mktemp()
        data = bytes_of(2 * self.part_size)
        key, ends = key_of(data), (10, 20, 70_000, self.part_size + 7, len(data))
        for start, end in zip((0, *ends), ends, strict=False):
            store = self.sealed()
            upload = await store.claim(key, len(data))
            await upload.begin({})
            self.assertEqual(upload.offset, start)
            await upload.append(ListBody([data[start:end]]))
            if end == len(data):
                await upload.commit(payload_of(data), {"filename": "x"}, False)
            await upload.release()
        stored = await store.open(key)
        found = await read_all(stored.read(0, stored.size))
        stored.close()
        # Not the bytes: nobody can read so many in a report.
        self.assertEqual((oid_of(found), stored.extras), (key.oid, {"filename": "x"}))


class S3Tests(S3PartsTestCase, Sealed, ResumableContract):
    """On a versitygw.  Most are small, so the bucket has pieces; some are more than a part."""

    async def make_store(self) -> Any:
        self.keys, self.state_dir = key_file(Path(self.mktemp()), "one"), self.mktemp()
        return self.sealed()

    async def make_other(self) -> Any:
        return self.sealed()

    async def prepare_large(self) -> None:
        """Make a store, and think of an object that is more than a part."""
        self.size = self.part_size + 70_007
        await self.prepare()

    async def test_nothing_is_left_behind(self) -> None:
        await self.prepare_large()
        upload = await self.begin()
        await self.append(upload, 0, 100_000)
        await upload.release()
        upload = await self.claim()
        await self.append(upload, 100_000, self.size)
        await self.commit(upload)
        await self.assert_stored()
        self.assertEqual(self.stored(), {self.key.path})

    def stored(self) -> set[str]:
        """Return the names of all that is in the bucket, but for what recognises it."""
        names = self.server.names(self.bucket)
        return {name for name in names if not name.startswith(".giftless/identity")}

    async def test_two_daemons_at_once_seal_the_same_bytes(self) -> None:
        """They do not know of each other, and write one after the other."""
        await self.prepare_large()
        one = await self.begin()
        await self.append(one, 0, 50_000)
        here, self.state_dir = self.state_dir, self.mktemp()
        stranger = self.sealed()
        self.state_dir = here
        two = await stranger.claim(self.key, self.size)
        self.assertEqual(two.offset, 50_000)
        # The client comes by the other daemon; then this one saves what it has got before.
        await self.append(two, 50_000, 3_000_000)
        await self.append(one, 50_000, 200_000)
        await one.release()
        await two.release()
        upload = await self.claim()
        self.assertEqual(upload.offset, 3_000_000)
        await self.append(upload, 3_000_000, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_what_waits_for_the_rest_of_a_block_is_sealed(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, 900)
        await upload.release()
        self.assertEqual(await self.offset(), 900)
        stored = self.server.objects(self.bucket)
        self.assertEqual(len(self.stored()), 3)
        self.assertFalse([name for name, data in stored.items() if self.data[100:120] in data])

    async def test_what_nobody_goes_on_with_is_removed(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, 100_000)
        await upload.release()
        for since, left in ((1500, 2), (2500, 0)):
            context = replace(self.inner._context, expiry=1000)
            self.inner.container.time = _later(since)
            await Sweeper(self.inner.container, context, self.inner._identity)._sweep()
            self.assertEqual(len(self.stored()), left)


def _later(seconds: float) -> Any:
    async def tell() -> float:
        return time.time() + seconds

    return tell


class GCSTests(GCSPartsTestCase, Sealed):
    """On a stand-in."""

    part_size = SMALL_PARTS


class AzureTests(AzureResumableTestCase, Sealed):
    """On an Azurite."""

    part_size = 100_000
