"""What runs beside setup."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

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
        self.assertFalse(check(os.path.abspath(configuration), str(os.geteuid()), service=False))

    def test_a_service_does_not_see_the_variables_of_a_shell(self) -> None:
        os.environ["GIFTLESS_WORKERS"] = "none"
        self.addCleanup(os.environ.pop, "GIFTLESS_WORKERS")
        folder = Path(self.mktemp()).resolve()
        (folder / "state").mkdir(mode=0o700, parents=True)
        (folder / "objects").mkdir()
        configuration = folder / "giftless.yaml"
        configuration.write_text(
            f"storage: {{type: local, path: {folder}/objects}}\nstate_dir: {folder}/state\n"
            "endpoints: ['tcp:0:interface=127.0.0.1']\n"
        )
        for service in (False, True):
            self.assertIs(check(str(configuration), str(os.geteuid()), service), service)
