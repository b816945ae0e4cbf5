"""Signed URLs, while objects move between two stores that clients talk to directly."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from giftless.interfaces import IExternalMultipartStore, IExternalStore
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.moving.store import MovingStore


@implementer(IExternalStore)
class DirectMovingStore(MovingStore):
    """Clients upload to the new store, and download from the one that has the object."""

    def __init__(self, target: Any, source: Any) -> None:
        super().__init__(target, source)
        self.upload_action = target.upload_action
        self._take_parts(IExternalMultipartStore)

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.download_action`.

        :raises ServiceUnavailable: if it cannot be told which store has the object.
        """
        store = self._target if await self._is_moved(key) else self._source
        action: Action = await store.download_action(key, size, lifetime, extras)
        return action
