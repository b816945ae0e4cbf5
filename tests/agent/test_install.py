"""The command line of the user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless import __version__

#: The installed command.
COMMAND = Path(sys.executable).with_name("giftless-transfer-agent")


class InstallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def run_command(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def run_agent(self, *arguments: str, status: int = 0) -> str:
        """Run the command.

        :returns: what it printed.
        """
        done = self.run_command(COMMAND, *arguments)
        self.assertEqual(done.returncode, status, done)
        return done.stdout + done.stderr

    def settings(self) -> list[str]:
        return self.run_command("git", "config", "--get-regexp", "lfs").stdout.splitlines()

    def test_installing_twice_changes_nothing(self) -> None:
        """It writes two settings, for the user; doing so twice changes nothing."""
        expected = [
            f"lfs.customtransfer.giftless.path {COMMAND}",
            "lfs.customtransfer.giftless.concurrent true",
        ]
        for _ in range(2):
            self.assertIn(str(COMMAND), self.run_agent("install"))
            self.assertEqual(self.settings(), expected)
        self.assertTrue((self.directory / ".gitconfig").exists())

    def test_uninstalling_twice_is_harmless(self) -> None:
        """It removes them again, and nothing else; doing so twice is harmless."""
        self.run_command("git", "config", "--global", "lfs.customtransfer.other.path", "other")
        self.run_agent("install")
        self.run_agent("uninstall")
        self.assertEqual(self.settings(), ["lfs.customtransfer.other.path other"])
        self.assertIn("not installed", self.run_agent("uninstall"))

    def test_one_repository_can_be_installed_alone(self) -> None:
        """It can be installed in one repository only."""
        self.run_command("git", "init", "--quiet")
        self.run_agent("install", "--local")
        self.assertFalse((self.directory / ".gitconfig").exists())
        self.assertEqual(len(self.settings()), 2)
        self.run_agent("uninstall", "--local")
        self.assertEqual(self.settings(), [])

    def test_an_error_of_git_is_shown(self) -> None:
        """What git cannot do is told in its words."""
        self.environ["GIT_CEILING_DIRECTORIES"] = str(self.directory.parent)
        said = self.run_agent("install", "--local", status=1)
        self.assertIn("giftless-transfer-agent: fatal:", said)

    def test_a_link_to_the_command_is_named(self) -> None:
        """A link to the command is named itself, and found in PATH."""
        link = self.directory / "giftless-transfer-agent"
        link.symlink_to(COMMAND)
        self.environ["PATH"] = f"{self.directory}:{self.environ['PATH']}"
        self.assertEqual(self.run_command("giftless-transfer-agent", "install").returncode, 0)
        self.assertEqual(self.settings()[0], f"lfs.customtransfer.giftless.path {link}")

    def test_the_help_shows_the_version(self) -> None:
        """It says what it can do, and which version it is."""
        self.assertIn(__version__, self.run_agent("--version"))
        said = self.run_agent("--help")
        self.assertIn("install", said)
        self.assertIn("uninstall", said)
        self.assertIn("--system", self.run_agent("install", "--help"))

    def test_wrong_arguments_are_refused(self) -> None:
        """Anything else is refused."""
        for arguments in (("dance",), ("install", "--local", "--global"), ("install", "x")):
            self.run_agent(*arguments, status=2)
