"""A client of SSH for tests, which sends whatever a test wants."""

from __future__ import annotations

from typing import Any

from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from giftless.base.ssh_wire import string, uint32
from giftless.sshd.wire import Fields

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor

#: How much a client lets the server send in each channel at first, in bytes.
WINDOW = 2**20


class Client(SSHClientTransport):
    """A connection that keeps what comes, by the numbers of the messages.

    :ivar got: the messages that have come, as numbers and payloads.
    :ivar encrypted: fires when keys are exchanged.
    :ivar lost: whether the server has closed the connection.
    :param preface: what is sent before everything else.
    """

    _log = Logger(observer=LogPublisher())
    transport: Any

    def __init__(self, preface: bytes = b"") -> None:
        self._preface = preface
        self.got: list[tuple[int, bytes]] = []
        self.encrypted: Deferred[None] = Deferred()
        self.lost = False
        self.disconnected = b""
        self._wanted: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.transport.write(self._preface)
        super().connectionMade()

    def verifyHostKey(self, key: bytes, fingerprint: bytes) -> Deferred[None]:
        verified: Deferred[None] = Deferred()
        verified.callback(None)
        return verified

    def connectionSecure(self) -> None:
        if not self.encrypted.called:
            self.encrypted.callback(None)

    def receiveError(self, code: int, description: bytes) -> None:
        self.disconnected = description

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        if messageNum < 50 and messageNum not in (3, 6):
            super().dispatchMessage(messageNum, payload)
            return
        for index, (number, wanted) in enumerate(self._wanted):
            if number == messageNum:
                del self._wanted[index]
                wanted.callback(payload)
                return
        self.got.append((messageNum, payload))

    async def get(self, number: int) -> bytes:
        """Wait for a message and take it; those of other numbers stay."""
        for index, (came, payload) in enumerate(self.got):
            if came == number:
                del self.got[index]
                return payload
        wanted: Deferred[bytes] = Deferred()
        self._wanted.append((number, wanted))
        return await wanted

    def connectionLost(self, reason: Failure | None = connectionDone) -> None:
        self.lost = True
        if not self.encrypted.called:
            self.encrypted.errback(reason)
        wanted, self._wanted = self._wanted, []
        for number, each in wanted:
            each.errback(Failure(ConnectionError(f"lost before message {number} came")))

    # -- the login

    def ask(self, key: Key, user: bytes = b"git") -> None:
        """Ask whether a key is good."""
        kind = key.sshType()
        rest = b"\0" + string(kind) + string(key.public().blob())
        self.request_login(b"publickey", rest, user)

    def sign(self, key: Key, user: bytes = b"git", **changes: bytes) -> None:
        """Log in with a key."""
        kind, blob = key.sshType(), key.public().blob()
        assert self.sessionID is not None
        fields = (user, b"ssh-connection", b"publickey")
        signed = b"".join(
            (
                string(changes.get("session", self.sessionID)),
                b"\x32",
                *map(string, fields),
                b"\1",
                string(kind),
                string(blob),
            )
        )
        rest = b"\1" + string(kind) + string(changes.get("blob", blob)) + string(key.sign(signed))
        self.request_login(b"publickey", rest, user)

    def request_login(self, method: bytes, rest: bytes = b"", user: bytes = b"git") -> None:
        """Try any way to log in."""
        self.sendPacket(50, string(user) + string(b"ssh-connection") + string(method) + rest)

    # -- channels

    async def open(self, kind: bytes = b"session", window: int = WINDOW) -> int:
        """Open a channel; returns its number at the server."""
        self.sendPacket(90, string(kind) + uint32(0) + uint32(window) + uint32(32768))
        fields = Fields(await self.get(91))
        fields.uint32()
        number = fields.uint32()
        self.room = fields.uint32()
        return number

    def request(self, number: int, name: bytes, rest: bytes = b"", reply: bool = True) -> None:
        """Ask for something in a channel."""
        self.sendPacket(98, uint32(number) + string(name) + bytes([reply]) + rest)

    def send(self, number: int, data: bytes) -> None:
        """Send data in a channel."""
        self.sendPacket(94, uint32(number) + string(data))


async def connect(port: int, preface: bytes = b"") -> Client:
    """Connect and exchange keys."""
    client: Client = await connectProtocol(
        TCP4ClientEndpoint(reactor, "127.0.0.1", port), Client(preface)
    )
    await client.encrypted
    return client


async def log_in(port: int, key: Key, preface: bytes = b"") -> Client:
    """Connect and log in."""
    client = await connect(port, preface)
    client.sendPacket(5, string(b"ssh-userauth"))
    await client.get(6)
    client.sign(key)
    await client.get(52)
    return client
