"""Send requests to a store: with retries, a total time-out, and a bound on their number.

Connection errors and answers that stand for "not now" are tried again with
jittered exponential backoff (full jitter: a random part of a delay that
doubles).  Each attempt is signed anew.  A request without an answer when the time
is over ends in a :class:`StoreError`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed

from giftless.base import http_client
from giftless.base.http_client import Answer

#: The first delay before another attempt lies between 0 and this, in seconds.
FIRST_DELAY: Final = 0.2

#: No delay is longer, in seconds.
MAX_DELAY: Final = 5.0

#: An attempt may take this part of the total time, so that one connection
#: that hangs does not spend all of it.
ATTEMPT_SHARE: Final = 0.4

#: How long a store may do nothing in the middle of an object, in seconds.
STALL_TIMEOUT: Final = 60.0

#: The statuses that stand for "not now".
TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})

#: How much of an answer's body is read, in bytes: more than any error has.
MAX_ANSWER: Final = 1024 * 1024

#: What Twisted's HTTP client raises when a server cannot be talked to.
FAILURES: Final = (
    ConnectError,
    ConnectionClosed,
    OSError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    SSL.Error,
    TimeoutError,
)


class StoreError(Exception):
    """A store did not do what it was asked.

    :param problem: what happened, for the operator's log; never shown to
        clients, and never with a credential or a signature in it.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to a store, with everything that authorises it.

    :ivar url: percent-encoded, exactly as it was signed.
    :ivar body: the bytes to send; ``None`` for no body.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        """Leave out what authorises it."""
        return f"<Request {self.method} {self.url.partition('?')[0]}>"


#: Makes a request, signed for now; called for each attempt.
Prepare = Callable[[], Awaitable[Request]]


class StoreClient:
    """Sends requests to one store.

    :param http: what sends them, over kept connections.
    :param clock: tells the time.
    :param timeout: how many seconds a question may take in all: its wait for
        a free place, every attempt, and the delays between them.
    :param concurrency: how many questions are asked at once.
    :param jitter: returns random numbers from 0 to 1.
    :ivar stall_timeout: how many seconds the store may do nothing while an
        object's bytes are on their way.
    :ivar downloads: how many objects' bytes are on their way here.
    """

    def __init__(
        self,
        http: HTTPClient,
        clock: IReactorTime,
        timeout: float,
        concurrency: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.http = http
        self.clock = clock
        self.timeout = timeout
        self.stall_timeout = STALL_TIMEOUT
        self.downloads = 0
        self._places = DeferredSemaphore(concurrency)
        self._jitter = jitter

    async def ask(
        self, prepare: Prepare, timeout: float | None = None, limit: int = MAX_ANSWER
    ) -> Answer:
        """Ask until there is an answer.

        Only for requests that may be repeated.

        :param prepare: makes the request; what it raises ends the question.
        :param timeout: seconds for this question, if not as for others.
        :param limit: how much of the answer's body is read, in bytes.
        :returns: an answer that is not one of :data:`TRANSIENT`.
        :raises StoreError: if there is none in time.
        """
        seconds = self.timeout if timeout is None else timeout
        problems: list[str] = []

        def late(result: object, timeout: float) -> NoReturn:
            before = f"; before that, {problems[-1]}" if problems else ""
            raise StoreError(f"no answer within {timeout:g} seconds{before}")

        asked = Deferred.fromCoroutine(self._ask(prepare, seconds, limit, problems))
        return await asked.addTimeout(seconds, self.clock, late)

    async def _ask(
        self, prepare: Prepare, timeout: float, limit: int, problems: list[str]
    ) -> Answer:
        deadline = self.clock.seconds() + timeout
        delay = FIRST_DELAY
        while True:
            await self._places.acquire()
            try:
                found = await self._attempt(prepare, timeout * ATTEMPT_SHARE, limit)
            finally:
                self._places.release()
            if isinstance(found, Answer):
                if found.status not in TRANSIENT:
                    return found
                problem = f"the store answers with status {found.status}"
            else:
                problem = found
            pause = max(delay * self._jitter(), _wanted_delay(found))
            if self.clock.seconds() + pause >= deadline:
                raise StoreError(problem)
            problems.append(problem)
            await deferLater(self.clock, pause)
            delay = min(2 * delay, MAX_DELAY)

    async def _attempt(self, prepare: Prepare, timeout: float, limit: int) -> Answer | str:
        """Ask once.

        :returns: the answer, or in words why there is none.
        """
        request = await prepare()
        try:
            return await http_client.ask(
                self.http,
                request.method,
                request.url,
                {"accept-encoding": "identity", **request.headers},
                request.body,
                limit,
                timeout,
                self.clock,
            )
        except FAILURES as error:
            return describe_failure(error)


def _wanted_delay(found: Answer | str) -> float:
    """Return the seconds of an answer's ``Retry-After``; 0 if it has none."""
    wanted = found.headers.get("retry-after", "") if isinstance(found, Answer) else ""
    return float(wanted) if wanted.isascii() and wanted.isdecimal() else 0.0


def describe_failure(error: BaseException | None) -> str:
    """Say in words why a request got no answer.

    :param error: one of :data:`FAILURES`.
    """
    if isinstance(error, TimeoutError):
        return f"no answer within {error.args[0]:g} seconds" if error.args else "no answer in time"
    # Failures of a connection come wrapped in what they were doing.
    reasons = getattr(error, "reasons", None)
    while reasons and isinstance(reasons[0], Failure):
        error = reasons[0].value
        reasons = getattr(error, "reasons", None)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
