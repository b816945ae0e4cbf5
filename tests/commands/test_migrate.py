"""``giftless migrate``, as a process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from giftless.base.exclusive import Exclusive
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, altered
from tests.support.commands import run_command
from tests.support.making import key_of, put_object
from tests.support.run import CoroutineTestCase

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
