"""Ask a forge something, with a token.

Each forge reads its answers in its own module.  This one sends the requests and
turns the failures that all forges have in common into errors for the client.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

import msgspec
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless import __version__
from giftless.base import http_client
from giftless.base.http_client import Answer
from giftless.errors import ForgeLimit, IdentityUnavailable, LFSError, Unauthorized, UnfitCredential
from giftless.interfaces import WallClock

S = TypeVar("S")

#: What can be a token: nothing that does not fit into a header.
TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")

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

#: How many pages a list may have, and how many items.
_MAX_PAGES: Final = 250
_MAX_ITEMS: Final = 10_000

#: How GitLab says that a token was good once; other forges do not tell.
_WAS_GENUINE: Final = (b"Token is expired", b"Token was revoked")

#: The statuses of answers about a repository that was renamed.
MOVED: Final = (301, 302, 303, 307, 308)


class Questions:
    """Asks a forge with one token; :meth:`ask` keeps the answers.

    :param forge: what the forge is called in messages.
    :param token: the token; empty for none.
    :param http: asks.
    :param timeout: how many seconds the forge has for each answer.
    :param clock: tells when to give up waiting.
    :param wall_clock: is compared with the forge's dates.
    """

    log = Logger()

    def __init__(
        self,
        forge: str,
        token: str,
        http: HTTPClient,
        timeout: float,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self.forge = forge
        self.token = token
        self._http = http
        self._answers: dict[str, Answer] = {}
        self._timeout = timeout
        self._clock = clock
        self._wall_clock = wall_clock

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.forge}>"

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
            self._answers[url] = await self.get(url, headers, _MAX_BODY, tolerate)
        return self._answers[url]

    def read(self, answer: Answer, struct: type[S]) -> S:
        """Make sense of a JSON answer.

        :raises IdentityUnavailable: if there is none in it.
        """
        try:
            return msgspec.json.decode(answer.body, type=struct)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.log.warn("{forge} gave an answer that is no {what}", forge=self.forge, what=struct)
            raise self.unavailable("does not make sense") from None

    async def pages(
        self, url: str, headers: Mapping[str, str], items: type[list[S]], full: int
    ) -> list[S] | None:
        """Ask the forge's API for a list that comes in pages.

        :param url: the URL up to the number of the page.
        :param items: what a page is.
        :param full: how many items every page has but the last one; 1 if that is not certain.
        :returns: the items of all pages; ``None`` if there is no such list, or it is
            somewhere else.
        :raises LFSError: see :meth:`ask`; also if there are too many.
        """
        found: list[S] = []
        headers = {"Accept": "application/json", **headers}
        for page in range(1, _MAX_PAGES + 1):
            # Nobody asks for it again, and it may be large.
            answer = await self.get(f"{url}{page}", headers, _MAX_BODY, MOVED)
            if answer.status != HTTPStatus.OK:
                return None
            new = self.read(answer, items)
            found.extend(new)
            if len(new) < full:
                return found
            if len(found) > _MAX_ITEMS:
                break
        self.log.warn("{forge} gives a list without end", forge=self.forge)
        raise self.unavailable("does not make sense")

    async def get(
        self, url: str, headers: Mapping[str, str], limit: int, tolerate: Sequence[int]
    ) -> Answer:
        """Send a GET request, and read at most ``limit`` bytes of the answer.

        :raises LFSError: see :meth:`ask`.
        """
        headers = {"User-Agent": f"giftless/{__version__}", **headers}
        try:
            answer = await http_client.get(
                self._http, url, headers, limit, self._timeout, self._clock
            )
        except TimeoutError:
            self.log.warn(
                "{forge} gave no answer in {timeout} seconds",
                forge=self.forge,
                timeout=self._timeout,
            )
            raise self.unavailable("does not answer") from None
        except CancelledError:
            raise  # nobody waits any more
        except Exception as error:
            self.log.warn(
                "{forge} cannot be asked: {error}",
                forge=self.forge,
                error=f"{type(error).__name__}: {error}",
            )
            raise self.unavailable("cannot be reached") from None
        if answer.status not in tolerate:
            self._judge(answer)
        return answer

    def _judge(self, answer: Answer) -> None:
        """Raise unless the forge has told something about the repository."""
        status = answer.status
        wait = _wait(answer, self._wall_clock())
        if wait is not None:
            raise limited(self.forge, wait)
        if status == HTTPStatus.UNAUTHORIZED:
            if any(words in answer.body for words in _WAS_GENUINE):
                raise UnfitCredential(
                    f"{self.forge} says that this token has expired, or is revoked"
                )
            raise Unauthorized(
                f"{self.forge} does not accept this token: it is wrong, expired or revoked"
            )
        if status in MOVED:
            raise self.moved()
        if status != HTTPStatus.OK and not 400 <= status < 500:
            self.log.warn("{forge} answered {status}", forge=self.forge, status=status)
            raise self.unavailable("does not answer")

    def now(self) -> float:
        """Return the time of day, in seconds since the epoch."""
        return self._wall_clock()

    def moved(self) -> LFSError:
        """Make the error for an answer that is elsewhere."""
        return self.unavailable("answers somewhere else")

    def unavailable(self, problem: str) -> IdentityUnavailable:
        """Make the error for a forge that does not tell.

        :param problem: what the forge does.
        """
        return IdentityUnavailable(
            f"your access cannot be checked now, because {self.forge} {problem}; try again later",
            _RETRY_AFTER,
        )


def limited(forge: str, wait: int) -> ForgeLimit:
    """Make the error for a forge that wants to be asked less often.

    :param forge: what the forge is called.
    :param wait: for how many seconds it wants to be left alone.
    """
    return ForgeLimit(f"{forge} wants to be asked less often; try again in {wait} seconds", wait)


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
