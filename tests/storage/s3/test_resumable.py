"""Uploads that come bit by bit, to an S3 that verifies signatures (versitygw)."""

from __future__ import annotations

from tests.storage.remote.daemons_contract import Expiring, SeveralDaemons
from tests.storage.remote.resumable_contract import RemoteResumable
from tests.storage.s3.test_parts import S3PartsTestCase


class DirectTests(S3PartsTestCase, RemoteResumable, SeveralDaemons, Expiring):
    """``mode: direct``."""
