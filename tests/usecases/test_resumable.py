"""Resumable uploads: what is there, what is damaged, and what is moved meanwhile."""

from __future__ import annotations

from typing import Any

from giftless.errors import NotFound, StorageUnavailable, WrongBody
from giftless.interfaces import Identity, ObjectStored
from giftless.lfs.objects import EMPTY_OID, ObjectKey
from giftless.usecases.authorization import Gate
from giftless.usecases.resumable import Piece, Progress, ResumableServer, Target
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, repo_of, uploader, writer
from tests.support.resumable import ResumableMemoryStore
from tests.usecases.moving import DATA, KEY, MovingTestCase, Place

WANTED = Target(KEY, len(DATA), {})
OTHER = repo_of("org/other")


class ResumableTests(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store: Any = ResumableMemoryStore()
        self.recorder = Recorder()
        events = events_to(self.recorder)
        self.here = Place(self.store, self.catalogue, self.clock, self.wall_clock, events)
        self.server = ResumableServer(
            self.store,
            "",
            InlineBlocking(),
            10**6,
            Gate(),
            events,
            presence=self.here.presence,
        )

    def holder(self, size: int = len(DATA)) -> Identity:
        """Return who comes with an action's token."""
        return uploader(size, {"filename": "a.bin"}, "tus")

    def receive(self, offset: int = 0, data: bytes = DATA, target: Target = WANTED) -> Progress:
        """Send bytes."""
        body: Any = ListBody([data])
        body.interrupt = lambda error: None
        piece = Piece(offset, body, len(data))
        return self.run_now(self.server.receive(self.holder(target.size), target, piece))

    def test_what_a_client_is_told_is_there_is_noted(self) -> None:
        self.store.add(KEY, DATA)
        self.assertEqual(self.run_now(self.server.look(self.holder(), WANTED)).offset, len(DATA))
        entry = self.entry()
        assert entry is not None
        self.assertGreater(entry.offered_at, 0)

    def test_a_damaged_object_is_uploaded_again(self) -> None:
        for damage in ("marked", "short", "empty"):
            self.store.add(KEY, {"marked": DATA, "short": DATA[:1], "empty": b""}[damage])
            if damage == "marked":
                self.run_now(self.store.mark(KEY, "bad bytes"))
            self.assertEqual(self.run_now(self.server.look(self.holder(), WANTED)).offset, 0)
            self.assertEqual(self.receive().offset, len(DATA))
            self.assertEqual(self.run_now(self.store.sizes([KEY])), [len(DATA)])

    def test_only_the_empty_object_is_empty(self) -> None:
        self.store.add(KEY, b"")
        wanted = Target(KEY, 0, {})
        self.assert_fails(WrongBody, self.server.look(self.holder(0), wanted))
        wanted = Target(ObjectKey(KEY.repo, EMPTY_OID), 0, {})
        self.assertEqual(self.run_now(self.server.look(self.holder(0), wanted)).offset, 0)

    def test_a_store_that_cannot_tell_is_believed(self) -> None:
        self.store.unknown[KEY] = StorageUnavailable("not now", 5)
        for ask in (self.server.look, self.server.terminate):
            self.assert_fails(StorageUnavailable, ask(self.holder(), WANTED))
        self.assert_fails(StorageUnavailable, self.server.create(writer(), WANTED))
        self.assertIsNone(self.store.came(KEY, len(DATA)))

    def test_an_object_follows_a_repository_that_is_renamed_meanwhile(self) -> None:
        self.receive(0, DATA[:2])
        self.here.moved.update({KEY.repo.path: OTHER.path})
        self.receive(2, DATA[2:])
        self.assertEqual(self.store.get(key_of(DATA, OTHER.path)), DATA)
        (event,) = self.recorder.of(ObjectStored)
        self.assertEqual(event.key.repo, OTHER)
        self.assertEqual((event.size, event.filename, event.who), (len(DATA), "a.bin", "ursula"))

    def test_uploads_of_two_sizes_have_nothing_to_do_with_each_other(self) -> None:
        self.receive(0, DATA[:2])
        longer = Target(KEY, len(DATA) + 1, {})
        self.receive(0, DATA[:3], longer)
        self.assertEqual(self.run_now(self.server.look(self.holder(), WANTED)).offset, 2)

    def test_whoever_has_ended_an_upload_can_create_it_again(self) -> None:
        self.run_now(self.server.create(writer(), WANTED))
        self.run_now(self.server.terminate(writer(), WANTED))
        self.assert_fails(NotFound, self.server.look(writer(), WANTED))
        self.run_now(self.server.create(writer(), WANTED))
        self.assertEqual(self.run_now(self.server.look(writer(), WANTED)).offset, 0)
