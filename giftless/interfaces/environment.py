"""How parts are built: their factories, and what the server lends to these."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from giftless.interfaces.caching import NO_COUNTS, CacheCounts

if TYPE_CHECKING:
    # It takes memory and time to import, and every process imports this.
    from treq.client import HTTPClient

T = TypeVar("T")

#: The type of an option that holds the section of another part: ``type`` and
#: that part's options.  ``list[Section]`` holds several.
Section = dict[str, Any]

#: Returns the time of day: seconds since the epoch.  It jumps when somebody sets the
#: clock, so it dates tokens, locks and signatures, and measures nothing.
WallClock = Callable[[], float]

#: What a look into a cache has found: the answer, somebody who is asking for it just now,
#: or nothing.
Lookup = Literal["hit", "shared", "miss"]

#: Counts a look into a cache, which a short and fixed word names: a ``type``, or what is
#: in it.
CountLookup = Callable[[str, Lookup], None]


def count_nothing(cache: str, result: Lookup) -> None:
    """Count no look into a cache, because nobody is told."""


class IBlocking(Interface):
    """Runs what blocks (disk, big hashes, RSA) away from the reactor."""

    def run(function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Call ``function(*args)`` where it may block.

        :returns: an awaitable of its result; it raises what the call raises.
        """


class IFactory(IPlugin):
    """What a plugin file provides: a name and how to build something.

    A module in a ``twisted/plugins/`` folder holds instances; they are found
    by :func:`twisted.plugin.getPlugins`.
    """

    name: str = Attribute("What selects it in the configuration: a ``type``, or a transfer.")


class IBuilder(IFactory):
    """A factory of something that a section of the configuration describes."""

    Options: type[msgspec.Struct] = Attribute(
        "A frozen, keyword-only ``msgspec.Struct``: the section's keys beside ``type``."
    )

    def build(options: Any, environment: Environment) -> Any:
        """Build it.

        :param options: an instance of ``Options``.
        :raises giftless.errors.ConfigError: with the option's name as path, if
            the options cannot work.
        """


class IPartBuilder(Interface):
    """Builds parts from sections inside a factory's own section."""

    def build(interface: type[IBuilder], section: Mapping[str, Any], key: str) -> Any:
        """Build another part.

        Let errors pass: the server puts the path of the caller's section in
        front of theirs.

        :param interface: the kind of factory, such as :class:`IStorageFactory`.
        :param section: ``type`` and options, as the option of type ``Section``
            held it.
        :param key: where the section stands below the caller's: ``store``, or
            ``stores.0`` for the first of a list.
        :returns: what the factory that ``type`` names has built.
        :raises giftless.errors.ConfigError: if the part cannot be built; the
            path is relative to the caller's section (``store.bucket``).
        """


@dataclass(frozen=True, slots=True)
class Environment:
    """What a plugin's factory may use to build.

    Factories see all of it; what they build is given exactly what it uses.

    :ivar reactor: the reactor (a ``Clock`` in tests).  Its ``seconds()`` and
        ``callLater()`` run on monotonic time, which nobody can set and whose zero means
        nothing: use it for timers, deadlines and the expiry of what is in memory.
    :ivar blocking: runs blocking calls in worker threads.
    :ivar http_client: returns :attr:`http`.
    :ivar state_dir: the directory for the daemon's own small state; it may not
        exist yet.
    :ivar parts: builds the parts that sections inside the factory's own describe.
    :ivar services: what is added here is started with the daemon, in the order
        of adding, and stopped when no request is left, in the opposite order.
        Those of a nested part come before what its caller adds later.
    :ivar wall_clock: tells the time of day, in seconds since the epoch: use it for
        dates, and for what is compared with dates, such as the expiry of a token.
    :ivar count_lookup: counts looks into caches for
        ``giftless_cache_requests_total``; quick, and in the reactor's thread only.
    :ivar cache_counts: counts what a cache of objects does.
    """

    reactor: IReactorTime
    blocking: IBlocking
    http_client: Callable[[], HTTPClient]
    state_dir: str
    parts: IPartBuilder
    services: MultiService = field(default_factory=MultiService)
    wall_clock: WallClock = time.time
    count_lookup: CountLookup = count_nothing
    cache_counts: CacheCounts = NO_COUNTS

    @property
    def http(self) -> HTTPClient:
        """The client that makes HTTP requests to other servers, over kept connections.

        It is made, and its code imported, when the first part asks for it.
        """
        return self.http_client()
