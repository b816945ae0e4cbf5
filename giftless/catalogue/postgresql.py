"""``catalogue: {type: postgresql}``: a catalogue that several daemons share."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from twisted.logger import Logger

from giftless.base.database.postgresql import PostgreSQL
from giftless.base.showing import without_quotes
from giftless.catalogue.session import Dialect
from giftless.catalogue.store import SQLCatalogue, catalogue_pool, catalogue_schema
from giftless.interfaces import Environment

_log = Logger()

#: Whoever writes holds this advisory lock until the end of the transaction: "gift:cat" in
#: ASCII.  So sums add up, and nobody waits for who waits for them.
_WRITING: Final = 0x676966743A636174


class PostgreSQLOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``catalogue: {type: postgresql}``.

    :ivar conninfo: libpq's connection string or URI; best from the environment
        if it has a password.  What it leaves out is where libpq looks for it:
        ``PGHOST`` and so on, ``~/.pgpass``.
    :ivar connections: the most connections that one process opens.
    :ivar timeout: how long anything may take, in seconds.
    """

    conninfo: str = ""
    connections: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    timeout: Annotated[int, msgspec.Meta(ge=2, le=25)] = 10

    def __repr__(self) -> str:
        """Leave out ``conninfo``: it may hold a password."""
        return f"<PostgreSQLOptions: {self.connections} connections>"


class PostgreSQLFactory:
    """Builds a catalogue from :class:`PostgreSQLOptions`."""

    Options = PostgreSQLOptions

    def build(self, options: PostgreSQLOptions, environment: Environment) -> SQLCatalogue:
        """See :meth:`giftless.interfaces.ICatalogueFactory.build`.

        A server that does not answer is no reason not to serve objects: what needs the
        catalogue is answered with 503 until it does.

        :raises ConfigError: if the options, or what is in the database, cannot
            be used.
        """
        schema, state_dir = catalogue_schema("postgresql"), environment.state_dir
        database = PostgreSQL(options.conninfo, options.timeout, schema, state_dir, "catalogue")
        pool = catalogue_pool(database, options.connections, options.timeout, environment)
        try:
            pool.prepare()
        except database.errors as error:
            _log.error("there is no catalogue for now: {error}", error=without_quotes(error))
        pool.setServiceParent(environment.services)
        return SQLCatalogue(postgresql_dialect(database), pool)


def postgresql_dialect(database: PostgreSQL) -> Dialect:
    """Return what statements need to know of a database of PostgreSQL."""
    turn = f"SELECT pg_advisory_xact_lock({_WRITING:d})"
    return Dialect(database, turn=turn, arrays=True, merges=False, apart="")
