"""Whether a store of this kind is ready, tried on a server."""

from __future__ import annotations

from tests.storage.azure.support import AzureTestCase
from tests.storage.remote.probe_contract import ProbeContract


class ProbeTests(ProbeContract, AzureTestCase):
    """See the contract."""

    build = AzureTestCase.build
