"""Objects that come bit by bit, and are not sealed: the store inside takes them as they are.

What it has made of one is compressed afterwards, if it is worth it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.interfaces import IClaimedUpload, IResumableStore, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded.recoding import Recoding


class PlainUploads:
    """Has what :class:`~giftless.interfaces.IResumableStore` asks for.

    :param store: the store inside.
    :param recoding: looks at objects there, and compresses them.
    """

    def __init__(self, store: IResumableStore, recoding: Recoding) -> None:
        self.resumable_expiry: int = store.resumable_expiry
        self._store = store
        self._recoding = recoding

    async def claim(self, key: ObjectKey, size: int) -> PlainUpload:
        """See :meth:`giftless.interfaces.IResumableStore.claim`."""
        return PlainUpload(await self._store.claim(key, size), key, size, self._recoding)


@implementer(IClaimedUpload)
class PlainUpload:
    """See :class:`giftless.interfaces.IClaimedUpload`.

    :param inner: the same upload in the store inside.
    :param size: how many bytes the object will have.
    """

    def __init__(
        self, inner: IClaimedUpload, key: ObjectKey, size: int, recoding: Recoding
    ) -> None:
        self.wanted: Deferred[None] = inner.wanted
        self.begin = inner.begin
        self.append = inner.append
        self.discard = inner.discard
        self.release = inner.release
        self._inner = inner
        self._key = key
        self._size = size
        self._recoding = recoding

    @property
    def offset(self) -> int | None:
        """See :attr:`giftless.interfaces.IClaimedUpload.offset`."""
        offset: int | None = self._inner.offset
        return offset

    @property
    def changed(self) -> float:
        """See :attr:`giftless.interfaces.IClaimedUpload.changed`."""
        changed: float = self._inner.changed
        return changed

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`.

        An object that is there in its coded form stays what it is.
        """
        if self.offset == self._size and await self._recoding.is_coded(self._key, self._size):
            await self.discard()
            return
        await self._inner.commit(payload, extras, verified)
        await self._recoding.recode(self._key, self._size, payload, extras)
