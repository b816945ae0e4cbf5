"""List entries page by page; no page takes longer because many come before it.

In the order of a value (size, time) the number of the repository and the oid decide
between equal values, all three in the same direction.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Final

import msgspec

from giftless.catalogue.session import CODES, COLUMNS, STORED, Row, Session, entry_of, repo_at
from giftless.errors import BadRequest
from giftless.interfaces import MAX_ENTRIES, EntryPage, EntryQuery
from giftless.lfs.objects import Repo

#: The columns of the orders by a value, and whether the largest come first.
_ORDERS: Final = {
    "size": ("size", True),
    "stored": ("stored_at", False),
    "offered": ("offered_at", False),
    "moved": ("moved_at", True),
}

#: The columns of repositories that say how many entries they have in a state, or more.
_COUNTS: Final = ("objects", "leaving", "trashed", "leaving")

_FIRST: Final = b""
_LAST: Final = b"\xff" * 33


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The place behind an entry.

    :ivar value: what the order is by; 0 for paths.
    :ivar repo: the number of the repository; for paths, the repository's path.
    """

    order: str
    value: int | float
    repo: int | str
    oid: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


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
        return EntryPage(entries, _write(_Cursor("path", 0, paths[last.repo].path, last.oid.hex())))
    value = getattr(last, _ORDERS[query.order][0])
    return EntryPage(entries, _write(_Cursor(query.order, value, last.repo, last.oid.hex())))


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
    if (
        cursor is None
        or cursor.order != order
        or isinstance(cursor.repo, str) is not (order == "path")
        or (isinstance(cursor.value, int) and not 0 <= cursor.value < 2**63)
        or (isinstance(cursor.repo, int) and not 0 <= cursor.repo < 2**63)
    ):
        raise BadRequest("the cursor is not one that this list gave; list from the beginning")
    return cursor


def _name(session: Session, rows: Sequence[Row], paths: dict[int, Repo]) -> None:
    """Add the repositories of rows to those that are known."""
    absent = list({row.repo for row in rows} - set(paths))
    for start in range(0, len(absent), 500):
        condition, values = session.among("id", absent[start : start + 500])
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
        ids = session.repo_ids([repo_at(str(cursor.repo))])
        number = next(iter(ids.values()), 0)
        rows = _of_repo(session, columns, table, states, number, cursor, count)
    elif number is not None:
        return _of_repo(session, columns, table, states, number, cursor, count)
    if len(rows) < count:
        after = "" if cursor is None else str(cursor.repo)
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
    after = _FIRST if cursor is None else bytes.fromhex(cursor.oid)
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
        self._cursor = cursor
        self._count = count
        self._column, descending = _ORDERS[order]
        self._sign = -1 if descending else 1
        self._direction = "DESC" if descending else "ASC"
        self._beyond = "<" if descending else ">"
        # What lies before all oids in this direction, and behind.
        self._before, self._behind = (_LAST, _FIRST) if descending else (_FIRST, _LAST)

    def rows(self, codes: Sequence[int], number: int | None) -> list[Row]:
        """Return the entries of some states, of one repository or of all."""
        streams: list[Iterator[Row]] = []
        for code in codes:
            if number is not None:
                streams.append(self._of_repo(code, number))
            elif self._session.dialect.merges:
                streams.append(self._merged(code))
            else:
                streams.append(self._of_all(code))
        return list(islice(heapq.merge(*streams, key=self._key), self._count))

    def _key(self, row: Row) -> tuple[Any, int, int]:
        """Return what rows are ordered by."""
        sign = self._sign
        value = getattr(row, self._column)
        return sign * value, sign * row.repo, sign * int.from_bytes(row.oid)

    def _of_repo(self, code: int, number: int) -> Iterator[Row]:
        column, direction = self._column, self._direction
        values: tuple[object, ...] = (number,)
        place = ""
        if self._cursor is not None:
            place = f"AND ({column}, oid) {self._beyond} (?, ?)"
            values = (number, self._cursor.value, self._bound(number))
        return self._select(
            f"WHERE repo = ? AND state = {code:d} {place}"
            f" ORDER BY {column} {direction}, oid {direction} LIMIT ?",
            values,
        )

    def _bound(self, number: int) -> bytes:
        """Return the oid behind which a repository's entries of the cursor's value begin."""
        assert self._cursor is not None
        if number == self._cursor.repo:
            return bytes.fromhex(self._cursor.oid)
        passed = self._sign * (number - int(self._cursor.repo)) < 0
        return self._behind if passed else self._before

    def _of_all(self, code: int) -> Iterator[Row]:
        column, direction = self._column, self._direction
        values: tuple[object, ...] = ()
        place = ""
        if self._cursor is not None:
            place = f"AND ({column}, repo, oid) {self._beyond} (?, ?, ?)"
            cursor = self._cursor
            values = (cursor.value, cursor.repo, bytes.fromhex(cursor.oid))
        return self._select(
            f"WHERE state = {code:d} {place}"
            f" ORDER BY {column} {direction}, repo {direction}, oid {direction} LIMIT ?",
            values,
        )

    def _select(self, rest: str, values: Sequence[object]) -> Iterator[Row]:
        statement = f"SELECT {COLUMNS} FROM giftless_catalogue_entries {rest}"
        return map(Row._make, self._session.execute(statement, (*values, self._count)))

    def _merged(self, code: int) -> Iterator[Row]:
        """Merge what all repositories have, and read of each only what is needed."""
        heads = iter(heapq.nsmallest(self._count, self._heads(code)))
        head = next(heads, None)
        opened: list[tuple[Any, Row, Iterator[Row]]] = []
        while opened or head is not None:
            while head is not None and (not opened or head <= opened[0][0][:2]):
                stream = self._of_repo(code, head[1] * self._sign)
                self._push(opened, stream)
                head = next(heads, None)
            if opened:
                _, row, stream = heapq.heappop(opened)
                yield row
                self._push(opened, stream)

    def _push(self, opened: list[tuple[Any, Row, Iterator[Row]]], stream: Iterator[Row]) -> None:
        row = next(stream, None)
        if row is not None:
            heapq.heappush(opened, (self._key(row), row, stream))

    def _heads(self, code: int) -> Iterable[tuple[Any, int]]:
        """Return the first value of each repository, and its number, as keys begin."""
        column, direction = self._column, self._direction
        place = ""
        values: tuple[object, ...] = ()
        if self._cursor is not None:
            number = int(self._cursor.repo)
            place = (
                f"AND (e.{column}, e.oid) {self._beyond}"
                " (?, CASE WHEN r.id = ? THEN ? WHEN r.id < ? THEN ? ELSE ? END)"
            )
            below, above = self._bound(number - 1), self._bound(number + 1)
            oid = bytes.fromhex(self._cursor.oid)
            values = (self._cursor.value, number, oid, number, below, above)
        found = self._session.execute(
            f"SELECT (SELECT e.{column} FROM giftless_catalogue_entries e"
            f" WHERE e.repo = r.id AND e.state = {code:d} {place}"
            f" ORDER BY e.{column} {direction}, e.oid {direction} LIMIT 1) AS value, r.id"
            f" FROM giftless_catalogue_repos r WHERE r.{_COUNTS[code]} > 0",
            values,
        )
        return (
            (self._sign * value, self._sign * number)
            for value, number in found
            if value is not None
        )
