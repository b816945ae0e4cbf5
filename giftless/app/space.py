"""Build what keeps the objects of a configuration, for commands."""

from __future__ import annotations

from giftless.app.backends import (
    build_catalogue,
    build_lock_store,
    build_observers,
    build_space_over,
)
from giftless.app.config import Config
from giftless.app.forwarding import refuse_forwarding
from giftless.app.plugins import PartBuilder
from giftless.catalogue.recorder import Recorder
from giftless.interfaces import IStorageFactory
from giftless.usecases.events import Events
from giftless.usecases.space import Space


def build_space(options: Config, parts: PartBuilder, publishes: bool = True) -> Space:
    """Build the store, the catalogue, the locks, and what works with them.

    What is built is used after the services of ``parts`` were started.

    :param publishes: whether the observers are told what is done.  The catalogue is told
        of what arrives in any case.
    :raises ConfigError: if the configuration cannot be used.
    """
    store = parts.build(IStorageFactory, options.storage, "storage")
    refuse_forwarding(store)
    catalogue = build_catalogue(options, parts)
    locks = build_lock_store(options, parts)
    observers = build_observers(options, parts) if publishes else {}
    arrivals = {}
    if catalogue is not None:
        lent = parts.environment
        recorder = Recorder(catalogue, store, lent.reactor, lent.wall_clock)
        recorder.setServiceParent(lent.services)
        arrivals["catalogue"] = recorder
    events = Events(observers, arrivals)
    return build_space_over(options, parts, store, catalogue, locks, events)
