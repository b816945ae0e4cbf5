"""Find the encrypted storage of a configuration, for commands."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.commands import CommandError
from giftless.errors import BadRequest
from giftless.interfaces import IEncryptedStore, IStorageFactory
from giftless.usecases.fsck.places import Places


def build_encrypted(settings: Config, parts: PartBuilder) -> list[IEncryptedStore]:
    """Build the storage, and return each encrypted one that is in it, at any depth.

    :raises CommandError: if there is none.
    :raises ConfigError: if the configuration cannot be used.
    """
    parts.build(IStorageFactory, settings.storage, "storage")
    found = [part for part in parts.built.values() if IEncryptedStore.providedBy(part)]
    if not found:
        raise CommandError("the configuration has no encrypted storage (storage.type: encrypted)")
    return found


def places_of(store: IEncryptedStore, patterns: Sequence[str] = ()) -> Places:
    """Return the parts of a store that are gone through.

    :raises CommandError: if something is no pattern.
    :raises ConfigError: if the store cannot be listed.
    """
    try:
        return Places(store, patterns)
    except (ValueError, BadRequest) as error:
        raise CommandError(f"REPO is no path or pattern of repositories: {error}") from None
