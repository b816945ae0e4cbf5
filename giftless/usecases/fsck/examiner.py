"""Examine single objects: what ``giftless fsck`` and the scrub of the daemon have in common.

Both may rely on this:

* :meth:`Examiner.examine` takes one object of a store's list, returns a finding or ``None``,
  and raises nothing but :class:`~twisted.internet.defer.CancelledError`.  It changes nothing.
* Several objects may be examined at the same time; they share the :class:`Pace`.
* What is replaced or deleted meanwhile is no finding: whatever is wrong is looked at a
  second time before it is reported.
* Memory does not grow with an object's size, and the reactor is never held up.
* :ivar:`Examiner.counts` says how much was read, whatever became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.base.bodies import INLINE_HASH_BYTES
from giftless.base.pace import Pace
from giftless.base.whole_object import WholeObject
from giftless.errors import (
    ConfigError,
    Conflict,
    LFSError,
    ObjectCorrupt,
    ObjectDamaged,
    ObjectSealed,
    ObjectUnreadable,
)
from giftless.interfaces import (
    IBlocking,
    IInspector,
    IObjectStore,
    IReadableStore,
    ListedObject,
    ObjectFacts,
)
from giftless.lfs.objects import EMPTY_OID, ObjectKey
from giftless.storage.coded.head import MAGIC, resembles_head
from giftless.storage.wrapping import without_copies
from giftless.usecases.fsck.findings import Finding, Outcome

#: What is told of an object that a wrapper has stored which is not there.
_CODED: Final = (
    "it is stored compressed or encrypted, and the configuration has no such storage around"
    " this one; put back 'type: compressed' or 'type: encrypted'"
)


class Counts(msgspec.Struct):
    """How much was done.

    :ivar read: how many objects were read to their ends.
    :ivar compared: of how many others the store's own checksum was compared.
    :ivar bytes: how many bytes were read.
    """

    read: int = 0
    compared: int = 0
    bytes: int = 0


class Examiner:
    """Compares objects with their oids.

    :param store: where they are.
    :param blocking: hashes what is read.
    :param pace: bounds how fast is read.
    :param clock: waits before a store that fails for a moment is asked again.
    :param trusting: whether an object is not read if the store has computed its SHA-256
        itself, when it took it.
    :param passed: is told how many more bytes were read, or need not be.
    :raises ConfigError: if the store lets nobody read its objects.
    :ivar counts: how much was done.
    """

    def __init__(
        self,
        store: IObjectStore,
        blocking: IBlocking,
        pace: Pace,
        clock: IReactorTime,
        trusting: bool = True,
        passed: Callable[[int], None] = lambda count: None,
    ) -> None:
        if not IReadableStore.providedBy(store):
            raise ConfigError("storage", "its objects cannot be read, so nothing can be compared")
        self._store = without_copies(store)
        self._inspector: IInspector | None = None
        if trusting and IInspector.providedBy(store):
            self._inspector = store
        self._blocking = blocking
        self._pace = pace
        self._clock = clock
        self._passed = passed
        self.counts = Counts()

    async def examine(self, listed: ListedObject, read: bool) -> Finding | None:
        """Examine an object.

        :param listed: the object as the store's list has it; of its trash, too.
        :param read: whether to compare its bytes, or the store's own checksum of them;
            otherwise only what the list says is looked at, and the store is not asked.
        :returns: what is wrong; ``None`` if nothing is, or the object is not there any more.
        """
        key = listed.key
        try:
            problem = await self._problem(listed, read)
            if problem is not None:
                # Somebody may have replaced it, or the list may be older than the object.
                problem = await self._read(key, lambda count: None)
        except Conflict:
            return None
        except ObjectDamaged as error:
            marked = not isinstance(error, ObjectCorrupt)
            return Finding(Outcome.WRONG, error.message, key, marked=marked)
        except ObjectUnreadable as error:
            return Finding(Outcome.UNREADABLE, error.message, key)
        except LFSError as error:
            return Finding(Outcome.UNKNOWN, error.message, key)
        except OSError as error:
            return Finding(Outcome.UNKNOWN, error.strerror or str(error), key)
        return None if problem is None else Finding(Outcome.WRONG, problem, key)

    async def _problem(self, listed: ListedObject, read: bool) -> str | None:
        """Return what is wrong with an object, in words.

        :raises Conflict: if it is not there any more.
        """
        if (listed.size == 0) != (listed.key.oid == EMPTY_OID):
            return _wrong_size(listed.size)
        if not read:
            return None
        if self._inspector is not None:
            facts: ObjectFacts | None = await self._inspector.inspect(listed.key)
            if facts is None:
                raise Conflict("the object was deleted meanwhile")
            if facts.sha256 is not None:
                self.counts.compared += 1
                self._passed(facts.size)
                return _wrong_digest(listed.key, facts.sha256, facts.size)
        problem = await self._read(listed.key, self._passed)
        self.counts.read += 1
        return problem

    async def _read(self, key: ObjectKey, passed: Callable[[int], None]) -> str | None:
        """Read an object and return what is wrong with it.

        :raises ObjectSealed: if its bytes are others because a wrapper has coded them which
            the configuration does not have: there is nothing wrong with it then.
        """
        body = WholeObject(self._store, key, self._clock, fresh=True)
        digest, length, start = hashlib.sha256(), 0, b""
        try:
            while chunks := await body.read():
                count = sum(map(len, chunks))
                if count < INLINE_HASH_BYTES:
                    _update(digest, chunks)
                else:
                    await self._blocking.run(_update, digest, chunks)
                if len(start) < len(MAGIC):
                    start = b"".join([start, *chunks])[: len(MAGIC)]
                length += count
                self.counts.bytes += count
                passed(count)
                await self._pace.take(count)
        finally:
            body.close()
        problem = _wrong_digest(key, digest.hexdigest(), length)
        if problem is not None and resembles_head(start):
            raise ObjectSealed(_CODED, 0)
        return problem


def _update(digest: Any, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        digest.update(chunk)


def _wrong_digest(key: ObjectKey, found: str, size: int) -> str | None:
    if found == key.oid:
        return None
    if (size == 0) != (key.oid == EMPTY_OID):
        return _wrong_size(size)
    return f"its {size} bytes have the SHA-256 {found}"


def _wrong_size(size: int) -> str:
    return f"it has {size} bytes" if size else "it is empty"
