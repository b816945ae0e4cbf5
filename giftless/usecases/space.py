"""Put together the parts that keep what is stored: store, catalogue, locks, trash."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from giftless.auth.aliases import Moved
from giftless.errors import ConfigError
from giftless.interfaces import ICatalogue, ILockStore, IObjectStore, WallClock
from giftless.usecases.events import Events
from giftless.usecases.presence import Presence
from giftless.usecases.repositories import Repositories
from giftless.usecases.trash import Trash


@dataclass(frozen=True, slots=True)
class Space:
    """The parts of a server that keep what it has.

    :ivar store: where objects are.
    :ivar catalogue: what is known of them; ``None`` if nothing is.
    :ivar locks: where locks are; ``None`` if there are none.
    :ivar events: where it is published what has happened.
    :ivar trash: where deleted objects are; ``None`` if objects are never moved.
    :ivar repositories: works on whole repositories; ``None`` if there is no trash.
    :ivar presence: decides what clients are told is there; ``None`` if there is no trash.
    :ivar moved: where repositories are kept that were renamed.
    :ivar problem: why there is no trash; ``None`` if there is one.
    """

    store: IObjectStore
    catalogue: ICatalogue | None
    locks: ILockStore | None
    events: Events
    trash: Trash | None
    repositories: Repositories | None
    presence: Presence | None
    moved: Moved
    problem: ConfigError | None = None

    @property
    def required_trash(self) -> Trash:
        """The trash, for whoever cannot do without.

        :raises ConfigError: if there is none.
        """
        if self.trash is None:
            assert self.problem is not None, "there is a reason"
            raise self.problem
        return self.trash


def make_space(
    store: IObjectStore,
    catalogue: ICatalogue | None,
    locks: ILockStore | None,
    events: Events,
    clock: IReactorTime,
    wall_clock: WallClock,
    keep: float,
    configured: Collection[str] = (),
) -> Space:
    """Make the parts that a store and a catalogue allow.

    :param keep: for how long deleted objects can be brought back, in seconds.
    :param configured: the names of repositories that the configuration leads elsewhere.
    """
    moved = Moved()
    try:
        if catalogue is None:
            raise ConfigError("catalogue.type", "found 'none': without a catalogue is no trash")
        trash = Trash(store, catalogue, events, clock, wall_clock, keep)
    except ConfigError as problem:
        return Space(store, catalogue, locks, events, None, None, None, moved, problem)
    repositories = Repositories(trash, locks, configured)
    presence = Presence(trash, moved, clock, wall_clock)
    return Space(store, catalogue, locks, events, trash, repositories, presence, moved)
