"""curl and the stock client with certificates: of the daemon itself, and behind nginx."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.docs.pages import DOCS, code
from tests.docs.test_nginx import NginxTestCase
from tests.integration.support import LFS_JSON, GitRepo, IntegrationTestCase, oid_of
from tests.support.certificates import write_certificate
from tests.support.client_certificates import Authority, Issued
from tests.support.commands import run_command
from tests.support.ports import free_port

FILES = {"one.bin": b"1", "noise.bin": os.urandom(300_000)}

PAGE = DOCS / "auth/certificate.rst"


class People:
    """Some certificates.

    :param directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.ca = directory / "client-ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self.alice = self.authority.issue("alice", groups=["developers"])
        self.bob = self.authority.issue("bob")
        self.forged = Authority().issue("alice", groups=["developers"])
        self.revoked = self.authority.issue("alice", groups=["developers"])
        self._directory = directory

    def section(self) -> dict[str, Any]:
        """Return the ``auth`` section that the page shows, with a list of what is revoked."""
        shown, *_ = (block.content for block in code(PAGE, "yaml"))
        (section,) = yaml.safe_load(shown)["auth"]
        lists = self._directory / "revoked.pem"
        lists.write_bytes(self.authority.revoke(self.revoked))
        return {**section, "authorities_file": str(self.ca), "revoked_file": str(lists)}

    def files(self, name: str) -> tuple[Path, Path]:
        """Write a certificate, and return its path and that of its key."""
        issued: Issued = getattr(self, name)
        return issued.write(self._directory, name)


def curl(url: str, *options: str, operation: str = "upload") -> tuple[int, str]:
    """Send a batch request.

    :returns: the status (0 if there is none) and the message.
    """
    body = {"operation": operation, "objects": [{"oid": oid_of(b"x"), "size": 1}]}
    result = subprocess.run(
        [
            *("curl", "-sS", "-k", "-w", "\n%{http_code}", "-d", json.dumps(body)),
            *("-H", f"Content-Type: {LFS_JSON}", "-H", f"Accept: {LFS_JSON}", *options),
            f"{url}/acme/rocket.git/info/lfs/objects/batch",
        ],
        capture_output=True,
        text=True,
    )
    text, _, status = result.stdout.rpartition("\n")
    message = json.loads(text).get("message", "") if text else result.stderr
    return int(status or 0), message


def holding(paths: tuple[Path, Path]) -> tuple[str, ...]:
    """Return curl's options for a certificate and its key."""
    certificate, key = paths
    return "--cert", str(certificate), "--key", str(key)


def use(repo: GitRepo, paths: tuple[Path, Path]) -> None:
    """Let git use a certificate, as the page says."""
    certificate, key = paths
    for name, value in (("sslCert", certificate), ("sslKey", key), ("sslVerify", "false")):
        repo.commands.run(repo.directory, "config", "--global", f"http.{name}", str(value))


class DirectTests(IntegrationTestCase):
    """The daemon does TLS by itself."""

    def setUp(self) -> None:
        super().setUp()
        self.people = People(self.directory)
        port = free_port()
        key, certificate = write_certificate(self.directory)
        listen = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.daemon = self.start_daemon(
            config={
                "endpoints": [{"listen": listen, "client_certificates": True}],
                "auth": [self.people.section(), {"type": "anonymous", "access": "read"}],
                # Nobody is a proxy here, whatever is said.
                "trusted_proxies": ["192.0.2.1"],
                "certificate_header": "X-SSL-Client-Cert",
                "log_format": "json",
            },
            port=port,
            scheme="https",
        )

    def test_git_pushes_and_clones_with_a_certificate(self) -> None:
        """Without a password; another certificate may do less."""
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{self.daemon.url}/acme/rocket.git/info/lfs")
        use(repo, self.people.files("alice"))
        self.assert_round_trip(repo, FILES)
        puts = {event["principal"] for event in self.daemon.accesses("PUT")}
        self.assertEqual(puts, {"certificate#alice"})
        use(repo, self.people.files("bob"))
        repo.commit({"more.bin": b"more"})
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("bob", result.stderr)

    def test_certificates_decide_and_headers_do_not(self) -> None:
        """What others have signed, what is revoked, and what somebody writes into a header."""
        people, url = self.people, self.daemon.url
        self.assertEqual(curl(url, *holding(people.files("alice")))[0], 200)
        self.assertEqual(curl(url)[0], 401)
        self.assertEqual(curl(url, operation="download")[0], 200)  # anybody may
        self.assertEqual(curl(url, *holding(people.files("bob")))[0], 403)
        for name, words in (("forged", "not accepted"), ("revoked", "is revoked")):
            status, message = curl(url, *holding(people.files(name)), operation="download")
            self.assertEqual(status, 401)
            self.assertIn(words, message)
        header = f"X-SSL-Client-Cert: {quote(people.alice.pem.decode(), safe='')}"
        self.assertEqual(curl(url, "-H", header)[0], 401)
        # Whoever has a certificate without its key has nothing: TLS ends.
        stolen = people.files("alice")[0], people.files("bob")[1]
        self.assertEqual(curl(url, *holding(stolen))[0], 0)


class ProxyTests(NginxTestCase):
    """nginx asks for certificates, as the page says, and tells them."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.people = People(folder)
        (shown,) = (block.content for block in code(PAGE, "nginx"))
        shown = shown.replace("/etc/giftless/client-ca.pem", str(self.people.ca))
        *rule, self.header = shown.strip().splitlines()
        self.rule = "\n".join(rule)
        self.config = {
            "auth": [self.people.section(), {"type": "anonymous", "access": "read"}],
            "certificate_header": "X-SSL-Client-Cert",
        }
        super().setUp()
        self.url = f"https://localhost:{self.port}"

    def test_git_pushes_and_clones_with_a_certificate(self) -> None:
        repo = self.make_repository()
        use(repo, self.people.files("alice"))
        self.assert_round_trip(repo, FILES)
        puts = {event["principal"] for event in self.daemon.accesses("PUT")}
        self.assertEqual(puts, {"certificate#alice"})

    def test_nobody_becomes_somebody_by_a_header(self) -> None:
        """nginx replaces what a client sends, also by nothing."""
        people = self.people
        alice, bob = (holding(people.files(name)) for name in ("alice", "bob"))
        self.assertEqual(curl(self.url, *alice)[0], 200)
        self.assertEqual(curl(self.url, *bob)[0], 403)
        self.assertEqual(curl(self.url, operation="download")[0], 200)
        header = f"X-SSL-Client-Cert: {quote(people.alice.pem.decode(), safe='')}"
        self.assertEqual(curl(self.url, "-H", header)[0], 401)
        self.assertEqual(curl(self.url, "-H", header, *bob)[0], 403)
        revoked = curl(self.url, *holding(people.files("revoked")))
        self.assertEqual(revoked[0], 401)
        self.assertIn("is revoked", revoked[1])


class CheckTests(IntegrationTestCase):
    """Configurations that would let the wrong people in, or nobody."""

    def test_what_would_ask_or_believe_nobody_is_refused(self) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"certificate_header": "X-SSL-Client-Cert"}, "trusted_proxies"),
            ({"certificate_header": "a b", "trusted_proxies": ["127.0.0.1"]}, "header"),
            (
                {"endpoints": [{"listen": "tcp:0", "client_certificates": True}]},
                "endpoints.0.client_certificates",
            ),
        ]
        for number, (config, words) in enumerate(wrong):
            daemon = self.make_daemon(f"daemon{number}", config=config)
            result = run_command(
                *("twistd", "--pidfile=", "giftless", "--check"),
                *("--config", str(daemon.write_config())),
                directory=self.directory,
            )
            self.assertEqual(result.returncode, 1, config)
            self.assertIn(words, result.stderr)
