"""The cipher XChaCha20 without a check, as rudolfs encrypts objects with it.

XChaCha20 (draft-irtf-cfrg-xchacha) is ChaCha20 with a key that HChaCha20 derives from the key
and 16 bytes of the nonce.  OpenSSL has the former; the latter is one block, done here.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

#: The length of a key and of a nonce, in bytes.
KEY_SIZE: Final = 32
NONCE_SIZE: Final = 24

_CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")

#: Which words each of the quarter rounds of a double round mixes.
_ROUNDS: Final = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def xchacha20(key: bytes, nonce: bytes) -> Any:
    """Return what decrypts, and encrypts, a stream from its beginning: it has ``update``.

    :raises ValueError: if key or nonce have another length.
    """
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise ValueError("a key has 32 bytes, a nonce 24")
    derived = hchacha20(key, nonce[:16])
    # A counter of 64 bits, which begins with 0, and the rest of the nonce.
    return Cipher(ChaCha20(derived, bytes(8) + nonce[16:]), mode=None).decryptor()


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """Derive a key from one of 32 bytes and a nonce of 16."""
    words = [*_CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)]
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            for to, add, turn, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                words[to] = words[to] + words[add] & 0xFFFFFFFF
                mixed = words[turn] ^ words[to]
                words[turn] = (mixed << by | mixed >> 32 - by) & 0xFFFFFFFF
    return struct.pack("<8I", *words[:4], *words[12:])
