"""Seal and open bytes in segments, as Tink's streaming AEAD does.  Pure; what is long blocks.

The construction is Tink's AES-GCM-HKDF with the parameters of its template
``AES256_GCM_HKDF_1MB`` (https://developers.google.com/tink/wire-format and
``streaming-aead/aes_gcm_hkdf_streaming``), byte by byte:

- a header: its own length (40, one byte), a random salt (32 bytes), a random nonce prefix
  (7 bytes);
- segments of 1 MiB, the first one shorter by the header: AES-256-GCM of the bytes, and a
  tag of 16 bytes.  The key of all of them is HKDF-SHA256 of the data key, with the salt, and
  with the associated data as ``info``.  The nonce is the prefix, the segment's number (32
  bits, big endian), and a byte that is 1 for the last segment alone.

So no segment can be changed, moved, repeated or left out, nor can the end be cut off, nor a
segment of something else be put in, without its tag being wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zope.interface import implementer

from giftless.errors import ObjectCorrupt
from giftless.storage.coded.sealing import IOpener, ISealer, Segment

#: How long a sealed segment is, in bytes; the last one may be shorter.
SEGMENT_SIZE: Final = 1024 * 1024

#: How long the header is, in bytes, with the byte that says so.
HEADER_SIZE: Final = 1 + 32 + 7

#: How long a data key is, in bytes, and the key that is derived of it.
KEY_SIZE: Final = 32

_SALT_SIZE: Final = 32
_TAG_SIZE: Final = 16

#: How many bytes the first segment holds, and each other one.
_FIRST: Final = SEGMENT_SIZE - HEADER_SIZE - _TAG_SIZE
_NEXT: Final = SEGMENT_SIZE - _TAG_SIZE

#: The number of a segment has 32 bits.
_MAX_SEGMENTS: Final = 2**32


def sealed_size(size: int) -> int:
    """Return how long ``size`` bytes are when they are sealed."""
    return HEADER_SIZE + size + _TAG_SIZE * _segments(size)


def opened_size(size: int) -> int:
    """Return how many bytes are sealed in ``size`` bytes.

    :raises ObjectDamaged: if nothing sealed has that size: a part of it is missing.
    """
    opened = size - HEADER_SIZE - _TAG_SIZE * max(1, -(-size // SEGMENT_SIZE))
    if opened < 0 or sealed_size(opened) != size or _segments(opened) > _MAX_SEGMENTS:
        raise ObjectCorrupt.because("a part of what is stored is missing, or there is too much")
    return opened


def segments(start: int, end: int, size: int) -> Iterator[Segment]:
    """Yield the segments that hold a range, in order.

    :param start: its first byte.
    :param end: one past its last byte, more than ``start`` and at most ``size``.
    :param size: how many bytes are sealed in all.
    """
    last = _segments(size) - 1
    for number in range(_segment_of(start), _segment_of(end - 1) + 1):
        yield Segment(
            number=number,
            start=number * SEGMENT_SIZE if number else HEADER_SIZE,
            end=sealed_size(size) if number == last else (number + 1) * SEGMENT_SIZE,
            offset=_FIRST + (number - 1) * _NEXT if number else 0,
            is_last=number == last,
        )


@implementer(ISealer)
class SegmentSealer:
    """Seals bytes as they come, once; see :class:`giftless.storage.coded.sealing.ISealer`.

    It keeps one segment in memory.

    :param key: the data key.
    :param associated: what the bytes belong to; whoever opens them must say the same.
    """

    def __init__(self, key: bytes, associated: bytes) -> None:
        salt, prefix = os.urandom(_SALT_SIZE), os.urandom(HEADER_SIZE - 1 - _SALT_SIZE)
        self._header = bytes([HEADER_SIZE]) + salt + prefix
        self._cipher = _Cipher(key, associated, self._header)
        self._number = 0
        self._room = _FIRST
        # One piece of memory for all segments; the kernel gives what is used of it.
        self._pending = memoryview(bytearray(_NEXT))
        self._filled = 0

    def update(self, chunks: Sequence[bytes]) -> list[bytes]:
        """See :meth:`giftless.storage.coded.sealing.ISealer.update`.

        :raises ValueError: if there are more than can be sealed (4 PiB).
        """
        sealed = []
        for chunk in chunks:
            rest = memoryview(chunk)
            # The last segment is sealed as the last: one is kept until more bytes come.
            while self._filled + len(rest) > self._room:
                taken = self._room - self._filled
                self._keep(rest[:taken])
                rest = rest[taken:]
                sealed.append(self._seal(False))
            self._keep(rest)
        return sealed

    def finish(self) -> list[bytes]:
        """See :meth:`giftless.storage.coded.sealing.ISealer.finish`."""
        return [self._seal(True)]

    def _keep(self, data: memoryview) -> None:
        self._pending[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def _seal(self, last: bool) -> bytes:
        header = b"" if self._number else self._header
        segment = self._cipher.seal(self._number, self._pending[: self._filled], last, header)
        self._number += 1
        self._room = _NEXT
        self._filled = 0
        return segment


@implementer(IOpener)
class SegmentOpener:
    """Opens segments, in any order; see :class:`giftless.storage.coded.sealing.IOpener`.

    :param key: the data key.
    :param associated: what the bytes belong to.
    :param header: the header of what is sealed.
    :param sealed: how long that is in all, the header included.
    :raises ObjectDamaged: if that is no header, or nothing sealed is so long.
    """

    def __init__(self, key: bytes, associated: bytes, header: bytes, sealed: int) -> None:
        if len(header) != HEADER_SIZE or header[0] != HEADER_SIZE:
            raise ObjectCorrupt.because("it does not begin as what is sealed")
        self._size = opened_size(sealed)
        self._cipher = _Cipher(key, associated, header)

    def segments(self, start: int, end: int) -> Iterator[Segment]:
        """See :meth:`giftless.storage.coded.sealing.IOpener.segments`."""
        return segments(start, end, self._size)

    def open(self, segment: Segment, stored: bytes) -> bytes:
        """See :meth:`giftless.storage.coded.sealing.IOpener.open`."""
        return self._cipher.open(segment.number, stored, segment.is_last)


class _Cipher:
    """AES-256-GCM with the key and nonces of one sealed object."""

    def __init__(self, key: bytes, associated: bytes, header: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        salt = header[1 : 1 + _SALT_SIZE]
        self._prefix = header[1 + _SALT_SIZE :]
        self._gcm = AESGCM(HKDF(SHA256(), KEY_SIZE, salt, associated).derive(key))

    def seal(self, number: int, data: memoryview, last: bool, header: bytes) -> bytes:
        """Return the header, if there is one, and the sealed data."""
        return header + self._gcm.encrypt(self._nonce(number, last), data, None)

    def open(self, number: int, data: bytes, last: bool) -> bytes:
        """Return what was sealed.

        :raises ObjectDamaged: if it is not authentic.
        """
        try:
            return self._gcm.decrypt(self._nonce(number, last), data, None)
        except InvalidTag:
            raise ObjectCorrupt.because("a stored segment is not authentic") from None

    def _nonce(self, number: int, last: bool) -> bytes:
        if number >= _MAX_SEGMENTS:
            raise ValueError("there are too many bytes to be sealed")
        return self._prefix + number.to_bytes(4, "big") + bytes([last])


def _segments(size: int) -> int:
    """Return the number of segments of ``size`` bytes; nothing at all is one as well."""
    return 1 if size <= _FIRST else 1 - (_FIRST - size) // _NEXT


def _segment_of(offset: int) -> int:
    """Return the number of the segment that holds a byte."""
    return 0 if offset < _FIRST else 1 + (offset - _FIRST) // _NEXT
