"""Locks in an SQL database, whichever it is (see :class:`ILockStore`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from zope.interface import implementer

from giftless.base.database.dialect import Connection, Database
from giftless.base.database.pool import Pool
from giftless.base.database.purpose import Purpose
from giftless.errors import BadRequest, LocksUnavailable, ServiceUnavailable
from giftless.interfaces import ICheckable, ILockStore
from giftless.lfs.locks import Lock, LockPage, LockQuery, PathLocked
from giftless.lfs.objects import Repo

#: How often a lock is asked for whose holder lets go just then.
_ATTEMPTS: Final = 20

# The constraint decides, not a look beforehand.  Doing nothing on a conflict
# leaves no error in the database's log each time that somebody comes second.
_INSERT: Final = (
    "INSERT INTO giftless_locks (id, repo, path, owner, locked_at, principal)"
    " VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)

_SELECT: Final = "SELECT number, id, repo, path, owner, locked_at, principal FROM giftless_locks"

_COUNT: Final = "SELECT count(*) FROM giftless_locks"

_DELETE: Final = "DELETE FROM giftless_locks WHERE id = ?"

_RENAME: Final = (
    "UPDATE giftless_locks SET repo = ? WHERE repo = ? AND path NOT IN"
    " (SELECT path FROM giftless_locks WHERE repo = ?)"
)

#: Finds locks by a part of their texts.  Both sides go through the database's own
#: ``lower``, so that it is the same for both.
_CONTAINS: Final = (
    "(lower(repo) LIKE lower(?) ESCAPE '!' OR lower(path) LIKE lower(?) ESCAPE '!'"
    " OR lower(owner) LIKE lower(?) ESCAPE '!')"
)

#: What ``LIKE`` takes for more than itself, and what stands for just that.
_LITERAL: Final = str.maketrans({"%": "!%", "_": "!_", "!": "!!"})

#: A cursor is the number of the last lock that was told of.
_CURSOR = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PathLookup:
    """How the index of a table finds the lock of a path.

    :ivar condition: SQL with one placeholder.
    :ivar value: makes of a path what the placeholder stands for.
    """

    condition: str
    value: Callable[[str], object]


#: The index holds paths.
BY_PATH: Final = PathLookup("path = ?", str)

#: The index holds the SHA-256 of paths: PostgreSQL's entries are too short for paths.
BY_SHA256: Final = PathLookup(
    "path_sha256 = ?", lambda path: hashlib.sha256(path.encode()).digest()
)


#: What a database of locks is for.  Its error is not 404, which would switch locking off in
#: the clone that asks.
LOCKS: Final = Purpose(
    "the locks", "there are no locks", "giftless.locks", "giftless_locks_schema", LocksUnavailable
)


@implementer(ILockStore, ICheckable)
class SQLLockStore:
    """Locks in an SQL database.

    :param database: speaks its dialect.
    :param pool: lends connections to it.
    :param paths: how it finds the lock of a path.
    """

    def __init__(self, database: Database, pool: Pool, paths: PathLookup) -> None:
        self._database = database
        self._paths = paths
        self._pool = pool

    async def create(self, lock: Lock) -> None:
        """See :meth:`giftless.interfaces.ILockStore.create`."""
        holder = await self._pool.run(lambda connection: self._insert(connection, lock))
        if holder is None:
            raise ServiceUnavailable("others lock this path and unlock it; try again", 1)
        # An attempt whose connection broke may have done its work.
        if holder.id != lock.id:
            raise PathLocked.by(holder)

    async def page(self, query: LockQuery) -> LockPage:
        """See :meth:`giftless.interfaces.ILockStore.page`."""
        return await self._pool.run(self._selection(query))

    async def count(self) -> int:
        """See :meth:`giftless.interfaces.ILockStore.count`."""

        def count(connection: Connection) -> int:
            (number,) = self._database.execute(connection, _COUNT, ()).fetchone()
            return int(number)

        return await self._pool.run(count)

    async def rename(self, source: Repo, target: Repo) -> int:
        """See :meth:`giftless.interfaces.ILockStore.rename`."""

        def move(connection: Connection) -> int:
            values = (target.path, source.path, target.path)
            count: int = self._database.execute(connection, _RENAME, values).rowcount
            return count

        return await self._pool.run(move)

    async def remove(self, lock: Lock) -> bool:
        """See :meth:`giftless.interfaces.ILockStore.remove`."""

        def delete(connection: Connection) -> bool:
            count: int = self._database.execute(connection, _DELETE, (lock.id,)).rowcount
            return count == 1

        return await self._pool.run(delete)

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`: write something and undo it."""
        await self._pool.check(self._try)

    def _insert(self, connection: Connection, lock: Lock) -> Lock | None:
        """Insert a lock, if its path has none.

        :returns: the lock that the path has then; ``None`` if it keeps changing.
        """
        execute = self._database.execute
        row = _row(lock)
        wanted = (lock.repo.path, self._paths.value(lock.path))
        statement = f"{_SELECT} WHERE repo = ? AND {self._paths.condition}"
        for _ in range(_ATTEMPTS):
            if execute(connection, _INSERT, row).rowcount == 1:
                return lock
            found = execute(connection, statement, wanted).fetchone()
            if found is not None:
                return _lock(found)
        return None

    def _selection(self, query: LockQuery) -> Any:
        """Make the job that finds what a query is about."""
        conditions: dict[str, tuple[object, ...]] = {}
        if query.repo is not None:
            conditions["repo = ?"] = (query.repo.path,)
        if query.path is not None:
            conditions[self._paths.condition] = (self._paths.value(query.path),)
        if query.id is not None:
            conditions["id = ?"] = (query.id,)
        if query.text is not None:
            conditions[_CONTAINS] = (f"%{query.text.translate(_LITERAL)}%",) * 3
        if query.cursor is not None:
            # Newest first: who pages is not kept busy by those who lock.
            conditions["number < ?"] = (_parse_cursor(query.cursor),)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f"{_SELECT} {where} ORDER BY number DESC LIMIT ?"
        # One more tells whether there is another page.
        values = (*chain.from_iterable(conditions.values()), query.limit + 1)

        def select(connection: Connection) -> LockPage:
            rows = self._database.execute(connection, statement, values).fetchall()
            page = rows[: query.limit]
            cursor = str(page[-1][0]) if len(rows) > len(page) else None
            return LockPage(tuple(map(_lock, page)), cursor)

        return select

    def _try(self, connection: Connection) -> None:
        self._database.begin(connection)
        try:
            # No repository can be called so.
            self._database.execute(connection, _INSERT, ("check", "", "check", "check", 0, None))
        finally:
            self._database.execute(connection, "ROLLBACK")


def _row(lock: Lock) -> Sequence[object]:
    """Return what is inserted; a lock without a principal has NULL there, as old ones have."""
    principal = lock.principal or None
    return (lock.id, lock.repo.path, lock.path, lock.owner, lock.locked_at, principal)


def _lock(row: Sequence[Any]) -> Lock:
    _, lock_id, repo, path, owner, locked_at, principal = row
    # Whatever is in the database has been checked on its way there.
    return Lock(lock_id, Repo(tuple(repo.split("/"))), path, owner, locked_at, principal or "")


def _parse_cursor(cursor: str) -> int:
    if not _CURSOR.fullmatch(cursor):
        raise BadRequest("the cursor is not one that this server gave; list from the beginning")
    return int(cursor)
