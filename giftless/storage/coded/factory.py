"""Build the store that ``storage: {type: compressed}`` describes."""

from __future__ import annotations

from typing import Any

import msgspec

from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    ICompressingStore,
    IExternalStore,
    IForwarding,
    IStorageFactory,
    IStreamingStore,
    Section,
)
from giftless.storage.coded.compressing import Compression, load_compression
from giftless.storage.coded.sealing import ISealing
from giftless.storage.coded.sizes import Sizes
from giftless.storage.coded.store import CodedStore
from giftless.storage.coded.writing import Writer


class CompressedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: compressed}``.

    :ivar store: where objects are kept, with its ``type`` and options.
    :ivar compression: ``zstd``, or ``zstd:LEVEL`` with a level from 1 to 19.
    """

    store: Section
    compression: str = "zstd"


class CompressedFactory:
    """Builds a :class:`CodedStore` from :class:`CompressedOptions`."""

    Options = CompressedOptions

    def build(self, options: CompressedOptions, environment: Environment) -> CodedStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the store inside cannot keep compressed objects.
        """
        compression = load_compression(options.compression)
        store = build_inner(options.store, environment, "compression")
        if ICompressingStore.providedBy(store):
            raise ConfigError("store.type", "compresses already; to compress twice saves no more")
        return build_coded(store, compression, None, environment)


def build_inner(section: Section, environment: Environment, what: str) -> Any:
    """Build the store inside, which must let all bytes pass through the daemon.

    :param section: the option ``store``.
    :param what: what clients would go past otherwise.
    :raises ConfigError: if it does not.
    """
    store: Any = environment.parts.build(IStorageFactory, section, "store")
    if IForwarding.providedBy(store):
        raise ConfigError("store.type", "is a mirror: its objects are kept by another server")
    if IExternalStore.providedBy(store):
        raise ConfigError(
            "store",
            f"clients would talk to this storage directly, past the {what}; set mode: proxy for it",
        )
    if not IStreamingStore.providedBy(store):
        raise ConfigError("store.type", "the server itself cannot write to this storage")
    return store


def build_coded(
    store: Any,
    compression: Compression | None,
    sealing: ISealing | None,
    environment: Environment,
) -> CodedStore:
    """Put the parts together.

    :param store: what :func:`build_inner` has returned.
    :param compression: compresses what is worth it; ``None`` if nothing is.
    :param sealing: seals every object; ``None`` if none is.
    """
    blocking = environment.blocking
    sizes = Sizes(store, sealing)
    writer = Writer(store, sizes, compression, sealing, blocking, environment.state_dir)
    return CodedStore(store, writer, sizes, sealing, blocking)
