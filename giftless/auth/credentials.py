"""Take apart what requests show as credentials.

A credential arrives as ``Bearer`` token, as user and password (``Basic``, RFC
7617) or as a query parameter.  Whether it is a JWT (RFC 7519), and whose, can
be told from its header before anything is verified.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

import msgspec

from giftless.interfaces import Credentials

#: The user whose Basic password is a token, for clients that know only that.
TOKEN_USER: Final = "_jwt"  # noqa: S105  # this is no password

#: Longer tokens are not even looked at: no issuer makes them.
MAX_TOKEN_CHARS: Final = 65536


class TokenHeader(msgspec.Struct, frozen=True):
    """The members of a JWT's header (RFC 7515 section 4.1) that are of use.

    Nothing here is verified.

    :ivar alg: the algorithm of the signature.
    :ivar kid: which key it is signed with, if that is told.
    """

    alg: str
    kid: str | None = None

    @classmethod
    def of(cls, token: str) -> TokenHeader | None:
        """Read a token's header.

        :returns: the header; ``None`` if ``token`` is no signed JWT.
        """
        if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2:
            return None
        try:
            return msgspec.json.decode(decode_part(token.partition(".")[0]), type=cls)
        except (ValueError, RecursionError):
            return None


def decode_part(encoded: str) -> bytes:
    """Decode one part of a JWT (base64url without padding, RFC 7515 section 2).

    :raises ValueError: if it is none.
    """
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def passwords(credentials: Credentials) -> Iterator[tuple[str, str]]:
    """Find the users and passwords of ``Basic`` authorization."""
    for scheme, value in _authorizations(credentials):
        if scheme == "basic":
            try:
                user, colon, password = (
                    base64.b64decode(value, validate=True).decode().partition(":")
                )
            except ValueError:
                continue
            if colon:
                yield user, password


def bearer_tokens(credentials: Credentials, user: str = TOKEN_USER) -> Iterator[str]:
    """Find what may be a token.

    :param user: whose Basic passwords are tokens too; empty for nobody's.
    """
    for scheme, value in _authorizations(credentials):
        if scheme == "bearer":
            yield value
    if user:
        for name, password in passwords(credentials):
            if name == user:
                yield password
    if credentials.token is not None:
        yield credentials.token


def _authorizations(credentials: Credentials) -> Iterator[tuple[str, str]]:
    for header in credentials.authorization:
        scheme, _, value = header.strip().partition(" ")
        yield scheme.lower(), value.strip()
