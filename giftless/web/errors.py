"""Render errors as HTTP responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from giftless.errors import LFSError, Unauthorized
from giftless.lfs.batch import MEDIA_TYPE
from giftless.web.dates import http_now
from giftless.web.response import reason


@dataclass(frozen=True, slots=True)
class Challenge:
    """How clients are asked for a credential (``docs/api/authentication.md``).

    :ivar realm: what the client shows to its user.
    :ivar www_authenticate: whether to ask in ``WWW-Authenticate`` as well,
        for credential helpers; browsers answer that with a window.
    :ivar log_in: returns what tells a client where to log in, for a request and why it is
        refused; ``None`` if nobody logs in anywhere.
    :ivar place: returns below which path a request is that has its own accounts; empty if
        below none.  Each has a realm of its own, or browsers would send the password of one
        to the others by themselves (RFC 7617 section 2.2).
    """

    realm: str = "Git LFS"
    www_authenticate: bool = True
    log_in: Callable[[Any, Unauthorized], str | None] | None = None
    place: Callable[[Any], str] = lambda _: ""

    def headers(self, request: Any, error: Unauthorized) -> Sequence[tuple[str, str]]:
        """Return the headers of a 401.

        :param request: the request that is refused.
        :param error: why it is.
        """
        realm = self.realm.replace("\\", "").replace('"', "")
        place = self.place(request)
        basic = f'Basic realm="{realm} {place}"' if place else f'Basic realm="{realm}"'
        if not self.www_authenticate:
            return [("LFS-Authenticate", basic)]
        headers = [("LFS-Authenticate", basic), ("WWW-Authenticate", basic)]
        bearer = None if self.log_in is None else self.log_in(request, error)
        return headers if bearer is None else [*headers, ("WWW-Authenticate", bearer)]


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
        "Date": http_now(),
        "Server": "giftless",
        "X-Request-Id": request_id,
        **error.headers,
        "Cache-Control": "no-store",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {error.code} {reason(error.code)}"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *extra)]
    return "\r\n".join([*lines, "", ""]).encode() + body
