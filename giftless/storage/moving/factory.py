"""Build the store that ``storage: {type: moving}`` describes."""

from __future__ import annotations

from typing import Any

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
from giftless.storage.moving.places import is_same_place
from giftless.storage.moving.store import MovingStore, StreamingMovingStore


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
        if is_same_place(options.to, options.source):
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
