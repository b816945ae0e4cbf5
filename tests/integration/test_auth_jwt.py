"""The stock client with tokens, in every way that git can be given one."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from contextlib import nullcontext
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from giftless.lfs.scopes import Scope
from tests.docs.pages import DOCS, code
from tests.integration.locking import giftless
from tests.integration.sharing import SharingTestCase
from tests.integration.support import (
    REPO,
    Daemon,
    Git,
    GitRepo,
    IntegrationTestCase,
    object_path,
    oid_of,
)
from tests.support.issuer import jwk, key_set
from tests.support.processes import wait_until
from tests.support.tokens import private_key, private_pem, public_pem

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}

WRITE = f"obj:{REPO}/*:read,write"
READ = f"obj:{REPO}/*:read"


class TokenTestCase(SharingTestCase):
    """A daemon that wants tokens, and the command that makes them."""

    def start(self, *auth: dict[str, Any]) -> None:
        """Start a daemon with these authenticators."""
        self.daemon: Daemon = self.start_daemon(config={"auth": list(auth), "log_format": "json"})

    @cached_property
    def git(self) -> Git:
        """git, with nothing in its home yet."""
        return self.make_git()

    def write(self, name: str, content: str) -> str:
        """Write a file, readable by its owner only, and return its path."""
        path = self.directory / name
        path.touch(0o600)
        path.write_text(content)
        return str(path)

    def token(self, *arguments: str) -> str:
        """Make a token with the daemon's configuration."""
        config = str(self.daemon.directory / "giftless.yaml")
        result = giftless(self.daemon, "token", "--config", config, *arguments)
        result.check_returncode()
        return result.stdout.removesuffix("\n")

    def secret(self) -> dict[str, Any]:
        """Return the options of an authenticator with a secret of its own."""
        secret = base64.b64encode(os.urandom(48)).decode()
        return {"type": "jwt", "key_file": self.write("secret", secret + "\n")}

    def create(self, name: str = "work") -> GitRepo:
        """Make a repository that uses the daemon."""
        return self.git.create(self.directory / name, f"{self.daemon.url}/{REPO}.git/info/lfs")

    def use_helper(self, token: str) -> Path:
        """Let git's credential helper know a token, and return its file."""
        path = self.directory / "credentials"
        self.git.run(
            self.git.home, "config", "--global", "credential.helper", f"store --file={path}"
        )
        path.write_text(self.daemon.url.replace("://", f"://_jwt:{token}@") + "\n")
        return path

    def assert_secrecy(self, *secrets: str) -> None:
        """Check that the daemon has written none of these anywhere."""
        for secret in secrets:
            self.assertNotIn(secret, self.daemon.stdout)
            self.assertNotIn(secret, self.daemon.stderr)

    def assert_identity(self, name: str, method: str) -> None:
        """Check whose name the access log has for requests to objects."""
        names = {event["identity"] for event in self.daemon.accesses(method, "/objects/")}
        self.assertEqual(names, {name})


class GitTests(TokenTestCase):
    """Push and clone."""

    def test_a_token_in_an_extra_header_pushes_and_clones(self) -> None:
        """A token in ``http.extraheader`` pushes and clones, as on a CI runner."""
        self.start(self.secret())
        token = self.token("--scope", WRITE, "--subject", "runner")
        repo = self.create()
        repo.commit(FILES)
        header = ("-c", f"http.extraheader=Authorization: Bearer {token}")
        self.git.run(repo.directory, *header, "push", "--quiet", "origin", "main")
        clone = self.directory / "clone"
        self.git.run(self.git.home, *header, "clone", "--quiet", str(repo.remote), str(clone))
        for name, data in FILES.items():
            self.assertEqual((clone / name).read_bytes(), data)
        # git-lfs adds the header to those of transfers, which have a token of their own.
        for method in ("POST", "PUT", "GET"):
            self.assert_identity("runner", method)
        self.assert_secrecy(token, token.split(".")[2])

    def test_a_token_in_the_credential_store_pushes_and_clones(self) -> None:
        """A token in git's credential store, for the user ``_jwt``, pushes and clones."""
        key = private_key("RS256")
        private = self.write("private.pem", private_pem(key))
        public = self.write("public.pem", public_pem(key))
        self.start(
            {
                "type": "jwt",
                "algorithms": ["RS256"],
                "key_file": public,
                "private_key_file": private,
                "issuer": "https://ci.example",
                "audience": "lfs",
                "key_id": "2026",
            }
        )
        token = self.token("--scope", WRITE, "--subject", "tess@example.com")
        self.use_helper(token)
        self.assert_round_trip(self.create(), FILES)
        self.assert_identity("tess@example.com", "PUT")
        self.assert_secrecy(token, token.split(".")[2])

    def test_a_token_of_a_published_key_pushes_and_clones(self) -> None:
        """A token of an issuer that publishes its keys pushes and clones."""
        document = key_set(jwk("ES256", "ours"), jwk("RS256", "other"))
        private = self.write("private.pem", private_pem(private_key("ES256")))
        self.start(
            {
                "type": "jwt",
                "algorithms": ["ES256", "RS256"],
                "jwks_url": _serve(self, document),
                "private_key_file": private,
                "key_id": "ours",
            }
        )
        self.use_helper(self.token("--scope", WRITE))
        self.assert_round_trip(self.create(), FILES)

    def test_git_forgets_an_expired_token(self) -> None:
        """An expired token is refused with the reason, and git forgets it."""
        self.start({**self.secret(), "leeway": 0})
        token = self.token("--scope", WRITE, "--lifetime", "1")
        credentials = self.use_helper(token)
        repo = self.create()
        repo.commit(FILES)
        wait_until(lambda: self.batch("download", token) == 401, "the token to expire")
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(credentials.read_text(), "")

    def test_a_token_to_read_does_not_push(self) -> None:
        """A token to read clones and does not push; git keeps it."""
        self.start(self.secret())
        credentials = self.use_helper(self.token("--scope", WRITE))
        repo = self.create()
        clone = self.assert_round_trip(repo, FILES)
        self.use_helper(self.token("--scope", READ, "--subject", "rita"))
        clone.git("lfs", "fetch", "--all")
        repo.commit({"more.bin": b"more"})
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("rita", result.stderr)
        self.assertIn("_jwt", credentials.read_text())

    def test_a_token_for_another_repository_does_nothing(self) -> None:
        """A token for another repository does nothing here."""
        self.start(self.secret())
        scopes = ("--scope", "obj:acme/other/*", "--scope", "obj:acme/rocke")
        self.use_helper(self.token(*scopes, "--subject", "mallory"))
        repo = self.create()
        repo.commit(FILES)
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("mallory does not have write access", result.stderr)

    def test_public_to_read(self) -> None:
        """With an anonymous authenticator behind, only a push needs a token."""
        self.start(self.secret(), {"type": "anonymous", "access": "read"})
        repo = self.create()
        repo.commit(FILES)
        self.assertNotEqual(repo.try_push().returncode, 0)
        credentials = self.use_helper(self.token("--scope", WRITE))
        repo.push()
        credentials.unlink()
        clone = repo.clone(self.directory / "clone")
        self.assertEqual(clone.read("noise.bin"), FILES["noise.bin"])

    def batch(self, operation: str, token: str) -> int:
        """Send a batch request with a token.

        :returns: the status.
        """
        headers = {"Authorization": f"Bearer {token}"}
        return self.daemon.batch(operation, (oid_of(b"1"), 1), headers=headers).status


class RequestTests(TokenTestCase):
    """Requests that git does not send."""

    def setUp(self) -> None:
        """Share a daemon, and store an object."""
        super().setUp()
        secret = self.share("secret", lambda _: nullcontext(base64.b64encode(os.urandom(48))))
        self.daemon = self.share_daemon(
            auth=[{"type": "jwt", "key": secret.decode()}], log_format="json"
        )
        self.bearer = {"Authorization": f"Bearer {self.token('--scope', WRITE)}"}
        self.assertEqual(self.daemon.put(b"data", headers=self.bearer), 200)

    def test_a_token_in_the_url_downloads(self) -> None:
        """A token in the URL downloads, for browsers; it is not in the log."""
        token = self.token("--scope", READ)
        path = object_path(oid_of(b"data"))
        self.assertEqual(self.daemon.request("GET", f"{path}?jwt={token}").body, b"data")
        self.assertEqual(self.daemon.request("GET", f"{path}?jwt={token}x").status, 401)
        self.assertEqual(self.daemon.request("GET", path).status, 401)
        self.assert_secrecy(token, token.split(".")[2])

    def test_a_token_for_one_object_opens_no_other(self) -> None:
        """A token for one object gets it, and an error for each other."""
        self.assertEqual(self.daemon.put(b"other", headers=self.bearer), 200)
        scope = f"obj:{REPO}/{oid_of(b'data')}:read"
        headers = {"Authorization": f"Bearer {self.token('--scope', scope)}"}
        reply = self.daemon.batch(
            "download", (oid_of(b"data"), 4), (oid_of(b"other"), 5), headers=headers
        )
        mine, other = reply.json["objects"]
        self.assertIn("download", mine["actions"])
        self.assertEqual(other["error"]["code"], 403)

    def test_credentials_of_arbitrary_bytes_are_refused(self) -> None:
        """Credentials of arbitrary bytes are refused like others."""
        for value in ("Bearer \xff\xfe", "Basic \xff", "\xff", "Bearer " + "[" * 9000 + ".e30."):
            reply = self.daemon.request(
                "GET", object_path(oid_of(b"data")), headers={"Authorization": value}
            )
            self.assertEqual(reply.status, 401)

    def test_a_token_of_a_megabyte_is_refused(self) -> None:
        """A token of a megabyte does not get past the connection."""
        headers = {"Authorization": "Bearer " + "e30" * 350_000}
        try:
            status = self.daemon.request(
                "GET", object_path(oid_of(b"data")), headers=headers
            ).status
        except ConnectionError:
            status = 431  # refused while it was being sent
        self.assertEqual(status, 431)
        self.assertEqual(self.daemon.get(oid_of(b"data")).status, 401)


class PageTests(TokenTestCase):
    """What the documentation shows, run."""

    PAGE = DOCS / "auth" / "jwt.rst"

    def run_blocks(self, blocks: list[str]) -> None:
        """Run a page's commands in a repository, with all absolute paths moved."""
        commands = self.directory / "bin"
        commands.mkdir(exist_ok=True)
        script = commands / "giftless"
        script.write_text(f"#!{self.installation.python}\nfrom giftless.cli import main\nmain()\n")
        script.chmod(0o755)
        text = "\n".join(block.replace("$ ", "", 1).replace("\n$ ", "\n") for block in blocks)
        environ = {
            **self.installation.environ,
            "HOME": str(self.git.home),
            "PATH": f"{commands}:{os.environ['PATH']}",
            "GIT_TERMINAL_PROMPT": "0",
        }
        result = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", self.moved(text)],
            cwd=self.work.directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)

    def moved(self, text: str) -> str:
        """Put this test's daemon and directory into a text."""
        return text.replace("https://lfs.example.com", self.daemon.url).replace(
            "/etc/giftless", str(self.daemon.directory)
        )

    def run_section(self, name: str) -> None:
        """Make the keys of a section, start its daemon, and follow the rest of it."""
        self.daemon = self.make_daemon()
        self.installation = self.daemon.installation
        self.work = self.create()
        self.work.commit(FILES)
        keys, *use = (b.content for b in code(self.PAGE, "console") if name in b.classes)
        (config,) = (b.content for b in code(self.PAGE, "yaml") if name in b.classes)
        self.run_blocks([keys])
        self.daemon.config = yaml.safe_load(self.moved(config))
        self.daemon.start()
        self.run_blocks(use)
        for data in FILES.values():
            self.assertTrue((self.daemon.store / REPO / oid_of(data)).is_file())

    def test_the_section_on_shared_secrets_works(self) -> None:
        self.run_section("secret")

    def test_pair_of_keys(self) -> None:
        self.run_section("pair")

    def test_every_documented_scope_grants_something(self) -> None:
        """Every example of a scope grants something."""
        (examples,) = code(self.PAGE, "text")
        for line in examples.content.splitlines():
            self.assertIsNotNone(Scope.parse(line.split()[0]), line)


def _serve(test: IntegrationTestCase, document: bytes) -> str:
    """Serve a document on loopback until the test ends.

    :returns: its URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def close() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    test.addCleanup(close)
    return f"http://127.0.0.1:{server.server_port}/keys"
