"""Requests to a server that is mirrored: within limits, and redirected without secrets.

Whatever the server answers costs bounded memory and time.  What authorises a request goes to
the host that it is meant for, and to no other: neither by a redirect nor by one back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import CancelledError

from giftless import __version__
from giftless.base import http_client
from giftless.base.dialling import AddressRefused
from giftless.base.http_client import Answer
from giftless.base.server_words import shown
from giftless.base.urls import DEFAULT_PORTS
from giftless.interfaces import IBody
from giftless.storage.mirror.dialling import Connection
from giftless.storage.mirror.errors import UpstreamUnavailable, UpstreamUnusable
from giftless.storage.mirror.outage import Outage
from giftless.storage.mirror.rewinding import KEPT, RewindableBody
from giftless.storage.remote.client import FAILURES, Request, StoreError, describe_failure
from giftless.storage.remote.streaming import Download, download, upload

#: How much of an answer is read, in bytes: several times what a batch of a hundred objects has.
MAX_ANSWER: Final = 2 * 1024 * 1024

#: How often a request may be redirected.
_REDIRECTS: Final = 5
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})

#: What clients are told to wait, in seconds, where nobody knows how long it takes.
RETRY_AFTER: Final = 10

#: Headers of actions that are not the server's to choose: they frame the request.
_FRAMING: Final = frozenset(
    {
        *("host", "content-length", "connection", "transfer-encoding", "te", "trailer"),
        *("upgrade", "expect", "keep-alive", "range", "accept-encoding", "user-agent"),
    }
)

#: Lets a server answer before it is sent a large body (RFC 9110, section 10.1.1).
_ASKS_FIRST: Final = {"Expect": "100-continue"}

USER_AGENT: Final = f"giftless/{__version__}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is to be sent.

    :ivar url: where; an absolute http(s) URL.
    :ivar plain: headers that every host may see.
    :ivar secret: those that only the host of ``url`` may see.
    :ivar body: of a request with a small one; ``None`` for none.
    """

    method: str
    url: str = field(repr=False)
    plain: Mapping[str, str]
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers; what the server has chosen never frames the request."""
        given = {k: v for k, v in self.secret.items() if k.lower() not in _FRAMING}
        names = {name.lower() for name in given}
        own = {k: v for k, v in self.plain.items() if k.lower() not in names}
        return {"user-agent": USER_AGENT, **own, **given}


class Asker:
    """Sends requests to one server and to where it leads.

    :param name: what the server is called in messages: its URL.
    :param connection: sends them.
    :param timeout: how long a small answer, and a silence of a large one, may last, in
        seconds.
    """

    def __init__(self, name: str, connection: Connection, timeout: float) -> None:
        self.name = name
        self._connection = connection
        self._timeout = timeout
        self._outage = Outage(connection.clock)

    async def ask_server(self, outgoing: Outgoing) -> Answer:
        """Ask the server itself: at once in vain while it is silent.

        See :meth:`ask`.
        """
        return await self._outage.ask(lambda: self.ask(outgoing))

    async def ask(self, outgoing: Outgoing, limit: int = MAX_ANSWER) -> Answer:
        """Send a request without or with a small body.

        :param limit: how many bytes of the answer are read.
        :raises UpstreamUnavailable: if there is no answer.
        :raises UpstreamUnusable: if it leads to where it must not.
        """

        async def attempt(request: Outgoing) -> Answer:
            return await http_client.ask(
                self._connection.http,
                request.method,
                request.url,
                {"accept-encoding": "identity", **request.headers},
                request.body,
                limit,
                self._timeout,
                self._connection.clock,
            )

        return await self._follow(outgoing, attempt)

    async def fetch(self, outgoing: Outgoing) -> tuple[Answer, Download]:
        """Begin a download; see :meth:`ask`.

        :returns: the answer without its body, whatever its status, and the body; close it.
        """
        opened: list[Download] = []

        async def attempt(request: Outgoing) -> Answer:
            for body in opened:
                body.close()
            answer, body = await download(self._connection.client, _plain(request))
            opened[:] = [body]
            return answer

        try:
            return await self._follow(outgoing, attempt), opened[0]
        except BaseException:
            for body in opened:
                body.close()
            raise

    async def send(self, outgoing: Outgoing, size: int, body: IBody) -> Answer:
        """Send a large body; see :meth:`ask`.

        A small one is kept, to be sent again where the server redirects it.  Of a larger one,
        the server is asked first whether it wants it: then it can redirect nothing but the
        request.

        :param size: its length in bytes.
        :param body: read once; its last bytes are sent when it has ended well.
        :raises UpstreamUnusable: also if the server redirects what it has taken already.
        :raises LFSError: what reading the body raises.
        """
        if not size:
            while await body.read():
                pass
            return await self.ask(replace(outgoing, body=b""))
        if size > KEPT:
            outgoing = replace(outgoing, plain={**outgoing.plain, **_ASKS_FIRST})
        sent = RewindableBody(body)

        async def attempt(request: Outgoing) -> Answer:
            if not sent.rewind():
                raise UpstreamUnusable(
                    f"{self.name} redirects an upload after it has taken its bytes", RETRY_AFTER
                )
            return await upload(self._connection.client, _plain(request), size, sent)

        return await self._follow(outgoing, attempt)

    async def _follow(
        self, outgoing: Outgoing, attempt: Callable[[Outgoing], Awaitable[Answer]]
    ) -> Answer:
        check_url(self.name, outgoing.url)
        request = outgoing
        for _ in range(_REDIRECTS + 1):
            current = request
            answer = await self._reached(lambda: attempt(current))  # noqa: B023  # run at once
            if answer.status not in _REDIRECTING or "location" not in answer.headers:
                return answer
            request = redirected(self.name, request, answer.headers["location"])
        raise UpstreamUnusable(f"{self.name} redirects more than {_REDIRECTS} times", RETRY_AFTER)

    async def _reached(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            await self._connection.begin()
            return await attempt()
        except CancelledError:
            raise
        except AddressRefused as error:
            raise UpstreamUnusable(f"{self.name}: {error}", RETRY_AFTER) from None
        except StoreError as error:
            problem = error.problem.replace("the store", "it")
            raise UpstreamUnavailable(
                f"{self.name} cannot be asked now: {problem}", RETRY_AFTER
            ) from None
        except FAILURES as error:
            problem = describe_failure(error)
            raise UpstreamUnavailable(
                f"{self.name} cannot be asked now: {problem}", RETRY_AFTER
            ) from None
        except ValueError:
            # Of names and addresses that look like some, and are none.
            raise UpstreamUnusable(f"{self.name} leads to no host", RETRY_AFTER) from None


def check_url(name: str, url: str) -> None:
    """Insist on a URL that a request can be sent to, and that holds no user.

    :param name: who has chosen it, for the error.
    :raises UpstreamUnusable: if it is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in DEFAULT_PORTS and parts.hostname and parts.port != 0
        good = good and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise UpstreamUnusable(
            f"{name} leads to {shown(url)!r}, which is no plain http(s) URL", RETRY_AFTER
        )


def redirected(name: str, request: Outgoing, location: str) -> Outgoing:
    """Return what is sent to where a request is redirected.

    :raises UpstreamUnusable: if it must not be sent there.
    """
    try:
        url = urljoin(request.url, location).partition("#")[0]
    except ValueError:
        url = ""
    check_url(name, url)
    if request.url.startswith("https:") and not url.startswith("https:"):
        raise UpstreamUnusable(f"{name} redirects from https to http", RETRY_AFTER)
    secret = request.secret if same_origin(url, request.url) else {}
    return replace(request, url=url, secret=secret)


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs lead to one server by one scheme; of what is no URL, never."""
    try:
        return _origin(one) == _origin(other)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _plain(request: Outgoing) -> Request:
    return Request(request.method, request.url, request.headers)
