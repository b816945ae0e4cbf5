"""Objects that come bit by bit, and are sealed before a store has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.errors import Conflict
from giftless.interfaces import IClaimedUpload
from giftless.lfs.objects import NO_EXTRAS, Extras
from giftless.storage.encrypted.blocks import BLOCK_SIZE, sealed_size
from giftless.storage.encrypted.keyfile import new_line
from giftless.storage.staging import being_sealed
from tests.contracts.resumable import ResumableContract
from tests.storage.cache.test_store import cached
from tests.storage.encrypted.support import encrypted
from tests.storage.encrypted.uploads import SealedTestCase
from tests.support.bodies import HeldBody, ListBody, altered
from tests.support.making import key_of
from tests.support.memory import MemoryStore
from tests.support.resumable import ResumableMemoryStore


class SealedResumableTests(SealedTestCase, ResumableContract):
    """Over a directory."""

    def setUp(self) -> None:
        super().setUp()
        self.data = b""

    async def assert_stored(self, extras: Extras = NO_EXTRAS) -> None:
        await super().assert_stored(extras)
        self.assert_secret(self.data)

    async def assert_unseen(self) -> None:
        await super().assert_unseen()
        self.assert_secret(self.data)

    async def test_nothing_is_left_behind(self) -> None:
        await self.prepare()
        upload = await self.begin()
        self.assertTrue(verifyObject(IClaimedUpload, upload))
        await self.append(upload, 0, BLOCK_SIZE + 5)
        await self.append(upload, BLOCK_SIZE + 5, self.size)
        await self.commit(upload)
        (path,) = self.files()
        self.assertTrue(path.endswith(self.key.oid))
        upload = await self.begin()
        await self.append(upload, 0, BLOCK_SIZE + 5)
        await upload.discard()
        await upload.release()
        self.assertEqual(self.files(), [path])

    async def test_it_is_compressed_in_the_end(self) -> None:
        self.compression = "zstd"
        await self.prepare()
        self.data = b"a bottle of beer\n" * 10_000
        self.key = key_of(self.data)
        upload = await self.begin()
        await self.append(upload, 0, len(self.data))
        await self.commit(upload)
        await self.assert_stored()
        (path,) = self.files()
        self.assertLess(os.path.getsize(path), len(self.data) / 10)

    async def test_a_cache_inside_has_nothing_of_an_upload(self) -> None:
        await self.prepare()
        cache = cached(self, self.make_inner(), self.threads)
        self.store = self.around(cache)
        upload = await self.begin()
        await self.append(upload, 0, 1000)
        await upload.release()
        upload = await self.claim()
        await self.append(upload, 1000, self.size)
        await self.commit(upload)
        self.assertEqual((await cache.holdings()).entries, 0)
        await self.assert_stored()
        self.assertEqual((await cache.holdings()).entries, 1)

    # -- something happens while an upload is half way

    async def half(self) -> None:
        """Upload half of the object."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size // 2)
        await upload.release()

    async def end(self, start: int) -> None:
        """Upload the rest, and look whether all is well."""
        self.store = await self.make_other()
        upload = await self.claim()
        await upload.begin({})
        self.assertEqual(upload.offset, start)
        await self.append(upload, start, self.size)
        await self.commit(upload)
        await self.assert_stored()

    async def test_keys_rotate_meanwhile(self) -> None:
        """The next bytes let the head have the new key, so the old one may go."""
        await self.half()
        old = self.keys.read_bytes()
        new = new_line("two")
        self.keys.write_bytes(old + new)
        self.store = await self.make_other()
        upload = await self.claim()
        await self.append(upload, self.size // 2, self.size // 2 + 10)
        await upload.release()
        self.keys.write_bytes(new)
        await self.end(self.size // 2 + 10)
        self.assertEqual(list(await self.store.seals([self.key])), ["two"])

    async def test_its_key_is_gone(self) -> None:
        await self.half()
        self.keys.write_bytes(new_line("two"))
        self.store = await self.make_other()
        self.assertIsNone(await self.offset())
        await self.end(0)

    async def test_its_head_is_damaged_or_gone(self) -> None:
        for damage in (b"", b"\0" * 520, b"\0" * 5):
            await self.half()
            (head,) = (path for path in self.files() if os.path.getsize(path) == 520)
            os.unlink(head)
            if damage:
                Path(head).write_bytes(damage)
            self.assertIsNone(await self.offset())
            await self.end(0)
            await self.store.delete(self.key)

    async def test_its_tail_is_damaged(self) -> None:
        """What is authentic goes on."""
        await self.half()
        tail = sealed_size(self.size // 2 % BLOCK_SIZE)
        (path,) = (path for path in self.files() if os.path.getsize(path) == tail)
        Path(path).write_bytes(b"x" * tail)
        await self.end(self.size // 2 - self.size // 2 % BLOCK_SIZE)

    async def test_a_stored_block_is_altered(self) -> None:
        await self.half()
        (blocks,) = (path for path in self.files() if "/resumable/" in path)
        Path(blocks).write_bytes(altered(Path(blocks).read_bytes(), 77_000))
        upload = await self.claim()
        await self.append(upload, self.size // 2, self.size)
        await self.assert_refused(upload)
        await self.end(0)

    async def test_somebody_who_was_stopped_undoes_nothing(self) -> None:
        await self.half()
        late = await self.claim()
        await late.release()
        upload = await self.claim()
        await self.append(upload, self.size // 2, self.size // 2 + 100)
        await upload.release()
        keeping = late._progress.keep_tail(late._progress.tail + b"x", late._progress.number)
        await self.assertFailure(Deferred.fromCoroutine(keeping), Conflict)
        await self.end(self.size // 2 + 100)

    async def test_somebody_who_has_lost_it_throws_nothing_away(self) -> None:
        """Who was stopped before it could, and has been taken for dead."""
        await self.half()
        late = await self.claim()
        before = self.files()

        async def lost() -> None:
            raise Conflict("taken over")

        self.patch(late._inner, "discard", lost)
        await self.assertFailure(Deferred.fromCoroutine(late.discard()), Conflict)
        self.assertEqual(self.files(), before)
        await late.release()
        await self.end(self.size // 2)

    async def test_the_head_is_written_anew_when_it_is_old(self) -> None:
        """Also while one body comes: a store removes what is old."""
        await self.half()
        (head,) = (path for path in self.files() if os.path.getsize(path) == 520)
        before = Path(head).read_bytes()
        upload = await self.claim()
        body = HeldBody()
        appending = Deferred.fromCoroutine(upload.append(body))
        await self.until_wanted(body)
        self.assertEqual(Path(head).read_bytes(), before)
        self.now += 300
        start = self.size // 2
        body.provide(self.data[start : start + 5])
        await self.until_wanted(body)
        self.assertNotEqual(Path(head).read_bytes(), before)
        body.provide()
        await appending
        await upload.release()
        await self.end(start + 5)

    async def test_what_nobody_goes_on_with_is_removed(self) -> None:
        await self.half()
        inner: Any = self.make_inner()
        sweep = inner.claim.__self__.sweep
        for path in self.files():
            os.utime(path, (self.now - 1500, self.now - 1500))
        self.assertEqual(await inner.leftovers(self.now - 2000), [])
        (odd,) = await inner.leftovers(self.now)
        self.assertEqual(odd.key.repo, self.key.repo)
        await sweep(self.now - 1000)
        self.assertEqual(len(self.files()), 2)
        for path in self.files():
            os.utime(path, (self.now - 2500, self.now - 2500))
        await sweep(self.now - 1000)
        self.assertEqual(self.files(), [])
        self.assertIsNone(await self.offset())

    async def test_its_commit_was_broken_off(self) -> None:
        """All blocks are one object already."""
        await self.half()
        upload = await self.claim()
        await self.append(upload, self.size // 2, self.size)
        await upload._progress.join()
        await upload.release()
        self.assertIsNone(await self.make_inner().open(self.key))
        upload = await self.claim()
        self.assertEqual(upload.offset, self.size)
        self.assertGreater(upload.changed, 0)
        await upload.append(ListBody([]))
        blocks = being_sealed(self.key, self.size)
        self.assertIsNotNone(await self.make_inner().open(blocks))
        await self.commit(upload)
        self.assertIsNone(await self.make_inner().open(blocks))
        await self.assert_stored()


class AbilitiesTests(TestCase):
    """What a store inside must be able to do."""

    def test_a_store_without_uploads_has_none(self) -> None:
        self.assertIsNone(encrypted(self, MemoryStore()).resumable(lambda: 0.0))
        self.assertIsNotNone(encrypted(self, ResumableMemoryStore()).resumable(lambda: 0.0))
