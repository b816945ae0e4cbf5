"""Uploads in parts need room as well."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import alsoProvides

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.errors import OverQuota
from giftless.interfaces import Identity, IStreamingMultipartStore, PartUpload, Ticket
from giftless.lfs.multipart import PartPlan
from giftless.transfer.multipart import MultipartFactory
from giftless.usecases.authorization import Gate
from giftless.usecases.multipart import MultipartServer
from tests.support.blocking import InlineBlocking
from tests.support.making import action_tokens, key_of, links_of, server_of
from tests.usecases.quotas.support import LIFETIME, PARTS_LIFETIME, QuotaTestCase, data_of
from tests.usecases.test_read_back import PartsStore

A = data_of("a", 60)
KEY = key_of(A)


class PartTests(QuotaTestCase):
    """Room is promised in the batch, when there is a plan, and when the object is made."""

    def setUp(self) -> None:
        super().setUp()
        self.store = PartsStore(False)
        self.store.made = A
        alsoProvides(self.store, IStreamingMultipartStore)
        self.configure(**self.section)
        self.adapter = MultipartFactory().build(self.store, action_tokens())
        assert self.adapter is not None
        self.parts = MultipartServer(
            self.store,
            self.adapter,
            InlineBlocking(),
            Gate(),
            Clock(),
            quotas=self.quotas,
        )

    def holder(self, kind: str) -> Identity:
        """Return who comes with an action's token."""
        plan = PartPlan(len(A), len(A))
        ticket = Ticket(kind, len(A), {}, PartUpload("", plan))
        return Identity("will", RepoGrants(READ_WRITE), ticket=ticket)

    def plan(self) -> Any:
        """Ask what there is to do."""
        return self.parts.plan(self.holder("parts"), KEY, links_of())

    def commit(self) -> Any:
        """Make the object."""
        return self.parts.commit(self.holder("commit"), KEY)

    def test_a_plan_promises_room(self) -> None:
        self.run_now(self.plan())
        self.assertEqual(self.level(), (0, 60))

    def test_a_plan_for_what_does_not_fit_is_refused(self) -> None:
        self.have(data_of("others", 50))
        self.assert_fails(OverQuota, self.plan())

    def test_a_commit_needs_its_room(self) -> None:
        self.run_now(self.plan())
        self.run_now(self.commit())
        self.assertEqual(self.store.get(KEY), A)
        self.assertEqual(self.level(), (0, 60))
        self.record(A)
        self.assertEqual(self.level(), (60, 0))

    def test_a_commit_whose_promise_has_ended_is_refused_if_others_have_the_room(self) -> None:
        self.run_now(self.plan())
        self.clock.advance(PARTS_LIFETIME + 700)
        self.run_now(self.keeping.end())
        self.have(data_of("others", 50))
        self.assert_fails(OverQuota, self.commit())
        self.assertIsNone(self.store.get(KEY))

    def test_parts_have_their_room_for_as_long_as_their_actions_are_good(self) -> None:
        for transfers, lifetime in ((["multipart-basic"], PARTS_LIFETIME), (["basic"], LIFETIME)):
            adapters = (self.adapter,) if transfers == ["multipart-basic"] else ()
            self.server = server_of(self.store, *adapters, quotas=self.quotas)
            self.batch_of({"oid": KEY.oid, "size": len(A)}, transfers=transfers)
            self.clock.advance(lifetime + 500)
            self.run_now(self.keeping.end())
            self.assertEqual(self.level(), (0, 60))
            self.clock.advance(200)
            self.run_now(self.keeping.end())
            self.assertEqual(self.level(), (0, 0))
