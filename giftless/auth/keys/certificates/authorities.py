"""Files that say which authorities are trusted, and what is revoked of what they have signed.

The first is what ``TrustedUserCAKeys`` of sshd names: one public key a line.  The second is
the text from which ``ssh-keygen -k`` makes a revocation list (ssh-keygen(1), "Key revocation
lists").
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

from giftless.auth.keys.certificates.certificate import Certificate
from giftless.auth.keys.certificates.signatures import SIGNING
from giftless.auth.keys.lines import parse_lines
from giftless.auth.keys.public_keys import PublicKey, parse_words
from giftless.base.watched_file import FileProblem, lines_of

#: How a compiled revocation list begins.
_COMPILED: Final = b"SSHKRL\n\0"

_SERIAL: Final = re.compile(r"(\d{1,20}|0x[0-9a-f]{1,16})", re.ASCII | re.IGNORECASE)

_FINGERPRINT: Final = re.compile(r"SHA256:([A-Za-z0-9+/]{43})=?", re.ASCII)


def parse_authorities(content: bytes) -> Set[PublicKey]:
    """Read the keys of authorities.

    :raises FileProblem: at the first line that cannot be used.
    """
    keys = set()
    for line in parse_lines(content):
        if set(line.options) - {"cert-authority"}:
            raise FileProblem(f"line {line.number}: has options that have no effect here")
        if line.key.type not in SIGNING:
            raise FileProblem(f"line {line.number}: what a security key signs is not taken")
        keys.add(line.key)
    return keys


@dataclass
class Revoked:
    """Certificates and keys that are revoked.

    :ivar serials: ranges of serial numbers, whichever authority has given them.
    :ivar ids: ids of certificates.
    :ivar keys: SHA-256 of keys: of users, or of authorities.
    """

    serials: list[range] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)

    @classmethod
    def parse(cls, content: bytes) -> Revoked:
        """Read a file's content.

        :raises FileProblem: at the first line that cannot be used: to skip it would let in
            what it means to revoke.
        """
        if content.startswith(_COMPILED):
            raise FileProblem("is a compiled list; name the text that it was made from")
        revoked = cls()
        for number, text in lines_of(content):
            try:
                revoked._add(text)
            except ValueError as error:
                raise FileProblem(f"line {number}: {error}") from None
        return revoked

    def has(self, certificate: Certificate) -> bool:
        """Tell whether a certificate is revoked."""
        return (
            certificate.key_id in self.ids
            or any(certificate.serial in serials for serials in self.serials)
            or not self.keys.isdisjoint(map(_digest, (certificate.key, certificate.authority)))
        )

    def _add(self, text: str) -> None:
        kind, colon, value = text.partition(":")
        value = value.strip()
        match kind.strip().lower() if colon else "key":
            case "serial":
                self.serials.append(_serials(value))
            case "id":
                self.ids.add(value)
            case "hash" if found := _FINGERPRINT.fullmatch(value):
                self.keys.add(base64.b64decode(f"{found[1]}="))
            case "key" | "sha1" | "sha256":
                words = (value if colon else text).split(None, 2)
                if len(words) < 2:
                    raise ValueError("is no key: a type, and the key in base64")
                self.keys.add(_digest(parse_words(words[0], words[1])))
            case _:
                raise ValueError("is none of serial:, id:, key:, sha256:, hash: or a public key")


def _digest(key: PublicKey) -> bytes:
    return hashlib.sha256(key.blob).digest()


def _serials(value: str) -> range:
    first, dash, last = value.partition("-")
    found = [_SERIAL.fullmatch(part) for part in (first, last if dash else first)]
    if None in found:
        raise ValueError("is no serial number, and no range of two")
    low, high = (int(match[1], 0 if match[1][1:2] in "xX" else 10) for match in found if match)
    if not 0 < low <= high < 1 << 64:
        raise ValueError("is no range of serial numbers, from 1 to 64 bits")
    return range(low, high + 1)
