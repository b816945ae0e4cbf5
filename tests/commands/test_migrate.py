"""``giftless migrate``, as a process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from giftless.base.concurrency import settle
from giftless.base.exclusive import Exclusive
from giftless.commands import CommandError
from giftless.commands.migrate.problems import told_problems
from giftless.interfaces import Entry, ICatalogueFactory, ILockStoreFactory, State
from giftless.lfs.locks import LockQuery
from giftless.lfs.objects import in_trash
from giftless.storage.local.store import LocalStore
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.failures import unavailable
from tests.contracts.lockstores import lock_of
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, altered
from tests.support.commands import run_command
from tests.support.making import key_of, part_builder, put_object
from tests.support.postgresql import postgresql
from tests.support.run import CoroutineTestCase
from tests.support.servers import shared

DATA = [os.urandom(1000 * (number + 1)) for number in range(5)]


class MigrateTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        for name in ("old", "new", "state"):
            (self.directory / name).mkdir(parents=True)
        self.old, self.new = (
            LocalStore(str(self.directory / name), "", InlineBlocking()) for name in ("old", "new")
        )
        self.config = self.directory / "giftless.yaml"
        old, new = ({"type": "local", "path": name} for name in ("old", "new"))
        storage = {"type": "moving", "from": old, "to": new}
        self.write(self.config, {"storage": storage, "state_dir": "state"})
        for data in DATA:
            self.add(self.old, data)

    def write(self, file: Path, settings: dict[str, Any]) -> None:
        """Write a configuration."""
        file.write_text(json.dumps(settings))

    def add(self, store: LocalStore, data: bytes, name: bytes | None = None) -> None:
        """Store an object."""
        key = key_of(data if name is None else name)
        self.run_now(put_object(store, key, len(data), ListBody([data]), {}))

    def run_it(self, *arguments: str) -> Any:
        """Run the command."""
        return run_command(
            "giftless",
            "migrate",
            "--config",
            self.config.name,
            *arguments,
            directory=self.directory,
        )

    def test_nothing_moves_to_where_it_is(self) -> None:
        around = {"type": "compressed", "store": {"type": "local", "path": "./old"}}
        self.write(self.directory / "other.yaml", {"storage": around, "state_dir": "state"})
        for names in (("storage.from", "other.yaml"), ("other.yaml", "storage.from")):
            done = self.run_it(*names)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("keep objects in the same place", done.stderr)

    def test_everything_moves_and_the_numbers_are_told(self) -> None:
        done = self.run_it()
        self.assertEqual((done.returncode, done.stderr.count("pass ")), (0, 2))
        self.assertIn("storage.from: 5 objects (15.0 kB); of these, storage.to has", done.stdout)
        self.assertIn("storage.to: 5 objects (15.0 kB) in all.", done.stdout)
        self.assertEqual(self.run_now(self.new.sizes(list(map(key_of, DATA)))), [*map(len, DATA)])
        done = self.run_it("--json")
        summary = json.loads(done.stdout)["summary"]
        self.assertEqual((summary["copied"]["objects"], summary["complete"]), (0, True))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.run_it("--verify-only").returncode, 0)

    def test_damaged_objects_are_told(self) -> None:
        self.add(self.old, altered(DATA[0]), DATA[0])
        done = self.run_it("--json")
        left, last = map(json.loads, done.stdout.splitlines())
        self.assertEqual((left["object"], left["outcome"]), (key_of(DATA[0]).path, "wrong"))
        self.assertEqual(last["summary"]["left"], {"wrong": 1})
        self.assertEqual(done.returncode, 2)
        done = self.run_it()
        self.assertIn("git lfs push --all origin", done.stdout)
        self.assertNotIn("run this again", done.stdout)
        self.assertEqual(self.run_it("--verify-only").returncode, 3)

    def test_places_may_be_in_other_files(self) -> None:
        other = self.directory / "other.yaml"
        self.write(other, {"storage": {"type": "local", "path": "elsewhere", "prefix": "a/b"}})
        self.assertEqual(self.run_it("storage.from", str(other)).returncode, 0)
        there = self.directory / "elsewhere/a/b" / key_of(DATA[0]).path
        self.assertEqual(there.read_bytes(), DATA[0])
        done = self.run_it(f"{other}:storage", "giftless.yaml:storage.to")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{other}:storage: 5 objects", done.stdout)

    def test_what_cannot_be_done_is_said(self) -> None:
        for arguments, words in (
            (("storage.from",), "say both, FROM and TO"),
            (("storage.from", "storage.from"), "are the same place"),
            (("storage.from", "storage.nowhere"), "there is no section of this name"),
            (("storage.from", "nowhere"), "name a file, or a section"),
            (("storage.from", "nowhere.yaml:storage"), "there is no file nowhere.yaml"),
            (("--jobs", "0"), "--jobs is a number"),
            (("--rate", "much"), "a size such as"),
        ):
            done = self.run_it(*arguments)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(words, done.stderr)
        self.write(self.config, {"storage": {"type": "local", "path": "old"}})
        self.assertIn("say FROM and TO", self.run_it().stderr)

    def test_two_runs_of_one_move_are_refused(self) -> None:
        self.assertEqual(self.run_it().returncode, 0)
        (journal,) = (self.directory / "state/migration").glob("*.sqlite")
        running = Exclusive(str(self.directory / "state/migration/running"))
        held = running.take([journal.stem], b"4711")
        assert not isinstance(held, bytes)
        self.addCleanup(held.release)
        done = self.run_it()
        self.assertEqual(done.returncode, 1)
        self.assertIn("another 'giftless migrate' does this just now (process 4711)", done.stderr)


class DatabasesTests(CoroutineTestCase):
    """From SQLite to PostgreSQL, and back."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        (self.directory / "state").mkdir(parents=True)
        database = shared(postgresql)
        conninfo = database.conninfo(database.make_database())
        self.sections = {
            kind: (
                {"type": "sqlite", "path": f"{kind}.old"},
                {"type": "postgresql", "conninfo": conninfo},
                {"type": "sqlite", "path": f"{kind}.new"},
            )
            for kind in ("locks", "catalogue")
        }
        self.write()

    def write(self, file: str = "giftless.yaml", **settings: Any) -> None:
        """Write a configuration."""
        storage = {"type": "local", "path": "data"}
        whole = {"storage": storage, "state_dir": "state", **settings}
        (self.directory / file).write_text(json.dumps(whole))

    def run_it(self, *arguments: str) -> Any:
        """Run the command, which must succeed; returns its summary."""
        command = ("migrate", "--config", "giftless.yaml", "--json", *arguments)
        done = run_command("giftless", *command, directory=self.directory)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)["summary"]

    @contextmanager
    def built(self, interface: Any, section: Any, path: str) -> Iterator[Any]:
        """Build a part for a moment, which finds its files where the command does."""
        before = os.getcwd()
        os.chdir(self.directory)
        parts = part_builder("state")
        try:
            part = parts.build(interface, section, path)
            parts.environment.services.startService()
            yield part
            self.run_now(settle([_stopped(parts.environment.services)]))
        finally:
            os.chdir(before)

    def test_locks_move_to_another_database_and_back(self) -> None:
        locks = [lock_of(f"{number}.psd") for number in range(5)]
        first, *others = self.sections["locks"]
        with self.built(ILockStoreFactory, first, "locks") as store:
            for lock in locks:
                self.run_now(store.create(lock))
        for other in others:
            self.write(locks={"type": "moving", "from": first, "to": other})
            summary = self.run_it("--locks")
            self.assertEqual((summary["locks"], summary["copied"]), (5, 5))
            self.assertEqual(self.run_it("--locks")["copied"], 0)
            first = other
        with self.built(ILockStoreFactory, first, "locks") as store:
            page = self.run_now(store.page(LockQuery(100)))
        self.assertEqual(list(reversed(page.locks)), locks)

    def test_the_catalogue_moves_to_another_database_and_back(self) -> None:
        (self.directory / "data").mkdir()
        store = LocalStore(str(self.directory / "data"), "", InlineBlocking())
        entries = []
        for number, data in enumerate(DATA):
            key = key_of(data)
            place = in_trash(key) if number == 3 else key
            self.run_now(put_object(store, place, len(data), ListBody([data]), {}))
            at = 1_700_000_000.0 + number
            entry = Entry(key, len(data), at, at, "olga", "basic#olga", f"{number}.psd")
            if number == 3:
                entry = msgspec.structs.replace(
                    entry, state=State.TRASHED, moved_at=at + 1, reason="old", moved_by="root"
                )
            entries.append(entry)
        first, *others = self.sections["catalogue"]
        with self.built(ICatalogueFactory, first, "catalogue") as catalogue:
            self.run_now(catalogue.merge(entries))
            self.run_now(catalogue.alias("org/before", "org/repo"))
        for other in others:
            self.write(catalogue=first)
            self.write("new.yaml", catalogue=other)
            summary = self.run_it("--catalogue", "catalogue", "new.yaml")
            self.assertEqual((summary["entries"], summary["copied"], summary["aliases"]), (5, 5, 1))
            drift = summary["drift"]
            self.assertEqual((drift["missing"], drift["surplus"], drift["wrong_place"]), (0, 0, 0))
            again = self.run_it("--catalogue", "catalogue", "new.yaml")
            self.assertEqual((again["copied"], again["aliases"]), (0, 0))
            first = other
        with self.built(ICatalogueFactory, first, "catalogue") as catalogue:
            found = self.run_now(catalogue.look([entry.key for entry in entries]))
            self.assertEqual(found, entries)
            aliases = self.run_now(catalogue.aliases())
        self.assertEqual(dict(aliases), {"org/before": "org/repo"})

    def test_one_thing_moves_at_a_time(self) -> None:
        command = ("migrate", "--config", "giftless.yaml", "--locks", "--catalogue")
        done = run_command("giftless", *command, directory=self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("move locks first", done.stderr)


async def _stopped(services: Any) -> None:
    await services.stopService()


class ProblemsTests(CoroutineTestCase):
    def test_a_storage_that_fails_is_told_with_what_it_has_logged(self) -> None:
        """Clients are told less."""
        with self.assertRaises(CommandError) as caught, told_problems():
            raise unavailable(StoreError("S3 answers with status 400\x1b[2J"), "objects")
        self.assertIn("does not answer as it should", str(caught.exception))
        self.assertIn(": objects: S3 answers with status 400", str(caught.exception))
        self.assertNotIn("\x1b", str(caught.exception))
