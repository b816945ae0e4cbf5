"""Remember which objects of a store were listed, in memory that does not grow with their number."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

from giftless.lfs.objects import ObjectKey


class Seen:
    """Which objects were listed, in a temporary file.  Everything here blocks."""

    def __init__(self) -> None:
        # Without a name: SQLite makes a file when it is worth it, and removes it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, keys: Sequence[ObjectKey]) -> None:
        """Note that objects were listed."""
        names = sorted((_name(key),) for key in keys)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", names)
        self._database.execute("COMMIT")

    def absent(self, keys: Sequence[ObjectKey]) -> list[ObjectKey]:
        """Return those that have not been noted."""
        look = "SELECT 1 FROM seen WHERE name = ?"
        return [
            key for key in keys if self._database.execute(look, (_name(key),)).fetchone() is None
        ]

    def close(self) -> None:
        """Remove the file."""
        self._database.close()


def _name(key: ObjectKey) -> bytes:
    return hashlib.blake2b(key.path.encode(), digest_size=16).digest()
