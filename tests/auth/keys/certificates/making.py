"""Certificates with any field as a test wants it, signed by an authority of its own."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.ssh_keys import blob_of, string

FOREVER = (1 << 64) - 1


class Authority:
    """Signs whatever it is given.

    :ivar line: its public key.
    """

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        public = self._private.public_key()
        self.line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def sign(self, data: bytes) -> bytes:
        """Sign."""
        return string(b"ssh-ed25519") + string(self._private.sign(data))

    def certify(
        self,
        line: str,
        principals: Sequence[str | bytes] = ("alice",),
        *,
        kind: bytes = b"ssh-ed25519-cert-v01@openssh.com",
        serial: int = 0,
        purpose: int = 1,
        key_id: bytes = b"id",
        valid: tuple[int, int] = (0, FOREVER),
        critical: Sequence[tuple[str, bytes]] = (),
        extensions: Sequence[tuple[str, bytes]] = (),
        authority: str = "",
        tail: bytes = b"",
    ) -> bytes:
        """Make a certificate.

        :param line: the key that it is for.
        :param authority: the key that it says it is signed with, if not this one's.
        :param tail: what follows the signature.
        """
        names = [name if isinstance(name, bytes) else name.encode() for name in principals]
        plain = blob_of(line)
        length = int.from_bytes(plain[:4], "big")
        data = b"".join(
            (
                string(kind),
                string(b"nonce" * 6),
                plain[4 + length :],
                serial.to_bytes(8, "big"),
                purpose.to_bytes(4, "big"),
                string(key_id),
                string(b"".join(map(string, names))),
                valid[0].to_bytes(8, "big"),
                valid[1].to_bytes(8, "big"),
                string(b"".join(string(name.encode()) + string(data) for name, data in critical)),
                string(b"".join(string(name.encode()) + string(data) for name, data in extensions)),
                string(b""),
                string(blob_of(authority or self.line)),
            )
        )
        return data + string(self.sign(data)) + tail
