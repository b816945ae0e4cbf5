"""A catalogue in a file of SQLite."""

from __future__ import annotations

from giftless.catalogue.store import SQLCatalogue
from tests.catalogue.support import SQLiteTestCase
from tests.contracts.catalogues import CatalogueContract
from tests.support.run import CoroutineTestCase


class ContractTests(SQLiteTestCase, CatalogueContract, CoroutineTestCase):
    """It is a catalogue."""

    def make_catalogue(self) -> SQLCatalogue:
        return self.build()
