"""What the code needs of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

#: An open connection of a driver (DB-API 2.0, PEP 249).
Connection = Any


class Database(ABC):
    """A database.  Its methods block, but for ``abort``."""

    #: The option that says which database it is, for error messages.
    option: ClassVar[str]

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
    def execute_many(
        self, connection: Connection, statement: str, rows: Iterable[Sequence[object]]
    ) -> None:
        """Run a statement, whose placeholders are ``?``, once for each row of values."""

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""

    @abstractmethod
    def rollback(self, connection: Connection) -> None:
        """End a transaction that failed, if it has not ended; raises nothing."""

    @abstractmethod
    def check_place(self, connection: Connection) -> None:
        """Make sure that a connection still leads to the database that it was opened for.

        :raises ConfigError: if it does not.
        """

    @abstractmethod
    def is_lost(self, connection: Connection) -> bool:
        """Whether an error has left the connection useless."""

    @abstractmethod
    def abort(self, connection: Connection) -> None:
        """Make the statement that runs in another thread fail.  Does not block."""
