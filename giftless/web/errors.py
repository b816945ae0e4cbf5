"""The one place where errors become HTTP responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from giftless.errors import LFSError, Unauthorized
from giftless.lfs.batch import MEDIA_TYPE

if TYPE_CHECKING:
    from giftless.web.request import StreamingRequest

#: How clients are asked for a credential (``docs/api/authentication.md``).
CHALLENGE: Final = 'Basic realm="Git LFS"'


def error_body(message: str, request_id: str) -> bytes:
    """Render an error's body (``docs/api/batch.md``, "Response Errors")."""
    return msgspec.json.encode({"message": message, "request_id": request_id})


def respond_with_error(request: StreamingRequest, error: LFSError) -> None:
    """Answer ``request`` with ``error``, or cut it off if it is half-answered."""
    if request.channel is None:
        return
    if request.startedWriting:
        # Too late for another status: a cut connection is the only signal.
        request.channel.forceAbortClient()
        return
    if isinstance(error, Unauthorized):
        # Not WWW-Authenticate alone: browsers would ask with a window.
        request.setHeader(b"LFS-Authenticate", CHALLENGE.encode())
        request.setHeader(b"WWW-Authenticate", CHALLENGE.encode())
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
