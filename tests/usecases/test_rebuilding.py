"""A catalogue is compared with its store, and corrected, while both are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from giftless.errors import ConfigError, ServiceUnavailable, StorageUnavailable
from giftless.interfaces import Entry, EntryQuery, State
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.rebuilding import Drift, Rebuilding
from tests.catalogue.support import SQLiteTestCase
from tests.contracts.catalogues import THEN, entry_of
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

NOW = THEN + 5000

ALL = frozenset(State)


class Unlisted:
    """A store that lists nothing."""


class RebuildingTests(SQLiteTestCase, CoroutineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore()
        self.catalogue = self.build()
        self.looked = 0

    def add(self, name: str, repo: str = "org/repo", trashed: bool = False) -> ObjectKey:
        """Store an object, whose bytes are its name."""
        key = key_of(name.encode(), repo)
        self.store.add(in_trash(key) if trashed else key, name.encode())
        return key

    def record(self, *entries: Entry) -> None:
        """Record entries."""
        self.run_now(self.catalogue.record(entries))

    def move(self, *keys: ObjectKey, state: State = State.TRASHED) -> None:
        """Let the catalogue know that objects were moved."""
        self.run_now(self.catalogue.claim(keys, None, THEN, "unused", "gail"))
        if state is State.TRASHED:
            self.run_now(self.catalogue.settle(keys, State.LEAVING, state, THEN + 1))

    def rebuild(self, **options: Any) -> Drift:
        """Rebuild the catalogue."""
        rebuilding = Rebuilding(
            self.store, self.catalogue, lambda: NOW, InlineBlocking(), done=self.count, **options
        )
        return self.run_now(rebuilding.run())

    def count(self, number: int) -> None:
        """Note how many objects have been looked at."""
        self.looked += number

    def entries(self) -> dict[ObjectKey, Entry]:
        """Return all entries."""
        page = self.run_now(self.catalogue.page(EntryQuery(states=ALL)))
        return {entry.key: entry for entry in page.entries}

    def test_an_empty_catalogue_learns_everything(self) -> None:
        """What nobody has seen counts as offered and as moved now."""
        stored, trashed = self.add("a"), self.add("bb", "x/y", trashed=True)
        self.assertEqual(self.rebuild(), Drift(listed=1, trashed=1, missing=2))
        modified = MemoryStore.MODIFIED
        self.assertEqual(
            self.entries(),
            {
                stored: Entry(stored, 1, modified, NOW),
                trashed: Entry(trashed, 2, modified, modified, state=State.TRASHED, moved_at=NOW),
            },
        )
        self.assertEqual(self.looked, 2)
        self.assertEqual(self.rebuild(), Drift(listed=1, trashed=1))

    def test_what_agrees_stays_as_it_is(self) -> None:
        for number, trashed in ((1, False), (2, True)):
            key = self.add("x" * number, trashed=trashed)
            self.record(Entry(key, number, THEN, THEN + 7, "olga", "p#1", "a.psd"))
            if trashed:
                self.move(key)
        before = self.entries()
        self.assertEqual(self.rebuild(), Drift(listed=1, trashed=1))
        self.assertEqual(self.entries(), before)

    def test_what_differs_is_corrected_and_all_else_stays(self) -> None:
        size, back, gone = self.add("size"), self.add("back"), self.add("gone", trashed=True)
        for key in (size, back, gone):
            self.record(Entry(key, 99, THEN, THEN + 7, "olga", "p#1", "a.psd"))
        self.move(back)
        surplus = entry_of("surplus")
        self.record(surplus)
        drift = self.rebuild()
        self.assertEqual(drift, Drift(listed=2, trashed=1, wrong_size=1, wrong_place=2, surplus=1))
        entries = self.entries()
        self.assertEqual(
            entries,
            {
                size: Entry(size, 4, THEN, THEN + 7, "olga", "p#1", "a.psd"),
                back: Entry(back, 4, THEN, THEN + 7, "olga", "p#1", "a.psd"),
                gone: Entry(
                    gone,
                    4,
                    THEN,
                    THEN + 7,
                    "olga",
                    "p#1",
                    "a.psd",
                    State.TRASHED,
                    moved_at=NOW,
                ),
            },
        )
        self.assertEqual(self.rebuild(), Drift(listed=2, trashed=1))

    def test_what_is_in_no_trash_is_forgotten(self) -> None:
        entry = entry_of("x")
        self.record(entry)
        self.move(entry.key)
        self.assertEqual(self.rebuild(), Drift(surplus=1))
        self.assertEqual(self.entries(), {})

    def test_what_is_being_moved_is_left_alone(self) -> None:
        """Both copies are there, or one, and whoever moves it knows."""
        both = self.add("both")
        self.add("both", trashed=True)
        absent = entry_of("absent")
        self.record(Entry(both, 4, THEN, THEN), absent)
        self.move(both, absent.key, state=State.LEAVING)
        before = self.entries()
        self.assertEqual(self.rebuild(), Drift(listed=1, trashed=1))
        self.assertEqual(self.entries(), before)

    def test_a_copy_of_what_is_stored_makes_it_not_trashed(self) -> None:
        key = self.add("x")
        self.add("x", trashed=True)
        self.rebuild()
        self.assertEqual(self.entries()[key].state, State.STORED)

    def test_a_comparison_changes_nothing(self) -> None:
        self.add("a")
        surplus = entry_of("surplus")
        self.record(surplus)
        for _ in range(2):
            self.assertEqual(self.rebuild(corrects=False), Drift(listed=1, missing=1, surplus=1))
        self.assertEqual(self.entries(), {surplus.key: surplus})

    def test_what_arrives_meanwhile_is_not_forgotten(self) -> None:
        """It was recorded after the list had passed its place."""
        self.add("a")
        late = Entry(key_of(b"late"), 4, THEN, THEN)
        listed = self.store.list

        async def list_and_store(*arguments: Any) -> Any:
            page = await listed(*arguments)
            if late.key.path not in self.store.objects:
                self.add("late")
                await self.catalogue.record([late])
            return page

        with mock.patch.object(self.store, "list", list_and_store):
            self.assertEqual(self.rebuild(), Drift(listed=1, missing=1))
        self.assertIn(late.key, self.entries())

    def test_what_arrives_while_it_is_forgotten_is_known_again(self) -> None:
        entry = Entry(key_of(b"late"), 4, THEN, THEN)
        self.record(entry)
        forget = self.catalogue.forget

        async def store_and_forget(keys: Sequence[ObjectKey], states: Any) -> None:
            self.add("late")
            await forget(keys, states)

        with mock.patch.object(self.catalogue, "forget", store_and_forget):
            self.rebuild()
        self.assertEqual(self.entries(), {entry.key: entry})

    def test_nothing_is_forgotten_that_cannot_be_looked_at(self) -> None:
        entry = entry_of("x")
        self.record(entry)
        self.store.unknown[entry.key] = StorageUnavailable("not now", 1)
        self.assertEqual(self.rebuild(), Drift())
        self.assertEqual(self.entries(), {entry.key: entry})

    def test_nothing_is_forgotten_if_the_list_ends_early(self) -> None:
        entry = entry_of("x")
        self.record(entry)
        self.store.failure = ServiceUnavailable("away", 1)
        self.assertRaises(ServiceUnavailable, self.rebuild)
        self.assertEqual(self.entries(), {entry.key: entry})

    def test_many_objects_are_compared_part_by_part(self) -> None:
        for number in range(2500):
            self.add(str(number), f"a/{number % 3}")
        self.assertEqual(self.rebuild(), Drift(listed=2500, missing=2500))
        self.assertEqual(self.rebuild(), Drift(listed=2500))

    def test_a_store_that_cannot_list_is_refused(self) -> None:
        store: Any = Unlisted()
        make: Callable[..., Rebuilding] = Rebuilding
        with self.assertRaisesRegex(ConfigError, "storage: cannot list its objects"):
            make(store, self.catalogue, lambda: NOW, InlineBlocking())
