"""The parts of JSON Web Tokens: base64url without padding (RFC 7515 section 2)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

#: From base64's alphabet to base64url's (RFC 4648 section 5).
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def encode_part(data: bytes) -> bytes:
    """Encode one part of a JWT."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


def decode_part(encoded: str) -> bytes:
    """Decode one part of a JWT.

    :raises ValueError: if it is not base64url.
    """
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
