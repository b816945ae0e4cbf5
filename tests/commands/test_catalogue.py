"""``giftless catalogue``, as a process."""

from __future__ import annotations

import json

from tests.commands.test_objects import DATA, ObjectsTestCase
from tests.support.making import key_of


class CatalogueCommandTests(ObjectsTestCase):
    def remove(self) -> None:
        """Remove the catalogue, as an operator does who wants a new one."""
        for file in (self.directory / "state").glob("catalogue.sqlite*"):
            file.unlink()
        for file in (self.directory / "state" / "stores").iterdir():
            if b"catalogue.sqlite" in file.read_bytes():
                file.unlink()

    def test_a_lost_catalogue_is_made_anew(self) -> None:
        self.remove()
        (found,) = self.run_json("catalogue", "rebuild")
        self.assertGreaterEqual(found.pop("seconds"), 0)
        expected = {"listed": 6, "trashed": 0, "missing": 6, "wrong_size": 0, "wrong_place": 0}
        self.assertEqual(found, {**expected, "surplus": 0, "corrected": True})
        written, progress = self.run_giftless("catalogue", "rebuild")
        self.assertIn("6 objects are stored, 0 are in the trash.\n0 were missing", written)
        self.assertIn("comparing: 6 objects", progress)
        usage = json.loads(self.run_giftless("usage", "--json")[0])
        self.assertEqual(usage["total"]["objects"], 6)

    def test_drift_is_reported_and_kept_on_demand(self) -> None:
        key = key_of(DATA[1], "acme/rocket")
        (self.directory / "data" / key.path).unlink()
        for flags, corrected in ((["--dry-run"], False), (["-n"], False), ([], True)):
            (found,) = self.run_json("catalogue", "rebuild", *flags)
            self.assertEqual((found["surplus"], found["corrected"]), (1, corrected))
        written, _ = self.run_giftless("catalogue", "rebuild", "--dry-run")
        self.assertIn("0 were in the catalogue alone: kept.", written)

    def test_what_is_missing_is_said_in_one_line(self) -> None:
        _, complaint = self.run_giftless("catalogue", status=1)
        self.assertEqual(complaint, "giftless: what about the catalogue? There is: rebuild\n")
        self.config.write_text(json.dumps({"catalogue": {"type": "none"}, "state_dir": "state"}))
        _, complaint = self.run_giftless("catalogue", "rebuild", status=1)
        self.assertIn("the configuration says that there is no catalogue", complaint)
