"""The body of a request while it arrives: flow control and memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from giftless.base.received_body import BodyBudget, RequestBody
from giftless.errors import BadRequest, Disconnected
from giftless.interfaces import IInterruptible
from tests.support.bodies import read_all
from tests.support.run import CoroutineTestCase

KB = 1024
MB = 1024 * KB


class BudgetTests(CoroutineTestCase):
    def test_a_body_alone_gets_half_of_the_memory(self) -> None:
        """The other half is what its handler works on."""
        self.assertEqual(BodyBudget(8 * MB).share, 4 * MB)

    def test_bodies_share_it(self) -> None:
        budget = BodyBudget(8 * MB)
        for bodies, share in ((1, 4 * MB), (2, 2 * MB), (3, 4 * MB // 3), (4, MB)):
            budget.enter()
            self.assertEqual(budget.share, share, bodies)
        for share in (4 * MB // 3, 2 * MB, 4 * MB, 4 * MB):
            budget.leave()
            self.assertEqual(budget.share, share)

    def test_a_share_has_bounds(self) -> None:
        """With less nothing would move, and much more brings no speed."""
        self.assertEqual(BodyBudget(10**12).share, 8 * MB)
        budget = BodyBudget(MB)
        for _ in range(1000):
            budget.enter()
        self.assertEqual(budget.share, 4 * KB)

    def test_many_bodies_stay_within_the_memory(self) -> None:
        budget = BodyBudget(16 * MB)
        for bodies in range(1, 33):
            budget.enter()
            self.assertLessEqual(budget.share * bodies * 2, 16 * MB)

    def test_one_read_is_never_more_than_a_share(self) -> None:
        budget = BodyBudget(16 * MB)
        for _ in range(100):
            budget.enter()
            self.assertLessEqual(budget.read_size, budget.share)
            self.assertGreaterEqual(budget.read_size, 4 * KB)

    def test_what_others_still_hold_is_not_shared_again(self) -> None:
        budget = BodyBudget(8 * MB)
        budget.used = 7 * MB
        self.assertEqual(budget.share, MB)


class BodyTestCase(CoroutineTestCase):
    """A test case with a body whose connection writes down what it is told.

    :ivar calls: ``invite``, ``pause`` and ``resume``, in order.
    """

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.budget = BodyBudget(2 * MB)
        self.budget.enter()
        self.body = RequestBody(
            self.budget,
            lambda: self.calls.append("invite"),
            lambda: self.calls.append("pause"),
            lambda: self.calls.append("resume"),
        )

    def read(self) -> Deferred[Any]:
        """Start to read."""
        return self.start(self.body.read())


class RequestBodyTests(BodyTestCase):
    def test_it_is_a_body(self) -> None:
        verifyObject(IInterruptible, self.body)

    def test_what_has_arrived_is_taken_at_once(self) -> None:
        self.body.deliver(b"a" * MB)
        self.body.deliver(b"b")
        self.assertEqual(self.successResultOf(self.read()), [b"a" * MB, b"b"])

    def test_what_is_worthwhile_wakes_the_reader(self) -> None:
        read = self.read()
        self.assertNoResult(read)
        self.body.deliver(b"a" * self.budget.read_size)
        self.assertEqual(self.successResultOf(read), [b"a" * self.budget.read_size])

    def test_small_pieces_are_collected_first(self) -> None:
        """Each wake-up costs switches between threads."""
        read = self.read()
        piece = b"a" * (self.budget.read_size // 4)
        for _ in range(3):
            self.body.deliver(piece)
            self.assertNoResult(read)
        self.body.deliver(piece)
        self.assertEqual(self.successResultOf(read), [piece] * 4)

    def test_what_is_handed_over_is_taken_however_little_it_is(self) -> None:
        read = self.read()
        self.body.hand_over()
        self.assertNoResult(read)
        self.body.deliver(b"abc")
        self.body.hand_over()
        self.assertEqual(self.successResultOf(read), [b"abc"])
        self.assertNoResult(self.read())

    def test_what_is_handed_over_waits_for_a_reader_that_is_busy(self) -> None:
        self.body.deliver(b"abc")
        self.body.hand_over()
        self.assertEqual(self.successResultOf(self.read()), [b"abc"])
        read = self.read()
        self.body.deliver(b"d")
        self.assertNoResult(read)

    def test_what_is_small_is_taken_at_the_end(self) -> None:
        read = self.read()
        self.body.deliver(b"abc")
        self.assertNoResult(read)
        self.body.end()
        self.assertEqual(self.successResultOf(read), [b"abc"])
        self.assertEqual(self.successResultOf(self.read()), [])

    def test_an_empty_body_ends_at_once(self) -> None:
        read = self.read()
        self.body.end()
        self.assertEqual(self.successResultOf(read), [])
        self.assertTrue(self.body.complete)

    def test_the_end_is_the_end(self) -> None:
        self.body.end()
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.read()), [])

    def test_what_arrives_is_counted(self) -> None:
        for data in (b"abc", b"", b"de"):
            self.body.deliver(data)
        self.assertEqual(self.body.received, 5)

    @given(st.lists(st.integers(0, 3), max_size=20))
    def test_all_bytes_come_in_order_whenever_they_are_read(self, steps: list[int]) -> None:
        self.setUp()
        sent, parts, pending = b"", [], None
        for number, step in enumerate(steps):
            if step == 0 and pending is None:
                pending = self.read()
            else:
                data = bytes([number]) * (step * 300 * KB + 1)
                sent += data
                self.body.deliver(data)
            if pending is not None and pending.called:
                parts.extend(self.successResultOf(pending))
                pending = None
        self.body.end()
        if pending is not None:
            parts.extend(self.successResultOf(pending))
        rest = self.run_now(read_all(self.body))
        self.assertEqual(b"".join(parts) + rest, sent)


class InvitationTests(BodyTestCase):
    def test_a_body_is_invited_when_it_is_wanted(self) -> None:
        """Until then the client has not been told to go on."""
        self.assertTrue(self.body.uninvited)
        self.read()
        self.assertFalse(self.body.uninvited)
        self.assertEqual(self.calls, ["invite"])

    def test_a_body_is_invited_once(self) -> None:
        for _ in range(3):
            read = self.read()
            self.body.deliver(b"a" * self.budget.read_size)
            self.successResultOf(read)
        self.assertEqual(self.calls, ["invite"])

    def test_a_body_that_is_all_there_needs_no_invitation(self) -> None:
        self.body.deliver(b"abc")
        self.body.end()
        self.successResultOf(self.read())
        self.assertEqual(self.calls, [])
        self.assertTrue(self.body.uninvited)


class FlowTests(BodyTestCase):
    def test_a_client_is_held_up_when_its_share_is_full(self) -> None:
        self.body.deliver(b"a" * (self.budget.share - 1))
        self.assertEqual(self.calls, [])
        self.assertFalse(self.body.paused)
        self.body.deliver(b"a")
        self.assertEqual(self.calls, ["pause"])
        self.assertTrue(self.body.paused)

    def test_a_client_is_held_up_once(self) -> None:
        """What was on its way still arrives."""
        for _ in range(3):
            self.body.deliver(b"a" * self.budget.share)
        self.assertEqual(self.calls, ["pause"])

    def test_a_client_goes_on_when_its_bytes_are_taken(self) -> None:
        self.body.deliver(b"a" * self.budget.share)
        self.successResultOf(self.read())
        self.assertEqual(self.calls, ["pause", "resume"])
        self.assertFalse(self.body.paused)

    def test_a_reader_that_waits_is_never_held_up(self) -> None:
        read = self.read()
        self.body.deliver(b"a" * self.budget.share)
        self.successResultOf(read)
        self.assertNotIn("pause", self.calls)

    def test_a_share_that_became_smaller_counts_from_now_on(self) -> None:
        self.body.deliver(b"a" * (self.budget.share // 2))
        self.assertEqual(self.calls, [])
        self.budget.enter()
        self.body.deliver(b"a")
        self.assertEqual(self.calls, ["pause"])

    def test_a_share_that_became_larger_does_not_leave_both_waiting(self) -> None:
        """What is held up may no longer be worth a wake-up: then it goes on."""
        for _ in range(3):
            self.budget.enter()
        self.body.deliver(b"a" * self.budget.share)
        self.assertTrue(self.body.paused)
        for _ in range(3):
            self.budget.leave()
        read = self.read()
        self.assertFalse(self.body.paused)
        self.assertNoResult(read)
        self.body.deliver(b"a" * self.budget.read_size)
        self.successResultOf(read)

    def test_at_most_a_share_waits_if_the_client_keeps_to_it(self) -> None:
        piece = b"a" * (64 * KB)
        while not self.body.paused:
            self.body.deliver(piece)
        self.assertLessEqual(self.body.received, self.budget.share)


class AccountTests(BodyTestCase):
    """What a body holds is counted until its handler asks for more, or is done."""

    def test_what_waits_and_what_is_worked_on_is_counted(self) -> None:
        self.body.deliver(b"a" * 1000)
        self.assertEqual(self.budget.used, 1000)
        read = self.read()
        self.body.deliver(b"b" * self.budget.read_size)
        self.successResultOf(read)
        held = self.budget.used
        self.read()
        self.assertEqual(self.budget.used, 0)
        self.assertGreater(held, self.budget.read_size)

    def test_the_end_is_worked_on_until_the_request_is_over(self) -> None:
        """A small object waits to be stored with others."""
        self.body.deliver(b"a" * 1000)
        self.body.end()
        for _ in range(2):
            self.successResultOf(self.read())
        self.assertEqual(self.budget.used, 1000)
        self.body.close()
        self.body.close()
        self.assertEqual(self.budget.used, 0)

    def test_what_is_dropped_is_not_counted(self) -> None:
        self.body.deliver(b"a" * 1000)
        self.body.discard()
        self.body.deliver(b"a" * 1000)
        self.assertEqual(self.budget.used, 0)


class FailureTests(BodyTestCase):
    def test_a_reader_that_waits_is_told_of_a_failure(self) -> None:
        read = self.read()
        gone = Disconnected("gone")
        self.body.fail(gone)
        self.assertIs(self.failureResultOf(read).value, gone)

    def test_a_later_reader_is_told_as_well(self) -> None:
        self.body.fail(BadRequest("too slow"))
        for _ in range(2):
            self.failureResultOf(self.read(), BadRequest)

    def test_what_came_before_a_failure_is_not_handed_out(self) -> None:
        self.body.deliver(b"a" * self.budget.read_size)
        self.body.fail(Disconnected("gone"))
        self.failureResultOf(self.read(), Disconnected)


class KeptTests(BodyTestCase):
    """Bodies of which nothing is lost that has come."""

    def setUp(self) -> None:
        super().setUp()
        self.body.keep()

    def test_what_came_before_a_failure_is_handed_out(self) -> None:
        for name in ("fail", "interrupt"):
            self.setUp()
            read = self.read()
            self.body.deliver(b"abc")
            self.assertNoResult(read)
            gone = Disconnected("gone")
            getattr(self.body, name)(gone)
            self.assertEqual(self.successResultOf(read), [b"abc"])
            for _ in range(2):
                self.assertIs(self.failureResultOf(self.read()).value, gone)

    def test_what_came_before_the_request_was_over_is_handed_out(self) -> None:
        """As when its connection is lost."""
        self.body.deliver(b"abc")
        self.body.abandon()
        self.body.fail(Disconnected("gone"))
        self.assertEqual(self.successResultOf(self.read()), [b"abc"])
        self.assertEqual(self.budget.used, 3)
        self.failureResultOf(self.read(), Disconnected)
        self.assertEqual(self.budget.used, 0)

    def test_what_nobody_reads_is_given_back_when_it_is_closed(self) -> None:
        self.body.deliver(b"abc")
        self.body.abandon()
        self.assertEqual(self.budget.used, 3)
        self.body.close()
        self.assertEqual(self.budget.used, 0)

    def test_nothing_is_lost_of_what_has_come_whole(self) -> None:
        self.body.deliver(b"abc")
        self.body.end()
        self.body.fail(Disconnected("gone"))
        self.assertEqual(self.successResultOf(self.read()), [b"abc"])
        self.assertEqual(self.successResultOf(self.read()), [])


class DiscardTests(BodyTestCase):
    def test_what_is_not_wanted_is_dropped(self) -> None:
        self.body.deliver(b"abc")
        self.body.discard()
        self.body.deliver(b"a" * self.budget.share * 2)
        self.body.end()
        self.assertEqual(self.calls, [])
        self.assertEqual(self.successResultOf(self.read()), [])

    def test_what_is_dropped_is_counted(self) -> None:
        """So that too much of it can be noticed."""
        self.body.deliver(b"abc")
        self.body.discard()
        self.body.deliver(b"de")
        self.assertEqual(self.body.received, 5)

    def test_a_client_that_was_held_up_goes_on(self) -> None:
        self.body.deliver(b"a" * self.budget.share)
        self.body.discard()
        self.assertEqual(self.calls, ["pause", "resume"])
