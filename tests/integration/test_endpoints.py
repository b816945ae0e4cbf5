"""Where the daemon listens, and what it believes of who connects."""

import os
import socket
import sys
from typing import Any

from tests.integration.support import Daemon, IntegrationTestCase, oid_of
from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.processes import ENDED

MIB = 1024 * 1024

#: Gives a listening socket to a command as systemd does: as descriptor 3.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EndpointTests(IntegrationTestCase):
    """Kinds of endpoints."""

    def test_one_daemon_listens_on_several_endpoints(self) -> None:
        """One daemon listens on several endpoints."""
        ports = [free_port(), free_port()]
        config = {"endpoints": [f"tcp:{port}:interface=127.0.0.1" for port in ports]}
        daemon = self.start_daemon(config=config, port=ports[1])
        self.assertEqual(daemon.put(b"one store"), 200)
        daemon.port = ports[0]
        self.assertEqual(daemon.get(oid_of(b"one store")).body, b"one store")

    def test_a_unix_socket_serves_transfers(self) -> None:
        """A unix socket serves uploads and downloads."""
        # A socket's path must be short.
        path = self.directory / "http.sock"
        daemon = self.start_daemon(config={"endpoints": [f"unix:{path}"]}, unix=path)
        data = os.urandom(8 * MIB)
        self.assertEqual(daemon.put(data), 200)
        self.assertEqual(daemon.get(oid_of(data)).body, data)
        self.assertEqual(daemon.stop(), ENDED)
        daemon.start()
        self.assertEqual(daemon.get(oid_of(data)).body, data)

    def activate(self, endpoint: str) -> None:
        """Check that a daemon takes the socket that it is given."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            daemon = self.start_daemon(
                config={"endpoints": [endpoint]},
                port=port,
                wrapper=[sys.executable, "-c", ACTIVATE, str(listener.fileno())],
                pass_fds=[listener.fileno()],
            )
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/acme/rocket")
        self.assert_round_trip(repo, {"a.bin": b"activated"})
        self.assertEqual(daemon.stop(), ENDED)

    def test_a_systemd_socket_is_taken_by_index(self) -> None:
        """A socket from systemd is taken by its index."""
        self.activate("systemd:domain=INET:index=0")

    def test_a_systemd_socket_is_taken_by_name(self) -> None:
        """A socket from systemd is taken by its name."""
        self.activate("systemd:domain=INET:name=web")

    def test_git_pushes_and_clones_over_tls(self) -> None:
        """git pushes and clones over TLS, with https URLs in the actions."""
        key, certificate = write_certificate(self.directory)
        port = free_port()
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        daemon = self.start_daemon(config={"endpoints": [endpoint]}, port=port, scheme="https")
        git = self.make_git()
        git.run(git.home, "config", "--global", "http.sslVerify", "false")
        repo = git.create(self.directory / "work", f"{daemon.url}/acme/rocket.git/info/lfs")
        self.assert_round_trip(repo, {"one.bin": b"1", "three.bin": os.urandom(3 * MIB)})
        reply = daemon.batch("download", (oid_of(b"1"), 1))
        href = reply.json["objects"][0]["actions"]["download"]["href"]
        self.assertTrue(href.startswith(f"{daemon.url}/acme/rocket.git/info/lfs/objects/"), href)


class OriginTests(IntegrationTestCase):
    """The URLs in batch replies."""

    PROXY = "127.0.0.2"
    FORWARDED = {
        "Host": "inside:8080",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "lfs.example.com",
        "X-Forwarded-For": "203.0.113.7",
    }

    def root(self, daemon: Daemon, source: str, headers: dict[str, str]) -> str:
        """Return the root of the URL of an upload that is asked for from ``source``."""
        reply = daemon.batch("upload", (oid_of(b"x"), 1), headers=headers, source=source)
        href: str = reply.json["objects"][0]["actions"]["upload"]["href"]
        return href.partition("/acme/")[0]

    def start(self, **config: Any) -> Daemon:
        """Start a daemon behind a proxy."""
        settings = {"trusted_proxies": [self.PROXY], "log_format": "json", **config}
        return self.start_daemon(config=settings)

    def test_only_a_trusted_proxy_is_believed(self) -> None:
        """A trusted proxy's headers are believed, and nobody else's."""
        daemon = self.start()
        self.assertEqual(self.root(daemon, self.PROXY, self.FORWARDED), "https://lfs.example.com")
        self.assertEqual(self.root(daemon, "127.0.0.3", self.FORWARDED), "http://inside:8080")
        self.assertEqual(self.root(daemon, "127.0.0.3", {}), daemon.url)
        daemon.stop()
        addresses = [access["address"] for access in daemon.accesses("POST")]
        self.assertEqual(addresses, ["203.0.113.7", "127.0.0.3", "127.0.0.3"])

    def test_a_configured_public_url_is_used(self) -> None:
        """A configured URL is used whatever a request says, with its path."""
        daemon = self.start(public_url="https://example.com/lfs/")
        for source in (self.PROXY, "127.0.0.3"):
            self.assertEqual(self.root(daemon, source, self.FORWARDED), "https://example.com/lfs")
