"""Whether the server can do its work: its store, its locks and its catalogue answer.

Nothing is ever restarted for what is found here.  The server takes no other
storage by being started again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.concurrency import settle
from giftless.base.showing import describe_failure
from giftless.errors import LFSError
from giftless.interfaces import (
    CacheHoldings,
    ICaching,
    ICapacity,
    ICatalogue,
    ILockStore,
    IObjectStore,
    IProbing,
    Level,
)
from giftless.lfs.locks import LockQuery
from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Oid, Repo
from giftless.monitoring.scrubbing import ScrubFacts

#: For how many seconds a report holds.
FRESH: Final = 3.0

#: For how many seconds a check is waited for.  Together with :data:`FRESH` that is less
#: than the ten in which an outage is known.
PATIENCE: Final = 5.0

#: How often locks and objects are counted at most, in seconds: a database may read much to
#: count them.
COUNT_INTERVAL: Final = 10.0

#: What part of the time counting may take, and for how many seconds a count holds at most.
COUNT_SHARE: Final = 0.05
MAX_COUNT_INTERVAL: Final = 300.0

#: Parts without which clients are served all the same.
BESIDE: Final = frozenset({"cache", "catalogue", "scrub"})

#: What a store is asked for that cannot be probed; no repository can have this name.
ABSENT: Final = ObjectKey(
    Repo((RESERVED_PREFIX,)), Oid(hashlib.sha256(b"giftless health").hexdigest())
)

T = TypeVar("T")

#: Tells how quotas are filled, the fullest first.
Quotas = Callable[[], Awaitable[Sequence[Level]]]

#: Raises what is wrong.
Check = Callable[[], Coroutine[Any, Any, None]]

_log = Logger(namespace="giftless.health")


class Stored(msgspec.Struct, frozen=True):
    """How much there is in all repositories, as the catalogue knows.

    :ivar objects: how many objects are stored.
    :ivar size: how many bytes these have.
    :ivar distinct_size: how many bytes all objects have, those in the trash included, if
        equal ones count once.
    :ivar trashed: how many objects are in the trash.
    :ivar trashed_size: how many bytes these have.
    :ivar quotas: how quotas are filled, the fullest first.
    """

    objects: int
    size: int
    distinct_size: int
    trashed: int
    trashed_size: int
    quotas: tuple[Level, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What was found.

    :ivar problems: what is wrong with each part, in words for operators; empty if it is
        well.
    :ivar free_bytes: how much the store may still take, in bytes; ``None`` if that is
        not known.
    :ivar locks: how many locks there are, counted within :data:`COUNT_INTERVAL`; ``None``
        if that is not known.
    :ivar stored: what is stored, counted in the same way; ``None`` if that is not known.
    :ivar scrub: how far the scrub is; ``None`` if there is none, or that is not known.
    :ivar caches: what caches of objects hold, if that is known.
    """

    problems: Mapping[str, str] = {}
    free_bytes: float | None = None
    locks: int | None = None
    stored: Stored | None = None
    scrub: ScrubFacts | None = None
    caches: tuple[CacheHoldings, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether everything is well that clients need."""
        return not any(problem for part, problem in self.problems.items() if part not in BESIDE)


class ScrubCheck(Protocol):
    """Looks after the scrub.

    :ivar facts: what it has found last; ``None`` if that is not known.
    """

    facts: ScrubFacts | None

    async def look(self) -> None:
        """Raise what is wrong."""


class Health:
    """Looks whether the store, the locks and the catalogue work, when somebody asks.

    :param store: where objects are.
    :param locks: where locks are; ``None`` if there are none.
    :param clock: tells the time.
    :param catalogue: knows what is stored; ``None`` if there is none.
    :param quotas: tells how quotas are filled; ``None`` if there are none.
    :param scrub: looks after the scrub; ``None`` if there is none.
    :param caches: the caches of objects.
    """

    def __init__(
        self,
        store: IObjectStore,
        locks: ILockStore | None,
        clock: IReactorTime,
        catalogue: ICatalogue | None = None,
        quotas: Quotas | None = None,
        scrub: ScrubCheck | None = None,
        caches: Sequence[ICaching] = (),
    ) -> None:
        self._store = _StoreCheck(store)
        checks: dict[str, Check] = {"store": self._store.look}
        self._locks: _Count[int] | None = None
        if locks is not None:
            self._locks = _Count(locks.count, lambda: locks.page(LockQuery(1)), clock)
            checks["locks"] = self._locks.look
        self._stored: _Count[Stored] | None = None
        if catalogue is not None:
            self._stored = _Count(
                lambda: _stored(catalogue, quotas), lambda: catalogue.look([ABSENT]), clock
            )
            checks["catalogue"] = self._stored.look
        self._scrub = scrub
        if scrub is not None:
            checks["scrub"] = scrub.look
        self._caches = _CacheCheck(caches)
        if caches:
            checks["cache"] = self._caches.look
        self._parts = {name: _Part(check, clock) for name, check in checks.items()}
        self._clock = clock
        self._report = Report()
        self._fresh_until = float("-inf")

    async def report(self) -> Report:
        """Look, unless that was done just now; takes :data:`PATIENCE` seconds at most."""
        if self._clock.seconds() < self._fresh_until:
            return self._report
        found = await settle(part.look() for part in self._parts.values())
        problems = dict(zip(self._parts, found, strict=True))
        for name, problem in problems.items():
            self._tell(name, self._report.problems.get(name, ""), problem)
        count = None if self._locks is None else self._locks.count
        stored = None if self._stored is None else self._stored.count
        scrub = None if self._scrub is None else self._scrub.facts
        held = self._caches.held
        self._report = Report(problems, self._store.free_bytes, count, stored, scrub, held)
        self._fresh_until = self._clock.seconds() + FRESH
        return self._report

    def _tell(self, name: str, before: str, problem: str) -> None:
        """Log a change, and not each look."""
        if problem and not before:
            _log.error("not ready: {name}: {problem}", name=name, problem=problem)
        elif before and not problem:
            _log.info("ready again: {name}", name=name)


class _StoreCheck:
    """Tries whether a store takes, gives back and deletes something.

    :ivar free_bytes: see :class:`Report`.
    """

    def __init__(self, store: IObjectStore) -> None:
        self._store = store
        self.free_bytes: float | None = None

    async def look(self) -> None:
        """Raise what is wrong."""
        try:
            await self._try()
        finally:
            self.free_bytes = await self._room()

    async def _try(self) -> None:
        if IProbing.providedBy(self._store):
            await self._store.probe()
            return
        (size,) = await self._store.sizes([ABSENT])
        if isinstance(size, LFSError):
            raise size

    async def _room(self) -> float | None:
        if not ICapacity.providedBy(self._store):
            return None
        try:
            return (await self._store.room(ABSENT.repo)).bytes
        except LFSError:
            return None


class _CacheCheck:
    """Asks caches what they hold.

    :ivar held: what they have said; empty if that is not known.
    """

    def __init__(self, caches: Sequence[ICaching]) -> None:
        self._caches = caches
        self.held: tuple[CacheHoldings, ...] = ()

    async def look(self) -> None:
        """Raise what is wrong."""
        self.held = ()
        self.held = tuple([await cache.holdings() for cache in self._caches])


class _Count(Generic[T]):
    """Asks whether a database answers, and now and then how much it has.

    :param count: counts.
    :param ask: asks it for anything that takes less.
    :param clock: tells the time.
    :ivar count: what was counted within :data:`COUNT_INTERVAL`, or longer if counting takes
        long; ``None`` if that is not known.
    """

    def __init__(
        self,
        count: Callable[[], Awaitable[T]],
        ask: Callable[[], Awaitable[object]],
        clock: IReactorTime,
    ) -> None:
        self._count_now = count
        self._ask = ask
        self._clock = clock
        self._next_count = float("-inf")
        self.count: T | None = None

    async def look(self) -> None:
        """Raise what is wrong."""
        known, self.count = self.count, None
        if known is not None and self._clock.seconds() < self._next_count:
            await self._ask()
            self.count = known
        else:
            began = self._clock.seconds()
            self.count = await self._count_now()
            ended = self._clock.seconds()
            interval = max(COUNT_INTERVAL, (ended - began) / COUNT_SHARE)
            self._next_count = ended + min(interval, MAX_COUNT_INTERVAL)


async def _stored(catalogue: ICatalogue, quotas: Quotas | None) -> Stored:
    usage = await catalogue.usage("org", limit=1)
    total = usage.total
    return Stored(
        total.objects,
        total.size,
        usage.distinct_size,
        total.trashed,
        total.trashed_size,
        tuple(await quotas()) if quotas is not None else (),
    )


class _Part:
    """One part, which is looked at once at a time, however many ask.

    What does not answer is not asked again meanwhile: each question might take another
    thread, for ever.
    """

    def __init__(self, check: Check, clock: IReactorTime) -> None:
        self._check = check
        self._clock = clock
        self._began: float | None = None
        self._waiting: list[Deferred[str]] = []

    async def look(self) -> str:
        """Return what is wrong; empty if nothing is."""
        now = self._clock.seconds()
        if self._began is not None and now - self._began >= PATIENCE:
            return f"has not answered for {now - self._began:.0f} seconds"
        answer: Deferred[str] = Deferred()
        self._waiting.append(answer)
        if self._began is None:
            self._began = now
            Deferred.fromCoroutine(self._run())
        late = self._clock.callLater(PATIENCE, self._answer, "has not answered in time")
        try:
            return await answer
        finally:
            if late.active():
                late.cancel()

    async def _run(self) -> None:
        problem = ""
        try:
            await self._check()
        except Exception as error:
            problem = _words(error)
        self._began = None
        self._answer(problem)

    def _answer(self, problem: str) -> None:
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(problem)


def _words(error: Exception) -> str:
    """Say what is wrong, without what may be secret."""
    if isinstance(error, LFSError):
        return error.message
    return describe_failure(error)
