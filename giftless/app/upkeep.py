"""Build what a worker does all the time, beside serving."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from giftless.app.config import Config
from giftless.base.repeated import Repeated
from giftless.base.threads import Threads
from giftless.interfaces import Environment, IObjectStore
from giftless.monitoring.health import ScrubCheck
from giftless.monitoring.metrics import Metrics
from giftless.usecases.space import Space
from giftless.usecases.upkeep import Purging, Refreshing


def build_upkeep(options: Config, lent: Environment, space: Space) -> Refreshing | None:
    """Let a worker know what the catalogue knows, and empty the trash.

    :returns: what asks the catalogue; ``None`` if there is no trash.
    """
    if space.trash is None or space.presence is None:
        return None
    refreshing = Refreshing(space.presence, space.moved, space.trash, lent.reactor)
    refreshing.setServiceParent(lent.services)
    purging = Purging(space.trash, options.state_dir, lent.blocking, lent.reactor, lent.wall_clock)
    purging.setServiceParent(lent.services)
    return refreshing


def build_scrub_look(options: Config, lent: Environment) -> ScrubCheck | None:
    """Build what tells how far the scrub is; ``None`` if there is none."""
    if options.scrub.period is None:
        return None
    from giftless.usecases.scrub.journal import Journal
    from giftless.usecases.scrub.look import ScrubLook

    return ScrubLook(Journal(options.state_dir), lent.blocking, lent.wall_clock)


def build_scrubbing(
    options: Config,
    lent: Environment,
    store: IObjectStore,
    space: Space,
    secret: bytes,
    metrics: Metrics | None,
) -> Repeated | None:
    """Let a worker read everything again and again, unless another one does.

    :param store: the store itself: what is asked here is no client's question.
    :param metrics: where it is counted; ``None`` if nobody is told.
    :returns: ``None`` if the configuration does not want it.
    :raises ConfigError: if the store cannot be read or listed.
    """
    if options.scrub.period is None:
        return None
    # Without it, nobody needs the memory that this takes.
    from giftless.base.priority import lower_io_priority
    from giftless.usecases.scrub.context import Context
    from giftless.usecases.scrub.journal import Journal
    from giftless.usecases.scrub.scrubbing import Scrubbing

    reactor: Any = lent.reactor
    quiet = Threads(reactor, 1, lower_io_priority)
    context = Context(
        store,
        space.catalogue,
        space.events,
        metrics,
        lent.blocking,
        quiet,
        reactor,
        lent.wall_clock,
        # Nobody who reads it learns the keys of a bucket.
        hashlib.blake2b(msgspec.json.encode(options.storage), key=secret[:64]).hexdigest(),
    )
    scrubbing = Scrubbing(options.scrub, Journal(options.state_dir), context)
    # It ends before its thread does.
    quiet.setServiceParent(lent.services)
    scrubbing.setServiceParent(lent.services)
    return scrubbing
