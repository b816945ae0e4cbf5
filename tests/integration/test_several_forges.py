"""The stock client over one daemon before several forges; each tells what it has been sent.

The configuration is that of the documentation; only the forges' URLs are those of fakes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from tests.docs.pages import DOCS, code
from tests.integration.sharing import SharingTestCase
from tests.integration.support import LFS_JSON, Git, GitRepo, Response
from tests.integration.test_auth_forges import running_forge
from tests.support.forge_server import TOKENS
from tests.support.forges import SEEN

#: The forges by the paths on the server; GitLab has all others.
PATHS = {"github.com/": "github", "git.example.com/": "gitea", "": "gitlab"}

#: Which options of the configuration say where each is.
URLS = {"github": "api_url", "gitea": "url", "gitlab": "url"}

#: How the page gets the token of each forge.
TOKEN_OF = {
    "github": "$(gh auth token)",
    "gitea": "$(cat ~/.gitea-token)",
    "gitlab": "$(cat ~/.gitlab-token)",
}

NAME = "acme/rocket"

PAGE = DOCS / "auth/several-forges.rst"


def header(token: str, user: str = "git") -> dict[str, str]:
    """Return the headers that show a token as git does."""
    pair = base64.b64encode(f"{user}:{token}".encode()).decode()
    return {"Authorization": f"Basic {pair}", "Content-Type": LFS_JSON, "Accept": LFS_JSON}


class SeveralForgesTests(SharingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.forges = {
            forge: self.share(forge, partial(self.run_forge, forge))[1] for forge in URLS
        }
        shown = yaml.safe_load(code(PAGE, "yaml")[0].content)
        for section in shown["auth"]:
            (inner,) = section.get("auth", [section])
            inner[URLS[inner["type"]]] = self.forges[inner["type"]]
        self.daemon = self.share_daemon(
            log_format="json", access={"max_failures": 1000, "max_failures_per_address": 0}, **shown
        )
        self.git: Git = self.make_git()
        self.before = {forge: len(self.seen(forge)) for forge in URLS}

    def run_forge(self, forge: str, _: Path) -> Any:
        """Run a fake; it needs no directory."""
        return running_forge(forge)

    def seen(self, forge: str) -> list[tuple[str, Mapping[str, str]]]:
        """Return the requests that a forge has been sent."""
        with urlopen(f"{self.forges[forge]}{SEEN}") as reply:
            seen: list[tuple[str, Mapping[str, str]]] = json.load(reply)
        return seen

    def tokens_seen(self, forge: str) -> set[str]:
        """Return the tokens that a forge has been sent in this test."""
        found = set()
        for path, headers in self.seen(forge)[self.before[forge] :]:
            text = f"{path} {headers} {self._decoded(headers)}"
            found |= {token for each in TOKENS.values() for token in each.values() if token in text}
        return found

    def _decoded(self, headers: Mapping[str, str]) -> str:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        return base64.b64decode(value).decode() if scheme.lower() == "basic" else ""

    def use_helpers(self) -> None:
        """Let git find the token of each forge, as the page says."""
        script = "\n".join(
            line.removeprefix("$ ")
            for block in code(PAGE, "console")
            for line in block.content.splitlines()
            if " credential." in line
        )
        script = script.replace("https://lfs.example.com", self.daemon.url)
        for forge, command in TOKEN_OF.items():
            self.assertIn(command, script)
            script = script.replace(command, TOKENS[forge]["wanda"])
        # What another one would answer for the whole server.
        usual = "!f() { echo username=git; echo password=of-nobody; }; f"
        self.git.run(
            self.git.home, "config", "--global", f"credential.{self.daemon.url}.helper", usual
        )
        subprocess.run(["sh", "-ec", script], check=True, env=self.git.environ)

    def create(self, path: str) -> GitRepo:
        url = f"{self.daemon.url}/{path}{NAME}.git/info/lfs"
        return self.git.create(self.directory / (path.strip("/") or "plain"), url)

    def ask(self, path: str, method: str, below: str, body: Any, headers: Any) -> Response:
        """Send a request to the repository below a path."""
        sent = None if body is None else json.dumps(body).encode()
        url = f"/{path}{NAME}.git/info/lfs/{below}"
        return self.daemon.request(method, url, sent, headers)

    def test_each_forge_has_its_own_repositories_locks_and_tokens(self) -> None:
        self.use_helpers()
        repos = {path: self.create(path) for path in PATHS}
        files = {path: {"one.bin": path.encode() + os.urandom(1000)} for path in PATHS}
        for path, repo in repos.items():
            url = f"{self.daemon.url}/{path}{NAME}.git/info/lfs"
            repo.git("config", f"lfs.{url}.locksverify", "true")
            clone = self.assert_round_trip(repo, files[path])
            self.assertEqual(clone.read("one.bin"), files[path]["one.bin"])
            repo.git("lfs", "lock", "one.bin")
            stored = self.daemon.store / path / NAME
            self.assertEqual(len([each for each in stored.rglob("*") if each.is_file()]), 1)
        ids = {}
        for path, forge in PATHS.items():
            shown = header(TOKENS[forge]["wanda"])
            (lock,) = self.ask(path, "GET", "locks", None, shown).json["locks"]
            self.assertEqual(lock["owner"]["name"], "wanda")
            ids[path] = lock["id"]
        for path, forge in PATHS.items():
            shown = header(TOKENS[forge]["wanda"])
            for other in ids.keys() - {path}:
                unlock = f"locks/{ids[other]}/unlock"
                unlocked = self.ask(path, "POST", unlock, {"force": True}, shown)
                self.assertEqual(unlocked.status, 404, unlocked.body)
        for repo in repos.values():
            repo.git("lfs", "unlock", "one.bin")
        for forge in URLS:
            self.assertEqual(self.tokens_seen(forge), {TOKENS[forge]["wanda"]})

    def test_no_request_shows_a_token_to_another_forge(self) -> None:
        """Whatever the URL, the method, the headers and the body are."""
        github = TOKENS["github"]["ray"]
        batch = {"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}
        shown = header(github, "ray")
        hostile = {
            "X-Forwarded-Prefix": "/git.example.com",
            "X-Original-URL": f"/git.example.com/{NAME}/objects/batch",
            "X-Rewrite-URL": f"/git.example.com/{NAME}/objects/batch",
            "X-Forwarded-Host": "git.example.com",
            "Forwarded": "host=git.example.com",
        }
        for path, status in (
            (f"github.com/{NAME}", 200),
            (f"GitHub.com/{NAME}", 404),
            (f"github.com./{NAME}", 404),
            (f"%67ithub.com/{NAME}", 200),
            (f"github.com/{NAME}/more", 401),
            ("github.com/rocket", 401),
            ("github.com", 400),
            (f"github.com/-/{NAME}", 400),
            (f"github.com//{NAME}", 400),
            (f"github.com/../{NAME}", 400),
            (f"github.com/git.example.com/{NAME}", 401),
            (f"github.com%2Fgit.example.com/{NAME}", 400),
        ):
            for url in (f"/{path}.git/info/lfs/objects/batch", f"/{path}/objects/batch"):
                for more in ({}, hostile):
                    sent = json.dumps(batch).encode()
                    reply = self.daemon.request("POST", url, sent, {**shown, **more})
                    self.assertEqual(reply.status, status, f"{url} {reply.body!r}")
        for method, url, body in (
            ("POST", "admin/rename", {"to": f"git.example.com/{NAME}"}),
            ("POST", "admin/copy", {"to": NAME}),
            ("GET", "admin/objects?repo=git.example.com/acme/rocket", None),
            ("GET", "locks", None),
            ("POST", "locks/verify", {}),
        ):
            self.ask("github.com/", method, url, body, shown)
        for url in ("/", "/-/", "/-/api/usage", "/favicon.ico", "/health/ready", "/robots.txt"):
            self.daemon.request("GET", url, None, shown)
        self.assertEqual(
            {forge: self.tokens_seen(forge) for forge in URLS},
            {"github": {github}, "gitea": set(), "gitlab": set()},
        )

    def test_a_token_of_another_forge_opens_nothing(self) -> None:
        """It is shown to the forge of the URL alone; that does not know it."""
        for path, forge in PATHS.items():
            for other in URLS.keys() - {forge}:
                for user in ("git", "wanda"):
                    shown = header(TOKENS[other]["wanda"], user)
                    reply = self.ask(path, "GET", "locks", None, shown)
                    self.assertEqual(reply.status, 401, f"{path} {other} {reply.body!r}")
                    realm = f"Git LFS {path.rstrip('/')}".strip()
                    self.assertEqual(reply.headers["lfs-authenticate"], f'Basic realm="{realm}"')
