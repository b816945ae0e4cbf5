"""What is known of the scrub: how far it is, and what it has found."""

from __future__ import annotations

from typing import Final

import msgspec

#: What looking at an object takes beside reading it, told as bytes: how much of a disk
#: could be read while it finds a file.
OBJECT_COST: Final = 64 * 1024


class ScrubCounts(msgspec.Struct):
    """What one pass over the store has done.

    :ivar began_at: when it began, in seconds since the epoch.
    :ivar ended_at: the same for its end; 0 while it runs.
    :ivar objects: how many objects were examined.
    :ivar size: how many bytes these have.
    :ivar read: how many bytes were read: the others the store vouches for.
    :ivar findings: how many objects were not well, by outcome.
    """

    began_at: float
    ended_at: float = 0.0
    objects: int = 0
    size: int = 0
    read: int = 0
    findings: dict[str, int] = {}

    @property
    def weight(self) -> int:
        """How much work it was, in bytes."""
        return self.size + self.objects * OBJECT_COST

    @property
    def not_well(self) -> int:
        """How many objects were not well."""
        return sum(self.findings.values())


class ScrubFinding(msgspec.Struct, frozen=True):
    """An object that is not well.

    :ivar at: when that was found, in seconds since the epoch.
    :ivar repo: the repository.
    :ivar outcome: one word or two: ``wrong bytes``.
    :ivar words: what was found.
    :ivar marked: whether it was marked as damaged.
    """

    at: float
    repo: str
    oid: str
    size: int
    outcome: str
    words: str
    marked: bool = False


class ScrubFacts(msgspec.Struct):
    """How far the scrub is.

    :ivar period: how long a pass is to take, in seconds.
    :ivar active_at: when it last did something, or waited for its time, in seconds since
        the epoch.
    :ivar running: the pass that runs, or has ended and waits for the next one to begin.
    :ivar expected_objects: how many objects that has to examine, as far as is known.
    :ivar expected_size: how many bytes these have.
    :ivar last: the last pass that came to its end; ``None`` if none did.
    :ivar passes: how many did.
    :ivar findings: what was found last, the newest first.
    """

    period: float
    active_at: float
    running: ScrubCounts
    expected_objects: int = 0
    expected_size: int = 0
    last: ScrubCounts | None = None
    passes: int = 0
    findings: list[ScrubFinding] = []

    @property
    def not_well(self) -> int:
        """How many objects were not well in the last complete pass, and since."""
        if self.running.ended_at or self.last is None:
            return self.running.not_well
        return self.running.not_well + self.last.not_well

    @property
    def left(self) -> int:
        """How much work is left of the pass that runs, in bytes, as far as is known."""
        if self.running.ended_at:
            return 0
        expected = self.expected_size + self.expected_objects * OBJECT_COST
        return max(expected - self.running.weight, 0)

    @property
    def progress(self) -> float:
        """Which part of the pass that runs is done, from 0 to 1."""
        if self.running.ended_at:
            return 1.0
        whole = self.running.weight + self.left
        return self.running.weight / whole if whole else 0.0

    @property
    def due_at(self) -> float:
        """When the pass that runs is to end, and the next one to begin; since the epoch."""
        return self.running.began_at + self.period
