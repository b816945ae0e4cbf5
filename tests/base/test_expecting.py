"""Bodies that wait until the server wants them."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.expecting import PATIENCE, ExpectedBody, IExpectedBody, InterimAnswers

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


#: Where bodies go to.
THERE: Any = "there"


@implementer(IBodyProducer)
class Noted:
    """A body of which it is noted what is done with it."""

    length = 7

    def __init__(self) -> None:
        self.done: list[str] = []
        self.produced: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Note it."""
        self.done.append(f"start {consumer}")
        return self.produced

    def stopProducing(self) -> None:
        """Note it."""
        self.done.append("stop")

    def pauseProducing(self) -> None:
        """Note it."""
        self.done.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.done.append("resume")


class ExpectedBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Noted()
        self.body = ExpectedBody(self.inner, self.clock)
        verifyObject(IExpectedBody, self.body)
        self.produced = self.body.startProducing(THERE)

    def test_it_begins_when_it_is_wanted_once(self) -> None:
        self.assertEqual((self.inner.done, self.body.length), ([], 7))
        for _ in range(2):
            self.body.go_on()
        self.clock.advance(PATIENCE)
        self.assertEqual(self.inner.done, ["start there"])
        self.inner.produced.callback(None)
        self.successResultOf(self.produced)

    def test_it_begins_if_nobody_says_anything(self) -> None:
        self.clock.advance(PATIENCE)
        self.assertEqual(self.inner.done, ["start there"])
        self.body.pauseProducing()
        self.body.resumeProducing()
        self.assertEqual(self.inner.done[1:], ["pause", "resume"])

    def test_once_stopped_it_does_not_begin(self) -> None:
        self.body.stopProducing()
        self.body.go_on()
        self.assertEqual((self.inner.done, self.clock.getDelayedCalls()), (["stop"], []))


class InterimAnswersTests(SynchronousTestCase):
    def taken(self, *pieces: bytes) -> tuple[bytes, bool]:
        """Return what is left of what comes, and whether the body has begun."""
        clock, inner = Clock(), Noted()
        body = ExpectedBody(inner, clock)
        body.startProducing(THERE)
        answers = InterimAnswers(body)
        return b"".join(map(answers.take, pieces)), bool(inner.done)

    @given(
        st.lists(st.sampled_from([CONTINUE, HINTS])),
        st.lists(st.integers(0, 200)),
        st.sampled_from([ANSWER, b"HTTP/1.1 101 Switching\r\n\r\n", b"nonsense, and more of it"]),
    )
    def test_however_it_comes_the_answer_is_left(
        self, interim: list[bytes], cuts: list[int], answer: bytes
    ) -> None:
        data = b"".join(interim) + answer + CONTINUE
        bounds = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
        pieces = [data[a:b] for a, b in itertools.pairwise(bounds)]
        self.assertEqual(self.taken(*pieces), (answer + CONTINUE, CONTINUE in interim))

    def test_one_without_end_is_left_to_whoever_bounds_it(self) -> None:
        head = b"HTTP/1.1 100 Continue\r\nX: "
        left, begun = self.taken(head, *[b"x" * 1000] * 9)
        self.assertEqual((left, begun), (head + b"x" * 9000, False))
