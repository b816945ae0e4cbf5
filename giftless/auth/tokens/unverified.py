"""Find tokens among credentials, and read what they say before they are verified.

The header of a JSON Web Token (RFC 7519) tells whose token it is, so that each
authenticator verifies its own and leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from giftless.auth.tokens.parts import decode_part
from giftless.interfaces import Bearer, Credentials, Password

#: The user whose password is a token, for clients that can send only passwords.
TOKEN_USER: Final = "_jwt"  # noqa: S105  # this is no password

#: Longer tokens are not decoded: no issuer makes them.
MAX_TOKEN_CHARS: Final = 65536


class TokenHeader(msgspec.Struct, frozen=True):
    """The members of a JWT's header (RFC 7515 section 4.1) that are of use.

    Nothing here is verified.

    :ivar alg: the algorithm of the signature.
    :ivar kid: the name of the key that it is signed with, if it has one.
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


def tokens_of(credentials: Credentials, user: str = TOKEN_USER) -> Sequence[str]:
    """Return the credentials that may be tokens, in the order in which they were sent.

    :param user: the user whose passwords are tokens too; empty for none.
    """
    return [
        item.token if isinstance(item, Bearer) else item.password
        for item in credentials.items
        if isinstance(item, Bearer) or (user and isinstance(item, Password) and item.user == user)
    ]
