"""The history of a database's schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from giftless.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Schema:
    """The history of a schema, so that every database can be brought up to date.

    A script is never changed once it has been released, and what it does leaves
    the statements of the release before working: while daemons are restarted one
    by one, old ones use a database that a new one has migrated.

    :ivar table: where the version is kept in a database that has no other place
        for it; the name belongs to this schema alone, and needs no quotes.
    :ivar scripts: the SQL that leads from each version to the next; the first
        makes version 1 of an empty database.
    """

    table: str
    scripts: tuple[str, ...]

    @classmethod
    def load(cls, package: str, dialect: str, table: str) -> Schema:
        """Read ``schema/{dialect}-1.sql``, ``schema/{dialect}-2.sql`` and so on.

        :param package: the package that has the folder ``schema``.
        :raises ConfigError: if there is none, as in a package that was built without its data:
            every database would look up to date, and lack all tables.
        """
        folder = files(package) / "schema"
        scripts: list[str] = []
        while (script := folder / f"{dialect}-{len(scripts) + 1}.sql").is_file():
            scripts.append(script.read_text(encoding="utf-8"))
        if not scripts:
            raise ConfigError(
                "", f"{package} has no schema for {dialect}: giftless is not installed as a whole"
            )
        return cls(table, tuple(scripts))

    @property
    def identity_table(self) -> str:
        """The table that holds the database's identity."""
        return f"{self.table}_identity"

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
