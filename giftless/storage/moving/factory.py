"""Build the store that ``storage: {type: moving}`` describes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from giftless.errors import ConfigError
from giftless.interfaces import (
    Environment,
    IExternalStore,
    IReadableStore,
    IStorageFactory,
    IWritableStore,
    Section,
)
from giftless.storage.moving.direct import DirectMovingStore
from giftless.storage.moving.store import MovingStore, StreamingMovingStore

#: The option of a storage that says which way bytes go, and not where they are.
_MODE: Final = "mode"


class MovingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: moving}``.

    :ivar to: the storage that objects move to, with its ``type`` and options.
    :ivar source: the storage that they come from (``from``), in the same form.
    """

    to: Section
    source: Section = msgspec.field(name="from")


class MovingFactory:
    """Builds a :class:`MovingStore` from :class:`MovingOptions`."""

    Options = MovingOptions

    def build(self, options: MovingOptions, environment: Environment) -> MovingStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if objects cannot move from one store to the other.
        """
        if options.to == options.source:
            raise ConfigError("to", "is the same as 'from'; objects move to another storage")
        if _place_of(options.to) == _place_of(options.source):
            raise ConfigError(
                "to",
                "keeps objects in the same place as 'from'; let them move to another one, or"
                " encrypt them where they are, by 'giftless encrypt'",
            )
        build = environment.parts.build
        target: Any = build(IStorageFactory, options.to, "to")
        source: Any = build(IStorageFactory, options.source, "from")
        if not IWritableStore.providedBy(target):
            raise ConfigError("to.type", "the server itself cannot write to this storage")
        if not IReadableStore.providedBy(source):
            raise ConfigError("from.type", "the server itself cannot read from this storage")
        # Signed URLs must lead to what every client may reach: so both sign, or none.
        if IExternalStore.providedBy(target) and IExternalStore.providedBy(source):
            return DirectMovingStore(target, source)
        return StreamingMovingStore(target, source)


def _place_of(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what says where the objects of a storage are: of a wrapper, those of its store."""
    inner: Any = section.get("store")
    if isinstance(inner, Mapping):
        return _place_of(inner)
    place = {name: value for name, value in section.items() if name != _MODE}
    if isinstance(path := place.get("path"), str):
        place["path"] = os.path.realpath(path)
    return place
