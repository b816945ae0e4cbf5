"""``giftless import directory`` and ``database``, as processes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from giftless.app.config import parse as parse_config
from giftless.importing.layouts import LAYOUTS
from giftless.importing.xchacha20 import xchacha20
from giftless.storage.local.store import LocalStore
from tests.importing import test_lfs_test_server as bolt
from tests.support.blocking import InlineBlocking
from tests.support.commands import run_command
from tests.support.making import key_of, oid_of
from tests.support.run import CoroutineTestCase

DATA = [b"object %d" % number for number in range(4)]

#: A key of rudolfs.
KEY = bytes(range(32))


class ImportTestCase(CoroutineTestCase):
    """An empty store, and the directory of another server."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        for name in ("state", "data", "other"):
            (self.directory / name).mkdir(parents=True)
        self.other = self.directory / "other"
        self.store = LocalStore(str(self.directory / "data"), "", InlineBlocking())
        self.config = self.directory / "giftless.yaml"
        settings: dict[str, Any] = {
            "storage": {"type": "local", "path": "data"},
            "state_dir": "state",
        }
        self.config.write_text(json.dumps(settings))

    def put(self, place: str, data: bytes) -> None:
        """Write a file of the other server."""
        path = self.other / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def run_import(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        """Run a command, and return what it writes, to stdout if it works."""
        result = run_command(
            "giftless",
            "import",
            *arguments,
            directory=self.directory,
            environ={"GIFTLESS_CONFIG": str(self.config)},
            stdin=stdin,
        )
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result.stderr if status == 1 else result.stdout

    def recorded(self) -> set[str]:
        """Return the oids that the catalogue knows, stored by the command."""
        with closing(sqlite3.connect(self.directory / "state" / "catalogue.sqlite")) as database:
            found = database.execute(
                "SELECT lower(hex(oid)), who FROM giftless_catalogue_entries"
            ).fetchall()
        self.assertTrue(all(who.startswith("giftless import (") for _, who in found))
        return {oid for oid, _ in found}

    def is_there(self, data: bytes, repo: str) -> bool:
        """Whether the store has an object."""
        return self.run_now(self.store.sizes([key_of(data, repo)])) == [len(data)]


class DirectoryTests(ImportTestCase):
    def test_a_directory_goes_to_the_repositories_that_it_names(self) -> None:
        for data, repo in ((DATA[0], "acme/rocket"), (DATA[1], "acme/probe")):
            oid = oid_of(data)
            self.put(f"objects/{repo}/{oid[:2]}/{oid[2:4]}/{oid}", data)
        written = self.run_import("directory", "other")
        self.assertEqual(written, "2 objects stored (16 B).\n")
        self.assertTrue(self.is_there(DATA[0], "acme/rocket"))
        self.assertTrue(self.is_there(DATA[1], "acme/probe"))
        self.assertEqual(self.recorded(), {oid_of(data) for data in DATA[:2]})
        self.assertEqual(self.run_import("directory", "other"), "2 objects here already.\n")

    def test_what_cannot_be_imported_is_told_and_ends_with_2(self) -> None:
        pool = LAYOUTS["gitea"]
        self.put(pool.place(oid_of(DATA[0])), DATA[0])
        self.put(pool.place(oid_of(DATA[1])), DATA[1] + b"!")
        self.put(pool.place(oid_of(DATA[2])), DATA[2])
        listed = "".join(f"{oid_of(data)} acme/rocket\n" for data in (*DATA[:2], DATA[3]))
        written = self.run_import(
            "directory", "other", "--list", "-", "--json", status=2, stdin=listed
        )
        *findings, last = map(json.loads, written.splitlines())
        self.assertEqual(
            {each["oid"]: each["result"] for each in findings},
            {oid_of(DATA[1]): "wrong", oid_of(DATA[3]): "missing"},
        )
        self.assertEqual(last["summary"]["objects"], {"stored": 1, "wrong": 1, "missing": 1})
        self.assertIn("1 object of the directory", last["summary"]["notes"][0])
        self.assertFalse(self.is_there(DATA[1], "acme/rocket"))

    def test_a_pool_without_a_repository_is_refused(self) -> None:
        self.put(LAYOUTS["gitea"].place(oid_of(DATA[0])), DATA[0])
        self.assertIn("--database", self.run_import("directory", "other", status=1))

    def test_a_dry_run_stores_nothing(self) -> None:
        self.put(LAYOUTS["gitea"].place(oid_of(DATA[0])), DATA[0])
        written = self.run_import("directory", "-n", "other", "acme/rocket")
        self.assertEqual(written, "1 object to be stored (8 B).\n")
        self.assertFalse(self.is_there(DATA[0], "acme/rocket"))

    def test_an_encrypted_store_of_rudolfs_needs_its_key(self) -> None:
        oid = oid_of(DATA[0])
        stored = xchacha20(KEY, bytes.fromhex(oid)[:24]).update(DATA[0])
        self.put(f"objects/acme/rocket/{oid[:2]}/{oid[2:4]}/{oid}", stored)
        (self.directory / "key").write_text(f"{KEY.hex()}\n")
        self.run_import("directory", "other", status=2)
        written = self.run_import("directory", "other", "--key", "key")
        self.assertEqual(written, "1 object stored (8 B).\n")
        self.assertTrue(self.is_there(DATA[0], "acme/rocket"))
        (self.directory / "key").write_text("secret")
        written = self.run_import("directory", "other", "--key", "key", status=1)
        self.assertIn("64 hexadecimal digits", written)
        self.assertNotIn("secret", written)


class DatabaseTests(ImportTestCase):
    def test_what_the_database_of_lfs_test_server_knows_is_imported(self) -> None:
        (self.other / "lfs.db").write_bytes(bolt.DATABASE)
        for data in bolt.OBJECTS[1:]:
            self.put(f"lfs-content/{LAYOUTS['lfs-test-server'].place(oid_of(data))}", data)
        written = self.run_import("database", "other/lfs.db", "acme/rocket", status=2)
        self.assertIn("59 objects stored (582 B); 1 object missing there.", written)
        self.assertIn(f"missing     acme/rocket  {oid_of(bolt.OBJECTS[0])}", written)
        self.assertIn("2 locks stay there", written)
        self.assertIn("1 user stay", written)

    def test_a_directory_that_is_not_there_is_told(self) -> None:
        (self.other / "lfs.db").write_bytes(bolt.DATABASE)
        written = self.run_import("database", "other/lfs.db", "acme/rocket", status=1)
        self.assertIn("--content", written)


class ConfigTests(ImportTestCase):
    OLD = """
AUTH_PROVIDERS:
  - factory: giftless.auth.jwt:factory
    options: {private_key: "s3cret,don'ttellany0ne"}
  - acme.auth:factory
"""

    def test_a_configuration_is_translated_and_each_key_named(self) -> None:
        (self.directory / "old.yaml").write_text(self.OLD)
        written = self.run_import("config", "old.yaml", "--output", "new.yaml", status=2)
        self.assertIn("not-translatable  AUTH_PROVIDERS.1: ", written)
        self.assertIn("1 key translated; 1 key translated with a difference; 1 key not", written)
        self.assertNotIn("s3cret", written)
        path = self.directory / "new.yaml"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        loaded = parse_config("new.yaml", path.read_text(), {}).config
        self.assertEqual([section["type"] for section in loaded.auth], ["jwt"])
        # Nothing that is there is replaced.
        self.run_import("config", "old.yaml", "--output", "new.yaml", status=1)

    def test_the_result_goes_to_stdout_and_what_is_told_to_stderr(self) -> None:
        written = self.run_import("config", "-", status=2, stdin=self.OLD)
        self.assertTrue(parse_config("", written, {}).config.auth)
        self.assertIn("# not translated: AUTH_PROVIDERS.1: ", written)

    def test_each_key_is_a_line_of_json(self) -> None:
        (self.directory / "old.yaml").write_text(self.OLD)
        written = self.run_import("config", "old.yaml", "-o", "new.yaml", "--json", status=2)
        *notes, last = map(json.loads, written.splitlines())
        self.assertEqual(last["summary"], {"translated": 1, "changed": 1, "not-translatable": 1})
        self.assertEqual(len(notes), 3)
        self.assertEqual(notes[-1]["key"], "AUTH_PROVIDERS.1")

    def test_a_file_that_is_no_configuration_is_refused(self) -> None:
        (self.directory / "old.yaml").write_text("x: [")
        self.assertIn("old.yaml", self.run_import("config", "old.yaml", status=1))
        self.assertIn("nowhere", self.run_import("config", "nowhere", status=1))
