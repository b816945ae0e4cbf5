"""OpenSSH's certificates, as they are sent (its ``PROTOCOL.certkeys``, version 01)."""

from __future__ import annotations

from typing import Final

import msgspec

from giftless.auth.keys.public_keys import MAX_BLOB, TYPES, PublicKey, parse_blob, skip_key
from giftless.base.ssh_wire import Reader, string

_DOMAIN: Final = "@openssh.com"

#: The type of the key in a certificate, by that of the certificate.
_KEYS: Final = {f"{kind.removesuffix(_DOMAIN)}-cert-v01{_DOMAIN}": kind for kind in TYPES}

#: The purpose of a certificate that is for a user.
USER: Final = 1


class Certificate(msgspec.Struct, frozen=True):
    """A certificate.  Nothing about it is verified.

    :ivar key: the key that it is for.
    :ivar serial: its number; 0 if the authority gives none.
    :ivar purpose: :data:`USER`, or 2 for one of a host.
    :ivar key_id: what the authority calls it.
    :ivar principals: the users that it is for.
    :ivar valid_after: from when on it is valid, in seconds since the epoch.
    :ivar valid_before: from when on it is not valid any more.
    :ivar critical: the options that must be kept, each with its data.
    :ivar authority: the key that it says it is signed with.
    :ivar signed: what is signed.
    :ivar signature: the signature.
    """

    key: PublicKey
    serial: int
    purpose: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical: dict[str, bytes]
    authority: PublicKey
    signed: bytes
    signature: bytes


def parse_certificate(blob: bytes) -> Certificate | None:
    """Read a certificate.

    :returns: ``None`` if it is none that is known, or damaged.
    """
    if len(blob) > MAX_BLOB:
        return None
    try:
        return _parse(blob)
    except ValueError:
        return None


def _parse(blob: bytes) -> Certificate | None:
    reader = Reader(blob)
    kind = _KEYS.get(reader.text())
    if kind is None:
        return None
    reader.string()  # the nonce
    start = reader.position
    skip_key(kind, reader)
    name = kind.encode()
    key = PublicKey(kind, string(name) + blob[start : reader.position])
    serial, purpose, key_id = reader.uint64(), reader.uint32(), reader.text()
    principals = tuple(principal.decode() for principal in reader.strings())
    valid_after, valid_before = reader.uint64(), reader.uint64()
    critical = _options(reader)
    _options(reader)  # extensions: what they permit, nobody may do here
    reader.string()  # reserved
    authority = parse_blob(reader.string())
    signed = blob[: reader.position]
    signature = reader.string()
    if not reader.ended:
        return None
    return Certificate(
        key,
        serial,
        purpose,
        key_id,
        principals,
        valid_after,
        valid_before,
        critical,
        authority,
        signed,
        signature,
    )


def _options(reader: Reader) -> dict[str, bytes]:
    flat = reader.strings()
    options = {name.decode(): data for name, data in zip(flat[::2], flat[1::2], strict=True)}
    if len(options) * 2 < len(flat):
        raise ValueError("an option is there twice")
    return options
