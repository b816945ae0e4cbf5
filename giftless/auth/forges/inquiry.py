"""Ask a forge what a token may do with a repository.

Each forge reads its answers in its own module.  This one sends the requests and
turns the failures that all forges have in common into errors for the client.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless import __version__
from giftless.auth.forges.repositories import parse_name, redirection
from giftless.base import http_client
from giftless.base.http_client import Answer
from giftless.errors import (
    Forbidden,
    ForgeLimit,
    IdentityUnavailable,
    Unauthorized,
    UnfitCredential,
)
from giftless.interfaces import WallClock
from giftless.lfs.objects import Repo

S = TypeVar("S", bound=msgspec.Struct)

#: How git begins a download and a push over HTTP.
Service = Literal["git-upload-pack", "git-receive-pack"]

#: A user's name, as forges give it.
Name = Annotated[str, msgspec.Meta(min_length=1)]

#: What clients are told to wait while the forge does not answer, in seconds.
_RETRY_AFTER: Final = 30

#: The same if the forge wants to be asked less often and gives no time, in seconds.
_PATIENCE: Final = 60

#: The longest wait that a forge can ask for, in seconds.
_MAX_PATIENCE: Final = 3600

#: The most that is read of an answer, in bytes; descriptions of repositories are shorter.
_MAX_BODY: Final = 1024 * 1024

#: How GitLab says that a token was good once; other forges do not tell.
_WAS_GENUINE: Final = (b"Token is expired", b"Token was revoked")

#: How many redirections lead to a repository at most: its owner may have been renamed too.
_MAX_HOPS: Final = 4

#: The statuses of answers about a repository that was renamed.
_MOVED: Final = (301, 302, 303, 307, 308)


class Inquiry:
    """Asks a forge about one token and one repository.

    :param forge: what the forge is called in messages.
    :param user: the user that came with the token; nobody has verified it.
    :param token: the token.
    :param repo: the repository.
    :param http: asks.
    :param timeout: how many seconds the forge has for each answer.
    :param clock: tells when to give up waiting.
    :param wall_clock: is compared with the forge's dates.
    """

    log = Logger()

    def __init__(
        self,
        forge: str,
        user: str,
        token: str,
        repo: Repo,
        http: HTTPClient,
        timeout: float,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._forge = forge
        self.user = user
        self.token = token
        self.repo = repo
        self._http = http
        self._answers: dict[str, Answer] = {}
        self._timeout = timeout
        self._clock = clock
        self._wall_clock = wall_clock

    def __repr__(self) -> str:
        return f"<Inquiry about {self.repo}>"

    async def ask(
        self, url: str, headers: Mapping[str, str], tolerate: Sequence[int] = ()
    ) -> Answer:
        """Ask the forge's API.

        :param headers: with the token, in the form that the forge wants.
        :param tolerate: statuses that are answers here and not errors.
        :returns: an answer of status 200, of 4xx, or a tolerated one; the first one, if
            the URL is asked for again.
        :raises Unauthorized: if the forge does not know the token.
        :raises ForgeLimit: if the forge wants to be asked later.
        :raises IdentityUnavailable: if it gives no answer that makes sense.
        :raises Forbidden: if the answer is elsewhere.
        """
        if url not in self._answers:
            headers = {"Accept": "application/json", **headers}
            self._answers[url] = await self._get(url, headers, _MAX_BODY, tolerate)
        return self._answers[url]

    async def ask_for_repository(self, root: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask the forge's API about a repository, which may have another name by now.

        Redirections are followed that stay inside the API: no other host is shown the
        token.

        :param root: the root of the API.
        :raises LFSError: see :meth:`ask`.
        """
        for _ in range(_MAX_HOPS):
            answer = await self.ask(url, headers, _MOVED)
            if answer.status not in _MOVED:
                return answer
            target = redirection(root, url, answer.headers.get("location"))
            if target is None:
                break
            url = target
        raise Forbidden(
            f"{self._forge} has moved {self.repo}; use its present name in the remote's URL"
        )

    def name(self, path: str | None) -> Repo:
        """Return what the forge calls the repository.

        :param path: what an answer calls it; ``None`` if it does not say, so that it
            stays what it was asked for as.
        :raises IdentityUnavailable: if nothing can be called so.
        """
        if path is None:
            return self.repo
        repo = parse_name(path)
        if repo is None:
            self.log.warn("{forge} calls a repository {path!r}", forge=self._forge, path=path)
            raise self._unavailable("does not make sense")
        return repo

    async def git_allows(self, url: str, service: Service, user: str) -> bool | None:
        """Ask what git itself would ask before a download or a push.

        :param url: the repository's URL for git.
        :param user: the user to send with the token.
        :returns: whether the forge lets the token do that; ``None`` if there
            is no such repository, as far as the token can see.
        :raises LFSError: see :meth:`ask`.
        """
        basic = base64.b64encode(f"{user}:{self.token}".encode()).decode()
        answer = await self._get(
            f"{url}/info/refs?service={service}",
            {"Authorization": f"Basic {basic}"},
            0,
            (HTTPStatus.UNAUTHORIZED, *_MOVED),
        )
        if answer.status in (HTTPStatus.NOT_FOUND, *_MOVED):
            return None
        return answer.status == HTTPStatus.OK

    def read(self, answer: Answer, struct: type[S]) -> S:
        """Make sense of a JSON answer.

        :raises IdentityUnavailable: if there is none in it.
        """
        try:
            return msgspec.json.decode(answer.body, type=struct)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.log.warn(
                "{forge} gave an answer that is no {what}", forge=self._forge, what=struct
            )
            raise self._unavailable("does not make sense") from None

    async def _get(
        self, url: str, headers: Mapping[str, str], limit: int, tolerate: Sequence[int]
    ) -> Answer:
        headers = {"User-Agent": f"giftless/{__version__}", **headers}
        try:
            answer = await http_client.get(
                self._http, url, headers, limit, self._timeout, self._clock
            )
        except TimeoutError:
            self.log.warn(
                "{forge} gave no answer in {timeout} seconds",
                forge=self._forge,
                timeout=self._timeout,
            )
            raise self._unavailable("does not answer") from None
        except CancelledError:
            raise  # nobody waits any more
        except Exception as error:
            self.log.warn(
                "{forge} cannot be asked: {error}",
                forge=self._forge,
                error=f"{type(error).__name__}: {error}",
            )
            raise self._unavailable("cannot be reached") from None
        if answer.status not in tolerate:
            self._judge(answer)
        return answer

    def _judge(self, answer: Answer) -> None:
        """Raise unless the forge has told something about the repository."""
        status = answer.status
        wait = _wait(answer, self._wall_clock())
        if wait is not None:
            raise ForgeLimit(
                f"{self._forge} wants to be asked less often; try again in {wait} seconds", wait
            )
        if status == HTTPStatus.UNAUTHORIZED:
            if any(words in answer.body for words in _WAS_GENUINE):
                raise UnfitCredential(
                    f"{self._forge} says that this token has expired, or is revoked"
                )
            raise Unauthorized(
                f"{self._forge} does not accept this token: it is wrong, expired or revoked"
            )
        if status in _MOVED:
            raise Forbidden(
                f"{self._forge} has moved {self.repo}; use its present name in the remote's URL"
            )
        if status != HTTPStatus.OK and not 400 <= status < 500:
            self.log.warn("{forge} answered {status}", forge=self._forge, status=status)
            raise self._unavailable("does not answer")

    def _unavailable(self, problem: str) -> IdentityUnavailable:
        return IdentityUnavailable(
            f"your access cannot be checked now, because {self._forge} {problem}; try again later",
            _RETRY_AFTER,
        )


def _wait(answer: Answer, now: float) -> int | None:
    """Return how many seconds the forge wants to be left alone, if it does.

    GitHub says so with 403 as well, and then by headers or in words only.
    """
    headers = answer.headers
    spent = "0" in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining"))
    if answer.status == HTTPStatus.FORBIDDEN:
        limited = spent or "retry-after" in headers or b"rate limit" in answer.body.lower()
    else:
        limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    if not limited:
        return None
    seconds = _retry_after(headers.get("retry-after"), now)
    if seconds is None and spent:
        reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        seconds = int(reset) - now if reset.isdecimal() else None
    return min(max(math.ceil(_PATIENCE if seconds is None else seconds), 1), _MAX_PATIENCE)


def _retry_after(value: str | None, now: float) -> float | None:
    """Read ``Retry-After``: seconds or a date (RFC 9110 section 10.2.3)."""
    if value is None:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except ValueError:
        return None
