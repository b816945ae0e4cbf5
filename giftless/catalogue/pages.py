"""List entries page by page; no page takes longer because many come before it.

In the order of a value (size, time) the numbers of the entries decide between equal values,
in the same direction.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from giftless.catalogue.session import (
    CODES,
    COLUMNS,
    STORED,
    Row,
    Session,
    chunks,
    entry_of,
    repo_at,
)
from giftless.errors import BadRequest
from giftless.interfaces import MAX_ENTRIES, EntryPage, EntryQuery
from giftless.lfs.objects import Oid, Repo

#: The columns of the orders by a value, and whether the largest come first.
_ORDERS: Final = {
    "size": ("size", True),
    "stored": ("stored_at", False),
    "offered": ("offered_at", False),
    "moved": ("moved_at", True),
}

#: The columns of repositories that say how many entries they have in a state, or more.
_COUNTS: Final = ("objects", "leaving", "trashed", "leaving")

#: What entries are ordered by: the value and the number of each, or less than these.
_Key = tuple[Any, int]

#: How many entries of a repository are read at first, at least.
_FIRST: Final = 8


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The place behind an entry.

    :ivar place: what the order is by: a value, or the repository's path.
    :ivar entry: the entry's number, or its oid.
    """

    order: str
    place: int | float | str
    entry: int | str


_decoder: Final = msgspec.json.Decoder(_Cursor)


def page(session: Session, query: EntryQuery) -> EntryPage:
    """See :meth:`giftless.interfaces.ICatalogue.page`."""
    if not 1 <= query.limit <= MAX_ENTRIES:
        raise BadRequest(f"the limit must be from 1 to {MAX_ENTRIES}")
    cursor = None if query.cursor is None else _read(query.cursor, query.order)
    # One more tells whether there is another page.
    count = query.limit + 1
    paths: dict[int, Repo] = {}
    if query.repo is not None:
        ids = session.repo_ids([query.repo])
        if query.repo not in ids:
            return EntryPage()
        paths[ids[query.repo]] = query.repo
    codes = [code for state in query.states for code in CODES[state]]
    if query.order == "moved" and STORED in codes:
        codes.remove(STORED)  # it was not moved
    if not codes:
        return EntryPage()
    number = next(iter(paths), None)
    if query.order == "path":
        rows = _by_path(session, codes, number, cursor, count)
    else:
        rows = _Ordered(session, query.order, cursor, count).rows(codes, number)
    _name(session, rows, paths)
    entries = [entry_of(row, paths[row.repo]) for row in rows[: query.limit]]
    if len(rows) < count:
        return EntryPage(entries)
    last = rows[query.limit - 1]
    if query.order == "path":
        return EntryPage(entries, _write(_Cursor("path", paths[last.repo].path, last.oid.hex())))
    value = getattr(last, _ORDERS[query.order][0])
    return EntryPage(entries, _write(_Cursor(query.order, value, last.number)))


def _write(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _read(text: str, order: str) -> _Cursor:
    """Read a cursor of an order.

    :raises BadRequest: if it is none.
    """
    try:
        cursor = _decoder.decode(base64.b64decode(text, b"-_", validate=True))
    except (ValueError, RecursionError):
        cursor = None
    if cursor is None or cursor.order != order or not _is_place(cursor):
        raise BadRequest("the cursor is not one that this list gave; list from the beginning")
    return cursor


def _is_place(cursor: _Cursor) -> bool:
    """Return whether a cursor can be a place in its order."""
    if cursor.order == "path":
        return (
            isinstance(cursor.place, str)
            and "\0" not in cursor.place
            and isinstance(cursor.entry, str)
            and Oid.PATTERN.fullmatch(cursor.entry) is not None
        )
    numbers = (cursor.place, cursor.entry)
    return not any(isinstance(each, str) for each in numbers) and all(
        isinstance(each, float) or (isinstance(each, int) and abs(each) < 2**63) for each in numbers
    )


def _name(session: Session, rows: Sequence[Row], paths: dict[int, Repo]) -> None:
    """Add the repositories of rows to those that are known."""
    for some in chunks({row.repo for row in rows} - set(paths)):
        condition, values = session.among("id", some)
        for number, path in session.execute(
            f"SELECT id, path FROM giftless_catalogue_repos WHERE {condition}", values
        ):
            paths[number] = repo_at(path)


# -- by path


def _by_path(
    session: Session, codes: Sequence[int], number: int | None, cursor: _Cursor | None, count: int
) -> list[Row]:
    states = f"e.state IN ({', '.join(map(str, codes))})"
    hint = "" if STORED in codes else f" {session.dialect.apart}"
    if STORED not in codes:
        states += " AND e.state <> 0"
    table = f"giftless_catalogue_entries e{hint}"
    columns = ", ".join(f"e.{column}" for column in Row._fields)
    rows: list[Row] = []
    if cursor is not None and number is None:
        ids = session.repo_ids([repo_at(str(cursor.place))])
        number = next(iter(ids.values()), 0)
        rows = _of_repo(session, columns, table, states, number, cursor, count)
    elif number is not None:
        return _of_repo(session, columns, table, states, number, cursor, count)
    if len(rows) < count:
        after = "" if cursor is None else str(cursor.place)
        found = session.execute(
            f"SELECT {columns} FROM giftless_catalogue_repos r CROSS JOIN {table}"
            f" WHERE e.repo = r.id AND r.path > ? AND {states}"
            f" AND ({' OR '.join(f'r.{_COUNTS[code]} > 0' for code in codes)})"
            " ORDER BY r.path, e.oid LIMIT ?",
            (after, count - len(rows)),
        )
        rows += map(Row._make, found)
    return rows


def _of_repo(
    session: Session,
    columns: str,
    table: str,
    states: str,
    number: int,
    cursor: _Cursor | None,
    count: int,
) -> list[Row]:
    after = b"" if cursor is None else bytes.fromhex(str(cursor.entry))
    return [
        Row._make(row)
        for row in session.execute(
            f"SELECT {columns} FROM {table} WHERE e.repo = ? AND e.oid > ? AND {states}"
            " ORDER BY e.oid LIMIT ?",
            (number, after, count),
        )
    ]


# -- by a value


class _Ordered:
    """Finds entries in the order of a value.

    :param cursor: the place behind which they begin.
    :param count: how many are wanted.
    """

    def __init__(self, session: Session, order: str, cursor: _Cursor | None, count: int) -> None:
        self._session = session
        self._count = count
        self._column, descending = _ORDERS[order]
        self._sign = -1 if descending else 1
        self._beyond = "<" if descending else ">"
        direction = "DESC" if descending else "ASC"
        self._in_order = f"ORDER BY {self._column} {direction}, number {direction}"
        self._begin = None if cursor is None else (cursor.place, cursor.entry)

    def rows(self, codes: Sequence[int], number: int | None) -> list[Row]:
        """Return the entries of some states, of one repository or of all."""
        if number is None and self._session.dialect.merges:
            keys = heapq.merge(*(self._merged(code) for code in codes))
            return self._numbered([self._sign * key[1] for key in islice(keys, self._count)])
        where, values = ("", ()) if number is None else ("repo = ? AND ", (number,))
        streams = [self._select(COLUMNS, code, where, values, self._begin) for code in codes]
        rows = [map(Row._make, stream) for stream in streams]
        return list(islice(heapq.merge(*rows, key=self._key), self._count))

    def _key(self, row: Row) -> _Key:
        """Return what rows are ordered by."""
        return self._sign * getattr(row, self._column), self._sign * row.number

    def _select(
        self,
        columns: str,
        code: int,
        where: str,
        values: tuple[object, ...],
        begin: tuple[object, object] | None,
        count: int = 0,
    ) -> Any:
        """Select entries of a state behind a place, in order."""
        if begin is not None:
            where = f"{where}({self._column}, number) {self._beyond} (?, ?) AND "
            values = (*values, *begin)
        return self._session.execute(
            f"SELECT {columns} FROM giftless_catalogue_entries"
            f" WHERE {where}state = {code:d} {self._in_order} LIMIT ?",
            (*values, count or self._count),
        )

    def _numbered(self, numbers: Sequence[int]) -> list[Row]:
        """Return the entries that have these numbers, in their order."""
        found = {}
        for some in chunks(numbers):
            condition, values = self._session.among("number", some)
            for row in self._session.execute(
                f"SELECT {COLUMNS} FROM giftless_catalogue_entries WHERE {condition}", values
            ):
                found[row[-1]] = Row._make(row)
        return [found[number] for number in numbers]

    # What follows reads indexes alone: of most repositories, a page has few entries or none.

    def _merged(self, code: int) -> Iterator[_Key]:
        """Merge the orders of all repositories; read of each only what is needed."""
        heads = sorted(self._heads(code))
        first = max(_FIRST, min(self._count, 2 * self._count // (len(heads) or 1)))
        waiting = iter(heads)
        head = next(waiting, None)
        opened: list[tuple[_Key, Iterator[_Key]]] = []
        while opened or head is not None:
            # Those that begin with an equal value may come first.
            while head is not None and (not opened or head[0] <= opened[0][0][0]):
                _push(opened, self._keys(code, head[1], first))
                head = next(waiting, None)
            if opened:
                key, stream = heapq.heappop(opened)
                yield key
                _push(opened, stream)

    def _keys(self, code: int, repo: int, count: int) -> Iterator[_Key]:
        """Read the order of a repository, more and more at once."""
        begin = self._begin
        while True:
            columns = f"{self._column}, number"
            found = self._select(columns, code, "repo = ? AND ", (repo,), begin, count).fetchall()
            for value, number in found:
                yield self._sign * value, self._sign * number
            if len(found) < count:
                return
            begin, count = found[-1], 2 * count

    def _heads(self, code: int) -> Iterable[tuple[Any, int]]:
        """Return the first value of each repository, and the repository's number."""
        place = ""
        values: tuple[object, ...] = ()
        if self._begin is not None:
            place, values = f"AND ({self._column}, number) {self._beyond} (?, ?)", self._begin
        found = self._session.execute(
            f"SELECT (SELECT {self._column} FROM giftless_catalogue_entries"
            f" WHERE repo = r.id AND state = {code:d} {place} {self._in_order} LIMIT 1), r.id"
            f" FROM giftless_catalogue_repos r WHERE r.{_COUNTS[code]} > 0",
            values,
        )
        return ((self._sign * value, repo) for value, repo in found if value is not None)


def _push(opened: list[tuple[_Key, Iterator[_Key]]], stream: Iterator[_Key]) -> None:
    key = next(stream, None)
    if key is not None:
        heapq.heappush(opened, (key, stream))
