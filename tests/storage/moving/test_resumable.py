"""Objects that come bit by bit while objects move."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.errors import StorageUnavailable
from giftless.interfaces import IClaimedUpload, IResumableStore
from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.moving.direct import DirectMovingStore
from giftless.storage.moving.store import StreamingMovingStore
from tests.contracts.resumable import ResumableContract
from tests.support.making import environment, key_of
from tests.support.memory import ExternalStore, MemoryStore
from tests.support.reactor import reactor
from tests.support.resumable import ResumableMemoryStore
from tests.support.threads import running_threads


class MovingTestCase(TestCase):
    """Has two directories."""

    def setUp(self) -> None:
        self.threads = running_threads(self)
        self.old_path, self.new_path = self.mktemp(), self.mktemp()

    def local(self, path: str) -> Any:
        """Build a store in a directory."""
        around = environment(self.mktemp(), reactor, self.threads)
        return LocalFactory().build(LocalOptions(path=path), around)


class NewUploadsTests(ResumableContract, MovingTestCase):
    """What begins, begins in the new store."""

    async def make_store(self) -> Any:
        return await self.make_other()

    async def make_other(self) -> Any:
        return StreamingMovingStore(self.local(self.new_path), self.local(self.old_path))

    async def test_nothing_comes_to_the_old_store(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload)
        self.assertEqual(await self.local(self.old_path).sizes([self.key]), [None])
        self.assertEqual(await self.local(self.new_path).sizes([self.key]), [self.size])


class OldUploadsTests(ResumableContract, MovingTestCase):
    """Objects have begun to move since an upload began."""

    async def make_store(self) -> Any:
        return self.local(self.old_path)

    async def make_other(self) -> Any:
        return StreamingMovingStore(self.local(self.new_path), self.local(self.old_path))

    async def half(self) -> None:
        """Upload half of the object to the old store."""
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size // 2)
        await upload.release()
        self.store = await self.make_other()

    async def test_it_goes_on_in_the_old_store(self) -> None:
        await self.half()
        upload = await self.claim()
        verifyObject(IClaimedUpload, upload)
        self.assertEqual(upload.offset, self.size // 2)
        self.assertGreater(upload.changed, 0)
        await self.append(upload, self.size // 2, self.size)
        await self.commit(upload)
        await self.assert_stored()
        self.assertEqual(await self.local(self.old_path).sizes([self.key]), [self.size])

    async def test_it_begins_anew_in_the_new_store(self) -> None:
        await self.half()
        upload = await self.claim()
        await upload.discard()
        self.assertEqual((upload.offset, upload.changed), (None, 0))
        await upload.begin({})
        await self.append(upload, 0, self.size)
        await upload.release()
        self.assertEqual(await self.offset(), self.size)
        upload = await self.claim()
        await self.commit(upload)
        await self.assert_stored()
        self.assertEqual(await self.local(self.new_path).sizes([self.key]), [self.size])

    async def test_who_wants_to_go_on_is_heard_by_who_has_it(self) -> None:
        await self.half()
        upload = await self.claim()
        claiming = Deferred.fromCoroutine(self.claim(await self.make_other()))
        await upload.wanted
        await upload.release()
        following = await claiming
        self.assertEqual(following.offset, self.size // 2)
        await following.release()


class AbilitiesTests(TestCase):
    """Which stores take objects bit by bit together."""

    def test_the_new_store_decides(self) -> None:
        able, unable = ResumableMemoryStore(), MemoryStore()
        stores: list[Any] = [
            StreamingMovingStore(able, unable),
            DirectMovingStore(Direct(), unable),
        ]
        for store in stores:
            self.assertTrue(verifyObject(IResumableStore, store))
            self.assertEqual(store.resumable_expiry, 1000)
        self.assertFalse(IResumableStore.providedBy(StreamingMovingStore(unable, able)))

    async def test_an_old_store_that_is_away_keeps_nobody_from_uploading(self) -> None:
        new, old = ResumableMemoryStore(), ResumableMemoryStore()
        store: Any = StreamingMovingStore(new, old)
        old.failure = StorageUnavailable("away", 5)
        data = b"abc"
        upload = await store.claim(key_of(data), len(data))
        await upload.begin({})
        await upload.release()
        self.assertEqual(new.came(key_of(data), len(data)), b"")


class Direct(ResumableMemoryStore, ExternalStore):
    """A store that clients talk to directly, and that the daemon writes to."""
