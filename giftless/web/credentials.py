"""Parse the credentials of a request.

They are in ``Authorization`` headers (RFC 9110), in ``?jwt=``, or in the header that
the actions of batch replies have.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Final

from giftless.interfaces import (
    ActionToken,
    Bearer,
    Credential,
    Credentials,
    Password,
    Unreadable,
)

#: White space that may stand around a header's value (RFC 9110 section 5.6.3).
_SPACE = b" \t"

#: The same around credentials that are joined: a list may have empty members.
_AROUND: Final = b" \t,"

#: Where a proxy has joined two headers: a comma, and then a scheme and what belongs to
#: it.  Neither base64 nor a token (RFC 6750) has a comma; the parameters of other
#: schemes (``realm="x", nonce="y"``) have no space behind their names.
_JOINT: Final = re.compile(rb",[ \t]*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]+[^ \t,=])")


def parse_credentials(headers: Sequence[bytes], jwt: str | None, address: str) -> Credentials:
    """Parse all credentials of a request.

    Never fails: a header that cannot be read is a credential too, and is refused.
    Several may stand in one header: proxies join those of one name with commas.

    :param headers: the values of all ``Authorization`` headers.
    :param jwt: the ``jwt`` query parameter; ``None`` if there is none.
    :param address: the client's IP address; empty for a unix socket.
    """
    items = [
        _parse(part.strip(_AROUND))
        for header in headers
        for part in _JOINT.split(header.strip(_AROUND))
    ]
    if jwt is not None:
        items.append(Bearer(jwt, in_url=True))
    return Credentials(tuple(items), address)


def parse_action_token(headers: Sequence[bytes], address: str) -> Credentials:
    """Parse the token in the header that actions have.

    :param headers: the values of all headers of that name.  More than one are no token.
    :param address: the client's IP address; empty for a unix socket.
    """
    return Credentials((ActionToken(b",".join(headers).decode("latin-1")),), address)


def _parse(header: bytes) -> Credential:
    scheme, _, value = header.partition(b" ")
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
