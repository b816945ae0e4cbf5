"""Which object belongs to which repository: lists, and the database of Gitea."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.importing.assignments import Assignment, parse_repo, read_assignments
from giftless.importing.gitea import read_gitea
from giftless.importing.layouts import LAYOUTS
from giftless.importing.offers import NoSource
from giftless.importing.pool import offer_some
from giftless.lfs.objects import Repo
from tests.support.making import oid_of, repo_of

ONE, TWO = oid_of(b"one"), oid_of(b"two")


def listed(text: str, repo: Repo | None = None) -> list[Assignment]:
    """Return what a list says."""
    return list(read_assignments(io.BytesIO(text.encode()), "the list", repo))


class ListTests(SynchronousTestCase):
    def test_each_line_names_an_object_and_its_repository(self) -> None:
        found = listed(f"{ONE} acme/rocket\n\n{TWO}  acme/group/a b.git\r\n")
        self.assertEqual(
            found,
            [
                Assignment(repo_of("acme/rocket"), ONE),
                Assignment(Repo(("acme", "group", "a b.git")), TWO),
            ],
        )

    def test_a_line_of_git_lfs_goes_to_the_repository_that_was_named(self) -> None:
        found = listed(f"{ONE} * a.bin\n{TWO}\n", repo_of())
        self.assertEqual(found, [Assignment(repo_of(), ONE), Assignment(repo_of(), TWO)])

    def test_a_line_without_a_repository_is_refused(self) -> None:
        with self.assertRaises(NoSource) as caught:
            listed(f"{ONE} acme/rocket\n{TWO}\n")
        self.assertIn("line 2 of the list", str(caught.exception))

    def test_other_lines_are_refused(self) -> None:
        for line in ("hello", ONE[:-1], f"{ONE} -/x", f"{ONE} a//b", f"{ONE} ../x", "\xff\x00"):
            with self.assertRaises(NoSource, msg=line):
                listed(line)

    def test_a_repository_keeps_an_ending(self) -> None:
        self.assertEqual(parse_repo("acme/x.git", "it").path, "acme/x.git")


class GiteaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).resolve()

    def make(self, oid: str = ONE) -> str:
        """Make a database with the tables and columns that Gitea has."""
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executescript(
                "CREATE TABLE repository (id INTEGER PRIMARY KEY, owner_name TEXT, name TEXT,"
                " size INTEGER);"
                "CREATE TABLE lfs_meta_object (id INTEGER PRIMARY KEY, oid TEXT, size INTEGER,"
                " repository_id INTEGER);"
                "INSERT INTO repository VALUES (1, 'acme', 'rocket', 9), (2, 'acme', 'b.git', 9);"
            )
            database.executemany(
                "INSERT INTO lfs_meta_object (oid, size, repository_id) VALUES (?, ?, ?)",
                [(oid, 3, 1), (TWO, 3, 2), (oid, 3, 2), (TWO, 3, 99)],
            )
        return str(self.path)

    def test_objects_are_read_with_their_repositories_and_sizes(self) -> None:
        """Those of repositories that were deleted are left out."""
        rocket, other = repo_of("acme/rocket"), Repo(("acme", "b.git"))
        self.assertEqual(
            sorted(read_gitea(self.make()), key=lambda each: (each.repo.path, each.oid)),
            sorted(
                [Assignment(rocket, ONE, 3), Assignment(other, TWO, 3), Assignment(other, ONE, 3)],
                key=lambda each: (each.repo.path, each.oid),
            ),
        )

    def test_another_database_is_refused(self) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("CREATE TABLE x (y)")
        with self.assertRaises(NoSource) as caught:
            list(read_gitea(str(self.path)))
        self.assertIn("no database of Gitea", str(caught.exception))

    def test_a_file_that_is_no_database_is_refused(self) -> None:
        self.path.write_bytes(b"hello")
        with self.assertRaises(NoSource) as caught:
            list(read_gitea(str(self.path)))
        self.assertIn("--list", str(caught.exception))
        with self.assertRaises(NoSource):
            list(read_gitea("/nowhere/gitea.db"))

    def test_a_malformed_oid_is_refused(self) -> None:
        with self.assertRaises(NoSource):
            list(read_gitea(self.make("0" * 63)))


class PoolTests(SynchronousTestCase):
    def test_what_is_assigned_and_not_there_is_offered(self) -> None:
        """So that it is told of."""
        root = Path(self.mktemp())
        path = root / LAYOUTS["gitea"].place(ONE)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"one")
        chosen = [Assignment(repo_of(), ONE), Assignment(repo_of(), TWO)]
        offers = list(offer_some(str(root), LAYOUTS["gitea"], chosen))
        self.assertEqual([offer.size for offer in offers], [3, None])
