"""A catalogue in an SQL database, whichever it is (see :class:`ICatalogue`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from zope.interface import implementer

from giftless.base.database.dialect import Connection
from giftless.base.database.pool import Pool
from giftless.base.database.purpose import Purpose
from giftless.catalogue import entries, pages, promises, renaming, summaries
from giftless.catalogue.session import Dialect, Session
from giftless.errors import CatalogueUnavailable
from giftless.interfaces import (
    Bound,
    By,
    Entry,
    EntryPage,
    EntryQuery,
    ICatalogue,
    ICheckable,
    Level,
    Reservation,
    State,
    Usage,
    Wanted,
)
from giftless.lfs.objects import ObjectKey, Repo

T = TypeVar("T")

#: What a database of a catalogue is for.
CATALOGUE: Final = Purpose(
    "the catalogue",
    "there is no catalogue",
    "giftless.catalogue",
    "giftless_catalogue_schema",
    CatalogueUnavailable,
    "catalogue",
)


@implementer(ICatalogue, ICheckable)
class SQLCatalogue:
    """A catalogue in an SQL database.

    :param dialect: what its statements need to know of the database.
    :param pool: lends connections to it.
    """

    def __init__(self, dialect: Dialect, pool: Pool) -> None:
        self._dialect = dialect
        self._pool = pool

    async def record(self, listed: Sequence[Entry]) -> Mapping[ObjectKey, Sequence[ObjectKey]]:
        """See :meth:`giftless.interfaces.ICatalogue.record`."""
        return await self._run(lambda session: entries.record(session, listed))

    async def offer(self, objects: Sequence[Wanted], at: float) -> Sequence[ObjectKey]:
        """See :meth:`giftless.interfaces.ICatalogue.offer`."""
        return await self._run(lambda session: entries.offer(session, objects, at))

    async def look(self, keys: Sequence[ObjectKey]) -> Sequence[Entry | None]:
        """See :meth:`giftless.interfaces.ICatalogue.look`."""
        return await self._run(lambda session: entries.look(session, keys))

    async def page(self, query: EntryQuery) -> EntryPage:
        """See :meth:`giftless.interfaces.ICatalogue.page`."""
        return await self._run(lambda session: pages.page(session, query))

    async def usage(
        self,
        by: By,
        repo: str = "",
        limit: int = 1000,
        trashed: bool = False,
        below: bool = True,
    ) -> Usage:
        """See :meth:`giftless.interfaces.ICatalogue.usage`."""
        return await self._run(
            lambda session: summaries.usage(session, by, repo, limit, trashed, below)
        )

    async def trashing(self, repos: Sequence[Repo] | None = None) -> Sequence[Repo]:
        """See :meth:`giftless.interfaces.ICatalogue.trashing`."""
        return await self._run(lambda session: summaries.trashing(session, repos))

    async def claim(
        self,
        keys: Sequence[ObjectKey],
        not_offered_since: float | None,
        at: float,
        reason: str,
        who: str,
    ) -> Sequence[ObjectKey]:
        """See :meth:`giftless.interfaces.ICatalogue.claim`."""
        return await self._run(
            lambda session: entries.claim(session, keys, not_offered_since, at, reason, who)
        )

    async def settle(
        self, keys: Sequence[ObjectKey], found: State, state: State, at: float
    ) -> Sequence[ObjectKey]:
        """See :meth:`giftless.interfaces.ICatalogue.settle`."""
        return await self._run(lambda session: entries.settle(session, keys, found, state, at))

    async def forget(self, keys: Sequence[ObjectKey], states: frozenset[State]) -> None:
        """See :meth:`giftless.interfaces.ICatalogue.forget`."""
        await self._run(lambda session: entries.forget(session, keys, states))

    async def rename(self, source: Repo, target: Repo, at: float) -> None:
        """See :meth:`giftless.interfaces.ICatalogue.rename`."""
        # Before, in several transactions: one may not take long, and this harms nobody.
        for first, last in await self._run(lambda session: renaming.spans(session, source)):
            await self._run(partial(renaming.protect, repo=source, first=first, last=last, at=at))
        while await self._run(lambda session: renaming.move_some(session, source, target)):
            await self._pool.pause()
        await self._run(lambda session: renaming.rename(session, source, target))

    async def aliases(self) -> Mapping[str, str]:
        """See :meth:`giftless.interfaces.ICatalogue.aliases`."""
        return await self._run(_aliases)

    async def alias(self, name: str, kept: str | None) -> None:
        """See :meth:`giftless.interfaces.ICatalogue.alias`."""
        await self._run(lambda session: _alias(session, name, kept))

    async def merge(self, listed: Sequence[Entry]) -> int:
        """See :meth:`giftless.interfaces.ICatalogue.merge`."""
        return await self._run(lambda session: entries.merge(session, listed))

    async def reserve(
        self, wanted: Sequence[Wanted], bounds: Sequence[Bound], expires_at: float
    ) -> Reservation:
        """See :meth:`giftless.interfaces.ICatalogue.reserve`."""
        return await self._run(
            lambda session: promises.reserve(session, wanted, bounds, expires_at)
        )

    async def release(self, keys: Sequence[ObjectKey], expired_at: float | None = None) -> None:
        """See :meth:`giftless.interfaces.ICatalogue.release`."""
        await self._run(lambda session: promises.release(session, keys, expired_at))

    async def expired(self, at: float, limit: int = 1000) -> Sequence[Wanted]:
        """See :meth:`giftless.interfaces.ICatalogue.expired`."""
        return await self._run(lambda session: promises.expired(session, at, limit))

    async def levels(self, bounds: Sequence[Bound]) -> Sequence[Level]:
        """See :meth:`giftless.interfaces.ICatalogue.levels`."""
        return await self._run(lambda session: promises.levels(session, bounds))

    async def count(self, amounts: Mapping[str, int], period: int) -> Mapping[str, int]:
        """See :meth:`giftless.interfaces.ICatalogue.count`."""
        return await self._run(lambda session: _count(session, amounts, period))

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`: write something and undo it."""
        await self._pool.check(self._job(_try))

    async def _run(self, job: Callable[[Session], T]) -> T:
        return await self._pool.run(self._job(job))

    def _job(self, job: Callable[[Session], T]) -> Callable[[Connection], T]:
        """Return a job of the pool that is given a session."""
        return lambda connection: job(Session(self._dialect, connection))


def _aliases(session: Session) -> Mapping[str, str]:
    rows = session.execute("SELECT name, kept FROM giftless_catalogue_aliases ORDER BY name")
    return dict(rows.fetchall())


def _alias(session: Session, name: str, kept: str | None) -> None:
    with session.writing():
        session.execute("DELETE FROM giftless_catalogue_aliases WHERE name = ?", (name,))
        if kept is None or kept == name:
            return
        session.execute("DELETE FROM giftless_catalogue_aliases WHERE name = ?", (kept,))
        session.execute(
            "UPDATE giftless_catalogue_aliases SET kept = ? WHERE kept = ?", (kept, name)
        )
        session.execute("INSERT INTO giftless_catalogue_aliases VALUES (?, ?)", (name, kept))


def _count(session: Session, amounts: Mapping[str, int], period: int) -> Mapping[str, int]:
    added = [(period, name, amount) for name, amount in amounts.items() if amount]
    if not added:
        return _counted(session, list(amounts), period)
    with session.writing():
        session.execute("DELETE FROM giftless_catalogue_counters WHERE period < ?", (period - 1,))
        session.many(
            "INSERT INTO giftless_catalogue_counters AS known (period, name, amount)"
            " VALUES (?, ?, ?) ON CONFLICT (period, name)"
            " DO UPDATE SET amount = known.amount + excluded.amount",
            added,
        )
        return _counted(session, list(amounts), period)


def _counted(session: Session, names: Sequence[str], period: int) -> Mapping[str, int]:
    sums = dict.fromkeys(names, 0)
    for name in names:
        row = session.execute(
            "SELECT amount FROM giftless_catalogue_counters WHERE period = ? AND name = ?",
            (period, name),
        ).fetchone()
        if row is not None:
            sums[name] = int(row[0])
    return sums


def _try(session: Session) -> None:
    """Write something, and undo it."""
    with session.writing():
        # No repository can be called so.
        session.execute("INSERT INTO giftless_catalogue_aliases VALUES (?, ?)", ("", ""))
        session.execute("DELETE FROM giftless_catalogue_aliases WHERE name = ?", ("",))
