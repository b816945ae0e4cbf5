"""Users' keys and certificates as clients send them, and the signatures of their owners.

Of a certificate, only the key is read here, to verify the signature.  Whether the
certificate itself is good is decided by the keyring that knows its owner.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

import msgspec
from twisted.conch.ssh.keys import Key

from giftless.base.ssh_wire import string
from giftless.sshd.algorithms import USER_SIGNATURES, certified
from giftless.sshd.wire import Fields

#: The longest that a key or certificate may be, in bytes; it must fit into a greeting.
MAX_BLOB: Final = 32 * 1024

#: The least and the most that the modulus of an RSA key may have, in bits.
MIN_RSA: Final = 2048
MAX_RSA: Final = 16_384

#: How many fields each kind of key has, behind its name.
_FIELDS: Final = {
    b"ssh-ed25519": 1,
    b"sk-ssh-ed25519@openssh.com": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ecdsa-sha2-nistp256@openssh.com": 3,
    b"ssh-rsa": 2,
}

#: What the signatures are called that keys and their certificates are offered with: the
#: name that a signature itself has, the kind of key, and what the blob is called.
_SIGNATURES: Final = {
    **{name: (name, kind, kind) for name, kind in USER_SIGNATURES.items()},
    **{certified(name): (name, kind, certified(kind)) for name, kind in USER_SIGNATURES.items()},
}

#: The flag of a security key's signature that says that its owner has touched it.
_TOUCHED: Final = 1


class OfferedKey(msgspec.Struct, frozen=True):
    """A key or a certificate that a client offers.

    :ivar blob: what the client has sent.
    :ivar signature: the name of the signatures that it makes.
    :ivar kind: the kind of the key.
    :ivar plain: the key, without the certificate.
    """

    blob: bytes
    signature: bytes
    kind: bytes
    plain: bytes

    @property
    def certified(self) -> bool:
        """Whether it is a certificate."""
        return self.blob != self.plain

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether the owner of the key has signed something.

        :param signature: the signature as it was sent (RFC 4253 section 6.6).
        :raises BrokenProtocol: if it is none.
        """
        fields = Fields(signature)
        if fields.string() != self.signature:
            return False
        fields.string()
        if self.kind.startswith(b"sk-"):
            flags, counter = fields.byte(), fields.uint32()
            if not flags & _TOUCHED:
                return False
            # Protocol of security keys (OpenSSH's PROTOCOL.u2f).
            data = (
                sha256(self._application()).digest()
                + bytes([flags])
                + counter.to_bytes(4, "big")
                + sha256(data).digest()
            )
        fields.end()
        try:
            return bool(Key.fromString(self.plain, type="blob").verify(signature, data))
        except Exception:
            # Whatever libraries say of a point that is on no curve, or of half a signature.
            return False

    def fingerprint(self) -> str:
        """Return what ``ssh-keygen -l`` shows of the key."""
        return fingerprint(self.plain)

    def _application(self) -> bytes:
        fields = Fields(self.plain)
        for _ in range(_FIELDS[self.kind]):
            fields.string()
        return fields.string()


def read_offered(algorithm: bytes, blob: bytes) -> OfferedKey | None:
    """Read the key or the certificate that a client offers.

    :param algorithm: what the client calls its signatures.
    :param blob: the key as it was sent.
    :returns: ``None`` if the server takes no such keys.
    :raises BrokenProtocol: if it is no key.
    """
    if algorithm not in _SIGNATURES or len(blob) > MAX_BLOB:
        return None
    signature, kind, named = _SIGNATURES[algorithm]
    fields = Fields(blob)
    if fields.string() != named:
        return None
    if named != kind:
        fields.string()  # The nonce.
    values = [fields.string() for _ in range(_FIELDS[kind])]
    if kind == b"ssh-rsa":
        bits = int.from_bytes(values[1], "big").bit_length()
        if not MIN_RSA <= bits <= MAX_RSA:
            return None
    if named == kind:
        fields.end()
    return OfferedKey(blob, signature, kind, b"".join(map(string, [kind, *values])))


def fingerprint(blob: bytes) -> str:
    """Return what ``ssh-keygen -l`` shows of a key: its SHA-256 in base64."""
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")
