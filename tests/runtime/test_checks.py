"""What is to listen can be checked without listening."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Config, parse
from giftless.errors import ConfigError
from giftless.runtime.checks import MAX_UNIX_PATH, check_sockets, unreachable

#: A user who has nothing to do with giftless.
STRANGER = 65534


class ChecksTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="giftless"))
        self.addCleanup(self.folder.rmdir)

    def options(self, **settings: Any) -> Config:
        """Return a configuration that nobody serves."""
        text = yaml.safe_dump({"state_dir": str(self.folder / "state"), **settings})
        return parse("giftless.yaml", text, {}).config

    def warnings(self, **settings: Any) -> list[str]:
        """Return the warnings of a configuration with which a daemon can listen."""
        return list(check_sockets(self.options(**settings), reactor))

    def refused(self, **settings: Any) -> ConfigError:
        """Return why a daemon cannot listen."""
        return self.assertRaises(ConfigError, self.warnings, **settings)


class PortTests(ChecksTestCase):
    def held(self, command: str) -> int:
        """Return a port that a process of that name listens on."""
        program = (
            "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
            " print(s.getsockname()[1], flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None and process.stdout is not None
        self.addCleanup(process.communicate)
        return int(process.stdout.readline())

    def test_a_port_that_somebody_else_has_is_refused(self) -> None:
        port = self.held("sshd")
        for settings, path in (
            ({"ssh": {"endpoints": [f"tcp:{port}"]}}, "ssh.endpoints.0"),
            ({"endpoints": [f"haproxy:tcp:{port}:interface=127.0.0.1"]}, "endpoints.0"),
        ):
            error = self.refused(**settings)
            self.assertEqual(error.path, path)
            self.assertIn("listens there", error.problem)
            self.assertIn(f"tcp:{port}", error.problem)

    def test_a_port_that_the_daemon_has_is_fine(self) -> None:
        port = self.held("giftless")
        self.assertEqual(self.warnings(ssh={"endpoints": [f"tcp:{port}"]}), [])

    def test_a_port_is_for_one_endpoint(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        local = f"tcp:{port}:interface=127.0.0.1"
        for settings, path, other in (
            ({"ssh": {"endpoints": [local, local]}}, "ssh.endpoints.1", "ssh.endpoints.0"),
            ({"endpoints": [local], "ssh": {"endpoints": [f"tcp:{port}"]}}, "ssh.endpoints.0", ""),
            ({"endpoints": [f"tcp:{port}"], "admin": {"endpoints": [local]}}, "admin.", ""),
        ):
            error = self.refused(**settings)
            self.assertTrue(error.path.startswith(path), error.path)
            self.assertIn(f"{other or 'endpoints.0'} has the same port", error.problem)

    def test_two_addresses_may_have_the_same_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        endpoints = [f"tcp:{port}:interface=127.0.0.{number}" for number in (1, 2)]
        self.assertEqual(self.warnings(endpoints=[*endpoints, "tcp:0", "tcp:0"]), [])
        named = [f"tcp:{port}:interface={name}" for name in ("localhost", "127.0.0.3")]
        self.assertEqual(self.warnings(endpoints=named), [])

    def test_nothing_is_bound_afterwards(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        self.warnings(endpoints=[f"tcp:{port}:interface=127.0.0.1"])
        socket.create_server(("127.0.0.1", port)).close()


class PathTests(ChecksTestCase):
    def test_a_path_has_so_many_bytes(self) -> None:
        name = "x" * (MAX_UNIX_PATH - len(str(self.folder)) - 1)
        self.assertEqual(self.warnings(ssh={"socket": str(self.folder / name)}), [])
        for settings, path in (
            ({"ssh": {"socket": str(self.folder / f"{name}x")}}, "ssh.socket"),
            ({"endpoints": [f"unix:{self.folder}/{name}x"]}, "endpoints.0"),
        ):
            error = self.refused(**settings)
            self.assertEqual(error.path, path)
            self.assertIn("at most 107 bytes", error.problem)

    def test_a_directory_that_is_missing_is_named(self) -> None:
        missing = self.folder / "missing"
        error = self.refused(ssh={"socket": str(missing / "ssh.sock")})
        self.assertEqual(error.path, "ssh.socket")
        self.assertIn(f"there is no directory {missing}", error.problem)

    def test_what_the_daemon_or_systemd_makes_may_be_missing(self) -> None:
        self.assertEqual(self.warnings(ssh={"endpoints": ["tcp:0"]}), [])
        (warning,) = self.warnings(ssh={"socket": "/run/giftless-missing/ssh.sock"})
        self.assertIn("RuntimeDirectory=", warning)

    def test_a_path_is_for_one_endpoint(self) -> None:
        path = self.folder / "socket"
        error = self.refused(endpoints=[f"unix:{path}"], ssh={"socket": str(path)})
        self.assertIn("endpoints.0 has the same path", error.problem)


class TrustedTests(ChecksTestCase):
    def setUp(self) -> None:
        super().setUp()
        os.chmod(self.folder, 0o755)

    def unreachable(self, mode: int, trusted: str = str(STRANGER), **ssh: Any) -> list[str]:
        """Return the warnings, with a state directory of some mode."""
        state = self.folder / "state"
        state.mkdir()
        try:
            state.chmod(mode)
            return list(unreachable(self.options(ssh={"trusted": [trusted], **ssh})))
        finally:
            state.rmdir()

    def test_who_cannot_pass_to_the_socket_is_named(self) -> None:
        (warning,) = self.unreachable(0o700)
        self.assertIn(f"{STRANGER} cannot reach {self.folder}/state/ssh.sock", warning)
        self.assertIn(f"because {self.folder}/state does not", warning)
        self.assertIn("set ssh.socket", warning)

    def test_who_can_pass_is_not(self) -> None:
        self.assertEqual(self.unreachable(0o711), [])
        self.assertEqual(self.unreachable(0o700, "root"), [])
        self.assertEqual(self.unreachable(0o700, "nobody-of-that-name"), [])
        self.assertEqual(self.unreachable(0o700, socket=str(self.folder / "ssh.sock")), [])

    def test_the_groups_of_a_user_count(self) -> None:
        own = os.getegid()
        with patch.object(os, "getgrouplist", lambda *_: [own]):
            self.assertEqual(self.unreachable(0o710), [])
        self.assertEqual(len(self.unreachable(0o710)), 1)
