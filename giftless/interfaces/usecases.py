"""Use cases that the endpoints of plugins may call."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from zope.interface import Attribute, Interface

from giftless.interfaces.actions import ActionKind
from giftless.interfaces.auth import Identity
from giftless.interfaces.bodies import IBody
from giftless.interfaces.storage import IStoredObject
from giftless.lfs.objects import ObjectKey


class IDownload(Interface):
    """An object that is open for somebody who may read it.  Whoever opened it closes it."""

    stored: IStoredObject = Attribute("The object.")

    def sent(count: int, wanted: int) -> None:
        """Note how much of the object was sent, when no more will be.

        What is said first counts: it may come just before the last bytes are sent.

        :param count: how many bytes were sent.
        :param wanted: how many bytes the client has asked for.
        """

    def close() -> None:
        """Close the object.  Harmless when repeated."""


class IObjects(Interface):
    """Stores, opens and verifies objects for an identity, if it may do that.

    The limits of the server hold, and what is stored is checked, whatever
    endpoint it comes through.
    """

    def receive(
        identity: Identity,
        key: ObjectKey,
        size: int | None,
        body: IBody,
        kinds: Sequence[ActionKind],
    ) -> Awaitable[None]:
        """Store an object.

        :param size: the length of the body in bytes; ``None`` if it is not told.
        :param body: the bytes.
        :param kinds: the kinds of action whose tokens will do.
        :raises giftless.errors.LFSError: if the upload is not allowed, not whole,
            not what its oid says, or does not fit.  Nothing is stored then.
        """

    def open(
        identity: Identity, key: ObjectKey, kinds: Sequence[ActionKind]
    ) -> Awaitable[IDownload]:
        """Open an object for reading; the caller closes it.

        :param kinds: the kinds of action whose tokens will do.
        :raises giftless.errors.NotFound: if it is not there.
        :raises giftless.errors.LFSError: if that is not allowed.
        """

    def verify(
        identity: Identity, key: ObjectKey, size: int, kinds: Sequence[ActionKind]
    ) -> Awaitable[None]:
        """Confirm that an object is stored, whole.

        :param size: its size in bytes.
        :param kinds: the kinds of action whose tokens will do.
        :raises giftless.errors.NotFound: if it is not there.
        :raises giftless.errors.Conflict: if it has another size or digest.
        :raises giftless.errors.LFSError: if that is not allowed.
        """
