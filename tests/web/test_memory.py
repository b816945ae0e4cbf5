"""What is held in memory for clients stays within its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.client_memory import Memory, Place, Pool
from giftless.errors import Overloaded
from giftless.web.limits import Limits
from tests.support.logs import observe
from tests.web.support import FrontTestCase, render_request

KB = 1024
MB = 1024 * KB

BATCH = "/org/repo.git/info/lfs/objects/batch"


class PoolTests(SynchronousTestCase):
    """A pool of 100 bytes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = Pool("tests", 100, self.clock)
        self.gone: list[str] = []

    def place(self, name: str, size: int) -> Place:
        """Return a place of so many bytes that writes down when it gives up."""
        place = self.pool.place(lambda error: self.gone.append(name))
        place.grow(size)
        return place

    def test_the_oldest_gives_up(self) -> None:
        self.place("a", 40)
        self.place("b", 40)
        self.place("c", 40)
        self.assertEqual((self.gone, self.pool.used), (["a"], 80))
        self.place("d", 90)
        self.assertEqual((self.gone, self.pool.used), (["a", "b", "c"], 90))

    def test_the_oldest_that_grows_is_refused(self) -> None:
        oldest = self.place("a", 40)
        self.place("b", 40)
        error = self.assertRaises(Overloaded, oldest.grow, 61)
        self.assertEqual((error.code, int(error.headers["Retry-After"]) > 0), (503, True))
        self.assertEqual((self.gone, self.pool.used), ([], 40))

    def test_what_is_worked_on_is_left_alone(self) -> None:
        kept = self.place("a", 60)
        kept.keep()
        self.assertRaises(Overloaded, self.place, "b", 60)
        self.assertEqual(self.pool.used, 60)
        kept.offer()
        self.place("c", 60)
        self.assertEqual((self.gone, self.pool.used), (["a"], 60))

    def test_what_is_larger_than_the_pool_may_have_all_of_it(self) -> None:
        """Otherwise it could never be had."""
        self.place("a", 1000)
        self.assertEqual(self.pool.used, 1000)
        self.place("b", 1)
        self.assertEqual((self.gone, self.pool.used), (["a"], 1))

    def test_what_is_large_makes_nobody_give_up(self) -> None:
        pool = Pool("tests", 10 * MB, self.clock)
        pool.place(lambda error: self.gone.append("a")).grow(9 * MB)
        self.assertRaises(Overloaded, pool.place(lambda error: None).grow, 2 * MB)
        self.assertEqual((self.gone, pool.used), ([], 9 * MB))

    def test_a_place_is_released_once(self) -> None:
        place = self.place("a", 40)
        place.release()
        place.release()
        self.assertEqual(self.pool.used, 0)

    def test_the_log_says_once_a_minute_that_it_is_used_up(self) -> None:
        events: list[object] = []
        observe(self, events.append)
        for _ in range(10):
            self.place("a", 60)
        self.assertEqual(len(events), 1)
        self.clock.advance(60)
        self.place("a", 60)
        self.assertEqual(len(events), 2)

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60), st.integers(0, 3))))
    def test_it_never_holds_more_than_it_has(self, steps: list[tuple[int, int, int]]) -> None:
        self.setUp()
        sizes: dict[int, int] = {}
        places: dict[int, Place] = {}
        for number, size, step in steps:
            if number not in places:
                places[number] = self.pool.place(lambda error, n=number: sizes.pop(n, None))  # type: ignore[misc]
            place = places[number]
            if step == 0:
                place.release()
                del places[number]
                sizes.pop(number, None)
            elif step == 1:
                place.keep()
            else:
                try:
                    place.grow(max(size, sizes.get(number, 0)))
                    sizes[number] = max(size, sizes.get(number, 0))
                except Overloaded:
                    sizes.pop(number, None)
            self.assertEqual(self.pool.used, sum(sizes.values()))
            self.assertLessEqual(self.pool.used, 100)


class BodyMemoryTests(FrontTestCase):
    """Bodies of batches that come slowly; all of them may have 1 MiB."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(limits=Limits(memory=4 * MB))

    @property
    def memory(self) -> Memory:
        """What the site holds."""
        return self.front.site._context.memory

    def test_the_oldest_of_many_slow_bodies_is_answered_with_503(self) -> None:
        connections = []
        for _ in range(40):
            connections.append(self.connect())
            head = render_request("POST", BATCH, {"Content-Length": str(900 * KB)})
            connections[-1].send(head + b"{" + b" " * 100 * KB)
            memory = self.memory
            self.assertLessEqual(memory.bodies.used + memory.passing.used, 2 * MB)
        response = connections[0].response()
        self.assertEqual(response.status, 503)
        self.assertGreater(int(response.headers["retry-after"]), 0)
        self.assertIn("busy", response.json["message"])
        self.assertEqual(connections[-1].received, b"")
        # Whoever asks quickly is not held up by them.
        quick = self.connect().request("POST", BATCH, {}, b"{}" + b" " * 200 * KB)
        self.assertEqual(quick.status, 422)
        for connection in connections:
            connection.disconnect()
        self.assertEqual((self.memory.bodies.used, self.memory.passing.used), (0, 0))

    def test_uploads_that_come_slowly_share_the_memory_for_uploads(self) -> None:
        url = f"/org/repo.git/info/lfs/objects/storage/{64 * 'a'}"
        connections = []
        for _ in range(100):
            connections.append(self.connect())
            head = render_request("PUT", url, {"Content-Length": str(200 * KB)})
            connections[-1].send(head + b" " * 100 * KB)
            self.assertLessEqual(self.memory.passing.used, 2 * MB)
        for connection in connections:
            connection.disconnect()
        self.assertEqual(self.memory.passing.used, 0)
        self.assert_stored()

    def test_pieces_of_one_byte_take_no_more_memory_than_others(self) -> None:
        connection = self.connect()
        connection.send(render_request("POST", BATCH, {"Content-Length": "3000"}))
        for _ in range(3000 - 1):
            connection.send(b" ")
        self.assertEqual(len(self.body_chunks(connection)), 1)

    def test_a_body_that_is_broken_off_keeps_nothing_of_its_handler(self) -> None:
        """The error that ended it leads to the handler's frames, which have the body's bytes."""
        for leave in (False, True):
            connection = self.connect()
            connection.send(render_request("POST", BATCH, {"Content-Length": "99999"}) + b" ")
            body = connection.channel.request.body
            if leave:
                connection.disconnect()
            else:
                self.pass_time(30)
                self.assert_error(connection.response(), 408)
            self.assertIsNotNone(body._failure)
            self.assertIsNone(body._failure.__traceback__)

    def body_chunks(self, connection: object) -> list[bytes]:
        """Return what waits of a connection's body."""
        chunks: list[bytes] = connection.channel.request.body._chunks  # type: ignore[attr-defined]
        return chunks
