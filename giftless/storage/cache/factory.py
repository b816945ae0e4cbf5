"""Build the store that ``storage: {type: cache}`` describes."""

from __future__ import annotations

from typing import Any

import msgspec

from giftless.base.units import Size
from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    ICopied,
    IExternalStore,
    IStorageFactory,
    IStreamingStore,
    Section,
)
from giftless.storage.cache.building import build_reads
from giftless.storage.cache.store import CachedStore


class CacheOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: cache}``.

    :ivar store: where objects are kept: ``type`` and that plugin's options.
    :ivar path: the directory of the copies, on a local disk; made if it is missing.
    :ivar limit: the most bytes that they may have together.
    """

    store: Section
    path: str
    limit: Size


class CacheFactory:
    """Builds a :class:`CachedStore` from :class:`CacheOptions`."""

    Options = CacheOptions

    def build(self, options: CacheOptions, environment: Environment) -> CachedStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if clients would go past the cache, or the directory cannot be
            used.
        """
        store: Any = environment.parts.build(IStorageFactory, options.store, "store")
        if ICopied.providedBy(store):
            raise ConfigError("store.type", "has a cache already; a cache of a cache gains nothing")
        if not IStreamingStore.providedBy(store):
            problem = (
                "clients would go past the cache, with URLs that lead to this storage; set mode:"
                " proxy there"
                if IExternalStore.providedBy(store)
                else "the server itself cannot read and write this storage"
            )
            raise ConfigError("store", problem)
        return CachedStore(store, build_reads(options.path, int(options.limit), environment))
