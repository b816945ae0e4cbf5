"""Uploads that come bit by bit, to stores behind HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.contracts.resumable import ResumableContract
from tests.storage.remote.parts_contract import RemoteTestCase

if TYPE_CHECKING:

    class _Mixin(ResumableContract, RemoteTestCase):
        """What is mixed together."""
else:
    _Mixin = ResumableContract


class RemoteResumable(_Mixin):
    """What such a store does beside all that others do: a test's ``build`` makes one.

    :cvar part_size: the size of parts in bytes: the smallest that the store takes.
    """

    part_size = 5 * 1024**2
    size = 2 * part_size + 7

    def build(self, **options: Any) -> Any:
        """Build a store with these options."""
        raise NotImplementedError

    async def make_store(self) -> Any:
        self.state_dir = self.mktemp()
        return await self.make_other()

    async def make_other(self) -> Any:
        return self.small(self.build())

    def small(self, store: Any) -> Any:
        """Let a store make small parts."""
        store._means = replace(store._means, part_size=self.part_size)
        return store
