"""``catalogue: {type: sqlite}``: a catalogue in a file, for all workers of one machine."""

from __future__ import annotations

from typing import Final

from giftless.base.database.sqlite import SQLite, SQLiteOptions, open_sqlite
from giftless.catalogue.session import Dialect
from giftless.catalogue.store import CATALOGUE, SQLCatalogue
from giftless.interfaces import Environment

#: The file's name in the daemon's state directory.
FILE: Final = "catalogue.sqlite"

#: How many pages gather in the log: what a push records is all over some indexes, and its
#: next objects change the same pages again.
_CHECKPOINT: Final = 4000


class SQLiteFactory:
    """Builds a catalogue in a file."""

    Options = SQLiteOptions

    def build(self, options: SQLiteOptions, environment: Environment) -> SQLCatalogue:
        """See :meth:`giftless.interfaces.ICatalogueFactory.build`.

        :raises ConfigError: if the file cannot be made, opened or used.
        """
        database, pool = open_sqlite(options, CATALOGUE, FILE, environment, _CHECKPOINT)
        return SQLCatalogue(sqlite_dialect(database), pool)


def sqlite_dialect(database: SQLite) -> Dialect:
    """Return what statements need to know of a database of SQLite."""
    return Dialect(
        database, turn="", arrays=False, merges=True, apart="INDEXED BY giftless_catalogue_apart"
    )
