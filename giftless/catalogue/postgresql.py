"""``catalogue: {type: postgresql}``: a catalogue that several daemons share."""

from __future__ import annotations

from typing import Final

from giftless.base.database.postgresql import PostgreSQL, PostgreSQLOptions, open_postgresql
from giftless.catalogue.session import Dialect
from giftless.catalogue.store import CATALOGUE, SQLCatalogue
from giftless.interfaces import Environment

#: Whoever writes holds this advisory lock until the end of the transaction: "gift:cat" in
#: ASCII.  So sums add up, and nobody waits for who waits for them.
_WRITING: Final = 0x676966743A636174


class PostgreSQLFactory:
    """Builds a catalogue in a database of PostgreSQL."""

    Options = PostgreSQLOptions

    def build(self, options: PostgreSQLOptions, environment: Environment) -> SQLCatalogue:
        """See :meth:`giftless.interfaces.ICatalogueFactory.build`.

        While the server does not answer, what needs the catalogue is answered with 503.

        :raises ConfigError: if the options, or what is in the database, cannot
            be used.
        """
        database, pool = open_postgresql(options, CATALOGUE, environment)
        return SQLCatalogue(postgresql_dialect(database), pool)


def postgresql_dialect(database: PostgreSQL) -> Dialect:
    """Return what statements need to know of a database of PostgreSQL."""
    turn = f"SELECT pg_advisory_xact_lock({_WRITING:d})"
    return Dialect(database, turn=turn, arrays=True, merges=False, apart="")
