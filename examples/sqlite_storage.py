"""A storage backend in one file: objects as rows of an SQLite database.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    storage: {type: sqlite, path: /var/lib/giftless/objects.sqlite}

One file holds everything, so a backup is one command (``sqlite3 FILE ".backup
COPY"``).  It suits many small objects: SQLite writes one thing at a time.

An upload is a row without a path, which nobody can see, and its bytes are rows
beside it, each as large as what arrived at once.  The path is set when the
whole body has been received and found right: that one statement makes the
object visible, all of it or nothing.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from zope.interface import implementer

from giftless.errors import BadRequest, ConfigError, InsufficientStorage, StorageUnavailable
from giftless.interfaces import (
    MAX_PAGE,
    Environment,
    IBlocking,
    IBody,
    ICopying,
    IDeleting,
    IListing,
    IStorageFactory,
    IStoredObject,
    IStreamingStore,
    ListedObject,
    ObjectPage,
    Payload,
)
from giftless.lfs.objects import Extras, ObjectKey, Repo, trash_of

T = TypeVar("T")

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: somebody may still read
    path TEXT UNIQUE,  -- NULL while it is being uploaded
    size INTEGER NOT NULL DEFAULT 0,
    extras TEXT NOT NULL,
    dated TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP  -- when it began, then when it was stored
);
CREATE TABLE IF NOT EXISTS chunks (
    object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    start INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (object, start)
);
-- What a killed daemon left behind.  Another one may be uploading now, so
-- only what is too old for that.
DELETE FROM objects WHERE path IS NULL AND dated < datetime('now', '-1 day');
"""


class SQLiteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: sqlite``.

    :ivar path: the database's file; made if it is missing.
    """

    path: str


@implementer(IStreamingStore, IListing, IDeleting, ICopying)
class SQLiteStore:
    """A store in an SQLite database.

    :param path: the database's file.
    :param blocking: does everything that touches the disk.
    :raises sqlite3.Error: if the database cannot be used.
    """

    def __init__(self, path: str, blocking: IBlocking) -> None:
        self._blocking = blocking
        # Used by many threads, one at a time.
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.executescript(SCHEMA)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        """See ``IObjectStore.sizes``: one job for the whole batch."""
        return await self.run(self._sizes, keys)

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See ``IWritableStore.put``."""
        upload = await self.run(self._begin, extras)
        try:
            received = 0
            # Bytes that are wrong raise here, before the end of the body.
            while chunks := await body.read():
                received = await self.run(self._append, upload, received, chunks)
            await self.run(self._publish, upload, key, received)
        finally:
            await self.run(self._discard, upload)

    async def open(self, key: ObjectKey) -> SQLiteObject | None:
        """See ``IReadableStore.open``."""
        return await self.run(self._open, key)

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See ``IListing.list``: in the order of paths; a cursor is the last object's."""
        if not 1 <= limit <= MAX_PAGE:
            raise BadRequest(f"a page of a list has 1 to {MAX_PAGE} objects, not {limit}")
        if cursor is not None and ObjectKey.of_path(cursor, trash) is None:
            raise BadRequest("the cursor is none of this list; list from the beginning")
        return await self.run(self._list, repo, cursor or "", limit, trash)

    async def delete(self, key: ObjectKey) -> None:
        """See ``IDeleting.delete``."""
        await self.run(self._delete, key)

    async def copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        """See ``ICopying.copy``: one transaction."""
        return await self.run(self._copy, source, target)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function(*args)`` in a thread, as one transaction.

        :raises InsufficientStorage: if there is no room for what it writes.
        :raises StorageUnavailable: if the database cannot be used now.
        """
        return await self._blocking.run(self._transact, function, *args)

    def chunk(self, upload: int, position: int) -> tuple[int, bytes]:
        """Return the chunk of an object that has the byte at ``position``.  Blocks.

        :returns: the offset of its first byte, and its bytes.
        """
        row = self._database.execute(
            "SELECT start, bytes FROM chunks WHERE object = ? AND start <= ?"
            " ORDER BY start DESC LIMIT 1",
            (upload, position),
        ).fetchone()
        if row is None:
            raise LookupError("the object was removed while it was read")
        return row[0], row[1]

    def _transact(self, function: Callable[..., T], *args: Any) -> T:
        try:
            with self._lock, self._database:
                return function(*args)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise InsufficientStorage("the server's database is full") from error
            raise StorageUnavailable("the server's database cannot be used now", 5) from error

    def _sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        found = (
            self._database.execute(
                "SELECT size FROM objects WHERE path = ?", (key.path,)
            ).fetchone()
            for key in keys
        )
        return [None if row is None else row[0] for row in found]

    def _begin(self, extras: Extras) -> int | None:
        text = json.dumps(dict(extras))
        return self._database.execute("INSERT INTO objects (extras) VALUES (?)", (text,)).lastrowid

    def _append(self, upload: int, start: int, chunks: Sequence[bytes]) -> int:
        # Need not be on the disk before it counts.
        self._database.execute("PRAGMA synchronous = NORMAL")
        for chunk in filter(None, chunks):
            self._database.execute("INSERT INTO chunks VALUES (?, ?, ?)", (upload, start, chunk))
            start += len(chunk)
        return start

    def _publish(self, upload: int, key: ObjectKey, size: int) -> None:
        # Syncs the chunks as well: an upload is acknowledged when it will last.
        self._database.execute("PRAGMA synchronous = FULL")
        if self._sizes([key]) == [size]:
            # Somebody was faster.  The same oid means the same bytes.
            self._date(key)
            return
        self._database.execute("DELETE FROM objects WHERE path = ?", (key.path,))
        self._database.execute(
            "UPDATE objects SET path = ?, size = ?, dated = CURRENT_TIMESTAMP WHERE id = ?",
            (key.path, size, upload),
        )

    def _date(self, key: ObjectKey) -> None:
        self._database.execute(
            "UPDATE objects SET dated = CURRENT_TIMESTAMP WHERE path = ?", (key.path,)
        )

    def _discard(self, upload: int) -> None:
        self._database.execute("DELETE FROM objects WHERE id = ? AND path IS NULL", (upload,))

    def _delete(self, key: ObjectKey) -> None:
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("DELETE FROM objects WHERE path = ?", (key.path,))

    def _copy(self, source: ObjectKey, target: ObjectKey) -> bool:
        (size,) = self._sizes([source])
        if size is None:
            return False
        if self._sizes([target]) == [size]:
            self._date(target)
            return True
        self._delete(target)
        copy = self._database.execute(
            "INSERT INTO objects (path, size, extras)"
            " SELECT ?, size, extras FROM objects WHERE path = ?",
            (target.path, source.path),
        ).lastrowid
        self._database.execute(
            "INSERT INTO chunks SELECT ?, start, bytes FROM chunks"
            " WHERE object = (SELECT id FROM objects WHERE path = ?)",
            (copy, source.path),
        )
        return True

    def _list(self, repo: Repo | None, cursor: str, limit: int, trash: bool) -> ObjectPage:
        start, end, length = "", "\U0010ffff", None
        if repo is not None:
            repo = trash_of(repo) if trash else repo
            # "0" follows "/".  Paths of repositories below it are longer.
            start, end, length = f"{repo.path}/", f"{repo.path}0", len(repo.path) + 65
        # One more tells whether there is another page.
        rows = self._database.execute(
            # Dates have whole seconds, and must not be too early.
            "SELECT path, size, CAST(strftime('%s', dated) AS REAL) + 1 FROM objects"
            " WHERE path > ? AND path < ? AND length(path) = coalesce(?, length(path))"
            # No repository's own name has this in it.
            " AND (instr(path, '/.giftless/') > 0) = ?"
            " ORDER BY path LIMIT ?",
            (max(start, cursor), end, length, trash, limit + 1),
        ).fetchall()
        objects = [
            ListedObject(key, size, modified)
            for path, size, modified in rows[:limit]
            if (key := ObjectKey.of_path(path, trash)) is not None
        ]
        return ObjectPage(objects, rows[limit - 1][0] if len(rows) > limit else None)

    def _open(self, key: ObjectKey) -> SQLiteObject | None:
        row = self._database.execute(
            "SELECT id, size, extras FROM objects WHERE path = ?", (key.path,)
        ).fetchone()
        return None if row is None else SQLiteObject(self, row[0], row[1], json.loads(row[2]))


@implementer(IStoredObject)
class SQLiteObject:
    """An object that is there.

    :param upload: the id of its row.
    """

    def __init__(self, store: SQLiteStore, upload: int, size: int, extras: Extras) -> None:
        self._store = store
        self._upload = upload
        self.size = size
        self.extras = extras

    def read(self, start: int, end: int) -> SQLiteBody:
        """See ``IStoredObject.read``."""
        return SQLiteBody(self._store, self._upload, start, end)

    def close(self) -> None:
        """See ``IStoredObject.close``: nothing is held open."""


@implementer(IBody)
class SQLiteBody:
    """Part of an object, read a chunk at a time: a slow client costs one chunk."""

    def __init__(self, store: SQLiteStore, upload: int, start: int, end: int) -> None:
        self._store = store
        self._upload = upload
        self._position = start
        self._end = end

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        if self._position == self._end:
            return []
        start, chunk = await self._store.run(self._store.chunk, self._upload, self._position)
        piece = chunk[self._position - start : self._end - start]
        self._position += len(piece)
        return [piece]


@implementer(IStorageFactory)
class SQLiteFactory:
    """What giftless finds in this file: builds the store from its options."""

    name = "sqlite"
    Options = SQLiteOptions

    def build(self, options: SQLiteOptions, environment: Environment) -> SQLiteStore:
        """See ``IStorageFactory.build``."""
        try:
            return SQLiteStore(options.path, environment.blocking)
        except sqlite3.Error as error:
            raise ConfigError("path", f"{options.path!r} cannot be used: {error}") from None


sqlite = SQLiteFactory()
