"""The packets of SSH, when they are encrypted (RFC 4253 section 6).

Conch's own code copies each of them eight times.  This copies them three times, and lets
OpenSSL compute each digest in one call: twice as much passes in the same time.
"""

from __future__ import annotations

import hmac
import os
import struct
from typing import Any, Final

from giftless.sshd.errors import BrokenProtocol

#: The longest packet that is taken, in bytes, as in OpenSSH.
MAX_PACKET: Final = 256 * 1024

#: The length of AES's blocks, in bytes.
_BLOCK: Final = 16

_DIGESTS: Final = {b"hmac-sha2-256": "sha256", b"hmac-sha2-512": "sha512"}

_MAX_SEQUENCE: Final = 2**32 - 1

_head = struct.Struct(">LLB")
_length_of = struct.Struct(">LB")


class Sealer:
    """Encrypts the packets that go out, under one set of keys.

    :param encryptions: Conch's ``SSHCiphers``, whose keys are set.
    """

    def __init__(self, encryptions: Any) -> None:
        self._encrypt = encryptions.encryptor.update
        self._key = encryptions.outMAC.key
        self._digest = _DIGESTS[encryptions.outMACType]

    def seal(self, sequence: int, payload: bytes) -> tuple[bytes, bytes]:
        """Return a packet, encrypted, and what proves that it is genuine."""
        padding = _BLOCK - (5 + len(payload)) % _BLOCK
        if padding < 4:
            padding += _BLOCK
        head = _head.pack(sequence & _MAX_SEQUENCE, 1 + len(payload) + padding, padding)
        packet = b"".join((head, payload, os.urandom(padding)))
        return (
            self._encrypt(memoryview(packet)[4:]),
            hmac.digest(self._key, packet, self._digest),
        )


class Opener:
    """Decrypts the packets that come in, under one set of keys.

    :param encryptions: Conch's ``SSHCiphers``, whose keys are set.
    """

    def __init__(self, encryptions: Any) -> None:
        self._decrypt = encryptions.decryptor.update
        self._key = encryptions.inMAC.key
        self._digest = _DIGESTS[encryptions.inMACType]
        self._digest_size = encryptions.verifyDigestSize
        self._buffer = bytearray()
        self._first = b""
        self._wanted = 0

    def feed(self, data: bytes) -> None:
        """Take what has come from the client."""
        self._buffer += data

    def rest(self) -> bytes:
        """Return what has come and is not decrypted: it belongs to the next keys."""
        assert not self._first, "keys change between two packets"
        return bytes(self._buffer)

    def next(self, sequence: int) -> bytes | None:
        """Return the payload of the next packet.

        :returns: ``None`` if it has not arrived as a whole.
        :raises BrokenProtocol: if it is too long, or not genuine.
        """
        buffer = self._buffer
        if not self._first:
            if len(buffer) < _BLOCK:
                return None
            self._first = self._decrypt(buffer[:_BLOCK])
            length, _ = _length_of.unpack_from(self._first)
            self._wanted = length + 4 + self._digest_size
            if length > MAX_PACKET or (length + 4) % _BLOCK:
                raise BrokenProtocol("a packet has a length that none can have")
        if len(buffer) < self._wanted:
            return None
        end = self._wanted - self._digest_size
        with memoryview(buffer) as view:
            packet = b"".join(
                (
                    (sequence & _MAX_SEQUENCE).to_bytes(4, "big"),
                    self._first,
                    self._decrypt(view[_BLOCK:end]),
                )
            )
            genuine = hmac.compare_digest(
                view[end : self._wanted], hmac.digest(self._key, packet, self._digest)
            )
        if not genuine:
            raise BrokenProtocol("a packet is not genuine")
        del buffer[: self._wanted]
        self._first = b""
        padding = packet[8]
        if padding < 4 or padding + 9 >= len(packet):
            raise BrokenProtocol("a packet has more padding than room for it")
        return packet[9:-padding]
