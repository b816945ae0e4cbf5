"""Catalogues over real databases, whose blocking work is done at once."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.database.pool import PAUSE
from giftless.catalogue import renaming
from giftless.catalogue.session import Session
from giftless.catalogue.store import SQLCatalogue
from giftless.interfaces import Bound, UsageRow
from tests.contracts.catalogues import THEN, CatalogueContract, entry_of, wanted_of
from tests.support import postgresql
from tests.support.making import environment, repo_of


class SQLCatalogueContract(CatalogueContract):
    """What every catalogue over SQL does beside what catalogues promise."""

    def test_many_entries_are_renamed(self) -> None:
        entries = [entry_of() for _ in range(3000)]
        with mock.patch.object(renaming, "_PART", 100):
            self.record(*entries)
            self.rename("org/repo", "team/new")
        found = self.listed(repo=repo_of("team/new"))
        self.assertEqual(len(found), 3000)
        self.assertEqual({entry.offered_at for entry in found}, {THEN + 400})

    def test_what_both_have_much_of_moves_bit_by_bit(self) -> None:
        """Nobody waits long, and a process that is killed leaves what another one ends."""
        names = [f"n{number}" for number in range(30)]
        self.record(*(entry_of(name) for name in names))
        self.record(*(entry_of(name, "team/new", who="oscar") for name in names[5:]))
        renaming_all = self.catalogue.rename(repo_of("org/repo"), repo_of("team/new"), THEN + 400)
        with mock.patch.object(renaming, "_MOVED", 7):
            running = self.start(renaming_all)
            self.assertFalse(running.called)
            # Here it may be killed.
            left, there = (self.listed(repo=repo_of(path)) for path in ("org/repo", "team/new"))
            self.assertEqual((len(left), self.usage("repo").total.objects), (23, 23 + len(there)))
            self.assertEqual(len({entry.key.oid for entry in left + there}), 30)
            running.addErrback(lambda _: None).cancel()
            again = self.start(
                self.catalogue.rename(repo_of("org/repo"), repo_of("team/new"), THEN + 500)
            )
            while not again.called:
                self.catalogue._pool._clock.advance(PAUSE)
            self.successResultOf(again)
        self.assertEqual(self.listed(repo=repo_of("org/repo")), [])
        found = self.listed(repo=repo_of("team/new"))
        self.assertEqual([entry.who for entry in found], [""] * 30)
        self.assertEqual(Counter(entry.offered_at - THEN for entry in found), {400.0: 7, 500.0: 23})
        self.assertEqual(self.usage("repo", repo="team/new").total, UsageRow("", 30, 300))

    def test_who_has_room_long_enough_asks_without_writing(self) -> None:
        """Each upload asks again when it begins, and must not wait for those who write."""
        bound = Bound("org/repo", False, 100)
        self.reserve(wanted_of("a", 40), bounds=[bound])
        with mock.patch.object(Session, "writing", side_effect=AssertionError("it writes")):
            found = self.reserve(wanted_of("a", 40), bounds=[bound], until=THEN + 60)
            self.assertEqual(found.refused, {})
            self.assertEqual([level.reserved for level in found.levels], [40])
            for wanted, until in ((wanted_of("a", 41), THEN + 60), (wanted_of("a", 40), THEN + 61)):
                with self.assertRaisesRegex(AssertionError, "it writes"):
                    self.reserve(wanted, bounds=[bound], until=until)


class SQLiteTestCase(SynchronousTestCase):
    """A test with a directory for a database."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="giftless-catalogue-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "catalogue.sqlite"
        super().setUp()

    def build(self, **options: Any) -> SQLCatalogue:
        """Build a catalogue as a configuration would."""
        from giftless.base.database.sqlite import SQLiteOptions
        from giftless.catalogue.sqlite import SQLiteFactory

        catalogue = SQLiteFactory().build(
            SQLiteOptions(path=str(self.path), **options), environment(str(self.directory))
        )
        self.addCleanup(catalogue._pool.close)
        return catalogue


class PostgreSQLTestCase(postgresql.PostgreSQLTestCase):
    """A test with a database of its own in a server that all share."""

    def build(self, state_dir: str = "", **options: Any) -> SQLCatalogue:
        """Build a catalogue as a configuration would."""
        from giftless.base.database.postgresql import PostgreSQLOptions
        from giftless.catalogue.postgresql import PostgreSQLFactory

        given = {"conninfo": self.conninfo, "connections": 1, **options}
        catalogue = PostgreSQLFactory().build(PostgreSQLOptions(**given), environment(state_dir))
        self.addCleanup(catalogue._pool.close)
        return catalogue
