"""Send one message to one target, and judge the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as TLSError
from service_identity.exceptions import VerificationError
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from giftless import __version__
from giftless.base.concurrency import settle
from giftless.base.dialling import AddressRefused, Lookup
from giftless.base.schema import below
from giftless.errors import ConfigError
from giftless.interfaces import WallClock
from giftless.observers.webhooks.connection import Answer, ReceiverConnection
from giftless.observers.webhooks.dialling import endpoint_of
from giftless.observers.webhooks.options import Target
from giftless.observers.webhooks.signing import signed_headers

#: Statuses that say that the target cannot take anything now.
_BUSY: Final = (408, 425, 429, 502, 503, 504)

#: The longest that a target may put the next request off, in seconds.
LONGEST_PAUSE: Final = 3600


class Verdict(Enum):
    """What became of a message.

    :cvar DELIVERED: the target has it.
    :cvar REFUSED: the target has answered that it does not take this one.
    :cvar AWAY: the target cannot be reached, or takes nothing now.
    :cvar GONE: the target wants no messages any more (410).
    """

    DELIVERED = "delivered"
    REFUSED = "refused"
    AWAY = "away"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    :ivar words: what happened, without anything that the receiver has chosen.
    :ivar pause: for how many seconds the target wants to be left alone; 0 if it does not
        say.
    """

    verdict: Verdict
    words: str
    pause: int = 0


class Sender:
    """Sends messages, each to its target.

    :param targets: by name.
    :param reactor: connects, and tells the time.
    :param lookup: resolves names.
    :param wall_clock: dates requests.
    :param timeout: how long one request may take, in seconds.
    :raises ConfigError: if a target's certificates cannot be used.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        reactor: IReactorTime,
        lookup: Lookup,
        wall_clock: WallClock,
        timeout: float,
    ) -> None:
        self._clock = reactor
        self._wall_clock = wall_clock
        self._timeout = timeout
        self._lines: dict[str, _Line] = {}
        for index, target in enumerate(targets.values()):
            try:
                endpoint = endpoint_of(reactor, target.url, lookup, target.networks, target.ca)
            except ConfigError as error:
                raise below(f"targets.{index}", error) from None
            self._lines[target.name] = _Line(endpoint, target.url, reactor)

    async def send(self, target: Target, message_id: str, body: bytes) -> Outcome:
        """Send a message once.  Nothing is raised, unless it is cancelled."""
        now = int(self._wall_clock())
        headers = signed_headers(target.secrets, message_id, now, body)
        asking = Deferred.fromCoroutine(self._lines[target.name].send(headers, body))
        try:
            answer = await asking.addTimeout(self._timeout, self._clock)
        except CancelledError:
            raise
        except Exception as error:
            return Outcome(Verdict.AWAY, self._describe(error))
        return _judge(answer, now)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await settle(line.close() for line in self._lines.values())

    def _describe(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no whole answer within {self._timeout} seconds"
        if isinstance(error, AddressRefused):
            return str(error)
        if isinstance(error, TLSError):
            return f"TLS failed: {error.args[0][0][-1] if error.args else 'it was cut'}"
        if isinstance(error, VerificationError):
            return "the certificate is not one of this host"
        if isinstance(error, ConnectError):
            return str(error)
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return f"the connection failed ({type(error).__name__})"


class _Line:
    """The connections to one target, of which one is kept from request to request.

    :param endpoint: makes connections.
    :param url: where requests go.
    :param clock: see :class:`ReceiverConnection`.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, url: str, clock: IReactorTime) -> None:
        parts = urlsplit(url)
        path = parts.path or "/"
        self._head = (
            f"POST {path}{f'?{parts.query}' if parts.query else ''} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\nUser-Agent: giftless/{__version__}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._endpoint = endpoint
        self._connections = _Connections(clock)
        self._kept: ReceiverConnection | None = None

    async def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request, and wait for the answer.

        :raises Exception: if there is none: an error of Twisted's, or one of those of
            :mod:`giftless.observers.webhooks.connection` and ``dialling``.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self._head}{lines}Content-Length: {len(body)}\r\n\r\n"
        connection, self._kept = self._kept, None
        if connection is None or not connection.usable:
            connection = await self._connect()
        answer = await connection.ask(head.encode("ascii") + body)
        await self.close()
        self._kept = connection
        return answer

    async def _connect(self) -> ReceiverConnection:
        connecting: Any = self._endpoint.connect(self._connections)
        connection: ReceiverConnection = await connecting
        return connection

    async def close(self) -> None:
        """Cut the connection that is kept, if there is one."""
        connection, self._kept = self._kept, None
        if connection is not None:
            await connection.close()


class _Connections(Factory):
    """Makes the protocols of connections to a target, and logs none of them."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def buildProtocol(self, addr: object) -> ReceiverConnection:
        return ReceiverConnection(self._clock)


def _judge(answer: Answer, now: float) -> Outcome:
    status = answer.status
    words = f"status {status}"
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, words)
    if status == 410:
        return Outcome(Verdict.GONE, words)
    if status in _BUSY:
        return Outcome(Verdict.AWAY, words, _pause(answer.retry_after, now))
    if 300 <= status < 400:
        words += ": redirects are not followed"
    return Outcome(Verdict.REFUSED, words)


def _pause(text: str, now: float) -> int:
    """Read ``Retry-After``: seconds, or a date.

    :returns: seconds from now, within limits; 0 if it is neither.
    """
    if text.isascii() and text.isdecimal():
        seconds = int(text[:6])
    else:
        try:
            seconds = int(parsedate_to_datetime(text).timestamp() - now)
        except (TypeError, ValueError, OverflowError):
            return 0
    return min(max(seconds, 0), LONGEST_PAUSE)
