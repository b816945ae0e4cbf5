"""What a migration has verified, and what it is about to copy, in a file.  Everything blocks.

A run that is killed loses at most what it has not noted yet: that is verified once more.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable
from hashlib import blake2b

from giftless.lfs.objects import ObjectKey

_SCHEMA = """
CREATE TABLE IF NOT EXISTS verified (name BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun (path TEXT PRIMARY KEY, trash INTEGER) WITHOUT ROWID;
"""


class Journal:
    """Remembers across runs.

    :param path: the file; it and its directory are made if they are missing.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # What was written survives a kill at once, and a power failure after some seconds.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def verified(self, keys: Iterable[ObjectKey]) -> frozenset[ObjectKey]:
        """Return those whose copies have been verified."""
        look = "SELECT 1 FROM verified WHERE name = ?"
        return frozenset(
            key for key in keys if self._database.execute(look, (_name(key),)).fetchone()
        )

    def begin(self, keys: Collection[ObjectKey]) -> None:
        """Note what is about to be copied."""
        rows = [(key.path, int(ObjectKey.of_path(key.path) is None)) for key in keys]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO begun VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def end(self, keys: Collection[ObjectKey], verified: Collection[ObjectKey]) -> None:
        """Note what is not being copied any more.

        :param verified: what of it is good in the new store.
        """
        self._database.execute("BEGIN")
        names = sorted((_name(key),) for key in verified)
        self._database.executemany("INSERT OR IGNORE INTO verified VALUES (?)", names)
        ended = [(key.path,) for key in keys]
        self._database.executemany("DELETE FROM begun WHERE path = ?", ended)
        self._database.execute("COMMIT")

    def begun(self) -> list[ObjectKey]:
        """Return what was about to be copied when an earlier run was killed."""
        rows = self._database.execute("SELECT path, trash FROM begun").fetchall()
        found = (ObjectKey.of_path(path, bool(trash)) for path, trash in rows)
        return [key for key in found if key is not None]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _name(key: ObjectKey) -> bytes:
    return blake2b(key.path.encode(), digest_size=16).digest()
