"""A keyring in one file: keys of SSH in a table of an SQLite database.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    auth:
      - {type: basic, access: /etc/giftless/access.yaml}
    ssh:
      endpoints: ["tcp:2222"]
      keys:
        - {type: sqlite, path: /var/lib/giftless/keys.db}

Another program keeps the table::

    CREATE TABLE keys (line TEXT PRIMARY KEY, user TEXT NOT NULL);
    INSERT INTO keys VALUES ('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ...', 'alice');

Its primary key sees to it that a key belongs to one user.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from urllib.parse import quote

import msgspec
from zope.interface import implementer

from giftless.auth.keys.public_keys import parse_blob
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.interfaces import (
    Environment,
    IBlocking,
    IKeyring,
    IKeyringFactory,
    KeyOwner,
    KnownKey,
    OfferedKey,
)

#: How long a client waits before it asks again while the database is locked, in seconds.
RETRY_AFTER = 5


class SQLiteKeyringOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: sqlite``.

    :ivar path: the database.
    :ivar realm: the realm that the users are in: who says what they may do.
    """

    path: str
    realm: str = "basic"


@implementer(IKeyring)
class SQLiteKeyring:
    """Knows the keys of a table.

    :param path: the database.
    :param realm: the text of the realm that its users are in.
    :param blocking: looks into the database, for which the reactor must not wait.
    """

    def __init__(self, path: str, realm: str, blocking: IBlocking) -> None:
        self.realm = realm
        self._path = path
        self._blocking = blocking

    async def owner(self, offered: OfferedKey) -> KeyOwner | None:
        """See ``IKeyring.owner``."""
        try:
            # Strangers send anything; a certificate is no key of this table, either.
            line = parse_blob(offered.blob).line
        except ValueError:
            return None
        rows = await self._ask("SELECT user, line FROM keys WHERE line = ?", line)
        return KeyOwner(rows[0][0], self.realm) if rows else None

    async def keys(self) -> Sequence[KnownKey]:
        """See ``IKeyring.keys``."""
        rows = await self._ask("SELECT user, line FROM keys ORDER BY user, line")
        return [KnownKey(KeyOwner(user, self.realm), line) for user, line in rows]

    async def _ask(self, query: str, *values: str) -> list[tuple[str, str]]:
        try:
            return await self._blocking.run(_ask, self._path, query, values)
        except sqlite3.Error:
            # Who asks is told, and the next keyring is asked all the same.
            raise ServiceUnavailable("the database of keys cannot be read", RETRY_AFTER) from None


def _ask(path: str, query: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Blocks, so it runs in a worker thread."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()


@implementer(IKeyringFactory)
class SQLiteKeyringFactory:
    """What giftless finds in this file: builds the keyring from its options."""

    name = "sqlite"
    Options = SQLiteKeyringOptions

    def build(self, options: SQLiteKeyringOptions, environment: Environment) -> SQLiteKeyring:
        """See ``IKeyringFactory.build``."""
        path = os.path.abspath(options.path)
        try:
            _ask(path, "SELECT user, line FROM keys LIMIT 1", ())
        except sqlite3.Error as error:
            raise ConfigError("path", f"the table of keys cannot be read: {error}") from None
        return SQLiteKeyring(path, options.realm, environment.blocking)


sqlite_keyring = SQLiteKeyringFactory()
