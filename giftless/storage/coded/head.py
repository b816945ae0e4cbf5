"""The head of a coded object: 512 bytes in front of its content.

It is a skippable frame of Zstandard (RFC 8878, section 3.1.2), so a stored object that is
compressed and not sealed is a file that every ``zstd`` unpacks.  All numbers are
little-endian::

    offset  bytes
         0      4  magic of a skippable frame, 0x184D2A5C
         4      4  bytes of the frame behind this: 504
         8      8  "giftless"
        16      1  version: 1
        17      1  flags: 1 compressed, 2 sealed
        18      8  bytes of the object; all ones if not known (never if compressed)
        26      1  bytes of the key's id
        27     64  id of the key that the data key is wrapped with, ASCII
        91      2  bytes of the wrapped data key
        93    300  the wrapped data key
       393    103  zeros
       496     16  checksum of the object's oid and of all before: a MAC if sealed,
                   otherwise a CRC-32 and zeros

An object that is stored and does not begin so is plaintext.  One that nearly does is
taken for a damaged head, not for plaintext: so no flipped bit turns ciphertext into an object.
That is why an object that itself begins so is never stored as it is.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Final

from giftless.errors import ObjectCorrupt
from giftless.lfs.objects import MAX_SIZE, Oid

#: How many bytes a head has.
HEAD_SIZE: Final = 512

#: The most bytes that the id of a key, and a wrapped data key, may have.
MAX_KEY_ID: Final = 64
MAX_WRAPPED_KEY: Final = 300

#: How many bytes the checksum has.
CHECKSUM_SIZE: Final = 16

#: What every head begins with.
MAGIC: Final = struct.pack("<II", 0x184D2A5C, HEAD_SIZE - 8) + b"giftless"

#: How many bytes of the magic may be wrong in what is still taken for a head.
_TOLERANCE: Final = 4

_VERSION: Final = 1
_COMPRESSED: Final = 1
_SEALED: Final = 2

#: The size of an object whose size is not known.
_UNKNOWN: Final = 2**64 - 1

#: Version, flags, size, the key's id, the wrapped key; padded up to the checksum.
_FIELDS: Final = struct.Struct(f"<16sBBQB{MAX_KEY_ID}sH{MAX_WRAPPED_KEY}s103x")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in a head.

    :ivar compressed: whether the content is compressed (before it is sealed).
    :ivar sealed: whether the content is sealed.
    :ivar size: the object's size in bytes; ``None`` if it was not known when the head was
        written: then nothing is compressed, and the stored size tells it.
    :ivar key_id: which key has wrapped the data key; empty if not sealed.
    :ivar wrapped_key: the data key, wrapped; empty if not sealed.
    :ivar mac: the 16 bytes that whoever seals computes over :meth:`covered`; empty until
        then, and if not sealed.
    """

    compressed: bool
    sealed: bool
    size: int | None
    key_id: str = ""
    wrapped_key: bytes = b""
    mac: bytes = b""

    @property
    def flags(self) -> int:
        """The byte that says what has been done to the content."""
        return _COMPRESSED * self.compressed | _SEALED * self.sealed

    @property
    def size_field(self) -> bytes:
        """The 8 bytes that hold the object's size."""
        return struct.pack("<Q", _UNKNOWN if self.size is None else self.size)

    def covered(self, oid: Oid) -> bytes:
        """Return the bytes that the checksum is of: the object's oid, and the head before it.

        :raises ValueError: if the key's id or the wrapped key does not fit.
        """
        key_id = self.key_id.encode("ascii")
        if len(key_id) > MAX_KEY_ID or len(self.wrapped_key) > MAX_WRAPPED_KEY:
            raise ValueError("the key's id or the wrapped key is too long for a head")
        size = _UNKNOWN if self.size is None else self.size
        fields = (MAGIC, _VERSION, self.flags, size, len(key_id), key_id)
        return oid.encode() + _FIELDS.pack(*fields, len(self.wrapped_key), self.wrapped_key)

    def encode(self, oid: Oid) -> bytes:
        """Return the head of an object as it is stored.

        :raises ValueError: if it is sealed and has no key or no MAC, or something does not fit.
        """
        covered = self.covered(oid)
        if self.sealed and (not self.wrapped_key or len(self.mac) != CHECKSUM_SIZE):
            raise ValueError("a sealed head has a wrapped key and a MAC")
        return covered[len(oid) :] + (self.mac if self.sealed else _checksum(covered))


def resembles_head(start: bytes) -> bool:
    """Tell whether stored bytes begin with a head, or with what may be a damaged one.

    :param start: the first bytes of what is stored; those of a whole magic, if there are as
        many.
    """
    if len(start) < len(MAGIC):
        return False
    wrong = sum(one != other for one, other in zip(start, MAGIC, strict=False))
    return wrong <= _TOLERANCE


def parse_head(start: bytes, oid: Oid) -> Head | None:
    """Read what stored bytes begin with.

    :param start: the first :data:`HEAD_SIZE` bytes, or all if there are fewer.
    :param oid: the object's.
    :returns: ``None`` if they are plaintext.  A sealed head is not known to be authentic
        before its MAC was compared.
    :raises ObjectDamaged: if they are a head that cannot be right.
    """
    if not resembles_head(start):
        return None
    if len(start) < HEAD_SIZE:
        raise ObjectCorrupt.because("its stored head is cut off")
    magic, version, flags, size, id_length, key_id, key_length, key = _FIELDS.unpack(
        start[: _FIELDS.size]
    )
    if magic != MAGIC or flags > _COMPRESSED | _SEALED or id_length > MAX_KEY_ID:
        raise _wrong()
    if version != _VERSION:
        raise ObjectCorrupt.because(f"its stored head has version {version}, which is not known")
    if key_length > MAX_WRAPPED_KEY or (size > MAX_SIZE and size != _UNKNOWN):
        raise _wrong()
    compressed, sealed = bool(flags & _COMPRESSED), bool(flags & _SEALED)
    if (
        (compressed and size == _UNKNOWN)
        or sealed != bool(key_length)
        or (id_length and not sealed)
    ):
        raise _wrong()
    try:
        name = key_id[:id_length].decode("ascii")
    except UnicodeDecodeError:
        raise _wrong() from None
    head = Head(compressed, sealed, None if size == _UNKNOWN else size, name, key[:key_length], b"")
    checksum = start[_FIELDS.size : HEAD_SIZE]
    covered = head.covered(oid)
    if covered[len(oid) :] != start[: _FIELDS.size]:
        raise _wrong()  # what should be zeros is not
    if sealed:
        return replace(head, mac=checksum)
    if checksum != _checksum(covered):
        raise _wrong()
    return head


def _checksum(covered: bytes) -> bytes:
    return struct.pack("<I12x", zlib.crc32(covered))


def _wrong() -> ObjectCorrupt:
    return ObjectCorrupt.because("its stored head is wrong")
