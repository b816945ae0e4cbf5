"""Stores that keep everything in memory, and can be told to misbehave."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.errors import BadRequest, InsufficientStorage, LFSError, ObjectDamaged
from giftless.interfaces import (
    IBody,
    ICapacity,
    ICopying,
    IDeleting,
    IExternalStore,
    IInspector,
    IListing,
    IMarking,
    IStoredObject,
    IStreamingStore,
    ListedObject,
    ObjectFacts,
    ObjectPage,
    Payload,
    Room,
)
from giftless.lfs.objects import Action, Extras, ObjectKey, Repo, owner_of, trash_of
from giftless.storage.pages import check_limit
from tests.support.bodies import ListBody


@implementer(IStreamingStore, IListing, IDeleting, IMarking, ICopying)
class MemoryStore:
    """A streaming store in memory.

    :param prefix: what is put in front of each object's place in ``objects``.
    :ivar objects: the bytes of each object, by its place.
    :ivar questions: the keys of every call of :meth:`sizes`.
    :ivar opened: every object that was opened, to see whether it was closed.
    :ivar failure: what every method raises, if set.
    :ivar unknown: what is said instead of the size of these objects.
    """

    #: When each object was stored, in seconds since the epoch.
    MODIFIED = 1_700_000_000.0

    def __init__(self, prefix: str = "") -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._extras: dict[str, Extras] = {}
        self.objects: dict[str, bytes] = {}
        self.questions: list[Sequence[ObjectKey]] = []
        self.opened: list[MemoryObject] = []
        self.failure: Exception | None = None
        self.unknown: dict[ObjectKey, LFSError] = {}
        self._marks: dict[str, str] = {}

    def add(self, key: ObjectKey, data: bytes, extras: Extras | None = None) -> None:
        """Put an object in place, whatever its bytes are."""
        self.objects[self._place(key)] = data
        self._marks.pop(self._place(key), None)
        self._extras[self._place(key)] = extras or {}

    def get(self, key: ObjectKey) -> bytes | None:
        """Return an object's bytes; ``None`` if it is absent."""
        return self.objects.get(self._place(key))

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        self._misbehave()
        self.questions.append(list(keys))
        return [self.unknown.get(key, self._damage(key) or self._size(key)) for key in keys]

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`."""
        self._misbehave()
        parts: list[bytes] = []
        while chunks := await body.read():
            parts.extend(chunks)
            self._check_room(sum(map(len, parts)))
        self.add(key, b"".join(parts), dict(extras))

    async def open(self, key: ObjectKey) -> MemoryObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        self._misbehave()
        data = self.get(key)
        if data is None:
            return None
        if (damaged := self._damage(key)) is not None:
            raise damaged
        self.opened.append(MemoryObject(data, self._extras[self._place(key)]))
        return self.opened[-1]

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`: in the order of paths."""
        self._misbehave()
        check_limit(limit)
        if cursor is not None and ObjectKey.of_path(cursor, trash) is None:
            raise BadRequest("this is no cursor; list from the beginning")
        wanted = trash_of(repo) if trash and repo is not None else repo
        keys = [
            key
            for place in sorted(self.objects)
            if place.startswith(self._prefix)
            and (key := ObjectKey.of_path(place.removeprefix(self._prefix), trash)) is not None
            and wanted in (None, key.repo)
            and (cursor is None or key.path > cursor)
        ]
        page = [ListedObject(key, self._size(key) or 0, self.MODIFIED) for key in keys[:limit]]
        return ObjectPage(page, page[-1].key.path if len(keys) > limit else None)

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IDeleting.delete`."""
        self._misbehave()
        self.objects.pop(self._place(key), None)
        self._extras.pop(self._place(key), None)
        self._marks.pop(self._place(key), None)

    async def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICopying.copy`."""
        self._misbehave()
        data = self.get(source)
        if data is None or self._damage(source) is not None:
            return False
        trashed = owner_of(target.repo) is not None
        if trashed or self._damage(target) is not None or self._size(target) != len(data):
            self.add(target, data, self._extras[self._place(source)])
        return True

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.interfaces.IMarking.mark`."""
        self._misbehave()
        if self._place(key) in self.objects:
            self._marks[self._place(key)] = reason

    def _damage(self, key: ObjectKey) -> ObjectDamaged | None:
        reason = self._marks.get(self._place(key))
        return None if reason is None else ObjectDamaged.because(reason)

    def _size(self, key: ObjectKey) -> int | None:
        data = self.get(key)
        return None if data is None else len(data)

    def _check_room(self, length: int) -> None:
        """Raise if an upload of ``length`` bytes does not fit."""

    def _place(self, key: ObjectKey) -> str:
        return self._prefix + key.path

    def _misbehave(self) -> None:
        if self.failure is not None:
            raise self.failure


@implementer(IStoredObject)
class MemoryObject:
    """An open object of a :class:`MemoryStore`.

    :ivar closed: whether it has been closed.
    """

    #: How many bytes one ``read`` of its body provides at most.
    chunk_size = 65536

    def __init__(self, data: bytes, extras: Extras) -> None:
        self._data = data
        self.size = len(data)
        self.extras = extras
        self.closed = False

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        step = self.chunk_size
        return ListBody(
            self._data[offset : min(offset + step, end)] for offset in range(start, end, step)
        )

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self.closed = True


@implementer(ICapacity)
class BoundedMemoryStore(MemoryStore):
    """A store in memory that knows how much it can still take.

    :param capacity: how many bytes all objects together may have.
    """

    def __init__(self, capacity: int, prefix: str = "") -> None:
        super().__init__(prefix)
        self.capacity = capacity

    @property
    def left(self) -> int:
        """How many bytes it can still take."""
        return self.capacity - sum(map(len, self.objects.values()))

    async def room(self, repo: Repo) -> Room:
        """See :meth:`giftless.interfaces.ICapacity.room`."""
        self._misbehave()
        return Room(self.left)

    def _check_room(self, length: int) -> None:
        if length > self.left:
            raise InsufficientStorage("this memory is full; nothing was stored")


@implementer(IInspector)
class InspectedMemoryStore(MemoryStore):
    """A store in memory that keeps the SHA-256 of what it holds, if it is told one.

    :ivar digests: what it says of each object.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self.digests: dict[ObjectKey, str] = {}

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`."""
        self._misbehave()
        if (damaged := self._damage(key)) is not None:
            raise damaged
        size = self._size(key)
        return None if size is None else ObjectFacts(size, self.digests.get(key))


@implementer(IExternalStore)
class ExternalStore:
    """A store that clients would talk to directly.

    :ivar present: the sizes of the objects that it has.
    :ivar refusals: why it does not sign for these objects.
    :ivar signed: the arguments of every signature that was asked for.
    :ivar replacing: the objects whose uploads may replace what is there.
    :ivar damaged: the objects that are marked, and why.
    """

    def __init__(self) -> None:
        self.present: dict[ObjectKey, int] = {}
        self.refusals: dict[ObjectKey, Exception] = {}
        self.signed: list[tuple[str, ObjectKey, int, int, Extras]] = []
        self.replacing: list[ObjectKey] = []
        self.damaged: dict[ObjectKey, LFSError] = {}

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        return [self.damaged.get(key, self.present.get(key)) for key in keys]

    async def upload_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool = False
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.upload_action`."""
        if replace:
            self.replacing.append(key)
        return self._sign("upload", key, size, lifetime, extras)

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.download_action`."""
        return self._sign("download", key, size, lifetime, extras)

    def _sign(self, verb: str, key: ObjectKey, size: int, lifetime: int, extras: Extras) -> Action:
        if key in self.refusals:
            raise self.refusals[key]
        self.signed.append((verb, key, size, lifetime, extras))
        return Action(f"https://bucket.example/{key.path}?{verb}", None, lifetime)
