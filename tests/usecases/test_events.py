"""Events: what observers are told when a use case ends, and what they cannot break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.errors import (
    BadAction,
    Conflict,
    Forbidden,
    InsufficientStorage,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
    WrongBody,
)
from giftless.interfaces import (
    Arrival,
    BatchAnswered,
    Event,
    Identity,
    IObserver,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectServed,
    ObjectStored,
    Refused,
)
from giftless.lfs.batch import parse_batch
from giftless.lfs.locks import Lock, PathLocked
from giftless.lfs.objects import Operation
from giftless.usecases.authorization import Gate
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.locks import LockPolicy, LockService
from tests.locks.support import SQLiteTestCase
from tests.support.bodies import ListBody
from tests.support.events import Broken, Recorder, events_to
from tests.support.making import (
    key_of,
    links_of,
    oid_of,
    partial,
    reader,
    repo_of,
    server_of,
    stranger,
    uploader,
    writer,
)
from tests.support.memory import BoundedMemoryStore, MemoryStore
from tests.support.run import CoroutineTestCase

DATA = b"some bytes"
LOCK = Lock("1", repo_of(), "a.psd", "will", 0)
EVENT = LockCreated(LOCK)


class PublishTests(SynchronousTestCase):
    def test_the_recorders_of_these_tests_are_observers(self) -> None:
        verifyObject(IObserver, Recorder())
        verifyObject(IObserver, Broken(ValueError()))

    def test_every_observer_is_told_in_order(self) -> None:
        told: list[tuple[str, Event]] = []

        class Named(Recorder):
            def __init__(self, name: str) -> None:
                self.name = name

            def observe(self, event: Event) -> None:
                told.append((self.name, event))

        events_to(Named("first"), Named("second")).publish(EVENT)
        self.assertEqual(told, [("first", EVENT), ("second", EVENT)])

    def test_a_failing_observer_is_logged_and_the_others_are_told(self) -> None:
        recorder = Recorder()
        events = events_to(Broken(ValueError("oops")), recorder, Broken(KeyError("x")), recorder)
        events.publish(EVENT)
        self.assertEqual(recorder.seen, [EVENT, EVENT])
        logged = self.flushLoggedErrors()
        self.assertEqual([failure.type for failure in logged], [ValueError, KeyError])
        self.assertIn("observe", logged[0].getTraceback())

    def test_what_would_end_a_process_or_a_task_is_an_observers_failure_too(self) -> None:
        recorder = Recorder()
        for error in (SystemExit(1), GeneratorExit()):
            events_to(Broken(error), recorder).publish(EVENT)
            self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)
        self.assertEqual(recorder.seen, [EVENT, EVENT])

    def test_an_interrupt_from_the_keyboard_passes(self) -> None:
        events = events_to(Broken(KeyboardInterrupt()))
        self.assertRaises(KeyboardInterrupt, events.publish, EVENT)

    def test_events_are_wanted_as_soon_as_there_is_an_observer(self) -> None:
        self.assertFalse(NO_EVENTS.wanted)
        self.assertFalse(Events({}).wanted)
        self.assertTrue(events_to(Recorder()).wanted)
        self.assertTrue(events_to(Recorder()).arrivals_wanted)

    def test_some_are_told_of_arrivals_alone(self) -> None:
        """No other event is made for them: a batch costs nothing more."""
        everything, arrivals = Recorder(), Recorder()
        alone = Events({}, {"catalogue": arrivals})
        self.assertEqual((alone.wanted, alone.arrivals_wanted), (False, True))
        stored = ObjectStored(key_of(DATA), 1, "will", Arrival.STREAMED)
        for events in (alone, Events({"observers.0": everything}, {"catalogue": arrivals})):
            for event in (EVENT, stored):
                events.publish(event)
        self.assertEqual(arrivals.seen, [stored, stored])
        self.assertEqual(everything.seen, [EVENT, stored])

    def test_a_refusal_is_published_with_its_errors_cause(self) -> None:
        recorder = Recorder()
        error = WrongBody("too long")
        events_to(recorder).publish_refusal(error, repo_of(), "will", "192.0.2.1", "#will")
        NO_EVENTS.publish_refusal(error)
        refused = Refused("wrong-body", 400, "too long", repo_of(), "will", "192.0.2.1", "#will")
        self.assertEqual(recorder.seen, [refused])


class ObjectEventTests(CoroutineTestCase):
    """The use cases of objects, over a store in memory."""

    def setUp(self) -> None:
        self.recorder = Recorder()
        self.use(MemoryStore())

    def use(self, store: Any, *observers: IObserver) -> None:
        """Let the server have another store, and these observers."""
        self.store = store
        self.server = server_of(store, events=events_to(*(observers or [self.recorder])))

    def batch(
        self, operation: str, *objects: tuple[str, int], identity: Identity | None = None
    ) -> None:
        """Ask for a batch."""
        members = [{"oid": oid, "size": size} for oid, size in objects]
        body = json.dumps({"operation": operation, "objects": members}).encode()
        request = parse_batch(body, 1000, 10**9)
        self.run_now(self.server.batch(identity or writer(), repo_of(), request, links_of()))

    def receive(self, size: int | None, chunks: Sequence[bytes] = (DATA,), **options: Any) -> Any:
        """Upload an object."""
        identity = options.get("identity") or writer()
        return self.server.receive(identity, key_of(DATA), size, ListBody(chunks))

    def test_an_upload_through_the_daemon_is_an_arrival(self) -> None:
        for size, identity in (
            (len(DATA), writer()),
            (None, writer()),
            (len(DATA), uploader(len(DATA))),
        ):
            self.run_now(self.receive(size, identity=identity))
            stored = ObjectStored(
                key_of(DATA), len(DATA), identity.name, Arrival.STREAMED, identity.principal
            )
            self.assertEqual(self.recorder.take(), [stored])

    def test_an_arrival_has_the_name_that_the_batch_told(self) -> None:
        for extras, name in (({"filename": "a.psd"}, "a.psd"), ({"filename": 7}, ""), ({}, "")):
            who = uploader(len(DATA), extras)
            self.run_now(self.receive(len(DATA), identity=who))
            who = uploader(len(DATA), extras, operation="confirm")
            self.run_now(self.server.verify(who, key_of(DATA), len(DATA)))
            self.assertEqual([each.filename for each in self.recorder.of(ObjectStored)], [name] * 2)
            self.recorder.take()

    def test_an_upload_that_fails_is_no_arrival(self) -> None:
        self.assert_fails(WrongBody, self.receive(3, [b"abc"]))
        self.assert_fails(BadAction, self.receive(3, identity=uploader(3, operation="verify")))
        self.store.failure = ServiceUnavailable("away", 5)
        self.assert_fails(ServiceUnavailable, self.receive(len(DATA)))
        self.assertEqual(self.recorder.seen, [])

    def test_a_download_says_how_much_was_sent(self) -> None:
        self.store.add(key_of(DATA), DATA)
        for sent, wanted, complete in ((10, 10, True), (3, 3, True), (3, 10, False), (0, 0, True)):
            download = self.run_now(self.server.open(reader(), key_of(DATA)))
            self.assertEqual(self.recorder.seen, [], "nothing is sent yet")
            download.sent(sent, wanted)
            download.close()
            served = ObjectServed(key_of(DATA), len(DATA), sent, complete, "rita", "#rita")
            self.assertEqual(self.recorder.take(), [served])
        self.assertTrue(all(stored.closed for stored in self.store.opened))

    def test_a_batch_is_answered_with_what_became_of_its_objects(self) -> None:
        present, missing, longer = b"here", b"not here", b"longer"
        for data in (present, longer):
            self.store.add(key_of(data), data)
        self.store.unknown[key_of(b"?")] = ServiceUnavailable("who knows", 5)
        self.batch(
            "upload",
            (oid_of(present), len(present)),
            (oid_of(missing), len(missing)),
            (oid_of(b"?"), 1),
            ("not-an-oid", 1),
            ("nor-this", 1),
        )
        refused = {"impossible": 2, "unavailable": 1}
        answered = BatchAnswered(
            repo_of(), "will", Operation.UPLOAD, "basic", 1, 1, refused, "#will"
        )
        self.assertEqual(self.recorder.of(BatchAnswered), [answered])
        self.batch("download", (oid_of(present), len(present)), (oid_of(longer), 1))
        answered = BatchAnswered(
            repo_of(), "will", Operation.DOWNLOAD, "basic", 1, 0, {"impossible": 1}, "#will"
        )
        self.assertEqual(self.recorder.of(BatchAnswered)[1:], [answered])

    def test_each_refused_object_of_a_batch_is_a_refusal(self) -> None:
        self.batch("download", (oid_of(DATA), 1), ("not-an-oid", 1), identity=reader())
        refused = self.recorder.of(Refused)
        self.assertEqual(
            sorted((each.cause, each.status) for each in refused),
            [("impossible", 422), ("not-found", 404)],
        )
        for each in refused:
            self.assertEqual(
                (each.repo, each.who, each.principal, each.address),
                (repo_of(), "rita", "#rita", ""),
            )
            self.assertTrue(each.message)

    def test_what_has_no_room_or_no_permission_is_counted_by_cause(self) -> None:
        self.use(BoundedMemoryStore(5))
        self.batch("upload", (oid_of(b"12345"), 5), (oid_of(DATA), len(DATA)))
        own = oid_of(b"own")
        self.batch("upload", (own, 3), (oid_of(DATA), 1), identity=partial(own))
        first, second = self.recorder.of(BatchAnswered)
        self.assertEqual((first.actions, first.refused), (1, {InsufficientStorage.cause: 1}))
        self.assertEqual((second.actions, second.refused), (1, {Forbidden.cause: 1}))

    def test_a_batch_that_is_refused_as_a_whole_is_not_answered(self) -> None:
        """Its refusal is told by the front, once."""
        objects = [{"oid": oid_of(DATA), "size": 1}]
        body = json.dumps({"operation": "upload", "objects": objects}).encode()
        request = parse_batch(body, 1000, 10**9)
        refused = self.server.batch(stranger(), repo_of(), request, links_of())
        self.assert_fails(Unauthorized, refused)
        self.assertEqual(self.recorder.seen, [])

    def test_an_upload_to_the_store_arrives_when_it_is_confirmed(self) -> None:
        who = uploader(len(DATA), operation="confirm")
        self.assert_fails(NotFound, self.server.verify(who, key_of(DATA), len(DATA)))
        self.store.add(key_of(DATA), DATA[1:])
        self.assert_fails(Conflict, self.server.verify(who, key_of(DATA), len(DATA)))
        self.assertEqual(self.recorder.seen, [])
        self.store.add(key_of(DATA), DATA)
        self.run_now(self.server.verify(who, key_of(DATA), len(DATA)))
        stored = ObjectStored(key_of(DATA), len(DATA), "ursula", Arrival.CONFIRMED, "#ursula")
        self.assertEqual(self.recorder.seen, [stored])

    def test_any_other_verification_is_no_arrival(self) -> None:
        """Of an object whose bytes came through the daemon, or were committed."""
        self.store.add(key_of(DATA), DATA)
        for who in (reader(), uploader(len(DATA), operation="verify")):
            self.run_now(self.server.verify(who, key_of(DATA), len(DATA)))
        self.assert_fails(Conflict, self.server.verify(reader(), key_of(DATA), 1))
        self.assert_fails(NotFound, self.server.verify(reader(), key_of(b"?"), 1))
        self.assertEqual(self.recorder.seen, [])

    def test_a_broken_observer_breaks_nothing(self) -> None:
        self.use(self.store, Broken(ValueError("oops")), self.recorder)
        self.run_now(self.receive(len(DATA)))
        self.batch("download", (oid_of(DATA), len(DATA)))
        download = self.run_now(self.server.open(reader(), key_of(DATA)))
        download.sent(1, 1)
        download.close()
        self.assertEqual(self.store.get(key_of(DATA)), DATA)
        self.assertEqual(len(self.recorder.seen), 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)


class LockEventTests(SQLiteTestCase, CoroutineTestCase):
    """The use cases of locks, over a real store."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()
        self.service = LockService(
            self.build(), Gate(), LockPolicy(), Clock().seconds, events_to(self.recorder)
        )

    def lock(self) -> Lock:
        """Lock a path."""
        lock: Lock = self.run_now(self.service.create(writer(), repo_of(), "a.psd"))
        return lock

    def test_a_lock_is_created_and_released_by_its_owner(self) -> None:
        lock = self.lock()
        self.assertEqual(self.recorder.take(), [LockCreated(lock)])
        for force in (True, False):
            self.run_now(self.service.unlock(writer(), repo_of(), lock.id, force))
            self.assertEqual(self.recorder.take(), [LockReleased(lock)])
            lock = self.lock()
            self.recorder.take()

    def test_somebody_elses_lock_is_removed_by_force(self) -> None:
        lock = self.lock()
        self.run_now(self.service.unlock(writer("wanda"), repo_of(), lock.id, True))
        self.assertEqual(
            self.recorder.seen, [LockCreated(lock), LockForced(lock, "wanda", "#wanda")]
        )

    def test_what_is_refused_changes_nothing_and_is_no_event_of_locks(self) -> None:
        lock = self.lock()
        self.recorder.take()
        self.assert_fails(PathLocked, self.service.create(writer("wanda"), repo_of(), "a.psd"))
        refused = self.service.unlock(writer("wanda"), repo_of(), lock.id, False)
        self.assert_fails(Forbidden, refused)
        self.assert_fails(NotFound, self.service.unlock(writer(), repo_of(), "unknown", True))
        self.assertEqual(self.recorder.seen, [])
