"""What a storage backend can do.  Transfer adapters ask for the interface, never for a class."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from zope.interface import Attribute, Interface

from giftless.errors import LFSError
from giftless.interfaces.bodies import IBody
from giftless.lfs.objects import Action, Extras, ObjectKey


class IObjectStore(Interface):
    """A place where objects are kept: the part that every backend has."""

    def sizes(keys: Sequence[ObjectKey]) -> Awaitable[Sequence[int | LFSError | None]]:
        """Ask for the sizes of many objects at once.

        :param keys: up to a whole batch of keys.
        :returns: an awaitable with one entry per key, in order: the size in
            bytes, ``None`` only if the object is certainly absent, or an error
            (not raised) if it can be told of others and not of this one.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store says about an object.

    :ivar size: in bytes.
    :ivar sha256: the SHA-256 of its bytes as the store has computed it, in
        hexadecimal; ``None`` if the store keeps none.
    :ivar extras: the ``x-*`` members that it was uploaded with.
    """

    size: int
    sha256: str | None = None
    extras: Extras = field(default_factory=dict)


class IInspector(Interface):
    """A store that can look closer at an object: for its verification."""

    def inspect(key: ObjectKey) -> Awaitable[ObjectFacts | None]:
        """Tell what is known about an object.

        :returns: an awaitable of the facts; ``None`` if it is absent.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class IStoredObject(Interface):
    """An object opened for reading.  Whoever opened it closes it."""

    size: int = Attribute("The object's size in bytes.")
    extras: Extras = Attribute("The ``x-*`` members that it was uploaded with.")

    def read(start: int, end: int) -> IBody:
        """Read part of the object.

        :param start: the first byte's offset.
        :param end: one past the last byte's offset, at most ``size``.
        :returns: a body that provides exactly ``end - start`` bytes.
        """

    def close() -> None:
        """Free what the open object holds.  Harmless when repeated."""


class IStoredFile(IStoredObject):
    """An open object that is a file, so the kernel can send it by itself."""

    def fileno() -> int:
        """Return a descriptor of a regular file with the object's bytes."""


class IStreamingStore(IObjectStore):
    """A store whose bytes pass through the daemon."""

    def put(key: ObjectKey, size: int | None, body: IBody, extras: Extras) -> Awaitable[None]:
        """Store an object, durably and at once or not at all.

        :param key: where it goes; an object that is there already is replaced
            by the same bytes, or left alone.
        :param size: the length of the body in bytes; ``None`` if unknown.
        :param body: the bytes; it is checked against the oid on the way and
            raises from ``read`` before its end if they are wrong, so a store
            commits only after ``read`` has returned an empty sequence.
        :param extras: the ``x-*`` members of the batch's object, to be given
            back by :meth:`open`.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        :raises giftless.errors.LengthRequired: if ``size`` is ``None`` and the
            store cannot do without.
        """

    def open(key: ObjectKey) -> Awaitable[IStoredObject | None]:
        """Open an object for reading.

        :returns: an awaitable of the open object; ``None`` if it is absent.
        """


class IExternalStore(IObjectStore):
    """A store that clients talk to directly, with actions signed here."""

    def upload_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Awaitable[Action]:
        """Sign an upload of ``size`` bytes, valid for ``lifetime`` seconds.

        All objects of a batch are asked for at the same time.

        :returns: an awaitable of the action; its ``expires_in`` is less than
            ``lifetime`` if what signs it expires before.
        :raises giftless.errors.LFSError: if this object cannot be uploaded so;
            the batch says it of this object alone.
        """

    def download_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Awaitable[Action]:
        """Sign a download, valid for ``lifetime`` seconds; see :meth:`upload_action`."""


class ICapacity(Interface):
    """A store that knows how much it can still take."""

    def sizes_and_room(
        keys: Sequence[ObjectKey],
    ) -> Awaitable[tuple[Sequence[int | LFSError | None], int]]:
        """Ask for sizes, and for how many bytes uploads can still use: one question.

        :param keys: what may be uploaded.
        :returns: what :meth:`IObjectStore.sizes` returns, and the bytes.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """
