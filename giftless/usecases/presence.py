"""Decide what clients are told is stored, while others move objects away.

A client that pushes uploads nothing of what it is told is there.  So it is told so only
when the catalogue has noted it, durably, and the store has said it once more after that:
then whoever collects garbage leaves the object alone.  What a client asks for and is in
the trash is brought back.

Batches of objects that are all absent, and downloads of objects that are there, cost
nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.auth.aliases import Moved
from giftless.errors import LFSError, ObjectDamaged, ServiceUnavailable
from giftless.interfaces import Identity, IObjectStore, Transfer, WallClock, Wanted
from giftless.lfs.objects import ObjectKey, Oid, Permission, Repo, in_trash
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash

_log = Logger()

#: What is told of each object: its size, ``None`` if it is absent, or an error.
Sizes = Sequence[int | LFSError | None]

#: For how long it need not be noted again that an object was offered, in seconds.  Whoever
#: collects garbage allows for that.
OFFER_RESOLUTION: Final = 1.0

#: For how long the catalogue is not asked after it has failed, in seconds.
PAUSE: Final = 5.0

#: The most objects that are remembered, of either kind.
_MOST: Final = 100_000

#: The most objects that are noted at once when the catalogue is back.
_CHUNK: Final = 1000


class Presence:
    """What clients are told of objects.

    :param trash: where objects may be.
    :param moved: where repositories are kept.
    :param clock: tells what is recent.
    :param wall_clock: dates offers.
    :ivar trashing: the repositories that have something in the trash.
    """

    def __init__(
        self, trash: Trash, moved: Moved, clock: IReactorTime, wall_clock: WallClock
    ) -> None:
        self._trash = trash
        self._catalogue = trash.catalogue
        self._store = trash.copying
        self._moved = moved
        self._clock = clock
        self._wall_clock = wall_clock
        self._recent = RecentOffers()
        #: What is being noted, by the path of the repository.
        self._noting: dict[str, _Noting] = {}
        #: What could not be noted: the sizes of objects, by their keys.
        self._waiting: dict[ObjectKey, int] = {}
        self._down_until = 0.0
        self.trashing: frozenset[Repo] = frozenset()

    async def offer(self, identity: Identity, keys: Sequence[ObjectKey], sizes: Sizes) -> Sizes:
        """Note which objects a client that pushes is told are stored.

        :param keys: all of one repository.
        :param sizes: what the store has said of each.
        :returns: what the client may be told.
        :raises ServiceUnavailable: if objects are moved just now, and it cannot be told
            what becomes of them.
        """
        here = [key for key, size in zip(keys, sizes, strict=True) if isinstance(size, int)]
        if not here:
            return sizes
        repo, oids = here[0].repo, {key.oid for key in here}
        while True:
            now = self._clock.seconds()
            oids = self._recent.others(repo, oids, now)
            if not oids:
                return sizes
            noting = self._noting.get(repo.path)
            if noting is None or not oids <= noting.oids:
                break
            # Another client is told the same just now.
            await noting.end()
        offered = [
            (key, size)
            for key, size in zip(keys, sizes, strict=True)
            if isinstance(size, int) and key.oid in oids
        ]
        noting = self._noting[repo.path] = _Noting(oids)
        try:
            found = await self._confirmed(identity, offered, now)
        finally:
            if self._noting.get(repo.path) is noting:
                del self._noting[repo.path]
            noting.ended()
        return [found.get(key, size) for key, size in zip(keys, sizes, strict=True)]

    async def _confirmed(
        self, identity: Identity, offered: Sequence[tuple[ObjectKey, int]], now: float
    ) -> Mapping[ObjectKey, int | LFSError | None]:
        """Note offers, and ask the store once more: until then, objects could be moved.

        :param offered: objects of one repository, and their sizes.
        :returns: what the client may be told of them.
        """
        keys = [key for key, _ in offered]
        moving = await self._note([Wanted(key, size) for key, size in offered], now)
        if moving is None:
            return {}
        look = self._trash.confirm if moving else self._store.sizes
        found = dict(zip(keys, await look(keys), strict=True))
        lost = [key for key, size in found.items() if size is None]
        if lost:
            found.update(await self._trash.recall(lost, True, _by(identity)))
        stored = (key.oid for key, size in found.items() if isinstance(size, int))
        self._recent.add(keys[0].repo, stored, now)
        return found

    async def spare(self, identity: Identity, transfers: list[Transfer]) -> list[Transfer]:
        """Bring back what a client is about to upload and is in the trash.

        :param transfers: what has its room in the quotas of one repository, which the
            client may write to.
        :returns: what has to be uploaded.
        """
        if not transfers or transfers[0].key.repo not in self.trashing:
            return transfers
        absent = [transfer for transfer in transfers if not transfer.replace]
        try:
            # Room was promised to what the client has announced, and to no more.
            entries = await self._catalogue.look([transfer.key for transfer in absent])
            announced = [
                transfer.key
                for transfer, entry in zip(absent, entries, strict=True)
                if entry is None or entry.size == transfer.size
            ]
            found = await self._trash.recall(announced, True, _by(identity))
            # What has another size is damaged, and uploaded again.
            back = {each.key for each in transfers if found.get(each.key) == each.size}
            if back:
                # They count as stored now, and not as promised beside.
                await self._catalogue.release(list(back))
        except ServiceUnavailable as error:
            _log.warn("objects are uploaded again: {error}", error=error)
            return transfers
        return [transfer for transfer in transfers if transfer.key not in back]

    async def recall(self, identity: Identity, keys: Sequence[ObjectKey], sizes: Sizes) -> Sizes:
        """Bring back what a client wants to have and is in the trash.

        :param keys: what the client may read.
        :returns: what the client may be told.
        """
        absent = [key for key, size in zip(keys, sizes, strict=True) if size is None]
        back: dict[ObjectKey, int | LFSError] = {}
        try:
            for writes in (True, False):
                some = [key for key in absent if _may_write(identity, key.oid) is writes]
                if some:
                    back.update(await self._trash.recall(some, writes, _by(identity)))
        except ServiceUnavailable as error:
            # What is not in the trash either is absent, whatever the catalogue would say.
            copies = await self._store.sizes(list(map(in_trash, absent)))
            for key, copy in zip(absent, copies, strict=True):
                if copy is not None:
                    back.setdefault(key, error)
        return [
            back.get(key) if size is None else size for key, size in zip(keys, sizes, strict=True)
        ]

    async def follow(self, key: ObjectKey) -> ObjectKey:
        """Copy what has just been stored to where its repository is kept now.

        A repository may be renamed while an upload takes its time.

        :returns: where the object is.
        :raises ServiceUnavailable: if it cannot be copied now.
        """
        repo = self._moved.kept(key.repo)
        if repo is None:
            return key
        there = ObjectKey(repo, key.oid)
        await self._store.copy(key, there)
        return there

    async def flush(self) -> None:
        """Note what could not be noted before, and bring back what was moved meanwhile.

        :raises ServiceUnavailable: if it cannot be noted now either.
        """
        while self._waiting:
            some = dict(islice(self._waiting.items(), _CHUNK))
            wanted = [Wanted(key, size) for key, size in some.items()]
            moving = await self._catalogue.offer(wanted, self._wall_clock())
            if moving:
                await self._trash.restore(moving, By("giftless"))
            for key in some:
                self._waiting.pop(key, None)

    async def _note(self, wanted: Sequence[Wanted], now: float) -> Sequence[ObjectKey] | None:
        """Note offers, or remember them while the catalogue fails.

        :returns: those that the catalogue does not have as stored; ``None`` if it fails.
        """
        if now >= self._down_until:
            try:
                return await self._catalogue.offer(wanted, self._wall_clock())
            except ServiceUnavailable as error:
                self._down_until = self._clock.seconds() + PAUSE
                _log.error(
                    "offers are kept in memory until the catalogue is back: {error}", error=error
                )
        self._waiting.update((item.key, item.size) for item in wanted)
        surplus = len(self._waiting) - _MOST
        if surplus > 0:
            for key in list(islice(self._waiting, surplus)):
                del self._waiting[key]
            _log.error("{count} offers are forgotten: collect no garbage now", count=surplus)
        return None


class _Noting:
    """Offers that are being noted.

    :ivar oids: of which objects.
    """

    def __init__(self, oids: set[Oid]) -> None:
        self.oids = oids
        self._waiting: list[Deferred[None]] = []

    def end(self) -> Deferred[None]:
        """Wait until that has ended, well or not."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def ended(self) -> None:
        """Let those go on who wait."""
        for waiting in self._waiting:
            if not waiting.called:
                waiting.callback(None)


class RecentOffers:
    """Remembers for a moment what has been offered."""

    def __init__(self) -> None:
        #: Until when it is remembered, and the oids, by the path of the repository.
        self._known: dict[str, tuple[float, set[Oid]]] = {}
        self._count = 0

    def others(self, repo: Repo, oids: set[Oid], now: float) -> set[Oid]:
        """Return those that are not remembered."""
        until, known = self._known.get(repo.path, (now, None))
        return oids if known is None or until <= now else oids - known

    def add(self, repo: Repo, oids: Iterable[Oid], at: float) -> None:
        """Remember what was offered.

        :param at: when it began to be noted.
        """
        until, known = self._known.get(repo.path, (at, set[Oid]()))
        if until <= at:
            self._count -= len(known)
            until, known = at + OFFER_RESOLUTION, set()
        self._count -= len(known)
        known.update(oids)
        self._count += len(known)
        if self._count > _MOST:
            self._known.clear()
            self._count = len(known)
        self._known[repo.path] = until, known


def _may_write(identity: Identity, oid: Oid) -> bool:
    if identity.ticket is not None:
        return identity.ticket.writer
    return identity.grants.allows(Permission.WRITE, oid)


def _by(identity: Identity) -> By:
    return By(identity.name, identity.principal)


async def size_told(
    store: IObjectStore, presence: Presence | None, identity: Identity, key: ObjectKey
) -> int | ObjectDamaged | None:
    """Return what a client may be told of an object that it is about to upload.

    :param presence: decides that; ``None`` if objects are never moved.
    :returns: its size in bytes; an error, not raised, if it is to be uploaded again;
        ``None`` if it is absent.
    :raises LFSError: if that cannot be told.
    """
    sizes: Sizes = await store.sizes([key])
    if presence is not None:
        sizes = await presence.offer(identity, [key], sizes)
    (size,) = sizes
    if isinstance(size, LFSError) and not isinstance(size, ObjectDamaged):
        raise size
    return size
