"""Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

#: What a secret begins with.
PREFIX: Final = "whsec_"

#: How many bytes a secret may stand for.
_SIZES: Final = range(24, 65)


def parse_secret(text: str) -> bytes:
    """Read a secret: ``whsec_`` and the key in base64.

    :returns: the key.
    :raises ValueError: if it is none; the text does not show it.
    """
    if not text.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    digits = text.removeprefix(PREFIX)
    try:
        # The padding may be missing.
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"behind {PREFIX} belongs base64") from None
    if len(key) not in _SIZES:
        raise ValueError(
            f"the secret stands for {len(key)} bytes, allowed is {_SIZES[0]} to {_SIZES[-1]}"
        )
    return key


def signed_headers(
    secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """Return the headers by which a receiver knows a message and who has sent it.

    :param secrets: each makes a signature, so that one can be exchanged for another.
    :param timestamp: when it is sent, in seconds since the epoch: a receiver refuses a
        request that is older than some minutes.
    """
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    signatures = (hmac.new(key, signed, hashlib.sha256).digest() for key in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }
