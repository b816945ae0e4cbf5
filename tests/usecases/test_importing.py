"""Many objects that are imported: what becomes of each, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.errors import InsufficientStorage, LFSError, StorageUnavailable
from giftless.importing.offers import NotThere, Offer, Unreadable, in_pages
from giftless.lfs.objects import ObjectKey
from giftless.usecases.events import NO_EVENTS
from giftless.usecases.importing import Importing, Outcome, Totals
from giftless.usecases.intake import Intake
from giftless.usecases.locks import By
from giftless.usecases.space import make_space
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, repo_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

OBJECTS = [b"object %d" % number for number in range(20)]


class Opened(ListBody):
    """An object of the other server.

    :ivar closed: whether it was closed.
    """

    hint = "it was compressed"

    def __init__(self, chunks: Sequence[bytes], failure: Exception | None = None) -> None:
        super().__init__(chunks, failure)
        self.closed = False

    def close(self) -> None:
        """See :class:`giftless.usecases.importing.IOpened`."""
        self.closed = True


class ImportingTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.outcomes: list[Outcome] = []
        self.done = 0
        #: What is opened instead of the right bytes, by place.
        self.other: dict[str, Any] = {}
        self.opened: list[Opened] = []

    def offers(self, path: str = "org/repo") -> list[Offer]:
        """Return what the other server has."""
        return [Offer(key_of(data, path), len(data), data.decode()) for data in OBJECTS]

    async def open(self, offer: Offer) -> Opened:
        """Open what is offered."""
        body = self.other.get(offer.place, Opened([offer.place.encode()]))
        if isinstance(body, Exception):
            raise body
        self.opened.append(body)
        return body

    def add(self, count: int) -> None:
        """Count bytes that are done with."""
        self.done += count

    def take(self, offers: Sequence[Offer], really: bool = True, jobs: int = 3) -> Totals:
        """Import."""
        clock = Clock()
        space = make_space(self.store, None, None, NO_EVENTS, clock, clock.seconds, 0.0)
        blocking = InlineBlocking()
        intake = Intake(space, blocking, By("olga"))
        importing = Importing(
            intake,
            self.open,
            Pace(None, clock),
            blocking,
            jobs,
            self.outcomes.append,
            self.add,
            really,
        )
        totals: Totals = self.run_now(importing.run(in_pages(offers)))
        return totals

    def problem(self, place: str) -> Outcome:
        """Return what has become of an object that was not stored."""
        (outcome,) = (each for each in self.outcomes if each.place == place)
        self.assertNotIn(key_of(place.encode()).path, self.store.objects)
        return outcome

    def test_everything_is_stored(self) -> None:
        totals = self.take(self.offers() + self.offers("acme/rocket"))
        size = 2 * sum(map(len, OBJECTS))
        self.assertEqual(dict(totals.objects), {"stored": 2 * len(OBJECTS)})
        self.assertEqual((totals.size, totals.problems, self.done), (size, 0, size))
        self.assertEqual(len(self.store.objects), 2 * len(OBJECTS))
        self.assertTrue(all(body.closed for body in self.opened))

    def test_nothing_is_opened_of_what_is_here(self) -> None:
        self.take(self.offers())
        self.opened.clear()
        totals = self.take(self.offers())
        self.assertEqual(dict(totals.objects), {"present": len(OBJECTS)})
        self.assertEqual((totals.size, self.opened), (0, []))
        self.assertEqual(self.done, 2 * sum(map(len, OBJECTS)))

    def test_a_dry_run_stores_nothing(self) -> None:
        totals = self.take(self.offers(), really=False)
        self.assertEqual(dict(totals.objects), {"wanted": len(OBJECTS)})
        self.assertEqual(totals.size, sum(map(len, OBJECTS)))
        self.assertEqual((self.store.objects, self.opened), ({}, []))

    def test_wrong_bytes_are_told_with_what_may_be_their_reason(self) -> None:
        self.other["object 3"] = Opened([b"objekt 3"])
        totals = self.take(self.offers())
        self.assertEqual(dict(totals.objects), {"stored": len(OBJECTS) - 1, "wrong": 1})
        problem = self.problem("object 3").problem
        self.assertIn(key_of(b"object 3").oid, problem)
        self.assertIn("it was compressed", problem)
        self.assertTrue(all(body.closed for body in self.opened))

    def test_what_is_missing_and_what_cannot_be_read_are_told_apart(self) -> None:
        self.other["object 4"] = NotThere("it is not there")
        self.other["object 5"] = Unreadable("the disk is broken")
        self.other["object 6"] = Opened([b"obj"], Unreadable("the disk is broken"))
        totals = self.take(self.offers())
        self.assertEqual(
            dict(totals.objects), {"stored": len(OBJECTS) - 3, "missing": 1, "unreadable": 2}
        )
        self.assertEqual(totals.problems, 3)
        self.assertEqual(self.problem("object 4").result, "missing")
        self.assertEqual(self.problem("object 6").problem, "the disk is broken")
        self.assertTrue(self.opened[-1].closed)

    def test_the_store_may_fail_for_one(self) -> None:
        self.fail_for("object 7")
        totals = self.take(self.offers())
        self.assertEqual(dict(totals.objects), {"stored": len(OBJECTS) - 1, "failed": 1})
        self.assertEqual(self.problem("object 7").problem, "the disk is gone")

    def test_a_store_that_fails_again_and_again_ends_it(self) -> None:
        self.fail_for(*(data.decode() for data in OBJECTS))
        with self.assertRaises(StorageUnavailable):
            self.take(self.offers(), jobs=1)
        self.assertEqual(len(self.outcomes), 10)

    def test_a_full_store_ends_it_at_once(self) -> None:
        self.fail_for("object 7", problem=InsufficientStorage("the disk is full"))
        with self.assertRaises(InsufficientStorage):
            self.take(self.offers(), jobs=1)
        self.assertEqual(len(self.store.objects), 7)
        self.assertTrue(all(body.closed for body in self.opened))

    def test_an_object_that_is_offered_twice_is_taken_once(self) -> None:
        totals = self.take([*self.offers()[:1], *self.offers()[:1]])
        self.assertEqual(dict(totals.objects), {"stored": 1})

    def fail_for(self, *places: str, problem: LFSError | None = None) -> None:
        """Let the store refuse some objects."""
        problem = problem or StorageUnavailable("the disk is gone", 5)
        put = self.store.put
        refused = {key_of(place.encode()) for place in places}

        async def refuse(key: ObjectKey, *arguments: Any) -> None:
            if key in refused:
                raise problem
            await put(key, *arguments)

        self.patch(self.store, "put", refuse)


class PageTests(CoroutineTestCase):
    def test_a_page_has_one_repository_and_a_bounded_number(self) -> None:
        offers = [Offer(key_of(b"%d" % number), 1, "") for number in range(1500)]
        offers.append(Offer(key_of(b"x", "acme/rocket"), 1, ""))
        pages = list(in_pages(offers))
        self.assertEqual([len(page) for page in pages], [1000, 500, 1])
        self.assertEqual({offer.key.repo for offer in pages[2]}, {repo_of("acme/rocket")})
