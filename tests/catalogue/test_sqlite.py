"""A catalogue in a file of SQLite."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
from pathlib import Path
from typing import Any

from giftless.base.database.sqlite import SQLiteOptions
from giftless.catalogue.sqlite import SQLiteFactory
from giftless.catalogue.store import SQLCatalogue
from giftless.errors import CatalogueUnavailable, ConfigError
from giftless.interfaces import EntryQuery, Usage
from tests.catalogue.support import SQLCatalogueContract, SQLiteTestCase
from tests.contracts.catalogues import entry_of, keys_of
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

#: How many processes write at once, and how many transactions each makes.
WRITERS, ROUNDS = 4, 25


class ContractTests(SQLiteTestCase, SQLCatalogueContract, CoroutineTestCase):
    """It is a catalogue."""

    def make_catalogue(self) -> SQLCatalogue:
        return self.build()


class FileTests(SQLiteTestCase, CoroutineTestCase):
    """The file, and what is wrong with others."""

    def usage(self, catalogue: SQLCatalogue) -> Usage:
        """Return how much there is."""
        return self.run_now(catalogue.usage("repo"))

    def test_it_is_in_the_state_directory(self) -> None:
        """Both are made, for the daemon alone."""
        state = self.directory / "state"
        catalogue = SQLiteFactory().build(SQLiteOptions(), environment(str(state)))
        self.addCleanup(catalogue._pool.close)
        self.run_now(catalogue.check())
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
        for name in ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm"):
            self.assertEqual(stat.S_IMODE((state / name).stat().st_mode), 0o600)

    def test_every_number_of_entries_is_recorded_whole(self) -> None:
        """Rows are inserted many at once, and looked up by filled-up lists."""
        catalogue, expected = self.build(), 0
        for count in (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300, 501):
            entries = [entry_of(repo=f"org/of-{count}") for _ in range(count)]
            self.run_now(catalogue.record(entries))
            expected += count
            self.assertEqual(self.usage(catalogue).total.objects, expected)
            self.assertEqual(self.run_now(catalogue.look(keys_of(entries))), entries)

    def test_a_newer_schema_is_refused_in_words(self) -> None:
        self.build()
        with sqlite3.connect(self.path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        error: ConfigError = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        self.assertIn("schema has version 99, made by a newer giftless", error.problem)

    def test_a_file_that_is_removed_while_it_is_used_is_503(self) -> None:
        catalogue = self.build()
        entry = entry_of()
        self.run_now(catalogue.record([entry]))
        away = self.directory / "away"
        away.mkdir()
        for file in self.directory.glob("catalogue.sqlite*"):
            shutil.move(file, away)
        self.assert_fails(CatalogueUnavailable, catalogue.record([entry_of()]))
        self.assert_fails(CatalogueUnavailable, catalogue.page(EntryQuery()))
        self.assertFalse(self.path.exists())
        error: ConfigError = self.assertRaises(ConfigError, self.build)
        self.assertIn("is missing; restore it", error.problem)
        for file in away.iterdir():
            shutil.move(file, self.directory)
        self.assertEqual(self.usage(catalogue).total.objects, 1)

    def test_something_else_in_its_place_is_refused(self) -> None:
        self.path.write_bytes(b"no database" * 1000)
        error: ConfigError = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")

    def test_a_full_database_is_503_and_recovers(self) -> None:
        catalogue = self.build()
        entry = entry_of()
        self.run_now(catalogue.record([entry]))
        connection = catalogue._pool._idle[0]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        many = [entry_of(filename="x" * 900) for _ in range(200)]
        self.assert_fails(CatalogueUnavailable, catalogue.record(many))
        self.assertEqual(self.usage(catalogue).total.objects, 1)
        self.assertEqual(self.run_now(catalogue.look([entry.key])), [entry])
        connection.execute("PRAGMA max_page_count = 1000000")
        self.run_now(catalogue.record(many))
        self.assertEqual(self.usage(catalogue).total.objects, 201)


class ProcessTests(SQLiteTestCase, CoroutineTestCase):
    """Several processes use one file."""

    def setUp(self) -> None:
        super().setUp()
        self.build()._pool.close()
        self.fork = multiprocessing.get_context("fork")

    def begin(self, *arguments: Any) -> Any:
        """Start a process that writes."""
        process = self.fork.Process(target=_write, args=(str(self.directory), *arguments))
        process.start()
        self.addCleanup(process.kill)
        return process

    def check_sums(self) -> int:
        """Fail unless the sums are those of the entries; return how many there are."""
        catalogue = self.build()
        with sqlite3.connect(self.path) as database:
            (sums,) = database.execute(
                "SELECT count(*), coalesce(sum(size), 0) FROM giftless_catalogue_entries"
            ).fetchall()
            (problem,) = database.execute("PRAGMA integrity_check").fetchone()
        database.close()
        self.assertEqual(problem, "ok")
        for by in ("org", "repo", "person", "age", "name"):
            usage = self.run_now(catalogue.usage(by))
            self.assertEqual((usage.total.objects, usage.total.size), sums)
            self.assertEqual(sum(row.objects for row in usage.rows), sums[0])
        return int(sums[0])

    def test_several_write_at_once_and_the_sums_are_right(self) -> None:
        processes = [self.begin(number, ROUNDS) for number in range(WRITERS)]
        for process in processes:
            process.join(120)
            self.assertEqual(process.exitcode, 0)
        # Each has objects of its own, and one that all have.
        self.assertEqual(self.check_sums(), WRITERS * ROUNDS * 10 + 1)

    def test_what_was_acknowledged_outlasts_a_kill(self) -> None:
        for number in range(3):
            reader, writer = self.fork.Pipe(duplex=False)
            process = self.begin(number, 10_000, writer)
            acknowledged = [reader.recv() for _ in range(7)][-1]
            os.kill(process.pid, signal.SIGKILL)
            process.join(30)
            self.assertEqual(process.exitcode, -signal.SIGKILL)
            while reader.poll():
                acknowledged = reader.recv()
            writer.close()
            catalogue = self.build()
            wanted = [key for each in range(acknowledged + 1) for key in _keys(number, each)]
            found = self.run_now(catalogue.look(wanted))
            self.assertNotIn(None, found)
            catalogue._pool.close()
        self.check_sums()


def _entries(number: int, turn: int) -> Any:
    own = [
        entry_of(f"{number} {turn} {each}", f"org{number}/repo", who="olga", filename="a.psd")
        for each in range(10)
    ]
    return [*own, entry_of("shared", "all/of/them", size=turn)]


def _keys(number: int, turn: int) -> Any:
    return keys_of(_entries(number, turn))


def _write(directory: str, number: int, rounds: int, told: Any = None) -> None:
    """Record objects, one transaction after the other.

    :param told: is sent the number of each that was acknowledged.
    """
    case = CoroutineTestCase()
    path = str(Path(directory) / "catalogue.sqlite")
    catalogue = SQLiteFactory().build(SQLiteOptions(path=path), environment(directory))
    for turn in range(rounds):
        case.run_now(catalogue.record(_entries(number, turn)))
        if told is not None:
            told.send(turn)
