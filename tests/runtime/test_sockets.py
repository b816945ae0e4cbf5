"""Endpoints that one process binds and others accept on, over real sockets.

Binding and adopting are done in one process here: what counts is that each
works with a socket of its own.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent
from twisted.python import systemd
from twisted.trial.unittest import SynchronousTestCase, TestCase

from giftless.app.config import Config
from giftless.errors import ConfigError
from giftless.runtime.sockets.adopting import adopt
from giftless.runtime.sockets.binding import Sockets
from giftless.runtime.sockets.endpoints import (
    check_endpoints,
    listenings,
    session_listenings,
    worker_listenings,
)
from giftless.runtime.sockets.ports import BACKLOG, MOST, TURN, SharedTCPPort
from giftless.ssh.options import SSHOptions
from tests.support.logs import observe
from tests.support.processes import PATIENCE

TCP = "tcp:0:interface=127.0.0.1"


class Greeter(Protocol):
    """Answers by saying who it is, and whom it sees."""

    transport: Any
    factory: Any

    def dataReceived(self, data: bytes) -> None:
        peer = getattr(self.transport.getPeer(), "host", "nobody")
        self.transport.write(f"{self.factory.name} sees {peer}".encode())
        self.transport.loseConnection()


class SocketsTestCase(TestCase):
    def setUp(self) -> None:
        self.sockets = Sockets(reactor)
        self.addCleanup(self.sockets.keep, [])

    def bind(self, endpoints: list[str]) -> list[int]:
        """Bind endpoints as the parent does."""
        return self.sockets.bind(listenings(endpoints))

    async def adopt(self, descriptor: int, endpoint: str, name: str = "worker") -> Any:
        """Accept connections as a worker does."""
        factory: Any = Factory.forProtocol(Greeter)
        factory.name = name
        factory.noisy = False
        port = await adopt(reactor, os.dup(descriptor), listenings([endpoint])[0], factory, False)
        self.addCleanup(port.stopListening)
        return port

    async def greeting(
        self, address: Any, family: int = socket.AF_INET, say: bytes = b"who?\n"
    ) -> bytes:
        """Connect, and return what is said."""

        def connect() -> bytes:
            with socket.socket(family) as client:
                client.settimeout(30)
                client.connect(address)
                client.sendall(say)
                return client.makefile("rb").read()

        result: bytes = await deferToThread(connect)
        return result

    def address(self, descriptor: int) -> tuple[str, int]:
        address = self.sockets.address(descriptor)
        assert address is not None
        return address


class TCPTests(SocketsTestCase):
    async def test_one_after_the_other(self) -> None:
        """Whoever stops, the socket lives on; connections wait meanwhile."""
        (bound,) = self.bind([TCP])
        address = self.address(bound)
        first = await self.adopt(bound, TCP, "first")
        self.assertEqual(await self.greeting(address), b"first sees 127.0.0.1")
        second = await self.adopt(bound, TCP, "second")
        await first.stopListening()
        self.assertEqual(await self.greeting(address), b"second sees 127.0.0.1")
        await second.stopListening()
        # Nobody accepts now, and yet nobody is refused.
        late = socket.create_connection(address, timeout=PATIENCE)
        self.addCleanup(late.close)
        await self.adopt(bound, TCP, "third")
        late.sendall(b"who?\n")
        answer = await deferToThread(late.recv, 100)
        self.assertEqual(answer, b"third sees 127.0.0.1")

    async def test_workers_go_on_without_the_parent(self) -> None:
        """The end of the parent's descriptor is not the end of the socket."""
        (bound,) = self.bind([TCP])
        address = self.address(bound)
        port = await self.adopt(bound, TCP)
        await self.sockets.keep([])
        self.assertEqual(await self.greeting(address), b"worker sees 127.0.0.1")
        await port.stopListening()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, address, 10)

    def test_many_may_wait(self) -> None:
        (bound,) = self.bind([TCP])
        clients = [
            socket.create_connection(self.address(bound), timeout=PATIENCE) for _ in range(200)
        ]
        for client in clients:
            client.close()
        self.assertGreater(BACKLOG, len(clients))

    def test_what_is_bound_stays_bound(self) -> None:
        """It is known by its address, whatever the endpoint does besides."""
        (bound,) = self.bind([TCP])
        self.assertEqual(self.bind([f"haproxy:{TCP}:backlog=5"]), [bound])
        self.sockets.keep([bound])
        self.assertEqual(self.bind([TCP]), [bound])

    def test_an_address_that_others_have(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            endpoint = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            error = self.assertRaises(ConfigError, self.bind, [TCP, endpoint])
        self.assertEqual(error.path, "endpoints.1")
        self.assertIn("Address already in use", error.problem)

    def test_twice_the_same(self) -> None:
        error = self.assertRaises(ConfigError, self.bind, [TCP, TCP])
        self.assertEqual((error.path, "already listed" in error.problem), ("endpoints.1", True))


class TurnsTests(SynchronousTestCase):
    """How the connections of a client that opens several are divided."""

    def adopt(self, waiting: int, alone: bool = False) -> SharedTCPPort:
        """Adopt a socket on which connections wait."""
        self.reactor = MemoryReactorClock()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            self.address = listener.getsockname()
            port = SharedTCPPort.adopt(self.reactor, listener, Factory.forProtocol(Protocol), alone)
        self.connect(waiting)
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(port.stopListening)
        return port

    def connect(self, number: int) -> None:
        """Let some clients wait."""
        for _ in range(number):
            self.addCleanup(socket.create_connection(self.address, timeout=PATIENCE).close)

    def accept(self, port: SharedTCPPort) -> int:
        """Let a port accept, as the reactor does; returns how many it takes."""
        before = port.sessionno
        port.doRead()
        return port.sessionno - before

    def reads(self, port: SharedTCPPort) -> bool:
        return port in self.reactor.getReaders()

    def test_others_come_first(self) -> None:
        """It takes one, and then more of what the others leave."""
        port = self.adopt(5)
        taken = []
        for _ in range(3):
            taken.append(self.accept(port))
            paused = not self.reads(port)
            self.reactor.advance(TURN)
            self.assertTrue(self.reads(port))
        self.assertEqual((taken, paused), ([1, 2, 2], False))

    def test_a_crowd_is_accepted_soon(self) -> None:
        port = self.adopt(3 * MOST)
        taken = []
        for _ in range(7):
            taken.append(self.accept(port))
            self.reactor.advance(TURN)
        self.assertEqual(taken, [1, 2, 4, 8, 16, 16, 1])

    def test_a_busy_worker_begins_with_one_only_if_nothing_was_left(self) -> None:
        """Other connections may take longer than a turn before it comes to accept."""
        port = self.adopt(4)
        self.accept(port)
        self.reactor.advance(TURN)
        self.reactor.rightNow += 10 * TURN
        self.assertEqual(self.accept(port), 2)

    def test_what_comes_later(self) -> None:
        """It begins with one again."""
        port = self.adopt(1)
        self.assertEqual(self.accept(port), 1)
        self.reactor.advance(TURN)
        self.reactor.advance(2 * TURN)
        self.connect(2)
        self.assertEqual(self.accept(port), 1)

    def test_a_single_worker_waits_for_nobody(self) -> None:
        """Nobody else would come."""
        port = self.adopt(MOST + 2, alone=True)
        for count in (MOST, 2):
            self.assertEqual(self.accept(port), count)
            self.assertTrue(self.reads(port))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_the_end_comes_during_a_pause(self) -> None:
        port = self.adopt(2)
        self.accept(port)
        stopped = port.stopListening()
        self.reactor.advance(TURN)
        self.successResultOf(stopped)
        self.assertFalse(self.reads(port))


class UnixTests(SocketsTestCase):
    async def test_workers_leave_the_file_alone(self) -> None:
        path = self.mktemp()[-50:]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        endpoint = f"unix:{path}:mode=640"
        (bound,) = self.bind([endpoint])
        mode = os.stat(path).st_mode
        self.assertEqual((stat.S_ISSOCK(mode), mode & 0o777), (True, 0o640))
        first = await self.adopt(bound, endpoint, "first")
        await self.adopt(bound, endpoint, "second")
        await first.stopListening()
        self.assertEqual(os.stat(path).st_mode, mode)
        self.assertEqual(await self.greeting(path, socket.AF_UNIX), b"second sees nobody")
        self.assertEqual(self.bind([f"unix:{path}:mode=600"]), [bound])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        await self.sockets.keep([])
        self.assertFalse(os.path.exists(path))

    async def test_a_socket_is_for_its_user_and_group_unless_the_endpoint_says_more(
        self,
    ) -> None:
        """Whatever the umask, and from its first moment."""
        folder = self.mktemp()[-50:]
        os.makedirs(folder)
        seen = []
        chmod = os.chmod

        def look(path: str, mode: int, *more: object) -> None:
            seen.append(os.stat(path).st_mode & 0o777)
            chmod(path, mode)

        self.patch(os, "chmod", look)
        for umask in (0, 0o022, 0o077):
            self.addCleanup(os.umask, os.umask(umask))
            for number, (options, mode) in enumerate(
                (
                    ("", 0o660),
                    (":mode=666", 0o666),
                    (":mode=0666", 0o666),
                    (":666", 0o666),
                    (":mode=600", 0o600),
                    (":lockfile=0", 0o660),
                )
            ):
                path = f"{folder}/{umask}-{number}"
                self.bind([f"unix:{path}{options}"])
                self.assertEqual(os.stat(path).st_mode & 0o777, mode, (umask, options))
                self.assertEqual(seen.pop(), mode, (umask, options))
            self.assertEqual(os.umask(umask), umask)
        await self.sockets.keep([])

    def test_a_reload_needs_no_right_to_the_file(self) -> None:
        """Who made it may have been root, and have become somebody else since."""
        path = self.mktemp()[-50:]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        endpoint = f"unix:{path}:mode=640"
        bound = self.bind([endpoint])

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(os, "chmod", refuse)
        self.assertEqual(self.bind([endpoint]), bound)

    async def test_what_is_logged_is_text(self) -> None:
        events: list[LogEvent] = []
        observe(self, events.append)
        path = self.mktemp()[-50:]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        (bound,) = self.bind([f"unix:{path}"])
        await (await self.adopt(bound, f"unix:{path}")).stopListening()
        said = "".join(map(formatEvent, events))
        self.assertIn(f"(UNIX Port {path} Closed)", said)
        self.assertTrue(said.isprintable(), repr(said))


class WrapperTests(SocketsTestCase):
    async def test_a_proxy_in_front(self) -> None:
        """What an endpoint does besides listening is done where connections are accepted."""
        endpoint = f"haproxy:{TCP}"
        (bound,) = self.bind([endpoint])
        await self.adopt(bound, endpoint)
        said = await self.greeting(
            self.address(bound), say=b"PROXY TCP4 203.0.113.7 127.0.0.1 5 6\r\nwho?\n"
        )
        self.assertEqual(said, b"worker sees 203.0.113.7")

    def test_what_does_not_listen_is_refused(self) -> None:
        error = self.assertRaises(ConfigError, self.bind, ["stdio:"])
        self.assertIn("one stream socket", error.problem)


class SystemdTests(SocketsTestCase):
    def listen(self, listener: socket.socket) -> None:
        """Bind a socket as systemd does."""
        listener.listen()
        self.passed = os.dup(listener.fileno())
        self.addCleanup(listener.close)
        from twisted.internet.endpoints import _SystemdParser

        self.patch(_SystemdParser, "_sddaemon", systemd.ListenFDs([self.passed], ("web",)))

    async def test_a_socket_may_be_asked_for_again(self) -> None:
        """A reload asks for what has been taken already."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.listen(listener)
        endpoint = "systemd:domain=INET:index=0"
        (bound,) = self.bind([endpoint])
        # Its number may be another's by now.
        self.assertRaises(OSError, os.fstat, self.passed)
        self.assertEqual(self.bind([f"haproxy:{endpoint}"]), [bound])
        await self.adopt(bound, endpoint)
        self.assertEqual(await self.greeting(listener.getsockname()), b"worker sees 127.0.0.1")

    async def test_a_unix_socket_stays_as_it_is(self) -> None:
        path = self.mktemp()[-50:]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o640)
        self.listen(listener)
        endpoint = "systemd:domain=UNIX:name=web"
        (bound,) = self.bind([endpoint])
        port = await self.adopt(bound, endpoint)
        self.assertEqual(await self.greeting(path, socket.AF_UNIX), b"worker sees nobody")
        await port.stopListening()
        await self.sockets.keep([])
        self.assertEqual(Path(path).stat().st_mode & 0o777, 0o640)

    def test_a_missing_socket_names_the_unit(self) -> None:
        check_endpoints(reactor, listenings(["systemd:domain=INET:index=7"]))
        error = self.assertRaises(ConfigError, self.bind, ["systemd:domain=INET:index=7"])
        self.assertIn("start the .socket unit", error.problem)


class SessionSocketTests(SocketsTestCase):
    """The Unix socket by which sessions of SSH reach workers."""

    def config(self, **ssh: Any) -> Config:
        """Return a configuration."""
        return Config(state_dir=self.mktemp(), ssh=SSHOptions(**ssh))

    def test_it_is_there_if_anything_is_served_over_ssh(self) -> None:
        self.assertEqual(session_listenings(self.config()), [])
        for given in ({"endpoints": ["tcp:2222"]}, {"trusted": ["git"]}, {"socket": "/run/x"}):
            (listening,) = session_listenings(self.config(**given))
            self.assertEqual((listening.front, listening.path), ("ssh", "ssh.socket"))

    def test_workers_listen_there_behind_all_endpoints(self) -> None:
        options = self.config(trusted=["git"])
        self.assertEqual(
            [each.path for each in worker_listenings(options)], ["endpoints.0", "ssh.socket"]
        )

    def test_who_may_connect_depends_on_whom_the_kernel_is_asked_for(self) -> None:
        for number, (trusted, mode) in enumerate((([], 0o600), (["git"], 0o666))):
            path = f"{self.mktemp()[-40:]}: {number}.sock"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            listening = session_listenings(self.config(socket=path, trusted=trusted))
            self.sockets.bind(listening)
            self.assertEqual(Path(path).stat().st_mode & 0o777, mode)

    def test_the_directory_is_made_for_the_daemon_alone(self) -> None:
        path = os.path.join(self.mktemp(), "state")
        for _ in range(2):
            self.sockets.make_directory(path)
        self.assertEqual(Path(path).stat().st_mode & 0o777, 0o700)
        with self.assertRaises(OSError):
            self.sockets.make_directory("/proc/no-such-directory/state")

    def test_a_path_that_is_too_long_is_refused_in_words(self) -> None:
        # Another test's process may have a lock beside a path that does not say whose it is.
        listening = session_listenings(self.config(socket=f"/tmp/{os.getpid()}" + "x" * 120))
        error = self.assertRaises(ConfigError, self.sockets.bind, listening)
        self.assertEqual(error.path, "ssh.socket")
        self.assertIn("at most 107 bytes", error.problem)

    def test_a_socket_that_another_process_has_is_refused_in_words(self) -> None:
        path = f"{self.mktemp()[-40:]}.sock"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # The lock that Twisted makes, of a process that lives.
        os.symlink("1", f"{path}.lock")
        listening = session_listenings(self.config(socket=path))
        error = self.assertRaises(ConfigError, self.sockets.bind, listening)
        self.assertIn("another process listens there", error.problem)
