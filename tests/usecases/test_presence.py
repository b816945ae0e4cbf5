"""What clients are told is there, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from giftless.errors import CatalogueUnavailable, LFSError, NotFound, StorageUnavailable
from giftless.interfaces import (
    Arrival,
    Identity,
    ObjectRestored,
    ObjectStored,
    State,
    Ticket,
)
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.transfer.kinds import DOWNLOAD, VERIFY
from giftless.usecases import presence as _presence
from giftless.usecases.claims import LEASE
from giftless.usecases.presence import OFFER_RESOLUTION, PAUSE, RecentOffers
from tests.support.bodies import ListBody
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, oid_of, partial, reader, repo_of, stranger, writer
from tests.usecases.moving import DATA, KEY, LONG_AGO, NOW, OPERATOR, MovingTestCase, Place


class Counted:
    """A catalogue whose calls are counted, and that can be out of order.

    :ivar calls: the names of the methods that were called.
    :ivar problem: what every method raises, if set.
    """

    def __init__(self, catalogue: Any) -> None:
        self._catalogue = catalogue
        self.calls: list[str] = []
        self.problem: LFSError | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._catalogue, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if self.problem is not None:
                raise self.problem
            return await method(*arguments)

        return call


class PresenceTestCase(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.counted = Counted(self.catalogue)
        self.recorder = Recorder()
        events = events_to(self.recorder)
        self.here = Place(self.store, self.counted, self.clock, self.wall_clock, events)

    def ask(self, identity: Identity, operation: str, data: bytes = DATA) -> Any:
        """Ask for a batch; return the error's code, or the names of the actions."""
        (item,) = self.run_now(self.here.batch(identity, operation, data)).objects
        return item.error.code if item.error is not None else sorted(item.actions or ())

    def down(self) -> None:
        """Let the catalogue be out of order."""
        self.counted.problem = CatalogueUnavailable("the catalogue is gone", 5)


class CostTests(PresenceTestCase):
    """Whoever need not ask the catalogue does not."""

    def test_an_upload_of_what_is_absent_asks_nothing(self) -> None:
        self.assertEqual(self.ask(writer(), "upload"), ["upload"])
        self.assertEqual(self.counted.calls, [])

    def test_a_download_of_what_is_there_asks_nothing(self) -> None:
        self.put()
        self.assertEqual(self.ask(reader(), "download"), ["download"])
        self.run_now(self.here.server.open(reader(), KEY)).close()
        self.run_now(self.here.server.verify(reader(), KEY, len(DATA)))
        self.assertEqual(self.counted.calls, [])

    def test_a_push_is_noted_once_in_a_moment(self) -> None:
        self.put()
        for _ in range(3):
            self.assertEqual(self.ask(writer(), "upload"), [])
        self.assertEqual(self.counted.calls, ["offer"])
        self.clock.advance(OFFER_RESOLUTION)
        self.ask(writer(), "upload")
        self.assertEqual(self.counted.calls, ["offer", "offer"])
        entry = self.entry()
        assert entry is not None
        self.assertEqual(entry.offered_at, NOW + OFFER_RESOLUTION)

    def test_clients_that_come_at_once_are_noted_once(self) -> None:
        self.put()
        held: Deferred[Any] = Deferred()
        offer = self.catalogue.offer

        async def slow(*arguments: Any) -> Any:
            await held
            return await offer(*arguments)

        self.patch(self.catalogue, "offer", slow)
        asked = [self.start(self.here.batch(writer(), "upload")) for _ in range(3)]
        held.callback(None)
        for each in asked:
            (item,) = self.successResultOf(each).objects
            self.assertEqual((item.error, item.actions), (None, None))
        self.assertEqual(self.counted.calls, ["offer"])

    def test_who_waits_for_a_client_that_fails_is_noted_itself(self) -> None:
        self.put()
        held: Deferred[Any] = Deferred()
        offer = self.catalogue.offer

        async def slow(*arguments: Any) -> Any:
            await held
            return await offer(*arguments)

        patch = self.patch(self.catalogue, "offer", slow)
        first, second = (self.start(self.here.batch(writer(), "upload")) for _ in range(2))
        patch.restore()
        held.errback(RuntimeError("the first one fails"))
        self.failureResultOf(first, RuntimeError)
        (item,) = self.successResultOf(second).objects
        self.assertEqual((item.error, item.actions), (None, None))
        self.assertEqual(self.counted.calls, ["offer", "offer"])

    def test_what_is_remembered_is_bounded(self) -> None:
        recent = RecentOffers()
        oids = [oid_of(b"%d" % number) for number in range(1000)]
        for number in range(1000):
            recent.add(repo_of(f"r/{number}"), oids, 1.0)
        self.assertLessEqual(len(recent._known), 200)
        self.assertEqual(recent.others(repo_of("r/999"), set(oids), 1.5), set())

    def test_offers_are_remembered_from_their_beginning(self) -> None:
        """Those that are added later are forgotten with the first."""
        recent, repo = RecentOffers(), repo_of()
        one, two = oid_of(b"one"), oid_of(b"two")
        recent.add(repo, [one], 10.0)
        recent.add(repo, [two], 10.9)
        self.assertEqual(recent.others(repo, {one, two}, 10.99), set())
        self.assertEqual(recent.others(repo, {one, two}, 11.0), {one, two})
        self.assertEqual(recent.others(repo_of("org/other"), {one}, 10.5), {one})


class TrashedTests(PresenceTestCase):
    """What is in the trash, and who gets it."""

    def setUp(self) -> None:
        super().setUp()
        self.arrange(State.STORED, True, False)
        moved = self.run_now(self.place().trash.discard([KEY], "no ref leads to it", OPERATOR))
        self.assertEqual(moved.moved, [KEY])

    def test_a_reader_is_told_that_it_was_deleted_and_why(self) -> None:
        (item,) = self.run_now(self.here.batch(reader(), "download")).objects
        assert item.error is not None
        self.assertEqual(item.error.code, 410)
        self.assertIn("no ref leads to it", item.error.message)
        self.assertFalse(self.is_there())

    def test_a_writer_gets_it_back(self) -> None:
        self.assertEqual(self.ask(writer("will"), "download"), ["download"])
        self.assertTrue(self.is_there())
        restored = ObjectRestored(KEY, len(DATA), "will", "#will")
        self.assertEqual(self.recorder.of(ObjectRestored), [restored])
        entry = self.entry()
        assert entry is not None
        self.assertEqual((entry.state, entry.offered_at), (State.STORED, NOW))
        self.assertEqual((entry.who, entry.reason), ("olga", ""))

    def test_a_push_brings_it_back_if_the_worker_knows_of_the_trash(self) -> None:
        self.assertEqual(self.ask(writer(), "upload"), ["upload"])
        self.assertEqual(self.counted.calls, [])
        self.here.presence.trashing = frozenset({KEY.repo})
        self.assertEqual(self.ask(writer(), "upload"), [])
        self.assertTrue(self.is_there())

    def test_strangers_learn_nothing(self) -> None:
        for identity in (stranger(), stranger(False)):
            for operation in ("download", "upload"):
                error = self.fails(identity, operation)
                self.assertNotEqual(error.code, 410)
        self.assertEqual(self.counted.calls, [])

    def test_who_may_have_other_objects_learns_nothing_of_this(self) -> None:
        other = oid_of(b"another one")
        error = self.fails(partial(other), "download")
        self.assertNotEqual(error.code, 410)
        self.assertEqual(self.counted.calls, [])

    def fails(self, identity: Identity, operation: str) -> LFSError:
        """Return why a batch is refused."""
        failed = self.start(self.here.batch(identity, operation))
        error: LFSError = self.failureResultOf(failed).value
        return error

    def test_the_token_of_a_writer_gets_it_back(self) -> None:
        """It was made before the object went."""
        ticket = Ticket(DOWNLOAD.name, len(DATA), writer=True)
        opened = self.run_now(self.here.server.open(_holder(ticket), KEY))
        self.assertEqual(opened.stored.size, len(DATA))
        opened.close()

    def test_the_token_of_a_reader_does_not(self) -> None:
        ticket = Ticket(DOWNLOAD.name, len(DATA))
        error = self.failureResultOf(self.start(self.here.server.open(_holder(ticket), KEY)))
        self.assertEqual(error.value.code, 410)
        self.assertFalse(self.is_there())

    def test_verifying_an_upload_gets_it_back(self) -> None:
        ticket = Ticket(VERIFY.name, len(DATA), writer=True)
        self.run_now(self.here.server.verify(_holder(ticket), KEY, len(DATA)))
        self.assertTrue(self.is_there())

    def test_what_is_neither_here_nor_in_the_trash_is_absent(self) -> None:
        self.assertEqual(self.ask(writer(), "download", b"nobody has this"), 404)
        self.assert_fails(NotFound, self.here.server.open(writer(), key_of(b"this neither")))

    def test_what_was_deleted_for_good_is_absent(self) -> None:
        self.assertEqual(self.run_now(self.place().trash.purge([KEY], OPERATOR)), 1)
        self.assertEqual(self.ask(writer(), "download"), 404)
        self.assertEqual(self.ask(reader(), "download"), 404)

    def test_who_says_that_it_is_smaller_gets_nothing_back(self) -> None:
        """Room was promised to as much as was said."""
        self.here.presence.trashing = frozenset({KEY.repo})
        (item,) = self.run_now(self.here.batch(writer(), "upload", DATA, 1)).objects
        self.assertEqual(set(item.actions or ()), {"upload"})
        self.assertFalse(self.is_there())
        (item,) = self.run_now(self.here.batch(writer(), "upload", DATA)).objects
        self.assertEqual((item.error, item.actions), (None, None))
        self.assertTrue(self.is_there())

    def test_an_upload_of_what_is_in_the_trash_stores_it(self) -> None:
        """By a token that is older; the copy in the trash is swept later."""
        identity = writer()
        self.run_now(self.here.server.receive(identity, KEY, len(DATA), ListBody([DATA])))
        self.assertTrue(self.is_there())
        stored = ObjectStored(KEY, len(DATA), "will", Arrival.STREAMED, "#will")
        self.assertEqual(self.recorder.of(ObjectStored), [stored])


class MovingNowTests(PresenceTestCase):
    """Somebody is moving the object."""

    def setUp(self) -> None:
        super().setUp()
        self.arrange(State.STORED, True, True)
        self.run_now(self.catalogue.claim([KEY], None, self.wall_clock(), "why", "who"))

    def test_a_push_waits_until_that_is_over(self) -> None:
        asked = self.start(self.here.batch(writer(), "upload"))
        self.assertNoResult(asked)
        self.run_now(self.store.delete(KEY))
        self.run_now(self.catalogue.settle([KEY], State.LEAVING, State.TRASHED, self.wall_clock()))
        self.clock.advance(0.25)
        (item,) = self.successResultOf(asked).objects
        self.assertEqual((item.error, item.actions), (None, None))
        self.assertTrue(self.is_there())

    def test_a_push_does_not_wait_for_the_dead(self) -> None:
        asked = self.start(self.here.batch(writer(), "upload"))
        self.clock.pump([0.25] * int(4 * LEASE + 1))
        (item,) = self.successResultOf(asked).objects
        self.assertEqual((item.error, item.actions), (None, None))
        entry = self.entry()
        assert entry is not None
        self.assertIs(entry.state, State.STORED)

    def test_a_claim_of_a_clock_that_is_wrong_is_dead_some_time(self) -> None:
        self.know(State.STORED)
        self.run_now(self.catalogue.claim([KEY], None, NOW + 86_400, "why", "who"))
        asked = self.start(self.here.batch(writer(), "upload"))
        self.clock.pump([0.25] * int(4 * LEASE + 1))
        self.successResultOf(asked)


class OutageTests(PresenceTestCase):
    """The catalogue does not answer."""

    def test_a_push_goes_on_and_is_noted_later(self) -> None:
        self.arrange(State.STORED, True, False)
        self.down()
        self.assertEqual(self.ask(writer(), "upload"), [])
        self.assertEqual(self.ask(writer(), "upload"), [])
        self.assertEqual(self.counted.calls, ["offer"], "it is left alone for a while")
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.clock.advance(PAUSE)
        self.assertEqual(self.ask(writer(), "upload"), [])
        self.assertEqual(self.counted.calls, ["offer", "offer"])
        self.counted.problem = None
        self.clock.advance(100)
        self.run_now(self.here.presence.flush())
        entry = self.entry()
        assert entry is not None
        self.assertEqual(entry.offered_at, NOW + 100 + PAUSE)
        self.counted.calls.clear()
        self.run_now(self.here.presence.flush())
        self.assertEqual(self.counted.calls, [])

    def test_what_was_moved_meanwhile_comes_back(self) -> None:
        self.arrange(State.STORED, True, False)
        self.down()
        self.assertEqual(self.ask(writer(), "upload"), [])
        self.run_now(self.place().trash.discard([KEY], "", OPERATOR, NOW - 1))
        self.counted.problem = None
        self.run_now(self.here.presence.flush())
        self.assertTrue(self.is_there())

    def test_what_is_absent_is_absent_without_a_catalogue(self) -> None:
        self.down()
        self.assertEqual(self.ask(reader(), "download"), 404)

    def test_what_is_in_the_trash_is_not_called_absent(self) -> None:
        self.arrange(State.TRASHED, False, True)
        self.down()
        self.assertEqual(self.ask(reader(), "download"), 503)
        self.here.presence.trashing = frozenset({KEY.repo})
        self.assertEqual(self.ask(writer(), "upload"), ["upload"])

    def test_what_could_not_be_noted_is_bounded(self) -> None:
        self.patch(_presence, "_MOST", 3)
        self.down()
        for number in range(5):
            data = b"%d" % number
            self.put(key_of(data), data)
            self.assertEqual(self.ask(writer(), "upload", data), [])
        self.assertEqual(
            list(self.here.presence._waiting), [key_of(b"2"), key_of(b"3"), key_of(b"4")]
        )


class RenamedTests(PresenceTestCase):
    """A repository is renamed while an object is on its way."""

    def test_an_upload_that_took_long_is_where_its_repository_is(self) -> None:
        self.here.moved.update({"org/repo": "org/new"})
        there = ObjectKey(repo_of("org/new"), KEY.oid)
        self.run_now(self.here.server.receive(writer(), KEY, len(DATA), ListBody([DATA])))
        self.assertTrue(self.is_there(there))
        (event,) = self.recorder.of(ObjectStored)
        self.assertEqual(event.key, there)


class FailingTests(PresenceTestCase):
    """The store fails where it matters."""

    def break_store(self, *names: str) -> None:
        """Let methods of the store fail."""

        async def broken(*_: Any, **__: Any) -> Sequence[Any]:
            raise StorageUnavailable("the disk is gone", 5)

        for name in names:
            self.patch(self.store, name, broken)

    def test_what_cannot_be_copied_stays(self) -> None:
        self.arrange(State.STORED, True, False)
        self.patch_copy()
        outcome = self.run_now(self.here.trash.discard([KEY], "", OPERATOR))
        self.assertEqual((outcome.moved, outcome.spared), ([], []))
        self.assertEqual([error.code for error in outcome.failed.values()], [503])
        self.assertTrue(self.is_there())
        entry = self.entry()
        assert entry is not None
        self.assertEqual((entry.state, entry.offered_at), (State.STORED, LONG_AGO))

    def patch_copy(self) -> None:
        """Let nothing be copied."""

        async def broken(*_: Any) -> bool:
            raise StorageUnavailable("the disk is full", 5)

        self.patch(self.store, "copy", broken)

    def test_what_cannot_be_brought_back_is_not_there(self) -> None:
        self.arrange(State.TRASHED, False, True)
        self.patch_copy()
        self.here.presence.trashing = frozenset({KEY.repo})
        self.assertEqual(self.ask(writer(), "download"), 503)
        self.assertEqual(self.ask(writer(), "upload"), ["upload"])
        self.assertTrue(self.is_there(in_trash(KEY)))

    def test_a_deletion_that_fails_is_looked_at(self) -> None:
        self.arrange(State.STORED, True, False)
        self.break_store("delete")
        outcome = self.run_now(self.here.trash.discard([KEY], "", OPERATOR))
        self.assertEqual(outcome.moved, [])
        entry = self.entry()
        assert entry is not None
        self.assertIs(entry.state, State.STORED)


def _holder(ticket: Ticket) -> Identity:
    """Return somebody who comes with a token."""
    return Identity("tom", partial(KEY.oid).grants, ticket=ticket)
