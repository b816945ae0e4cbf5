"""What a daemon imports at its start."""

from __future__ import annotations

import re
import signal
from typing import Any, Final

from tests.integration.support import REPO, Daemon
from tests.integration.workers import DATA, WorkersTestCase
from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.processes import wait_until

#: Lets each process say what it imports.
SAY: Final = {"PYTHONPROFILEIMPORTTIME": "1"}

#: A line of that: microseconds, microseconds, and the name of a module.
_LINE: Final = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")

#: What costs much memory, and is there for TLS and requests to other servers.
FOR_CONNECTIONS: Final = {"OpenSSL._util", "cryptography", "treq", "twisted.web.client"}

#: What Twisted would import, and Klein may, but nothing that git-lfs asks for needs.
FOR_OTHERS: Final = {"asyncio", "http.cookiejar", "unittest", "email.utils", "twisted.web.http"}


def heavy(said: str, names: set[str]) -> set[str]:
    """Return those of some modules that a process says it has imported."""
    found = set(_LINE.findall(said))
    assert "twisted.internet.tcp" in found, said
    return found & names


class StartTests(WorkersTestCase):
    def started(self, **settings: Any) -> Daemon:
        """Start a daemon that says what its processes import."""
        return self.start_daemon(config={"workers": 2, **settings}, environ=SAY)

    def test_a_local_store_needs_no_tls(self) -> None:
        """Neither in the parent nor in its workers: it is a quarter of their memory."""
        daemon = self.started()
        # What workers say, the parent logs.
        self.assertEqual(heavy(daemon.stdout, FOR_CONNECTIONS), set())
        self.assertEqual(heavy(daemon.stderr, FOR_CONNECTIONS), set())

    def test_a_client_needs_no_klein(self) -> None:
        """It is imported for the first request without an endpoint."""
        daemon = self.started(workers=1, locks={"type": "sqlite", "anonymous": True})
        files = {"one.bin": b"1", "two.bin": DATA}
        work = self.make_git().create(self.directory / "work", f"{daemon.url}/{REPO}.git/info/lfs")
        self.assert_round_trip(work, files)
        work.git("lfs", "lock", "one.bin")
        work.git("lfs", "locks")
        work.git("lfs", "unlock", "one.bin")
        self.assertEqual(daemon.request("GET", "/").status, 200)
        unused = {"klein", "werkzeug", "twisted.web.server"} | FOR_OTHERS
        self.assertEqual(heavy(daemon.stdout, unused), set())
        self.assertEqual(daemon.request("GET", "/nothing/here").status, 404)
        self.assertEqual(daemon.request("DELETE", "/a/b/objects/batch").status, 405)
        self.assertEqual(heavy(daemon.stdout, {"klein", "werkzeug"}), {"klein", "werkzeug"})

    def test_the_parent_imports_nothing_that_only_workers_need(self) -> None:
        daemon = self.started()
        self.assertEqual(heavy(daemon.stderr, {"klein", "giftless.runtime.instance"}), set())

    def test_a_store_that_connects_has_tls_from_the_start(self) -> None:
        """No request waits for it."""
        store = {"type": "s3", "bucket": "b", "region": "r", "endpoint_url": "http://127.0.0.1:9"}
        daemon = self.started(storage=store)
        self.assertEqual(heavy(daemon.stdout, FOR_CONNECTIONS), FOR_CONNECTIONS)
        self.assertEqual(heavy(daemon.stderr, FOR_CONNECTIONS), set())


class ReloadTests(WorkersTestCase):
    def test_a_reload_brings_tls(self) -> None:
        """The parent, which has left it out, binds an endpoint that wants a certificate."""
        daemon = self.start(2)
        key, certificate = write_certificate(self.directory)
        port = free_port()
        tls = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.change(daemon, endpoints=[f"tcp:{daemon.port}:interface=127.0.0.1", tls])
        self.hup(daemon)
        self.assertEqual(daemon.put(DATA), 200)
        self.assertEqual(Daemon(daemon.directory, port=port, scheme="https").put(DATA), 200)
        self.change(daemon, endpoints=[f"tcp:{daemon.port}:interface=127.0.0.1"])
        self.hup(daemon)
        self.assertEqual(daemon.put(DATA), 200)
        self.assert_no_traceback(daemon)

    def test_a_reload_brings_tls_for_admins(self) -> None:
        """An admin endpoint is served by the parent itself."""
        daemon = self.start(1)
        key, certificate = write_certificate(self.directory)
        port = free_port()
        tls = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.change(daemon, admin={"endpoints": [tls]})
        self.hup(daemon)
        admin = Daemon(daemon.directory, port=port, scheme="https")
        self.assertEqual(admin.request("GET", "/health/live").status, 200)
        self.assert_no_traceback(daemon)

    def test_a_certificate_that_is_missing_is_named(self) -> None:
        """All stays as it was."""
        daemon = self.start(1)
        before = set(daemon.workers)
        self.change(daemon, endpoints=["ssl:0:privateKey=nowhere.pem"])
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: "stays as it was" in daemon.stdout, "the refusal")
        self.assertRegex(daemon.stdout, r"endpoints\.0: .*No such file")
        self.assertEqual(set(daemon.workers), before)
        self.assertEqual(daemon.put(DATA), 200)
