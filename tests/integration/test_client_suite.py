"""Tests of git-lfs itself, in shell and unchanged, with the daemon in the place of their server."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import SkipTest

from tests.integration.ssh import git_lfs_versions
from tests.integration.support import IntegrationTestCase
from tests.support.processes import PATIENCE, base_environ
from tests.support.suite_front import suite_front


class SuiteTests(IntegrationTestCase):
    """The newest git-lfs, and its own tests (``.ci/git-lfs``)."""

    def setUp(self) -> None:
        super().setUp()
        newest = Path(git_lfs_versions()[max(git_lfs_versions())])
        if not (newest / "suite").is_dir():
            raise SkipTest("there are no tests of git-lfs: .ci/git-lfs installs them")
        # They write beside themselves.
        self.root = self.directory / "suite"
        shutil.copytree(newest / "suite", self.root)
        (self.root / "bin" / "git-lfs").symlink_to(newest / "git-lfs")
        trash = self.directory / "trash"
        trash.mkdir()
        self.environ = {
            **base_environ(),
            "HOME": str(self.directory),
            "GIT_LFS_TEST_DIR": str(trash),
            "RM_GIT_LFS_TEST_DIR": "no",
        }

    def bash(self, script: str) -> str:
        """Run a script in the folder of the tests; returns what it prints."""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.root / "t",
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def run_test(self, name: str) -> str:
        """Run a file of tests; returns what it prints."""
        daemon = self.start_daemon(config={"actions": {"verify": "always"}})
        self.bash(". ./testenv.sh && setup")
        url = self.root / "t" / "remote" / "url"
        own = url.read_text()
        port = urlsplit(own).port
        assert port is not None, own
        try:
            with suite_front(daemon.port, port) as front:
                url.write_text(front)
                return self.bash(f"bash ./{name}")
        finally:
            url.write_text(own)
            self.bash(". ./testenv.sh && shutdown")

    def test_uploads_by_tus(self) -> None:
        printed = self.run_test("t-batch-storage-upload-tus.sh")
        self.assertEqual(printed.count("\nok "), 2, printed)
        self.assertNotIn("not ok", printed)
