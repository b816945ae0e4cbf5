"""Parse the credentials of a request: ``Authorization`` headers (RFC 9110) and ``?jwt=``."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from giftless.interfaces import Bearer, Credential, Credentials, Password, Unreadable

#: White space that may stand around a header's value (RFC 9110 section 5.6.3).
_SPACE = b" \t"


def parse_credentials(headers: Sequence[bytes], jwt: str | None, address: str) -> Credentials:
    """Parse all credentials of a request.

    Never fails: a header that cannot be read is a credential too, and is refused.

    :param headers: the values of all ``Authorization`` headers.
    :param jwt: the ``jwt`` query parameter; ``None`` if there is none.
    :param address: the client's IP address; empty for a unix socket.
    """
    items = [_parse(header) for header in headers]
    if jwt is not None:
        items.append(Bearer(jwt, in_url=True))
    return Credentials(tuple(items), address)


def _parse(header: bytes) -> Credential:
    scheme, _, value = header.strip(_SPACE).partition(b" ")
    scheme, value = scheme.lower(), value.strip(_SPACE)
    if scheme == b"bearer" and value.isascii() and value and b" " not in value:
        return Bearer(value.decode())
    if scheme == b"basic":
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if colon:
            return Password(user, password)
    return Unreadable(scheme.decode("latin-1") if value else "")
