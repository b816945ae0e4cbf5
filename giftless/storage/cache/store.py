"""A store in front of which a cache stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from giftless.errors import LFSError, NotFound
from giftless.interfaces import (
    CacheHoldings,
    IAdopting,
    IBody,
    ICapacity,
    ICopied,
    ICopying,
    IDated,
    IDeleting,
    IFusedCapacity,
    IHeading,
    IInspector,
    IListing,
    IMarking,
    IMultipartStore,
    IPeeking,
    IProbing,
    IReadableStore,
    IResumableStore,
    ISharing,
    IStoredObject,
    IStreamingMultipartStore,
    IStreamingStore,
    ISurveying,
    IUnsizedStore,
    IWarming,
    Payload,
)
from giftless.lfs.objects import Extras, ObjectKey, Oid, Repo
from giftless.storage.cache.reads import CachedReads
from giftless.storage.wrapping import pass_on, without_copies

#: What the store itself is asked: none of it leads clients past the cache.
_ITS_OWN: Any = (
    IAdopting,
    ICapacity,
    ICopying,
    IDated,
    IDeleting,
    IFusedCapacity,
    IHeading,
    IInspector,
    IListing,
    IMarking,
    IMultipartStore,
    IPeeking,
    IProbing,
    IResumableStore,
    ISharing,
    IStreamingMultipartStore,
    ISurveying,
    IUnsizedStore,
)


@implementer(IStreamingStore, ICopied, IWarming)
class CachedStore:
    """A store whose objects are read from a local disk when they were read before.

    Whether an object is there, and what may be done with it, is asked of the store each time.

    :param store: keeps the objects.
    :param reads: keeps copies of some.
    """

    def __init__(self, store: IStreamingStore, reads: CachedReads) -> None:
        self._store = store
        self._reads = reads
        self.path = reads.path
        pass_on(self, store, *_ITS_OWN)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: the store knows."""
        sizes: Sequence[int | LFSError | None] = await self._store.sizes(keys)
        return sizes

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`.

        Who uploads an object has it: the first download fills the cache.
        """
        await self._store.put(key, payload, body, extras)

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        source = _Opened(self._store, key, await self._store.open(key))
        stored = source.stored
        if stored is None:
            return None
        try:
            return await self._reads.open(key, stored.size, stored.extras, source)
        except NotFound:
            return None
        finally:
            source.close()

    def kept(self) -> IReadableStore:
        """See :meth:`giftless.interfaces.caching.ICopied.kept`."""
        return without_copies(self._store)

    async def warm(self, key: ObjectKey) -> int | None:
        """See :meth:`giftless.interfaces.caching.IWarming.warm`."""
        source = _Opened(self._store, key, await self._store.open(key))
        if source.stored is None:
            return None
        try:
            return await self._reads.warm(key, source.stored.size, source)
        except NotFound:
            return None
        finally:
            source.close()

    async def holdings(self) -> CacheHoldings:
        """See :meth:`giftless.interfaces.caching.ICaching.holdings`."""
        return await self._reads.holdings()

    async def recount(self) -> CacheHoldings:
        """See :meth:`giftless.interfaces.caching.ICaching.recount`."""
        return await self._reads.recount()

    async def drop(self, repo: Repo | None, oids: Sequence[Oid] = ()) -> int:
        """See :meth:`giftless.interfaces.caching.ICaching.drop`."""
        return await self._reads.drop(repo, oids)


class _Opened:
    """Opens an object of a store, which has been opened once already.

    :param stored: this; whoever calls first gets it.
    """

    def __init__(self, store: IReadableStore, key: ObjectKey, stored: IStoredObject | None) -> None:
        self._store = store
        self._key = key
        self.stored = stored

    async def __call__(self) -> IStoredObject | None:
        """Open it, as :data:`giftless.storage.cache.context.Source` says."""
        stored, self.stored = self.stored, None
        return stored or await self._store.open(self._key)

    def close(self) -> None:
        """Close the object, if nobody has got it."""
        stored, self.stored = self.stored, None
        if stored is not None:
            stored.close()
