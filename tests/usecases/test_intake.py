"""Objects that commands take into the store."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from giftless.catalogue.recorder import Recorder as CatalogueRecorder
from giftless.errors import ConfigError, StorageUnavailable, WrongBody
from giftless.interfaces import Arrival, IObjectStore, ObjectStored, State
from giftless.lfs.objects import EMPTY_OID, ObjectKey
from giftless.usecases.events import Events
from giftless.usecases.intake import Intake, Taken
from giftless.usecases.locks import By
from giftless.usecases.space import Space, make_space
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, oid_of, repo_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase
from tests.usecases.moving import DATA, KEY, NOW, MovingTestCase

BY = By("giftless import (root)")


@implementer(IObjectStore)
class Unwritable:
    """A store that tells sizes and takes nothing."""

    async def sizes(self, keys: Any) -> Any:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        return [None for _ in keys]


def space_of(store: Any, events: Events) -> Space:
    """Return a space without a catalogue."""
    clock = Clock()
    return make_space(store, None, None, events, clock, clock.seconds, 0.0)


class IntakeTests(CoroutineTestCase):
    """Without a catalogue."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.recorder = Recorder()
        space = space_of(self.store, events_to(self.recorder))
        self.intake = Intake(space, InlineBlocking(), BY)

    def take(self, data: bytes, key: ObjectKey = KEY, size: int | None = None, **how: Any) -> Any:
        self.body = ListBody([data])
        return self.run_now(self.intake.take(key, size, self.body, **how))

    def test_an_object_is_stored_and_told_of(self) -> None:
        self.assertIs(self.take(DATA, filename="art/logo.psd"), Taken.STORED)
        self.assertEqual(self.store.objects[KEY.path], DATA)
        told = ObjectStored(KEY, len(DATA), BY.name, Arrival.IMPORTED, "", "art/logo.psd")
        self.assertEqual(self.recorder.seen, [told])

    def test_its_file_name_is_kept_for_downloads(self) -> None:
        self.take(DATA, filename="art/logo.psd")
        stored = self.run_now(self.store.open(KEY))
        assert stored is not None
        self.assertEqual(stored.extras, {"filename": "art/logo.psd"})

    def test_nothing_is_read_of_what_is_there(self) -> None:
        self.take(DATA)
        self.assertIs(self.take(DATA, size=len(DATA)), Taken.PRESENT)
        self.assertEqual(self.body.reads, 0)
        self.assertEqual(len(self.recorder.seen), 1)

    def test_wrong_bytes_are_refused_with_both_digests(self) -> None:
        with self.assertRaises(WrongBody) as caught:
            self.take(b"not the data")
        self.assertIn(oid_of(b"not the data"), caught.exception.message)
        self.assertIn(KEY.oid, caught.exception.message)
        self.assertEqual(self.store.objects, {})
        self.assertEqual(self.recorder.seen, [])

    def test_a_wrong_length_is_refused(self) -> None:
        with self.assertRaises(WrongBody):
            self.take(DATA, size=len(DATA) + 1)
        self.assertEqual(self.store.objects, {})

    def test_what_has_another_size_is_replaced(self) -> None:
        self.store.objects[KEY.path] = DATA[:-1]
        self.assertIs(self.take(DATA, size=len(DATA)), Taken.STORED)
        self.assertEqual(self.store.objects[KEY.path], DATA)

    def test_what_has_lost_all_its_bytes_is_replaced(self) -> None:
        self.store.objects[KEY.path] = b""
        self.assertIs(self.take(DATA), Taken.STORED)

    def test_the_empty_object_is_good(self) -> None:
        key = ObjectKey(repo_of(), EMPTY_OID)
        self.assertIs(self.take(b"", key), Taken.STORED)
        self.assertIs(self.take(b"", key), Taken.PRESENT)

    def test_what_is_marked_as_damaged_is_replaced(self) -> None:
        self.take(DATA)
        self.run_now(self.store.mark(KEY, "a bit has flipped"))
        self.assertEqual(self.run_now(self.intake.missing([KEY])), [KEY])
        self.assertIs(self.take(DATA, size=len(DATA)), Taken.STORED)
        self.assertEqual(self.run_now(self.intake.missing([KEY])), [])

    def test_what_is_missing_is_told(self) -> None:
        other = key_of(b"another")
        self.take(DATA)
        self.assertEqual(self.run_now(self.intake.missing([KEY, other])), [other])
        sizes = [len(DATA) + 1, None]
        self.assertEqual(self.run_now(self.intake.missing([KEY, other], sizes)), [KEY, other])
        self.assertEqual(list(self.run_now(self.intake.missing([]))), [])

    def test_a_store_that_cannot_tell_is_no_missing_object(self) -> None:
        self.store.unknown[KEY] = StorageUnavailable("the disk is gone", 5)
        with self.assertRaises(StorageUnavailable):
            self.run_now(self.intake.missing([KEY]))

    def test_it_can_write_without_a_look(self) -> None:
        self.take(DATA)
        self.assertIs(self.take(DATA, replace=True), Taken.STORED)
        self.assertGreater(self.body.reads, 0)

    def test_a_store_that_cannot_be_written_is_refused(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            Intake(space_of(Unwritable(), events_to()), InlineBlocking(), BY)
        self.assertEqual(caught.exception.path, "storage")


class CatalogueTests(MovingTestCase):
    """With a catalogue."""

    def setUp(self) -> None:
        super().setUp()
        recorder = CatalogueRecorder(self.catalogue, self.store, self.clock, self.wall_clock)
        recorder.startService()
        self.space = make_space(
            self.store,
            self.catalogue,
            None,
            Events({}, {"catalogue": recorder}),
            self.clock,
            self.wall_clock,
            86_400.0,
        )
        self.finish = recorder.stopService
        self.intake = Intake(self.space, InlineBlocking(), BY)

    def take(self, key: ObjectKey = KEY) -> Taken:
        return self.run_now(self.intake.take(key, len(DATA), ListBody([DATA])))

    def test_what_was_stored_is_recorded(self) -> None:
        self.take()
        self.run_now(self.finish())
        entry = self.entry()
        assert entry is not None
        self.assertEqual((entry.size, entry.who, entry.stored_at), (len(DATA), BY.name, NOW))

    def test_what_was_there_counts_as_offered_now(self) -> None:
        """As for a client that pushes: whoever collects garbage leaves it alone."""
        self.put()
        self.know(State.STORED)
        self.assertIs(self.take(), Taken.PRESENT)
        entry = self.entry()
        assert entry is not None
        self.assertEqual(entry.offered_at, NOW)

    def test_what_is_there_and_not_recorded_is_recorded(self) -> None:
        """The process that stored it may have been killed before it could be."""
        self.put()
        self.run_now(self.intake.missing([KEY]))
        self.assertIsNotNone(self.entry())

    def test_an_object_in_the_trash_is_stored_again(self) -> None:
        self.put()
        self.know(State.STORED)
        self.run_now(self.space.required_trash.discard([KEY], "unused", BY))
        self.assertFalse(self.is_there())
        self.assertIs(self.take(), Taken.STORED)
        self.run_now(self.finish())
        self.assertTrue(self.is_there())
        entry = self.entry()
        assert entry is not None
        self.assertIs(entry.state, State.STORED)

    def test_a_repository_that_was_renamed_is_found(self) -> None:
        self.run_now(self.catalogue.alias("org/repo", "org/new"))
        new = repo_of("org/new")
        self.assertEqual(self.run_now(self.intake.kept(repo_of())), new)
        self.assertEqual(self.run_now(self.intake.kept(new)), new)

    def test_an_object_follows_a_repository_that_is_renamed_meanwhile(self) -> None:
        self.run_now(self.catalogue.alias("org/repo", "org/new"))
        self.run_now(self.intake.kept(repo_of("org/other")))
        self.take()
        self.run_now(self.finish())
        there = ObjectKey(repo_of("org/new"), KEY.oid)
        self.assertTrue(self.is_there(there))
        self.assertIsNotNone(self.entry(there))
