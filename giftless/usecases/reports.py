"""What owners and operators are told of stored objects: the JSON of commands and of the API.

The names of the members are a promise to whoever reads them: add, but never rename.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from giftless.errors import LFSError
from giftless.interfaces.catalogue import Entry, Usage, UsageRow
from giftless.lfs.objects import ObjectKey
from giftless.observers.rendering import time_text


class ObjectReport(msgspec.Struct, frozen=True, gc=False):
    """A stored object.

    :ivar size: in bytes.
    :ivar stored_at: when it was stored (RFC 3339).
    :ivar offered_at: when a client that pushes named it last.
    :ivar who: the name of whoever stored it; empty if unknown.
    :ivar principal: who that was; empty if unknown.
    :ivar filename: a name that it has in a working tree; empty if unknown.
    """

    repo: str
    oid: str
    size: int
    stored_at: str
    offered_at: str
    who: str
    principal: str
    filename: str

    @classmethod
    def of(cls, entry: Entry) -> ObjectReport:
        """Tell of an entry of the catalogue."""
        return cls(
            entry.key.repo.path,
            str(entry.key.oid),
            entry.size,
            time_text(entry.stored_at),
            time_text(entry.offered_at),
            entry.who,
            entry.principal,
            entry.filename,
        )


class TrashReport(msgspec.Struct, frozen=True, gc=False):
    """An object in the trash; see :class:`ObjectReport`.

    :ivar moved_at: when it was moved there.
    :ivar moved_by: by whom; empty if unknown.
    :ivar reason: why, in words; empty if unknown.
    :ivar kept_until: from when on it is deleted for good.
    """

    repo: str
    oid: str
    size: int
    stored_at: str
    who: str
    principal: str
    filename: str
    moved_at: str
    moved_by: str
    reason: str
    kept_until: str

    @classmethod
    def of(cls, entry: Entry, keep: float) -> TrashReport:
        """Tell of an entry of the catalogue.

        :param keep: for how many seconds objects stay in the trash.
        """
        return cls(
            entry.key.repo.path,
            str(entry.key.oid),
            entry.size,
            time_text(entry.stored_at),
            entry.who,
            entry.principal,
            entry.filename,
            time_text(entry.moved_at),
            entry.moved_by,
            entry.reason,
            time_text(entry.moved_at + keep),
        )


class UsageReport(msgspec.Struct, frozen=True):
    """How much is stored.

    :ivar by: what the rows are about.
    :ivar repo: only of this repository; empty if of all.
    :ivar rows: the largest first.
    :ivar total: of everything in question, whether or not it has a row.
    :ivar logical_size: how many bytes the objects have, those in the trash included.
    :ivar physical_size: how many bytes they take in the store, which may keep equal
        objects once.
    """

    by: str
    repo: str
    rows: Sequence[UsageRow]
    total: UsageRow
    logical_size: int
    physical_size: int

    @classmethod
    def of(cls, usage: Usage, by: str, repo: str, shares: bool) -> UsageReport:
        """Tell of what the catalogue has added up.

        :param shares: whether the store keeps equal objects once.
        """
        logical = usage.total.size + usage.total.trashed_size
        physical = usage.distinct_size if shares else logical
        return cls(by, repo, usage.rows, usage.total, logical, physical)


class MoveReport(msgspec.Struct, frozen=True):
    """What has become of a whole repository.

    :ivar objects: how many objects were moved or copied.
    :ivar left: how many stay where they were, because they are damaged or in use.
    :ivar locks: how many locks were moved or removed.
    """

    objects: int
    left: int = 0
    locks: int = 0


class ResultReport(msgspec.Struct, frozen=True, gc=False):
    """What became of an object.

    :ivar result: ``moved`` (into the trash), ``spared`` (somebody else is moving it
        just now), ``absent``, ``failed`` or ``restored``.
    :ivar problem: why it failed; empty if it did not.
    """

    repo: str
    oid: str
    result: str
    problem: str = ""


def results(
    failed: Mapping[ObjectKey, LFSError] = {}, **done: Iterable[ObjectKey]
) -> list[ResultReport]:
    """Tell what became of objects.

    :param failed: why nothing became of some.
    :param done: the others, by their result.
    """
    reports = [
        ResultReport(key.repo.path, str(key.oid), result)
        for result, keys in done.items()
        for key in keys
    ]
    reports += [
        ResultReport(key.repo.path, str(key.oid), "failed", error.message)
        for key, error in failed.items()
    ]
    return reports
