"""The examples keep the promises that their interfaces make.

They are files outside of any package, so they are loaded by their paths.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.base.schema import convert
from giftless.errors import (
    ConfigError,
    InsufficientStorage,
    ServiceUnavailable,
    StorageUnavailable,
    Unauthorized,
)
from giftless.interfaces import (
    Credentials,
    IAuthenticatorFactory,
    IKeyringFactory,
    IStorageFactory,
    OfferedKey,
    Password,
)
from giftless.lfs.objects import ObjectKey, Permission
from tests.contracts.authenticators import ChainedContract
from tests.contracts.copying import CopyingContract
from tests.contracts.keyrings import KeyringContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.contracts.stores import DATA, StreamingStoreContract
from tests.support.bodies import HeldBody, ListBody
from tests.support.examples import load
from tests.support.making import environment, key_of, put_object
from tests.support.run import CoroutineTestCase
from tests.support.ssh_keys import blob_of, public_key

PASSWORD = "a password for all of us"


sqlite_storage = load("sqlite_storage")
shared_password = load("shared_password")
sqlite_keyring = load("sqlite_keyring")


def build(factory: Any, **section: Any) -> Any:
    """Build what a section of the configuration describes."""
    return factory.build(convert(section, factory.Options, ""), environment())


class SQLiteStoreTests(StreamingStoreContract, CoroutineTestCase):
    """The storage backend."""

    def make_store(self) -> Any:
        self.path = self.mktemp()
        return build(sqlite_storage.sqlite, path=self.path)

    def count(self, table: str) -> int:
        """Count a table's rows."""
        with closing(sqlite3.connect(self.path)) as database:
            return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    def test_the_factory_provides_its_interface(self) -> None:
        verifyObject(IStorageFactory, sqlite_storage.sqlite)

    def test_objects_outlast_the_store(self) -> None:
        self.put(key_of(DATA), DATA)
        self.store = build(sqlite_storage.sqlite, path=self.path)
        self.assertEqual(self.get(key_of(DATA)), DATA)

    def test_failed_uploads_leave_no_rows(self) -> None:
        body = ListBody([DATA], Unauthorized("no more"))
        self.assert_fails(Unauthorized, put_object(self.store, key_of(DATA), len(DATA), body, {}))
        self.assertEqual((self.count("objects"), self.count("chunks")), (0, 0))

    def test_second_uploads_leave_no_rows(self) -> None:
        self.put(key_of(DATA), DATA)
        self.put(key_of(DATA), DATA)
        self.assertEqual((self.count("objects"), self.count("chunks")), (1, 1))

    def test_old_leftovers_are_swept(self) -> None:
        """An upload of another daemon that runs now is let alone."""
        # Kept: an upload that is forgotten ends when Python collects it, perhaps in the middle
        # of another one's transaction.
        running = [HeldBody(), HeldBody()]
        for body in running:
            self.start(put_object(self.store, key_of(DATA), len(DATA), body, {}))
            body.provide(DATA[:10])
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("UPDATE objects SET dated = datetime('now', '-2 day') WHERE id = 1")
        build(sqlite_storage.sqlite, path=self.path)
        self.assertEqual((self.count("objects"), self.count("chunks")), (1, 1))

    def test_a_full_database_is_no_room(self) -> None:
        self.run_now(self.store.run(self.store._database.execute, "PRAGMA max_page_count = 20"))
        put = put_object(self.store, key_of(DATA), len(DATA), ListBody([DATA]), {})
        self.assert_fails(InsufficientStorage, put)
        self.assertEqual(self.sizes(key_of(DATA)), [None])

    def test_a_path_that_cannot_be_used_names_the_option(self) -> None:
        path = os.path.join(self.mktemp(), "missing", "file")
        with self.assertRaises(ConfigError) as caught:
            build(sqlite_storage.sqlite, path=path)
        self.assertEqual(caught.exception.path, "path")
        self.assertIn(path, caught.exception.problem)


class SQLiteListingTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    """The storage backend lists and deletes, too."""

    foreign = ()

    async def make_store(self) -> Any:
        return build(sqlite_storage.sqlite, path=self.mktemp())

    async def test_an_upload_that_runs_is_not_listed(self) -> None:
        await self.prepare()
        body = HeldBody()
        running = Deferred.fromCoroutine(put(self.store, key_of(DATA), body))
        body.provide(DATA)
        self.assertEqual(await self.listed(), [])
        body.provide()
        await running
        self.assert_listed(await self.listed(), [key_of(DATA)])

    async def test_an_object_that_is_stored_again_is_young(self) -> None:
        await self.prepare()
        key = key_of(DATA)
        await self.add(key, DATA)
        await self.store.run(
            self.store._database.execute, "UPDATE objects SET dated = datetime('now', '-9 day')"
        )
        await self.add(key, DATA)
        (entry,) = await self.listed()
        self.assertGreater(entry.modified, time.time() - 60)

    async def test_a_database_that_cannot_be_used_is_503(self) -> None:
        await self.prepare()
        await self.store.run(self.store._database.execute, "DROP TABLE objects")
        with self.assertRaises(StorageUnavailable):
            await self.store.list(None)
        with self.assertRaises(StorageUnavailable):
            await self.store.delete(key_of(DATA))


async def put(store: Any, key: ObjectKey, body: HeldBody) -> None:
    """Store an object."""
    await put_object(store, key, None, body, {})


class SharedPasswordTests(ChainedContract, CoroutineTestCase):
    """The authenticator."""

    def make_authenticator(self, **options: Any) -> Any:
        section = {"user": "team", "password": PASSWORD, **options}
        return build(shared_password.shared_password, **section)

    def accepted(self) -> list[Credentials]:
        return [
            Credentials((Password("team", PASSWORD),)),
            Credentials((Password("team", "another"), Password("team", PASSWORD))),
        ]

    def foreign(self) -> list[Credentials]:
        return [*super().foreign(), Credentials((Password("else", PASSWORD),))]

    def test_the_factory_provides_its_interface(self) -> None:
        verifyObject(IAuthenticatorFactory, shared_password.shared_password)

    def test_a_wrong_password_is_refused(self) -> None:
        for password in ("", "wrong", PASSWORD[:-1], PASSWORD + "x"):
            with self.assertRaises(Unauthorized):
                self.authenticate(Credentials((Password("team", password),)))

    def test_the_option_access_limits_the_grants(self) -> None:
        for access, allowed in (("read", False), ("read-write", True)):
            self.authenticator = self.make_authenticator(access=access)
            identity = self.authenticate(self.accepted()[0])
            assert identity is not None
            self.assertTrue(identity.grants.allows(Permission.READ, None))
            self.assertIs(identity.grants.allows(Permission.WRITE, None), allowed)

    def test_a_short_password_is_refused_and_not_shown(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.make_authenticator(password="change-me")
        self.assertEqual(caught.exception.path, "password")
        self.assertNotIn("change-me", str(caught.exception))


class SQLiteKeyringTests(KeyringContract, CoroutineTestCase):
    """The keyring."""

    def make_keyring(self) -> Any:
        self.path = self.mktemp()
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("CREATE TABLE keys (line TEXT PRIMARY KEY, user TEXT NOT NULL)")
            for name in ("alice", "bob"):
                database.execute("INSERT INTO keys VALUES (?, ?)", (public_key(name), name))
            database.commit()
        return build(sqlite_keyring.sqlite_keyring, path=self.path)

    def owned(self) -> list[tuple[OfferedKey, str]]:
        names = ("alice", "bob")
        return [(OfferedKey(blob_of(public_key(name)), "git"), name) for name in names]

    def unknown(self) -> list[OfferedKey]:
        return [OfferedKey(blob_of(public_key("eve")), "alice")]

    def test_the_factory_provides_its_interface(self) -> None:
        verifyObject(IKeyringFactory, sqlite_keyring.sqlite_keyring)

    def test_a_database_that_cannot_be_read_lets_nobody_in(self) -> None:
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("DROP TABLE keys")
        offered, _ = self.owned()[0]
        self.assert_fails(ServiceUnavailable, self.keyring.owner(offered))
        self.assert_fails(ServiceUnavailable, self.keyring.keys())

    def test_a_database_without_the_table_keeps_the_daemon_from_starting(self) -> None:
        with closing(sqlite3.connect(self.mktemp())) as database:
            database.execute("CREATE TABLE other (x)")
        for path in (self.mktemp(), "/nowhere/keys.db"):
            error = self.assertRaises(ConfigError, build, sqlite_keyring.sqlite_keyring, path=path)
            self.assertEqual(error.path, "path")
