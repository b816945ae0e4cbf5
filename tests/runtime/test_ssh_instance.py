"""The listener as a process has it: built, or refused with words."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import ConfigError
from giftless.runtime import ssh_instance
from giftless.runtime.orders import SSHOrders
from giftless.runtime.ssh_instance import SSHInstance
from giftless.sshd.options import ListenerOptions


class BuildTests(SynchronousTestCase):
    def orders(self) -> SSHOrders:
        state = self.mktemp()
        options = ListenerOptions(
            host_keys=[],
            state_dir=state,
            socket=str(Path(state, "ssh.sock")),
            login_timeout=60,
            login_attempts=6,
            max_logins=100,
            max_channels=64,
        )
        return SSHOrders(["tcp:2222", "tcp:2223"], 1, 60, options)

    def test_it_has_a_socket_for_each_endpoint(self) -> None:
        self.assertEqual(SSHInstance(self.orders(), Clock()).sockets, 2)

    def test_without_conch_it_says_how_to_install_it(self) -> None:
        def find(name: str) -> object:
            return None if name == "bcrypt" else importlib.util.find_spec(name)

        self.patch(ssh_instance, "find_spec", find)
        error = self.assertRaises(ConfigError, SSHInstance, self.orders(), Clock())
        self.assertIn("pip install 'giftless[ssh]'", str(error))

    def test_nothing_else_imports_conch(self) -> None:
        """It takes time and memory, and may not be installed."""
        program = (
            "import sys, giftless.runtime.daemon, giftless.runtime.instance,"
            " giftless.runtime.ssh_instance, giftless.runtime.control;"
            "sys.exit('twisted.conch' in sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL)
        self.assertEqual(ended.returncode, 0)
