"""``catalogue: {type: sqlite}``: a catalogue in a file, for all workers of one machine."""

from __future__ import annotations

import os
from typing import Annotated, Final

import msgspec

from giftless.base.database.sqlite import SQLite
from giftless.base.identities import remembered_in
from giftless.catalogue.session import Dialect
from giftless.catalogue.store import SQLCatalogue, catalogue_pool, catalogue_schema
from giftless.interfaces import Environment

#: The file's name in the daemon's state directory.
FILE: Final = "catalogue.sqlite"

#: How many pages gather in the log: what a push records is all over some indexes, and its
#: next objects change the same pages again.
_CHECKPOINT: Final = 4000


class SQLiteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``catalogue: {type: sqlite}``.

    :ivar path: the file, on a local disk; by default in the state directory.
    :ivar timeout: how long anything may wait for others who write, in seconds.
    """

    path: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=25)] = 10


class SQLiteFactory:
    """Builds a catalogue from :class:`SQLiteOptions`."""

    Options = SQLiteOptions

    def build(self, options: SQLiteOptions, environment: Environment) -> SQLCatalogue:
        """See :meth:`giftless.interfaces.ICatalogueFactory.build`.

        :raises ConfigError: if the file cannot be made, opened or used.
        """
        path = options.path or os.path.join(environment.state_dir, FILE)
        remembered = remembered_in(environment.state_dir, f"sqlite {os.path.abspath(path)}")
        schema = catalogue_schema("sqlite")
        database = SQLite(path, options.timeout, schema, remembered, _CHECKPOINT)
        # One at a time: more would only wait for each other.
        pool = catalogue_pool(database, 1, options.timeout, environment)
        database.prepare(pool, environment.state_dir if options.path is None else None)
        pool.setServiceParent(environment.services)
        return SQLCatalogue(sqlite_dialect(database), pool)


def sqlite_dialect(database: SQLite) -> Dialect:
    """Return what statements need to know of a database of SQLite."""
    return Dialect(
        database, turn="", arrays=False, merges=True, apart="INDEXED BY giftless_catalogue_apart"
    )
