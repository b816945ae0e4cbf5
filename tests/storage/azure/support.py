"""What tests of stores in an Azurite share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from giftless.interfaces import Environment
from giftless.storage.azure.factory import AzureFactory, AzureOptions
from tests.support.azurite import azurite
from tests.support.faulty import FaultyProxy
from tests.support.servers import shared
from tests.support.spinning import SpinningTestCase

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Mixin
else:
    _Mixin = object


class StoreInAzurite(_Mixin):
    """A container for each test; skipped where Azurite is missing.

    :ivar server: the Azurite, shared by all tests.
    :ivar container: the container's name.
    """

    def make_container(self) -> None:
        """Make the test's container."""
        self.server = shared(azurite)
        self.container = f"test-{uuid.uuid4().hex}"
        self.server.create(self.container)

    def environment(self) -> Environment:
        """Return what a factory is given."""
        raise NotImplementedError

    def build(self, **others: object) -> Any:
        """Build a store over the test's container."""
        section = self.server.options(self.container, **others)
        del section["type"]
        options = msgspec.convert(
            {name: value for name, value in section.items() if value is not None}, AzureOptions
        )
        return AzureFactory().build(options, self.environment())

    def behind_proxy(self, latency: float = 0.0, **others: object) -> tuple[Any, FaultyProxy]:
        """Build a store whose every connection goes through a proxy that can misbehave."""
        proxy = FaultyProxy(self.server.port, latency)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        url = f"{proxy.url}/{self.server.ACCOUNT}"
        return self.build(endpoint_url=url, **others), proxy


class AzureTestCase(SpinningTestCase, StoreInAzurite):
    """Tests that turn the reactor while they wait."""

    def setUp(self) -> None:
        self.make_container()
        super().setUp()
