"""A client for one server, and for where that leads: to nothing that is nearer than itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from giftless.base.addresses import Network
from giftless.base.dialling import Lookup
from giftless.base.http_client import KEPT_CONNECTIONS, KEPT_SECONDS, client_over, quiet_pool
from giftless.base.reach import Reach

#: For how many seconds it is remembered what a name stands for.
_NAMES_KEPT: Final = 30.0


class ReachingClient:
    """Connects to a server and to where it leads (:mod:`giftless.base.reach`).

    :param reactor: the reactor that connects.
    :param url: where the server is.
    :param lookup: resolves names.
    :param networks: where it may lead although that is nearer.
    :ivar http: sends requests; :meth:`begin` comes first.
    """

    def __init__(self, reactor: Any, url: str, lookup: Lookup, networks: Sequence[Network]) -> None:
        self._host = urlsplit(url).hostname or ""
        self._reach = Reach(reactor, lookup, networks, "'networks'", _NAMES_KEPT)
        self._begun = False
        self._pool = quiet_pool(reactor)
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = KEPT_SECONDS
        agent: Any = Agent.usingEndpointFactory(reactor, _Endpoints(self._reach), self._pool)
        self.http: HTTPClient = client_over(agent)

    async def begin(self) -> None:
        """Find out how near the server is, unless that is known: it may lead so far.

        What is found first holds as long as the process lives, so that a name cannot be made
        to lead to what only this machine can reach.
        """
        if not self._begun:
            self._begun = await self._reach.begin_at(self._host)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()


class Closing(Service):
    """Closes the connections of a client with the daemon."""

    def __init__(self, client: ReachingClient) -> None:
        self._client = client

    def stopService(self) -> Deferred[None]:
        """Close the connections that the client keeps."""
        super().stopService()
        return Deferred.fromCoroutine(self._client.close())


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See :meth:`twisted.web.iweb.IAgentEndpointFactory.endpointForURI`."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint = self._reach.dial(host, uri.port)
        if uri.scheme == b"https":
            return wrapClientTLS(optionsForClientTLS(host), endpoint)
        return endpoint
