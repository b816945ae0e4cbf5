"""Keep the sums of entries: they change in the transactions that change entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from operator import attrgetter
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

#: A repository, a state, a person, a month and an extension.
_Alike = tuple[int, int, str, str, str]


def _zero(count: int) -> _Sums:
    return [0] * count


class UsageSums:
    """Collects what changes of entries change in the sums, and writes it."""

    def __init__(self) -> None:
        # Objects and bytes of what is counted alike: most of a push is.
        self._alike: dict[_Alike, _Sums] = defaultdict(partial(_zero, 2))

    def replace(self, before: Row | None, after: Row | None) -> None:
        """Note that an entry has changed, came or went."""
        if before is not None and after is not None and _COUNTED(before) == _COUNTED(after):
            return
        if before is not None:
            self._add(before, -1)
        if after is not None:
            self._add(after, 1)

    def write(self, session: Session) -> None:
        """Add the collected changes to the sums in the database."""
        repos: dict[int, _Sums] = defaultdict(partial(_zero, 5))
        usage: dict[tuple[int, int, str], _Sums] = defaultdict(partial(_zero, 4))
        for (repo, state, who, month, extension), (objects, size) in self._alike.items():
            place = 0 if state in IN_PLACE else 2
            kinds = ((1, person_of(who)), (2, month), (3, extension))
            for sums in (
                repos[repo],
                *(usage[whose, *kind] for kind in kinds for whose in (repo, ALL)),
            ):
                sums[place] += objects
                sums[place + 1] += size
            if state not in (STORED, TRASHED):
                repos[repo][4] += objects
        session.many(_ADD_TO_REPO, _changed(repos.items()))
        session.many(_ADD_TO_USAGE, _changed(usage.items()))
        less = [key for key, sums in usage.items() if min(sums) < 0]
        session.many(_DROP_UNUSED, less)

    def _add(self, row: Row, sign: int) -> None:
        alike = self._alike[
            row.repo, row.state, row.who, month_of(row.stored_at), extension_of(row.filename)
        ]
        alike[0] += sign
        alike[1] += sign * row.size


def _changed(sums: Iterable[tuple[object, _Sums]]) -> list[tuple[object, ...]]:
    """Return what a statement is given for each key whose sums have changed."""
    return [
        (*amounts, *(key if isinstance(key, tuple) else (key,)))
        for key, amounts in sums
        if any(amounts)
    ]
