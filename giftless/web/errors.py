"""The one place where errors become HTTP responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from twisted.web.http import RESPONSES, datetimeToString

from giftless.errors import LFSError, Unauthorized
from giftless.lfs.batch import MEDIA_TYPE

if TYPE_CHECKING:
    from giftless.web.request import StreamingRequest


#: The status that the access log shows when the client left before its
#: response was complete (nginx's convention).
CLIENT_CLOSED: Final = 499


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


def error_body(message: str, request_id: str) -> bytes:
    """Render an error's body (``docs/api/batch.md``, "Response Errors")."""
    return msgspec.json.encode({"message": message, "request_id": request_id})


def error_response(
    error: LFSError, request_id: str, extra: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Render a whole response, for a client whose request could not be parsed.

    :param extra: more headers.
    """
    body = error_body(error.message, request_id)
    headers = {
        "Date": datetimeToString().decode(),
        "Server": "giftless",
        "X-Request-Id": request_id,
        **error.headers,
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {error.code} {RESPONSES.get(error.code, b'Error').decode()}"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *extra)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def respond_with_error(request: StreamingRequest, error: LFSError) -> None:
    """Answer ``request`` with ``error``, or cut it off if it is half-answered."""
    if request.channel is None:
        return
    if request.startedWriting:
        # Too late for another status: a cut connection is the only signal.
        request.abandon(error.code)
        return
    if isinstance(error, Unauthorized):
        for name, value in request.site.challenge.headers().items():
            request.setHeader(name.encode(), value.encode())
    for name, value in error.headers.items():
        request.setHeader(name.encode(), value.encode())
    respond_with_json(request, error.code, error_body(error.message, request.request_id))


def respond_with_json(request: StreamingRequest, code: int, body: bytes) -> None:
    """Send a whole JSON response of the Git LFS media type."""
    request.setResponseCode(code)
    request.setHeader(b"Content-Type", MEDIA_TYPE.encode())
    request.setHeader(b"Content-Length", b"%d" % len(body))
    if request.method == b"HEAD":
        request.write(b"")
    else:
        request.write(body)
    request.finish()
