"""git users who log in with a browser: a real issuer, and git's real credential helpers."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.sharing import SharingTestCase, running
from tests.integration.support import Daemon, Git, GitRepo, oid_of
from tests.support.log_in import log_in
from tests.support.oidc_provider import Provider, oidc_provider, put_browser
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.servers import find_command

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}

SCOPES = "openid profile groups"


@dataclass
class BrowsingGit(Git):
    """git, whose credential helpers find a browser.

    :ivar user: who sits in front of it.
    """

    user: str = "alice"
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of git."""
        environ = super().environ
        path = f"{self.home / 'bin'}:{environ.get('PATH', os.defpath)}"
        return {**environ, "PATH": path, "LOG_IN_AS": self.user, **self.more}

    def use(self, key: str, value: str) -> None:
        """Set a key of ``credential``."""
        self.run(self.home, "config", "--global", f"credential.{key}", value)


@contextmanager
def _behind_one_host(directory: Path) -> Iterator[tuple[Provider, Daemon]]:
    port = free_port()
    with oidc_provider(directory, port) as provider:
        place = directory / "daemon"
        place.mkdir()
        config = {"auth": [provider.section()], "log_format": "json"}
        with running(Daemon(place, config=config, port=port)) as daemon:
            yield provider, daemon


class OIDCTestCase(SharingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.provider, self.daemon = self.share("issuer", _behind_one_host)
        self.daemon.forget()

    def make_browsing_git(self, user: str, name: str = "home") -> BrowsingGit:
        """Set up git, for somebody with a browser."""
        git = BrowsingGit(self.directory / name, user=user)
        put_browser(git.home / "bin")
        return git

    def people(self) -> set[str]:
        """Return the names in the access log, but for who was not known yet."""
        return {each["identity"] for each in self.daemon.accesses("POST")} - {"-", None, ""}

    def create(self, git: Git) -> GitRepo:
        """Make a repository that uses the daemon by the issuer's host."""
        url = f"{self.provider.url}/{self.repo}.git/info/lfs"
        return git.create(self.directory / "work", url)

    def assert_secrecy(self, *secrets: str) -> None:
        """Check that the daemon has written none of these anywhere."""
        for secret in ("the secret of giftless", *secrets):
            self.assertNotIn(secret, self.daemon.stdout)
            self.assertNotIn(secret, self.daemon.stderr)


class HelperTests(OIDCTestCase):
    def use_oauth(self, git: BrowsingGit, client: str) -> None:
        """Let git use git-credential-oauth, as the documentation says."""
        git.use("helper", find_command("git-credential-oauth"))
        self.configure(git, oauthClientId=client, oauthAuthURL="/auth", oauthTokenURL="/token")

    def configure(self, git: BrowsingGit, **settings: str) -> None:
        """Say how to log in at the issuer."""
        for name, value in {"oauthScopes": SCOPES, **settings}.items():
            git.use(f"{self.provider.url}.{name}", value)

    def assert_who_may_what(self, client: str) -> None:
        """Check that a writer pushes, that a reader clones, and that nobody else does."""
        alice = self.make_browsing_git("alice", "alice")
        self.use_oauth(alice, client)
        repo = self.create(alice)
        repo.commit(FILES)
        repo.push()
        bob = self.make_browsing_git("bob", "bob")
        self.use_oauth(bob, client)
        clone = GitRepo(bob, repo.directory, repo.remote).clone(self.directory / "clone")
        for name, data in FILES.items():
            self.assertEqual(clone.read(name), data)
        self.assertEqual(self.people(), {"alice", "bob"})
        clone.commit({"more.bin": b"more"})
        result = clone.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("bob does not have write access", result.stderr)
        self.assert_secrecy()

    def test_git_credential_oauth_pushes_with_signed_tokens(self) -> None:
        self.assert_who_may_what("git")

    def test_git_credential_oauth_pushes_with_opaque_tokens(self) -> None:
        self.assert_who_may_what("git-opaque")

    def test_git_credential_manager_pushes(self) -> None:
        # Without a screen it opens no browser.
        git = self.make_browsing_git("alice")
        git.more = {"DISPLAY": ":99"}
        git.use("helper", find_command("git-credential-manager"))
        git.use("credentialStore", "plaintext")
        self.configure(
            git,
            oauthClientId="git",
            oauthAuthorizeEndpoint=f"{self.provider.url}/auth",
            oauthTokenEndpoint=f"{self.provider.url}/token",
        )
        repo = self.create(git)
        self.assert_round_trip(repo, FILES)
        self.assertEqual(self.people(), {"alice"})
        self.assert_secrecy()


class TokenTests(OIDCTestCase):
    """Tokens of the real issuer, without a helper between."""

    def post(self, path: str, **form: str) -> Any:
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{self.provider.url}{path}", data, timeout=PATIENCE) as answer:
            return json.load(answer)

    def tokens(self, user: str, client: str = "git") -> Any:
        """Log in by a code that is typed into another device, as ``oauth -device`` does."""
        begun = self.post("/device/auth", client_id=client, scope=SCOPES)
        log_in(begun["verification_uri_complete"], user)
        return self.post(
            "/token",
            client_id=client,
            device_code=begun["device_code"],
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
        )

    def batch(self, token: str) -> int:
        """Ask for an upload, and return the status of the answer."""
        objects = [{"oid": oid_of(b"new"), "size": 3}]
        body = json.dumps({"operation": "upload", "objects": objects})
        shown = ("-H", f"Authorization: Bearer {token}")
        return int(self.curl("-o", os.devnull, "-w", "%{http_code}", *shown, "-d", body))

    def curl(self, *arguments: str) -> str:
        """Send a batch."""
        url = f"{self.daemon.url}/{self.repo}.git/info/lfs/objects/batch"
        line = ["curl", "-s", *arguments, url]
        return subprocess.run(
            line, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout

    def test_tokens_of_a_device_are_good_and_those_for_others_are_not(self) -> None:
        tokens = self.tokens("alice")
        self.assertEqual(self.batch(tokens["access_token"]), 200)
        # This one is for the client, which is no audience here.
        self.assertEqual(self.batch(tokens["id_token"]), 401)
        opaque = self.tokens("bob", "git-opaque")
        self.assertEqual(self.batch(opaque["access_token"]), 403)
        self.assertEqual(self.batch(f"{opaque['access_token']}x"), 401)
        self.assert_secrecy(tokens["access_token"], opaque["access_token"])

    def test_clients_are_told_where_to_log_in(self) -> None:
        (where,) = (
            line.partition('resource_metadata="')[2].rstrip('"')
            for line in self.curl("-i", "-d", "{}").splitlines()
            if line.startswith("WWW-Authenticate: Bearer ")
        )
        with urllib.request.urlopen(where, timeout=PATIENCE) as answer:
            told = json.load(answer)
        self.assertEqual(told["resource"], self.daemon.url)
        self.assertEqual(told["authorization_servers"], [self.provider.url])
