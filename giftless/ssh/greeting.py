"""The beginning of a connection: one line that asks, and one that answers.

See :mod:`giftless.base.ssh_greeting`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.base import access_log
from giftless.base.ssh_greeting import (
    MAX_LINE,
    Admitted,
    Greeting,
    Listed,
    Owned,
    Session,
    WhichKeys,
    WhoseKey,
)
from giftless.base.uncaught import new_request_id, uncaught
from giftless.errors import Forbidden, LFSError, NotFound, TooManyConnections
from giftless.interfaces import Credentials, Vouched
from giftless.lfs.ssh.commands import Program, parse_command
from giftless.ssh.caller import Caller
from giftless.ssh.context import Context
from giftless.ssh.session import Session as OpenSession

#: How long the line may take to arrive, in seconds.
_PATIENCE: Final = 30.0

#: When a client may try again that has too many sessions, in seconds.
_RETRY_AFTER: Final = 5

_NO_KEYS: Final = "this server knows no keys: its administrator can change that (ssh.keys)"

_decoder = msgspec.json.Decoder(Greeting)
_encoder = msgspec.json.Encoder()

_log = Logger(namespace="giftless.ssh")


class GreetingProtocol(Protocol):
    """Reads what is asked, and answers; the bytes of a session are another's then.

    :param context: what it shares with others.
    """

    transport: Any

    def __init__(self, context: Context) -> None:
        self._context = context
        self._line = b""
        self._asked = self._gone = False
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Go on only if the process at the other end is believed."""
        context = self._context
        uid = context.peers.uid(self.transport)
        if not context.peers.trusts(uid):
            if context.peers.is_news(uid):
                _log.warn(
                    "processes of the user {uid} are not listened to at the Unix socket of SSH;"
                    " see ssh.trusted",
                    uid=uid,
                )
            self.abort()
            return
        self._deadline = context.clock.callLater(_PATIENCE, self.abort)
        context.sessions.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """Take the line, and keep what comes behind it."""
        self._line += data
        if b"\n" not in self._line and len(self._line) <= MAX_LINE:
            return
        self._stop_waiting()
        # Until there is an answer; what comes with the line is all that is kept.
        self.transport.pauseProducing()
        if not self._asked:
            self._asked = True
            line, _, self._line = self._line.partition(b"\n")
            Deferred.fromCoroutine(self._answer(line)).addErrback(self._fail)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection."""
        self._gone = True
        self._stop_waiting()
        self._context.sessions.closed(self)

    def drain(self) -> None:
        """Close, unless there is something to answer."""
        if not self._asked:
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    async def _answer(self, line: bytes) -> None:
        try:
            asked = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _log.warn(
                "what came over the Unix socket of SSH makes no sense; the parts of"
                " giftless may be of different versions"
            )
            self.abort()
            return
        if isinstance(asked, WhoseKey):
            keys = self._context.keys
            self._say(Owned() if keys is None else await keys.owner(asked))
        elif isinstance(asked, WhichKeys):
            keys = self._context.keys
            self._say(Listed(problem=_NO_KEYS) if keys is None else await keys.keys(asked))
        else:
            await self._open(asked)

    async def _open(self, asked: Session) -> None:
        """Begin a session, or say why there is none."""
        try:
            command = parse_command(asked.command)
        except LFSError as error:
            self._say(_refused(error))
            access_log.write_refusal(error.code, new_request_id(), asked.address, "SSH")
            return
        credentials = Credentials((Vouched(asked.user, asked.realm),), asked.address)
        caller, began = Caller(credentials, command), self._context.clock.seconds()
        try:
            if command.program is Program.AUTHENTICATE:
                await self._authenticate(caller, began)
            else:
                await self._transfer(caller)
        except LFSError as error:
            self._say(_refused(error))
            caller.log(error.code, 0, self._context.clock.seconds() - began)

    async def _authenticate(self, caller: Caller, began: float) -> None:
        authentication = self._context.authentication
        if authentication is None:
            raise NotFound("this server answers no git-lfs-authenticate")
        told = await authentication.answer(caller)
        self._say(Admitted(stdout=told))
        caller.log(200, 0, self._context.clock.seconds() - began)

    async def _transfer(self, caller: Caller) -> None:
        context = self._context
        if context.processor is None:
            raise Forbidden(
                "this server's objects do not pass through it; git-lfs asks it how to reach them"
                " (git-lfs-authenticate)"
            )
        if context.sessions.too_many(caller.address):
            raise TooManyConnections("there are too many sessions from this address", _RETRY_AFTER)
        welcome = await context.processor.admit(caller)
        if self._gone:
            return
        transport = self.transport
        transport.write(_encoder.encode(Admitted(open=True)) + b"\n" + welcome)
        session = OpenSession(context, context.processor, caller)
        transport.protocol = session
        session.makeConnection(transport)
        context.sessions.closed(self)
        transport.resumeProducing()
        if self._line:
            session.dataReceived(self._line)

    def _fail(self, failure: Failure) -> None:
        self._say(_refused(uncaught(failure, "of SSH")))

    def _say(self, answer: Owned | Listed | Admitted) -> None:
        if not self._gone:
            self.transport.write(_encoder.encode(answer) + b"\n")
            self.transport.loseConnection()


def _refused(error: LFSError) -> Admitted:
    return Admitted(status=1, stderr=f"giftless: {' '.join(error.message.split())}\n")
