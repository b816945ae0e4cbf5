"""The set of all objects that are needed, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: How many bytes of a digest choose its bucket, and how many are kept there.
_PREFIX: Final = 2
_REST: Final = 32 - _PREFIX


class KeepSet:
    """A set of SHA-256 digests: some 40 bytes for each of a million.

    A set of Python's takes 150.  Digests are as good as random, so buckets by their first
    bytes are of about the same size, and short enough to be searched from end to end.
    """

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        bucket = self._buckets.get(digest[:_PREFIX])
        return bucket is not None and _holds(bucket, digest[_PREFIX:])

    def __iter__(self) -> Iterator[bytes]:
        for prefix, bucket in self._buckets.items():
            for start in range(0, len(bucket), _REST):
                yield prefix + bucket[start : start + _REST]

    def add(self, digest: bytes) -> bool:
        """Add a digest of 32 bytes.

        :returns: whether it was not there before.
        """
        bucket = self._buckets.setdefault(digest[:_PREFIX], bytearray())
        rest = digest[_PREFIX:]
        if _holds(bucket, rest):
            return False
        bucket += rest
        self._count += 1
        return True


def _holds(bucket: bytearray, rest: bytes) -> bool:
    found = bucket.find(rest)
    while found % _REST and found >= 0:
        # The end of one and the beginning of the next.
        found = bucket.find(rest, found + 1)
    return found >= 0
