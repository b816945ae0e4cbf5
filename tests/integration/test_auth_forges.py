"""The stock client with a forge's token, over a forge that is a process.

The configurations are those of the documentation; only the forge's URL is
that of the fake.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.sharing import SharingTestCase
from tests.integration.support import REPO, Git, GitRepo, stored_objects
from tests.support.forge_server import TOKENS
from tests.support.scripts import Process, start_module

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}


@contextmanager
def running_forge(name: str, *people: str) -> Iterator[tuple[Process, str]]:
    """Run a fake forge, and tell where it is.

    :param people: names and public keys; see :mod:`tests.support.forge_server`.
    """
    process = start_module("tests.support.forge_server", name, *people)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class ForgeCase(SharingTestCase):
    """A fake forge, and a daemon that asks it and has no objects yet.

    :cvar forge: what the configuration calls it.
    :cvar url_option: the option that says where it is.
    """

    forge = "github"
    url_option = "api_url"

    def setUp(self) -> None:
        super().setUp()
        _, url = self.share(self.forge, lambda _: running_forge(self.forge))
        self.daemon = self.share_daemon(**self.config(url))
        for path in stored_objects(self.daemon.store):
            path.unlink()
        self.git: Git = self.make_git()
        self.credentials = self.directory / "credentials"
        helper = f"store --file={self.credentials}"
        self.git.run(self.git.home, "config", "--global", "credential.helper", helper)

    def config(self, url: str) -> dict[str, Any]:
        """Return the configuration of the forge's page, for a forge at ``url``."""
        shown = yaml.safe_load(code(DOCS / f"auth/{self.forge}.rst", "yaml")[0].content)
        auth: list[dict[str, Any]] = shown["auth"]
        auth[0][self.url_option] = url
        return {"log_format": "json", **shown}

    def log_in(self, user: str) -> None:
        """Let git's credential helper know a user's token."""
        token = TOKENS[self.forge].get(user, "wrong")
        self.credentials.write_text(self.daemon.url.replace("://", f"://git:{token}@") + "\n")

    def create(self, path: str = REPO) -> GitRepo:
        """Make a repository that uses the daemon."""
        return self.git.create(self.directory / "work", f"{self.daemon.url}/{path}.git/info/lfs")

    def assert_refused(self, repo: GitRepo, *words: str) -> None:
        """Check that a push fails, saying so, and that nothing has been stored."""
        before = list(stored_objects(self.daemon.store))
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(list(stored_objects(self.daemon.store)), before)


class GitHubTests(ForgeCase):
    """GitHub; what holds for the other forges too is tested with it."""

    def test_push_and_clone(self) -> None:
        """Who may write there pushes and clones here; the token is nowhere."""
        self.log_in("wanda")
        self.assert_round_trip(self.create(), FILES)
        for method in ("PUT", "GET"):
            names = {event["identity"] for event in self.daemon.accesses(method, "/objects/")}
            self.assertEqual(names, {"wanda"})
        for text in (self.daemon.stdout, self.daemon.stderr):
            self.assertNotIn(TOKENS[self.forge]["wanda"], text)
        self.assertTrue(self.credentials.read_text())

    def test_every_name_of_a_repository_is_the_same_one(self) -> None:
        """What is pushed under one spelling, or under an old name, is cloned under another."""
        self.log_in("wanda")
        for number, (pushed, cloned, kept) in enumerate(
            (
                ("Acme/ROCKET", "acme/rocket", "acme/rocket"),
                ("acme/booster", "Acme/engine", "acme/Engine"),
            )
        ):
            url = f"{self.daemon.url}/{pushed}.git/info/lfs"
            repo = self.git.create(self.directory / f"work-{number}", url)
            repo.commit({**FILES, "own.bin": pushed.encode()})
            repo.push()
            repo.git("config", "-f", ".lfsconfig", "lfs.url", url.replace(pushed, cloned))
            repo.git("commit", "-qam", "Write the name in another way")
            repo.git("push", "-q", "origin", "HEAD")
            clone = repo.clone(self.directory / f"clone-{number}")
            self.assertEqual(clone.read("noise.bin"), FILES["noise.bin"])
            self.assertEqual(clone.read("own.bin"), pushed.encode())
            stored = self.daemon.store / kept
            self.assertEqual(len([path for path in stored.rglob("*") if path.is_file()]), 3)

    def test_a_reader_clones_and_does_not_push(self) -> None:
        """Who may read there clones and does not push; git keeps the token."""
        self.log_in("wanda")
        repo = self.create()
        repo.commit(FILES)
        repo.push()
        self.log_in("ray")
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("noise.bin"), FILES["noise.bin"])
        clone.commit({"more.bin": b"more"})
        self.assert_refused(clone, "ray")
        self.assertTrue(self.credentials.read_text())

    def test_somebody_without_access_does_nothing(self) -> None:
        """Who sees nothing there does nothing here."""
        self.log_in("sam")
        repo = self.create()
        repo.commit(FILES)
        self.assert_refused(repo, "sam")
        self.assertTrue(self.credentials.read_text())

    def test_git_forgets_a_wrong_token(self) -> None:
        """Git forgets a token that the forge does not know."""
        self.log_in("mallory")
        repo = self.create()
        repo.commit(FILES)
        self.assert_refused(repo)
        self.assertEqual(self.credentials.read_text(), "")

    def test_forge_is_down(self) -> None:
        """A forge that does not answer lets nobody in, and git says why."""
        with running_forge(self.forge) as (_, url):
            self.daemon = self.start_daemon(config=self.config(url))
        self.log_in("wanda")
        repo = self.create()
        repo.commit(FILES)
        self.assert_refused(repo, "your access cannot be checked now")
        self.assertTrue(self.credentials.read_text())

    def test_another_organisation_is_closed(self) -> None:
        """A repository of another organisation is nobody's here."""
        self.log_in("wanda")
        repo = self.create("elsewhere/rocket")
        repo.commit(FILES)
        self.assert_refused(repo)


class GiteaTests(ForgeCase):
    """Gitea."""

    forge = "gitea"
    url_option = "url"
    test_push_and_clone = GitHubTests.test_push_and_clone
    test_a_reader_clones_and_does_not_push = GitHubTests.test_a_reader_clones_and_does_not_push
    test_every_name_of_a_repository_is_the_same_one = (
        GitHubTests.test_every_name_of_a_repository_is_the_same_one
    )


class GitLabTests(ForgeCase):
    """GitLab."""

    forge = "gitlab"
    url_option = "url"
    test_push_and_clone = GitHubTests.test_push_and_clone
    test_a_reader_clones_and_does_not_push = GitHubTests.test_a_reader_clones_and_does_not_push
    test_every_name_of_a_repository_is_the_same_one = (
        GitHubTests.test_every_name_of_a_repository_is_the_same_one
    )
