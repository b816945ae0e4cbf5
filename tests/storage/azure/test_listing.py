"""Listing and deleting blobs in an Azurite that verifies what is signed."""

from __future__ import annotations

from typing import Any

from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.storage.azure.support import StoreInAzurite
from tests.storage.remote.listing_contract import RemoteListing, RemoteListingFaults
from tests.storage.remote.parts_contract import RemoteTestCase
from tests.storage.remote.survey_contract import RemoteSurvey
from tests.support.faulty import FaultyProxy
from tests.support.making import key_of


class AzureListingTestCase(RemoteTestCase, StoreInAzurite):
    """Puts blobs into the test's container."""

    def setUp(self) -> None:
        self.make_container()
        RemoteTestCase.setUp(self)

    def port(self) -> int:
        return self.server.port

    def endpoint(self, proxy: FaultyProxy) -> str:
        return f"{proxy.url}/{self.server.ACCOUNT}"

    def place(self, name: str, data: bytes) -> None:
        self.blob(name).upload_blob(data)

    def blob(self, name: str) -> Any:
        """Return Microsoft's client of a blob."""
        return self.server.container(self.container).get_blob_client(name)


class DirectTests(
    AzureListingTestCase, RemoteListingFaults, CopyingContract, ListingContract, DeletingContract
):
    """``mode: direct``."""

    async def test_blobs_that_an_abort_has_left_are_no_objects(self) -> None:
        """Nor are blocks of an upload that runs."""
        await self.prepare()
        name = self.store.container.layout.name
        self.blob(name(key_of(b"left"))).upload_blob(b"", metadata={"giftlessdiscarded": "true"})
        self.blob(name(key_of(b"begun"))).stage_block("AAAA", b"x")
        self.blob(name(key_of(b"kept"))).upload_blob(b"x", metadata={"giftlessdiscarded": "true"})
        await self.add(key_of(b""), b"", {"filename": "empty"})
        self.assert_listed(await self.listed(), [key_of(b""), key_of(b"kept")])

    async def test_names_that_azure_changes_are_left_out(self) -> None:
        await self.prepare()
        self.place(self.store.container.layout.below(f"org/repo./{'0' * 64}"), b"x")
        self.assertEqual(await self.listed(), [])


class ProxyTests(
    AzureListingTestCase, RemoteListing, CopyingContract, ListingContract, DeletingContract
):
    """``mode: proxy``, below a prefix."""

    options: dict[str, Any] = {"mode": "proxy", "prefix": "/team a/\u00fc&+/"}


class SurveyTests(AzureListingTestCase, RemoteSurvey):
    """``mode: proxy``; Azure discards blocks by itself."""

    options: dict[str, Any] = {"mode": "proxy"}
    tells_uploads = False
