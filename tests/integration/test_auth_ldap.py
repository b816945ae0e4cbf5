"""The stock client with an account of a directory, as the documentation sets it up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.sharing import SharingTestCase
from tests.integration.support import GitRepo
from tests.support.slapd import Slapd, slapd

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}

#: The password of a user whose name stands in it.
PASSWORD = "{}'s password: \u00fcber/secret@1"


@contextmanager
def populated(directory: Path) -> Iterator[Slapd]:
    """Run a server with somebody who may write, somebody who may read, and their group."""
    with slapd(directory) as server:
        alice, _ = (server.add_user(name, PASSWORD.format(name)) for name in ("alice", "bob"))
        server.add_group("developers", alice)
        yield server


class DirectoryTests(SharingTestCase):
    """A daemon with the configuration that the page about directories shows."""

    def setUp(self) -> None:
        super().setUp()
        self.slapd = self.share("slapd", populated)
        shown, *_ = (block.content for block in code(DOCS / "auth/ldap.rst", "yaml"))
        section = yaml.safe_load(shown)["auth"][0]
        secret = self.directory / "ldap-password"
        secret.write_text(f"{Slapd.READER_PASSWORD}\n")
        secret.chmod(0o600)
        self.config: dict[str, Any] = {
            "log_format": "json",
            "auth": [{**section, "urls": [self.slapd.url], "password_file": str(secret)}],
        }
        self.git = self.make_git()
        self.credentials = self.directory / "credentials"
        helper = f"store --file={self.credentials}"
        self.git.run(self.git.home, "config", "--global", "credential.helper", helper)

    def log_in(self, user: str, password: str = "") -> None:
        """Let git's credential helper know a user, as ``git credential approve`` does."""
        self.credentials.unlink(missing_ok=True)
        host = self.daemon.url.removeprefix("http://")
        subprocess.run(
            ["git", "credential-store", f"--file={self.credentials}", "store"],
            input=f"protocol=http\nhost={host}\nusername={user}\n"
            f"password={password or PASSWORD.format(user)}\n\n",
            text=True,
            check=True,
        )

    def create(self, path: str) -> GitRepo:
        """Make a repository that uses the daemon."""
        directory: Path = self.directory / path.replace("/", "-")
        return self.git.create(directory, f"{self.daemon.url}/{path}.git/info/lfs")

    def test_members_push_and_others_do_not(self) -> None:
        """By groups; git keeps a password that is good, and forgets one that is not."""
        self.daemon = self.start_daemon(config=self.config)
        self.log_in("alice")
        repo = self.create("acme/rocket")
        self.assert_round_trip(repo, FILES)
        identities = {
            event["identity"]
            for method in ("PUT", "GET")
            for event in self.daemon.accesses(method, "/objects/storage/")
        }
        self.assertEqual(identities, {"alice"})
        self.log_in("bob")
        repo.commit({"more.bin": b"more"})
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("bob", result.stderr)
        self.assertIn("bob", self.credentials.read_text())
        self.log_in("alice", "wrong")
        self.assertNotEqual(repo.try_push().returncode, 0)
        self.assertEqual(self.credentials.read_text(), "")
        output = self.daemon.stdout + self.daemon.stderr
        self.assertNotIn("secret", output)

    def test_git_keeps_its_password_while_the_directory_is_down(self) -> None:
        """The client gets 503, and nobody types a password again."""
        self.daemon = self.start_daemon(
            config={**self.config, "auth": [{**self.config["auth"][0], "urls": ["ldapi://%2Fno"]}]}
        )
        self.log_in("alice")
        repo = self.create("acme/rocket")
        repo.commit({"one.bin": b"1"})
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("directory", result.stderr)
        self.assertIn("alice", self.credentials.read_text())
        self.assertIn("ldapi://%2Fno fails", self.daemon.stdout + self.daemon.stderr)
