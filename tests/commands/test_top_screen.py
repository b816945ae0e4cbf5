"""What ``giftless top`` writes to its terminal."""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading

from twisted.trial.unittest import SynchronousTestCase

from giftless.commands.top.screen import Screen

#: What gives the terminal back.
LEAVE = b"\x1b[?25h\x1b[?1049l"

#: More than a terminal takes that nobody looks at.
MUCH = 1_000_000


class ScreenTests(SynchronousTestCase):
    def setUp(self) -> None:
        end, inside = pty.openpty()
        self.addCleanup(os.close, end)
        self.addCleanup(os.close, inside)
        self.end = end
        for name, mode in (("stdin", "r"), ("stdout", "w")):
            stream = os.fdopen(inside, mode, closefd=False)
            self.addCleanup(stream.close)
            self.patch(sys, name, stream)
        self.screen = Screen()
        self.addCleanup(self.screen.close)

    def test_a_signal_while_a_picture_is_written_gives_the_terminal_back(self) -> None:
        before = signal.signal(signal.SIGUSR2, lambda *_: self.screen.leave())
        self.addCleanup(signal.signal, signal.SIGUSR2, before)
        shown = bytearray()

        def look() -> None:
            # It is being written then, and cannot be done.
            shown.extend(os.read(self.end, 1))
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)
            while shown.count(b"x") < MUCH or LEAVE not in shown:
                shown.extend(os.read(self.end, 65536))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        self.screen.show(["x" * MUCH])
        looking.join()
        self.assertLess(shown.index(LEAVE), MUCH)
