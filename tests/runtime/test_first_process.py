"""The first process of a container lets orphans go, and ends by SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from subprocess import Popen

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime import first_process
from giftless.runtime.first_process import end_by_signal, reap_orphans, watch_orphans
from tests.support.processes import wait_until

#: Gives its child to a process that reaps orphans, as the first one of a container does.
REAPER = """
import ctypes, os, subprocess, time
from giftless.runtime.first_process import reap_orphans
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
shell = subprocess.run(["sh", "-c", "exec sleep 0 & echo $!"], stdout=subprocess.PIPE)
orphan = int(shell.stdout)
for _ in range(500):
    reap_orphans(())
    if not os.path.exists(f"/proc/{orphan}"):
        break
    time.sleep(0.01)
else:
    raise SystemExit("the orphan is left")
"""


class OrphanTests(SynchronousTestCase):
    def test_an_orphan_that_has_ended_goes(self) -> None:
        with Popen([sys.executable, "-c", REAPER]) as reaper:
            self.assertEqual(reaper.wait(), 0)

    def test_what_is_waited_for_is_left(self) -> None:
        with Popen(["true"]) as own:
            wait_until(lambda: first_process._ended_child() is not None, "it ends")
            reap_orphans({own.pid})
            self.assertEqual(own.wait(), 0)

    def test_nothing_is_done_without_children(self) -> None:
        self.patch(os, "waitid", _no_children)
        reap_orphans(())


class FirstProcessTests(SynchronousTestCase):
    def test_only_the_first_process_does_so(self) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        end_by_signal()
        self.assertEqual(signal.getsignal(signal.SIGTERM), handler)
        self.assertIsNone(watch_orphans(Clock()))

    def test_the_first_process_looks_now_and_then(self) -> None:
        looked: list[object] = []
        self.patch(os, "getpid", lambda: first_process.FIRST)
        self.patch(first_process, "reap_orphans", looked.append)
        clock = Clock()
        watch = watch_orphans(clock)
        clock.pump([first_process.INTERVAL] * 3)
        self.assertEqual(len(looked), 3)
        assert watch is not None
        watch.stop()

    def test_sigterm_ends_the_first_process_before_it_serves(self) -> None:
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.patch(os, "getpid", lambda: first_process.FIRST)
        end_by_signal()
        with self.assertRaises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
        self.assertEqual(ended.exception.code, 128 + 15)


def _no_children(*_: object) -> None:
    raise ChildProcessError
