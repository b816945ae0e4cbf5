"""Requests to the server and to its storage, one at a time in each thread.

Every answer is either what was wanted, an :class:`~giftless.agent.errors.Again`
or a status for the caller to judge.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from giftless import __version__
from giftless.agent.connecting import make_pool
from giftless.agent.errors import Again, TransferError
from giftless.base.git_settings import Settings, settings_for
from giftless.base.retry_after import retry_after

#: How long a connection may take to be made, or to take or give some bytes, in seconds.
_TIMEOUT: Final = 60.0

#: How much is handed to a connection at once, in bytes.
BLOCK_SIZE: Final = 64 * 1024

#: The longest answer that is read whole: a plan of 50,000 signed parts, in bytes.
_LONGEST_ANSWER: Final = 256 * 1024 * 1024

#: How much of an error is read, in bytes, and told, in characters.
_ERROR_SIZE: Final = 64 * 1024
_ERROR_LENGTH: Final = 300

#: Failures of the server's side that the next attempt cannot mend.
_FINAL: Final = frozenset({501, 505, 507, 511})

#: How errors of urllib3 begin: with the connection that they are about.
_WHO: Final = re.compile(r"^\w+\(.*?\): ")

#: What another host must not see when it is redirected to.
_SECRET_HEADERS: Final = Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT | {"Giftless-Action"}

#: How often a download may be redirected.
_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    :ivar status: never one that is worth another attempt.
    :ivar body: all of it, or the beginning of an error.
    :ivar request: what was asked, for messages.
    :ivar headers: found by their names in any case.
    """

    status: int
    body: bytes = field(repr=False)
    request: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return _is_good(self.status)

    @property
    def reason(self) -> str:
        """Why the request failed, for a terminal."""
        return _explain(self.status, self.body, self.request)

    def checked(self) -> Reply:
        """Return it if all is well.

        :raises TransferError: otherwise.
        """
        if not self.good:
            raise TransferError(self.reason, self.status)
        return self


class Client:
    """Sends requests as git would: through its proxy, with its certificates.

    :param connections: how many connections to a server are kept.
    :param settings: tells how to connect to the server of a URL.
    :param clock: tells the time, in seconds since the epoch.
    """

    def __init__(
        self,
        connections: int,
        settings: Callable[[str], Settings] = settings_for,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = connections
        self._settings = settings
        self._clock = clock
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}

    def ask(
        self, method: str, url: str, header: Mapping[str, str] | None, timeout: float = _TIMEOUT
    ) -> Reply:
        """Send a request without a body.

        :param timeout: for how long the answer may be silent, in seconds.
        :raises Again: if it is worth another attempt.
        :raises TransferError: if it cannot be sent at all.
        """
        return self._send(method, url, header or {}, None, 0, timeout)

    def send(
        self,
        method: str,
        url: str,
        header: Mapping[str, str],
        body: Iterable[bytes],
        size: int,
        timeout: float = _TIMEOUT,
    ) -> Reply:
        """Send a request with a body.

        :param body: its blocks; the next one is asked for when one has been taken.
        :param size: how long it is, in bytes.
        :param timeout: for how long the answer may be silent, in seconds.
        :raises Again: if it is worth another attempt.
        :raises TransferError: if it cannot be sent at all.
        """
        return self._send(method, url, header, body, size, timeout)

    @contextlib.contextmanager
    def fetch(self, url: str, header: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a GET request; its body is read within the context.

        :returns: an answer that says that all is well (2xx).
        :raises Again: if it is worth another attempt, which may come out while
            the answer is read.
        :raises TransferError: if there is nothing to get.
        """
        request = _describe("GET", url)
        with self._open("GET", url, header, None, _TIMEOUT, request) as response:
            if not _is_good(response.status):
                self._reply(response, request).checked()
            yield response

    def _send(
        self,
        method: str,
        url: str,
        header: Mapping[str, str],
        body: Iterable[bytes] | None,
        size: int,
        timeout: float,
    ) -> Reply:
        request = _describe(method, url)
        if "transfer-encoding" not in map(str.lower, header):
            header = {**header, "Content-Length": str(size)}
        with self._open(method, url, header, body, timeout, request) as response:
            return self._reply(response, request)

    @contextlib.contextmanager
    def _open(
        self,
        method: str,
        url: str,
        header: Mapping[str, str],
        body: Iterable[bytes] | None,
        timeout: float,
        request: str,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        pool = self._pool(url)
        response = None
        try:
            response = pool.request(
                method,
                url,
                headers={"User-Agent": f"giftless-transfer-agent/{__version__}", **header},
                body=body,
                # Nobody but the caller knows what a second attempt needs.
                retries=Retry(
                    total=None,
                    connect=0,
                    read=0,
                    status=0,
                    other=0,
                    redirect=_REDIRECTS,
                    remove_headers_on_redirect=_SECRET_HEADERS,
                ),
                redirect=method == "GET",
                timeout=Timeout(connect=_TIMEOUT, read=timeout),
                preload_content=False,
                decode_content=False,
            )
            yield response
        except HTTPError as error:
            cause = _innermost(error)
            # What the libraries on the way have put around it tells nobody anything.
            why = f"{request}: {_WHO.sub('', str(cause))}"
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise TransferError(f"{why}; see http.sslCAInfo in git-config(1)") from None
            raise Again(why) from None
        finally:
            if response is not None:
                _done_with(response)

    def _reply(self, response: urllib3.BaseHTTPResponse, request: str) -> Reply:
        status = response.status
        good = _is_good(status)
        limit = _LONGEST_ANSWER if good else _ERROR_SIZE
        body = response.read(limit + 1)
        if good and len(body) > limit:
            raise TransferError(f"{request}: the answer is too long")
        if status in (408, 429) or (status >= 500 and status not in _FINAL):
            after = retry_after(response.headers.get("Retry-After"), self._clock())
            raise Again(_explain(status, body, request), after)
        return Reply(status, body, request, response.headers)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TransferError(f"{url.partition('?')[0]} is no URL that a file could go to")
        origin = (parts.scheme, parts.netloc)
        pool = self._pools.get(origin)
        if pool is None:
            # Two threads may do this at once: the last one's is kept.
            pool = self._pools[origin] = make_pool(self._settings(url), url, self._connections)
        return pool


def _done_with(response: urllib3.BaseHTTPResponse) -> None:
    """Keep the connection if the answer has been read, close it otherwise.

    What follows a 101 is another protocol.
    """
    if response.length_remaining == 0 and response.status >= 200:
        response.drain_conn()
        response.release_conn()
    else:
        response.close()


def _is_good(status: int) -> bool:
    """Whether an answer says that all is well: 2xx, and no 101 or 304."""
    return 200 <= status < 300


def _describe(method: str, url: str) -> str:
    """Name a request without the query, which may hold a signature."""
    return f"{method} {url.partition('?')[0]}"


def _innermost(error: BaseException) -> BaseException:
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    return _innermost(inner) if isinstance(inner, BaseException) else error


def _explain(status: int, body: bytes, request: str) -> str:
    """Find the message in an error: JSON of the LFS API, or XML of a store."""
    text = body.decode("utf-8", "replace")
    message = ""
    with contextlib.suppress(ValueError, RecursionError):
        answer = json.loads(text)
        if isinstance(answer, dict):
            message = str(answer.get("message", ""))
    if not message and (found := re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)):
        message = found[1]
    message = " ".join(message.split())[:_ERROR_LENGTH]
    return f"{request}: {status}{f' {message}' if message else ''}"
