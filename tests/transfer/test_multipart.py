"""The ``multipart-basic`` and ``giftless`` transfers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.actions import ActionTokens
from giftless.errors import PayloadTooLarge, Unprocessable
from giftless.interfaces import (
    Fitness,
    IExternalMultipartStore,
    IPartPlanner,
    IStreamingMultipartStore,
    ITransferFactory,
    PartUpload,
    Payload,
    Ticket,
    Transfer,
)
from giftless.lfs.batch import BatchRequest, RequestedObject
from giftless.lfs.multipart import Part, PartAction, PartLimits, PartPlan
from giftless.lfs.objects import Action, Actions, Extras, ObjectKey, Operation
from giftless.storage.local.store import LocalStore
from giftless.transfer.agent import Agent, AgentFactory
from giftless.transfer.multipart import (
    Multipart,
    MultipartExternal,
    MultipartFactory,
    MultipartStreaming,
)
from tests.contracts.transfers import TransferContract, requester, transfer_of
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import action_tokens, key_of, oid_of, repo_of
from tests.support.memory import ExternalStore, MemoryStore
from tests.support.run import CoroutineTestCase
from tests.support.tokens import shown_action

DATA = b"0123456789"
BASE = "https://lfs.example/org/repo/objects/storage"


@implementer(IExternalMultipartStore)
class ExternalPartsStore(ExternalStore):
    """A store that clients would send parts to directly.

    :ivar found: the numbers of the parts that it says it has.
    """

    want_digest = "contentMD5"
    reads_back = False
    limits = PartLimits(1, 100, 60_000)

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, int] = {}
        self.lifetimes: list[int] = []

    def plan(self, size: int) -> PartPlan:
        return self.limits.plan(size, 4)

    async def begin(
        self, key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> tuple[PartUpload, Sequence[Part]]:
        return PartUpload("its/id+", plan), plan.missing(self.found)

    async def part_actions(
        self, key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Sequence[Action]:
        self.lifetimes.append(lifetime)
        return [Action(f"https://bucket.example/{part.number}", {"a": "b"}, 99) for part in parts]

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        raise NotImplementedError

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        raise NotImplementedError


class AdapterContract(TransferContract):
    """What holds wherever parts go."""

    tokens: ActionTokens
    upload_action = "parts"
    name: ClassVar[str] = "multipart-basic"

    #: The actions that verify an upload.
    verification: ClassVar[set[str]] = set()

    def test_it_plans_uploads(self) -> None:
        verifyObject(IPartPlanner, self.adapter)
        planned = self.run_now(self.adapter.plan(transfer_of(DATA), requester()))
        self.assertEqual(set(planned), {"parts", "commit", "abort"} | self.verification)

    def ticket(self, action: Any) -> Ticket:
        """Return what an action's token says."""
        credentials = shown_action(action.header)
        identity = self.run_now(self.tokens.authenticate(credentials, repo_of()))
        assert identity is not None and identity.ticket is not None
        return identity.ticket

    def parts(self, actions: Actions) -> list[PartAction]:
        """Return the actions of parts."""
        parts: Any = actions["parts"]
        return list(parts)

    def test_an_object_in_parts(self) -> None:
        actions = self.upload(transfer_of(DATA))
        self.assertEqual(set(actions), {"parts", "commit", "abort"} | self.verification)
        self.assertEqual(
            [(part.pos, part.size) for part in self.parts(actions)], [(0, 4), (4, 4), (8, 2)]
        )
        for step in ("commit", "abort"):
            action: Any = actions[step]
            self.assertEqual(action.href, f"{BASE}/{oid_of(DATA)}/parts/{step}")

    def test_commit_and_abort_know_their_upload(self) -> None:
        extras = {"filename": "x"}
        actions = self.upload(transfer_of(DATA, extras))
        for step in ("commit", "abort"):
            ticket = self.ticket(actions[step])
            self.assertEqual((ticket.kind, ticket.size), (step, 10))
            self.assertEqual(ticket.extras, extras)
            assert ticket.upload is not None
            self.assertEqual(ticket.upload.plan, PartPlan(10, 4))

    def test_an_object_of_one_part_is_its_basic_upload(self) -> None:
        for data in (b"", b"x", b"xxxx"):
            actions = self.upload(transfer_of(data))
            self.assertEqual(set(actions), {"parts"} | self.verification)
            (part,) = self.parts(actions)
            self.assertEqual((part.pos, part.size, part.want_digest), (0, len(data), ""))
            (basic,) = self.run_now(self.adapter._basic.upload([transfer_of(data)], requester()))
            self.assertEqual(
                (part.href, part.header), (basic["upload"].href, basic["upload"].header)
            )


class MultipartStreamingTests(AdapterContract, CoroutineTestCase):
    def make_adapter(self) -> Multipart:
        os.makedirs(path := self.mktemp())
        self.store = LocalStore(path, "", InlineBlocking(), 4)
        self.tokens = action_tokens(multipart_lifetime=500)
        adapter = MultipartFactory().build(self.store, self.tokens)
        self.assertIsInstance(adapter, MultipartStreaming)
        assert adapter is not None
        return adapter

    def test_parts_come_to_the_daemon(self) -> None:
        """All with one token, which says how the object is divided."""
        parts = self.parts(self.upload(transfer_of(DATA)))
        urls = [f"{BASE}/{oid_of(DATA)}/parts/{number}" for number in (1, 2, 3)]
        self.assertEqual([part.href for part in parts], urls)
        self.assertEqual([part.expires_in for part in parts], [500] * 3)
        self.assertEqual([part.want_digest for part in parts], ["contentMD5"] * 3)
        ticket = self.ticket(parts[0])
        self.assertEqual((ticket.kind, ticket.size), ("part", 10))
        self.assertEqual(ticket.upload, PartUpload("", PartPlan(10, 4)))
        self.assertEqual(parts[0].header, parts[2].header)

    def test_parts_that_are_there_are_left_out(self) -> None:
        upload = PartUpload("", PartPlan(10, 4))
        part = upload.plan.part(2)
        assert part is not None
        self.run_now(self.store.put_part(key_of(DATA), upload, part, ListBody([b"4567"])))
        parts = self.parts(self.upload(transfer_of(DATA)))
        self.assertEqual([part.pos for part in parts], [0, 8])


class MultipartExternalTests(AdapterContract, CoroutineTestCase):
    verification: ClassVar[set[str]] = {"verify"}

    def make_adapter(self) -> Multipart:
        self.store = ExternalPartsStore()
        self.tokens = action_tokens(multipart_lifetime=500)
        adapter = MultipartFactory().build(self.store, self.tokens)
        self.assertIsInstance(adapter, MultipartExternal)
        assert adapter is not None
        return adapter

    def test_the_store_signs(self) -> None:
        self.store.found = {1: 4}
        actions = self.upload(transfer_of(DATA))
        parts = self.parts(actions)
        self.assertEqual(
            [part.href for part in parts], ["https://bucket.example/2", "https://bucket.example/3"]
        )
        self.assertEqual([part.header for part in parts], [{"a": "b"}] * 2)
        self.assertEqual([part.expires_in for part in parts], [99] * 2)
        self.assertEqual(self.store.lifetimes, [500])
        ticket = self.ticket(actions["commit"])
        self.assertEqual(ticket.upload, PartUpload("its/id+", PartPlan(10, 4)))

    def test_an_upload_that_lacks_nothing_has_only_to_be_committed(self) -> None:
        self.store.found = {1: 4, 2: 4, 3: 2}
        actions = self.upload(transfer_of(DATA))
        self.assertEqual(list(self.parts(actions)), [])
        self.assertIn("commit", actions)

    def test_only_an_object_of_one_piece_needs_to_be_confirmed(self) -> None:
        """The daemon has seen the commit of all others."""
        for data, kind in ((b"abc", "confirm"), (DATA, "verify")):
            self.assertEqual(self.ticket(self.upload(transfer_of(data))["verify"]).kind, kind)

    def test_an_object_that_is_too_large_for_any_parts(self) -> None:
        transfers = [Transfer(key_of(b"abc"), size) for size in (3, 100 * 60_000 + 1)]
        fits, refused = self.run_now(self.adapter.upload(transfers, requester()))
        self.assertIn("parts", fits)
        self.assertIsInstance(refused, PayloadTooLarge)


def batch(
    *sizes: int, operation: Operation = Operation.UPLOAD, client: str = "giftless-client"
) -> BatchRequest:
    """Return a batch of objects of these sizes."""
    objects = tuple(RequestedObject(str(oid_of(b"%d" % n)), n, {}) for n in sizes)
    return BatchRequest(operation, objects, (), client)


class FitnessTests(CoroutineTestCase):
    def setUp(self) -> None:
        tokens = action_tokens()
        multipart = MultipartFactory().build(ExternalPartsStore(), tokens)
        agent = AgentFactory().build(ExternalPartsStore(), tokens)
        assert multipart is not None and agent is not None
        self.multipart, self.agent = multipart, agent

    def test_parts_are_good_for_what_does_not_fit_one(self) -> None:
        for adapter in (self.multipart, self.agent):
            self.assertIs(adapter.fitness(batch(1, 4, 0)), Fitness.POSSIBLE)
            self.assertIs(adapter.fitness(batch(1, 5)), Fitness.GOOD)
            self.assertIs(adapter.fitness(batch()), Fitness.POSSIBLE)

    def test_the_stock_client_cannot_read_parts(self) -> None:
        """It is never answered with them, even if something of its claims to know them."""
        request = batch(5, client="git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)")
        self.assertIs(self.multipart.fitness(request), Fitness.NONE)
        self.assertIs(self.agent.fitness(request), Fitness.GOOD)

    def test_downloads_are_as_in_basic(self) -> None:
        request = batch(5, operation=Operation.DOWNLOAD)
        self.assertIs(self.multipart.fitness(request), Fitness.POSSIBLE)

    def test_the_agent_downloads_what_is_large(self) -> None:
        self.assertIs(self.agent.fitness(batch(5, operation=Operation.DOWNLOAD)), Fitness.GOOD)
        self.assertIs(self.agent.fitness(batch(4, operation=Operation.DOWNLOAD)), Fitness.POSSIBLE)

    def test_objects_that_are_refused_do_not_count(self) -> None:
        refused = RequestedObject("x", 5, {}, Unprocessable("no"))
        request = BatchRequest(Operation.UPLOAD, (refused,), ())
        self.assertIs(self.multipart.fitness(request), Fitness.POSSIBLE)

    def test_a_reply_has_bounds(self) -> None:
        """One object may have any number of parts, many have so many in all."""
        most = 4 * 50_000
        self.assertIs(self.multipart.fitness(batch(most)), Fitness.GOOD)
        self.assertIs(self.multipart.fitness(batch(most + 1000)), Fitness.GOOD)
        error = self.assertRaises(PayloadTooLarge, self.multipart.fitness, batch(most, 1))
        self.assertIn("50001 parts", error.message)

    def test_an_object_that_is_too_large_does_not_count(self) -> None:
        self.assertIs(self.multipart.fitness(batch(10**9)), Fitness.POSSIBLE)


class AgentTests(TransferContract, CoroutineTestCase):
    def make_adapter(self) -> Agent:
        self.tokens = action_tokens(multipart_lifetime=500)
        adapter = AgentFactory().build(ExternalPartsStore(), self.tokens)
        assert adapter is not None
        return adapter

    def test_the_agent_is_sent_to_ask(self) -> None:
        extras = {"filename": "x"}
        actions = self.upload(transfer_of(DATA, extras))
        self.assertEqual(set(actions), {"upload", "verify"})
        action: Any = actions["upload"]
        self.assertEqual(action.href, f"{BASE}/{oid_of(DATA)}/parts")
        self.assertEqual(action.expires_in, 500)
        credentials = shown_action(action.header)
        identity = self.run_now(self.tokens.authenticate(credentials, repo_of()))
        assert identity is not None
        self.assertEqual(identity.ticket, Ticket("parts", 10, extras, writer=True))

    def test_only_an_object_of_one_piece_needs_to_be_confirmed(self) -> None:
        """git-lfs does that itself, by what the batch says and not the agent."""
        for data, kind in ((b"abc", "confirm"), (DATA, "verify")):
            action: Any = self.upload(transfer_of(data))["verify"]
            credentials = shown_action(action.header)
            identity = self.run_now(self.tokens.authenticate(credentials, repo_of()))
            assert identity is not None
            self.assertEqual(identity.ticket, Ticket(kind, len(data), writer=True))

    def test_it_plans_uploads(self) -> None:
        verifyObject(IPartPlanner, self.adapter)
        planned = self.run_now(self.adapter.plan(transfer_of(DATA), requester()))
        self.assertEqual(set(planned), {"parts", "commit", "abort", "verify"})


class FactoryTests(CoroutineTestCase):
    def test_they_are_factories_but_for_the_name(self) -> None:
        for make in (MultipartFactory, AgentFactory):
            factory: Any = make()
            factory.name = "x"
            verifyObject(ITransferFactory, factory, tentative=True)

    def test_a_store_that_takes_no_parts_gets_none(self) -> None:
        for factory in (MultipartFactory(), AgentFactory()):
            for store in (MemoryStore(), ExternalStore()):
                self.assertIsNone(factory.build(store, action_tokens()))

    def test_the_stores_of_these_tests_are_what_they_say(self) -> None:
        verifyObject(IExternalMultipartStore, ExternalPartsStore())
        os.makedirs(path := self.mktemp())
        verifyObject(IStreamingMultipartStore, LocalStore(path, "", InlineBlocking()))
