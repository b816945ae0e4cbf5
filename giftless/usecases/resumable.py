"""The use cases of resumable uploads, the same for every front.

Which upload it is, is said by the object and its size, and what has come of it by the store.
So the daemon remembers nothing, and any process goes on with any upload.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from giftless.base.bodies import CheckedBody
from giftless.base.spool import Spool
from giftless.errors import (
    BadAction,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    WrongBody,
)
from giftless.interfaces import (
    ActionKind,
    Arrival,
    IBlocking,
    IBody,
    IClaimedUpload,
    Identity,
    IInterruptible,
    IResumableStore,
    Payload,
)
from giftless.lfs.batch import too_large
from giftless.lfs.objects import EMPTY_OID, Extras, ObjectKey
from giftless.lfs.tus import Checksum, Displaced, WrongChecksum, WrongOffset
from giftless.transfer.kinds import TUS
from giftless.usecases.authorization import Gate
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.presence import Presence, size_told
from giftless.usecases.quotas.promises import Quotas


@dataclass(frozen=True, slots=True)
class Target:
    """The upload that a request is about.

    :ivar key: its object.
    :ivar size: of the object, in bytes.
    :ivar extras: what is kept beside the object, as far as the request says so; an action's
        token says it better.
    """

    key: ObjectKey
    size: int
    extras: Extras


@dataclass(frozen=True, slots=True)
class Piece:
    """What a request brings of an upload.

    :ivar offset: of its first byte.
    :ivar body: its bytes.
    :ivar length: how many there are; ``None`` if that is not told.
    :ivar checksum: of these bytes; ``None`` if that is not told.
    """

    offset: int
    body: IInterruptible
    length: int | None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is.

    :ivar offset: how many bytes have come, and are durable; all of them only when the object
        is stored.
    :ivar expires: when it is given up if nothing more comes, in seconds since the epoch;
        ``None`` if nothing is kept of it, or the object is stored.
    """

    offset: int
    expires: float | None = None


class ResumableServer:
    """What the server does with resumable uploads, for an identity that has been established.

    An identity with the token of an action goes on with an upload that has not begun as well:
    it is at offset 0 then.  Others create it first.

    :param store: where objects are.
    :param directory: where bytes wait that have a checksum, until it is known to be right.
    :param blocking: hashes, and writes there.
    :param max_object_size: the largest object that may be stored, in bytes.
    :param gate: decides who may do what.
    :param events: where it is published what has happened.
    :param quotas: promise room to uploads; ``None`` if there are none.
    :param presence: decides what clients are told is there; ``None`` if objects are never
        moved.
    """

    def __init__(
        self,
        store: IResumableStore,
        directory: str,
        blocking: IBlocking,
        max_object_size: int,
        gate: Gate,
        events: Events = NO_EVENTS,
        quotas: Quotas | None = None,
        presence: Presence | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._blocking = blocking
        self._max_object_size = max_object_size
        self._gate = gate
        self._events = events
        self._quotas = quotas
        self._presence = presence

    async def create(self, identity: Identity, target: Target) -> Progress:
        """Begin an upload anew, unless the object is stored.

        What has come of it before is thrown away: after a creation, clients begin at 0.

        :raises LFSError: if that is not allowed, or if there is no room.
        """
        self._admit(identity, target, ())
        if await self._is_stored(identity, target):
            return Progress(target.size)
        if self._quotas is not None:
            await self._quotas.require(target.key, target.size, True)
        async with self._claimed(target) as upload:
            await upload.discard()
            await upload.begin(target.extras)
            return await self._progress(identity, target, upload)

    async def look(self, identity: Identity, target: Target) -> Progress:
        """Tell how far an upload is, whoever goes on with it: that one has to let go.

        If all bytes have come, the object is made of them first.

        :raises NotFound: if it has not begun.
        :raises LFSError: if that is not allowed.
        """
        self._admit(identity, target)
        async with self._claimed(target) as upload:
            if upload.offset is None:
                if await self._is_stored(identity, target):
                    return Progress(target.size)
                if identity.ticket is None:
                    raise _not_begun()
                if target.size:
                    return Progress(0)
                await upload.begin(_extras(identity, target))
            return await self._progress(identity, target, upload)

    async def receive(self, identity: Identity, target: Target, piece: Piece) -> Progress:
        """Add bytes to an upload; with the last ones, the object is made of it.

        What has come before the body ends with an error is kept, unless it has a checksum.

        :raises NotFound: if it has not begun.
        :raises WrongOffset: if the bytes do not go on where it broke off.
        :raises WrongChecksum: if they are not what their checksum says.
        :raises Displaced: if somebody else wants to go on with it.
        :raises WrongBody: if all have come, and are not the object: they are thrown away.
        :raises LFSError: if that is not allowed, or does not fit.
        """
        self._admit(identity, target)
        async with self._claimed(target) as upload:
            upload.wanted.addCallback(lambda _: piece.body.interrupt(_displaced()))
            begun = upload.offset is not None
            stored = not begun and await self._is_stored(identity, target)
            if not begun and not stored and identity.ticket is None:
                raise _not_begun()
            if stored and piece.offset == target.size and piece.length == 0:
                return Progress(target.size)
            self._check_place(target, piece, upload.offset or 0)
            with await self._hold(target):
                if not begun:
                    await upload.begin(_extras(identity, target))
                verified = await self._append(target, piece, upload)
            return await self._progress(identity, target, upload, verified)

    async def terminate(self, identity: Identity, target: Target) -> None:
        """Throw away what has come of an upload.

        :raises NotFound: if it has not begun.
        :raises Forbidden: if its object is stored already.
        :raises LFSError: if that is not allowed.
        """
        self._admit(identity, target)
        async with self._claimed(target) as upload:
            if upload.offset is not None:
                await upload.discard()
            elif await self._is_stored(identity, target):
                raise Forbidden("the object is stored: there is no upload to end any more")
            else:
                raise _not_begun()

    def _admit(
        self, identity: Identity, target: Target, kinds: Sequence[ActionKind] = (TUS,)
    ) -> None:
        key = target.key
        self._gate.require(identity, TUS.permission, key.repo, key.oid, kinds)
        if identity.ticket is not None and identity.ticket.size != target.size:
            raise BadAction("this action is for an object of another size; ask for a new batch")
        if target.size > self._max_object_size:
            raise too_large(target.size, self._max_object_size)

    @asynccontextmanager
    async def _claimed(self, target: Target) -> AsyncIterator[IClaimedUpload]:
        upload = await self._store.claim(target.key, target.size)
        try:
            yield upload
        finally:
            await upload.release()

    async def _is_stored(self, identity: Identity, target: Target) -> bool:
        """Whether the object is there already, and may be said to be."""
        size = await size_told(self._store, self._presence, identity, target.key)
        return size == target.size and (size > 0 or target.key.oid == EMPTY_OID)

    def _check_place(self, target: Target, piece: Piece, offset: int) -> None:
        """Check that a piece belongs where the upload broke off, and fits.

        :param offset: where it broke off.
        """
        if piece.offset != offset:
            raise WrongOffset(
                f"{offset} bytes of this upload have come, so it does not go on at"
                f" {piece.offset}; ask for its offset with HEAD"
            )
        if piece.length is not None and piece.length > target.size - offset:
            raise _too_long(target.size - offset)

    async def _hold(self, target: Target) -> AbstractContextManager[object]:
        """Promise room to an upload while it runs."""
        if self._quotas is None:
            return nullcontext()
        return await self._quotas.hold(target.key, target.size)

    async def _append(self, target: Target, piece: Piece, upload: IClaimedUpload) -> bool:
        """Let the store take a piece.

        :returns: whether these were all bytes of the object, and have its digest.
        """
        missing = target.size - piece.offset
        if piece.checksum is None:
            return await self._take(target, piece, upload, piece.body)
        async with Spool(self._directory, self._blocking) as spool:
            # It counts as a whole, or not at all.
            await spool.fill(_Summed(piece.body, missing, piece.checksum, self._blocking))
            return await self._take(target, piece, upload, spool)

    async def _take(
        self, target: Target, piece: Piece, upload: IClaimedUpload, body: IBody
    ) -> bool:
        missing = target.size - piece.offset
        is_whole = piece.offset == 0 and piece.length in (None, target.size)
        digest = hashlib.sha256() if is_whole else None
        passing = _Passing(body, missing, digest, self._blocking)
        await upload.append(passing)
        if digest is None or passing.received < missing:
            return False
        if digest.hexdigest() != target.key.oid:
            await upload.discard()
            raise WrongBody(
                f"the SHA-256 of these bytes is {digest.hexdigest()}, not {target.key.oid};"
                " they were thrown away"
            )
        return True

    async def _progress(
        self, identity: Identity, target: Target, upload: IClaimedUpload, verified: bool = False
    ) -> Progress:
        """Tell how far an upload is that has begun; make the object of it if all has come.

        :param verified: whether its bytes are known to have the right digest.
        """
        offset = upload.offset or 0
        if offset == target.size:
            await self._commit(identity, target, upload, verified)
            return Progress(offset)
        return Progress(offset, upload.changed + self._store.resumable_expiry)

    async def _commit(
        self, identity: Identity, target: Target, upload: IClaimedUpload, verified: bool
    ) -> None:
        key, extras = target.key, _extras(identity, target)
        with await self._hold(target):
            await upload.commit(Payload(target.size, key.oid), extras, verified)
        if self._presence is not None:
            key = await self._presence.follow(key)
        self._events.publish_stored(key, target.size, identity, Arrival.STREAMED, extras)


class _Passing(CheckedBody):
    """Bytes on their way into an upload: no more than it lacks.

    :param missing: how many bytes it lacks.
    :param digest: takes the bytes; whoever made it looks at it.
    """

    def __init__(self, body: IBody, missing: int, digest: Any, blocking: IBlocking) -> None:
        super().__init__(body, None, missing, digest, blocking)
        self._missing = missing

    def check_digest(self) -> None:
        """See :meth:`CheckedBody.check_digest`: there may be more to come."""

    def _count(self, chunks: Sequence[bytes]) -> None:
        self._received += sum(map(len, chunks))
        if self._received > self._missing:
            raise _too_long(self._missing)


class _Summed(_Passing):
    """The same, with a checksum of these bytes alone.

    :param checksum: what they must be.
    """

    def __init__(self, body: IBody, missing: int, checksum: Checksum, blocking: IBlocking) -> None:
        digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
        super().__init__(body, missing, digest, blocking)
        self._checksum = checksum

    def check_digest(self) -> None:
        """See :meth:`CheckedBody.check_digest`."""
        if self._digest.digest() != self._checksum.digest:
            raise WrongChecksum(
                f"the {self._checksum.algorithm} of these bytes is not that of Upload-Checksum;"
                " nothing of them was kept, so send them again"
            )


def _extras(identity: Identity, target: Target) -> Extras:
    return target.extras if identity.ticket is None else identity.ticket.extras


def _not_begun() -> NotFound:
    return NotFound("there is no such upload: it was not created, or has ended; create it again")


def _displaced() -> Displaced:
    return Displaced("somebody else goes on with this upload; ask for its offset with HEAD")


def _too_long(missing: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the upload lacks {missing} bytes, and more are sent")
