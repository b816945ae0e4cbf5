"""What a store lists is compared with the catalogue, while both are in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.errors import CatalogueUnavailable, ObjectUnreadable, StorageUnavailable
from giftless.interfaces import Entry, State
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.places import Places
from giftless.usecases.fsck.selection import Selection, Subset
from giftless.usecases.fsck.structure import Structure, Totals
from tests.catalogue.support import SQLiteTestCase
from tests.contracts.catalogues import THEN, entry_of
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

AWAY = StorageUnavailable("the disk is gone", 30)


class StructureTests(SQLiteTestCase, CoroutineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore()
        self.catalogue = self.build()
        self.found: list[Finding] = []
        self.totals = Totals()

    def add(self, name: str, repo: str = "org/repo", size: int | None = None) -> ObjectKey:
        """Store an object whose bytes are its name, and record it.

        :param size: what the catalogue has for its size.
        """
        key = key_of(name.encode(), repo)
        self.store.add(key, name.encode())
        self.record(entry_of(name, repo, len(name) if size is None else size))
        return key

    def record(self, *entries: Entry) -> None:
        """Record entries."""
        self.run_now(self.catalogue.record(entries))

    def look(
        self, *patterns: str, catalogue: Any = None, selection: Selection | None = None
    ) -> list[tuple[Outcome, ObjectKey | None]]:
        """Look at everything; return what was found."""
        self.found = []
        clock = Clock()
        blocking = InlineBlocking()

        async def report(finding: Finding) -> None:
            self.found.append(finding)

        structure = Structure(
            self.store,
            catalogue or self.catalogue,
            Examiner(self.store, blocking, Pace(None, clock), clock),
            Places(self.store, patterns),
            blocking,
            lambda: THEN + 10**9,
            report,
            lambda count: None,
        )
        self.chosen = self.run_now(structure.run(selection or Selection(Subset(), "")))
        self.totals = structure.totals
        return [(each.outcome, each.key) for each in self.found]

    def test_what_agrees_is_no_finding(self) -> None:
        key = self.add("a")
        self.store.add(in_trash(key), b"a")
        self.assertEqual(self.look(), [])
        self.assertEqual(self.totals, Totals(objects=1, size=1, trashed=1, trashed_size=1))
        self.assertEqual(self.chosen, 2)

    def test_what_the_catalogue_alone_has_is_missing(self) -> None:
        here, gone, other = self.add("a"), self.add("b"), self.add("c", "acme/x")
        trashed = self.add("d")
        self.store.objects.clear()
        self.store.add(here, b"a")
        self.run_now(self.catalogue.claim([trashed], None, THEN, "unused", "gail"))
        self.run_now(self.catalogue.settle([trashed], State.LEAVING, State.TRASHED, THEN + 1))
        missing = Outcome.MISSING
        everything = {(missing, gone), (missing, other), (missing, in_trash(trashed))}
        self.assertEqual(set(self.look()), everything)
        self.assertEqual(self.look("acme/x"), [(missing, other)])
        self.assertEqual(self.look("a*/*"), [(missing, other)])

    def test_what_is_moved_or_stored_meanwhile_is_not_missing(self) -> None:
        moved, stored = self.add("a"), self.add("b")
        self.store.objects.clear()
        sizes = self.store.sizes

        async def meanwhile(keys: Sequence[ObjectKey]) -> Any:
            self.store.add(stored, b"b")
            found = await sizes(keys)
            await self.catalogue.claim([moved], None, THEN, "unused", "gail")
            return found

        with mock.patch.object(self.store, "sizes", meanwhile):
            self.assertEqual(self.look(), [])

    def test_what_cannot_be_asked_for_is_not_missing(self) -> None:
        away, unreadable = self.add("a"), self.add("b")
        self.store.objects.clear()
        self.store.unknown[away] = AWAY
        self.store.unknown[unreadable] = ObjectUnreadable("Permission denied", 30)
        expected = {(Outcome.UNKNOWN, away), (Outcome.UNREADABLE, unreadable)}
        self.assertEqual(set(self.look()), expected)

    def test_a_size_that_differs_is_judged_by_the_bytes(self) -> None:
        self.add("good", size=7)
        wrong = self.add("cut off")
        self.store.add(wrong, b"cut")
        found = self.look()
        self.assertEqual(found, [(Outcome.WRONG, wrong), (Outcome.ODD, None)])
        self.assertIn("the catalogue has 7 bytes", self.found[0].problem)
        self.assertEqual(self.found[1].problem, "the catalogue has another size of 1 good objects")

    def test_a_list_that_fails_ends_nothing_else(self) -> None:
        gone = self.add("a")
        self.store.objects.clear()

        async def fails(*_: Any, **__: Any) -> Any:
            raise AWAY

        with mock.patch.object(self.store, "list", fails):
            found = self.look()
        self.assertEqual(found, [(Outcome.UNKNOWN, None)] * 2 + [(Outcome.MISSING, gone)])

    def test_a_catalogue_that_fails_is_told_once(self) -> None:
        self.add("a")

        async def fails(*_: Any) -> Any:
            raise CatalogueUnavailable("locked", 5)

        with (
            mock.patch.object(self.catalogue, "look", fails),
            mock.patch.object(self.catalogue, "page", fails),
        ):
            self.assertEqual(self.look(), [(Outcome.UNKNOWN, None)])
        self.assertIn("the catalogue could not be compared: locked", self.found[0].problem)

    def test_it_tells_how_much_is_to_be_read(self) -> None:
        for number in range(100):
            self.add(f"{number:04}")
        self.look(selection=Selection(Subset(most=100), "x"))
        self.assertEqual(self.chosen, 100)
        self.look(selection=Selection(Subset(share=0.5), "x"))
        self.assertTrue(100 < self.chosen < 300, self.chosen)
