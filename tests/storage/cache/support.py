"""Caches on a disk, and objects behind them that come when the test lets them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from twisted.internet.task import Clock
from zope.interface import implementer

from giftless.interfaces import FillOutcome, IBlocking, IBody, IStoredObject, Lookup
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.cache.reads import CachedReads
from tests.support.blocking import InlineBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import key_of
from tests.support.run import CoroutineTestCase

#: An object, and its key.
DATA = bytes(range(256)) * 40
KEY = key_of(DATA)


class Tallies:
    """Counts what a cache does.

    :ivar lookups: what was found, in order.
    :ivar bytes: how many came from where.
    :ivar fills: how those ended that were to be copied.
    :ivar removed: why how many were removed.
    """

    def __init__(self) -> None:
        self.lookups: list[str] = []
        self.bytes = {"disk": 0, "store": 0}
        self.fills: list[str] = []
        self.removed: dict[str, int] = {}

    def lookup(self, cache: str, result: Lookup) -> None:
        """See ``Environment.count_lookup``."""
        self.lookups.append(result)

    def cache_read(self, source: Literal["disk", "store"], count: int) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.bytes[source] += count

    def cache_filled(self, outcome: FillOutcome) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.fills.append(outcome)

    def cache_removed(self, reason: Literal["evicted", "damaged"], count: int) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.removed[reason] = self.removed.get(reason, 0) + count


@implementer(IStoredObject)
class FarObject:
    """An object that is open somewhere else.

    :ivar reads: the parts that were asked for, and their bodies.
    :ivar closed: whether it was closed.
    """

    def __init__(self, size: int, body: Any) -> None:
        self.size = size
        self.extras: Extras = {}
        self._body = body
        self.reads: list[tuple[int, int, Any]] = []
        self.closed = False

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        body: IBody = self._body(start, end)
        self.reads.append((start, end, body))
        return body

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self.closed = True


class Far:
    """What is behind a cache: opens one object.

    :param data: its bytes.
    :param held: whether these come when the test provides them, or at once.
    :param kind: what is opened.
    :ivar opened: what was opened.
    :ivar failure: what opening raises, if set.
    """

    def __init__(
        self,
        data: bytes = DATA,
        held: bool = False,
        size: int | None = None,
        kind: type[FarObject] = FarObject,
    ) -> None:
        self.data: bytes | None = data
        self.size = len(data) if size is None else size
        self.held = held
        self._kind = kind
        self.opened: list[FarObject] = []
        self.failure: Exception | None = None
        self.breaks: list[Exception] = []

    async def __call__(self) -> FarObject | None:
        """Open it; see :data:`giftless.storage.cache.context.Source`."""
        if self.failure is not None:
            raise self.failure
        if self.data is None:
            return None
        self.opened.append(self._kind(self.size, self._body))
        return self.opened[-1]

    @property
    def body(self) -> Any:
        """The body that was asked for last."""
        return self.opened[-1].reads[-1][2]

    @property
    def reads(self) -> list[tuple[int, int]]:
        """The parts that were asked for."""
        return [read[:2] for opened in self.opened for read in opened.reads]

    def _body(self, start: int, end: int) -> Any:
        if self.held:
            return HeldBody()
        assert self.data is not None
        if self.breaks:
            middle = (start + end) // 2
            return ListBody([self.data[start:middle]], self.breaks.pop(0))
        return ListBody([self.data[start:end]])


class CacheTestCase(CoroutineTestCase):
    """A cache in an empty directory."""

    limit = 100_000

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = self.mktemp()
        self.tallies = Tallies()
        self.reads = self.make()

    def make(self, limit: int | None = None, blocking: IBlocking | None = None) -> CachedReads:
        """Make a cache, as another process has it."""
        reads = CachedReads(
            self.path,
            limit or self.limit,
            blocking or InlineBlocking(),
            self.clock,
            self.tallies.lookup,
            self.tallies,
        )
        reads.entries.make()
        return reads

    def open(self, far: Far, key: ObjectKey = KEY, reads: CachedReads | None = None) -> Any:
        """Open an object."""
        stored = self.run_now((reads or self.reads).open(key, far.size, {}, far))
        self.addCleanup(stored.close)
        return stored

    def get(self, far: Far, key: ObjectKey = KEY, reads: CachedReads | None = None) -> bytes:
        """Read an object to its end, and close it."""
        stored = self.open(far, key, reads)
        try:
            return self.run_now(read_all(stored.read(0, stored.size)))
        finally:
            stored.close()

    def fill(self, *objects: bytes) -> list[ObjectKey]:
        """Let objects come, one after the other."""
        keys = [key_of(data) for data in objects]
        for key, data in zip(keys, objects, strict=True):
            self.assertEqual(self.get(Far(data), key), data)
        return keys

    def entry(self, key: ObjectKey = KEY) -> Path:
        """Return where the entry of an object is."""
        from giftless.storage.cache.entries import name_of

        return Path(self.path, "entries", name_of(key.repo), key.oid)

    def files(self) -> set[str]:
        """Return the names of all files in the directory, but for the count."""
        found = {name for _, _, names in os.walk(self.path) for name in names}
        return found - {"ledger"}

    def kept(self, *keys: ObjectKey) -> list[bool]:
        """Tell which objects have an entry."""
        return [self.entry(key).exists() for key in keys]


def chunks_of(data: bytes, count: int) -> Sequence[bytes]:
    """Divide bytes."""
    step = -(-len(data) // count)
    return [data[start : start + step] for start in range(0, len(data), step)]
