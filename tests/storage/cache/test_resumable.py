"""Objects that come bit by bit to a store in front of which a cache stands."""

from __future__ import annotations

from typing import Any

from giftless.interfaces import IResumableStore
from tests.contracts.resumable import ResumableContract
from tests.storage.cache.test_store import cached
from tests.storage.encrypted.uploads import SealedTestCase
from tests.support.memory import MemoryStore


class CachedResumableTests(SealedTestCase, ResumableContract):
    """The cache stands in front of a store that seals, over a directory."""

    def around(self, inner: Any) -> Any:
        return cached(self, super().around(inner), self.threads)

    async def test_nothing_is_cached_of_an_upload(self) -> None:
        await self.prepare()
        upload = await self.begin()
        await self.append(upload, 0, self.size)
        await self.commit(upload)
        self.assertEqual((await self.store.holdings()).entries, 0)
        await self.assert_stored()
        self.assertEqual((await self.store.holdings()).entries, 1)

    def test_a_store_that_takes_nothing_bit_by_bit_does_not_begin_to(self) -> None:
        self.assertFalse(IResumableStore.providedBy(cached(self, MemoryStore(), self.threads)))
