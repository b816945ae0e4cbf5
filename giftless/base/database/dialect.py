"""What the lock store needs of a database, and the history of its schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar

from giftless.errors import ConfigError

#: An open connection of a driver (DB-API 2.0, PEP 249).
Connection = Any


@dataclass(frozen=True, slots=True)
class Schema:
    """The history of a schema, so that every database can be brought up to date.

    A script is never changed once it has been released, and what it does leaves
    the statements of the release before working: while daemons are restarted one
    by one, old ones use a database that a new one has migrated.

    :ivar scripts: the SQL that leads from each version to the next; the first
        makes version 1 of an empty database.
    """

    scripts: tuple[str, ...]

    @classmethod
    def load(cls, name: str) -> Schema:
        """Read ``schema/{name}-1.sql``, ``schema/{name}-2.sql`` and so on."""
        folder = files("giftless.locks") / "schema"
        scripts: list[str] = []
        while (script := folder / f"{name}-{len(scripts) + 1}.sql").is_file():
            scripts.append(script.read_text(encoding="utf-8"))
        return cls(tuple(scripts))

    @property
    def version(self) -> int:
        """The version that the code is for."""
        return len(self.scripts)

    def pending(self, found: int, option: str) -> Sequence[str]:
        """Return the scripts that a database still needs.

        :param found: its version; 0 if it is empty.
        :param option: the option that says which database it is.
        :raises ConfigError: if it is newer than the code.
        """
        if found > self.version:
            raise ConfigError(
                option,
                f"the database's schema has version {found}, made by a newer giftless, and this"
                f" one knows versions up to {self.version}; install the newer one again",
            )
        return self.scripts[found:]


class Database(ABC):
    """A database that locks can be kept in.  Its methods block, but for ``abort``."""

    #: The option that says which database it is, for error messages.
    option: ClassVar[str]

    #: What finds a path's lock fast: a condition with one placeholder.
    path_condition: ClassVar[str] = "path = ?"

    #: What the driver raises.
    errors: type[Exception]

    @abstractmethod
    def connect(self) -> Connection:
        """Open a connection in which every statement is a transaction of its own.

        The first one brings the schema up to date, in one transaction, however
        many processes do so at once.

        :raises ConfigError: if the database cannot be used as it is.
        """

    @abstractmethod
    def execute(self, connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
        """Run a statement, whose placeholders are ``?``.

        :returns: the driver's cursor.
        """

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""

    @abstractmethod
    def is_lost(self, connection: Connection) -> bool:
        """Whether an error has left the connection useless."""

    @abstractmethod
    def abort(self, connection: Connection) -> None:
        """Make the statement that runs in another thread fail.  Does not block."""

    def path_value(self, path: str) -> object:
        """Return what belongs into ``path_condition``."""
        return path
