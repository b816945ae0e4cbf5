"""Objects that come bit by bit, while objects move from one store to another.

They come to the new store.  An upload that had begun in the old one, before objects began to
move, goes on there; its object moves on later, as everything there.
"""

from __future__ import annotations

import contextlib

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.errors import LFSError
from giftless.interfaces import IBody, IClaimedUpload, IObjectStore, IResumableStore, Payload
from giftless.lfs.objects import Extras, ObjectKey


class MovingUploads:
    """What two stores have of :class:`giftless.interfaces.IResumableStore` together.

    :param new: the store that objects move to.
    :param old: the store that they come from; it need not take objects bit by bit.
    """

    def __init__(self, new: IResumableStore, old: IObjectStore) -> None:
        self.resumable_expiry: int = new.resumable_expiry
        self._new = new
        self._old: IResumableStore | None = old if IResumableStore.providedBy(old) else None

    async def claim(self, key: ObjectKey, size: int) -> IClaimedUpload:
        """See :meth:`giftless.interfaces.IResumableStore.claim`."""
        upload: IClaimedUpload = await self._new.claim(key, size)
        if self._old is None or upload.offset is not None:
            return upload
        try:
            # A store that does not answer has nothing that could be gone on with.
            with contextlib.suppress(LFSError):
                return await self._begun_before(self._old, key, size, upload)
        except BaseException:
            await upload.release()
            raise
        return upload

    async def _begun_before(
        self, old: IResumableStore, key: ObjectKey, size: int, upload: IClaimedUpload
    ) -> IClaimedUpload:
        """Return the upload in the old store, if it has begun there."""
        before: IClaimedUpload = await old.claim(key, size)
        if before.offset is not None:
            return MovingUpload(upload, before)
        await before.release()
        return upload


@implementer(IClaimedUpload)
class MovingUpload:
    """An upload that has begun in the old store.

    :param new: the same upload in the new store: there it begins when it is thrown away.
    :param old: what has come.
    """

    def __init__(self, new: IClaimedUpload, old: IClaimedUpload) -> None:
        self._new = new
        self._old = old
        self._current = old
        self.wanted: Deferred[None] = Deferred()
        for upload in (new, old):
            upload.wanted.addCallback(self._want)

    @property
    def offset(self) -> int | None:
        """See :attr:`giftless.interfaces.IClaimedUpload.offset`."""
        offset: int | None = self._current.offset
        return offset

    @property
    def changed(self) -> float:
        """See :attr:`giftless.interfaces.IClaimedUpload.changed`."""
        changed: float = self._current.changed
        return changed

    async def begin(self, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.begin`: it may have begun."""
        if self._current.offset is None:
            self._current = self._new
        await self._current.begin(extras)

    async def append(self, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.append`."""
        await self._current.append(body)

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`."""
        await self._current.commit(payload, extras, verified)

    async def discard(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.discard`."""
        await self._current.discard()

    async def release(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.release`."""
        try:
            await self._old.release()
        finally:
            await self._new.release()

    def _want(self, _: None) -> None:
        if not self.wanted.called:
            self.wanted.callback(None)
