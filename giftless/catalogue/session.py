"""A connection to the database of a catalogue, and what its dialect needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar

from giftless.base.database.dialect import Connection, Database
from giftless.interfaces import Entry, State
from giftless.lfs.objects import ObjectKey, Oid, Repo

T = TypeVar("T")

#: How many values a statement is given at once.
_CHUNK: Final = 500

#: To how many its values are filled up by repeating the last: each number of them is
#: another statement, and drivers keep few.
_COUNTS: Final = (1, 8, 64, _CHUNK)

_SHORT: Final = Struct(">q").unpack_from

#: The numbers of states in the database.  What is deleted from the trash is leaving, too,
#: and counts as trashed until it is gone.
STORED, LEAVING, TRASHED, DELETED = range(4)

#: The states by their numbers.
STATES: Final = (State.STORED, State.LEAVING, State.TRASHED, State.LEAVING)

#: The states that count as stored.
IN_PLACE: Final = frozenset({STORED, LEAVING})

#: The numbers of states.
CODES: Final = {
    State.STORED: (STORED,),
    State.LEAVING: (LEAVING, DELETED),
    State.TRASHED: (TRASHED,),
}

#: What a row of an object has, in the order of :class:`Row`.
COLUMNS: Final = (
    "repo, oid, size, stored_at, offered_at, state, who, principal, filename, moved_at, reason,"
    " moved_by, shared, short, number"
)


class Row(NamedTuple):
    """An object in the database; see :class:`giftless.interfaces.Entry`.

    :ivar repo: the number of its repository.
    :ivar state: the number of its state.
    :ivar shared: 1 if another repository has, or had, the oid too.
    :ivar short: the first eight bytes of the oid.
    :ivar number: the entry's; 0 before it has one.
    """

    repo: int
    oid: bytes
    size: int
    stored_at: float
    offered_at: float
    state: int
    who: str
    principal: str
    filename: str
    moved_at: float
    reason: str
    moved_by: str
    shared: int
    short: int
    number: int = 0


#: What identifies a row: the number of its repository, and its oid.
RowKey = tuple[int, bytes]


def entry_of(row: Row, repo: Repo) -> Entry:
    """Return what a row says.

    :param repo: the repository that has its number.
    """
    key = ObjectKey(repo, Oid(row.oid.hex()))
    return Entry(key, *row[2:5], *row[6:9], STATES[row.state], *row[9:12])


def short_of(oid: bytes) -> int:
    """Return the first eight bytes of an oid, as databases keep them."""
    short: int = _SHORT(oid)[0]
    return short


def repo_at(path: str) -> Repo:
    """Return the repository of a path that is in the database, and so has been checked."""
    return Repo(tuple(path.split("/")))


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Divide what would be too many values for one statement."""
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the statements of a catalogue need to know of a database.

    :ivar turn: a statement by which those who write wait for each other; empty if a
        transaction that writes does that by itself.
    :ivar arrays: whether a list of values is one value.
    :ivar merges: whether there are no indexes that lead through all repositories.
    :ivar apart: follows a table's name to use the index of what is not simply stored.
    """

    database: Database
    turn: str
    arrays: bool
    merges: bool
    apart: str


class Session:
    """A connection, in a job of the pool."""

    def __init__(self, dialect: Dialect, connection: Connection) -> None:
        self.dialect = dialect
        self._database = dialect.database
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> Any:
        """Run a statement, whose placeholders are ``?``; return its cursor."""
        return self._database.execute(self._connection, statement, values)

    def many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each row of values."""
        self._database.execute_many(self._connection, statement, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make what is done meanwhile one transaction, and the only one that writes."""
        self._database.begin(self._connection)
        try:
            if self.dialect.turn:
                self.execute(self.dialect.turn)
            yield
            self.execute("COMMIT")
        except BaseException:
            self._database.rollback(self._connection)
            raise

    def among(self, column: str, values: Sequence[object]) -> tuple[str, Sequence[object]]:
        """Return a condition that a column has one of some values, and its own values."""
        if self.dialect.arrays:
            return f"{column} = ANY(?)", [list(values)]
        count = next(size for size in _COUNTS if size >= len(values))
        filled = [*values, *[values[-1]] * (count - len(values))]
        return f"{column} IN ({','.join('?' * count)})", filled

    def repo_ids(self, repos: Iterable[Repo], make: bool = False) -> dict[Repo, int]:
        """Return the numbers of repositories.

        :param make: whether those without one get one; otherwise they are left out.
        """
        wanted = {repo.path: repo for repo in repos}
        found = self._find(wanted)
        absent = [repo for path, repo in wanted.items() if repo not in found]
        if make and absent:
            self.many(
                "INSERT INTO giftless_catalogue_repos (path, org) VALUES (?, ?)"
                " ON CONFLICT DO NOTHING",
                [(repo.path, repo.segments[0]) for repo in absent],
            )
            found = self._find(wanted)
        return found

    def _find(self, wanted: dict[str, Repo]) -> dict[Repo, int]:
        found = {}
        for paths in chunks(wanted):
            condition, values = self.among("path", paths)
            statement = f"SELECT path, id FROM giftless_catalogue_repos WHERE {condition}"
            found.update({wanted[path]: number for path, number in self.execute(statement, values)})
        return found

    def rows(self, keys: Iterable[RowKey]) -> dict[RowKey, Row]:
        """Return the rows that there are of some objects."""
        by_repo: dict[int, list[bytes]] = {}
        for repo, oid in keys:
            by_repo.setdefault(repo, []).append(oid)
        found = {}
        for repo, oids in by_repo.items():
            for some in chunks(oids):
                condition, values = self.among("oid", some)
                statement = (
                    f"SELECT {COLUMNS} FROM giftless_catalogue_entries WHERE repo = ? AND"
                    f" {condition}"
                )
                for row in map(Row._make, self.execute(statement, (repo, *values))):
                    found[row.repo, row.oid] = row
        return found
