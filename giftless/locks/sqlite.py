"""``locks: {type: sqlite}``: locks in a file, for all workers of one machine."""

from __future__ import annotations

from typing import Final

from giftless.base.database.sqlite import SQLiteOptions, open_sqlite
from giftless.interfaces import Environment
from giftless.locks.store import BY_PATH, LOCKS, SQLLockStore

#: The file's name in the daemon's state directory.
FILE: Final = "locks.sqlite"


class SQLiteFactory:
    """Builds a lock store in a file."""

    Options = SQLiteOptions

    def build(self, options: SQLiteOptions, environment: Environment) -> SQLLockStore:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`.

        :raises ConfigError: if the file cannot be made, opened or used.
        """
        return SQLLockStore(*open_sqlite(options, LOCKS, FILE, environment), BY_PATH)
