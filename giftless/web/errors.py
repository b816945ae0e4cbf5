"""How errors are rendered as HTTP responses."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, datetimeToString

from giftless.errors import LFSError, ServiceUnavailable
from giftless.lfs.batch import MEDIA_TYPE

#: Bound to no class: an event would have the request itself, and its URL may
#: hold a credential.
_log: Final = Logger(namespace="giftless.web.request")

#: What clients are told to wait when the machine fails, in seconds.
RETRY_AFTER: Final = 30


def new_request_id() -> str:
    """Return what names a request in the log and in error bodies: 16 hexadecimal digits."""
    return f"{random.getrandbits(64):016x}"  # a name, no secret


@dataclass(frozen=True, slots=True)
class Challenge:
    """How clients are asked for a credential (``docs/api/authentication.md``).

    :ivar realm: what the client shows to its user.
    :ivar www_authenticate: whether to ask in ``WWW-Authenticate`` as well,
        for credential helpers; browsers answer that with a window.
    """

    realm: str = "Git LFS"
    www_authenticate: bool = True

    def headers(self) -> dict[str, str]:
        """Return the headers of a 401."""
        realm = self.realm.replace("\\", "").replace('"', "")
        value = f'Basic realm="{realm}"'
        names = ("LFS-Authenticate", "WWW-Authenticate")[: 1 + self.www_authenticate]
        return dict.fromkeys(names, value)


def uncaught(failure: Failure, request_id: str) -> LFSError:
    """Log a failure that no handler has caught, and make what the client is told.

    What the kernel refuses may work later (no descriptors are left, a disk is
    read-only or broken): that is 503, and one line.  Anything else is a bug.
    """
    problem = failure.value
    if isinstance(problem, OSError) and problem.errno is not None:
        _log.error("request {id} cannot be served: {reason}", id=request_id, reason=str(problem))
        return ServiceUnavailable("the server cannot do this now; try again later", RETRY_AFTER)
    _log.failure("request {id} failed", failure=failure, id=request_id)
    return LFSError("the server failed; its log has the details")


def error_body(error: LFSError, request_id: str) -> bytes:
    """Render an error's body (``docs/api/batch.md``, "Response Errors")."""
    body = {**error.members, "message": error.message, "request_id": request_id}
    return msgspec.json.encode(body)


def error_response(
    error: LFSError, request_id: str, extra: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Render a whole response, for a client whose request could not be parsed.

    :param extra: more headers.
    """
    body = error_body(error, request_id)
    headers = {
        "Date": datetimeToString().decode(),
        "Server": "giftless",
        "X-Request-Id": request_id,
        **error.headers,
        "Cache-Control": "no-store",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {error.code} {RESPONSES.get(error.code, b'Error').decode()}"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *extra)]
    return "\r\n".join([*lines, "", ""]).encode() + body
