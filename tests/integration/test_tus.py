"""Uploads that go on where they broke off: git-lfs, and tus by hand, against workers."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.resuming import TOLERANCE, random_file
from tests.integration.ssh import git_lfs_versions
from tests.integration.support import (
    Daemon,
    Git,
    GitRepo,
    IntegrationTestCase,
    Response,
    file_digest,
    oid_of,
    read_reply,
)
from tests.integration.workers import SPARE
from tests.support.faulty import Fault, FaultyProxy
from tests.support.processes import ENDED, wait_until
from tests.support.rounds import rounds

KIB = 1024
MIB = 1024 * KIB

#: How large the object is that is cut, and how often.
LARGE = rounds(16 * MIB, 1024 * MIB)
CUTS = rounds(3, 20)

#: In how many seconds whoever asks is answered, on a machine that has much else to do.  A
#: worker that does not let go is waited for 1.5 seconds, a client until it is timed out.
PROMPT = 10.0

#: How often it is tried that a worker lets go.  On a machine that has much else to do, one may
#: get no processor for the time that it is waited for.
ATTEMPTS = 3

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


class Cutting:
    """Cuts the PATCH requests of one object at random places.

    :param size: of the object, in bytes.
    :param cuts: how often.
    """

    def __init__(self, size: int, cuts: int) -> None:
        self._size = size
        self.left = cuts
        self._random = random.Random(size)

    def __call__(self, begun: bytes) -> Fault | None:
        """Return what happens to a request."""
        first = begun.split(b"\r\n", 1)[0]
        if not self.left or not first.startswith(b"PATCH") or b"/%d " % self._size not in first:
            return None
        self.left -= 1
        return Fault("cut-upload", after=self._random.randrange(1, self._size // (CUTS + 1)))


class GitTestCase(IntegrationTestCase):
    """Pushes with git-lfs' own ``tus`` to a daemon with two workers, by way of a proxy."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon = self.start_daemon(config={"workers": 2, "log_format": "json"})
        self.proxy = self.enterContext(FaultyProxy(self.daemon.port))

    def repository(self, name: str, git: Git, **config: str) -> GitRepo:
        """Make a repository whose objects go by way of the proxy."""
        repo = git.create(self.directory / name, f"{self.proxy.url}/acme/{name}")
        repo.git("config", "lfs.tustransfers", "true")
        for key, value in config.items():
            repo.git("config", f"lfs.transfer.{key}", value)
        return repo

    def stored(self, name: str, oid: str) -> Path:
        """Return where an object is stored."""
        return self.daemon.store / "acme" / name / oid


class PushTests(GitTestCase):
    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        """With each git-lfs: the connection is cut again and again, and little is sent twice."""
        for version, directory in sorted(git_lfs_versions().items()):
            name = "v" + "-".join(map(str, version))
            with self.subTest(version=version):
                git = WithVersion(self.directory / f"home-{name}", directory)
                repo = self.repository(name, git, maxretries="50", maxretrydelay="1")
                large = random_file(repo.directory / "large.bin", LARGE)
                repo.commit({"empty.bin": b"", "small.bin": os.urandom(20)})
                repo.commit({"other.bin": os.urandom(2 * MIB)})
                repo.commit_files(["large.bin"])
                self.proxy.fault = cutting = Cutting(LARGE, CUTS)
                sent = self.proxy.sent
                repo.push()
                self.assertEqual(cutting.left, 0)
                self.assertEqual(file_digest(self.stored(name, large)), large)
                self.assertLess(self.proxy.sent - sent, TOLERANCE * (LARGE + 2 * MIB))
                clone = repo.clone(self.directory / f"clone-{name}")
                self.assertEqual(file_digest(clone.directory / "large.bin"), large)
        lines = self.daemon.accesses("PATCH", large)
        self.assertGreater(len(lines), CUTS)

    def test_a_push_goes_on_after_git_was_killed(self) -> None:
        git = self.make_git()
        repo = self.repository("killed", git)
        large = random_file(repo.directory / "large.bin", LARGE)
        repo.commit_files(["large.bin"])
        self.proxy.fault = lambda begun: (
            Fault("stall-upload", after=LARGE // 2) if begun.startswith(b"PATCH") else None
        )
        pushing = subprocess.Popen(
            ["git", "push", "--quiet", "origin", "main"],
            cwd=repo.directory,
            env=git.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: self.proxy.sent >= LARGE // 2, "half of the object")
        os.killpg(pushing.pid, signal.SIGKILL)
        pushing.wait()
        self.proxy.always(None)
        repo.push()
        self.assertEqual(file_digest(self.stored("killed", large)), large)
        self.assertLess(self.proxy.sent, TOLERANCE * LARGE)


class WithVersion(Git):
    """Git with a git-lfs of a certain version.

    :param directory: where it is; empty for the system's own.
    """

    def __init__(self, home: Path, directory: str) -> None:
        self._bin = directory
        super().__init__(home)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of git."""
        environ = super().environ
        if self._bin:
            environ["PATH"] = f"{self._bin}:{environ['PATH']}"
        return environ


class Upload:
    """An upload of random bytes, by hand.

    :param daemon: where it goes.
    :param size: of the object, in bytes.
    """

    def __init__(self, daemon: Daemon, size: int, repo: str = "acme/rocket") -> None:
        self.daemon = daemon
        self.data = os.urandom(size)
        self.oid = oid_of(self.data)
        self.api = f"/{repo}/objects/tus"
        self.url = f"{self.api}/{self.oid}/{size}"
        self.path = daemon.store.joinpath(*repo.split("/"), self.oid)

    def create(self) -> Response:
        """Create it."""
        named = base64.b64encode(self.oid.encode()).decode()
        headers = {**TUS, "Upload-Length": str(len(self.data)), "Upload-Metadata": f"oid {named}"}
        return self.daemon.request("POST", self.api, b"", headers)

    def head(self) -> Response:
        """Ask how far it is."""
        return self.daemon.request("HEAD", self.url, None, TUS)

    def offset(self) -> int:
        """Return how far it is."""
        return int(self.head().headers["upload-offset"])

    def send(self, start: int, end: int | None = None) -> Response:
        """Send some of it."""
        body = self.data[start:end]
        return self.daemon.request("PATCH", self.url, body, {**BYTES, "Upload-Offset": str(start)})

    def half_open(self, connection: socket.socket, start: int, end: int) -> None:
        """Begin to send all that is left, stop, and wait until the daemon has what was sent."""
        rest = len(self.data) - start
        connection.sendall(self.head_of("PATCH", rest, start) + self.data[start:end])
        wait_until(lambda: not waiting(connection), "the daemon to take it")

    def head_of(self, method: str, length: int, offset: int = 0) -> bytes:
        """Return the head of a request, to be sent by hand."""
        headers = {"Host": "x", "Content-Length": str(length), "Upload-Offset": str(offset)}
        lines = [f"{name}: {value}" for name, value in {**headers, **BYTES}.items()]
        return "\r\n".join([f"{method} {self.url} HTTP/1.1", *lines, "", ""]).encode()


def _lines(connection: socket.socket) -> Iterator[list[str]]:
    """Yield what the kernel says of the other end of a connection."""
    ends = [
        f":{address[1]:04X}" for address in (connection.getpeername(), connection.getsockname())
    ]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [fields[1][-5:], fields[2][-5:]] == ends:
            yield fields


def waiting(connection: socket.socket) -> bool:
    """Whether bytes are on their way that the other end has not read."""
    queues = [fields[4] for fields in _lines(connection)]
    return not queues or any(int(queue.partition(":")[2], 16) for queue in queues)


def holder(daemon: Daemon, connection: socket.socket) -> int:
    """Wait until a worker has the other end of a connection; returns that worker."""
    wait_until(lambda: _holder(daemon, connection), "a worker to accept")
    worker = _holder(daemon, connection)
    assert worker, "it keeps the connection"
    return worker


def _holder(daemon: Daemon, connection: socket.socket) -> int | None:
    # The kernel may show one twice while it changes.
    names = {f"socket:[{fields[9]}]" for fields in _lines(connection)}
    for worker in daemon.workers:
        for descriptor in Path(f"/proc/{worker}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in names:
                    return worker
    return None


class WorkersTestCase(IntegrationTestCase):
    """Uploads by hand to workers that are stopped, killed or asked."""

    def start(self, **config: Any) -> Daemon:
        """Start a daemon with two workers."""
        return self.start_daemon(config={"workers": 2, "log_format": "json", **config}, spare=SPARE)

    def finish(self, upload: Upload, least: int) -> None:
        """Go on with an upload to its end.

        :param least: how many bytes must have been kept.
        """
        offset = upload.offset()
        self.assertGreaterEqual(offset, least)
        reply = upload.send(offset)
        self.assertEqual(
            (reply.status, reply.headers["upload-offset"]), (204, f"{len(upload.data)}")
        )
        self.assertEqual(file_digest(upload.path), upload.oid)


class HalfOpenTests(WorkersTestCase):
    def test_whoever_asks_makes_it_let_go_within_a_second(self) -> None:
        """HEAD and PATCH, in the same worker and in the other; what has come is kept."""
        daemon = self.start()
        for method in ("HEAD", "PATCH"):
            for apart in (False, True):
                with self.subTest(method=method, apart=apart):
                    kept = any(self.is_kept(daemon, method, apart) for _ in range(ATTEMPTS))
                    self.assertTrue(kept)

    def is_kept(self, daemon: Daemon, method: str, apart: bool) -> bool:
        """Ask for an upload whose first client stays connected, and see if its bytes are kept."""
        with contextlib.ExitStack() as stack:
            upload = Upload(daemon, 3 * MIB)
            upload.create()
            first, second = self.pair(daemon, stack, apart)
            upload.half_open(first, 0, MIB + 7)
            rest = upload.data[MIB + 7 :] if method == "PATCH" else b""
            began = time.monotonic()
            second.sendall(upload.head_of(method, len(rest), MIB + 7) + rest)
            answer = second.recv(65536)
            self.assertLess(time.monotonic() - began, PROMPT)
            self.assertIn(read_reply(first)[0], (409, 503))
            offset = MIB + 7 if method == "HEAD" else 3 * MIB
            return f"\r\nUpload-Offset: {offset}\r\n".encode() in answer

    def pair(
        self, daemon: Daemon, stack: contextlib.ExitStack, apart: bool
    ) -> tuple[socket.socket, socket.socket]:
        """Open two connections, to two workers or to the same."""
        known: dict[int, list[socket.socket]] = {}
        while True:
            connection = stack.enter_context(daemon.connect())
            known.setdefault(holder(daemon, connection), []).append(connection)
            if apart and len(known) > 1:
                (one, *_), (other, *_) = known.values()
                return one, other
            for some in known.values():
                if not apart and len(some) > 1:
                    return some[0], some[1]

    def test_a_worker_that_is_stopped_is_not_waited_for(self) -> None:
        """SIGSTOP, as of a machine that hangs; when it goes on, it harms nothing."""
        daemon = self.start()
        upload = Upload(daemon, 3 * MIB)
        upload.create()
        self.assertEqual(upload.send(0, MIB).status, 204)
        with daemon.connect() as connection:
            upload.half_open(connection, MIB, 2 * MIB + 7)
            worker = holder(daemon, connection)
            os.kill(worker, signal.SIGSTOP)
            try:
                began = time.monotonic()
                self.finish(upload, MIB)
                self.assertLess(time.monotonic() - began, PROMPT)
            finally:
                os.kill(worker, signal.SIGCONT)
            # It may send on, and is told that nobody waits for it.
            with contextlib.suppress(OSError):
                connection.sendall(upload.data[2 * MIB + 7 :])
                self.assertIn(read_reply(connection)[0], (409, 503))
        self.assertEqual(file_digest(upload.path), upload.oid)

    def test_a_client_that_is_stopped_is_not_waited_for(self) -> None:
        """It keeps its connection open, and sends nothing."""
        daemon = self.start(limits={"body_rate_window": 1})
        upload = Upload(daemon, 3 * MIB)
        upload.create()
        with daemon.connect() as connection:
            upload.half_open(connection, 0, MIB + 7)
            self.assertEqual(read_reply(connection)[0], 408)
        self.finish(upload, MIB + 7)


class StopTests(WorkersTestCase):
    def test_what_was_acknowledged_outlasts_a_worker_that_is_killed(self) -> None:
        """``kill -9`` at random places: never less than was acknowledged, and never wrong."""
        daemon = self.start()
        for _ in range(rounds(3, 50)):
            upload = Upload(daemon, 8 * MIB)
            upload.create()
            first = random.randrange(4 * MIB)
            self.assertEqual(upload.send(0, first).status, 204)
            with daemon.connect() as connection:
                upload.half_open(connection, first, random.randrange(first, 8 * MIB))
                os.kill(holder(daemon, connection), signal.SIGKILL)
            wait_until(lambda: len(daemon.workers) == 2, "another worker")
            self.finish(upload, first)

    def test_what_has_come_is_kept_when_the_daemon_ends(self) -> None:
        """SIGTERM, and a client that does not finish in time; the next daemon goes on."""
        daemon = self.start(shutdown_timeout=1)
        upload = Upload(daemon, 3 * MIB)
        upload.create()
        with daemon.connect() as connection:
            upload.half_open(connection, 0, MIB + 7)
            self.assertEqual(daemon.stop(), ENDED)
        daemon.start()
        self.finish(upload, MIB + 7)

    def test_an_upload_finishes_in_a_worker_that_is_replaced(self) -> None:
        """A reload: the old worker answers, whoever comes meanwhile makes it let go."""
        daemon = self.start()
        upload = Upload(daemon, 3 * MIB)
        upload.create()
        with daemon.connect() as connection:
            upload.half_open(connection, 0, MIB)
            logged = daemon.stdout.count(" listens on ")
            daemon.running.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.stdout.count(" listens on ") > logged, "the reload")
            connection.sendall(upload.data[MIB : 2 * MIB])
            wait_until(lambda: not waiting(connection), "the daemon to take it")
            self.assertEqual(upload.offset(), 2 * MIB)
            self.assertEqual(read_reply(connection)[0], 409)
        self.finish(upload, 2 * MIB)
