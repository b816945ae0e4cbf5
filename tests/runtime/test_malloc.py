"""What the C library does with blocks of memory."""

from __future__ import annotations

import resource
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.malloc import Trimmer, keep_buffers

#: Counts the pages that the kernel has to provide for a hundred reads of 64 KiB,
#: each into a block that is larger, as uploads are read.
COUNT = """
import resource, socket, sys
from giftless.runtime.malloc import keep_buffers
if sys.argv[1] == "keep":
    assert keep_buffers()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
here, there = socket.socketpair()
def read():
    there.sendall(bytes(65536))
    here.recv(1 << 20)
read()
before = faults()
for _ in range(100):
    read()
print(faults() - before)
"""


class KeepBuffersTests(SynchronousTestCase):
    def faults(self, how: str) -> int:
        """Return how many pages a process asks for."""
        return int(subprocess.check_output([sys.executable, "-c", COUNT, how]))

    def test_blocks_are_used_again(self) -> None:
        self.assertLess(self.faults("keep"), 500)
        # Otherwise this would show nothing: 64 KiB are 16 pages.
        self.assertGreater(self.faults("leave"), 1500)

    def test_another_libc_is_left_alone(self) -> None:
        """They have no such function."""
        self.patch(sys.modules["giftless.runtime.malloc"].ctypes, "CDLL", lambda name: object())
        self.assertFalse(keep_buffers())


class TrimmerTests(SynchronousTestCase):
    def test_a_process_that_can_open_nothing_is_looked_at_later(self) -> None:
        """What is called again and again would not be any more if it failed once."""
        trimmer = Trimmer()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            trimmer()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
