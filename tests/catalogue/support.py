"""Catalogues over real databases, whose blocking work is done at once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.catalogue.store import SQLCatalogue
from tests.support.making import environment
from tests.support.postgresql import PostgreSQLServer, postgresql
from tests.support.servers import shared


class SQLiteTestCase(SynchronousTestCase):
    """A test with a directory for a database."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="giftless-catalogue-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "catalogue.sqlite"
        super().setUp()

    def build(self, **options: Any) -> SQLCatalogue:
        """Build a catalogue as a configuration would."""
        from giftless.catalogue.sqlite import SQLiteFactory, SQLiteOptions

        catalogue = SQLiteFactory().build(
            SQLiteOptions(path=str(self.path), **options), environment(str(self.directory))
        )
        self.addCleanup(catalogue._pool.close)
        return catalogue


class PostgreSQLTestCase(SynchronousTestCase):
    """A test with a database of its own in a server that all share."""

    def setUp(self) -> None:
        self.server: PostgreSQLServer = shared(postgresql)
        self.name = self.server.make_database()
        super().setUp()

    @property
    def conninfo(self) -> str:
        """How to reach the database."""
        return self.server.conninfo(self.name)

    def build(self, state_dir: str = "", **options: Any) -> SQLCatalogue:
        """Build a catalogue as a configuration would."""
        from giftless.catalogue.postgresql import PostgreSQLFactory, PostgreSQLOptions

        given = {"conninfo": self.conninfo, "connections": 1, **options}
        catalogue = PostgreSQLFactory().build(PostgreSQLOptions(**given), environment(state_dir))
        self.addCleanup(catalogue._pool.close)
        return catalogue
