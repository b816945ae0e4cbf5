"""Uploads that are gone on with where they broke off, on a local disk."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase

from giftless.base.threads import Threads
from giftless.storage.local.factory import LocalFactory, LocalOptions
from tests.contracts.resumable import ResumableContract
from tests.support.making import environment
from tests.support.reactor import reactor


class LocalResumableContractTests(ResumableContract, TestCase):
    """With threads, as in the daemon."""

    def setUp(self) -> None:
        self.threads = Threads(reactor, 4)
        self.threads.startService()
        self.addCleanup(self.threads.stopService)
        self.path = self.mktemp()

    async def make_store(self) -> Any:
        return await self.make_other()

    async def make_other(self) -> Any:
        around = environment(self.mktemp(), reactor, self.threads)
        options = LocalOptions(path=self.path, prefix="a/b", resumable_expiry=1000)
        return LocalFactory().build(options, around)

    def tearDown(self) -> None:
        """Fail if somebody still holds an upload, or has not ended writing."""
        for name in ("holds", "tmp"):
            directory = os.path.join(self.path, ".giftless", name)
            if os.path.isdir(directory):
                self.assertEqual(os.listdir(directory), [])
