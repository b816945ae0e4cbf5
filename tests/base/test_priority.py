"""The priority of a thread's reads, as the kernel tells it."""

from __future__ import annotations

import subprocess
import threading

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.priority import lower_io_priority


def priority_of(thread: int) -> str:
    """Return what ``ionice`` says of a thread."""
    return subprocess.run(
        ["ionice", "-p", str(thread)], capture_output=True, text=True, check=True
    ).stdout.strip()


class PriorityTests(SynchronousTestCase):
    def test_the_reads_of_one_thread_wait_for_those_of_others(self) -> None:
        found: list[object] = []

        def work() -> None:
            found.append(lower_io_priority())
            found.append(priority_of(threading.get_native_id()))

        before = priority_of(threading.get_native_id())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(found, [True, "idle"])
        self.assertEqual(priority_of(threading.get_native_id()), before)
