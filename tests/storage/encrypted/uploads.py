"""A store that seals what comes bit by bit, over a directory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from giftless.interfaces import IResumableStore
from giftless.storage.coded.compressing import load_compression
from giftless.storage.encrypted.store import EncryptedStore
from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.wrapping import lend
from tests.storage.encrypted.support import key_file, keys_in
from tests.support.making import environment
from tests.support.reactor import reactor
from tests.support.threads import running_threads


class SealedTestCase(TestCase):
    """Sealed objects in a directory."""

    compression: str | None = None

    def setUp(self) -> None:
        self.threads = running_threads(self)
        self.path = self.mktemp()
        self.keys = key_file(Path(self.mktemp()), "one")
        self.now = time.time()

    def make_inner(self) -> Any:
        """Return what another process has of the store inside."""
        around = environment(self.mktemp(), reactor, self.threads)
        options = LocalOptions(path=self.path, prefix="a/b", resumable_expiry=1000)
        return LocalFactory().build(options, around)

    def around(self, inner: Any) -> Any:
        """Return a store that seals what another one gets."""
        lent = environment(self.mktemp(), reactor, self.threads)
        packing = None if self.compression is None else load_compression(self.compression)
        keys = keys_in(self.keys, lent)
        store = EncryptedStore(inner, keys, packing, self.threads, lent.state_dir)
        uploads = store.resumable(lambda: self.now)
        assert uploads is not None
        lend(store, uploads, IResumableStore)
        return store

    async def make_store(self) -> Any:
        return self.around(self.make_inner())

    async def make_other(self) -> Any:
        return self.around(self.make_inner())

    def files(self) -> list[str]:
        """Return what is in the directory, but for what stands for the store itself."""
        found = []
        for top, _, names in os.walk(self.path):
            if os.path.basename(top) not in (".giftless", "writers"):
                found += [os.path.join(top, name) for name in names]
        return found

    def assert_secret(self, data: bytes) -> None:
        """Fail if bytes of an object lie in the directory."""
        samples = [data[at : at + 24] for at in range(0, len(data) - 24, 7000)]
        for path in self.files():
            with open(path, "rb") as file:
                stored = file.read()
            self.assertFalse(any(sample in stored for sample in samples), path)
