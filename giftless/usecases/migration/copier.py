"""Copy one object from store to store, and verify it on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.base.bodies import VerifiedBody
from giftless.base.pace import Pace
from giftless.base.whole_object import WholeObject
from giftless.errors import (
    Conflict,
    InsufficientStorage,
    LFSError,
    NotFound,
    ObjectDamaged,
    ObjectSealed,
    ObjectUnreadable,
    ServiceUnavailable,
    WrongBody,
)
from giftless.interfaces import (
    IAdopting,
    IBlocking,
    IBody,
    IInspector,
    IReadableStore,
    IStoredObject,
    IWritableStore,
    ObjectFacts,
    Payload,
)
from giftless.lfs.objects import MAX_SIZE, ObjectKey
from giftless.storage.wrapping import without_copies

#: How long to wait before an object is tried again, in seconds; behind the last one it has
#: failed.
DELAYS: Final = (1.0, 3.0, 10.0)

#: How many copies in a row a store may refuse to make itself until it is not asked any more.
MAX_REFUSALS: Final = 3


class Outcome(Enum):
    """What has become of an object that was to be copied.

    :cvar COPIED: it is in the new store, and its bytes are those that its oid names.
    :cvar GONE: it is not in the old store any more, and was not copied.
    :cvar RESURFACED: it was deleted just while its copy appeared.
    :cvar DAMAGED: it is marked as damaged in the old store.
    :cvar WRONG: its bytes in the old store are others than its oid names.
    :cvar UNREADABLE: its bytes cannot be had.
    :cvar MISSING: it is not in the new store, and nothing was to be copied.
    :cvar REFUSED: the new store cannot have it.
    :cvar FAILED: one of the stores did not do what it was asked.
    """

    COPIED = "copied"
    GONE = "gone"
    RESURFACED = "resurfaced"
    DAMAGED = "damaged"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    REFUSED = "refused"
    FAILED = "failed"


class Copier:
    """Copies objects.

    :param source: the old store.
    :param target: the new one.
    :param blocking: hashes.
    :param clock: waits before another attempt.
    :param pace: bounds how fast is read.
    :param passed: is told how many more bytes were copied.
    """

    def __init__(
        self,
        source: IReadableStore,
        target: IWritableStore,
        blocking: IBlocking,
        clock: IReactorTime,
        pace: Pace,
        passed: Callable[[int], object],
    ) -> None:
        # Everything passes once: what a cache has is worth more than that.
        self._source = without_copies(source)
        self._target = target
        self._blocking = blocking
        self._clock = clock
        self._pace = pace
        self._passed = passed
        self._adopter: IAdopting | None = None
        if IAdopting.providedBy(target) and IInspector.providedBy(source):
            adopter: IAdopting = target
            self._adopter = adopter if adopter.adopts(source) else None
        self._refusals = 0

    async def copy(self, key: ObjectKey, replace: bool = False) -> tuple[Outcome, str]:
        """Copy an object, whatever the new store has.

        :param replace: whether the new store has other bytes of the same length.
        :returns: what has become of it, and in words why it was not copied.
        :raises InsufficientStorage: if the new store is full.
        """
        wrong = False
        for delay in (*DELAYS, None):
            try:
                return await self._attempt(key, replace), ""
            except NotFound:
                return Outcome.GONE, ""
            except ObjectDamaged as error:
                return Outcome.DAMAGED, error.message
            except (ObjectUnreadable, ObjectSealed) as error:
                return Outcome.UNREADABLE, error.message
            except InsufficientStorage:
                raise
            except WrongBody as error:
                problem: Exception = error
                if wrong:
                    return Outcome.WRONG, error.message
                # Somebody may have replaced it while it was read.
                wrong = True
                continue
            except (ServiceUnavailable, OSError) as error:
                problem = error
            except LFSError as error:
                # To ask for the same again would change nothing.
                return Outcome.REFUSED, error.message
            if delay is not None:
                await deferLater(self._clock, delay)
        return Outcome.FAILED, str(problem)

    async def _attempt(self, key: ObjectKey, replace: bool) -> Outcome:
        adopted = self._adopter is not None and not replace and await self._adopt(key)
        if not adopted:
            await self._stream(key)
        return Outcome.COPIED if await is_there(self._source, key) else Outcome.RESURFACED

    async def _adopt(self, key: ObjectKey) -> bool:
        """Let the new store copy an object whose bytes are verified.

        :returns: ``False`` if it does not do that.
        """
        await self._verify(key)
        if self._adopter is None or not await is_there(self._source, key):
            raise _deleted()
        try:
            copied = await self._adopter.adopt(self._source, key)
        except LFSError:
            self._refusals += 1
            if self._refusals >= MAX_REFUSALS:
                self._adopter = None
            return False
        if not copied:
            raise _deleted()
        self._refusals = 0
        return True

    async def _verify(self, key: ObjectKey) -> None:
        """Compare what the old store has with its oid: by the store's own SHA-256, if it has one.

        :raises WrongBody: if it differs.
        """
        inspector: Any = self._source
        facts: ObjectFacts | None = await inspector.inspect(key)
        if facts is None:
            raise _deleted()
        if facts.sha256 == key.oid:
            self._passed(facts.size)
            return
        whole = WholeObject(self._source, key, self._clock)
        try:
            paced = _Paced(whole, self._pace, self._passed)
            body = VerifiedBody(paced, key.oid, facts.size, MAX_SIZE, self._blocking)
            while await body.read():
                pass
        finally:
            whole.close()

    async def _stream(self, key: ObjectKey) -> None:
        """Copy an object through this process, which hashes it."""
        stored: IStoredObject | None = await self._source.open(key)
        if stored is None:
            raise _deleted()
        size, extras = stored.size, stored.extras
        whole = WholeObject(self._source, key, self._clock, stored=stored)
        try:
            paced = _Paced(whole, self._pace, self._passed)
            checked = VerifiedBody(paced, key.oid, size, MAX_SIZE, self._blocking)
            body = _Guarded(checked, self._source, key)
            try:
                await self._target.put(key, Payload(size, key.oid), body, extras)
            except BaseException:
                self._passed(-paced.count)
                raise
        finally:
            whole.close()


def _deleted() -> NotFound:
    """Make the error of an object that is not in the old store any more."""
    return NotFound("the object was deleted meanwhile")


@implementer(IBody)
class _Paced:
    """A body that is read no faster than a pace allows.

    :ivar count: how many bytes have been read.
    """

    def __init__(self, body: IBody, pace: Pace, passed: Callable[[int], object]) -> None:
        self._body = body
        self._pace = pace
        self._passed = passed
        self.count = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        try:
            chunks = await self._body.read()
        except Conflict:
            raise _deleted() from None
        count = sum(map(len, chunks))
        await self._pace.take(count)
        self.count += count
        self._passed(count)
        return chunks


@implementer(IBody)
class _Guarded:
    """A body that ends well only while its object is in the old store: so nothing is kept."""

    def __init__(self, body: IBody, source: IReadableStore, key: ObjectKey) -> None:
        self._body = body
        self._source = source
        self._key = key

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        chunks = await self._body.read()
        if not chunks and not await is_there(self._source, self._key):
            raise _deleted()
        return chunks


async def is_there(store: IReadableStore, key: ObjectKey) -> bool:
    """Tell whether a store may have an object: it does not say that it is absent.

    What cannot be told now counts as there: nothing is taken away for that.
    """
    try:
        (size,) = await store.sizes([key])
    except ServiceUnavailable:
        return True
    return size is not None
