"""A whole HTTP front for tests: in memory under a clock, or on a loopback port.

:class:`Front` puts the site together over a store, as the daemon does.  In
memory, :class:`Connection` plays the client: bytes go in, parsed responses come
out, and time is a ``Clock``.  On a port, :class:`Peer` is a client with a plain
blocking socket, to be used in a thread.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from giftless.app.transfers import build_transfers
from giftless.auth.actions import ActionOptions
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain
from giftless.base.threads import Threads
from giftless.interfaces import (
    Credentials,
    IAuthenticator,
    IBlocking,
    Identity,
    ILockStore,
    IObjectStore,
    IResumableStore,
    ITransferFactory,
)
from giftless.lfs.multipart import PART_SIZE
from giftless.lfs.objects import Repo
from giftless.monitoring.http import HTTPCounter
from giftless.storage.local.store import LocalStore
from giftless.transfer.agent import AgentFactory
from giftless.transfer.basic import BasicFactory
from giftless.transfer.multipart import MultipartFactory
from giftless.transfer.tus import TusFactory
from giftless.usecases.authorization import Gate
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.locks import LockPolicy, LockService
from giftless.usecases.multipart import MultipartServer
from giftless.usecases.objects import LFSServer
from giftless.usecases.resumable import ResumableServer
from giftless.web.adapter_endpoints import AdapterEndpoints
from giftless.web.cors import Cors, CorsOptions
from giftless.web.errors import Challenge
from giftless.web.landing import Landing
from giftless.web.limits import Limits
from giftless.web.locks import LockEndpoints, routes_without_locks
from giftless.web.objects import ObjectEndpoints
from giftless.web.parts import PartEndpoints
from giftless.web.proxies import Proxies, ServerURL
from giftless.web.route import Route
from giftless.web.routes import LFSResource
from giftless.web.site import LFSSite
from giftless.web.tus import TusEndpoints
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import SECRET, oid_of
from tests.support.reactor import reactor

T = TypeVar("T")

MEDIA_TYPE = "application/vnd.git-lfs+json"

#: What git-lfs calls itself.
GIT_LFS = "git-lfs/3.8.1 (GitHub; linux amd64; go 1.26.8)"

#: What every line of an access log has.
ACCESS_NAMESPACE = "giftless.access"

#: What the in-memory connections come from, unless a test says otherwise.
CLIENT = IPv4Address("TCP", "198.51.100.7", 54321)


# --- responses ---------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """One response, as it was on the wire.

    :ivar headers: by lower-case name; repeated ones joined by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Incomplete(Exception):
    """The bytes end before the response does."""


def parse_head(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Take a response's head off the front of ``data``.

    :returns: status, headers by lower-case name, and what follows.
    :raises Incomplete: if it is not all there.
    """
    top, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        raise Incomplete(data)
    status_line, *lines = top.decode("latin-1").split("\r\n")
    version, status, _ = status_line.split(" ", 2)
    assert version in ("HTTP/1.0", "HTTP/1.1"), status_line
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status), headers, rest


def body_length(status: int, headers: Mapping[str, str], head: bool) -> int:
    """Return how many bytes of body a response has.

    :param head: whether it answers a HEAD request, so it has no body.
    """
    if head or status < 200 or status in (204, 304):
        return 0
    assert "transfer-encoding" not in headers, "every response tells its length"
    return int(headers["content-length"])


def parse_response(data: bytes, head: bool = False) -> tuple[Response, bytes]:
    """Take one response, an interim one too, off the front of ``data``.

    :returns: the response and what follows it.
    :raises Incomplete: if it is not all there.
    """
    status, headers, rest = parse_head(data)
    length = body_length(status, headers, head)
    if len(rest) < length:
        raise Incomplete(data)
    return Response(status, headers, rest[:length]), rest[length:]


def render_request(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """Write a request as bytes; Host and Content-Length are added where missing."""
    all_headers = {"Host": "lfs.example", **(headers or {})}
    if (body or method in ("PUT", "POST")) and "Transfer-Encoding" not in all_headers:
        all_headers.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} {version}", *(f"{n}: {v}" for n, v in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    """Write a body in the chunked transfer coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


# --- the front -----------------------------------------------------------------


@implementer(IAuthenticator)
class KeyAuthenticator:
    """Knows people by their bearer tokens.

    :param people: each person's identity by their token.
    """

    def __init__(self, people: Mapping[str, Identity]) -> None:
        self._people = people

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        for shown in credentials.bearers:
            if shown.token in self._people:
                return self._people[shown.token]
        return None


class Front:
    """The HTTP front over a store, put together as the daemon does it.

    :param directory: where a :class:`LocalStore` is made.
    :param store: the store to use instead.
    :param authenticators: the chain; anybody may read and write by default.
    :param trusted: trusted proxies.
    :param certificate_header: the header in which these tell a client's certificate.
    :param locks: where locks are; by default there are none.
    :param events: where it is published what has happened.
    :param counter: counts requests.
    :param routes: more endpoints.
    :param more_transfers: factories of transfers beside the built-in ones.
    """

    def __init__(
        self,
        directory: str,
        clock: IReactorTime,
        *,
        blocking: IBlocking | None = None,
        store: IObjectStore | None = None,
        authenticators: Sequence[IAuthenticator] | None = None,
        limits: Limits | None = None,
        trusted: Sequence[str] = (),
        certificate_header: str = "",
        public_url: str = "",
        actions: ActionOptions | None = None,
        secret: bytes = SECRET,
        part_size: int = PART_SIZE,
        cors: CorsOptions | None = None,
        locks: ILockStore | None = None,
        lock_policy: LockPolicy | None = None,
        names_people: bool = True,
        events: Events = NO_EVENTS,
        challenge: Challenge | None = None,
        counter: HTTPCounter | None = None,
        routes: Sequence[Route] = (),
        more_transfers: Sequence[ITransferFactory] = (),
    ) -> None:
        self.directory = directory
        self.limits = limits or Limits()
        blocking = blocking or InlineBlocking()
        if store is None:
            os.makedirs(directory, exist_ok=True)
            store = LocalStore(directory, "", blocking, part_size)
        if authenticators is None:
            authenticators = [AnonymousAuthenticator("read-write")]
        self.store = store
        factories: Any = (
            *more_transfers,
            *(AgentFactory(), MultipartFactory(), TusFactory(), BasicFactory()),
        )
        transfers = build_transfers(
            {f"transfers.{index}": factory for index, factory in enumerate(factories)},
            store,
            secret,
            actions or ActionOptions(),
            clock.seconds,
        )
        self.tokens = transfers.tokens
        proxies = Proxies(trusted, certificate_header)
        gate = Gate(names_people=lambda _: names_people)
        actions_authenticator = AuthChain([self.tokens, *authenticators])
        server = LFSServer(
            store, transfers.registry, blocking, self.limits.object_size, gate, events
        )
        objects = ObjectEndpoints(
            server,
            AuthChain(authenticators),
            actions_authenticator,
            self.limits,
            blocking,
        )
        parts = PartEndpoints(
            MultipartServer(store, transfers.planner, blocking, gate, clock, events),
            actions_authenticator,
        )
        tus_routes: Sequence[Route] = ()
        if IResumableStore.providedBy(store):
            size = self.limits.object_size
            resumable = ResumableServer(store, directory, blocking, size, gate, events)
            tus = TusEndpoints(resumable, AuthChain(authenticators), actions_authenticator, size)
            tus_routes = tus.routes
        lock_routes = routes_without_locks()
        if locks is not None:
            policy = lock_policy or LockPolicy()
            service = LockService(locks, gate, policy, clock.seconds, events)
            lock_routes = LockEndpoints(service, AuthChain(authenticators)).routes
        server_url = ServerURL(proxies, public_url)
        routes = [
            *Landing(server_url).routes,
            *objects.routes,
            *parts.routes,
            *tus_routes,
            *lock_routes,
            *routes,
        ]
        brought = AdapterEndpoints(
            AuthChain(authenticators), actions_authenticator, gate, server, blocking
        )
        routes += brought.routes(transfers.adapters, routes)
        self._api = LFSResource(routes, server_url)
        self.site = LFSSite(
            self._api.resource(),
            self.limits,
            proxies,
            clock,
            challenge or Challenge(),
            Cors(cors or CorsOptions()),
            events,
            counter,
        )

    def forget_fast_routes(self) -> None:
        """Let Klein find the endpoints of all requests."""
        self.site.resource = self._api.tree

    def put(self, data: bytes, path: str = "org/repo") -> str:
        """Put an object into the directory, as an earlier upload would have.

        :returns: its oid.
        """
        os.makedirs(os.path.join(self.directory, path), exist_ok=True)
        with open(os.path.join(self.directory, path, oid_of(data)), "wb") as file:
            file.write(data)
        return oid_of(data)

    def objects(self) -> dict[str, bytes]:
        """Return every visible object, by its path below the directory."""
        found = {}
        for top, _, files in os.walk(self.directory):
            for name in files:
                path = os.path.relpath(os.path.join(top, name), self.directory)
                # An upload that ends just then takes its file away.
                if not path.startswith(_NO_OBJECTS):
                    with (
                        suppress(FileNotFoundError),
                        open(os.path.join(top, name), "rb") as file,
                    ):
                        found[path] = file.read()
        return found


#: What a store keeps beside objects and what is left of uploads.
_NO_OBJECTS = (".giftless/extras", ".giftless/identity", ".giftless/writers")


def storage_url(oid: str, repo: str = "/org/repo.git/info/lfs") -> str:
    """Return the path of an object's bytes."""
    return f"{repo}/objects/storage/{oid}"


def batch_body(operation: str, *objects: Mapping[str, Any], **members: Any) -> bytes:
    """Write the body of a batch request."""
    return json.dumps({"operation": operation, "objects": list(objects), **members}).encode()


# --- in memory -----------------------------------------------------------------


class _Transport(StringTransport):
    """A transport that closes as TCP does: later, and then for good."""

    def __init__(self, clock: Clock, peer: Any) -> None:
        super().__init__(peerAddress=peer, lenient=True)
        self._clock = clock
        self.protocol: Any = None
        self.wake: Callable[[], None] = lambda: None
        self.aborted = False
        self.stubborn = False

    @property
    def reading(self) -> bool:
        """Whether bytes from the client would be taken now."""
        return self.producerState == "producing" and not self.disconnecting

    def write(self, data: bytes) -> None:
        if self.connected and not self.aborted:
            super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            if not self.stubborn:
                self._clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        if self.connected:
            self.disconnecting = True
            self._clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.disconnected = True
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))

    def unregisterProducer(self) -> None:
        self.producer = None

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._clock.callLater(0, self.wake)


class Connection:
    """A client's connection to a site, in memory.

    Bytes are delivered while the server reads, in pieces as a socket would.
    """

    def __init__(self, site: LFSSite, clock: Clock, peer: Any = CLIENT) -> None:
        self._clock = clock
        self._unsent = b""
        self.transport = _Transport(clock, peer)
        self.transport.wake = self._deliver
        self.channel = site.buildProtocol(peer)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)
        clock.advance(0)

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return not self.transport.connected

    @property
    def aborted(self) -> bool:
        """Whether the server has cut the connection off, with no good end."""
        return self.transport.aborted

    def be_stubborn(self) -> None:
        """Take no part in the closing of the connection, as TLS clients can."""
        self.transport.stubborn = True

    @property
    def held_up(self) -> int:
        """How many bytes the server does not take at the moment."""
        return len(self._unsent)

    @property
    def received(self) -> bytes:
        """What has come and was not taken by :meth:`response` yet."""
        return bytes(self.transport.value())

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._unsent += data
        self._deliver()
        self._clock.advance(0)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> Response:
        """Send a request and return its response."""
        self.send(render_request(method, target, headers, body, version))
        return self.response(head=method == "HEAD")

    def response(self, head: bool = False) -> Response:
        """Return the next response that has come, whole."""
        response, rest = parse_response(self.received, head)
        self.transport.clear()
        self.transport.io.write(rest)
        return response

    def disconnect(self) -> None:
        """Let the client go away, without a word."""
        self.transport.disconnecting = True
        self.transport.lose(ConnectionLost())
        self._clock.advance(0)

    def _deliver(self) -> None:
        while self._unsent and self.transport.reading and self.transport.connected:
            piece, self._unsent = self._unsent[:65536], self._unsent[65536:]
            self.channel.dataReceived(piece)


# --- test cases ------------------------------------------------------------------


class _Logged:
    """Keeps what is logged while a test runs, and looks for secrets in it."""

    def start_log(self: Any) -> None:
        self.events: list[LogEvent] = []
        observe(self, self.events.append)
        self.addCleanup(self._check_log)

    @property
    def access(self: Any) -> list[LogEvent]:
        """The lines of the access log so far."""
        return [e for e in self.events if e.get("log_namespace") == ACCESS_NAMESPACE]

    def only_error(self: Any) -> str:
        """Return the one line of the log that says what went wrong; it has no traceback."""
        (event,) = [event for event in self.events if event["log_level"].name == "error"]
        self.assertNotIn("log_failure", event)
        text: str = formatEvent(event)
        return text

    def _check_log(self: Any) -> None:
        for event in self.events:
            text = f"{formatEvent(event)} {event!r}"
            # All of the daemon's tokens begin like this: it is '{"' in base64.
            self.assertNotIn("eyJ", text, "a token is in the log")
            self.assertNotIn("Bearer", text, "an Authorization header is in the log")

    def assert_stored(self: Any, *wanted: bytes) -> None:
        """Check that these objects are in the directory, and nothing else."""
        found = self.front.objects()
        self.assertEqual(
            {path: len(data) for path, data in found.items()},
            {f"org/repo/{oid_of(data)}": len(data) for data in wanted},
        )
        for data in wanted:
            self.assert_same_bytes(found[f"org/repo/{oid_of(data)}"], data)

    def assert_same_bytes(self: Any, found: bytes, wanted: bytes) -> None:
        """Compare large values without ever printing them."""
        self.assertEqual(len(found), len(wanted))
        self.assertTrue(found == wanted, "the bytes differ")

    def assert_error(self: Any, response: Response, status: int) -> None:
        """Check that a response is an error as the Git LFS API has them."""
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
        self.assertEqual(set(response.json), {"message", "request_id"})
        self.assertTrue(response.json["message"])
        self.assertTrue(response.json["request_id"])
        self.assertEqual(response.headers["x-request-id"], response.json["request_id"])


class FrontTestCase(_Logged, SynchronousTestCase):
    """Tests of a front in memory, under a clock.

    :ivar clock: the time.
    :ivar front: what :meth:`serve` has made last.
    """

    front: Front

    def setUp(self) -> None:
        self.clock = Clock()
        self.start_log()

    def serve(self, **options: Any) -> Front:
        """Make a front (see :class:`Front`)."""
        # On a file system in memory, if there is one: nothing here is about disks.
        memory = "/dev/shm"
        directory = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
        self.addCleanup(shutil.rmtree, directory)
        self.front = Front(directory, self.clock, **options)
        return self.front

    def connect(self, peer: Any = CLIENT) -> Connection:
        """Open a connection to the front; the default one if there is none yet."""
        if not hasattr(self, "front"):
            self.serve()
        return Connection(self.front.site, self.clock, peer)

    def request(self, *args: Any, **options: Any) -> Response:
        """Send a request on a connection of its own."""
        return self.connect().request(*args, **options)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in small steps, as it does."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def assert_closed_by_server(self, connection: Connection) -> None:
        """Check that the server closes the connection within the time it may linger."""
        self.pass_time(5)
        self.assertTrue(connection.closed)


# --- on a port -------------------------------------------------------------------


class Peer:
    """A client with a blocking socket.  To be used in a thread.

    :param receive_buffer: the size of the socket's receive buffer, if it matters.
    :param send_buffer: the size of its send buffer, if that does.
    :param tls: the TLS context, if the port speaks TLS.
    :param timeout: how long one operation may take, in seconds.
    """

    def __init__(
        self,
        port: int,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 60,
    ) -> None:
        raw = socket.socket()
        if send_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect(("127.0.0.1", port))
        self.socket: socket.socket = (
            raw if tls is None else tls.wrap_socket(raw, server_hostname="localhost")
        )
        self._received = b""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self.socket.sendall(data)

    def send_as_far_as_possible(self, data: bytes) -> int:
        """Send ``data`` until the server stops listening.

        :returns: how many bytes were sent.
        """
        view, sent = memoryview(data), 0
        with suppress(ConnectionError, TimeoutError, ssl.SSLError):
            while sent < len(data):
                sent += self.socket.send(view[sent : sent + 65536])
        return sent

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """Send a request and return its response."""
        self.send(render_request(method, target, headers, body))
        return self.response(head=method == "HEAD")

    def response(self, head: bool = False) -> Response:
        """Read one response, an interim one too.

        :raises Incomplete: if the connection ends before it does.
        """
        while b"\r\n\r\n" not in self._received:
            self._received += self._receive()
        status, headers, rest = parse_head(self._received)
        length = body_length(status, headers, head)
        pieces, missing = [rest], length - len(rest)
        while missing > 0:
            pieces.append(self._receive())
            missing -= len(pieces[-1])
        data = b"".join(pieces)
        self._received = data[length:]
        return Response(status, headers, data[:length])

    def close(self) -> None:
        """Go away."""
        self.socket.close()

    def read_ahead(self, size: int) -> None:
        """Read at least ``size`` bytes of what :meth:`response` will return."""
        while len(self._received) < size:
            self._received += self._receive()

    def read_to_end(self) -> bytes:
        """Read until the server closes; being cut off counts as an end."""
        pieces, self._received = [self._received], b""
        with suppress(ConnectionError, ssl.SSLError):
            while piece := self.socket.recv(1 << 20):
                pieces.append(piece)
        return b"".join(pieces)

    def reset(self) -> None:
        """Close with a reset, as the system does for a client that crashes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self) -> bytes:
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise Incomplete
        return piece


class PortTestCase(_Logged, TestCase):
    """Tests of a front on a loopback port, with threads and real time.

    :ivar front: what :meth:`serve` has made.
    :ivar port: the number of its port.
    """

    #: The endpoint that :meth:`serve` listens on.
    endpoint = "tcp:0:interface=127.0.0.1"

    front: Front
    port: int

    def setUp(self) -> None:
        self.start_log()

    async def serve(self, **options: Any) -> Front:
        """Make a front (see :class:`Front`) and listen."""
        threads = Threads(reactor, 4)
        threads.startService()
        self.addCleanup(threads.stopService)
        self.front = self.make_front(**{"blocking": threads, **options})
        port = await serverFromString(reactor, self.endpoint).listen(self.front.site)
        self.addCleanup(self.front.site.drain, 0)
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        return self.front

    def make_front(self, **options: Any) -> Front:
        """Put the front together."""
        return Front(self.mktemp(), reactor, **options)

    def peer(self, **options: Any) -> Peer:
        """Connect a client (see :class:`Peer`); only in a thread."""
        return Peer(self.port, **options)

    async def connected(self, **options: Any) -> Peer:
        """Connect a client that several steps use, each in a thread."""
        peer = await self.in_thread(lambda: self.peer(**options))
        self.addCleanup(peer.close)
        return peer

    def now(self) -> float:
        """Return the reactor's time in seconds."""
        return reactor.seconds()

    async def request(self, *args: Any, **options: Any) -> Response:
        """Send a request on a connection of its own."""

        def client() -> Response:
            with self.peer() as peer:
                return peer.request(*args, **options)

        return await self.in_thread(client)

    async def in_thread(self, client: Callable[[], T]) -> T:
        """Run a client with blocking sockets."""
        return await deferToThread(client)

    def in_background(self, client: Callable[[], T]) -> Deferred[T]:
        """Start a client with blocking sockets."""
        return deferToThread(client)

    async def sleep(self, seconds: float) -> None:
        """Let the reactor run for a while."""
        await deferLater(reactor, seconds)

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until ``condition`` holds; fail if it does not in time."""
        end = reactor.seconds() + seconds
        while not condition():
            self.assertLess(reactor.seconds(), end, "this does not happen")
            await deferLater(reactor, 0.01)
