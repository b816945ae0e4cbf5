"""One connection: Conch's transport, restricted, and without trust in what clients send."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from socket import IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Any, Final, Protocol

from twisted.conch.ssh.transport import (
    DISCONNECT_BY_APPLICATION,
    DISCONNECT_PROTOCOL_ERROR,
    SSHServerTransport,
)
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base.networks import network_of_host
from giftless.base.sending import send, sends_at_once
from giftless.base.showing import describe_failure
from giftless.sshd.algorithms import (
    CIPHERS,
    COMPRESSIONS,
    KEY_EXCHANGES,
    MACS,
    OFFERED_SIGNATURES,
)
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.logins import Logins
from giftless.sshd.metrics import ListenerMetrics, LoginResult
from giftless.sshd.packets import Opener, Sealer

_log = Logger(namespace="giftless.ssh")

#: How much is read from a client at once, and how much waits to be written before whoever
#: writes is held up, in bytes.
BUFFER: Final = 256 * 1024

#: How much may come before the keys are exchanged, in bytes.
_MAX_CLEAR: Final = 64 * 1024

#: How much may wait in answers to a client that does not read them, in bytes; then nothing
#: is read from it any more.
_MAX_ANSWERS: Final = 256 * 1024

#: The longest message that is sent at once, in bytes; several longer ones go together.
_SHORT: Final = 16 * 1024

#: What a message takes beside what it says, in bytes.
_OVERHEAD: Final = 64

#: For how many seconds a connection may last that is to be closed: its client may not read.
_LINGER: Final = 10

#: After how many seconds of silence the kernel asks whether the client is still there, how
#: often it asks in vain, and how many seconds lie between: one that sleeps for a quarter of
#: an hour goes on, one whose machine is gone leaves no session behind.
_KEEPALIVE: Final = {TCP_KEEPIDLE: 600, TCP_KEEPCNT: 10, TCP_KEEPINTVL: 60}

#: Numbers of messages (RFC 4250 section 4.1).  The first four mean something at any time.
_ANY_TIME: Final = range(1, 5)
_SERVICE_REQUEST: Final = 5
_EXT_INFO: Final = 7
_KEXINIT: Final = 20
_NEWKEYS: Final = 21
_KEX_INIT: Final = 30
_OF_SERVICES: Final = 50


class _Exchange(Enum):
    """What a client has to send while keys are exchanged."""

    INIT = auto()
    NEWKEYS = auto()


class Owner(Protocol):
    """What a connection belongs to: the factory that has made it.

    :ivar clock: tells the time.
    :ivar logins: the places for those who log in.
    :ivar metrics: where logins are counted.
    """

    clock: IReactorTime
    logins: Logins
    metrics: ListenerMetrics

    def getService(self, transport: Any, service: bytes) -> Callable[[], Any] | None:
        """Return what makes the service that a client asks for, as Conch asks it."""

    def closed(self, transport: ServerTransport) -> None:
        """Note that a connection is over."""


@implementer(IPushProducer)
class ServerTransport(SSHServerTransport):
    """A connection of a client.

    Whatever does not belong where it comes ends the connection, with a line in the log
    instead of a traceback.

    :param owner: the factory, which has the host keys as Conch wants them.
    :param signatures: the names of the signatures that these can make.
    :ivar user: who has logged in, for the log; empty before.
    """

    # Conch logs each step, and each attempt of a stranger as an error.
    _log = Logger(namespace="giftless.ssh", observer=LogPublisher())
    ourVersionString = b"SSH-2.0-giftless"
    supportedKeyExchanges = KEY_EXCHANGES
    supportedCiphers = CIPHERS
    supportedMACs = MACS
    supportedCompressions = COMPRESSIONS

    transport: Any
    user = ""

    def __init__(self, owner: Owner, signatures: list[bytes]) -> None:
        self._owner = owner
        self.supportedPublicKeys = signatures
        self.network = ""
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._exchange: _Exchange | None = None
        self._begun = self._ended = False
        #: What has come before there was a place: behind a proxy, clients speak first.
        self._early = b""
        self._problem = ""
        self._result = LoginResult.LEFT
        self._paused = self._deaf = self._sends_at_once = False
        self._answers = 0
        self._linger: IDelayedCall | None = None

    # -- the beginning and the end

    @property
    def address(self) -> str:
        """The client's IP address; empty if it has none."""
        return getattr(self.transport.getPeer(), "host", "")

    def connectionMade(self) -> None:
        """Wait for a place among those who log in."""
        self.network = network_of_host(self.address)
        self.transport.bufferSize = BUFFER
        if self.address:
            _watch_peer(self.transport)
        self.transport.pauseProducing()
        self._owner.logins.enter(self)

    def begin(self) -> None:
        """Send our version and begin to exchange keys."""
        self._begun = True
        self._sends_at_once = sends_at_once(self.transport)
        self.transport.resumeProducing()
        self.transport.registerProducer(self, True)
        super().connectionMade()
        early, self._early = self._early, b""
        if early:
            self.dataReceived(early)

    def turn_away(self, reason: str) -> None:
        """Close a connection whose client has not logged in.

        :param reason: why, for the log.
        """
        self._problem = self._problem or reason
        self._result = LoginResult.TURNED_AWAY
        self._owner.logins.leave(self)
        if self._begun:
            self.sendDisconnect(DISCONNECT_BY_APPLICATION, reason.encode())
        else:
            self.abort()

    def logged_in(self, user: str) -> None:
        """Note who the client is.

        :param user: the user, for the log.
        """
        self.user = user
        self._owner.logins.leave(self)
        self._owner.metrics.ended(LoginResult.SUCCEEDED)

    def abort(self) -> None:
        """Close the connection at once."""
        self._ended = True
        self.transport.abortConnection()

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        """Tell the client why the connection ends, and close it.  Harmless when repeated."""
        if self._ended:
            return
        self._problem = self._problem or desc.decode("ascii", "replace")
        if self._result is LoginResult.LEFT:
            self._result = LoginResult.REFUSED
        # Otherwise the transport would wait for a word of its producer.
        self.transport.unregisterProducer()
        super().sendDisconnect(reason, desc)
        self._ended = True
        self._linger = self._owner.clock.callLater(_LINGER, self.transport.abortConnection)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Let whatever runs end."""
        self._ended = True
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._owner.logins.leave(self)
        if self.user:
            if self._problem:
                _log.info(
                    "the connection of {user} from {address} has ended: {problem}",
                    user=self.user,
                    address=self.address,
                    problem=self._problem,
                )
        else:
            self._owner.metrics.ended(self._result)
            _log.info(
                "a client from {address} has not logged in: {problem}",
                address=self.address,
                problem=self._problem or "it has closed the connection",
            )
        service, self.service = self.service, None
        if service is not None:
            service.serviceStopped()
        self._owner.closed(self)

    # -- what comes in

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends; nothing any more if the connection is to be closed."""
        if self._ended:
            return
        if not self._begun:
            self._early += data
            return
        try:
            self._receive(data)
        except Exception as error:
            # Conch reads messages without a look at their length, and cryptography has
            # errors of its own for each key that is none.
            self.break_off(error)

    def _receive(self, data: bytes) -> None:
        if self._opener is None:
            if len(self.buf) + len(data) > _MAX_CLEAR + BUFFER:
                raise BrokenProtocol("too much comes before the keys are exchanged")
            super().dataReceived(data)
        else:
            self._opener.feed(data)
        while self._opener is not None and not self._ended:
            payload = self._opener.next(self.incomingPacketSequence)
            if payload is None:
                break
            self.incomingPacketSequence += 1
            self.dispatchMessage(payload[0], payload[1:])
        service: Any = self.service
        if service is not None:
            service.pass_on()

    def break_off(self, error: BaseException) -> None:
        """Close the connection because of what its client has sent."""
        if isinstance(error, BrokenProtocol):
            self._problem = str(error)
        else:
            self._problem = f"a message cannot be read ({describe_failure(error)})"
        # Not the words: they may name files of this server.
        self.sendDisconnect(DISCONNECT_PROTOCOL_ERROR, b"protocol error")

    def getPacket(self) -> bytes | None:
        """Return the next packet that is not encrypted.

        What follows the first ``NEWKEYS`` is encrypted, and not Conch's to decrypt.
        """
        if self._opener is not None or self._ended:
            return None
        packet: bytes | None = super().getPacket()
        return packet

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """Pass a message on to where it belongs.

        :raises BrokenProtocol: if it may not come now.
        """
        if self._ended:
            return
        if messageNum >= _OF_SERVICES and self._exchange is None and self.service is not None:
            self.service.packetReceived(messageNum, payload)
            return
        if not self._expects(messageNum):
            raise BrokenProtocol(f"message {messageNum} comes where it does not belong")
        super().dispatchMessage(messageNum, payload)

    def _expects(self, number: int) -> bool:
        if number in _ANY_TIME:
            return True
        if self._exchange is _Exchange.INIT:
            return number == _KEX_INIT
        if self._exchange is _Exchange.NEWKEYS:
            return number == _NEWKEYS
        if number == _KEXINIT:
            # Once before the login: it takes time, and strangers have no reason to.
            return self.sessionID is None or bool(self.user)
        return self.sessionID is not None and number in (_SERVICE_REQUEST, _EXT_INFO)

    def ssh_KEXINIT(self, packet: bytes) -> None:
        """Begin to exchange keys."""
        self._exchange = _Exchange.INIT
        super().ssh_KEXINIT(packet)

    def ssh_KEX_DH_GEX_REQUEST_OLD(self, packet: bytes) -> None:
        """Answer the client's part of the exchange, whatever its kind."""
        guessed_wrong = self.ignoreNextPacket
        super().ssh_KEX_DH_GEX_REQUEST_OLD(packet)
        if not guessed_wrong:
            self._exchange = _Exchange.NEWKEYS

    def ssh_NEWKEYS(self, packet: bytes) -> None:
        """Use the keys that were exchanged."""
        opener = Opener(self.nextEncryptions)
        opener.feed(self.buf if self._opener is None else self._opener.rest())
        self.buf = b""
        self._opener, self._sealer = opener, Sealer(self.nextEncryptions)
        self._exchange = None
        super().ssh_NEWKEYS(packet)
        self._go_on()

    # -- what goes out

    @property
    def writable(self) -> bool:
        """Whether the client takes what it is sent."""
        return not self._paused and self._exchange is None

    def sendPacket(self, messageType: int, payload: bytes) -> None:
        """Send a message; keep it while keys are exchanged, unless it belongs there."""
        if self._ended:
            return
        if self._paused:
            self._answers += len(payload) + _OVERHEAD
            if self._answers > _MAX_ANSWERS and not self._deaf:
                self._deaf = True
                self.transport.pauseProducing()
        if self._sealer is None or self._exchange is not None:
            super().sendPacket(messageType, payload)
            return
        payload = messageType.to_bytes(1, "big") + payload
        sealed = self._sealer.seal(self.outgoingPacketSequence, payload)
        self.outgoingPacketSequence += 1
        if self._sends_at_once and len(payload) <= _SHORT:
            send(self.transport, b"".join(sealed))
        else:
            self.transport.writeSequence(sealed)

    def sendExtInfo(self, extensions: object) -> None:
        """Tell which signatures of users are taken; Conch would tell those of host keys."""
        super().sendExtInfo([(b"server-sig-algs", b",".join(OFFERED_SIGNATURES))])

    def pauseProducing(self) -> None:
        """Hold up whoever writes: the client does not take it."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Let go on whoever writes: the client takes bytes again."""
        self._paused = False
        self._answers = 0
        if self._deaf:
            self._deaf = False
            self.transport.resumeProducing()
        self._go_on()

    def stopProducing(self) -> None:
        """Hold up whoever writes, for ever: the connection is lost."""
        self._paused = True

    def _go_on(self) -> None:
        service: Any = self.service
        if self.writable and service is not None:
            service.go_on()


def _watch_peer(transport: Any) -> None:
    """Let the kernel find out whether the client is still there, and send small answers now."""
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for option, value in _KEEPALIVE.items():
        transport.getHandle().setsockopt(IPPROTO_TCP, option, value)
