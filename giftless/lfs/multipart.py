"""Objects in parts: how one is divided, and how its parts are told to clients.

The ``multipart-basic`` transfer: an upload's actions are ``parts``, to be sent
in any order and at the same time, then ``commit`` (or ``abort``) and
``verify``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from giftless.errors import Conflict, PayloadTooLarge
from giftless.lfs.objects import Action

#: The size of parts if the configuration does not say, in bytes.
PART_SIZE: Final = 32 * 1024 * 1024

#: The parts of an object that needs larger ones than configured are multiples
#: of this, in bytes.
GRANULE: Final = 1024 * 1024

#: How many parts an error names.
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an object.

    :ivar number: its place, from 1.
    :ivar pos: the offset of its first byte.
    :ivar size: how many bytes it has.
    """

    number: int
    pos: int
    size: int


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How an object is divided: equal parts, and the rest as the last one.

    :ivar size: the object's size in bytes.
    :ivar part_size: the size of every part but the last, in bytes; at least 1.
    """

    size: int
    part_size: int

    @property
    def count(self) -> int:
        """How many parts there are; an empty object has one."""
        return max(1, -(-self.size // self.part_size))

    def part(self, number: int) -> Part | None:
        """Return a part; ``None`` if there is no such."""
        if not 1 <= number <= self.count:
            return None
        pos = (number - 1) * self.part_size
        return Part(number, pos, min(self.part_size, self.size - pos))

    def __iter__(self) -> Iterator[Part]:
        for pos in range(0, max(1, self.size), self.part_size):
            yield Part(pos // self.part_size + 1, pos, min(self.part_size, self.size - pos))

    def missing(self, found: Mapping[int, int]) -> list[Part]:
        """Return the parts that are not there.

        :param found: the sizes of those that are, in bytes, by number.  One
            of another size is of another plan, or damaged: it counts as absent.
        """
        return [part for part in self if found.get(part.number) != part.size]


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What a store takes.

    :ivar min_size: the least that a part other than the last may have, in bytes.
    :ivar max_size: the most that a part may have, in bytes.
    :ivar max_parts: how many there may be.
    """

    min_size: int
    max_size: int
    max_parts: int

    def plan(self, size: int, wanted: int) -> PartPlan:
        """Divide an object.

        :param size: the object's size in bytes.
        :param wanted: the size that parts should have, in bytes.  It is
            brought into the limits, and grows until the object fits.
        :raises PayloadTooLarge: if the object cannot fit.
        """
        least = min(max(wanted, self.min_size), self.max_size)
        needed = -(-size // self.max_parts)
        if needed <= least:
            return PartPlan(size, least)
        grown = min(-(-needed // GRANULE) * GRANULE, self.max_size)
        if grown < needed:
            most = self.max_size * self.max_parts
            raise PayloadTooLarge(
                f"the object has {size} bytes; this storage takes up to {most}, even in parts"
            )
        return PartPlan(size, grown)


class PartAction(Action, frozen=True, omit_defaults=True, kw_only=True):
    """What a client does to send one part.

    :ivar pos: the offset of the part's first byte.
    :ivar size: how many bytes it has.
    :ivar want_digest: the digest of the part that should come with it (RFC
        3230): ``contentMD5`` stands for a ``Content-MD5`` header.
    """

    pos: int
    size: int
    want_digest: str = ""

    @classmethod
    def of(cls, action: Action, part: Part, want_digest: str = "") -> PartAction:
        """Say which bytes ``action`` sends."""
        return cls(
            action.href,
            action.header,
            action.expires_in,
            pos=part.pos,
            size=part.size,
            want_digest=want_digest,
        )


def parts_are_missing(parts: Sequence[Part]) -> Conflict:
    """Return the error for a client that commits too early."""
    named = ", ".join(str(part.number) for part in parts[:_NAMED])
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    noun, verb = ("part", "is") if len(parts) == 1 else ("parts", "are")
    return Conflict(
        f"{noun} {named}{more} {verb} missing; ask for a new batch and send what it lists"
    )
