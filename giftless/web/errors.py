"""How errors are rendered as HTTP responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from twisted.web.http import RESPONSES, datetimeToString

from giftless.errors import LFSError
from giftless.lfs.batch import MEDIA_TYPE


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
