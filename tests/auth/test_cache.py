"""A bounded table that forgets, and errands that are done once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from giftless.auth.cache import Errand, TTLCache
from tests.support.run import CoroutineTestCase


class TTLCacheTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache: TTLCache[str, int] = TTLCache(3, self.clock)

    def test_what_is_not_there_is_none(self) -> None:
        self.assertIsNone(self.cache.get("a"))

    def test_an_entry_lasts_as_long_as_it_was_put_for(self) -> None:
        self.cache.put("a", 1, 10)
        self.cache.put("b", 2, 20)
        self.clock.advance(9.9)
        self.assertEqual((self.cache.get("a"), self.cache.get("b")), (1, 2))
        self.clock.advance(0.1)
        self.assertEqual((self.cache.get("a"), self.cache.get("b")), (None, 2))

    def test_reading_does_not_prolong_an_entry(self) -> None:
        self.cache.put("a", 1, 10)
        for _ in range(4):
            self.clock.advance(2.5)
            found = self.cache.get("a")
        self.assertIsNone(found)

    def test_putting_again_replaces_value_and_time(self) -> None:
        self.cache.put("a", 1, 10)
        self.clock.advance(9)
        self.cache.put("a", 2, 10)
        self.clock.advance(9)
        self.assertEqual(self.cache.get("a"), 2)
        self.assertEqual(len(self.cache), 1)

    def test_what_has_been_unused_for_longest_makes_room(self) -> None:
        for key in "abc":
            self.cache.put(key, ord(key), 10)
        self.cache.get("a")
        self.cache.put("d", 4, 10)
        self.assertIsNone(self.cache.get("b"))
        self.assertEqual([self.cache.get(key) for key in "acd"], [97, 99, 4])

    def test_it_never_grows_beyond_its_size(self) -> None:
        for number in range(1000):
            self.cache.put(str(number), number, 1000)
        self.assertEqual(len(self.cache), 3)

    def test_an_expired_entry_takes_no_room(self) -> None:
        self.cache.put("a", 1, 1)
        self.clock.advance(1)
        self.cache.get("a")
        self.assertEqual(len(self.cache), 0)


class ErrandTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.errand, self.done = Errand(), 0
        self.gate: Deferred[None] = Deferred()

    async def do(self) -> None:
        self.done += 1
        await self.gate

    def test_it_is_done_once_for_all_who_want_it_at_the_same_time(self) -> None:
        waiting = [self.errand.join(self.do) for _ in range(3)]
        self.assertEqual((self.done, len(self.errand.waiting)), (1, 3))
        self.gate.callback(None)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.errand.waiting, [])
        self.successResultOf(self.errand.join(self.do))
        self.assertEqual(self.done, 2)

    def test_it_goes_on_when_all_have_left(self) -> None:
        leaving = self.errand.join(self.do)
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        staying = self.errand.join(self.do)
        self.assertNoResult(staying)
        self.gate.callback(None)
        self.successResultOf(staying)
        self.assertEqual(self.done, 1)
