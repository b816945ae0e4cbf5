"""An HTTP client whose other side is the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer


class Connection:
    """What a body's protocol sees of its connection.

    :ivar paused: whether it is told to hold back.
    :ivar aborted: whether it was cut.
    """

    def __init__(self) -> None:
        self.paused = False
        self.aborted = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def abortConnection(self) -> None:
        self.aborted = True


@implementer(IResponse)
class Response:
    """An answer whose body the test delivers, at once or piece by piece."""

    version = (b"HTTP", 1, 1)
    phrase = b""
    request = None
    previousResponse: Any = None

    def __init__(
        self,
        code: int,
        headers: dict[str, str] | None = None,
        body: bytes | None = b"",
        length: int | None = None,
    ) -> None:
        self.code = code
        self.headers = Headers({name: [value] for name, value in (headers or {}).items()})
        self.length = len(body or b"") if length is None else length
        self.connection = Connection()
        self.protocol: Any = None
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.connection)
        if self._body is not None:
            protocol.dataReceived(self._body)
            self.end()

    def setPreviousResponse(self, response: Any) -> None:
        self.previousResponse = response

    def end(self, reason: Exception | None = None) -> None:
        """The body is over: as it should be, unless ``reason`` says otherwise."""
        self.protocol.connectionLost(Failure(reason or ResponseDone()))


@dataclass
class Asked:
    """A request that has been sent.

    :ivar at: when.
    :ivar cancelled: whether its sender has given up.
    """

    at: float
    method: str
    url: str
    headers: Headers
    producer: IBodyProducer | None
    answer: Deferred[Any] = field(default_factory=Deferred)
    cancelled: bool = False

    def succeed(self, *arguments: Any, **options: Any) -> Response:
        """Answer; the arguments are those of :class:`Response`."""
        response = Response(*arguments, **options)
        self.answer.callback(response)
        return response

    def fail(self, error: Exception) -> None:
        """Let it come to nothing."""
        self.answer.errback(error)


@implementer(IAgent)
class ScriptedAgent:
    """Takes requests and leaves the answers to the test.

    :ivar asked: all requests, in order.
    :ivar given_up: what a request fails with whose sender gives up, if not with
        ``CancelledError``.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.asked: list[Asked] = []
        self.given_up: Exception | None = None

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[Any]:
        asked = Asked(
            self._clock.seconds(), method.decode(), uri.decode(), headers or Headers(), bodyProducer
        )

        def cancel(answer: Deferred[Any]) -> None:
            asked.cancelled = True
            if self.given_up is not None:
                answer.errback(self.given_up)

        asked.answer = Deferred(cancel)
        self.asked.append(asked)
        return asked.answer

    @property
    def running(self) -> list[Asked]:
        """Those that wait for their answer."""
        return [asked for asked in self.asked if not asked.answer.called and not asked.cancelled]

    def client(self) -> HTTPClient:
        """Return a client that asks here."""
        return HTTPClient(self)
