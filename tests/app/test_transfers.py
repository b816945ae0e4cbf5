"""Which adapters a server has, and what their tokens are good for."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.app.transfers import Transfers, build_transfers, choose_factories
from giftless.auth.actions import ActionOptions
from giftless.errors import ConfigError
from giftless.interfaces import ActionKind, Fitness, IPartPlanner, Lifetime
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Operation, Permission
from tests.support.making import SECRET, repo_of, writer
from tests.support.memory import ExternalStore, MemoryStore
from tests.transfer.test_multipart import ExternalPartsStore


class Unfit:
    """Can serve no store."""

    name = "unfit"
    kinds: ClassVar = (ActionKind("unfit", Permission.READ, Lifetime.TRANSFER),)

    def build(self, store: Any, tokens: Any) -> None:
        return None


class Thief(Unfit):
    """Has a kind of action that is another transfer's."""

    name = "thief"
    kinds: ClassVar = (ActionKind("upload", Permission.READ, Lifetime.TRANSFER),)


def build(*names: str, store: Any = None, more: dict[str, Any] | None = None) -> Transfers:
    """Build the transfers of these names, and of more factories."""
    factories = {**choose_factories(names), **(more or {})}
    return build_transfers(
        factories, store or MemoryStore(), SECRET, ActionOptions(), Clock().seconds
    )


class BuildTests(SynchronousTestCase):
    def test_adapters_stand_in_the_order_of_the_configuration(self) -> None:
        batch = BatchRequest(Operation.DOWNLOAD, (), ("basic",))
        transfers = build("giftless", "multipart-basic", "basic")
        # A store in memory takes no parts.
        self.assertEqual(list(transfers.adapters), ["transfers.2"])
        adapter = transfers.registry.choose(batch)
        self.assertEqual((adapter.name, adapter.fitness(batch)), ("basic", Fitness.GOOD))

    def test_a_transfer_that_is_not_there_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, build, "basic", "carrier-pigeon")
        self.assertEqual(error.path, "transfers.1")
        self.assertIn("multipart-basic", error.problem)

    def test_a_server_without_any_adapter_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, build, more={"transfers.0": Unfit()})
        self.assertEqual(error.path, "transfers")
        self.assertIn("unfit", error.problem)

    def test_two_kinds_of_action_with_one_name_are_refused(self) -> None:
        error = self.assertRaises(ConfigError, build, "basic", more={"transfers.1": Thief()})
        self.assertEqual(error.path, "transfers.1")
        for word in ("'thief'", "'upload'"):
            self.assertIn(word, error.problem)

    def test_the_kinds_of_all_factories_are_known(self) -> None:
        (kind,) = Unfit.kinds
        with_it = build("basic", more={"transfers.1": Unfit()})
        self.assertEqual(list(with_it.adapters), ["transfers.0"])
        with_it.tokens.signer(kind, repo_of(), writer())
        self.assertRaises(ValueError, build("basic").tokens.signer, kind, repo_of(), writer())

    def test_uploads_in_parts_are_planned_by_the_first_adapter_that_can(self) -> None:
        for names in (("giftless", "basic"), ("basic", "multipart-basic")):
            transfers = build(*names, store=ExternalPartsStore())
            planner = transfers.planner
            self.assertTrue(IPartPlanner.providedBy(planner))
            self.assertIn(planner, list(transfers.adapters.values()))

    def test_without_such_an_adapter_nothing_is_planned(self) -> None:
        for store in (MemoryStore(), ExternalStore()):
            self.assertIsNone(build("giftless", "basic", store=store).planner)
