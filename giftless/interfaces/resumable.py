"""Interfaces of storage backends on which a broken upload goes on where it broke off."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from giftless.interfaces.bodies import IBody
from giftless.interfaces.storage import IObjectStore, Payload
from giftless.lfs.objects import Extras, ObjectKey


class IClaimedUpload(Interface):
    """An upload that goes on here, and nowhere else for as long as it is claimed."""

    offset: int | None = Attribute(
        "How many bytes have come, and are durable; ``None`` if the upload has not begun."
    )

    changed: float = Attribute(
        "When bytes came last, or when it began, in seconds since the epoch; 0 if it has not begun."
    )

    wanted: Deferred[None] = Attribute(
        "Fires when somebody else wants to go on with the upload.  Whoever has claimed it"
        " must then save what has come, and release it, within a second."
    )

    def begin(extras: Extras) -> Awaitable[None]:
        """Begin the upload, durably; harmless if it has begun.

        :param extras: the ``x-*`` members of the object.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        """

    def append(body: IBody) -> Awaitable[None]:
        """Add bytes behind those that have come, durably.

        The upload has begun.  What ``body.read`` raises is raised when all that it has
        returned before is durable, and counted by :attr:`offset`: an upload that is broken
        off loses nothing.

        :param body: at most as many bytes as the upload lacks; whoever calls sees to that.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        :raises giftless.errors.Conflict: if somebody else has taken the upload over,
            because this process did not answer.
        """

    def commit(payload: Payload, extras: Extras, verified: bool) -> Awaitable[None]:
        """Make the object of the bytes that have come, durably and at once or not at all.

        Nobody can claim the upload meanwhile.  Afterwards there is no upload any more.

        :param payload: what the bytes must be.  The length is known, and so is the digest,
            unless a wrapper has changed the bytes: it reads them back by itself then.
        :param verified: whether the caller has seen all bytes go by, and their digest is
            that.  Otherwise the store reads them back before the object becomes visible.
        :raises giftless.errors.WrongBody: if they are not those; they have been thrown away
            then, and the upload has not begun.
        """

    def discard() -> Awaitable[None]:
        """Throw away what has come, if anything has: the upload has not begun then."""

    def release() -> Awaitable[None]:
        """Let others go on with the upload.  Harmless when repeated."""


class IResumableStore(IObjectStore):
    """A store that takes an object bit by bit, in order, through the daemon.

    What has come is known to the store alone: any process goes on with an upload, and so
    does another daemon on the same store.

    A wrapper may keep small objects beside an upload, in ``SEALING`` of
    ``giftless/storage/staging.py``.  The store removes those there that have not
    changed for twice :attr:`resumable_expiry`.
    """

    resumable_expiry: int = Attribute(
        "After how many seconds without a new byte an upload is given up, and what has come"
        " of it is removed."
    )

    def claim(key: ObjectKey, size: int) -> Awaitable[IClaimedUpload]:
        """Claim the upload of an object, wherever it goes on now.

        Whoever has claimed it is asked to release it.  From one that does not answer it is
        taken away, unless an object is just being made of it.

        :param size: how many bytes the object will have.  Uploads of one object with
            different sizes have nothing to do with each other.
        :returns: an awaitable of the upload; the caller releases it.
        :raises giftless.errors.PayloadTooLarge: if the store takes no object so large.
        :raises giftless.errors.ServiceUnavailable: if an object is being made of it and
            that takes long, or if the store fails.
        """
