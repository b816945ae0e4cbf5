"""A store whose objects another one keeps sealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from giftless.errors import LFSError
from giftless.interfaces import (
    IBlocking,
    IDeleting,
    IEncryptedStore,
    IKeyWrapper,
    IResumableStore,
    WallClock,
)
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.compressing import Compression
from giftless.storage.coded.sizes import Sizes
from giftless.storage.coded.store import CodedStore
from giftless.storage.coded.writing import Writer
from giftless.storage.encrypted.resumable import SealedUploads
from giftless.storage.encrypted.rewrapping import Rewrapping
from giftless.storage.encrypted.sealing import Sealing


@implementer(IEncryptedStore)
class EncryptedStore(CodedStore):
    """Seals every object that it stores.

    :param store: keeps the sealed objects.
    :param keys: wraps data keys.
    :param compression: compresses what is worth it, before it is sealed; ``None`` if nothing
        is.
    :param blocking: where bytes are sealed and opened.
    :param directory: where what a store takes only if it knows its length waits on disk,
        sealed.
    :param refuses: whether what is not sealed is not served.
    """

    def __init__(
        self,
        store: Any,
        keys: IKeyWrapper,
        compression: Compression | None,
        blocking: IBlocking,
        directory: str,
        refuses: bool = False,
    ) -> None:
        sealing = Sealing(keys)
        sizes = Sizes(store, sealing)
        writer = Writer(store, sizes, compression, sealing, blocking, directory)
        super().__init__(store, writer, sizes, sealing, blocking, sealed_only=refuses)
        self._block_sealing = sealing
        self.anyhow = CodedStore(store, writer, sizes, sealing, blocking)
        self.keys = keys
        self._rewrapping = Rewrapping(store, sealing, keys)
        self.rewraps_in_place = self._rewrapping.in_place

    def resumable(self, wall_clock: WallClock) -> SealedUploads | None:
        """Return what takes objects bit by bit; for :func:`giftless.storage.wrapping.lend`.

        :param wall_clock: tells the date.
        :returns: ``None`` if the store inside cannot do what that needs.
        """
        store = self.inner
        if not (IResumableStore.providedBy(store) and IDeleting.providedBy(store)):
            return None
        return SealedUploads(store, self._writer, self._block_sealing, self._blocking, wall_clock)

    async def seals(self, keys: Sequence[ObjectKey]) -> Sequence[str | LFSError | None]:
        """See :meth:`giftless.interfaces.IEncryptedStore.seals`."""
        return await self._rewrapping.seals(keys)

    async def rewrap(self, key: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.IEncryptedStore.rewrap`."""
        done = await self._rewrapping.rewrap(key)
        if done:
            # Nobody could open one with the old head without the old key.
            await self.drop_copy(key)
        return done
