"""Build the store that ``storage: {type: encrypted}`` describes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    IEncryptedStore,
    IKeyWrapper,
    IKeyWrapperFactory,
    IResumableStore,
    Section,
)
from giftless.storage.coded.compressing import load_compression
from giftless.storage.coded.factory import build_inner
from giftless.storage.coded.store import CodedStore
from giftless.storage.encrypted.store import EncryptedStore
from giftless.storage.wrapping import lend


class EncryptedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: encrypted}``.

    :ivar store: where the sealed objects are kept, with its ``type`` and options.
    :ivar keys: what wraps the keys of objects, with its ``type`` and options.
    :ivar compression: ``zstd``, or ``zstd:LEVEL``; ``None`` for none.
    :ivar plaintext: whether what is stored without encryption is served.
    """

    store: Section
    keys: Section
    compression: str | None = None
    plaintext: Literal["allow", "refuse"] = "allow"


class EncryptedFactory:
    """Builds an :class:`EncryptedStore` from :class:`EncryptedOptions`."""

    Options = EncryptedOptions

    def build(self, options: EncryptedOptions, environment: Environment) -> EncryptedStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the keys cannot be used, or the store inside cannot keep
            sealed objects.
        """
        compression = None
        if options.compression is not None:
            compression = load_compression(options.compression)
        keys: IKeyWrapper = environment.parts.build(IKeyWrapperFactory, options.keys, "keys")
        store: Any = build_inner(options.store, environment, "encryption")
        if IEncryptedStore.providedBy(store):
            raise ConfigError(
                "store.type", "is encrypted already; to encrypt twice protects no better"
            )
        if isinstance(store, CodedStore):
            raise ConfigError(
                "store.type",
                "compresses, but what is encrypted cannot be compressed; write 'compression: zstd'"
                " beside 'keys' instead",
            )
        refuses = options.plaintext == "refuse"
        blocking, directory = environment.blocking, environment.state_dir
        encrypted = EncryptedStore(store, keys, compression, blocking, directory, refuses)
        uploads = encrypted.resumable(environment.wall_clock)
        if uploads is not None:
            lend(encrypted, uploads, IResumableStore)
        return encrypted
