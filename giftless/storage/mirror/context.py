"""Hold the parts that the stores of all callers share."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from giftless.interfaces import IBlocking, WallClock
from giftless.storage.cache.reads import CachedReads
from giftless.storage.mirror.passes import Passes
from giftless.storage.mirror.permissions import Permissions
from giftless.storage.mirror.upstreams import Upstreams


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that the stores of all callers share.

    :ivar upstreams: where repositories are.
    :ivar reads: keeps objects' bytes.
    :ivar passes: seals actions.
    :ivar permissions: remembers who may read what; ``None`` if nothing is served while the
        other server cannot be reached.
    :ivar blocking: computes digests.
    :ivar clock: waits.
    :ivar wall_clock: tells when actions expire.
    """

    upstreams: Upstreams
    reads: CachedReads
    passes: Passes
    permissions: Permissions | None
    blocking: IBlocking
    clock: IReactorTime
    wall_clock: WallClock
