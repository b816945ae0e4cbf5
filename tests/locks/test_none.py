"""A server without locks."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.app import plugins
from giftless.interfaces import ILockStoreFactory
from giftless.locks.none import NoLocksFactory, NoLocksOptions
from tests.support.making import environment


class FactoryTests(SynchronousTestCase):
    def test_there_is_no_store(self) -> None:
        factory: Any = NoLocksFactory()
        self.assertIsNone(factory.build(NoLocksOptions(), environment()))

    def test_every_built_in_factory(self) -> None:
        """Each is found, and provides its interface."""
        found = plugins.find(ILockStoreFactory)
        self.assertLessEqual({"none", "postgresql", "sqlite"}, set(found))
        for factory in found.values():
            verifyObject(ILockStoreFactory, factory)
