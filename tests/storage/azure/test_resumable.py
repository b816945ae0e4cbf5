"""Uploads that come bit by bit, to stores in an Azurite."""

from __future__ import annotations

from tests.storage.azure.support import StoreInAzurite
from tests.storage.remote.daemons_contract import Expiring, SeveralDaemons
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.storage.remote.resumable_contract import RemoteResumable


class AzureResumableTestCase(StoreInAzurite, RemoteTestCase):
    """Has a container of its own; is skipped where Azurite is missing."""

    def setUp(self) -> None:
        self.make_container()
        super().setUp()

    # The one of both that knows the reactor.
    environment = RemoteTestCase.environment


class DirectTests(AzureResumableTestCase, RemoteResumable, SeveralDaemons, Expiring):
    """``mode: direct``."""

    part_size = 100_000
    size = 2 * part_size + 7
    tells_uploads = False
