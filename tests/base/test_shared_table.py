"""Counters that several processes share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.shared_table import KEY_BYTES, SharedTable, shared_memory

#: Adds to a counter so many times, in a process of its own.
ADDING = """
import sys
from giftless.base.shared_table import SharedTable

table, key = SharedTable(int(sys.argv[1])), b"k" * 16
for _ in range(int(sys.argv[2])):
    with table.locked():
        count, _ = table.get(key, 1.0) or (0, 0)
        table.put(key, count + 1, 9.0, 1.0)
"""

#: Takes the lock, and stands still with it.
HOLDING = """
import sys, time
from giftless.base.shared_table import SharedTable

with SharedTable(int(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


def key_of(number: int, bucket: int = 0) -> bytes:
    """Return one of the keys of a bucket."""
    return bucket.to_bytes(4, "little") + (number + 1).to_bytes(KEY_BYTES - 4, "little")


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = SharedTable()

    def test_a_counter_lasts_until_it_expires(self) -> None:
        self.assertIsNone(self.table.get(key_of(1), 0.0))
        self.table.put(key_of(1), 3, 10.0, 0.0)
        self.table.put(key_of(2), 4, 20.0, 0.0)
        self.assertEqual(self.table.get(key_of(1), 9.9), (3, 10.0))
        self.assertIsNone(self.table.get(key_of(1), 10.0))
        self.assertEqual(self.table.get(key_of(2), 10.0), (4, 20.0))

    def test_a_counter_can_be_changed_and_removed(self) -> None:
        for number in range(5):
            self.table.put(key_of(number), number, 10.0, 0.0)
        self.table.put(key_of(3), 33, 11.0, 0.0)
        self.table.remove(key_of(1))
        self.table.remove(key_of(99))
        found = [self.table.get(key_of(number), 0.0) for number in range(5)]
        self.assertEqual(found, [(0, 10.0), None, (2, 10.0), (33, 11.0), (4, 10.0)])

    def test_what_expires_first_makes_room(self) -> None:
        for number in range(8):
            self.table.put(key_of(number), 1, 100.0 - number, 0.0)
        self.table.put(key_of(8), 1, 50.0, 0.0)
        left = [number for number in range(9) if self.table.get(key_of(number), 0.0)]
        self.assertEqual(left, [0, 1, 2, 3, 4, 5, 6, 8])

    def test_what_has_expired_makes_room_before_all_others(self) -> None:
        for number in range(8):
            self.table.put(key_of(number), 1, 10.0 if number == 4 else 20.0, 0.0)
        self.table.put(key_of(8), 1, 100.0, 15.0)
        left = [number for number in range(9) if self.table.get(key_of(number), 15.0)]
        self.assertEqual(left, [0, 1, 2, 3, 5, 6, 7, 8])

    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
    def test_few_counters_are_a_mapping(self, steps: list[tuple[int, bool]]) -> None:
        table, wanted = SharedTable(), dict[int, tuple[int, float]]()
        for count, (number, put) in enumerate(steps):
            if put:
                table.put(key_of(number), count, 9.0, 0.0)
                wanted[number] = (count, 9.0)
            else:
                table.remove(key_of(number))
                wanted.pop(number, None)
        found = {n: f for n in range(6) if (f := table.get(key_of(n), 0.0)) is not None}
        self.assertEqual(found, wanted)


class SharingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory = shared_memory()
        self.addCleanup(os.close, self.memory)
        self.table = SharedTable(self.memory)
        self.key = b"k" * KEY_BYTES

    def run_beside(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(self.memory), *arguments],
            pass_fds=[self.memory],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def hold(self) -> subprocess.Popen[str]:
        """Let another process hold the lock."""
        holder = self.run_beside(HOLDING)
        assert holder.stdout is not None
        self.assertEqual(holder.stdout.readline(), "locked\n")
        return holder

    def test_no_process_loses_what_another_counts(self) -> None:
        running = [self.run_beside(ADDING, "2000") for _ in range(3)]
        self.assertEqual([process.wait() for process in running], [0, 0, 0])
        self.assertEqual(self.table.get(self.key, 1.0), (6000, 9.0))

    def test_a_process_that_dies_gives_the_lock_back(self) -> None:
        holder = self.hold()
        self.assertFalse(self.table._lock(self.memory))
        holder.kill()
        holder.wait()
        self.assertTrue(self.table._lock(self.memory))

    def test_a_process_that_stands_still_with_the_lock_is_not_waited_for(self) -> None:
        os.kill(self.hold().pid, signal.SIGSTOP)
        with self.table.locked():
            self.table.put(self.key, 1, 9.0, 1.0)
        self.assertEqual(self.table.get(self.key, 1.0), (1, 9.0))
