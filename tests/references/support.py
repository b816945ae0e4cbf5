"""Git repositories with pointers, for tests of what finds these."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.references.clones import Clone
from giftless.references.git import Git
from giftless.references.keepset import KeepSet
from giftless.references.sources import parse_source
from tests.support.processes import PATIENCE

#: What git needs to know.
CONFIG = """
[user]
  name = Tess Ter
  email = tess@example.com
[init]
  defaultBranch = main
[protocol "file"]
  allow = always
"""


def digest_of(name: str) -> bytes:
    """Return the digest of an object that a name stands for."""
    return hashlib.sha256(name.encode()).digest()


def pointer(name: str) -> str:
    """Return the pointer to the object that a name stands for."""
    return pointer_to(digest_of(name).hex(), len(name)).decode()


def pointer_to(oid: str, size: int) -> bytes:
    """Return the pointer to an object, as git-lfs writes it."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
    return text.encode()


class GitTestCase(SynchronousTestCase):
    """Tests with git repositories in a directory of their own.

    :ivar directory: it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(tempfile.mkdtemp(prefix="giftless-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.home = self.directory / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text(CONFIG)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "xdg"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        # Clones find what tests configure, and nothing else.
        self.patch(os, "environ", environ)
        self._numbers = itertools.count()

    def git(self, where: Path, *arguments: str) -> str:
        """Run git, which must succeed."""
        result = subprocess.run(
            ["git", *arguments],
            cwd=where,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(result.returncode, 0, f"git {' '.join(arguments)}: {result.stderr}")
        return result.stdout.strip()

    def make(self, name: str = "repo", *options: str) -> Path:
        """Make a repository with a working tree."""
        path = self.directory / name
        self.git(self.directory, "init", "--quiet", *options, str(path))
        return path

    def commit(self, repo: Path, files: Mapping[str, str | bytes]) -> str:
        """Commit files.

        :returns: the commit.
        """
        for name, data in files.items():
            path = repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        self.git(repo, "add", "--all", "--force")
        self.git(repo, "commit", "--quiet", "--allow-empty", "-m", "Add files")
        return self.git(repo, "rev-parse", "HEAD")

    def clone(self, url: str | Path, **options: Any) -> Clone:
        """Prepare a clone."""
        target = self.directory / f"clone-{next(self._numbers)}"
        return Clone(Git(PATIENCE), parse_source(str(url)), target, **options)

    def find(self, url: str | Path, **options: Any) -> tuple[int, KeepSet]:
        """Clone a repository, and find what it needs."""
        clone = self.clone(url, **options)
        clone.fetch()
        keep = KeepSet()
        return clone.scan(keep), keep

    def assert_found(self, url: str | Path, *names: str, **options: Any) -> None:
        """Check that exactly these objects are found in a repository."""
        count, keep = self.find(url, **options)
        for name in names:
            self.assertIn(digest_of(name), keep, name)
        self.assertEqual((count, len(keep)), (len(names), len(names)))
