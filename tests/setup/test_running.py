"""What runs beside setup."""

from __future__ import annotations

import os
import signal
import threading

from twisted.trial.unittest import SynchronousTestCase

from giftless.setup.running import check


class CheckTests(SynchronousTestCase):
    def test_whoever_interrupts_it_is_told_what_comes_next(self) -> None:
        """And is shown no traceback, neither of this process nor of the other."""
        configuration = self.mktemp()
        os.mkfifo(configuration)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        self.addCleanup(timer.join)
        self.assertFalse(check(os.path.abspath(configuration), str(os.geteuid())))
