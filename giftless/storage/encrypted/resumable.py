"""Objects that come bit by bit, and must not lie in a store as they are.

What comes is sealed in blocks (:mod:`giftless.storage.encrypted.blocks`), and the store inside
takes these bit by bit.  When all have come, they are opened again, compared with the object's
digest, and sealed as any other object: with a fresh data key, compressed if that is wanted.

What has come is told by the store inside, and by two small objects beside it
(:mod:`giftless.storage.encrypted.progress`).  Whenever a process is killed:

- Blocks count that are whole.  Of one that was cut off, the bytes are not told to have come:
  they are sealed again when they come again, and what is stored already is left out.  If
  other bytes come, the block is not authentic, and the upload begins anew in the end.
- A tail counts while the block that it begins is not whole.  It is written after whole blocks
  are durable, and before it is acknowledged.
- Once all blocks have become one object, the head says that it is there to be sealed.  The
  head is the first that goes when that is done.

Two daemons that go on with one upload seal the same bytes equally, so it does not matter
whose are stored.  If they *begin* it in the same moment, the head of one is lost: the blocks
of that one turn out not to be authentic in the end, and the upload begins anew.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.bodies import VerifiedBody
from giftless.errors import LFSError, ObjectDamaged, WrongBody
from giftless.interfaces import IBlocking, IBody, IClaimedUpload, Payload, WallClock
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded.writing import Writer
from giftless.storage.encrypted.blocks import SEALED_BLOCK, sealed_size
from giftless.storage.encrypted.passing import OpeningBody, SealingBody
from giftless.storage.encrypted.progress import Progress
from giftless.storage.encrypted.sealing import Sealing
from giftless.storage.staging import being_sealed

_log = Logger(namespace="giftless.storage")


class SealedUploads:
    """Has what :class:`~giftless.interfaces.IResumableStore` asks for.

    :param store: the store inside; it takes objects bit by bit, and deletes them.
    :param writer: stores objects, sealed.
    :param sealing: makes and knows data keys.
    :param blocking: seals and opens.
    :param wall_clock: tells the date.
    """

    def __init__(
        self,
        store: Any,
        writer: Writer,
        sealing: Sealing,
        blocking: IBlocking,
        wall_clock: WallClock,
    ) -> None:
        self.resumable_expiry: int = store.resumable_expiry
        self._store = store
        self._writer = writer
        self._sealing = sealing
        self._blocking = blocking
        self._wall_clock = wall_clock

    async def claim(self, key: ObjectKey, size: int) -> SealedUpload:
        """See :meth:`giftless.interfaces.IResumableStore.claim`."""
        inner: IClaimedUpload = await self._store.claim(being_sealed(key, size), sealed_size(size))
        try:
            progress = Progress(
                self._store,
                inner,
                key,
                size,
                self._sealing,
                self._wall_clock,
                self.resumable_expiry,
            )
            await progress.find()
        except BaseException:
            await inner.release()
            raise
        return SealedUpload(key, size, inner, progress, self._writer, self._blocking)


@implementer(IClaimedUpload)
class SealedUpload:
    """See :class:`giftless.interfaces.IClaimedUpload`.

    :param size: how many bytes the object will have.
    :param inner: the upload of the sealed blocks.
    :param progress: what has come.
    :param writer: stores the object.
    :param blocking: seals and opens.
    """

    def __init__(
        self,
        key: ObjectKey,
        size: int,
        inner: IClaimedUpload,
        progress: Progress,
        writer: Writer,
        blocking: IBlocking,
    ) -> None:
        self.wanted: Deferred[None] = inner.wanted
        self.release = inner.release
        self._key = key
        self._size = size
        self._inner = inner
        self._progress = progress
        self._writer = writer
        self._blocking = blocking

    @property
    def offset(self) -> int | None:
        """See :attr:`giftless.interfaces.IClaimedUpload.offset`."""
        return self._progress.offset

    @property
    def changed(self) -> float:
        """See :attr:`giftless.interfaces.IClaimedUpload.changed`."""
        return self._progress.changed

    async def begin(self, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.begin`."""
        await self._progress.begin()

    async def append(self, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.append`."""
        progress, inner = self._progress, self._inner
        if progress.whole:
            # Nothing is missing: there is nothing in it, or something is wrong with it.
            await body.read()
            return
        await progress.refresh()
        number = progress.number
        sealing = SealingBody(
            body,
            progress.require_cipher(),
            number,
            progress.tail,
            (inner.offset or 0) % SEALED_BLOCK,
            self._size,
            self._blocking,
            self._refresh,
        )
        try:
            await inner.append(sealing)
        except BaseException:
            progress.forget_tail(number)
            raise
        await progress.keep_tail(sealing.tail, number)
        if sealing.failure is not None:
            raise sealing.failure

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`.

        The blocks are read back in any case: the object is sealed with another key.
        """
        progress = self._progress
        try:
            if self.offset != payload.length:
                raise WrongBody(f"{self.offset or 0} bytes have come, not {payload.length}")
            await progress.join()
            await self._seal_as_one(payload, extras)
        except (WrongBody, ObjectDamaged) as error:
            await self.discard()
            raise WrongBody(f"{error.message}; what had come was thrown away") from None
        try:
            await progress.clear()
        except LFSError as error:
            _log.warn(
                "what was uploaded of {oid} is stored, and still there until it expires: {error}",
                oid=self._key.oid,
                error=error.message,
            )

    async def discard(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.discard`."""
        await self._progress.clear()

    async def _seal_as_one(self, payload: Payload, extras: Extras) -> None:
        stored = await self._progress.open()
        try:
            cipher = self._progress.require_cipher()
            opened = OpeningBody(stored, cipher, self._size, self._blocking)
            digest = payload.sha256
            body = VerifiedBody(opened, digest, self._size, self._size, self._blocking)
            await self._writer.put(self._key, Payload(self._size, digest), body, extras)
        finally:
            stored.close()

    async def _refresh(self) -> None:
        if self._progress.is_old:
            await self._progress.refresh()
