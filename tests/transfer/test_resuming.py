"""What the planners of parts leave to the transfer that resumes uploads."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.task import Clock
from zope.interface import directlyProvides, providedBy

from giftless.app.transfers import build_transfers
from giftless.auth.actions import ActionOptions
from giftless.interfaces import (
    Fitness,
    IExternalStore,
    IPartPlanner,
    IResumableStore,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest, RequestedObject
from giftless.lfs.objects import Actions, Operation
from giftless.storage.local.store import LocalStore
from giftless.storage.wrapping import lend
from giftless.transfer.agent import AgentFactory
from giftless.transfer.basic import BasicFactory
from giftless.transfer.multipart import MultipartFactory
from giftless.transfer.tus import TusFactory
from tests.contracts.transfers import flat
from tests.support.blocking import InlineBlocking
from tests.support.making import SECRET, key_of, links_of, repo_of, writer
from tests.support.run import CoroutineTestCase

MIB = 1024 * 1024
PART_SIZE = 16 * MIB

#: What the configuration has by default.
ALL = {
    "transfers.0": AgentFactory(),
    "transfers.1": MultipartFactory(),
    "transfers.2": TusFactory(),
    "transfers.3": BasicFactory(),
}


class ResumingTestCase(CoroutineTestCase):
    def setUp(self) -> None:
        os.makedirs(path := self.mktemp())
        self.store: Any = LocalStore(path, "", InlineBlocking(), PART_SIZE)
        lend(self.store, self.store.resumable(1000, Clock()), IResumableStore)

    def adapters(self, *names: str, **options: Any) -> dict[str, Any]:
        """Build the adapters of these paths; all that there are by default."""
        chosen: Any = {name: ALL[name] for name in names or ALL}
        clock, actions = Clock().seconds, ActionOptions(**options)
        return dict(build_transfers(chosen, self.store, SECRET, actions, clock).adapters)


class PlanTests(ResumingTestCase):
    def plan(self, adapter: Any, size: int, resumes: bool = True) -> Actions:
        """Plan the upload of an object."""
        requester = Requester(writer(), repo_of(), links_of(), resumes=resumes)
        transfer = Transfer(key_of(b"x"), size)
        planned: Actions = self.run_now(adapter.plan(transfer, requester))
        return planned

    def test_one_piece_is_resumed_and_several_are_parts(self) -> None:
        """In whatever order the transfers stand."""
        adapters = self.adapters()
        for path in ("transfers.0", "transfers.1"):
            adapter = adapters[path]
            self.assertTrue(IPartPlanner.providedBy(adapter))
            for size in (MIB, PART_SIZE):
                actions = self.plan(adapter, size)
                self.assertEqual(set(actions), {"resume"})
                (action,) = flat(actions)
                oid = key_of(b"x").oid
                self.assertTrue(urlsplit(action.href).path.endswith(f"/objects/tus/{oid}/{size}"))
            for size in (0, MIB - 1, PART_SIZE + 1):
                self.assertIn("parts", self.plan(adapter, size))

    def test_it_is_verified_as_all_others(self) -> None:
        adapter = self.adapters(verify="always")["transfers.0"]
        self.assertEqual(set(self.plan(adapter, MIB)), {"resume", "verify"})

    def test_an_agent_that_does_not_say_that_it_can_gets_parts(self) -> None:
        self.assertEqual(set(self.plan(self.adapters()["transfers.0"], MIB, False)), {"parts"})

    def test_without_the_transfer_there_are_parts(self) -> None:
        adapter = self.adapters("transfers.0", "transfers.3")["transfers.0"]
        self.assertEqual(set(self.plan(adapter, MIB)), {"parts"})

    def test_what_goes_to_the_store_directly_is_not_led_through_the_daemon(self) -> None:
        directlyProvides(self.store, IExternalStore, *providedBy(self.store))
        adapters = self.adapters()
        self.assertIn("transfers.2", adapters)
        self.assertFalse(adapters["transfers.1"].resumes(MIB))


class FitnessTests(ResumingTestCase):
    def fitness(
        self, *sizes: int, operation: Operation = Operation.UPLOAD, without: str = ""
    ) -> Fitness:
        """Tell how well the agent suits a batch."""
        adapters = self.adapters(*(path for path in ALL if path != without))
        objects = tuple(RequestedObject("0" * 64, size, {}) for size in sizes)
        adapter = adapters["transfers.0"]
        fitness: Fitness = adapter.fitness(BatchRequest(operation, objects, ("giftless",)))
        return fitness

    def test_agents_are_started_for_an_upload_that_takes_a_while(self) -> None:
        self.assertIs(self.fitness(1, 8 * MIB), Fitness.GOOD)
        self.assertIs(self.fitness(8 * MIB - 1), Fitness.POSSIBLE)

    def test_they_are_not_if_it_cannot_be_resumed(self) -> None:
        self.assertIs(self.fitness(8 * MIB, without="transfers.2"), Fitness.POSSIBLE)

    def test_they_are_not_for_a_download(self) -> None:
        found = self.fitness(8 * MIB, operation=Operation.DOWNLOAD)
        self.assertIs(found, Fitness.POSSIBLE)
