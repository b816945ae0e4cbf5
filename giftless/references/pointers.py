"""Pointer files of git-lfs, read so that nothing is missed.

git-lfs has written pointers under three versions (``http://git-media.io/v/2``,
``https://hawser.github.com/spec/v1``, ``https://git-lfs.github.com/spec/v1``), with
extensions (``ext-0-name sha256:…``) and with either line ending; people have edited them,
and merges have left two in one file.  All have ``sha256:`` and 64 digits in common, so that
is what is looked for: something that only looks like a pointer keeps an object, which costs
its bytes; something that is overlooked would cost the object.

Specification: ``docs/spec.md`` of git-lfs, and its ``lfs/pointer.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from giftless.lfs.objects import MAX_SIZE as MAX_OBJECT_SIZE
from giftless.lfs.objects import Oid

#: The largest blob that is a pointer, in bytes.  git-lfs takes only smaller ones.
MAX_SIZE: Final = 1024

#: The smallest, in bytes.
MIN_SIZE: Final = len("sha256:") + 64

_NAMED: Final = re.compile(rb"sha256:([0-9a-f]{64})(?![0-9a-f])", re.IGNORECASE)


def digests(blob: bytes) -> Iterator[bytes]:
    """Yield the SHA-256 digests, of 32 bytes each, of the objects that a blob may name.

    :param blob: a whole blob of at most :data:`MAX_SIZE` bytes.
    """
    for named in _NAMED.finditer(blob):
        yield bytes.fromhex(named[1].decode())


#: How a pointer tells how long the object is, and what is no object of its own: what an
#: extension has made of it.
_SIZE: Final = re.compile(rb"^size ([0-9]{1,19})\r?$", re.MULTILINE)
_EXTENSION: Final = re.compile(rb"^ext-[0-9]-\S+ sha256:[0-9a-f]{64}\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a blob says of an object.

    :ivar size: how many bytes it has; ``None`` if the blob does not say so plainly.
    """

    oid: Oid
    size: int | None


def pointers(blob: bytes) -> Iterator[Pointer]:
    """Yield the objects that a blob names, with their sizes.

    Unlike :func:`digests`, what extensions name is left out: no server has it.

    :param blob: a whole blob of at most :data:`MAX_SIZE` bytes.
    """
    plain = _EXTENSION.sub(b"", blob)
    oids = list(dict.fromkeys(digest.hex() for digest in digests(plain)))
    sizes = _SIZE.findall(plain)
    # Two pointers in one blob are what a merge has left: none of both sizes is sure.
    size = int(sizes[0]) if len(sizes) == len(oids) == 1 else None
    for oid in oids:
        yield Pointer(Oid(oid), size if size is None or size <= MAX_OBJECT_SIZE else None)
