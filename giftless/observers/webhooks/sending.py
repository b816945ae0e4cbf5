"""Send one message to one target, and judge the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final

from OpenSSL.SSL import Error as TLSError
from service_identity.exceptions import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import HTTPConnectionPool

from giftless import __version__
from giftless.base.http_client import Answer, ask, quiet_pool
from giftless.base.schema import below
from giftless.errors import ConfigError
from giftless.interfaces import WallClock
from giftless.observers.webhooks.dialling import MAX_ANSWER, AddressRefused, Lookup, guarded_client
from giftless.observers.webhooks.options import Target
from giftless.observers.webhooks.signing import signed_headers

#: How much of an answer's body is read, in bytes.
_MAX_BODY: Final = MAX_ANSWER // 2

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
        self._pools: list[HTTPConnectionPool] = []
        self._clients: dict[str, HTTPClient] = {}
        for index, target in enumerate(targets.values()):
            pool = quiet_pool(reactor)
            self._pools.append(pool)
            try:
                client = guarded_client(reactor, pool, lookup, target.networks, target.ca)
            except ConfigError as error:
                raise below(f"targets.{index}", error) from None
            self._clients[target.name] = client

    async def send(self, target: Target, message_id: str, body: bytes) -> Outcome:
        """Send a message once.  Nothing is raised, unless it is cancelled."""
        now = int(self._wall_clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"giftless/{__version__}",
            "Accept-Encoding": "identity",
            **signed_headers(target.secrets, message_id, now, body),
        }
        http = self._clients[target.name]
        try:
            answer = await ask(
                http, "POST", target.url, headers, body, _MAX_BODY, self._timeout, self._clock
            )
        except CancelledError:
            raise
        except Exception as error:
            return Outcome(Verdict.AWAY, self._describe(error))
        return _judge(answer, now)

    async def close(self) -> None:
        """Close the connections that are kept."""
        for pool in self._pools:
            await pool.closeCachedConnections()

    def _describe(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no whole answer within {self._timeout} seconds"
        if isinstance(error, AddressRefused):
            return str(error)
        reasons: Any = getattr(error, "reasons", None)
        if reasons:
            # Twisted's, of a connection that was lost with a request on it.
            error = reasons[0].value
        if isinstance(error, TLSError):
            return f"TLS failed: {error.args[0][0][-1] if error.args else 'it was cut'}"
        if isinstance(error, VerificationError):
            return "the certificate is not one of this host"
        if isinstance(error, ConnectError):
            return str(error)
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return f"the connection failed ({type(error).__name__})"


def _judge(answer: Answer, now: float) -> Outcome:
    status = answer.status
    words = f"status {status}"
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED, words)
    if status == 410:
        return Outcome(Verdict.GONE, words)
    if status in _BUSY:
        return Outcome(Verdict.AWAY, words, _pause(answer.headers.get("retry-after", ""), now))
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
