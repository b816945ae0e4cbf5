"""``giftless ls``, ``usage``, ``rm``, ``trash`` and ``repo``, as processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from giftless.base.concurrency import settle
from giftless.base.database.sqlite import SQLiteOptions
from giftless.catalogue.sqlite import SQLiteFactory
from giftless.interfaces import Entry
from giftless.lfs.objects import in_trash
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.commands import Forked, run_command, start_command
from tests.support.making import environment, key_of, oid_of, put_object
from tests.support.processes import PATIENCE, wait_until
from tests.support.run import CoroutineTestCase

#: Sets titles, clears the screen, turns the direction of writing, begins a new line.
TRICK = "\x1b]0;owned\x07\x1b[2J\u202e\x9b2J\r\n\tx"

#: What a terminal could obey, and what turns the direction of writing.
OBEYED = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\u05d0-\u05ea]"

DATA = [b"%d" % number * 1000 * (number + 1) for number in range(5)]

DAY = 86_400


class ObjectsTestCase(CoroutineTestCase):
    """A store on a disk with objects, a catalogue that knows them, and no daemon."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        for name in ("state", "data"):
            (self.directory / name).mkdir(parents=True)
        self.store = LocalStore(str(self.directory / "data"), "", InlineBlocking())
        self.config = self.directory / "giftless.yaml"
        settings: dict[str, Any] = {
            "storage": {"type": "local", "path": "data"},
            "state_dir": "state",
            "observers": [{"type": "audit", "file": "audit.log"}],
        }
        self.config.write_text(json.dumps(settings))
        self.entries: list[Entry] = []
        for number, data in enumerate(DATA):
            self.add(data, filename=f"{number}.psd", who="olga", days=number)
        self.add(DATA[0], "acme/other", "", "", 400)
        self.enter()

    def add(
        self,
        data: bytes,
        repo: str = "acme/rocket",
        filename: str = "",
        who: str = "",
        days: float = 0,
    ) -> None:
        """Store an object, for the catalogue to know."""
        key = key_of(data, repo)
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), {}))
        at = time.time() - days * DAY
        self.entries.append(Entry(key, len(data), at, at, who, f"basic#{who}", filename))

    def enter(self) -> None:
        """Let the catalogue know what was added, and leave it to the commands."""
        lent = environment(str(self.directory / "state"))
        catalogue = SQLiteFactory().build(SQLiteOptions(), lent)
        lent.services.startService()
        self.run_now(catalogue.merge(self.entries))
        self.run_now(settle([_stopped(lent.services)]))
        self.entries = []

    def run_giftless(self, *arguments: str, status: int = 0, stdin: str = "") -> tuple[str, str]:
        """Run a command, and return what it writes to stdout and stderr."""
        result = run_command(
            "giftless",
            *arguments,
            directory=self.directory,
            environ={"GIFTLESS_CONFIG": str(self.config)},
            stdin=stdin,
        )
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result.stdout, result.stderr

    def start_giftless(
        self, *arguments: str, files: Sequence[int]
    ) -> Forked | subprocess.Popen[bytes]:
        """Start a command with some files for stdin, stdout and stderr."""
        process = start_command(
            "giftless",
            *arguments,
            directory=self.directory,
            environ={"TERM": "xterm", "GIFTLESS_CONFIG": str(self.config)},
            files=files,
        )
        self.addCleanup(process.kill)
        return process

    def run_json(self, *arguments: str, status: int = 0, stdin: str = "") -> list[Any]:
        """Run a command with ``--json``, and return what it writes, line by line."""
        written, _ = self.run_giftless(*arguments, "--json", status=status, stdin=stdin)
        return list(map(json.loads, written.splitlines()))

    def is_there(self, data: bytes, repo: str = "acme/rocket", trash: bool = False) -> bool:
        """Whether the store has an object, or its trash."""
        key = key_of(data, repo)
        sizes = self.run_now(self.store.sizes([in_trash(key) if trash else key]))
        return sizes == [len(data)]


async def _stopped(services: Any) -> None:
    await services.stopService()


class LsTests(ObjectsTestCase):
    def test_objects_are_listed_for_people(self) -> None:
        written, errors = self.run_giftless("ls", "acme/rocket")
        lines = written.splitlines()
        self.assertEqual((len(lines), errors), (5, ""))
        (line,) = [line for line in lines if oid_of(DATA[3]) in line]
        self.assertRegex(line, rf"^  4\.0 kB +3 d 0 h +3 d 0 h  {oid_of(DATA[3])}  olga  3\.psd$")

    def test_all_repositories_are_listed_with_their_names(self) -> None:
        written, _ = self.run_giftless("ls")
        self.assertEqual(len(written.splitlines()), 6)
        self.assertRegex(written, rf"(?m)  {oid_of(DATA[0])}  acme/other  -  -$")

    def test_json_is_exact(self) -> None:
        found = self.run_json("ls", "acme/rocket", "--sort", "size", "--limit", "2")
        self.assertEqual([each["size"] for each in found], [5000, 4000])
        self.assertEqual(
            (found[0]["repo"], found[0]["oid"], found[0]["who"], found[0]["filename"]),
            ("acme/rocket", oid_of(DATA[4]), "olga", "4.psd"),
        )
        self.assertRegex(found[0]["stored_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_the_oldest_come_first_if_that_is_wanted(self) -> None:
        for order in ("stored", "offered"):
            found = self.run_json("ls", "--sort", order)
            times = [each["stored_at"] for each in found]
            self.assertEqual(times, sorted(times))
            self.assertEqual(found[0]["repo"], "acme/other")

    def test_pages_make_one_list(self) -> None:
        for number in range(1200):
            key = key_of(b"%d" % number, "acme/many")
            self.entries.append(Entry(key, 1, 1.0, 1.0))
        self.enter()
        for order in ("path", "size", "stored"):
            found = self.run_json("ls", "acme/many", "--sort", order)
            self.assertEqual(len({each["oid"] for each in found}), 1200)
            self.assertEqual(len(found), 1200)
        self.assertEqual(len(self.run_json("ls", "acme/many", "--limit", "1100")), 1100)

    def test_what_makes_no_sense_is_an_error(self) -> None:
        for arguments, words in (
            (("--sort", "colour"), "--sort is one of"),
            (("--limit", "0"), "--limit must be 1 or more"),
            (("--limit", "x"), "'x'"),
            (("a//b",), "is no repository"),
            (("a\x1b[2J",), "is no repository"),
            (("a", "b"), "Wrong number of arguments"),
        ):
            written, errors = self.run_giftless("ls", *arguments, status=1)
            self.assertEqual(written, "")
            self.assertIn(words, errors)
            self.assertNotIn("\x1b", errors)

    def test_an_empty_store_has_no_lines(self) -> None:
        self.assertEqual(self.run_giftless("ls", "acme/nothing"), ("", ""))

    def test_a_configuration_without_a_catalogue_is_an_error(self) -> None:
        self.config.write_text('{"catalogue": {"type": "none"}, "state_dir": "state"}')
        for command in (
            ("ls",),
            ("usage",),
            ("rm", "acme/rocket", oid_of(DATA[0])),
            ("trash", "list"),
            ("trash", "restore", "acme/rocket", oid_of(DATA[0])),
            ("repo", "alias"),
            ("repo", "rename", "acme/rocket", "acme/new"),
        ):
            written, errors = self.run_giftless(*command, status=1)
            self.assertEqual(written, "")
            self.assertIn("catalogue", errors)


class HostileTests(ObjectsTestCase):
    """Names that clients give, in a terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.names = {b"trick": TRICK, b"long": "x" * 4000, b"hebrew": "\u05d0\u05d1" * 50}
        for data, name in self.names.items():
            self.add(data, "acme/evil", name, name, 1)
        self.enter()

    def test_they_are_harmless_in_every_list(self) -> None:
        oids = list(map(oid_of, self.names))
        for command in (
            ("ls",),
            ("ls", "acme/evil"),
            *(("usage", "--by", by) for by in ("org", "repo", "person", "age", "name")),
            ("rm", "--reason", TRICK, "acme/evil", *oids),
            ("trash", "list"),
            ("trash", "list", "acme/evil"),
            ("trash", "restore", "acme/evil", *oids),
        ):
            written, _ = self.run_giftless(*command)
            self.assertNotRegex(written, OBEYED, command)
            self.assertLess(max(map(len, written.splitlines())), 450)
        self.assertIn("\\x1b]0;owned\\x07", self.run_giftless("ls", "acme/evil")[0])

    def test_they_are_whole_and_ascii_in_json(self) -> None:
        written, _ = self.run_giftless("ls", "acme/evil", "--json")
        self.assertTrue(written.isascii())
        self.assertNotRegex(written, OBEYED)
        found = {each["filename"] for each in map(json.loads, written.splitlines())}
        # The catalogue keeps the beginning of a long one.
        self.assertEqual({name[:100] for name in found}, {n[:100] for n in self.names.values()})

    def test_names_on_the_command_line_are_harmless_in_errors(self) -> None:
        for command in (("rm", "acme/evil", TRICK), ("trash", "restore", "acme/evil", TRICK)):
            _, errors = self.run_giftless(*command, status=1)
            self.assertNotRegex(errors, OBEYED)

    def test_a_terminal_gets_a_heading_and_nothing_to_obey(self) -> None:
        shown = self.in_terminal("ls", "acme/evil")
        self.assertTrue(shown.startswith("    SIZE        STORED       OFFERED  OID"))
        self.assertNotRegex(shown.replace("\r\n", "\n"), OBEYED)
        shown = self.in_terminal("trash", "list")
        self.assertIn("KEPT YET", shown)

    def test_a_terminal_shows_progress_and_clears_it(self) -> None:
        shown = self.in_terminal("repo", "copy", "acme/evil", "acme/copy")
        self.assertIn("\r\x1b[Kcopying acme/evil: 0 objects", shown)
        self.assertTrue(shown.endswith("\r\x1b[Kcopied acme/evil to acme/copy: 3 objects\r\n"))

    def in_terminal(self, *arguments: str) -> str:
        """Run a command in a terminal, and return what is shown."""
        end, inside = pty.openpty()
        try:
            termios.tcsetwinsize(end, (24, 80))
            process = self.start_giftless(*arguments, files=[inside] * 3)
            self.assertEqual(process.wait(PATIENCE), 0)
            return os.read(end, 65536).decode()
        finally:
            os.close(inside)
            os.close(end)


class UsageTests(ObjectsTestCase):
    def test_usage_is_told_for_people(self) -> None:
        written, errors = self.run_giftless("usage")
        lines = [re.sub(" +", " ", line).strip() for line in written.splitlines()]
        self.assertEqual(
            lines,
            [
                "STORED OBJECTS TRASH OBJECTS REPO",
                "15.0 kB 5 0 B 0 acme/rocket",
                "1.0 kB 1 0 B 0 acme/other",
                "16.0 kB 6 0 B 0 in total",
                "16.0 kB have all objects together, the trash included",
                "15.0 kB they take in the store",
            ],
        )
        self.assertEqual(errors, "")

    def test_usage_is_one_document_of_json(self) -> None:
        (usage,) = self.run_json("usage", "--by", "person", "acme")
        self.assertEqual(usage["total"]["size"], 16_000)
        self.assertEqual((usage["logical_size"], usage["physical_size"]), (16_000, 15_000))
        self.assertEqual({row["name"]: row["objects"] for row in usage["rows"]}, {"olga": 5, "": 1})

    def test_the_trash_is_told_apart(self) -> None:
        self.run_giftless("rm", "acme/rocket", oid_of(DATA[4]))
        (usage,) = self.run_json("usage", "acme/rocket")
        (row,) = usage["rows"]
        self.assertEqual((row["objects"], row["size"]), (4, 10_000))
        self.assertEqual((row["trashed"], row["trashed_size"]), (1, 5000))


class TrashTests(ObjectsTestCase):
    def test_what_is_removed_is_listed_and_comes_back(self) -> None:
        moved = self.run_json("rm", "acme/rocket", oid_of(DATA[0]), "--reason", "leaked")
        self.assertEqual([each["result"] for each in moved], ["moved"])
        self.assertFalse(self.is_there(DATA[0]))
        self.assertTrue(self.is_there(DATA[0], "acme/other"))
        written, _ = self.run_giftless("trash", "list")
        self.assertRegex(
            written,
            rf"  1\.0 kB +\d s +29 d 23 h  {oid_of(DATA[0])}  acme/rocket  .*0\.psd  leaked\n",
        )
        self.run_giftless("trash", "restore", "acme/rocket", oid_of(DATA[0]))
        self.assertTrue(self.is_there(DATA[0]))
        self.assertEqual(self.run_giftless("trash", "list"), ("", ""))
        audit = (self.directory / "audit.log").read_text()
        self.assertIn("object.trashed", audit)
        self.assertIn("object.restored", audit)
        self.assertIn("giftless rm (", audit)

    def test_oids_are_read_from_stdin(self) -> None:
        oids = "\n".join(map(oid_of, DATA))
        moved = self.run_json("rm", "acme/rocket", "-", stdin=f"{oids}\n\n{oid_of(DATA[0])}\n")
        self.assertEqual({each["result"] for each in moved}, {"moved"})
        self.assertEqual(len(moved), 5)
        written, _ = self.run_giftless("trash", "restore", "acme/rocket", "--all")
        self.assertEqual(written, "restored 5 objects\n")
        self.assertTrue(all(map(self.is_there, DATA)))

    def test_what_is_absent_is_said_and_is_the_status(self) -> None:
        for command, done in ((("rm",), "moved"), (("trash", "restore"), "restored")):
            oids = (oid_of(DATA[0]), oid_of(b"absent"))
            written, errors = self.run_giftless(*command, "acme/rocket", *oids, status=1)
            self.assertEqual(
                written.splitlines(), [f"{done:<8}  {oids[0]}", f"absent    {oids[1]}"]
            )
            self.assertEqual(errors, f"giftless: 1 of the objects was not {done}: absent\n")

    def test_nothing_is_moved_if_one_oid_is_wrong(self) -> None:
        self.run_giftless("rm", "acme/rocket", oid_of(DATA[0]), "nonsense", status=1)
        self.assertTrue(self.is_there(DATA[0]))

    def test_the_trash_is_emptied_only_if_that_is_meant(self) -> None:
        self.run_giftless("rm", "acme/rocket", *map(oid_of, DATA[:2]))
        written, errors = self.run_giftless("trash", "empty", status=1)
        self.assertEqual(written, "")
        self.assertEqual(
            errors, "giftless: would delete 2 objects, 3.0 kB, for good: say --really\n"
        )
        self.assertTrue(self.is_there(DATA[0], trash=True))
        young = self.run_giftless("trash", "empty", "--really", "--older-than", "1h")[0]
        self.assertEqual(young, "deleted 0 objects for good\n")
        (done,) = self.run_json("trash", "empty", "--really", "acme/rocket")
        self.assertEqual(done, {"deleted": True, "objects": 2, "size": 3000})
        self.assertFalse(self.is_there(DATA[0], trash=True))
        self.run_giftless("trash", "empty", "--older-than", "soon", status=1)

    def test_wrong_command_lines_say_what_is_missing(self) -> None:
        for command in (
            ("rm",),
            ("rm", "acme/rocket"),
            ("rm", "acme/rocket", oid_of(b""), "--reason", "x" * 201),
            ("trash",),
            ("trash", "restore", "acme/rocket"),
            ("trash", "restore", "--all"),
            ("trash", "restore", "--all", "acme/rocket", oid_of(b"")),
            ("repo",),
            ("repo", "rename", "acme/rocket"),
            ("repo", "rename", "acme/rocket", "acme/rocket"),
            ("repo", "rm"),
            ("repo", "alias", "acme/rocket"),
            ("repo", "alias", "--remove"),
        ):
            written, errors = self.run_giftless(*command, status=1)
            self.assertEqual(written, "", command)
            self.assertTrue(errors.startswith("giftless: "), errors)


class RepoTests(ObjectsTestCase):
    def test_a_repository_is_renamed_and_its_old_name_leads_there(self) -> None:
        written, _ = self.run_giftless("repo", "rename", "acme/rocket", "acme/engine")
        self.assertEqual(written, "renamed acme/rocket to acme/engine: 5 objects\n")
        self.assertTrue(all(self.is_there(data, "acme/engine") for data in DATA))
        self.assertFalse(self.is_there(DATA[0]))
        self.assertEqual(self.run_giftless("repo", "alias")[0], "acme/rocket -> acme/engine\n")
        names = {each["filename"] for each in self.run_json("ls", "acme/engine")}
        self.assertEqual(names, {f"{number}.psd" for number in range(5)})

    def test_a_repository_is_copied(self) -> None:
        (done,) = self.run_json("repo", "copy", "acme/rocket", "acme/fork")
        self.assertEqual((done["operation"], done["to"], done["objects"]), ("copy", "acme/fork", 5))
        self.assertTrue(self.is_there(DATA[0]) and self.is_there(DATA[0], "acme/fork"))

    def test_a_repository_is_removed_only_if_that_is_meant(self) -> None:
        _, errors = self.run_giftless("repo", "rm", "acme/rocket", status=1)
        self.assertIn("would move 5 objects of acme/rocket, 15.0 kB, into the trash", errors)
        self.assertTrue(self.is_there(DATA[0]))
        written, _ = self.run_giftless("repo", "rm", "acme/rocket", "--really")
        self.assertEqual(written, "moved acme/rocket into the trash: 5 objects\n")
        self.run_giftless("trash", "restore", "--all", "acme/rocket")
        self.assertTrue(self.is_there(DATA[0]))

    def test_names_are_made_and_ended(self) -> None:
        written, _ = self.run_giftless("repo", "alias", "acme/old", "acme/rocket")
        self.assertEqual(written, "acme/old -> acme/rocket\n")
        self.assertEqual(
            self.run_json("repo", "alias"), [{"name": "acme/old", "repo": "acme/rocket"}]
        )
        self.run_giftless("repo", "alias", "acme/other", "acme/rocket", status=1)
        self.run_giftless("repo", "alias", "--remove", "acme/old")
        self.assertEqual(self.run_giftless("repo", "alias"), ("", ""))


class SignalTests(ObjectsTestCase):
    def test_what_is_interrupted_is_no_success_and_can_be_repeated(self) -> None:
        rename = ("repo", "rename", "acme/rocket", "acme/engine")
        with open(os.devnull) as nothing, tempfile.TemporaryFile() as errors:
            files = [nothing.fileno(), nothing.fileno(), errors.fileno()]
            process = self.start_giftless(*rename, files=files)
            # Now it waits until workers know the new name.
            wait_until(lambda: self.is_there(DATA[4], "acme/engine"), "objects are copied")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), 1)
            errors.seek(0)
            self.assertEqual(errors.read(), b"giftless: interrupted before the end\n")
        self.run_giftless(*rename)
        self.assertFalse(self.is_there(DATA[0]))


class PipeTests(ObjectsTestCase):
    """A reader that goes away."""

    def closed(self, *arguments: str) -> tuple[int, bytes]:
        """Run a command whose stdout is closed, and return its status and stderr."""
        reading, writing = os.pipe()
        os.close(reading)
        with open(os.devnull) as nothing, tempfile.TemporaryFile() as errors:
            try:
                files = [nothing.fileno(), writing, errors.fileno()]
                process = self.start_giftless(*arguments, files=files)
            finally:
                os.close(writing)
            status = process.wait(PATIENCE)
            errors.seek(0)
            return status, errors.read()

    def test_it_ends_a_list_quietly(self) -> None:
        for number in range(3000):
            self.entries.append(Entry(key_of(b"%d" % number, "acme/many"), 1, 1.0, 1.0))
        self.enter()
        for command in (("ls",), ("ls", "--json"), ("usage",), ("locks", "list")):
            self.assertEqual(self.closed(*command), (0, b""), command)

    def test_it_ends_no_change(self) -> None:
        self.assertEqual(self.closed("rm", "acme/rocket", *map(oid_of, DATA)), (0, b""))
        self.assertFalse(any(map(self.is_there, DATA)))
