"""A catalogue in PostgreSQL."""

from __future__ import annotations

from giftless.catalogue.store import SQLCatalogue
from tests.catalogue.support import PostgreSQLTestCase, SQLCatalogueContract
from tests.support.run import CoroutineTestCase


class ContractTests(PostgreSQLTestCase, SQLCatalogueContract, CoroutineTestCase):
    """It is a catalogue, over one database however many there are."""

    def make_catalogue(self) -> SQLCatalogue:
        return self.build()
