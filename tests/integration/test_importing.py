"""Real servers, filled by the real client, and then imported.

A server that ``.ci/peers`` has not installed is left out, with words.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest

from benchmarks.peers.base import CACHE, Missing, Peer, Place, Server, find
from benchmarks.peers.lfs_test_server import LFSTestServer
from benchmarks.peers.lfsx import LFSX
from benchmarks.peers.rudolfs import Rudolfs
from benchmarks.support import running
from tests.integration.support import (
    Daemon,
    GitRepo,
    IntegrationTestCase,
    file_digest,
    oid_of,
    stored_objects,
)
from tests.support.commands import run_command
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.rounds import rounds
from tests.support.tokens import private_key, private_pem, public_pem

#: What is pushed to each repository of the other server: the second file is in both.
FILES = {
    "acme/rocket": {"one.bin": b"1", "large.bin": os.urandom(5_000_000)},
    "acme/probe": {"one.bin": b"1", "other.bin": os.urandom(70_000)},
}

#: A key of rudolfs.
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"


class ServerTestCase(IntegrationTestCase):
    """Another server, and the configuration of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.git = self.make_git()
        self.root = self.directory / "other"
        self.root.mkdir()
        self.store = self.directory / "store"
        self.store.mkdir()
        self.config = self.directory / "giftless.yaml"
        settings = {
            "storage": {"type": "local", "path": str(self.store)},
            "state_dir": str(self.directory / "state"),
        }
        self.config.write_text(yaml.safe_dump(settings))

    @contextmanager
    def started(self, peer: Peer) -> Iterator[Server]:
        """Run the other server."""
        try:
            with peer.start(Place(self.root, 1)) as server:
                yield server
        except Missing as missing:
            raise SkipTest(str(missing)) from None

    def only_in_long_rounds(self) -> None:
        """Skip a test whose like is in the short rounds."""
        if not rounds(0, 1):
            raise SkipTest("runs in 'make soak'")

    def fill(self, server: Server) -> None:
        """Push to the other server, as its users do."""
        for repo, files in FILES.items():
            work = self.git.create(self.directory / repo.replace("/", "-"), server.lfs_url(repo))
            work.commit(files)
            work.push()

    def run_import(self, *arguments: str, status: int = 0, directory: Path | None = None) -> str:
        """Import, and return what is written."""
        result = run_command(
            "giftless",
            "import",
            *arguments,
            directory=directory or self.directory,
            environ={"GIFTLESS_CONFIG": str(self.config)},
        )
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout

    def assert_imported(self, *repos: str) -> None:
        """Check that exactly the objects of some repositories are stored, intact."""
        wanted = sorted(
            self.store / repo / oid_of(data) for repo in repos for data in FILES[repo].values()
        )
        self.assertEqual(sorted(stored_objects(self.store)), wanted)
        for path in wanted:
            self.assertEqual(file_digest(path), path.name)


class PeerTests(ServerTestCase):
    def test_the_directory_of_lfsx_is_imported(self) -> None:
        with self.started(LFSX()) as server:
            self.fill(server)
        written = self.run_import("directory", str(self.root / "store"))
        self.assertIn("4 objects stored", written)
        self.assert_imported(*FILES)

    def test_the_directory_of_rudolfs_is_imported_while_it_runs(self) -> None:
        self.only_in_long_rounds()
        with self.started(Rudolfs()) as server:
            self.fill(server)
            self.run_import("directory", str(self.root / "store"))
        self.assert_imported(*FILES)

    def test_the_encrypted_directory_of_rudolfs_is_imported_with_its_key(self) -> None:
        self.patch(os, "environ", {**os.environ, "RUDOLFS_KEY": KEY})
        with self.started(Rudolfs()) as server:
            self.fill(server)
        key = self.directory / "key"
        key.write_text(f"{KEY}\n")
        store = str(self.root / "store")
        written = self.run_import("directory", store, status=2)
        self.assertIn("4 objects with wrong bytes", written)
        self.run_import("directory", "--key", str(key), store)
        self.assert_imported(*FILES)

    def test_the_database_of_lfs_test_server_is_imported(self) -> None:
        """All repositories share its objects: a clone tells which belong to one."""
        with self.started(LFSTestServer()) as server:
            self.fill(server)
        for repo in FILES:
            clone = str(self.directory / f"{repo.replace('/', '-')}.git")
            arguments = ["--content", str(self.root / "content"), "--from", clone]
            written = self.run_import("database", *arguments, str(self.root / "lfs.db"), repo)
            self.assertIn("2 objects stored", written)
            self.assertIn("1 object of the directory belong to nothing chosen", written)
        self.assert_imported(*FILES)


class GiteaTests(ServerTestCase):
    """Gitea, if there is a program of that name: it is too large to be built for a test."""

    PASSWORD = "wonder-land1"

    def setUp(self) -> None:
        self.only_in_long_rounds()
        super().setUp()
        try:
            self.program = find("gitea", "get it from https://dl.gitea.com")
        except Missing as missing:
            raise SkipTest(str(missing)) from None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ini = self.root / "app.ini"
        self.ini.write_text(
            f"RUN_USER = {pwd.getpwuid(os.getuid()).pw_name}\n"
            f"I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = {os.getuid() == 0}\n"
            f"WORK_PATH = {self.root}\n"
            "[server]\nHTTP_ADDR = 127.0.0.1\nOFFLINE_MODE = true\nDISABLE_SSH = true\n"
            f"HTTP_PORT = {self.port}\nROOT_URL = {self.url}/\nLFS_START_SERVER = true\n"
            f"LFS_JWT_SECRET = {'A' * 43}\n"
            "[database]\nDB_TYPE = sqlite3\n"
            "[security]\nINSTALL_LOCK = true\nSECRET_KEY = x\nINTERNAL_TOKEN = x.y.z\n"
        )
        self.command("migrate")
        self.command(
            *("admin", "user", "create", "--admin", "--must-change-password=false"),
            *("--username", "tess", "--email", "tess@example.com", "--password", self.PASSWORD),
        )

    def command(self, *arguments: str) -> None:
        """Run a command of Gitea."""
        subprocess.run(
            [self.program, "--config", str(self.ini), *arguments],
            check=True,
            cwd=self.root,
            capture_output=True,
        )

    def ask(self, path: str, body: Mapping[str, str]) -> None:
        """Ask Gitea to make something."""
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", json.dumps(body).encode())
        given = base64.b64encode(f"tess:{self.PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {given}")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def test_its_directory_and_database_are_imported_while_it_runs(self) -> None:
        command = [self.program, "--config", str(self.ini), "web"]
        with running(command, self.port, self.root):
            self.ask("orgs", {"username": "acme"})
            for repo, files in FILES.items():
                org, name = repo.split("/")
                self.ask(f"orgs/{org}/repos", {"name": name})
                given = self.url.replace("://", f"://tess:{self.PASSWORD}@")
                lfs_url = f"{given}/{repo}.git/info/lfs"
                work = self.git.create(self.directory / name, lfs_url)
                work.commit(files)
                work.push()
            database = str(self.root / "data" / "gitea.db")
            written = self.run_import(
                "directory", "--database", database, str(self.root / "data" / "lfs")
            )
        self.assertIn("4 objects stored", written)
        self.assert_imported(*FILES)


class FlaskTests(ServerTestCase):
    """The Flask giftless 0.6.2 with configurations of its documentation.

    Objects stay where they are: ours serves the same directory.
    """

    @contextmanager
    def flask(self, config: Mapping[str, Any]) -> Iterator[Server]:
        """Run it."""
        try:
            command = find("flask-giftless", "needs Python's venv")
        except Missing as missing:
            raise SkipTest(str(missing)) from None
        self.old = self.root / "flask.yaml"
        self.old.write_text(yaml.safe_dump(config))
        port = free_port()
        arguments = ["--workers", "1", "--bind", f"127.0.0.1:{port}"]
        with running(
            [command, *arguments, "giftless.wsgi_entrypoint:app"],
            port,
            self.root,
            {"GIFTLESS_CONFIG_FILE": str(self.old), "HOME": str(self.root)},
        ) as process:
            yield Server("flask", f"http://127.0.0.1:{port}", process.pid)

    def token(self, options: Mapping[str, Any], *scopes: str) -> str:
        """Let the Flask giftless make a token."""
        program = (
            "import json, sys; from giftless.auth.jwt import factory;"
            "options, *scopes = map(json.loads, sys.argv[1:]);"
            "print(factory(**options)._generate_token(sub='tess', scopes=scopes))"
        )
        python = str(CACHE / "flask" / "bin" / "python")
        arguments = map(json.dumps, (options, *scopes))
        made = subprocess.run(
            [python, "-c", program, *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=self.root,
        )
        return made.stdout.strip()

    def translated(self) -> str:
        """Translate the configuration, start a daemon with it, and return its URL."""
        new = self.directory / "new.yaml"
        # Relative paths begin where the old one ran.
        self.run_import("config", "--output", str(new), str(self.old), directory=self.root)
        self.assertEqual(new.stat().st_mode & 0o777, 0o600)
        daemon = Daemon(self.root, yaml.safe_load(new.read_text()))
        self.addCleanup(daemon.kill)
        return daemon.start().url

    def create(self, url: str, token: str = "") -> GitRepo:
        """Make a repository that uses a server, with a token."""
        return self.git.create(self.directory / "work", self.url(url, token))

    def url(self, url: str, token: str = "", repo: str = "acme/rocket") -> str:
        """Return the URL of a repository, with a token."""
        return f"{url.replace('://', f'://_jwt:{token}@') if token else url}/{repo}"

    def assert_pushes(self, work: GitRepo, url: str) -> None:
        """Check that the client pushes by a URL, and gets back what it has pushed."""
        data = os.urandom(1000)
        work.git("config", "lfs.url", url)
        work.commit({f"{oid_of(data)}.bin": data})
        work.push()
        self.assertIn(oid_of(data), work.git("lfs", "ls-files", "--long"))
        self.assert_fetches(work, url)

    def assert_fetches(self, work: GitRepo, url: str) -> None:
        """Check that the client gets all objects by a URL."""
        work.git("config", "lfs.url", url)
        shutil.rmtree(work.directory / ".git" / "lfs" / "objects")
        work.git("lfs", "fetch", "--all")
        work.git("lfs", "fsck", "--objects")

    def assert_pushes_nothing(self, work: GitRepo, url: str) -> None:
        """Check that the client may not push by a URL."""
        data = os.urandom(1000)
        work.git("config", "lfs.url", url)
        work.commit({"refused.bin": data})
        self.assertNotEqual(work.try_push().returncode, 0)
        work.git("reset", "--quiet", "--hard", "HEAD~1")
        self.assertEqual(list(self.root.rglob(oid_of(data))), [])

    def test_the_quickstart_goes_on(self) -> None:
        self.only_in_long_rounds()
        with self.flask({"AUTH_PROVIDERS": ["giftless.auth.allow_anon:read_write"]}) as server:
            work = self.create(server.url)
            work.commit(FILES["acme/rocket"])
            work.push()
        self.assert_pushes(work, self.url(self.translated()))
        self.assertEqual(len(list((self.root / "lfs-storage" / "acme" / "rocket").iterdir())), 3)

    def test_tokens_of_a_secret_and_their_scopes_work_on(self) -> None:
        options = {"algorithm": "HS256", "private_key": "s3cret,don'ttellany0ne"}
        config = {
            "AUTH_PROVIDERS": [
                {"factory": "giftless.auth.jwt:factory", "options": options},
                "giftless.auth.allow_anon:read_only",
            ]
        }
        with self.flask(config) as server:
            token = self.token(options, "obj:acme/rocket/*:read,write")
            work = self.create(server.url, token)
            work.commit(FILES["acme/rocket"])
            work.push()
        url = self.translated()
        self.assert_pushes(work, self.url(url, token))
        self.assert_fetches(work, self.url(url))
        self.assert_pushes_nothing(work, self.url(url))
        self.assert_pushes_nothing(work, self.url(url, token, "acme/probe"))
        reading = self.token(options, "obj:acme/rocket/*:read")
        self.assert_pushes_nothing(work, self.url(url, reading))
        other = self.token({**options, "private_key": "s3cret"}, "obj:acme/rocket/*:read,write")
        self.assert_pushes_nothing(work, self.url(url, other))

    def test_tokens_of_a_pair_of_keys_work_on(self) -> None:
        self.only_in_long_rounds()
        key = private_key("RS256")
        (self.root / "jwt-rs256.key").write_text(private_pem(key))
        (self.root / "jwt-rs256.key.pub").write_text(public_pem(key))
        options = {"algorithm": "RS256", "public_key_file": "jwt-rs256.key.pub"}
        config = {
            "AUTH_PROVIDERS": [{"factory": "giftless.auth.jwt:factory", "options": options}],
            "TRANSFER_ADAPTERS": {"basic": {"options": {"storage_options": {"path": "objects"}}}},
        }
        with self.flask(config) as server:
            signing = {**options, "private_key_file": "jwt-rs256.key"}
            token = self.token(signing, "obj:acme/*")
            work = self.create(server.url, token)
            work.commit(FILES["acme/rocket"])
            work.push()
        url = self.translated()
        self.assert_pushes(work, self.url(url, token))
        self.assert_pushes_nothing(work, self.url(url))
        self.assert_pushes_nothing(work, self.url(url, token, "labs/rocket"))
