"""Uploads that come bit by bit, to a stand-in for Cloud Storage (``tests/support/gcs.py``)."""

from __future__ import annotations

from typing import Any

from tests.storage.gcs.test_parts import GCSPartsTestCase
from tests.storage.remote.resumable_contract import RemoteResumable


class DirectTests(GCSPartsTestCase, RemoteResumable):
    """``mode: direct``."""


class HmacTests(GCSPartsTestCase, RemoteResumable):
    """``mode: proxy`` with an HMAC key, below a prefix."""

    def section(self, **options: Any) -> dict[str, Any]:
        options = {"mode": "proxy", "prefix": "team a/\u00fc&", **options}
        return self.google.hmac_options(self.bucket, **options)
