"""Whether a store of this kind is ready, tried on a server."""

from __future__ import annotations

from tests.storage.gcs.support import GCSTestCase
from tests.storage.remote.probe_contract import ProbeContract


class ProbeTests(ProbeContract, GCSTestCase):
    """See the contract."""

    build = GCSTestCase.build
