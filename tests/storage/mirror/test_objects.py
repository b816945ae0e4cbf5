"""Objects of another server, whose transfers break off, lie or crawl."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.base.http_client import Answer
from giftless.errors import ExpiredAction
from giftless.interfaces import IBody, IVerifiedObject
from giftless.lfs.replies import GivenAction
from giftless.storage.mirror.asking import Outgoing
from giftless.storage.mirror.errors import UpstreamLimit, UpstreamUnavailable, UpstreamUnusable
from giftless.storage.mirror.objects import UpstreamObject
from giftless.storage.remote.client import StoreError
from tests.support.blocking import InlineBlocking
from tests.support.bodies import read_all
from tests.support.making import oid_of
from tests.support.run import CoroutineTestCase

DATA = bytes(range(256)) * 4


class Body:
    """What an answer has: pieces, and an end that may be an error.

    :param clock: moves on with each piece.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        error: Exception | None = None,
        clock: Clock | None = None,
        seconds: float = 0,
    ) -> None:
        self._pieces = list(pieces)
        self._error = error
        self._clock = clock or Clock()
        self._seconds = seconds
        self.closed = False
        self.ended = False

    async def read(self) -> Sequence[bytes]:
        self._clock.advance(self._seconds)
        if self._pieces:
            return [self._pieces.pop(0)]
        if self._error is not None:
            raise self._error
        self.ended = True
        return []

    def close(self) -> None:
        self.closed = True


class Scripted:
    """Answers requests as a test says."""

    name = "https://git.example"

    def __init__(self) -> None:
        self.asked: list[Outgoing] = []
        self.answer: Callable[[Outgoing], tuple[int, dict[str, str], Body] | Exception]

    async def fetch(self, outgoing: Outgoing) -> tuple[Answer, Any]:
        self.asked.append(outgoing)
        found = self.answer(outgoing)
        if isinstance(found, Exception):
            raise found
        status, headers, body = found
        return Answer(status, headers, b"", False), body


def span(outgoing: Outgoing) -> tuple[int, int]:
    """Return which bytes a request asks for."""
    text = outgoing.headers.get("Range", f"bytes=0-{len(DATA) - 1}")
    first, last = text.removeprefix("bytes=").split("-")
    return int(first), int(last) + 1


def partial(outgoing: Outgoing, body: Body) -> tuple[int, dict[str, str], Body]:
    """Answer with the part that was asked for."""
    if "Range" not in outgoing.headers:
        return 200, {}, body
    start, end = span(outgoing)
    return 206, {"content-range": f"bytes {start}-{end - 1}/{len(DATA)}"}, body


class UpstreamObjectTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Scripted()
        asker: Any = self.server
        action = GivenAction("https://store.example/x#y", {"X-Token": "t", "range": "bytes=7-"})
        self.object = UpstreamObject(
            oid_of(DATA), asker, action, len(DATA), InlineBlocking(), self.clock, lambda: 0.0
        )

    def read(self, start: int = 0, end: int = len(DATA)) -> bytes:
        """Read some bytes, while pauses pass."""

        async def collect(body: IBody) -> bytes:
            parts: list[bytes] = []
            while chunks := await body.read():
                parts += chunks
            return b"".join(parts)

        running = Deferred.fromCoroutine(collect(self.object.read(start, end)))
        for _ in range(len(DATA) * 2):
            if running.called:
                break
            self.clock.advance(5)
        return self.run_now(running)

    @staticmethod
    def same(answer: tuple[int, dict[str, str], Body], asked: Outgoing) -> Any:
        """Answer any request with one and the same."""
        return answer

    def test_it_is_an_open_object(self) -> None:
        verifyObject(IVerifiedObject, self.object)

    def test_whoever_compares_by_itself_gets_the_bytes_as_they_come(self) -> None:
        self.server.answer = lambda asked: (200, {}, Body([DATA[::-1]]))
        body = self.object.read_unverified(0, len(DATA))
        self.assertEqual(self.run_now(read_all(body)), DATA[::-1])
        self.assert_fails(UpstreamUnusable, read_all(self.object.read(0, len(DATA))))

    def test_the_server_does_not_choose_what_frames_a_request(self) -> None:
        self.server.answer = lambda asked: (200, {}, Body([DATA]))
        self.assertEqual(self.read(), DATA)
        (asked,) = self.server.asked
        self.assertEqual(asked.url, "https://store.example/x")
        self.assertEqual(asked.headers["X-Token"], "t")
        self.assertNotIn("range", {name.lower() for name in asked.headers})

    def test_an_answer_is_read_to_its_end_so_that_its_connection_is_good(self) -> None:
        """A connection that is cut at the last byte is among those for use by then."""
        body = Body([DATA])
        self.server.answer = lambda asked: (200, {}, body)
        self.assertEqual(self.read(), DATA)
        self.assertTrue(body.ended)
        more = Body([DATA])
        self.server.answer = lambda asked: (200, {}, more)
        self.assertEqual(self.read(0, 10), DATA[:10])
        self.assertEqual((more.ended, more.closed), (False, True))

    def test_a_server_that_wants_to_be_asked_later_is_waited_for(self) -> None:
        """In the middle of an object, whose reader has some of it; and only there."""
        answers: list[tuple[int, dict[str, str], Body]] = [
            (200, {}, Body([DATA[:100]], StoreError("cut"))),
            (429, {"retry-after": "9"}, Body([])),
            (429, {"retry-after": "3600"}, Body([])),
            (206, {"content-range": "bytes 100-1023/1024"}, Body([DATA[100:]])),
        ]
        times: list[float] = []

        def answer(asked: Outgoing) -> tuple[int, dict[str, str], Body]:
            times.append(self.clock.seconds())
            return answers.pop(0)

        self.server.answer = answer
        self.assertEqual(self.read(), DATA)
        pauses = [after - before for before, after in itertools.pairwise(times)]
        self.assertEqual(len(pauses), 3)
        self.assertLess(pauses[0], 9)
        self.assertTrue(all(9 <= pause <= 15 for pause in pauses[1:]), pauses)
        answers = [(429, {"retry-after": "9"}, Body([]))]
        self.assertRaises(UpstreamLimit, self.read)

    def test_an_answer_to_a_range_may_be_all_of_it(self) -> None:
        self.server.answer = lambda asked: (200, {"content-length": "1024"}, Body([DATA]))
        self.assertEqual(self.read(100, 200), DATA[100:200])

    def test_an_answer_to_a_range_may_be_all_from_there(self) -> None:
        """lfs-test-server takes no end, and says how many bytes are left instead of the size."""
        for total in ("1024", "*", "924"):
            headers = {"content-range": f"bytes 100-1023/{total}"}
            answer = 206, headers, Body([DATA[100:150], DATA[150:]])
            self.server.answer = functools.partial(self.same, answer)
            self.assertEqual(self.read(100, 200), DATA[100:200])

    def test_other_bytes_than_were_asked_for_are_refused(self) -> None:
        answers: tuple[tuple[int, dict[str, str]], ...] = (
            (206, {"content-range": "bytes 0-99/1024"}),
            (206, {"content-range": "bytes 100-199/99"}),
            (206, {"content-range": "bytes 100-1024/1025"}),
            (206, {"content-range": "bytes 100-1023/1024", "content-length": "100"}),
            (206, {}),
            (200, {"content-length": "1023"}),
            (206, {"content-range": "bytes 100-199/1024", "content-length": "1"}),
        )
        for status, headers in answers:
            body = Body([DATA])
            self.server.answer = functools.partial(self.same, (status, headers, body))
            with self.assertRaises(UpstreamUnusable):
                self.read(100, 200)
            self.assertTrue(body.closed)

    def test_more_bytes_than_the_object_has_are_refused(self) -> None:
        self.server.answer = lambda asked: (200, {}, Body([DATA, b"x"]))
        self.assertEqual(self.read(), DATA)
        self.server.answer = lambda asked: (200, {}, Body([DATA + b"x"]))
        with self.assertRaises(UpstreamUnusable):
            self.read()

    def test_the_end_of_wrong_bytes_is_held_back(self) -> None:
        wrong = DATA[:-1] + b"x"
        self.server.answer = lambda asked: (200, {}, Body([wrong[:500], wrong[500:]]))
        body = self.object.read(0, len(DATA))
        first = self.run_now(body.read())
        self.assertEqual(b"".join(first), wrong[:500])
        with self.assertRaises(UpstreamUnusable):
            self.run_now(body.read())

    def test_a_refusal_wants_a_new_batch(self) -> None:
        for status in (401, 403, 404, 410):
            self.server.answer = functools.partial(self.same, (status, {}, Body([b"no"])))
            with self.assertRaises(ExpiredAction):
                self.read()
        self.server.answer = lambda asked: (502, {}, Body([], StoreError("cut")))
        with self.assertRaises(UpstreamUnavailable):
            self.read()

    def test_what_breaks_off_again_and_again_is_given_up(self) -> None:
        self.server.answer = lambda asked: partial(asked, Body([], StoreError("cut")))
        with self.assertRaises(UpstreamUnavailable):
            self.read()
        self.assertEqual(len(self.server.asked), 4)

    def test_what_crawls_is_given_up(self) -> None:
        self.server.answer = lambda asked: (
            200,
            {},
            Body([DATA[i : i + 1] for i in range(len(DATA))], None, self.clock, 10),
        )
        with self.assertRaises(UpstreamUnavailable) as caught:
            self.read()
        self.assertIn("too slowly", str(caught.exception))
        self.assertEqual(len(self.server.asked), 1)

    def test_what_is_closed_does_not_go_on(self) -> None:
        self.server.answer = lambda asked: partial(asked, Body([DATA[:9]], StoreError("closed")))
        body = self.object.read(0, 100)
        self.run_now(body.read())
        self.object.close()
        with self.assertRaises(UpstreamUnavailable):
            self.run_now(body.read())
        self.assertEqual(len(self.server.asked), 1)

    @given(st.data())
    def test_however_it_breaks_off_the_bytes_are_right(self, data: st.DataObject) -> None:
        self.setUp()
        start = data.draw(st.integers(0, len(DATA)))
        end = data.draw(st.integers(start, len(DATA)))
        ranges = data.draw(st.booleans())

        def answer(asked: Outgoing) -> tuple[int, dict[str, str], Body]:
            first, last = span(asked) if ranges else (0, len(DATA))
            wanted = span(asked)[0]
            # It gives at least one byte more each time, so that it comes to an end.
            cut = data.draw(st.integers(min(wanted + 1, last), last))
            places = sorted(data.draw(st.sets(st.integers(first, cut), max_size=4)))
            edges = [first, *places, cut]
            pieces = [DATA[a:b] for a, b in itertools.pairwise(edges) if a < b]
            body = Body(pieces, StoreError("cut") if cut < last else None)
            return partial(asked, body) if ranges else (200, {}, body)

        self.server.answer = answer
        found = self.read(start, end)
        self.assertEqual(hashlib.sha256(found).digest(), hashlib.sha256(DATA[start:end]).digest())
