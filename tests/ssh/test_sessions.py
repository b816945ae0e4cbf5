"""When service ends: sessions go on while something is under way, and end then."""

from __future__ import annotations

import threading

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.ssh.sessions import Sessions
from tests.ssh.client import Ended, Line, put_request
from tests.ssh.support import MB, SSHTestCase
from tests.support.reactor import reactor

DATA = b"d" * MB


class Stub:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def drain(self) -> None:
        self.told.append("drain")

    def abort(self) -> None:
        self.told.append("abort")


class CountingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(2, self.clock)

    def test_sessions_are_counted_by_address(self) -> None:
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            self.sessions.enter(address)
        self.assertTrue(self.sessions.too_many("192.0.2.1"))
        self.assertTrue(self.sessions.too_many("::ffff:192.0.2.1"))
        self.assertFalse(self.sessions.too_many("192.0.2.2"))
        self.sessions.leave("192.0.2.1")
        self.assertFalse(self.sessions.too_many("192.0.2.1"))

    def test_a_network_of_ipv6_is_one_client(self) -> None:
        for number in range(2):
            self.sessions.enter(f"2001:db8::{number}")
        self.assertTrue(self.sessions.too_many("2001:db8::9"))
        self.assertFalse(self.sessions.too_many("2001:db8:1::9"))

    def test_addresses_that_are_not_known_are_not_limited(self) -> None:
        for _ in range(5):
            self.sessions.enter("")
        self.assertFalse(self.sessions.too_many(""))

    def test_service_is_over_when_no_connection_is_left(self) -> None:
        self.successResultOf(self.sessions.retire())
        stub = Stub()
        self.sessions.opened(stub)
        retired, drained = self.sessions.retire(), self.sessions.drain(60)
        self.assertNoResult(retired)
        self.sessions.closed(stub)
        self.successResultOf(retired)
        self.successResultOf(drained)
        self.assertEqual((stub.told, self.clock.getDelayedCalls()), (["drain"], []))

    def test_what_does_not_end_in_time_is_cut_off(self) -> None:
        stub = Stub()
        self.sessions.opened(stub)
        self.sessions.drain(60)
        self.clock.advance(61)
        self.assertEqual(stub.told, ["drain", "abort"])

    def test_what_is_opened_late_is_told_at_once(self) -> None:
        self.sessions.drain(60)
        stub = Stub()
        self.sessions.opened(stub)
        self.assertEqual(stub.told, ["drain"])


class EndTests(SSHTestCase):
    async def test_retiring_waits_for_sessions_however_long_they_last(self) -> None:
        await self.serve()
        line = await self.in_thread(lambda: self.line().open())
        over = self.front.retire()
        reply = await self.in_thread(lambda: line.put(DATA))
        self.assertEqual(reply.status, 200)
        self.assertFalse(over.called)
        await self.in_thread(lambda: line.command("quit"))
        # Whoever relays the session closes the connection when it has ended.
        self.assertEqual(await self.in_thread(line.rest), b"")
        line.close()
        await over

    async def test_an_upload_that_runs_is_finished_and_the_session_ends(self) -> None:
        await self.serve()
        sent = put_request(DATA)
        half = len(sent) // 2

        def begin() -> Line:
            line = self.line().open()
            line.send(sent[:half])
            return line

        line = await self.in_thread(begin)
        await self.until(lambda: self.context.memory.passing._bodies)
        over = self.front.drain(60)

        def finish() -> bytes:
            line.send(sent[half:])
            self.assertEqual(line.reply().status, 200)
            # One more may be asked for at once.
            self.assertEqual(line.get(DATA).data, DATA)
            return line.rest()

        self.assertEqual(await self.in_thread(finish), b"")
        await over
        line.close()
        await self.settled()
        self.assertEqual(self.stored(DATA), DATA)

    async def test_a_session_in_which_nothing_happens_ends_soon(self) -> None:
        await self.serve()
        line = await self.in_thread(lambda: self.line().open())
        began = reactor.seconds()
        await self.front.drain(600)
        self.assertLess(reactor.seconds() - began, 300)
        self.assertEqual(await self.in_thread(line.rest), b"")
        line.close()

    async def test_what_takes_too_long_is_cut_off_and_leaves_nothing_behind(self) -> None:
        await self.serve()
        stop = threading.Event()

        def trickle() -> None:
            with self.line() as line:
                line.open().send(put_request(DATA)[:1000])
                stop.wait(120)
                with self.assertRaises((Ended, ConnectionError)):
                    line.reply()

        running = self.in_background(trickle)
        await self.until(lambda: self.context.memory.passing._bodies)
        await self.front.drain(0.01)
        stop.set()
        await running
        await self.settled()
        self.assertIsNone(self.stored(DATA))

    async def test_nothing_is_timed_out_in_a_session(self) -> None:
        """Nobody waits for anything by the clock: a client may pause as long as it likes."""
        await self.serve()
        # The deadline of the test itself is there once something was waited for.
        await self.in_thread(lambda: None)
        before = len(reactor.getDelayedCalls())
        line = await self.in_thread(lambda: self.line().open())
        self.assertEqual(len(reactor.getDelayedCalls()), before)
        await self.in_thread(lambda: line.send(put_request(DATA)[:-4]))
        await self.until(lambda: self.context.memory.passing._bodies)
        passing = self.context.memory.passing
        await self.until(lambda: not passing.used and len(reactor.getDelayedCalls()) == before)
        await self.in_thread(lambda: line.send(b"0000"))
        self.assertEqual((await self.in_thread(line.reply)).status, 200)
        line.close()
