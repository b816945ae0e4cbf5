"""Find the storage of a configuration that stores objects in another form, for commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.commands import CommandError
from giftless.errors import BadRequest
from giftless.interfaces import (
    ICodedStore,
    ICompressingStore,
    IEncryptedStore,
    IStorageFactory,
)
from giftless.usecases.fsck.places import Places


def build_encrypted(settings: Config, parts: PartBuilder) -> list[IEncryptedStore]:
    """Build the storage, and return each encrypted one that is in it, at any depth.

    :raises CommandError: if there is none.
    :raises ConfigError: if the configuration cannot be used.
    """
    found: list[IEncryptedStore] = _build(settings, parts, IEncryptedStore)
    if not found:
        raise CommandError("the configuration has no encrypted storage (storage.type: encrypted)")
    return found


def build_compressing(settings: Config, parts: PartBuilder) -> list[ICompressingStore]:
    """Build the storage, and return each one in it that compresses, at any depth.

    :raises CommandError: if there is none.
    :raises ConfigError: if the configuration cannot be used.
    """
    found: list[ICompressingStore] = _build(settings, parts, ICompressingStore)
    if not found:
        raise CommandError(
            "the configuration has no storage that compresses; put 'type: compressed' around the"
            " storage, or, where it is encrypted, 'compression: zstd' beside 'keys'"
        )
    return found


def _build(settings: Config, parts: PartBuilder, interface: Any) -> list[Any]:
    parts.build(IStorageFactory, settings.storage, "storage")
    return [part for part in parts.built.values() if interface.providedBy(part)]


def places_of(store: ICodedStore, patterns: Sequence[str] = ()) -> Places:
    """Return the parts of a store that are gone through.

    :raises CommandError: if something is no pattern.
    :raises ConfigError: if the store cannot be listed.
    """
    try:
        return Places(store, patterns)
    except (ValueError, BadRequest) as error:
        raise CommandError(f"REPO is no path or pattern of repositories: {error}") from None
