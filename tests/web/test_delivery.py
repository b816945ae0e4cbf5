"""Clients that take their responses too slowly."""

from __future__ import annotations

from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.sending import send
from giftless.web.delivery import Delivery
from giftless.web.limits import Limits


class DeliveryTests(SynchronousTestCase):
    """1000 bytes a second over 20 seconds; nothing at all for 30 at most."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.taken = 0
        self.cuts: list[float] = []
        self.delivery = self.watch(1000)

    def watch(self, rate: int) -> Delivery:
        """Begin to watch."""
        limits = Limits(stall_timeout=30, response_min_rate=rate, response_rate_window=20)
        delivery = Delivery(
            self.clock, limits, lambda: self.taken, lambda: self.cuts.append(self.clock.seconds())
        )
        delivery.start()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(delivery.stop)
        return delivery

    def take(self, rate: int, seconds: int) -> None:
        """Let time go by in which the client takes so many bytes a second."""
        for _ in range(seconds):
            self.taken += rate
            self.clock.advance(1)

    def test_a_client_that_keeps_up_the_rate_has_all_the_time(self) -> None:
        self.take(1000, 100_000)
        self.assertEqual(self.cuts, [])

    def test_a_byte_now_and_then_is_not_enough(self) -> None:
        for _ in range(4):
            self.take(1, 10)
        self.assertEqual(self.cuts, [40])

    def test_a_client_that_takes_nothing_is_cut_off(self) -> None:
        self.take(0, 30)
        self.assertEqual(self.cuts, [30])

    def test_a_pause_shorter_than_the_window_is_no_sign_of_a_slow_client(self) -> None:
        for offset in range(20):
            self.take(1000, 21 + offset)
            self.take(0, 19)
        self.assertEqual(self.cuts, [])

    def test_what_the_client_took_before_does_not_help_it(self) -> None:
        self.take(1_000_000, 40)
        self.take(1, 60)
        self.assertEqual(len(self.cuts), 1)

    def test_the_rate_can_be_switched_off(self) -> None:
        self.delivery.stop()
        self.watch(0)
        self.take(1, 1000)
        self.assertEqual(self.cuts, [])
        self.take(0, 60)
        self.assertEqual(len(self.cuts), 1)

    def test_nobody_is_cut_off_after_the_end(self) -> None:
        self.delivery.stop()
        self.delivery.stop()
        self.take(0, 100)
        self.assertEqual(self.cuts, [])


class Socket:
    """A transport whose socket takes some bytes at once.

    :param taken: what it answers: how many, or an error.
    """

    SEND_LIMIT = 1000
    disconnecting = False

    def __init__(self, taken: int | Exception, waiting: bytes = b"") -> None:
        self._taken = taken
        self._tempDataLen = 0
        self.dataBuffer = waiting
        self.sent = self.kept = b""

    def writeSomeData(self, data: bytes) -> int | Exception:
        if isinstance(self._taken, int):
            self.sent = data[: self._taken]
            return len(self.sent)
        return self._taken

    def write(self, data: bytes) -> None:
        self.kept += data


class SendTests(SynchronousTestCase):
    """What the socket does not take at once waits in the transport."""

    def assert_sent(self, socket: Socket, sent: bytes, kept: bytes, data: bytes = b"abc") -> None:
        send(socket, data)
        self.assertEqual((socket.sent, socket.kept), (sent, kept))

    def test_the_socket_may_take_all_or_some(self) -> None:
        self.assert_sent(Socket(3), b"abc", b"")
        self.assert_sent(Socket(1), b"a", b"bc")
        self.assert_sent(Socket(0), b"", b"abc")

    def test_nothing_overtakes_what_waits(self) -> None:
        self.assert_sent(Socket(3, waiting=b"x"), b"", b"abc")

    def test_a_broken_connection_is_left_to_the_transport(self) -> None:
        self.assert_sent(Socket(CONNECTION_LOST), b"", b"abc")

    def test_much_is_left_to_the_transport(self) -> None:
        self.assert_sent(Socket(2000), b"", b"a" * 1001, b"a" * 1001)
