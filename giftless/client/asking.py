"""Requests to a server as git-lfs sends them: redirected, repeated, and within limits.

Whatever a server answers costs bounded memory and time.  A credential never goes to
another host than the one that it was meant for.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless import __version__
from giftless.base import http_client
from giftless.base.dialling import AddressRefused
from giftless.base.http_client import Answer
from giftless.base.retry_after import retry_after
from giftless.base.server_words import explain, shown
from giftless.base.urls import DEFAULT_PORTS
from giftless.client.errors import ServerError
from giftless.interfaces import IBody
from giftless.storage.remote.client import (
    FAILURES,
    Request,
    StoreClient,
    StoreError,
    describe_failure,
)
from giftless.storage.remote.streaming import Download, download, upload

T = TypeVar("T")

#: How long an answer may take, in seconds.
TIMEOUT: Final = 60.0

#: How much of an answer is read, in bytes: ten times what a batch of a hundred objects has.
#: What JSON becomes takes up to twenty times as much memory.
MAX_ANSWER: Final = 4 * 1024 * 1024

#: How often a request is sent before it is given up.
ATTEMPTS: Final = 5

#: The first pause between two attempts and the longest one of our own choice, in seconds.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 20.0

#: The longest pause that a server may ask for, and all pauses of one request that it asks
#: for together, in seconds.
PATIENCE: Final = 900.0
ALL_PATIENCE: Final = 3600.0

#: How often a request may be redirected.
_REDIRECTS: Final = 5
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})

#: The statuses that another attempt may mend.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})

#: What another host must not see when it is redirected to.
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization", "giftless-action"})

USER_AGENT: Final = f"giftless/{__version__}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is to be sent.

    :ivar headers: by name; nothing of them is shown.
    :ivar body: the bytes of a small one; ``None`` for none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"<Outgoing {self.name}>"

    @property
    def name(self) -> str:
        """What it is called in messages: without a query, which may hold a signature."""
        return f"{self.method} {shown(self.url)}"


class Asker:
    """Sends requests, again if need be.

    :param http: what sends them.
    :param clock: waits.
    :param attempts: how often one is sent that gets no answer, or one that may pass.
    :param timeout: how long an answer, and a silence in the middle of a body, may take, in
        seconds.
    :param wall_clock: tells the time of day.
    :param jitter: returns random numbers from 0 to 1.
    """

    def __init__(
        self,
        http: HTTPClient,
        clock: IReactorTime,
        attempts: int = ATTEMPTS,
        timeout: float = TIMEOUT,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = StoreClient(http, clock, timeout, 1)
        self._client.stall_timeout = timeout
        self._clock = clock
        self._attempts = attempts
        self._wall_clock = wall_clock
        self._jitter = jitter
        #: Until when a server wants to be left alone, in seconds of the clock, by origin.
        self._quiet: dict[tuple[str, str | None, int | None], float] = {}

    async def ask(self, outgoing: Outgoing, limit: int = MAX_ANSWER) -> Answer:
        """Send a request without or with a small body.

        :param limit: how many bytes of the answer are read.
        :returns: an answer that another attempt would not change.
        :raises ServerError: if there is none.
        """

        async def attempt(request: Outgoing) -> Answer:
            return await http_client.ask(
                self._client.http,
                request.method,
                request.url,
                {"accept-encoding": "identity", "user-agent": USER_AGENT, **request.headers},
                request.body,
                limit,
                self._client.stall_timeout,
                self._clock,
            )

        return await self._patiently(outgoing, lambda: self._follow(outgoing, attempt))

    async def fetch(self, outgoing: Outgoing) -> tuple[Answer, Download]:
        """Begin a download.

        :returns: an answer that says that all is well, and the body; close it.
        :raises ServerError: if there is none; :exc:`StoreError` comes out of the body.
        """
        opened: list[Download] = []

        async def attempt(request: Outgoing) -> Answer:
            answer, body = await download(self._client, _plain(request))
            if 200 <= answer.status < 300:
                opened.append(body)
                return answer
            words = b""
            try:
                while (chunks := await body.read()) and len(words) < 65536:
                    words += b"".join(chunks)
            except StoreError:
                pass  # the beginning of an error will do
            finally:
                body.close()
            return replace(answer, body=words)

        answer = await self._patiently(outgoing, lambda: self._follow(outgoing, attempt))
        if not opened:
            raise self.refusal(outgoing, answer)
        return answer, opened[-1]

    async def send(self, outgoing: Outgoing, body: Callable[[], IBody], size: int) -> Answer:
        """Send a large body.

        :param body: opens it; called for each attempt.
        :param size: its length in bytes.
        :returns: an answer that another attempt would not change.
        :raises ServerError: if there is none.
        :raises Exception: what reading the body raises.
        """

        async def attempt(request: Outgoing) -> Answer:
            if not size:
                request = replace(request, body=b"")
                return await http_client.ask(
                    self._client.http,
                    request.method,
                    request.url,
                    {"user-agent": USER_AGENT, **request.headers},
                    b"",
                    MAX_ANSWER,
                    self._client.stall_timeout,
                    self._clock,
                )
            return await upload(self._client, _plain(request), size, body())

        return await self._patiently(outgoing, lambda: self._follow(outgoing, attempt))

    def refusal(self, outgoing: Outgoing, answer: Answer) -> ServerError:
        """Make the error for an answer that is none of the wanted ones."""
        words = explain(answer.body)
        after = retry_after(answer.headers.get("retry-after"), self._wall_clock())
        return ServerError(
            f"{outgoing.name}: {answer.status}{f' {words}' if words else ''}", answer.status, after
        )

    async def _follow(
        self, outgoing: Outgoing, attempt: Callable[[Outgoing], Awaitable[Answer]]
    ) -> Answer:
        """Send a request, and again where the answer says so (as git-lfs: same method)."""
        request = _logged_in(outgoing)
        for _ in range(_REDIRECTS + 1):
            answer = await attempt(request)
            if answer.status not in _REDIRECTING or "location" not in answer.headers:
                return answer
            request = redirected(request, answer.headers["location"])
        raise ServerError(f"{outgoing.name}: it is redirected more than {_REDIRECTS} times")

    async def _patiently(
        self, outgoing: Outgoing, attempt: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        check_url(outgoing.url)
        waited, failures = 0.0, 0
        while True:
            await self._be_quiet(outgoing.url)
            answer: Answer | None = None
            after: float | None = None
            try:
                answer = await attempt()
                if answer.status not in _PASSING:
                    return answer
                problem = self.refusal(outgoing, answer)
                after = problem.after
            except StoreError as error:
                problem = ServerError(f"{outgoing.name}: {said(error.problem)}")
            except AddressRefused as error:
                raise ServerError(f"{outgoing.name}: {error}") from None
            except ValueError:
                # Of names and addresses that look like some, and are none.
                raise ServerError(f"{outgoing.name}: its host is no name or address") from None
            except FAILURES as error:
                words = describe_failure(error)
                problem = ServerError(f"{outgoing.name}: {_distrust(words) or words}")
                if _distrust(words):
                    raise problem from None
            if after is not None and waited + after <= ALL_PATIENCE and after <= PATIENCE:
                if self._attempts == 1:
                    raise problem
                waited += max(after, 1.0)
                self._hush(outgoing.url, after)
                continue
            failures += 1
            if after is not None or failures >= self._attempts:
                raise problem
            longest = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
            await deferLater(self._clock, longest * (0.5 + self._jitter() / 2))

    async def _be_quiet(self, url: str) -> None:
        """Wait as long as a server wants to be left alone."""
        while (until := self._quiet.get(_origin(url), 0.0)) > (now := self._clock.seconds()):
            await deferLater(self._clock, until - now)

    def _hush(self, url: str, seconds: float) -> None:
        until = self._clock.seconds() + seconds * (1 + self._jitter() / 10)
        self._quiet[_origin(url)] = max(until, self._quiet.get(_origin(url), 0.0))


def check_url(url: str) -> None:
    """Insist on a URL that a request can be sent to.

    :raises ServerError: if it is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in DEFAULT_PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise ServerError(f"{shown(url)!r} is no http:// or https:// URL")


def said(problem: str) -> str:
    """Say of a server what is said of a store."""
    return problem.replace("the store", "the server")


def _distrust(words: str) -> str:
    """Say why a server is not trusted; empty if a failure has another reason.

    :param words: as :func:`describe_failure` says it.
    """
    if words.startswith("VerificationError"):
        return "the server's certificate is for another host"
    if "certificate verify failed" in words:
        return "certificate verify failed; see http.sslCAInfo in git-config(1)"
    return ""


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs lead to one server by one scheme."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def redirected(request: Outgoing, location: str) -> Outgoing:
    """Return what is sent to where a request is redirected: never a credential to others.

    :raises ServerError: if it must not be sent there.
    """
    try:
        url = without_user(urljoin(request.url, location).partition("#")[0])
    except ValueError:
        url = ""
    check_url(url)
    if urlsplit(request.url).scheme == "https" and urlsplit(url).scheme != "https":
        raise ServerError(f"{request.name}: it is redirected from https to {shown(url)}")
    headers = request.headers
    if not same_origin(request.url, url):
        headers = {k: v for k, v in headers.items() if k.lower() not in _SECRET}
    return replace(request, url=url, headers=headers)


def _logged_in(outgoing: Outgoing) -> Outgoing:
    """Let a user and a password in the URL become a header."""
    parts = urlsplit(outgoing.url)
    if parts.username is None:
        return outgoing
    headers = dict(outgoing.headers)
    if "authorization" not in {name.lower() for name in headers}:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return replace(outgoing, url=without_user(outgoing.url), headers=headers)


def without_user(url: str) -> str:
    """Leave the user and the password out of a URL."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _plain(request: Outgoing) -> Request:
    headers = {"user-agent": USER_AGENT, **request.headers}
    return Request(request.method, request.url, headers)
