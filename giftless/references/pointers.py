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
from typing import Final

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
