"""The ``tus`` transfer: what it suits, and where its actions lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from zope.interface.verify import verifyObject

from giftless.errors import BadRequest, LFSError
from giftless.interfaces import Fitness, IResuming
from giftless.lfs.batch import BatchRequest, RequestedObject
from giftless.lfs.objects import Operation
from giftless.transfer.tus import Tus, TusFactory
from tests.contracts.transfers import flat, requester, transfer_of
from tests.support.making import action_tokens
from tests.support.memory import MemoryStore
from tests.support.resumable import ResumableMemoryStore
from tests.support.run import CoroutineTestCase

MB = 1024 * 1024

#: What git-lfs offers whose user wants tus, and what it offers beside our agent.
STOCK = ("basic", "tus")
AGENT = ("basic", "tus", "giftless")


def batch(
    *sizes: int,
    transfers: Sequence[str] = STOCK,
    operation: Operation = Operation.UPLOAD,
    error: LFSError | None = None,
) -> BatchRequest:
    """Return a batch request for objects of these sizes."""
    objects = tuple(RequestedObject("0" * 64, size, {}, error) for size in sizes)
    return BatchRequest(operation, objects, tuple(transfers), "git-lfs/3.8.1")


class TusTests(CoroutineTestCase):
    def adapter(self, **options: Any) -> Tus:
        """Return the adapter of a store that takes objects bit by bit."""
        adapter = TusFactory().build(ResumableMemoryStore(), action_tokens(**options))
        assert adapter is not None
        return adapter

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IResuming, self.adapter())

    def test_a_store_that_cannot_has_none(self) -> None:
        self.assertIsNone(TusFactory().build(MemoryStore(), action_tokens()))

    def test_it_is_good_for_whoever_wants_it(self) -> None:
        for sizes in ((0,), (1, 2), (5 * MB,), ()):
            self.assertIs(self.adapter().fitness(batch(*sizes)), Fitness.GOOD)

    def test_our_agent_uses_it_for_what_is_worth_it(self) -> None:
        fitness = self.adapter().fitness
        for sizes in ((), (0,), (MB - 1, 1)):
            self.assertIs(fitness(batch(*sizes, transfers=AGENT)), Fitness.POSSIBLE)
        self.assertIs(fitness(batch(1, MB, transfers=AGENT)), Fitness.GOOD)
        refused = batch(5 * MB, transfers=AGENT, error=BadRequest("no"))
        self.assertIs(fitness(refused), Fitness.POSSIBLE)

    def test_one_more_request_is_too_much_for_a_small_object(self) -> None:
        self.assertEqual([self.adapter().suits(size) for size in (0, MB - 1, MB)], [0, 0, 1])

    def test_it_is_for_uploads_alone(self) -> None:
        adapter = self.adapter()
        downloads = batch(MB, operation=Operation.DOWNLOAD)
        self.assertIs(adapter.fitness(downloads), Fitness.NONE)
        (made,) = self.run_now(adapter.download([transfer_of()], requester()))
        self.assertIsInstance(made, LFSError)

    def test_its_actions_lead_to_the_uploads(self) -> None:
        transfers = [transfer_of(data) for data in (b"a", b"bcd", b"")]
        made = self.run_now(self.adapter().upload(transfers, requester()))
        for transfer, actions in zip(transfers, made, strict=True):
            assert not isinstance(actions, LFSError)
            self.assertEqual(set(actions), {"upload"})
            (action,) = flat(actions)
            path = urlsplit(action.href).path
            self.assertTrue(path.endswith(f"/objects/tus/{transfer.key.oid}/{transfer.size}"))
            # git-lfs says itself what it sends.
            self.assertEqual(set(action.header or {}), {"Giftless-Action"})
            self.assertEqual(action.expires_in, 43200)

    def test_an_operator_may_want_each_upload_verified(self) -> None:
        (actions,) = self.run_now(
            self.adapter(verify="always").upload([transfer_of()], requester())
        )
        assert not isinstance(actions, LFSError)
        self.assertEqual(set(actions), {"upload", "verify"})
