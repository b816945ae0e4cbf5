"""What the server lends to the factories of its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface

if TYPE_CHECKING:
    # It takes long to import, and every twistd command imports this.
    from treq.client import HTTPClient

T = TypeVar("T")


class IBlocking(Interface):
    """Runs what blocks (disk, big hashes, RSA) away from the reactor."""

    def run(function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Call ``function(*args)`` where it may block.

        :returns: an awaitable of its result; it raises what the call raises.
        """


@dataclass(frozen=True, slots=True)
class Environment:
    """What a plugin's factory may use to build.

    Factories see all of it; what they build is given exactly what it uses.

    :ivar reactor: the reactor (a ``Clock`` in tests).
    :ivar blocking: runs blocking calls in worker threads.
    :ivar http: makes HTTP requests to other servers, over kept connections.
    :ivar state_dir: the directory for the daemon's own small state; it may not
        exist yet.
    :ivar services: what is added here is started with the daemon, and stopped
        when no request is left.
    """

    reactor: IReactorTime
    blocking: IBlocking
    http: HTTPClient
    state_dir: str
    services: MultiService = field(default_factory=MultiService)
