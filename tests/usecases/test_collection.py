"""What is garbage, what is moved, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from giftless.errors import StorageUnavailable
from giftless.interfaces import CollectionEnded, EntryQuery, ObjectTrashed, State, Wanted
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.references.keepset import KeepSet
from giftless.usecases import collection
from giftless.usecases.collection import REASON, Collector, Survey
from giftless.usecases.trash import Trash
from tests.support.events import Recorder, events_to
from tests.support.making import key_of
from tests.usecases.moving import NOW, OPERATOR, MovingTestCase

#: What was offered since then stays, in seconds since the epoch.
SINCE = NOW - 1_000.0


class CollectionTests(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(collection, "_PAGE", 2)
        self.recorder = Recorder()
        self.counted = 0
        self.collector = self.make(self.store)

    def make(self, store: Any) -> Collector:
        """Make a collector over a store."""
        events = events_to(self.recorder)
        self.trash = Trash(store, self.catalogue, events, self.clock, self.wall_clock, 1e6)
        return Collector(store, self.catalogue, self.trash, events, OPERATOR)

    def tell(self, count: int) -> None:
        """Count progress."""
        self.counted += count

    def store_unknown(self, *names: str) -> list[ObjectKey]:
        """Store objects that the catalogue does not know."""
        for name in names:
            self.put(key_of(name.encode()), name.encode())
        return [key_of(name.encode()) for name in names]

    def store_objects(self, *names: str) -> list[ObjectKey]:
        """Store objects that were offered long ago."""
        keys = self.store_unknown(*names)
        for name, key in zip(names, keys, strict=True):
            self.know(State.STORED, key, len(name))
        return keys

    def keep(self, *names: str) -> KeepSet:
        """Make the set of what is needed."""
        kept = KeepSet()
        for name in names:
            kept.add(bytes.fromhex(key_of(name.encode()).oid))
        return kept

    def survey(self, *kept: str, really: bool = True) -> Survey:
        """List everything."""
        repo = key_of(b"").repo
        work = self.collector.survey(repo, self.keep(*kept), SINCE, really, self.tell)
        return self.run_now(work)

    def offer(self, *keys: ObjectKey, at: float) -> None:
        """Let a client that pushes be told that objects are stored."""
        self.run_now(self.catalogue.offer([Wanted(key, 1) for key in keys], at))

    def stored(self, keys: Sequence[ObjectKey]) -> list[bool]:
        """Tell which are stored."""
        sizes = self.run_now(self.store.sizes(keys))
        return [isinstance(size, int) for size in sizes]

    # -- finding

    def test_what_is_needed_or_was_offered_lately_is_no_garbage(self) -> None:
        self.store_objects("kept", "kept too", "old", "older", "oldest")
        (recent,) = self.store_objects("recent")
        self.offer(recent, at=SINCE)
        survey = self.survey("kept", "kept too", "elsewhere")
        self.assertEqual((survey.kept.objects, survey.kept.size), (2, 12))
        self.assertEqual((survey.recent.objects, survey.recent.size), (1, 6))
        self.assertEqual((survey.garbage.objects, survey.garbage.size), (3, 14))
        self.assertEqual(self.counted, 6)
        pages = list(survey.condemned())
        self.assertEqual([len(page) for page in pages], [2, 1])
        self.assertEqual({size for page in pages for _, size in page}, {3, 5, 6})

    def test_what_the_catalogue_does_not_know_is_as_old_as_its_file(self) -> None:
        self.store_unknown("old")
        self.assertEqual(self.survey("x").garbage.objects, 1)
        (page,) = [self.run_now(self.catalogue.page(EntryQuery()))]
        (entry,) = page.entries
        self.assertLess(entry.offered_at, SINCE)

    def test_a_dry_run_leaves_the_catalogue_alone(self) -> None:
        self.store_unknown("old")
        self.assertEqual(self.survey("x", really=False).garbage.objects, 1)
        self.assertEqual(self.run_now(self.catalogue.page(EntryQuery())).entries, [])

    def test_what_somebody_is_moving_is_left_alone(self) -> None:
        (key,) = self.store_objects("leaving")
        self.know(State.LEAVING, key, 7, moved_at=NOW)
        survey = self.survey("x")
        self.assertEqual((survey.recent.objects, survey.garbage.objects), (1, 0))

    def test_a_list_that_breaks_off_says_nothing(self) -> None:
        self.store_objects("a", "b", "c", "d", "e")
        pages = iter([self.run_now(self.store.list(None, None, 2))])

        async def list_some(*_: Any) -> Any:
            for page in pages:
                return page
            raise StorageUnavailable("the disk is gone", 1)

        self.patch(self.store, "list", list_some)
        work = self.collector.survey(key_of(b"").repo, self.keep("x"), SINCE, True, self.tell)
        error = self.assert_fails(StorageUnavailable, work)
        self.assertIn("gone", error.message)

    # -- moving

    def move(self, survey: Survey, *kept: str) -> None:
        """Move what is garbage."""
        self.counted = 0
        self.run_now(self.collector.move(survey, self.keep(*kept), SINCE, self.tell))

    def test_garbage_is_moved_into_the_trash(self) -> None:
        kept = self.store_objects("kept")
        keys = self.store_objects("a", "bb", "ccc")
        survey = self.survey("kept")
        self.move(survey, "kept")
        self.assertEqual((survey.trashed.objects, survey.trashed.size), (3, 6))
        self.assertEqual(self.counted, 3)
        self.assertEqual(self.stored([*kept, *keys]), [True, False, False, False])
        self.assertEqual(self.stored([in_trash(key) for key in keys]), [True] * 3)
        trashed = self.recorder.of(ObjectTrashed)
        self.assertEqual({event.key for event in trashed}, set(keys))
        self.assertEqual({event.reason for event in trashed}, {REASON})

    def test_what_is_offered_meanwhile_is_spared(self) -> None:
        (first, second) = self.store_objects("a", "b")
        survey = self.survey("x")
        self.offer(first, at=NOW)
        self.move(survey, "x")
        self.assertEqual((survey.trashed.objects, survey.recent.objects), (1, 1))
        self.assertEqual(self.stored([first, second]), [True, False])

    def test_what_a_ref_leads_to_meanwhile_is_not_touched(self) -> None:
        keys = self.store_objects("a", "b", "c")
        survey = self.survey("x")
        self.move(survey, "x", "b")
        self.assertEqual(self.stored(keys), [False, True, False])
        self.assertEqual(self.counted, 3)

    def test_what_cannot_be_moved_is_counted_with_the_reason(self) -> None:
        keys = self.store_objects("a", "b", "c")
        survey = self.survey("x")
        copy = self.store.copy

        async def fail_once(source: ObjectKey, target: ObjectKey) -> bool:
            if source == keys[1]:
                raise StorageUnavailable("the disk has an error", 1)
            done: bool = await copy(source, target)
            return done

        self.patch(self.store, "copy", fail_once)
        self.move(survey, "x")
        self.assertEqual(survey.trashed.objects, 2)
        self.assertEqual(survey.failures, {"the disk has an error": 1})
        self.assertEqual(self.stored(keys), [False, True, False])

    def test_what_is_damaged_stays(self) -> None:
        keys = self.store_objects("a", "b")
        survey = self.survey("x")
        self.run_now(self.store.mark(keys[0], "its SHA-256 is another"))
        self.move(survey, "x")
        self.assertEqual((survey.trashed.objects, survey.damaged), (1, 1))
        self.assertEqual(survey.failures, {})

    # -- bringing back

    def bring_back(self, *kept: str, really: bool = True) -> Survey:
        """Bring back what is needed."""
        survey = Survey(key_of(b"").repo)
        self.run_now(self.collector.bring_back(survey, self.keep(*kept), really))
        return survey

    def discard(self, reason: str, *keys: ObjectKey) -> None:
        """Move objects into the trash."""
        self.run_now(self.trash.discard(keys, reason, OPERATOR))

    def test_what_is_needed_comes_back_if_a_run_has_moved_it(self) -> None:
        keys = self.store_objects("a", "b", "c")
        self.discard(REASON, *keys)
        dry = self.bring_back("a", "b", really=False)
        self.assertEqual((dry.restored.objects, dry.restored.size), (2, 2))
        self.assertEqual(self.stored(keys), [False] * 3)
        survey = self.bring_back("a", "b")
        self.assertEqual((survey.restored.objects, survey.restored.size), (2, 2))
        self.assertEqual(self.stored(keys), [True, True, False])
        self.assertEqual(self.bring_back("a", "b").restored.objects, 0)

    def test_what_was_removed_on_purpose_stays_removed(self) -> None:
        keys = self.store_objects("a", "b", "c")
        self.discard("it holds a password", keys[0])
        self.discard("", keys[1])
        survey = self.bring_back("a", "b")
        self.assertEqual((survey.removed.objects, survey.restored.objects), (2, 0))
        self.assertEqual(self.stored(keys), [False, False, True])

    def test_what_nobody_knows_the_reason_of_comes_back(self) -> None:
        """As when the catalogue was made anew."""
        keys = self.store_objects("a")
        self.discard("it holds a password", *keys)
        self.know(State.TRASHED, keys[0], 1, moved_at=NOW - 5000)
        self.assertEqual(self.bring_back("a").restored.objects, 1)
        self.assertEqual(self.stored(keys), [True])

    # -- the end

    def test_the_end_is_published(self) -> None:
        self.store_objects("kept", "a")
        survey = self.survey("kept")
        self.move(survey, "kept")
        self.collector.end(survey.repo, survey, "")
        self.collector.end(survey.repo, None, "git failed")
        good, bad = self.recorder.of(CollectionEnded)
        self.assertEqual((good.kept, good.trashed, good.trashed_size, good.problem), (1, 1, 1, ""))
        self.assertEqual((bad.kept, bad.trashed, bad.problem), (0, 0, "git failed"))
        self.assertEqual({good.who, bad.who}, {OPERATOR.name})

    def test_the_catalogue_s_failure_ends_the_run(self) -> None:
        self.store_objects("a")
        survey = self.survey("x")

        async def fail(*_: Any) -> Any:
            raise StorageUnavailable("the database is gone", 1)

        self.patch(self.catalogue, "claim", fail)
        work = self.collector.move(survey, self.keep("x"), SINCE, self.tell)
        self.assert_fails(StorageUnavailable, work)
        self.assertEqual(self.stored([key_of(b"a")]), [True])
