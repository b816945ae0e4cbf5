"""``locks: {type: moving}``: two lock stores, while locks move from one to the other.

A lock is kept in both, and taken only if both can have it.  So whichever of the two another
process still uses alone, or uses alone already, no path is locked twice: while the
configuration changes, there are such processes.  ``giftless migrate --locks`` copies the
locks that were there before.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from zope.interface import implementer

from giftless.errors import ConfigError, LFSError
from giftless.interfaces import Environment, ILockStore, ILockStoreFactory, Section
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.lfs.objects import Repo


class MovingLockOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``locks: {type: moving}``.

    :ivar to: the lock store that locks move to, with its ``type`` and options.
    :ivar source: the lock store that they come from (``from``), in the same form.
    """

    to: Section
    source: Section = msgspec.field(name="from")


class MovingLocksFactory:
    """Builds :class:`MovingLocks` from :class:`MovingLockOptions`."""

    Options = MovingLockOptions

    def build(self, options: MovingLockOptions, environment: Environment) -> MovingLocks:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`.

        :raises ConfigError: if one of the two stores keeps no locks, or they are the same.
        """
        if options.to == options.source:
            raise ConfigError("to", "is the same as 'from'; locks move to another place")
        stores: list[Any] = []
        for key, section in (("to", options.to), ("from", options.source)):
            store = environment.parts.build(ILockStoreFactory, section, key)
            if store is None:
                raise ConfigError(f"{key}.type", "keeps no locks")
            stores.append(store)
        return MovingLocks(*stores)


@implementer(ILockStore)
class MovingLocks:
    """Keeps every lock in two stores.

    :param target: the store that locks move to.
    :param source: the store that they come from: it has all locks, so lists are its own.
    """

    def __init__(self, target: ILockStore, source: ILockStore) -> None:
        self._target = target
        self._source = source

    async def create(self, lock: Lock) -> None:
        """See :meth:`giftless.interfaces.ILockStore.create`."""
        await self._source.create(lock)
        try:
            await self._target.create(lock)
        except LFSError:
            # What cannot be undone now is a lock of somebody who was told that it failed.
            with contextlib.suppress(LFSError):
                await self.remove(lock)
            raise

    async def page(self, query: LockQuery) -> LockPage:
        """See :meth:`giftless.interfaces.ILockStore.page`."""
        return await self._source.page(query)

    async def count(self) -> int:
        """See :meth:`giftless.interfaces.ILockStore.count`."""
        return await self._source.count()

    async def rename(self, source: Repo, target: Repo) -> int:
        """See :meth:`giftless.interfaces.ILockStore.rename`."""
        count = await self._source.rename(source, target)
        await self._target.rename(source, target)
        return count

    async def remove(self, lock: Lock) -> bool:
        """See :meth:`giftless.interfaces.ILockStore.remove`.

        Whoever copies locks looks once more at the store where it is removed first.
        """
        removed = await self._source.remove(lock)
        await self._target.remove(lock)
        return removed
