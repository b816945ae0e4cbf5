"""What ``giftless setup`` writes, with a daemon, git, and the proxies that are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final
from unittest import SkipTest

from tests.integration.support import Daemon, Git, GitRepo, IntegrationTestCase
from tests.support.certificates import make_certificate
from tests.support.commands import run_command
from tests.support.nginx import around
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.rounds import rounds

#: What is around the configuration of Apache on an ordinary machine, with the modules that
#: Debian enables, and those that are asked for.
APACHE: Final = """
ServerRoot {root}
ServerName localhost
PidFile {root}/proxy.pid
ErrorLog {root}/error.log
User nobody
Group nogroup
Listen 127.0.0.1:{port}
{modules}
Include "{site}"
"""

MODULES: Final = (
    *("mpm_event", "authz_core", "reqtimeout", "headers", "proxy", "proxy_http"),
    *("socache_shmcb", "ssl", "http2"),
)


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class SetupTestCase(IntegrationTestCase):
    """A directory in which ``giftless setup`` is run."""

    def setUp(self) -> None:
        """Choose where things are."""
        super().setUp()
        self.port = free_port()
        self.folder = self.directory / 'etc of "us"'
        self.config = self.folder / "giftless.yaml"
        self.certificate = self.directory / "ce rt of 'us';#\".pem"
        self.certificate.write_bytes(make_certificate())

    def only_in_long_rounds(self) -> None:
        """Skip a test whose like is in the short rounds."""
        if not rounds(0, 1):
            raise SkipTest("runs in 'make soak'")

    def set_up(self, *arguments: str) -> str:
        """Run ``giftless setup``, which must succeed.

        :returns: what it said.
        """
        done = run_command(
            "giftless",
            *("setup", "--config", str(self.config), "--yes", "--units=none", "--workers=1"),
            *("--state-dir", str(self.directory / "state"), f"--user={os.geteuid()}"),
            *("--local-path", str(self.directory / "ob jects")),
            *(f"--listen=127.0.0.1:{self.port}", "--first-user=alice", *arguments),
            directory=self.directory,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def serve(self) -> Daemon:
        """Start the daemon."""
        return self.start_daemon(
            config=None, environ={"GIFTLESS_CONFIG": str(self.config)}, port=self.port
        )

    def repository(self, said: str) -> GitRepo:
        """Make a repository as ``giftless setup`` tells users to.

        The first user's password is what git's helper knows.
        """
        words = said.rstrip().splitlines()[-1].split()
        self.assertEqual(words[:5], ["git", "config", "-f", ".lfsconfig", "lfs.url"])
        url = words[5].replace("ORG/REPO", "acme/rocket")
        git = Git(self.directory / "home")
        git.run(git.home, "config", "--global", "http.sslVerify", "false")
        password = (self.folder / "alice.password").read_text().strip()
        self.assertNotIn(password, said)
        scheme, _, rest = url.partition("://")
        store = git.home / "credentials"
        store.write_text(f"{scheme}://alice:{password}@{rest.partition('/')[0]}\n")
        helper = f"store --file={store}"
        git.run(git.home, "config", "--global", "credential.helper", helper)
        return git.create(self.directory / "work", url)


class PlainTests(SetupTestCase):
    def test_the_first_user_pushes_and_clones_and_nobody_else(self) -> None:
        said = self.set_up("--tls=none", f"--public-url=http://127.0.0.1:{self.port}", "--no-check")
        daemon = self.serve()
        self.assert_round_trip(self.repository(said), {"data.bin": os.urandom(300_000)})
        self.assertEqual(daemon.request("GET", "/acme/rocket/locks").status, 401)

    def test_a_second_run_changes_nothing(self) -> None:
        self.set_up("--tls=none", "--no-check")

        def found() -> dict[Path, tuple[bytes, int]]:
            return {
                path: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.folder.iterdir()
            }

        before = found()
        said = self.set_up("--no-check")
        self.assertIn("stays as it is", said)
        self.assertEqual(found(), before)


class TLSTests(SetupTestCase):
    def test_git_pushes_to_the_certificate_of_the_answers(self) -> None:
        self.only_in_long_rounds()
        said = self.set_up(
            *("--tls=files", f"--public-url=https://127.0.0.1:{self.port}", "--no-check"),
            *("--certificate", str(self.certificate), "--certificate-key", str(self.certificate)),
        )
        daemon = self.make_daemon(
            config=None,
            environ={"GIFTLESS_CONFIG": str(self.config)},
            port=self.port,
            scheme="https",
        ).start()
        self.assert_round_trip(self.repository(said), {"data.bin": os.urandom(300_000)})
        self.assertTrue(daemon.listens())


class ProxyTestCase(SetupTestCase):
    """A proxy in front.

    :cvar program: the proxy's.
    """

    program = ""

    def start_proxy(self, *command: str) -> None:
        """Start the proxy, to be stopped after the test, and wait until it listens."""
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=self.environ())
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait_until(
            lambda: process.poll() is not None or listens(self.public), f"{self.program} to listen"
        )
        self.assertIsNone(process.poll(), f"{self.program} has ended")

    def environ(self) -> dict[str, str]:
        """The environment of the proxy."""
        return {**os.environ, "HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}

    def found(self) -> str:
        """Return the path of the proxy."""
        path = shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin")
        if path is None:
            raise SkipTest(f"{self.program} is not installed")
        return path

    def try_proxy(self, kind: str, path: str = "") -> None:
        """Push and clone, through TLS and the proxy."""
        self.found()
        self.public = free_port()
        url = f"https://localhost:{self.public}{path}"
        said = self.set_up(
            *("--tls=proxy", f"--proxy={kind}", f"--public-url={url}", "--no-check"),
            *("--certificate", str(self.certificate), "--certificate-key", str(self.certificate)),
        )
        daemon = self.serve()
        self.start()
        size = rounds(3_000_000, 150_000_000)
        self.assert_round_trip(self.repository(said), {"data.bin": os.urandom(size)})
        self.assertIn("127.0.0.1", daemon.stdout)

    def start(self) -> None:
        """Start the proxy with what was written."""
        raise NotImplementedError


class NginxTests(ProxyTestCase):
    program = "nginx"

    def start(self) -> None:
        """Start nginx."""
        root = self.directory / "proxy"
        root.mkdir()
        site = str(self.folder / "proxy.conf").replace('"', '\\"')
        (root / "main").write_text(around(root, f'include "{site}";'))
        self.start_proxy(self.found(), "-p", str(root), "-c", str(root / "main"))

    def test_git_pushes_through_nginx(self) -> None:
        self.try_proxy("nginx")

    def test_git_pushes_below_a_path(self) -> None:
        self.only_in_long_rounds()
        self.try_proxy("nginx", "/large/files")


class ApacheTests(ProxyTestCase):
    program = "apache2"

    def start(self) -> None:
        """Start Apache, which listens on the port that the file itself names."""
        root = self.directory / "proxy"
        root.mkdir()
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
        )
        site = str(self.folder / "proxy.conf").replace('"', '\\"')
        text = APACHE.format(root=root, port=free_port(), modules=modules, site=site)
        (root / "main").write_text(text)
        self.start_proxy(self.found(), "-X", "-f", str(root / "main"))

    def test_git_pushes_through_apache(self) -> None:
        self.only_in_long_rounds()
        self.try_proxy("apache")

    def test_git_pushes_below_a_path(self) -> None:
        self.only_in_long_rounds()
        self.try_proxy("apache", "/large/files")


class CaddyTests(ProxyTestCase):
    program = "caddy"

    def start(self) -> None:
        """Start Caddy, without its own port of administration."""
        main = self.directory / "Caddyfile"
        site = str(self.folder / "proxy.conf").replace('"', '\\"')
        options = "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n"
        main.write_text(f'{options}import "{site}"\n')
        self.start_proxy(self.found(), "run", "--config", str(main), "--adapter", "caddyfile")

    def test_git_pushes_through_caddy(self) -> None:
        self.only_in_long_rounds()
        self.try_proxy("caddy")

    def test_git_pushes_below_a_path(self) -> None:
        self.only_in_long_rounds()
        self.try_proxy("caddy", "/large/files")
