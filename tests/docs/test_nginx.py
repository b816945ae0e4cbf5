"""nginx with the configuration that the operator's guide shows, in front of giftless."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from typing import Any
from unittest import SkipTest

import jwt

from tests.docs.pages import DOCS
from tests.integration.support import Daemon, Git, GitRepo, IntegrationTestCase, oid_of
from tests.support.certificates import make_certificate
from tests.support.nginx import around, moved
from tests.support.ports import free_port
from tests.support.processes import wait_until

KEY = "a key of more than thirty-two bytes"


class NginxTestCase(IntegrationTestCase):
    """giftless behind nginx.

    :cvar config: of giftless, beside the proxy.
    :cvar rule: of nginx, in front of those of the configuration.
    :cvar header: what nginx sets beside the headers of the configuration.
    """

    config: Mapping[str, Any] = {}
    rule = ""
    header = ""

    def setUp(self) -> None:
        """Start giftless and nginx."""
        super().setUp()
        self.nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if self.nginx is None:
            raise SkipTest("nginx is not installed")
        self.daemon = self.start_daemon(
            config={"trusted_proxies": ["127.0.0.1"], "log_format": "json", **self.config}
        )
        self.port = self._start_nginx(self.daemon)

    def _start_nginx(self, daemon: Daemon) -> int:
        """Start nginx, to be stopped after the test.

        :returns: its port.
        """
        root = self.directory / "nginx"
        root.mkdir()
        self.certificate = root / "cert.pem"
        self.certificate.write_bytes(make_certificate())
        port = free_port()
        site = moved((DOCS / "nginx.conf").read_text(), port, daemon.port, self.certificate)
        location = "    location / {"
        self.assertIn(location, site)
        site = site.replace(location, f"{self.rule}\n{location}\n    {self.header}")
        (root / "nginx.conf").write_text(around(root, site))
        process = subprocess.Popen(
            [str(self.nginx), "-p", str(root), "-c", str(root / "nginx.conf")],
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait_until((root / "nginx.pid").exists, "nginx to start")
        return port

    def make_repository(self) -> GitRepo:
        """Make a repository whose objects go through nginx."""
        git = Git(self.directory / "home")
        git.run(git.home, "config", "--global", "http.sslVerify", "false")
        return git.create(
            self.directory / "work", f"https://localhost:{self.port}/acme/rocket.git/info/lfs"
        )


class TokenTests(NginxTestCase):
    """Clients have tokens."""

    config = {"auth": [{"type": "jwt", "key": KEY}]}

    def test_a_token_in_an_extra_header_pushes_and_clones(self) -> None:
        """git-lfs adds it to the action's headers, and nginx refuses two of a name."""
        repo = self.make_repository()
        token = jwt.encode({"sub": "runner", "scopes": "obj:acme/rocket:*"}, KEY, "HS256")
        git = repo.commands
        header = f"Authorization: Bearer {token}"
        git.run(git.home, "config", "--global", "http.extraheader", header)
        self.assert_round_trip(repo, {"data.bin": os.urandom(300_000)})
        for method in ("PUT", "GET"):
            accesses = self.daemon.accesses(method)
            self.assertEqual({(a["identity"], a["status"]) for a in accesses}, {("runner", 200)})


class CappedTestCase(NginxTestCase):
    """The proxy refuses bodies by their Content-Length."""

    rule = "if ($http_content_length ~ '^[0-9]{6}') { return 413; }"

    def try_push(self) -> bool:
        """Push an object of 300 kB over HTTP/1.1: HTTP/2 tells its length in any case."""
        repo = self.make_repository()
        repo.commands.run(repo.commands.home, "config", "--global", "http.version", "HTTP/1.1")
        repo.commit({"data.bin": os.urandom(300_000)})
        return repo.try_push().returncode == 0


class LengthTests(CappedTestCase):
    def test_a_length_is_refused(self) -> None:
        self.assertFalse(self.try_push())


class ChunkedTests(CappedTestCase):
    """giftless asks for chunks."""

    config = {"actions": {"chunked_uploads": True}}

    def test_without_a_length_a_push_succeeds(self) -> None:
        self.assertTrue(self.try_push())
        self.assertEqual(len(self.assert_intact(self.daemon.store)), 1)


class NginxTests(NginxTestCase):
    """Git pushes and clones through TLS, HTTP/2 and the proxy."""

    def test_push_and_clone(self) -> None:
        """Objects larger than nginx's usual limit go through, to https URLs."""
        repo = self.make_repository()
        self.assert_round_trip(repo, {"data.bin": os.urandom(3_000_000)})

    def test_an_upload_that_breaks_off_goes_on_where_it_broke(self) -> None:
        """nginx passes on what comes of it as it comes, and what tus says in headers."""
        repo = self.make_repository()
        repo.git("config", "lfs.tustransfers", "true")
        data = os.urandom(3_000_000)
        repo.commit({"data.bin": data})
        url = f"/acme/rocket.git/info/lfs/objects/tus/{oid_of(data)}/{len(data)}"
        batch = {
            "operation": "upload",
            "transfers": ["tus"],
            "objects": [{"oid": oid_of(data), "size": len(data)}],
        }
        body = json.dumps(batch).encode()
        reply = self.daemon.request("POST", "/acme/rocket/objects/batch", body).json
        (entry,) = reply["objects"]
        headers = {**entry["actions"]["upload"]["header"], "Tus-Resumable": "1.0.0"}
        client = self.https()
        client.putrequest("PATCH", url)
        sent = {
            **headers,
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(len(data)),
        }
        for name, value in sent.items():
            client.putheader(name, value)
        client.endheaders(data[:2_000_000])

        def has_come() -> bool:
            return any(path.stat().st_size for path in parts.rglob(f"*{oid_of(data)}*"))

        parts = self.daemon.store / ".giftless" / "resumable"
        wait_until(has_come, "some of it")
        client.close()
        wait_until(lambda: self.daemon.accesses("PATCH"), "nginx to give it up")
        asking = self.https()
        asking.request("HEAD", url, headers=headers)
        offset = int(asking.getresponse().headers["Upload-Offset"])
        self.assertGreater(offset, 0)
        repo.push()
        self.assertEqual(self.assert_intact(self.daemon.store), [oid_of(data)])
        statuses = [access["status"] for access in self.daemon.accesses("PATCH")]
        self.assertEqual(statuses, [499, 204])

    def https(self) -> http.client.HTTPSConnection:
        """Return a client of nginx."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        client = http.client.HTTPSConnection("localhost", self.port, context=context)
        self.addCleanup(client.close)
        return client

    def test_the_client_is_known(self) -> None:
        """The log names the client that nginx saw, not the one that the client claims."""
        data = b"an object"
        self.assertEqual(self.daemon.put(data), 200)
        client = http.client.HTTPSConnection(
            "localhost",
            self.port,
            source_address=("127.0.0.5", 0),
            context=ssl.create_default_context(cafile=str(self.certificate)),
        )
        self.addCleanup(client.close)
        # Some tokens are long, too.
        claims = {"X-Forwarded-For": "192.0.2.7", "X-Long": "x" * 12_000}
        client.request("GET", f"/acme/rocket/objects/storage/{oid_of(data)}", headers=claims)
        self.assertEqual(client.getresponse().read(), data)
        wait_until(lambda: self.daemon.accesses("GET"), "the access line")
        (access,) = self.daemon.accesses("GET")
        self.assertEqual(access["address"], "127.0.0.5")
