"""Names that one holder at a time has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.exclusive import Exclusive, Held
from tests.support.processes import PATIENCE, installed

#: Takes a name, says so, and waits to be killed.
HOLDER = """
import sys, time
from giftless.base.exclusive import Exclusive
held = Exclusive(sys.argv[1]).take(["a"], b"from a process")
print(type(held).__name__, flush=True)
time.sleep(600)
"""


class ExclusiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.names = Exclusive(self.directory)

    def take(self, *names: str, note: bytes = b"mine") -> Held:
        held = self.names.take(names, note)
        assert isinstance(held, Held), held
        return held

    def test_who_comes_second_gets_the_note_of_the_first(self) -> None:
        held = self.take("a", "b")
        for name in ("a", "b"):
            self.assertEqual(self.names.take([name], b"other"), b"mine")
        held.note(b"longer than before")
        held.note(b"short")
        self.assertEqual(self.names.take(["a", "c"], b"other"), b"short")
        held.release()
        self.take("b", "a").release()
        self.assertEqual(os.listdir(self.directory), [])

    def test_all_are_taken_or_none(self) -> None:
        held = self.take("b")
        self.assertIsInstance(self.names.take(["a", "b"], b"other"), bytes)
        self.take("a").release()
        held.release()

    def test_who_takes_names_in_vain_leaves_nothing(self) -> None:
        held = self.take("b")
        self.assertIsInstance(self.names.take(["a", "b"], b"other"), bytes)
        held.release()
        self.assertEqual(os.listdir(self.directory), [])

    def test_who_takes_names_in_vain_leaves_the_note_of_the_last_holder(self) -> None:
        self.take("a", note=b"the outcome").release(keep=True)
        held = self.take("b")
        self.assertIsInstance(self.names.take(["a", "b"], b"other"), bytes)
        held.release()
        again = self.take("a")
        self.assertEqual(again.before, b"the outcome")
        again.release()

    def test_a_note_that_is_kept_is_there_for_who_comes_next(self) -> None:
        held = self.take("a", note=b"the outcome")
        held.release(keep=True)
        again = self.take("a")
        self.assertEqual(again.before, b"the outcome")
        again.release()
        self.assertEqual(self.take("a").before, b"")

    def test_a_process_that_is_killed_holds_nothing(self) -> None:
        command = [sys.executable, "-c", HOLDER, self.directory]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env=dict(installed().environ)
        ) as holder:
            assert holder.stdout is not None
            self.assertEqual(holder.stdout.readline(), b"Held\n")
            self.assertEqual(self.names.take(["a"], b"other"), b"from a process")
            holder.send_signal(signal.SIGKILL)
            holder.wait(PATIENCE)
        self.assertEqual(self.take("a").before, b"from a process")

    def test_many_at_once_never_hold_a_name_together(self) -> None:
        inside, most = 0, []
        guard = threading.Lock()

        def visit(number: int) -> bool:
            nonlocal inside
            held = Exclusive(self.directory).take(["a", "b"], b"%d" % number)
            if not isinstance(held, Held):
                return False
            with guard:
                inside += 1
                most.append(inside)
            with guard:
                inside -= 1
            held.release()
            return True

        with ThreadPoolExecutor(8) as pool:
            visits = list(pool.map(visit, range(2000)))
        self.assertEqual(max(most), 1)
        self.assertGreater(sum(visits), 0)
        self.assertEqual(list(Path(self.directory).iterdir()), [])
