"""Build what keeps the objects of a configuration, for commands."""

from __future__ import annotations

from giftless.app.assembly import (
    build_catalogue,
    build_lock_store,
    build_observers,
    build_space_over,
)
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.interfaces import IStorageFactory
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.space import Space


def build_space(options: Config, parts: PartBuilder, publishes: bool = True) -> Space:
    """Build the store, the catalogue, the locks, and what works with them.

    What is built is used after the services of ``parts`` were started.

    :param publishes: whether the observers are told what is done.
    :raises ConfigError: if the configuration cannot be used.
    """
    store = parts.build(IStorageFactory, options.storage, "storage")
    catalogue = build_catalogue(options, parts)
    locks = build_lock_store(options, parts)
    events = Events(build_observers(options, parts)) if publishes else NO_EVENTS
    return build_space_over(options, parts, store, catalogue, locks, events)
