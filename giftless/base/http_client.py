"""Requests to other servers: one question, one answer of limited size.

What is too large for that is streamed by :mod:`giftless.storage.remote`, over
the same client.  Nothing is carried from one request to the next but the connection: a cookie
that a server sets for one person must not be sent with another's token.
Redirects are not followed, so a credential goes only where it was meant to.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, NoReturn

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, _HTTP11ClientFactory
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from giftless.base.expecting import IExpectedBody, InterimAnswers
from giftless.base.sending import descriptor_of

#: How many bytes may come before the body of an answer, interim answers included.
_LONGEST_HEAD: Final = 256 * 1024

#: A linger time of zero, as the kernel takes it: whether, and for how many seconds.
_AT_ONCE: Final = struct.pack("ii", 1, 0)

#: How Twisted calls what comes before a body.
_HEAD_STATES: Final = ("STATUS", "HEADER")

#: How it calls a request that is being sent, one that was sent, and one that was answered
#: completely before that.
_SENDING: Final = "TRANSMITTING"
_SENT: Final = "WAITING"
_ANSWERED_EARLY: Final = "TRANSMITTING_AFTER_RECEIVING_RESPONSE"

#: How long the making of a connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 10

#: How many idle connections to one server are kept, and for how many seconds:
#: as many as a store may be asked at once, but not until it closes them.
KEPT_CONNECTIONS: Final = 1000
KEPT_SECONDS: Final = 30


def http_client(reactor: Any, pool: HTTPConnectionPool | None = None) -> HTTPClient:
    """Make a client that keeps connections, and no cookies.

    :param reactor: the reactor that connects.
    :param pool: what the connections are kept in, if not one of its own.
    """
    if pool is None:
        pool = quiet_pool(reactor)
        pool.maxPersistentPerHost = KEPT_CONNECTIONS
        pool.cachedConnectionTimeout = KEPT_SECONDS
    return client_over(Agent(reactor, pool=pool, connectTimeout=_CONNECT_TIMEOUT))


def client_over(agent: IAgent) -> HTTPClient:
    """Make a client that keeps no cookies, and connects as an agent does."""
    jar = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return HTTPClient(_AsIs(agent), jar)


def reason_of(error: BaseException) -> str:
    """Say in words why a request has failed.

    Twisted wraps what has ended a connection, once or several times.
    """
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    if isinstance(error, TimeoutError):
        return "there is no answer in time"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def quiet_pool(reactor: Any) -> HTTPConnectionPool:
    """Make a pool of kept connections that logs none of them."""
    return _QuietPool(reactor)


class _BoundedProtocol(HTTP11ClientProtocol):
    """Gives a server up that sends too much before the body of an answer.

    Twisted bounds each line of a head, and takes as many as a server cares to send.
    """

    _before_body = 0
    #: Of a request whose body waits until the server wants it.
    _interim: InterimAnswers | None = None
    _is_early = False

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send a request; one with a body that breaks off is reset.

        So it is when this process is killed, too.  Some servers (versitygw 1.8) take a body
        for whole whose connection just ends, and fill it up with zeros.
        """
        if request.bodyProducer is not None and self.transport is not None:
            _reset_at_end(self.transport)
            _let_go(self.transport)
        self._before_body = 0
        self._is_early = False
        expects = IExpectedBody.providedBy(request.bodyProducer)
        self._interim = InterimAnswers(request.bodyProducer) if expects else None
        asked: Deferred[IResponse] = super().request(request)
        return asked

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the connection."""
        parser = self._parser
        if parser is not None and parser.state in _HEAD_STATES:
            self._before_body += len(data)
            if self._before_body > _LONGEST_HEAD:
                self.abort()
                return
        if self._interim is None:
            super().dataReceived(data)
        elif answer := self._interim.take(data):
            super().dataReceived(answer)
            self._end_early(self._interim.body)

    def _end_early(self, body: IBodyProducer) -> None:
        """Pass on an answer that comes before all was sent; nothing else is sent then."""
        answer: Any = self._responseDeferred
        transport: Any = self.transport
        if self._state == _SENDING and answer.called:
            # Twisted waits until all is sent, which this server does not want.
            self._is_early = True
            self._state = _SENT
            request: Any = self._currentRequest
            request.persistent = False
            body.stopProducing()
            transport.unregisterProducer()
            answer.chainDeferred(self._finishedRequest)
        elif self._parser is None and (self._is_early or self._state == _ANSWERED_EARLY):
            body.stopProducing()
            transport.abortConnection()


def _reset_at_end(transport: Any) -> None:
    """Let the kernel reset a connection when it is closed, by whomever.

    Over TLS there is no need: its end is said in it.
    """
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def _let_go(transport: Any) -> None:
    """Let a connection forget that it holds somebody up who has sent all since.

    It would let the next body go on that it has never held up, which is an error.
    """
    if isinstance(transport, FileDescriptor) and transport.producer is None:
        transport.producerPaused = False


class _QuietFactory(_HTTP11ClientFactory):
    """Does not log every connection, and bounds what comes over it."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:
        return _BoundedProtocol(self._quiescentCallback)


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


@implementer(IAgent)
class _AsIs:
    """Lets a request that accepts ``identity`` have the bytes as they are stored.

    treq asks for gzip whatever the request says, and unpacks what it gets.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :meth:`twisted.web.iweb.IAgent.request`."""
        accepted = headers.getRawHeaders("accept-encoding", []) if headers is not None else []
        asked: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        if headers is not None and "identity" in accepted:
            headers.setRawHeaders("accept-encoding", ["identity"])
            asked.addCallback(_without_encoding)
        return asked


def _without_encoding(response: IResponse) -> IResponse:
    response.headers.removeHeader("content-encoding")
    return response


def abort(transport: Any) -> None:
    """Cut the connection that a response's body comes over, if it still does.

    Losing it would not do: over TLS that waits for the peer, and takes in the
    rest of the body meanwhile.

    :param transport: what the body's protocol was connected to: Twisted's
        proxy of the transport, which knows no ``abortConnection``.
    """
    connection = _connection_of(transport)
    if connection is not None:
        connection.abortConnection()


def read_at_once(transport: object, count: int) -> None:
    """Let up to so many bytes be read from a connection's socket in one turn of the reactor.

    :param transport: what a body's protocol was connected to, as for :func:`abort`.
    """
    descriptor = descriptor_of(_connection_of(transport))
    if descriptor is not None:
        descriptor.bufferSize = count


def _connection_of(transport: object) -> Any:
    return getattr(transport, "_producer", transport)


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
    """Send a GET request.  See :func:`ask`."""
    return await ask(http, "GET", url, headers, None, limit, timeout, clock)


async def ask(
    http: HTTPClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    limit: int,
    timeout: float,
    clock: IReactorTime,
) -> Answer:
    """Send a request and read the answer.

    :param headers: what is sent beside ``Host`` and ``Content-Length``.  With
        ``Accept-Encoding: identity`` the body comes as it is stored.
    :param limit: how many bytes of the body are wanted; with more to come,
        the connection is closed.
    :param timeout: how long it all may take, in seconds.
    :raises TimeoutError: Twisted's, if it takes longer.
    :raises Exception: if there is no answer: another error of Twisted's.
    """
    running = _cancellable(Deferred.fromCoroutine(_ask(http, method, url, headers, body, limit)))
    return await running.addTimeout(timeout, clock, _late)


def _cancellable(running: Deferred[Answer]) -> Deferred[Answer]:
    """Pass a result on; who cancels what this returns gets ``CancelledError``.

    Twisted's agent may fail in other ways then, as if a name could not be found: whoever takes
    that for the server's failure asks again.
    """

    def cancel(result: Deferred[Answer]) -> None:
        result.errback(CancelledError())
        running.cancel()

    def end(found: Any) -> None:
        if not result.called:
            result.callback(found)

    result: Deferred[Answer] = Deferred(cancel)
    running.addBoth(end)
    return result


def _late(result: object, timeout: float) -> NoReturn:
    # Whatever the request ended with when it was cancelled.
    raise TimeoutError(timeout, "seconds are over")


async def _ask(
    http: HTTPClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    limit: int,
) -> Answer:
    response = await http.request(
        method,
        url,
        headers=Headers({name: [value] for name, value in headers.items()}),
        data=body,
        allow_redirects=False,
        unbuffered=True,
    )
    received = BodyCollector(limit)
    response.deliverBody(received)
    data = await received.finished
    return Answer(response.code, plain_headers(response.headers), data[:limit], len(data) <= limit)


def plain_headers(headers: Headers) -> dict[str, str]:
    """Return the last value of each header, by lower-case name."""
    return {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in headers.getAllRawHeaders()
    }


class BodyCollector(Protocol):
    """Collects the body of an answer, up to a limit.

    :param limit: after how many bytes the connection is closed.
    :param needs_end: whether a body that breaks off is an error.
    :ivar finished: fires with the bytes: more than the limit if there are
        more.  Cancelling it closes the connection.
    """

    def __init__(self, limit: int, *, needs_end: bool = True) -> None:
        self._limit = limit
        self._needs_end = needs_end
        self._data = bytearray()
        self.finished: Deferred[bytes] = Deferred(lambda _: abort(self.transport))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self.finished.called:
            return
        self._data += data
        if len(self._data) > self._limit:
            self.finished.callback(bytes(self._data))
            abort(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the end of the body, whether it is whole or not."""
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss) or not self._needs_end:
            self.finished.callback(bytes(self._data))
        else:
            self.finished.errback(reason)
