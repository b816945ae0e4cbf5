"""Requests to other servers: one question, one answer of limited size.

Nothing is carried from one request to the next but the connection: a cookie
that a server sets for one person must not be sent with another's token.
Redirects are not followed, so a credential goes only where it was meant to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, NoReturn

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

#: How long the making of a connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 10


def http_client(reactor: Any, pool: HTTPConnectionPool | None = None) -> HTTPClient:
    """Make a client that keeps connections, and no cookies.

    :param reactor: the reactor that connects.
    :param pool: what the connections are kept in, if not one of its own.
    """
    pool = pool or HTTPConnectionPool(reactor)
    agent = Agent(reactor, pool=pool, connectTimeout=_CONNECT_TIMEOUT)
    return HTTPClient(agent, IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[])))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    :ivar status: the status code.
    :ivar headers: the last value of each header, by lower-case name.
    :ivar body: the body, or its beginning if it is longer than was wanted.
    :ivar whole: whether ``body`` is all of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


async def get(
    http: HTTPClient,
    url: str,
    headers: Mapping[str, str],
    limit: int,
    timeout: float,
    clock: IReactorTime,
) -> Answer:
    """Send a GET request.

    :param limit: how many bytes of the body are wanted; with more to come,
        the connection is closed.
    :param timeout: how long it all may take, in seconds.
    :raises TimeoutError: Twisted's, if it takes longer.
    :raises Exception: if there is no answer: another error of Twisted's.
    """
    running = Deferred.fromCoroutine(_get(http, url, headers, limit))
    return await running.addTimeout(timeout, clock, _late)


def _late(result: object, timeout: float) -> NoReturn:
    # Whatever the request ended with when it was cancelled.
    raise TimeoutError(timeout, "seconds are over")


async def _get(http: HTTPClient, url: str, headers: Mapping[str, str], limit: int) -> Answer:
    response = await http.get(
        url,
        headers=Headers({name: [value] for name, value in headers.items()}),
        allow_redirects=False,
        unbuffered=True,
    )
    body = _Body(limit)
    response.deliverBody(body)
    data = await body.finished
    received = {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }
    return Answer(response.code, received, data[:limit], len(data) <= limit)


class _Body(Protocol):
    """Collects a body up to a limit.

    :ivar finished: fires with the bytes: more than the limit if there are
        more.  Cancelling it closes the connection.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self.finished: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        if self.finished.called:
            return
        self._data += data
        if len(self._data) > self._limit:
            self.finished.callback(bytes(self._data))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(bytes(self._data))
        else:
            self.finished.errback(reason)

    def _close(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
