"""``giftless fsck``, as a process on a disk with real damage."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from giftless.lfs.objects import ObjectKey, in_trash
from tests.commands.test_objects import DATA, ObjectsTestCase
from tests.support.making import key_of

KEYS = [key_of(data, "acme/rocket") for data in DATA]


class FsckTests(ObjectsTestCase):
    def path(self, key: ObjectKey) -> str:
        """Return where an object lies."""
        return str(self.directory / "data" / key.path)

    def flip(self, key: ObjectKey, offset: int = 100) -> None:
        """Flip a bit of an object."""
        with open(self.path(key), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 4]))

    def fsck(self, *arguments: str, status: int = 0) -> tuple[list[Any], Any]:
        """Run it; return what it has found, and its summary."""
        *found, last = self.run_json("fsck", *arguments, status=status)
        self.assertEqual(list(last), ["summary"])
        self.assertEqual(last["summary"]["status"], status)
        return found, last["summary"]

    def wrong_sums(self) -> set[str]:
        """Return the oids of which ``sha256sum --check`` says that they are wrong."""
        names = [*(self.directory / "data").rglob("?" * 64)]
        lines = "".join(f"{path.name}  {path}\n" for path in names if path.is_file())
        command = ["sha256sum", "--check", "--quiet"]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        return {line.rpartition(": FAILED")[0][-64:] for line in done.stdout.splitlines()}

    def test_a_good_store_is_said_to_be_good(self) -> None:
        written, _ = self.run_giftless("fsck", "--read-data")
        self.assertIn("stored: 6 objects, 16.0 kB; in the trash: 0 objects, 0 B\n", written)
        self.assertIn("found: nothing that is wrong", written)
        self.assertIn("compared: 6 objects, 16.0 kB\n", written)
        found, summary = self.fsck("--read-data")
        self.assertEqual((found, summary["read"], summary["complete"]), ([], 6, True))
        self.assertEqual(os.listdir(self.directory / "state" / "fsck")[0][-5:], ".lock")

    def test_wrong_bytes_are_found_as_sha256sum_finds_them(self) -> None:
        self.flip(KEYS[1])
        os.truncate(self.path(KEYS[3]), 5)
        found, summary = self.fsck("--read-data", status=2)
        self.assertEqual({each["outcome"] for each in found}, {"wrong"})
        self.assertEqual({each["oid"] for each in found}, self.wrong_sums())
        self.assertEqual(summary["wrong"], 2)
        self.assertIn("git lfs push --object-id", found[0]["bring_back"][-1])
        # Without reading, what was cut off differs from the catalogue.
        (each,), _ = self.fsck(status=2)
        self.assertEqual(each["oid"], KEYS[3].oid)
        self.assertIn("the catalogue has 4000 bytes", each["problem"])

    def test_an_empty_file_is_found_without_a_catalogue(self) -> None:
        settings = json.loads(self.config.read_text())
        self.config.write_text(json.dumps({**settings, "catalogue": {"type": "none"}}))
        os.truncate(self.path(KEYS[3]), 0)
        (each,), _ = self.fsck(status=2)
        self.assertEqual((each["oid"], each["problem"]), (KEYS[3].oid, "it is empty"))

    def test_a_missing_object_is_found_and_brought_back(self) -> None:
        self.run_giftless("rm", "acme/rocket", KEYS[0].oid)
        os.unlink(self.path(KEYS[1]))
        os.unlink(self.path(in_trash(KEYS[0])))
        found, summary = self.fsck(status=2)
        places = {(each["oid"], each.get("trash", False)) for each in found}
        self.assertEqual(places, {(KEYS[0].oid, True), (KEYS[1].oid, False)})
        self.assertEqual(summary["missing"], 2)

    def test_modes_and_stray_files_are_found(self) -> None:
        os.chmod(self.path(KEYS[0]), 0)
        (self.directory / "data" / "acme" / "notes").touch()
        written, _ = self.run_giftless("fsck", status=3)
        self.assertIn(": the file has the mode 000: the server may not read it\n", written)
        self.assertIn("notes: a file that is no object of a repository\n", written)
        self.assertIn("found: 1 unreadable, 1 odd", written)
        os.chmod(self.path(KEYS[0]), 0o640)
        found, _ = self.fsck(status=5)
        self.assertEqual([each["outcome"] for each in found], ["odd"])

    def test_what_the_catalogue_does_not_know_is_told_and_not_changed(self) -> None:
        os.makedirs(self.directory / "data" / "acme" / "new")
        for number in range(3):
            data = b"%d" % number
            path = self.directory / "data" / key_of(data, "acme/new").path
            path.write_bytes(data)
            os.utime(path, (1, 1))
        (each,), summary = self.fsck(status=5)
        self.assertEqual(each["problem"], "the catalogue does not know 3 objects")
        self.assertEqual(summary["unrecorded"], 3)

    def test_what_is_wrong_is_marked_and_taken_again(self) -> None:
        self.flip(KEYS[1])
        (each,), _ = self.fsck("--read-data", status=2)
        self.assertEqual(each["bring_back"][0][:12], "--quarantine")
        (each,), summary = self.fsck("--read-data", "--quarantine", status=2)
        self.assertEqual((each["quarantined"], summary["quarantined"]), (True, 1))
        self.assertFalse(os.path.exists(self.path(KEYS[1])))
        (error,) = self.run_now(self.store.sizes([KEYS[1]]))
        self.assertIn("its 2000 bytes have the SHA-256", str(error))
        audited = (self.directory / "audit.log").read_text()
        self.assertIn("object.marked", audited)
        # It stays a finding until somebody has pushed it.
        (each,), _ = self.fsck(status=2)
        self.assertIn("whoever has it can push it again", each["problem"])
        self.add(DATA[1])
        self.assertEqual(self.fsck("--read-data")[0], [])

    def test_the_trash_tells_how_to_bring_an_object_back(self) -> None:
        self.run_now(self.store.copy(KEYS[1], in_trash(KEYS[1])))
        os.unlink(self.path(KEYS[1]))
        (each,), _ = self.fsck(status=2)
        self.assertEqual(each["bring_back"][0], f"giftless trash restore acme/rocket {KEYS[1].oid}")

    def test_only_some_repositories_are_looked_at(self) -> None:
        self.flip(KEYS[1])
        self.assertEqual(self.fsck("--read-data", "acme/other")[1]["read"], 1)
        self.assertEqual(self.fsck("--read-data", "*/o*")[1]["objects"], 1)
        self.assertEqual(self.fsck("--read-data", "acme/rocket", status=2)[1]["read"], 5)

    def test_a_part_is_read(self) -> None:
        read = [self.fsck("--read-data-subset", each)[1]["read"] for each in ("1/2", "2/2")]
        self.assertEqual(sum(read), 6)
        self.assertLessEqual(self.fsck("--read-data-subset", "4k")[1]["read_size"], 4000)

    def test_mistakes_are_said_in_one_line(self) -> None:
        for arguments, words in (
            (["--read-data-subset", "9/7"], "allowed is a share such as 5%"),
            (["--rate", "0"], "allowed is a size above 0"),
            (["--jobs", "0"], "allowed is a number from 1 to 64"),
            (["a//b"], "REPO is no path or pattern of repositories"),
        ):
            _, complaint = self.run_giftless("fsck", *arguments, status=1)
            self.assertIn(words, complaint)
            self.assertEqual(complaint.count("\n"), 1)
