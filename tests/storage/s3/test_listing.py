"""Listing and deleting objects in an S3 that verifies signatures (versitygw)."""

from __future__ import annotations

from typing import Any

from giftless.interfaces import MAX_PAGE
from giftless.storage.remote.listing import PAGE
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.storage.remote.listing_contract import RemoteListing, RemoteListingFaults
from tests.storage.remote.survey_contract import RemoteSurvey
from tests.storage.s3.test_parts import S3PartsTestCase


class S3ListingTestCase(S3PartsTestCase):
    """Puts files where the server finds them."""

    def place(self, name: str, data: bytes) -> None:
        path = self.server.buckets / self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class DirectTests(
    S3ListingTestCase, RemoteListingFaults, CopyingContract, ListingContract, DeletingContract
):
    """``mode: direct``."""

    async def test_a_page_has_at_most_what_the_store_lists_at_once(self) -> None:
        await self.prepare()
        path = "/".join(["\u00fc" * 120] * 3)
        for number in range(PAGE + 100):
            self.place(self.store.container.layout.below(f"{path}/{number:064x}"), b"x")
        page = await self.store.list(None, None, MAX_PAGE)
        self.assertEqual(len(page.objects), PAGE)
        self.assertEqual(len(await self.listed(path)), PAGE + 100)


class ProxyTests(
    S3ListingTestCase, RemoteListing, CopyingContract, ListingContract, DeletingContract
):
    """``mode: proxy``, below a prefix."""

    options: dict[str, Any] = {"mode": "proxy", "prefix": "/team a/\u00fc&+/"}


class SurveyTests(S3ListingTestCase, RemoteSurvey):
    """``mode: proxy``, below a prefix."""

    options: dict[str, Any] = {"mode": "proxy", "prefix": "/team a/\u00fc&+/"}
    compared = True
