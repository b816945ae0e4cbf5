"""The stock client with a user and a password, as the documentation sets it up."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.sharing import SharingTestCase
from tests.integration.support import REPO, Git, GitRepo, oid_of, stored_objects
from tests.support.commands import run_command
from tests.support.processes import wait_until
from tests.support.tokens import basic

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}

#: The password of a user whose name stands in it.
PASSWORD = "{}'s password: \u00fcber/secret@1"


class PasswordTests(SharingTestCase):
    """A daemon with the configuration that the page about passwords shows."""

    def setUp(self) -> None:
        super().setUp()
        etc = self.share("etc", nullcontext)
        self.users = etc / "htpasswd"
        config = self.configure(etc)
        if not self.users.exists():
            for user in ("alice", "bob", "carol"):
                self.htpasswd(user, PASSWORD.format(user))
        self.daemon = self.share_daemon(**config)
        for path in stored_objects(self.daemon.store):
            path.unlink()
        self.git: Git = self.make_git()
        self.credentials = self.directory / "credentials"
        helper = f"store --file={self.credentials}"
        self.git.run(self.git.home, "config", "--global", "credential.helper", helper)

    def configure(self, etc: Path) -> dict[str, Any]:
        """Write the file of who may do what, and return the configuration."""
        configuration, access, *_ = (
            block.content for block in code(DOCS / "auth/basic.rst", "yaml")
        )
        (etc / "access.yaml").write_text(access)
        configuration = configuration.replace("/etc/giftless", str(etc))
        return {"log_format": "json", **yaml.safe_load(configuration)}

    def htpasswd(self, user: str, password: str) -> str:
        """Run ``giftless htpasswd`` and return what it prints."""
        result = run_command(
            *("giftless", "htpasswd", "--stdin", str(self.users), user),
            directory=self.directory,
            stdin=f"{password}\n",
        )
        result.check_returncode()
        return result.stdout

    def log_in(self, user: str, password: str = "") -> None:
        """Let git's credential helper know a user, as ``git credential approve`` does."""
        self.credentials.unlink(missing_ok=True)
        host = self.daemon.url.removeprefix("http://")
        password = password or PASSWORD.format(user)
        subprocess.run(
            ["git", "credential-store", f"--file={self.credentials}", "store"],
            input=f"protocol=http\nhost={host}\nusername={user}\npassword={password}\n\n",
            text=True,
            check=True,
        )

    def create(self, path: str = REPO) -> GitRepo:
        """Make a repository that uses the daemon."""
        directory: Path = self.directory / path.replace("/", "-")
        return self.git.create(directory, f"{self.daemon.url}/{path}.git/info/lfs")

    def identities(self) -> set[Any]:
        """Whose names the access log has for transfers."""
        return {
            event["identity"]
            for method in ("PUT", "GET")
            for event in self.daemon.accesses(method, "/objects/storage/")
        }

    def assert_refused(self, repo: GitRepo, *words: str) -> None:
        """Check that a push fails, saying so."""
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_push_and_clone(self) -> None:
        """Who may write pushes and clones; the password is hashed once and not logged."""
        self.log_in("alice")
        self.assert_round_trip(self.create(), FILES)
        self.assertEqual(self.identities(), {"alice"})
        self.assertTrue(self.credentials.read_text())
        self.assertNotIn("secret", self.daemon.stdout + self.daemon.stderr)

    def test_a_reader_clones_and_does_not_push(self) -> None:
        """Who may read clones and does not push; git keeps the password."""
        self.log_in("alice")
        repo = self.create()
        repo.commit(FILES)
        repo.push()
        self.log_in("bob")
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("noise.bin"), FILES["noise.bin"])
        clone.commit({"more.bin": b"more"})
        self.assert_refused(clone, "bob")
        self.assertIn("bob", self.credentials.read_text())

    def test_a_repository_without_grant_is_closed(self) -> None:
        """Who has no grant for a repository does nothing there."""
        self.log_in("carol")
        repo = self.create()
        repo.commit(FILES)
        self.assert_refused(repo, "carol")

    def test_git_forgets_a_wrong_password(self) -> None:
        """Git forgets a wrong password."""
        for user in ("alice", "mallory"):
            self.log_in(user, "wrong")
            repo = self.create(f"acme/{user}")
            repo.commit(FILES)
            self.assert_refused(repo)
            self.assertEqual(self.credentials.read_text(), "")

    def test_changes_count_at_once(self) -> None:
        """A running daemon takes a new password, and the old one no longer."""
        self.users = Path(shutil.copy(self.users, self.directory))
        self.daemon = self.start_daemon(config=self.configure(self.directory))
        self.log_in("alice")
        repo = self.create()
        repo.commit({"one.bin": b"1"})
        repo.push()
        self.assertEqual(self.htpasswd("alice", "new"), "changed alice\n")
        self.assertEqual(os.stat(self.users).st_mode & 0o777, 0o600)
        wait_until(lambda: self.status("alice", "new") == 200, "the new password to count")
        repo.commit({"two.bin": b"2"})
        self.assert_refused(repo)
        self.log_in("alice", "new")
        repo.push()

    def status(self, user: str, password: str) -> int:
        """Return the status of a download batch."""
        headers = {"Authorization": basic(user, password)}
        return self.daemon.batch("download", (oid_of(b"1"), 1), headers=headers).status
