"""A batch refuses what the store has no room for, in the words of the store."""

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

AWAY = ServiceUnavailable("the disk does not answer now", 5)


@implementer(ICapacity)
class BoundedStore(MemoryStore):
    """A store that tells its room apart from sizes.

    :param others: the room of all repositories that are not among ``rooms``.
    :param rooms: that of some, by their paths.
    :ivar asked: the repositories whose room it was asked for.
    :ivar away: what it raises instead of telling its room, if set.
    """

    def __init__(self, others: Room, **rooms: Room) -> None:
        super().__init__()
        self.others = others
        self.rooms = rooms
        self.asked: list[str] = []
        self.away: Exception | None = None

    def told(self, repo: Repo) -> Room:
        self.asked.append(repo.path)
        if self.away is not None:
            raise self.away
        return self.rooms.get(repo.path, self.others)

    async def room(self, repo: Repo) -> Room:
        return self.told(repo)


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
        return await super().sizes(keys), self.told(repo)


def requested(operation: Operation, *sizes: int) -> BatchRequest:
    """Ask for objects of these sizes."""
    objects = tuple(RequestedObject(oid_of(b"%d" % n), size, {}) for n, size in enumerate(sizes))
    return BatchRequest(operation, objects, ("basic",))


class RoomTests(CoroutineTestCase):
    def upload(self, store: Any, *sizes: int, path: str = "repo") -> list[str | None]:
        """Announce uploads of these sizes.

        :returns: for each, the words of its refusal with status 507, or ``None``.
        """
        request = requested(Operation.UPLOAD, *sizes)
        server = server_of(store)
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
        verifyObject(ICapacity, BoundedStore(Room(1)))
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
        self.assertEqual(store.asked, ["org/group/repo"])

    def test_a_repository_has_its_own_room(self) -> None:
        for kind in (BoundedStore, FusedStore):
            store = kind(Room(math.inf), small=Room(3, "small is full"), large=Room(30))
            for path, refusal in (("small", "small is full"), ("large", None), ("other", None)):
                self.assertEqual(self.upload(store, 10, path=path), [refusal])
            self.assertEqual(store.asked, ["small", "large", "other"])

    def test_what_is_refused_takes_no_room(self) -> None:
        for kind in (BoundedStore, FusedStore):
            self.assertEqual(self.upload(kind(Room(6)), 7, 6, 1), [WORDS, None, WORDS])

    def test_a_room_that_is_more_than_full_takes_nothing(self) -> None:
        for kind in (BoundedStore, FusedStore):
            self.assertEqual(self.upload(kind(Room(-5)), 1, 0), [WORDS, WORDS])

    def test_a_batch_is_503_if_the_store_cannot_tell_its_room(self) -> None:
        """Whether there is room is not known, so nothing is let in."""
        for kind in (BoundedStore, FusedStore):
            store = kind(Room(99))
            store.away = AWAY
            with self.assertRaises(ServiceUnavailable) as caught:
                self.upload(store, 1)
            self.assertIs(caught.exception, AWAY)

    def test_a_download_does_not_ask_for_room(self) -> None:
        store = BoundedStore(Room(99))
        request = requested(Operation.DOWNLOAD, 1)
        self.run_now(server_of(store).batch(writer(), repo_of(), request, links_of()))
        self.assertEqual(store.asked, [])
