"""The ports that tests give to the servers they start."""

from __future__ import annotations

import random
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import free_port

#: Prints the port that another process gets if it chooses as this one does.
ASK = "import random, tests.support.ports as ports; random.seed({seed}); print(ports.free_port())"


class FreePortTests(SynchronousTestCase):
    """Whose a port is."""

    def free_port(self, seed: int) -> int:
        state = random.getstate()
        self.addCleanup(random.setstate, state)
        random.seed(seed)
        return free_port()

    def test_a_port_is_given_to_one_process_only(self) -> None:
        """Even if nobody listens there, as after the end of a daemon."""
        mine = self.free_port(13)
        path = [entry for entry in sys.path if entry]
        other = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:] = {path}; {ASK.format(seed=13)}"],
            check=True,
            capture_output=True,
        )
        self.assertNotEqual(int(other.stdout), mine)

    def test_a_port_is_given_to_a_process_once(self) -> None:
        """Two daemons of one test get two ports."""
        self.assertNotEqual(self.free_port(14), self.free_port(14))
