"""One process that serves: several fronts, started, retired and drained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.app.assembly import build_fronts
from giftless.app.config import EndpointOptions, parse
from giftless.errors import ConfigError
from giftless.interfaces import IFront
from giftless.runtime.instance import Instance
from giftless.runtime.sockets.binding import Sockets
from giftless.runtime.sockets.endpoints import Listening, listenings
from giftless.usecases.scrub import scrubbing
from giftless.usecases.scrub.journal import Journal
from giftless.web.front import HTTPFront

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor

ANY_PORT = "tcp:0:interface=127.0.0.1"


class Lines(LineOnlyReceiver):
    """Answers each line in capitals; ``work`` only when the front says so."""

    transport: Any
    delimiter = b"\n"
    busy = False

    def __init__(self, front: LineFront) -> None:
        self.front = front

    def connectionMade(self) -> None:
        self.front.connections.add(self)

    def lineReceived(self, line: bytes) -> None:
        if line == b"work":
            self.busy = True
        else:
            self.respond(line.upper())

    def respond(self, answer: bytes) -> None:
        self.busy = False
        self.sendLine(answer)
        if self.front.retiring:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.front.connections.discard(self)
        self.front.check()


@implementer(IFront)
class LineFront:
    """Serves a protocol of lines."""

    name = "lines"

    def __init__(self) -> None:
        self.factory = Factory.forProtocol(lambda: Lines(self))
        self.factory.noisy = False
        self.connections: set[Lines] = set()
        self.calls: list[object] = []
        self.retiring = False
        self._empty: list[Deferred[None]] = []

    async def start(self) -> None:
        assert not self.connections, "nobody is connected yet"
        self.calls.append("start")

    def retire(self) -> Deferred[None]:
        self.calls.append("retire")
        self.retiring = True
        return self.when_empty()

    def drain(self, timeout: float) -> Deferred[None]:
        self.calls.append(("drain", timeout))
        self.retiring = True
        for connection in list(self.connections):
            if not connection.busy:
                connection.transport.loseConnection()
        cut = reactor.callLater(timeout, self.cut)

        def cancel(_: None) -> None:
            if cut.active():
                cut.cancel()

        return self.when_empty().addCallback(cancel)

    def cut(self) -> None:
        for connection in list(self.connections):
            connection.transport.abortConnection()

    def finish_work(self) -> None:
        """Answer those that wait."""
        for connection in list(self.connections):
            if connection.busy:
                connection.respond(b"DONE")

    def when_empty(self) -> Deferred[None]:
        self._empty.append(done := Deferred[None]())
        self.check()
        return done

    def check(self) -> None:
        if not self.connections:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)


class Client(Protocol):
    """Collects what a server sends.

    :ivar closed: fires when the connection has ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._wanted: tuple[bytes, Deferred[None]] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._wanted is not None and self._wanted[0] in self.received:
            (_, found), self._wanted = self._wanted, None
            found.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)

    async def ask(self, request: bytes, answer: bytes) -> None:
        """Send a request, and wait for something in the answer to it."""
        self.received = b""
        self._wanted = (answer, Deferred())
        self.transport.write(request)
        await self._wanted[1]


class InstanceTestCase(TestCase):
    def setUp(self) -> None:
        self.lines = LineFront()
        self.sockets = Sockets(reactor)
        self.addCleanup(self.sockets.keep, [])

    def instance(self, *endpoints: Any, shutdown_timeout: int = 60, more: str = "") -> Instance:
        """Make an instance with the front of lines beside HTTP.

        :param more: what else the configuration says.
        """
        text = (
            f"storage: {{type: local, path: {self.mktemp()}}}\n"
            f"state_dir: {self.mktemp()}\nlocks: {{type: none}}\n"
            f"shutdown_timeout: {shutdown_timeout}\n"
            f"endpoints: {list(endpoints)}\n{more}"
        )

        def fronts(*configured: Any) -> Sequence[IFront]:
            return [*build_fronts(*configured), self.lines]

        self.loaded = parse("giftless.yaml", text, {})
        return Instance(self.loaded, reactor, fronts)

    async def start(self, shutdown_timeout: int = 60, more: str = "") -> Instance:
        """Start an instance with one endpoint for each front; see :meth:`instance`."""
        lines = {"listen": "tcp:0:interface=127.0.0.2", "front": "lines"}
        instance = self.instance(ANY_PORT, lines, shutdown_timeout=shutdown_timeout, more=more)
        bound = self.sockets.bind(listenings(self.loaded.config.endpoints))
        self.addresses = [self.sockets.address(descriptor) for descriptor in bound]
        await instance.start([os.dup(descriptor) for descriptor in bound])
        return instance

    async def connect(self, index: int) -> Client:
        """Connect to an endpoint."""
        host, port = self.addresses[index] or ("", 0)
        client: Client = await connectProtocol(HostnameEndpoint(reactor, host, port), Client())
        self.addCleanup(lambda: client.transport.abortConnection())
        return client


GET = b"GET / HTTP/1.1\r\nHost: lfs.example\r\n\r\n"


class FrontTests(InstanceTestCase):
    def test_fronts_provide_their_interface(self) -> None:
        verifyObject(IFront, self.lines)
        verifyObject(IFront, HTTPFront(object()))  # type: ignore[arg-type]

    async def test_each_endpoint_is_served_by_the_front_that_it_names(self) -> None:
        instance = await self.start()
        http, lines = await self.connect(0), await self.connect(1)
        await lines.ask(b"hello\n", b"HELLO\n")
        await http.ask(GET, b"HTTP/1.1 200 ")
        self.assertEqual(self.lines.calls, ["start"])
        lines.transport.loseConnection()
        http.transport.loseConnection()
        await instance.stop()

    async def test_all_fronts_retire(self) -> None:
        instance = await self.start()
        http, lines = await self.connect(0), await self.connect(1)
        await lines.ask(b"one\n", b"ONE\n")
        await http.ask(GET, b"HTTP/1.1 200 ")
        retired = Deferred.fromCoroutine(instance.retire())
        await lines.ask(b"two\n", b"TWO\n")
        await lines.closed
        self.assertNoResult(retired)
        await http.ask(GET, b"Connection: close")
        await http.closed
        await retired
        self.assertEqual(self.lines.calls, ["start", "retire"])
        await instance.stop()

    async def test_all_fronts_drain(self) -> None:
        """What is idle is closed at once; what is busy may finish."""
        instance = await self.start()
        http, idle, busy = [await self.connect(index) for index in (0, 1, 1)]
        await idle.ask(b"one\n", b"ONE\n")
        await busy.ask(b"two\nwork\n", b"TWO\n")
        stopped = Deferred.fromCoroutine(instance.stop())
        await http.closed
        await idle.closed
        self.assertNoResult(stopped)
        self.lines.finish_work()
        await busy.closed
        self.assertTrue(busy.received.endswith(b"DONE\n"))
        await stopped
        self.assertEqual(self.lines.calls, ["start", ("drain", 60)])

    async def test_what_is_busy_for_too_long_is_cut_off(self) -> None:
        instance = await self.start(shutdown_timeout=0)
        busy = await self.connect(1)
        await busy.ask(b"one\nwork\n", b"ONE\n")
        await instance.stop()
        await busy.closed
        self.assertNotIn(b"DONE", busy.received)

    async def test_a_front_that_no_endpoint_names_is_not_started(self) -> None:
        instance = self.instance(ANY_PORT)
        bound = self.sockets.bind(listenings(self.loaded.config.endpoints))
        await instance.start([os.dup(descriptor) for descriptor in bound])
        await instance.stop()
        self.assertEqual(self.lines.calls, [])


class ScrubTests(InstanceTestCase):
    async def test_who_retires_scrubs_no_more_even_while_clients_are_connected(self) -> None:
        """The configuration that is new may not want it, or may have another store."""
        self.patch(scrubbing, "LOOKED", 0.01)
        instance = await self.start(more="scrub: {period: 30d}\n")
        client = await self.connect(1)
        await client.ask(b"one\n", b"ONE\n")
        journal = Journal(self.loaded.config.state_dir)
        while journal.read() is None:
            await deferLater(reactor, 0.01)
        self.assertIsNone(journal.take(), "it scrubs")
        retired = Deferred.fromCoroutine(instance.retire())
        while (held := journal.take()) is None:
            await deferLater(reactor, 0.01)
        held.release()
        self.assertNoResult(retired)
        client.transport.loseConnection()
        await retired
        await instance.stop()


class ConfigurationTests(InstanceTestCase):
    def test_a_front_that_does_not_exist_is_refused(self) -> None:
        section = {"listen": "tcp:1", "front": "gopher"}
        error = self.assertRaises(ConfigError, self.instance, ANY_PORT, section)
        self.assertIn(
            "giftless.yaml: endpoints.1.front: found text, available: http, lines", str(error)
        )

    def test_a_string_is_for_http(self) -> None:
        self.assertEqual(
            listenings(["tcp:1", EndpointOptions(listen="tcp:2")]),
            [
                Listening("tcp:1", HTTPFront.name, "endpoints.0"),
                Listening("tcp:2", HTTPFront.name, "endpoints.1.listen"),
            ],
        )
