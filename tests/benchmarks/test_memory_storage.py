"""The store in memory that benchmarks use keeps what a store promises."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from benchmarks.plugins.memory_storage import MemoryOptions, memory
from giftless.interfaces import IStorageFactory
from tests.contracts.stores import StreamingStoreContract
from tests.support.making import environment
from tests.support.run import CoroutineTestCase


class MemoryStorageTests(StreamingStoreContract, CoroutineTestCase):
    def make_store(self) -> Any:
        verifyObject(IStorageFactory, memory)
        return memory.build(MemoryOptions(), environment())
