"""How a bucket of Cloud Storage is recognised."""

from __future__ import annotations

from tests.storage.gcs.support import GCSTestCase
from tests.storage.remote.identity_contract import IdentityContract


class IdentityTests(IdentityContract, GCSTestCase):
    """See the contract."""

    build = GCSTestCase.build
