"""Resumable uploads need room as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.errors import Disconnected, OverQuota
from giftless.interfaces import Identity, Ticket
from giftless.transfer.tus import TusFactory
from giftless.usecases.authorization import Gate
from giftless.usecases.resumable import Piece, ResumableServer, Target
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import action_tokens, key_of, server_of, writer
from tests.support.resumable import ResumableMemoryStore
from tests.usecases.quotas.support import PARTS_LIFETIME, QuotaTestCase, data_of

A = data_of("a", 60)
KEY = key_of(A)
WANTED = Target(KEY, 60, {})


class ResumableTests(QuotaTestCase):
    """Room is promised in the batch or at the creation, and while bytes come."""

    def setUp(self) -> None:
        super().setUp()
        self.store = ResumableMemoryStore()
        self.configure(**self.section)
        self.uploads = ResumableServer(
            self.store, "", InlineBlocking(), 1000, Gate(), quotas=self.quotas
        )

    def holder(self) -> Identity:
        """Return who comes with an action's token."""
        return Identity("will", RepoGrants(READ_WRITE), ticket=Ticket("tus", 60))

    def receive(self, offset: int, *chunks: bytes, end: Exception | None = None) -> Any:
        """Send bytes."""
        body: Any = ListBody(list(chunks), end)
        body.interrupt = lambda error: None
        return self.uploads.receive(self.holder(), WANTED, Piece(offset, body, None))

    def other(self, size: int) -> None:
        """Let others store so many bytes."""
        self.have(data_of("others", size))

    def test_a_creation_promises_room(self) -> None:
        self.run_now(self.uploads.create(writer(), WANTED))
        self.assertEqual(self.level(), (0, 60))

    def test_a_creation_for_what_does_not_fit_is_refused(self) -> None:
        self.other(50)
        self.assert_fails(OverQuota, self.uploads.create(writer(), WANTED))
        self.assertIsNone(self.store.came(KEY, 60))

    def test_bytes_for_what_does_not_fit_are_refused(self) -> None:
        self.other(50)
        self.assert_fails(OverQuota, self.receive(0, A))
        self.assertIsNone(self.store.came(KEY, 60))

    def test_an_upload_has_its_room_while_it_runs(self) -> None:
        self.assert_fails(Disconnected, self.receive(0, A[:20], end=Disconnected("gone")))
        self.assertEqual(self.level(), (0, 60))
        self.run_now(self.receive(20, A[20:]))
        self.assertEqual(self.quotas.holding, set())
        self.record(A)
        self.assertEqual(self.level(), (60, 0))

    def test_an_object_whose_promise_has_ended_is_refused_if_others_have_the_room(self) -> None:
        """And what has come of it is kept, for when there is room again."""
        self.run_now(self.receive(0, A[:20]))
        self.clock.advance(PARTS_LIFETIME + 700)
        self.run_now(self.keeping.end())
        self.other(50)
        self.assert_fails(OverQuota, self.receive(20, A[20:]))
        self.assertEqual(self.store.came(KEY, 60), A[:20])
        self.assertEqual(self.run_now(self.uploads.look(self.holder(), WANTED)).offset, 20)

    def test_what_has_come_whole_needs_its_room_too(self) -> None:
        claim = self.run_now(self.store.claim(KEY, 60))
        self.run_now(claim.begin({}))
        self.run_now(claim.append(ListBody([A])))
        self.run_now(claim.release())
        self.other(50)
        self.assert_fails(OverQuota, self.uploads.look(self.holder(), WANTED))
        self.forget(data_of("others", 50))
        self.assertEqual(self.run_now(self.uploads.look(self.holder(), WANTED)).offset, 60)
        self.assertEqual(self.store.get(KEY), A)

    def test_room_is_promised_for_as_long_as_actions_are_good(self) -> None:
        adapter = TusFactory().build(self.store, action_tokens())
        assert adapter is not None
        self.server = server_of(self.store, adapter, quotas=self.quotas)
        transfers: Sequence[str] = ["tus"]
        self.batch_of({"oid": KEY.oid, "size": 60}, transfers=transfers)
        self.clock.advance(PARTS_LIFETIME + 500)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 60))
        self.clock.advance(200)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 0))
