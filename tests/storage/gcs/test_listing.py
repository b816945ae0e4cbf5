"""Listing and deleting objects in Cloud Storage: a stand-in for it (``tests/support/gcs.py``)."""

from __future__ import annotations

from typing import Any

from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.storage.gcs.test_parts import GCSPartsTestCase
from tests.storage.remote.listing_contract import RemoteListing, RemoteListingFaults
from tests.storage.remote.survey_contract import RemoteSurvey


class GCSListingTestCase(GCSPartsTestCase):
    """Puts objects into the store behind the front."""

    def place(self, name: str, data: bytes) -> None:
        self.google.write(self.bucket, name, data)


class DirectTests(
    GCSListingTestCase, RemoteListingFaults, CopyingContract, ListingContract, DeletingContract
):
    """``mode: direct``, with a service account's key."""


class ProxyWithHmacTests(
    GCSListingTestCase, RemoteListing, CopyingContract, ListingContract, DeletingContract
):
    """``mode: proxy`` with an HMAC key, below a prefix."""

    options: dict[str, Any] = {"mode": "proxy", "prefix": "/team a/\u00fc&+/"}

    def section(self, **options: Any) -> dict[str, Any]:
        return self.google.hmac_options(self.bucket, **options)


class SurveyTests(GCSListingTestCase, RemoteSurvey):
    """``mode: proxy``."""

    options: dict[str, Any] = {"mode": "proxy"}
