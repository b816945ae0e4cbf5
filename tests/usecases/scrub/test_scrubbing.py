"""When objects are examined, by whom, and what comes of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from giftless.base.units import Duration
from giftless.errors import BadRequest, CatalogueUnavailable, ConfigError, StorageUnavailable
from giftless.interfaces import ObjectFaulty, ObjectMarked, ScrubEnded, State
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.scrub.options import ScrubOptions
from giftless.usecases.scrub.pacing import PLANNED
from giftless.usecases.scrub.scrubbing import LOOKED, NOTED, RETRIED, Scrubbing
from tests.support.failing_file import FailingFile
from tests.support.logs import observe
from tests.support.making import key_of, oid_of
from tests.support.memory import ExternalStore, InspectedMemoryStore, MemoryStore
from tests.usecases.scrub.support import PERIOD, ScrubTestCase


class ScheduleTests(ScrubTestCase):
    def test_objects_are_spread_evenly_over_the_period(self) -> None:
        keys = self.add(10)
        self.worker()
        self.go(LOOKED + PERIOD)
        self.assertCountEqual([key for _, key in self.opened[:10]], keys)
        for number, (at, _) in enumerate(self.opened[:10]):
            self.assertApproximates(at, number * PLANNED * PERIOD / 10, 20.0)

    def test_a_large_object_gets_more_of_the_period(self) -> None:
        self.add(1, size=9_000_000)
        self.add(1, size=900_000)
        self.worker()
        self.go(LOOKED + PERIOD)
        (_, first), (second, _) = self.opened[:2]
        large_first = os.path.getsize(self.path_of(first)) == 9_000_000
        expected = PLANNED * PERIOD * (0.9 if large_first else 0.1)
        self.assertApproximates(second, expected, 0.03 * PERIOD)

    def test_a_pass_is_followed_by_another_when_the_period_is_over(self) -> None:
        self.add(3)
        self.worker()
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(len(self.opened), 3)
        facts = self.facts()
        self.assertEqual((facts.passes, facts.progress), (1, 1.0))
        self.assertEqual(facts.last.objects if facts.last else None, 3)
        self.go(20 + LOOKED)
        self.assertEqual(len(self.opened), 4)
        self.assertLess(self.facts().progress, 0.5)

    def test_an_empty_store_is_examined_in_no_time(self) -> None:
        self.worker()
        self.go(LOOKED + 5)
        self.assertEqual(self.facts().passes, 1)

    def test_who_is_late_reads_at_the_ceiling(self) -> None:
        self.add(10, size=1_000_000)
        self.worker()
        self.clock.advance(LOOKED)
        self.clock.advance(2 * PERIOD)
        self.go(30, step=0.25)
        seconds = self.opened[9][0] - self.opened[1][0]
        self.assertApproximates(seconds, 8, 2.0)

    def test_more_objects_than_were_expected_are_not_waited_for(self) -> None:
        keys = self.add(40, size=1000)
        self.run_now(self.catalogue.forget(keys[:39], frozenset(State)))
        self.worker()
        self.go(LOOKED + PERIOD)
        self.assertEqual(len({key for _, key in self.opened}), 40)
        self.assertEqual(self.facts().passes, 1)

    def test_without_a_catalogue_the_store_is_counted(self) -> None:
        self.add(4)
        self.worker(catalogue=None)
        self.go(LOOKED + 5)
        self.assertEqual(self.facts().expected_objects, 4)
        self.assertEqual(self.facts().expected_size, 400_000)
        self.assertEqual(len(self.opened), 1)

    def test_a_catalogue_that_is_away_holds_nothing_up(self) -> None:
        self.add(4)

        async def away(*_: Any, **__: Any) -> Any:
            raise CatalogueUnavailable("the catalogue is away", 5)

        self.patch(self.catalogue, "usage", away)
        self.worker()
        self.go(LOOKED + 5)
        self.assertEqual(self.facts().expected_objects, 4)

    def test_a_clock_that_is_set_back_stops_nothing(self) -> None:
        self.add(4)
        self.worker()
        self.go(LOOKED + 30)
        self.patch(self, "wall_clock", lambda: self.clock.seconds())
        self.go(2 * PERIOD, step=50.0)
        self.assertGreater(len(self.opened), 4)

    def test_the_trash_is_examined_too(self) -> None:
        (key,) = self.add(1)
        trashed = in_trash(key)
        self.run_now(self.store.copy(key, trashed))
        self.worker()
        self.go(LOOKED + PERIOD)
        self.assertEqual({key for _, key in self.opened}, {key, trashed})


class ResumingTests(ScrubTestCase):
    def test_one_worker_scrubs_of_all(self) -> None:
        self.add(5)
        self.worker()
        self.worker()
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(len(self.opened), 5)

    def test_another_worker_goes_on_where_one_has_stopped(self) -> None:
        keys = self.add(20)
        first = self.worker()
        self.worker()
        self.go(PERIOD / 2)
        first.stopService()
        self.go(PERIOD / 2 + LOOKED - 20)
        self.assertCountEqual([key for _, key in self.opened], keys)

    def test_a_killed_worker_loses_the_last_moments_at_most(self) -> None:
        keys = self.add(100)
        worker = self.worker()
        self.go(PERIOD / 2)
        kept = os.path.join(self.mktemp(), "state.json")
        os.makedirs(os.path.dirname(kept))
        state = os.path.join(self.state_dir, "scrub", "state.json")
        shutil.copy(state, kept)
        # What is written at a proper end is as if it had not been.
        worker.stopService()
        shutil.copy(kept, state)
        before = len(self.opened)
        self.worker()
        self.go(PERIOD / 2 + LOOKED - 20)
        again = [key for _, key in self.opened if [k for _, k in self.opened].count(key) > 1]
        self.assertLessEqual(len(set(again)), NOTED / (PLANNED * PERIOD / 100) + 1)
        self.assertEqual({key for _, key in self.opened}, set(keys))
        self.assertGreater(before, 40)

    def test_objects_that_come_and_go_change_nothing_for_the_others(self) -> None:
        keys = self.add(30)
        worker = self.worker()
        self.go(PERIOD / 2)
        worker.stopService()
        done = {key for _, key in self.opened}
        gone = [key for key in keys if key not in done][:3]
        for key in gone:
            self.run_now(self.store.delete(key))
        self.add(33)
        for key in gone:
            self.run_now(self.store.delete(key))
        self.worker()
        self.go(PERIOD / 2 + LOOKED - 20)
        opened = [key for _, key in self.opened]
        self.assertEqual(len(opened), len(set(opened)))
        self.assertLessEqual(set(keys) - set(gone), set(opened))

    def test_another_store_begins_anew(self) -> None:
        self.add(10)
        self.worker().stopService()
        first = self.worker()
        self.go(PERIOD / 2)
        first.stopService()
        before = len(self.opened)
        self.worker(identity="another store")
        self.go(LOOKED)
        self.assertEqual(self.facts().running.objects, 1)
        self.assertGreater(before, 3)

    def test_a_cursor_that_is_refused_begins_at_the_beginning(self) -> None:
        self.add(3)
        list_page = self.store.list

        async def listing(repo: Any, cursor: str | None, *rest: Any) -> Any:
            if cursor is not None:
                raise BadRequest("this is no cursor")
            return await list_page(repo, cursor, *rest)

        worker = self.worker()
        self.go(LOOKED + 10)
        worker.stopService()
        state = self.journal.read()
        assert state is not None
        state.cursor = "of another form"
        self.patch(self.journal, "read", lambda: state)
        self.patch(self.store, "list", listing)
        self.worker()
        self.go(PERIOD - 100)
        self.assertEqual(len(self.opened), 3)

    def test_a_journal_that_was_cut_off_begins_anew(self) -> None:
        self.begin_anew(b'{"store": ')

    def test_a_journal_that_is_no_text_begins_anew(self) -> None:
        self.begin_anew(b'{"store": "\xff"}')

    def begin_anew(self, written: bytes) -> None:
        """Begin with a journal that says nothing of use."""
        self.add(3)
        directory = os.path.join(self.state_dir, "scrub")
        os.makedirs(directory)
        with open(os.path.join(directory, "state.json"), "wb") as file:
            file.write(written)
        self.worker()
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(self.facts().passes, 1)


class FindingTests(ScrubTestCase):
    def test_a_flipped_bit_is_told_to_everybody(self) -> None:
        logged: list[Any] = []
        observe(self, logged.append)
        keys = self.add(5)
        self.flip(keys[2])
        self.worker()
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(self.found(), [(keys[2].oid, "wrong")])
        (event,) = self.recorder.of(ObjectFaulty)
        self.assertEqual((event.key, event.outcome, event.size), (keys[2], "wrong", 100_000))
        self.assertEqual(event.who, "giftless (scrub)")
        self.assertEqual(self.recorder.of(ObjectMarked), [], "nobody wanted that")
        (ended,) = self.recorder.of(ScrubEnded)
        self.assertEqual((ended.objects, ended.findings), (5, {"wrong": 1}))
        place = self.metrics.scrub_findings.place(("wrong",))
        self.assertEqual(self.metrics.scrub_findings.values[place], 1)
        self.assertTrue(any(keys[2].path in str(each.get("key")) for each in logged))
        self.assertEqual(self.run_now(self.store.sizes([keys[2]])), [100_000])

    def test_a_damaged_object_is_marked_if_that_is_wanted_and_told_once(self) -> None:
        keys = self.add(2)
        self.flip(keys[0])
        self.worker(quarantine=True)
        self.go(LOOKED + PERIOD - 10)
        (event,) = self.recorder.of(ObjectMarked)
        self.assertEqual(event.key, keys[0])
        (size,) = self.run_now(self.store.sizes([keys[0]]))
        self.assertEqual(type(size).__name__, "ObjectDamaged")
        self.assertEqual(self.found(), [(keys[0].oid, "wrong")])
        self.assertTrue(self.facts().findings[0].marked)

    def test_a_damaged_object_in_the_trash_is_told_by_its_repository(self) -> None:
        (key,) = self.add(1)
        trashed = in_trash(key)
        self.run_now(self.store.copy(key, trashed))
        self.run_now(self.store.delete(key))
        self.know(State.TRASHED, key, 100_000, moved_at=1.0)
        self.flip(trashed)
        self.worker(quarantine=True)
        self.go(LOOKED + PERIOD - 10)
        (event,) = self.recorder.of(ObjectFaulty)
        self.assertEqual(event.key, key)
        self.assertTrue(event.reason.startswith("in the trash: its 100000 bytes have"))
        self.assertFalse(self.run_now(self.store.copy(trashed, key)), "it cannot be restored")

    def test_an_object_that_was_marked_before_is_told_and_left_alone(self) -> None:
        memory = MemoryStore()
        key = key_of(b"abc")
        memory.add(key, b"abd")
        self.run_now(memory.mark(key, "somebody has found it wrong"))
        self.worker(quarantine=True, store=memory, catalogue=None)
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(self.found(), [(key.oid, "wrong")])
        self.assertTrue(self.facts().findings[0].marked)
        self.assertEqual(self.recorder.of(ObjectMarked), [])

    def test_an_object_that_the_disk_does_not_give_is_unreadable(self) -> None:
        keys = self.add(3)
        with FailingFile(Path(self.path_of(keys[1])), 50_000) as failing:
            self.worker(quarantine=True)
            self.go(LOOKED + PERIOD - 10)
            self.assertGreaterEqual(failing.refused, 2)
        self.assertEqual(self.found(), [(keys[1].oid, "unreadable")])
        self.assertIn("Input/output error", self.facts().findings[0].words)
        self.assertFalse(self.facts().findings[0].marked, "its bytes may be well")
        self.assertEqual(self.facts().running.objects, 3)

    def test_what_the_store_has_computed_itself_is_not_read(self) -> None:
        memory = InspectedMemoryStore()
        good, bad = key_of(b"abc"), key_of(b"abd")
        memory.add(good, b"abc")
        memory.add(bad, b"xyz")
        memory.digests = {good: good.oid, bad: oid_of(b"xyz")}
        self.worker(store=memory, catalogue=None)
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(self.found(), [(bad.oid, "wrong")])
        counts = self.facts().running
        self.assertEqual((counts.objects, counts.size), (2, 6))
        self.assertEqual(counts.read, 6, "only what looks wrong is read, at each look")
        self.assertTrue(all(each.closed for each in memory.opened))

    def test_what_is_well_at_the_second_look_is_no_finding(self) -> None:
        (key,) = self.add(1)
        self.flip(key)
        self.worker()
        self.go(LOOKED)
        self.flip(key)
        self.go(RETRIED + 5)
        self.assertEqual(self.found(), [])
        self.assertEqual(self.recorder.of(ObjectFaulty), [])

    def test_what_is_replaced_or_deleted_meanwhile_is_no_finding(self) -> None:
        keys = self.add(2)
        for key in keys:
            self.flip(key)
        self.worker()
        self.go(LOOKED)
        for key in keys:
            self.run_now(self.store.delete(key))
            self.run_now(self.catalogue.forget([key], frozenset(State)))
        self.go(PERIOD - 10)
        self.assertEqual(self.recorder.of(ObjectFaulty), [])
        self.assertEqual(self.facts().passes, 1)

    def test_an_object_that_only_the_catalogue_knows_is_missing(self) -> None:
        keys = self.add(3)
        os.unlink(self.path_of(keys[1]))
        self.worker()
        self.go(LOOKED + PERIOD)
        self.assertEqual(self.found()[:1], [(keys[1].oid, "missing")])

    def test_an_object_that_is_moved_just_then_is_not_missing(self) -> None:
        keys = self.add(3)
        os.unlink(self.path_of(keys[1]))
        look = self.catalogue.look

        async def looking(asked: Any) -> Any:
            self.know(State.TRASHED, keys[1], 100_000, moved_at=1.0)
            return await look(asked)

        self.patch(self.catalogue, "look", looking)
        self.worker()
        self.go(LOOKED + PERIOD - 10)
        self.assertEqual(self.found(), [])

    def test_an_object_that_cannot_be_looked_at_holds_up_no_other(self) -> None:
        keys = self.add(3)
        self.refuse(keys[1])
        self.worker()
        self.go(LOOKED + PERIOD - 10, step=1.0)
        self.assertEqual(self.found(), [(keys[1].oid, "unknown")])
        self.assertEqual(self.facts().running.objects, 3)

    def test_while_the_store_is_away_nothing_is_found_and_nothing_skipped(self) -> None:
        keys = self.add(3)

        async def away(*_: Any, **__: Any) -> Any:
            raise StorageUnavailable("the disk is away", 5)

        worker = self.worker()
        self.go(LOOKED + 10)
        patches = [self.patch(self.store, name, away) for name in ("open", "sizes", "list")]
        self.go(PERIOD / 2)
        active_at = self.facts().active_at
        for patch in patches:
            patch.restore()
        self.assertLess(active_at, self.wall_clock() - PERIOD / 10)
        self.go(PERIOD / 2)
        self.assertTrue(worker.running)
        self.assertEqual(self.found(), [])
        self.assertEqual({key for _, key in self.opened}, set(keys))

    def refuse(self, refused: ObjectKey) -> None:
        """Let one object never be opened."""
        open_object = self.store.open

        async def opening(key: ObjectKey) -> Any:
            if key == refused:
                raise StorageUnavailable("this one is away", 5)
            return await open_object(key)

        self.patch(self.store, "open", opening)


class OptionTests(ScrubTestCase):
    def test_a_store_that_cannot_be_examined_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, self.worker, store=ExternalStore())
        self.assertEqual(error.path, "scrub.period")

    def test_what_cannot_work_is_refused(self) -> None:
        ScrubOptions().check()
        ScrubOptions(period=Duration(60)).check()
        for wrong, path in (
            ({"period": Duration(59)}, "scrub.period"),
            ({"rate": 0}, "scrub.rate"),
        ):
            options: Any = ScrubOptions(**wrong)
            self.assertEqual(self.assertRaises(ConfigError, options.check).path, path)

    def test_it_is_off_unless_it_is_wanted(self) -> None:
        self.assertIsNone(ScrubOptions().period)
        self.assertTrue(issubclass(Scrubbing, object))
