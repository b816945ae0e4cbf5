"""Negotiating the transfer adapter."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import Unprocessable
from giftless.interfaces import Transfer
from giftless.lfs.objects import Actions
from giftless.transfer.registry import TransferRegistry


class Named:
    """An adapter that is only chosen."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def upload(self, transfer: Transfer) -> Actions:
        raise NotImplementedError

    async def download(self, transfer: Transfer) -> Actions:
        raise NotImplementedError


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        adapters: list[Any] = [Named("best"), Named("basic")]
        self.registry = TransferRegistry(adapters)

    def test_the_servers_order_counts(self) -> None:
        """The client's is random."""
        for offered in (["best", "basic"], ["basic", "best"], ["x", "basic", "ssh", "best"]):
            self.assertEqual(self.registry.choose(offered).name, "best")

    def test_what_the_client_does_not_offer_is_not_chosen(self) -> None:
        self.assertEqual(self.registry.choose(["basic"]).name, "basic")
        self.assertEqual(
            self.registry.choose(["ssh", "basic", "lfs-standalone-file"]).name, "basic"
        )

    def test_nothing_in_common_is_422_with_what_there_is(self) -> None:
        for offered in ([], ["ssh"], ["BASIC", "tus"]):
            error = self.assertRaises(Unprocessable, self.registry.choose, offered)
            self.assertIn("best, basic", error.message)

    def test_a_server_has_an_adapter(self) -> None:
        self.assertRaises(ValueError, TransferRegistry, [])
