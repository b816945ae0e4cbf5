"""What all checks share: the clone, the server as it was found, and how requests are sent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IBodyProducer

from giftless.base import http_client
from giftless.base.http_client import Answer
from giftless.client.asking import (
    USER_AGENT,
    Outgoing,
    check_url,
    redirected,
    same_origin,
    without_user,
)
from giftless.client.clone import Clone
from giftless.client.credentials import Credential, Credentials
from giftless.client.endpoints import Endpoint, authenticate
from giftless.client.errors import ServerError
from giftless.commands.doctor.failures import unreachable
from giftless.errors import LFSError
from giftless.interfaces import IBlocking, WallClock
from giftless.lfs.batch import HASH_ALGORITHM, MEDIA_TYPE
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered, GivenAction, Replied, parse_reply
from giftless.storage.remote.client import FAILURES

#: How long an answer may take, in seconds: git-lfs gives up after as long.
TIMEOUT: Final = 30.0

#: How long a megabyte or two may take on a slow line, in seconds.
TRANSFER_TIMEOUT: Final = 300.0

#: How much of an answer is read, in bytes.
LIMIT: Final = 16 * 1024 * 1024

#: How often a request may be redirected.
_REDIRECTS: Final = 5
REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})

#: A header of an action that only giftless makes.
GIFTLESS_ACTION: Final = "giftless-action"

_JSON: Final = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}

#: Headers of actions that the HTTP client sets itself.
_FRAMING: Final = frozenset({"host", "content-length", "connection", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class ClockSample:
    """What a server's clock showed.

    :ivar host: the server's name.
    :ivar ahead: by how many seconds this machine's clock is certainly ahead of that one;
        negative if it is behind.
    """

    host: str
    ahead: float


class Session:
    """A clone and its server.

    :param clone: where the command was started.
    :param remote: the remote that is asked about; ``None``: the one that git-lfs would use.
    :param http: sends requests as git would.
    :param credentials: says who the user is.
    :param blocking: runs git and SSH.
    :param clock: tells when an answer takes too long.
    :param ask: whether git and SSH may ask the user at the terminal.
    :param read_only: whether nothing may be sent to be stored.
    :ivar credential: the one that the server has taken; ``None`` as long as it wants none.
    :ivar writable: whether an upload batch was answered; ``None`` before it was asked for.
    :ivar giftless: whether the server is a giftless, as far as that is known.
    :ivar direct: whether the server itself has answered, and no proxy in its name.
    :ivar samples: what the clocks of servers showed.
    :ivar present: an object of the clone that the server has, with its download action.
    :ivar largest: the largest object of the clone that the server has, as oid and size.
    """

    def __init__(
        self,
        clone: Clone,
        remote: str | None,
        http: HTTPClient,
        credentials: Credentials,
        blocking: IBlocking,
        clock: IReactorTime,
        ask: bool = False,
        read_only: bool = False,
        wall_clock: WallClock = time.time,
    ) -> None:
        self.clone = clone
        self.remote = remote
        self.credentials = credentials
        self.blocking = blocking
        self.read_only = read_only
        self.wall_clock = wall_clock
        self.credential: Credential | None = None
        self.writable: bool | None = None
        self.giftless = False
        self.direct = False
        self.samples: list[ClockSample] = []
        self.present: Answered | None = None
        self.largest: tuple[str, int] | None = None
        self._http = http
        self._clock = clock
        self._ask = ask
        self._endpoints: dict[Operation, Endpoint] = {}
        self._bases: dict[Operation, tuple[str, Mapping[str, str]]] = {}

    # -- where the server is

    async def endpoint(self, operation: Operation) -> Endpoint:
        """Return the server that git-lfs would use.

        :raises ServerError: if there is none.
        """
        if operation not in self._endpoints:
            self._endpoints[operation] = await self.blocking.run(
                self.clone.endpoint, operation.value, self.remote
            )
        return self._endpoints[operation]

    async def base(self, operation: Operation) -> tuple[str, Mapping[str, str]]:
        """Return the URL of the API without a user, and the headers that SSH has told.

        :raises ServerError: if it cannot be told.
        """
        if operation not in self._bases:
            endpoint = await self.endpoint(operation)
            url = endpoint.url
            headers: Mapping[str, str] = {}
            if endpoint.ssh is not None:
                told, headers = await self.blocking.run(
                    authenticate, endpoint.ssh, operation.value, self._ask, str(self.clone.path)
                )
                url = told or url
            self._bases[operation] = without_user(url), headers
        return self._bases[operation]

    def move(self, operation: Operation, url: str) -> None:
        """Use another URL of the API from now on: where requests are redirected to."""
        self._bases[operation] = url, self._bases[operation][1]

    # -- requests

    async def send(
        self,
        outgoing: Outgoing,
        body: IBodyProducer | None = None,
        limit: int = LIMIT,
        timeout: float = TIMEOUT,
    ) -> Answer:
        """Send one request, once, and follow no redirection.

        :param body: its body, if it is not the request's own.
        :param timeout: how long all of it may take, in seconds.
        :raises ServerError: if there is no answer.
        """
        check_url(outgoing.url)
        headers = {"accept-encoding": "identity", "user-agent": USER_AGENT, **outgoing.headers}
        content: Any = outgoing.body if body is None else body
        began = self.wall_clock()
        try:
            answer = await http_client.ask(
                self._http,
                outgoing.method,
                outgoing.url,
                headers,
                content,
                limit,
                timeout,
                self._clock,
            )
        except FAILURES as error:
            raise unreachable(error) from None
        self._look_at_clock(outgoing.url, answer, began)
        return answer

    async def follow(
        self, outgoing: Outgoing, limit: int = LIMIT, timeout: float = TIMEOUT
    ) -> Answer:
        """Send a request, and again where it is redirected to, as git-lfs does.

        :param timeout: how long each attempt may take, in seconds.
        :raises ServerError: if there is no answer, or no end.
        """
        for _ in range(_REDIRECTS + 1):
            answer = await self.send(outgoing, limit=limit, timeout=timeout)
            if answer.status not in REDIRECTING or "location" not in answer.headers:
                return answer
            outgoing = redirected(outgoing, answer.headers["location"])
        raise ServerError(f"it is redirected more than {_REDIRECTS} times")

    async def request(
        self,
        operation: Operation,
        method: str,
        path: str,
        content: object = None,
        credential: Credential | None = None,
    ) -> Outgoing:
        """Make a request to the API.

        :param path: below the base URL.
        :param content: becomes JSON.
        :param credential: goes with it, unless git's own headers have one.
        :raises ServerError: if SSH does not tell where the API is.
        """
        base, told = await self.base(operation)
        url = f"{base}{path}"
        headers = {**_JSON, **await self.credentials.headers(url), **told}
        names = {name.lower() for name in headers}
        if credential is not None and "authorization" not in names:
            headers["Authorization"] = credential.authorization
        body = None if content is None else msgspec.json.encode(content)
        return Outgoing(method, url, headers, body)

    async def call(
        self, operation: Operation, method: str, path: str, content: object = None
    ) -> Answer:
        """Send a request to the API with the credential that the server has taken.

        :raises ServerError: if there is no answer.
        """
        outgoing = await self.request(operation, method, path, content, self.credential)
        return await self.follow(outgoing)

    async def batch(
        self,
        operation: Operation,
        wanted: Mapping[str, int],
        transfers: Sequence[str] = ("basic",),
    ) -> Replied:
        """Send a batch request.

        :param wanted: oids and sizes in bytes; as many as a server takes at once.
        :raises ServerError: if there is no reply, or none that makes sense.
        """
        answer = await self.call(
            operation, "POST", "/objects/batch", await self.batch_of(operation, wanted, transfers)
        )
        if answer.status != 200:
            raise ServerError(f"the batch is answered with {told(answer)}", answer.status)
        return self.reply(answer, wanted)

    async def batch_of(
        self,
        operation: Operation,
        wanted: Mapping[str, int],
        transfers: Sequence[str] = ("basic",),
    ) -> Mapping[str, Any]:
        """Make the content of a batch request."""
        content: dict[str, Any] = {
            "operation": operation.value,
            "transfers": list(transfers),
            "objects": [{"oid": oid, "size": size} for oid, size in wanted.items()],
            "hash_algo": HASH_ALGORITHM,
        }
        if branch := await self.blocking.run(self.clone.branch):
            content["ref"] = {"name": branch}
        return content

    def reply(self, answer: Answer, wanted: Mapping[str, int]) -> Replied:
        """Read the reply to a batch request.

        :raises ServerError: if it makes no sense.
        """
        try:
            reply = parse_reply(answer.body, wanted, self.wall_clock())
        except LFSError as error:
            raise ServerError(error.message, answer.status) from None
        for answered in reply.objects:
            for action in answered.actions.values():
                self.giftless |= is_giftless(action)
        return reply

    async def action(
        self, answered: Answered, name: str, method: str, headers: Mapping[str, str]
    ) -> Outgoing:
        """Make the request of an action, with the credential where git-lfs sends it.

        :param headers: more of them, where the server says nothing else.
        """
        action = answered.actions[name]
        given = {key.lower() for key in action.header}
        own = {key: value for key, value in headers.items() if key.lower() not in given}
        if not answered.authenticated and "authorization" not in given:
            extra = await self.credentials.headers(action.href)
            own |= {key: value for key, value in extra.items() if key.lower() not in given}
            logs_in = "authorization" not in {key.lower() for key in own}
            endpoint = await self.endpoint(
                Operation.DOWNLOAD if method == "GET" else Operation.UPLOAD
            )
            if self.credential and logs_in and same_origin(action.href, endpoint.url):
                own["Authorization"] = self.credential.authorization
        kept = {k: v for k, v in action.header.items() if k.lower() not in _FRAMING}
        return Outgoing(method, action.href.partition("#")[0], {**own, **kept})

    def _look_at_clock(self, url: str, answer: Answer, began: float) -> None:
        """Compare the date of an answer, which has whole seconds, with this machine's time."""
        try:
            date = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except (ValueError, OverflowError):
            return
        # The answer was made at some time between, so only what is beyond is a difference.
        ended = self.wall_clock()
        ahead = max(0.0, began - date - 1) or min(0.0, ended - date)
        self.samples.append(ClockSample(urlsplit(url).hostname or "", ahead))


def is_giftless(action: GivenAction) -> bool:
    """Whether a giftless has made an action, for a request to itself."""
    return any(name.lower() == GIFTLESS_ACTION for name in action.header)


def words_of(answer: Answer) -> str | None:
    """Return the ``message`` of an LFS server's error; ``None`` if it is none of one."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = found.get("message") if isinstance(found, dict) else None
    return " ".join(message.split())[:300] if isinstance(message, str) else None


def told(answer: Answer) -> str:
    """Say what a server has answered."""
    words = words_of(answer)
    if words:
        return f"{answer.status}: {words}"
    server = answer.headers.get("server", "")[:60]
    return f"{answer.status}{f' from {server}' if server else ''}"
