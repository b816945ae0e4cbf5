"""How much is taken of what one organisation or repository may have."""

from __future__ import annotations

import msgspec


class QuotaLevel(msgspec.Struct, frozen=True):
    """How much of what an owner may have is taken, in bytes.

    :ivar name: the path of the organisation or repository.
    :ivar org: whether it is an organisation.
    :ivar limit: how much it may store; ``None`` for any number.
    :ivar used: how much its objects have.
    :ivar reserved: how much more is promised to uploads.
    :ivar warning: from how much on there is a warning; ``None`` if there is no limit.
    :ivar downloads: how much may be downloaded in a period; ``None`` for any number.
    :ivar downloaded: how much has been, in this one.
    """

    name: str
    org: bool
    limit: int | None = None
    used: int = 0
    reserved: int = 0
    warning: int | None = None
    downloads: int | None = None
    downloaded: int = 0

    @property
    def fullness(self) -> float:
        """Which part of its limit is taken, or of its budget if that is more."""
        stored = part_of(self.used + self.reserved, self.limit)
        return max(stored, part_of(self.downloaded, self.downloads))

    @property
    def near(self) -> bool:
        """Whether it has reached its warning level, or its budget."""
        stored = self.warning is not None and self.used + self.reserved >= self.warning
        return stored or part_of(self.downloaded, self.downloads) >= 1


def part_of(taken: int, whole: int | None) -> float:
    """Return which part of a limit is taken.

    :param whole: the limit; ``None`` if there is none.
    """
    if whole is None:
        return 0.0
    return taken / whole if whole else 1.0
