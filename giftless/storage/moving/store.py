"""Make one store of two, while objects move from one to the other.

Objects are named by their hashes, so it does not matter which of two copies is read.
Nothing is ever taken away from the old store but what is deleted.  What is deleted goes
there first: whoever moves objects looks once more at the old store when it has written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from zope.interface import alsoProvides, implementer

from giftless.errors import Conflict, LFSError, ObjectDamaged, ServiceUnavailable
from giftless.interfaces import (
    ICapacity,
    ICopied,
    ICopying,
    IDeleting,
    IInspector,
    IListing,
    IMarking,
    IMultipartStore,
    IProbing,
    IResumableStore,
    ISharing,
    IStoredObject,
    IStreamingMultipartStore,
    IStreamingStore,
    IWritableStore,
    ObjectFacts,
    ObjectPage,
    PartUpload,
    Payload,
)
from giftless.lfs.objects import RESERVED_PREFIX, Extras, ObjectKey, Oid, Repo, owner_of
from giftless.storage.moving.listing import list_both
from giftless.storage.moving.resumable import MovingUploads
from giftless.storage.wrapping import lend, pass_on, without_copies

T = TypeVar("T")

#: What one store can be asked in place of the other.
_IN_EITHER: Final = (IInspector, IListing, IDeleting, IMarking, ICopying)

#: What the old store is asked for when it is tried; no repository can have this name.
_ABSENT: Final = ObjectKey(
    Repo((RESERVED_PREFIX,)), Oid(hashlib.sha256(b"giftless moving").hexdigest())
)


@implementer(IWritableStore, IProbing)
class MovingStore:
    """Two stores that clients see as one.

    It provides of :class:`IInspector`, :class:`IListing`, :class:`IDeleting`,
    :class:`IMarking` and :class:`ICopying` what both stores do; of :class:`ISharing`,
    :class:`ICapacity` and :class:`IResumableStore`, what the new one does.

    :param target: the store that objects move to.
    :param source: the store that they come from.
    """

    def __init__(self, target: Any, source: Any) -> None:
        self._target = target
        self._source = source
        self.put = target.put
        pass_on(self, target, ICapacity)
        for interface in _IN_EITHER:
            if interface.providedBy(target) and interface.providedBy(source):
                alsoProvides(self, interface)
        if ISharing.providedBy(target):
            alsoProvides(self, ISharing)
        if ICopied.providedBy(target) or ICopied.providedBy(source):
            alsoProvides(self, ICopied)
        if IResumableStore.providedBy(target):
            lend(self, MovingUploads(target, source), IResumableStore)

    # -- reading

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        try:
            found = list(await self._target.sizes(keys))
        except ServiceUnavailable as error:
            found = [error] * len(keys)
        left = [place for place, size in enumerate(found) if not isinstance(size, int)]
        if not left:
            return found
        try:
            older = await self._source.sizes([keys[place] for place in left])
        except ServiceUnavailable as error:
            older = [error] * len(left)
        for place, size in zip(left, older, strict=True):
            # What is wrong with the new store's copy is told if there is no other.
            if found[place] is None or isinstance(size, int):
                found[place] = size
        problem = found[0]
        if isinstance(problem, ServiceUnavailable) and all(
            isinstance(size, ServiceUnavailable) for size in found
        ):
            raise problem
        return found

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        return await _either(self._target.open, self._source.open, key)

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`."""
        return await _either(self._target.inspect, self._source.inspect, key)

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`."""
        return await list_both(self._target, self._source, repo, cursor, limit, trash)

    def kept(self) -> MovingStore:
        """See :meth:`giftless.interfaces.ICopied.kept`."""
        return type(self)(without_copies(self._target), without_copies(self._source))

    # -- changing

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.IDeleting.delete`: first where it came from."""
        await self._source.delete(key)
        await self._target.delete(key)

    async def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICopying.copy`: within the store that has it.

        A copy in the old store moves on later, as everything there.
        """
        if await self._target.copy(source, target):
            return True
        (size,) = await self._source.sizes([source])
        (present,) = await self._target.sizes([target])
        if isinstance(size, int) and size == present and owner_of(target.repo) is None:
            return True
        copied: bool = await self._source.copy(source, target)
        if copied and isinstance(present, int) and present != size:
            # It would be read instead.
            await self._target.delete(target)
        return copied

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.interfaces.IMarking.mark`: the copy that would be read.

        The other one, if there is one, takes its place: nothing bad is known of it.
        """
        store = self._target if await self._is_moved(key) else self._source
        await store.mark(key, reason)

    async def share(self, key: ObjectKey, others: Sequence[ObjectKey]) -> int:
        """See :meth:`giftless.interfaces.ISharing.share`: with the copy that would be read."""
        if await self._is_moved(key):
            return int(await self._target.share(key, others))
        if ISharing.providedBy(self._source):
            return int(await self._source.share(key, others))
        return 0

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.commit`.

        The upload may have begun in the old store, before objects began to move.
        """
        try:
            await self._target.commit(key, upload, payload, extras)
        except Conflict as conflict:
            if not IMultipartStore.providedBy(self._source):
                raise
            try:
                await self._source.commit(key, upload, payload, extras)
            except LFSError:
                raise conflict from None

    async def probe(self) -> None:
        """See :meth:`giftless.interfaces.IProbing.probe`: nothing is written to the old one."""
        if IProbing.providedBy(self._target):
            await self._target.probe()
        else:
            await self._target.sizes([_ABSENT])
        await self._source.sizes([_ABSENT])

    # -- for those who inherit

    def _take_parts(self, interface: type[IMultipartStore]) -> None:
        """Let clients send parts to the new store, if it provides an interface."""
        if interface.providedBy(self._target):
            commit = self.commit
            pass_on(self, self._target, IMultipartStore, interface)
            self.commit = commit  # type: ignore[method-assign]

    async def _is_moved(self, key: ObjectKey) -> bool:
        """Whether the new store has an object, and no other copy is to be read.

        :raises ServiceUnavailable: if it does not say.
        """
        (size,) = await self._target.sizes([key])
        if isinstance(size, LFSError) and not isinstance(size, ObjectDamaged):
            raise size
        return isinstance(size, int)


@implementer(IStreamingStore)
class StreamingMovingStore(MovingStore):
    """All bytes pass through the daemon, whatever one of the stores could do."""

    def __init__(self, target: Any, source: Any) -> None:
        super().__init__(target, source)
        self._take_parts(IStreamingMultipartStore)


async def _either(
    new: Callable[[ObjectKey], Awaitable[T | None]],
    old: Callable[[ObjectKey], Awaitable[T | None]],
    key: ObjectKey,
) -> T | None:
    """Ask the old store for what the new one does not have, or has not intact."""
    problem: LFSError | None = None
    try:
        found = await new(key)
        if found is not None:
            return found
    except (ObjectDamaged, ServiceUnavailable) as error:
        problem = error
    found = await old(key)
    if found is None and problem is not None:
        raise problem
    return found
