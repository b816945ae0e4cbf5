"""Keep the sums of entries: they change in the transactions that change entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from operator import add, attrgetter, neg
from typing import Final

from giftless.catalogue.session import IN_PLACE, STORED, TRASHED, Row, Session
from giftless.catalogue.texts import extension_of, month_of, person_of

#: What usage is counted by, beside repositories, and the numbers of these in the database.
KINDS: Final = {"person": 1, "age": 2, "name": 3}

#: Stands for all repositories together.
ALL: Final = 0

#: What of a row is counted.
_COUNTED: Final = attrgetter("repo", "size", "state", "who", "filename", "stored_at")

_ADD_TO_REPO: Final = (
    "UPDATE giftless_catalogue_repos SET objects = objects + ?, size = size + ?,"
    " trashed = trashed + ?, trashed_size = trashed_size + ?, leaving = leaving + ? WHERE id = ?"
)

_ADD_TO_USAGE: Final = (
    "INSERT INTO giftless_catalogue_usage AS known"
    " (objects, size, trashed, trashed_size, repo, kind, name) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (repo, kind, name) DO UPDATE SET objects = known.objects + excluded.objects,"
    " size = known.size + excluded.size, trashed = known.trashed + excluded.trashed,"
    " trashed_size = known.trashed_size + excluded.trashed_size"
)

_DROP_UNUSED: Final = (
    "DELETE FROM giftless_catalogue_usage WHERE repo = ? AND kind = ? AND name = ?"
    " AND objects = 0 AND trashed = 0"
)

#: Objects and bytes that are stored, and objects and bytes in the trash.
_Sums = list[int]


def _zero(count: int) -> _Sums:
    return [0] * count


class Books:
    """What some changes of entries change in the sums."""

    def __init__(self) -> None:
        self._repos: dict[int, _Sums] = defaultdict(partial(_zero, 5))
        self._usage: dict[tuple[int, int, str], _Sums] = defaultdict(partial(_zero, 4))

    def replace(self, before: Row | None, after: Row | None) -> None:
        """Note that an entry has changed, came or went."""
        if before is not None and after is not None and _COUNTED(before) == _COUNTED(after):
            return
        if before is not None:
            self._add(before, neg)
        if after is not None:
            self._add(after, int)

    def write(self, session: Session) -> None:
        """Write the sums."""
        session.many(_ADD_TO_REPO, _changed(self._repos.items()))
        for (_, kind, name), sums in list(self._usage.items()):
            whole = self._usage[ALL, kind, name]
            whole[:] = map(add, whole, sums)
        session.many(_ADD_TO_USAGE, _changed(self._usage.items()))
        less = [key for key, sums in self._usage.items() if min(sums) < 0]
        session.many(_DROP_UNUSED, less)

    def _add(self, row: Row, sign: Callable[[int], int]) -> None:
        one, size = sign(1), sign(row.size)
        place = 0 if row.state in IN_PLACE else 2
        repo = row.repo
        sums = self._repos[repo]
        sums[place] += one
        sums[place + 1] += size
        if row.state not in (STORED, TRASHED):
            sums[4] += one
        for kind, name in (
            (1, person_of(row.who)),
            (2, month_of(row.stored_at)),
            (3, extension_of(row.filename)),
        ):
            sums = self._usage[repo, kind, name]
            sums[place] += one
            sums[place + 1] += size


def _changed(sums: Iterable[tuple[object, _Sums]]) -> list[tuple[object, ...]]:
    """Return what a statement is given for each key whose sums have changed."""
    return [
        (*amounts, *(key if isinstance(key, tuple) else (key,)))
        for key, amounts in sums
        if any(amounts)
    ]
