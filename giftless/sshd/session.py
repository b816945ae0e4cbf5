"""What a client runs in a channel: one command, which a worker serves.

Bytes pass in both directions as they come; whoever does not read holds up the sender, for
as long as it takes.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base import ssh_greeting
from giftless.base.sending import send
from giftless.sshd.channel import Channel
from giftless.sshd.errors import Unreachable
from giftless.sshd.login import User
from giftless.sshd.wire import Fields
from giftless.sshd.workers import Greeter, Workers

_log = Logger(namespace="giftless.ssh")

#: How much is read of a worker at once, and how much waits to be written to it before the
#: client is held up, in bytes.
BUFFER: Final = 256 * 1024

#: The exit status of a session that has failed.
_FAILED: Final = 1


class Session:
    """What runs in one channel.

    :param channel: the channel.
    :param workers: who serves it.
    :param user: whose it is.
    """

    def __init__(self, channel: Channel, workers: Workers, user: User) -> None:
        self._channel = channel
        self._workers = workers
        self._user = user
        self._asked = False
        self._starting: Deferred[None] | None = None
        self._relay: Relay | None = None
        self._waiting: list[bytes] = []
        self._heard_end = self._is_held = self._over = False

    # -- what the channel tells

    def request(self, name: bytes, rest: bytes) -> Callable[[], None] | None:
        """Run a command; refuse everything else."""
        if name not in (b"exec", b"shell") or self._asked:
            return None
        self._asked = True
        if name == b"shell":
            words = f"you are {self._user.user} here; there is no shell, only Git LFS"
            return lambda: self._say(words)
        command = Fields(rest).string().decode(errors="replace")

        def run() -> None:
            self._starting = Deferred.fromCoroutine(self._start(command))
            self._starting.addErrback(self._fail)

        return run

    def received(self, data: bytes) -> None:
        """Keep data until it is passed on."""
        self._waiting.append(data)

    def pass_on(self) -> None:
        """Pass data on to the worker, if there is one."""
        if self._relay is not None and self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._relay.send(data)

    def ended(self) -> None:
        """Tell the worker that no more data comes."""
        self._heard_end = True
        if self._relay is not None:
            self.pass_on()
            self._relay.end()

    def lost(self) -> None:
        """Tell the worker that nobody listens any more."""
        self._over = True
        self._waiting.clear()
        if self._starting is not None:
            self._starting.cancel()
        if self._relay is not None:
            self._relay.abort()

    def hold(self) -> None:
        """Hold up the worker."""
        self._is_held = True
        if self._relay is not None:
            self._relay.hold(True)

    def go_on(self) -> None:
        """Let the worker send again."""
        self._is_held = False
        if self._relay is not None:
            self._relay.hold(False)

    # -- the beginning

    async def _start(self, command: str) -> None:
        user = self._user
        try:
            owned = await self._workers.owner(user.key)
            if (owned.user, owned.realm) != (user.user, user.realm):
                self._say(owned.problem or f"your key is no longer one of {user.user}")
                return
            greeting = ssh_greeting.Session(user.user, user.realm, command, user.key.address)
            relay, admitted = await self._workers.admit(
                greeting, lambda line: Relay(line, self._channel)
            )
        except Unreachable as error:
            _log.warn("a session of {user} cannot begin: {error}", user=user.user, error=str(error))
            self._say("the server cannot serve you now; try again later")
            return
        if not admitted.open:
            relay.abort()
            self._channel.write(admitted.stdout.encode())
            self._channel.write(admitted.stderr.encode(), is_error=True)
            self._channel.finish(admitted.status)
            return
        self._relay = relay
        relay.open()
        relay.hold(self._is_held)
        self.pass_on()
        if self._heard_end:
            relay.end()

    def _say(self, words: str) -> None:
        """Tell the user something, and end."""
        self._channel.write(f"giftless: {words}\n".encode(), is_error=True)
        self._channel.finish(_FAILED)

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            _log.failure("a session has failed", failure)
            self._say("the server has made a mistake; its log says more")


@implementer(IPushProducer, IHalfCloseableProtocol)
class Relay(Greeter):
    """The connection to the worker that serves a session.

    :param line: what it is asked, in one line.
    :param channel: where its answers go.
    """

    def __init__(self, line: bytes, channel: Channel) -> None:
        super().__init__(line)
        self._channel = channel
        self._is_open = self._is_full = self._has_ended = False
        self._waits = 0

    def connectionMade(self) -> None:
        """Ask, and hold up the client whenever the worker does not read."""
        self.transport.bufferSize = BUFFER
        self.transport.registerProducer(self, True)
        super().connectionMade()

    def open(self) -> None:
        """Relay from now on: what comes behind the answer is for the client."""
        self._is_open = True

    # -- from the client to the worker

    def send(self, data: bytes) -> None:
        """Send data to the worker; the client may send as much again when that is gone."""
        send(self.transport, data)
        if self._is_full:
            self._waits += len(data)
        else:
            self._channel.taken(len(data))

    def end(self) -> None:
        """Tell the worker that no more data comes."""
        self._has_ended = True
        # With a producer, the transport would wait for a word of it.
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def pauseProducing(self) -> None:
        """Give the client no more room: the worker does not read."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """Give the client the room of what the worker has read."""
        self._is_full = False
        waited, self._waits = self._waits, 0
        if waited:
            self._channel.taken(waited)

    def stopProducing(self) -> None:
        """Give the client no more room: the worker is gone."""
        self._is_full = True

    # -- from the worker to the client

    def hold(self, hold: bool) -> None:
        """Read nothing more of the worker, or read again."""
        if hold:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def received(self, data: bytes) -> None:
        """Send data to the client."""
        if self._is_open:
            self._channel.write(data)

    def readConnectionLost(self) -> None:
        """End the session: the worker has, or is gone."""
        if self._is_open and (self._has_ended or not self._is_gone()):
            self._is_open = False
            self._channel.finish(0)
        self.abort()

    def writeConnectionLost(self) -> None:
        """Do nothing: what the worker says tells how the session ends."""

    def ended(self, reason: Failure) -> None:
        """End the session if the worker has not: it is gone."""
        if self._is_open:
            self._is_open = False
            self._channel.write(b"giftless: the server has broken off\n", is_error=True)
            self._channel.finish(_FAILED)

    def _is_gone(self) -> bool:
        """Whether both directions were closed at once, as the kernel does for the dead."""
        looking = select.poll()
        looking.register(self.transport.fileno(), 0)
        return any(events & select.POLLHUP for _, events in looking.poll(0))
