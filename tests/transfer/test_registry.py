"""Negotiating the transfer adapter."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import Unprocessable
from giftless.interfaces import Fitness, Transfer
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, Operation
from giftless.transfer.registry import TransferRegistry


def offering(*names: str) -> BatchRequest:
    """Return a batch whose client offers these transfers."""
    return BatchRequest(Operation.UPLOAD, (), names)


class Named:
    """An adapter that is only chosen."""

    def __init__(self, name: str, fitness: Fitness = Fitness.GOOD) -> None:
        self.name = name
        self._fitness = fitness

    def fitness(self, request: BatchRequest) -> Fitness:
        return self._fitness

    async def upload(self, transfer: Transfer) -> Actions:
        raise NotImplementedError

    async def download(self, transfer: Transfer) -> Actions:
        raise NotImplementedError


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        adapters: list[Any] = [
            Named("never", Fitness.NONE),
            Named("maybe", Fitness.POSSIBLE),
            Named("best"),
            Named("basic"),
            Named("perhaps", Fitness.POSSIBLE),
        ]
        self.registry = TransferRegistry(adapters)

    def chosen(self, *names: str) -> str:
        """Return the name of the adapter for a client that offers these."""
        return self.registry.choose(offering(*names)).name

    def test_the_servers_order_counts(self) -> None:
        """The client's is random."""
        for offered in (["best", "basic"], ["basic", "best"], ["x", "basic", "ssh", "best"]):
            self.assertEqual(self.chosen(*offered), "best")

    def test_what_the_client_does_not_offer_is_not_chosen(self) -> None:
        self.assertEqual(self.chosen("basic"), "basic")
        self.assertEqual(self.chosen("ssh", "basic", "lfs-standalone-file"), "basic")

    def test_what_suits_comes_before_what_is_possible(self) -> None:
        self.assertEqual(self.chosen("never", "maybe", "basic", "perhaps"), "basic")

    def test_what_is_possible_is_chosen_if_nothing_suits(self) -> None:
        self.assertEqual(self.chosen("perhaps", "maybe", "never"), "maybe")

    def test_nothing_in_common_is_422_with_what_there_is(self) -> None:
        for offered in ([], ["ssh"], ["BASIC", "tus"], ["never"]):
            error = self.assertRaises(Unprocessable, self.chosen, *offered)
            self.assertIn("best, basic", error.message)

    def test_a_server_has_an_adapter(self) -> None:
        self.assertRaises(ValueError, TransferRegistry, [])
