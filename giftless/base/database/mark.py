"""Recognise a database: by an identity in a table of its own, which is remembered.

A database that was emptied, or is another one, must not look like a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from giftless.base.identities import Remembered, new_identity
from giftless.errors import ConfigError

_log = Logger()


#: The table's statements; its name stands for ``{}``.
_MAKE_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS {}"
    " (number integer PRIMARY KEY CHECK (number = 1), id text NOT NULL)"
)
_MARK: Final = "INSERT INTO {} VALUES (1, ?) ON CONFLICT DO NOTHING"
_READ: Final = "SELECT id FROM {}"


class Mark:
    """The identity of a database, and what is remembered of it.

    :param table: the table that holds it.
    :param option: the option that says which database it is.
    :param remembered: which database it was; ``None`` if that is not remembered.
    """

    def __init__(self, table: str, option: str, remembered: Remembered | None) -> None:
        self.table = table
        self._option = option
        self._remembered = remembered

    def known(self) -> str | None:
        """Return what is remembered of the database; ``None`` if nothing is.

        Ask before you look at the database: another process that starts at the same time
        fills and marks a new one, and then remembers it.

        :raises ConfigError: if the file that remembers cannot be read.
        """
        return None if self._remembered is None else self._remembered.get()

    def require_new(self, known: str | None, what: str) -> None:
        """Make sure that nothing was ever kept in a database that is missing or empty.

        :param known: what :meth:`known` returned before that was found.
        :param what: what was found: ``is missing``.
        :raises ConfigError: if something was.
        """
        if known is not None:
            raise self._wrong(what)

    def check(
        self,
        known: str | None,
        execute: Callable[..., Any],
        marked: bool,
        errors: type[Exception],
    ) -> None:
        """Compare a database with what is remembered; mark one that is new.

        :param known: what :meth:`known` returned before the table was looked for.
        :param execute: runs a statement, whose placeholders are ``?``.
        :param marked: whether it has the table.
        :param errors: what the driver raises.
        :raises ConfigError: if it is another database.
        """
        if self._remembered is None:
            return
        if not marked and known is not None:
            raise self._wrong("lacks the mark of the database that was there")
        try:
            if not marked:
                # Whoever is first has chosen.
                execute(_MAKE_TABLE.format(self.table))
                execute(_MARK.format(self.table), (new_identity(),))
            row = execute(_READ.format(self.table)).fetchone()
            if known is None and row is None:
                # Another process has made the table, and has not marked it yet.
                execute(_MARK.format(self.table), (new_identity(),))
                row = execute(_READ.format(self.table)).fetchone()
        except errors as error:
            _log.warn(
                "the database cannot be marked: {error}; if it is emptied one day, that may"
                " not be noticed",
                error=str(error).strip(),
            )
            return
        identity = row[0] if row else ""
        if known not in (None, identity) or not identity:
            raise self._wrong("has the mark of another database than was there")
        if known is None:
            self._keep(identity)

    def _keep(self, identity: str) -> None:
        assert self._remembered is not None
        try:
            self._remembered.keep(identity)
        except OSError as error:
            _log.warn(
                "it cannot be remembered which database is used: {file}: {error}",
                file=self._remembered.file,
                error=error.strerror,
            )

    def _wrong(self, problem: str) -> ConfigError:
        assert self._remembered is not None
        return ConfigError(
            self._option,
            f"the database {problem}; restore it, or, if a new one is to begin, remove"
            f" {self._remembered.file}",
        )
