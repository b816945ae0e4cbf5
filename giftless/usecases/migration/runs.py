"""Options and reports of a migration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from giftless.lfs.objects import ObjectKey
from giftless.usecases.migration.copier import Outcome


class Left(msgspec.Struct, frozen=True):
    """An object that could not be copied.

    :ivar problem: why, in words.
    """

    key: ObjectKey
    outcome: Outcome
    problem: str


class Sums(msgspec.Struct):
    """How much there is of something."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count an object of so many bytes."""
        self.objects += 1
        self.bytes += size


class Report(msgspec.Struct):
    """What a migration has done.

    :ivar passes: how often the old store was listed.
    :ivar source: what was in the old store in the last pass.
    :ivar equal: what of that is in the new store, with its size and verified bytes.
    :ivar target: what is in the new store in all.
    :ivar copied: what was copied by this run.
    :ivar compared: what was there already, and was verified by this run.
    :ivar removed: how many copies were removed again, because they were deleted meanwhile.
    :ivar left: by outcome, how many objects could not be copied in the last pass.
    """

    passes: int = 0
    source: Sums = msgspec.field(default_factory=Sums)
    equal: Sums = msgspec.field(default_factory=Sums)
    target: Sums = msgspec.field(default_factory=Sums)
    copied: Sums = msgspec.field(default_factory=Sums)
    compared: Sums = msgspec.field(default_factory=Sums)
    removed: int = 0
    left: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the last pass has found everything in the new store."""
        return self.source == self.equal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How all objects of two stores are gone through, and who is told of it.

    :ivar jobs: how many objects are copied or verified at once.
    :ivar trash: whether the trash counts, too.
    :ivar begins: is told when a pass begins: its number, and how much there is to do.
    :ivar passed: is told how many more bytes are done that need not be copied or read.
    :ivar left: is told of each object that is not as it should be, once.
    """

    jobs: int
    trash: bool
    begins: Callable[[int, Sums], object]
    passed: Callable[[int], object]
    left: Callable[[Left], object]

    @property
    def trashes(self) -> Sequence[bool]:
        """What is listed: the objects (``False``), and perhaps the trash (``True``)."""
        return (False, True) if self.trash else (False,)
