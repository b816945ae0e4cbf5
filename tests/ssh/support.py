"""A whole front for SSH over a store, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from giftless.base.client_memory import Memory
from giftless.base.metrics.counts import Counts
from giftless.base.threads import Threads
from giftless.errors import Unauthorized
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Oid, Repo
from giftless.monitoring.metrics import Metrics
from giftless.monitoring.ssh import SSHCounter
from giftless.ssh.context import Context
from giftless.ssh.front import SSHFront
from giftless.ssh.peers import Peers
from giftless.ssh.processor import Processor
from giftless.ssh.sessions import Sessions
from giftless.storage.local.store import LocalStore
from giftless.transfer.ssh import SSHTransfer
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from giftless.usecases.locks import LockPolicy, LockService
from tests.locks.support import lock_store
from tests.ssh.client import REALM, Line
from tests.support.events import Recorder
from tests.support.logs import observe
from tests.support.making import admin, oid_of, reader, server_of, stranger, writer
from tests.support.reactor import reactor

T = TypeVar("T")

MB = 1024 * 1024


@implementer(IAuthenticator)
class People:
    """Knows people whom somebody has vouched for.

    :ivar known: each person's identity, by the name of the user.
    :ivar asked: how often it was asked.
    """

    def __init__(self) -> None:
        self.known = {
            "will": writer(),
            "wanda": writer("wanda"),
            "rita": reader(),
            "ada": admin(),
            "nobody": stranger(anonymous=False),
        }
        self.asked = 0

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        self.asked += 1
        for vouched in credentials.vouched:
            if vouched.realm == REALM and vouched.user in self.known:
                return self.known[vouched.user]
        raise Unauthorized("nobody knows who that is")


class SSHTestCase(TestCase):
    """Tests of a front on a Unix socket, with threads and real time.

    :ivar directory: where the store and the socket are.
    :ivar store: the store.
    :ivar people: who may do what.
    :ivar sessions: the open connections.
    :ivar recorder: keeps what was published.
    :ivar metrics: what was counted.
    :ivar lines: the lines of the access log.
    """

    async def serve(
        self,
        store: Any = None,
        max_objects: int = 1000,
        max_object_size: int = 1024 * MB,
        memory: int = 64 * MB,
        max_request: int = MB,
        locking: bool = True,
        **options: Any,
    ) -> None:
        """Make a front and listen."""
        self.directory = tempfile.mkdtemp(prefix="giftless-ssh-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.lines: list[str] = []
        self.failures: list[str] = []
        observe(self, self._note)
        threads = Threads(reactor, 4)
        threads.startService()
        self.addCleanup(threads.stopService)
        objects = os.path.join(self.directory, "objects")
        os.mkdir(objects)
        self.store = store or LocalStore(objects, "", threads)
        self.people, self.recorder = People(), Recorder()
        events, gate = Events({"recorder": self.recorder}), Gate()
        self.metrics = Metrics(Counts())
        self.sessions = Sessions(options.pop("limit", 100), reactor)
        locks = None
        if locking:
            service = lock_store(self, os.path.join(self.directory, "locks.sqlite"))
            locks = LockService(service, gate, LockPolicy(), reactor.seconds, events)
        server = server_of(
            self.store,
            SSHTransfer(),
            blocking=threads,
            max_object_size=max_object_size,
            events=events,
        )
        people = self.people
        sizes = max_objects, max_object_size
        processor = Processor(server, locks, gate, events, people, people, people, *sizes)
        given = {"processor": processor, "peers": Peers([]), **options}
        self.context = Context(
            clock=reactor,
            blocking=threads,
            memory=Memory(memory, reactor),
            max_request=max_request,
            sessions=self.sessions,
            counter=SSHCounter(self.metrics),
            **given,
        )
        self.front = SSHFront(self.context)
        self.path = os.path.join(self.directory, "ssh.sock")
        port = await UNIXServerEndpoint(reactor, self.path, backlog=500).listen(self.front.factory)
        self.addCleanup(self.front.drain, 0)
        self.addCleanup(port.stopListening)

    def _note(self, event: LogEvent) -> None:
        text = formatEvent(event)
        if event.get("log_namespace") == "giftless.access":
            self.lines.append(text)
        elif event.get("log_failure") is not None:
            self.failures.append(text)

    def line(self) -> Line:
        """Connect a client; only in a thread."""
        return Line(self.path)

    async def session(self, client: Callable[[Line], T]) -> T:
        """Run a client, in a thread, with a connection of its own."""

        def work() -> T:
            with self.line() as line:
                return client(line)

        return await self.in_thread(work)

    async def in_thread(self, client: Callable[[], T]) -> T:
        """Run a client with blocking sockets."""
        return await deferToThread(client)

    def in_background(self, client: Callable[[], T]) -> Awaitable[T]:
        """Start a client with blocking sockets."""
        return deferToThread(client)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; fail if it does not in time."""
        end = reactor.seconds() + 60
        while not condition():
            self.assertLess(reactor.seconds(), end, "this does not happen")
            await deferLater(reactor, 0.005)

    async def settled(self) -> None:
        """Wait until no connection is open, and check that nothing is left of any."""
        await self.until(lambda: not self.sessions._open)
        self.assertEqual(self.temporaries(), [])
        self.assertEqual(self.sessions._per_network, {})
        self.assertEqual(self.counted("giftless_ssh_sessions"), 0)
        memory = self.context.memory
        self.assertEqual((memory.passing.used, memory.passing._bodies), (0, 0))
        self.assertEqual((memory.bodies.used, memory.answers.used), (0, 0))
        self.assertEqual(self.failures, [])

    def counted(self, name: str, *labels: str) -> float:
        """Return a number of the metrics."""
        numbers: Any = {
            "giftless_ssh_sessions": self.metrics.ssh_sessions,
            "giftless_ssh_requests_total": self.metrics.ssh_requests,
        }[name]
        return float(numbers.values[numbers.place(labels)])

    def temporaries(self) -> list[str]:
        """Return the names of files of uploads that are not finished."""
        folder = os.path.join(self.directory, "objects", ".giftless", "tmp")
        return os.listdir(folder) if os.path.isdir(folder) else []

    def put(self, data: bytes, path: str = "org/repo") -> Oid:
        """Put an object into the store, as an earlier upload would have."""
        folder = os.path.join(self.directory, "objects", path)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, oid_of(data)), "wb") as file:
            file.write(data)
        return oid_of(data)

    def stored(self, data: bytes, path: str = "org/repo") -> bytes | None:
        """Return what is stored of an object; ``None`` if it is not there."""
        try:
            with open(os.path.join(self.directory, "objects", path, oid_of(data)), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
