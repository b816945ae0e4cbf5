"""How a container of Azure is recognised."""

from __future__ import annotations

from tests.storage.azure.support import AzureTestCase
from tests.storage.remote.identity_contract import IdentityContract


class IdentityTests(IdentityContract, AzureTestCase):
    """See the contract."""

    build = AzureTestCase.build
