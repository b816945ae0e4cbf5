"""What systemd is told, over a real socket."""

from __future__ import annotations

import os
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.systemd import Notifier, watchdog_interval


class NotifierTests(SynchronousTestCase):
    def listen(self, address: str) -> socket.socket:
        """Listen as systemd does."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(address)
        listener.settimeout(30)
        return listener

    def test_states_go_to_a_path(self) -> None:
        address = self.mktemp()
        listener = self.listen(address)
        Notifier(address).ready("all is well")
        self.assertEqual(listener.recv(1000), b"READY=1\nSTATUS=all is well")

    def test_an_abstract_name(self) -> None:
        name = os.urandom(8).hex()
        listener = self.listen(f"\0{name}")
        Notifier(f"@{name}").stopping()
        self.assertEqual(listener.recv(1000), b"STOPPING=1")

    def test_a_reload_has_its_time(self) -> None:
        address = self.mktemp()
        listener = self.listen(address)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        Notifier(address).reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        state, when = listener.recv(1000).decode().split("\n")
        self.assertEqual(state, "RELOADING=1")
        microseconds = int(when.removeprefix("MONOTONIC_USEC="))
        self.assertTrue(before // 1000 <= microseconds <= after // 1000)

    def test_without_an_address_nothing_is_sent(self) -> None:
        Notifier("").send(READY=1)

    def test_an_absent_listener_is_harmless(self) -> None:
        Notifier(self.mktemp()).send(READY=1)

    def test_somebody_does_not_read(self) -> None:
        address = self.mktemp()
        listener = self.listen(address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        notifier = Notifier(address)
        for _ in range(1000):
            notifier.send(WATCHDOG=1)


class WatchdogTests(SynchronousTestCase):
    def test_half_of_what_is_asked_for(self) -> None:
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "3000000"}, 7), 1.5)
        environ = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}
        self.assertEqual(watchdog_interval(environ, 7), 1.5)

    def test_no_watchdog_is_fed_unasked(self) -> None:
        for environ in (
            {},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"},
        ):
            self.assertIsNone(watchdog_interval(environ, 7), environ)
