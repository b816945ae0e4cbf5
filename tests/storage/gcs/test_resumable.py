"""Uploads that come bit by bit, to a stand-in for Cloud Storage (``tests/support/gcs.py``)."""

from __future__ import annotations

from tests.storage.gcs.test_parts import GCSPartsTestCase
from tests.storage.remote.resumable_contract import RemoteResumable


class DirectTests(GCSPartsTestCase, RemoteResumable):
    """``mode: direct``."""
