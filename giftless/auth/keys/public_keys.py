"""Public keys of SSH, as they are sent (RFC 4253 section 6.6) and as files have them.

Known are ``ssh-ed25519`` (RFC 8709), ``ecdsa-sha2-nistp*`` (RFC 5656), ``ssh-rsa`` of 2048
bits or more, and the two kinds of security keys (``sk-…``, OpenSSH's ``PROTOCOL.u2f``).
Others are too weak.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from giftless.base.ssh_wire import Reader

#: The longest key or certificate that is looked at, in bytes: twice what RSA needs at most.
MAX_BLOB: Final = 16 * 1024

#: How many bits an RSA key has at least, and at most: longer ones are for wasting time.
_RSA_BITS: Final = range(2048, 16384 + 1)

#: The bytes of a point on each curve.
CURVES: Final = {"nistp256": 65, "nistp384": 97, "nistp521": 133}

_SECURITY_KEY: Final = "@openssh.com"

#: All types of keys that are known.
TYPES: Final = (
    "ssh-ed25519",
    *(f"ecdsa-sha2-{curve}" for curve in CURVES),
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


class PublicKey(msgspec.Struct, frozen=True):
    """A public key that is well formed and strong enough.

    :ivar type: one of :data:`TYPES`.
    :ivar blob: the key as it is sent.
    """

    type: str
    blob: bytes

    @property
    def line(self) -> str:
        """The key as ``authorized_keys`` files have it, without options and comment."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


def parse_blob(blob: bytes) -> PublicKey:
    """Read a key as it is sent.

    :raises ValueError: if it is none that is known; the text says why, without showing it.
    """
    if len(blob) > MAX_BLOB:
        raise ValueError("the key is too long")
    reader = Reader(blob)
    try:
        kind = reader.text()
        if kind in TYPES:
            skip_key(kind, reader)
    except ValueError as error:
        raise ValueError(f"the key is damaged: {error}") from None
    if kind not in TYPES:
        raise ValueError("the key is of a kind that is not known or too weak")
    if not reader.ended:
        raise ValueError("the key is damaged: it goes on after its end")
    return PublicKey(kind, blob)


def parse_words(kind: str, encoded: str) -> PublicKey:
    """Read a key as files have it.

    :param kind: its type.
    :param encoded: the key in base64.
    :raises ValueError: see :func:`parse_blob`.
    """
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not in base64") from None
    key = parse_blob(blob)
    if key.type != kind:
        raise ValueError("the key is of another type than the word before it says")
    return key


def skip_key(kind: str, reader: Reader) -> None:
    """Read what follows the type of a key.

    :param kind: one of :data:`TYPES`.
    :raises ValueError: if it is no key of this type, or too weak.
    """
    if kind == "ssh-rsa":
        reader.mpint()
        if reader.mpint().bit_length() not in _RSA_BITS:
            raise ValueError("it has fewer than 2048 bits, or more than 16384")
        return
    if "ed25519" in kind:
        if len(reader.string()) != 32:
            raise ValueError("it has another length than 32 bytes")
    else:
        curve = kind.removesuffix(_SECURITY_KEY).rpartition("-")[2]
        named, point = reader.string(), reader.string()
        if named != curve.encode() or len(point) != CURVES[curve] or point[0] != 4:
            raise ValueError("it is no point on its curve")
    if kind.endswith(_SECURITY_KEY):
        reader.string()
