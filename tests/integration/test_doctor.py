"""``giftless doctor`` in set-ups that are broken on purpose, and in good ones.

One nginx stands in front of two daemons, and breaks something on each of its ports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest

import jwt

from giftless.commands.doctor import probe
from tests.docs.pages import DOCS
from tests.integration.sharing import SharingTestCase
from tests.integration.support import Daemon, Git, GitRepo, stored_objects
from tests.support.certificates import make_certificate
from tests.support.commands import run_command
from tests.support.nginx import around, moved
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, installed, wait_until

KEY = "a key of more than thirty-two bytes"

#: Each is a server of nginx on a port of its own, and what it does with requests.
PROXIES = {
    # What nginx does if nobody tells it otherwise: Host is the name of the upstream.
    "without-host": "client_max_body_size 0; location / { proxy_pass http://giftless; }",
    # The same, and the daemon can be reached by that name from this machine.
    "bypassed": "client_max_body_size 0; location / { proxy_pass http://127.0.0.1:DAEMON; }",
    # 1 MiB is what nginx lets through if nobody tells it otherwise.
    "limited": """location / {
        proxy_pass http://giftless; proxy_set_header Host $http_host; }""",
    "without-ranges": """client_max_body_size 0; location / {
        proxy_pass http://giftless; proxy_set_header Host $http_host;
        proxy_set_header Range ""; }""",
    "page": """location / { default_type text/html;
        return 404 "<html><title>Our intranet</title></html>"; }""",
    "gateway": "location / { proxy_pass http://127.0.0.1:1; }",
}

#: The same with TLS, and without a word of that to the server behind.
UNTOLD = """client_max_body_size 0; location / {
    proxy_pass http://giftless; proxy_set_header Host $http_host; }"""

#: It keeps bodies in files of a folder that nobody else may enter.
AS_ROOT = "user root;"


def token(scope: str = "*", expires_in: float = 3600) -> str:
    """Make a token that the daemons take.

    :param scope: what it permits with all objects: ``read``, or ``*``.
    :param expires_in: for how many seconds from now.
    """
    claims = {
        "sub": "ada",
        "scopes": [f"obj:acme/rocket/*:{scope}", f"obj:acme/other/*:{scope}"],
        "exp": int(time.time() + expires_in),
    }
    return jwt.encode(claims, KEY, "HS256")


@dataclass
class Nginx:
    """A running nginx.

    :ivar ports: by the name of what is wrong with the server there.
    :ivar certificate: what those with TLS show.
    """

    ports: dict[str, int]
    certificate: Path


@contextmanager
def nginx(root: Path, daemon: Daemon) -> Iterator[Nginx]:
    """Run nginx in front of a daemon."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SkipTest("nginx is not installed")
    certificate = root / "cert.pem"
    certificate.write_bytes(make_certificate())
    ports = {name: free_port() for name in (*PROXIES, "untold", "good")}
    servers = [
        f"server {{ listen 127.0.0.1:{ports[name]}; {rules.replace('DAEMON', str(daemon.port))} }}"
        for name, rules in PROXIES.items()
    ]
    servers.append(
        f"server {{ listen 127.0.0.1:{ports['untold']} ssl; ssl_certificate {certificate};"
        f" ssl_certificate_key {certificate}; {UNTOLD} }}"
    )
    shown = (DOCS / "nginx.conf").read_text()
    good = moved(shown, ports["good"], daemon.port, certificate)
    (root / "nginx.conf").write_text(around(root, "\n".join([good, *servers]), AS_ROOT))
    process = subprocess.Popen(
        [program, "-p", str(root), "-c", str(root / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        wait_until((root / "nginx.pid").exists, "nginx to start")
        yield Nginx(ports, certificate)
    finally:
        process.terminate()
        process.wait()


class Findings:
    """What one run has found, by check."""

    def __init__(self, status: int, lines: list[dict[str, Any]]) -> None:
        self.status = status
        *self.all, self.summary = lines

    def of(self, verdict: str) -> dict[str, dict[str, str]]:
        """Return those with a verdict."""
        return {each["check"]: each for each in self.all if each["verdict"] == verdict}

    @property
    def alarms(self) -> list[dict[str, str]]:
        """What is not as it should be."""
        return [each for each in self.all if each["verdict"] in ("failed", "warning")]


class DoctorTestCase(SharingTestCase):
    """A clone, two daemons, and nginx in front of the first."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.share_daemon(
            auth=[{"type": "jwt", "key": KEY}, {"type": "anonymous", "access": "read"}],
            trusted_proxies=["127.0.0.1"],
            log_format="json",
        )
        self.clone = self.share("clone", self._make_clone)

    @contextmanager
    def _make_clone(self, root: Path) -> Iterator[GitRepo]:
        """Make a clone whose object is on the daemon in acme/rocket."""
        git = Git(root / "home")
        repo = git.create(root / "work", f"{self.daemon.url}/acme/rocket")
        self.store_token(git, token())
        repo.commit({"data.bin": os.urandom(300_000)})
        repo.push()
        yield repo

    def store_token(self, git: Git, password: str) -> None:
        """Let a credential helper of the user's know a token."""
        (git.home / "token").write_text(password)
        helper = f'!f() {{ echo username=_jwt; echo "password=$(cat {git.home}/token)"; }}; f'
        git.run(git.home, "config", "--global", "credential.helper", helper)

    @property
    def nginx(self) -> Nginx:
        """What is in front of the daemon."""
        return self.share("nginx", lambda root: nginx(root, self.daemon))

    def through(self, name: str, repo: str = "acme/rocket") -> str:
        """Return the URL of a repository by way of one of nginx's servers."""
        scheme = "https" if name in ("good", "untold") else "http"
        return f"{scheme}://localhost:{self.nginx.ports[name]}/{repo}.git/info/lfs"

    def doctor(
        self,
        url: str = "",
        *options: str,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: float = 0,
    ) -> Findings:
        """Run the command in the clone.

        :param url: what ``lfs.url`` is; empty for what ``.lfsconfig`` says.
        :param password: what a credential helper knows; ``None`` for a good token, empty for
            nothing.
        :param settings: of git.
        :param clock: by how many seconds the user's clock is ahead.
        """
        password = token() if password is None else password
        helper = f"!f() {{ echo username=_jwt; echo password={password}; }}; f" if password else ""
        values = [("credential.helper", ""), ("credential.helper", helper)]
        values += [("http.sslCAInfo", str(self.nginx.certificate))]
        values += [("lfs.url", url)] if url else []
        values += list((settings or {}).items())
        variables = {
            **self.clone.commands.environ,
            "GIT_CONFIG_COUNT": str(len(values)),
            **{f"GIT_CONFIG_KEY_{index}": name for index, (name, _) in enumerate(values)},
            **{f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(values)},
            **(environ or {}),
        }
        arguments = ["doctor", "--json", *options]
        if clock:
            done = self._run_with_clock(clock, arguments, variables)
        else:
            directory = self.clone.directory
            done = run_command("giftless", *arguments, directory=directory, environ=variables)
        self.assertEqual(done.stderr, "")
        found = Findings(done.returncode, [json.loads(line) for line in done.stdout.splitlines()])
        counts = dict.fromkeys(("ok", "warning", "failed", "skipped"), 0)
        for finding in found.all:
            counts[finding["verdict"]] += 1
        self.assertEqual(found.summary, {"summary": counts})
        self.assertEqual(found.status, int(counts["failed"] > 0))
        return found

    def _run_with_clock(
        self, ahead: float, arguments: list[str], variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the command on a machine whose clock is wrong."""
        script = (
            "import time; real = time.time;"
            f" time.time = lambda: real() + {ahead};"
            " from giftless.cli import main; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=self.clone.directory,
            env={**installed().environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def assert_fault(
        self, found: Findings, check: str, *words: str, verdict: str = "failed"
    ) -> dict[str, str]:
        """Check that one fault is named, and who can do what about it.

        :param words: parts of what is said.
        """
        self.assertEqual([each["check"] for each in found.alarms], [check], found.all)
        (alarm,) = found.alarms
        self.assertEqual(alarm["verdict"], verdict)
        said = " ".join([alarm["found"], alarm.get("user", ""), alarm.get("operator", "")])
        for word in words:
            self.assertIn(word, said)
        self.assertTrue(alarm.get("user") or alarm.get("operator"), "it says what to do")
        return alarm


class BrokenTests(DoctorTestCase):
    """The set-ups of issue 18, each with one fault."""

    def test_nginx_that_passes_no_host(self) -> None:
        found = self.doctor(self.through("without-host"))
        alarm = self.assert_fault(found, "urls", "it calls itself http://giftless")
        self.assertTrue(alarm["operator"].startswith("let the proxy pass on"), alarm)
        self.assertIn("proxy_set_header Host $http_host", alarm["operator"])

    def test_a_limit_of_bodies(self) -> None:
        found = self.doctor(self.through("limited"))
        alarm = self.assert_fault(found, "body-limit", "a proxy refuses a body of 2 MiB", "nginx")
        self.assertIn("client_max_body_size 0", alarm["operator"])

    def test_a_wrong_public_url(self) -> None:
        wrong = "http://lfs.example.com"
        daemon = self.share_daemon(auth=[{"type": "jwt", "key": KEY}], public_url=wrong)
        found = self.doctor(f"{daemon.url}/acme/other")
        # Nothing was ever pushed there.
        missing = [each for each in found.alarms if each["check"] == "objects"]
        found.all = [each for each in found.all if each not in missing]
        alarm = self.assert_fault(found, "urls", f"it calls itself {wrong}")
        self.assertTrue(alarm["operator"].startswith(f"set public_url to {daemon.url}"), alarm)

    def test_an_expired_token(self) -> None:
        daemon = self.share_daemon(
            auth=[{"type": "jwt", "key": KEY}], public_url="http://lfs.example.com"
        )
        found = self.doctor(f"{daemon.url}/acme/rocket", password=token(expires_in=-7200))
        alarm = self.assert_fault(found, "credential", "the token has expired", "2 h 0 min ago")
        self.assertIn("get a new token", alarm["user"])
        self.assertIn("git credential reject", alarm["user"])
        self.assertNotIn("ok", found.of("ok").get("write", {}))

    def test_an_expired_token_where_everybody_may_read(self) -> None:
        found = self.doctor(password=token(expires_in=-7200))
        self.assertIn("the token expired on", found.of("failed")["credential"]["found"])

    def test_http_behind_https(self) -> None:
        found = self.doctor(self.through("untold"))
        alarm = self.assert_fault(found, "urls", "sends you to http://localhost", "without TLS")
        self.assertIn("X-Forwarded-Proto", alarm["operator"])

    def test_a_clock_that_is_off(self) -> None:
        for ahead, side in ((7200, "2 h 0 min ahead of"), (-7200, "2 h 0 min behind")):
            found = self.doctor(password="", clock=ahead)
            alarm = self.assert_fault(found, "clock", "this machine's clock is")
            self.assertIn("timedatectl", alarm["user"])
            # Some seconds go by until it is read.
            self.assertRegex(alarm["found"], side.replace("2 h 0 min", "(2 h 0 min|1 h 59 min)"))

    def test_a_token_that_permits_reading_only(self) -> None:
        found = self.doctor(password=token("read"))
        alarm = self.assert_fault(found, "write", "you may read, but not write", verdict="warning")
        self.assertIn("this one permits reading only", alarm["operator"])
        self.assertEqual(found.of("ok")["credential"]["found"], "reading needs no credential")

    def test_a_missing_object(self) -> None:
        found = self.doctor(f"{self.daemon.url}/acme/other", "--read-only")
        (oid,) = self.clone.objects()
        alarm = self.assert_fault(found, "objects", f"lacks 1 of 1 objects: {oid} (data.bin")
        self.assertIn("git lfs push --all origin", alarm["user"])
        self.assertIn("look whether lfs.url names the right repository", alarm["user"])

    def test_a_wrong_url(self) -> None:
        for url, words in (
            (f"{self.daemon.url}/", ("a Git LFS server is there", f"{self.daemon.url}/ORG")),
            (self.through("page"), ('404 and a page "Our intranet"', "git config -f .lfsconfig")),
            ("http://127.0.0.1:1/acme/rocket", ("nothing listens there",)),
            ("http://nowhere.invalid/acme/rocket", ("its name is unknown",)),
            ("file:///tmp/x", ("is no http:// or https:// URL",)),
        ):
            found = self.doctor(url)
            check = "lfs.url" if url.startswith("file") else "server"
            self.assert_fault(found, check, *words)

    def test_an_agent_that_is_gone(self) -> None:
        setting = {"lfs.customtransfer.giftless.path": "/opt/gone/giftless-transfer-agent"}
        found = self.doctor(settings=setting)
        alarm = self.assert_fault(found, "agent", "/opt/gone/giftless-transfer-agent, which is not")
        self.assertIn("giftless-transfer-agent install", alarm["user"])


class AlsoBrokenTests(DoctorTestCase):
    """Faults beyond those of the issue."""

    def test_a_proxy_whose_server_is_down(self) -> None:
        found = self.doctor(self.through("gateway"))
        self.assert_fault(found, "server", "502 from nginx", "does not reach the LFS server")

    def test_a_name_that_only_the_servers_machine_knows(self) -> None:
        found = self.doctor(self.through("bypassed"))
        alarm = self.assert_fault(found, "urls", f"it calls itself {self.daemon.url}")
        self.assertTrue(alarm["operator"].startswith("let the proxy pass on"), alarm)
        self.assertIn("another machine for each of its users", alarm["found"])

    def test_http_to_a_port_with_tls(self) -> None:
        found = self.doctor(self.through("good").replace("https", "http"))
        alarm = self.assert_fault(found, "server", "is asked by http:// and speaks https://")
        self.assertIn("write https://", alarm["user"])

    def test_https_to_a_port_without_tls(self) -> None:
        found = self.doctor(self.daemon.url.replace("http", "https") + "/acme/rocket")
        self.assert_fault(found, "server", "it does not speak TLS")

    def test_a_certificate_that_is_not_trusted(self) -> None:
        found = self.doctor(self.through("good"), settings={"http.sslCAInfo": ""})
        self.assert_fault(found, "server", "its certificate is not trusted", "http.sslCAInfo FILE")

    def test_a_proxy_that_drops_ranges(self) -> None:
        found = self.doctor(self.through("without-ranges"))
        self.assert_fault(found, "range", "what breaks off begins again", verdict="warning")

    def test_no_credential_at_all(self) -> None:
        daemon = self.share_daemon(
            auth=[{"type": "jwt", "key": KEY}], public_url="http://lfs.example.com"
        )
        found = self.doctor(f"{daemon.url}/acme/rocket", password="")
        alarm = self.assert_fault(found, "credential", "git has none for 127.0.0.1")
        self.assertIn("credential.helper", alarm["user"])

    def test_a_folder_that_is_no_clone(self) -> None:
        done = run_command("giftless", "doctor", str(self.directory), directory=self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is in no git repository", done.stderr)


class GoodTests(DoctorTestCase):
    """Set-ups in which nothing is wrong."""

    def assert_well(self, found: Findings, *checks: str) -> None:
        """Check that nothing is said to be wrong.

        :param checks: what else must have been found to be well.
        """
        self.assertEqual(found.alarms, [])
        self.assertEqual(found.status, 0)
        self.assertLessEqual({"server", "clock", "credential", *checks}, set(found.of("ok")))

    #: What a user who may write has tried.
    ALL = ("objects", "write", "urls", "upload", "download", "range", "body-limit", "locks")

    def test_nothing_stays_but_one_object(self) -> None:
        for _ in range(2):
            self.assert_well(self.doctor(), *self.ALL)
        (oid,) = self.clone.objects()
        stored = {path.name for path in stored_objects(self.daemon.store)}
        self.assertEqual(stored, {oid, probe.OID})
        locks = self.daemon.request("GET", "/acme/rocket.git/info/lfs/locks")
        self.assertEqual(locks.json["locks"], [])

    def test_nginx_as_the_guide_shows_it(self) -> None:
        self.assert_well(self.doctor(self.through("good")), *self.ALL)

    def test_a_stranger_who_may_read(self) -> None:
        found = self.doctor(password="")
        self.assert_well(found, "objects", "urls", "download", "range")
        self.assertIn("get a credential", found.of("skipped")["write"]["user"])

    def test_nothing_is_sent_if_that_is_asked_for(self) -> None:
        self.assert_well(self.doctor("", "--read-only"), "objects", "urls", "download", "range")
        self.assertEqual(self.daemon.accesses("PUT"), [])

    def test_an_extra_header(self) -> None:
        header = {"http.extraheader": f"Authorization: Bearer {token()}"}
        found = self.doctor(password="", settings=header)
        self.assert_well(found, *self.ALL)
        self.assertIn("http.extraheader", found.of("ok")["credential"]["found"])

    def test_an_expired_token_in_an_extra_header(self) -> None:
        header = {"http.extraheader": f"Authorization: Bearer {token(expires_in=-60)}"}
        found = self.doctor(password="", settings=header)
        alarm = self.assert_fault(found, "credential", "http.extraheader", "expired")
        self.assertIn("git config --get-regexp", alarm["user"])

    def test_a_remote_by_ssh(self) -> None:
        script = self.directory / "ssh"
        answer = {
            "href": f"{self.daemon.url}/acme/rocket.git/info/lfs",
            "header": {"Authorization": f"Bearer {token()}"},
        }
        script.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
        script.chmod(0o755)
        found = self.doctor(
            "ssh://git@git.example/acme/rocket", environ={"GIT_SSH_COMMAND": str(script)}
        )
        self.assert_well(found, *self.ALL)

    def test_what_was_not_pushed_yet_is_not_missed(self) -> None:
        self.clone.commit({"new.bin": os.urandom(1000)})
        self.addCleanup(self.clone.git, "reset", "--quiet", "--hard", "HEAD~")
        self.assert_well(self.doctor("", "--read-only"), "objects")

    def test_people_read_it_in_words(self) -> None:
        done = run_command(
            "giftless",
            "doctor",
            "--read-only",
            str(self.clone.directory),
            directory=self.directory,
            environ=self.clone.commands.environ,
        )
        self.assertIn("ok       server       http://127.0.0.1:", done.stdout)
        self.assertRegex(done.stdout, r"\n\n0 failed, 0 warnings, \d+ ok, \d+ skipped\n$")
