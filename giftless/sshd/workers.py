"""Reach the workers over their Unix socket, and ask them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from giftless.base.ssh_greeting import MAX_LINE, Admitted, Owned, Session, WhoseKey
from giftless.sshd.errors import Unreachable

#: For how many seconds an answer is waited for.
PATIENCE: Final = 60.0

#: How often the question is asked if the worker is gone before it answers: another takes
#: its place.
ATTEMPTS: Final = 4

#: How long to wait before the next attempt, in seconds.
PAUSE: Final = 0.5

Answer = TypeVar("Answer")


class Greeter(Protocol):
    """Asks a worker something, in one line, and reads its answer.

    :param line: the question.
    :ivar answered: fires with the answer, without its newline; fails with
        ``ConnectionClosed`` if the worker is gone before, and with :class:`Unreachable` if
        the answer is too long.
    """

    transport: Any

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._buffer = b""
        self.answered: Deferred[bytes] = Deferred(lambda _: self.abort())

    def connectionMade(self) -> None:
        """Send the question."""
        self.transport.write(self._line)

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the answer, or what comes behind it."""
        if self.answered.called:
            self.received(data)
            return
        self._buffer += data
        line, newline, rest = self._buffer.partition(b"\n")
        if newline:
            self._buffer = b""
            self.answered.callback(line)
            if rest:
                self.received(rest)
        elif len(line) > MAX_LINE:
            self.answered.errback(Unreachable("the answer of a worker is too long"))
            self.abort()

    def received(self, data: bytes) -> None:
        """Take what comes behind the answer: nothing is expected."""

    def ended(self, reason: Failure) -> None:
        """Note that the connection has ended behind the answer."""

    def abort(self) -> None:
        """Close the connection at once.  Harmless when repeated."""
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note that the worker has ended the connection, or is gone."""
        if self.answered.called:
            self.ended(reason)
        else:
            self.answered.errback(reason)


class _Once(Factory):
    """Makes the one protocol that there is."""

    noisy = False

    def __init__(self, greeter: Greeter) -> None:
        self._greeter = greeter

    def buildProtocol(self, addr: object) -> Greeter:
        return self._greeter


GreeterType = TypeVar("GreeterType", bound=Greeter)


class Workers:
    """The workers of this server, of which the kernel chooses one for each connection.

    :param reactor: the reactor.
    :param path: the Unix socket.
    """

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._endpoint = UNIXClientEndpoint(reactor, path, timeout=PATIENCE)

    async def owner(self, question: WhoseKey) -> Owned:
        """Ask whose a key is.

        :raises Unreachable: if no worker answers.
        """
        greeter, owned = await self._ask(question, Greeter, Owned)
        greeter.abort()
        return owned

    async def admit(
        self, session: Session, make: Callable[[bytes], GreeterType]
    ) -> tuple[GreeterType, Admitted]:
        """Ask whether a session may begin.

        :param make: makes the protocol of the connection, of the line that it has to send.
        :returns: the protocol, and the answer.
        :raises Unreachable: if no worker answers.
        """
        return await self._ask(session, make, Admitted)

    async def _ask(
        self, greeting: WhoseKey | Session, make: Callable[[bytes], GreeterType], kind: type[Answer]
    ) -> tuple[GreeterType, Answer]:
        line = msgspec.json.encode(greeting) + b"\n"
        if len(line) > MAX_LINE:
            raise Unreachable("what was asked for is too long")
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await deferLater(self._reactor, PAUSE)
            greeter = make(line)
            try:
                await self._endpoint.connect(_Once(greeter))
                greeter.answered.addTimeout(PATIENCE, self._reactor)
                return greeter, msgspec.json.decode(await greeter.answered, type=kind)
            except msgspec.MsgspecError:
                greeter.abort()
                raise Unreachable("a worker has answered what is no answer") from None
            except TimeoutError:
                raise Unreachable("no worker has answered in time") from None
            except (ConnectError, ConnectionClosed) as error:
                problem = f"no worker answers: {' '.join(str(error).split())}"
        raise Unreachable(problem)
