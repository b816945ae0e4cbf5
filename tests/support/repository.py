"""A git repository that the process works in, for what asks git about where it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


class RepositoryTestCase(SynchronousTestCase):
    """Tests that run in a repository of their own.

    :ivar directory: holds the repository.
    :ivar repo: the repository's work tree.
    :ivar git: runs git in it.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.repo = self.directory / "repo"
        self.repo.mkdir()
        self.git = lambda *arguments: subprocess.run(
            ["git", *arguments], cwd=self.repo, env=environ, check=True, capture_output=True
        )
        self.git("init", "--quiet")
        self.git("config", "user.name", "Tess Ter")
        self.git("config", "user.email", "tess@example.com")
        self.work_in(self.repo)

    def work_in(self, folder: Path) -> None:
        """Make a folder the process's own until the test ends."""
        before = os.getcwd()
        os.chdir(folder)
        self.addCleanup(os.chdir, before)
