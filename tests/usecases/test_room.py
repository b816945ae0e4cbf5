"""A batch refuses what a repository has no room for, in the words of who bounds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.errors import LFSError, ServiceUnavailable
from giftless.interfaces import ICapacity, IFusedCapacity, IObjectStore, Room
from giftless.lfs.batch import BatchReply, BatchRequest, RequestedObject
from giftless.lfs.objects import ObjectKey, Operation, Repo
from tests.support.making import links_of, oid_of, repo_of, server_of, writer
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

WORDS = "the server's storage has no room for this object"

AWAY = ServiceUnavailable("nobody knows the quota now", 5)


@implementer(ICapacity)
class Quota:
    """Bounds each repository by itself.

    :param bounds: how many bytes each may still take; without a bound if it is
        not among them.
    :ivar asked: the repositories that it was asked for.
    :ivar failure: what it raises, if set.
    """

    def __init__(self, name: str = "the quota", **bounds: float) -> None:
        self._name = name
        self._bounds = bounds
        self.asked: list[str] = []
        self.failure: Exception | None = None

    async def room(self, repo: Repo) -> Room:
        self.asked.append(repo.path)
        if self.failure is not None:
            raise self.failure
        if repo.path not in self._bounds:
            return Room(math.inf)
        return Room(self._bounds[repo.path], f"{self._name} of {repo} is used up")


@implementer(ICapacity)
class BoundedStore(MemoryStore):
    """A store that tells its room apart from sizes."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.told = room

    async def room(self, repo: Repo) -> Room:
        return self.told


@implementer(IFusedCapacity)
class FusedStore(BoundedStore):
    """A store that tells both at once, and must not be asked one after the other."""

    async def sizes(self, keys: Sequence[ObjectKey]) -> Any:
        raise AssertionError("it was asked for sizes alone")

    async def room(self, repo: Repo) -> Room:
        raise AssertionError("it was asked for its room alone")

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[int | LFSError | None], Room]:
        self.repo = repo
        return await super().sizes(keys), self.told


def requested(operation: Operation, *sizes: int) -> BatchRequest:
    """Ask for objects of these sizes."""
    objects = tuple(RequestedObject(oid_of(b"%d" % n), size, {}) for n, size in enumerate(sizes))
    return BatchRequest(operation, objects, ("basic",))


class RoomTests(CoroutineTestCase):
    def upload(
        self, store: Any, *sizes: int, capacities: Sequence[Any] = (), path: str = "repo"
    ) -> list[str | None]:
        """Announce uploads of these sizes.

        :returns: for each, the words of its refusal with status 507, or ``None``.
        """
        request = requested(Operation.UPLOAD, *sizes)
        server = server_of(store, capacities=capacities)
        reply: BatchReply = self.run_now(
            server.batch(writer(), repo_of(path), request, links_of(path))
        )
        refusals = []
        for entry in reply.objects:
            if entry.error is not None:
                self.assertEqual(entry.error.code, 507)
                self.assertIsNone(entry.actions)
            refusals.append(None if entry.error is None else entry.error.message)
        return refusals

    def test_what_is_asked_provides_its_interface(self) -> None:
        verifyObject(ICapacity, Quota())
        verifyObject(IFusedCapacity, FusedStore(Room(1)))
        verifyObject(IObjectStore, BoundedStore(Room(1)))
        self.assertFalse(IFusedCapacity.providedBy(BoundedStore(Room(1))))

    def test_without_a_bound_everything_has_room(self) -> None:
        self.assertEqual(self.upload(MemoryStore(), 10**9, 0), [None, None])

    def test_an_infinite_room_stays_infinite(self) -> None:
        for store in (BoundedStore(Room(math.inf)), FusedStore(Room(math.inf))):
            self.assertEqual(self.upload(store, *[2**60] * 9), [None] * 9)

    def test_a_store_refuses_what_is_too_much_for_it(self) -> None:
        for kind in (BoundedStore, FusedStore):
            self.assertEqual(self.upload(kind(Room(10)), 6, 5, 4, 1), [None, WORDS, None, WORDS])

    def test_the_refusal_is_in_the_words_of_who_has_no_room(self) -> None:
        words = "your plan has ended"
        for kind in (BoundedStore, FusedStore):
            self.assertEqual(self.upload(kind(Room(0, words)), 1, 0), [words, None])

    def test_a_fused_store_is_told_the_repository(self) -> None:
        store = FusedStore(Room(1))
        self.upload(store, 1, path="org/group/repo")
        self.assertEqual(store.repo.path, "org/group/repo")

    def test_a_repository_has_its_own_room(self) -> None:
        quota = Quota(small=3, large=30)
        for path, refusal in (
            ("small", "the quota of small is used up"),
            ("large", None),
            ("other", None),
        ):
            found = self.upload(MemoryStore(), 10, capacities=[quota], path=path)
            self.assertEqual(found, [refusal])
        self.assertEqual(quota.asked, ["small", "large", "other"])

    def test_of_several_that_have_no_room_the_first_speaks(self) -> None:
        capacities = [Quota("the first", repo=10), Quota("the second", repo=5)]
        for store, sizes, refusals in (
            (MemoryStore(), (11,), ["the first of repo is used up"]),
            (MemoryStore(), (6,), ["the second of repo is used up"]),
            (FusedStore(Room(8)), (9,), [WORDS]),
            (BoundedStore(Room(8)), (12, 5), [WORDS, None]),
        ):
            self.assertEqual(self.upload(store, *sizes, capacities=capacities), refusals)

    def test_what_one_refuses_takes_no_room_of_the_others(self) -> None:
        capacities = [Quota("the first", repo=10), Quota("the second", repo=6)]
        found = self.upload(MemoryStore(), 7, 6, 1, capacities=capacities)
        words = "the second of repo is used up"
        self.assertEqual(found, [words, None, words])

    def test_a_room_that_is_more_than_full_takes_nothing(self) -> None:
        found = self.upload(MemoryStore(), 1, 0, capacities=[Quota(repo=-5)])
        self.assertEqual(found, ["the quota of repo is used up"] * 2)

    def test_a_batch_is_503_if_one_of_them_cannot_tell(self) -> None:
        """Whether there is room is not known, so nothing is let in."""
        fails = Quota()
        fails.failure = AWAY
        for store in (MemoryStore(), FusedStore(Room(99))):
            with self.assertRaises(ServiceUnavailable) as caught:
                self.upload(store, 1, capacities=[Quota(), fails])
            self.assertIs(caught.exception, AWAY)

    def test_a_download_asks_nobody_for_room(self) -> None:
        quota = Quota()
        server = server_of(MemoryStore(), capacities=[quota])
        request = requested(Operation.DOWNLOAD, 1)
        self.run_now(server.batch(writer(), repo_of(), request, links_of()))
        self.assertEqual(quota.asked, [])
