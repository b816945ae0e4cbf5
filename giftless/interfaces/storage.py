"""What a storage backend can do.  Transfer adapters ask for the interface, never for a class."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from zope.interface import Attribute, Interface

from giftless.errors import LFSError
from giftless.interfaces.bodies import IBody
from giftless.lfs.objects import Action, Extras, ObjectKey, Repo


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
    :ivar sha256: the SHA-256 of all its bytes as the store itself has computed it, in
        hexadecimal; ``None`` if the store keeps none, or has it from a client alone.
    :ivar extras: the ``x-*`` members that it was uploaded with.
    :ivar damage: why it is marked as damaged; ``None`` if it is not.
    """

    size: int
    sha256: str | None = None
    extras: Extras = field(default_factory=dict)
    damage: str | None = None


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


@dataclass(frozen=True, slots=True)
class Payload:
    """What is known beforehand of the bytes that a store is about to get.

    They are the object's own, unless a wrapper in front of the store changes
    them: so a store takes neither the object's size nor its oid for theirs.

    :ivar length: how many there are; ``None`` if that is not known.
    :ivar sha256: their SHA-256 in hexadecimal; ``None`` if that is not known.
    """

    length: int | None = None
    sha256: str | None = None


class IMarking(IObjectStore):
    """A store that can mark objects as damaged.

    While an object is marked, :meth:`IObjectStore.sizes` returns an
    :class:`~giftless.errors.ObjectDamaged` for it, and
    :meth:`IReadableStore.open` and :meth:`IInspector.inspect` raise one.  So it is
    refused to who wants it, and taken from whoever uploads it again: which ends the
    mark.
    """

    def mark(key: ObjectKey, reason: str) -> Awaitable[None]:
        """Mark an object, durably; harmless if it is absent.

        :param reason: what was found, in words for users.
        :raises giftless.errors.PayloadTooLarge: if the store cannot mark an object so
            large.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """


class IReadableStore(IObjectStore):
    """A store whose objects the daemon can read."""

    def open(key: ObjectKey) -> Awaitable[IStoredObject | None]:
        """Open an object for reading.

        :returns: an awaitable of the open object; ``None`` if it is absent.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class IWritableStore(IReadableStore):
    """A store whose objects the daemon can read and write.

    Clients need not send theirs through the daemon: that is what
    :class:`IStreamingStore` says.  Operators' commands write into every such store.
    """

    def put(key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> Awaitable[None]:
        """Store an object, durably and at once or not at all.

        :param key: where it goes; an object that is there already is replaced
            by the same bytes, or left alone.
        :param payload: what is known of the body's bytes.
        :param body: the bytes; they are checked on the way, and ``read`` raises
            before its end if they are wrong, so a store commits only after
            ``read`` has returned an empty sequence.
        :param extras: the ``x-*`` members of the batch's object, to be given
            back by :meth:`open`.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        :raises giftless.errors.LengthRequired: if the length is not known and
            the store cannot do without.
        :raises giftless.errors.PayloadTooLarge: if the store takes no object so large.
        """


class IStreamingStore(IWritableStore):
    """A store whose bytes pass through the daemon: clients send objects to it, not to the store."""


class IExternalStore(IObjectStore):
    """A store that clients talk to directly, with actions signed here."""

    def upload_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool = False
    ) -> Awaitable[Action]:
        """Sign an upload of ``size`` bytes, valid for ``lifetime`` seconds.

        All objects of a batch are asked for at the same time.

        :param replace: whether it replaces a damaged object that is there; what is good
            must not be replaced.

        :returns: an awaitable of the action; its ``expires_in`` is less than
            ``lifetime`` if what signs it expires before.
        :raises giftless.errors.LFSError: if this object cannot be uploaded so;
            the batch says it of this object alone.
        """

    def download_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Awaitable[Action]:
        """Sign a download, valid for ``lifetime`` seconds; see :meth:`upload_action`."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a repository may still take.

    :ivar bytes: how many bytes uploads can still use; ``math.inf`` if there is
        no bound.
    :ivar problem: what a client is told whose object does not fit.
    """

    bytes: float
    problem: str = "the server's storage has no room for this object"


class ICapacity(Interface):
    """A store that knows how much more a repository may take."""

    def room(repo: Repo) -> Awaitable[Room]:
        """Ask how much a repository may still take.

        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class IFusedCapacity(ICapacity):
    """A store that tells sizes and room at once, faster than one after the other."""

    def sizes_and_room(
        keys: Sequence[ObjectKey], repo: Repo
    ) -> Awaitable[tuple[Sequence[int | LFSError | None], Room]]:
        """Ask for the sizes of many objects, and how much their repository may still take.

        :param keys: what may be uploaded; all of ``repo``.
        :returns: what :meth:`IObjectStore.sizes` and :meth:`ICapacity.room`
            return.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """


#: The most objects that one page of a list may be asked for.
MAX_PAGE: Final = 10_000


class ListedObject(msgspec.Struct, frozen=True, gc=False):
    """An object in a list.

    :ivar size: in bytes.
    :ivar modified: when it was stored last, in seconds since the epoch; of an object in
        the trash, when it came there.  It may be a little later, but never earlier.
    """

    key: ObjectKey
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of a list of objects.

    :ivar objects: in no particular order.
    :ivar next_cursor: where the next page begins; ``None`` after the last one.
    """

    objects: Sequence[ListedObject] = ()
    next_cursor: str | None = None


class IListing(IObjectStore):
    """A store that can list what it has."""

    def list(
        repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> Awaitable[ObjectPage]:
        """List objects, page by page.

        An object that is there all the while is on exactly one page, whatever is
        stored and deleted meanwhile.  What is in the store and no object of this
        layout is left out.

        :param repo: only the objects of exactly this repository, not of those
            below its path; ``None`` for those of all repositories.
        :param cursor: the ``next_cursor`` of the page before.
        :param limit: the most objects of this page, from 1 to :data:`MAX_PAGE`.
            There may be fewer, even none, and still a next page.
        :param trash: whether to list what is in the trash of these repositories, with the
            keys that it has there (:func:`giftless.lfs.objects.in_trash`), and nothing
            else.  What is in the trash is on no other list.
        :raises giftless.errors.BadRequest: if the cursor is none of this store's, or
            the limit is out of range.
        :raises giftless.errors.ServiceUnavailable: if the list cannot be had; a
            store never returns a part of it as all.
        """


class IDeleting(IObjectStore):
    """A store that can delete objects."""

    def delete(key: ObjectKey) -> Awaitable[None]:
        """Delete an object and what is kept beside it, durably.

        Harmless if it is absent.

        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """


class ICopying(IObjectStore):
    """A store that can copy objects itself: no byte passes through the daemon.

    The trash and the renaming of repositories are made of this: copy, then delete.
    """

    def copy(source: ObjectKey, target: ObjectKey) -> Awaitable[bool]:
        """Copy an object with what is kept beside it, durably and at once or not at all.

        What is at the target already stays if it has the same size, and is replaced
        otherwise; in the trash it is replaced, or dated anew, in any case.  On a disk both
        share their bytes.

        :param target: has the same oid.  Each of the two may be in the trash.
        :returns: an awaitable of whether the object is there; ``False`` only if the
            source is certainly absent, or is marked as damaged: nothing has been done
            then, whatever is at the target.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """


class IAdopting(IWritableStore):
    """A store that can copy objects from some other stores itself.

    Such a copy is one request; no byte passes through the server.
    """

    def adopts(store: IObjectStore) -> bool:
        """Tell whether objects of another store may be copied; quick.

        It may turn out that the other one does not allow it.
        """

    def adopt(store: IObjectStore, key: ObjectKey) -> Awaitable[bool]:
        """Copy an object of another store, under the same key, as :meth:`ICopying.copy` does.

        :param store: one that :meth:`adopts` has said yes of.
        :returns: an awaitable of whether the object is there; ``False`` only if the other
            store certainly does not have it, or has marked it as damaged.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done, now or ever.
        """


class ISharing(IObjectStore):
    """A store on which equal objects of several repositories can take the room of one."""

    def share(key: ObjectKey, others: Sequence[ObjectKey]) -> Awaitable[int]:
        """Let other objects of the same oid use the bytes of one that was just verified.

        Nothing changes for whoever reads or deletes one of them, nor do objects
        appear that are not there.  What cannot share (on another disk, or damaged) is
        left alone.

        :param others: in other repositories, or in the trash.
        :returns: an awaitable of how many of them share its bytes now and did not before.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """


class IProbing(IObjectStore):
    """A store that can try whether it takes, gives back and deletes something.

    That is what ``/health/ready`` asks.  A store that does not provide this is asked for
    the size of an object that is absent.
    """

    def probe() -> Awaitable[None]:
        """Write something fresh, read it back and delete it.

        It must not look like an object of a repository, and what a killed process has
        left of it is deleted later.  It ends within some seconds, unless the system does
        not let it.

        :raises giftless.errors.LFSError: if that fails; its message is for operators
            alone, and says what to look at.
        """


class IDated(Interface):
    """A store with a clock of its own, by which it judges what is signed."""

    def time() -> Awaitable[float]:
        """Ask what time it is there.

        :returns: an awaitable of seconds since the epoch, at a whole second.
        :raises giftless.errors.ServiceUnavailable: if it does not say.
        """
