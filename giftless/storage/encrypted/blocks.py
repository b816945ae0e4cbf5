"""Seal the bytes of an upload in blocks, each by itself, as they come.  Pure; what is long blocks.

An upload may break off anywhere, in a killed process as well, and go on in another one, or in
two at once that do not know of each other.  So a block may be sealed several times, and its
bytes may be others then, if clients send others.  With the nonces of
:mod:`giftless.storage.encrypted.segments`, which count, that would give away both.  Here the
nonce is made of the bytes themselves, as a pseudo-random function of them.  Equal bytes are
sealed equally, so whoever has the beginning of a sealed block can be given the rest of it;
other bytes are sealed under another nonce.

A sealed block is 12 bytes of nonce, the encrypted bytes, and a tag of 16 bytes::

    nonce = HMAC-SHA256(nonce key, place || bytes), cut to 12 bytes
    AES-256-GCM(content key, nonce, bytes, associated data: place)

The place is a byte that says what it is (``b`` for a block, ``t`` for the beginning of one,
which waits for the rest), and the block's number (64 bits, big endian).  The keys are
HKDF-SHA256 of a data key that belongs to one upload, with the ``info`` below.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from giftless.errors import ObjectCorrupt
from giftless.lfs.objects import Oid

#: How many bytes of an object a block holds; the last one may hold fewer.
BLOCK_SIZE: Final = 64 * 1024

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16

#: By how many bytes a block becomes longer.
OVERHEAD: Final = _NONCE_SIZE + _TAG_SIZE

#: How long a sealed block is that is full, in bytes.
SEALED_BLOCK: Final = BLOCK_SIZE + OVERHEAD

_KEY_SIZE: Final = 32

_BLOCK, _TAIL = b"b", b"t"


def count_blocks(size: int) -> int:
    """Return how many blocks an object of ``size`` bytes has; an empty one has none."""
    return -(-size // BLOCK_SIZE)


def sealed_size(size: int) -> int:
    """Return how long all blocks of an object of ``size`` bytes are."""
    return size + OVERHEAD * count_blocks(size)


def whole_blocks(sealed: int, size: int) -> int:
    """Return how many whole blocks there are.

    :param sealed: how many bytes have come of the sealed blocks.
    :param size: how many bytes the object has.
    """
    return count_blocks(size) if sealed == sealed_size(size) else sealed // SEALED_BLOCK


class BlockCipher:
    """Seals and opens the blocks of one upload.

    :param data_key: belongs to this upload alone.
    """

    def __init__(self, data_key: bytes) -> None:
        self._gcm = AESGCM(_derived(data_key, b"giftless blocks 1 content"))
        self._nonces = _derived(data_key, b"giftless blocks 1 nonces")
        self._names = _derived(data_key, b"giftless blocks 1 names")

    def seal(self, number: int, data: bytes) -> list[bytes]:
        """Seal the bytes of some blocks.  Blocks.

        :param number: of the first one, from 0 on.
        :param data: what they hold: all are full, but for the object's last one.
        """
        return [
            self._seal(_BLOCK, number + at // BLOCK_SIZE, data[at : at + BLOCK_SIZE])
            for at in range(0, len(data), BLOCK_SIZE)
        ]

    def open(self, number: int, sealed: bytes) -> bytes:
        """Return what a block holds.  Blocks.

        :raises ObjectDamaged: if it is not what was sealed for that place.
        """
        return self._open(_BLOCK, number, sealed)

    def seal_tail(self, number: int, data: bytes) -> bytes:
        """Seal the beginning of a block, which waits for the rest."""
        return self._seal(_TAIL, number, data)

    def open_tail(self, number: int, sealed: bytes) -> bytes:
        """Return the beginning of a block.

        :raises ObjectDamaged: if it is not what was sealed for that place.
        """
        return self._open(_TAIL, number, sealed)

    def name_of_tail(self, number: int) -> Oid:
        """Return what the beginning of a block is called: no other upload has this name."""
        return Oid(hmac.digest(self._names, number.to_bytes(8, "big"), hashlib.sha256).hex())

    def _seal(self, kind: bytes, number: int, data: bytes) -> bytes:
        place = kind + number.to_bytes(8, "big")
        nonce = hmac.digest(self._nonces, place + data, hashlib.sha256)[:_NONCE_SIZE]
        return nonce + self._gcm.encrypt(nonce, data, place)

    def _open(self, kind: bytes, number: int, sealed: bytes) -> bytes:
        place = kind + number.to_bytes(8, "big")
        try:
            return self._gcm.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], place)
        except (InvalidTag, ValueError):  # the latter if it is too short
            raise ObjectCorrupt.because("what has come of it is not authentic") from None


def _derived(data_key: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_SIZE, None, info).derive(data_key)
